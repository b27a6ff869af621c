//! Index advice that the planner has proven: what plans ask of tables ([`clauses`]), which indexes could answer
//! ([`candidate`]), what each is worth to the planner ([`what_if`]), and the set that is worth most ([`selection`]).
//!
//! Planning a statement can run code that it names, or that a table of it brings along. So nothing reaches the planner but
//! through the [`gate`].

pub mod advice;
pub mod candidate;
pub mod clauses;
pub mod gate;
pub mod search_path;
pub mod selection;
pub mod what_if;

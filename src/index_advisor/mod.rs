//! Index advice that the planner has proven: what plans ask of tables ([`clauses`]), which indexes could answer
//! ([`candidate`]), what each is worth to the planner ([`what_if`]), and the set that is worth most ([`selection`]).

pub mod advice;
pub mod candidate;
pub mod clauses;
pub mod selection;
pub mod what_if;

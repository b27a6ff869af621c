//! Index advice that the planner has proven: from the statements ([`workload`]) and their plans as things are (`first_plan`) to
//! what those ask of tables ([`clauses`], [`tables`], `existing`), which indexes could answer ([`candidate`]; `blocks` for those
//! that are priced apart; [`estimated`] for those that no planner can price, whose size `inverted` reckons), what each is worth
//! to the planner ([`what_if`]; `evaluation` adds what it does not count) and costs in writes ([`upkeep`]), the set that is worth
//! most ([`selection`], `merge`) within its `budget`, how large it will be (`built`), how it is made ([`definition`]) and how long
//! that takes (`build`). Whether it holds for particular values, longer lists and later pages is seen in `values`. Drops are tried beforehand in `rehearsal`.
//! Plans are made fit to be kept in [`kept`]. What could be a materialized view is seen in `grouped`. [`advice`] is the way
//! through all of it.
//!
//! Planning a statement can run code that it names, or that a table of it brings along. So nothing reaches the planner but
//! through the [`gate`].

pub mod advice;
mod blocks;
mod budget;
mod build;
mod built;
pub mod candidate;
pub mod clauses;
pub mod definition;
pub mod estimated;
mod evaluation;
mod existing;
mod first_plan;
pub mod gate;
mod grouped;
mod inverted;
pub mod kept;
mod knapsack;
mod merge;
mod ready;
mod rehearsal;
pub mod search_path;
pub mod selection;
pub mod summary;
pub mod tables;
mod told;
pub mod upkeep;
mod values;
pub mod what_if;
pub mod workload;

//! Index advice that the planner has proven: from the statements ([`workload`]) and their plans as things are (`first_plan`) to
//! what those ask of tables ([`clauses`], [`tables`], `existing`), which indexes could answer ([`candidate`]; `blocks` and `behind`
//! for those that are priced apart; [`estimated`] for those that no planner can price, whose size `inverted` reckons), what each is worth
//! to the planner ([`what_if`]; `evaluation` adds what it does not count) and costs in writes ([`upkeep`]), the set that is worth
//! most ([`selection`], `merge`) within its `budget`, how large it will be (`built`), how it is made ([`definition`]) and how long
//! that takes (`build`). Whether it holds for particular values, longer lists and later pages is seen in `values`. Drops are tried
//! beforehand in `rehearsal` with the plans of `trials`, those of [`superseded`] indexes with the whole set in place.
//! Plans are made fit to be kept in [`kept`]. What could be a materialized view is seen in `grouped`. [`advice`] is the way
//! through all of it, at a [`pace`] that leaves each stage its part; `answers` are kept for what there is no time to have
//! `confirmed`.
//!
//! Planning a statement can run code that it names, or that a table of it brings along. So nothing reaches the planner but
//! through the [`gate`].

pub mod advice;
mod answers;
mod behind;
mod blocks;
mod budget;
mod build;
mod built;
pub mod candidate;
pub mod clauses;
mod confirmed;
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
pub mod pace;
mod ready;
mod rehearsal;
pub mod search_path;
pub mod selection;
pub mod summary;
pub mod superseded;
pub mod tables;
mod told;
mod trials;
pub mod upkeep;
mod values;
pub mod what_if;
pub mod workload;

//! Index advice that the planner has proven. What is found out before any index is tried (`ready`): from the statements
//! ([`workload`]) and their plans as things are (`first_plan`, under their [`search_path`]) what those ask of tables ([`clauses`],
//! `arms`, `parents`, `predicate` and whether that is `rare`, [`tables`], `existing`), and which indexes could answer that
//! ([`candidate`], `maker`) and hold what is `carried` along, of which those are tried that are `dealt`, as far as there is `room`
//! for them in HypoPG; `blocks`, `behind` and
//! `scan_alone` for those that are priced apart; `words` with the table in front on which those are that are seen there alone; [`estimated`] and `begins` for those that no planner can price, by their `operator_class`, whose size `inverted` reckons and which `unproven` takes
//! in. What was captured is `sifted` before.
//!
//! What each is worth to the planner ([`what_if`], to which those are `present` that it is asked about, of a partitioned table as its
//! columns are `numbered`; `evaluation` adds what it does not count) and costs in writes ([`upkeep`], as
//! far as they are counted by what was `written`), and the set that is worth most ([`selection`], `knapsack`, `merge`, and with further
//! keys where values are `skewed`) within its `budget`. How large it will be (`built`, by what is `held`), whether it is for one `partition` alone, how it is made ([`definition`]) and how long
//! that takes (`build`). Whether it holds for particular values, longer lists and later pages is seen in `values`, for the columns
//! that `compared` finds, and whether calls had other values in what they have `given`; what else a reader should know of it is in
//! `remarks`, and of which expressions the planner knows nothing in `undescribed`. Drops are tried beforehand in `rehearsal` with the plans of `trials`, those of [`superseded`] indexes with the whole
//! set in place. What could be a materialized view is seen in `grouped`. Without HypoPG advice is `guessed`, as far as the
//! `signatures` of functions and operators tell that PostgreSQL would take it.
//!
//! [`advice`] is the way through all of it, at a [`pace`] that leaves each stage its part; `answers` are kept for what there is no
//! time to have `confirmed`, without what is `needless` then. It is `told` as advice, with plans that are fit to be kept ([`kept`]), and to others as a [`summary`].
//!
//! Planning a statement can run code that it names, or that a table of it brings along. So nothing reaches the planner but
//! through the [`gate`].

pub mod advice;
mod answers;
mod arms;
mod begins;
mod behind;
mod blocks;
mod budget;
mod build;
mod built;
mod by_values;
pub mod candidate;
mod carried;
pub mod clauses;
mod compared;
mod confirmed;
mod dealt;
pub mod definition;
mod descents;
mod early_stop;
pub mod estimated;
mod evaluation;
mod existing;
mod first_plan;
pub mod gate;
mod given;
mod grouped;
mod guessed;
mod held;
mod hoped;
mod inverted;
pub mod kept;
mod knapsack;
mod later_pages;
mod maker;
mod merge;
mod needless;
mod numbered;
mod operator_class;
pub mod pace;
mod parents;
mod partition;
mod predicate;
mod present;
mod problem;
mod rare;
mod ready;
mod rehearsal;
mod remarks;
mod room;
mod scan_alone;
pub mod search_path;
pub mod selection;
mod sifted;
mod signatures;
mod skewed;
pub mod summary;
pub mod superseded;
pub mod tables;
mod told;
mod trials;
mod undescribed;
mod unordered;
mod unproven;
pub mod upkeep;
mod values;
pub mod what_if;
mod words;
pub mod workload;
mod written;

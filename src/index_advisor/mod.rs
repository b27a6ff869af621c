//! Which indexes would help, proven by the planner itself.
//!
//! Captured statements are planned here, and planning a statement can run code that it names, or that a table of it brings
//! along. So nothing reaches the planner but through the [`gate`].

pub mod gate;
pub mod search_path;

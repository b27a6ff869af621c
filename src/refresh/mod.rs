//! Materialized views: refreshed when due, only when needed, never twice. One pass, readable from top to bottom:
//!
//! ```text
//! read     (postgres)  -> Look      the views of a database, what they read, what tells whether that has changed
//! due      (pure)      -> Due       by the schedule and what is remembered of each view
//! plan     (pure)      -> Plan      dependencies first; each step with its mode and its reason, or why there is none
//! choose   (pure)      -> Choice    locking readers out or not, by who reads it and what each way costs
//! execute  (postgres)  -> Run       one transaction: lock, look again, take the moment, REFRESH, commit
//! remember (pure)      -> ViewMemory what the next pass has to know
//! ```

pub mod choose;
pub mod due;
pub mod execute;
pub mod graph;
pub mod pass;
pub mod plan;
pub mod read;
pub mod remember;

//! The vocabulary: plain data without I/O, clocks or decisions. Everything else speaks in these words.

pub mod advice;
pub mod by_oid;
pub mod finding;
pub mod id;
pub mod judgement;
pub mod observation;
pub mod plan;
pub mod refresh;
pub mod remedy;
pub mod schedule;
pub mod snapshot;
pub mod status;
pub mod unit;

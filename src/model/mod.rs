//! The vocabulary: plain data without I/O, clocks or decisions. Everything else speaks in these words.

pub mod activity;
pub mod advice;
pub mod by_oid;
pub mod catalog;
pub mod column;
pub mod column_statistics;
pub mod finding;
pub mod fold;
pub mod history;
pub mod id;
pub mod judgement;
pub mod kept_plan;
pub mod observation;
pub mod plan;
pub mod provider;
pub mod refresh;
pub mod relation;
pub mod remedy;
pub mod replication;
pub mod schedule;
pub mod schema;
pub mod selector;
pub mod session;
pub mod snapshot;
pub mod status;
pub mod unit;

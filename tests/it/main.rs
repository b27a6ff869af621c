//! Tests on real servers. Everything is one binary, so that it links once.

mod advice;
mod advise;
mod advise_sql;
mod advising;
mod command_line;
mod connecting;
mod daemon;
mod dashboard;
mod gate;
mod harness;
mod invariants;
mod plan_file;
mod planning;
mod queries;
mod refresh_troubles;
mod refreshers;
mod refreshing;
mod reports;
mod scenarios;
mod summaries;
mod windows;

//! The dashboard's pages. A page is a struct made from model data by a pure `build`: it is both what the template
//! shows and what the API answers, so that the dashboard never knows more than the API.

pub mod activity;
pub mod busy;
pub mod cache;
pub mod changes;
pub mod checkpoints;
pub mod cluster;
pub mod columns;
pub mod coverage;
pub mod database_load;
pub mod error;
pub mod evidence;
pub(crate) mod filters;
pub mod finding;
pub mod finding_chart;
pub mod findings;
pub mod frame;
pub mod graph;
pub mod history_chart;
pub mod incidents;
pub mod index;
pub mod indexes;
pub mod late;
pub mod listing;
pub mod load;
pub mod manual;
pub mod overview;
mod plans;
pub mod present;
pub mod range;
pub mod refresh;
pub mod refreshes;
pub mod relations;
pub mod row;
pub mod rules;
pub mod run_chart;
pub mod sentence;
pub mod server;
mod server_sentence;
pub mod servers;
pub mod settings;
pub mod spark;
pub mod sql_text;
pub mod statement;
pub mod statement_plans;
pub mod statements;
pub mod status;
pub mod table;
pub mod tables;
pub mod tabs;
pub mod wait_chart;
pub mod waits;

#[cfg(test)]
pub(crate) mod sample;

//! The dashboard's pages. A page is a struct made from model data by a pure `build`: it is both what the template
//! shows and what the API answers, so that the dashboard never knows more than the API.

pub mod activity;
pub mod coverage;
pub mod error;
pub mod evidence;
pub(crate) mod filters;
pub mod finding;
pub mod findings;
pub mod frame;
pub mod graph;
pub mod history_chart;
pub mod manual;
pub mod overview;
mod plans;
pub mod present;
pub mod refresh;
pub mod refreshes;
pub mod row;
pub mod rules;
pub mod run_chart;
pub mod sentence;
pub mod spark;
pub mod sql_text;
pub mod statements;
pub mod status;

#[cfg(test)]
pub(crate) mod sample;

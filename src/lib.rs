//! # pgadvisor: collect, observe, judge, record
//!
//! One turn, readable from top to bottom (`engine::Watch::turn`):
//!
//! ```text
//! tick
//!   v
//! collect  (postgres)  -> Snapshot     what one look at one server saw, and what it could not see (gaps)
//! observe  (pure)      -> Observation  differences over known windows; facts that several rules share
//! judge    (pure)      -> Judgement    claims; for each rule: evaluated, or not and why
//! record   (store)     -> events       reconciled by fingerprint: opened, still, resolved, reopened
//!   v
//! signals              -> web          the page is told that there is something new
//! ```
//!
//! What the planner says of missing indexes takes longer than a turn may. `engine::advising` works it out meanwhile, one
//! database after the other, and what is there when a turn comes by is part of its observation.
//!
//! Materialized views are refreshed in a pass of the same shape, beside the turns: look, plan, execute, remember
//! ([`refresh`]); `engine::scheduling` starts one whenever something is due, `pgadvisor refresh` once. What is known of
//! refreshes is part of the next turn's observation.
//!
//! No arrow runs back. Web and command line only read the store; what people do is handed in as a *command*, which the
//! engine carries out, so that findings have one writer.
//!
//! | room | what |
//! |---|---|
//! | [`model`] | the vocabulary, pure data |
//! | [`sql`] | the facade over PostgreSQL's parser |
//! | [`postgres`] | the only door to watched servers: connection settings, TLS, guarded sessions, query variants |
//! | [`collect`] | one look; one file a family of `queries/*.sql` |
//! | [`observe`] | windows: comparable looks and what ends them |
//! | [`rules`] | one file a rule: its thresholds are its fields, its manual is its doc comment |
//! | [`judge`] | runs the rules, bounds and orders what comes out |
//! | [`index_advisor`] | the set of indexes that a workload is cheapest with, and what could be a materialized view; its gate decides which statements may be planned |
//! | [`explained`] | a plan that the user ran, read and judged |
//! | [`refresh`] | materialized views: what they read, when they are due, how each is refreshed |
//! | [`store`] | SQLite in one file; the questions it answers are its methods |
//! | [`engine`] | one task a server: the turn, back-off, the cost budget |
//! | [`configuration`] | what users write; every error at once, with line and column |
//! | [`report`] | text, JSON, NDJSON, Markdown, SQL for standard output |
//! | [`web`] | pages, API, events, metrics; on loopback |
//! | [`cli`] | one file a command |
//! | [`demo`] | a disposable server with a living workload |
//! | [`limits`] | every bound, timeout and cadence |
//!
//! Only the Refresh session of [`postgres`] writes on a watched server, and only what a `[[refresh]]` names.
//!
//! What is absent on purpose: rules and observations know no clock but the observation's and do no I/O; a number that
//! could not be read is a gap, never zero; a cumulative counter and a difference have different types; text from a
//! server has no way into SQL of ours but as a bound parameter or a quoted [`postgres::Identifier`]. A test checks the
//! arrows (`tests/it/invariants.rs`).

#![warn(clippy::large_futures)]

pub mod cli;
pub mod collect;
pub mod configuration;
pub mod demo;
pub mod engine;
pub mod explained;
pub mod index_advisor;
pub mod judge;
pub mod limits;
pub mod model;
pub mod observe;
pub mod postgres;
pub mod refresh;
pub mod report;
pub mod rules;
pub mod sql;
pub mod store;
pub mod web;

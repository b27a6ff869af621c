//! What the page of a server is made from.

use std::collections::BTreeMap;

use super::busy::BusyStatement;
use super::cluster::Cluster;
use super::range::Range;
use super::status_facts::ServerGap;
use crate::model::activity::ActivityNow;
use crate::model::database_load::DatabaseLoad;
use crate::model::finding::Finding;
use crate::model::observation::BlockReads;
use crate::model::server_change::ServerChange;
use crate::model::server_point::ServerPoint;
use crate::model::snapshot::{Checkpoints, Setting};
use crate::model::status::LoadPoint;

/// What the page is made from.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The server.
    pub name: String,
    /// The servers of its cluster; it is among them.
    pub cluster: Cluster,
    /// The range that is told.
    pub range: Range,
    /// The load from before the range on, oldest first; empty where that is kept no more, and told by that of its databases.
    pub load: Vec<LoadPoint>,
    /// What else was seen of it as a whole over the range, oldest first.
    pub over_time: Vec<ServerPoint>,
    /// The load over the range by database.
    pub database_load: DatabaseLoad,
    /// What happened to it and changes what its numbers mean.
    pub changes: Vec<ServerChange>,
    /// Statements that took most time over the range, costliest first.
    pub statements: Vec<BusyStatement>,
    /// The costliest open findings.
    pub findings: Vec<Finding>,
    /// Open findings at all.
    pub open: usize,
    /// What could not be read.
    pub unread: Vec<ServerGap>,
    /// What goes on, where that is known.
    pub activity: Option<ActivityNow>,
    /// Settings by name; empty where they are not known.
    pub settings: BTreeMap<String, Setting>,
    /// Its checkpoints, where they are known.
    pub checkpoints: Option<Checkpoints>,
    /// How databases found their blocks, where that is known.
    pub block_reads: Vec<BlockReads>,
    /// Findings about how it is configured.
    pub config_findings: Vec<Finding>,
}

//! What one look and its judgement leave behind, in one transaction: readers see all of it or nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::Store;
use super::columns::record_columns;
use super::error::StoreError;
use super::history::{forget_databases_but, record_relations, record_statements, record_waits};
use super::plans::record_plans;
use super::record::record;
use super::server_facts::record_server_facts;
use super::status::{record_activity, record_gaps, record_ignored, record_load, record_look, record_server};
use super::usage::{IndexKey, IndexUsage, save_index_usage};
use crate::model::activity::ActivityNow;
use crate::model::column::KnownColumns;
use crate::model::finding::Event;
use crate::model::history::{RelationsMinute, StatementMinute, WaitMinute};
use crate::model::judgement::Judgement;
use crate::model::kept_plan::KeptPlan;
use crate::model::observation::BlockReads;
use crate::model::snapshot::{Checkpoints, Setting};
use crate::model::status::{Gap, LoadPoint, Look, ServerStatus};

/// One turn of one server.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// The server, as it is after this look.
    pub status: &'a ServerStatus,
    /// What was judged.
    pub judgement: &'a Judgement,
    /// What each part of the look cost.
    pub looks: &'a [Look],
    /// What could not be seen.
    pub gaps: &'a [Gap],
    /// How busy the server was.
    pub load: &'a LoadPoint,
    /// What statements did since the look before; none where the two cannot be compared.
    pub minute: Option<&'a StatementMinute>,
    /// What happened to tables and indexes, of each database whose names were read.
    pub relations: &'a [RelationsMinute],
    /// What the samples saw since the look before; none where none was taken.
    pub waits: Option<&'a WaitMinute>,
    /// What goes on just now; none where that could not be read.
    pub activity: Option<&'a ActivityNow>,
    /// What the planner answered about statements since the turn before.
    pub plans: &'a [KeptPlan],
    /// Settings by name; empty where they could not be read.
    pub settings: &'a BTreeMap<String, Setting>,
    /// Its checkpoints.
    pub checkpoints: Option<&'a Checkpoints>,
    /// How databases found their blocks.
    pub block_reads: &'a [BlockReads],
    /// What is known of columns, of each database whose names were read.
    pub columns: &'a [KnownColumns],
    /// Indexes whose use must be written down.
    pub changed: &'a [IndexUsage],
    /// Indexes that are gone.
    pub gone: &'a [IndexKey],
}

impl Store {
    /// Writes down one turn; gives the events that it made, in order.
    ///
    /// # Errors
    /// If the store fails; then nothing of it is written.
    pub fn record_turn(&self, now: DateTime<Utc>, turn: &Turn<'_>) -> Result<Vec<Event>, StoreError> {
        let server = &turn.status.name;
        self.write(|tx| {
            save_index_usage(tx, server, turn.changed, turn.gone)?;
            let events = record(tx, server, now, turn.judgement)?;
            record_gaps(tx, server, turn.gaps)?;
            record_ignored(tx, server, &turn.judgement.ignored)?;
            for look in turn.looks {
                record_look(tx, look)?;
            }
            if let Some(minute) = turn.minute {
                record_statements(tx, &self.inner.numbers, server, now, minute)?;
            }
            if !turn.relations.is_empty() {
                forget_databases_but(tx, server, &turn.status.databases)?;
            }
            for minute in turn.relations {
                record_relations(tx, &self.inner.numbers, server, now, minute)?;
            }
            if let Some(minute) = turn.waits {
                record_waits(tx, &self.inner.numbers, server, now, minute)?;
            }
            record_plans(tx, server, now, turn.plans)?;
            record_activity(tx, server, turn.activity)?;
            record_server_facts(tx, server, turn.settings, turn.checkpoints, turn.block_reads)?;
            record_columns(tx, server, &turn.status.databases, turn.columns)?;
            record_load(tx, server, turn.load)?;
            record_server(tx, turn.status)?;
            Ok(events)
        })
    }
}

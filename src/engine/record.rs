//! What one turn leaves behind, and what it is in the store.

use chrono::Utc;

use crate::model::activity::ActivityNow;
use crate::model::column::KnownColumns;
use crate::model::finding::Event;
use crate::model::history::{RelationsMinute, StatementMinute, WaitMinute};
use crate::model::incident::Sightings;
use crate::model::judgement::Judgement;
use crate::model::kept_plan::KeptPlan;
use crate::model::observation::BlockReads;
use crate::model::own_planning::{KnownOwnScans, PlannedText};
use crate::model::server_change::Landmarks;
use crate::model::server_point::ServerPoint;
use crate::model::snapshot::Snapshot;
use crate::model::status::{EarlierLoad, LoadPoint, Look, ServerStatus};
use crate::observe::usage::{IndexName, Usage};
use crate::store::{IndexKey, IndexUsage, Store, StoreError, Turn};

/// What one turn leaves behind.
#[allow(missing_docs)]
pub struct Record {
    pub looks: Vec<Look>,
    pub judgement: Judgement,
    pub status: ServerStatus,
    pub load: LoadPoint,
    pub earlier_load: Vec<EarlierLoad>,
    pub server_point: ServerPoint,
    pub minute: Option<StatementMinute>,
    pub relations: Vec<RelationsMinute>,
    pub waits: Option<WaitMinute>,
    pub activity: Option<ActivityNow>,
    pub incidents: Vec<Sightings>,
    pub plans: Vec<KeptPlan>,
    pub columns: Vec<KnownColumns>,
    pub block_reads: Vec<BlockReads>,
    pub usage: Vec<(IndexName, Usage)>,
    pub gone: Vec<IndexName>,
    pub own_scans: Option<Vec<KnownOwnScans>>,
    pub planned_texts: Option<Vec<PlannedText>>,
    pub snapshot: Snapshot,
}

impl Record {
    /// Writes it down; gives the events that it made, in order.
    ///
    /// # Errors
    /// If the store fails; then nothing of it is written.
    pub fn write(&self, store: &Store) -> Result<Vec<Event>, StoreError> {
        let turn = Turn {
            status: &self.status,
            judgement: &self.judgement,
            looks: &self.looks,
            gaps: &self.snapshot.gaps,
            load: &self.load,
            earlier_load: &self.earlier_load,
            server_point: &self.server_point,
            minute: self.minute.as_ref(),
            relations: &self.relations,
            waits: self.waits.as_ref(),
            activity: self.activity.as_ref(),
            incidents: &self.incidents,
            plans: &self.plans,
            settings: &self.snapshot.server.settings,
            checkpoints: self.snapshot.server.checkpoints.as_ref(),
            landmarks: &Landmarks::of(&self.snapshot),
            block_reads: &self.block_reads,
            columns: &self.columns,
            changed: &rows(&self.usage),
            gone: &keys(&self.gone),
            own_scans: self.own_scans.as_deref(),
            planned_texts: self.planned_texts.as_deref(),
        };
        store.record_turn(Utc::now(), &turn)
    }
}

/// Indexes that are gone, as the store names them.
pub fn keys(gone: &[IndexName]) -> Vec<IndexKey> {
    gone.iter().map(key).collect()
}

/// How indexes were used, as the store keeps it.
pub fn rows(changed: &[(IndexName, Usage)]) -> Vec<IndexUsage> {
    let now = Utc::now();
    let row = |(name, usage): &(IndexName, Usage)| IndexUsage {
        key: key(name),
        oid: usage.oid,
        scans: usage.scans,
        first_seen_at: usage.first_seen_at,
        last_moved_at: usage.last_moved_at,
        checked_at: now,
    };
    changed.iter().map(row).collect()
}

/// How an index was used, as it is observed.
pub fn remembered(usage: IndexUsage) -> (IndexName, Usage) {
    let name = IndexName {
        database: usage.key.database,
        schema: usage.key.schema,
        name: usage.key.name,
    };
    let known = Usage {
        oid: usage.oid,
        scans: usage.scans,
        first_seen_at: usage.first_seen_at,
        last_moved_at: usage.last_moved_at,
    };
    (name, known)
}

fn key(name: &IndexName) -> IndexKey {
    IndexKey {
        database: name.database.clone(),
        schema: name.schema.clone(),
        name: name.name.clone(),
    }
}

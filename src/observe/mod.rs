//! From looks to observations: differences between comparable looks, each family with its own window, and the facts
//! that several rules share. Pure: it knows no server and no clock but the one in the snapshot.

pub mod activity;
mod blocks;
mod replication;
mod sequences;
mod statements;
mod table_activity;
mod tables;
mod transaction_ids;
pub mod usage;
mod writes;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::limits;
use crate::model::advice::Rehearsals;
use crate::model::history::StatementMinute;
use crate::model::observation::{
    DatabaseObservation, IndexObservation, MaterializedViewObservation, Observation, TableObservation,
    Unknown,
};
use crate::model::snapshot::{DatabaseSnapshot, MaterializedViewFacts, ServerFacts, Snapshot, Work};
use blocks::Blocks;
use replication::IdleSlots;
use sequences::Sequences;
use statements::StatementLook;
use table_activity::TableActivities;
use transaction_ids::TransactionIds;
use usage::Usages;
use writes::Writes;

/// What is remembered of one server between looks.
#[derive(Default)]
pub struct Observer {
    clocks: Option<Clocks>,
    /// The start of the window that is judged, the starts of those that follow it, and the last look.
    looks: VecDeque<Arc<StatementLook>>,
    transaction_ids: TransactionIds,
    /// How indexes were used, over restarts of either side.
    pub usages: Usages,
    writes: Writes,
    table_activities: TableActivities,
    sequences: Sequences,
    blocks: Blocks,
    idle_slots: IdleSlots,
    leading_wildcards: HashSet<String>,
    /// Every window of statements is a whole one, however short: somebody asked for the second look.
    pub any_window: bool,
    /// Average sessions executing between the last two looks, where they are comparable.
    pub load_sessions: Option<f64>,
    /// What statements did between the last two looks, where they are comparable.
    pub statement_minute: Option<StatementMinute>,
}

/// What must agree for two looks to be comparable at all.
#[derive(Clone, Debug)]
struct Clocks {
    at: DateTime<Utc>,
    taken_at: DateTime<Utc>,
    system_identifier: Option<String>,
    is_standby: bool,
}

/// Clocks may drift apart by this much between two looks before one of them is said to have jumped.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(10);

impl Clocks {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            at: snapshot.at,
            taken_at: snapshot.taken_at,
            system_identifier: snapshot.server.system_identifier.clone(),
            is_standby: snapshot.server.is_standby,
        }
    }

    /// The same server with clocks that went on evenly. A failover or a jump ends every window.
    fn leads_to(&self, now: &Self) -> bool {
        let servers = now.at - self.at;
        let ours = now.taken_at - self.taken_at;
        let tolerance = CLOCK_TOLERANCE.max(ours / 10);
        self.system_identifier == now.system_identifier
            && self.is_standby == now.is_standby
            && servers > TimeDelta::zero()
            && ours > TimeDelta::zero()
            && (servers - ours).abs() <= tolerance
    }
}

impl Observer {
    /// Takes one look in, and tells what is known with it. `single_look` is `check`: nothing can have lasted.
    pub fn observe(&mut self, snapshot: &Snapshot, single_look: bool) -> Observation {
        let clocks = Clocks::of(snapshot);
        if self
            .clocks
            .as_ref()
            .is_some_and(|before| !before.leads_to(&clocks))
        {
            self.looks.clear();
            self.transaction_ids = TransactionIds::default();
            self.writes = Writes::default();
            self.table_activities = TableActivities::default();
            self.sequences = Sequences::default();
            self.blocks = Blocks::default();
            self.idle_slots = IdleSlots::default();
            self.usages.distrust_clock();
        }
        self.clocks = Some(clocks);
        let there: Vec<&str> = snapshot
            .server
            .databases
            .iter()
            .map(|database| database.name.as_str())
            .collect();
        self.usages.forget_databases_but(&there);
        self.writes.forget_databases_but(&there);
        self.table_activities.forget_databases_but(&there);
        self.sequences.forget_databases_but(&there);
        self.remember_wildcards(snapshot);
        let unread = |fact: &str| Unknown::because(format!("{fact} could not be read"));
        let replication = snapshot.replication.clone();
        let replication = replication.map(|seen| self.idle_slots.observe(seen, snapshot.at));
        let statements = self.observe_statements(snapshot, single_look);
        let databases = snapshot
            .databases
            .iter()
            .map(|database| self.database(snapshot, database))
            .collect();
        self.usages.looked_at(snapshot.at);
        Observation {
            now: snapshot.at,
            server: snapshot.server.clone(),
            transaction_ids_per_second: self
                .transaction_ids
                .per_second(snapshot.at, snapshot.server.next_transaction_id),
            statements,
            statement_entries: snapshot.statements.as_ref().map(|read| read.entries.len()),
            sessions: snapshot.sessions.clone().ok_or_else(|| unread("sessions")),
            leading_wildcards: self.leading_wildcards.clone(),
            prepared_transactions: snapshot
                .prepared_transactions
                .clone()
                .ok_or_else(|| unread("prepared transactions")),
            replication: replication.ok_or_else(|| unread("replication")),
            block_reads: self.blocks.observe(snapshot, self.any_window),
            // whoever watches them, and whoever measures it, puts it in
            standbys_watched: 0,
            own_cost: None,
            databases,
            gaps: snapshot.gaps.clone(),
            single_look,
        }
    }

    /// Patterns that begin with a wildcard are seen only while a statement runs: what was seen once is known from then on.
    fn remember_wildcards(&mut self, snapshot: &Snapshot) {
        for session in snapshot.sessions.iter().flatten() {
            if let Some(statement) = &session.statement
                && session.has_leading_wildcard
                && self.leading_wildcards.len() < limits::WILDCARDS_REMEMBERED
            {
                self.leading_wildcards.insert(statement.statement_id.clone());
            }
        }
    }

    fn database(&mut self, snapshot: &Snapshot, database: &DatabaseSnapshot) -> DatabaseObservation {
        let counters_since = counters_since(&snapshot.server, &database.name);
        self.usages.forget_gone(&database.name, &database.catalog);
        let autovacuum = tables::Autovacuum::of(&snapshot.server);
        self.writes.observe(&database.name, &database.tables, snapshot.at);
        let mut facts_of_tables = database.catalog.tables.finder();
        let tables = database
            .tables
            .iter()
            .filter_map(|table| {
                let facts = facts_of_tables.find(table.oid)?;
                Some(TableObservation {
                    oid: table.oid,
                    live_rows: table.live_rows,
                    dead_rows: table.dead_rows,
                    written_per_second: self.writes.per_second(&database.name, table, snapshot.at),
                    vacuum_threshold_rows: autovacuum.threshold_rows(facts),
                    last_vacuum_at: table.last_vacuum_at,
                    rows_were_counted: table.rows_were_counted,
                    being_vacuumed: Work::is_on(&database.progress.vacuuming, table.oid, &database.catalog),
                })
            })
            .collect();
        let unread = |fact: &str| Unknown::because(format!("{fact} could not be read in this database"));
        let table_activity = database.table_activity.as_ref().map(|look| {
            self.table_activities.observe(
                &database.name,
                look,
                counters_since,
                &database.catalog,
                &autovacuum,
                self.any_window,
            )
        });
        let schema = database
            .schema
            .as_ref()
            .map(|facts| self.sequences.observe(&database.name, facts, snapshot.at));
        let mut facts_of_indexes = database.catalog.indexes.finder();
        let indexes = database
            .indexes
            .iter()
            .filter_map(|index| {
                let facts = facts_of_indexes.find(index.oid)?;
                let idle_since =
                    self.usages
                        .observe(&database.name, facts, index, counters_since, snapshot.at);
                Some(IndexObservation {
                    oid: index.oid,
                    scans: index.scans,
                    idle_since,
                    no_scan_counted_since: counters_since.filter(|_| index.scans == 0),
                    table_is_being_indexed: Work::is_on(
                        &database.progress.building,
                        facts.table_oid,
                        &database.catalog,
                    ),
                })
            })
            .collect();
        DatabaseObservation {
            name: database.name.clone(),
            counters_since,
            catalog: database.catalog.clone(),
            tables,
            table_activity: table_activity.ok_or_else(|| unread("how tables were read and written")),
            schema: schema.ok_or_else(|| unread("foreign keys, constraints and sequences")),
            indexes,
            // a look does not plan: whoever does puts it in
            rehearsals: Rehearsals::NotTried,
            materialized_views: materialized_views(database),
            advice: Err(Unknown::because(
                "the planner was not asked which indexes are missing",
            )),
        }
    }
}

/// Materialized views as they were read; who refreshes them adds what it knows.
fn materialized_views(database: &DatabaseSnapshot) -> Result<Vec<MaterializedViewObservation>, Unknown> {
    let views = database.materialized_views.as_ref();
    let views = views.ok_or_else(|| Unknown::because("materialized views could not be read"))?;
    let observed = |facts: &MaterializedViewFacts| MaterializedViewObservation {
        facts: facts.clone(),
        refreshing: None,
    };
    Ok(views.iter().map(observed).collect())
}

/// Since when the counters of a database's relations count, if that is known: the latest of its own reset and those that
/// only a crash (or a reset of all) shows.
fn counters_since(server: &ServerFacts, database: &str) -> Option<DateTime<Utc>> {
    let own = server
        .databases
        .iter()
        .find(|facts| facts.name == database)?
        .statistics_reset_at;
    own.max(server.shared_statistics_reset_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(at: i64, taken_at: i64) -> Clocks {
        let time = |seconds| DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap();
        Clocks {
            at: time(at),
            taken_at: time(taken_at),
            system_identifier: Some("1".into()),
            is_standby: false,
        }
    }

    #[test]
    fn only_even_clocks_are_comparable() {
        assert!(clocks(0, 0).leads_to(&clocks(60, 61)));
        assert!(
            !clocks(0, 0).leads_to(&clocks(0, 60)),
            "the server's clock stood still"
        );
        assert!(
            !clocks(0, 0).leads_to(&clocks(3660, 60)),
            "the server's clock jumped forward"
        );
        assert!(
            !clocks(0, 0).leads_to(&clocks(60, 3660)),
            "our clock jumped forward"
        );
        assert!(!clocks(0, 0).leads_to(&clocks(60, -3)), "our clock jumped back");
        let other = Clocks {
            system_identifier: Some("2".into()),
            ..clocks(60, 60)
        };
        assert!(
            !clocks(0, 0).leads_to(&other),
            "another server answers at this address"
        );
        assert!(
            !clocks(0, 0).leads_to(&Clocks {
                is_standby: true,
                ..clocks(60, 60)
            }),
            "a failover"
        );
    }
}

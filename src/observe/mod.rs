//! From looks to observations: differences between comparable looks, each family with its own window, and the facts
//! that several rules share. Pure: it knows no server and no clock but the one in the snapshot.

pub mod activity;
mod blocks;
mod clocks;
pub mod columns;
mod existence;
mod forest;
pub mod incidents;
pub mod own_scans;
mod partitions;
pub mod query_ids;
mod relation_now;
mod relations;
mod replication;
mod resets;
mod sequences;
pub mod server_points;
mod statements;
mod table_activity;
mod tables;
#[cfg(test)]
mod testing;
mod times;
mod transaction_ids;
pub mod usage;
pub mod waits;
mod writes;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::limits;
use crate::model::advice::Rehearsals;
use crate::model::column_statistics::{ColumnStatistics, FACT};
use crate::model::history::{RelationsMinute, StatementMinute};
use crate::model::index_days::OverDays;
use crate::model::observation::{
    DatabaseObservation, IndexObservation, MaterializedViewObservation, Observation, TableObservation,
    Unknown,
};
use crate::model::replication::WatchedStandbys;
use crate::model::snapshot::{DatabaseSnapshot, MaterializedViewFacts, ServerFacts, Snapshot, Work};
use crate::model::status::EarlierLoad;
use blocks::Blocks;
use clocks::{Break, Clocks};
use existence::Existence;
use own_scans::OwnUse;
use query_ids::QueryIds;
use relations::Relations;
use replication::IdleSlots;
use resets::{Resets, Since};
use sequences::Sequences;
use statements::StatementLook;
use table_activity::{Counted, TableActivities};
use transaction_ids::TransactionIds;
use usage::{Following, IdleSince, Usages};
use waits::WaitParts;
use writes::Writes;

/// What is remembered of one server between looks.
#[derive(Default)]
pub struct Observer {
    clocks: Option<Clocks>,
    /// It was a standby when it was last seen, before this observer began.
    pub was_standby: bool,
    /// The start of the window that is judged, the starts of those that follow it, and the last look.
    looks: VecDeque<Arc<StatementLook>>,
    transaction_ids: TransactionIds,
    /// How indexes were used, over restarts of either side.
    pub usages: Usages,
    /// Since when its primary left indexes alone, where the look that comes is the first since this standby was promoted; whoever
    /// watches both puts it in before that is taken in.
    pub idle_on_former_primary: Option<IdleSince>,
    /// Scans of indexes that planning counted; whoever plans adds them before a look is taken in.
    pub own_use: OwnUse,
    writes: Writes,
    table_activities: TableActivities,
    sequences: Sequences,
    blocks: Blocks,
    resets: Resets,
    existence: Existence,
    idle_slots: IdleSlots,
    leading_wildcards: HashSet<String>,
    /// What was sampled; whoever samples adds it before a look is taken in.
    pub waits: WaitParts,
    /// The look before cannot be compared with the last one; who keeps counters beside this observer takes it.
    pub was_broken: bool,
    /// Every window of statements is a whole one, however short: somebody asked for the second look.
    pub any_window: bool,
    /// Average sessions executing between the last two looks, but for those that only slept, where they are comparable.
    pub load_sessions: Option<f64>,
    /// What ended between them and was executing before, which is no part of that.
    pub earlier_load: Vec<EarlierLoad>,
    /// Seconds that the server executed statements of ours between the last two looks, as it counts them itself.
    pub own_seconds: Option<f64>,
    /// What statements did between the last two looks, where they are comparable.
    pub statement_minute: Option<StatementMinute>,
    relations: Relations,
    /// What happened to tables and indexes, of each database whose names the last look read.
    pub relation_minutes: Vec<RelationsMinute>,
}

impl Observer {
    /// What was told of tables and indexes could not be written down: it is told again.
    pub fn tell_relations_again(&mut self) {
        self.relations.tell_again();
    }

    /// Takes off a look what planning by the advisor counted. Before anything else is done with it, and once.
    pub fn leave_out_own_scans(&mut self, snapshot: &mut Snapshot) {
        if self.is_another_server(&Clocks::of(snapshot)) {
            self.own_use.forget();
        }
        // what is taken off depends on what was reset; taking the same look in again changes nothing
        self.resets.observe(snapshot.at, &snapshot.server.databases);
        self.own_use.leave_out(snapshot, &self.usages, &self.resets);
    }

    /// Whether what answers counted on its own until now: clocks may jump, and a standby be promoted, while it goes on counting.
    fn is_another_server(&self, now: &Clocks) -> bool {
        match self.broken_by(now) {
            None | Some(Break::Restart | Break::Promotion) => false,
            Some(Break::Failover) => true,
            Some(Break::Clock) => self
                .clocks
                .as_ref()
                .is_some_and(|before| before.system_identifier != now.system_identifier),
        }
    }

    /// Takes one look in, and tells what is known with it. `single_look` is `check`: nothing can have lasted.
    pub fn observe(&mut self, snapshot: &Snapshot, single_look: bool) -> Observation {
        self.compare_clocks(Clocks::of(snapshot));
        self.resets.observe(snapshot.at, &snapshot.server.databases);
        self.existence.observe(snapshot.at, &snapshot.server.databases);
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
        self.relations.forget_databases_but(&there);
        self.remember_wildcards(snapshot);
        let unread = |fact: &str| Unknown::because(format!("{fact} could not be read"));
        let replication = snapshot.replication.clone();
        let replication = replication.map(|seen| self.idle_slots.observe(seen, snapshot.at));
        let statements = self.observe_statements(snapshot, single_look);
        let databases: Vec<DatabaseObservation> = snapshot
            .databases
            .iter()
            .map(|database| self.database(snapshot, database))
            .collect();
        if !single_look {
            let both = snapshot.databases.iter().zip(&databases);
            let happened = both.filter_map(|(seen, observed)| {
                let since = self.resets.most_since(&snapshot.server, &seen.name);
                self.relations.observe(seen, observed, since)
            });
            self.relation_minutes = happened.collect();
        }
        self.usages.looked_at(snapshot.at);
        let query_ids = QueryIds::of(snapshot.statements.as_ref(), snapshot.sessions.as_deref());
        self.waits.name(&query_ids);
        Observation {
            now: snapshot.at,
            server: snapshot.server.clone(),
            transaction_ids_per_second: self
                .transaction_ids
                .per_second(snapshot.at, snapshot.server.next_transaction_id),
            statements,
            statement_entries: snapshot.statements.as_ref().map(|read| read.entries.len()),
            told_as_rare: Vec::new(),
            autovacuum_untold: BTreeSet::new(),
            told_as_held_back: Default::default(),
            sessions: snapshot.sessions.clone().ok_or_else(|| unread("sessions")),
            waits: self.waits.observe(snapshot.at),
            leading_wildcards: self.leading_wildcards.clone(),
            prepared_transactions: snapshot
                .prepared_transactions
                .clone()
                .ok_or_else(|| unread("prepared transactions")),
            replication: replication.ok_or_else(|| unread("replication")),
            primary_since: None,
            block_reads: self.blocks.observe(snapshot, self.any_window),
            // whoever watches them, and whoever measures it, puts it in
            standbys_watched: WatchedStandbys::default(),
            primary: None,
            own_cost: None,
            databases,
            gaps: snapshot.gaps.clone(),
            single_look,
        }
    }

    /// Ends what does not go on from the look before.
    fn compare_clocks(&mut self, clocks: Clocks) {
        let (broken_by, now) = (self.broken_by(&clocks), clocks.at);
        self.clocks = Some(clocks);
        let there = self.idle_on_former_primary.take();
        let Some(broken_by) = broken_by else { return };
        self.was_broken = true;
        self.looks.clear();
        self.transaction_ids = TransactionIds::default();
        self.writes = Writes::default();
        self.table_activities = TableActivities::default();
        self.sequences = Sequences::default();
        self.blocks = Blocks::default();
        self.resets = Resets::default();
        self.existence.forget_times();
        self.idle_slots = IdleSlots::default();
        self.relations.end_windows();
        self.waits = WaitParts::default();
        let following = match (broken_by, there) {
            (Break::Promotion, Some(there)) => {
                self.usages.join(&there, now);
                Following::Same
            }
            // what the primary used until now was not seen
            (Break::Clock | Break::Promotion, _) => Following::Unknown,
            (Break::Failover, _) => Following::Another,
            (Break::Restart, _) => Following::Same,
        };
        self.usages.go_on(following);
    }

    /// What ended every window since the look before.
    fn broken_by(&self, clocks: &Clocks) -> Option<Break> {
        match &self.clocks {
            Some(before) => before.broken_by(clocks),
            None => (self.was_standby && !clocks.is_standby).then_some(Break::Promotion),
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
        let since = Since {
            all: counters_since(&snapshot.server, &database.name),
            most: self.resets.most_since(&snapshot.server, &database.name),
        };
        // totals of a server that was promoted may be those of a standby, which others than its sessions of today used
        let was_promoted = snapshot.server.timeline.is_some_and(|timeline| timeline > 1);
        self.usages.note_promotion(was_promoted);
        self.usages.enter(&database.name);
        self.usages.forget_gone(&database.name, &database.catalog);
        let watched_since = self.usages.watched_since(&database.name);
        let counters_since = self
            .existence
            .counters_since(&snapshot.server, database, watched_since);
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
                Counted {
                    since: since.of_totals(),
                    windows_begin: windows_begin(&snapshot.server, since.most),
                },
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
                let idle_since = self
                    .usages
                    .observe(&database.name, facts, index, since, snapshot.at);
                let appeared_at = self.usages.appeared_at(&database.name, index.oid);
                Some(IndexObservation {
                    oid: index.oid,
                    scans: index.scans,
                    scans_on_standbys: Some(0),
                    used_on_standbys_at: None,
                    idle_since,
                    last_scan_of_promoted_at: index.last_scan_at.filter(|_| was_promoted),
                    no_scan_counted_since: counters_since
                        .filter(|_| index.scans == 0 && !was_promoted)
                        .map(|since| counted_since(since, appeared_at)),
                    appeared_at,
                    table_is_being_indexed: Work::is_on(
                        &database.progress.building,
                        facts.table_oid,
                        &database.catalog,
                    ),
                })
            })
            .collect();
        DatabaseObservation {
            // whoever knows the settings says otherwise
            missing_indexes_untold: BTreeSet::new(),
            key_overflows_untold: BTreeSet::new(),
            unused_after: None,
            name: database.name.clone(),
            counters_since,
            watched_since,
            catalog: database.catalog.clone(),
            tables,
            table_activity: table_activity.ok_or_else(|| unread("how tables were read and written")),
            schema: schema.ok_or_else(|| unread("foreign keys, constraints and sequences")),
            column_statistics: column_statistics(snapshot, database),
            indexes,
            use_over_days: OverDays::Unknown,
            // a look does not plan: whoever does puts it in
            rehearsals: Rehearsals::NotTried,
            materialized_views: materialized_views(database),
            advice: Err(Unknown::because(
                "the planner was not asked which indexes are missing",
            )),
        }
    }
}

/// Since when an index is counted: what it did before it was there nobody has counted.
fn counted_since(counters_since: DateTime<Utc>, appeared_at: Option<DateTime<Utc>>) -> DateTime<Utc> {
    appeared_at.map_or(counters_since, |appeared_at| counters_since.max(appeared_at))
}

/// Column statistics as they were read, or why they were not.
fn column_statistics(
    snapshot: &Snapshot,
    database: &DatabaseSnapshot,
) -> Result<Arc<ColumnStatistics>, Unknown> {
    if let Some(read) = &database.column_statistics {
        return Ok(read.clone());
    }
    let mut gaps = snapshot.gaps.iter();
    let gap = gaps.find(|gap| gap.fact == FACT && gap.database.as_ref() == Some(&database.name));
    Err(Unknown {
        reason: gap.map_or_else(
            || format!("{FACT} were not read"),
            |gap| format!("{FACT} cannot be read: {}", gap.why),
        ),
        remedy_sql: gap.and_then(|gap| gap.remedy_sql.clone()),
    })
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

/// Before when no counter of a database's relations began, if that is known: the later of its own reset and the last crash. The
/// database itself may be younger.
fn counters_since(server: &ServerFacts, database: &str) -> Option<DateTime<Utc>> {
    let own = server
        .databases
        .iter()
        .find(|facts| facts.name == database)?
        .statistics_reset_at;
    own.max(server.relations_counted_since)
}

/// The last moment at which they may have begun again: what ends a window, for that it is better to end one too many.
fn windows_begin(server: &ServerFacts, most_since: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    most_since.max(server.shared_statistics_reset_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::{Catalog, IndexFacts};
    use crate::model::snapshot::{DatabaseFacts, IndexCounters};

    /// Minutes for which an index of a standby is idle at its first look as a primary, ten minutes after that as a standby.
    fn idle_after_promotion(idle_on_former_primary: Option<IdleSince>) -> i64 {
        let facts = IndexFacts {
            oid: 9,
            ..IndexFacts::default()
        };
        let catalog = Arc::new(Catalog::new(Vec::new().into(), vec![facts].into()));
        let mut observer = Observer::default();
        let mut idle = |minute: i64, is_standby: bool, there: Option<IdleSince>| {
            let facts = DatabaseFacts {
                name: "d".into(),
                ..DatabaseFacts::default()
            };
            let mut snapshot = testing::with_database(minutes(minute), facts);
            snapshot.server.is_standby = is_standby;
            snapshot.databases = vec![DatabaseSnapshot {
                name: "d".into(),
                catalog: catalog.clone(),
                indexes: vec![IndexCounters {
                    oid: 9,
                    scans: 0,
                    last_scan_at: None,
                }],
                ..DatabaseSnapshot::default()
            }];
            observer.idle_on_former_primary = there;
            let observed = observer.observe(&snapshot, true);
            let since = observed.databases[0].indexes[0].idle_since.unwrap();
            (snapshot.at - since).num_minutes()
        };
        assert_eq!(idle(0, true, None), 0);
        let after = idle(10, false, idle_on_former_primary);
        assert_eq!(idle(20, false, None), after + 10, "and it goes on");
        after
    }

    fn minutes(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + minute * 60, 0).unwrap()
    }

    #[test]
    fn the_window_of_an_index_goes_on_over_a_promotion_where_the_primary_was_watched() {
        let since = |minute: i64| IdleSince::from([("d".to_owned(), [(9, minutes(minute))].into())]);
        assert_eq!(idle_after_promotion(Some(since(4))), 6, "the primary used it");
        assert_eq!(idle_after_promotion(Some(since(-90))), 10);
        assert_eq!(
            idle_after_promotion(Some(IdleSince::default())),
            0,
            "not known there"
        );
        assert_eq!(idle_after_promotion(None), 0, "it was not watched");
    }

    #[test]
    fn an_index_is_counted_since_it_is_there() {
        let at = |hour: i64| DateTime::from_timestamp(1_790_000_000 + hour * 3600, 0).unwrap();
        assert_eq!(counted_since(at(0), None), at(0));
        assert_eq!(counted_since(at(0), Some(at(5))), at(5), "built since then");
        assert_eq!(counted_since(at(9), Some(at(5))), at(9), "reset since then");
    }

    #[test]
    fn a_reset_of_what_all_share_ends_windows_and_only_a_crash_or_a_reset_of_the_database_begins_totals() {
        let at = |hour: i64| DateTime::from_timestamp(1_790_000_000 + hour * 3600, 0);
        let began = |own: Option<i64>, crash: Option<i64>, shared: i64| {
            let server = ServerFacts {
                shared_statistics_reset_at: at(shared),
                relations_counted_since: crash.and_then(at),
                databases: vec![DatabaseFacts {
                    name: "d".into(),
                    statistics_reset_at: own.and_then(at),
                    ..DatabaseFacts::default()
                }],
                ..ServerFacts::default()
            };
            let since = counters_since(&server, "d");
            assert_eq!(counters_since(&server, "gone"), None);
            (since, windows_begin(&server, since))
        };
        assert_eq!(began(None, Some(0), 0), (at(0), at(0)));
        assert_eq!(
            began(None, Some(0), 9),
            (at(0), at(9)),
            "somebody reset the shared ones"
        );
        assert_eq!(began(Some(5), Some(0), 9), (at(5), at(9)));
        assert_eq!(began(Some(5), Some(7), 7), (at(7), at(7)), "a crash after it");
        assert_eq!(
            began(None, None, 9),
            (None, at(9)),
            "what would tell was reset, too"
        );
    }
}

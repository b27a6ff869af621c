//! Recorded observations for the tests of rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::sampled::SampledStatements;
use super::{Found, Place, Rule, RuleKind, Scope};
use crate::limits;
use crate::model::advice::{
    AdviceReport, Advised, AdvisedActivity, AdvisedIndex, AdvisedStatement, StatementStatus, WorkloadTotals,
};
use crate::model::catalog::{Catalog, IndexFacts, TableFacts};
use crate::model::finding::{Claim, Severity, Window};
use crate::model::history::WaitKey;
use crate::model::index_days::OverDays;
use crate::model::observation::{
    DatabaseObservation, IndexObservation, MaterializedViewObservation, Observation, Refreshing,
    SchemaObservation, StatementActivity, StatementDelta, TableActivity, TableDelta, Unknown, Waits,
};
use crate::model::refresh::{MaterializedView, Outcome, Promise, Run, ViewName, ViewStatus};
use crate::model::replication::{Replication, WatchedStandbys};
use crate::model::schema::Schema;
use crate::model::session::Session;
use crate::model::snapshot::{MaterializedViewFacts, ServerFacts, Setting};

/// The moment of every recorded observation.
pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

/// Statements over ten minutes, beside others that took so many seconds.
pub fn observation(statements: Vec<StatementDelta>, others_seconds: f64) -> Observation {
    let own: f64 = statements.iter().map(|statement| statement.seconds).sum();
    let activity = StatementActivity {
        schema: "public".into(),
        window: Some(Window {
            from: now() - TimeDelta::minutes(10),
            to: now(),
        }),
        total_seconds: own + others_seconds,
        statements,
        ..StatementActivity::default()
    };
    Observation {
        now: now(),
        server: ServerFacts {
            name: "main".into(),
            version_num: 170_000,
            sees_all_sessions: true,
            ..ServerFacts::default()
        },
        transaction_ids_per_second: None,
        statements: Ok(activity),
        statement_entries: None,
        told_as_rare: vec![],
        autovacuum_untold: BTreeSet::new(),
        told_as_held_back: Default::default(),
        sessions: Ok(vec![]),
        waits: Err(Unknown::because("needs samples")),
        leading_wildcards: Default::default(),
        prepared_transactions: Ok(vec![]),
        replication: Ok(Replication::default()),
        primary_since: None,
        block_reads: vec![],
        standbys_watched: WatchedStandbys::default(),
        primary: None,
        own_cost: None,
        databases: vec![],
        gaps: vec![],
        single_look: false,
    }
}

/// One statement with so many calls of so many milliseconds.
pub fn statement(text: &str, calls: i64, mean_ms: f64) -> StatementDelta {
    StatementDelta {
        database: "app".into(),
        text: Arc::new(crate::sql::identify(text)),
        queryid: 1,
        roles: vec![],
        calls,
        seconds: mean_ms / 1000.0 * calls as f64,
        earlier_seconds: 0.0,
        seen_seconds: 0.0,
        stddev_seconds: 0.0,
        max_seconds: None,
        planning_seconds: 0.0,
        rows: calls,
        shared_blocks_hit: 0,
        shared_blocks_read: 0,
        temp_blocks_written: 0,
    }
}

/// A database with one table `public.t` (OID 1) and these indexes, all idle for as many days as their size in GiB says.
pub fn database(indexes: Vec<IndexFacts>) -> Observation {
    let mut observed = observation(vec![], 0.0);
    observed.statements = Err(Unknown::because("not recorded"));
    let table = TableFacts {
        oid: 1,
        schema: "public".into(),
        name: "t".into(),
        kind: 'r',
        ..TableFacts::default()
    };
    let observations = indexes.iter().map(|index| IndexObservation {
        oid: index.oid,
        scans: 0,
        scans_on_standbys: Some(0),
        used_on_standbys_at: None,
        idle_since: None,
        last_scan_of_promoted_at: None,
        no_scan_counted_since: None,
        appeared_at: None,
        table_is_being_indexed: Some(false),
    });
    observed.databases = vec![DatabaseObservation {
        missing_indexes_untold: BTreeSet::new(),
        key_overflows_untold: BTreeSet::new(),
        unused_after: None,
        name: "app".into(),
        counters_since: Some(now() - TimeDelta::days(40)),
        watched_since: Some(now() - TimeDelta::days(40)),
        indexes: observations.collect(),
        use_over_days: OverDays::Unknown,
        tables: vec![],
        table_activity: Ok(vec![]),
        schema: Ok(SchemaObservation::default()),
        column_statistics: Err(Unknown::because("not recorded")),
        catalog: Arc::new(Catalog::new(vec![table].into(), indexes.into())),
        advice: Err(Unknown::because("not recorded")),
        rehearsals: crate::model::advice::Rehearsals::NotTried,
        materialized_views: Ok(Vec::new()),
    }];
    observed
}

/// A valid index on `public.t`.
pub fn index(oid: u32, name: &str) -> IndexFacts {
    IndexFacts {
        oid,
        table_oid: 1,
        schema: "public".into(),
        name: name.into(),
        is_valid: true,
        is_ready: true,
        is_immediate: true,
        shape: format!("shape {name}").into(),
        definition: Some(format!("CREATE INDEX {name} ON public.t USING btree (a)").into()),
        ..IndexFacts::default()
    }
}

/// A database with these tables, whose OIDs are given, and nothing else known.
pub fn tables(tables: Vec<TableFacts>) -> Observation {
    let mut observed = database(vec![]);
    observed.databases[0].catalog = Arc::new(Catalog::new(tables.into(), Vec::new().into()));
    observed
}

/// The ordinary table `public.name` of so many rows and bytes.
pub fn table(oid: u32, name: &str, rows: f64, size_bytes: f64) -> TableFacts {
    TableFacts {
        oid,
        schema: "public".into(),
        name: name.into(),
        kind: 'r',
        rows,
        size_bytes,
        ..TableFacts::default()
    }
}

/// What happened to a table in the last hour: change what matters.
pub fn last_hour(oid: u32, change: impl FnOnce(&mut TableDelta)) -> TableActivity {
    let mut delta = TableDelta {
        window: Window {
            from: now() - TimeDelta::hours(1),
            to: now(),
        },
        sequential_scans: 0,
        sequential_rows_read: 0,
        inserted: 0,
        updated: 0,
        hot_updated: 0,
        deleted: 0,
        new_page_updated: None,
    };
    change(&mut delta);
    TableActivity {
        oid,
        over: Some(delta),
        ..TableActivity::default()
    }
}

/// Puts the design of the first database in.
pub fn set_schema(observed: &mut Observation, facts: Schema) {
    observed.databases[0].schema = Ok(SchemaObservation {
        facts: Arc::new(facts),
        ..SchemaObservation::default()
    });
}

/// A client's session in the database `app`, in this state for so many seconds; change what matters.
pub fn session(pid: i32, state: &str, seconds: i64, change: impl FnOnce(&mut Session)) -> Session {
    let since = Some(now() - TimeDelta::seconds(seconds));
    let mut session = Session {
        pid,
        backend_type: "client backend".into(),
        role: Some("app".into()),
        database: Some("app".into()),
        application: "shop".into(),
        state: Some(state.into()),
        transaction_started_at: since,
        query_started_at: since,
        state_changed_at: since,
        statement: Some(Arc::new(crate::sql::identify("SELECT 1 FROM a"))),
        command: "SELECT".into(),
        ..Session::default()
    };
    change(&mut session);
    session
}

/// So many samples over half an hour, in which so many sessions were seen by their event, all of them executing one
/// statement for one role and application.
pub fn waits(samples: u64, seen: &[(&str, u64)]) -> Waits {
    let key = |event: &str| WaitKey {
        database: "app".into(),
        event: event.into(),
        statement_id: crate::sql::identify("SELECT 1 FROM a").statement_id,
        role: "app".into(),
        application: "shop".into(),
        query_id: None,
    };
    Waits {
        window: Window {
            from: now() - TimeDelta::minutes(30),
            to: now(),
        },
        samples,
        sampled_seconds: 1800.0,
        hidden_sessions: 0,
        seen: seen
            .iter()
            .map(|(event, sessions)| (key(event), *sessions))
            .collect(),
        seen_lately: seen
            .iter()
            .map(|(event, sessions)| ((*event).to_owned(), *sessions))
            .collect(),
        samples_lately: samples,
    }
}

/// A setting.
pub fn set(observed: &mut Observation, name: &str, value: &str) {
    observed.server.settings.insert(
        name.into(),
        Setting {
            value: value.into(),
            ..Setting::default()
        },
    );
}

/// What a rule with its default thresholds finds.
pub fn found<R: Rule>(observed: &Observation) -> Result<Found, Unknown> {
    let kind = RuleKind::of::<R>();
    let database = (R::SCOPE == Scope::Database).then(|| &observed.databases[0]);
    (kind.judge)(
        &(kind.defaults)(),
        &Place {
            observation: observed,
            database,
            sampled: &SampledStatements::of(observed),
            claims_at_most: limits::FINDINGS_PER_RULE,
        },
    )
}

/// What it claims.
pub fn claims<R: Rule>(observed: &Observation) -> Result<Vec<Claim>, Unknown> {
    found::<R>(observed).map(|found| found.claims)
}

/// How severe it is.
pub fn severities<R: Rule>(observed: &Observation) -> Vec<Severity> {
    claims::<R>(observed)
        .unwrap()
        .iter()
        .map(|claim| claim.severity)
        .collect()
}

/// The materialized view `public.v` of the first database, as refreshing knows it: every ten minutes, read just now.
pub fn refreshed_view(change: impl FnOnce(&mut Refreshing)) -> Observation {
    let name = ViewName {
        database: "app".into(),
        schema: "public".into(),
        name: "v".into(),
    };
    let mut refreshing = Refreshing {
        status: ViewStatus {
            view: name.clone(),
            exists: true,
            is_populated: true,
            schedule: Some("every 10 min".into()),
            max_age_seconds: None,
            interval_seconds: Some(600.0),
            fresh_as_of: Some(now()),
            refreshed_at: None,
            refreshed_by_others: false,
            next_due_at: None,
            waits_for: None,
            how: "plain".into(),
            can_refresh: true,
            is_paused: false,
            depends_on: Vec::new(),
            tables: Vec::new(),
            never_unchanged: Vec::new(),
            size_bytes: None,
            unique_index: None,
            has_readers: Some(true),
            read_at: Some(now()),
            readers_watched_since: Some(now() - TimeDelta::days(100)),
            promise: Promise::NeverOverlapping,
            why_no_record: None,
        },
        runs: Vec::new(),
        seconds_last_week: 0.0,
        held_up_seconds_last_day: 0.0,
    };
    change(&mut refreshing);
    let mut observed = database(vec![]);
    let view = MaterializedView {
        oid: 7,
        name,
        is_populated: true,
        ..MaterializedView::default()
    };
    observed.databases[0].materialized_views = Ok(vec![MaterializedViewObservation {
        facts: MaterializedViewFacts {
            view,
            unique_columns: None,
        },
        refreshing: Some(refreshing),
    }]);
    observed
}

/// A refresh of `public.v` that ended just now.
pub fn run(outcome: Outcome, seconds: f64) -> Run {
    Run {
        elapsed_seconds: Some(seconds),
        ..Run::of(&ViewName::default(), outcome, "due", now())
    }
}

/// An index on `public.t (a)` that is advised.
pub fn advised_index(definition: &str) -> AdvisedIndex {
    AdvisedIndex {
        definition: definition.to_owned(),
        name: "t_a_idx".to_owned(),
        apply_sql: vec![definition.to_owned()],
        undo_sql: vec!["DROP INDEX CONCURRENTLY public.t_a_idx".to_owned()],
        schema: "public".to_owned(),
        table: "t".to_owned(),
        partition_of: None,
        method: "btree".to_owned(),
        columns: vec!["a".to_owned()],
        include: Vec::new(),
        predicate: None,
        expressions: Vec::new(),
        size_bytes: Some(8192.0),
        build_seconds: None,
        assumed_build_seconds: None,
        write_cost_per_day: None,
        cost_before: Some(100.0),
        cost_after: Some(10.0),
        statements: vec!["s1".to_owned()],
        confidence: super::measured("asked"),
        supersedes: Vec::new(),
        supersedes_unproven: None,
        supersedes_made_again: Vec::new(),
    }
}

/// A statement that costs 100, and so much by a plan with these indexes; none where it could not be planned.
pub fn advised_statement(id: &str, uses: &[&str], after: Option<f64>) -> AdvisedStatement {
    AdvisedStatement {
        statement_id: id.to_owned(),
        name: None,
        text: format!("SELECT {id}"),
        weight: 1.0,
        cost_before: after.map(|_| 100.0),
        cost_after: after,
        uses: uses.iter().map(|used| (*used).to_owned()).collect(),
        status: match after {
            Some(_) => StatementStatus::Improved,
            None => StatementStatus::NotPlanned,
        },
        reason: Some("the login may not read it".to_owned()),
        plan_before: Vec::new(),
        values: Vec::new(),
        may_have_later_page: false,
        plan_after: Vec::new(),
    }
}

/// Advice for statements that each took a second of a hundred.
pub fn advised(indexes: &[&str], statements: Vec<AdvisedStatement>) -> Advised {
    let did = |one: &AdvisedStatement| {
        let did = AdvisedActivity {
            queryid: 7,
            calls: 10,
            seconds: 1.0,
        };
        (one.statement_id.clone(), did)
    };
    Advised {
        summary_views: Vec::new(),
        columns: BTreeMap::new(),
        at: now(),
        window: None,
        total_seconds: 100.0,
        still_filling: None,
        looked_only_since: None,
        unplanned_seconds: statements.iter().filter(|one| one.is_unplanned()).count() as f64,
        activity: statements
            .iter()
            .filter(|one| one.cost_after.is_some())
            .map(did)
            .collect(),
        report: AdviceReport {
            schema_version: 1,
            database: "app".to_owned(),
            indexes: indexes
                .iter()
                .map(|definition| advised_index(definition))
                .collect(),
            workload: WorkloadTotals::default(),
            statements,
            notes: Vec::new(),
        },
        writes_are_counted: false,
        rehearsals: BTreeMap::new(),
        unfinished_since: None,
        every: None,
        earlier: BTreeMap::new(),
    }
}

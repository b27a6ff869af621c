//! Recorded observations for the tests of rules.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Found, Place, Rule, RuleKind, Scope};
use crate::model::finding::{Claim, Severity, Window};
use crate::model::observation::{
    DatabaseObservation, IndexObservation, MaterializedViewObservation, Observation, Refreshing,
    SchemaObservation, StatementActivity, StatementDelta, TableActivity, TableDelta, Unknown,
};
use crate::model::refresh::{MaterializedView, Outcome, Promise, Run, ViewName, ViewStatus};
use crate::model::replication::Replication;
use crate::model::schema::Schema;
use crate::model::session::Session;
use crate::model::snapshot::{Catalog, IndexFacts, MaterializedViewFacts, ServerFacts, Setting, TableFacts};

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
        sessions: Ok(vec![]),
        leading_wildcards: Default::default(),
        prepared_transactions: Ok(vec![]),
        replication: Ok(Replication::default()),
        block_reads: vec![],
        standbys_watched: 0,
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
        stddev_seconds: 0.0,
        max_seconds: 0.0,
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
        idle_since: None,
        no_scan_counted_since: None,
        table_is_being_indexed: Some(false),
    });
    observed.databases = vec![DatabaseObservation {
        name: "app".into(),
        counters_since: Some(now() - TimeDelta::days(40)),
        indexes: observations.collect(),
        tables: vec![],
        table_activity: Ok(vec![]),
        schema: Ok(SchemaObservation::default()),
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
        shape: format!("shape {name}"),
        definition: Some(format!("CREATE INDEX {name} ON public.t USING btree (a)")),
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

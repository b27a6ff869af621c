//! What 90 days of history take and how fast they are shown: `cargo bench --bench history` (twenty minutes), or with
//! fewer days: `cargo bench --bench history -- 10`.
//!
//! One server with 10 000 statements, 1 000 tables and 3 000 indexes in four databases, of which a tenth does something in
//! each minute: eight of a hundred always do, the rest take turns. The store is filled by its own methods, as the daemon
//! does it: older days with one record an hour, the last four with one a minute (tables and indexes each ten minutes, as
//! often as names are read), 1 000 findings, a roll-up each hour. Of
//! the days with minutes the first two fill what is kept minute by minute; what the file grows by in the other two is its
//! growth. Then pages and API over HTTP on loopback, as `history/answers.rs` tells.

#[path = "history/answers.rs"]
mod answers;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use pgadvisor::configuration::Configuration;
use pgadvisor::engine::{Signals, rule_schemas};
use pgadvisor::model::activity::ActivityNow;
use pgadvisor::model::finding::{
    Claim, Confidence, ConfidenceLevel, Evidence, Impact, Object, ObjectKind, Remedy, Severity, Who,
};
use pgadvisor::model::history::{
    IndexCounts, RelationPoint, RelationsMinute, StatementCounts, StatementMinute, StatementPoint,
    TableCounts, WaitCounts, WaitKey, WaitMinute,
};
use pgadvisor::model::judgement::{Judgement, RuleOutcome, Verdict};
use pgadvisor::model::relation::{IndexNow, TableNow};
use pgadvisor::model::server_point::ServerPoint;
use pgadvisor::model::snapshot::{StatementKind, StatementText};
use pgadvisor::model::status::{LoadPoint, ServerStatus};
use pgadvisor::model::unit::Period;
use pgadvisor::rules::{self, Scope};
use pgadvisor::store::{Store, Turn};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const STATEMENTS: u64 = 10_000;
const TABLES: u64 = 1_000;
const INDEXES: u64 = 3_000;
const FINDINGS: usize = 1_000;
const DAYS: i64 = 90;
/// Minutes from one reading of names to the next, without a configuration.
const NAMES_EVERY: u64 = 10;
/// The last days, which are written minute by minute.
const DAYS_OF_MINUTES: i64 = 4;
const RETENTION: Period = Period::days(90);

/// The first has seven tenths of everything, the others one each.
const DATABASES: [&str; 4] = ["app", "crm", "billing", "search"];

fn database(number: u64) -> &'static str {
    DATABASES[(number % 10).saturating_sub(6) as usize]
}

/// A number that looks like chance, and is the same in every run (SplitMix64).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Some time in which something is done.
#[derive(Clone, Copy)]
struct Slot {
    number: u64,
    minutes: u64,
}

impl Slot {
    /// How many minutes of it the thing of that number is at work: eight of a hundred in all, the others in one of 46, so
    /// that a tenth of all is in each minute.
    fn minutes_of(self, thing: u64) -> u64 {
        if thing % 100 < 8 {
            return self.minutes;
        }
        let chance = mixed(self.number.wrapping_mul(1_000_003) ^ mixed(thing));
        // of several minutes each was at work in at least one
        let at_work = 1.0 - (45.0_f64 / 46.0).powi(self.minutes as i32);
        u64::from((chance % 1_000_000) < (at_work * 1e6) as u64) * self.minutes.div_ceil(46)
    }
}

fn statement_text(number: u64) -> Arc<StatementText> {
    // of most only the beginning is kept
    let more = "x".repeat(if number.is_multiple_of(10) { 1_500 } else { 380 });
    Arc::new(StatementText {
        statement_id: format!("{:016x}", mixed(number)),
        text: format!("SELECT * FROM t{number} WHERE id = $1 AND kind = $2 /* {more} */"),
        kind: StatementKind::Query,
        only_sleeps: false,
    })
}

fn counts(number: u64, minutes: u64) -> StatementCounts {
    let calls = (1 + 60_000 / (mixed(number) % 10_000 + 1)) * minutes;
    StatementCounts {
        calls,
        microseconds: calls * (50 + mixed(number ^ 1) % 20_000),
        rows: calls * (mixed(number ^ 2) % 20),
        shared_blocks_hit: calls * (4 + mixed(number ^ 3) % 100),
        shared_blocks_read: calls / 20,
        temp_blocks_written: if number.is_multiple_of(200) { calls } else { 0 },
    }
}

/// What a turn writes down of what was done.
struct Work {
    statements: StatementMinute,
    relations: Vec<RelationsMinute>,
    waits: WaitMinute,
}

/// A table with what it did, and how it is then.
fn table(slot: Slot, number: u64, minutes: u64) -> (RelationPoint<TableCounts>, TableNow) {
    let (schema, name) = ("public".to_owned(), format!("t{number}"));
    let counts = TableCounts {
        sequential_scans: minutes,
        index_scans: 40 * minutes,
        inserted: 12 * minutes,
        updated: 9 * minutes,
        hot_updated: 5 * minutes,
        deleted: minutes,
        bytes: 8_192 * (100 + number + slot.number % 10_000),
        live_rows: 1_000 * number + slot.number % 10_000,
        dead_rows: mixed(slot.number) % 1_000,
    };
    let now = TableNow {
        schema: schema.clone(),
        name: name.clone(),
        kind: 'r',
        bytes: counts.bytes,
        index_bytes: counts.bytes / 2,
        live_rows: counts.live_rows,
        dead_rows: counts.dead_rows,
        vacuum_threshold_rows: 50 + counts.live_rows / 5,
        ..TableNow::default()
    };
    (RelationPoint { schema, name, counts }, now)
}

/// The same of an index.
fn index(slot: Slot, number: u64, minutes: u64) -> (RelationPoint<IndexCounts>, IndexNow) {
    let table = format!("t{}", number / 3);
    let (schema, name) = ("public".to_owned(), format!("{table}_{}", number % 3));
    let counts = IndexCounts {
        scans: 40 * minutes,
        bytes: 8_192 * (30 + number + slot.number % 10_000 / 10),
    };
    let now = IndexNow {
        schema: schema.clone(),
        name: name.clone(),
        definition: Some(format!(
            "CREATE INDEX {name} ON public.{table} USING btree (parent_id, created_at)"
        )),
        table,
        bytes: counts.bytes,
        is_valid: true,
        ..IndexNow::default()
    };
    (RelationPoint { schema, name, counts }, now)
}

fn relations(slot: Slot, name: &str) -> RelationsMinute {
    let at_work = |all: u64, family: u64| {
        let ours = (0..all).filter(move |number| database(*number) == name);
        let minutes = move |number: u64| (number, slot.minutes_of(number ^ family));
        ours.map(minutes).filter(|(_, minutes)| *minutes > 0)
    };
    let tables = at_work(TABLES, 1 << 32).map(|(number, minutes)| table(slot, number, minutes));
    let indexes = at_work(INDEXES, 1 << 33).map(|(number, minutes)| index(slot, number, minutes));
    let (tables, tables_now) = tables.unzip();
    let (indexes, indexes_now) = indexes.unzip();
    RelationsMinute {
        database: name.to_owned(),
        seconds: slot.minutes as f64 * 60.0,
        tables,
        indexes,
        tables_now,
        indexes_now,
        ..RelationsMinute::default()
    }
}

/// Of all databases, in a look that read their names.
fn all_relations(slot: Slot) -> Vec<RelationsMinute> {
    let since_names = match slot.minutes {
        1 if !slot.number.is_multiple_of(NAMES_EVERY) => return Vec::new(),
        1 => Slot {
            minutes: NAMES_EVERY,
            ..slot
        },
        _ => slot,
    };
    DATABASES
        .iter()
        .map(|name| relations(since_names, name))
        .collect()
}

fn waits(slot: Slot, texts: &[Arc<StatementText>]) -> WaitMinute {
    let events = [
        "CPU",
        "IO: DataFileRead",
        "Lock: transactionid",
        "LWLock: WALWrite",
    ];
    let point = |number: u64| {
        let statement = mixed(slot.number ^ number) % 60;
        let key = WaitKey {
            database: database(statement).to_owned(),
            event: events[(number % 4) as usize].to_owned(),
            statement_id: texts[statement as usize].statement_id.clone(),
            role: "app".to_owned(),
            application: ["shop", "worker"][(number % 2) as usize].to_owned(),
            query_id: None,
        };
        let sessions = slot.minutes * (1 + number % 5);
        (key, WaitCounts { sessions })
    };
    let mut points: Vec<(WaitKey, WaitCounts)> = (0..20).map(point).collect();
    points.sort_by(|(a, _), (b, _)| a.cmp(b));
    points.dedup_by(|(a, _), (b, _)| a == b);
    WaitMinute {
        seconds: slot.minutes as f64 * 60.0,
        samples: slot.minutes * 6,
        points,
    }
}

fn work(slot: Slot, texts: &[Arc<StatementText>]) -> Work {
    let point = |number: u64| {
        let minutes = slot.minutes_of(number);
        (minutes > 0).then(|| StatementPoint {
            database: database(number).into(),
            text: texts[number as usize].clone(),
            counts: counts(number, minutes),
        })
    };
    Work {
        statements: StatementMinute {
            seconds: slot.minutes as f64 * 60.0,
            points: (0..STATEMENTS).filter_map(point).collect(),
        },
        relations: all_relations(slot),
        waits: waits(slot, texts),
    }
}

/// A problem of one of the rules that judge databases; a tenth of them tell other numbers at each turn.
fn claim(number: usize, turn: u64) -> Claim {
    let of_databases: Vec<_> = rules::all()
        .iter()
        .filter(|rule| rule.scope == Scope::Database)
        .collect();
    let rule = of_databases[number % of_databases.len()];
    let name = format!("t{number}");
    let changing = if number % 10 == (turn % 10) as usize {
        turn
    } else {
        0
    };
    let mut evidence = Evidence::new();
    for (name, value) in [
        ("size_bytes", json!(8_192 * number)),
        ("rows", json!(number * 100)),
        ("calls", json!(changing)),
        (
            "definition",
            json!(format!(
                "CREATE INDEX i{number} ON public.{name} USING btree (parent_id, created_at)"
            )),
        ),
    ] {
        evidence.insert(name.to_owned(), value);
    }
    Claim {
        rule: rule.id.to_owned(),
        severity: [
            Severity::Info,
            Severity::Info,
            Severity::Warning,
            Severity::Critical,
        ][number % 4],
        server: "main".to_owned(),
        database: Some(database(number as u64).to_owned()),
        object: Some(Object {
            kind: ObjectKind::Table,
            schema: Some("public".to_owned()),
            name: name.clone(),
            table: None,
        }),
        subject: vec!["public".to_owned(), name.clone()],
        who: Who::default(),
        hold: None,
        clear: None,
        title: format!("public.{name} has a problem that is told in a line of usual length"),
        explanation: "A paragraph that says what, why that is bad, and what to do about it, in some words. "
            .repeat(4),
        evidence,
        evidence_window: None,
        evidence_sql: Some(format!(
            "SELECT * FROM pg_stat_user_tables WHERE relname = '{name}'"
        )),
        impact: Impact {
            bytes: Some(8_192.0 * number as f64),
            ..Impact::default()
        },
        confidence: Confidence {
            level: ConfidenceLevel::Measured,
            reason: "read from the server".to_owned(),
        },
        remedy: Remedy {
            apply_sql: vec![format!("VACUUM (ANALYZE) public.{name}")],
            ..Remedy::default()
        },
        guards: vec!["the table is not small".to_owned()],
    }
}

/// What all rules said of all databases. Without claims nothing was judged, and findings stay as they are.
fn judgement(turn: u64, with_claims: bool) -> Judgement {
    let unbroken_within = Period::minutes(10);
    if !with_claims {
        return Judgement {
            unbroken_within,
            ..Judgement::default()
        };
    }
    let outcome = |rule: &rules::RuleKind, database: Option<&str>| RuleOutcome {
        rule: rule.id.to_owned(),
        database: database.map(str::to_owned),
        verdict: Verdict::Evaluated {
            undecided: Vec::new(),
            absence_counts: true,
            untold: None,
        },
        hold: Period::seconds(0),
        clear: Period::minutes(10),
        own: Vec::new(),
    };
    let outcomes = rules::all().iter().flat_map(|rule| match rule.scope {
        Scope::Server => vec![outcome(rule, None)],
        Scope::Database => DATABASES.iter().map(|name| outcome(rule, Some(name))).collect(),
    });
    Judgement {
        claims: (0..FINDINGS).map(|number| claim(number, turn)).collect(),
        outcomes: outcomes.collect(),
        unbroken_within,
        databases: Some(DATABASES.map(str::to_owned).into()),
        ..Judgement::default()
    }
}

fn status(now: DateTime<Utc>) -> ServerStatus {
    ServerStatus {
        name: "main".to_owned(),
        version_num: Some(170_002),
        system_identifier: Some("1".to_owned()),
        is_standby: Some(false),
        databases: DATABASES.map(str::to_owned).into(),
        last_seen_at: Some(now),
        unreachable: None,
        own_seconds_last_hour: 4.0,
        own_cost_ratio: 0.001,
        own_entries_seconds_last_hour: None,
        families: Vec::new(),
        replication: None,
        running: None,
        told_by: None,
        counters_since: Default::default(),
    }
}

/// The store, and what it is filled with.
struct Filling {
    store: Store,
    texts: Vec<Arc<StatementText>>,
}

impl Filling {
    fn record(&self, now: DateTime<Utc>, slot: Slot, with_claims: bool) {
        let done = work(slot, &self.texts);
        let activity = ActivityNow {
            at: now,
            clients: 300,
            ..ActivityNow::default()
        };
        let turn = Turn {
            status: &status(now),
            judgement: &judgement(slot.number, with_claims),
            looks: &[],
            gaps: &[],
            load: &LoadPoint {
                at: now,
                load_sessions: Some(2.5),
            },
            earlier_load: &[],
            server_point: &ServerPoint {
                at: now,
                length_seconds: 60.0,
                ..ServerPoint::default()
            },
            minute: Some(&done.statements),
            relations: &done.relations,
            waits: Some(&done.waits),
            activity: Some(&activity),
            incidents: &[],
            plans: &[],
            settings: &Default::default(),
            checkpoints: None,
            block_reads: &[],
            columns: &[],
            changed: &[],
            gone: &[],
            own_scans: None,
            planned_texts: None,
            landmarks: &Default::default(),
        };
        self.store.record_turn(now, &turn).expect("a turn");
    }

    /// A turn of just now, which makes every answer an old one.
    fn record_now(&self) {
        let now = Utc::now();
        let number = now.timestamp().unsigned_abs();
        self.record(now, Slot { number, minutes: 1 }, true);
    }

    /// Writes one hour that begins at a time; gives the seconds that rolling it up took.
    fn hour(&self, begin: DateTime<Utc>, is_by_minutes: bool) -> f64 {
        let number = begin.timestamp().unsigned_abs() / 60;
        match is_by_minutes {
            true => (1..=60).for_each(|minute| {
                let slot = Slot {
                    number: number + minute,
                    minutes: 1,
                };
                // the last one ends within the hour, too
                let at = begin + TimeDelta::minutes(minute as i64) - TimeDelta::seconds(1);
                self.record(at, slot, true);
            }),
            false => {
                let slot = Slot { number, minutes: 60 };
                self.record(begin + TimeDelta::minutes(59), slot, false);
            }
        }
        let began = Instant::now();
        let next = begin + TimeDelta::minutes(66);
        self.store.roll_up(next).expect("a roll-up");
        began.elapsed().as_secs_f64()
    }

    /// Fills so many days that end at a time, and prints what they take.
    fn days(&self, path: &Path, days: i64, end: DateTime<Utc>) {
        println!("| day | kept by | file | grown by | roll-up of an hour, mean and longest | pruning |");
        println!("|---|---|---|---|---|---|");
        let mut before = 0.0;
        for day in 0..days {
            let begin = end - TimeDelta::days(days - day);
            let is_by_minutes = day >= days - DAYS_OF_MINUTES;
            let hours = (0..24).map(|hour| self.hour(begin + TimeDelta::hours(hour), is_by_minutes));
            let took: Vec<f64> = hours.collect();
            let began = Instant::now();
            self.store
                .prune(begin + TimeDelta::days(1), RETENTION)
                .expect("pruning");
            let pruned = began.elapsed().as_secs_f64();
            let size = megabytes(path);
            if is_by_minutes || day % 10 == 0 {
                println!(
                    "| {} | {} | {size:.1} MB | {:.2} MB | {:.3} s, {:.3} s | {pruned:.2} s |",
                    day + 1,
                    if is_by_minutes { "minutes" } else { "hours" },
                    size - before,
                    took.iter().sum::<f64>() / took.len() as f64,
                    took.iter().copied().fold(0.0, f64::max),
                );
            }
            before = size;
        }
    }
}

/// The file without its log.
fn megabytes(path: &Path) -> f64 {
    std::fs::metadata(path).map_or(0.0, |file| file.len() as f64) / 1e6
}

fn main() {
    // cargo passes options of its own, too
    let asked = std::env::args().find_map(|argument| argument.parse::<i64>().ok());
    let days = asked.unwrap_or(DAYS).max(DAYS_OF_MINUTES);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pgadvisor.db");
    let filling = Filling {
        store: Store::open(&path).expect("a store"),
        texts: (0..STATEMENTS).map(statement_text).collect(),
    };
    // a whole hour, as hours are rolled up
    let now = Utc::now().timestamp();
    let end = DateTime::from_timestamp(now - now % 3_600, 0).expect("a time");
    eprintln!("writing {days} days");
    filling.days(&path, days, end);
    filling.record_now();
    let total = filling
        .store
        .findings(&Default::default())
        .expect("findings")
        .total;
    assert_eq!(total, FINDINGS as u64, "not every finding was opened");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let stop = CancellationToken::new();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let configuration = Configuration::defaults(&rule_schemas());
    let serving = pgadvisor::web::serve(
        listener,
        configuration,
        filling.store.clone(),
        Signals::default(),
        stop.clone(),
    );
    let served = runtime.spawn(serving);
    answers::measured_one_by_one(&filling, address);
    answers::first_after_a_turn(&filling, address);
    stop.cancel();
    runtime
        .block_on(served)
        .expect("the pages")
        .expect("the listener");
}

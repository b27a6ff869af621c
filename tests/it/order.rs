//! One order everywhere: on the front page, in `check`, in the API; and where there is much, the same few.

use pgadvisor::limits;
use pgadvisor::model::finding::{
    Claim, Confidence, ConfidenceLevel, Finding, Impact, Links, Remedy, Severity, State, by_impact,
};
use pgadvisor::model::judgement::{Judgement, RuleOutcome, Verdict};
use pgadvisor::model::unit::Period;
use pgadvisor::report::{self, CheckReport, CheckedServer, Extent, Style, Summary};
use pgadvisor::store::Store;

use crate::daemon::Daemon;
use crate::dashboard::get;

fn claim(rule: &str, name: &str, severity: Severity, impact: Impact) -> Claim {
    Claim {
        rule: rule.to_owned(),
        severity,
        server: "main".to_owned(),
        database: Some("shop".to_owned()),
        object: None,
        subject: vec!["public".to_owned(), name.to_owned()],
        who: Default::default(),
        hold: None,
        clear: None,
        title: format!("About {name}"),
        explanation: "Because.".to_owned(),
        evidence: Default::default(),
        evidence_window: None,
        evidence_sql: None,
        impact,
        confidence: Confidence {
            level: ConfidenceLevel::Measured,
            reason: "it was measured".to_owned(),
        },
        remedy: Remedy::default(),
        guards: Vec::new(),
    }
}

/// Every kind of impact and severity, worst first, ties among them; each after what must stand before it.
fn kinds() -> Vec<Claim> {
    use Severity::{Critical, Info, Warning};
    let impact = |seconds, bytes, days| Impact {
        db_seconds_per_day: seconds,
        bytes,
        days_left: days,
    };
    vec![
        claim(
            "activity.blocking",
            "a",
            Critical,
            impact(Some(600.0), None, None),
        ),
        claim(
            "replication.slot_retention",
            "b",
            Critical,
            impact(None, Some(5e9), Some(2.0)),
        ),
        claim(
            "schema.sequence_exhaustion",
            "c",
            Info,
            impact(None, None, Some(1.5)),
        ),
        claim(
            "vacuum.xid_wraparound",
            "d",
            Warning,
            impact(None, None, Some(13.0)),
        ),
        claim("config.durability_off", "e", Critical, impact(None, None, None)),
        claim("query.slow_mean", "f", Warning, impact(Some(7200.0), None, None)),
        claim("query.time_share", "g", Warning, impact(Some(7200.0), None, None)),
        claim("query.time_share", "h", Warning, impact(Some(7200.0), None, None)),
        claim(
            "vacuum.dead_tuples",
            "i",
            Warning,
            impact(None, Some(900e9), None),
        ),
        claim(
            "schema.int_key_overflow",
            "j",
            Warning,
            impact(None, None, Some(40.0)),
        ),
        claim("schema.no_primary_key", "k", Warning, impact(None, None, None)),
        claim("query.count_all", "l", Info, impact(Some(90_000.0), None, None)),
        claim("schema.no_primary_key", "m", Info, impact(None, None, None)),
    ]
}

fn outcome(rule: &str) -> RuleOutcome {
    RuleOutcome {
        rule: rule.to_owned(),
        database: Some("shop".to_owned()),
        verdict: Verdict::Evaluated {
            undecided: vec![],
            absence_counts: true,
            untold: None,
        },
        hold: Period::default(),
        clear: Period::default(),
        own: Vec::new(),
    }
}

/// A daemon that was told of these, and cannot reach the server any more.
fn daemon_that_knows(claims: &[Claim]) -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    let text = "[web]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"pgadvisor.db\"\n[[servers]]\nname = \"main\"\n\
                dsn = \"host=127.0.0.1 port=1 user=nobody\"\n";
    std::fs::write(folder.path().join("config.toml"), text).unwrap();
    let store = Store::open(&folder.path().join("pgadvisor.db")).unwrap();
    let judgement = Judgement {
        // in no order: the store makes it
        claims: claims.iter().rev().cloned().collect(),
        outcomes: claims.iter().map(|claim| outcome(&claim.rule)).collect(),
        ..Judgement::default()
    };
    store.record("main", chrono::Utc::now(), &judgement).unwrap();
    drop(store);
    Daemon::start_in(folder)
}

/// What `check` tells of these.
fn checked(mut claims: Vec<Claim>) -> CheckReport {
    claims.sort_by(by_impact);
    let now = chrono::Utc::now();
    let finding = |claim: Claim| Finding {
        fingerprint: claim.fingerprint(),
        claim,
        state: State::Open,
        first_seen_at: now,
        last_seen_at: now,
        acknowledged_by: None,
        snoozed_until: None,
        links: Links::default(),
    };
    CheckReport {
        schema_version: 1,
        generated_at: now,
        advisor_version: "1",
        server: CheckedServer {
            name: "main".to_owned(),
            version_num: 170_006,
            system_identifier: None,
            is_standby: false,
            databases: vec!["shop".to_owned()],
        },
        window: None,
        findings: claims.into_iter().map(finding).collect(),
        skipped: Vec::new(),
        ignored: Vec::new(),
        summary: Summary::default(),
    }
}

/// The fingerprints of a list in JSON.
fn listed(items: &serde_json::Value) -> Vec<String> {
    let items = items.as_array().unwrap().iter();
    items
        .map(|item| item["fingerprint"].as_str().unwrap().to_owned())
        .collect()
}

/// Those of them that a text shows, in its order.
fn shown(text: &str, mark: &str, all: &[String]) -> Vec<String> {
    let place = |one: &String| text.find(&format!("{mark}{one}")).map(|at| (at, one.clone()));
    let mut found: Vec<(usize, String)> = all.iter().filter_map(place).collect();
    found.sort();
    found.into_iter().map(|(_, one)| one).collect()
}

#[test]
fn one_order_on_the_front_page_in_check_and_in_the_api() {
    let mut claims = kinds();
    let expected: Vec<String> = claims.iter().map(|one| one.fingerprint().to_string()).collect();
    // many that all cost the same, among the others
    claims.extend((0..40).map(|number| {
        let impact = Impact {
            bytes: Some(1e9),
            ..Impact::default()
        };
        claim("index.unused", &format!("n{number}"), Severity::Warning, impact)
    }));
    let daemon = daemon_that_knows(&claims);
    let report = checked(claims.clone());

    let api = listed(&get(&daemon.address, "/api/v1/findings").json()["items"]);
    assert_eq!(api.len(), claims.len(), "a list in JSON is complete");
    let of_kinds: Vec<String> = api.iter().filter(|one| expected.contains(one)).cloned().collect();
    assert_eq!(of_kinds, expected);
    assert_eq!(listed(&serde_json::to_value(&report).unwrap()["findings"]), api);
    let every = report::text(&report, Extent::Every, Style::Plain);
    assert_eq!(shown(&every, "· ", &api), api);

    let page = get(&daemon.address, "/").body;
    let few = shown(&page, "id=\"f-", &api);
    assert_eq!(few.len(), limits::FINDINGS_SHOWN);
    assert_eq!(few[..5], api[..5], "what is critical is shown before all else");
    assert_eq!(
        shown(&report::text(&report, Extent::Few, Style::Plain), "· ", &api),
        few
    );
    assert_eq!(shown(&report::markdown(&report, Extent::Few), "`", &api), few);
    let in_list: Vec<String> = api.iter().filter(|one| few.contains(one)).cloned().collect();
    assert_eq!(few, in_list, "the few stand as in the list");
    let rest = get(&daemon.address, "/api/v1/overview").json();
    let counts = rest["rest"].as_array().unwrap().iter();
    let folded: u64 = counts.map(|one| one["count"].as_u64().unwrap()).sum();
    assert_eq!(folded as usize + few.len(), claims.len());
}

//! What only a standby runs: its own statements are advised there, with what to run on its primary.

use std::time::Duration;

use serde_json::Value;

use crate::command_line::conforms;
use crate::daemon::Daemon;
use crate::harness::{Cluster, eventually_within, pgadvisor, present};

/// A table of which reports on the standby read a few rows.
const SCHEMA: &str = "CREATE EXTENSION hypopg; CREATE TABLE nopk (a int, b text);
    INSERT INTO nopk SELECT i, repeat('x', 100) FROM generate_series(1, 100000) AS i; ANALYZE nopk";
const REPORT: &str = "SELECT count(b) FROM nopk WHERE a = 17";
/// Another, with an index that one on two columns makes superfluous.
const BILLS: &str = "CREATE TABLE bills (id int, customer int, made_at timestamptz, note text);
    INSERT INTO bills SELECT g, g % 250, timestamptz '2026-01-01' + g * 7919 % 50000 * interval '1 min', repeat('x', 60)
        FROM generate_series(1, 50000) g; CREATE INDEX bills_old ON bills (customer); ANALYZE bills";
const NEWEST: &str = "SELECT * FROM bills WHERE customer = $1 AND made_at > $2";
/// Totals since a reset are a window from a minute on.
const WHILE_IT_FILLS: Duration = Duration::from_secs(180);

/// What is told of missing indexes of a server, in any state.
fn missing(daemon: &Daemon, server: &str) -> Vec<Value> {
    daemon.findings(&format!("?rule=index.missing&server={server}&state=all"))
}

/// The statement that a finding of a standby says is to be run on its primary.
fn to_run(finding: &Value) -> String {
    let caveat = finding["remedy"]["caveats"][0].as_str().unwrap();
    let from = caveat.find("CREATE INDEX").unwrap();
    let until = caveat.find(". To undo").unwrap();
    assert!(caveat[..from].contains("on its primary"), "{caveat}");
    caveat[from..until].to_owned()
}

async fn reports(standby: &Cluster) {
    let session = standby.connect("postgres").await;
    for _ in 0..20 {
        session.batch_execute(REPORT).await.unwrap();
    }
    standby.end(session).await;
}

#[tokio::test]
async fn what_only_a_standby_runs_is_advised_there_and_made_on_its_primary() {
    for version in present(&[15, 18]) {
        let mut primary = Cluster::start(version).await;
        primary.sql("postgres", SCHEMA).await;
        let standby = primary.standby().await;
        for cluster in [&primary, &standby] {
            cluster.sql("postgres", "SELECT pg_stat_statements_reset()").await;
        }
        reports(&standby).await;
        let more = format!(
            "[[servers]]\nname = \"copy\"\ndsn = \"{}\"\npoll_every = \"1 s\"\ncatalog_every = \"1 s\"",
            standby.dsn("postgres", "postgres")
        );
        let daemon = Daemon::start(&primary.dsn("postgres", "postgres"), &more);
        eventually_within(WHILE_IT_FILLS, "the finding of the standby", || async {
            reports(&standby).await;
            !missing(&daemon, "copy").is_empty()
        })
        .await;
        let finding = missing(&daemon, "copy").remove(0);
        conforms("finding.schema.json", &finding);
        assert_eq!(finding["object"]["name"], "nopk", "on {version}");
        assert_eq!(finding["confidence"]["level"], "verified", "on {version}");
        let apply = finding["remedy"]["apply_sql"].as_array().unwrap();
        assert!(apply.is_empty(), "nothing is run on a standby: {apply:?}");
        assert!(missing(&daemon, "main").is_empty(), "its primary does not run it");

        primary.sql("postgres", &to_run(&finding)).await;
        eventually_within(WHILE_IT_FILLS, "it is resolved", || async {
            missing(&daemon, "copy")[0]["state"] == "resolved"
        })
        .await;
    }
}

#[tokio::test]
async fn advise_says_on_a_standby_where_to_run_it() {
    let mut primary = Cluster::start(18).await;
    primary.sql("postgres", SCHEMA).await;
    primary.sql("postgres", BILLS).await;
    let standby = primary.standby().await;
    let advised = |cluster: &Cluster| {
        let output = pgadvisor()
            .args([
                "advise",
                &cluster.dsn("postgres", "postgres"),
                "--statement",
                REPORT,
                "--no-include",
                "--statement",
                NEWEST,
            ])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let told = advised(&standby);
    assert!(
        told.contains("nopk") && told.contains("this is a standby: run on its primary"),
        "{told}"
    );
    let drop = "DROP INDEX CONCURRENTLY public.bills_old";
    assert!(told.contains("ON public.bills") && !told.contains(drop), "{told}");
    let told = advised(&primary);
    assert!(
        !told.contains("this is a standby") && told.contains(drop),
        "{told}"
    );
}

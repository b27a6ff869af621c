//! Index advice while the daemon runs, by the logins that `pgadvisor setup` prints.

use std::time::Duration;

use pgadvisor::index_advisor::advice::{Advice, Wanted, advise};
use pgadvisor::index_advisor::gate::Gate;
use pgadvisor::index_advisor::pace::{Most, Pace, Taken};
use pgadvisor::index_advisor::search_path::SearchPath;
use pgadvisor::index_advisor::workload::{SearchPaths, WorkloadStatement};
use pgadvisor::model::advice::Stopped;
use pgadvisor::postgres::Server;
use pgadvisor::postgres::conninfo::{ConnInfo, Environment};

use crate::command_line::conforms;
use crate::daemon::Daemon;
use crate::dashboard::get;
use crate::harness::{Cluster, eventually_within, pgadvisor, present};

const TABLES: &str = "
    CREATE ROLE app LOGIN;
    CREATE SCHEMA shop AUTHORIZATION app;
    ALTER ROLE app SET search_path = shop;
    CREATE TABLE shop.orders (id int PRIMARY KEY, customer int NOT NULL, note text);
    INSERT INTO shop.orders SELECT n, n % 5000, repeat('x', 100) FROM generate_series(1, 100000) AS n;
    ALTER TABLE shop.orders OWNER TO app;
    ANALYZE";

#[tokio::test]
async fn the_logins_of_setup_find_what_is_missing_and_leave_no_trace() {
    let cluster = Cluster::start(17).await;
    cluster.sql("postgres", TABLES).await;
    let setup = String::from_utf8(pgadvisor().arg("setup").output().unwrap().stdout).unwrap();
    cluster.sql("postgres", &setup).await;
    cluster.sql("postgres", "SELECT pg_stat_statements_reset()").await;
    let app = cluster.try_connect("app", "postgres").await.unwrap();
    for customer in 0..20 {
        let sql = format!("SELECT note FROM orders WHERE customer = {customer}");
        app.batch_execute(&sql).await.unwrap();
        app.batch_execute("SELECT note FROM orders WHERE id = 7")
            .await
            .unwrap();
    }
    cluster.end(app).await;
    let traces = "SELECT idx_scan + (SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%orders%')
                  FROM pg_stat_user_indexes WHERE relname = 'orders'";
    let before = cluster.number("postgres", traces).await;
    assert!(before > 20, "{before}");

    let planner = format!(
        "planner_dsn = \"{}\"",
        cluster.dsn("pgadvisor_planner", "postgres")
    );
    let daemon = Daemon::start(&cluster.dsn("pgadvisor", "postgres"), &planner);
    // totals since a reset are a window from a minute on
    let while_it_fills = Duration::from_secs(150);
    eventually_within(while_it_fills, "the finding", || async {
        daemon.has("index.missing")
    })
    .await;
    let finding = daemon.findings("?rule=index.missing").pop().expect("one finding");
    conforms("finding.schema.json", &finding);
    assert_eq!(finding["object"]["schema"], "shop");
    // all of it was over when the daemon looked first
    assert_eq!(finding["severity"], "info");
    assert_eq!(finding["confidence"]["level"], "verified");
    let apply = finding["remedy"]["apply_sql"][0].as_str().unwrap();
    assert!(
        apply.starts_with("CREATE INDEX CONCURRENTLY orders_customer_idx ON shop.orders"),
        "{apply}"
    );
    let plans = &finding["evidence"]["plans"][0];
    let cost = |side: &str| plans[side][0]["cost"].as_f64().unwrap();
    assert!(cost("before") > 10.0 * cost("after"), "{plans}");
    assert_eq!(
        cluster.number("postgres", traces).await,
        before,
        "looking changed what is looked at"
    );
    cluster.sql("postgres", apply).await;
}

/// Where the page and the JSON of the statement are that reads a view; none as long as it was not seen.
fn address_of_reader(daemon: &Daemon) -> Option<String> {
    let list = "/servers/main/postgres/statements";
    let answer = get(&daemon.address, &format!("/api/v1{list}")).json();
    let reader = answer["statements"].as_array()?.iter().find(|one| {
        let text = one["text"].as_str().unwrap_or_default();
        text.contains("FROM quiet")
    })?;
    Some(format!("{list}/{}", reader["statement_id"].as_str()?))
}

/// The plans of that statement, the newest first.
fn plans_of_reader(daemon: &Daemon) -> Vec<serde_json::Value> {
    let plans = address_of_reader(daemon).and_then(|address| {
        let answer = get(&daemon.address, &format!("/api/v1{address}")).json();
        answer["plans"].as_array().cloned()
    });
    plans.unwrap_or_default()
}

/// Whether the statement, which is called once more, has so many plans.
async fn has_plans(daemon: &Daemon, app: &tokio_postgres::Client, count: usize) -> bool {
    let call = "SELECT id FROM quiet WHERE customer = 17 AND note <> 'swordfish'";
    app.batch_execute(call).await.unwrap();
    plans_of_reader(daemon).len() >= count
}

#[tokio::test]
async fn plans_are_kept_without_constants_and_another_index_is_another_plan() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", TABLES).await;
    let view = "CREATE VIEW shop.quiet AS SELECT id, customer, note FROM shop.orders WHERE note <> 'hunter2';
                GRANT SELECT ON shop.quiet TO app";
    cluster.sql("postgres", view).await;
    let setup = String::from_utf8(pgadvisor().arg("setup").output().unwrap().stdout).unwrap();
    cluster.sql("postgres", &setup).await;
    cluster.sql("postgres", "SELECT pg_stat_statements_reset()").await;
    let planner = format!(
        "planner_dsn = \"{}\"",
        cluster.dsn("pgadvisor_planner", "postgres")
    );
    let daemon = Daemon::start(&cluster.dsn("pgadvisor", "postgres"), &planner);
    let app = cluster.try_connect("app", "postgres").await.unwrap();
    // totals since a reset are a window from a minute on
    let while_it_fills = Duration::from_secs(150);
    eventually_within(while_it_fills, "a plan", || has_plans(&daemon, &app, 1)).await;
    let before = plans_of_reader(&daemon).remove(0);
    let nodes = |plan: &serde_json::Value| plan["nodes"].as_array().unwrap().clone();
    assert!(
        nodes(&before)
            .iter()
            .any(|node| node["kind"] == "Seq Scan" && node["relation"] == "orders"),
        "{before}"
    );
    let index = "CREATE INDEX orders_customer ON shop.orders (customer)";
    cluster.sql("postgres", index).await;
    eventually_within(while_it_fills, "another plan", || has_plans(&daemon, &app, 2)).await;
    let plans = plans_of_reader(&daemon);
    assert!(
        nodes(&plans[0])
            .iter()
            .any(|node| node["index"] == "orders_customer"),
        "{}",
        plans[0]
    );
    let oldest = plans.last().unwrap();
    assert_eq!(oldest["shape"], before["shape"]);
    assert!(plans[0]["cost"].as_f64() < oldest["cost"].as_f64());
    let page = get(&daemon.address, &address_of_reader(&daemon).unwrap()).body;
    for plan in &plans {
        assert!(page.contains(plan["shape"].as_str().unwrap()), "{page}");
    }
    let kept = daemon.store_bytes();
    for literal in ["hunter2", "swordfish"] {
        let is_there = kept
            .windows(literal.len())
            .any(|bytes| bytes == literal.as_bytes());
        assert!(!is_there, "{literal} is in the store");
    }
}

/// `check --wait` while the application works.
async fn checked(cluster: &Cluster, login: &str) -> serde_json::Value {
    let dsn = cluster.dsn(login, "postgres");
    checked_while(cluster, vec![dsn], "SELECT note FROM orders WHERE customer = 7").await
}

/// `check --wait` of a server while the application runs that.
async fn checked_while(cluster: &Cluster, server: Vec<String>, sql: &str) -> serde_json::Value {
    let checking = tokio::task::spawn_blocking(move || {
        pgadvisor()
            .arg("check")
            .args(server)
            .args(["--wait", "2s", "--rule", "index.missing"])
            .args(["--format", "json"])
            .output()
            .unwrap()
    });
    let app = cluster.try_connect("app", "postgres").await.unwrap();
    while !checking.is_finished() {
        app.batch_execute(sql).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = serde_json::from_slice(&checking.await.unwrap().stdout).unwrap();
    conforms("check.schema.json", &answer);
    answer
}

#[tokio::test]
async fn one_look_finds_what_is_missing_where_that_leaves_no_trace() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", TABLES).await;
    cluster
        .sql(
            "postgres",
            "CREATE EXTENSION hypopg; GRANT pg_read_all_stats TO app",
        )
        .await;
    let answer = checked(&cluster, "postgres").await;
    assert_eq!(answer["findings"][0]["object"]["name"], "orders", "{answer}");
    let skipped = |answer: serde_json::Value| {
        let skipped = &answer["skipped"][0];
        let text = |key: &str| skipped[key].as_str().unwrap_or_default().to_owned();
        (text("reason"), text("remedy_sql"))
    };
    let (reason, remedy) = skipped(checked(&cluster, "app").await);
    assert_eq!(remedy, "ALTER ROLE app SET track_counts = off", "{reason}");
    cluster.sql("postgres", &remedy).await;
    let (reason, remedy) = skipped(checked(&cluster, "app").await);
    assert_eq!(
        remedy, "ALTER ROLE app SET pg_stat_statements.track = 'none'",
        "{reason}"
    );
}

#[tokio::test]
async fn the_configuration_says_whose_code_may_run_while_planning() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", TABLES).await;
        let function = "CREATE EXTENSION hypopg;
                        CREATE FUNCTION shop.net(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
                        ALTER FUNCTION shop.net OWNER TO app;
                        CREATE ROLE planner LOGIN; GRANT USAGE ON SCHEMA shop TO planner;
                        GRANT SELECT ON ALL TABLES IN SCHEMA shop TO planner; ALTER ROLE planner SET track_counts = off;
                        ALTER ROLE planner SET pg_stat_statements.track = 'none'";
        cluster.sql("postgres", function).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let server = format!(
            "[[servers]]\nname = \"main\"\ndsn = \"{}\"\nplanner_dsn = \"{}\"\ndatabases = [\"postgres\"]\n",
            cluster.dsn("postgres", "postgres"),
            cluster.dsn("planner", "postgres")
        );
        let arguments = vec!["--config".to_owned(), file.to_str().unwrap().to_owned()];
        let sql = "SELECT note FROM orders WHERE customer = net(7)";
        std::fs::write(&file, &server).unwrap();
        let answer = checked_while(&cluster, arguments.clone(), sql).await;
        let why = answer["skipped"][0]["reason"].as_str().unwrap_or_default();
        assert!(
            why.contains("shop.net(integer), owned by app,") && why.contains("trusted_owners = [\"app\"]"),
            "on {version}: {answer}"
        );
        std::fs::write(&file, server + "trusted_owners = [\"app\"]\n").unwrap();
        let answer = checked_while(&cluster, arguments, sql).await;
        assert_eq!(
            answer["findings"][0]["object"]["name"], "orders",
            "on {version}: {answer}"
        );
    }
}

/// Advice for sixty statements that may take so many seconds of the server, and how many it took.
async fn within(cluster: &Cluster, server_seconds: f64) -> (Advice, f64) {
    let conninfo = ConnInfo::parse(&cluster.dsn("postgres", "postgres"), &Environment::default()).unwrap();
    let plan = Server::new(conninfo).unwrap().plan("postgres").await.unwrap();
    let plan = plan.at_leisure(1);
    let mut gate = Gate::open(&plan, &[]).await.unwrap();
    let mut paths = SearchPaths::new(SearchPath::parse("shop", None).unwrap());
    let workload = (0..60).map(|number| WorkloadStatement {
        weight: 1.0,
        text: format!(
            "SELECT a.note FROM orders a JOIN orders b ON b.id = a.customer JOIN orders c ON c.customer = b.id
             WHERE a.customer = $1 AND c.note <> 'n{number}' ORDER BY a.id, b.note LIMIT 10"
        ),
        ..WorkloadStatement::default()
    });
    let workload: Vec<WorkloadStatement> = workload.collect();
    let taken = || Taken {
        server_seconds: plan.spent_seconds(),
        ..Taken::default()
    };
    let most = Most {
        server_seconds: Some(server_seconds),
        ..Most::default()
    };
    let (pace, wanted) = (Pace::new(&taken, most), Wanted::default());
    let advice = advise(&plan, &mut gate, &mut paths, workload, wanted, &pace, &|_| {}).await;
    (advice.unwrap(), plan.spent_seconds())
}

#[tokio::test]
async fn advice_ends_with_what_it_has_when_it_may_take_no_more_of_the_server() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", TABLES).await;
        cluster.sql("postgres", "CREATE EXTENSION hypopg").await;
        let (all, took_seconds) = within(&cluster, f64::INFINITY).await;
        assert_eq!((all.stopped, all.unconfirmed), (None, 0), "on {version}");
        let allowed_seconds = took_seconds / 5.0;
        let (advice, took_now_seconds) = within(&cluster, allowed_seconds).await;
        assert_eq!(advice.stopped, Some(Stopped::Budget), "on {version}");
        assert!(!advice.indexes.is_empty(), "on {version}");
        // the question that is under way when it is used up goes on, and a few are asked after it
        assert!(
            took_now_seconds < 2.5 * allowed_seconds,
            "on {version}: {took_now_seconds} of {allowed_seconds} s"
        );
        assert!(advice.what_if_calls < all.what_if_calls, "on {version}");
    }
}

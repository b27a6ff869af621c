//! The planning session: what it plans, what it sees of hypothetical indexes, and what it leaves alone.

use std::time::Duration;

use pgadvisor::index_advisor::advice::{Advice, Wanted, advise};
use pgadvisor::index_advisor::gate::Gate;
use pgadvisor::index_advisor::pace::Pace;
use pgadvisor::index_advisor::search_path::{SearchPath, search_path_of};
use pgadvisor::index_advisor::workload::{SearchPaths, WorkloadStatement};
use pgadvisor::model::advice::Stopped;
use pgadvisor::postgres::conninfo::{ConnInfo, Environment};
use pgadvisor::postgres::{Detail, Parameters, Plan, Server, ServerText};

use crate::harness::{Cluster, eventually, present};

async fn plan(cluster: &Cluster, user: &str) -> Plan {
    let environment = Environment {
        variables: Default::default(),
        home: None,
        login: None,
    };
    let conninfo = ConnInfo::parse(&cluster.dsn(user, "postgres"), &environment).unwrap();
    Server::new(conninfo).unwrap().plan("postgres").await.unwrap()
}

const TABLE: &str = "CREATE TABLE t (a int, b text); INSERT INTO t SELECT g, g::text FROM generate_series(1, 20000) g; \
                     CREATE INDEX t_b ON t (b); ANALYZE t";

#[tokio::test]
async fn a_login_without_connect_is_told_with_the_grant_that_mends_it() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", "CREATE DATABASE shop").await;
        let revoke = "CREATE ROLE planner LOGIN; REVOKE CONNECT ON DATABASE shop FROM public";
        cluster.sql("postgres", revoke).await;
        let dsn = cluster.dsn("planner", "postgres");
        let conninfo = ConnInfo::parse(&dsn, &Environment::default()).unwrap();
        let server = Server::new(conninfo).unwrap();
        let Err(error) = server.plan("shop").await else {
            panic!("on {version} it may connect");
        };
        let unknown = error.unknown("planner", "shop");
        let grant = unknown.remedy_sql.unwrap_or_default();
        assert_eq!(
            grant, "GRANT CONNECT ON DATABASE shop TO planner",
            "on {version}: {}",
            unknown.reason
        );
        cluster.sql("postgres", &grant).await;
        assert!(server.plan("shop").await.is_ok(), "on {version}");
    }
}

#[tokio::test]
async fn statements_are_planned_and_nothing_else_is_touched() {
    for version in present(&[14, 15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", TABLE).await;
        let before = "SELECT (SELECT sum(idx_scan) FROM pg_stat_user_indexes)::int8 * 1000 + \
                      (SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%FROM t %')";
        let untouched = cluster.number("postgres", before).await;
        let session = plan(&cluster, "postgres").await;
        assert!(session.leaves_counters && session.leaves_statements);
        let text = ServerText::one_query("SELECT * FROM t WHERE b = $1").unwrap();
        let value = [Some("7".to_owned())];
        for parameters in [Parameters::Unknown, Parameters::Values(&value)] {
            let tree = session
                .explain(&text, "public", parameters, Detail::Expressions)
                .await
                .unwrap();
            assert!(
                tree.nodes()
                    .iter()
                    .any(|node| node.index.as_deref() == Some("t_b")),
                "{version}: {tree:?}"
            );
        }
        let extremes = ServerText::one_query("SELECT max(b) FROM t WHERE b > 'x'").unwrap();
        session
            .explain(&extremes, "public", Parameters::Values(&[]), Detail::Costs)
            .await
            .unwrap();
        let delete = ServerText::one_query("DELETE FROM t WHERE a = $1").unwrap();
        session
            .explain(&delete, "public", Parameters::Unknown, Detail::Costs)
            .await
            .unwrap();
        assert!(
            session
                .explain(&text, "pg_catalog", Parameters::Unknown, Detail::Costs)
                .await
                .is_err(),
            "the search_path is that of one statement alone"
        );
        drop(session);
        assert_eq!(
            cluster.number("postgres", before).await,
            untouched,
            "on {version}"
        );
        assert_eq!(cluster.number("postgres", "SELECT count(*) FROM t").await, 20_000);
    }
}

#[tokio::test]
async fn a_text_that_cannot_be_planned_is_one_error_in_the_log() {
    for version in present(&[14, 15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster
            .sql(
                "postgres",
                "CREATE TABLE t (a int, b text); CREATE ROLE plain LOGIN; GRANT SELECT ON t TO plain",
            )
            .await;
        let errors = || cluster.log().matches("ERROR:").count();
        for user in ["postgres", "plain"] {
            let before = errors();
            let session = plan(&cluster, user).await;
            search_path_of(&session, user).await.unwrap();
            assert_eq!(errors(), before, "on {version} by {user}: {}", cluster.log());
            let explain = async |text: &str| {
                let text = ServerText::one_query(text).unwrap();
                let asked = session.explain(&text, "public", Parameters::Unknown, Detail::Costs);
                asked.await.is_ok()
            };
            // the second time it is known that it can be prepared
            for _ in 0..2 {
                assert!(
                    explain("SELECT b FROM t WHERE a = $1").await,
                    "on {version} by {user}"
                );
            }
            assert!(
                !explain("SELECT nothing FROM t WHERE a = $1").await,
                "on {version} by {user}"
            );
            assert!(
                explain("SELECT b FROM t WHERE a > $1").await,
                "on {version} by {user}"
            );
            assert_eq!(errors(), before + 1, "on {version} by {user}: {}", cluster.log());
        }
    }
}

#[tokio::test]
async fn hypothetical_indexes_are_seen_by_the_next_plan() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", TABLE).await;
    cluster
        .sql(
            "postgres",
            "CREATE SCHEMA \"Odd\"; CREATE EXTENSION hypopg SCHEMA \"Odd\"",
        )
        .await;
    let session = plan(&cluster, "postgres").await;
    assert!(session.hypothetical().unwrap().can_hide);
    let text = ServerText::one_query("SELECT b FROM t WHERE a = $1").unwrap();
    let before = session
        .explain(&text, "public", Parameters::Unknown, Detail::Costs)
        .await
        .unwrap();
    let definitions = [
        "CREATE INDEX ON public.t USING btree (a)".to_owned(),
        "CREATE INDEX ON public.t USING btree (no_such_column)".to_owned(),
    ];
    let made = session.create_hypothetical(&definitions).await.unwrap();
    assert!(made[1].is_none());
    let index = made[0].clone().unwrap();
    assert!(index.size_bytes > 100_000.0);
    let after = session
        .explain(&text, "public", Parameters::Unknown, Detail::Costs)
        .await
        .unwrap();
    assert!(after.total_cost() < before.total_cost() / 10.0);
    assert!(
        after
            .nodes()
            .iter()
            .any(|node| node.index.as_ref() == Some(&index.name))
    );
    session.drop_hypothetical(&[index.oid]).await.unwrap();
    assert_eq!(
        session
            .explain(&text, "public", Parameters::Unknown, Detail::Costs)
            .await
            .unwrap(),
        before
    );
    let oid = cluster
        .number("postgres", "SELECT 't_b'::regclass::oid::int8")
        .await as u32;
    let by_b = ServerText::one_query("SELECT a FROM t WHERE b = $1").unwrap();
    let indexed = session
        .explain(&by_b, "public", Parameters::Unknown, Detail::Costs)
        .await
        .unwrap();
    session.hide_indexes(&[oid]).await.unwrap();
    let hidden = session
        .explain(&by_b, "public", Parameters::Unknown, Detail::Costs)
        .await
        .unwrap();
    assert!(hidden.total_cost() > 10.0 * indexed.total_cost());
    session.reset_hypothetical().await.unwrap();
    assert_eq!(
        session
            .explain(&by_b, "public", Parameters::Unknown, Detail::Costs)
            .await
            .unwrap(),
        indexed
    );
}

#[tokio::test]
async fn statements_of_our_own_are_not_hijacked_by_the_search_path() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", TABLE).await;
        let evil =
            "CREATE SCHEMA evil; CREATE FUNCTION evil.same(text, text) RETURNS boolean LANGUAGE plpgsql AS
                    'BEGIN RAISE LOG ''CANARY''; RETURN true; END';
                    CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, PROCEDURE = evil.same)";
        cluster.sql("postgres", evil).await;
        let session = plan(&cluster, "postgres").await;
        let text = ServerText::one_query("SELECT a FROM public.t WHERE a > $1").unwrap();
        for parameters in [Parameters::Unknown, Parameters::Values(&[Some("7".to_owned())])] {
            session
                .explain(&text, "evil, pg_catalog", parameters, Detail::Costs)
                .await
                .unwrap();
        }
        assert!(!cluster.log().contains("CANARY"), "on {version}");
        // the trap is one: whoever compares texts by that path runs into it
        cluster
            .sql(
                "postgres",
                "SET search_path = evil, pg_catalog; SELECT 'a'::text = 'b'::text",
            )
            .await;
        assert!(cluster.log().contains("CANARY"), "on {version}");
    }
}

#[test]
fn only_one_query_may_be_planned() {
    for text in [
        "SELECT 1; DROP TABLE t",
        "ANALYZE DELETE FROM t",
        "DROP TABLE t",
        "SELECT * INTO u FROM t",
        "SELECT 1 INTO u UNION SELECT 2 UNION SELECT 3",
        "ANALYZE) DELETE FROM t",
        "",
        "EXECUTE p(1)",
    ] {
        assert!(ServerText::one_query(text).is_err(), "{text}");
    }
}

/// A table, and functions of a trusted role that run while a statement is planned: one that traps every cancel, and one that
/// ends its session.
const TRUSTED: &str = "
    CREATE EXTENSION hypopg; CREATE ROLE planner LOGIN; CREATE ROLE app_owner;
    CREATE TABLE orders (id int PRIMARY KEY, customer int, kind int, note text);
    INSERT INTO orders SELECT g, g % 5000, g % 700, repeat('x', 60) FROM generate_series(1, 50000) AS g;
    ANALYZE orders; GRANT SELECT ON orders TO planner;
    CREATE FUNCTION stubborn(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $body$
    BEGIN
        LOOP
            BEGIN
                PERFORM pg_sleep(1);
            EXCEPTION WHEN query_canceled THEN
                NULL;
            END;
        END LOOP;
    END $body$;
    CREATE FUNCTION dying(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
        'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); RETURN $1; END';
    ALTER FUNCTION stubborn OWNER TO app_owner; ALTER FUNCTION dying OWNER TO app_owner";

/// Advice for statements with their weights, by a login that trusts the owner of those functions.
async fn advised(plan: &Plan, statements: &[(f64, &str)]) -> Advice {
    let mut gate = Gate::open(plan, &["app_owner".to_owned()]).await.unwrap();
    let mut paths = SearchPaths::new(SearchPath::parse("public", None).unwrap());
    let workload = statements.iter().map(|(weight, text)| WorkloadStatement {
        weight: *weight,
        text: (*text).to_owned(),
        ..WorkloadStatement::default()
    });
    let workload: Vec<WorkloadStatement> = workload.collect();
    let (wanted, pace) = (Wanted::default(), Pace::free());
    let in_time = tokio::time::timeout(
        Duration::from_secs(120),
        advise(plan, &mut gate, &mut paths, workload, wanted, &pace, &|_| {}),
    )
    .await;
    in_time.expect("advice in time").unwrap()
}

#[tokio::test]
async fn a_statement_that_takes_no_notice_of_a_cancel_costs_no_other_one_its_index() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", TRUSTED).await;
        let session = plan(&cluster, "planner").await;
        let statements = [
            (1.0, "SELECT note FROM orders WHERE customer = $1"),
            (1.0, "SELECT note FROM orders WHERE id = stubborn(1)"),
            (1.0, "SELECT note FROM orders WHERE kind = $1"),
        ];
        let advice = advised(&session, &statements).await;
        let [one, stubborn, other] = &advice.statements[..] else {
            panic!("{advice:?}")
        };
        let why = stubborn.reason.as_deref().unwrap_or_default();
        assert!(
            stubborn.cost_before.is_none() && why.contains("query_canceled"),
            "on {version}: {why}"
        );
        assert_eq!(advice.stubborn, [1]);
        assert!(
            !one.uses.is_empty() && !other.uses.is_empty(),
            "on {version}: {advice:?}"
        );
        assert_eq!((advice.stopped, session.lost_sessions()), (None, 1));
        let backends = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'planner'";
        eventually("only the session in its place is there", || async {
            cluster.number("postgres", backends).await == 1
        })
        .await;
    }
}

#[tokio::test]
async fn a_session_that_ended_while_nothing_was_asked_is_no_statements_fault() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", TRUSTED).await;
        let session = plan(&cluster, "planner").await;
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'planner'";
        assert!(cluster.number("postgres", end).await > 0, "on {version}");
        eventually("another session in its place", || async {
            session.keep_open().await.unwrap();
            session.generation() == 1
        })
        .await;
        assert_eq!(session.lost_sessions(), 0, "on {version}");
    }
}

#[tokio::test]
async fn after_some_lost_sessions_a_run_goes_on_with_what_it_has() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", TRUSTED).await;
        let session = plan(&cluster, "planner").await;
        let statements = [
            (1.0, "SELECT note FROM orders WHERE kind = $1"),
            (10.0, "SELECT note FROM orders WHERE id = dying(1)"),
            (10.0, "SELECT id FROM orders WHERE id = dying(2)"),
            (50.0, "SELECT kind FROM orders WHERE id = dying(3)"),
            (100.0, "SELECT note FROM orders WHERE customer = $1"),
        ];
        let advice = advised(&session, &statements[1..]).await;
        assert_eq!(
            (advice.stopped, session.lost_sessions()),
            (None, 3),
            "on {version}"
        );
        assert_eq!(advice.statements[3].uses, [0], "on {version}: {advice:?}");
        for dying in &advice.statements[..3] {
            let why = dying.reason.as_deref().unwrap_or_default();
            assert!(why.contains("session") && dying.cost_before.is_none(), "{why}");
        }
        let session = plan(&cluster, "planner").await;
        let advice = advised(&session, &statements).await;
        assert_eq!(advice.stopped, Some(Stopped::LostSessions), "on {version}");
        let left = advice.statements[0].reason.as_deref().unwrap_or_default();
        assert!(left.contains("before it was planned"), "{left}");
        assert_eq!(advice.statements[4].uses, [0], "on {version}: {advice:?}");
        assert!(advice.notes()[0].starts_with("stopped: "), "{:?}", advice.notes());
    }
}

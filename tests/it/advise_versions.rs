//! `pgadvisor advise` on each version, with HypoPG and without: statements as that version's pg_stat_statements gives them, and
//! what no index could help.

use serde_json::Value;

use crate::command_line::conforms;
use crate::harness::{ALL, Cluster, pgadvisor, present};

/// The versions that have HypoPG here.
const WITH_HYPOPG: [u32; 3] = [15, 17, 18];

fn advise(cluster: &Cluster, arguments: &[&str]) -> Value {
    let output = pgadvisor()
        .args(["advise", &cluster.dsn("postgres", "postgres"), "--format", "json"])
        .args(arguments)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
    conforms("advise.schema.json", &answer);
    answer
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The statement that holds a part.
fn holding<'a>(answer: &'a Value, part: &str) -> &'a Value {
    let all = answer["statements"].as_array().unwrap();
    let found = all.iter().find(|one| text(one, "text").contains(part));
    found.unwrap_or_else(|| panic!("{part}: {answer:#}"))
}

/// The table and the first column of each index that a statement takes.
fn taken<'a>(answer: &'a Value, statement: &'a Value) -> Vec<(&'a str, &'a str)> {
    let uses = statement["uses"].as_array().unwrap();
    let all = answer["indexes"].as_array().unwrap().iter();
    all.filter(|index| uses.contains(&index["definition"]))
        .map(|index| (text(index, "table"), index["columns"][0].as_str().unwrap()))
        .collect()
}

const FACTS: &str = "
    CREATE TABLE facts AS SELECT g AS id, g % 3000 AS kind, date '2026-01-01' + g % 90 AS made, repeat('x', 60) AS note
        FROM generate_series(1, 60000) g;
    CREATE TABLE days AS SELECT g AS id, date '2020-01-01' + g % 2000 AS made, repeat('x', 60) AS note
        FROM generate_series(1, 60000) g;
    ANALYZE facts; ANALYZE days; SELECT pg_stat_statements_reset()";

/// Statements whose constants become parameters, a word by which each is known, and what its index is to begin with. No two
/// are one to pg_stat_statements, which takes no notice of the names of result columns and, from 18 on, of how long lists are.
const PARAMETERS: [(&str, &str, (&str, &str)); 9] = [
    (
        "SELECT note AS plain FROM facts WHERE kind = 7",
        "AS plain",
        ("facts", "kind"),
    ),
    (
        "SELECT note AS listed FROM facts WHERE kind IN (1, 2, 3)",
        "AS listed",
        ("facts", "kind"),
    ),
    (
        "SELECT id, note AS arrayed FROM facts WHERE kind = ANY (ARRAY[4, 5])",
        "AS arrayed",
        ("facts", "kind"),
    ),
    (
        "SELECT note AS paged FROM facts WHERE kind = 7 ORDER BY id LIMIT 20 OFFSET (2 - 1) * 20",
        "AS paged",
        ("facts", "kind"),
    ),
    (
        "SELECT note AS spanned FROM facts WHERE kind = 7 AND made < date '2026-01-01' + interval '3 month'",
        "AS spanned",
        ("facts", "kind"),
    ),
    (
        "SELECT note AS summed, 1 + 2 FROM facts WHERE kind = 7",
        "AS summed",
        ("facts", "kind"),
    ),
    (
        "SELECT note AS dated FROM days WHERE made = date '2026-01-01' + 30",
        "AS dated",
        ("days", "made"),
    ),
    (
        "UPDATE days SET note = 'y' WHERE made = date '2021-01-01'",
        "UPDATE days",
        ("days", "made"),
    ),
    (
        "UPDATE facts SET note = 'y' WHERE kind = 7 AND id > 3",
        "UPDATE facts",
        ("facts", "kind"),
    ),
];

#[tokio::test]
async fn parameters_are_advised_on_every_version() {
    for version in present(&ALL) {
        let cluster = Cluster::start(version).await;
        let has_hypopg = WITH_HYPOPG.contains(&version);
        if has_hypopg {
            cluster.sql("postgres", "CREATE EXTENSION hypopg").await;
        }
        cluster.sql("postgres", FACTS).await;
        for (sql, ..) in PARAMETERS {
            cluster.sql("postgres", sql).await;
        }
        let session = cluster.connect("postgres").await;
        let prepared = "SELECT note AS prepared FROM facts WHERE kind = $1 LIMIT $2";
        session.query(prepared, &[&7_i32, &5_i64]).await.unwrap();
        let answer = advise(&cluster, &[]);
        let expected = PARAMETERS
            .iter()
            .map(|(_, part, index)| (*part, *index))
            .chain([("AS prepared", ("facts", "kind"))]);
        for (part, index) in expected {
            let one = holding(&answer, part);
            assert!(text(one, "text").contains('$'), "on {version}: {one}");
            assert!(
                one["cost_before"].as_f64().is_some(),
                "on {version}: not planned: {one}"
            );
            assert_eq!(one["status"] == "improved", has_hypopg, "on {version}: {one}");
            let taken = taken(&answer, one);
            assert!(
                !taken.is_empty() && taken.iter().all(|one| *one == index),
                "on {version}: {taken:?}: {one}"
            );
        }
        let all = answer["statements"].as_array().unwrap();
        assert_eq!(answer["workload"]["statements"], all.len(), "on {version}");
        let is_ours =
            |one: &&Value| text(one, "text").contains(" facts") || text(one, "text").contains(" days");
        let planned = all
            .iter()
            .filter(is_ours)
            .filter(|one| one["status"] != "not_planned");
        assert_eq!(planned.count(), PARAMETERS.len() + 1, "on {version}: {answer:#}");
        for index in answer["indexes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|_| !has_hypopg)
        {
            assert_eq!(index["confidence"]["level"], "estimated", "on {version}: {index}");
        }
    }
}

const PICKS: &str = "
    CREATE EXTENSION hypopg;
    CREATE TABLE picks AS SELECT g AS id, g % 5000 AS kind, repeat('x', 60) AS note FROM generate_series(1, 50000) g;
    ANALYZE picks;
    CREATE FUNCTION drawn() RETURNS int LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS 'BEGIN RETURN 7; END';
    CREATE FUNCTION settled() RETURNS int LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS 'BEGIN RETURN 7; END';
    CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER far FOREIGN DATA WRAPPER nothing;
    CREATE FOREIGN TABLE far_off (a int, b text) SERVER far; CREATE VIEW through AS SELECT * FROM far_off";

/// What is drawn anew for each row cannot be looked up; what is the same for all rows can.
#[tokio::test]
async fn what_is_drawn_anew_for_each_row_has_no_index() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", PICKS).await;
        let answer = advise(
            &cluster,
            &["--statement", "SELECT note FROM picks WHERE kind = settled()"],
        );
        assert_eq!(
            taken(&answer, &answer["statements"][0]),
            [("picks", "kind")],
            "on {version}"
        );
        for statement in [
            "SELECT note FROM picks WHERE kind = drawn()",
            "SELECT note FROM picks WHERE kind + drawn() = 14",
            "SELECT note FROM picks WHERE kind = floor(random() * 5000)::int",
            "SELECT note FROM picks WHERE random() < 0.001",
            "SELECT note FROM picks ORDER BY random() LIMIT 5",
            "UPDATE picks SET note = 'y' WHERE kind = drawn()",
        ] {
            let answer = advise(&cluster, &["--statement", statement]);
            let one = &answer["statements"][0];
            assert!(
                one["cost_before"].as_f64().is_some(),
                "on {version}: not planned: {one}"
            );
            assert_ne!(one["status"], "improved", "on {version}: {one}");
            assert_eq!(
                answer["indexes"].as_array().unwrap().len(),
                0,
                "on {version}: {answer:#}"
            );
        }
    }
}

#[tokio::test]
async fn of_what_another_server_holds_nothing_is_advised() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", PICKS).await;
        for statement in [
            "SELECT b FROM far_off WHERE a = 7",
            "SELECT b FROM through WHERE a = 7",
            "SELECT p.note FROM picks p JOIN far_off f ON f.a = p.id WHERE p.kind = 7",
        ] {
            let answer = advise(&cluster, &["--statement", statement]);
            let one = &answer["statements"][0];
            assert_eq!(one["status"], "not_planned", "on {version}: {one}");
            let why = text(one, "reason");
            assert!(
                why.contains("public.far_off is a foreign table"),
                "on {version}: {why}"
            );
            assert_eq!(
                answer["indexes"].as_array().unwrap().len(),
                0,
                "on {version}: {answer:#}"
            );
        }
    }
}

/// Two tables of one name in schemas that only a session's own search_path, or that of a role, tells apart.
const TWINS: &str = "
    CREATE EXTENSION hypopg; CREATE SCHEMA a; CREATE SCHEMA b;
    CREATE TABLE a.twin AS SELECT g AS x, repeat('x', 60) AS note FROM generate_series(1, 30000) g;
    CREATE TABLE b.twin AS SELECT * FROM a.twin;
    ANALYZE a.twin; ANALYZE b.twin;
    CREATE ROLE app LOGIN; CREATE ROLE clerk LOGIN; ALTER ROLE clerk SET search_path = b;
    GRANT USAGE ON SCHEMA a, b TO app, clerk; GRANT SELECT ON a.twin, b.twin TO app, clerk;
    SELECT pg_stat_statements_reset()";

#[tokio::test]
async fn a_name_that_may_be_one_of_two_tables_is_not_advised() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", TWINS).await;
        let app = cluster.try_connect("app", "postgres").await.unwrap();
        for sql in [
            "SET search_path = a",
            "SELECT note AS of_app FROM twin WHERE x = 7",
        ] {
            app.batch_execute(sql).await.unwrap();
        }
        let clerk = cluster.try_connect("clerk", "postgres").await.unwrap();
        let of_clerk = "SELECT note AS of_clerk FROM twin WHERE x = 7";
        clerk.batch_execute(of_clerk).await.unwrap();
        let answer = advise(&cluster, &[]);
        let unknown = holding(&answer, "AS of_app");
        assert_eq!(unknown["status"], "not_planned", "on {version}: {unknown}");
        let why = text(unknown, "reason");
        assert!(
            why.contains("ambiguous: twin is found in a, b"),
            "on {version}: {why}"
        );
        let known = holding(&answer, "AS of_clerk");
        assert_eq!(taken(&answer, known), [("twin", "x")], "on {version}: {known}");
        let all = answer["indexes"].as_array().unwrap().iter();
        let schemas: Vec<&str> = all.map(|index| text(index, "schema")).collect();
        assert_eq!(schemas, ["b"], "on {version}");
        // given by hand it means what it means to the login that gives it
        let by_hand =
            crate::advise_harness::advise(&cluster, "clerk", "SELECT note FROM twin WHERE x = 8", &[]);
        let schemas: Vec<&str> = by_hand["indexes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|index| text(index, "schema"))
            .collect();
        assert_eq!(schemas, ["b"], "on {version}: {by_hand}");
    }
}

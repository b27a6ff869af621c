//! All that was ever measured to harm a server whose statements are planned, in one workload with two statements that mean
//! no harm: nothing runs, nothing is changed, and the two are advised as if the others were not there.

use std::path::Path;

use serde_json::Value;

use crate::command_line::conforms;
use crate::gate::{LAB, canary};
use crate::harness::{Cluster, pgadvisor, present};

/// What the two good statements read, and what a superuser made who did not think of mallory. Not every server that can be had
/// for tests loads dblink: what stands in for it does the same harm.
const SALES: &str = "
    CREATE EXTENSION hypopg;
    DO $$ BEGIN CREATE EXTENSION dblink; EXCEPTION WHEN OTHERS THEN
        CREATE FUNCTION dblink(text, text) RETURNS SETOF record LANGUAGE plpgsql AS 'BEGIN EXECUTE $2; RETURN; END';
        CREATE FUNCTION dblink_exec(text, text) RETURNS text LANGUAGE plpgsql AS 'BEGIN EXECUTE $2; RETURN ''done''; END';
    END $$;
    CREATE TABLE shop.sales (id int PRIMARY KEY, customer int, made_at timestamptz, note text);
    INSERT INTO shop.sales SELECT g, g % 5000, timestamptz '2026-01-01' + g * interval '1 min', repeat('x', 50)
        FROM generate_series(1, 30000) AS g;
    ANALYZE shop.sales; GRANT SELECT ON shop.sales TO public;
    CREATE FUNCTION shop.defined(int) RETURNS int LANGUAGE plpgsql STABLE SECURITY DEFINER AS 'BEGIN RETURN helper($1); END'";

const GOOD: [(&str, &str); 2] = [
    ("by customer", "SELECT note FROM shop.sales WHERE customer = 77"),
    (
        "the latest",
        "SELECT id, note FROM shop.sales ORDER BY made_at DESC LIMIT 10",
    ),
];

/// Roles, their settings, those of the server, the data, the objects and the age of what was captured, as one number.
const STATE: &str = "SELECT pg_catalog.hashtextextended(pg_catalog.concat(
    (SELECT string_agg(r::text, ',' ORDER BY r.oid) FROM pg_catalog.pg_authid AS r),
    (SELECT string_agg(s::text, ',' ORDER BY s.setdatabase, s.setrole) FROM pg_catalog.pg_db_role_setting AS s),
    (SELECT string_agg(concat(s.name, s.setting), ',' ORDER BY s.name) FROM pg_catalog.pg_settings AS s),
    (SELECT string_agg(o::text, ',' ORDER BY o.id) FROM shop.orders AS o),
    (SELECT string_agg(s::text, ',' ORDER BY s.id) FROM shop.sales AS s),
    (SELECT string_agg(c.relname::text, ',' ORDER BY c.oid) FROM pg_catalog.pg_class AS c),
    (SELECT i.stats_reset FROM public.pg_stat_statements_info AS i)), 0)";

/// What the planner does with it if nobody stands before.
#[derive(Clone, Copy, PartialEq)]
enum Unguarded {
    RunsTheCanary,
    NotTried,
}

struct Attack {
    name: String,
    /// What mallory makes.
    setup: String,
    statement: String,
    /// A part of the reason why it is not planned; empty where planning it does no harm.
    told: &'static str,
    unguarded: Unguarded,
}

fn attack(name: &str, setup: &str, statement: &str, told: &'static str) -> Attack {
    made(
        name,
        canary(name, "int", "int", "IMMUTABLE") + setup,
        statement,
        told,
    )
}

fn made(name: &str, setup: String, statement: &str, told: &'static str) -> Attack {
    Attack {
        name: name.to_owned(),
        setup,
        statement: statement.to_owned(),
        told,
        unguarded: Unguarded::RunsTheCanary,
    }
}

fn text(statement: &str, told: &'static str) -> Attack {
    Attack {
        unguarded: Unguarded::NotTried,
        ..made(statement, String::new(), statement, told)
    }
}

/// A function that does harm where it is folded as a constant.
fn harmful(name: &str, harm: &str) -> Attack {
    let function =
        canary(name, "int", "int", "IMMUTABLE").replace("RETURN $1;", &format!("{harm} RETURN $1;"));
    let statement = format!("SELECT mallory.{name}(1)");
    made(
        name,
        function,
        &statement,
        "owned by mallory, could run while planning",
    )
}

/// Code that the statement names.
fn by_the_statement() -> Vec<Attack> {
    vec![
        attack(
            "folded",
            "",
            "SELECT mallory.folded(1)",
            "function mallory.folded(integer), owned by mallory,",
        ),
        made(
            "estimated",
            canary("estimated", "int", "int", "STABLE"),
            "SELECT * FROM shop.orders WHERE id = mallory.estimated(3)",
            "function mallory.estimated(integer)",
        ),
        made(
            "nothing",
            canary("nothing", "", "int", "IMMUTABLE").replace("$1", "1"),
            "SELECT mallory.nothing()",
            "function mallory.nothing()",
        ),
        made(
            "leak",
            canary("leak", "text, text", "boolean", "VOLATILE")
                + "CREATE OPERATOR mallory.=== (LEFTARG = text, RIGHTARG = text, PROCEDURE = mallory.leak, RESTRICT = eqsel);",
            "SELECT * FROM shop.orders WHERE note OPERATOR(mallory.===) 'x'",
            "mallory.===",
        ),
        made(
            "cast_away",
            "CREATE TYPE mallory.colour AS ENUM ('red');".to_owned()
                + &canary("cast_away", "mallory.colour", "text", "IMMUTABLE")
                + "CREATE CAST (mallory.colour AS text) WITH FUNCTION mallory.cast_away(mallory.colour);",
            "SELECT 'red'::mallory.colour::text",
            "cast",
        ),
        attack(
            "checked",
            "CREATE DOMAIN mallory.checked_domain AS int CHECK (mallory.checked(1) = VALUE);",
            "SELECT '{1}'::mallory.checked_domain[]",
            "function mallory.checked(integer), owned by mallory,",
        ),
        // the search_path of the database has mallory's schema before that of PostgreSQL
        made(
            "lower",
            canary("lower", "text", "text", "IMMUTABLE"),
            "SELECT * FROM shop.orders WHERE note = lower('A')",
            "function mallory.lower(",
        ),
        made(
            "modulo",
            canary("modulo", "int, int", "int", "IMMUTABLE")
                + "CREATE OPERATOR mallory.% (LEFTARG = int, RIGHTARG = int, PROCEDURE = mallory.modulo);",
            "SELECT * FROM shop.orders WHERE id = 7 % 4",
            "mallory.%",
        ),
        attack(
            "helper",
            "",
            "SELECT * FROM shop.orders WHERE id = shop.defined(1)",
            "shop.defined(integer), owned by postgres, looks names up where others have objects",
        ),
        attack(
            "definer",
            "ALTER FUNCTION mallory.definer(int) SECURITY DEFINER;",
            "SELECT mallory.definer(1)",
            "function mallory.definer(integer)",
        ),
    ]
}

/// Code that a table brings along.
fn by_the_table() -> Vec<Attack> {
    let policed = attack(
        "policed",
        "CREATE TABLE mallory.secured (a int); ALTER TABLE mallory.secured ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON mallory.secured USING (a = mallory.policed(1));",
        "SELECT * FROM mallory.secured",
        "mallory.secured",
    );
    let generated = attack(
        "generated",
        "CREATE TABLE mallory.reckoned (a int, b int GENERATED ALWAYS AS (a + mallory.generated(1)) STORED);",
        "SELECT b FROM mallory.reckoned WHERE a = 1",
        "function mallory.generated(integer)",
    );
    vec![
        attack(
            "viewed",
            "CREATE VIEW mallory.view AS SELECT id FROM shop.orders WHERE id = mallory.viewed(1);
             CREATE VIEW mallory.outer_view AS SELECT * FROM mallory.view;",
            "SELECT * FROM mallory.outer_view",
            "(rule \"_RETURN\" on mallory.view)",
        ),
        attack(
            "ruled",
            "CREATE TABLE mallory.ruled_table (a int);
             CREATE RULE r AS ON INSERT TO mallory.ruled_table DO ALSO SELECT mallory.ruled(1);",
            "INSERT INTO mallory.ruled_table SELECT 1",
            "(rule r on mallory.ruled_table)",
        ),
        // a policy does not bind the superuser who tries it unguarded, and what is generated is reckoned when it is written
        Attack {
            unguarded: Unguarded::NotTried,
            ..policed
        },
        Attack {
            unguarded: Unguarded::NotTried,
            ..generated
        },
        attack(
            "defaulted",
            "CREATE TABLE mallory.filled (a int, b int DEFAULT mallory.defaulted(1));",
            "INSERT INTO mallory.filled (a) SELECT 1",
            "(default value for mallory.filled.b)",
        ),
        attack(
            "predicate",
            "CREATE TABLE mallory.part (a int); CREATE INDEX ON mallory.part (a) WHERE a > mallory.predicate(1);",
            "SELECT * FROM mallory.part WHERE a = 1",
            "function mallory.predicate(integer)",
        ),
        attack(
            "expressed",
            "CREATE TABLE mallory.indexed (a int); CREATE INDEX ON mallory.indexed ((a + mallory.expressed(1)));",
            "SELECT * FROM mallory.indexed WHERE a = 1",
            "function mallory.expressed(integer)",
        ),
        attack(
            "checking",
            "CREATE TABLE mallory.parent (a int); CREATE TABLE mallory.child (CHECK (a > mallory.checking(1))) INHERITS (mallory.parent);",
            "SELECT * FROM mallory.parent WHERE a = 5",
            "function mallory.checking(integer)",
        ),
        attack(
            "partitioned",
            "CREATE TABLE mallory.parted (a int) PARTITION BY RANGE ((a + mallory.partitioned(1)));
             CREATE TABLE mallory.parted_1 PARTITION OF mallory.parted FOR VALUES FROM (1) TO (9);",
            "SELECT * FROM mallory.parted WHERE a = 1",
            "function mallory.partitioned(integer)",
        ),
        attack(
            "counted",
            "CREATE TABLE mallory.sampled (a int, b int);
             CREATE STATISTICS mallory.s ON (a + mallory.counted(1)), b FROM mallory.sampled;",
            "SELECT * FROM mallory.sampled WHERE a = 1 AND b = 1",
            "function mallory.counted(integer)",
        ),
    ]
}

/// What a read-only transaction does not stop; a program that a server runs would make that file.
fn by_what_it_does(file: &Path) -> Vec<Attack> {
    let touch = format!(
        "EXECUTE 'COPY (SELECT 1) TO PROGRAM ''touch {}''';",
        file.display()
    );
    vec![
        harmful("program", &touch),
        harmful(
            "elsewhere",
            "PERFORM public.dblink_exec('dbname=postgres', 'DROP TABLE shop.orders');",
        ),
        harmful("forgotten", "PERFORM public.pg_stat_statements_reset();"),
        harmful("locker", "PERFORM pg_catalog.pg_advisory_lock(4711);"),
        harmful(
            "switched",
            "PERFORM pg_catalog.set_config('role', 'postgres', false);",
        ),
        harmful("authorized", "EXECUTE 'SET SESSION AUTHORIZATION postgres';"),
        harmful("promoted", "EXECUTE 'ALTER ROLE mallory SUPERUSER';"),
        harmful("emptied", "EXECUTE 'DELETE FROM shop.orders';"),
    ]
}

/// Texts that would do something were they run, or taken for more than one statement.
fn by_the_text(file: &Path) -> Vec<Attack> {
    let program = |what: &str| format!("COPY {what} TO PROGRAM 'touch {}'", file.display());
    vec![
        text(
            &program("(SELECT mallory.folded(2))"),
            "function mallory.folded(integer)",
        ),
        text(&program("shop.orders"), "a utility statement"),
        text(
            "SELECT * FROM public.dblink('dbname=postgres', 'DROP TABLE shop.orders') AS d (a text)",
            "",
        ),
        text("SELECT public.pg_stat_statements_reset()", ""),
        text("SELECT pg_advisory_lock(4711)", ""),
        text("SELECT set_config('role', 'mallory', false)", ""),
        text("SET ROLE mallory", "a utility statement"),
        text("SET SESSION AUTHORIZATION mallory", "a utility statement"),
        text("DROP TABLE shop.orders", "a utility statement"),
        text(
            "SELECT * INTO shop.copied FROM shop.orders",
            "SELECT INTO makes a table",
        ),
        text("EXPLAIN ANALYZE DELETE FROM shop.orders", ""),
        text("ANALYZE DELETE FROM shop.orders", "cannot parse"),
    ]
}

/// What a workload file would take for two statements, or for none: given by hand.
fn by_hand() -> Vec<Attack> {
    vec![
        text("SELECT 1; DROP TABLE shop.orders", "2 statements"),
        text("ANALYZE) DELETE FROM shop.orders", "cannot parse"),
        text("(ANALYZE) DELETE FROM shop.orders", "cannot parse"),
    ]
}

/// The advice for all of it, by one login.
fn advise(dsn: &str, by_hand: &[Attack], workload: &Path) -> Value {
    let mut command = pgadvisor();
    command
        .args(["advise", dsn, "--format", "json", "--workload"])
        .arg(workload);
    for attack in by_hand {
        command.args(["--statement", &attack.statement]);
    }
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    conforms("advise.schema.json", &answer);
    answer
}

/// The file with the good statements around the others.
fn file_of(attacks: &[Attack]) -> String {
    let others = attacks.iter().map(|attack| attack.statement.as_str());
    let texts = [GOOD[0].1].into_iter().chain(others).chain([GOOD[1].1]);
    texts.map(|text| format!("{text};\n")).collect()
}

/// What is not as it should be with one attack.
fn wrong_with(attack: &Attack, told: &Value) -> Option<String> {
    let reason = told["reason"].as_str().unwrap_or_default();
    let is_refused = told["status"] == "not_planned" && !reason.is_empty();
    let is_right = match attack.told {
        "" => is_refused || told["status"] == "no_candidate" || told["status"] == "unchanged",
        part => is_refused && reason.contains(part),
    };
    (!is_right).then(|| format!("{}: {told}", attack.name))
}

/// Everything that mallory makes, the logins of `setup`, and then a search_path that finds what mallory made first.
async fn prepared(cluster: &Cluster, attacks: &[Attack]) {
    cluster.sql("postgres", LAB).await;
    cluster.sql("postgres", SALES).await;
    for attack in attacks.iter().filter(|attack| !attack.setup.is_empty()) {
        cluster
            .sql("postgres", &format!("SET ROLE mallory; {}", attack.setup))
            .await;
    }
    let setup = String::from_utf8(pgadvisor().arg("setup").output().unwrap().stdout).unwrap();
    cluster.sql("postgres", &setup).await;
    let path = "GRANT ALL ON ALL TABLES IN SCHEMA mallory TO public;
                ALTER DATABASE postgres SET search_path = mallory, pg_catalog, public";
    cluster.sql("postgres", path).await;
}

/// That each canary sings where nobody stands before the planner, so that its silence proves something.
async fn sung(cluster: &Cluster, attacks: &[Attack]) -> Vec<String> {
    let mut silent = Vec::new();
    for attack in attacks
        .iter()
        .filter(|attack| attack.unguarded == Unguarded::RunsTheCanary)
    {
        let from = cluster.log().len();
        let session = cluster.connect("postgres").await;
        let planned = session
            .batch_execute(&format!("EXPLAIN {}", attack.statement))
            .await;
        if !cluster.log()[from..].contains(&format!("CANARY {} as ", attack.name)) {
            silent.push(format!("{} does no harm unguarded: {planned:?}", attack.name));
        }
    }
    silent
}

#[tokio::test]
async fn attacks_among_good_statements_harm_neither_the_server_nor_their_neighbours() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        let touched = cluster.folder().join("touched");
        let mut attacks = by_the_statement();
        attacks.extend(by_the_table());
        attacks.extend(by_what_it_does(&touched));
        attacks.extend(by_the_text(&touched));
        let by_hand = by_hand();
        prepared(&cluster, &attacks).await;
        let folder = tempfile::tempdir().unwrap();
        let workload = folder.path().join("workload.sql");
        std::fs::write(&workload, file_of(&attacks)).unwrap();
        let state = cluster.number("postgres", STATE).await;
        let from = cluster.log().len();
        let mut wrong = Vec::new();
        for login in ["postgres", "pgadvisor_planner"] {
            let answer = advise(&cluster.dsn(login, "postgres"), &by_hand, &workload);
            let told = answer["statements"].as_array().unwrap();
            assert_eq!(told.len(), by_hand.len() + attacks.len() + GOOD.len());
            let (first, rest) = told.split_at(by_hand.len());
            let pairs = by_hand.iter().zip(first).chain(attacks.iter().zip(&rest[1..]));
            wrong.extend(pairs.filter_map(|(attack, told)| wrong_with(attack, told)));
            for ((name, text), told) in GOOD.iter().zip([&rest[0], &rest[rest.len() - 1]]) {
                assert_eq!(told["text"], *text, "{name}");
                assert_eq!(
                    told["status"], "improved",
                    "{name} as {login} on {version}: {told}"
                );
            }
            let log = cluster.log();
            assert!(
                !log[from..].contains("CANARY"),
                "as {login} on {version}: {}",
                &log[from..]
            );
            assert!(!touched.exists(), "as {login} on {version}: a program ran");
            let now = cluster.number("postgres", STATE).await;
            assert_eq!(now, state, "as {login} on {version}: something was changed");
        }
        wrong.extend(sung(&cluster, &attacks).await);
        assert!(wrong.is_empty(), "on {version}: {}", wrong.join("\n"));
    }
}

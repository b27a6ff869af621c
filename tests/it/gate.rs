//! The gate: attacks on whoever plans somebody else's statement, each shown to work on the planner alone and to be stopped
//! by the gate, and what must pass all the same.
//!
//! A canary is a function that writes to the server's log when it runs.

use std::time::{Duration, Instant};

use pgadvisor::index_advisor::gate::{Gate, Passage, Reason};
use pgadvisor::index_advisor::search_path::{SearchPath, search_path_of};
use pgadvisor::postgres::conninfo::{ConnInfo, Environment};
use pgadvisor::postgres::{Parameters, Plan, Server, ServerText};

use crate::harness::{ALL, Cluster, present};

/// A planning session; each is a new backend, which remembers nothing.
async fn plan(cluster: &Cluster, user: &str, database: &str) -> Plan {
    let environment = Environment {
        variables: Default::default(),
        home: None,
        login: None,
    };
    let conninfo = ConnInfo::parse(&cluster.dsn(user, database), &environment).unwrap();
    Server::new(conninfo).unwrap().plan(database).await.unwrap()
}

fn path(setting: &str) -> SearchPath {
    SearchPath::parse(setting, None).unwrap()
}

/// What the gate says to one statement of `app`.
async fn examined(plan: &Plan, gate: &mut Gate, text: &str, setting: &str) -> Passage {
    let statement = ServerText::one_query(text).unwrap();
    gate.examine(plan, &statement, &path(setting), Some("app"))
        .await
        .unwrap()
}

/// Why the gate refuses; empty if it does not.
async fn refusal(plan: &Plan, gate: &mut Gate, text: &str, setting: &str) -> String {
    match examined(plan, gate, text, setting).await {
        Passage::Passes { .. } => String::new(),
        Passage::NotPlanned(reason) => reason.to_string(),
    }
}

const LAB: &str = "
    CREATE ROLE planner LOGIN; CREATE ROLE app LOGIN; CREATE ROLE mallory LOGIN;
    CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO public;
    CREATE TABLE shop.orders (id int PRIMARY KEY, total int, note text);
    INSERT INTO shop.orders SELECT g, g % 10, 'secret ' || g % 5 FROM generate_series(1, 2000) AS g;
    ANALYZE shop.orders; GRANT SELECT ON shop.orders TO public;
    -- trusted, but it looks names up when it runs
    CREATE FUNCTION shop.helped(int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN helper($1); END';
    CREATE FUNCTION shop.alone(int) RETURNS int LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS 'BEGIN RETURN $1; END';
    CREATE SCHEMA mallory AUTHORIZATION mallory; GRANT USAGE ON SCHEMA mallory TO public;
    CREATE TABLE mallory.seen (a int);
    SET ROLE mallory;
    CREATE DOMAIN mallory.kept AS int;
";

/// A function of mallory's that tells that it ran, and as whom.
fn canary(name: &str, arguments: &str, result: &str, kind: &str) -> String {
    let value = match result {
        "boolean" => "true",
        _ => "$1",
    };
    format!(
        "CREATE FUNCTION mallory.{name}({arguments}) RETURNS {result} LANGUAGE plpgsql {kind} AS
         $body$ BEGIN RAISE LOG 'CANARY {name} as %', current_user; RETURN {value}; END $body$;"
    )
}

struct Attack {
    name: &'static str,
    /// What mallory makes.
    setup: String,
    statement: &'static str,
    search_path: &'static str,
    /// What the gate must name.
    named: &'static str,
    since: u32,
    until: u32,
}

fn attack(name: &'static str, setup: &str, statement: &'static str, named: &'static str) -> Attack {
    Attack {
        name,
        setup: canary(name, "int", "int", "IMMUTABLE") + setup,
        statement,
        search_path: "public",
        named,
        since: 14,
        until: 99,
    }
}

/// What a statement names itself.
fn attacks_by_the_statement() -> Vec<Attack> {
    vec![
        attack("folded", "", "SELECT mallory.folded(1)", "function mallory.folded(integer), owned by mallory,"),
        Attack {
            setup: canary("estimated", "int", "int", "STABLE"),
            ..attack(
                "estimated",
                "",
                "SELECT * FROM shop.orders WHERE id = mallory.estimated(3)",
                "function mallory.estimated(integer)",
            )
        },
        Attack {
            setup: canary("leak", "text, text", "boolean", "VOLATILE").replace("as %', current_user", "as % %', current_user, $1")
                + "CREATE OPERATOR mallory.=== (LEFTARG = text, RIGHTARG = text, PROCEDURE = mallory.leak, RESTRICT = eqsel);",
            ..attack(
                "leak",
                "",
                "SELECT * FROM shop.orders WHERE note OPERATOR(mallory.===) 'x'",
                "operator mallory.===(pg_catalog.text,pg_catalog.text), owned by mallory,",
            )
        },
        attack(
            "inlined",
            "CREATE FUNCTION mallory.attribute(shop.orders) RETURNS int LANGUAGE sql AS 'SELECT mallory.inlined(1)';",
            "SELECT o.attribute FROM shop.orders AS o",
            "function mallory.attribute",
        )
        .at("mallory, public"),
        Attack {
            until: 16,
            ..attack("json_scalar", "", "SELECT json_scalar(1)", "function mallory.json_scalar(integer)")
                .at("mallory, public")
        },
        Attack {
            until: 16,
            ..attack("merge_action", "", "SELECT merge_action()", "function mallory.merge_action(")
                .at("mallory, public")
        }
        .with(canary("merge_action", "", "int", "IMMUTABLE").replace("$1", "1")),
        attack(
            "checked",
            "CREATE DOMAIN mallory.checked_domain AS int CHECK (mallory.checked(1) = VALUE);",
            "SELECT '{1}'::mallory.checked_domain[]",
            "function mallory.checked(integer), owned by mallory, could run while planning (domain constraint",
        ),
        attack(
            "parameter",
            "CREATE DOMAIN mallory.asked AS int CHECK (mallory.parameter(1) = VALUE);",
            "SELECT ARRAY[$1::mallory.asked]",
            "function mallory.parameter(integer)",
        ),
        attack(
            "coerced",
            "CREATE DOMAIN mallory.coerced_domain AS int CHECK (mallory.coerced(1) = VALUE);
             CREATE TYPE mallory.pair AS (a mallory.coerced_domain);",
            "SELECT pair('(1)')",
            "function mallory.coerced(integer)",
        )
        .at("mallory, public"),
        Attack {
            setup: "CREATE TYPE mallory.colour AS ENUM ('red');".to_owned()
                + &canary("cast_away", "mallory.colour", "text", "IMMUTABLE")
                + "CREATE CAST (mallory.colour AS text) WITH FUNCTION mallory.cast_away(mallory.colour);",
            ..attack("cast_away", "", "SELECT 'red'::mallory.colour::text", "cast")
        },
        Attack {
            setup: canary("same", "oid, oid", "boolean", "VOLATILE")
                + "CREATE OPERATOR mallory.= (LEFTARG = oid, RIGHTARG = oid, PROCEDURE = mallory.same);
                   CREATE VIEW mallory.plain AS SELECT 1 AS a;",
            ..attack(
                "same",
                "",
                "SELECT * FROM shop.orders WHERE note = pg_catalog.pg_get_viewdef('mallory.plain'::pg_catalog.regclass)",
                "function pg_get_viewdef could run while planning: it looks into the server",
            )
            .at("mallory, pg_catalog")
        },
        attack(
            "key",
            "CREATE TABLE mallory.whole (a int) PARTITION BY RANGE ((a + mallory.key(1)));
             CREATE TABLE mallory.part PARTITION OF mallory.whole FOR VALUES FROM (1) TO (9);",
            "SELECT * FROM shop.orders WHERE note = pg_get_partition_constraintdef('mallory.part'::regclass)",
            "function pg_get_partition_constraintdef",
        ),
        attack("helper", "", "SELECT * FROM shop.orders WHERE id = shop.helped(1)", "shop.helped(integer), owned by postgres,")
            .at("mallory, public"),
    ]
}

/// What a harmless statement reaches through its table.
fn attacks_by_the_table() -> Vec<Attack> {
    vec![
        attack(
            "predicate",
            "CREATE TABLE mallory.indexed (a int); CREATE INDEX ON mallory.indexed (a) WHERE a > mallory.predicate(1);",
            "SELECT * FROM mallory.indexed WHERE a = 1",
            "(index mallory.indexed_a_idx)",
        ),
        attack(
            "viewed",
            "CREATE VIEW mallory.view AS SELECT id FROM shop.orders WHERE id = mallory.viewed(1);
             CREATE VIEW mallory.outer_view AS SELECT * FROM mallory.view;",
            "SELECT * FROM mallory.outer_view",
            "(rule \"_RETURN\" on mallory.view)",
        ),
        attack(
            "policed",
            "CREATE TABLE mallory.secured (a int); ALTER TABLE mallory.secured ENABLE ROW LEVEL SECURITY;
             CREATE POLICY p ON mallory.secured USING (a = mallory.policed(1));",
            "SELECT * FROM mallory.secured",
            "(policy p on mallory.secured)",
        ),
        attack(
            "checking",
            "CREATE TABLE mallory.parent (a int); CREATE TABLE mallory.child (CHECK (a > mallory.checking(1))) INHERITS (mallory.parent);",
            "SELECT * FROM mallory.parent WHERE a = 5",
            "(table constraint child_a_check on mallory.child)",
        ),
        attack(
            "partitioned",
            "CREATE TABLE mallory.parted (a int) PARTITION BY RANGE ((a + mallory.partitioned(1)));
             CREATE TABLE mallory.parted_1 PARTITION OF mallory.parted FOR VALUES FROM (1) TO (9);",
            "SELECT * FROM mallory.parted_1 WHERE a = 1",
            "function mallory.partitioned(integer)",
        ),
        attack(
            "counted",
            "CREATE TABLE mallory.sampled (a int, b int); CREATE STATISTICS mallory.s ON (a + mallory.counted(1)), b FROM mallory.sampled;",
            "SELECT * FROM mallory.sampled WHERE a = 1 AND b = 1",
            "(statistics object mallory.s)",
        ),
        attack(
            "ruled",
            "CREATE TABLE mallory.ruled_table (a int);
             CREATE RULE r AS ON INSERT TO mallory.ruled_table DO ALSO SELECT mallory.ruled(1);",
            "INSERT INTO mallory.ruled_table VALUES (1)",
            "(rule r on mallory.ruled_table)",
        ),
        attack(
            "defaulted",
            "CREATE TABLE mallory.filled (a int, b int DEFAULT mallory.defaulted(1));",
            "INSERT INTO mallory.filled (a) VALUES (1)",
            "(default value for mallory.filled.b)",
        ),
        Attack {
            setup: canary("apart", "float8, float8", "float8", "IMMUTABLE")
                + "CREATE TYPE mallory.span AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = mallory.apart);
                   CREATE TABLE mallory.spans (s mallory.span);
                   INSERT INTO mallory.spans SELECT mallory.span(g, g + 1) FROM generate_series(1, 200) AS g; ANALYZE mallory.spans;",
            ..attack("apart", "", "SELECT * FROM mallory.spans WHERE s && '[1.5,2.5]'", "(type mallory.span)")
        },
        Attack {
            setup: canary("asked", "name, name", "boolean", "VOLATILE")
                + "CREATE OPERATOR mallory.= (LEFTARG = name, RIGHTARG = name, PROCEDURE = mallory.asked);
                   CREATE VIEW mallory.document AS SELECT id FROM shop.orders
                   WHERE note = schema_to_xmlschema('shop', false, false, '')::text;",
            ..attack("asked", "", "SELECT id FROM mallory.document", "operator mallory.=")
                .at("mallory, pg_catalog")
        },
    ]
}

impl Attack {
    fn at(self, search_path: &'static str) -> Self {
        Self { search_path, ..self }
    }
    fn with(self, setup: String) -> Self {
        Self { setup, ..self }
    }
    fn ran(&self, cluster: &Cluster, user: &str) -> bool {
        cluster.log().contains(&format!("CANARY {} as {user}", self.name))
    }
}

async fn attacked(attacks: Vec<Attack>) {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", LAB).await;
        let fitting = |attack: &&Attack| (attack.since..=attack.until).contains(&version);
        for attack in attacks.iter().filter(fitting) {
            // a schema for each, so that none stands in the way of another
            cluster
                .sql(
                    "postgres",
                    "DROP SCHEMA mallory CASCADE; CREATE SCHEMA mallory AUTHORIZATION mallory",
                )
                .await;
            let grants = "GRANT USAGE ON SCHEMA mallory TO public; GRANT ALL ON ALL TABLES IN SCHEMA mallory TO public";
            cluster
                .sql(
                    "postgres",
                    &format!("SET ROLE mallory; {} {grants}", attack.setup),
                )
                .await;
            let statement = ServerText::one_query(attack.statement).unwrap();
            for user in ["planner", "postgres"] {
                // a policy does not bind a superuser
                let exempt = user == "postgres" && attack.name == "policed";
                let session = plan(&cluster, user, "postgres").await;
                let mut gate = Gate::open(&session, &[]).await.unwrap();
                let refused = refusal(&session, &mut gate, attack.statement, attack.search_path).await;
                assert!(
                    refused.contains(attack.named) || exempt && !refused.is_empty(),
                    "{version} {user} {}: {refused}",
                    attack.name
                );
                let harmless =
                    ServerText::one_query("SELECT * FROM shop.orders AS o WHERE o.id = $1").unwrap();
                let passed = gate
                    .examine(&session, &harmless, &path("shop"), Some("app"))
                    .await
                    .unwrap();
                assert!(
                    matches!(&passed, Passage::Passes { relations } if relations.len() == 1),
                    "{version} {}: {passed:?}",
                    attack.name
                );
                session
                    .explain(&harmless, "shop, pg_temp", Parameters::Unknown)
                    .await
                    .unwrap();
                assert!(
                    !attack.ran(&cluster, user),
                    "{version} {}: the gate ran it",
                    attack.name
                );
                // without the gate it runs, whatever becomes of the plan
                let session = plan(&cluster, user, "postgres").await;
                let _ = session
                    .explain(
                        &statement,
                        &path(attack.search_path).to_string(),
                        Parameters::Unknown,
                    )
                    .await;
                assert!(
                    attack.ran(&cluster, user) || exempt,
                    "{version} {user} {}: it never ran",
                    attack.name
                );
            }
        }
        assert!(
            !cluster.log().contains("CANARY leak as planner")
                || cluster.log().contains("CANARY leak as planner secret 1")
        );
    }
}

#[tokio::test]
async fn code_that_a_statement_names_does_not_run() {
    attacked(attacks_by_the_statement()).await;
}

#[tokio::test]
async fn code_that_a_table_brings_along_does_not_run() {
    attacked(attacks_by_the_table()).await;
}

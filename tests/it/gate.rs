//! The gate: attacks on whoever plans somebody else's statement, each shown to work on the planner alone and to be stopped
//! by the gate, and what must pass all the same.
//!
//! A canary is a function that writes to the server's log when it runs.

use std::time::{Duration, Instant};

use pgadvisor::index_advisor::gate::{Gate, Giver, Passage, Reason};
use pgadvisor::index_advisor::search_path::{SearchPath, search_path_of};
use pgadvisor::postgres::conninfo::{ConnInfo, Environment};
use pgadvisor::postgres::{Detail, Parameters, Plan, Server, ServerText};

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

pub const LAB: &str = "
    CREATE ROLE planner LOGIN; CREATE ROLE app LOGIN; CREATE ROLE mallory LOGIN;
    CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO public;
    CREATE TABLE shop.orders (id int PRIMARY KEY, total int, note text);
    INSERT INTO shop.orders SELECT g, g % 10, 'secret ' || g % 5 FROM generate_series(1, 2000) AS g;
    ANALYZE shop.orders; GRANT SELECT ON shop.orders TO public;
    -- trusted, but it looks names up when it runs
    CREATE FUNCTION shop.helped(int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN helper($1); END';
    CREATE FUNCTION shop.configured() RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT max(a) FROM settings WHERE a > 0); END';
    CREATE FUNCTION shop.alone(int) RETURNS int LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS 'BEGIN RETURN $1; END';
    CREATE SCHEMA mallory AUTHORIZATION mallory; GRANT USAGE ON SCHEMA mallory TO public;
";

/// A function of mallory's that tells that it ran, and as whom.
pub fn canary(name: &str, arguments: &str, result: &str, kind: &str) -> String {
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
                "(operator mallory.===(pg_catalog.text,pg_catalog.text))",
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
            "CREATE DOMAIN mallory.coerced_domain AS int CHECK (mallory.coerced(1) = VALUE);",
            "SELECT coerced_domain('1')",
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
        // the function stands where nobody looks; a table in the path brings it along
        attack(
            "brought",
            "CREATE SCHEMA brought; GRANT USAGE ON SCHEMA brought TO public; ALTER FUNCTION mallory.brought SET SCHEMA brought;
             CREATE TABLE mallory.settings (a int); CREATE INDEX ON mallory.settings (a) WHERE a > brought.brought(1);",
            "SELECT * FROM shop.orders WHERE id = shop.configured()",
            "shop.configured(), owned by postgres, looks names up where others have objects: table mallory.settings",
        )
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
            "SELECT * FROM mallory.parted WHERE a = 1",
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
            setup: canary("tabled", "int", "int", "VOLATILE")
                + "CREATE VIEW mallory.running AS SELECT mallory.tabled(1) AS a;
                   CREATE VIEW mallory.document AS SELECT id FROM shop.orders
                   WHERE note = table_to_xml('mallory.running'::regclass, false, false, '')::text;",
            ..attack(
                "tabled",
                "",
                "SELECT id FROM mallory.document",
                "function table_to_xml could run while planning (rule \"_RETURN\" on mallory.document)",
            )
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
    /// What is not as it should be.
    async fn tried(&self, cluster: &Cluster, user: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        // a policy does not bind a superuser
        let exempt = user == "postgres" && self.name == "policed";
        let session = plan(cluster, user, "postgres").await;
        let mut gate = Gate::open(&session, &[]).await.unwrap();
        let refused = refusal(&session, &mut gate, self.statement, self.search_path).await;
        let fits = match exempt {
            true => !refused.is_empty(),
            false => refused.contains(self.named),
        };
        if !fits {
            wrong.push(format!("refused for {refused:?}"));
        }
        let harmless = ServerText::one_query("SELECT * FROM shop.orders AS o WHERE o.id = $1").unwrap();
        let passed = gate
            .examine(&session, &harmless, &path("shop"), Some("app"))
            .await
            .unwrap();
        if !matches!(&passed, Passage::Passes { relations } if relations.len() == 1) {
            wrong.push(format!("a harmless statement: {passed:?}"));
        }
        session
            .explain(&harmless, "shop, pg_temp", Parameters::Unknown, Detail::Costs)
            .await
            .unwrap();
        if self.ran(cluster, user) {
            wrong.push("it ran behind the gate".to_owned());
        }
        let session = plan(cluster, user, "postgres").await;
        let statement = ServerText::one_query(self.statement).unwrap();
        let unguarded = session
            .explain(
                &statement,
                &path(self.search_path).to_string(),
                Parameters::Unknown,
                Detail::Costs,
            )
            .await;
        if !self.ran(cluster, user) && !exempt {
            let error = unguarded.map_or_else(|error| error.one_line(), |_| "planned".to_owned());
            wrong.push(format!("it did not run without the gate: {error}"));
        }
        wrong
    }
    fn ran(&self, cluster: &Cluster, user: &str) -> bool {
        cluster.log().contains(&format!("CANARY {} as {user}", self.name))
    }
}

/// The gate in front of each attack, as an ordinary login and as a superuser; then the attack without it.
async fn attacked(attacks: Vec<Attack>) {
    let mut wrong = Vec::new();
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", LAB).await;
        let fitting = |attack: &&Attack| (attack.since..=attack.until).contains(&version);
        for attack in attacks.iter().filter(fitting) {
            // a schema for each, so that none stands in the way of another
            let fresh = "GRANT CREATE ON DATABASE postgres TO mallory; DROP SCHEMA IF EXISTS brought CASCADE; DROP SCHEMA mallory CASCADE; CREATE SCHEMA mallory AUTHORIZATION mallory; SET ROLE mallory;";
            let grants = "GRANT USAGE ON SCHEMA mallory TO public; GRANT ALL ON ALL TABLES IN SCHEMA mallory TO public";
            cluster
                .sql("postgres", &format!("{fresh} {} {grants}", attack.setup))
                .await;
            for user in ["planner", "postgres"] {
                for what in attack.tried(&cluster, user).await {
                    wrong.push(format!("{version} {} as {user}: {what}", attack.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn code_that_a_statement_names_does_not_run() {
    attacked(attacks_by_the_statement()).await;
}

#[tokio::test]
async fn code_that_a_table_brings_along_does_not_run() {
    attacked(attacks_by_the_table()).await;
}

#[tokio::test]
async fn what_cannot_run_while_planning_passes() {
    for version in present(&ALL) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", LAB).await;
        let setup = canary("counting", "int", "int", "VOLATILE")
            + "CREATE FUNCTION mallory.stamp() RETURNS trigger LANGUAGE plpgsql IMMUTABLE AS
               'BEGIN RAISE LOG ''CANARY stamp''; RETURN NEW; END';
               CREATE TABLE mallory.stamped (a int CHECK (a > 0), b date DEFAULT now());
               CREATE TRIGGER t BEFORE INSERT ON mallory.stamped FOR EACH ROW EXECUTE FUNCTION mallory.stamp();
               CREATE INDEX ON mallory.stamped (abs(a)) WHERE a < 100;
               CREATE VIEW mallory.today AS SELECT s.a, lower(o.note) AS note FROM mallory.stamped s JOIN shop.orders o ON o.id = s.a
                   WHERE s.b = current_date AND s.b < now();
               GRANT ALL ON mallory.stamped, mallory.today TO public";
        cluster
            .sql("postgres", &format!("SET ROLE mallory; {setup}"))
            .await;
        for user in ["planner", "postgres"] {
            let session = plan(&cluster, user, "postgres").await;
            let mut gate = Gate::open(&session, &[]).await.unwrap();
            for (text, reached) in [
                ("SELECT id, mallory.counting(id) FROM orders WHERE id = $1", 1),
                ("SELECT * FROM mallory.stamped WHERE abs(a) = $1", 1),
                ("INSERT INTO mallory.stamped (a) VALUES ($1)", 1),
                ("SELECT count(*) FROM mallory.today WHERE note LIKE 'a%'", 2),
                ("SELECT shop.alone(1), max(total) FROM orders GROUP BY note", 1),
                (
                    "WITH a AS (SELECT 1 AS id) SELECT * FROM a JOIN orders USING (id) WHERE note IN ('a', 'b')",
                    1,
                ),
                (
                    "UPDATE mallory.stamped SET a = a + 1 WHERE b BETWEEN $1 AND $2",
                    1,
                ),
            ] {
                let passage = examined(&session, &mut gate, text, "shop").await;
                assert!(
                    matches!(&passage, Passage::Passes { relations } if relations.len() == reached),
                    "{version} {user}: {text}: {passage:?}"
                );
                let statement = ServerText::one_query(text).unwrap();
                session
                    .explain(&statement, "shop, pg_temp", Parameters::Unknown, Detail::Costs)
                    .await
                    .unwrap_or_else(|error| panic!("{version} {text}: {}", error.one_line()));
            }
        }
        assert!(!cluster.log().contains("CANARY"), "{}", cluster.log());
    }
}

/// Operators that anybody who may create in a schema of everybody's search_path can put there.
const OPERATORS: &str = "
    CREATE TABLE shop.mails (id int, big bigint, mail varchar, created timestamptz); GRANT SELECT ON shop.mails TO public;
    INSERT INTO shop.mails SELECT g, g, 'a' || g, now() FROM generate_series(1, 100) AS g; ANALYZE shop.mails;
    GRANT CREATE ON SCHEMA public TO mallory; GRANT USAGE ON SCHEMA public TO public;
    SET ROLE mallory;
    CREATE OPERATOR public.= (LEFTARG = int, RIGHTARG = text, PROCEDURE = mallory.mixed);
    CREATE OPERATOR public.= (LEFTARG = int, RIGHTARG = int, PROCEDURE = mallory.twin);
    CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, PROCEDURE = mallory.varied);";

#[tokio::test]
async fn an_operator_of_somebody_refuses_only_what_uses_its_name() {
    for version in present(&[14, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", LAB).await;
        let canaries = canary("mixed", "int, text", "boolean", "IMMUTABLE")
            + &canary("twin", "int, int", "boolean", "IMMUTABLE")
            + &canary("varied", "varchar, varchar", "boolean", "IMMUTABLE");
        cluster
            .sql("postgres", &format!("SET ROLE mallory; {canaries}"))
            .await;
        cluster.sql("postgres", OPERATORS).await;
        let session = plan(&cluster, "planner", "postgres").await;
        let mut gate = Gate::open(&session, &[]).await.unwrap();
        for text in [
            "SELECT * FROM mails WHERE created > now()",
            "SELECT * FROM mails WHERE id BETWEEN 1 AND 2 ORDER BY id",
            "SELECT DISTINCT mail FROM mails",
            "SELECT id, count(*) FROM mails WHERE big < $1 GROUP BY id ORDER BY id DESC",
            "SELECT * FROM mails WHERE mail OPERATOR(pg_catalog.=) $1",
            "UPDATE orders SET total = 1 WHERE id > $1",
        ] {
            let refused = refusal(&session, &mut gate, text, "shop, public").await;
            assert_eq!(refused, "", "on {version}: {text}");
            let statement = ServerText::one_query(text).unwrap();
            // the login may not write, which is told, too, only after the names are resolved
            let planned = session
                .explain(
                    &statement,
                    "shop, public, pg_temp",
                    Parameters::Unknown,
                    Detail::Costs,
                )
                .await;
            assert!(
                planned.is_ok() || text.starts_with("UPDATE"),
                "on {version}: {text}: {}",
                planned.unwrap_err().one_line()
            );
        }
        let may_mean = [
            "SELECT * FROM mails WHERE id = 5",
            "SELECT * FROM mails WHERE id IN (1, 2)",
            "SELECT * FROM mails WHERE id = ANY ($1)",
            "SELECT * FROM mails WHERE id IN (SELECT 1)",
            "SELECT CASE id WHEN 1 THEN 2 END FROM mails",
            "SELECT NULLIF(id, 1) FROM mails",
            "SELECT * FROM mails WHERE id IS DISTINCT FROM 1",
            "SELECT * FROM mails AS m JOIN orders AS o USING (id)",
            "WITH orders AS (SELECT mail::varchar AS id FROM mails) SELECT * FROM orders o WHERE o.id = $1",
            "SELECT (VALUES ('x'::text), ('y') ORDER BY column1 = 'x' LIMIT 1), m.* FROM mails m",
            "SELECT * FROM mails WHERE id = lower($1)",
            "SELECT * FROM mails WHERE id = (SELECT 'a'::text)",
            "SELECT * FROM mails WHERE mail = $1",
            "SELECT * FROM mails WHERE id OPERATOR(public.=) 5",
            "SELECT * FROM mails NATURAL JOIN orders",
            "SELECT * FROM (SELECT id AS a FROM mails) AS m WHERE a = $1",
            "SELECT 1 = 'a'::text",
        ];
        for text in may_mean {
            let refused = refusal(&session, &mut gate, text, "shop, public").await;
            for part in ["owned by mallory", "--trust-owner=mallory", "DROP OPERATOR"] {
                assert!(refused.contains(part), "on {version}: {text}: {refused:?}");
            }
        }
        // what stands before pg_catalog is found before it
        let first = refusal(
            &session,
            &mut gate,
            "SELECT * FROM mails WHERE id = 5",
            "public, pg_catalog, shop",
        )
        .await;
        assert!(first.contains("owned by mallory"), "on {version}: {first:?}");
        assert!(
            !cluster.log().contains("CANARY"),
            "on {version}: {}",
            cluster.log()
        );
        let session = plan(&cluster, "planner", "postgres").await;
        let statement = ServerText::one_query("SELECT 1 = 'a'::text, 'a'::varchar = 'b'::varchar").unwrap();
        let unguarded = session
            .explain(&statement, "public, pg_temp", Parameters::Unknown, Detail::Costs)
            .await;
        let log = cluster.log();
        for name in ["mixed", "varied"] {
            let ran = format!("CANARY {name} as planner");
            assert!(
                log.contains(&ran),
                "on {version}, {name} does no harm unguarded: {unguarded:?}"
            );
        }
    }
}

#[tokio::test]
async fn trust_is_by_owner() {
    let cluster = Cluster::start(18).await;
    cluster
        .sql(
            "postgres",
            "CREATE ROLE planner LOGIN; CREATE ROLE app LOGIN; CREATE ROLE boss",
        )
        .await;
    cluster.sql("postgres", "CREATE DATABASE shop OWNER boss").await;
    let setup = "CREATE SCHEMA app AUTHORIZATION app; GRANT USAGE ON SCHEMA app TO public; GRANT CREATE ON SCHEMA app TO boss;
                 CREATE FUNCTION app.by_app(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
                 ALTER FUNCTION app.by_app OWNER TO app;
                 CREATE FUNCTION app.by_boss(int) RETURNS int LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS 'BEGIN RETURN $1; END';
                 ALTER FUNCTION app.by_boss OWNER TO boss";
    cluster.sql("shop", setup).await;
    let by = |user: &'static str, trusted: &'static [&'static str], text: &'static str| {
        let cluster = &cluster;
        async move {
            let session = plan(cluster, user, "shop").await;
            let trusted: Vec<String> = trusted.iter().map(|name| (*name).to_owned()).collect();
            let mut gate = Gate::open(&session, &trusted).await.unwrap();
            assert_eq!(gate.planner_is_powerful(), user == "postgres");
            refusal(&session, &mut gate, text, "app").await
        }
    };
    let (app, boss) = ("SELECT app.by_app(1)", "SELECT app.by_boss(1)");
    assert_eq!(
        by("planner", &[], app).await,
        "not planned: function app.by_app(integer), owned by app, could run while planning; to let code of app run with the \
         rights of a login that plans and is no superuser (for one that is it has no effect): trusted_owners = [\"app\"] of the server, or advise --trust-owner=app"
    );
    assert_eq!(by("planner", &["app"], app).await, "");
    // its own code an ordinary login may run
    assert_eq!(by("app", &[], app).await, "");
    // the database's owner is trusted, but not by a superuser, who trusts nobody else either
    assert_eq!(by("planner", &[], boss).await, "");
    assert!(by("postgres", &[], boss).await.contains("owned by boss"));
    assert!(by("postgres", &["app"], app).await.contains("owned by app"));
    // a name that no role has does no harm
    assert_eq!(by("planner", &["nix", "é", "app"], app).await, "");
    cluster.sql("shop", "GRANT pg_read_server_files TO planner").await;
    let session = plan(&cluster, "planner", "shop").await;
    assert!(Gate::open(&session, &[]).await.unwrap().planner_is_powerful());
    let named: Vec<String> = ["app", "nix", "é"].map(str::to_owned).into();
    let gate = Gate::open(&session, &named).await.unwrap();
    assert!(gate.planner_is_powerful());
    assert_eq!(gate.unknown_owners(), ["nix", "é"]);
}

#[tokio::test]
async fn a_name_that_the_encoding_lacks_trusts_nobody_and_does_no_harm() {
    let cluster = Cluster::start(18).await;
    let eastern = "CREATE DATABASE eastern TEMPLATE template0 ENCODING 'LATIN2' LOCALE 'C'";
    cluster.sql("postgres", eastern).await;
    let named: Vec<String> = ["東", "postgres"].map(str::to_owned).into();
    let session = plan(&cluster, "postgres", "eastern").await;
    let gate = Gate::open(&session, &named).await.unwrap();
    assert_eq!(gate.unknown_owners(), ["東"]);
}

#[tokio::test]
async fn names_mean_what_they_meant() {
    for version in present(&[15, 18]) {
        names_mean_what_they_meant_on(version).await;
    }
}

async fn names_mean_what_they_meant_on(version: u32) {
    let cluster = Cluster::start(version).await;
    let setup = "CREATE ROLE planner LOGIN; CREATE ROLE app LOGIN; CREATE SCHEMA a; CREATE SCHEMA b; CREATE SCHEMA hidden;
                 GRANT USAGE ON SCHEMA a, b TO public; GRANT USAGE ON SCHEMA hidden TO app;
                 CREATE TABLE a.t (x int); CREATE TABLE b.t (x int); CREATE TABLE b.single (x int); CREATE INDEX i ON a.t (x);
                 CREATE TABLE hidden.t (x int); CREATE TABLE hidden.secret (x int);
                 CREATE FOREIGN DATA WRAPPER dummy; CREATE SERVER far FOREIGN DATA WRAPPER dummy;
                 CREATE FOREIGN TABLE a.remote (x int) SERVER far; CREATE VIEW a.through AS SELECT * FROM a.remote;
                 CREATE TABLE a.parted (x int) PARTITION BY LIST (x);
                 CREATE FOREIGN TABLE a.part PARTITION OF a.parted FOR VALUES IN (1) SERVER far";
    cluster.sql("postgres", setup).await;
    let session = plan(&cluster, "planner", "postgres").await;
    let mut gate = Gate::open(&session, &[]).await.unwrap();
    let t = |schema: &str| format!("SELECT '{schema}.t'::regclass::oid::int8");
    for (setting, schema) in [("a, b", "a"), ("b, a", "b"), ("nix, b", "b")] {
        let oid = cluster.number("postgres", &t(schema)).await as u32;
        let passage = examined(&session, &mut gate, "SELECT * FROM t", setting).await;
        assert_eq!(passage, Passage::Passes { relations: vec![oid] }, "{setting}");
    }
    for (text, setting, why) in [
        (
            "SELECT * FROM t",
            "public",
            "not planned: ambiguous: t is found in a, b, hidden: say which in the statement, as a.t, or give the role that runs it \
             a search_path that finds it (ALTER ROLE … SET search_path)",
        ),
        (
            "SELECT * FROM single",
            "a",
            "not planned: single is found only in schema b, which is not in the search_path of the role that ran it, or which \
             that role may not use: ALTER ROLE … SET search_path, GRANT USAGE ON SCHEMA",
        ),
        (
            "SELECT * FROM nix",
            "a",
            "not planned: nix is no table or view in the search_path",
        ),
        (
            "SELECT * FROM i",
            "a",
            "not planned: i is no table or view in the search_path",
        ),
        (
            "SELECT * FROM pg_class",
            "a",
            "not planned: pg_catalog.pg_class is a table of PostgreSQL itself",
        ),
        (
            "SELECT * FROM t",
            "hidden, a",
            "not planned: t is found in schema hidden, which the planner may not use: GRANT USAGE ON SCHEMA to it",
        ),
        (
            "SELECT * FROM a.remote",
            "a",
            "not planned: a.remote is a foreign table, and planning could connect to its server",
        ),
        (
            "SELECT * FROM through",
            "a",
            "not planned: a.remote is a foreign table, and planning could connect to its server",
        ),
        (
            "SELECT * FROM parted",
            "a",
            "not planned: a.part is a foreign table, and planning could connect to its server",
        ),
    ] {
        assert_eq!(
            refusal(&session, &mut gate, text, setting).await,
            why,
            "{text} in {setting}"
        );
    }
    // a session that set its own search_path: what only one schema holds is certain, if everything else is
    for (text, setting, admitted) in [
        ("SELECT * FROM single", "a", Ok("a, b, pg_temp")),
        ("SELECT * FROM single, b.t", "a", Ok("a, b, pg_temp")),
        (
            "SELECT * FROM single, t",
            "a",
            Err("ambiguous: t is found in a, b, hidden"),
        ),
        ("SELECT * FROM single, nix", "a", Err("nix is no table or view")),
        (
            "SELECT * FROM secret",
            "a",
            Err("secret is found in schema hidden, which the planner may not use"),
        ),
    ] {
        let statement = ServerText::one_query(text).unwrap();
        let answer = gate
            .admit(&session, &statement, &path(setting), Some("app"))
            .await
            .unwrap();
        let answer = answer
            .map(|path| path.to_string())
            .map_err(|reason| reason.to_string());
        match (&answer, admitted) {
            (Ok(path), Ok(expected)) => assert_eq!(path, expected, "{text}"),
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{text}: {reason}"),
            _ => panic!("{text}: {answer:?}"),
        }
    }
    // a schema that its user may not use holds nothing that it could have meant
    let statement = ServerText::one_query("SELECT * FROM secret").unwrap();
    let refused = gate
        .admit(&session, &statement, &path("a"), Some("planner"))
        .await
        .unwrap();
    assert!(matches!(refused, Err(Reason::OutsidePath { .. })), "{refused:?}");
    // nobody knows whose search_path it was
    let statement = ServerText::one_query("SELECT * FROM t").unwrap();
    let passage = gate
        .examine(&session, &statement, &path("b"), None)
        .await
        .unwrap();
    assert!(
        matches!(&passage, Passage::NotPlanned(Reason::Ambiguous { schemas, .. }) if schemas.len() == 3),
        "{passage:?}"
    );
    // but that of the login that plans and gives it by hand
    let mut gate = gate.for_statements_of(Giver::Planner);
    let passage = gate
        .examine(&session, &statement, &path("b"), None)
        .await
        .unwrap();
    let oid = cluster.number("postgres", &t("b")).await as u32;
    assert_eq!(passage, Passage::Passes { relations: vec![oid] });
    let mut gate = gate.for_statements_of(Giver::Unknown);
    let statement = ServerText::one_query("SELECT * FROM single").unwrap();
    let passage = gate
        .examine(&session, &statement, &path("b"), None)
        .await
        .unwrap();
    assert!(matches!(passage, Passage::Passes { .. }), "{passage:?}");
}

#[tokio::test]
async fn the_search_path_is_that_of_the_role() {
    let cluster = Cluster::start(18).await;
    let setup = "CREATE ROLE planner LOGIN; CREATE ROLE \"Odd \"\"one\" LOGIN;
                 CREATE SCHEMA \"Odd \"\"one\"; CREATE SCHEMA a; CREATE SCHEMA b; CREATE SCHEMA locked; REVOKE ALL ON SCHEMA public FROM public;
                 GRANT USAGE ON SCHEMA \"Odd \"\"one\", a, b TO public";
    cluster.sql("postgres", setup).await;
    cluster.sql("postgres", "CREATE DATABASE other").await;
    let session = plan(&cluster, "planner", "postgres").await;
    let role = "Odd \"one";
    let now = || async { search_path_of(&session, role).await.unwrap().to_string() };
    assert_eq!(now().await, "\"Odd \"\"one\", pg_temp");
    let odd = "\"Odd \"\"one\"";
    for (sql, expected) in [
        (
            "ALTER DATABASE postgres SET search_path = a".to_owned(),
            "a, pg_temp",
        ),
        (
            "ALTER DATABASE other SET search_path = locked".to_owned(),
            "a, pg_temp",
        ),
        (
            format!("ALTER ROLE {odd} SET search_path = b, locked, nix, a"),
            "b, a, pg_temp",
        ),
        (
            format!(
                "ALTER ROLE {odd} IN DATABASE postgres SET search_path = pg_temp, \"$user\", a, pg_catalog"
            ),
            "\"Odd \"\"one\", a, pg_catalog, pg_temp",
        ),
        (
            format!("ALTER ROLE {odd} IN DATABASE postgres SET search_path = ''"),
            "pg_temp",
        ),
    ] {
        cluster.sql("postgres", &sql).await;
        assert_eq!(now().await, expected, "{sql}");
    }
    // of the configuration file whoever may read it
    cluster
        .sql("other", "ALTER DATABASE other RESET ALL; CREATE SCHEMA filed; GRANT USAGE ON SCHEMA filed TO public; CREATE ROLE plain")
        .await;
    cluster.sql("other", "ALTER SYSTEM SET search_path = filed").await;
    for (user, expected) in [("postgres", "filed, pg_temp"), ("planner", "public, pg_temp")] {
        let session = plan(&cluster, user, "other").await;
        assert_eq!(
            search_path_of(&session, "plain").await.unwrap().to_string(),
            expected
        );
    }
}

#[tokio::test]
async fn row_level_security_must_be_the_same_for_both() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        let setup = "CREATE ROLE planner LOGIN; CREATE ROLE app LOGIN; CREATE ROLE clerk LOGIN; CREATE ROLE staff; CREATE ROLE ghost LOGIN BYPASSRLS;
                     CREATE SCHEMA shop AUTHORIZATION app; GRANT USAGE ON SCHEMA shop TO public; SET ROLE app;
                     CREATE TABLE shop.t (x int); ALTER TABLE shop.t ENABLE ROW LEVEL SECURITY; GRANT SELECT ON shop.t TO public;
                     CREATE VIEW shop.v AS SELECT * FROM shop.t; GRANT SELECT ON shop.v TO public;
                     CREATE POLICY broad ON shop.t USING (x > 0)";
        cluster.sql("postgres", setup).await;
        let asked = |user: &'static str, role: Option<&'static str>| {
            let cluster = &cluster;
            async move {
                let session = plan(cluster, user, "postgres").await;
                let mut gate = Gate::open(&session, &[]).await.unwrap();
                let mut passes = Vec::new();
                for text in ["SELECT * FROM shop.t", "SELECT * FROM shop.v"] {
                    let statement = ServerText::one_query(text).unwrap();
                    passes.push(
                        match gate
                            .examine(&session, &statement, &path("shop"), role)
                            .await
                            .unwrap()
                        {
                            Passage::Passes { .. } => true,
                            Passage::NotPlanned(Reason::RowSecurity { role_is_known, .. }) => {
                                assert_eq!(role_is_known, role.is_some_and(|role| role != "nobody"));
                                false
                            }
                            other => panic!("{other:?}"),
                        },
                    );
                }
                assert_eq!(passes[0], passes[1]);
                passes[0]
            }
        };
        assert!(asked("planner", Some("clerk")).await);
        assert!(!asked("planner", Some("app")).await, "the owner is exempt");
        assert!(!asked("planner", Some("ghost")).await);
        assert!(!asked("postgres", Some("clerk")).await);
        assert!(asked("postgres", Some("ghost")).await && asked("postgres", Some("app")).await);
        for unknown in [None, Some("nobody")] {
            assert!(!asked("planner", unknown).await && !asked("postgres", unknown).await);
        }
        cluster
            .sql("postgres", "ALTER TABLE shop.t FORCE ROW LEVEL SECURITY")
            .await;
        assert!(asked("planner", Some("app")).await && !asked("postgres", Some("app")).await);
        cluster
            .sql(
                "postgres",
                "CREATE POLICY few ON shop.t TO staff USING (x < 10); GRANT staff TO clerk",
            )
            .await;
        assert!(!asked("planner", Some("clerk")).await && asked("planner", Some("app")).await);
        cluster.sql("postgres", "GRANT staff TO planner").await;
        assert!(asked("planner", Some("clerk")).await);
    }
}

#[tokio::test]
async fn odd_names_are_names() {
    for version in present(&[15, 18]) {
        odd_names_are_names_on(version).await;
    }
}

async fn odd_names_are_names_on(version: u32) {
    let cluster = Cluster::start(version).await;
    cluster.sql("postgres", LAB).await;
    let odd = "a\"b';--\n\u{202e}<script>$1{schema}";
    let odd = format!("{odd}{}", "x".repeat(63 - odd.len()));
    let quoted = format!("\"{}\"", odd.replace('"', "\"\""));
    let setup = format!(
        "SET ROLE mallory; CREATE TABLE mallory.{quoted} ({quoted} int); GRANT SELECT ON mallory.{quoted} TO public; {}",
        canary("odd", "int", "int", "IMMUTABLE").replace("mallory.odd", &format!("mallory.{quoted}"))
    );
    cluster.sql("postgres", &setup).await;
    let session = plan(&cluster, "planner", "postgres").await;
    let mut gate = Gate::open(&session, &[]).await.unwrap();
    for setting in ["mallory", "public, mallory"] {
        let text = format!(
            "SELECT {quoted} AS {quoted} FROM {quoted} WHERE {quoted} = $1 AND {quoted} <> '{}'",
            7
        );
        assert!(matches!(
            examined(&session, &mut gate, &text, setting).await,
            Passage::Passes { .. }
        ));
    }
    let text = format!("SELECT {quoted}(1)");
    let why = refusal(&session, &mut gate, &text, "mallory").await;
    assert!(
        why.contains("could run while planning") && why.contains("<script>"),
        "{why}"
    );
    // a name that our side and the server could cut differently
    let long = format!("SELECT {}é\"(1) FROM shop.orders", &quoted[..quoted.len() - 1]);
    assert!(
        refusal(&session, &mut gate, &long, "mallory")
            .await
            .contains("could run")
    );
    cluster
        .sql(
            "postgres",
            "CREATE DATABASE eastern TEMPLATE template0 ENCODING 'LATIN2' LOCALE 'C'",
        )
        .await;
    let session = plan(&cluster, "planner", "eastern").await;
    let mut gate = Gate::open(&session, &[]).await.unwrap();
    let passage = examined(&session, &mut gate, "SELECT 'é'", "public").await;
    assert_eq!(passage, Passage::NotPlanned(Reason::Encoding));
    assert!(matches!(
        examined(&session, &mut gate, "SELECT 'e'", "public").await,
        Passage::Passes { .. }
    ));
}

#[tokio::test]
async fn long_and_deep_texts_take_no_time() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", LAB).await;
    let session = plan(&cluster, "planner", "postgres").await;
    let mut gate = Gate::open(&session, &[]).await.unwrap();
    let texts = [
        format!("SELECT '{}'", "x".repeat(1 << 20)),
        format!("SELECT 1 FROM orders WHERE id = 1{}", " OR id = 1".repeat(64_000)),
        format!("SELECT 1 FROM orders WHERE id = 1{}", " OR id = 1".repeat(9_000)),
        format!("SELECT {}1{}", "(SELECT ".repeat(500), ")".repeat(500)),
        format!("SELECT {}1{}", "lower(".repeat(500), ")".repeat(500)),
        format!("SELECT 1{}", " + 1".repeat(20_000)),
        format!("SELECT 1 FROM orders{}", ", orders".repeat(9_000)),
        format!(
            "SELECT {}",
            (0..9_000)
                .map(|n| format!("f{n}()"))
                .collect::<Vec<_>>()
                .join(",")
        ),
        format!(
            "SELECT 1 FROM {}",
            (0..9_000).map(|n| format!("t{n}")).collect::<Vec<_>>().join(",")
        ),
    ];
    for text in &texts {
        let started = Instant::now();
        if let Ok(statement) = ServerText::one_query(text) {
            let _ = gate
                .examine(&session, &statement, &path("shop"), Some("app"))
                .await
                .unwrap();
        }
        let took = started.elapsed();
        assert!(
            took < Duration::from_secs(10),
            "{} bytes took {took:?}: {}…",
            text.len(),
            &text[..40]
        );
    }
    assert!(ServerText::one_query(&texts[0]).is_err() && ServerText::one_query(&texts[1]).is_err());
    assert!(ServerText::one_query(&texts[3]).is_err());
}

#[tokio::test]
async fn what_traps_the_timeout_never_runs() {
    for version in present(&[15, 18]) {
        what_traps_the_timeout_never_runs_on(version).await;
    }
}

async fn what_traps_the_timeout_never_runs_on(version: u32) {
    let cluster = Cluster::start(version).await;
    cluster.sql("postgres", LAB).await;
    let setup = "SET ROLE mallory; CREATE FUNCTION mallory.stubborn(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $body$
                 BEGIN
                     PERFORM pg_sleep(30);
                     RETURN 1;
                 EXCEPTION WHEN query_canceled THEN
                     RAISE LOG 'CANARY outlived the timeout as %', current_user;
                     RETURN 1;
                 END $body$";
    cluster.sql("postgres", setup).await;
    let session = plan(&cluster, "planner", "postgres").await;
    let mut gate = Gate::open(&session, &[]).await.unwrap();
    let text = "SELECT mallory.stubborn(1)";
    let started = Instant::now();
    assert!(
        refusal(&session, &mut gate, text, "shop")
            .await
            .contains("mallory.stubborn")
    );
    assert!(started.elapsed() < Duration::from_secs(2));
    let canary = "CANARY outlived the timeout as planner";
    assert!(!cluster.log().contains(canary));
    let statement = ServerText::one_query(text).unwrap();
    let _ = session
        .explain(&statement, "shop", Parameters::Unknown, Detail::Costs)
        .await;
    assert!(cluster.log().contains(canary), "{}", cluster.log());
}

#[tokio::test]
async fn what_was_found_is_not_asked_again_and_not_believed_for_long() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", LAB).await;
    let setup = "SET ROLE mallory; CREATE TABLE mallory.t (a int); GRANT SELECT ON mallory.t TO public; "
        .to_owned()
        + &canary("late", "int", "int", "IMMUTABLE")
        + "GRANT USAGE ON SCHEMA mallory TO public";
    cluster.sql("postgres", &setup).await;
    let session = plan(&cluster, "planner", "postgres").await;
    assert!(!session.leaves_statements, "so that what it asks is counted");
    let mut gate = Gate::open(&session, &[]).await.unwrap();
    for n in 0..50 {
        let text = format!("SELECT {n} FROM mallory.t WHERE a = {n}");
        assert_eq!(refusal(&session, &mut gate, &text, "shop").await, "");
        let plain = format!("SELECT {n} FROM orders WHERE id = {n}");
        assert_eq!(refusal(&session, &mut gate, &plain, "shop").await, "");
    }
    let asked = |query: &str| {
        format!(
            "SELECT coalesce(sum(calls), 0)::int8 FROM pg_stat_statements WHERE query LIKE '%pgadvisor%{query}%'"
        )
    };
    assert_eq!(cluster.number("postgres", &asked("AS is_code")).await, 1);
    assert_eq!(cluster.number("postgres", &asked("is_usable")).await, 100);
    assert_eq!(cluster.number("postgres", &asked("via_kind")).await, 2);
    cluster
        .sql(
            "postgres",
            "SET ROLE mallory; CREATE INDEX ON mallory.t (a) WHERE a > mallory.late(1)",
        )
        .await;
    let gate = tokio::sync::Mutex::new(gate);
    crate::harness::eventually("the index is seen", || async {
        refusal(
            &session,
            &mut *gate.lock().await,
            "SELECT 1 FROM mallory.t",
            "shop",
        )
        .await
        .contains("mallory.late")
    })
    .await;
}

#[tokio::test]
async fn what_may_not_be_written_is_planned_as_its_twin() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", LAB).await;
        let tables =
            "CREATE TABLE shop.items (order_id int, n int); CREATE TABLE shop.copies (id int, total int);
                      GRANT SELECT ON shop.items, shop.copies TO public";
        cluster.sql("postgres", tables).await;
        let session = plan(&cluster, "planner", "postgres").await;
        let mut gate = Gate::open(&session, &[]).await.unwrap();
        for text in [
            "UPDATE orders SET total = total + $1, note = DEFAULT WHERE id = $2 RETURNING id",
            "UPDATE shop.orders SET (total, note) = (SELECT n, 'x' FROM items WHERE order_id = shop.orders.id) WHERE id = $1",
            "UPDATE orders AS o SET total = i.n FROM items AS i WHERE i.order_id = o.id AND o.id = $1",
            "DELETE FROM orders USING items AS i WHERE i.order_id = orders.id AND orders.id = $1",
            "MERGE INTO orders AS o USING (SELECT $3::int AS id) AS s ON s.id = o.id AND o.id = 7
             WHEN MATCHED AND o.total > $1 THEN UPDATE SET total = $2 WHEN NOT MATCHED THEN DO NOTHING",
            "INSERT INTO copies SELECT id, total FROM orders WHERE id = $1 ON CONFLICT DO NOTHING",
            "WITH gone AS (DELETE FROM orders WHERE id = $1 RETURNING orders.id, total) INSERT INTO copies SELECT * FROM gone",
            "SELECT * FROM orders WHERE id IN (SELECT id FROM orders WHERE id = $1 FOR UPDATE SKIP LOCKED) FOR NO KEY UPDATE",
        ] {
            let statement = ServerText::one_query(text).unwrap();
            let refused = session
                .explain(&statement, "shop", Parameters::Unknown, Detail::Costs)
                .await
                .unwrap_err();
            assert!(refused.is_privilege(), "{version} {text}: {}", refused.one_line());
            let twin = pgadvisor::sql::select_twin(text).unwrap();
            assert_eq!(refusal(&session, &mut gate, &twin, "shop").await, "", "{twin}");
            let tree = session
                .explain(
                    &ServerText::one_query(&twin).unwrap(),
                    "shop",
                    Parameters::Unknown,
                    Detail::Costs,
                )
                .await
                .unwrap_or_else(|error| panic!("{version} {twin}: {}", error.one_line()));
            let reads =
                |node: &&pgadvisor::model::plan::PlanNode| node.index.as_deref() == Some("orders_pkey");
            assert!(tree.nodes().iter().any(reads), "{version} {twin}: {tree:?}");
        }
    }
}

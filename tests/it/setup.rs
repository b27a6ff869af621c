//! What `pgadvisor setup` prints, run on servers that are not as it would like them.

use crate::harness::{Cluster, pgadvisor, present};

/// A database whose search_path begins with the schema of its application, and one where it leads nowhere.
const ELSEWHERE: [&str; 4] = [
    "CREATE DATABASE hosp",
    "CREATE DATABASE second",
    "ALTER DATABASE hosp SET search_path = clinic, public",
    "ALTER DATABASE second SET search_path = nowhere",
];

fn printed() -> String {
    String::from_utf8(pgadvisor().arg("setup").output().unwrap().stdout).unwrap()
}

async fn elsewhere(cluster: &Cluster) {
    for sql in ELSEWHERE {
        cluster.sql("postgres", sql).await;
    }
    cluster.sql("hosp", "CREATE SCHEMA clinic").await;
}

/// How many of its two extensions are in a schema of a database.
async fn extensions_in(cluster: &Cluster, database: &str, schema: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
         WHERE n.nspname = '{schema}' AND e.extname IN ('pg_stat_statements', 'hypopg')"
    );
    cluster.number(database, &sql).await
}

#[tokio::test]
async fn extensions_go_into_no_schema_of_an_application() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        elsewhere(&cluster).await;
        cluster.sql("postgres", "CREATE DATABASE bare").await;
        cluster.sql("bare", "DROP SCHEMA public").await;
        for (database, schema) in [("hosp", "public"), ("second", "public"), ("bare", "extensions")] {
            cluster.sql(database, &printed()).await;
            let there = extensions_in(&cluster, database, schema).await;
            assert_eq!(there, 2, "{database} on {version}");
        }
    }
}

#[tokio::test]
async fn what_is_created_later_in_an_empty_database_can_be_planned() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        let roles = "CREATE ROLE app LOGIN; CREATE ROLE owner LOGIN; CREATE ROLE other LOGIN";
        cluster.sql("postgres", roles).await;
        cluster.sql("postgres", "CREATE DATABASE empty OWNER owner").await;
        cluster.sql("empty", "GRANT CREATE ON SCHEMA public TO app").await;
        cluster.sql("empty", &printed()).await;
        for login in ["postgres", "owner", "app"] {
            let creator = cluster.try_connect(login, "empty").await.unwrap();
            let table = format!("CREATE TABLE public.of_{login} (id int)");
            creator.batch_execute(&table).await.unwrap();
        }
        let planner = cluster.try_connect("pgadvisor_planner", "empty").await.unwrap();
        for login in ["postgres", "owner", "app"] {
            let read = planner
                .batch_execute(&format!("SELECT id FROM public.of_{login}"))
                .await;
            assert!(read.is_ok(), "{login} on {version}: {read:?}");
        }
        let of_others = "SELECT count(*) FROM pg_default_acl WHERE defaclrole = 'other'::regrole";
        assert_eq!(
            cluster.number("empty", of_others).await,
            0,
            "it creates nothing here"
        );
    }
}

#[tokio::test]
async fn the_logins_may_use_extensions_wherever_they_are() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        elsewhere(&cluster).await;
        let there =
            "CREATE EXTENSION pg_stat_statements SCHEMA clinic; CREATE EXTENSION hypopg SCHEMA clinic";
        cluster.sql("hosp", there).await;
        cluster.sql("hosp", &printed()).await;
        let in_clinic = extensions_in(&cluster, "hosp", "clinic").await;
        assert_eq!(in_clinic, 2, "on {version}");
        let checked = pgadvisor()
            .args(["setup", "--check", &cluster.dsn("pgadvisor", "hosp")])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&checked.stdout);
        assert_eq!(checked.status.code(), Some(0), "on {version}: {told}");
        let planner = cluster.try_connect("pgadvisor_planner", "hosp").await.unwrap();
        planner
            .batch_execute("SELECT clinic.hypopg_reset()")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_extension_that_is_there_is_found_where_it_is() {
    let cluster = Cluster::start(18).await;
    let there = "DROP EXTENSION pg_stat_statements; CREATE SCHEMA \"Odd \"\"one\"; CREATE EXTENSION pg_stat_statements SCHEMA \"Odd \"\"one\";
                 CREATE EXTENSION hypopg SCHEMA \"Odd \"\"one\"";
    cluster.sql("postgres", there).await;
    cluster.sql("postgres", &printed()).await;
    for (login, sql) in [
        ("pgadvisor", "SELECT FROM \"Odd \"\"one\".pg_stat_statements_info"),
        ("pgadvisor_planner", "SELECT \"Odd \"\"one\".hypopg_reset()"),
    ] {
        let session = cluster.try_connect(login, "postgres").await.unwrap();
        session.batch_execute(sql).await.unwrap();
    }
}

#[tokio::test]
async fn where_hypopg_has_no_package_all_else_is_there() {
    let cluster = Cluster::start(16).await;
    cluster.sql("postgres", "CREATE TABLE visits (id int)").await;
    let package = "SELECT count(*) FROM pg_available_extensions WHERE name = 'hypopg'";
    assert_eq!(
        cluster.number("postgres", package).await,
        0,
        "this tests a server without HypoPG"
    );
    cluster.sql("postgres", &printed()).await;
    for login in ["pgadvisor", "pgadvisor_planner"] {
        assert!(cluster.try_connect(login, "postgres").await.is_ok(), "{login}");
    }
    let planner = cluster
        .try_connect("pgadvisor_planner", "postgres")
        .await
        .unwrap();
    planner.batch_execute("SELECT id FROM visits").await.unwrap();
}

#[tokio::test]
async fn it_can_be_run_again_and_in_another_database() {
    let cluster = Cluster::start(18).await;
    elsewhere(&cluster).await;
    let refresh = pgadvisor().args(["setup", "--refresh"]).output().unwrap();
    let refresh = String::from_utf8(refresh.stdout).unwrap();
    for database in ["hosp", "second", "hosp"] {
        cluster.sql(database, &printed()).await;
        cluster.sql(database, &refresh).await;
    }
    let logins = "SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolname LIKE 'pgadvisor%'";
    assert_eq!(cluster.number("postgres", logins).await, 3);
}

#[tokio::test]
async fn a_login_that_may_not_use_hypopg_is_told_the_grant() {
    let cluster = Cluster::start(18).await;
    let tables = "CREATE SCHEMA clinic; CREATE EXTENSION hypopg SCHEMA clinic; CREATE ROLE app LOGIN;
                  CREATE TABLE visits (id int PRIMARY KEY, patient int, note text); GRANT SELECT ON visits TO app;
                  INSERT INTO visits SELECT g, g % 5000, repeat('x', 50) FROM generate_series(1, 50000) AS g; ANALYZE visits";
    cluster.sql("postgres", tables).await;
    let dsn = cluster.dsn("app", "postgres");
    let advise = || {
        let statement = "SELECT note FROM visits WHERE patient = $1";
        let output = pgadvisor()
            .args(["advise", "--format", "json", &dsn, "--statement", statement])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let grant = "GRANT USAGE ON SCHEMA clinic TO app";
    let refused = advise();
    let notes = refused["notes"].to_string();
    assert!(
        notes.contains(grant) && !notes.contains("CREATE EXTENSION"),
        "{notes}"
    );
    assert_eq!(
        refused["indexes"][0]["confidence"]["level"], "estimated",
        "{refused}"
    );
    cluster.sql("postgres", grant).await;
    let proven = advise();
    assert_eq!(
        proven["indexes"][0]["confidence"]["level"], "verified",
        "{proven}"
    );
    assert!(!proven["notes"].to_string().contains("GRANT USAGE"), "{proven}");
}

#[tokio::test]
async fn a_lock_that_holds_planning_up_is_told_as_such() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", "CREATE TABLE t (a int)").await;
    let ddl = cluster.connect("postgres").await;
    ddl.batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let dsn = cluster.dsn("postgres", "postgres");
    let output = pgadvisor()
        .args(["advise", "--format", "json", &dsn])
        .args(["--statement", "SELECT a FROM t WHERE a = $1"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("a lock on what it reads held its planning up") && !told.contains("EXPLAIN failed"),
        "{told}{error}"
    );
    ddl.batch_execute("ROLLBACK").await.unwrap();
}

//! Materialized views on real servers: refreshed when due, only when needed, never twice, whatever happens meanwhile.

use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use pgadvisor::model::refresh::{RefreshAction, Run, ViewName};
use pgadvisor::store::{RefreshCommand, Store};
use serde_json::Value;

use crate::harness::{Cluster, eventually, pgadvisor, some_versions};

/// A configuration with a store of its own.
pub struct Setting {
    folder: tempfile::TempDir,
}

impl Setting {
    pub fn new(dsn: &str, refreshes: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[web]\nlisten = \"127.0.0.1:0\"\n[[servers]]\nname = \"main\"\ndsn = \"{dsn}\"\npoll_every = \"1 h\"\n\
             databases = [\"postgres\"]\n{refreshes}\n"
        );
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        Self { folder }
    }

    /// As the login that `setup --refresh` makes.
    pub fn as_refresher(cluster: &Cluster, refreshes: &str) -> Self {
        let dsn = cluster.dsn("pgadvisor_refresher", "postgres");
        let own = format!("refresh_dsn = \"{dsn}\"\n{refreshes}");
        Self::of(cluster, &own)
    }

    pub fn of(cluster: &Cluster, refreshes: &str) -> Self {
        Self::new(&cluster.dsn("postgres", "postgres"), refreshes)
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = pgadvisor();
        command
            .arg("refresh")
            .args(arguments)
            .arg("--config")
            .arg(self.config());
        command
    }

    pub fn refresh(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The runs of a report, which the contract's schema accepts.
    pub fn runs(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.refresh(&[arguments, &["--format", "json"]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
        crate::command_line::conforms("refresh.schema.json", &report);
        let failed = report["runs"].as_array().unwrap().iter().any(|run| {
            ["failed", "cancelled", "blocked_by_failure"].contains(&run["status"].as_str().unwrap())
        });
        assert_eq!(output.status.code(), Some(i32::from(failed)), "{report:#}");
        report["runs"].as_array().unwrap().clone()
    }

    /// The same with looks at the server this often.
    pub fn polled_every(self, period: &str) -> Self {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let text = text.replace("poll_every = \"1 h\"", &format!("poll_every = \"{period}\""));
        std::fs::write(self.config(), text).unwrap();
        self
    }

    /// Asks for a refresh of a view as the page does; false while there is no store yet.
    pub fn ask(&self, name: &str) -> bool {
        let command = RefreshCommand {
            server: "main".into(),
            view: ViewName {
                database: "postgres".into(),
                schema: "public".into(),
                name: name.into(),
            },
            action: RefreshAction::Refresh,
            actor: "ann".into(),
            submitted_at: chrono::Utc::now(),
        };
        let store = Store::open_shared(&self.folder.path().join("pgadvisor.db"));
        store.is_ok_and(|store| store.submit_refresh_command(&command).is_ok())
    }

    /// All that its store has recorded, newest first.
    pub fn recorded(&self) -> Vec<Run> {
        let store = Store::open_shared(&self.folder.path().join("pgadvisor.db"));
        let runs = store.and_then(|store| store.refresh_runs(1000));
        runs.unwrap_or_default().into_iter().map(|(_, run)| run).collect()
    }

    /// The daemon.
    pub fn daemon(&self) -> Running {
        let process = pgadvisor()
            .arg("run")
            .arg("--config")
            .arg(self.config())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Running(process)
    }
}

/// A process that ends with the test.
pub struct Running(Child);

impl Running {
    /// It does nothing any more, and is there.
    pub fn stop(&self) {
        let _ = std::process::Command::new("kill")
            .args(["-STOP", &self.0.id().to_string()])
            .status();
    }

    pub fn signal(&mut self, signal: &str) -> Option<i32> {
        let _ = std::process::Command::new("kill")
            .args([&format!("-{signal}"), &self.0.id().to_string()])
            .status();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The statuses by name, as `a refreshed, b skipped`.
pub fn statuses(runs: &[Value]) -> String {
    let one = |run: &Value| {
        format!(
            "{} {}",
            run["name"].as_str().unwrap(),
            run["status"].as_str().unwrap()
        )
    };
    runs.iter().map(one).collect::<Vec<_>>().join(", ")
}

pub fn reason(runs: &[Value], name: &str) -> String {
    let run = runs.iter().find(|run| run["name"] == name).unwrap();
    run["reason"].as_str().unwrap().to_owned()
}

/// What setup prints for refreshing, as far as it is SQL.
pub async fn with_record(cluster: &Cluster) {
    let output = pgadvisor().args(["setup", "--refresh"]).output().unwrap();
    cluster
        .sql("postgres", &String::from_utf8(output.stdout).unwrap())
        .await;
    cluster
        .sql("postgres", "GRANT postgres TO pgadvisor_refresher")
        .await;
}

pub const SHOP: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, amount int, made timestamptz DEFAULT now());
    INSERT INTO orders SELECT i, i, now() - i * interval '1 minute' FROM generate_series(1, 1000) i;
    CREATE TABLE parts (a int, b int) PARTITION BY LIST (a);
    CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1);
    CREATE VIEW days AS SELECT date_trunc('day', made) AS day, amount, id FROM orders;
    CREATE MATERIALIZED VIEW z_base AS SELECT day, sum(amount) AS amount FROM days GROUP BY day;
    CREATE UNIQUE INDEX ON z_base (day);
    CREATE MATERIALIZED VIEW a_total AS SELECT sum(amount) AS amount FROM z_base;
    CREATE MATERIALIZED VIEW b_parts AS SELECT count(*) FROM parts;
    ANALYZE";

#[tokio::test]
async fn dependencies_go_first_and_what_has_not_changed_is_left_alone() {
    for version in some_versions() {
        let cluster = Cluster::start(version).await;
        let session = cluster.connect("postgres").await;
        session.batch_execute(SHOP).await.unwrap();
        cluster.end(session).await;
        let all = Setting::of(&cluster, "[[refresh]]\nview = \"public.*\"\nevery = \"1 s\"");
        let due = || async {
            tokio::time::sleep(Duration::from_millis(1100)).await;
            all.runs(&["--due"])
        };
        let first = due().await;
        assert_eq!(
            statuses(&first),
            "b_parts refreshed, z_base refreshed, a_total refreshed"
        );
        assert_eq!(first[2]["depends_on"], serde_json::json!(["public.z_base"]));
        assert_eq!(first[1]["mode"], "concurrently");
        assert!(
            first[0]["size_bytes"].as_f64().is_some() && first[0]["elapsed_seconds"].as_f64().unwrap() > 0.0
        );
        let again = due().await;
        assert_eq!(
            statuses(&again),
            "b_parts skipped, z_base skipped, a_total skipped"
        );
        // each kind of change, seen through a view and a partitioned table
        for (change, expected) in [
            (
                "INSERT INTO orders VALUES (2000, 1)",
                "b_parts skipped, z_base refreshed, a_total refreshed",
            ),
            (
                "UPDATE orders SET amount = 2 WHERE id = 2000",
                "b_parts skipped, z_base refreshed, a_total refreshed",
            ),
            (
                "DELETE FROM orders WHERE id = 2000",
                "b_parts skipped, z_base refreshed, a_total refreshed",
            ),
            (
                "INSERT INTO parts VALUES (1, 1)",
                "b_parts refreshed, z_base skipped, a_total skipped",
            ),
            (
                "TRUNCATE part_1",
                "b_parts refreshed, z_base skipped, a_total skipped",
            ),
            (
                "CREATE TABLE part_2 PARTITION OF parts FOR VALUES IN (2)",
                "b_parts refreshed, z_base skipped, a_total skipped",
            ),
            (
                "CREATE OR REPLACE VIEW days AS SELECT date_trunc('day', made) AS day, amount + 1 AS amount, id FROM orders",
                "b_parts skipped, z_base refreshed, a_total refreshed",
            ),
            (
                "SELECT pg_stat_reset()",
                "b_parts refreshed, z_base refreshed, a_total refreshed",
            ),
        ] {
            let session = cluster.connect("postgres").await;
            session.batch_execute(change).await.unwrap();
            cluster.end(session).await;
            assert_eq!(statuses(&due().await), expected, "{version}: {change}");
        }
        assert_eq!(
            cluster
                .number("postgres", "SELECT amount::int8 FROM a_total")
                .await,
            501_500
        );
    }
}

#[tokio::test]
async fn what_changes_by_itself_or_is_not_seen_through_is_never_left_alone() {
    for version in some_versions() {
        let cluster = Cluster::start(version).await;
        let session = cluster.connect("postgres").await;
        session
            .batch_execute(
                "CREATE TABLE t (a int, at timestamptz DEFAULT now());
                 CREATE FUNCTION hidden() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM public.t); END';
                 CREATE VIEW recent AS SELECT * FROM t WHERE at > now() - interval '1 day';
                 CREATE EXTENSION file_fdw; CREATE SERVER f FOREIGN DATA WRAPPER file_fdw;
                 CREATE FOREIGN TABLE far (a text) SERVER f OPTIONS (filename '/dev/null');
                 CREATE SEQUENCE s;
                 CREATE MATERIALIZED VIEW m1 AS SELECT count(*) FROM recent;
                 CREATE MATERIALIZED VIEW m2 AS SELECT current_date AS today, count(*) FROM t;
                 CREATE MATERIALIZED VIEW m3 AS SELECT random() AS r FROM t;
                 CREATE MATERIALIZED VIEW m4 AS SELECT hidden();
                 CREATE MATERIALIZED VIEW m5 AS SELECT count(*) FROM far;
                 CREATE MATERIALIZED VIEW m6 AS SELECT count(*) FROM pg_class;
                 CREATE MATERIALIZED VIEW m7 AS SELECT a, 'today'::text::date AS d FROM t;
                 CREATE MATERIALIZED VIEW m8 AS SELECT nextval('s') AS n FROM t;
                 CREATE MATERIALIZED VIEW m9a AS SELECT last_value FROM s;
                 CREATE MATERIALIZED VIEW m9b AS SELECT a FROM t TABLESAMPLE SYSTEM (50);
                 CREATE MATERIALIZED VIEW m9c AS SELECT trim('today'::text)::date AS d FROM t;
                 CREATE TABLE secret (a int); ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
                 CREATE POLICY p ON secret USING (a > (SELECT count(*) FROM t));
                 CREATE MATERIALIZED VIEW m9d AS SELECT a FROM secret;
                 CREATE MATERIALIZED VIEW n1 AS SELECT date_trunc('day', at), to_char(at, 'YYYY'), extract(year FROM at), at::date,
                     jsonb_agg(a), string_agg(a::text, ','), lower('X'), count(DISTINCT a), max(at) FROM t GROUP BY at;
                 CREATE MATERIALIZED VIEW n2 AS SELECT ':relid 1259 random' AS \":relid 1259 :funcid 1598 \", a FROM t",
            )
            .await
            .unwrap();
        cluster.end(session).await;
        let setting = Setting::of(&cluster, "[[refresh]]\nview = \"public.*\"\nevery = \"1 s\"");
        setting.runs(&["--due"]);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let runs = setting.runs(&["--due"]);
        assert_eq!(
            statuses(&runs),
            "m1 refreshed, m2 refreshed, m3 refreshed, m4 refreshed, m5 refreshed, m6 refreshed, m7 refreshed, m8 refreshed, \
             m9a refreshed, m9b refreshed, m9c refreshed, m9d refreshed, n1 skipped, n2 skipped",
            "{version}"
        );
        cluster
            .sql(
                "postgres",
                "CREATE ROLE writer; ALTER ROLE writer SET track_counts = off",
            )
            .await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let runs = setting.runs(&["--due"]);
        assert!(
            statuses(&runs).ends_with("n1 refreshed, n2 refreshed"),
            "{}",
            statuses(&runs)
        );
    }
}

#[tokio::test]
async fn what_a_refresh_wrote_is_recorded_where_it_is_counted_of_it_alone() {
    for version in some_versions() {
        let cluster = Cluster::start(version).await;
        cluster
            .sql(
                "postgres",
                "CREATE TABLE t AS SELECT i AS a, md5(i::text) AS b FROM generate_series(1, 20000) AS i;
                 CREATE MATERIALIZED VIEW \"M v\" AS SELECT a, b FROM t ORDER BY b; CREATE UNIQUE INDEX ON \"M v\" (a)",
            )
            .await;
        let setting = |mode: &str| {
            let table = format!(
                "[[refresh]]\nview = \"public.*\"\nevery = \"1 s\"\nwork_mem = \"64 KiB\"\nmode = \"{mode}\""
            );
            Setting::of(&cluster, &table)
        };
        let wrote = |setting: &Setting| {
            assert_eq!(statuses(&setting.runs(&["M v", "--force"])), "M v refreshed");
            let run = &setting.recorded()[0];
            run.wal_bytes.zip(run.temp_bytes)
        };
        let plain = setting("plain");
        let (wal, temp) = wrote(&plain).expect("the first one is counted alone");
        assert!(wal > 800_000.0 && temp > 800_000.0, "{version}: {wal} {temp}");
        let (again, _) = wrote(&plain).expect("and the second, by its number");
        assert!((again / wal - 1.0).abs() < 0.5, "{version}: {again} after {wal}");
        cluster
            .sql("postgres", "REFRESH MATERIALIZED VIEW public.\"M v\"")
            .await;
        assert_eq!(wrote(&plain), None, "{version}: somebody else ran the same");
        assert!(wrote(&plain).is_some());
        // rows that are the same are not written again
        let (wal, _) = wrote(&setting("concurrently")).expect("another statement");
        assert!(wal < again / 2.0, "{version}: {wal} concurrently, {again} plain");
    }
}

#[tokio::test]
async fn whoever_is_called_now_and_then_keeps_a_promise_before_it_is_broken() {
    let cluster = Cluster::start(15).await;
    cluster
        .sql(
            "postgres",
            "CREATE MATERIALIZED VIEW m AS SELECT clock_timestamp() AS at",
        )
        .await;
    let setting = Setting::of(&cluster, "[[refresh]]\nview = \"public.m\"\nmax_age = \"20 s\"");
    assert_eq!(
        statuses(&setting.runs(&["--due"])),
        "m refreshed",
        "its age is not known"
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        statuses(&setting.runs(&["--due"])),
        "",
        "it is young enough until the next time"
    );
    // the next time would be after about twenty seconds
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(statuses(&setting.runs(&["--due"])), "m refreshed");
}

#[tokio::test]
async fn only_named_views_that_are_configured_and_exist() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", SHOP).await;
    let setting = Setting::of(
        &cluster,
        "[[refresh]]\nview = \"public.a_*\"\nevery = \"1 h\"\n[[refresh]]\nview = \"public.gone\"\nevery = \"1 h\"",
    );
    let usage = |arguments: &[&str], words: &str| {
        let output = setting.refresh(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(words), "{error}");
    };
    usage(&["public.gone"], "there is no materialized view public.gone");
    usage(
        &["public.b_parts"],
        "no [[refresh]] of the configuration is about public.b_parts",
    );
    usage(&[], "required");
    usage(&["--server", "x", "--due"], "no server \"x\"");
    let planned = setting.runs(&["public.a_total", "--dry-run"]);
    assert_eq!(statuses(&planned), "a_total planned");
    assert_eq!(statuses(&setting.runs(&["a_total"])), "a_total refreshed");
    assert_eq!(statuses(&setting.runs(&["public.a_total"])), "a_total skipped");
    assert_eq!(
        statuses(&setting.runs(&["public.a_total", "--force"])),
        "a_total refreshed"
    );
    let output = setting.refresh(&["--due"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no materialized view matches public.gone"));
    assert_eq!(output.status.code(), Some(0));
    let nowhere = Setting::new(
        "host=127.0.0.1 port=1 connect_timeout=2",
        "[[refresh]]\nview = \"a.b\"\nevery = \"1 s\"",
    );
    assert_eq!(nowhere.refresh(&["--due"]).status.code(), Some(3));
}

#[tokio::test]
async fn a_role_without_rights_is_told_which_grant_it_lacks() {
    for version in some_versions() {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        cluster
            .sql(
                "postgres",
                "CREATE ROLE owner_of_b; CREATE ROLE r LOGIN; GRANT SELECT ON parts TO owner_of_b;
                 ALTER MATERIALIZED VIEW b_parts OWNER TO owner_of_b",
            )
            .await;
        let setting = Setting::new(
            &cluster.dsn("r", "postgres"),
            "[[refresh]]\nview = \"public.*\"\nevery = \"1 s\"",
        );
        let runs = setting.runs(&["--due"]);
        assert_eq!(statuses(&runs), "b_parts failed, z_base failed, a_total failed");
        assert_eq!(runs[0]["sqlstate"], "42501");
        assert!(
            reason(&runs, "b_parts").contains("GRANT owner_of_b TO r"),
            "{}",
            reason(&runs, "b_parts")
        );
        cluster.sql("postgres", "GRANT owner_of_b TO r").await;
        if version >= 17 {
            cluster
                .sql(
                    "postgres",
                    "GRANT MAINTAIN ON z_base TO r; GRANT SELECT ON days TO r",
                )
                .await;
        }
        let runs = setting.runs(&["b_parts"]);
        assert_eq!(statuses(&runs), "b_parts refreshed", "membership is enough");
        if version >= 17 {
            assert_eq!(
                statuses(&setting.runs(&["z_base"])),
                "z_base refreshed",
                "and MAINTAIN"
            );
        }
    }
}

#[tokio::test]
async fn a_failure_stops_only_what_depends_on_it() {
    let cluster = Cluster::start(15).await;
    cluster.sql("postgres", SHOP).await;
    // not unique in the new rows: CONCURRENTLY says so
    cluster
        .sql(
            "postgres",
            "CREATE OR REPLACE VIEW days AS SELECT date_trunc('day', made) AS day, amount / (id - 1) AS amount, id FROM orders",
        )
        .await;
    let setting = Setting::of(
        &cluster,
        "[[refresh]]\nview = \"public.*\"\nevery = \"1 h\"\nretry_after = \"1 s\"\nretries = 2",
    );
    let runs = setting.runs(&["--due"]);
    assert_eq!(
        statuses(&runs),
        "b_parts refreshed, z_base failed, a_total blocked_by_failure"
    );
    assert_eq!(runs[1]["sqlstate"], "22012");
    assert!(runs[1]["message"].as_str().unwrap().contains("division by zero"));
    assert!(reason(&runs, "a_total").contains("public.z_base"));
    assert_eq!(statuses(&setting.runs(&["--due"])), "", "tries come later");
}

#[tokio::test]
async fn readers_are_never_locked_out_for_long() {
    let cluster = Cluster::start(18).await;
    cluster
        .sql(
            "postgres",
            "CREATE TABLE t (a int); INSERT INTO t VALUES (1);
             CREATE MATERIALIZED VIEW slow AS SELECT a, pg_sleep(1.5)::text AS s FROM t",
        )
        .await;
    let setting = Setting::of(
        &cluster,
        "[[refresh]]\nview = \"public.slow\"\nevery = \"1 s\"\nplain_limit = \"500 ms\"\nlock_timeout = \"300 ms\"\nretries = 0",
    );
    let began = std::time::Instant::now();
    let runs = setting.runs(&["slow"]);
    assert_eq!(statuses(&runs), "slow failed", "it took longer than its limit");
    assert_eq!(runs[0]["sqlstate"], "57014");
    assert!(began.elapsed() < Duration::from_millis(1400), "and was ended");
    let runs = setting.runs(&["slow"]);
    assert!(
        reason(&runs, "slow").contains("would lock readers out"),
        "{}",
        reason(&runs, "slow")
    );
    assert!(
        reason(&runs, "slow").contains("create a unique index"),
        "it is known now, and not tried"
    );
    // a partial one, and one with an expression, do not count
    cluster
        .sql(
            "postgres",
            "CREATE UNIQUE INDEX p ON slow (a) WHERE a > 0; CREATE UNIQUE INDEX e ON slow ((a + 1))",
        )
        .await;
    assert!(reason(&setting.runs(&["slow", "--force"]), "slow").contains("would lock readers out"));
    cluster.sql("postgres", "CREATE UNIQUE INDEX u ON slow (a)").await;
    let runs = setting.runs(&["slow", "--force"]);
    assert_eq!(runs[0]["mode"], "concurrently", "{runs:?}");
    assert_eq!(statuses(&runs), "slow refreshed");
}

#[tokio::test]
async fn a_reader_or_a_writer_that_holds_the_view_is_waited_for_in_short_tries() {
    let cluster = Cluster::start(15).await;
    cluster.sql("postgres", SHOP).await;
    let setting = Setting::of(
        &cluster,
        "[[refresh]]\nview = \"public.*\"\nevery = \"1 s\"\nlock_timeout = \"300 ms\"\nskip_unchanged = false",
    );
    let mut reader = cluster.connect("postgres").await;
    let holding = reader.transaction().await.unwrap();
    holding.query("SELECT * FROM b_parts", &[]).await.unwrap();
    let runs = setting.runs(&["b_parts"]);
    assert_eq!(statuses(&runs), "b_parts failed");
    assert_eq!(runs[0]["sqlstate"], "55P03");
    assert!(reason(&runs, "b_parts").contains("in each of 4 tries of 300 ms"));
    let in_line = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    assert_eq!(
        cluster.number("postgres", in_line).await,
        0,
        "nobody waits behind it"
    );
    // it ends between two tries
    let child = setting
        .command(&["b_parts", "--format", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("a try", || async {
        cluster.number("postgres", in_line).await == 1
    })
    .await;
    holding.rollback().await.unwrap();
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["runs"][0]["status"], "refreshed", "{report:#}");
    // a writer's lock of the table that is read
    let mut writer = cluster.connect("postgres").await;
    let holding = writer.transaction().await.unwrap();
    holding
        .batch_execute("LOCK TABLE parts IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let runs = setting.runs(&["b_parts"]);
    assert_eq!(
        (statuses(&runs), &runs[0]["sqlstate"]),
        ("b_parts failed".to_owned(), &"55P03".into())
    );
}

#[tokio::test]
async fn what_happens_between_plan_and_execution_is_seen_under_the_lock() {
    use pgadvisor::configuration::Refresh;
    use pgadvisor::model::refresh::Outcome;
    use pgadvisor::postgres::conninfo::{ConnInfo, Environment};
    use pgadvisor::refresh::execute::execute;
    use pgadvisor::refresh::plan::{Ask, Knowledge, Unchanged, plan};
    use pgadvisor::refresh::read::look;
    use tokio_util::sync::CancellationToken;

    let cluster = Cluster::start(18).await;
    let environment = Environment {
        variables: Default::default(),
        home: None,
        login: None,
    };
    let conninfo = ConnInfo::parse(&cluster.dsn("postgres", "postgres"), &environment).unwrap();
    let server = pgadvisor::postgres::Server::new(conninfo).unwrap();
    for (meanwhile, outcome, words) in [
        ("SELECT 1", Outcome::Refreshed, "asked"),
        ("DROP MATERIALIZED VIEW m", Outcome::Skipped, "dropped"),
        (
            "ALTER MATERIALIZED VIEW m RENAME TO n",
            Outcome::Skipped,
            "renamed to public.n",
        ),
        (
            "DROP MATERIALIZED VIEW m; CREATE MATERIALIZED VIEW m AS SELECT 2 AS a",
            Outcome::Skipped,
            "dropped",
        ),
        ("REFRESH MATERIALIZED VIEW m", Outcome::Skipped, "somebody else"),
        ("GRANT SELECT ON m TO public", Outcome::Refreshed, "asked"),
        ("INSERT INTO t VALUES (2)", Outcome::Refreshed, "asked"),
        ("VACUUM FULL m", Outcome::Refreshed, "asked"),
    ] {
        let owner = cluster.connect("postgres").await;
        owner
            .batch_execute(
                "DROP MATERIALIZED VIEW IF EXISTS m; DROP MATERIALIZED VIEW IF EXISTS n; DROP TABLE IF EXISTS t;
                 CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE MATERIALIZED VIEW m AS SELECT a FROM t",
            )
            .await
            .unwrap();
        // the rows of the view are counted before the look, and those of what happens meanwhile after it
        cluster.end(owner).await;
        let name = ViewName {
            database: "postgres".into(),
            schema: "public".into(),
            name: "m".into(),
        };
        let policies = [(name.clone(), std::sync::Arc::new(Refresh::default()))].into();
        let seen = look(&server, "postgres", &|_| true, &mut Default::default())
            .await
            .unwrap();
        let known = Knowledge {
            policies: &policies,
            memories: &Default::default(),
            next_pass_in: Default::default(),
        };
        let steps = plan(&seen, &known, &Ask::Named(&[name].into(), Unchanged::Leave));
        let somebody = cluster.connect("postgres").await;
        somebody.batch_execute(meanwhile).await.unwrap();
        cluster.end(somebody).await;
        let done = execute(&server, &steps[0], &CancellationToken::new(), &|| {}).await;
        assert_eq!(done.run.outcome, outcome, "{meanwhile}: {:?}", done.run);
        assert!(
            done.run.reason.contains(words),
            "{meanwhile}: {}",
            done.run.reason
        );
    }
}

#[tokio::test]
async fn with_the_defaults_a_slow_reader_is_waited_out_and_forgotten() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", SHOP).await;
    let setting = Setting::of(
        &cluster,
        "[[refresh]]\nview = \"public.b_parts\"\nevery = \"1 s\"",
    );
    let mut reader = cluster.connect("postgres").await;
    let holding = reader.transaction().await.unwrap();
    holding.query("SELECT * FROM b_parts", &[]).await.unwrap();
    let runs = setting.runs(&["b_parts", "--force"]);
    assert_eq!(runs[0]["sqlstate"], "55P03", "{runs:?}");
    holding.rollback().await.unwrap();
    assert_eq!(
        statuses(&setting.runs(&["b_parts", "--force"])),
        "b_parts refreshed"
    );
}

/// What the store of a setting says of the views of the only server.
pub async fn page(address: &str) -> Value {
    crate::dashboard::get(address, "/api/v1/refreshes").json()
}

#[tokio::test]
async fn people_refresh_pause_and_resume_on_the_page() {
    let cluster = Cluster::start(18).await;
    cluster.sql("postgres", SHOP).await;
    let more = "databases = [\"postgres\"]\n[[refresh]]\nview = \"public.a_total\"\nevery = \"1 s\"\n\
                [[refresh]]\nview = \"public.b_parts\"\ncron = \"0 1 1 1 *\"\n[[refresh]]\nview = \"public.to_come\"\nevery = \"1 s\"";
    let daemon = crate::daemon::Daemon::start(&cluster.dsn("postgres", "postgres"), more);
    let view = |page: &Value, name: &str| {
        let views = page["views"].as_array().unwrap();
        views.iter().find(|view| view["view"]["name"] == name).cloned()
    };
    let status = async |name: &str| view(&page(&daemon.address).await, name);
    eventually("a refresh", || async {
        status("a_total")
            .await
            .is_some_and(|view| view["refreshed_at"].is_string())
    })
    .await;
    assert_eq!(status("to_come").await.unwrap()["exists"], false);
    assert_eq!(status("b_parts").await.unwrap()["refreshed_at"], Value::Null);
    assert_eq!(
        status("a_total").await.unwrap()["depends_on"],
        serde_json::json!(["public.z_base"])
    );
    let post = |name: &str, action: &str| {
        let path = format!("/api/v1/refreshes/main/postgres/public/{name}/{action}");
        crate::dashboard::request(&daemon.address, "POST", &path, "", "").status
    };
    assert_eq!(post("b_parts", "refresh"), 202);
    eventually("what was asked for", || async {
        status("b_parts")
            .await
            .is_some_and(|view| view["refreshed_at"].is_string())
    })
    .await;
    assert_eq!(
        (
            post("z_base", "refresh"),
            post("nobody", "refresh"),
            post("b_parts", "drop")
        ),
        (409, 404, 404)
    );
    assert_eq!(post("a_total", "pause"), 202);
    eventually("paused", || async {
        status("a_total").await.unwrap()["is_paused"] == true
    })
    .await;
    cluster.sql("postgres", "REFRESH MATERIALIZED VIEW z_base").await;
    let before = status("a_total").await.unwrap()["refreshed_at"].clone();
    cluster
        .sql("postgres", "CREATE MATERIALIZED VIEW to_come AS SELECT 1 AS a")
        .await;
    // what comes meanwhile is refreshed, what is paused is not
    eventually("what came", || async {
        status("to_come")
            .await
            .is_some_and(|view| view["refreshed_at"].is_string())
    })
    .await;
    assert_eq!(status("a_total").await.unwrap()["refreshed_at"], before);
    assert_eq!(post("a_total", "resume"), 202);
    eventually("resumed", || async {
        status("a_total").await.unwrap()["refreshed_at"] != before
    })
    .await;
    // what looking at views costs is part of what the advisor costs
    let status = crate::dashboard::get(&daemon.address, "/api/v1/status").json();
    let looks = status["servers"][0]["looks"].as_array().unwrap();
    let look = looks.iter().find(|look| look["family"] == "refreshing").unwrap();
    assert!(
        look["database"] == "postgres" && look["elapsed_seconds"].as_f64() > Some(0.0),
        "{look}"
    );
    let html = crate::dashboard::get(&daemon.address, "/refreshes").body;
    assert!(html.contains("public.a_total") && html.contains("<svg class=\"graph\""));
    let html = crate::dashboard::get(&daemon.address, "/refreshes/main/postgres/public/b_parts").body;
    assert!(html.contains("Refresh now") && html.contains("How long refreshes took"));
}

//! Index advice on a real server: what the planner proves is advised, and what the gate refuses is not planned.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pgadvisor::index_advisor::advice::{Wanted, advise};
use pgadvisor::index_advisor::candidate::Kinds;
use pgadvisor::index_advisor::gate::Gate;
use pgadvisor::index_advisor::pace::{Most, Pace, Taken};
use pgadvisor::index_advisor::search_path::SearchPath;
use pgadvisor::index_advisor::upkeep::WriteCounters;
use pgadvisor::index_advisor::workload::{SearchPaths, WorkloadStatement};
use pgadvisor::model::advice::{Droppable, Rehearsal, Stopped, ValueKind};
use pgadvisor::postgres::conninfo::{ConnInfo, Environment};
use pgadvisor::postgres::{Plan, Server};

use crate::harness::{Cluster, eventually, present};

const SHOP: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE orders (id int PRIMARY KEY, customer int, status text, note text);
INSERT INTO orders SELECT g, g % 5000, CASE WHEN g % 100 = 0 THEN 'open' ELSE 'done' END, repeat('x', 50)
    FROM generate_series(1, 50000) g;
ANALYZE orders;
CREATE ROLE stranger; CREATE SCHEMA theirs AUTHORIZATION stranger; SET ROLE stranger;
CREATE FUNCTION theirs.trap(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'the trap ran'; RETURN $1; END $$;
RESET ROLE";

fn statement(name: &str, text: &str) -> WorkloadStatement {
    WorkloadStatement {
        name: Some(name.into()),
        weight: 1.0,
        text: text.into(),
        ..WorkloadStatement::default()
    }
}

async fn planner(cluster: &Cluster) -> Plan {
    let conninfo = ConnInfo::parse(&cluster.dsn("postgres", "postgres"), &Environment::default()).unwrap();
    Server::new(conninfo).unwrap().plan("postgres").await.unwrap()
}

#[tokio::test]
async fn what_the_planner_proves_is_advised_and_nothing_of_strangers_runs() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        let tag = "CREATE DOMAIN given AS text NOT NULL; CREATE DOMAIN tag AS given; ALTER TABLE orders ADD tag tag DEFAULT '';
            ANALYZE orders";
        cluster.sql("postgres", tag).await;
        let plan = planner(&cluster).await;
        let mut gate = Gate::open(&plan, &[]).await.unwrap();
        let workload = vec![
            statement("of_customer", "SELECT id, note FROM orders WHERE customer = $1"),
            statement("trap", "SELECT * FROM orders WHERE id = theirs.trap(1)"),
            statement("two", "SELECT 1; DROP TABLE orders"),
        ];
        let wanted = Wanted {
            kinds: Kinds::default(),
            budget_bytes: Some(20e6),
            calls_per_statement: 20,
            ..Wanted::default()
        };
        let mut paths = SearchPaths::new(SearchPath::parse("public", None).unwrap());
        let advice = advise(
            &plan,
            &mut gate,
            &mut paths,
            workload,
            wanted,
            &Pace::free(),
            &|_| {},
        )
        .await;
        let advice = advice.unwrap();
        let [of_customer, trap, two] = &advice.statements[..] else {
            panic!("{advice:?}")
        };
        assert!(
            of_customer.cost_after.unwrap() < of_customer.cost_before.unwrap() / 10.0,
            "on {version}: {of_customer:?}"
        );
        assert_eq!(of_customer.uses.len(), 1);
        let definition = advice.indexes[of_customer.uses[0]].candidate.hypothetical();
        assert!(definition.contains("(customer"), "{definition}");
        assert!(trap.reason.as_ref().unwrap().contains("theirs.trap"), "{trap:?}");
        assert!(two.reason.is_some());
        let may_be_null = |name: &str| {
            let mut columns = advice.columns.values().flatten();
            !columns
                .find(|column| column.name == name)
                .unwrap()
                .is_not_null
                .unwrap()
        };
        assert!(
            may_be_null("note") && !may_be_null("tag"),
            "a domain, too: {:?}",
            advice.columns
        );
        assert!(!cluster.log().contains("the trap ran\n"), "on {version}");
        assert!(
            advice
                .indexes
                .iter()
                .filter_map(|index| index.size_bytes)
                .sum::<f64>()
                <= 20e6
        );
        assert_eq!(
            cluster.number("postgres", "SELECT count(*) FROM orders").await,
            50_000
        );
        cluster.sql("postgres", &definition).await;
    }
}

#[tokio::test]
async fn drops_are_rehearsed_where_indexes_can_be_hidden() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        let indexes = "CREATE INDEX sole ON orders (customer); CREATE INDEX twin_a ON orders (status, id);
            CREATE INDEX twin_b ON orders (status, id); CREATE INDEX idle ON orders (note); CREATE INDEX bitmap ON orders (status)";
        cluster.sql("postgres", indexes).await;
        let plan = planner(&cluster).await;
        let mut gate = Gate::open(&plan, &[]).await.unwrap();
        let session = cluster.connect("postgres").await;
        let mut drops = Vec::new();
        for name in ["bitmap", "twin_b", "twin_a", "sole", "idle"] {
            let oid = format!("SELECT '{name}'::regclass::oid");
            drops.push(Droppable {
                oid: session.query_one(&oid, &[]).await.unwrap().get(0),
                schema: "public".into(),
                name: name.into(),
            });
        }
        let workload = vec![
            statement("of_customer", "SELECT * FROM orders WHERE customer = $1"),
            statement(
                "next",
                "SELECT * FROM orders WHERE status = 'open' ORDER BY id LIMIT 1",
            ),
            statement("all", "SELECT count(note) FROM orders WHERE status = 'open'"),
        ];
        let wanted = Wanted {
            drops: &drops,
            ..Wanted::default()
        };
        let mut paths = SearchPaths::new(SearchPath::parse("public", None).unwrap());
        let advice = advise(
            &plan,
            &mut gate,
            &mut paths,
            workload,
            wanted,
            &Pace::free(),
            &|_| {},
        )
        .await;
        let rehearsals = advice.unwrap().rehearsals;
        let of = |name: &str| &rehearsals.iter().find(|(index, _)| index.name == name).unwrap().1;
        assert_eq!(
            of("idle"),
            &Rehearsal::Untouched { statements: 3 },
            "on {version}"
        );
        let can_hide = plan.hypothetical().unwrap().can_hide;
        assert_eq!(can_hide, version >= 17, "HypoPG of {version}");
        if !can_hide {
            assert!(
                matches!(of("sole"), Rehearsal::Unknown(_)),
                "on {version}: {rehearsals:?}"
            );
            continue;
        }
        let Rehearsal::Needed {
            cost_with,
            cost_without,
            ..
        } = of("sole")
        else {
            panic!("on {version}: {rehearsals:?}")
        };
        assert!(cost_without > &(10.0 * cost_with));
        // the one of two that goes first is spared, the one that is then the last is not
        let spared = |name: &str| !matches!(of(name), Rehearsal::Needed { .. });
        assert!(
            spared("twin_b") && !spared("twin_a"),
            "on {version}: {rehearsals:?}"
        );
        // nothing stays hidden
        let text =
            pgadvisor::postgres::ServerText::one_query("SELECT * FROM orders WHERE customer = 7").unwrap();
        let parameters = pgadvisor::postgres::Parameters::Values(&[]);
        let tree = plan
            .explain(&text, "public", parameters, pgadvisor::postgres::Detail::Costs)
            .await;
        assert!(tree.unwrap().takes("public", "sole"), "on {version}");
    }
}

/// Half of the rows are cheaper read with the whole table; few of them are not.
const TICKETS: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE tickets (id int, state text, kind int, level int, size int, made_at timestamptz, code text, note text)
    WITH (autovacuum_enabled = off);
INSERT INTO tickets SELECT g, CASE WHEN g % 100 = 0 THEN 'open' ELSE 'done' END, g % 7, CASE WHEN g % 1000 = 0 THEN 9 ELSE 0 END,
    g % 2, now() + g * interval '1 s', md5(g::text), repeat('x', 60) FROM generate_series(1, 60000) g;
CREATE INDEX tickets_open ON tickets (kind) WHERE state = 'open'; CREATE INDEX tickets_level ON tickets (level, code);
CREATE INDEX tickets_size ON tickets (size, code); CREATE INDEX tickets_idle ON tickets (made_at); ANALYZE tickets";

#[tokio::test]
async fn an_index_that_only_some_values_take_is_not_untouched() {
    for version in present(&[18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", TICKETS).await;
        let plan = planner(&cluster).await;
        let mut gate = Gate::open(&plan, &[]).await.unwrap();
        let session = cluster.connect("postgres").await;
        let mut drops = Vec::new();
        for name in ["tickets_open", "tickets_level", "tickets_size", "tickets_idle"] {
            let oid = format!("SELECT '{name}'::regclass::oid");
            drops.push(Droppable {
                oid: session.query_one(&oid, &[]).await.unwrap().get(0),
                schema: "public".into(),
                name: name.into(),
            });
        }
        let workload = vec![
            statement(
                "of_state",
                "SELECT note FROM tickets WHERE state = $1 AND kind = $2",
            ),
            statement("of_level", "SELECT note FROM tickets WHERE level = $1"),
            statement(
                "of_size",
                "SELECT note FROM tickets WHERE size = $1 AND id + $2 = 7",
            ),
        ];
        let wanted = Wanted {
            drops: &drops,
            ..Wanted::default()
        };
        let mut paths = SearchPaths::new(SearchPath::parse("public", None).unwrap());
        let advice = advise(
            &plan,
            &mut gate,
            &mut paths,
            workload,
            wanted,
            &Pace::free(),
            &|_| {},
        )
        .await;
        let advice = advice.unwrap();
        for (index, (_, generic)) in drops
            .iter()
            .flat_map(|index| advice.plans.iter().map(move |one| (index, one)))
        {
            let is_taken = generic.as_ref().unwrap().takes("public", &index.name);
            assert!(
                !is_taken,
                "for values in general {} is not taken: {generic:?}",
                index.name
            );
        }
        let rehearsals = &advice.rehearsals;
        let of = |name: &str| &rehearsals.iter().find(|(index, _)| index.name == name).unwrap().1;
        for name in ["tickets_open", "tickets_level"] {
            assert!(
                matches!(of(name), Rehearsal::Needed { .. }),
                "on {version}: {name}: {rehearsals:?}"
            );
        }
        assert!(
            matches!(of("tickets_size"), Rehearsal::Unknown(why) if why.contains("no values could be tried")),
            "on {version}: {rehearsals:?}"
        );
        assert_eq!(
            of("tickets_idle"),
            &Rehearsal::Untouched { statements: 3 },
            "on {version}"
        );
    }
}

#[tokio::test]
async fn what_is_written_all_the_time_is_not_indexed_for_little() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        let plan = planner(&cluster).await;
        let advised = async |earlier: Option<&WriteCounters>| {
            let mut gate = Gate::open(&plan, &[]).await.unwrap();
            let mut paths = SearchPaths::new(SearchPath::parse("public", None).unwrap());
            let workload = vec![statement(
                "of_customer",
                "SELECT * FROM orders WHERE customer = $1",
            )];
            let wanted = Wanted {
                window_seconds: Some(3600.0),
                earlier_writes: earlier,
                ..Wanted::default()
            };
            advise(
                &plan,
                &mut gate,
                &mut paths,
                workload,
                wanted,
                &Pace::free(),
                &|_| {},
            )
            .await
            .unwrap()
        };
        let first = advised(None).await;
        assert_eq!((first.indexes.len(), first.writes_are_counted), (1, false));
        let mut an_hour_ago = first.writes.unwrap();
        an_hour_ago.at -= chrono::TimeDelta::hours(1);
        let quiet = advised(Some(&an_hour_ago)).await;
        assert_eq!(
            (quiet.indexes.len(), quiet.writes_are_counted),
            (1, true),
            "on {version}"
        );
        let writes = "INSERT INTO orders SELECT g, 1, '', '' FROM generate_series(50001, 90000) g";
        cluster.sql("postgres", writes).await;
        eventually("the writes are counted", || async {
            let count = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'orders'";
            cluster.number("postgres", count).await == 90_000
        })
        .await;
        let busy = advised(Some(&an_hour_ago)).await;
        assert_eq!(busy.indexes.len(), 0, "on {version}");
    }
}

#[tokio::test]
async fn advice_says_for_which_values_it_holds() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        let skewed = "CREATE TABLE visits AS SELECT g AS id, CASE WHEN g % 2 = 0 THEN 0 ELSE g END AS visitor, 'p' || g % 900 AS page, repeat('x', 60) AS note
            FROM generate_series(1, 60000) g; ANALYZE visits";
        cluster
            .sql("postgres", &format!("CREATE EXTENSION hypopg; {skewed}"))
            .await;
        let plan = planner(&cluster).await;
        let mut gate = Gate::open(&plan, &[]).await.unwrap();
        let mut paths = SearchPaths::new(SearchPath::parse("public", None).unwrap());
        let workload = vec![
            statement("skewed", "SELECT note FROM visits WHERE visitor = $1"),
            statement("even", "SELECT note FROM visits WHERE page = ANY ($1)"),
            statement("unknown", "SELECT note FROM visits WHERE id + $1 = 7 AND id = 8"),
        ];
        let wanted = Wanted::default();
        let advice = advise(
            &plan,
            &mut gate,
            &mut paths,
            workload,
            wanted,
            &Pace::free(),
            &|_| {},
        )
        .await
        .unwrap();
        let gains = |one: usize| -> Vec<(ValueKind, bool)> {
            let values = advice.statements[one].values.iter();
            values.map(|tried| (tried.kind, tried.gains())).collect()
        };
        use ValueKind::{Commonest, Median, Rare};
        assert_eq!(
            gains(0),
            [(Commonest, false), (Median, true), (Rare, true)],
            "on {version}: {:?}",
            advice.statements[0]
        );
        assert!(
            gains(1).len() >= 2 && gains(1).iter().all(|(_, gains)| *gains),
            "on {version}"
        );
        assert_eq!(gains(2), [], "a parameter that is compared with no column");
    }
}

#[tokio::test]
async fn one_index_carries_what_two_statements_need() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        let table = "CREATE TABLE sales AS SELECT g AS day, g % 90 AS price, g % 70 AS cost, repeat('x', 150) AS note FROM generate_series(1, 60000) g";
        cluster
            .sql("postgres", &format!("CREATE EXTENSION hypopg; {table}"))
            .await;
        cluster.sql("postgres", "VACUUM ANALYZE sales").await;
        let plan = planner(&cluster).await;
        let mut gate = Gate::open(&plan, &[]).await.unwrap();
        let mut paths = SearchPaths::new(SearchPath::parse("public", None).unwrap());
        let workload = vec![
            statement(
                "prices",
                "SELECT sum(price) FROM sales WHERE day BETWEEN 1000 AND 21000",
            ),
            statement(
                "costs",
                "SELECT sum(cost) FROM sales WHERE day BETWEEN 1000 AND 21000",
            ),
        ];
        let wanted = Wanted::default();
        let advice = advise(
            &plan,
            &mut gate,
            &mut paths,
            workload,
            wanted,
            &Pace::free(),
            &|_| {},
        )
        .await
        .unwrap();
        let made: Vec<String> = advice
            .indexes
            .iter()
            .map(|index| index.candidate.hypothetical())
            .collect();
        let both = "CREATE INDEX ON public.sales USING btree (day) INCLUDE (cost, price)";
        assert_eq!(made, [both], "on {version}");
        assert!(
            advice.statements.iter().all(|one| one.uses == [0]),
            "on {version}"
        );
    }
}

#[tokio::test]
async fn time_that_runs_out_while_statements_are_planned_leaves_some_for_the_search() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", SHOP).await;
        let plan = planner(&cluster).await;
        let mut gate = Gate::open(&plan, &[]).await.unwrap();
        let mut paths = SearchPaths::new(SearchPath::parse("public", None).unwrap());
        // what counts most comes last
        let workload = (0..60).map(|number| {
            let text = format!("SELECT note FROM orders WHERE customer = $1 AND status <> 'x{number}'");
            WorkloadStatement {
                weight: 1.0 + f64::from(number),
                ..statement("one of many", &text)
            }
        });
        let workload: Vec<WorkloadStatement> = workload.collect();
        // a clock that goes on by a second whenever it is looked at
        let looks = AtomicU64::new(0);
        let taken = || Taken {
            elapsed: Duration::from_secs(looks.fetch_add(1, Ordering::Relaxed)),
            ..Taken::default()
        };
        let most = Most {
            elapsed: Some(Duration::from_secs(80)),
            ..Most::default()
        };
        let (pace, wanted) = (Pace::new(&taken, most), Wanted::default());
        let advice = advise(&plan, &mut gate, &mut paths, workload, wanted, &pace, &|_| {})
            .await
            .unwrap();
        assert_eq!(advice.stopped, Some(Stopped::Time), "on {version}");
        let planned = advice.statements.iter().filter(|one| one.cost_before.is_some());
        let planned = planned.count();
        assert!((20..60).contains(&planned), "on {version}: {planned}");
        let (first, last) = (&advice.statements[0], &advice.statements[59]);
        let why = first.reason.as_deref();
        assert_eq!(
            why,
            Some("the time was over before it was planned"),
            "on {version}"
        );
        assert!(last.cost_after < last.cost_before, "on {version}: {last:?}");
        assert!(!advice.indexes.is_empty(), "on {version}");
        assert!(
            advice.what_if_calls < 80,
            "on {version}: {}",
            advice.what_if_calls
        );
        // there was no time for all of them, and what is told of those is what was said before
        assert!(advice.unconfirmed > 0 && advice.unconfirmed <= planned);
        let notes = advice.notes();
        assert!(
            notes[0].starts_with("stopped: ") && notes[1].contains("not planned once more"),
            "on {version}: {notes:?}"
        );
    }
}

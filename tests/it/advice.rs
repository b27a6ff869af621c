//! Index advice on a real server: what the planner proves is advised, and what the gate refuses is not planned.

use pgadvisor::index_advisor::advice::{Wanted, advise};
use pgadvisor::index_advisor::candidate::Kinds;
use pgadvisor::index_advisor::gate::Gate;
use pgadvisor::index_advisor::search_path::SearchPath;
use pgadvisor::index_advisor::upkeep::WriteCounters;
use pgadvisor::index_advisor::workload::{SearchPaths, WorkloadStatement};
use pgadvisor::model::advice::{Droppable, Rehearsal, ValueKind};
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
        let advice = advise(&plan, &mut gate, &mut paths, workload, wanted, &|| false, &|_| {}).await;
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
        let advice = advise(&plan, &mut gate, &mut paths, workload, wanted, &|| false, &|_| {}).await;
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
            advise(&plan, &mut gate, &mut paths, workload, wanted, &|| false, &|_| {})
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
        let advice = advise(&plan, &mut gate, &mut paths, workload, wanted, &|| false, &|_| {})
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
        let advice = advise(&plan, &mut gate, &mut paths, workload, wanted, &|| false, &|_| {})
            .await
            .unwrap();
        let made: Vec<String> = advice
            .indexes
            .iter()
            .map(|index| index.candidate.hypothetical())
            .collect();
        let both = "CREATE INDEX ON public.sales USING btree (\"day\") INCLUDE (\"cost\", price)";
        assert_eq!(made, [both], "on {version}");
        assert!(
            advice.statements.iter().all(|one| one.uses == [0]),
            "on {version}"
        );
    }
}

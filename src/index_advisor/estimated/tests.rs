use super::*;
use crate::index_advisor::clauses::{Key, Search};
use crate::index_advisor::tables::{Column, Partition};
use serde_json::json;

fn table() -> Table {
    let column = |type_name: &str, is_array| Column {
        type_name: type_name.into(),
        is_array,
        is_range: type_name.ends_with("range"),
        width_bytes: Some(20.0),
        ..Column::default()
    };
    Table {
        oid: 1,
        name: TableName {
            schema: "s".into(),
            name: "t".into(),
        },
        is_partitioned: false,
        may_be_indexed: true,
        pages: 1000.0,
        rows: 50_000.0,
        was_analyzed: true,
        columns: [
            ("caption".to_owned(), column("varchar", false)),
            ("info".to_owned(), column("jsonb", false)),
            ("tags".to_owned(), column("_text", true)),
            ("id".to_owned(), column("int4", false)),
            ("during".to_owned(), column("tstzrange", false)),
            ("place".to_owned(), column("point", false)),
            ("from".to_owned(), column("inet", false)),
            ("code".to_owned(), column("bpchar", false)),
            ("mail".to_owned(), column("citext", false)),
            (
                "kind".to_owned(),
                Column {
                    values: Some(100.0),
                    ..column("int4", false)
                },
            ),
        ]
        .into(),
        indexes: Vec::new(),
        partitions: Vec::new(),
    }
}

fn asked(searched: &[(Key, &str)]) -> RelationUse {
    RelationUse {
        schema: "s".into(),
        table: "t".into(),
        alias: "t".into(),
        searched: searched
            .iter()
            .map(|(key, operator)| Search {
                key: key.clone(),
                operator: (*operator).into(),
            })
            .collect(),
        ..RelationUse::default()
    }
}

const BOTH: Methods = Methods {
    gin: true,
    gist: true,
};

/// The definition and the cost after, where it is worth anything to the whole plan.
fn estimated(tree: &PlanTree, asked: &RelationUse, trigram_class: &str) -> Option<(Candidate, f64)> {
    let all = estimate(tree, asked, &table(), trigram_class, BOTH);
    let one = together(all.into_iter().collect()).pop()?;
    let cost_after = one.cost_after(tree);
    Some((one.candidate, cost_after))
}

fn definition(searched: &[(Key, &str)], rows: f64) -> Option<String> {
    let plan = json!([{"Plan": {"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t",
                                "Total Cost": 1625.0, "Plan Rows": rows}}]);
    let tree = PlanTree::read(&plan).unwrap();
    let (candidate, cost_after) = estimated(&tree, &asked(searched), "gin_trgm_ops")?;
    assert!(cost_after < 1000.0);
    Some(candidate.hypothetical())
}

#[test]
fn each_kind_of_search_has_its_class() {
    let column = |name: &str| Key::Column(name.into());
    let words = Key::Expression("to_tsvector('english'::regconfig, caption)".into());
    for (searched, expected) in [
        (vec![(column("info"), "@>")], Some("gin (info jsonb_path_ops)")),
        (
            vec![(column("info"), "?"), (column("info"), "@>")],
            Some("gin (info)"),
        ),
        (vec![(column("tags"), "&&")], Some("gin (tags)")),
        (
            vec![(column("caption"), "~~*")],
            Some("gin (caption gin_trgm_ops)"),
        ),
        (
            vec![(words, "@@")],
            Some("gin ((to_tsvector('english'::regconfig, caption)))"),
        ),
        (
            vec![(column("during"), "&&"), (column("during"), "@>")],
            Some("gist (during)"),
        ),
        (vec![(column("place"), "<@")], Some("gist (place)")),
        (vec![(column("from"), "<<=")], Some("gist (\"from\" inet_ops)")),
        (vec![(column("during"), "&&"), (column("tags"), "&&")], None),
        (vec![(column("id"), "@>")], None),
        (vec![(column("code"), "~~")], None),
        (vec![(column("mail"), "~~*")], None),
        (vec![(column("info"), "@>"), (column("id"), "~~")], None),
    ] {
        let made = definition(&searched, 10.0);
        assert_eq!(
            made,
            expected.map(|keys| format!("CREATE INDEX ON s.t USING {keys}")),
            "{searched:?}"
        );
    }
    assert_eq!(
        definition(&[(column("info"), "@>")], 40_000.0),
        None,
        "most of the table"
    );
}

#[test]
fn what_is_nearest_comes_first_where_a_limit_asks_for_it() {
    let plan = |kind: &str| {
        let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t",
                          "Total Cost": 1625.0});
        let tree =
            json!([{"Plan": {"Node Type": kind, "Total Cost": 5000.0, "Plan Rows": 5, "Plans": [scan]}}]);
        PlanTree::read(&tree).unwrap()
    };
    let nearest = |name: &str, kind: &str, operator: &str| {
        let asked = RelationUse {
            nearest: [Search {
                key: Key::Column(name.into()),
                operator: operator.into(),
            }]
            .into(),
            ..asked(&[])
        };
        let (candidate, cost_after) = estimated(&plan(kind), &asked, "x.gin_trgm_ops")?;
        Some((candidate.keys[0].sql(), cost_after < 100.0))
    };
    assert_eq!(nearest("place", "Limit", "<->"), Some(("place".into(), true)));
    assert_eq!(
        nearest("caption", "Limit", "<->"),
        Some(("caption x.gist_trgm_ops".into(), true))
    );
    assert_eq!(nearest("place", "Sort", "<->"), None, "all rows are wanted");
    assert_eq!(nearest("id", "Limit", "<->"), None);
    assert_eq!(nearest("place", "Limit", "<=>"), None);
}

#[test]
fn what_other_conditions_pick_is_not_the_index_s_merit() {
    let plan = json!([{"Plan": {"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t",
                                "Total Cost": 1625.0, "Plan Rows": 300}}]);
    let tree = PlanTree::read(&plan).unwrap();
    let mut asked = asked(&[(Key::Column("info".into()), "@>")]);
    let cost = |asked: &RelationUse| estimated(&tree, asked, "x").map(|(_, cost)| cost);
    let alone = cost(&asked).unwrap();
    asked.ranged.insert(Key::Column("id".into()));
    let beside_a_range = cost(&asked).unwrap();
    assert!(beside_a_range > 1.5 * alone, "{beside_a_range} {alone}");
    asked.equal.insert(Key::Column("kind".into()));
    assert_eq!(
        cost(&asked),
        None,
        "one of a hundred kinds is most of what picks the rows"
    );
}

#[test]
fn what_a_limit_leaves_unread_saves_nothing() {
    let cost = |limit: f64, rows: f64| {
        let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t",
                          "Total Cost": 30_000.0, "Plan Rows": rows});
        let plan =
            json!([{"Plan": {"Node Type": "Limit", "Total Cost": limit, "Plan Rows": 20, "Plans": [scan]}}]);
        let tree = PlanTree::read(&plan).unwrap();
        let asked = asked(&[(Key::Column("caption".into()), "~~*")]);
        let unseen = together(estimate(&tree, &asked, &table(), "x", BOTH).into_iter().collect())
            .pop()
            .map(|one| one.unseen());
        (estimated(&tree, &asked, "x").map(|(_, cost)| cost), unseen)
    };
    assert_eq!(cost(12.0, 5000.0), (None, None), "twenty rows are soon found");
    let (all, unseen) = cost(30_000.0, 10.0);
    assert!(all.unwrap() < 200.0, "they are nowhere: all is read");
    assert_eq!(unseen, Some(0.05 * 50_000.0));
    let (half, unseen) = cost(15_000.0, 40.0);
    assert!(half.unwrap() < 200.0, "half of it");
    assert_eq!(unseen, Some(0.05 * 25_000.0));
}

#[test]
fn what_partitions_save_is_saved_together() {
    let partition = |number: usize| Partition {
        oid: 10 + number as u32,
        parent_oid: 1,
        is_partitioned: false,
        is_foreign: false,
        name: TableName {
            schema: "s".into(),
            name: format!("t_{number}"),
        },
        pages: Some(250.0),
        rows: Some(12_500.0),
        indexes: Vec::new(),
    };
    let mut whole = Table {
        is_partitioned: true,
        partitions: (0..4).map(partition).collect(),
        ..table()
    };
    let cost = |rows: [f64; 4]| {
        let scan = |(number, rows): (usize, f64)| {
            let name = format!("t_{number}");
            json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": name, "Alias": name,
                   "Total Cost": 400.0, "Plan Rows": rows})
        };
        let scans: Vec<_> = rows.into_iter().enumerate().map(scan).collect();
        let plan = json!([{"Plan": {"Node Type": "Append", "Total Cost": 1600.0, "Plans": scans}}]);
        let tree = PlanTree::read(&plan).unwrap();
        let estimates = (0..4).filter_map(|number| {
            let name = format!("t_{number}");
            let asked = RelationUse {
                table: name.clone(),
                alias: name,
                ..asked(&[(Key::Column("caption".into()), "~~*")])
            };
            estimate(&tree, &asked, &whole, "x", BOTH)
        });
        let mut all = together(estimates.collect());
        assert!(all.len() <= 1, "one index for all");
        let one = all.pop()?;
        assert_eq!(one.unseen(), 0.05 * 50_000.0, "each is read once");
        Some(one.cost_after(&tree))
    };
    let after = cost([5.0; 4]).unwrap();
    assert!((160.0..400.0).contains(&after), "a search in each: {after}");
    let mostly_one = cost([5.0, 12_500.0, 12_500.0, 5.0]).unwrap();
    assert!(
        (900.0..1200.0).contains(&mostly_one),
        "two are read as now: {mostly_one}"
    );
    assert_eq!(
        cost([5.0, 12_500.0, 12_500.0, 12_500.0]),
        None,
        "less than a quarter"
    );
    let of_last = |whole: &Table| {
        let asked = RelationUse {
            table: "t_3".into(),
            ..asked(&[])
        };
        extent(&asked, whole)
    };
    assert_eq!(of_last(&whole), (250.0, 12_500.0));
    (whole.pages, whole.rows) = (900.0, 45_000.0);
    (whole.partitions[3].pages, whole.partitions[3].rows) = (None, None);
    assert_eq!(
        of_last(&whole),
        (300.0, 15_000.0),
        "nobody counted it: it is not empty"
    );
}

#[test]
fn of_a_table_that_is_read_twice_only_what_is_searched_is_saved() {
    let scan = |alias: &str| {
        json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": alias,
               "Total Cost": 1625.0, "Plan Rows": 10.0})
    };
    let plan =
        json!([{"Plan": {"Node Type": "Hash Join", "Total Cost": 4000.0, "Plans": [scan("a"), scan("b")]}}]);
    let tree = PlanTree::read(&plan).unwrap();
    let cost = |aliases: &[&str]| {
        let estimates = aliases.iter().filter_map(|alias| {
            let asked = RelationUse {
                alias: (*alias).into(),
                ..asked(&[(Key::Column("caption".into()), "~~*")])
            };
            estimate(&tree, &asked, &table(), "x", BOTH)
        });
        together(estimates.collect()).pop().unwrap().cost_after(&tree)
    };
    let (one, both) = (cost(&["a"]), cost(&["a", "b"]));
    assert!((2375.0..2600.0).contains(&one), "{one}");
    assert!((750.0..1000.0).contains(&both), "{both}");
}

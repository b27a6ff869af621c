//! What of a plan's cost an index saves: beside other conditions, under a limit, in partitions, in a table that is read twice.

use super::super::priced::extent;
use super::*;
use crate::index_advisor::tables::{Numbering, Partition, tests::named};

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
        name: named(&format!("t_{number}")),
        pages: Some(250.0),
        rows: Some(12_500.0),
        numbering: Numbering::OfParent,
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

mod worth;

use super::*;
use crate::index_advisor::clauses::{Key, Search, of_plan};
use crate::index_advisor::existing::{ExistingIndex, ExistingKey};
use crate::index_advisor::tables::{Column, tests::table_of};
use serde_json::json;

fn table() -> Table {
    let column = |type_name: &str, is_array| Column {
        type_name: type_name.into(),
        is_array,
        is_range: type_name.ends_with("range"),
        width_bytes: Some(20.0),
        ..Column::default()
    };
    let columns = [
        ("caption", column("varchar", false)),
        ("info", column("jsonb", false)),
        ("tags", column("_text", true)),
        ("id", column("int4", false)),
        ("during", column("tstzrange", false)),
        ("place", column("point", false)),
        ("from", column("inet", false)),
        ("code", column("bpchar", false)),
        ("mail", column("citext", false)),
        (
            "kind",
            Column {
                values: Some(100.0),
                ..column("int4", false)
            },
        ),
    ];
    Table {
        pages: 1000.0,
        ..table_of(50_000.0, columns)
    }
}

fn search((key, operator): &(Key, &str)) -> Search {
    Search {
        key: key.clone(),
        operator: (*operator).into(),
    }
}

fn asked(searched: &[(Key, &str)]) -> RelationUse {
    RelationUse {
        schema: "s".into(),
        table: "t".into(),
        alias: "t".into(),
        searched: searched.iter().map(|one| search(one).into()).collect(),
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
        (vec![(column("id"), "@>")], None),
        (vec![(column("code"), "~~")], None),
        (vec![(column("mail"), "~~*")], None),
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
fn what_no_index_answers_is_checked_on_what_it_finds() {
    let column = |name: &str| Key::Column(name.into());
    for (searched, expected) in [
        (
            vec![(column("info"), "@>"), (column("id"), "~~")],
            "gin (info jsonb_path_ops)",
        ),
        (vec![(column("info"), "<@"), (column("tags"), "&&")], "gin (tags)"),
        // of two methods the better
        (
            vec![(column("during"), "&&"), (column("tags"), "&&")],
            "gin (tags)",
        ),
        (
            vec![(column("during"), "&&"), (column("code"), "~~")],
            "gist (during)",
        ),
        (
            vec![
                (column("tags"), "&&"),
                (Key::Expression("info::text".into()), "~~*"),
            ],
            "gin (tags, (info::text) gin_trgm_ops)",
        ),
    ] {
        let made = definition(&searched, 1.0).unwrap();
        assert_eq!(
            made,
            format!("CREATE INDEX ON s.t USING {expected}"),
            "{searched:?}"
        );
    }
    // what it finds beside is many rows, for all that is known
    let both = [(column("during"), "&&"), (column("tags"), "&&")];
    assert_eq!(definition(&both, 500.0), None);
    assert!(definition(&both[1..], 500.0).is_some());
}

#[test]
fn where_one_method_is_not_wanted_the_other_may_answer() {
    let searched = [
        (Key::Column("during".into()), "&&"),
        (Key::Column("tags".into()), "&&"),
    ];
    let method = |gin: bool, gist: bool| {
        let tree = scanned(json!({"Node Type": "Seq Scan", "Total Cost": 1625.0, "Plan Rows": 1}));
        let found = estimate(&tree, &asked(&searched), &table(), "x", Methods { gin, gist });
        found.map(|found| found.candidate.method)
    };
    assert_eq!(method(true, true), Some("gin"));
    assert_eq!(method(false, true), Some("gist"));
    assert_eq!(method(false, false), None);
}

/// A plan of one scan of `s.t`, which this completes.
fn scanned(mut scan: serde_json::Value) -> PlanTree {
    for (name, value) in [("Schema", "s"), ("Relation Name", "t"), ("Alias", "t")] {
        scan[name] = json!(value);
    }
    PlanTree::read(&json!([{ "Plan": scan }])).unwrap()
}

/// What is advised for a plan, as it tells itself what is asked of `s.t`.
fn advised(tree: &PlanTree, table: &Table) -> Option<(String, f64)> {
    let uses = of_plan(tree);
    let asked = table.read(uses.iter().find(|asked| asked.alias == "t")?);
    let found = estimate(tree, &asked, table, "gin_trgm_ops", BOTH);
    let one = together(found.into_iter().collect()).pop()?;
    let definition = one.candidate.hypothetical();
    let definition = definition.replace("CREATE INDEX ON s.t USING ", "");
    Some((definition, one.cost_after(tree)))
}

#[test]
fn what_another_index_leaves_to_check_is_searched_instead() {
    let scan = |kind: &str, filter: &str, cost: f64, rows: f64| {
        scanned(
            json!({"Node Type": kind, "Index Cond": "(t.kind = $1)", "Recheck Cond": "(t.kind = $1)", "Filter": filter,
            "Total Cost": cost, "Plan Rows": rows}),
        )
    };
    let index = |tree: &PlanTree| advised(tree, &table()).map(|(definition, _)| definition);
    let filter = "(t.info @> $2)";
    for kind in ["Index Scan", "Bitmap Heap Scan"] {
        let dear = scan(kind, filter, 1400.0, 1.0);
        assert_eq!(
            index(&dear).as_deref(),
            Some("gin (info jsonb_path_ops)"),
            "{kind}"
        );
        assert_eq!(
            index(&scan(kind, filter, 90.0, 1.0)),
            None,
            "what is read now is soon read"
        );
    }
    // what the condition of an index asks is answered
    let found = scanned(
        json!({"Node Type": "Bitmap Heap Scan", "Recheck Cond": "(t.info @> $1)", "Total Cost": 1400.0,
        "Plan Rows": 1.0}),
    );
    assert_eq!(index(&found), None);
}

#[test]
fn rows_in_the_order_of_an_index_are_given_up_only_for_few() {
    let cost = |limit: f64, rows: f64| {
        let scan = json!({"Node Type": "Index Scan", "Schema": "s", "Relation Name": "t", "Alias": "t",
            "Filter": "(t.caption ~~* '%abc%'::text)", "Total Cost": 3000.0, "Plan Rows": rows});
        let plan =
            json!([{"Plan": {"Node Type": "Limit", "Total Cost": limit, "Plan Rows": 20, "Plans": [scan]}}]);
        advised(&PlanTree::read(&plan).unwrap(), &table())
    };
    let (definition, after) = cost(3000.0, 5.0).unwrap();
    assert_eq!(definition, "gin (caption gin_trgm_ops)");
    assert!(after < 100.0, "{after}");
    assert_eq!(
        cost(240.0, 250.0),
        None,
        "twenty of them are soon found in that order"
    );
}

#[test]
fn arms_of_an_or_are_found_by_indexes_that_are_there() {
    let filter = "((t.caption ~~* $1) OR (t.kind = $2))";
    let tree =
        scanned(json!({"Node Type": "Seq Scan", "Filter": filter, "Total Cost": 1625.0, "Plan Rows": 10.0}));
    let there = |method: &str, name: &str, is_plain: bool| ExistingIndex {
        oid: 1,
        schema: "s".into(),
        name: "i".into(),
        method: method.into(),
        is_unique: false,
        is_needed: false,
        predicate: None,
        keys: vec![ExistingKey {
            key: Key::Column(name.into()),
            descending: false,
            nulls_first: false,
            is_plain,
        }],
        include: Vec::new(),
        parts: Vec::new(),
    };
    let with = |tree: &PlanTree, indexes: Vec<ExistingIndex>| {
        let table = Table { indexes, ..table() };
        advised(tree, &table).map(|(definition, _)| definition)
    };
    assert_eq!(with(&tree, vec![]), None);
    assert_eq!(with(&tree, vec![there("btree", "id", true)]), None);
    let of_kind = there("btree", "kind", true);
    let partial = ExistingIndex {
        predicate: Some("id > 5".into()),
        ..of_kind.clone()
    };
    assert_eq!(with(&tree, vec![partial]), None);
    let found = with(&tree, vec![of_kind]);
    assert_eq!(found.as_deref(), Some("gin (caption gin_trgm_ops)"));
    // an arm that an index of the same kind finds already
    let filter = "((t.caption ~~* $1) OR (t.tags && $2))";
    let tree =
        scanned(json!({"Node Type": "Seq Scan", "Filter": filter, "Total Cost": 1625.0, "Plan Rows": 10.0}));
    let found = with(&tree, vec![there("gin", "tags", true)]);
    assert_eq!(found.as_deref(), Some("gin (caption gin_trgm_ops)"));
    let found = with(&tree, vec![]);
    assert_eq!(found.as_deref(), Some("gin (caption gin_trgm_ops, tags)"));
    let both = vec![there("gin", "tags", true), there("gin", "caption", false)];
    assert_eq!(with(&tree, both), None);
    // either of two methods would leave an arm
    let filter = "((t.caption ~~* $1) OR (t.during && $2))";
    let tree =
        scanned(json!({"Node Type": "Seq Scan", "Filter": filter, "Total Cost": 1625.0, "Plan Rows": 10.0}));
    assert_eq!(with(&tree, vec![]), None);
}

#[test]
fn what_another_relation_gives_is_searched_once_for_each_of_its_rows() {
    let joined = |kind: &str, outer_rows: f64, filter: &str| {
        let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t",
            "Total Cost": 1000.0, "Plan Rows": 50_000});
        let other =
            json!({"Node Type": "Function Scan", "Alias": "q", "Total Cost": 10.0, "Plan Rows": outer_rows});
        let cost = 1000.0 + 625.0 * outer_rows;
        let plan = json!([{"Plan": {"Node Type": "Nested Loop", "Join Type": kind, "Join Filter": filter,
            "Total Cost": cost, "Plan Rows": 10.0 * outer_rows, "Plans": [other, scan]}}]);
        advised(&PlanTree::read(&plan).unwrap(), &table())
    };
    let (definition, after) = joined("Inner", 1.0, "(t.info @> q.q)").unwrap();
    assert_eq!(definition, "gin (info jsonb_path_ops)");
    assert!(after < 200.0, "{after}");
    let (turned, _) = joined("Inner", 1.0, "(q.q <@ t.info)").unwrap();
    assert_eq!(turned, definition);
    let (_, after) = joined("Inner", 100.0, "(t.info @> q.q)").unwrap();
    assert!((5_000.0..20_000.0).contains(&after), "a search for each: {after}");
    assert_eq!(joined("Left", 1.0, "(t.info @> q.q)"), None);
    assert_eq!(joined("Inner", 1.0, "(t.info @> q.q) OR (t.id = q.id)"), None);
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

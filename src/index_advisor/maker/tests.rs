mod parts;

use serde_json::json;

use super::*;
use crate::index_advisor::clauses::{OrderedKey, of_plan};
use crate::index_advisor::estimated::Methods;
use crate::model::plan::PlanTree;

fn columns(names: &[&str]) -> BTreeSet<Key> {
    names.iter().map(|name| Key::Column((*name).into())).collect()
}

fn definitions(asked: &RelationUse, kinds: Kinds) -> Vec<String> {
    of_use(asked, kinds)
        .iter()
        .flatten()
        .map(|one| one.hypothetical().replace("CREATE INDEX ON s.t USING ", ""))
        .collect()
}

fn plain() -> Kinds {
    Kinds {
        max_width: 3,
        btree: true,
        include: false,
        partial: false,
        expression: false,
        brin: false,
        estimated: Methods {
            gin: false,
            gist: false,
        },
    }
}

#[test]
fn points_come_first_and_a_range_last() {
    let asked = RelationUse {
        schema: "s".into(),
        table: "t".into(),
        equal: columns(&["a", "b"]),
        ranged: columns(&["r"]),
        needed: ["a", "b", "r", "x", "y"].map(String::from).into(),
        ..RelationUse::default()
    };
    let made = definitions(&asked, plain());
    for wanted in [
        "btree (a)",
        "btree (a, b, r)",
        "btree (b, a, r)",
        "btree (r, a)",
        "btree (r)",
    ] {
        assert!(made.contains(&wanted.to_owned()), "{wanted}: {made:?}");
    }
    assert!(
        !made.iter().any(|one| one.contains('x')),
        "a tail that covers nothing is left out"
    );
    assert_eq!(made.len(), made.iter().collect::<BTreeSet<_>>().len());
    let made = definitions(
        &asked,
        Kinds {
            include: true,
            ..plain()
        },
    );
    assert!(
        made.contains(&"btree (a, b, r) INCLUDE (x, y)".to_owned()),
        "{made:?}"
    );
}

#[test]
fn a_list_of_values_is_tried_before_an_order_and_left_out_of_it() {
    let plan = json!([{"Plan": {"Node Type": "Limit", "Total Cost": 900.0, "Plan Rows": 20.0, "Plans": [
        {"Node Type": "Sort", "Sort Key": ["t.created_at"], "Total Cost": 900.0, "Plan Rows": 500.0, "Plans": [
            {"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Total Cost": 800.0, "Plan Rows": 500.0,
             "Filter": "((t.tenant = ANY ($1)) AND (t.status = $2))", "Output": ["t.id", "t.note"]}]}]}}]);
    let asked = of_plan(&PlanTree::read(&plan).unwrap());
    let made = definitions(&asked[0], plain());
    for wanted in [
        "btree (status)",
        "btree (status, tenant)",
        "btree (tenant, status)",
        "btree (status, created_at)",
        "btree (tenant, created_at)",
        "btree (status, tenant, created_at)",
    ] {
        assert!(made.contains(&wanted.to_owned()), "{wanted}: {made:?}");
    }
    assert!(
        made.len() < crate::limits::CANDIDATES_PER_STATEMENT,
        "all of them are tried: {made:?}"
    );
}

#[test]
fn orders_follow_what_is_equal_and_predicates_take_its_place() {
    let newest = OrderedKey {
        key: Key::Column("made_at".into()),
        descending: true,
        nulls_first: true,
    };
    let predicate = Predicate {
        text: "status = 'open'".into(),
        key: Key::Column("status".into()),
        picks: Picks::Value,
    };
    let asked = RelationUse {
        schema: "s".into(),
        table: "t".into(),
        equal: columns(&["status"]),
        sorted: [vec![newest]].into(),
        predicates: [predicate].into(),
        ..RelationUse::default()
    };
    let made = definitions(
        &asked,
        Kinds {
            partial: true,
            ..plain()
        },
    );
    for wanted in [
        "btree (made_at DESC)",
        "btree (status, made_at DESC)",
        "btree (made_at DESC) WHERE status = 'open'",
    ] {
        assert!(made.contains(&wanted.to_owned()), "{wanted}: {made:?}");
    }
}

#[test]
fn rows_that_have_a_value_are_a_part_with_any_key() {
    let has_value = Predicate {
        text: "claimed_at IS NOT NULL".into(),
        key: Key::Column("claimed_at".into()),
        picks: Picks::NotNull,
    };
    let partial = Kinds {
        partial: true,
        ..plain()
    };
    let parts = |asked: &RelationUse| -> Vec<String> {
        let mut made = definitions(asked, partial);
        made.retain(|one| one.contains(" WHERE "));
        made
    };
    let mut asked = RelationUse {
        schema: "s".into(),
        table: "t".into(),
        predicates: [has_value].into(),
        ..RelationUse::default()
    };
    assert_eq!(
        parts(&asked),
        ["btree (claimed_at) WHERE claimed_at IS NOT NULL"],
        "nothing else is asked"
    );
    asked.sorted = [vec![OrderedKey {
        key: Key::Column("claimed_at".into()),
        descending: false,
        nulls_first: false,
    }]]
    .into();
    assert_eq!(parts(&asked), ["btree (claimed_at) WHERE claimed_at IS NOT NULL"]);
    asked.sorted.clear();
    asked.equal = columns(&["shop"]);
    assert_eq!(parts(&asked), ["btree (shop) WHERE claimed_at IS NOT NULL"]);
}

#[test]
fn what_is_rare_is_a_part_with_the_keys_of_the_rest() {
    let partial = Kinds {
        partial: true,
        ..plain()
    };
    let parts = |asked: &RelationUse| -> Vec<String> {
        let mut made = definitions(asked, partial);
        made.retain(|one| one.contains(" WHERE "));
        made
    };
    let predicate = |text: &str, column: &str| Predicate {
        text: text.into(),
        key: Key::Column(column.into()),
        picks: Picks::Rare,
    };
    let differing = RelationUse {
        schema: "s".into(),
        table: "t".into(),
        predicates: [predicate("status <> 'done'", "status")].into(),
        ..RelationUse::default()
    };
    assert_eq!(
        parts(&differing),
        ["btree (status) WHERE status <> 'done'"],
        "nothing else is asked"
    );
    let by = |names: &[&str]| -> BTreeSet<Vec<OrderedKey>> {
        let order: Vec<OrderedKey> = names.iter().map(|name| ordered(name, false)).collect();
        [order].into()
    };
    let newest = RelationUse {
        sorted: by(&["made_at"]),
        ..differing.clone()
    };
    assert_eq!(parts(&newest), ["btree (made_at) WHERE status <> 'done'"]);
    let by_itself = RelationUse {
        sorted: by(&["status", "made_at"]),
        ..differing
    };
    let made = parts(&by_itself);
    assert!(
        made.contains(&"btree (status, made_at) WHERE status <> 'done'".to_owned()),
        "its rows are still sorted by it: {made:?}"
    );
    let negative = RelationUse {
        schema: "s".into(),
        table: "t".into(),
        ranged: columns(&["amount"]),
        equal: columns(&["shop"]),
        sorted: by(&["made_at"]),
        predicates: [predicate("amount < 0", "amount")].into(),
        ..RelationUse::default()
    };
    let made = parts(&negative);
    assert!(
        made.contains(&"btree (shop, made_at) WHERE amount < 0".to_owned()),
        "{made:?}"
    );
    assert!(!made.iter().any(|one| one.contains("(amount")), "{made:?}");
    let moving = RelationUse {
        predicates: [Predicate {
            picks: Picks::Value,
            ..predicate("amount < 17", "amount")
        }]
        .into(),
        ..negative
    };
    assert_eq!(parts(&moving), Vec::<String>::new());
}

#[test]
fn every_definition_parses_whatever_the_names_are() {
    let asked = RelationUse {
        schema: "S \" x".into(),
        table: "select".into(),
        equal: [
            Key::Column("a\"; DROP TABLE t; --".into()),
            Key::Expression("lower(\"B\")".into()),
        ]
        .into(),
        needed: ["Ü".to_owned()].into(),
        ..RelationUse::default()
    };
    for one in of_use(&asked, Kinds::default()).into_iter().flatten() {
        assert_eq!(crate::sql::statement_count(&one.hypothetical()).unwrap(), 1);
    }
}

fn ordered(name: &str, descending: bool) -> OrderedKey {
    OrderedKey {
        key: Key::Column(name.into()),
        descending,
        nulls_first: descending,
    }
}

fn needed(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn an_order_of_several_keys_is_covered_whichever_way_it_goes() {
    let kinds = Kinds {
        include: true,
        ..plain()
    };
    for (descending, wanted) in [
        (false, "btree (a, b) INCLUDE (x, y)"),
        (true, "btree (a DESC, b DESC) INCLUDE (x, y)"),
    ] {
        let asked = RelationUse {
            schema: "s".into(),
            table: "t".into(),
            sorted: [vec![ordered("a", descending), ordered("b", descending)]].into(),
            needed: needed(&["a", "b", "x", "y"]),
            ..RelationUse::default()
        };
        let made = definitions(&asked, kinds);
        assert!(made.contains(&wanted.to_owned()), "{wanted}: {made:?}");
    }
}

#[test]
fn an_order_stands_behind_what_is_joined_and_behind_two_points() {
    let asked = RelationUse {
        schema: "s".into(),
        table: "t".into(),
        equal: columns(&["a", "b"]),
        joined: columns(&["customer_id"]),
        sorted: [vec![ordered("made_at", true), ordered("id", true)]].into(),
        ..RelationUse::default()
    };
    let made = definitions(&asked, plain());
    for wanted in [
        "btree (customer_id, made_at DESC)",
        "btree (customer_id, made_at DESC, id DESC)",
        "btree (a, customer_id, made_at DESC)",
        "btree (a, b, made_at DESC)",
    ] {
        assert!(made.contains(&wanted.to_owned()), "{wanted}: {made:?}");
    }
}

#[test]
fn a_queue_is_not_waded_through() {
    let mut asked = RelationUse {
        schema: "s".into(),
        table: "t".into(),
        equal: columns(&["state"]),
        ranged: columns(&["run_at"]),
        sorted: [vec![ordered("run_at", false)]].into(),
        ..RelationUse::default()
    };
    let begins_with_the_order = |asked: &RelationUse| {
        definitions(asked, plain())
            .iter()
            .any(|one| one.starts_with("btree (run_at"))
    };
    assert!(begins_with_the_order(&asked));
    asked.is_queue = true;
    assert!(!begins_with_the_order(&asked));
    assert!(definitions(&asked, plain()).contains(&"btree (state, run_at)".to_owned()));
    asked.equal.clear();
    assert!(begins_with_the_order(&asked), "nothing else leads to its rows");
}

#[test]
fn a_part_is_sorted_behind_two_points_and_may_hold_all_that_is_needed() {
    let predicate = Predicate {
        text: "status = 'open'".into(),
        key: Key::Column("status".into()),
        picks: Picks::Value,
    };
    let asked = RelationUse {
        schema: "s".into(),
        table: "t".into(),
        equal: columns(&["a", "b", "status"]),
        sorted: [vec![ordered("made_at", true)]].into(),
        needed: needed(&["a", "made_at", "b", "status", "total"]),
        predicates: [predicate].into(),
        ..RelationUse::default()
    };
    let kinds = Kinds {
        include: true,
        partial: true,
        ..plain()
    };
    let made = definitions(&asked, kinds);
    for wanted in [
        "btree (a, b, made_at DESC) WHERE status = 'open'",
        "btree (a, b, made_at DESC) INCLUDE (total) WHERE status = 'open'",
        "btree (a, made_at DESC) INCLUDE (b, total) WHERE status = 'open'",
    ] {
        assert!(made.contains(&wanted.to_owned()), "{wanted}: {made:?}");
    }
    // it is the same in all rows
    let carries_it = |one: &&String| {
        let keys = one.split(" WHERE ").next().unwrap_or_default();
        one.contains(" WHERE ") && keys.contains("status")
    };
    assert_eq!(made.iter().find(carries_it), None);
}

#[test]
fn nothing_is_carried_along_where_rows_are_locked() {
    let mut asked = RelationUse {
        schema: "s".into(),
        table: "t".into(),
        equal: columns(&["done_at"]),
        sorted: [vec![ordered("id", false)]].into(),
        needed: needed(&["id", "done_at", "note"]),
        predicates: [Predicate {
            text: "done_at IS NULL".into(),
            key: Key::Column("done_at".into()),
            picks: Picks::State,
        }]
        .into(),
        ..RelationUse::default()
    };
    let kinds = Kinds {
        include: true,
        partial: true,
        ..plain()
    };
    let carry = |asked: &RelationUse| {
        let made = definitions(asked, kinds);
        assert!(
            made.contains(&"btree (id) WHERE done_at IS NULL".to_owned()),
            "{made:?}"
        );
        made.iter().any(|one| one.contains("INCLUDE"))
    };
    assert!(carry(&asked));
    asked.lock_rows();
    assert!(!carry(&asked));
}

#[test]
fn rows_are_found_by_their_columns_in_order() {
    let mut asked = RelationUse {
        schema: "s".into(),
        table: "t".into(),
        equal: columns(&["c"]),
        ranged: columns(&["b"]),
        rows: [vec![Key::Column("b".into()), Key::Column("a".into())]].into(),
        ..RelationUse::default()
    };
    let made = definitions(&asked, plain());
    for wanted in ["btree (b, a)", "btree (c, b, a)"] {
        assert!(made.contains(&wanted.to_owned()), "{wanted}: {made:?}");
    }
    asked.sorted = [vec![ordered("b", true), ordered("a", true)]].into();
    let made = definitions(&asked, plain());
    assert!(made.contains(&"btree (c, b DESC, a DESC)".to_owned()), "{made:?}");
    assert!(
        !made.contains(&"btree (c, b, a)".to_owned()),
        "it is read backwards: {made:?}"
    );
}

#[test]
fn beginnings_are_found_under_the_class_that_the_key_has() {
    let code = Key::Column("code".into());
    let asked = RelationUse {
        schema: "s".into(),
        table: "t".into(),
        ranged: columns(&["code"]),
        prefixed: [(code, "bpchar_pattern_ops")].into(),
        ..RelationUse::default()
    };
    assert_eq!(
        definitions(&asked, plain()),
        ["btree (code)", "btree (code bpchar_pattern_ops)"]
    );
    let blocks = Kinds {
        btree: false,
        brin: true,
        ..plain()
    };
    assert_eq!(
        definitions(&asked, blocks),
        ["brin (code)"],
        "BRIN has no such class"
    );
}

#[test]
fn what_asks_for_much_has_not_too_many() {
    let predicate = |name: &str| Predicate {
        text: format!("{name} = 1"),
        key: Key::Column(name.into()),
        picks: Picks::Value,
    };
    let asked = RelationUse {
        schema: "s".into(),
        table: "t".into(),
        equal: columns(&["a", "b", "c", "d"]),
        joined: columns(&["j"]),
        ranged: columns(&["r"]),
        sorted: [vec![ordered("o", true), ordered("p", true)]].into(),
        needed: needed(&["a", "b", "c", "d", "j", "o", "p", "r", "x"]),
        predicates: [predicate("a"), predicate("b")].into(),
        ..RelationUse::default()
    };
    let made = definitions(&asked, Kinds::default()).len();
    assert!(made < 2 * limits::CANDIDATES_PER_STATEMENT, "{made}");
}

#[test]
fn of_many_keys_no_more_sequences_are_made_than_are_tried() {
    let keys: Vec<Key> = (0..50).map(|number| Key::Column(format!("k{number}"))).collect();
    for (count, width, expected) in [
        (5, 3, 5 + 5 * 4 + 5 * 4 * 3),
        (12, 3, limits::CANDIDATES_PER_STATEMENT),
        (50, 8, limits::CANDIDATES_PER_STATEMENT),
    ] {
        let made = sequences(&keys[..count], &keys[..count], width);
        assert_eq!(made.len(), expected, "{count} keys");
        assert!(keys[..count].iter().all(|key| made.contains(&vec![key.clone()])));
    }
}

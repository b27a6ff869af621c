use super::*;
use serde_json::json;

fn scan(table: &str, alias: &str, filter: &str) -> serde_json::Value {
    json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": table, "Alias": alias, "Filter": filter,
           "Output": [format!("{alias}.everything")]})
}

fn uses(plan: serde_json::Value) -> Vec<RelationUse> {
    of_plan(&PlanTree::read(&json!([{"Plan": plan}])).unwrap())
}

fn column(name: &str) -> Key {
    Key::Column(name.into())
}

#[test]
fn conditions_orders_and_needs() {
    let uses = uses(
        json!({"Node Type": "Sort", "Sort Key": ["t.c DESC", "t.d"], "Output": ["t.c", "t.d", "t.e"],
        "Plans": [scan("table", "t", "((t.a = 1) AND (t.b > $1) AND (NOT t.gone) AND (lower(t.f) = 'x'::text))")]}),
    );
    let table = &uses[0];
    assert_eq!((table.schema.as_str(), table.table.as_str()), ("s", "table"));
    assert_eq!(
        table.equal,
        [column("a"), column("gone"), Key::Expression("lower(f)".into())].into()
    );
    assert_eq!(table.ranged, [column("b")].into());
    let order: Vec<(Key, bool)> = table
        .sorted
        .first()
        .unwrap()
        .iter()
        .map(|key| (key.key.clone(), key.descending))
        .collect();
    assert_eq!(order, [(column("c"), true), (column("d"), false)]);
    let needed: Vec<&str> = table.needed.iter().map(String::as_str).collect();
    assert_eq!(
        needed,
        ["a", "b", "c", "d", "e", "f", "gone"],
        "and not everything that the scan puts out"
    );
    let predicates: Vec<&str> = table
        .predicates
        .iter()
        .map(|predicate| predicate.text.as_str())
        .collect();
    assert_eq!(predicates, ["NOT gone", "a = 1", "lower(f) = 'x'::text"]);
}

#[test]
fn what_most_rows_have_may_be_excluded_by_a_predicate() {
    let told = |filter: &str| -> Vec<(String, Picks)> {
        let asked = uses(scan("table", "t", filter)).remove(0);
        let predicates = asked.predicates.into_iter();
        predicates.map(|one| (one.text, one.picks)).collect()
    };
    let rare = |text: &str| vec![(text.to_owned(), Picks::Rare)];
    assert_eq!(told("(t.a <> 5)"), rare("a <> 5"));
    assert_eq!(told("(t.a IS NOT TRUE)"), rare("a IS NOT TRUE"));
    assert_eq!(told("(t.a < 0)"), rare("a < 0"));
    assert_eq!(told("(t.a < 17)"), vec![("a < 17".to_owned(), Picks::Range)]);
    let none = Vec::new();
    for filter in [
        "(t.a <> $1)",
        "(t.a <> t.b)",
        "(t.a < $1)",
        "((t.a <> 5) OR (t.b = 1))",
        "(t.a ~~ '%abc%'::text)",
    ] {
        assert_eq!(told(filter), none, "{filter}");
    }
}

#[test]
fn an_or_of_values_of_one_column_is_a_predicate() {
    let told = |filter: &str| -> Vec<(String, Picks)> {
        let asked = uses(scan("table", "t", filter)).remove(0);
        let predicates = asked.predicates.into_iter();
        predicates.map(|one| (one.text, one.picks)).collect()
    };
    let value = |text: &str| vec![(text.to_owned(), Picks::Value)];
    assert_eq!(
        told("((t.a = 'x'::text) OR (t.a = 'y'::text))"),
        value("(a = 'x'::text OR a = 'y'::text)")
    );
    assert_eq!(
        told("((t.a IS NULL) OR (t.a = 5))"),
        value("(a IS NULL OR a = 5)")
    );
    let state = vec![("(a IS NULL OR NOT a)".to_owned(), Picks::State)];
    assert_eq!(told("((t.a IS NULL) OR (NOT t.a))"), state);
    let none = Vec::new();
    for filter in [
        "((t.a = 1) OR (t.b = 2))",
        "((t.a = 1) OR (t.a = $1))",
        "((t.a = 1) OR (t.a = t.b))",
        "((t.a = 1) OR (t.a > 5))",
        "((t.a = 1) OR ((t.a = 2) AND (t.b = 3)))",
        // it holds in one arm alone
        "((t.b = 1) OR ((t.c = 2) AND ((t.a = 1) OR (t.a = 2))))",
    ] {
        assert_eq!(told(filter), none, "{filter}");
    }
}

#[test]
fn a_search_counts_in_an_or_only_if_an_index_may_find_every_arm() {
    let searched = |filter: &str| {
        let asked = &uses(scan("table", "t", filter))[0];
        asked
            .searched
            .iter()
            .map(|together| together.all.len())
            .sum::<usize>()
    };
    assert_eq!(
        searched("((t.a ~~* '%xyz%'::text) OR (t.b ~~* '%xyz%'::text))"),
        2
    );
    assert_eq!(searched("((t.a ~~* '%xyz%'::text) OR (t.b <> 1))"), 0);
    assert_eq!(
        searched("((t.c @> '{}'::jsonb) AND ((t.a ~~* '%xyz%'::text) OR (t.b <> 1)))"),
        1
    );
    // what a b-tree may find is told beside it
    assert_eq!(searched("((t.a ~~* '%xyz%'::text) OR (t.b = 1))"), 1);
    // an arm whose pattern holds no trigram would be searched for in all of the index
    assert_eq!(searched("((t.a ~~* '%xyz%'::text) OR (t.b ~~* '%x1%'::text))"), 0);
    assert_eq!(
        searched("((t.a ~~* '%xyz%'::text) AND (t.b ~~* '%x1%'::text))"),
        1
    );
}

#[test]
fn parameters_and_their_columns() {
    let tree = json!([{"Plan": scan("table", "t", "((t.a = $1) AND ((t.b)::text = ($2)::text) AND (t.c = ANY ($3)) AND (lower(t.d) = $4) AND ((t.e > $5) OR (t.f = 1)))")}]);
    let found = compared_parameters(&PlanTree::read(&tree).unwrap());
    let told: Vec<(usize, &str, bool)> = found
        .iter()
        .map(|(number, compared)| (*number, compared.column.as_str(), compared.is_array))
        .collect();
    assert_eq!(
        told,
        [(1, "a", false), (2, "b", false), (3, "c", true), (5, "e", false)]
    );
    assert_eq!(
        (found[&1].schema.as_str(), found[&1].table.as_str()),
        ("s", "table")
    );
}

#[test]
fn joins_are_closed_and_arms_of_an_or_are_no_predicates() {
    let uses = uses(
        json!({"Node Type": "Hash Join", "Hash Cond": "(a.x = b.x)", "Plans": [
        scan("a", "a", "((a.k = 1) OR (a.l = 2))"),
        {"Node Type": "Nested Loop", "Join Filter": "(b.x = c.x)", "Plans": [scan("b", "b", ""), scan("c", "c", "")]}]}),
    );
    for relation in &uses {
        assert_eq!(relation.joined, [column("x")].into(), "{}", relation.table);
    }
    assert_eq!(uses[0].equal, [column("k"), column("l")].into());
    assert!(uses[0].predicates.is_empty());
}

#[test]
fn what_is_said_of_a_partitioned_table_is_said_of_all_its_partitions() {
    let partition = |name: &str, alias: &str| {
        json!({"Node Type": "Seq Scan", "Schema": "public", "Relation Name": name, "Alias": alias,
            "Output": [format!("{alias}.id"), format!("{alias}.customer_id")],
            "Filter": format!("({alias}.kind = $1)")})
    };
    let append = json!({"Node Type": "Append",
        "Plans": [partition("events_1", "e_1"), partition("events_2", "e_2")]});
    let plan = json!({"Node Type": "Limit", "Output": ["c.id", "e.id", "e.at"], "Plans": [
        {"Node Type": "Sort", "Output": ["c.id", "e.id", "e.at"], "Sort Key": ["e.at DESC"], "Plans": [
            {"Node Type": "Aggregate", "Group Key": ["e.region"], "Plans": [
                {"Node Type": "Hash Join", "Hash Cond": "(e.customer_id = c.id)",
                 "Plans": [append, {"Node Type": "Hash", "Plans": [scan("customers", "c", "")]}]}]}]}]});
    let uses = uses(plan);
    let tables: Vec<&str> = uses.iter().map(|one| one.table.as_str()).collect();
    assert_eq!(
        tables,
        ["customers", "events_1", "events_2"],
        "and none without a name"
    );
    for partition in &uses[1..] {
        assert_eq!(partition.joined, [column("customer_id")].into());
        assert_eq!(partition.equal, [column("kind")].into());
        let order = partition.sorted.first().unwrap();
        assert_eq!((&order[0].key, order[0].descending), (&column("at"), true));
        assert_eq!(partition.grouped, [vec![column("region")]].into());
        let needed: Vec<&str> = partition.needed.iter().map(String::as_str).collect();
        assert_eq!(needed, ["at", "customer_id", "id", "kind", "region"]);
    }
    assert_eq!(uses[0].joined, [column("id")].into());
}

#[test]
fn what_a_subquery_or_an_arm_puts_out_is_needed_though_nothing_names_it() {
    let below = |relationship: &str, alias: &str, column: &str| {
        let filter = format!("({alias}.kind = 5)");
        json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": alias, "Filter": filter,
            "Parent Relationship": relationship, "Output": [format!("{alias}.{column}")]})
    };
    let needed = |plan: serde_json::Value, alias: &str| -> Vec<String> {
        let uses = uses(plan);
        let of_it = uses.into_iter().find(|asked| asked.alias == alias);
        of_it.unwrap().needed.into_iter().collect()
    };
    // as 15 writes `u.id NOT IN (SELECT owner FROM t WHERE kind = 5)`
    for relationship in ["SubPlan", "InitPlan"] {
        let mut outer = scan("u", "u", "(NOT (hashed SubPlan 1))");
        outer["Plans"] = json!([below(relationship, "t", "owner")]);
        assert_eq!(needed(outer, "t"), ["kind", "owner"], "{relationship}");
    }
    let arms = [below("Member", "t", "seller"), below("Member", "t_1", "buyer")];
    let append = json!({"Node Type": "Append", "Plans": arms});
    let plan = json!({"Node Type": "Aggregate", "Group Key": ["t.seller"], "Output": ["t.seller"], "Plans": [append]});
    assert_eq!(needed(plan.clone(), "t"), ["kind", "seller"]);
    assert_eq!(needed(plan, "t_1"), ["buyer", "kind"]);
    let named = json!({"Node Type": "Subquery Scan", "Alias": "q", "Output": ["q.x"], "Plans": [below("Subquery", "t", "owner")]});
    assert_eq!(needed(named, "t"), ["kind", "owner"]);
    let written =
        json!({"Node Type": "ModifyTable", "Operation": "Insert", "Plans": [below("Outer", "t", "owner")]});
    assert_eq!(needed(written, "t"), ["kind", "owner"]);
    // what is joined is named above, whatever else is passed on
    let join = json!({"Node Type": "Hash Join", "Hash Cond": "(t.id = u.id)", "Output": ["u.id"],
        "Plans": [below("Outer", "t", "owner"), scan("u", "u", "")]});
    assert_eq!(needed(join, "t"), ["id", "kind"]);
}

#[test]
fn of_two_tables_that_cannot_be_told_apart_no_condition_holds_for_certain() {
    let append = |aliases: &[&str]| {
        let scans: Vec<_> = aliases
            .iter()
            .map(|alias| scan(&format!("of_{alias}"), alias, ""))
            .collect();
        json!({"Node Type": "Append", "Plans": scans})
    };
    let uses_of = |filter: &str, second: &[&str]| {
        let joined = json!({"Node Type": "Nested Loop", "Plans": [append(&["e_4", "e_5"]), append(second)]});
        uses(json!({"Node Type": "Result", "Filter": filter, "Plans": [joined]}))
    };
    let unsure = uses_of("(e.kind = 1)", &["e_2", "e_3"]);
    assert_eq!(unsure.len(), 4);
    for scanned in &unsure {
        assert_eq!(
            scanned.equal,
            [column("kind")].into(),
            "{}: it may be so",
            scanned.alias
        );
        assert!(scanned.predicates.is_empty(), "{}", scanned.alias);
    }
    let sure = uses_of("((e.kind = 1) AND (f.kind = 2))", &["f_2", "f_3"]);
    for scanned in &sure {
        assert_eq!(scanned.predicates.len(), 1, "{}", scanned.alias);
    }
}

#[test]
fn rows_are_ranges_of_their_first_column() {
    let filter = "((t.c = $3) AND (ROW(t.a, t.b) < ROW($1, $2)))";
    let plan = json!([{"Plan": scan("table", "t", filter)}]);
    let tree = PlanTree::read(&plan).unwrap();
    let asked = &of_plan(&tree)[0];
    assert_eq!(asked.ranged, [column("a")].into());
    assert_eq!(asked.rows, [vec![column("a"), column("b")]].into());
    let compared = compared_parameters(&tree);
    let columns: Vec<&str> = compared.values().map(|one| one.column.as_str()).collect();
    assert_eq!(columns, ["a", "b", "c"]);
}

#[test]
fn what_a_subplan_gives_is_compared_like_a_parameter() {
    // as 15 and 18 write `b NOT IN (SELECT …) AND a = (SELECT …)`
    for filter in [
        "((NOT (hashed SubPlan 1)) AND (t.a = $1))",
        "((NOT (ANY (t.b = (hashed SubPlan 1).col1))) AND (t.a = (InitPlan 2).col1))",
    ] {
        let asked = &uses(scan("table", "t", filter))[0];
        assert_eq!(asked.equal, [column("a")].into(), "{filter}");
        assert!(asked.predicates.is_empty(), "{filter}: {:?}", asked.predicates);
    }
}

#[test]
fn what_is_computed_from_groups_is_no_order() {
    let uses = uses(
        json!({"Node Type": "Sort", "Sort Key": ["(sum(t.a)) DESC", "t.b"], "Plans": [
        {"Node Type": "Aggregate", "Group Key": ["t.b"], "Output": ["sum(t.a)", "t.b"], "Plans": [scan("t", "t", "")]}]}),
    );
    assert!(uses[0].sorted.is_empty());
    assert_eq!(uses[0].grouped, [vec![column("b")]].into());
}

#[test]
fn what_is_computed_of_an_extreme_reads_one_end_of_an_index() {
    let sorted = |output: &str| {
        let aggregate =
            json!({"Node Type": "Aggregate", "Output": [output], "Plans": [scan("t", "t", "(tenant = $1)")]});
        let orders = uses(aggregate).remove(0).sorted.into_iter();
        orders.map(|order| order[0].key.clone()).collect::<Vec<Key>>()
    };
    for output in ["max(seq)", "(COALESCE(max(seq), 0) + 1)", "PARTIAL min(seq)"] {
        assert_eq!(sorted(output), [column("seq")], "{output}");
    }
    assert!(sorted("(max(seq) + count(*))").is_empty(), "all rows are read");
}

#[test]
fn any_of_the_values_that_another_table_has_is_a_join() {
    let joined = json!({"Node Type": "Nested Loop", "Join Filter": "(t.tag = ANY (u.tags))",
        "Plans": [scan("t", "t", ""), scan("u", "u", "")]});
    let uses = uses(joined);
    assert_eq!(uses[0].joined, [column("tag")].into());
    assert!(uses[0].equal.is_empty());
    assert!(uses[1].joined.is_empty(), "an array is searched for no value");
}

#[test]
fn null_is_no_value_that_a_key_has_once() {
    let asked = &uses(scan(
        "table",
        "t",
        "((t.a IS NULL) AND (t.b = $1) AND (t.c > $2) AND ((t.d = $3) OR (t.d IS NULL)))",
    ))[0];
    let names = ["a", "b", "c", "d"];
    assert_eq!(
        names.map(|name| asked.is_one_value(&column(name))),
        [false, true, false, false]
    );
    assert_eq!(asked.equal, ["a", "b", "d"].map(column).into());
}

#[test]
fn rows_are_a_queue_where_they_are_locked_in_an_order() {
    let sort = |above: &str| {
        let sort = json!({"Node Type": "Sort", "Sort Key": ["t.run_at"], "Plans": [scan("t", "t", "(t.state = 1)")]});
        uses(json!({"Node Type": above, "Plans": [sort]})).remove(0)
    };
    assert!(sort("LockRows").is_queue);
    let mut asked = sort("Limit");
    assert!(!asked.is_queue);
    // as of the SELECT that is planned in the place of one that locks
    asked.lock_rows();
    assert!(asked.is_queue);
    let mut unsorted = uses(scan("t", "t", "(t.state = 1)")).remove(0);
    unsorted.lock_rows();
    assert!(!unsorted.is_queue);
}

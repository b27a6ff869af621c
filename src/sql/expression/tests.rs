use super::*;

fn column(alias: &str, column: &str) -> Operand {
    Operand::Column(ColumnName {
        alias: alias.into(),
        column: column.into(),
    })
}

fn only(text: &str) -> (Operand, Comparison, Operand, Option<String>) {
    let mut all = conditions(text);
    assert_eq!(all.len(), 1, "{text}: {all:?}");
    match all.remove(0) {
        Condition::Term {
            left,
            comparison,
            right,
            text,
        } => (left, comparison, right, text),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn comparisons_of_columns_and_values() {
    let (left, comparison, right, text) = only("(t.a = 5)");
    assert_eq!((left, comparison), (column("t", "a"), Comparison::Equal));
    assert_eq!(right, Operand::Value("5".into()));
    assert_eq!(text.as_deref(), Some("a = 5"));
    assert_eq!(only("(t.a = $1)").3, None, "a parameter holds for one call");
    assert_eq!(only("(5 > \"T x\".\"A\")").0, column("T x", "A"));
    assert_eq!(only("(o.id = i.order_id)").2, column("i", "order_id"));
    assert_eq!(only("(t.a = ANY ('{1,2}'::integer[]))").1, Comparison::AnyOf);
    assert_eq!(only("(t.name ~~ 'abc%'::text)").1, Comparison::Prefix);
    assert_eq!(
        only("(t.name ~~ '%abc'::text)").1,
        Comparison::Operator("~~".into())
    );
    assert_eq!(
        only("(t.name ~~* '%abc'::text)").1,
        Comparison::Operator("~~*".into())
    );
    assert_eq!(
        only("(t.j @> '{\"a\": 1}'::jsonb)").1,
        Comparison::Operator("@>".into())
    );
    assert_eq!(only("(t.name ~ '^abc'::text)").1, Comparison::Prefix);
    assert_eq!(
        only("(t.name ~ '^.bc'::text)").1,
        Comparison::Operator("~".into())
    );
    assert_eq!(only("(t.name ^@ 'abc'::text)").1, Comparison::Prefix);
    assert_eq!(only("(t.a IS NULL)").1, Comparison::IsNull);
    assert_eq!(only("t.is_active").1, Comparison::True);
    let (left, comparison, _, text) = only("(NOT t.is_deleted)");
    assert_eq!(
        (left, comparison, text.as_deref()),
        (
            column("t", "is_deleted"),
            Comparison::False,
            Some("NOT is_deleted")
        )
    );
}

#[test]
fn what_is_none_of_these() {
    for (text, predicate) in [
        ("(t.a <> ALL ('{x,y}'::text[]))", "a <> ALL"),
        ("((t.a)::text <> ALL ('{x,y}'::text[]))", "a::text <> ALL"),
        ("(t.a IS DISTINCT FROM 'x'::text)", "a IS DISTINCT FROM 'x'"),
        ("(t.a IS NOT TRUE)", "a IS NOT TRUE"),
        ("(t.a IS NOT FALSE)", "a IS NOT FALSE"),
    ] {
        let (_, comparison, _, told) = only(text);
        assert_eq!(comparison, Comparison::NoneOf, "{text}");
        let told = told.unwrap();
        assert!(told.starts_with(predicate), "{text}: {told}");
    }
    assert_eq!(
        only("(t.a <> ALL ($1))").3,
        None,
        "a parameter holds for one call"
    );
    assert_eq!(only("(t.a <> 5)").1, Comparison::Operator("<>".into()));
    assert_eq!(conditions("(t.a IS NOT DISTINCT FROM 5)"), vec![]);
}

#[test]
fn casts_and_expressions() {
    let cast = only("((t.name)::text = 'x'::text)").0;
    assert_eq!(
        cast,
        Operand::Expression {
            alias: "t".into(),
            text: "name::text".into()
        }
    );
    let expression = only("(upper((t.code)::text) = 'X'::text)").0;
    assert_eq!(
        expression,
        Operand::Expression {
            alias: "t".into(),
            text: "upper(code::text)".into()
        }
    );
    assert_eq!(only("((t.a + u.b) = 5)").0, Operand::Other);
}

#[test]
fn schemas_are_no_columns() {
    for (text, predicate) in [
        ("(t.state = 'a'::s.cstate)", "state = 'a'::s.cstate"),
        // the alias is called like the schema
        ("(s.state = 'a'::s.cstate)", "state = 'a'::s.cstate"),
        (
            "(t.a OPERATOR(s.=) 'x'::s.citext)",
            "a OPERATOR(s.=) 'x'::s.citext",
        ),
        ("(s.even(s.a) = 1)", "s.even(a) = 1"),
    ] {
        let (_, comparison, right, told) = only(text);
        assert_eq!(
            (comparison, told.as_deref()),
            (Comparison::Equal, Some(predicate)),
            "{text}"
        );
        assert!(matches!(right, Operand::Value(_)), "{text}: {right:?}");
    }
    let (_, comparison, _, told) = only("(t.state = ANY ('{a,b}'::s.cstate[]))");
    assert_eq!(comparison, Comparison::AnyOf);
    assert!(told.unwrap_or_default().contains("'{a,b}'::s.cstate[]"));
    assert_eq!(columns("(t.name COLLATE s.de)").len(), 1);
}

#[test]
fn and_or_and_what_only_explain_writes() {
    let all = conditions("((t.a = 1) AND (t.b < 2) AND ((t.c = 3) OR (t.d = 4)))");
    assert_eq!(all.len(), 3);
    assert!(matches!(&all[2], Condition::Or(arms) if arms.len() == 2));
    assert_eq!(only("(t.a < (InitPlan 1).col1)").0, column("t", "a"));
    let (_, comparison, _, text) = only("((t.a)::numeric > $0)");
    assert_eq!((comparison, text), (Comparison::Range, None));
    assert_eq!(conditions("(NOT (hashed SubPlan 1))").len(), 1);
    assert_eq!(conditions("this is ( not SQL"), vec![]);
    assert_eq!(columns("PARTIAL sum((t.a * u.\"B c\"))").len(), 2);
    assert_eq!(columns("pg_catalog.lower(t.a)").len(), 1);
    assert_eq!(bare_columns("order_date"), ["order_date"]);
    assert!(bare_columns("current_date").is_empty());
    assert!(bare_columns("").is_empty());
    assert_eq!(bare_columns("PARTIAL max(order_date)"), ["order_date"]);
    assert_eq!(bare_columns("(lower(\"B c\") || t.d)"), ["B c"]);
}

/// The columns that each condition of a text is about.
fn about(text: &str) -> Vec<String> {
    let left = |condition: &Condition| match condition {
        Condition::Term {
            left: Operand::Column(name),
            ..
        } => Some(name.column.clone()),
        _ => None,
    };
    conditions(text).iter().filter_map(left).collect()
}

#[test]
fn what_stands_beside_a_subplan_is_understood() {
    // as 15 and 18 write the same
    for text in [
        "((NOT (hashed SubPlan 1)) AND (t.a = $1))",
        "((NOT (ANY (t.b = (hashed SubPlan 1).col1))) AND (t.a = $1))",
        "((t.a = 1) AND (SubPlan 1))",
        "((t.a = 1) AND (ALL (t.b <> (SubPlan 1).col1)))",
        "((t.a = 1) AND (NOT (ANY ((t.b = (hashed SubPlan 1).col1) AND (t.c = (hashed SubPlan 1).col2)))))",
        "((t.a = 1) AND EXISTS(SubPlan 1))",
        "((t.a = 1) AND (NOT EXISTS(SubPlan 1)))",
    ] {
        assert_eq!(about(text), ["a"], "{text}");
        assert_eq!(conditions(text).len(), 2, "{text}");
    }
    for text in [
        "((x.a = 1) AND ((SubPlan 1) OR (x.c = 2)))",
        "((x.a = 1) AND ((ANY (x.b = (SubPlan 1).col1)) OR (x.c = 2)))",
    ] {
        let all = conditions(text);
        assert!(
            matches!(&all[1], Condition::Or(arms) if arms.len() == 2),
            "{text}: {all:?}"
        );
    }
    // neither a literal nor a name is a subplan
    let literal = only("(t.a = '(SubPlan 1)'::text)");
    assert_eq!(literal.2, Operand::Value("'(SubPlan 1)'".into()));
    assert_eq!(literal.3.as_deref(), Some("a = '(SubPlan 1)'::text"));
    assert_eq!(only("(\"SubPlan \".a = 1)").0, column("SubPlan ", "a"));
}

#[test]
fn what_a_subplan_gives_is_no_constant() {
    for (text, wanted) in [
        ("(t.a = $0)", Comparison::Equal),
        ("(t.a = (InitPlan 1).col1)", Comparison::Equal),
        ("(t.a = (SubPlan 1))", Comparison::Equal),
        ("(t.a = ANY ($0))", Comparison::AnyOf),
        ("(t.a = ANY ((InitPlan 1).col1))", Comparison::AnyOf),
    ] {
        let (left, comparison, right, predicate) = only(text);
        assert_eq!((left, comparison), (column("t", "a"), wanted), "{text}");
        assert!(matches!(right, Operand::Value(_)), "{text}: {right:?}");
        assert_eq!(predicate, None, "{text}");
    }
    assert_eq!(
        about("((t.a = (InitPlan 1).col1) AND (t.b = (InitPlan 1).col2))"),
        ["a", "b"]
    );
    assert_eq!(
        only("((t.a + $1) = 5)").0,
        Operand::Other,
        "no index has such a key"
    );
    assert_eq!(only("((t.a + (InitPlan 1).col1) = 5)").0, Operand::Other);
}

#[test]
fn rows_are_compared_by_their_columns() {
    let rows = |text: &str| match conditions(text).remove(0) {
        Condition::Rows(pairs) => pairs,
        other => panic!("{text}: {other:?}"),
    };
    let pairs = rows("(ROW(t.a, t.b) < ROW($1, 2))");
    let wanted =
        [("a", "$1"), ("b", "2")].map(|(name, value)| (column("t", name), Operand::Value(value.into())));
    assert_eq!(pairs, wanted);
    assert_eq!(rows("(ROW($1, 2) > ROW(t.a, t.b))"), wanted);
    for text in [
        "(ROW(t.a, t.b) < ROW($0, $1))",
        "(ROW(t.a, t.b) < ROW((InitPlan 1).col1, (InitPlan 1).col2))",
    ] {
        let left: Vec<Operand> = rows(text).into_iter().map(|(left, _)| left).collect();
        assert_eq!(left, [column("t", "a"), column("t", "b")], "{text}");
    }
    let (left, _, _, _) = only("(ROW(t.a, t.b) = ANY (ARRAY[ROW(1, 2)]))");
    assert_eq!(left, Operand::Other);
}

#[test]
fn distances() {
    let from = |text: &str| distance(text).map(|(from, _)| from);
    assert_eq!(from("((t.place <-> '(1,2)'::point))"), Some(column("t", "place")));
    assert_eq!(from("(('abc'::text <-> t.title))"), Some(column("t", "title")));
    assert_eq!(
        from("((t.place <-> '(1,2)'::point)) DESC"),
        None,
        "the farthest first"
    );
    assert_eq!(from("((t.place <-> u.place))"), None);
    assert_eq!(from("t.place"), None);
    assert_eq!(from("(t.a - t.b)"), None);
}

#[test]
fn sort_keys() {
    let key = sort_key("t.a DESC NULLS LAST");
    assert_eq!(
        (key.operand, key.descending, key.nulls_first),
        (column("t", "a"), true, false)
    );
    assert!(sort_key("t.a DESC").nulls_first);
    assert_eq!(
        sort_key("(sum(t.a)) DESC").operand,
        Operand::Expression {
            alias: "t".into(),
            text: "sum(a)".into()
        }
    );
}

use super::*;

/// The name of a table beside `s.t`.
pub(crate) fn named(name: &str) -> TableName {
    TableName {
        schema: "s".into(),
        name: name.into(),
    }
}

/// `s.t`, a table of two thousand pages with these columns.
pub(crate) fn table_of<const N: usize>(rows: f64, columns: [(&str, Column); N]) -> Table {
    Table {
        oid: 1,
        name: named("t"),
        is_partitioned: false,
        may_be_indexed: true,
        pages: 2000.0,
        rows,
        was_analyzed: true,
        columns: columns.map(|(name, column)| (name.to_owned(), column)).into(),
        indexes: Vec::new(),
        partitions: Vec::new(),
    }
}

/// Nothing but this table is known.
pub(crate) fn tables_of(table: Table) -> Tables {
    Tables {
        by_name: [(table.name.clone(), table.oid)].into(),
        tables: [(table.oid, table)].into(),
        ..Tables::default()
    }
}

#[test]
fn columns_of_users_are_told_as_sql_spells_them() {
    let code = Column {
        type_name: "varchar".into(),
        told_type: "character varying(20)".into(),
        is_not_null: true,
        ..Column::default()
    };
    let table = table_of(10.0, [("code", code)]);
    let told = tables_of(table.clone()).columns();
    let [code] = &told[&1][..] else { panic!("{told:?}") };
    assert_eq!(
        (code.type_name.as_deref(), code.is_not_null),
        (Some("character varying(20)"), Some(true))
    );
    let of_nobody = Table {
        may_be_indexed: false,
        ..table
    };
    assert!(tables_of(of_nobody).columns().is_empty());
}

#[test]
fn beginnings_are_found_under_the_class_of_the_type() {
    let column = |type_name: &str| Column {
        type_name: type_name.into(),
        ..Column::default()
    };
    let columns = [
        ("a", column("text")),
        ("b", column("varchar")),
        ("c", column("bpchar")),
        ("d", column("name")),
    ];
    let table = table_of(10.0, columns);
    let keys = [
        Key::Column("a".into()),
        Key::Expression("b::text".into()),
        Key::Column("c".into()),
        Key::Column("d".into()),
        Key::Expression("lower(a)".into()),
    ];
    let asked = RelationUse {
        prefixed: keys.into_iter().map(|key| (key, "text_pattern_ops")).collect(),
        ..RelationUse::default()
    };
    let told: Vec<(Key, &str)> = table.read(&asked).prefixed.into_iter().collect();
    let wanted = [
        (Key::Column("a".into()), "text_pattern_ops"),
        (Key::Column("b".into()), "text_pattern_ops"),
        (Key::Column("c".into()), "bpchar_pattern_ops"),
        (Key::Expression("lower(a)".into()), "text_pattern_ops"),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn what_is_cast_to_its_own_type_is_the_column() {
    let column = |type_name: &str| Column {
        type_name: type_name.into(),
        ..Column::default()
    };
    let columns = [
        ("a", column("text")),
        ("amount", column("numeric")),
        ("At", column("timestamptz")),
        ("code", column("bpchar")),
        ("no", column("int4")),
        ("state", column("cstate")),
        ("tags", column("_text")),
    ];
    let table = table_of(10.0, columns);
    for (text, name) in [
        ("a::varchar", Some("a")),
        ("amount::numeric", Some("amount")),
        ("\"At\"::timestamptz", Some("At")),
        ("code::bpchar", Some("code")),
        ("no::int", Some("no")),
        ("state::freight.cstate", Some("state")),
        ("tags::text[]", Some("tags")),
        // that is another value
        ("amount::numeric(5, 1)", None),
        ("code::char", None),
        ("no::bigint", None),
        ("\"At\"::date", None),
        ("state::text", None),
        ("lower(a)::text", None),
        ("(a || 'b')::text", None),
        ("a", None),
    ] {
        assert_eq!(table.only_cast(text).as_deref(), name, "{text}");
    }
}

#[test]
fn under_the_collation_c_an_ordinary_index_finds_beginnings() {
    let column = |type_name: &str, has_byte_order| Column {
        type_name: type_name.into(),
        has_byte_order,
        ..Column::default()
    };
    let columns = [
        ("a", column("text", true)),
        ("b", column("text", false)),
        ("n", column("int4", true)),
    ];
    let table = table_of(10.0, columns);
    for (key, class) in [
        (Key::Column("a".into()), Some(None)),
        (Key::Column("b".into()), Some(Some("text_pattern_ops"))),
        (Key::Column("n".into()), None),
        (Key::Column("gone".into()), None),
        (Key::Expression("lower(a)".into()), Some(None)),
        (Key::Expression("a || b".into()), Some(Some("text_pattern_ops"))),
        (
            Key::Expression("lower(a COLLATE \"de_DE\")".into()),
            Some(Some("text_pattern_ops")),
        ),
    ] {
        let found = table.key_of_beginnings(&key);
        let told = found.as_ref().map(|found| found.operator_class.as_deref());
        assert_eq!(told, class, "{key:?}");
        let asked = RelationUse {
            prefixed: [(key.clone(), "text_pattern_ops")].into(),
            ..RelationUse::default()
        };
        let kept = table.read(&asked).prefixed;
        assert_eq!(kept.get(&key).copied(), class.flatten(), "{key:?}");
    }
}

#[test]
fn what_is_forgotten_has_no_name_left() {
    let mut tables = Tables::default();
    for oid in [1, 2] {
        let table = Table {
            oid,
            ..table_of(10.0, [])
        };
        tables.by_name.insert(named(&format!("t{oid}")), oid);
        tables.by_name.insert(named(&format!("partition{oid}")), oid);
        tables.tables.insert(oid, table);
    }
    assert!(tables.knows(Some("s"), "partition1") && tables.knows(None, "t2"));
    assert!(!tables.knows(Some("other"), "t1") && !tables.knows(None, "view"));
    tables.forget(&[1]);
    assert!(tables.get("s", "t1").is_none() && tables.get("s", "t2").is_some());
    let left: Vec<u32> = tables.by_name.values().copied().collect();
    assert_eq!((left, tables.all().count()), (vec![2, 2], 1));
}

fn candidate(keys: &[(&str, bool)], include: &[&str], predicate: Option<&str>) -> Candidate {
    let key = |(name, descending): &(&str, bool)| IndexKey {
        key: Key::Column((*name).into()),
        descending: *descending,
        nulls_first: *descending,
        operator_class: None,
    };
    Candidate {
        schema: "s".into(),
        table: "t".into(),
        method: "btree",
        keys: keys.iter().map(key).collect(),
        include: include.iter().map(|one| (*one).to_owned()).collect(),
        predicate: predicate.map(str::to_owned),
    }
}

fn index(keys: &[(&str, bool)], include: &[&str], predicate: Option<&str>) -> ExistingIndex {
    let key = |(name, descending): &(&str, bool)| ExistingKey {
        key: Key::Column((*name).into()),
        descending: *descending,
        nulls_first: *descending,
        is_plain: true,
    };
    ExistingIndex {
        oid: 1,
        schema: "s".into(),
        name: "i".into(),
        method: "btree".into(),
        is_unique: false,
        is_needed: false,
        predicate: predicate.map(str::to_owned),
        keys: keys.iter().map(key).collect(),
        include: include.iter().map(|one| (*one).to_owned()).collect(),
        parts: Vec::new(),
    }
}

#[test]
fn an_index_serves_what_it_begins_with_in_either_direction() {
    let there = index(&[("a", false), ("b", true)], &["c"], None);
    assert!(there.serves(&candidate(&[("a", false)], &[], None)));
    assert!(
        there.serves(&candidate(&[("a", true), ("b", false)], &[], None)),
        "backwards"
    );
    assert!(there.serves(&candidate(&[("a", false)], &["c", "b"], None)));
    let part = candidate(&[("a", false)], &[], Some("x"));
    assert!(
        !there.serves(&part) && there.has_part(&part),
        "what else is asked has to be read in the table"
    );
    assert!(!there.has_part(&candidate(&[("a", false)], &[], None)));
    assert!(!there.has_part(&candidate(&[("b", false)], &[], Some("x"))));
    assert!(!there.serves(&candidate(&[("a", false), ("b", false)], &[], None)));
    assert!(!there.serves(&candidate(&[("b", true)], &[], None)));
    assert!(!there.serves(&candidate(&[("a", false)], &["d"], None)));
    let partial = index(&[("a", false)], &[], Some("(status = 'open'::text)"));
    assert!(partial.serves(&candidate(&[("a", false)], &[], Some("status = 'open'::text"))));
    assert!(!partial.serves(&candidate(&[("a", false)], &[], None)));
    let mut other_class = index(&[("a", false)], &[], None);
    other_class.keys[0].is_plain = false;
    assert!(!other_class.serves(&candidate(&[("a", false)], &[], None)));
}

#[test]
fn a_unique_index_finds_one_row_of_each_value_and_many_of_a_range() {
    let unique = ExistingIndex {
        is_unique: true,
        ..index(&[("a", false)], &[], None)
    };
    let keys = |names: &[&str]| -> BTreeSet<Key> {
        let keys = names.iter().map(|name| Key::Column((*name).into()));
        keys.collect()
    };
    let equal = RelationUse {
        equal: keys(&["a", "b"]),
        ..RelationUse::default()
    };
    let joined = RelationUse {
        joined: keys(&["a"]),
        ..RelationUse::default()
    };
    let ranged = RelationUse {
        equal: keys(&["b"]),
        ranged: keys(&["a"]),
        ..RelationUse::default()
    };
    let null = RelationUse {
        null: keys(&["a"]),
        ..equal.clone()
    };
    let covering = candidate(&[("a", false)], &["c"], None);
    let longer = candidate(&[("a", false), ("b", false)], &[], None);
    let other = candidate(&[("b", false), ("a", false)], &[], None);
    for (asked, finds) in [(&equal, true), (&joined, true), (&ranged, false), (&null, false)] {
        assert_eq!(unique.finds_one_row(&covering, asked), finds, "{asked:?}");
        assert_eq!(unique.finds_one_row(&longer, asked), finds, "{asked:?}");
        assert!(!unique.finds_one_row(&other, asked));
        let table = Table {
            indexes: vec![unique.clone()],
            ..table_of(1000.0, [])
        };
        assert_eq!(table.serving(&covering, asked).is_some(), finds, "{asked:?}");
        let same = candidate(&[("a", false)], &[], None);
        assert!(table.serving(&same, asked).is_some(), "it is there: {asked:?}");
    }
    let of_both = ExistingIndex {
        is_unique: true,
        ..index(&[("a", false), ("b", false)], &[], None)
    };
    assert!(of_both.finds_one_row(&longer, &equal));
    assert!(!of_both.finds_one_row(&longer, &joined), "many rows have one a");
    assert!(!index(&[("a", false)], &[], None).finds_one_row(&covering, &equal));
}

#[test]
fn what_a_longer_index_answers_is_superfluous_unless_something_rests_on_it() {
    let longer = candidate(&[("a", false), ("b", false)], &["c"], None);
    let there = index(&[("a", false)], &["c"], None);
    assert!(there.is_superseded_by(&longer));
    assert!(!index(&[("b", false)], &[], None).is_superseded_by(&longer));
    assert!(!index(&[("a", false)], &["d"], None).is_superseded_by(&longer));
    let unique = ExistingIndex {
        is_unique: true,
        ..there.clone()
    };
    let needed = ExistingIndex {
        is_needed: true,
        ..there
    };
    assert!(!unique.is_superseded_by(&longer) && !needed.is_superseded_by(&longer));
    let other_include = index(&[("a", false)], &["d"], None);
    assert!(
        other_include.is_begin_of(&longer),
        "it is built anew all the same"
    );
    assert!(!unique.is_begin_of(&longer) && !needed.is_begin_of(&longer));
}

#[test]
fn what_is_null_in_most_rows_is_no_beginning_where_null_is_asked_for() {
    let column = |null_ratio: f64| Column {
        type_name: "timestamptz".into(),
        null_ratio: Some(null_ratio),
        ..Column::default()
    };
    let table = table_of(1e5, [("deleted_at", column(0.97)), ("done_at", column(0.2))]);
    let key = |name: &str| Key::Column(name.into());
    let begins = |name: &str, asked: &RelationUse| {
        let candidate = Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: vec![IndexKey::from(key(name)), IndexKey::from(key("clinician_id"))],
            include: Vec::new(),
            predicate: None,
        };
        table.begins_with_nulls_of_most(&candidate, asked)
    };
    let null = RelationUse {
        null: [key("deleted_at"), key("done_at")].into(),
        ..RelationUse::default()
    };
    assert!(begins("deleted_at", &null));
    assert!(!begins("done_at", &null), "that tells them apart");
    assert!(!begins("clinician_id", &null));
    assert!(
        !begins("deleted_at", &RelationUse::default()),
        "a value is asked for"
    );
}

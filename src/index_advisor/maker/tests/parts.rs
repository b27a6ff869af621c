//! The keys of indexes on a part of the rows.

use super::*;

fn predicate(text: &str, column: &str, picks: Picks) -> Predicate {
    Predicate {
        text: text.into(),
        key: Key::Column(column.into()),
        picks,
    }
}

/// What is made for these conditions of which the first is an equality, where the statement needs these columns.
fn made(conditions: &[Predicate], columns_needed: &[&str], kinds: Kinds) -> Vec<String> {
    let asked = RelationUse {
        schema: "s".into(),
        table: "t".into(),
        equal: [conditions[0].key.clone()].into(),
        predicates: conditions.iter().cloned().collect(),
        needed: needed(columns_needed),
        ..RelationUse::default()
    };
    definitions(&asked, kinds)
}

fn of_parts() -> Kinds {
    Kinds {
        partial: true,
        include: true,
        ..plain()
    }
}

#[test]
fn what_all_rows_of_a_part_have_is_no_key_where_something_else_is_asked() {
    let in_country = predicate("country = 'YX'", "country", Picks::Value);
    let has_parent = predicate("parent IS NOT NULL", "parent", Picks::NotNull);
    let conditions = [in_country, has_parent];
    let found = made(&conditions, &["country", "parent"], of_parts());
    for wanted in [
        "btree (country, parent)",
        "btree (parent) WHERE country = 'YX'",
        "btree (country) WHERE parent IS NOT NULL",
        "btree (parent) WHERE country = 'YX' AND parent IS NOT NULL",
    ] {
        assert!(found.contains(&wanted.to_owned()), "{wanted}: {found:?}");
    }
    let is_constant = |one: &&String| one.starts_with("btree (country") && one.contains("WHERE country");
    assert_eq!(found.iter().find(is_constant), None);
    let alone = "btree (parent)".to_owned();
    assert!(!found.contains(&alone), "a part is smaller");
    assert!(made(&conditions, &["parent"], plain()).contains(&alone));
}

#[test]
fn where_nothing_else_is_asked_a_part_holds_what_is_needed() {
    let of_rank = [predicate("rank = 5", "rank", Picks::Value)];
    let parts = |columns_needed: &[&str]| -> Vec<String> {
        let mut found = made(&of_rank, columns_needed, of_parts());
        found.retain(|one| one.contains(" WHERE "));
        let shortened = found.iter().map(|one| one.replace(" WHERE rank = 5", ""));
        shortened.collect()
    };
    assert_eq!(parts(&["rank"]), ["btree (rank)"]);
    assert_eq!(parts(&["guild", "rank"]), ["btree (rank)", "btree (guild)"]);
    assert_eq!(
        parts(&["guild", "player", "rank"]),
        [
            "btree (rank)",
            "btree (guild, player)",
            "btree (guild) INCLUDE (player)",
            "btree (guild)",
            "btree (player) INCLUDE (guild)",
            "btree (player)"
        ]
    );
    assert_eq!(parts(&["ctid", "guild"]), ["btree (rank)"], "no index holds that");
    let many = (0..=limits::INCLUDED_COLUMNS).map(|number| format!("c{number}"));
    let many: Vec<String> = many.collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(parts(&many), ["btree (rank)"]);
}

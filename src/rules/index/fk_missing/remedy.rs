//! What mends it: an index on the columns of the key, of a partitioned table one partition after the other.

use super::known::{Known, is_on, serves};
use crate::model::catalog::IndexFacts;
use crate::model::remedy::{ABOUT_CONCURRENTLY, Remedy, quote_identifier};
use crate::model::schema::ForeignKey;
use crate::rules::index::invalid::is_left_by_reindex;
use crate::rules::new_index::NewIndex;
use crate::rules::whole_tables::Whole;

/// Bytes of an entry beside its keys, and what is left free in each page of a new index.
const ENTRY_BYTES: f64 = 12.0;
const FREE: f64 = 0.1;

/// An index on the columns of a key.
pub(super) fn remedy(known: &Known<'_>, key: &ForeignKey, whole: &Whole<'_>) -> Remedy {
    let table = whole.table;
    let columns = key.looked_up_columns();
    let types = key.types.iter().take(columns.len());
    let widths: f64 = types.map(|type_name| width(type_name)).sum();
    let bytes = whole.rows() * (ENTRY_BYTES + (widths / 8.0).ceil() * 8.0) / (1.0 - FREE);
    let index = NewIndex {
        database: known.database,
        stem: columns.join("_"),
        ending: "_idx",
        method: "btree",
        keys: columns.iter().map(|column| quote_identifier(column)).collect(),
        is_same: Box::new(|facts| is_on(facts, columns)),
    };
    let mut remedy = Remedy {
        extra_disk_bytes: Some(bytes.round()),
        ..Remedy::default()
    };
    index.add_to(&mut remedy, table);
    if remedy
        .apply_sql
        .iter()
        .any(|sql| sql.contains("INDEX CONCURRENTLY "))
    {
        remedy.caveats.push(ABOUT_CONCURRENTLY.to_owned());
    }
    let caveats = &mut remedy.caveats;
    caveats.extend(key.is_temporal.then(|| about_the_period(key)));
    caveats.extend(known.in_part(key).map(|names| helping(&names)));
    caveats.extend(known.of_some_rows(key).map(|names| useless(&names)));
    // what a REINDEX left behind is dropped, not built anew
    let would_serve = |facts: &&IndexFacts| {
        !(facts.is_valid || facts.is_partitioned || is_left_by_reindex(&facts.name)) && serves(facts, key)
    };
    if let Some(left) = known.indexes(table.oid).find(would_serve) {
        caveats.push(format!(
            "{} would serve, but is invalid: build that anew instead (index.invalid).",
            left.name
        ));
    }
    remedy
}

/// What is said of indexes that begin with some of the columns.
fn helping(names: &[&str]) -> String {
    let (help, they_begin) = match names.len() {
        1 => ("helps", "it begins"),
        _ => ("help", "they begin"),
    };
    format!(
        "{} {help} in part. That is enough if few rows are alike in the columns that {they_begin} with.",
        names.join(", ")
    )
}

/// What is looked up beside the columns of the index.
fn about_the_period(key: &ForeignKey) -> String {
    let all: Vec<String> = key
        .columns
        .iter()
        .map(|column| quote_identifier(column))
        .collect();
    format!(
        "Rows are looked up by an overlap of the key's period, too, which no btree finds; these columns alone are enough where few \
         rows are alike in them. A GiST index on ({}) finds both, and is larger and slower to write; for columns of ordinary types \
         it needs the extension btree_gist.",
        all.join(", ")
    )
}

/// And of partial ones, for which somebody may take the key to be served.
fn useless(names: &[&str]) -> String {
    let (do_not, they_lack) = match names.len() {
        1 => ("does not", "it lacks"),
        _ => ("do not", "they lack"),
    };
    format!(
        "{} {do_not} help: what looks for rows that point at one must find all of them, and {they_lack} some.",
        names.join(", ")
    )
}

/// Bytes that a value takes in an index, as far as its type tells.
fn width(type_name: &str) -> f64 {
    match type_name {
        "boolean" => 1.0,
        "smallint" => 2.0,
        "integer" | "date" | "real" => 4.0,
        "bigint" | "double precision" => 8.0,
        _ if type_name.starts_with("timestamp") => 8.0,
        _ => 16.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::FkMissing;
    use super::super::tests::{observed, with};
    use super::*;
    use crate::model::catalog::TableFacts;
    use crate::model::finding::Severity;
    use crate::model::remedy::{ABOUT_ATTACHING, ABOUT_ONLY};
    use crate::rules::testing::{claims, index, table};
    use serde_json::json;

    #[test]
    fn the_index_has_a_name_of_its_own() {
        let facts = IndexFacts {
            table_oid: 5,
            ..index(9, "t_a_idx")
        };
        let claim = claims::<FkMissing>(&observed(9e5, 1e8, 0, vec![facts]))
            .unwrap()
            .remove(0);
        assert_eq!(claim.subject, ["public", "t", "t_a_fkey"]);
        assert_eq!(
            claim.remedy.apply_sql,
            ["CREATE INDEX CONCURRENTLY t_a_idx2 ON public.t USING btree (a)"]
        );
        assert_eq!(claim.remedy.undo_sql, ["DROP INDEX CONCURRENTLY public.t_a_idx2"]);
        assert_eq!(claim.remedy.extra_disk_bytes, Some(2e7));
    }

    /// What is said of indexes on t, each as its definition goes on, of which each begins with the column of the key.
    fn said_of(indexes: &[(&str, &str)]) -> (serde_json::Value, Vec<String>) {
        let begins = |(number, (name, rest)): (usize, &(&str, &str))| IndexFacts {
            foreign_keys_in_part: [70].into(),
            definition: Some(format!("CREATE INDEX {name} ON public.t USING {rest}").into()),
            ..index(10 + number as u32, name)
        };
        let facts = indexes.iter().enumerate().map(begins).collect();
        let claim = claims::<FkMissing>(&observed(9e5, 1e8, 0, facts))
            .unwrap()
            .remove(0);
        let caveats = claim.remedy.caveats.into_iter();
        let about_them = caveats.filter(|caveat| caveat.contains(" help")).collect();
        (
            claim.evidence.get("indexes_in_part").cloned().unwrap_or_default(),
            about_them,
        )
    }

    #[test]
    fn what_lacks_rows_does_not_help() {
        let helps =
            "t_ab helps in part. That is enough if few rows are alike in the columns that it begins with.";
        let useless = "t_open does not help: what looks for rows that point at one must find all of them, and it lacks some.";
        let whole = ("t_ab", "gist (a, b)");
        let open = ("t_open", "gist (a, b) WHERE (status <> 'cancelled'::text)");
        assert_eq!(said_of(&[whole]), (json!(["t_ab"]), vec![helps.to_owned()]));
        assert_eq!(said_of(&[open]), (json!(null), vec![useless.to_owned()]));
        let both = said_of(&[whole, open]);
        assert_eq!(
            both,
            (json!(["t_ab"]), vec![helps.to_owned(), useless.to_owned()])
        );
        let deleted = ("t_live", "btree (a, b) WHERE (deleted_at IS NULL)");
        let (_, told) = said_of(&[open, deleted]);
        assert!(
            told[0].starts_with("t_live, t_open do not help")
                || told[0].starts_with("t_open, t_live do not help"),
            "{told:?}"
        );
        assert!(told[0].ends_with("they lack some."), "{told:?}");
        // what is looked up has a value there; with a in front it would serve the key
        let there = ("t_there", "gist (b, a) WHERE (a IS NOT NULL)");
        assert_eq!(said_of(&[there]).0, json!(["t_there"]));
        let other = (
            "t_there",
            "gist (b, a) WHERE ((a IS NOT NULL) AND (b IS NOT NULL))",
        );
        assert_eq!(said_of(&[other]).0, json!(null));
        let (_, told) = said_of(&[whole, there]);
        assert!(
            told[0].contains(" help in part.") && told[0].ends_with("that they begin with."),
            "{told:?}"
        );
    }

    #[test]
    fn an_invalid_index_is_named_only_where_it_would_serve() {
        let is_named = |name: &str, rest: &str| {
            let broken = IndexFacts {
                is_valid: false,
                definition: Some(format!("CREATE INDEX {name} ON public.t USING {rest}").into()),
                ..index(9, name)
            };
            let claims = claims::<FkMissing>(&observed(9e5, 1e8, 0, vec![broken])).unwrap();
            let mut caveats = claims[0].remedy.caveats.iter();
            caveats.any(|caveat| caveat.contains("index.invalid"))
        };
        assert!(is_named("i", "btree (a)"));
        assert!(is_named("i", "btree (a, b)"));
        assert!(!is_named("i", "btree (b)"), "another column");
        assert!(!is_named("i", "btree (b, a)"), "it is not in front");
        assert!(!is_named("i", "btree (a) WHERE (b > 0)"), "some rows");
        assert!(!is_named("i_ccnew", "btree (a)"), "that is dropped");
    }

    #[test]
    fn partitions_are_one_table() {
        let parts = || {
            let mut facts = vec![
                table(1, "t", -1.0, 0.0),
                table(2, "parent", 10.0, 8192.0),
                table(3, "t_1", 6e5, 1e7),
                table(4, "t_2", 6e5, 1e7),
            ];
            facts[0].kind = 'p';
            (facts[2].partition_of, facts[3].partition_of) = (Some(1), Some(1));
            facts
        };
        let claim = claims::<FkMissing>(&with(parts(), 0, vec![])).unwrap().remove(0);
        assert_eq!(claim.severity, Severity::Warning);
        assert_eq!(
            claim.remedy.apply_sql,
            [
                "CREATE INDEX t_a_idx ON ONLY public.t USING btree (a)",
                "CREATE INDEX CONCURRENTLY t_1_a_idx ON public.t_1 USING btree (a)",
                "CREATE INDEX CONCURRENTLY t_2_a_idx ON public.t_2 USING btree (a)",
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.t_2_a_idx",
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.t_1_a_idx",
            ]
        );
        assert_eq!(claim.remedy.undo_sql, ["DROP INDEX public.t_a_idx"]);
        let own = |oid: u32, table_oid: u32| IndexFacts {
            table_oid,
            foreign_keys: [oid + 100].into(),
            ..index(oid, "own")
        };
        let judged =
            |indexes: Vec<IndexFacts>| claims::<FkMissing>(&with(parts(), 0, indexes)).unwrap().len();
        assert_eq!(judged(vec![own(9, 3)]), 1, "one partition has none");
        let half = claims::<FkMissing>(&with(parts(), 0, vec![own(9, 3)]))
            .unwrap()
            .remove(0);
        assert_eq!(
            half.remedy.apply_sql,
            [
                "CREATE INDEX t_a_idx ON ONLY public.t USING btree (a)",
                "CREATE INDEX CONCURRENTLY t_2_a_idx ON public.t_2 USING btree (a)",
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.t_2_a_idx",
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.own",
            ],
            "what is there is taken"
        );
        assert_eq!(
            half.remedy.undo_sql,
            [
                "DROP INDEX public.t_a_idx",
                "CREATE INDEX CONCURRENTLY own ON public.t USING btree (a)",
            ],
            "and made again"
        );
        assert_eq!(judged(vec![own(9, 3), own(10, 4)]), 0);
    }

    /// `public.t` with a partition that is partitioned itself, `t_eu` (5), and below that `t_1` (3); `t_2` (4) is its other one.
    fn two_levels() -> Vec<TableFacts> {
        let part = |oid: u32, parent_oid: u32, name: &str| TableFacts {
            partition_of: Some(1),
            parent_oid: Some(parent_oid),
            ..table(oid, name, 6e5, 1e7)
        };
        // ANALYZE counts the rows below what is partitioned again
        let between = TableFacts {
            kind: 'p',
            ..part(5, 1, "t_eu")
        };
        let top = TableFacts {
            kind: 'p',
            ..table(1, "t", 1.2e6, 0.0)
        };
        let parent = table(2, "parent", 10.0, 8192.0);
        vec![top, parent, part(3, 5, "t_1"), part(4, 1, "t_2"), between]
    }

    #[test]
    fn partitions_of_partitions_are_indexed_from_below() {
        let claim = |facts: Vec<TableFacts>, indexes: Vec<IndexFacts>| {
            claims::<FkMissing>(&with(facts, 0, indexes)).unwrap().remove(0)
        };
        let told = claim(two_levels(), vec![]);
        assert_eq!(told.evidence["rows"], json!(1_200_000), "leaves alone hold rows");
        assert_eq!(
            told.remedy.apply_sql,
            [
                "CREATE INDEX t_a_idx ON ONLY public.t USING btree (a)",
                "CREATE INDEX CONCURRENTLY t_2_a_idx ON public.t_2 USING btree (a)",
                "CREATE INDEX t_eu_a_idx ON ONLY public.t_eu USING btree (a)",
                "CREATE INDEX CONCURRENTLY t_1_a_idx ON public.t_1 USING btree (a)",
                "ALTER INDEX public.t_eu_a_idx ATTACH PARTITION public.t_1_a_idx",
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.t_eu_a_idx",
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.t_2_a_idx",
            ]
        );
        assert_eq!(told.remedy.undo_sql, ["DROP INDEX public.t_a_idx"]);
        let caveats = told.remedy.caveats.join("\n");
        assert!(
            caveats.contains(ABOUT_ONLY) && caveats.contains(ABOUT_ATTACHING),
            "{caveats}"
        );
        let own = IndexFacts {
            table_oid: 5,
            is_partitioned: true,
            definition: Some("CREATE INDEX eu_own ON ONLY public.t_eu USING btree (a)".into()),
            ..index(9, "eu_own")
        };
        let half = claim(two_levels(), vec![own]).remedy;
        assert_eq!(
            half.apply_sql,
            [
                "CREATE INDEX t_a_idx ON ONLY public.t USING btree (a)",
                "CREATE INDEX CONCURRENTLY t_2_a_idx ON public.t_2 USING btree (a)",
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.eu_own",
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.t_2_a_idx",
            ],
            "with all that is below it"
        );
        assert_eq!(
            half.undo_sql[1],
            "CREATE INDEX eu_own ON public.t_eu USING btree (a)"
        );
    }

    #[test]
    fn where_levels_are_not_known_or_there_are_too_many_partitions_it_is_one_statement() {
        let claim = |facts: Vec<TableFacts>| {
            let claims = claims::<FkMissing>(&with(facts, 0, vec![])).unwrap();
            claims[0].remedy.clone()
        };
        let mut of_older_look = two_levels();
        of_older_look.iter_mut().for_each(|facts| facts.parent_oid = None);
        let mut many = two_levels();
        let part = |oid: u32| TableFacts {
            oid,
            name: format!("t_{oid}"),
            ..many[3].clone()
        };
        let more: Vec<TableFacts> = (10..58).map(part).collect();
        many.extend(more);
        for facts in [of_older_look, many] {
            let remedy = claim(facts);
            assert_eq!(
                remedy.apply_sql,
                ["CREATE INDEX t_a_idx ON public.t USING btree (a)"]
            );
            assert_eq!(remedy.undo_sql, ["DROP INDEX public.t_a_idx"]);
            assert!(
                remedy
                    .caveats
                    .iter()
                    .all(|told| !told.starts_with("CONCURRENTLY")),
                "{:?}",
                remedy.caveats
            );
        }
    }
}

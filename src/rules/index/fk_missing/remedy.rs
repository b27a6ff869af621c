//! What mends it: an index on the columns of the key, of a partitioned table one partition after the other.

use super::known::Known;
use crate::model::catalog::{IndexFacts, TableFacts};
use crate::model::remedy::{ABOUT_ATTACHING, ATTACH, Remedy, Statement, quote_identifier};
use crate::model::schema::ForeignKey;
use crate::rules::whole_tables::Whole;

/// A recipe for more partitions is longer than anybody reads.
const PARTITIONS: usize = 50;
/// Bytes of an entry beside its keys, and what is left free in each page of a new index.
const ENTRY_BYTES: f64 = 12.0;
const FREE: f64 = 0.1;

/// An index on the columns of a key.
pub(super) fn remedy(known: &Known<'_>, key: &ForeignKey, whole: &Whole<'_>) -> Remedy {
    let table = whole.table;
    let name = known.free_name(table, &key.columns);
    let (schema, columns) = (table.schema.clone(), &key.columns[..]);
    let widths: f64 = key.types.iter().map(|type_name| width(type_name)).sum();
    let bytes = whole.rows() * (ENTRY_BYTES + (widths / 8.0).ceil() * 8.0) / (1.0 - FREE);
    let mut caveats = vec![
        "CONCURRENTLY does not run inside a transaction, and waits for older ones; if it is interrupted, it leaves an \
         invalid index, which is to be dropped."
            .to_owned(),
    ];
    caveats.extend(known.in_part(key).map(|names| helping(&names)));
    caveats.extend(known.of_some_rows(key).map(|names| useless(&names)));
    let is_left = |facts: &&IndexFacts| !facts.is_valid && !facts.is_partitioned;
    if let Some(left) = known.indexes(table.oid).find(is_left) {
        caveats.push(format!(
            "{} on this table is invalid: if it was meant for this, build that anew instead (index.invalid).",
            left.name
        ));
    }
    let (apply_sql, undo, lock) = match table.kind {
        'p' => (
            on_partitions(known, columns, whole, &name, &mut caveats),
            Statement::DropIndex { schema, name },
            "SHARE",
        ),
        _ => (
            vec![create(true, false, &name, table, columns)],
            Statement::DropIndexConcurrently { schema, name },
            "SHARE UPDATE EXCLUSIVE",
        ),
    };
    if apply_sql.iter().any(|sql| sql.contains(ATTACH)) {
        caveats.push(ABOUT_ATTACHING.to_owned());
    }
    // to drop the index of the whole drops those of its partitions, the ones that were there before, too
    let takes_others = table.kind == 'p'
        && (known.has_levels(whole)
            || whole
                .parts
                .iter()
                .any(|part| known.equal(part.facts.oid, columns).is_some()));
    if takes_others {
        caveats.push(
            "There is no undo in one statement: to drop the index of the whole drops those of its partitions, and with them \
             those that were there before."
                .to_owned(),
        );
    }
    Remedy {
        apply_sql,
        undo_sql: (!takes_others).then(|| undo.sql()).into_iter().collect(),
        lock: Some(lock.to_owned()),
        rewrites_table: Some(false),
        extra_disk_bytes: Some(bytes.round()),
        expected_seconds: None,
        caveats,
    }
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

fn create(concurrently: bool, only: bool, name: &str, table: &TableFacts, columns: &[String]) -> String {
    Statement::CreateIndex {
        concurrently,
        only,
        name: Some(name.to_owned()),
        schema: table.schema.clone(),
        table: table.name.clone(),
        method: "btree",
        keys: columns.iter().map(|column| quote_identifier(column)).collect(),
        include: Vec::new(),
        predicate: None,
    }
    .sql()
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

/// An index of a partitioned table: one partition after the other, where they are partitions of the table itself.
fn on_partitions(
    known: &Known<'_>,
    columns: &[String],
    whole: &Whole<'_>,
    name: &str,
    caveats: &mut Vec<String>,
) -> Vec<String> {
    let table = whole.table;
    let has_levels = known.has_levels(whole);
    if has_levels || whole.parts.is_empty() || whole.parts.len() > PARTITIONS {
        caveats.push(
            "Writes to all of its partitions wait for as long as it takes. To avoid that, build the index of each partition \
             CONCURRENTLY, then that of the table ON ONLY it, and attach those of the partitions."
                .to_owned(),
        );
        return vec![create(false, false, name, table, columns)];
    }
    caveats.push(
        "The index of the table itself is there at once, and is valid when those of all partitions are attached.".to_owned(),
    );
    let mut apply_sql = vec![create(false, true, name, table, columns)];
    let mut attach = Vec::new();
    for part in whole.parts.iter().map(|part| part.facts) {
        let own = match known.equal(part.oid, columns) {
            Some(facts) => facts.name.clone(),
            None => {
                let own = known.free_name(part, columns);
                apply_sql.push(create(true, false, &own, part, columns));
                own
            }
        };
        attach.push(
            Statement::AttachIndexPartition {
                schema: table.schema.clone(),
                name: name.to_owned(),
                partition_schema: part.schema.clone(),
                partition: own,
            }
            .sql(),
        );
    }
    apply_sql.extend(attach);
    apply_sql
}

#[cfg(test)]
mod tests {
    use super::super::FkMissing;
    use super::super::tests::{observed, with};
    use super::*;
    use crate::model::finding::Severity;
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
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.t_1_a_idx",
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.t_2_a_idx",
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
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.own",
                "ALTER INDEX public.t_a_idx ATTACH PARTITION public.t_2_a_idx",
            ],
            "what is there is taken"
        );
        assert_eq!(judged(vec![own(9, 3), own(10, 4)]), 0);
        let mut of_levels = parts();
        of_levels.push(TableFacts {
            kind: 'p',
            partition_of: Some(1),
            ..table(5, "t_3", -1.0, 0.0)
        });
        let claim = claims::<FkMissing>(&with(of_levels, 0, vec![]))
            .unwrap()
            .remove(0);
        assert_eq!(
            claim.remedy.apply_sql,
            ["CREATE INDEX t_a_idx ON public.t USING btree (a)"]
        );
    }
}

//! schema.no_primary_key

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::catalog::{IndexFacts, TableFacts};
use crate::model::finding::{Claim, Severity};
use crate::model::observation::{DatabaseObservation, Unknown};
use crate::model::remedy::{Remedy, Statement, qualified, quote_literal};
use crate::model::unit::count_for_people;
use crate::rules::{Found, Place, Rule, Scope, evidence, measured, table_object};

/// A table without a primary key.
///
/// ## Why it is bad
/// Nothing keeps a row from being there twice, and no single one of two equal rows can be named to be changed. Logical
/// replication needs a key: UPDATE and DELETE fail on a published table that has no other replica identity. Tools that copy
/// or repack tables need one, too.
///
/// ## What to do
/// Make the columns that name a row the primary key. Where a unique index on plain columns is there already, it becomes the
/// key without being built again. Otherwise build one CONCURRENTLY first, or add an identity column, which rewrites the
/// table.
///
/// ## When it is wrong to obey
/// A table that rows are only added to and read from as a whole, such as a log or a staging area, may do without.
///
/// Partitions are judged together with their parent. Tables of extensions and tables that hold nothing are left out; one
/// whose rows nobody has counted keeps what was said of it. Whether columns are NOT NULL is not looked at: a primary key makes
/// them so, and leaves them so when it is dropped. Source: PostgreSQL's chapters "Constraints" and "ALTER TABLE".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoPrimaryKey {
    /// Tables with fewer rows are left out, if they are not published.
    min_rows: i64,
    /// From so many rows on it is a warning; a published table is one with any number.
    warning_rows: i64,
}

impl Default for NoPrimaryKey {
    fn default() -> Self {
        Self {
            min_rows: 1,
            warning_rows: 100_000,
        }
    }
}

/// What is known of a table together with its partitions.
#[derive(Clone, Copy, Default)]
struct Whole {
    /// At least.
    rows: f64,
    partitions: usize,
    is_published: bool,
    /// The rows of some part were never counted: there may be more.
    is_uncounted: bool,
}

impl Rule for NoPrimaryKey {
    const ID: &'static str = "schema.no_primary_key";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let indexes = &database.catalog.indexes;
        let with_key: HashSet<u32> = indexes
            .values()
            .filter(|index| index.is_primary)
            .map(|index| index.table_oid)
            .collect();
        let wholes = wholes(database);
        let mut found = Found::default();
        let mut without = Vec::new();
        for table in database.catalog.tables.values() {
            if with_key.contains(&table.oid) || !is_judged(table) {
                continue;
            }
            let whole = wholes.get(&table.oid).copied().unwrap_or_default();
            match self.severity(&whole) {
                Some(severity) => without.push((severity, whole, table)),
                None if whole.is_uncounted => found.undecided.push(subject(table)),
                None => {}
            }
        }
        without.sort_by(|a, b| {
            let by_severity = b.0.cmp(&a.0);
            let by_rows = by_severity.then(b.1.rows.total_cmp(&a.1.rows));
            by_rows.then_with(|| (&a.2.schema, &a.2.name).cmp(&(&b.2.schema, &b.2.name)))
        });
        let oids: HashSet<u32> = without.iter().map(|(_, _, table)| table.oid).collect();
        let mut by_table: HashMap<u32, Vec<&IndexFacts>> = HashMap::new();
        for index in indexes.values().filter(|index| oids.contains(&index.table_oid)) {
            by_table.entry(index.table_oid).or_default().push(index);
        }
        for (severity, whole, table) in without {
            let own = by_table.get(&table.oid).map(Vec::as_slice).unwrap_or_default();
            found.claim_worst_first(
                place,
                || subject(table),
                || claim(place, (&unique(own), &excluding(own)), severity, &whole, table),
            );
        }
        Ok(found)
    }
}

/// Ordinary and partitioned tables of people. Old system tables are in the catalog, too, without their indexes.
fn is_judged(table: &TableFacts) -> bool {
    let is_systems = ["pg_catalog", "information_schema"].contains(&table.schema.as_str());
    ['r', 'p'].contains(&table.kind)
        && table.partition_of.is_none()
        && !table.owned_by_extension
        && !is_systems
}

impl NoPrimaryKey {
    fn severity(&self, whole: &Whole) -> Option<Severity> {
        if whole.is_published || whole.rows >= self.warning_rows as f64 {
            return Some(Severity::Warning);
        }
        (whole.rows >= self.min_rows as f64).then_some(Severity::Info)
    }
}

fn subject(table: &TableFacts) -> Vec<String> {
    vec![table.schema.clone(), table.name.clone()]
}

/// Each table with its partitions, by the OID of the table.
fn wholes(database: &DatabaseObservation) -> HashMap<u32, Whole> {
    let mut wholes: HashMap<u32, Whole> = HashMap::new();
    for table in database
        .catalog
        .tables
        .values()
        .filter(|table| ['r', 'p'].contains(&table.kind))
    {
        let whole = wholes.entry(table.partition_of.unwrap_or(table.oid)).or_default();
        whole.is_published |= table.is_published;
        // a partitioned table has no rows of its own
        if table.kind == 'p' {
            continue;
        }
        let seen = database.table(table.oid);
        let live = seen.map_or(0.0, |seen| seen.live_rows as f64);
        let is_counted = seen.is_some_and(|seen| seen.rows_were_counted);
        // what was added since the counters began is less than there is
        whole.rows += if is_counted { live } else { table.rows.max(live) };
        whole.is_uncounted |= !is_counted && table.rows < 0.0;
        whole.partitions += usize::from(table.partition_of.is_some());
    }
    wholes
}

/// The columns of a unique index that could become the primary key as it is: btree, plain columns in their own order, all rows.
fn key_columns(definition: &str) -> Option<Vec<&str>> {
    let (_, keys) = definition.split_once(" USING btree (")?;
    let (keys, rest) = keys.split_once(')')?;
    let is_whole = !rest.contains(" WHERE ") && !rest.contains("NULLS NOT DISTINCT");
    // anything behind a name is an operator class, a collation or an order of its own
    let is_plain = |key: &str| match key.strip_prefix('"') {
        Some(quoted) => quoted
            .strip_suffix('"')
            .is_some_and(|name| !name.replace("\"\"", "").contains('"')),
        None => !key.contains([' ', '"', '(']),
    };
    let keys: Vec<&str> = keys.split(", ").collect();
    (is_whole && keys.iter().copied().all(is_plain)).then_some(keys)
}

/// The unique indexes of a table, smallest first, with the columns of those that could become its primary key.
fn unique<'a>(indexes: &[&'a IndexFacts]) -> Vec<(&'a IndexFacts, Vec<&'a str>)> {
    let is_usable = |index: &&IndexFacts| {
        let is_sound = index.is_valid && index.is_ready && index.is_immediate && !index.has_expressions;
        index.is_unique && is_sound && !index.is_exclusion
    };
    let usable = indexes.iter().copied().filter(is_usable);
    let mut unique: Vec<_> = usable
        .filter_map(|index| Some((index, key_columns(index.definition.as_deref()?)?)))
        .collect();
    unique.sort_by(|(a, _), (b, _)| {
        a.size_bytes
            .total_cmp(&b.size_bytes)
            .then_with(|| a.name.cmp(&b.name))
    });
    unique
}

/// The exclusion constraints of a table. What columns they compare, and whether these may be NULL, is not looked at.
fn excluding<'a>(indexes: &[&'a IndexFacts]) -> Vec<&'a str> {
    let names = indexes
        .iter()
        .filter(|index| index.is_exclusion && index.is_valid);
    let mut names: Vec<&str> = names
        .map(|index| index.constraint.as_deref().unwrap_or(index.name.as_str()))
        .collect();
    names.sort_unstable();
    names
}

/// Why a table without a primary key is told, where no unique index could be one.
fn why(rows: f64, excluding: &[&str], published: &str) -> String {
    let rows = count_for_people(rows);
    match excluding.first() {
        None => format!(
            "Nothing is known to name a single one of its {rows} rows, so that equal ones can be there unseen and cannot be \
             told apart.{published} Make the columns that name a row its primary key."
        ),
        // it may well keep equal rows out, but nothing can point at it
        Some(constraint) => format!(
            "It has {rows} rows and no primary key. What may stand beside each other the exclusion constraint {constraint} says, \
             but neither tools nor foreign keys nor logical replication can name a row by that.{published} Make the columns that \
             name a row its primary key."
        ),
    }
}

fn claim(
    place: &Place<'_>,
    (unique, excluding): (&[(&IndexFacts, Vec<&str>)], &[&str]),
    severity: Severity,
    whole: &Whole,
    table: &TableFacts,
) -> Claim {
    let (schema, name) = (&table.schema, &table.name);
    let names: Vec<&str> = unique.iter().map(|(index, _)| index.name.as_str()).collect();
    let published = match whole.is_published {
        true => " It is published: UPDATE and DELETE on it fail unless it has another replica identity.",
        false => "",
    };
    Claim {
        title: format!("{schema}.{name} has no primary key"),
        explanation: match names.first() {
            None => why(whole.rows, excluding, published),
            Some(unique) => format!(
                "It has {} rows and no primary key, though {unique} is unique. Tools and people look for the key, and a \
                 unique column may hold NULL many times.{published} Make it the primary key.",
                count_for_people(whole.rows)
            ),
        },
        evidence: evidence([
            ("rows", json!(whole.rows as i64)),
            ("is_published", json!(whole.is_published)),
            (
                "partitions",
                json!((table.kind == 'p').then_some(whole.partitions)),
            ),
            ("unique_indexes", json!(names)),
        ]),
        evidence_sql: Some(format!(
            "SELECT c.oid::regclass, c.reltuples::bigint, i.indexrelid::regclass, i.indisunique, i.indisprimary\n  \
             FROM pg_class AS c LEFT JOIN pg_index AS i ON i.indrelid = c.oid WHERE c.oid = {}::regclass",
            quote_literal(&qualified(schema, name))
        )),
        confidence: measured("none of its indexes is a primary key"),
        remedy: remedy(table, unique),
        guards: vec![
            "it belongs to no extension and is no partition".to_owned(),
            "none of its indexes is a primary key".to_owned(),
        ],
        ..place.claim(
            NoPrimaryKey::ID,
            severity,
            subject(table),
            Some(table_object(table)),
        )
    }
}

fn remedy(table: &TableFacts, unique: &[(&IndexFacts, Vec<&str>)]) -> Remedy {
    let mut remedy = Remedy::default();
    let free = unique.iter().find(|(index, _)| index.constraint.is_none());
    // PostgreSQL makes no index of a partitioned table its key
    if let Some((index, columns)) = free.filter(|_| table.kind == 'r') {
        let key = Statement::AddPrimaryKeyUsing {
            schema: table.schema.clone(),
            table: table.name.clone(),
            index: index.name.clone(),
        };
        remedy.apply_sql = vec![key.sql()];
        remedy.undo_sql = undo(table, index);
        remedy.lock = Some("ACCESS EXCLUSIVE".to_owned());
        remedy.rewrites_table = Some(false);
        remedy.extra_disk_bytes = Some(0.0);
        remedy.caveats = vec![
            format!(
                "It makes {} NOT NULL: it fails where one is null, and where they are not declared so yet it reads the whole \
                 table under its lock.",
                columns.join(", ")
            ),
            "To keep the lock short on a large table, first add CHECK (… IS NOT NULL) NOT VALID, VALIDATE it, and SET NOT NULL. \
             Set a lock_timeout."
                .to_owned(),
            format!("See that {} names a row in your model, too, and is not unique by chance.", index.name),
        ];
        remedy.caveats.extend(not_taken_back(table, index, columns));
        return remedy;
    }
    if let Some((index, columns)) = unique.iter().find(|(index, _)| index.constraint.is_some()) {
        remedy.caveats.push(format!(
            "The constraint {} keeps {} unique: if they are never null they can be the primary key in its place.",
            index.constraint.as_deref().unwrap_or_default(),
            columns.join(", ")
        ));
    }
    remedy.caveats.push(
        "Which columns name a row is for you to say. Build a unique index on them CONCURRENTLY, then ALTER TABLE … ADD PRIMARY \
         KEY USING INDEX; on a partitioned table the key holds the partition key and is added at once, under a lock."
            .to_owned(),
    );
    remedy.caveats.push(
        "Where no columns do, a bigint identity column can be the key: to add it rewrites the table, and nobody can read or \
         write it meanwhile."
            .to_owned(),
    );
    remedy
}

/// What takes the key back; nothing where that cannot be done in a few statements. The index goes with the constraint, and with
/// the index goes what the table says of it, which is said again. A published table without a replica identity takes no UPDATE
/// and no DELETE: until the index is there again its rows are named by all of their columns.
fn undo(table: &TableFacts, index: &IndexFacts) -> Vec<String> {
    if index.is_referenced {
        return Vec::new();
    }
    let (schema, name) = (&table.schema, &table.name);
    let identity = |index: Option<String>| Statement::ReplicaIdentity {
        schema: schema.clone(),
        table: name.clone(),
        index,
    };
    let drop = Statement::DropConstraint {
        schema: schema.clone(),
        table: name.clone(),
        name: index.name.clone(),
    };
    let build = index.definition.clone().map(String::from);
    let build = build.map(|definition| Statement::CreateIndexConcurrently { definition });
    let cluster = Statement::ClusterOn {
        schema: schema.clone(),
        table: name.clone(),
        index: index.name.clone(),
    };
    let before = index.is_replica_identity.then(|| identity(None));
    let after = index
        .is_replica_identity
        .then(|| identity(Some(index.name.clone())));
    let steps = before.into_iter().chain([drop]).chain(build).chain(after);
    let steps = steps.chain(index.is_clustered.then_some(cluster));
    steps.map(|step| step.sql()).collect()
}

/// What undoing does not take back, or what it asks for. It is not known which columns were nullable, and one that was NOT NULL
/// must stay so.
fn not_taken_back(table: &TableFacts, index: &IndexFacts, columns: &[&str]) -> Vec<String> {
    let (table, name) = (qualified(&table.schema, &table.name), &index.name);
    if index.is_referenced {
        return vec![format!(
            "A foreign key points at {name}: to undo it, first drop that foreign key, then the constraint {name}; build the index \
             again, add the foreign key NOT VALID, and VALIDATE it."
        )];
    }
    let as_it_was = "To undo it builds the index in the default tablespace and without a comment: if it has a TABLESPACE or a \
                     COMMENT of its own, write them down first."
        .to_owned();
    let of_columns = match index.is_replica_identity {
        // of one its columns are NOT NULL already
        true => format!(
            "{name} is the replica identity. To undo it makes FULL the replica identity until {name} is built again, so that a \
             published table goes on taking UPDATE and DELETE: each of them writes all columns of the old row to the WAL \
             meanwhile, and subscribers look for that row by all of them."
        ),
        false => {
            let alter = columns
                .iter()
                .map(|column| format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL"));
            format!(
                "To undo it leaves the columns NOT NULL. For each that was nullable before, also run: {}.",
                alter.collect::<Vec<_>>().join("; ")
            )
        }
    };
    vec![of_columns, as_it_was]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::Catalog;
    use crate::model::observation::{Observation, TableObservation};
    use crate::rules::testing::{claims, found, index, severities, table, tables};

    fn of_rows(rows: f64, change: impl FnOnce(&mut TableFacts)) -> Observation {
        let mut facts = table(1, "t", rows, 0.0);
        change(&mut facts);
        tables(vec![facts])
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let said = |rows: f64| severities::<NoPrimaryKey>(&of_rows(rows, |_| ()));
        assert_eq!(said(0.0), []);
        assert_eq!(said(1.0), [Severity::Info]);
        assert_eq!(said(99_999.0), [Severity::Info]);
        assert_eq!(said(100_000.0), [Severity::Warning]);
        let published = of_rows(0.0, |table| table.is_published = true);
        assert_eq!(severities::<NoPrimaryKey>(&published), [Severity::Warning]);
    }

    #[test]
    fn some_are_left_out() {
        let said = |change: fn(&mut TableFacts)| severities::<NoPrimaryKey>(&of_rows(10.0, change)).len();
        assert_eq!(said(|_| ()), 1);
        assert_eq!(said(|table| table.owned_by_extension = true), 0);
        assert_eq!(said(|table| table.kind = 'm'), 0);
        assert_eq!(said(|table| table.kind = 't'), 0);
        assert_eq!(said(|table| table.schema = "pg_catalog".into()), 0);
        let mut standby = of_rows(10.0, |_| ());
        standby.server.is_standby = true;
        assert!(claims::<NoPrimaryKey>(&standby).is_err());
    }

    #[test]
    fn rows_that_nobody_has_counted_are_unknown() {
        let judged = |rows: f64, live_rows: i64, rows_were_counted: bool| {
            let mut observed = of_rows(rows, |_| ());
            observed.databases[0].tables = vec![TableObservation {
                oid: 1,
                live_rows,
                rows_were_counted,
                ..TableObservation::default()
            }];
            let found = found::<NoPrimaryKey>(&observed).unwrap();
            (found.claims.len(), found.undecided.len())
        };
        assert_eq!(judged(-1.0, 0, false), (0, 1));
        assert_eq!(judged(-1.0, 5, false), (1, 0));
        assert_eq!(judged(0.0, 0, false), (0, 0));
        assert_eq!(judged(7.0, 0, true), (0, 0), "it was emptied");
    }

    #[test]
    fn partitions_are_one_table() {
        let mut whole = table(1, "t", -1.0, 0.0);
        whole.kind = 'p';
        let part = |oid: u32, name: &str| TableFacts {
            partition_of: Some(1),
            ..table(oid, name, 60_000.0, 0.0)
        };
        // ANALYZE counts the rows of what is partitioned again, at each level
        let between = TableFacts {
            kind: 'p',
            ..part(4, "between")
        };
        let facts = vec![whole, part(2, "a"), part(3, "b"), between];
        let claims = claims::<NoPrimaryKey>(&tables(facts)).unwrap();
        assert_eq!(claims.len(), 1);
        assert_eq!(
            (claims[0].severity, &claims[0].subject[1]),
            (Severity::Warning, &"t".to_owned())
        );
        assert_eq!(claims[0].evidence["rows"], json!(120_000));
        assert!(claims[0].remedy.apply_sql.is_empty());
    }

    /// `public.t` with one index that is unique.
    fn with_index(kind: char, change: impl FnOnce(&mut IndexFacts)) -> Observation {
        let mut unique = index(9, "i");
        unique.is_unique = true;
        unique.definition = Some("CREATE UNIQUE INDEX i ON public.t USING btree (a)".into());
        change(&mut unique);
        let mut facts = table(1, "t", 10.0, 0.0);
        (facts.kind, facts.is_published) = (kind, true);
        let mut observed = tables(vec![]);
        observed.databases[0].catalog = Catalog::new(vec![facts].into(), vec![unique].into()).into();
        observed
    }

    #[test]
    fn a_key_is_enough() {
        let keyed = with_index('r', |index| index.is_primary = true);
        assert_eq!(severities::<NoPrimaryKey>(&keyed), []);
        let of_another = with_index('r', |index| (index.is_primary, index.table_oid) = (true, 2));
        assert_eq!(severities::<NoPrimaryKey>(&of_another).len(), 1);
    }

    #[test]
    fn where_a_constraint_excludes_rows_no_equal_ones_are_told_of() {
        let told = |change: fn(&mut IndexFacts)| {
            let claims = claims::<NoPrimaryKey>(&with_index('r', change)).unwrap();
            claims[0].explanation.clone()
        };
        let excluded = told(|index| {
            (index.is_unique, index.is_exclusion, index.constraint) =
                (false, true, Some("no_overlap".into()));
        });
        assert!(
            excluded.contains("exclusion constraint no_overlap") && !excluded.contains("unseen"),
            "{excluded}"
        );
        assert!(told(|index| index.is_unique = false).contains("unseen"));
    }

    #[test]
    fn an_index_that_can_be_the_key_is_named() {
        let remedy = |kind: char, change: fn(&mut IndexFacts)| {
            let claims = claims::<NoPrimaryKey>(&with_index(kind, change)).unwrap();
            claims[0].remedy.clone()
        };
        let plain = remedy('r', |_| ());
        assert_eq!(
            plain.apply_sql,
            ["ALTER TABLE public.t ADD PRIMARY KEY USING INDEX i"]
        );
        assert_eq!(plain.undo_sql[0], "ALTER TABLE public.t DROP CONSTRAINT i");
        assert!(plain.undo_sql[1].starts_with("CREATE UNIQUE INDEX CONCURRENTLY i ON public.t"));
        let caveats = plain.caveats.join("\n");
        assert!(
            caveats.contains("before, also run: ALTER TABLE public.t ALTER COLUMN a DROP NOT NULL."),
            "{caveats}"
        );
        let changes: [fn(&mut IndexFacts); 6] = [
            |index| index.is_unique = false,
            |index| index.is_immediate = false,
            |index| index.is_valid = false,
            |index| index.has_expressions = true,
            |index| index.definition = None,
            |index| index.constraint = Some("i".into()),
        ];
        for change in changes {
            assert!(remedy('r', change).apply_sql.is_empty());
        }
        assert!(remedy('p', |_| ()).apply_sql.is_empty());
        let backed = remedy('r', |index| index.constraint = Some("once".into()));
        assert!(backed.caveats[0].starts_with("The constraint once keeps a unique"));
    }

    #[test]
    fn what_the_table_says_of_the_index_is_said_again() {
        let remedy = |change: fn(&mut IndexFacts)| {
            let claims = claims::<NoPrimaryKey>(&with_index('r', change)).unwrap();
            claims[0].remedy.clone()
        };
        let identity = remedy(|index| (index.is_replica_identity, index.is_clustered) = (true, true));
        assert_eq!(
            identity.undo_sql,
            [
                // no moment without an identity
                "ALTER TABLE public.t REPLICA IDENTITY FULL",
                "ALTER TABLE public.t DROP CONSTRAINT i",
                "CREATE UNIQUE INDEX CONCURRENTLY i ON public.t USING btree (a)",
                "ALTER TABLE public.t REPLICA IDENTITY USING INDEX i",
                "ALTER TABLE public.t CLUSTER ON i",
            ]
        );
        let caveats = identity.caveats.join("\n");
        assert!(
            caveats.contains("makes FULL the replica identity") && !caveats.contains("DROP NOT NULL"),
            "{caveats}"
        );
        assert_eq!(remedy(|_| ()).undo_sql.len(), 2);
        let referenced = remedy(|index| index.is_referenced = true);
        assert_eq!((referenced.apply_sql.len(), referenced.undo_sql.len()), (1, 0));
        assert!(
            referenced
                .caveats
                .join("\n")
                .contains("first drop that foreign key")
        );
    }

    #[test]
    fn only_plain_columns_can_be_a_key() {
        let keys = |rest: &str| {
            key_columns(&format!("CREATE UNIQUE INDEX i ON public.t USING {rest}")).map(|keys| keys.len())
        };
        for (rest, columns) in [
            ("btree (a)", Some(1)),
            ("btree (a, \"B c\") WITH (fillfactor='80')", Some(2)),
            ("btree (\"a\"\"b\") INCLUDE (c)", Some(1)),
            ("btree (a DESC)", None),
            ("btree (\"a\" DESC)", None),
            ("btree (\"a\" COLLATE \"C\")", None),
            ("btree (a COLLATE \"C\")", None),
            ("btree (a text_pattern_ops)", None),
            ("btree (lower(a))", None),
            ("btree (a) WHERE (b > 0)", None),
            ("btree (a) NULLS NOT DISTINCT", None),
            ("gist (a)", None),
        ] {
            assert_eq!(keys(rest), columns, "{rest}");
        }
    }
}

//! schema.fk_type_mismatch

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::catalog::TableFacts;
use crate::model::finding::{Claim, Object, ObjectKind, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::{Remedy, qualified, quote_literal};
use crate::model::schema::{ForeignKey, Schema};
use crate::model::unit::{Size, bytes_for_people};
use crate::rules::column_types::{Retyped, tell_refusals, withhold};
use crate::rules::whole_sizes::WholeSizes;
use crate::rules::{Found, Place, Rule, Scope, evidence, measured, table_object};

/// A foreign key whose column has another type than the column that it refers to, in a way that hurts.
///
/// ## Why it is bad
/// Where both are compared only after one is converted (integer to numeric, text to character), no index on the referring
/// column helps: every DELETE of a row that is referred to, and many a join, reads the whole table. A narrower integer
/// (integer to bigint) cannot take the keys that come one day, and INSERT fails then. A date that refers to a time with time
/// zone means another moment in every session's time zone.
///
/// ## What to do
/// Give both columns the same type. To change a type mostly rewrites the table under a lock that keeps everybody out; on a
/// large table add a column of the new type, fill it in batches, and swap.
///
/// ## When it is wrong to obey
/// Where the keys can never grow, as those of a table of countries, a narrower integer does no harm.
///
/// Left out is what differs and does no harm: lengths and precisions (varchar(10) and varchar(20)), text and varchar, an
/// integer that is wider than the one it refers to, timestamps and dates without a time zone. A column of a domain is taken for
/// one of what the domain is over; how to change it is told without SQL, since another type would lose what the domain checks.
/// Of enumerations and other types the catalog's names do not tell, so that nothing is said of them. Source: PostgreSQL's
/// chapter "Constraints".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FkTypeMismatch {
    /// Up to this size, with its indexes, a table is advised to be changed in place.
    rewrite_size: Size,
}

impl Default for FkTypeMismatch {
    fn default() -> Self {
        Self {
            rewrite_size: Size::gigabytes(1),
        }
    }
}

/// What is wrong with a pair of columns.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Harm {
    /// One is converted before both can be compared.
    Converted,
    /// The referring integer is narrower.
    Narrower,
    /// What is equal depends on the time zone of the session.
    TimeZone,
}

/// Types of which it is known how they compare.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// By its bytes.
    Integer(u8),
    Numeric,
    Float,
    Text,
    /// Padded with blanks.
    Character,
    WithTimeZone,
    WithoutTimeZone,
}

/// The kind of a type, whatever its modifier; `None` for one that is not known.
fn kind(type_name: &str) -> Option<Kind> {
    // the modifier may stand in the middle: timestamp(3) without time zone
    let bare = match (type_name.find('('), type_name.find(')')) {
        (Some(open), Some(close)) if open < close => [&type_name[..open], &type_name[close + 1..]].concat(),
        _ => type_name.to_owned(),
    };
    Some(match bare.as_str() {
        "smallint" => Kind::Integer(2),
        "integer" => Kind::Integer(4),
        "bigint" => Kind::Integer(8),
        "numeric" => Kind::Numeric,
        "real" | "double precision" => Kind::Float,
        "text" | "character varying" => Kind::Text,
        "character" | "bpchar" => Kind::Character,
        "timestamp with time zone" => Kind::WithTimeZone,
        "timestamp without time zone" | "date" => Kind::WithoutTimeZone,
        _ => return None,
    })
}

/// What it means that a column of one type refers to one of another.
fn harm(type_name: &str, referenced: &str) -> Option<Harm> {
    match (kind(type_name)?, kind(referenced)?) {
        (Kind::Integer(own), Kind::Integer(other)) => (own < other).then_some(Harm::Narrower),
        (own, other) if own == other => None,
        (Kind::WithTimeZone, Kind::WithoutTimeZone) | (Kind::WithoutTimeZone, Kind::WithTimeZone) => {
            Some(Harm::TimeZone)
        }
        _ => Some(Harm::Converted),
    }
}

/// A pair of columns that do not fit.
struct Pair<'a> {
    column: &'a str,
    type_name: &'a str,
    domain: Option<&'a str>,
    referenced: &'a str,
    referenced_type: &'a str,
    referenced_domain: Option<&'a str>,
    harm: Harm,
}

impl Pair<'_> {
    /// Which types its columns have, in a sentence.
    fn told(&self) -> String {
        let declared = |type_name: &str, domain: Option<&str>| match domain {
            None => type_name.to_owned(),
            Some(domain) => format!("{domain} (a domain over {type_name})"),
        };
        format!(
            "{} is {} and {} is {}",
            self.column,
            declared(self.type_name, self.domain),
            self.referenced,
            declared(self.referenced_type, self.referenced_domain)
        )
    }
}

/// The domain of the column at a place of a foreign key.
fn domain_at(domains: &[Option<String>], place: usize) -> Option<&str> {
    domains.get(place)?.as_deref()
}

fn pairs(key: &ForeignKey) -> Vec<Pair<'_>> {
    let own = key.columns.iter().zip(&key.types);
    let referenced = key.referenced_columns.iter().zip(&key.referenced_types);
    own.zip(referenced)
        .enumerate()
        .filter_map(|(place, ((column, type_name), (referenced, referenced_type)))| {
            Some(Pair {
                column,
                type_name,
                domain: domain_at(&key.domains, place),
                referenced,
                referenced_type,
                referenced_domain: domain_at(&key.referenced_domains, place),
                harm: harm(type_name, referenced_type)?,
            })
        })
        .collect()
}

impl Rule for FkTypeMismatch {
    const ID: &'static str = "schema.fk_type_mismatch";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let tables = &database.catalog.tables;
        let schema: &Schema = &database.schema()?.facts;
        let mut mismatches = Vec::new();
        for key in &schema.foreign_keys {
            let both = tables.get(key.table_oid).zip(tables.get(key.referenced_oid));
            let Some((table, referenced)) = both.filter(|(table, _)| !table.owned_by_extension) else {
                continue;
            };
            let pairs = pairs(key);
            if !pairs.is_empty() {
                mismatches.push((key, table, referenced, pairs));
            }
        }
        mismatches.sort_by(|(a, of_a, ..), (b, of_b, ..)| {
            let by_size = of_b.size_bytes.total_cmp(&of_a.size_bytes);
            by_size.then_with(|| subject(a, of_a).cmp(&subject(b, of_b)))
        });
        let mut found = Found::default();
        if mismatches.is_empty() {
            return Ok(found);
        }
        let sizes = WholeSizes::of(&database.catalog, schema);
        for (key, table, referenced, pairs) in mismatches {
            found.claim_worst_first(
                place,
                || subject(key, table),
                || self.claim(place, (schema, &sizes), key, (table, referenced), &pairs),
            );
        }
        Ok(found)
    }
}

fn subject(key: &ForeignKey, table: &TableFacts) -> Vec<String> {
    vec![table.schema.clone(), table.name.clone(), key.name.clone()]
}

fn object(key: &ForeignKey, table: &TableFacts) -> Object {
    Object {
        kind: ObjectKind::Constraint,
        name: key.name.clone(),
        table: Some(table.name.clone()),
        ..table_object(table)
    }
}

/// What comes of it, in a sentence.
fn consequence(harm: Harm) -> &'static str {
    match harm {
        Harm::Converted => {
            "One is converted before they can be compared, so that no index on the referring column finds the rows that refer \
             to a key: a DELETE of it reads the whole table."
        }
        Harm::Narrower => "It cannot take the keys that come one day: INSERT fails from then on.",
        Harm::TimeZone => "What is equal depends on the time zone of each session.",
    }
}

impl FkTypeMismatch {
    fn claim(
        &self,
        place: &Place<'_>,
        (schema, sizes): (&Schema, &WholeSizes),
        key: &ForeignKey,
        (table, referenced): (&TableFacts, &TableFacts),
        pairs: &[Pair<'_>],
    ) -> Claim {
        let told: Vec<String> = pairs.iter().map(Pair::told).collect();
        let mut consequences: Vec<&str> = pairs.iter().map(|pair| consequence(pair.harm)).collect();
        consequences.dedup();
        let size_bytes = sizes.bytes(table.oid);
        // they are told of columns of domains alone
        let domains = |all: &[Option<String>]| all.iter().any(Option::is_some).then(|| json!(all));
        Claim {
            title: format!(
                "{}.{}: {} refers to a column of another type",
                table.schema, table.name, key.name
            ),
            explanation: format!(
                "{}.{} refers to {}.{}, but {}. {} Give both the same type.",
                table.schema,
                table.name,
                referenced.schema,
                referenced.name,
                told.join(", "),
                consequences.join(" ")
            ),
            evidence: evidence([
                ("columns", json!(key.columns)),
                ("types", json!(key.types)),
                ("domains", json!(domains(&key.domains))),
                (
                    "referenced_table",
                    json!(format!("{}.{}", referenced.schema, referenced.name)),
                ),
                ("referenced_columns", json!(key.referenced_columns)),
                ("referenced_types", json!(key.referenced_types)),
                ("referenced_domains", json!(domains(&key.referenced_domains))),
                ("size_bytes", json!(size_bytes)),
            ]),
            evidence_sql: Some(evidence_sql(key, table)),
            confidence: measured("both types are read from the catalog"),
            remedy: self.remedy((schema, sizes), table, pairs),
            guards: vec![
                "lengths and precisions are not compared".to_owned(),
                "types that compare without a conversion are left out".to_owned(),
            ],
            ..place.claim(
                Self::ID,
                Severity::Warning,
                subject(key, table),
                Some(object(key, table)),
            )
        }
    }

    fn remedy(
        &self,
        (schema, sizes): (&Schema, &WholeSizes),
        table: &TableFacts,
        pairs: &[Pair<'_>],
    ) -> Remedy {
        let size_bytes = sizes.bytes(table.oid);
        let change = |pair: &Pair<'_>| Retyped {
            table,
            column: pair.column.to_owned(),
            before: pair.type_name.to_owned(),
            domain: pair.domain.map(str::to_owned),
            after: pair.referenced_type.to_owned(),
        };
        let changes: Vec<Retyped<'_>> = pairs.iter().map(change).collect();
        let mut remedy = Remedy::default();
        if size_bytes <= self.rewrite_size.bytes as f64 {
            let own = || changes.iter().filter(|one| one.is_run(schema));
            remedy.apply_sql = own().map(Retyped::apply_sql).collect();
            remedy.undo_sql = own().map(Retyped::undo_sql).collect();
            remedy.lock = Some("ACCESS EXCLUSIVE".to_owned());
            remedy.rewrites_table = Some(true);
            remedy.extra_disk_bytes = Some(size_bytes);
            remedy.caveats.push(format!(
                "It rewrites the table and its indexes, {}; nobody can read or write it or the table that it refers to \
                 meanwhile. Set a lock_timeout.",
                bytes_for_people(size_bytes)
            ));
        } else {
            remedy.caveats.push(format!(
                "To change the type would rewrite {} while nobody can read or write the table. The other way: add a column of \
                 the new type and a trigger that fills it at every INSERT and UPDATE, backfill the old rows in batches, index it \
                 CONCURRENTLY, add the foreign key NOT VALID, VALIDATE it, and swap the names in one short transaction.",
                bytes_for_people(size_bytes)
            ));
        }
        remedy.caveats.extend(sizes.about_heirs(&[table.oid].into()));
        tell_refusals(&mut remedy, schema, &changes);
        if !sizes.are_heirs_known() {
            withhold(&mut remedy, false);
        }
        if pairs.iter().any(|pair| pair.harm == Harm::Converted) {
            remedy.caveats.push(
                "See first which of both types is the right one: a numeric key that holds whole numbers is better a bigint."
                    .to_owned(),
            );
        }
        remedy
            .caveats
            .push("Columns that refer to this one in turn must follow.".to_owned());
        remedy
    }
}

fn evidence_sql(key: &ForeignKey, table: &TableFacts) -> String {
    format!(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), r.attname AS referenced, format_type(r.atttypid, r.atttypmod)\n  \
         FROM pg_constraint AS k CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS u (own, other)\n  \
         JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.own\n  \
         JOIN pg_attribute AS r ON r.attrelid = k.confrelid AND r.attnum = u.other\n  \
         WHERE k.contype = 'f' AND k.conname = {} AND k.conrelid = {}::regclass",
        quote_literal(&key.name),
        quote_literal(&qualified(&table.schema, &table.name))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::model::schema::{FixedColumn, InheritedTable};
    use crate::rules::testing::{claims, set_schema, table, tables};

    #[test]
    fn only_what_hurts_is_a_mismatch() {
        for (own, referenced, expected) in [
            ("integer", "integer", None),
            ("integer", "bigint", Some(Harm::Narrower)),
            ("smallint", "integer", Some(Harm::Narrower)),
            ("bigint", "integer", None),
            ("integer", "numeric(10,0)", Some(Harm::Converted)),
            ("numeric(10,2)", "numeric", None),
            ("numeric", "double precision", Some(Harm::Converted)),
            ("real", "double precision", None),
            ("character varying(10)", "character varying(20)", None),
            ("character varying(10)", "text", None),
            ("character(10)", "text", Some(Harm::Converted)),
            ("text", "character(10)", Some(Harm::Converted)),
            ("bpchar", "character(10)", None),
            (
                "timestamp(3) without time zone",
                "timestamp without time zone",
                None,
            ),
            ("date", "timestamp without time zone", None),
            ("date", "timestamp(0) with time zone", Some(Harm::TimeZone)),
            ("public.customer_id", "integer", None),
            ("uuid", "uuid", None),
            ("integer[]", "bigint[]", None),
        ] {
            assert_eq!(harm(own, referenced), expected, "{own} to {referenced}");
        }
    }

    fn observed(types: [&str; 2], size_bytes: f64, change: impl FnOnce(&mut TableFacts)) -> Observation {
        let key = ForeignKey {
            name: "child_fkey".into(),
            table_oid: 1,
            columns: vec!["A".into(), "b".into()],
            types: types.map(String::from).to_vec(),
            referenced_oid: 2,
            referenced_columns: vec!["x".into(), "y".into()],
            referenced_types: vec!["bigint".into(), "text".into()],
            ..ForeignKey::default()
        };
        let mut child = table(1, "child", 10.0, size_bytes);
        change(&mut child);
        let mut observed = tables(vec![child, table(2, "parent", 10.0, 1e12)]);
        set_schema(
            &mut observed,
            Schema {
                foreign_keys: vec![key],
                ..Schema::default()
            },
        );
        observed
    }

    #[test]
    fn only_the_columns_that_do_not_fit_are_changed() {
        let one = claims::<FkTypeMismatch>(&observed(["integer", "text"], 1e9, |_| ()))
            .unwrap()
            .remove(0);
        assert_eq!(one.subject, ["public", "child", "child_fkey"]);
        assert_eq!(one.severity, Severity::Warning);
        assert!(
            one.explanation.contains("but A is integer and x is bigint."),
            "{}",
            one.explanation
        );
        assert_eq!(
            one.remedy.apply_sql,
            ["ALTER TABLE public.child ALTER COLUMN \"A\" TYPE bigint"]
        );
        assert_eq!(
            one.remedy.undo_sql,
            ["ALTER TABLE public.child ALTER COLUMN \"A\" TYPE integer"]
        );
        let both = claims::<FkTypeMismatch>(&observed(["integer", "character(3)"], 1e9, |_| ())).unwrap();
        assert_eq!(both[0].remedy.apply_sql.len(), 2);
        assert!(
            both[0]
                .remedy
                .caveats
                .iter()
                .any(|caveat| caveat.contains("better a bigint"))
        );
    }

    #[test]
    fn what_postgresql_would_refuse_is_not_given_to_be_run() {
        let judged = |name: &str, is_in_partition_key: bool| {
            let mut observed = observed(["integer", "text"], 1e6, |_| ());
            let schema = observed.databases[0].schema.as_mut().unwrap();
            let mut facts = (*schema.facts).clone();
            facts.fixed_columns.push(FixedColumn {
                table_oid: 1,
                name: Some(name.into()),
                is_in_partition_key,
                used_by: vec!["trigger x of public.child".into()],
                users: 1,
                ..FixedColumn::default()
            });
            schema.facts = std::sync::Arc::new(facts);
            claims::<FkTypeMismatch>(&observed).unwrap().remove(0).remedy
        };
        let free = judged("b", false);
        assert_eq!(free.apply_sql.len(), 1);
        assert!(!free.caveats.join(" ").contains("refuses"), "{:?}", free.caveats);
        let used = judged("A", false);
        assert_eq!((used.apply_sql.len(), used.undo_sql.len()), (0, 0));
        let all = used.caveats.join(" ");
        assert!(
            all.contains("while these use it: trigger x of public.child."),
            "{all}"
        );
        assert!(
            all.contains("After that: ALTER TABLE public.child ALTER COLUMN \"A\" TYPE bigint."),
            "{all}"
        );
        let key = judged("A", true);
        assert!(key.apply_sql.is_empty() && !key.caveats.join(" ").contains("After that"));
    }

    /// What is claimed of `child` after a change of what is known.
    fn claimed_with(types: [&str; 2], change: impl FnOnce(&mut Schema)) -> Claim {
        let mut observed = observed(types, 1e6, |_| ());
        let schema = observed.databases[0].schema.as_mut().unwrap();
        let mut facts = (*schema.facts).clone();
        change(&mut facts);
        schema.facts = std::sync::Arc::new(facts);
        claims::<FkTypeMismatch>(&observed).unwrap().remove(0)
    }

    #[test]
    fn a_column_of_a_domain_is_compared_as_what_that_is_over_and_told_without_sql() {
        let said = claimed_with(["integer", "character(3)"], |facts| {
            facts.foreign_keys[0].domains = vec![Some("app.key".into()), None];
            facts.foreign_keys[0].referenced_domains = vec![Some("app.wide".into()), None];
        });
        let told = "but A is app.key (a domain over integer) and x is app.wide (a domain over bigint), b is character(3)";
        assert!(said.explanation.contains(told), "{}", said.explanation);
        assert_eq!(said.evidence["domains"], json!(["app.key", null]));
        let remedy = said.remedy;
        assert_eq!(
            (remedy.apply_sql.len(), remedy.undo_sql.len(), remedy.lock),
            (0, 0, None)
        );
        let all = remedy.caveats.join(" ");
        assert!(all.contains("public.child.A is of the domain app.key"), "{all}");
        assert!(
            all.contains("After that: ALTER TABLE public.child ALTER COLUMN b TYPE text."),
            "{all}"
        );
        let plain = claimed_with(["integer", "text"], |facts| {
            facts.foreign_keys[0].referenced_domains = vec![Some("app.wide".into()), None];
        });
        assert_eq!(
            plain.remedy.apply_sql,
            ["ALTER TABLE public.child ALTER COLUMN \"A\" TYPE bigint"]
        );
        assert!(!plain.evidence.contains_key("domains"));
    }

    #[test]
    fn what_inherits_from_the_table_is_rewritten_with_it() {
        let remedy = |is_inherited: bool| {
            let inherit = |facts: &mut Schema| {
                // the parent, of 1 TB, is the one that the key refers to
                let large = InheritedTable {
                    table_oid: 2,
                    parent_oid: 1,
                };
                facts.inherited_tables.extend(is_inherited.then_some(large));
            };
            claimed_with(["integer", "text"], inherit).remedy
        };
        assert_eq!(remedy(false).apply_sql.len(), 1);
        let large = remedy(true);
        assert!(large.apply_sql.is_empty());
        assert!(
            large.caveats.join(" ").contains("counted in here: 1 table."),
            "{:?}",
            large.caveats
        );
    }

    #[test]
    fn what_nobody_knows_the_heirs_of_is_not_given_to_be_rewritten() {
        let remedy = claimed_with(["integer", "text"], |facts| facts.are_heirs_unread = true).remedy;
        assert!(remedy.apply_sql.is_empty() && remedy.undo_sql.is_empty() && remedy.lock.is_none());
        let told = remedy.caveats.join(" ");
        assert!(
            told.contains("could not be read") && told.contains("After that: ALTER TABLE"),
            "{told}"
        );
    }

    #[test]
    fn a_large_table_is_not_rewritten() {
        let remedy = claims::<FkTypeMismatch>(&observed(["integer", "text"], 1e9 + 1.0, |_| ())).unwrap()[0]
            .remedy
            .clone();
        assert!(remedy.apply_sql.is_empty() && remedy.undo_sql.is_empty() && remedy.lock.is_none());
        assert!(remedy.caveats[0].contains("backfill"));
    }

    #[test]
    fn what_fits_or_is_an_extensions_or_unread_is_not_claimed() {
        assert_eq!(
            claims::<FkTypeMismatch>(&observed(["bigint", "text"], 0.0, |_| ()))
                .unwrap()
                .len(),
            0
        );
        let owned = observed(["integer", "text"], 0.0, |child| child.owned_by_extension = true);
        assert_eq!(claims::<FkTypeMismatch>(&owned).unwrap().len(), 0);
        let mut unread = observed(["integer", "text"], 0.0, |_| ());
        unread.databases[0].schema = Err(Unknown::because("gone"));
        assert_eq!(claims::<FkTypeMismatch>(&unread).unwrap_err().reason, "gone");
    }
}

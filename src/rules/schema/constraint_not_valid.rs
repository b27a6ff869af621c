//! schema.constraint_not_valid

mod domain;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::catalog::TableFacts;
use crate::model::finding::{Claim, Object, ObjectKind, Severity};
use crate::model::observation::{DatabaseObservation, Unknown};
use crate::model::remedy::{Remedy, Statement, qualified, quote_identifier, quote_literal};
use crate::model::schema::{Constraint, ForeignKey, Schema};
use crate::model::unit::{Period, bytes_for_people, count_for_people};
use crate::rules::{Found, Place, Rule, Scope, evidence, measured};

/// A constraint that has been NOT VALID for longer than a week: its second half was forgotten.
///
/// ## Why it is bad
/// It holds for new rows only. Old ones may break it: every later UPDATE of a row that breaks a CHECK fails, and a foreign key
/// may have rows that refer to nothing. Nobody can rely on it: the planner does not use a CHECK that is not valid, and ATTACH
/// PARTITION and SET NOT NULL read the whole table in spite of it.
///
/// ## What to do
/// Find the rows that break it with the SELECT that is given, mend them, then VALIDATE CONSTRAINT. That reads the whole
/// table and blocks neither reads nor writes.
///
/// ## When it is wrong to obey
/// Where the old rows are meant to stay as they are. Then set this finding aside for that constraint.
///
/// It has to be seen for a week, since a migration validates in a step of its own, hours or days later. The constraint of a
/// partition is told with that of its parent. Tables and domains of extensions are left out. To validate the constraint of a domain
/// reads all tables with columns of it, and holds up writes to them meanwhile. Source: PostgreSQL's pages of ALTER TABLE and
/// ALTER DOMAIN.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConstraintNotValid {}

impl Rule for ConstraintNotValid {
    const ID: &'static str = "schema.constraint_not_valid";
    const SCOPE: Scope = Scope::Database;
    const HOLD: Period = Period::days(7);

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let facts = &database.schema()?.facts;
        let tables = &database.catalog.tables;
        let mut open: Vec<(&Constraint, &TableFacts)> = facts
            .not_valid
            .iter()
            .filter_map(|constraint| Some((constraint, tables.get(constraint.table_oid)?)))
            .filter(|(constraint, table)| !table.owned_by_extension && !is_parents(facts, constraint, table))
            .collect();
        open.sort_by(|(a, of_a), (b, of_b)| {
            let by_size = of_b.size_bytes.total_cmp(&of_a.size_bytes);
            by_size.then_with(|| subject(a, of_a).cmp(&subject(b, of_b)))
        });
        let mut found = Found::default();
        for (constraint, table) in open {
            found.claim_worst_first(
                place,
                || subject(constraint, table),
                || claim(place, database, constraint, table),
            );
        }
        let of_domains = facts.not_valid.iter();
        let mut of_domains: Vec<_> = of_domains
            .filter_map(|constraint| Some((constraint, constraint.domain.as_ref()?)))
            .collect();
        of_domains.sort_by_key(|(constraint, of)| domain::subject(constraint, of));
        for (constraint, of) in of_domains {
            found.claim_worst_first(
                place,
                || domain::subject(constraint, of),
                || domain::claim(place, constraint, of),
            );
        }
        Ok(found)
    }
}

/// Whether the parent of a partition has the same constraint, as little valid: it is validated there.
fn is_parents(facts: &Schema, constraint: &Constraint, table: &TableFacts) -> bool {
    let is_same = |other: &Constraint| {
        Some(other.table_oid) == table.partition_of
            && other.name == constraint.name
            && other.kind == constraint.kind
    };
    table.partition_of.is_some() && facts.not_valid.iter().any(is_same)
}

fn subject(constraint: &Constraint, table: &TableFacts) -> Vec<String> {
    vec![table.schema.clone(), table.name.clone(), constraint.name.clone()]
}

/// A table as FROM names it: without those that inherit from it where the constraint is not theirs.
fn from(table: &TableFacts, with_heirs: bool) -> String {
    let only = if with_heirs || table.kind == 'p' {
        ""
    } else {
        "ONLY "
    };
    format!("{only}{}", qualified(&table.schema, &table.name))
}

/// The SELECT that finds rows that break a constraint, as far as its parts are known.
fn breaking_rows(
    database: &DatabaseObservation,
    constraint: &Constraint,
    table: &TableFacts,
) -> Option<String> {
    match constraint.kind {
        'c' => {
            let condition = constraint.condition.as_ref()?;
            Some(format!(
                "SELECT * FROM {}\n  WHERE NOT ({condition}) LIMIT 10",
                from(table, true)
            ))
        }
        'n' => {
            let column = constraint.condition.as_ref()?;
            Some(format!(
                "SELECT * FROM {}\n  WHERE {column} IS NULL LIMIT 10",
                from(table, true)
            ))
        }
        'f' => {
            let key = constraint.foreign_key.as_ref()?;
            orphans(key, table, database.catalog.tables.get(key.referenced_oid)?)
        }
        _ => None,
    }
}

/// Rows that refer to nothing. One with a NULL in its key refers to nothing by right.
fn orphans(key: &ForeignKey, table: &TableFacts, referenced: &TableFacts) -> Option<String> {
    // periods of a temporal key are not equal to those that hold them
    if key.is_temporal || key.columns.is_empty() || key.columns.len() != key.referenced_columns.len() {
        return None;
    }
    let columns: Vec<String> = key
        .columns
        .iter()
        .map(|column| quote_identifier(column))
        .collect();
    let there = columns.iter().map(|column| format!("c.{column} IS NOT NULL"));
    let pairs = columns.iter().zip(&key.referenced_columns);
    let equal = pairs.map(|(column, referenced)| format!("p.{} = c.{column}", quote_identifier(referenced)));
    // under MATCH FULL a key that is NULL in part refers to nothing by wrong
    let in_part = match key.is_match_full && columns.len() > 1 {
        true => {
            let of_row: Vec<String> = columns.iter().map(|column| format!("c.{column}")).collect();
            let all = of_row.join(", ");
            format!("num_nulls({all}) BETWEEN 1 AND {}\n  OR ", columns.len() - 1)
        }
        false => String::new(),
    };
    Some(format!(
        "SELECT c.* FROM {} AS c WHERE {in_part}{}\n  AND NOT EXISTS (SELECT FROM {} AS p WHERE {}) LIMIT 10",
        from(table, false),
        there.collect::<Vec<_>>().join(" AND "),
        from(referenced, false),
        equal.collect::<Vec<_>>().join(" AND ")
    ))
}

fn object(constraint: &Constraint, table: &TableFacts) -> Object {
    Object {
        kind: ObjectKind::Constraint,
        schema: Some(table.schema.clone()),
        name: constraint.name.clone(),
        table: Some(table.name.clone()),
    }
}

fn claim(
    place: &Place<'_>,
    database: &DatabaseObservation,
    constraint: &Constraint,
    table: &TableFacts,
) -> Claim {
    let (schema, name) = (&table.schema, &table.name);
    let kind = match constraint.kind {
        'f' => "foreign key",
        'n' => "NOT NULL constraint",
        _ => "CHECK constraint",
    };
    let referenced = constraint
        .foreign_key
        .as_ref()
        .and_then(|key| database.catalog.tables.get(key.referenced_oid))
        .map(|table| format!("{}.{}", table.schema, table.name));
    let breaking = breaking_rows(database, constraint, table);
    // without it there is still something to look at
    let catalog = || {
        format!(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint\n  WHERE NOT convalidated AND conrelid = {}::regclass",
            quote_literal(&qualified(schema, name))
        )
    };
    Claim {
        title: format!("{schema}.{name}: {} is not valid", constraint.name),
        explanation: format!(
            "The {kind} {} holds for rows that were written since it was added; nobody has checked the older ones of \
             {schema}.{name}. {}, and neither the planner nor people can rely on it. Mend what the SELECT finds, then \
             validate it.",
            constraint.name,
            match constraint.kind {
                'f' => "Some may refer to what is not there",
                _ => "An UPDATE of one that breaks it fails",
            }
        ),
        evidence: evidence([
            ("constraint_kind", json!(kind)),
            ("condition", json!(constraint.condition)),
            ("referenced_table", json!(referenced)),
            ("rows", json!((table.rows >= 0.0).then_some(table.rows as i64))),
            ("size_bytes", json!(table.size_bytes.max(0.0))),
        ]),
        evidence_sql: Some(breaking.unwrap_or_else(catalog)),
        confidence: measured("read from pg_constraint"),
        remedy: remedy(constraint, table, referenced.as_deref()),
        guards: vec![
            "its table is no part of an extension".to_owned(),
            "no parent has the same constraint to be validated".to_owned(),
        ],
        ..place.claim(
            ConstraintNotValid::ID,
            Severity::Info,
            subject(constraint, table),
            Some(object(constraint, table)),
        )
    }
}

fn remedy(constraint: &Constraint, table: &TableFacts, referenced: Option<&str>) -> Remedy {
    let validate = Statement::ValidateConstraint {
        schema: table.schema.clone(),
        table: table.name.clone(),
        name: constraint.name.clone(),
    };
    let size = match (table.rows, table.size_bytes) {
        (rows, bytes) if rows >= 0.0 && bytes > 0.0 => {
            format!(": {} rows in {}", count_for_people(rows), bytes_for_people(bytes))
        }
        _ => String::new(),
    };
    let mut caveats = vec![
        "It fails at the first row that breaks the constraint, and changes nothing then: look for such rows first.".to_owned(),
        format!("It reads the whole table{size}. Reads and writes go on meanwhile."),
    ];
    if let Some(referenced) = referenced {
        caveats.push(format!(
            "It takes ROW SHARE on {referenced}, too, and looks up every row there."
        ));
    }
    if table.kind == 'p' {
        caveats.push("All partitions are read.".to_owned());
    }
    Remedy {
        apply_sql: vec![validate.sql()],
        lock: Some("SHARE UPDATE EXCLUSIVE".to_owned()),
        rewrites_table: Some(false),
        extra_disk_bytes: Some(0.0),
        caveats,
        ..Remedy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::model::schema::Domain;
    use crate::rules::testing::{claims, set_schema, table, tables};

    fn constraint(kind: char, condition: Option<&str>) -> Constraint {
        Constraint {
            name: "c".into(),
            table_oid: 1,
            kind,
            condition: condition.map(Into::into),
            foreign_key: None,
            domain: None,
        }
    }

    fn observed(not_valid: Vec<Constraint>, change: impl FnOnce(&mut TableFacts)) -> Observation {
        let mut child = table(1, "Child", 10.0, 8192.0);
        change(&mut child);
        let mut observed = tables(vec![child, table(2, "parent", 10.0, 8192.0)]);
        set_schema(
            &mut observed,
            Schema {
                not_valid,
                ..Schema::default()
            },
        );
        observed
    }

    fn evidence_of(constraint: Constraint) -> String {
        let claims = claims::<ConstraintNotValid>(&observed(vec![constraint], |_| ())).unwrap();
        claims[0].evidence_sql.clone().unwrap()
    }

    #[test]
    fn each_kind_has_the_select_that_finds_what_breaks_it() {
        assert_eq!(
            evidence_of(constraint('c', Some("a > 0"))),
            "SELECT * FROM public.\"Child\"\n  WHERE NOT (a > 0) LIMIT 10"
        );
        assert_eq!(
            evidence_of(constraint('n', Some("\"A\""))),
            "SELECT * FROM public.\"Child\"\n  WHERE \"A\" IS NULL LIMIT 10"
        );
        let mut foreign = constraint('f', None);
        foreign.foreign_key = Some(ForeignKey {
            columns: vec!["A".into(), "b".into()],
            referenced_oid: 2,
            referenced_columns: vec!["x".into(), "select".into()],
            ..ForeignKey::default()
        });
        assert_eq!(
            evidence_of(foreign.clone()),
            "SELECT c.* FROM ONLY public.\"Child\" AS c WHERE c.\"A\" IS NOT NULL AND c.b IS NOT NULL\n  \
             AND NOT EXISTS (SELECT FROM ONLY public.parent AS p WHERE p.x = c.\"A\" AND p.\"select\" = c.b) LIMIT 10"
        );
        foreign.foreign_key.as_mut().unwrap().referenced_columns.pop();
        for unknown in [foreign, constraint('c', None), constraint('x', None)] {
            assert!(evidence_of(unknown).contains("FROM pg_constraint"));
        }
    }

    #[test]
    fn it_is_validated_where_it_is_declared() {
        let said = |not_valid: Vec<Constraint>, change: fn(&mut TableFacts)| {
            claims::<ConstraintNotValid>(&observed(not_valid, change)).unwrap()
        };
        let own = || constraint('c', Some("a > 0"));
        let of_parent = |name: &str| Constraint {
            table_oid: 2,
            name: name.into(),
            ..own()
        };
        let is_partition: fn(&mut TableFacts) = |table| table.partition_of = Some(2);
        let both = said(vec![own(), of_parent("c")], is_partition);
        assert_eq!((both.len(), &both[0].subject[1]), (1, &"parent".to_owned()));
        assert_eq!(said(vec![own(), of_parent("other")], is_partition).len(), 2);
        assert_eq!(said(vec![own()], is_partition).len(), 1);
        assert_eq!(
            said(vec![own()], |table| table.owned_by_extension = true).len(),
            0
        );
    }

    #[test]
    fn that_of_a_domain_is_validated_there() {
        let of_domain = Constraint {
            table_oid: 0,
            domain: Some(Domain {
                schema: "public".into(),
                name: "Amount".into(),
            }),
            ..constraint('c', Some("(VALUE > 0)"))
        };
        let claim = claims::<ConstraintNotValid>(&observed(vec![of_domain], |_| ()))
            .unwrap()
            .remove(0);
        assert_eq!(claim.subject, ["public", "Amount", "c"]);
        assert_eq!(
            claim.remedy.apply_sql,
            ["ALTER DOMAIN public.\"Amount\" VALIDATE CONSTRAINT c"]
        );
        assert_eq!(claim.remedy.lock.as_deref(), Some("SHARE"), "writes wait");
        let sql = claim.evidence_sql.unwrap();
        assert!(sql.contains("SELECT 'public.\"Amount\"'::regtype::oid"), "{sql}");
    }

    #[test]
    fn the_remedy_validates_it() {
        let claim = claims::<ConstraintNotValid>(&observed(vec![constraint('c', Some("a > 0"))], |_| ()))
            .unwrap()
            .remove(0);
        assert_eq!(
            claim.remedy.apply_sql,
            ["ALTER TABLE public.\"Child\" VALIDATE CONSTRAINT c"]
        );
        assert_eq!(claim.severity, Severity::Info);
        assert_eq!(claim.subject, ["public", "Child", "c"]);
        assert!(
            claim.remedy.caveats[1].contains("10 rows in 8.0 KiB"),
            "{:?}",
            claim.remedy.caveats
        );
    }

    #[test]
    fn what_could_not_be_read_is_unknown() {
        let mut unread = observed(vec![], |_| ());
        unread.databases[0].schema = Err(Unknown::because("gone"));
        assert_eq!(claims::<ConstraintNotValid>(&unread).unwrap_err().reason, "gone");
        let mut standby = observed(vec![constraint('c', None)], |_| ());
        standby.server.is_standby = true;
        assert!(claims::<ConstraintNotValid>(&standby).is_err());
    }
}

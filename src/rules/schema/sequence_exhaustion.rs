//! schema.sequence_exhaustion

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::limits;
use crate::model::finding::{Claim, Impact, Object, ObjectKind, Severity};
use crate::model::observation::{DatabaseObservation, SchemaObservation, Unknown};
use crate::model::remedy::{Remedy, Statement, quote_identifier, quote_literal};
use crate::model::schema::{Sequence, SequenceColumn};
use crate::model::unit::{Period, count_for_people, seconds_for_people};
use crate::rules::column_types::listed;
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, number};

/// A sequence that comes near its own end.
///
/// ## Why it is bad
/// After its last value nextval fails, and every INSERT that takes its value from it fails with it: at once, and for as long
/// as it takes to widen it.
///
/// ## What to do
/// Widen the sequence to bigint, if the column that it feeds is wide enough. That is quick and rewrites nothing.
///
/// ## When it is wrong to obey
/// Where the end is meant: a limit that somebody set by hand (MAXVALUE, MINVALUE) may be a promise to another system.
///
/// A sequence that cycles is left out. Where the column that takes the values is smallint or integer and ends no later than
/// its sequence, the column must change: schema.int_key_overflow says so, and this rule is silent unless that one is switched
/// off or ignored. An ignore of that one that names the column or its table is about both. Where several columns take the
/// values, the one of the smallest integer type, which ends first, is told as the one that is fed, and the others beside it.
///
/// The rate is that of our last looks that are far enough apart; `check` has but one look and knows none. A load of data is
/// fast and soon over, so that a rate counts only from `rate_min_share` on. A sequence whose last value may not be read is
/// not judged, and the GRANT is told; one that may be read and was locked just then is not judged either. Source: PostgreSQL's chapter "CREATE SEQUENCE".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SequenceExhaustion {
    /// Used share of its values, 0 to 1, from which it is worth a word.
    info_share: f64,
    /// Used share of its values, 0 to 1, from which it is a warning.
    warning_share: f64,
    /// Used share of its values, 0 to 1, from which it is critical.
    critical_share: f64,
    /// It is critical, too, where it ends sooner than this at its rate.
    critical_time: Period,
    /// Used share of its values, 0 to 1, from which its rate counts.
    rate_min_share: f64,
}

impl Default for SequenceExhaustion {
    fn default() -> Self {
        Self {
            info_share: 0.5,
            warning_share: 0.75,
            critical_share: 0.9,
            critical_time: Period::days(30),
            rate_min_share: 0.25,
        }
    }
}

impl Rule for SequenceExhaustion {
    const ID: &'static str = "schema.sequence_exhaustion";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let schema = database.schema()?;
        let bounds = Bounds {
            info: self.info_share,
            warning: self.warning_share,
            critical: self.critical_share,
            soon: self.critical_time,
            rate: self.rate_min_share,
        };
        let (mut ending, mut unreadable, mut readable) = (Vec::new(), Vec::new(), 0_usize);
        for sequence in &schema.facts.sequences {
            // schema.int_key_overflow tells of its column, where anybody hears of that
            let is_told =
                column_limit(sequence).is_some() && !database.key_overflows_untold.contains(&sequence.oid);
            if sequence.cycles || is_told || is_of_extension(database, sequence) {
                continue;
            }
            if !sequence.is_readable {
                unreadable.push(sequence);
                continue;
            }
            readable += 1;
            if let Some(way) = Way::of(schema, sequence, sequence.limit())
                && let Some(severity) = bounds.severity(&way)
            {
                ending.push((severity, way, sequence));
            }
        }
        let mut found = Found::default();
        if !unreadable.is_empty() {
            let unknown = unread(place, &unreadable);
            if readable == 0 {
                return Err(unknown);
            }
            found.untold = Some(unknown.reason);
            found.undecided = unreadable.iter().map(|sequence| subject(sequence)).collect();
        }
        ending.sort_by(|a, b| {
            let by_severity = b.0.cmp(&a.0);
            let by_share = by_severity.then(b.1.used_ratio.total_cmp(&a.1.used_ratio));
            by_share.then_with(|| (&a.2.schema, &a.2.name).cmp(&(&b.2.schema, &b.2.name)))
        });
        for (severity, way, sequence) in ending {
            found.claim_worst_first(
                place,
                || subject(sequence),
                || claim(place, severity, &way, sequence),
            );
        }
        Ok(found)
    }
}

fn subject(sequence: &Sequence) -> Vec<String> {
    vec![sequence.schema.clone(), sequence.name.clone()]
}

/// From where on a sequence is told, here and in schema.int_key_overflow.
pub(super) struct Bounds {
    pub info: f64,
    pub warning: f64,
    pub critical: f64,
    pub soon: Period,
    pub rate: f64,
}

impl Bounds {
    /// How severe it is to be so far.
    pub(super) fn severity(&self, way: &Way) -> Option<Severity> {
        let days = self.soon.as_seconds() / 86_400.0;
        let is_soon = way.used_ratio >= self.rate && way.days_left.is_some_and(|left| left < days);
        match way.used_ratio {
            used if used >= self.critical || is_soon => Some(Severity::Critical),
            used if used >= self.warning => Some(Severity::Warning),
            used if used >= self.info => Some(Severity::Info),
            _ => None,
        }
    }
}

/// How far a sequence has come on its way to a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub used_ratio: f64,
    pub values_left: f64,
    pub per_day: Option<f64>,
    pub days_left: Option<f64>,
}

impl Way {
    /// `None` where it was never used.
    pub(super) fn of(schema: &SchemaObservation, sequence: &Sequence, limit: i64) -> Option<Self> {
        let values_left = sequence.values_left(limit)?;
        let rate = schema.values_per_second.get(&sequence.oid);
        let per_day = rate.map(|rate| (rate * 86_400.0).max(0.0));
        Some(Self {
            used_ratio: sequence.used_ratio(limit)?,
            values_left,
            per_day,
            // at less than one a day there is no day to name
            days_left: per_day.filter(|rate| *rate >= 1.0).map(|rate| values_left / rate),
        })
    }

    /// Whole percents that are surely used.
    pub(super) fn percent(&self) -> f64 {
        (self.used_ratio * 100.0).floor()
    }

    /// How many values are left, and for how long.
    pub(super) fn left(&self) -> String {
        let pace = match (self.days_left, self.per_day) {
            (Some(days), _) => format!(", at today's pace for {}", seconds_for_people(days * 86_400.0)),
            (None, Some(_)) => ", and hardly any are used just now".to_owned(),
            (None, None) => String::new(),
        };
        match self.values_left {
            left if left < 1.0 => format!("no value is left{pace}"),
            left if left < 2.0 => format!("one value is left{pace}"),
            left => format!("{} values are left{pace}", count_for_people(left)),
        }
    }

    /// What was checked of it, beside what the caller checked.
    pub(super) fn guards(&self, checked: &[&str]) -> Guards {
        let mut guards = Guards::default();
        checked.iter().for_each(|what| guards.checked(*what));
        match self.per_day {
            Some(_) => guards.checked("how fast it is used, from our last looks"),
            None => {
                guards.not_checked("how fast it is used, which takes two looks that are far enough apart")
            }
        }
        guards
    }
}

/// The end of the column that takes a sequence's values, of several of the one that ends first, where the column could be wider
/// and ends no later than the sequence: then the column is what must change.
pub(super) fn column_limit(sequence: &Sequence) -> Option<i64> {
    limit_of_column(sequence, sequence.column.as_ref()?)
}

/// The same of one of the columns that take a sequence's values.
pub(super) fn limit_of_column(sequence: &Sequence, column: &SequenceColumn) -> Option<i64> {
    if column.type_name == "bigint" {
        return None;
    }
    let limit = sequence.limit_of(&column.type_name)?;
    let is_no_later = match sequence.increment < 0 {
        true => limit >= sequence.limit(),
        false => limit <= sequence.limit(),
    };
    is_no_later.then_some(limit)
}

/// Whether the table that a sequence feeds belongs to an extension.
pub(super) fn is_of_extension(database: &DatabaseObservation, sequence: &Sequence) -> bool {
    let column = sequence.column.as_ref();
    let table = column.and_then(|column| database.catalog.tables.get(column.table_oid));
    table.is_some_and(|table| table.owned_by_extension)
}

/// A type of sequences by its name.
pub(super) fn integer_type(name: &str) -> Option<&'static str> {
    ["smallint", "integer", "bigint"]
        .into_iter()
        .find(|known| *known == name)
}

/// Why nothing can be said of some sequences, with the GRANT where that mends it.
pub(super) fn unread(place: &Place<'_>, sequences: &[&Sequence]) -> Unknown {
    let (refused, missed): (Vec<&Sequence>, Vec<&Sequence>) = sequences
        .iter()
        .copied()
        .partition(|sequence| sequence.is_refused);
    let missed_reason = missed.first().map(|one| missed_now(place, one, missed.len()));
    let Some(one) = refused.first() else {
        return Unknown::because(missed_reason.unwrap_or_default());
    };
    let refused_unknown = not_allowed(place, one, &refused);
    let reasons = [Some(refused_unknown.reason), missed_reason];
    Unknown {
        reason: reasons.into_iter().flatten().collect::<Vec<String>>().join("; "),
        remedy_sql: refused_unknown.remedy_sql,
    }
}

/// Why sequences that the login may read were not read.
fn missed_now(place: &Place<'_>, one: &Sequence, count: usize) -> String {
    let schema = place.database.and_then(|database| database.schema.as_ref().ok());
    let may_be_read = schema.map_or(0, |schema| {
        let sequences = schema.facts.sequences.iter();
        sequences.filter(|sequence| !sequence.is_refused).count()
    });
    let why = match may_be_read > limits::SEQUENCES_PER_LOOK {
        true => format!(
            "of {may_be_read} sequences a look asks for {}",
            limits::SEQUENCES_PER_LOOK
        ),
        false => {
            "one of those that are asked together was locked just then, as by ALTER SEQUENCE, or dropped"
                .to_owned()
        }
    };
    format!(
        "the last value of some sequences was not read this time ({count} in all, as {}.{}), though the login may: {why}",
        one.schema, one.name
    )
}

/// Sequences that the login may not read, with the GRANT that mends it.
fn not_allowed(place: &Place<'_>, one: &Sequence, sequences: &[&Sequence]) -> Unknown {
    let schemas: BTreeSet<String> = sequences
        .iter()
        .map(|sequence| quote_identifier(&sequence.schema))
        .collect();
    let schemas: Vec<String> = schemas.into_iter().collect();
    let login = &place.observation.server.login;
    let grant = format!(
        "GRANT SELECT ON ALL SEQUENCES IN SCHEMA {} TO {}",
        schemas.join(", "),
        quote_identifier(login)
    );
    Unknown {
        reason: format!(
            "the login {login} may not read the last value of some sequences ({} in all, as {}.{}): {grant}",
            sequences.len(),
            one.schema,
            one.name
        ),
        remedy_sql: Some(grant),
    }
}

/// SQL that shows how far a sequence is.
pub(super) fn evidence_sql(sequence: &Sequence) -> String {
    format!(
        "SELECT data_type, last_value, min_value, max_value, increment_by FROM pg_sequences\n  \
         WHERE schemaname = {} AND sequencename = {}",
        quote_literal(&sequence.schema),
        quote_literal(&sequence.name)
    )
}

fn claim(place: &Place<'_>, severity: Severity, way: &Way, sequence: &Sequence) -> Claim {
    let (schema, name) = (&sequence.schema, &sequence.name);
    let (last, limit) = (sequence.last_value.unwrap_or_default(), sequence.limit());
    let told = |column: &SequenceColumn| {
        let table = place.database?.catalog.tables.get(column.table_oid)?;
        let (schema, table) = (&table.schema, &table.name);
        Some(format!("{schema}.{table}.{} ({})", column.name, column.type_name))
    };
    let column = sequence.column.as_ref().and_then(told);
    let others: Vec<String> = sequence.other_columns.iter().filter_map(told).collect();
    let of_column = match column_limit(sequence) {
        None => "no integer column that it feeds ends before it does",
        Some(_) => {
            "the column that it feeds ends no later, and nobody hears of that by schema.int_key_overflow"
        }
    };
    let guards = way.guards(&["it does not cycle", of_column]);
    let object = Object {
        kind: ObjectKind::Sequence,
        schema: Some(schema.clone()),
        name: name.clone(),
        table: None,
    };
    Claim {
        title: format!("{schema}.{name} has used {} % of its values", way.percent()),
        explanation: format!(
            "The sequence is at {last} and ends at {limit}: {}. After the last one nextval fails, and every INSERT that takes \
             its value from it. Move its end before that.",
            way.left()
        ),
        evidence: evidence([
            ("last_value", json!(last)),
            ("limit", json!(limit)),
            ("used_ratio", number(way.used_ratio)),
            ("values_left", json!(way.values_left)),
            ("values_per_day", json!(way.per_day.map(f64::round))),
            ("left_days", json!(way.days_left.map(f64::round))),
            ("type", json!(sequence.type_name)),
            ("increment", json!(sequence.increment)),
            ("feeds", json!(column)),
            ("other_columns", json!((!others.is_empty()).then_some(&others))),
        ]),
        evidence_sql: Some(evidence_sql(sequence)),
        impact: Impact {
            days_left: way.days_left,
            ..Impact::default()
        },
        confidence: guards.confidence("read from the sequence itself"),
        remedy: with_others(remedy(sequence, column.as_deref()), &others),
        guards: guards.told(),
        ..place.claim(SequenceExhaustion::ID, severity, subject(sequence), Some(object))
    }
}

/// With the columns that take the values beside the one that ends first.
fn with_others(mut remedy: Remedy, others: &[String]) -> Remedy {
    if !others.is_empty() {
        remedy.caveats.push(format!(
            "Its values go to other columns, too: {}. They and their clients must take such numbers \
             as well.",
            listed(others, others.len())
        ));
    }
    remedy
}

fn remedy(sequence: &Sequence, column: Option<&str>) -> Remedy {
    let statement = |type_name: &'static str| Statement::AlterSequenceType {
        schema: sequence.schema.clone(),
        name: sequence.name.clone(),
        type_name,
    };
    let mut remedy = Remedy::default();
    if column_limit(sequence).is_some() {
        remedy.caveats.push(format!(
            "Its values go to {}, which ends no later than it does: widen that column first, as schema.int_key_overflow \
             tells, which is switched off or ignored here.",
            column.unwrap_or("an integer column")
        ));
        return remedy;
    }
    if sequence.limit_of(&sequence.type_name) != Some(sequence.limit()) {
        remedy.caveats.push(format!(
            "Its end, {}, was set by hand (MAXVALUE, or MINVALUE where it counts down): ask what depends on it, then move it \
             with ALTER SEQUENCE. Another type alone does not.",
            sequence.limit()
        ));
        return remedy;
    }
    let Some(before) = integer_type(&sequence.type_name).filter(|name| *name != "bigint") else {
        remedy.caveats.push(
            "There is no wider type. Find out what used so many values up (setval, a large INCREMENT), and whether it may \
             begin anew."
                .to_owned(),
        );
        return remedy;
    };
    remedy.apply_sql = vec![statement("bigint").sql()];
    remedy.undo_sql = vec![statement(before).sql()];
    remedy.lock = Some("SHARE ROW EXCLUSIVE".to_owned());
    remedy.rewrites_table = Some(false);
    remedy.extra_disk_bytes = Some(0.0);
    remedy
        .caveats
        .push("The lock is on the sequence alone: nextval waits until it is committed.".to_owned());
    remedy.caveats.push(match column {
        Some(column) => format!("Its values go to {column}, which takes them; see that clients take such numbers, too."),
        None => "The catalog does not say which column takes its values: see first that columns, functions and clients take \
                 more than that."
            .to_owned(),
    });
    remedy.caveats.push(format!(
        "It can be undone only while its last value is one of {before}."
    ));
    remedy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::ConfidenceLevel;
    use crate::model::observation::Observation;
    use crate::model::schema::Schema;
    use crate::rules::testing::{claims, found, set_schema, severities, table, tables};

    /// `public.s` of that type, all of which it may use.
    fn sequence(type_name: &str, last_value: i64, change: impl FnOnce(&mut Sequence)) -> Observation {
        let mut sequence = Sequence {
            oid: 9,
            schema: "public".into(),
            name: "s".into(),
            type_name: type_name.into(),
            last_value: Some(last_value),
            is_readable: true,
            least: 1,
            increment: 1,
            ..Sequence::default()
        };
        sequence.greatest = sequence.limit_of(type_name).unwrap();
        change(&mut sequence);
        let mut observed = tables(vec![table(1, "t", 10.0, 0.0)]);
        let sequences = vec![sequence];
        set_schema(
            &mut observed,
            Schema {
                sequences,
                ..Schema::default()
            },
        );
        observed
    }

    fn at(percent: i64) -> Observation {
        // of the values 1 to 1000
        sequence("bigint", percent * 10, |sequence| sequence.greatest = 1000)
    }

    #[test]
    fn the_edges_of_its_shares() {
        assert_eq!(severities::<SequenceExhaustion>(&at(49)), []);
        assert_eq!(severities::<SequenceExhaustion>(&at(50)), [Severity::Info]);
        assert_eq!(severities::<SequenceExhaustion>(&at(74)), [Severity::Info]);
        assert_eq!(severities::<SequenceExhaustion>(&at(75)), [Severity::Warning]);
        assert_eq!(severities::<SequenceExhaustion>(&at(89)), [Severity::Warning]);
        assert_eq!(severities::<SequenceExhaustion>(&at(90)), [Severity::Critical]);
    }

    #[test]
    fn the_share_is_that_of_its_values() {
        let used = |least: i64, greatest: i64, increment: i64, last: i64| {
            let sequence = Sequence {
                least,
                greatest,
                increment,
                last_value: Some(last),
                ..Sequence::default()
            };
            sequence.used_ratio(sequence.limit())
        };
        assert_eq!(used(1, 1000, 1, 900), Some(0.9));
        assert_eq!(used(1, 1000, 1, 1), Some(0.001));
        assert_eq!(used(101, 200, 1, 190), Some(0.9), "MINVALUE");
        assert_eq!(used(-1000, -1, -1, -900), Some(0.9), "it counts down");
        // 1, 11, … 91 are all of them
        assert_eq!(used(1, 100, 10, 91), Some(1.0));
        assert_eq!(used(1, 100, 10, 95), Some(1.0), "setval() put it between two");
        assert_eq!(used(7, 7, 1, 7), Some(1.0));
    }

    #[test]
    fn a_fast_one_is_critical_once_it_has_come_far_enough() {
        let at_rate = |percent: i64, per_day: f64| {
            let mut observed = at(percent);
            let schema = observed.databases[0].schema.as_mut().unwrap();
            schema.values_per_second.insert(9, per_day / 86_400.0);
            claims::<SequenceExhaustion>(&observed).unwrap()
        };
        // 750 are left: 29 days at 26 a day, 31 at 24
        let fast = at_rate(25, 26.0);
        assert_eq!(fast[0].severity, Severity::Critical);
        assert_eq!(fast[0].evidence["left_days"], json!(29.0));
        assert_eq!(fast[0].confidence.level, ConfidenceLevel::Measured);
        assert!(
            fast[0].explanation.contains("at today's pace for 28 days"),
            "{}",
            fast[0].explanation
        );
        assert_eq!(at_rate(25, 24.0).len(), 0);
        assert_eq!(at_rate(24, 1000.0).len(), 0, "a load of data");
        let idle = at_rate(50, 0.5);
        assert_eq!(
            (idle[0].severity, idle[0].impact.days_left),
            (Severity::Info, None)
        );
        assert_eq!(
            claims::<SequenceExhaustion>(&at(50)).unwrap()[0].confidence.level,
            ConfidenceLevel::Estimated
        );
    }

    #[test]
    fn one_that_cycles_or_was_never_used_or_is_an_extensions_is_left_out() {
        let near = |change: fn(&mut Sequence)| {
            severities::<SequenceExhaustion>(&sequence("integer", 2_147_483_647, change))
        };
        assert_eq!(near(|_| ()), [Severity::Critical]);
        assert_eq!(near(|sequence| sequence.cycles = true), []);
        assert_eq!(near(|sequence| sequence.last_value = None), []);
        let down = sequence("smallint", -32_000, |sequence| {
            (sequence.least, sequence.greatest, sequence.increment) = (-32_768, -1, -1);
        });
        assert_eq!(severities::<SequenceExhaustion>(&down), [Severity::Critical]);
        let fed = |owned_by_extension: bool| {
            let mut observed = sequence("integer", 2_147_483_647, |sequence| {
                sequence.column = Some(column("bigint"));
            });
            let mut facts = table(1, "t", 10.0, 0.0);
            facts.owned_by_extension = owned_by_extension;
            observed.databases[0].catalog = tables(vec![facts]).databases[0].catalog.clone();
            severities::<SequenceExhaustion>(&observed).len()
        };
        assert_eq!((fed(false), fed(true)), (1, 0));
    }

    fn column(type_name: &str) -> SequenceColumn {
        SequenceColumn {
            table_oid: 1,
            name: "id".into(),
            type_name: type_name.into(),
            domain: None,
            is_identity: false,
        }
    }

    #[test]
    fn a_column_that_ends_no_later_is_for_the_other_rule() {
        let said = |sequence_type: &str, column_type: &str| {
            let observed = sequence(sequence_type, 1, |sequence| {
                sequence.last_value = sequence.limit_of(&sequence.type_name);
                sequence.column = Some(column(column_type));
            });
            severities::<SequenceExhaustion>(&observed).len()
        };
        assert_eq!(said("integer", "integer"), 0);
        assert_eq!(said("bigint", "integer"), 0);
        assert_eq!(said("integer", "bigint"), 1);
        assert_eq!(said("smallint", "integer"), 1);
        assert_eq!(said("bigint", "bigint"), 1, "no column could be wider");
        assert_eq!(said("integer", "numeric"), 1);
    }

    #[test]
    fn a_column_that_nobody_hears_of_is_told_here_with_its_sequence() {
        let mut observed = sequence("integer", 2_147_483_647, |sequence| {
            sequence.column = Some(column("integer"));
        });
        assert!(claims::<SequenceExhaustion>(&observed).unwrap().is_empty());
        observed.databases[0].key_overflows_untold = [9].into();
        let told = claims::<SequenceExhaustion>(&observed).unwrap().remove(0);
        assert!(
            told.remedy.apply_sql.is_empty(),
            "a wider sequence would not help"
        );
        assert!(
            told.remedy.caveats[0].contains("public.t.id (integer)"),
            "{:?}",
            told.remedy.caveats
        );
        assert!(
            told.guards
                .iter()
                .any(|guard| guard.contains("schema.int_key_overflow"))
        );
    }

    #[test]
    fn of_several_columns_the_one_that_ends_first_is_told_and_the_others_beside_it() {
        let of = |others: &[(u32, &str)]| {
            let mut observed = sequence("integer", 2_147_483_647, |sequence| {
                sequence.column = Some(column("bigint"));
                let other = |(table_oid, type_name): &(u32, &str)| SequenceColumn {
                    table_oid: *table_oid,
                    ..column(type_name)
                };
                sequence.other_columns = others.iter().map(other).collect();
            });
            let named = vec![table(1, "t", 10.0, 0.0), table(2, "archive", 10.0, 0.0)];
            observed.databases[0].catalog = tables(named).databases[0].catalog.clone();
            claims::<SequenceExhaustion>(&observed).unwrap().remove(0)
        };
        // of a table that is not known nothing can be said
        let several = of(&[(2, "numeric"), (3, "numeric")]);
        assert_eq!(several.evidence["feeds"], json!("public.t.id (bigint)"));
        assert_eq!(
            several.evidence["other_columns"],
            json!(["public.archive.id (numeric)"])
        );
        let told = several.remedy.caveats.join(" ");
        assert!(
            told.contains("Its values go to public.t.id (bigint), which takes them")
                && told.contains("Its values go to other columns, too: public.archive.id (numeric)."),
            "{told}"
        );
        let one = of(&[]);
        assert!(!one.evidence.contains_key("other_columns"));
        assert_eq!(one.remedy.caveats.len() + 1, several.remedy.caveats.len());
    }

    #[test]
    fn what_may_not_be_read_is_unknown() {
        let mut observed = sequence("integer", 1, |sequence| {
            (sequence.last_value, sequence.is_readable) = (None, false);
            sequence.is_refused = true;
        });
        observed.server.login = "Observer".into();
        let unknown = claims::<SequenceExhaustion>(&observed).unwrap_err();
        let grant = "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO \"Observer\"";
        assert_eq!(unknown.remedy_sql.as_deref(), Some(grant));
        let schema = observed.databases[0].schema.as_mut().unwrap();
        let mut facts = (*schema.facts).clone();
        facts.sequences.push(Sequence {
            name: "other".into(),
            is_readable: true,
            is_refused: false,
            ..facts.sequences[0].clone()
        });
        schema.facts = facts.into();
        let found = found::<SequenceExhaustion>(&observed).unwrap();
        assert_eq!(found.undecided, [["public", "s"]]);
        assert!(found.untold.unwrap().contains(grant));
        observed.databases[0].schema = Err(Unknown::because("gone"));
        assert_eq!(
            claims::<SequenceExhaustion>(&observed).unwrap_err().reason,
            "gone"
        );
        observed.server.is_standby = true;
        assert!(
            claims::<SequenceExhaustion>(&observed)
                .unwrap_err()
                .reason
                .contains("standby")
        );
    }

    #[test]
    fn one_that_was_locked_needs_no_grant() {
        let missed = |change: &dyn Fn(&mut Sequence)| {
            sequence("integer", 1, |sequence| {
                (sequence.last_value, sequence.is_readable) = (None, false);
                change(sequence);
            })
        };
        let locked = missed(&|_| ());
        let unknown = claims::<SequenceExhaustion>(&locked).unwrap_err();
        assert_eq!(unknown.remedy_sql, None);
        assert!(
            unknown.reason.contains("1 in all, as public.s") && unknown.reason.contains("was locked"),
            "{}",
            unknown.reason
        );
        let mut both = missed(&|sequence| sequence.is_refused = true);
        let schema = both.databases[0].schema.as_mut().unwrap();
        let mut facts = (*schema.facts).clone();
        facts.sequences.push(Sequence {
            name: "locked".into(),
            is_refused: false,
            ..facts.sequences[0].clone()
        });
        schema.facts = facts.into();
        let unknown = claims::<SequenceExhaustion>(&both).unwrap_err();
        assert!(unknown.remedy_sql.is_some());
        assert!(
            unknown.reason.contains("1 in all, as public.s)") && unknown.reason.contains("as public.locked)"),
            "{}",
            unknown.reason
        );
    }

    #[test]
    fn only_an_end_that_its_type_sets_is_moved_by_another_type() {
        let remedy =
            |observed: &Observation| claims::<SequenceExhaustion>(observed).unwrap().remove(0).remedy;
        let widened = remedy(&sequence("smallint", 32_767, |_| ()));
        assert_eq!(widened.apply_sql, ["ALTER SEQUENCE public.s AS bigint"]);
        assert_eq!(widened.undo_sql, ["ALTER SEQUENCE public.s AS smallint"]);
        let by_hand = remedy(&sequence("integer", 99, |sequence| sequence.greatest = 100));
        assert!(by_hand.apply_sql.is_empty() && by_hand.caveats[0].contains("Its end, 100, was set by hand"));
        let whole = remedy(&sequence("bigint", i64::MAX, |_| ()));
        assert!(whole.apply_sql.is_empty() && whole.caveats[0].contains("no wider type"));
    }
}

//! What the pages of tables and of indexes share: orders, growth, and the findings about them.

use serde::Serialize;
use utoipa::ToSchema;

use super::findings::FilterView;
use super::range::Range;
use super::tabs::Tab;
use crate::model::finding::{Finding, Object, ObjectKind, Severity, State};
use crate::model::id::Fingerprint;
use crate::model::open_finding::OpenFinding;
use crate::model::relation::RelationOrder;
use crate::model::unit::bytes_for_people;
use crate::web::problem::Problem;
use crate::web::query::{Parameters, unknown};

/// The orders of a list of tables, the default first.
pub const TABLE_ORDERS: [RelationOrder; 5] = [
    RelationOrder::Size,
    RelationOrder::Growth,
    RelationOrder::DeadRows,
    RelationOrder::Writes,
    RelationOrder::Scans,
];

/// The orders of a list of indexes, the default first.
pub const INDEX_ORDERS: [RelationOrder; 5] = [
    RelationOrder::Size,
    RelationOrder::Growth,
    RelationOrder::Scans,
    RelationOrder::Writes,
    RelationOrder::Idle,
];

/// The word of an order in addresses and in JSON.
fn order_word(order: RelationOrder) -> &'static str {
    match order {
        RelationOrder::Size => "size",
        RelationOrder::Growth => "growth",
        RelationOrder::DeadRows => "dead_rows",
        RelationOrder::Writes => "writes",
        RelationOrder::Scans => "scans",
        RelationOrder::Idle => "idle",
    }
}

fn order_name(order: RelationOrder) -> &'static str {
    match order {
        RelationOrder::Size => "Size",
        RelationOrder::Growth => "Growth",
        RelationOrder::DeadRows => "Dead rows",
        RelationOrder::Writes => "Writes",
        RelationOrder::Scans => "Scans",
        RelationOrder::Idle => "Idle time",
    }
}

/// What `?order=` says; by size where it says nothing.
///
/// # Errors
/// If it is none of these orders.
pub fn order_of(parameters: &Parameters, orders: &[RelationOrder]) -> Result<RelationOrder, Problem> {
    let Some(word) = parameters.get("order") else {
        return Ok(RelationOrder::Size);
    };
    let known: Vec<&str> = orders.iter().map(|order| order_word(*order)).collect();
    let found = orders.iter().find(|order| order_word(**order) == word);
    found.copied().ok_or_else(|| unknown("order", &word, &known))
}

/// What an address asks for beside the range.
pub fn order_query(order: RelationOrder) -> String {
    format!("&order={}", order_word(order))
}

/// Links to the same list in each order.
pub fn order_tabs(path: &str, range: Range, orders: &[RelationOrder], shown: RelationOrder) -> Vec<Tab> {
    let tab = |order: &RelationOrder| Tab {
        label: order_name(*order),
        path: format!("{path}?range={}{}", range.word(), order_query(*order)),
        is_shown: *order == shown,
    };
    orders.iter().map(tab).collect()
}

/// A finding in few words.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct Brief {
    pub fingerprint: Fingerprint,
    pub rule: String,
    pub severity: Severity,
    pub title: String,
}

impl Brief {
    fn of(finding: &Finding) -> Self {
        Self {
            fingerprint: finding.fingerprint.clone(),
            rule: finding.claim.rule.clone(),
            severity: finding.claim.severity,
            title: finding.claim.title.clone(),
        }
    }

    /// What the rule says, without its family: `unused`.
    pub fn word(&self) -> String {
        let (_, word) = self.rule.split_once('.').unwrap_or(("", &self.rule));
        word.replace('_', " ")
    }
}

impl From<&OpenFinding> for Brief {
    fn from(finding: &OpenFinding) -> Self {
        Self {
            fingerprint: finding.fingerprint.clone(),
            rule: finding.rule.clone(),
            severity: finding.severity,
            title: finding.title.clone(),
        }
    }
}

/// Whether what a finding is about is a table, or one of its indexes, columns or constraints.
pub fn is_about_table(object: Option<&Object>, schema: &str, name: &str) -> bool {
    let Some(object) = object else {
        return false;
    };
    let is_table = matches!(object.kind, ObjectKind::Table | ObjectKind::MaterializedView);
    object.schema.as_deref() == Some(schema)
        && (is_table && object.name == name || object.table.as_deref() == Some(name))
}

/// Whether a finding is about an index.
pub fn is_about_index(finding: &Finding, schema: &str, name: &str) -> bool {
    let Some(object) = &finding.claim.object else {
        return false;
    };
    object.kind == ObjectKind::Index && object.schema.as_deref() == Some(schema) && object.name == name
}

/// Those that are about something, in few words.
pub fn briefs(findings: &[Finding], is_about: impl Fn(&Finding) -> bool) -> Vec<Brief> {
    let about = findings.iter().filter(|finding| is_about(finding));
    about.map(Brief::of).collect()
}

/// The list of the open findings about a table, its indexes, columns and constraints.
pub fn findings_path((server, database): (&str, &str), schema: &str, table: &str) -> String {
    let filter = FilterView {
        server: Some(server.to_owned()),
        database: Some(database.to_owned()),
        schema: Some(schema.to_owned()),
        table: Some(table.to_owned()),
        state: Some(State::Open.word().to_owned()),
        ..FilterView::default()
    };
    format!("/findings{}", filter.with("sort", None))
}

/// By how many bytes something grew; none where it is not known how large it was.
pub fn growth(now: u64, before: Option<u64>) -> Option<f64> {
    Some(now as f64 - before? as f64)
}

/// The growth as a row shows it: `+1.2 MiB`.
pub fn growth_text(growth: Option<f64>) -> String {
    match growth {
        None => "–".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(bytes) if bytes < 0.0 => format!("−{}", bytes_for_people(-bytes)),
        Some(bytes) => format!("+{}", bytes_for_people(bytes)),
    }
}

/// A part of the largest, in per cent, of which a little is always seen.
pub fn of_hundred(part: u64, largest: u64) -> u8 {
    match part {
        0 => 0,
        part => (part as f64 / largest.max(1) as f64 * 100.0).clamp(2.0, 100.0) as u8,
    }
}

/// The end of a sentence that says what grew most; empty where nothing is known of it. It is certain where the list is
/// whole, or begins with what grew most.
pub fn grew_most(
    lines: impl Iterator<Item = (String, Option<f64>)>,
    range: Range,
    is_certain: bool,
) -> String {
    let known: Vec<(String, f64)> = lines.filter_map(|(name, growth)| Some((name, growth?))).collect();
    let range = range.name();
    let listed = if is_certain { "" } else { "of those listed here, " };
    let most = known.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    match most {
        None => String::new(),
        Some((name, bytes)) if *bytes > 0.0 => {
            let bytes = bytes_for_people(*bytes);
            format!("; {listed}{name} grew most in the last {range}, by {bytes}")
        }
        Some(_) => format!("; {listed}none grew in the last {range}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::sample;

    #[test]
    fn an_order_is_one_of_those_that_the_list_knows() {
        let of = |query: &str, orders: &[RelationOrder]| {
            let uri = format!("/x?{query}").parse().unwrap();
            order_of(&Parameters::read(&uri, &["order"]).unwrap(), orders)
        };
        for order in TABLE_ORDERS {
            let word = order_word(order);
            assert_eq!(of(&format!("order={word}"), &TABLE_ORDERS).unwrap(), order);
            assert_eq!(serde_json::to_value(order).unwrap(), word);
        }
        assert_eq!(of("", &INDEX_ORDERS).unwrap(), RelationOrder::Size);
        assert_eq!(of("order=writes", &INDEX_ORDERS).unwrap(), RelationOrder::Writes);
        assert!(of("order=idle", &TABLE_ORDERS).is_err());
    }

    #[test]
    fn findings_are_about_what_they_name_and_what_is_part_of_it() {
        let table = sample::finding("vacuum.dead_tuples", "items");
        let mut index = sample::finding("index.unused", "items_a_idx");
        index.claim.object = Some(Object {
            kind: ObjectKind::Index,
            schema: Some("public".into()),
            name: "items_a_idx".into(),
            table: Some("items".into()),
        });
        let all = [table, index];
        let is_about = |finding: &Finding, schema: &str, name: &str| {
            is_about_table(finding.claim.object.as_ref(), schema, name)
        };
        let of_table = briefs(&all, |finding| is_about(finding, "public", "items"));
        assert_eq!(of_table.len(), 2);
        let of_index = briefs(&all, |finding| is_about_index(finding, "public", "items_a_idx"));
        assert_eq!((of_index.len(), of_index[0].word().as_str()), (1, "unused"));
        for (schema, name) in [("other", "items"), ("public", "items_a_idx")] {
            assert!(
                !all.iter().any(|finding| is_about(finding, schema, name)),
                "{name}"
            );
        }
        let path = findings_path(("main", "a b"), "public", "x&y");
        assert_eq!(
            path,
            "/findings?server=main&database=a%20b&schema=public&table=x%26y&state=open"
        );
    }

    #[test]
    fn growth_has_a_sign_and_what_is_not_known_has_none() {
        assert_eq!(growth_text(growth(3 << 20, Some(1 << 20))), "+2.0 MiB");
        assert_eq!(growth_text(growth(0, Some(1024))), "−1.0 KiB");
        assert_eq!(growth_text(growth(5, Some(5))), "0");
        assert_eq!(growth_text(growth(5, None)), "–");
        let most = |lines: &[(&str, Option<f64>)], is_certain| {
            let lines = lines.iter().map(|(name, growth)| (name.to_string(), *growth));
            grew_most(lines, Range::Day, is_certain)
        };
        assert_eq!(
            most(&[("a", Some(-5.0)), ("b", Some(1024.0)), ("c", None)], true),
            "; b grew most in the last 24 hours, by 1.0 KiB"
        );
        assert_eq!(
            most(&[("a", Some(0.0))], false),
            "; of those listed here, none grew in the last 24 hours"
        );
        assert_eq!(most(&[("a", None)], true), "");
    }

    #[test]
    fn a_bar_of_something_is_seen() {
        assert_eq!(
            [of_hundred(0, 9), of_hundred(1, 9_000_000), of_hundred(9, 9)],
            [0, 2, 100]
        );
        assert_eq!(of_hundred(7, 0), 100);
    }
}

//! `/servers/{server}/{database}/indexes`: which indexes cost space, and are they used?

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::coverage::Unjudged;
use super::filters;
use super::frame::{Frame, Section, framed};
use super::listing::Listing;
use super::present;
use super::range::Range;
use super::relations::{Brief, briefs, growth, growth_text, is_about_index, of_hundred};
use super::tabs::View;
use crate::model::finding::Finding;
use crate::model::judgement::Verdict;
use crate::model::observation::TableDelta;
use crate::model::relation::{IndexNow, IndexTotal, RelationList, RelationOrder};
use crate::model::unit::{bytes_for_people, seconds_for_people};
use crate::rules::index::missing::NEARLY;

/// An index with the findings about it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct IndexLine {
    /// As it is, and how it was used.
    #[serde(flatten)]
    pub total: IndexTotal,
    /// Findings about it: the verdict.
    pub findings: Vec<Brief>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) path: String,
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) table_path: String,
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) bar: u8,
}

/// What is worth knowing of an index at a glance: a word, and the class of its chip.
pub fn marks(index: &IndexNow) -> Vec<(&'static str, &'static str)> {
    let kind = match (index.is_primary, index.is_unique) {
        (true, _) => Some("primary key"),
        (false, true) => Some("unique"),
        (false, false) => None,
    };
    let constraint = index.constraint.is_some() && !index.is_primary;
    [
        index.partitions.map(|_| ("partitioned", "")),
        kind.map(|kind| (kind, "")),
        constraint.then_some(("constraint", "")),
        (!index.is_valid).then_some(("invalid", "warn")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl IndexLine {
    /// A line for each, in the order in which they come.
    pub fn list(
        (server, database): (&str, &str),
        range: Range,
        indexes: Vec<IndexTotal>,
        findings: &[Finding],
    ) -> Vec<Self> {
        let largest = indexes.iter().map(|index| index.now.bytes).max().unwrap_or(0);
        let line = |total: IndexTotal| {
            let now = &total.now;
            let path = |view: View, name: &str| {
                let path = view.path_of(server, database, &now.schema, name);
                format!("{path}?range={}", range.word())
            };
            Self {
                path: path(View::Indexes, &now.name),
                table_path: path(View::Tables, &now.table),
                bar: of_hundred(now.bytes, largest),
                findings: briefs(findings, |finding| {
                    is_about_index(finding, &now.schema, &now.name)
                }),
                total,
            }
        };
        indexes.into_iter().map(line).collect()
    }

    fn name(&self) -> String {
        format!("{}.{}", self.total.now.schema, self.total.now.name)
    }

    fn growth(&self) -> Option<f64> {
        growth(self.total.now.bytes, self.total.bytes_before)
    }

    fn grew(&self) -> String {
        growth_text(self.growth())
    }

    /// What keeping it costs, as far as that is known.
    pub(super) fn write_price(&self) -> Option<String> {
        let entries = match self.total.entries_per_hour? {
            few if few > 0.0 && few < 0.01 => "< 0.01".to_owned(),
            entries => present::number(entries),
        };
        Some(match self.total.now.is_partial() {
            true => format!("at most {entries} an hour"),
            false => format!("{entries} an hour"),
        })
    }

    /// What it takes to know that: nothing is kept of a table that was neither read nor written for longer than is kept.
    pub(super) fn no_write_price() -> String {
        format!(
            "needs {} of looks, and use of its table",
            seconds_for_people(TableDelta::RATE_SECONDS)
        )
    }

    pub(super) fn size(&self) -> String {
        bytes_for_people(self.total.now.bytes as f64)
    }

    pub(super) fn marks(&self) -> Vec<(&'static str, &'static str)> {
        marks(&self.total.now)
    }
}

/// The indexes of a database.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "indexes.html")]
pub struct IndexesPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// What is listed.
    #[serde(flatten)]
    pub list: Listing,
    /// The indexes.
    pub indexes: Vec<IndexLine>,
    /// Why it is not known, or not of all statements, which indexes are missing: advice may wait until the budget leaves time for
    /// it; null where it is known, and where nobody asks.
    pub missing_unknown_because: Option<String>,
}
framed!(IndexesPage);

impl IndexesPage {
    /// The page from what the store knows; `findings` are the worst about indexes, with how many there are.
    pub fn build(
        now: DateTime<Utc>,
        (server, database): (String, String),
        (range, order): (Range, RelationOrder),
        list: RelationList<IndexTotal>,
        (findings, findings_total): (&[Finding], usize),
        places: Vec<(String, String)>,
    ) -> Self {
        Self {
            frame: Frame::new(now, Section::Tables, format!("Indexes of {database}")),
            indexes: IndexLine::list((&server, &database), range, list.items, findings),
            missing_unknown_because: None,
            list: Listing {
                total: list.total,
                bytes: list.bytes,
                findings_left_out: findings_total.saturating_sub(findings.len()),
                as_of: None,
                waiting: Vec::new(),
                told_at: None,
                server,
                database,
                range,
                order,
                view: View::Indexes,
                places,
            },
        }
    }

    /// The same with what became of index advice in the database, where that is known.
    pub fn with_advice(self, verdict: Option<&Verdict>) -> Self {
        let unknown = verdict.and_then(|verdict| match verdict {
            // what saves a little too little is known, and not missing, where the advice is whole
            Verdict::Evaluated {
                absence_counts: true,
                untold: Some(why),
                ..
            } if why == NEARLY => None,
            other => Some(present::why(other.untold()?, other.remedy_sql())),
        });
        Self {
            missing_unknown_because: unknown,
            ..self
        }
    }

    /// The same with when the database was looked at last, and what cannot be judged there yet.
    #[must_use]
    pub fn as_known(mut self, looked_at: Option<DateTime<Utc>>, waiting: Vec<Unjudged>) -> Self {
        self.list = self.list.looked_at(self.frame.now, looked_at);
        self.list.waiting = waiting;
        self
    }

    /// The page where no server was looked at yet.
    pub fn of_nothing(now: DateTime<Utc>) -> Self {
        Self::build(
            now,
            Default::default(),
            (Range::Day, RelationOrder::Size),
            RelationList::default(),
            (&[], 0),
            Vec::new(),
        )
    }

    fn sentence(&self) -> String {
        let lines = self.indexes.iter().map(|line| (line.name(), line.growth()));
        self.list.sentence(lines.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::{Object, ObjectKind};
    use crate::web::pages::{frame::Page, sample};

    fn total(name: &str) -> IndexTotal {
        IndexTotal {
            now: IndexNow {
                schema: sample::HOSTILE.into(),
                name: name.into(),
                table: "a/b".into(),
                bytes: 8192,
                is_valid: true,
                ..IndexNow::default()
            },
            bytes_before: Some(8192),
            ..IndexTotal::default()
        }
    }

    fn page(items: Vec<IndexTotal>) -> IndexesPage {
        let mut unused = sample::finding("index.unused", "i");
        unused.claim.object = Some(Object {
            kind: ObjectKind::Index,
            schema: Some(sample::HOSTILE.into()),
            name: sample::HOSTILE.into(),
            table: Some("a/b".into()),
        });
        let list = RelationList {
            total: items.len(),
            bytes: 8192,
            items,
        };
        let place = ("main".to_owned(), "shop".to_owned());
        IndexesPage::build(
            sample::now(),
            place.clone(),
            (Range::Day, RelationOrder::Idle),
            list,
            (&[unused], 1),
            vec![place],
        )
    }

    #[test]
    fn hostile_names_are_escaped_and_the_verdict_is_that_of_the_index() {
        let page = page(vec![total(sample::HOSTILE), total("other")]);
        let words = |line: &IndexLine| line.findings.iter().map(Brief::word).collect::<Vec<_>>();
        assert_eq!(words(&page.indexes[0]), ["unused"]);
        assert!(words(&page.indexes[1]).is_empty());
        let html = page.html("..", "t").unwrap();
        assert!(
            !html.contains("<script>alert") && !html.contains('\u{202e}'),
            "{html}"
        );
        assert!(html.contains("/a%2Fb?range=24h"), "{html}");
        assert!(html.contains("?range=7d&#38;order=idle"), "{html}");
    }

    #[test]
    fn an_old_look_is_told_with_its_time_and_what_waits_with_its_reason() {
        let of_now = page(vec![total("i")]).html("..", "t").unwrap();
        assert!(
            !of_now.contains("as of ") && !of_now.contains("for more time"),
            "{of_now}"
        );
        let at = sample::now() - chrono::TimeDelta::minutes(38);
        let waiting = vec![Unjudged {
            reason: "needs <two> looks".into(),
            rules: vec!["index.too_many".into(), "index.blocks_hot".into()],
        }];
        let page = page(vec![total("i")]).as_known(Some(at), waiting);
        let html = page.html("..", "t").unwrap();
        assert!(
            html.contains("as of 13:22 UTC, <time") && html.contains("38 min ago</time>"),
            "{html}"
        );
        assert!(
            html.contains("index.too_many, index.blocks_hot</span>: needs &#60;two&#62; looks"),
            "{html}"
        );
        let folded =
            "<details class=\"waiting\" id=\"waiting-here\"><summary>2 rules wait for more time</summary>";
        assert!(html.contains(folded), "a line, and the list behind it: {html}");
    }

    #[test]
    fn where_advice_waits_the_page_says_so() {
        let html = |verdict: Option<Verdict>| {
            let page = page(vec![total("i")]).with_advice(verdict.as_ref());
            page.html("..", "t").unwrap()
        };
        let waits = Verdict::Skipped {
            reason: "that waits until budget.own_cost_ratio leaves 2.0 s of <b>".into(),
            remedy_sql: None,
        };
        let told = html(Some(waits));
        assert!(
            told.contains("Which indexes are missing here is not known"),
            "{told}"
        );
        assert!(told.contains("leaves 2.0 s of &#60;b&#62;."), "{told}");
        assert!(told.contains("/rules/index.missing"), "{told}");
        let refused = Verdict::Skipped {
            reason: "it refused: User does not have CONNECT privilege.".into(),
            remedy_sql: Some("GRANT CONNECT".into()),
        };
        let told = html(Some(refused));
        assert!(
            told.contains("CONNECT privilege: GRANT CONNECT mends it. <a"),
            "{told}"
        );
        let partly = Verdict::Evaluated {
            undecided: Vec::new(),
            absence_counts: true,
            untold: Some("2 of 9 statements could not be planned".into()),
        };
        assert!(html(Some(partly)).contains("2 of 9 statements could not be planned."));
        let known = Verdict::Evaluated {
            undecided: Vec::new(),
            absence_counts: true,
            untold: None,
        };
        let nearly = |absence_counts: bool| Verdict::Evaluated {
            undecided: Vec::new(),
            absence_counts,
            untold: Some(NEARLY.into()),
        };
        for verdict in [None, Some(known), Some(nearly(true))] {
            assert!(!html(verdict).contains("Which indexes are missing here"));
        }
        assert!(html(Some(nearly(false))).contains("Which indexes are missing here"));
    }

    #[test]
    fn what_keeping_an_index_costs_is_told_where_it_is_known() {
        let price = |entries_per_hour: Option<f64>, definition: &str| {
            let mut total = total("i");
            total.entries_per_hour = entries_per_hour;
            total.now.definition = Some(definition.to_owned());
            page(vec![total]).indexes[0].write_price()
        };
        let whole = "CREATE INDEX i ON public.t USING btree (a)";
        let partial = "CREATE INDEX i ON public.t USING btree (a) WHERE (b > \u{2026})";
        assert_eq!(
            price(Some(1200.0), whole).as_deref(),
            Some("1\u{202f}200 an hour")
        );
        assert_eq!(price(Some(78.0), partial).as_deref(), Some("at most 78 an hour"));
        assert_eq!(price(Some(0.0), whole).as_deref(), Some("0 an hour"));
        assert_eq!(price(Some(0.0004), whole).as_deref(), Some("< 0.01 an hour"));
        assert_eq!(price(None, whole), None);
        let html = page(vec![total("i")]).html("..", "t").unwrap();
        assert!(
            html.contains(
                "in what is kept of the range\">needs 30 min of looks, and use of its table</span>"
            ),
            "the reason is read, not only pointed at: {html}"
        );
        assert!(html.contains("&#38;order=writes"), "a list in that order: {html}");
        assert!(
            html.contains("since it was first seen\">No scan here since<"),
            "{html}"
        );
    }

    #[test]
    fn what_an_index_is_for_is_seen() {
        let words = |index: IndexNow| {
            marks(&index)
                .into_iter()
                .map(|(word, _)| word)
                .collect::<Vec<_>>()
        };
        let primary = IndexNow {
            is_primary: true,
            is_unique: true,
            is_valid: true,
            constraint: Some("a_pkey".into()),
            ..IndexNow::default()
        };
        assert_eq!(words(primary), ["primary key"]);
        let unique = IndexNow {
            is_unique: true,
            constraint: Some("a_key".into()),
            ..IndexNow::default()
        };
        assert_eq!(words(unique), ["unique", "constraint", "invalid"]);
        let whole = IndexNow {
            partitions: Some(0),
            ..total("whole").now
        };
        assert_eq!(words(whole), ["partitioned"]);
        assert!(words(total("plain").now).is_empty());
    }

    #[test]
    fn nothing_seen_is_a_page_with_the_next_step() {
        let html = page(vec![]).html("..", "t").unwrap();
        assert!(html.contains("No index is known here yet."), "{html}");
        let html = IndexesPage::of_nothing(sample::now()).html(".", "t").unwrap();
        assert!(html.contains("after the first look"), "{html}");
        let said = page(vec![total("one")]).sentence();
        assert_eq!(
            said,
            "1 index of shop holds 8.0 KiB; none grew in the last 24 hours."
        );
    }
}

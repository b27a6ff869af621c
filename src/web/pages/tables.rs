//! `/servers/{server}/{database}/tables`: what costs space and writes?

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
use super::relations::{Brief, findings_path, growth, growth_text, is_about_table, of_hundred};
use super::tabs::View;
use crate::model::open_finding::OpenFinding;
use crate::model::relation::{RelationList, RelationOrder, TableNow, TableTotal};
use crate::model::unit::{bytes_for_people, count_for_people};

/// A table with the findings about it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TableLine {
    /// As it is, and what happened to it.
    #[serde(flatten)]
    pub total: TableTotal,
    /// Open findings about it, its indexes, columns and constraints.
    pub findings: Vec<Brief>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) path: String,
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) findings_path: String,
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) bar: u8,
}

/// Dead rows against the number at which autovacuum starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadRows {
    /// In words.
    pub text: String,
    /// Length of the bar, in per cent of the threshold.
    pub bar: u8,
    /// `over` where autovacuum should have started.
    pub tone: &'static str,
    /// The partition that they are those of, where the table is partitioned: the one that is nearest to it.
    pub partition: Option<String>,
}

impl DeadRows {
    /// Of a table; of a partitioned one, which has no threshold of its own, those of its worst partition. Nothing where no
    /// threshold is known.
    pub fn of(table: &TableNow) -> Option<Self> {
        let worst = table.worst_partition.as_ref();
        let (dead, threshold) = match worst {
            Some(worst) => (worst.dead_rows, worst.vacuum_threshold_rows),
            None => (table.dead_rows, table.vacuum_threshold_rows),
        };
        if threshold == 0 {
            return None;
        }
        Some(Self {
            text: format!(
                "{} of {}",
                count_for_people(dead as f64),
                count_for_people(threshold as f64)
            ),
            bar: of_hundred(dead.min(threshold), threshold),
            tone: if dead > threshold { "over" } else { "size" },
            partition: worst.map(|worst| format!("{}.{}", worst.schema, worst.name)),
        })
    }

    /// Whether autovacuum should have started.
    pub fn is_over(&self) -> bool {
        self.tone == "over"
    }
}

/// What a table is, where it is no plain one.
pub fn kind_text(table: &TableNow) -> Option<String> {
    match table.kind {
        'm' => Some("materialized view".to_owned()),
        'p' => {
            let partitions = present::plural(table.partitions as usize, "partition", "partitions");
            Some(format!("partitioned, {partitions}"))
        }
        _ => None,
    }
}

impl TableLine {
    /// A line for each, in the order in which they come.
    pub fn list(
        (server, database): (&str, &str),
        range: Range,
        tables: Vec<TableTotal>,
        open: &[OpenFinding],
    ) -> Vec<Self> {
        let largest = tables.iter().map(|table| table.now.bytes).max().unwrap_or(0);
        let line = |total: TableTotal| {
            let (schema, name) = (&total.now.schema, &total.now.name);
            let path = View::Tables.path_of(server, database, schema, name);
            Self {
                path: format!("{path}?range={}", range.word()),
                findings_path: findings_path((server, database), schema, name),
                bar: of_hundred(total.now.bytes, largest),
                // as many as the list shows to which they lead
                findings: open
                    .iter()
                    .filter(|finding| is_about_table(finding.object.as_ref(), schema, name))
                    .map(Brief::from)
                    .collect(),
                total,
            }
        };
        tables.into_iter().map(line).collect()
    }

    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.total.now.schema, self.total.now.name)
    }

    fn kind(&self) -> Option<String> {
        kind_text(&self.total.now)
    }

    fn growth(&self) -> Option<f64> {
        growth(self.total.now.bytes, self.total.bytes_before)
    }

    pub(super) fn heap(&self) -> String {
        bytes_for_people(self.total.now.bytes as f64)
    }

    pub(super) fn index_size(&self) -> String {
        bytes_for_people(self.total.now.index_bytes as f64)
    }

    pub(super) fn grew(&self) -> String {
        growth_text(self.growth())
    }

    pub(super) fn dead(&self) -> Option<DeadRows> {
        DeadRows::of(&self.total.now)
    }

    /// Updates that touched no index, of all updates.
    fn hot(&self) -> String {
        let counts = &self.total.counts;
        match counts.updated {
            0 => "–".to_owned(),
            updated => present::percent(counts.hot_updated as f64 / updated as f64),
        }
    }

    pub(super) fn written(&self) -> String {
        count_for_people(self.total.counts.written() as f64)
    }

    pub(super) fn scans(&self) -> String {
        let counts = &self.total.counts;
        format!(
            "{} / {}",
            count_for_people(counts.sequential_scans as f64),
            count_for_people(counts.index_scans as f64)
        )
    }

    pub(super) fn findings_text(&self) -> String {
        present::plural(self.findings.len(), "finding", "findings")
    }

    /// The severity of the worst finding.
    pub(super) fn worst(&self) -> &'static str {
        let worst = self.findings.iter().map(|finding| finding.severity).max();
        worst.map_or("", |severity| severity.word())
    }
}

/// The tables of a database.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "tables.html")]
pub struct TablesPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// What is listed.
    #[serde(flatten)]
    pub list: Listing,
    /// The tables.
    pub tables: Vec<TableLine>,
}
framed!(TablesPage);

impl TablesPage {
    /// The page from what the store knows; `findings` are the worst open ones of the database, with how many there are.
    pub fn build(
        now: DateTime<Utc>,
        (server, database): (String, String),
        (range, order): (Range, RelationOrder),
        list: RelationList<TableTotal>,
        (findings, findings_total): (&[OpenFinding], usize),
        places: Vec<(String, String)>,
    ) -> Self {
        Self {
            frame: Frame::new(now, Section::Tables, format!("Tables of {database}")),
            tables: TableLine::list((&server, &database), range, list.items, findings),
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
                view: View::Tables,
                places,
            },
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
        let lines = self.tables.iter().map(|line| (line.name(), line.growth()));
        self.list.sentence(lines.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::{Finding, State};
    use crate::model::history::TableCounts;
    use crate::model::relation::WorstPartition;
    use crate::web::pages::{frame::Page, sample};

    fn total(name: &str, bytes: u64) -> TableTotal {
        TableTotal {
            now: TableNow {
                schema: "public".into(),
                name: name.into(),
                kind: 'r',
                bytes,
                index_bytes: 4096,
                dead_rows: 75,
                vacuum_threshold_rows: 50,
                last_vacuum_at: Some(sample::now()),
                ..TableNow::default()
            },
            counts: TableCounts {
                sequential_scans: 7,
                index_scans: 1234,
                inserted: 10,
                updated: 4,
                hot_updated: 3,
                ..TableCounts::default()
            },
            bytes_before: Some(bytes / 2),
        }
    }

    fn page(items: Vec<TableTotal>, findings: &[Finding]) -> TablesPage {
        let list = RelationList {
            total: items.len(),
            bytes: items.iter().map(|table| table.now.bytes).sum(),
            items,
        };
        let place = ("main".to_owned(), sample::HOSTILE.to_owned());
        TablesPage::build(
            sample::now(),
            place.clone(),
            (Range::Week, RelationOrder::Size),
            list,
            (&sample::open_findings(findings), 3),
            vec![place],
        )
    }

    #[test]
    fn hostile_names_are_escaped_and_lead_to_their_own_page() {
        let findings = [sample::finding("vacuum.dead_tuples", sample::HOSTILE)];
        let page = page(
            vec![total(sample::HOSTILE, 1 << 20), total("a/b", 1 << 10)],
            &findings,
        );
        assert_eq!(
            (page.tables[0].findings.len(), page.tables[1].findings.len()),
            (1, 0)
        );
        assert_eq!(page.list.findings_left_out, 2);
        let json = serde_json::to_value(&page).unwrap();
        assert_eq!(json["tables"][1]["name"], "a/b");
        assert_eq!(json["tables"][1]["counts"]["index_scans"], 1234);
        assert!(json["tables"][1]["bar"].is_null() && json["frame"].is_null());
        let html = page.html("..", "t").unwrap();
        assert!(
            !html.contains("<script>alert") && !html.contains('\u{202e}'),
            "{html}"
        );
        assert!(html.contains("/tables/public/a%2Fb?range=7d"), "{html}");
        assert!(!html.contains(" style="));
    }

    #[test]
    fn the_findings_that_are_counted_are_those_of_the_list_they_lead_to() {
        let of = |name: &str, schema: &str, state| {
            let mut finding = sample::finding("vacuum.dead_tuples", name);
            finding.claim.object.as_mut().unwrap().schema = Some(schema.into());
            finding.state = state;
            finding
        };
        let findings = [
            of("orders", "public", State::Open),
            of("orders", "public", State::Acknowledged),
            of("orders", "other", State::Open),
            of("orders_archive", "public", State::Open),
        ];
        let page = page(vec![total("orders", 1 << 20)], &findings);
        assert_eq!(page.tables[0].findings_text(), "1 finding");
        let html = page.html("..", "t").unwrap();
        let list = "&#38;schema=public&#38;table=orders&#38;state=open\">1 finding</a>";
        assert!(html.contains(list), "{html}");
    }

    #[test]
    fn figures_are_told_with_what_they_are_measured_against() {
        let page = page(vec![total("items", 1 << 20)], &[]);
        assert!(
            page.sentence().ends_with(
                " holds 1.0 MiB (indexes not counted); public.items grew most in the last 7 days, by 512 KiB."
            ),
            "{}",
            page.sentence()
        );
        let line = &page.tables[0];
        assert_eq!(line.hot(), "75 %");
        assert_eq!(line.scans(), "7 / 1\u{202f}234");
        let dead = line.dead().unwrap();
        assert_eq!(
            (dead.text.as_str(), dead.bar, dead.is_over()),
            ("75 of 50", 100, true)
        );
        let html = page.html("..", "t").unwrap();
        assert!(html.contains("over the threshold"), "{html}");
    }

    #[test]
    fn a_partitioned_table_is_told_as_a_whole_with_its_worst_partition() {
        let mut whole = total("events", 1 << 20);
        whole.now.kind = 'p';
        whole.now.partitions = 1200;
        whole.now.vacuum_threshold_rows = 0;
        whole.now.worst_partition = Some(WorstPartition {
            schema: "public".into(),
            name: sample::HOSTILE.into(),
            dead_rows: 30,
            vacuum_threshold_rows: 60,
        });
        let mut empty = whole.clone();
        (empty.now.partitions, empty.now.worst_partition) = (0, None);
        let page = page(vec![whole, empty], &[]);
        let dead = page.tables[0].dead().unwrap();
        assert_eq!(
            (dead.text.as_str(), dead.bar, dead.is_over()),
            ("30 of 60", 50, false)
        );
        assert_eq!(page.tables[1].dead(), None);
        let html = page.html("..", "t").unwrap();
        for told in [
            "partitioned, 1\u{202f}200 partitions",
            "partitioned, 0 partitions",
            "at worst in <bdi>public.x&#34;",
        ] {
            assert!(html.contains(told), "{told}: {html}");
        }
        assert!(!html.contains("<script>alert"), "{html}");
    }

    #[test]
    fn what_waits_is_one_line_with_the_list_behind_it() {
        let one = |rule: &str, reason: &str| Unjudged {
            reason: reason.to_owned(),
            rules: vec![rule.to_owned()],
        };
        let waiting = vec![
            one("schema.bloat", "needs <two> looks"),
            one("vacuum.rare", "needs a day"),
        ];
        let html = page(vec![], &[]).as_known(None, waiting).html("..", "t").unwrap();
        for told in [
            "<details class=\"waiting\" id=\"waiting-here\"><summary>2 rules wait for more time</summary>",
            "schema.bloat</span>: needs &#60;two&#62; looks</li>",
            "vacuum.rare</span>: needs a day</li>",
        ] {
            assert!(html.contains(told), "{told}: {html}");
        }
    }

    #[test]
    fn nothing_seen_is_a_page_with_the_next_step() {
        let html = page(vec![], &[]).html("..", "t").unwrap();
        assert!(
            html.contains("No table is known here yet.") && html.contains("after the first look"),
            "{html}"
        );
        let html = TablesPage::of_nothing(sample::now()).html(".", "t").unwrap();
        assert!(html.contains("No server was looked at yet."), "{html}");
    }
}

//! `/servers/{server}/{database}/indexes/{schema}/{name}`: is this index used, and what is it?

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::filters;
use super::frame::{Frame, Section, framed};
use super::history_chart::{
    Change, HistoryChart, Line, Measure, lines, no_line, over, per_minute, total, within,
};
use super::indexes::marks;
use super::present;
use super::range::Range;
use super::sql_text::SqlText;
use super::tabs::{Tab, View};
use crate::model::finding::Finding;
use crate::model::history::{HistoryPoint, IndexCounts, TableCounts};
use crate::model::relation::{IndexNow, RelationName};
use crate::model::unit::{bytes_for_people, count_for_people};

pub(super) const SCANS: Measure<IndexCounts> = Measure {
    name: "scans a minute",
    value: |counts, seconds| (counts.scans > 0).then(|| per_minute(counts.scans, seconds)),
    told: |value| present::amount(present::number(value), "scan a minute", "scans a minute"),
    nothing: "no scan",
};

pub(super) const SIZE: Measure<IndexCounts> = Measure {
    name: "size",
    value: |counts, _| (counts.bytes > 0).then_some(counts.bytes as f64),
    told: bytes_for_people,
    nothing: "empty",
};

/// A standby that scans an index.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ScannedOnStandby {
    /// The name of the standby.
    pub server: String,
    /// About when it scanned the index last, as far as that was written down.
    pub last_scan_at: DateTime<Utc>,
}

/// One index over time.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "index.html")]
pub struct IndexPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// The server.
    pub server: String,
    /// The database.
    pub database: String,
    /// The range that is told.
    pub range: Range,
    /// As it is now.
    pub index: IndexNow,
    /// From when on its scans and the writes to its table are added up, where it was made within the range; null where it was
    /// there before: then they are over the whole range.
    pub counted_since: Option<DateTime<Utc>>,
    /// How it was used over that time.
    pub counts: IndexCounts,
    /// How it was used, oldest first; a point without counts is time in which nobody looked.
    pub history: Vec<HistoryPoint<IndexCounts>>,
    /// What happened to the server meanwhile.
    pub changes: Vec<Change>,
    /// What happened to its table over the same time: most of what is written there is written here, too. Null where that is
    /// not known.
    pub table_counts: Option<TableCounts>,
    /// The watched standbys of the server that scan it, the latest first: they count their own scans.
    pub on_standbys: Vec<ScannedOnStandby>,
    /// Findings about it.
    pub findings: Vec<Finding>,
    #[serde(skip)]
    #[schema(ignore)]
    charts: [(&'static str, HistoryChart); 2],
}
framed!(IndexPage);

/// Those of the points that begin at a time or later; all of them where there is none. What began before holds what happened
/// before, too.
fn counted<C>(points: &[HistoryPoint<C>], since: Option<DateTime<Utc>>) -> &[HistoryPoint<C>] {
    let is_before = |point: &HistoryPoint<C>| since.is_some_and(|since| point.from < since);
    &points[points.partition_point(is_before)..]
}

impl IndexPage {
    /// The page from what the store knows; of the index, with when it was seen first, if that was within the range.
    pub fn build(
        now: DateTime<Utc>,
        (server, database): (String, String),
        range: Range,
        (index, made_at): (IndexNow, Option<DateTime<Utc>>),
        history: Vec<HistoryPoint<IndexCounts>>,
        findings: Vec<Finding>,
    ) -> Self {
        let whole = counted(&history, made_at);
        let from = whole.first().map(|point| point.from);
        let drawn = over(&history, range.ending(now));
        Self {
            counted_since: made_at.map(|made_at| from.unwrap_or(made_at)),
            counts: total(whole),
            frame: Frame::new(now, Section::Tables, format!("{}.{}", index.schema, index.name)),
            charts: [
                ("Scans", HistoryChart::of(&drawn, &SCANS)),
                ("Size", HistoryChart::of(&drawn, &SIZE)),
            ],
            server,
            database,
            range,
            index,
            history,
            changes: Vec::new(),
            table_counts: None,
            on_standbys: Vec::new(),
            findings,
        }
    }

    /// The same with the standbys that scan it, and about when each did last.
    #[must_use]
    pub fn with_standbys(self, scanned: Vec<(String, DateTime<Utc>)>) -> Self {
        let scanned = scanned
            .into_iter()
            .map(|(server, last_scan_at)| ScannedOnStandby { server, last_scan_at });
        Self {
            on_standbys: scanned.collect(),
            ..self
        }
    }

    /// The same with what happened to the server meanwhile, and to its table.
    #[must_use]
    pub fn with_changes(self, changes: Vec<Change>, table: &[HistoryPoint<TableCounts>]) -> Self {
        let drawn = over(&self.history, self.range.ending(self.frame.now));
        let changes = within(&drawn, changes);
        let marked = |(name, chart): (&'static str, HistoryChart)| (name, chart.marked(&drawn, &changes));
        let table = counted(table, self.counted_since);
        let is_known = table.iter().any(|point| point.counts.is_some());
        Self {
            charts: self.charts.map(marked),
            changes,
            table_counts: is_known.then(|| total(table)),
            ..self
        }
    }

    /// The time of which its scans and its price are told, as the end of a sentence.
    fn window(&self) -> String {
        match self.counted_since {
            Some(since) => format!("since {}", present::exact(&since)),
            None => format!("in the last {}", self.range.name()),
        }
    }

    /// Why that is not the range.
    fn why_shorter(&self) -> Option<String> {
        self.counted_since?;
        let range = self.range.name();
        Some(format!(
            "It is younger than the last {range}: before, it was not there all the time."
        ))
    }

    /// What writing it costs, in a sentence.
    fn write_price(&self) -> String {
        let window = self.window();
        let Some(table) = self.table_counts else {
            return format!("What was written to its table {window} is not known.");
        };
        let rows = table.inserted.saturating_add(table.updated);
        if rows == 0 {
            return format!("No row of its table was inserted or updated {window}.");
        }
        let told = |number: u64| count_for_people(number as f64);
        let hot = match table.hot_updated {
            0 => String::new(),
            hot => format!(", but for {} of the updates, which are HOT", told(hot)),
        };
        format!(
            "{} inserted into its table and {} updated {window}. Each is written here, too{hot}{}.",
            match table.inserted {
                1 => "1 row was".to_owned(),
                rows => format!("{} rows were", told(rows)),
            },
            told(table.updated),
            match self.index.is_partial() {
                true => ", if it is among the rows of the index",
                false => "",
            }
        )
    }

    fn sentence(&self) -> String {
        let standbys = self.on_standbys.iter().map(|one| {
            let at = present::exact(&one.last_scan_at);
            format!(" Its standby {} scans it, too: last at about {at}.", one.server)
        });
        format!("{}{}", self.sentence_of_server(), standbys.collect::<String>())
    }

    /// What is known of it on this server.
    fn sentence_of_server(&self) -> String {
        let here = match self.on_standbys.is_empty() {
            true => "",
            false => " on this server",
        };
        let window = self.window();
        let size = bytes_for_people(self.index.bytes as f64);
        let told = counted(&self.history, self.counted_since);
        let was_seen = told.iter().any(|point| point.counts.is_some());
        match (self.counts.scans, was_seen) {
            (0, false) => format!("It holds {size}; how it was used {window} is not known."),
            (0, true) => format!("It holds {size} and was not scanned{here} {window}."),
            (1, _) => format!("It holds {size} and was scanned once{here} {window}."),
            (scans, _) => format!(
                "It holds {size} and was scanned {} times{here} {window}.",
                count_for_people(scans as f64)
            ),
        }
    }

    fn name(&self) -> String {
        format!("{}.{}", self.index.schema, self.index.name)
    }

    fn marks(&self) -> Vec<(&'static str, &'static str)> {
        marks(&self.index)
    }

    fn sql(&self) -> SqlText {
        SqlText::of(self.index.definition.as_deref().unwrap_or_default())
    }

    fn list_path(&self) -> String {
        View::Indexes.path(&self.server, &self.database)
    }

    fn path(&self) -> String {
        View::Indexes.path_of(&self.server, &self.database, &self.index.schema, &self.index.name)
    }

    fn table_name(&self) -> String {
        format!("{}.{}", self.index.schema, self.index.table)
    }

    fn table_path(&self) -> String {
        let path = View::Tables.path_of(
            &self.server,
            &self.database,
            &self.index.schema,
            &self.index.table,
        );
        format!("{path}?range={}", self.range.word())
    }

    /// The page of what this is a partition of.
    fn path_of(&self, above: &RelationName) -> String {
        let path = View::Indexes.path_of(&self.server, &self.database, &above.schema, &above.name);
        format!("{path}?range={}", self.range.word())
    }

    fn ranges(&self) -> Vec<Tab> {
        self.range.tabs(&self.path(), "")
    }

    fn charts(&self) -> &[(&'static str, HistoryChart)] {
        &self.charts
    }

    fn size(&self, bytes: &u64) -> String {
        bytes_for_people(*bytes as f64)
    }

    /// The table behind the pictures: when it was scanned, and what changed. Hours without a scan would leave no place for those.
    fn lines(&self) -> Vec<Line<'_, IndexCounts>> {
        lines(&self.history, &self.changes, |counts| counts.scans > 0)
    }

    fn no_line(&self) -> &'static str {
        no_line(&self.history, SCANS.nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::{frame::Page, sample};

    fn page(history: Vec<HistoryPoint<IndexCounts>>) -> IndexPage {
        let index = IndexNow {
            schema: sample::HOSTILE.into(),
            name: sample::HOSTILE.into(),
            table: sample::HOSTILE.into(),
            bytes: 16_384,
            is_valid: true,
            constraint: Some(sample::HOSTILE.into()),
            definition: Some(format!("CREATE INDEX \"{}\" ON t (a)", sample::HOSTILE)),
            ..IndexNow::default()
        };
        let place = ("main".to_owned(), sample::HOSTILE.to_owned());
        let findings = vec![sample::finding("index.unused", sample::HOSTILE)];
        IndexPage::build(sample::now(), place, Range::Day, (index, None), history, findings)
    }

    #[test]
    fn what_was_not_seen_is_not_told_as_unused() {
        let point = |counts| HistoryPoint {
            from: sample::now(),
            length_seconds: 60.0,
            seen_seconds: 60.0,
            counts,
        };
        let scans = |scans| Some(IndexCounts { scans, bytes: 16_384 });
        assert!(page(vec![]).sentence().contains("is not known"));
        assert!(page(vec![point(None)]).sentence().contains("is not known"));
        assert!(page(vec![point(scans(0))]).sentence().contains("was not scanned"));
        let used = page(vec![point(scans(1)), point(None), point(scans(2))]);
        assert_eq!(
            used.sentence(),
            "It holds 16.0 KiB and was scanned 3 times in the last 24 hours."
        );
        assert_eq!(used.lines().len(), 2);
        let mut once = vec![point(scans(1))];
        once.extend((0..300).map(|_| point(scans(0))));
        assert_eq!(page(once).lines().len(), 1, "what it was scanned is not lost");
        let never = page(vec![point(scans(0))]).html("..", "t").unwrap();
        assert!(never.contains("There is no line: no scan."), "{never}");
        let unseen = page(vec![]).html("..", "t").unwrap();
        for told in [
            "There is no line: nobody looked.",
            "Nothing to draw: nobody looked.",
        ] {
            assert!(unseen.contains(told), "{told}: {unseen}");
        }
        let on_standby = page(vec![point(scans(0))]).with_standbys(vec![("b".to_owned(), sample::now())]);
        let last = present::exact(&sample::now());
        assert_eq!(
            on_standby.sentence(),
            format!(
                "It holds 16.0 KiB and was not scanned on this server in the last 24 hours. Its standby b scans it, too: last at \
                 about {last}."
            )
        );
        // its standbys may scan it
        let html = used.html("..", "t").unwrap();
        assert!(html.contains("No scan on this server since</th>"), "{html}");
    }

    #[test]
    fn the_price_of_writing_it_is_told_with_what_happened_to_the_server() {
        let point = |seconds: i64, scans| HistoryPoint {
            from: sample::now() + chrono::TimeDelta::seconds(seconds),
            length_seconds: 60.0,
            seen_seconds: 60.0,
            counts: Some(IndexCounts { scans, bytes: 16_384 }),
        };
        let wrote = |inserted, updated, hot_updated| HistoryPoint {
            from: sample::now(),
            length_seconds: 60.0,
            seen_seconds: 60.0,
            counts: Some(TableCounts {
                inserted,
                updated,
                hot_updated,
                deleted: 9,
                ..TableCounts::default()
            }),
        };
        let restarted = Change {
            at: sample::now() + chrono::TimeDelta::seconds(70),
            what: "the server was started".to_owned(),
        };
        let used = page(vec![point(0, 1), point(60, 2)])
            .with_changes(vec![restarted], &[wrote(1, 30, 20), wrote(0, 10, 0)]);
        assert_eq!(
            used.write_price(),
            "1 row was inserted into its table and 40 updated in the last 24 hours. Each is written here, too, but for 20 \
             of the updates, which are HOT."
        );
        let html = used.html("..", "t").unwrap();
        assert!(html.contains("Each is written here, too"), "{html}");
        assert_eq!(
            html.matches("the server was started").count(),
            3,
            "two pictures, one table: {html}"
        );
        let idle = page(vec![]).with_changes(vec![], &[wrote(0, 0, 0)]);
        assert!(idle.write_price().starts_with("No row of its table"));
        assert!(page(vec![]).write_price().ends_with("is not known."));
    }

    #[test]
    fn scans_and_writes_of_a_young_index_are_counted_over_the_same_time() {
        fn point<C>(from: DateTime<Utc>, counts: C) -> HistoryPoint<C> {
            HistoryPoint {
                from,
                length_seconds: 60.0,
                seen_seconds: 60.0,
                counts: Some(counts),
            }
        }
        let at = |seconds: i64| sample::now() + chrono::TimeDelta::seconds(seconds);
        let scans = |seconds, scans| point(at(seconds), IndexCounts { scans, bytes: 16_384 });
        let wrote = |seconds, inserted| {
            let counts = TableCounts {
                inserted,
                ..TableCounts::default()
            };
            point(at(seconds), counts)
        };
        let table = [wrote(0, 5_000), wrote(60, 100), wrote(120, 7)];
        let made = |seconds: Option<i64>| {
            let old = page(vec![scans(0, 50), scans(60, 4), scans(120, 2)]);
            let place = (old.server, old.database);
            let index = (old.index, seconds.map(at));
            IndexPage::build(sample::now(), place, Range::Day, index, old.history, vec![])
                .with_changes(vec![], &table)
        };
        // what began before it was there holds what was written without it
        let young = made(Some(50));
        assert_eq!(
            (young.counts.scans, young.table_counts.unwrap().inserted),
            (6, 107)
        );
        let window = format!("since {}", present::exact(&at(60)));
        assert!(young.sentence().ends_with(&format!("6 times {window}.")));
        assert!(young.write_price().contains(&window), "{}", young.write_price());
        let html = young.html("..", "t").unwrap();
        assert!(html.contains("It is younger than the last 24 hours"), "{html}");
        let old = made(None);
        assert_eq!(
            (old.counts.scans, old.table_counts.unwrap().inserted),
            (56, 5_107)
        );
        assert_eq!(old.why_shorter(), None);
        let new = made(Some(150));
        assert!(new.sentence().ends_with("is not known.") && new.table_counts.is_none());
    }

    #[test]
    fn hostile_names_are_escaped() {
        let html = page(vec![]).html("..", "t").unwrap();
        assert!(!html.contains("<script>alert"), "{html}");
        assert!(html.contains("CREATE"), "{html}");
        assert!(!html.contains("Partition"), "{html}");
    }

    #[test]
    fn a_partition_leads_to_the_whole_which_tells_how_many_it_has() {
        let mut partition = page(vec![]);
        partition.index.partition_of = Some(RelationName {
            schema: "a/b".into(),
            name: sample::HOSTILE.into(),
        });
        let html = partition.html("..", "t").unwrap();
        assert!(!html.contains("<script>alert"), "{html}");
        assert!(html.contains("/indexes/a%2Fb/x%22"), "{html}");
        let mut whole = page(vec![]);
        whole.index.partitions = Some(1200);
        let html = whole.html("..", "t").unwrap();
        assert!(
            html.contains("<th scope=\"row\">Partitions</th><td>1\u{202f}200"),
            "{html}"
        );
    }
}

//! `/servers/{server}/{database}/tables/{schema}/{name}`: what happens to this table, and who touches it?

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::columns::Columns;
use super::filters;
use super::frame::{Frame, Section, framed};
use super::history_chart::{
    Change, HistoryChart, Line, Measure, lines, no_line, over, per_minute, total, within,
};
use super::indexes::IndexLine;
use super::present;
use super::range::Range;
use super::relations::growth;
use super::tables::{DeadRows, TableLine, kind_text};
use super::tabs::{Tab, View};
use crate::model::column::ColumnNow;
use crate::model::finding::Finding;
use crate::model::history::{HistoryPoint, StatementTotal, TableCounts};
use crate::model::relation::{RelationName, TableNow};
use crate::model::unit::{bytes_for_people, count_for_people, seconds_for_people};

const WRITTEN: Measure<TableCounts> = Measure {
    name: "rows written a minute",
    value: |counts, seconds| (counts.written() > 0).then(|| per_minute(counts.written(), seconds)),
    told: |value| present::amount(present::number(value), "row a minute", "rows a minute"),
    nothing: "nothing was written",
};

pub(super) const SEQUENTIAL: Measure<TableCounts> = Measure {
    name: "sequential scans a minute",
    value: |counts, seconds| {
        (counts.sequential_scans > 0).then(|| per_minute(counts.sequential_scans, seconds))
    },
    told: |value| present::amount(present::number(value), "scan a minute", "scans a minute"),
    nothing: "no sequential scan",
};

const BY_INDEX: Measure<TableCounts> = Measure {
    name: "index scans a minute",
    value: |counts, seconds| (counts.index_scans > 0).then(|| per_minute(counts.index_scans, seconds)),
    told: |value| present::amount(present::number(value), "scan a minute", "scans a minute"),
    nothing: "no index scan",
};

pub(super) const SIZE: Measure<TableCounts> = Measure {
    name: "size",
    value: |counts, _| (counts.bytes > 0).then_some(counts.bytes as f64),
    told: bytes_for_people,
    nothing: "empty",
};

pub(super) const DEAD: Measure<TableCounts> = Measure {
    name: "dead rows",
    value: |counts, _| (counts.dead_rows > 0).then_some(counts.dead_rows as f64),
    told: |value| present::amount(count_for_people(value), "dead row", "dead rows"),
    nothing: "no dead row",
};

/// One table over time.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "table.html")]
pub struct TablePage {
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
    pub table: TableNow,
    /// Bytes of its heap before the range, or when it was seen first; null where that is not known.
    pub bytes_before: Option<u64>,
    /// What happened to it over the range.
    pub counts: TableCounts,
    /// What happened to it, oldest first; a point without counts is time in which nobody looked.
    pub history: Vec<HistoryPoint<TableCounts>>,
    /// When VACUUM and ANALYZE last worked on it, and what happened to the server, where that lies within.
    pub changes: Vec<Change>,
    /// Its largest partitions, the largest first, where it is partitioned; how many it has in all stands in `table`.
    pub partitions: Vec<TableLine>,
    /// Its indexes, the largest first.
    pub indexes: Vec<IndexLine>,
    /// Its columns, as far as they are known.
    #[serde(flatten)]
    pub columns: Columns,
    /// Statements that name it, among those that took most time over the range.
    pub statements: Vec<StatementTotal>,
    /// How many statements were looked through for that.
    pub statements_looked_through: usize,
    /// Findings about it, its indexes, columns and constraints.
    pub findings: Vec<Finding>,
    #[serde(skip)]
    #[schema(ignore)]
    charts: [(&'static str, HistoryChart); 5],
}
framed!(TablePage);

/// The last work of VACUUM and ANALYZE: of what came before nobody knows when it was. Each partition has its own.
fn maintained(table: &TableNow) -> Vec<Change> {
    if table.kind == 'p' {
        return Vec::new();
    }
    let change = |at: Option<DateTime<Utc>>, what: &str| {
        Some(Change {
            at: at?,
            what: what.to_owned(),
        })
    };
    let changes = [
        change(table.last_vacuum_at, "vacuumed for the last time"),
        change(table.last_analyze_at, "analyzed for the last time"),
    ];
    changes.into_iter().flatten().collect()
}

impl TablePage {
    /// The page from what the store knows; of a partitioned table with its largest partitions; of the statements, with how
    /// many they were chosen from.
    pub fn build(
        now: DateTime<Utc>,
        (server, database): (String, String),
        range: Range,
        (table, history, partitions): (TableNow, Vec<HistoryPoint<TableCounts>>, Vec<TableLine>),
        (indexes, columns, statistics_unknown_because): (Vec<IndexLine>, Vec<ColumnNow>, Option<String>),
        (statements, statements_looked_through): (Vec<StatementTotal>, usize),
        findings: Vec<Finding>,
    ) -> Self {
        let drawn = over(&history, range.ending(now));
        let changes = within(&drawn, maintained(&table));
        let chart = |measure| HistoryChart::of(&drawn, measure).marked(&drawn, &changes);
        Self {
            frame: Frame::new(now, Section::Tables, format!("{}.{}", table.schema, table.name)),
            charts: [
                ("Rows written", chart(&WRITTEN)),
                ("Sequential scans", chart(&SEQUENTIAL)),
                ("Index scans", chart(&BY_INDEX)),
                ("Size", chart(&SIZE)),
                ("Dead rows", chart(&DEAD)),
            ],
            counts: total(&history),
            columns: Columns::of(columns, &indexes, statistics_unknown_because.as_deref()),
            server,
            database,
            range,
            table,
            bytes_before: None,
            history,
            changes,
            partitions,
            indexes,
            statements,
            statements_looked_through,
            findings,
        }
    }

    /// The same with what happened to the server meanwhile, marked beside the rest.
    #[must_use]
    pub fn with_changes(mut self, changes: Vec<Change>) -> Self {
        let mut all = std::mem::take(&mut self.changes);
        all.extend(changes);
        let drawn = over(&self.history, self.range.ending(self.frame.now));
        let changes = within(&drawn, all);
        let marked = |(name, chart): (&'static str, HistoryChart)| (name, chart.marked(&drawn, &changes));
        Self {
            charts: self.charts.map(marked),
            changes,
            ..self
        }
    }

    /// The same with how large it was before the range, where that is known.
    #[must_use]
    pub fn with_size_before(self, bytes_before: Option<u64>) -> Self {
        Self { bytes_before, ..self }
    }

    /// What became of its size over the range, as the beginning of a clause; empty where that is not known. Where nobody knows
    /// how large it was before, it takes two points: one tells how large it was at its end.
    fn grew(&self) -> String {
        let mut known = self.history.iter().filter_map(|point| point.counts);
        let (first, second) = (known.next(), known.next());
        let of_first = first.zip(second).map(|(first, _)| first.bytes);
        match growth(self.table.bytes, self.bytes_before.or(of_first)) {
            None => String::new(),
            Some(bytes) if bytes > 0.0 => format!("it grew by {}, ", bytes_for_people(bytes)),
            Some(_) => "it did not grow, ".to_owned(),
        }
    }

    fn sentence(&self) -> String {
        let size = bytes_for_people(self.table.bytes as f64);
        let range = self.range.name();
        if self.history.iter().all(|point| point.counts.is_none()) {
            return format!(
                "It holds {size}; what happens to it is told from the second look on, and is not known of the last {range}."
            );
        }
        let read = if self.is_partitioned() {
            "one of its partitions"
        } else {
            "it"
        };
        format!(
            "It holds {size}. In the last {range} {}{} written, and {} read {read} as a whole.",
            self.grew(),
            match self.counts.written() {
                1 => "1 row was".to_owned(),
                rows => format!("{} rows were", count_for_people(rows as f64)),
            },
            present::plural(self.counts.sequential_scans as usize, "scan", "scans"),
        )
    }

    fn name(&self) -> String {
        format!("{}.{}", self.table.schema, self.table.name)
    }

    fn kind(&self) -> Option<String> {
        kind_text(&self.table)
    }

    fn is_partitioned(&self) -> bool {
        self.table.kind == 'p'
    }

    /// Which of the partitions are shown.
    fn partitions_shown(&self) -> String {
        let (shown, all) = (self.partitions.len(), self.table.partitions as usize);
        match shown < all {
            true => format!(
                "the largest {} of {}",
                count_for_people(shown as f64),
                count_for_people(all as f64)
            ),
            false => "largest first".to_owned(),
        }
    }

    /// The page of what this is a partition of.
    fn path_of(&self, above: &RelationName) -> String {
        let path = View::Tables.path_of(&self.server, &self.database, &above.schema, &above.name);
        format!("{path}?range={}", self.range.word())
    }

    fn dead(&self) -> Option<DeadRows> {
        DeadRows::of(&self.table)
    }

    fn list_path(&self) -> String {
        View::Tables.path(&self.server, &self.database)
    }

    fn path(&self) -> String {
        View::Tables.path_of(&self.server, &self.database, &self.table.schema, &self.table.name)
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

    fn indexes_unread(&self) -> String {
        present::plural(self.columns.indexes_unread, "index", "indexes")
    }

    fn looked_through(&self) -> usize {
        self.statements_looked_through
    }

    fn outline(&self, statement: &StatementTotal) -> String {
        crate::sql::outline(&statement.text)
    }

    fn statement_path(&self, statement: &StatementTotal) -> String {
        let list = View::Statements.path(&self.server, &self.database);
        let id = present::url_part(&statement.statement_id);
        format!("{list}/{id}?range={}", self.range.word())
    }

    fn took(&self, statement: &StatementTotal) -> String {
        seconds_for_people(statement.counts.seconds())
    }

    /// The table behind the pictures: when something happened, and what changed.
    fn lines(&self) -> Vec<Line<'_, TableCounts>> {
        let has_happened = |counts: &TableCounts| {
            counts.written() > 0 || counts.sequential_scans > 0 || counts.index_scans > 0
        };
        lines(&self.history, &self.changes, has_happened)
    }

    fn no_line(&self) -> &'static str {
        no_line(&self.history, "it was neither read nor written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::column_statistics::Sample;
    use crate::model::history::StatementCounts;
    use crate::model::relation::{IndexNow, IndexTotal, TableTotal, WorstPartition};
    use crate::web::pages::{frame::Page, sample};

    fn point(counts: Option<TableCounts>) -> HistoryPoint<TableCounts> {
        HistoryPoint {
            from: sample::now(),
            length_seconds: 60.0,
            seen_seconds: 60.0,
            counts,
        }
    }

    fn counts(inserted: u64, bytes: u64) -> TableCounts {
        TableCounts {
            inserted,
            bytes,
            sequential_scans: 1,
            ..TableCounts::default()
        }
    }

    fn page(history: Vec<HistoryPoint<TableCounts>>) -> TablePage {
        let table = TableNow {
            schema: sample::HOSTILE.into(),
            name: sample::HOSTILE.into(),
            kind: 'm',
            bytes: 3 << 20,
            options: vec![sample::HOSTILE.into()],
            ..TableNow::default()
        };
        let index = IndexTotal {
            now: IndexNow {
                schema: sample::HOSTILE.into(),
                name: sample::HOSTILE.into(),
                table: sample::HOSTILE.into(),
                definition: Some(sample::HOSTILE.into()),
                ..IndexNow::default()
            },
            ..IndexTotal::default()
        };
        let statement = StatementTotal {
            statement_id: "0123456789abcdef".into(),
            database: sample::HOSTILE.into(),
            text: sample::HOSTILE.into(),
            counts: StatementCounts::default(),
            mean_seconds: 0.0,
            share_ratio: 0.5,
            before: None,
        };
        let column = ColumnNow {
            name: sample::HOSTILE.into(),
            type_name: Some(sample::HOSTILE.into()),
            is_not_null: None,
            sample: Some(Sample::NotReadable),
        };
        let findings = vec![sample::finding("vacuum.dead_tuples", sample::HOSTILE)];
        let place = ("main".to_owned(), sample::HOSTILE.to_owned());
        let indexes = IndexLine::list(("main", sample::HOSTILE), Range::Week, vec![index], &findings);
        TablePage::build(
            sample::now(),
            place,
            Range::Week,
            (table, history, Vec::new()),
            (indexes, vec![column], None),
            (vec![statement], 50),
            findings,
        )
    }

    /// The page of a table as it is alone.
    fn page_of(
        table: TableNow,
        history: Vec<HistoryPoint<TableCounts>>,
        partitions: Vec<TableLine>,
    ) -> TablePage {
        let place = ("main".to_owned(), "shop".to_owned());
        TablePage::build(
            sample::now(),
            place,
            Range::Day,
            (table, history, partitions),
            Default::default(),
            Default::default(),
            Vec::new(),
        )
    }

    fn partition(name: &str) -> TableTotal {
        TableTotal {
            now: TableNow {
                schema: "old/ones".into(),
                name: name.into(),
                kind: 'r',
                bytes: 1 << 20,
                partition_of: Some(RelationName {
                    schema: "a/b".into(),
                    name: sample::HOSTILE.into(),
                }),
                ..TableNow::default()
            },
            bytes_before: Some(1 << 19),
            ..TableTotal::default()
        }
    }

    #[test]
    fn a_partitioned_table_leads_to_its_partitions() {
        let mut finding = sample::finding("vacuum.dead_tuples", sample::HOSTILE);
        finding.claim.object.as_mut().unwrap().schema = Some("old/ones".into());
        let totals = vec![partition(sample::HOSTILE), partition("2024")];
        let lines = TableLine::list(
            ("main", "shop"),
            Range::Day,
            totals,
            &sample::open_findings(&[finding]),
        );
        let table = TableNow {
            schema: "a/b".into(),
            name: sample::HOSTILE.into(),
            kind: 'p',
            bytes: 2 << 20,
            dead_rows: 1234,
            partitions: 2,
            last_vacuum_at: Some(sample::now() + chrono::TimeDelta::seconds(30)),
            worst_partition: Some(WorstPartition {
                schema: "old/ones".into(),
                name: sample::HOSTILE.into(),
                dead_rows: 90,
                vacuum_threshold_rows: 60,
            }),
            ..TableNow::default()
        };
        let mut page = page_of(table, vec![point(Some(counts(3, 1 << 20)))], lines);
        assert!(page.changes.is_empty(), "a partition was vacuumed, not the table");
        assert!(
            page.sentence()
                .ends_with("1 scan read one of its partitions as a whole.")
        );
        assert_eq!(page.partitions_shown(), "largest first");
        let json = serde_json::to_value(&page).unwrap();
        assert_eq!(json["table"]["partitions"], 2);
        assert_eq!(json["partitions"][1]["partition_of"]["schema"], "a/b");
        page.table.partitions = 1200;
        let html = page.html("..", "t").unwrap();
        for told in [
            "partitioned, 1\u{202f}200 partitions",
            "the largest 2 of 1\u{202f}200",
            "/servers/main/shop/tables/old%2Fones/2024?range=24h",
            "+512 KiB",
            ">1 finding</a>",
            "1\u{202f}234",
            "90 of 60",
            "over the threshold",
            "/partitions?range=24h",
        ] {
            assert!(html.contains(told), "{told}: {html}");
        }
        for hostile in ["<script>alert", "\u{202e}"] {
            assert!(!html.contains(hostile), "{html}");
        }
    }

    #[test]
    fn a_partition_leads_to_its_table() {
        let page = page_of(partition("2024").now, Vec::new(), Vec::new());
        let html = page.html("..", "t").unwrap();
        let link = "a partition of <a href=\"../servers/main/shop/tables/a%2Fb/x%22";
        assert!(html.contains(link), "{html}");
        for absent in ["<script>alert", ">Partitions<"] {
            assert!(!html.contains(absent), "{html}");
        }
    }

    #[test]
    fn hostile_names_are_escaped_everywhere() {
        let html = page(vec![point(Some(counts(3, 1 << 20)))])
            .html("..", "t")
            .unwrap();
        assert!(
            !html.contains("<script>alert") && !html.contains('\u{202e}'),
            "{html}"
        );
        assert!(html.contains("among the 50 that took most time"), "{html}");
        for told in ["has no SELECT on it", "Without 1 index whose definition"] {
            assert!(html.contains(told), "{told}: {html}");
        }
        assert!(html.contains("/statements/0123456789abcdef?range=7d"), "{html}");
        assert!(!html.contains(" style="));
    }

    #[test]
    fn the_last_vacuum_is_marked_where_it_lies_within() {
        let mut table = TableNow {
            last_vacuum_at: Some(sample::now() + chrono::TimeDelta::seconds(30)),
            last_analyze_at: Some(sample::now() - chrono::TimeDelta::days(9)),
            ..TableNow::default()
        };
        let history = vec![point(Some(counts(3, 1 << 20)))];
        let of = |table: &TableNow| page_of(table.clone(), history.clone(), Vec::new());
        let page = of(&table);
        assert_eq!(page.changes.len(), 1);
        assert!(page.charts.iter().all(|(_, chart)| chart.marks.len() == 1));
        assert_eq!(page.lines()[0].change, Some("vacuumed for the last time"));
        assert!(
            page.html("..", "t")
                .unwrap()
                .contains("<td colspan=\"8\">vacuumed for the last time</td>")
        );
        let restarted = |seconds: i64| Change {
            at: sample::now() + chrono::TimeDelta::seconds(seconds),
            what: "the server was started".to_owned(),
        };
        let page = of(&table).with_changes(vec![restarted(40), restarted(-40), restarted(-90_000)]);
        assert_eq!(page.changes.len(), 3, "one was before the range that is drawn");
        assert!(page.charts.iter().all(|(_, chart)| chart.marks.len() == 3));
        assert_eq!(page.lines()[0].change, Some("the server was started"));
        table.last_vacuum_at = None;
        assert!(of(&table).changes.is_empty(), "what is not known is not marked");
    }

    #[test]
    fn the_sentence_tells_what_happened_or_that_it_is_not_known() {
        let seen = page(vec![
            point(None),
            point(Some(counts(3, 1 << 20))),
            point(Some(counts(4, 3 << 20))),
        ]);
        assert_eq!(
            seen.sentence(),
            "It holds 3.0 MiB. In the last 7 days it grew by 2.0 MiB, 7 rows were written, and 2 scans read it as a whole."
        );
        assert_eq!(seen.lines().len(), 2);
        assert_eq!(seen.counts.bytes, 3 << 20, "as it is at the end");
        let once = page(vec![point(Some(counts(4, 3 << 20)))]);
        assert_eq!(
            once.sentence(),
            "It holds 3.0 MiB. In the last 7 days 4 rows were written, and 1 scan read it as a whole.",
            "how large it was before is not known"
        );
        let before = |bytes: u64| once.clone().with_size_before(Some(bytes)).sentence();
        assert!(before(1 << 20).contains("In the last 7 days it grew by 2.0 MiB, 4 rows"));
        assert!(before(3 << 20).contains("In the last 7 days it did not grow, 4 rows"));
        let new = page(vec![]).sentence();
        assert!(new.contains("is told from the second look on"), "{new}");
        let unseen = page(vec![point(None)]);
        assert!(unseen.sentence().ends_with("is not known of the last 7 days."));
        assert!(unseen.charts[0].1.bars.iter().all(|bar| bar.is_gap));
    }
}

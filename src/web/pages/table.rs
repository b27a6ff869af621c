//! `/servers/{server}/{database}/tables/{schema}/{name}`: what happens to this table, and who touches it?

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::columns::Columns;
use super::filters;
use super::frame::{Frame, Section, framed};
use super::history_chart::{Change, HistoryChart, Line, Measure, lines, per_minute, total, within};
use super::indexes::IndexLine;
use super::present;
use super::range::Range;
use super::relations::growth;
use super::tables::{DeadRows, kind_name};
use super::tabs::{Tab, View};
use crate::model::column::ColumnNow;
use crate::model::finding::Finding;
use crate::model::history::{HistoryPoint, StatementTotal, TableCounts};
use crate::model::relation::TableNow;
use crate::model::unit::{bytes_for_people, count_for_people, seconds_for_people};

const WRITTEN: Measure<TableCounts> = Measure {
    name: "rows written a minute",
    value: |counts, seconds| (counts.written() > 0).then(|| per_minute(counts.written(), seconds)),
    told: |value| format!("{} rows a minute", present::number(value)),
    nothing: "nothing was written",
};

const SEQUENTIAL: Measure<TableCounts> = Measure {
    name: "sequential scans a minute",
    value: |counts, seconds| {
        (counts.sequential_scans > 0).then(|| per_minute(counts.sequential_scans, seconds))
    },
    told: |value| format!("{} scans a minute", present::number(value)),
    nothing: "no sequential scan",
};

const BY_INDEX: Measure<TableCounts> = Measure {
    name: "index scans a minute",
    value: |counts, seconds| (counts.index_scans > 0).then(|| per_minute(counts.index_scans, seconds)),
    told: |value| format!("{} scans a minute", present::number(value)),
    nothing: "no index scan",
};

const SIZE: Measure<TableCounts> = Measure {
    name: "size",
    value: |counts, _| (counts.bytes > 0).then_some(counts.bytes as f64),
    told: bytes_for_people,
    nothing: "empty",
};

const DEAD: Measure<TableCounts> = Measure {
    name: "dead rows",
    value: |counts, _| (counts.dead_rows > 0).then_some(counts.dead_rows as f64),
    told: |value| format!("{} dead rows", count_for_people(value)),
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
    /// What happened to it over the range.
    pub counts: TableCounts,
    /// What happened to it, oldest first; a point without counts is time in which nobody looked.
    pub history: Vec<HistoryPoint<TableCounts>>,
    /// When VACUUM and ANALYZE last worked on it, where that lies within.
    pub changes: Vec<Change>,
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

/// The last work of VACUUM and ANALYZE: of what came before nobody knows when it was.
fn maintained(table: &TableNow) -> Vec<Change> {
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
    /// The page from what the store knows; of the statements, with how many they were chosen from.
    pub fn build(
        now: DateTime<Utc>,
        (server, database): (String, String),
        range: Range,
        (table, history): (TableNow, Vec<HistoryPoint<TableCounts>>),
        (indexes, columns, statistics_unknown_because): (Vec<IndexLine>, Vec<ColumnNow>, Option<String>),
        (statements, statements_looked_through): (Vec<StatementTotal>, usize),
        findings: Vec<Finding>,
    ) -> Self {
        let changes = within(&history, maintained(&table));
        let chart = |measure| HistoryChart::of(&history, measure).marked(&history, &changes);
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
            history,
            changes,
            indexes,
            statements,
            statements_looked_through,
            findings,
        }
    }

    fn sentence(&self) -> String {
        let size = bytes_for_people(self.table.bytes as f64);
        let range = self.range.name();
        let first = self.history.iter().find_map(|point| point.counts);
        let Some(first) = first else {
            return format!("It holds {size}; what happened to it is not known of the last {range}.");
        };
        let grew = match growth(self.table.bytes, Some(first.bytes)) {
            Some(bytes) if bytes > 0.0 => format!("grew by {}", bytes_for_people(bytes)),
            _ => "did not grow".to_owned(),
        };
        format!(
            "It holds {size}. In the last {range} it {grew}, {} written, and {} read it as a whole.",
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

    fn kind(&self) -> Option<&'static str> {
        kind_name(self.table.kind)
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::column_statistics::Sample;
    use crate::model::history::StatementCounts;
    use crate::model::relation::{IndexNow, IndexTotal};
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
            sample: Some(Sample::NotReadable),
        };
        let findings = vec![sample::finding("vacuum.dead_tuples", sample::HOSTILE)];
        let place = ("main".to_owned(), sample::HOSTILE.to_owned());
        let indexes = IndexLine::list(("main", sample::HOSTILE), Range::Week, vec![index], &findings);
        TablePage::build(
            sample::now(),
            place,
            Range::Week,
            (table, history),
            (indexes, vec![column], None),
            (vec![statement], 50),
            findings,
        )
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
        let of = |table: &TableNow| {
            TablePage::build(
                sample::now(),
                Default::default(),
                Range::Day,
                (table.clone(), history.clone()),
                Default::default(),
                Default::default(),
                Vec::new(),
            )
        };
        let page = of(&table);
        assert_eq!(page.changes.len(), 1);
        assert!(page.charts.iter().all(|(_, chart)| chart.marks.len() == 1));
        assert_eq!(page.lines()[0].change, Some("vacuumed for the last time"));
        assert!(
            page.html("..", "t")
                .unwrap()
                .contains("<td colspan=\"8\">vacuumed for the last time</td>")
        );
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
        let unseen = page(vec![point(None)]);
        assert!(unseen.sentence().ends_with("is not known of the last 7 days."));
        assert!(unseen.charts[0].1.bars.iter().all(|bar| bar.is_gap));
    }
}

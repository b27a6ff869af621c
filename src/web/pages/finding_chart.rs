//! What a finding is about, over the last week: a part of its page.

use super::history_chart::{Change, HistoryChart, Measure, within};
use super::present;
use super::range::Range;
use super::tabs::View;
use super::{index, statement, table};
use crate::model::finding::{Object, Window};
use crate::model::history::{Counts, HistoryPoint, IndexCounts, StatementCounts, TableCounts};

/// The time that is shown.
pub const SHOWN: Range = Range::Week;
/// Changes that are told in words.
const CHANGES: usize = 5;

/// What happened to the object of a finding.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum ObjectHistory {
    Statement(Vec<HistoryPoint<StatementCounts>>),
    Table(Vec<HistoryPoint<TableCounts>>),
    Index(Vec<HistoryPoint<IndexCounts>>),
}

/// The object of a finding over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectCharts {
    /// The pictures; none where nothing is known of it.
    pub charts: Vec<(&'static str, HistoryChart)>,
    /// What is marked in them, the newest first.
    pub changes: Vec<Change>,
    /// The page about it.
    pub path: String,
}

/// The pictures of a history; none where nobody looked at all.
fn drawn<C: Counts>(
    points: &[HistoryPoint<C>],
    measures: &[(&'static str, &Measure<C>)],
    window: Option<Window>,
    changes: &[Change],
) -> Vec<(&'static str, HistoryChart)> {
    if points.iter().all(|point| point.counts.is_none()) {
        return Vec::new();
    }
    let chart = |(name, measure): &(&'static str, &Measure<C>)| {
        let chart = HistoryChart::of(points, measure);
        let chart = match window {
            Some(window) => chart.shaded(points, window),
            None => chart,
        };
        (*name, chart.marked(points, changes))
    };
    measures.iter().map(chart).collect()
}

impl ObjectCharts {
    /// Draws it, with the time of the evidence shaded and what happened to the server marked.
    pub fn of(
        (server, database): (&str, &str),
        object: &Object,
        history: &ObjectHistory,
        window: Option<Window>,
        changes: Vec<Change>,
    ) -> Self {
        let schema = object.schema.as_deref().unwrap_or_default();
        let (charts, mut changes, path) = match history {
            ObjectHistory::Statement(points) => {
                let changes = within(points, changes);
                let measures = [("Time of a call", &statement::MEAN), ("Load", &statement::LOAD)];
                let list = View::Statements.path(server, database);
                let path = format!("{list}/{}", present::url_part(&object.name));
                (drawn(points, &measures, window, &changes), changes, path)
            }
            ObjectHistory::Table(points) => {
                let changes = within(points, changes);
                let measures = [
                    ("Dead rows", &table::DEAD),
                    ("Size", &table::SIZE),
                    ("Sequential scans", &table::SEQUENTIAL),
                ];
                let path = View::Tables.path_of(server, database, schema, &object.name);
                (drawn(points, &measures, window, &changes), changes, path)
            }
            ObjectHistory::Index(points) => {
                let changes = within(points, changes);
                let measures = [("Scans", &index::SCANS), ("Size", &index::SIZE)];
                let path = View::Indexes.path_of(server, database, schema, &object.name);
                (drawn(points, &measures, window, &changes), changes, path)
            }
        };
        changes.reverse();
        changes.truncate(CHANGES);
        Self {
            charts,
            changes,
            path: format!("{path}?range={}", SHOWN.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::ObjectKind;
    use crate::web::pages::finding::FindingPage;
    use crate::web::pages::{frame::Page, sample};
    use chrono::TimeDelta;

    fn history(dead_rows: &[Option<u64>]) -> ObjectHistory {
        let hours = dead_rows.len() as i64;
        let point = |(hour, dead_rows): (i64, &Option<u64>)| HistoryPoint {
            from: sample::now() - TimeDelta::hours(hours - hour),
            length_seconds: 3600.0,
            seen_seconds: 3600.0,
            counts: dead_rows.map(|dead_rows| TableCounts {
                dead_rows,
                bytes: 8192,
                sequential_scans: 1,
                ..TableCounts::default()
            }),
        };
        ObjectHistory::Table((0..).zip(dead_rows).map(point).collect())
    }

    fn charts(history: &ObjectHistory) -> ObjectCharts {
        let finding = sample::finding("vacuum.dead_tuples", sample::HOSTILE);
        let change = |hours: i64| Change {
            at: sample::now() - TimeDelta::hours(hours),
            what: "the server was started".to_owned(),
        };
        let claim = finding.claim;
        let object = claim.object.unwrap();
        assert_eq!(object.kind, ObjectKind::Table);
        let place = (claim.server.as_str(), sample::HOSTILE);
        ObjectCharts::of(
            place,
            &object,
            history,
            claim.evidence_window,
            vec![change(2), change(99)],
        )
    }

    #[test]
    fn the_page_of_a_finding_shows_its_object_with_the_time_of_the_evidence_shaded() {
        // the evidence is that of the last six hours
        let seen = charts(&history(&[Some(5); 12]));
        assert_eq!(seen.charts.len(), 3);
        for (name, chart) in &seen.charts {
            let shade = chart.shade.as_ref().map(|shade| (shade.x, shade.width));
            assert_eq!(shade, Some((360.0, 360.0)), "{name}");
            assert_eq!(chart.marks.len(), 1, "{name}");
        }
        assert_eq!(seen.changes.len(), 1);
        let page = |objects| {
            let finding = sample::finding("vacuum.dead_tuples", sample::HOSTILE);
            let page = FindingPage::build(sample::now(), finding, vec![], "t").with_object(objects);
            page.html("..", "t").unwrap()
        };
        let html = page(seen);
        assert!(
            !html.contains("<script>alert") && !html.contains(">\u{2066}"),
            "{html}"
        );
        assert_eq!(html.matches("class=\"shade\"").count(), 3, "{html}");
        assert_eq!(html.matches("the server was started").count(), 4, "{html}");
        assert!(html.contains("?range=7d"), "{html}");
        assert_eq!(
            html.matches("/tables/public/").count(),
            2,
            "its name leads to it, too: {html}"
        );
        let unseen = charts(&history(&[None, None]));
        assert!(unseen.charts.is_empty());
        assert!(
            !page(unseen).contains("class=\"bars\""),
            "nothing is drawn of nothing"
        );
    }
}

//! A picture of a range of time with what it says in a sentence, and with the table behind it.

use chrono::{DateTime, Utc};

use super::history_chart::{HistoryChart, Mark};
use super::load::rounded;
use super::present;
use super::wait_chart::{REST, WaitChart};
use crate::model::database_load::DatabaseLoad;
use crate::model::history::{WaitKey, WaitPoint};

/// Lines of a table: the JSON has all of them.
const LINES: usize = 200;

/// What is drawn, as numbers: a line for each part of the time that is known, the newest first.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct ChartTable {
    pub columns: Vec<String>,
    pub rows: Vec<ChartRow>,
    /// Lines that are left out.
    pub cut: usize,
}

/// Some time.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct ChartRow {
    pub from: DateTime<Utc>,
    /// A cell for each column.
    pub cells: Vec<String>,
}

/// A picture: bars, or areas that stand on each other.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Picture {
    /// The word of it in the page's own addresses.
    pub id: &'static str,
    pub name: &'static str,
    /// What is drawn, and in which unit.
    pub unit: &'static str,
    pub sentence: String,
    pub bars: HistoryChart,
    pub areas: WaitChart,
    /// The lines in the areas; bars have their own.
    pub marks: Vec<Mark>,
    /// The highest of the areas.
    pub most: String,
    pub table: ChartTable,
}

impl ChartTable {
    /// The table of what is known, which comes oldest first.
    pub fn of(columns: &[&str], known: impl Iterator<Item = (DateTime<Utc>, Vec<String>)>) -> Self {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        Self::named(columns, known)
    }

    fn named(columns: Vec<String>, known: impl Iterator<Item = (DateTime<Utc>, Vec<String>)>) -> Self {
        let mut rows: Vec<ChartRow> = known.map(|(from, cells)| ChartRow { from, cells }).collect();
        rows.reverse();
        let cut = rows.len().saturating_sub(LINES);
        rows.truncate(LINES);
        Self { columns, rows, cut }
    }

    /// Sessions executing by database.
    pub fn of_databases(load: &DatabaseLoad) -> Self {
        let mut columns = load.databases.clone();
        columns.push("all others".to_owned());
        let known = load.points.iter().filter_map(|point| {
            let all = point.seconds?;
            let named: f64 = point.database_seconds.iter().sum();
            let seconds = point
                .database_seconds
                .iter()
                .copied()
                .chain([(all - named).max(0.0)]);
            let cells = seconds.map(|seconds| decimals(seconds / point.seen_seconds.max(1e-3)));
            Some((point.from, cells.collect()))
        });
        Self::named(columns, known)
    }

    /// Average active sessions by what they did, in the columns of a picture of them.
    pub fn of_waits(points: &[WaitPoint], chart: &WaitChart) -> Self {
        let column = |event: &str| {
            let place = |wanted: &dyn Fn(&str, &str) -> bool| {
                let mut series = chart.series.iter();
                series.position(|one| wanted(one.tone, &one.name))
            };
            match event {
                WaitKey::CPU => place(&|tone, _| tone == "work"),
                event => {
                    place(&|tone, name| tone != REST && name == event).or(place(&|tone, _| tone == REST))
                }
            }
        };
        let known = points.iter().filter_map(|point| {
            let sessions = point.sessions.as_ref().filter(|_| point.samples > 0)?;
            let mut sums = vec![0_u64; chart.series.len()];
            for (event, number) in sessions {
                if let Some(place) = column(event) {
                    sums[place] += number;
                }
            }
            let mean = |sum: u64| decimals(sum as f64 / point.samples as f64);
            Some((point.from, sums.into_iter().map(mean).collect()))
        });
        let columns = chart.series.iter().map(|one| one.name.clone()).collect();
        Self::named(columns, known)
    }
}

/// With two decimals at most, and never as 0 what is more.
fn decimals(value: f64) -> String {
    match value > 0.0 && value < 0.01 {
        true => rounded(value),
        false => present::number((value * 100.0).round() / 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::server_change::ServerChangeKind;
    use crate::model::server_point::{ServerCounts, ServerPoint};
    use crate::web::pages::database_load::tests::three_hours;
    use crate::web::pages::frame::Page as _;
    use crate::web::pages::load::PARTS;
    use crate::web::pages::server::ServerPage;
    use crate::web::pages::server::tests::{facts, line};
    use crate::web::pages::server_facts::Facts;
    use crate::web::pages::{changes, sample};
    use chrono::TimeDelta;

    fn cells(table: &ChartTable) -> Vec<Vec<&str>> {
        let rows = table.rows.iter();
        rows.map(|row| row.cells.iter().map(String::as_str).collect())
            .collect()
    }

    #[test]
    fn what_is_not_known_has_no_line_and_the_newest_is_the_first() {
        let table = ChartTable::of_databases(&three_hours("shop"));
        assert_eq!(table.columns, ["shop", "CPU", "all others"]);
        assert_eq!(cells(&table), [["0.5", "0", "0"], ["1.5", "0.25", "0.25"]]);
        assert!(table.rows[0].from > table.rows[1].from);
        let many = (0..250).map(|hour| (sample::now() + TimeDelta::hours(hour), Vec::new()));
        let table = ChartTable::of(&["a"], many);
        assert_eq!((table.rows.len(), table.cut), (LINES, 50));
    }

    #[test]
    fn waits_stand_in_the_columns_of_their_picture() {
        let point = |hour: i64, seen: Option<&[(&str, u64)]>| WaitPoint {
            from: sample::now() + TimeDelta::hours(hour),
            length_seconds: 3600.0,
            samples: if seen.is_some() { 10 } else { 0 },
            sessions: seen.map(|seen| {
                let owned = |(event, sessions): &(&str, u64)| ((*event).to_owned(), *sessions);
                seen.iter().map(owned).collect()
            }),
        };
        let points = [
            point(0, Some(&[("CPU", 10), ("IO: WALSync", 25)])),
            point(1, None),
            point(2, Some(&[("CPU", 20), (WaitKey::OTHERS, 5)])),
        ];
        let table = ChartTable::of_waits(&points, &WaitChart::of(&points));
        assert_eq!(table.columns, ["at work (CPU)", "IO: WALSync", "everything else"]);
        assert_eq!(cells(&table), [["2", "0", "0.5"], ["1", "2.5", "0"]]);
    }

    #[test]
    fn what_was_seen_over_time_is_drawn_with_its_table_and_told_in_json() {
        let look = |minutes_ago: i64, clients: i64| ServerPoint {
            at: sample::now() - TimeDelta::minutes(minutes_ago),
            length_seconds: 900.0,
            checkpoints_seconds: Some(900.0),
            counts: ServerCounts {
                clients: Some(clients),
                connections_limit: Some(97),
                checkpoints_timed: Some(1),
                checkpoints_requested: Some(3),
                replay_lag_seconds: Some(75.0),
                ..ServerCounts::default()
            },
        };
        let told = Facts {
            over_time: vec![look(15, 96), look(0, 8)],
            changes: vec![changes::tests::change(ServerChangeKind::Restarted, None, 60)],
            ..facts("main", vec![line("main", false)])
        };
        let page = ServerPage::build(sample::now(), told).unwrap();
        let html = page.clone().html("..", "t").unwrap();
        for seen in [
            "At most 96 clients at once, in the 15 min from 2026-11-21 13:30 UTC",
            "<path class=\"promise\"",
            "id=\"table-connections\"",
            "2 by time (checkpoint_timeout) and 6 that somebody",
            "The standby that was farthest behind was behind by at most 1 min 15 s",
            "No load is known of that time.",
        ] {
            assert!(html.contains(seen), "{seen}: {html}");
        }
        assert!(html.contains("at most 4 checkpoints"), "of one step");
        assert_eq!(
            html.matches("class=\"mark\"").count(),
            3,
            "in each picture that is drawn"
        );
        assert_eq!(html.matches("<summary>As a table").count(), 3, "of what is known");
        let json = serde_json::to_value(&page).unwrap();
        let parts = json["over_time"].as_array().unwrap();
        assert_eq!(parts.len(), PARTS);
        assert_eq!(parts[PARTS - 2]["clients"], 96);
        assert!(parts[0]["clients"].is_null() && parts[PARTS - 1]["cache_hit_ratio"].is_null());
    }
}

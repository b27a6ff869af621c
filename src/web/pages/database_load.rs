//! How busy the databases of a server were over a range of time: a part of its page.

use chrono::{DateTime, TimeDelta, Utc};

use super::history_chart::{Change, Mark, marks, marks_told};
use super::wait_chart::{REST, WaitChart};
use crate::limits;
use crate::model::database_load::{DatabaseLoad, DatabaseLoadPoint};
use crate::model::history::{WaitKey, WaitPoint};
use crate::model::status::LoadPoint;

/// How databases are coloured, the busiest first: red is for what is wrong.
const TONES: [&str; limits::DATABASES_DRAWN] = ["wait-2", "wait-6", "wait-5", "wait-7", "wait-4"];

/// The load as areas, one above the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatabaseLoadChart {
    /// An area for each database, and one for all others.
    pub areas: WaitChart,
    /// What changed meanwhile.
    pub marks: Vec<Mark>,
}

/// A point as the picture takes it: thousandths of seconds of execution, in as many thousandths of seconds.
fn drawn(point: &DatabaseLoadPoint) -> WaitPoint {
    let thousandths = |seconds: f64| (seconds * 1000.0).round() as u64;
    let parts = |all: f64| {
        let named: f64 = point.database_seconds.iter().sum();
        let databases = point.database_seconds.iter().enumerate();
        // a database may have any name, a number is only itself
        databases
            .map(|(position, seconds)| (position.to_string(), thousandths(*seconds)))
            .chain([(WaitKey::OTHERS.to_owned(), thousandths((all - named).max(0.0)))])
            .filter(|(_, thousandths)| *thousandths > 0)
            .collect()
    };
    WaitPoint {
        from: point.from,
        length_seconds: point.length_seconds,
        samples: thousandths(point.seen_seconds),
        sessions: point.seconds.map(parts),
    }
}

/// The points over all of a range and no more of them: before the first and after the last is time in which nobody looked.
fn over(load: &DatabaseLoad, (from, to): (DateTime<Utc>, DateTime<Utc>)) -> Vec<WaitPoint> {
    let seconds = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).num_milliseconds() as f64 / 1000.0;
    let gap = |from, to| WaitPoint {
        from,
        length_seconds: seconds(from, to),
        samples: 0,
        sessions: None,
    };
    let mut points = Vec::with_capacity(load.points.len() + 2);
    let mut told_to = from;
    for point in &load.points {
        let begin = point.from.max(told_to);
        let end = point.from + TimeDelta::milliseconds((point.length_seconds * 1000.0) as i64);
        let end = end.min(to);
        if end <= begin {
            continue;
        }
        if begin > told_to {
            points.push(gap(told_to, begin));
        }
        points.push(WaitPoint {
            from: begin,
            length_seconds: seconds(begin, end),
            ..drawn(point)
        });
        told_to = end;
    }
    if to > told_to {
        points.push(gap(told_to, to));
    }
    points
}

impl DatabaseLoadChart {
    /// Draws the load of a range of time with a line for each of the changes that lies within.
    pub fn of(load: &DatabaseLoad, range: (DateTime<Utc>, DateTime<Utc>), changes: &[Change]) -> Self {
        if load.points.is_empty() {
            return Self::default();
        }
        let points = over(load, range);
        let name = |tone: &'static str, position: String| {
            let database = position
                .parse::<usize>()
                .ok()
                .and_then(|at| load.databases.get(at));
            match (tone, database) {
                (REST, _) | (_, None) => "all other databases".to_owned(),
                (_, Some(name)) => name.clone(),
            }
        };
        let mut areas = WaitChart::named(&points, "sessions executing, by database,", name);
        let named = areas.series.iter_mut().filter(|one| one.tone != REST);
        for (one, tone) in named.zip(TONES) {
            one.tone = tone;
        }
        let (from, to) = range;
        let seconds = (to - from).num_milliseconds() as f64 / 1000.0;
        let marks = marks((from, seconds), changes);
        areas.label.push_str(&marks_told(&marks));
        Self { areas, marks }
    }
}

/// The load of all databases together, in the words of a server's load: each point tells the mean since the one before. Of an
/// hour that was seen in part that part is its end where nobody looked before, else its beginning; none is later than now.
pub(super) fn load_points(now: DateTime<Utc>, load: &DatabaseLoad) -> Vec<LoadPoint> {
    let after = |seconds: f64| TimeDelta::milliseconds((seconds * 1000.0) as i64);
    let mut told = Vec::with_capacity(3 * load.points.len());
    let mut was_seen = false;
    for point in &load.points {
        let end = (point.from + after(point.length_seconds)).min(now);
        let seen = after(point.seen_seconds).min(end - point.from);
        let known = point
            .seconds
            .map(|seconds| seconds / point.seen_seconds.max(1e-3));
        let (begin, until) = match was_seen {
            true => (point.from, point.from + seen),
            false => (end - seen, end),
        };
        told.push((begin, None));
        told.push((until, known));
        told.push((end, None));
        was_seen = known.is_some();
    }
    let mut points: Vec<LoadPoint> = Vec::with_capacity(told.len());
    for (at, load_sessions) in told {
        // what takes no time tells nothing
        if points.last().is_none_or(|last| at > last.at) {
            points.push(LoadPoint { at, load_sessions });
        }
    }
    points
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::web::pages::load::known_from;
    use crate::web::pages::sample;

    /// Three hours of a day ago; nobody looked in the second.
    pub(in crate::web::pages) fn three_hours(name: &str) -> DatabaseLoad {
        let point = |hour: i64, seconds: Option<f64>, database_seconds: Vec<f64>| DatabaseLoadPoint {
            from: sample::now() - TimeDelta::hours(24 - hour),
            length_seconds: 3600.0,
            seen_seconds: if seconds.is_some() { 1800.0 } else { 0.0 },
            seconds,
            database_seconds,
        };
        DatabaseLoad {
            databases: vec![name.to_owned(), WaitKey::CPU.to_owned()],
            points: vec![
                point(0, Some(3600.0), vec![2700.0, 450.0]),
                point(1, None, Vec::new()),
                point(2, Some(900.0), vec![900.0, 0.0]),
            ],
        }
    }

    #[test]
    fn databases_are_areas_by_their_own_names_and_others_are_one() {
        let change = |hour: i64| Change {
            at: sample::now() - TimeDelta::hours(hour),
            what: "the server was started".to_owned(),
        };
        let ago = |hours: i64| sample::now() - TimeDelta::hours(hours);
        let three = (ago(24), ago(21));
        let chart = DatabaseLoadChart::of(&three_hours("shop"), three, &[change(23), change(2)]);
        let told: Vec<(&str, &str, f64)> = chart
            .areas
            .series
            .iter()
            .map(|one| (one.tone, one.name.as_str(), one.share_ratio))
            .collect();
        assert_eq!(
            told,
            [
                ("wait-2", "shop", 0.8),
                ("wait-6", "CPU", 0.1),
                ("rest", "all other databases", 0.1),
            ]
        );
        assert_eq!(
            chart.areas.greatest, "2",
            "sessions, of the time that was looked at"
        );
        assert_eq!(chart.areas.gaps, "M240.0 0.0h240.0v120.0h-240.0z");
        let marks: Vec<f64> = chart.marks.iter().map(|mark| mark.x).collect();
        assert_eq!(marks, [240.0], "the other one is later");
        assert!(chart.areas.label.ends_with("; 1 change is marked"));
        let nothing = DatabaseLoadChart::of(&DatabaseLoad::default(), three, &[change(23)]);
        assert_eq!(nothing, DatabaseLoadChart::default());
        let of_a_day = DatabaseLoadChart::of(&three_hours("shop"), (ago(24), ago(0)), &[change(12)]);
        assert_eq!(
            of_a_day.areas.gaps, "M30.0 0.0h30.0v120.0h-30.0zM90.0 0.0h630.0v120.0h-630.0z",
            "it is drawn over all of the range"
        );
        assert_eq!(of_a_day.marks[0].x, 360.0);
        let last_two = over(&three_hours("shop"), (ago(23), ago(21)));
        assert_eq!(last_two.len(), 2, "what is before the range is left out");
    }

    #[test]
    fn the_load_of_all_is_told_as_that_of_the_server_and_a_gap_is_a_gap() {
        let points = load_points(sample::now(), &three_hours("shop"));
        let told: Vec<Option<f64>> = points.iter().map(|point| point.load_sessions).collect();
        assert_eq!(told, [None, Some(2.0), None, None, Some(0.5)]);
        let from = sample::now() - TimeDelta::hours(24);
        let begins: Vec<i64> = points
            .iter()
            .map(|point| (point.at - from).num_minutes())
            .collect();
        assert_eq!(
            begins,
            [30, 60, 120, 150, 180],
            "half of an hour was seen, its end"
        );
        // the hour that goes on is seen up to now
        let now = from + TimeDelta::minutes(155);
        let points = load_points(now, &three_hours("shop"));
        assert_eq!(points.last().map(|point| point.at), Some(now));
        assert_eq!(known_from(&points), Some(from + TimeDelta::minutes(30)));
    }
}

//! The load of a server over a range of time as a picture.

use super::history_chart::{Change, HistoryChart};
use super::load::{LOAD, LoadPart, SCALE_SESSIONS, mean, rounded};
use super::picture::{ChartTable, Picture};
use super::present;
use super::told_time::{KnownTime, highest};
use crate::model::history::{HistoryPoint, StatementCounts};
use crate::model::unit::seconds_for_people;

/// Where less than this share of the time is known, a mean says of how much it is.
const MOSTLY_KNOWN: f64 = 0.95;

/// The load, as it is told by its parts.
pub(super) fn load(
    parts: &[LoadPart],
    points: &[HistoryPoint<StatementCounts>],
    changes: &[Change],
    known: KnownTime,
) -> Picture {
    let rows = parts
        .iter()
        .filter_map(|part| Some((part.from, vec![rounded(part.load_sessions?)])));
    let bars = match highest(parts, |part| part.load_sessions) {
        None => HistoryChart::default(),
        Some((_, most)) => HistoryChart::of(points, &LOAD)
            .lowered(most / SCALE_SESSIONS)
            .marked(points, changes),
    };
    Picture {
        id: "load",
        name: "Load",
        unit: "sessions executing statements; a long call is told where it ran, once it has ended",
        sentence: sentence(parts, known),
        bars,
        table: ChartTable::of(&["Sessions executing"], rows),
        ..Picture::default()
    }
}

fn sentence(parts: &[LoadPart], known: KnownTime) -> String {
    let Some((part, most)) = highest(parts, |part| part.load_sessions) else {
        return "No load is known of that time.".to_owned();
    };
    let mean = mean(parts).unwrap_or_default();
    let whole: f64 = parts.iter().map(|part| part.length_seconds).sum();
    let seen = parts.iter().filter(|part| part.load_sessions.is_some());
    let since_first = |part: &LoadPart| known.of(part.from, part.length_seconds).1;
    let seen_seconds: f64 = seen.map(|part| part.seen_seconds.min(since_first(part))).sum();
    let of_what = match seen_seconds < MOSTLY_KNOWN * whole {
        true => format!(
            "In the {} of it that are known, on average",
            seconds_for_people(seen_seconds)
        ),
        false => "On average".to_owned(),
    };
    format!(
        "{of_what} {}, at most {} {}.",
        present::amount(rounded(mean), "session executes", "sessions execute"),
        rounded(most),
        known.when(part.from, part.length_seconds)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::load::history;
    use crate::web::pages::sample;
    use chrono::TimeDelta;

    fn part(minutes_ago: i64, load_sessions: Option<f64>) -> LoadPart {
        LoadPart {
            from: sample::now() - TimeDelta::minutes(minutes_ago),
            length_seconds: 900.0,
            seen_seconds: load_sessions.map_or(0.0, |_| 900.0),
            load_sessions,
        }
    }

    #[test]
    fn a_mean_of_a_part_of_the_time_says_so() {
        let told = |load: [Option<f64>; 2]| {
            let parts = [part(30, load[0]), part(15, load[1])];
            sentence(&parts, KnownTime::default())
        };
        assert!(told([Some(2.0), Some(4.0)]).starts_with("On average 3 sessions execute"));
        let half = told([None, Some(4.0)]);
        let expected = "In the 15 min of it that are known, on average 4 sessions execute";
        assert!(half.starts_with(expected), "{half}");
        assert_eq!(told([None, None]), "No load is known of that time.");
    }

    #[test]
    fn the_time_before_the_first_look_is_not_told() {
        let first = sample::now() - TimeDelta::minutes(5);
        let told = sentence(
            &[part(30, None), part(15, Some(0.02))],
            KnownTime::since(Some(first)),
        );
        assert_eq!(
            told,
            "In the 5 min of it that are known, on average 0.02 sessions execute, at most 0.02 in the 5 min from \
             2026-11-21 13:55 UTC."
        );
    }

    #[test]
    fn of_a_part_counts_what_was_seen_of_it() {
        let mut half = part(30, Some(4.0));
        half.seen_seconds = 300.0;
        let told = sentence(&[half, part(15, Some(1.0))], KnownTime::default());
        let expected = "In the 20 min of it that are known, on average 1.8 sessions execute, at most 4 ";
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn an_idle_server_does_not_look_busy() {
        let heights = |load: f64| -> Vec<f64> {
            let parts = [part(30, Some(load)), part(15, Some(load / 2.0))];
            let picture = super::load(&parts, &history(&parts), &[], KnownTime::default());
            picture.bars.bars.iter().map(|bar| bar.height.round()).collect()
        };
        assert_eq!(heights(8.0), [116.0, 58.0]);
        assert_eq!(heights(0.05), [58.0, 29.0]);
    }
}

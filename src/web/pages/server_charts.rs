//! Connections, cache, checkpoints and replication of a server over a range of time as pictures: a part of its page.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::history_chart::{Change, HistoryChart, Mark, Measure, marks, marks_told};
use super::load::rounded;
use super::picture::{ChartTable, Picture};
use super::present;
use super::server_parts::ServerPart;
use super::told_time::{KnownTime, highest};
use super::wait_chart::WaitChart;
use crate::model::history::{Counts, HistoryPoint, WaitPoint};
use crate::model::unit::{bytes_for_people, seconds_for_people};

/// What is said of a part in which a number is not known, whether nobody looked or it could not be read.
const GAP: &str = "it is not known";
const BY_TIME: &str = "by time";
const REQUESTED: &str = "asked for, or forced by max_wal_size";

/// One number as the picture takes it, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Thousandths(u64);

impl Counts for Thousandths {
    const NUMBERS: usize = 1;

    fn numbers(&self) -> impl Iterator<Item = u64> {
        [self.0].into_iter()
    }

    fn of(mut next: impl FnMut() -> Option<u64>) -> Option<Self> {
        Some(Self(next()?))
    }

    fn then(self, later: Self) -> Self {
        Self(self.0.max(later.0))
    }

    fn still(last: Option<Self>) -> Option<Self> {
        last
    }
}

/// How a number is drawn.
const fn measure(name: &'static str, told: fn(f64) -> String) -> Measure<Thousandths> {
    Measure {
        name,
        value: |value, _| Some(value.0 as f64 / 1000.0),
        told,
        nothing: GAP,
    }
}

const CLIENTS: Measure<Thousandths> = measure("clients at once", |clients| {
    present::amount(rounded(clients), "client", "clients")
});
const CACHE: Measure<Thousandths> = measure("blocks found in shared_buffers", present::percent);
const LAG: Measure<Thousandths> = measure("time behind", behind);
const LAG_BYTES: Measure<Thousandths> = measure("WAL behind", bytes_for_people);

/// How long replay is behind, for people.
fn behind(seconds: f64) -> String {
    match seconds > 0.0 {
        true => seconds_for_people(seconds),
        false => "0 s".to_owned(),
    }
}

/// Bars of one number; nothing where it is not known at all.
fn bars(
    parts: &[ServerPart],
    measure: &Measure<Thousandths>,
    ceiling: Option<f64>,
    changes: &[Change],
    value: impl Fn(&ServerPart) -> Option<f64>,
) -> HistoryChart {
    let point = |part: &ServerPart| HistoryPoint {
        from: part.from,
        length_seconds: part.length_seconds,
        seen_seconds: part.length_seconds,
        counts: value(part).map(|value| Thousandths((value * 1000.0).round() as u64)),
    };
    let points: Vec<HistoryPoint<Thousandths>> = parts.iter().map(point).collect();
    if points.iter().all(|point| point.counts.is_none()) {
        return HistoryChart::default();
    }
    HistoryChart::below(&points, measure, ceiling)
        .with_gaps_told(GAP)
        .marked(&points, changes)
}

/// What the pictures are told with.
#[derive(Clone, Copy, Default)]
pub(super) struct Told<'a> {
    /// The time of which something is known.
    pub known: KnownTime,
    /// What happened meanwhile.
    pub changes: &'a [Change],
    /// When its checkpoints were read last; none where they never were.
    pub checkpoints_at: Option<DateTime<Utc>>,
    /// A standby makes no checkpoints of its own.
    pub is_standby: bool,
}

/// Connections, cache, checkpoints and lag, part by part.
pub(super) fn pictures(parts: &[ServerPart], told: &Told<'_>) -> Vec<Picture> {
    let mut pictures = vec![connections(parts, told), cache(parts, told)];
    if !told.is_standby {
        pictures.push(checkpoints(parts, told));
    }
    pictures.push(replication(parts, told));
    pictures
}

fn connections(parts: &[ServerPart], told: &Told<'_>) -> Picture {
    let clients = |part: &ServerPart| part.clients.map(|clients| clients as f64);
    let limit = parts.iter().rev().find_map(|part| part.connections_limit);
    let sentence = match highest(parts, clients) {
        None => "How many clients there were is not known of that time.".to_owned(),
        Some((part, most)) => format!(
            "At most {} at once, {}{}.",
            (CLIENTS.told)(most),
            told.known.when(part.from, part.length_seconds),
            limit.map_or(String::new(), |limit| format!(
                "; the line is as many as there can be, {}",
                present::number(limit as f64)
            ))
        ),
    };
    let rows = parts.iter().filter_map(|part| {
        let limit = part.connections_limit.map(|limit| present::number(limit as f64));
        let cells = vec![
            present::number(clients(part)?),
            limit.unwrap_or_else(|| "–".to_owned()),
        ];
        Some((part.from, cells))
    });
    Picture {
        id: "connections",
        name: "Connections over time",
        unit: "clients, the most at once",
        sentence,
        bars: bars(
            parts,
            &CLIENTS,
            limit.map(|limit| limit as f64),
            told.changes,
            clients,
        ),
        table: ChartTable::of(&["Clients", "There can be"], rows),
        ..Picture::default()
    }
}

fn cache(parts: &[ServerPart], told: &Told<'_>) -> Picture {
    let ratio = |part: &ServerPart| part.cache_hit_ratio;
    let sentence = match highest(parts, |part| ratio(part).map(|ratio| -ratio)) {
        None => "How blocks were found is not known of that time.".to_owned(),
        Some((part, least)) => format!(
            "At the least {} of the blocks were found in shared_buffers, {}.",
            present::percent(-least),
            told.known.when(part.from, part.length_seconds)
        ),
    };
    let rows = parts
        .iter()
        .filter_map(|part| Some((part.from, vec![present::percent(ratio(part)?)])));
    Picture {
        id: "cache",
        name: "Cache over time",
        unit: "blocks found in shared_buffers, in per cent",
        sentence,
        bars: bars(parts, &CACHE, Some(1.0), told.changes, ratio),
        table: ChartTable::of(&["Found"], rows),
        ..Picture::default()
    }
}

fn checkpoints(parts: &[ServerPart], told: &Told<'_>) -> Picture {
    let known = || parts.iter().filter_map(|part| Some((part, part.checkpoints()?)));
    let (timed, requested) = known().fold((0_i64, 0_i64), |sum, (_, (timed, requested))| {
        (sum.0.saturating_add(timed), sum.1.saturating_add(requested))
    });
    let length = parts.first().map_or(0.0, |part| part.length_seconds);
    let number = |number: i64| present::number(number as f64);
    let is_within = |at: DateTime<Utc>| parts.first().is_some_and(|first| at >= first.from);
    let sentence = match known().next() {
        None if told.checkpoints_at.is_some_and(is_within) => {
            "How many there are is told from the second look at them on.".to_owned()
        }
        None => "How many there were is not known of that time.".to_owned(),
        Some(_) => format!(
            "{} by time (checkpoint_timeout) and {} that somebody asked for or max_wal_size forced; each step is {}.",
            number(timed),
            number(requested),
            seconds_for_people(length)
        ),
    };
    let rows = known().map(|(part, (timed, requested))| (part.from, vec![number(timed), number(requested)]));
    let (areas, marks) = stacked(parts, told.changes);
    Picture {
        id: "checkpoints",
        name: "Checkpoints over time",
        unit: "checkpoints that were due, by what brought them (skipped where nothing was written)",
        sentence,
        table: ChartTable::of(&["By time", "Asked for"], rows),
        most: areas.most("checkpoint", "checkpoints"),
        areas,
        marks,
        ..Picture::default()
    }
}

/// Checkpoints as areas that stand on each other.
fn stacked(parts: &[ServerPart], changes: &[Change]) -> (WaitChart, Vec<Mark>) {
    let point = |part: &ServerPart| WaitPoint {
        from: part.from,
        length_seconds: part.length_seconds,
        samples: u64::from(part.checkpoints().is_some()),
        sessions: part.checkpoints().map(|(timed, requested)| {
            let named = [(BY_TIME, timed), (REQUESTED, requested)];
            let some = named.into_iter().filter(|(_, number)| *number > 0);
            some.map(|(name, number)| (name.to_owned(), number.unsigned_abs()))
                .collect::<BTreeMap<String, u64>>()
        }),
    };
    let points: Vec<WaitPoint> = parts.iter().map(point).collect();
    let mut areas = WaitChart::named(&points, "checkpoints", |_, name| name);
    for one in &mut areas.series {
        one.tone = match one.name.as_str() {
            BY_TIME => "wait-2",
            _ => "wait-3",
        };
    }
    let whole: f64 = parts.iter().map(|part| part.length_seconds).sum();
    let marks = parts
        .first()
        .map_or_else(Vec::new, |first| marks((first.from, whole), changes));
    areas.label = areas.label.replace("nobody looked", GAP);
    areas.label.push_str(&marks_told(&marks));
    (areas, marks)
}

fn replication(parts: &[ServerPart], told: &Told<'_>) -> Picture {
    let behind_seconds = |part: &ServerPart| part.replay_lag_seconds;
    let behind_bytes = |part: &ServerPart| part.replay_lag_bytes;
    let farthest = (highest(parts, behind_seconds), highest(parts, behind_bytes));
    let who = match told.is_standby {
        true => "It",
        false => "The standby that was farthest behind",
    };
    let sentence = match farthest {
        (None, None) if told.is_standby => "How far behind it was is not known of that time.".to_owned(),
        (None, None) => "No standby of that time is known that told how far behind it was.".to_owned(),
        (seconds, bytes) => {
            let far = |(part, most): (&ServerPart, f64), for_people: fn(f64) -> String, what: &str| {
                let when = told.known.when(part.from, part.length_seconds);
                format!("{}{what} {when}", for_people(most))
            };
            let far = [
                seconds.map(|most| far(most, behind, "")),
                bytes.map(|most| far(most, bytes_for_people, " of WAL")),
            ];
            let far: Vec<String> = far.into_iter().flatten().collect();
            format!("{who} was behind by at most {}.", far.join(", and by at most "))
        }
    };
    let cell = |value: Option<f64>, told: fn(f64) -> String| value.map_or_else(|| "–".to_owned(), told);
    let rows = parts.iter().filter_map(|part| {
        let (seconds, bytes) = (behind_seconds(part), behind_bytes(part));
        let cells = vec![cell(seconds, behind), cell(bytes, bytes_for_people)];
        (seconds.is_some() || bytes.is_some()).then_some((part.from, cells))
    });
    let (unit, bars) = match farthest.0 {
        Some(_) => (
            "time behind, the most",
            bars(parts, &LAG, None, told.changes, behind_seconds),
        ),
        None => (
            "WAL behind, the most",
            bars(parts, &LAG_BYTES, None, told.changes, behind_bytes),
        ),
    };
    Picture {
        id: "lag",
        name: "Replication lag over time",
        unit,
        sentence,
        bars,
        table: ChartTable::of(&["Time behind", "WAL behind"], rows),
        ..Picture::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::server_point::{ServerCounts, ServerPoint};
    use crate::web::pages::load::PARTS;
    use crate::web::pages::range::Range;
    use crate::web::pages::sample;
    use crate::web::pages::server_parts::{known_from, parts};
    use chrono::TimeDelta;

    fn ago(minutes: i64) -> DateTime<Utc> {
        sample::now() - TimeDelta::minutes(minutes)
    }

    /// A look every quarter of an hour, of the last so many; it saw as many clients as it is minutes ago.
    fn looks(number: i64) -> Vec<ServerPoint> {
        let look = |minutes_ago: i64| ServerPoint {
            at: ago(minutes_ago),
            length_seconds: 900.0,
            checkpoints_seconds: None,
            counts: ServerCounts {
                clients: Some(minutes_ago),
                connections_limit: Some(97),
                ..ServerCounts::default()
            },
        };
        (0..number).rev().map(|place| look(place * 15)).collect()
    }

    #[test]
    fn a_point_stands_for_the_time_before_it_and_what_was_not_seen_is_a_gap() {
        let told = parts(sample::now(), Range::Day, &looks(3));
        assert_eq!(told.len(), PARTS);
        let clients: Vec<Option<i64>> = told.iter().map(|part| part.clients).collect();
        assert_eq!(clients[PARTS - 4..], [None, Some(30), Some(15), Some(0)]);
        assert!(told.iter().all(|part| part.replay_lag_seconds.is_none()));
        let pictures = pictures(&told, &Told::default());
        let [connections, cache, _, lag] = &pictures[..] else {
            panic!("four pictures");
        };
        assert_eq!(
            connections.sentence,
            "At most 30 clients at once, in the 15 min from 2026-11-21 13:15 UTC; the line is as many as there can be, 97."
        );
        let gaps = connections.bars.bars.iter().filter(|bar| bar.is_gap);
        assert_eq!(gaps.count(), PARTS - 3);
        assert!(connections.bars.bars[0].title.ends_with("it is not known"));
        assert!(
            connections
                .bars
                .label
                .ends_with("with gaps in which it is not known")
        );
        let line = connections.bars.ceiling_y;
        assert!(
            line.is_some_and(|y| y < connections.bars.bars[PARTS - 3].y),
            "above all bars"
        );
        assert_eq!(connections.table.rows.len(), 3);
        assert_eq!(connections.table.rows[0].cells, ["0", "97"]);
        assert!(cache.bars.bars.is_empty() && cache.table.rows.is_empty());
        assert!(lag.sentence.starts_with("No standby of that time is known"));
    }

    #[test]
    fn a_standby_has_no_picture_of_checkpoints() {
        let told = parts(sample::now(), Range::Day, &looks(3));
        let names = |is_standby: bool| -> Vec<&str> {
            let about = Told {
                is_standby,
                ..Told::default()
            };
            let all = pictures(&told, &about);
            all.iter().map(|picture| picture.id).collect()
        };
        assert_eq!(names(false), ["connections", "cache", "checkpoints", "lag"]);
        assert_eq!(names(true), ["connections", "cache", "lag"]);
    }

    #[test]
    fn a_checkpoint_counts_once_and_the_time_that_was_counted_is_no_gap() {
        let counted = ServerPoint {
            at: ago(0),
            length_seconds: 60.0,
            checkpoints_seconds: Some(2700.0),
            counts: ServerCounts {
                checkpoints_timed: Some(2),
                checkpoints_requested: Some(1),
                ..ServerCounts::default()
            },
        };
        let told = parts(sample::now(), Range::Day, &[counted]);
        let seen: Vec<_> = told.iter().map(ServerPart::checkpoints).collect();
        assert_eq!(
            seen[PARTS - 4..],
            [None, Some((0, 0)), Some((0, 0)), Some((2, 1))]
        );
        let change = Change {
            at: ago(60),
            what: "the server was started".to_owned(),
        };
        let about = Told {
            changes: &[change],
            ..Told::default()
        };
        let picture = checkpoints(&told, &about);
        let series: Vec<(&str, &str)> = picture
            .areas
            .series
            .iter()
            .map(|one| (one.tone, one.name.as_str()))
            .collect();
        assert_eq!(series, [("wait-2", BY_TIME), ("wait-3", REQUESTED)]);
        assert_eq!((picture.marks.len(), picture.most.as_str()), (1, "3 checkpoints"));
        assert!(
            picture.sentence.starts_with("2 by time") && picture.sentence.contains("and 1 that somebody")
        );
        let none = |checkpoints_at| {
            let about = Told {
                checkpoints_at,
                ..Told::default()
            };
            checkpoints(&parts(sample::now(), Range::Day, &looks(3)), &about)
        };
        let unknown = "How many there were is not known of that time.";
        assert_eq!(none(None).sentence, unknown);
        assert_eq!(none(Some(ago(3 * 24 * 60))).sentence, unknown, "read long ago");
        let waits = none(Some(ago(10)));
        assert!(
            waits
                .sentence
                .ends_with("is told from the second look at them on.")
        );
        assert!(waits.areas.series.is_empty() && waits.table.rows.is_empty());
    }

    #[test]
    fn an_hour_that_goes_on_counts_up_to_now() {
        let hour = ServerPoint {
            at: ago(-30),
            length_seconds: 3600.0,
            checkpoints_seconds: Some(1800.0),
            counts: ServerCounts {
                clients: Some(5),
                replay_lag_seconds: Some(2.0),
                replay_lag_bytes: Some(4096.0),
                ..ServerCounts::default()
            },
        };
        let told = parts(sample::now(), Range::Month, &[hour]);
        let last = told[PARTS - 1];
        assert_eq!((last.clients, last.checkpoints_timed), (Some(5), None));
        assert_eq!(told[PARTS - 2].clients, None);
        let about = Told {
            known: KnownTime::since(known_from(&[hour])),
            is_standby: true,
            ..Told::default()
        };
        let lag = replication(&told, &about);
        let expected = "It was behind by at most 2.0 s in the 30 min from 2026-11-21 13:30 UTC";
        assert!(lag.sentence.starts_with(expected), "{}", lag.sentence);
        assert!(lag.sentence.contains("4.0 KiB"));
        assert_eq!(lag.table.rows[0].cells, ["2.0 s", "4.0 KiB"]);
    }
}

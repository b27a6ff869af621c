//! What happened over time as a picture made on the server: a bar for each hour or minute, a gap where nobody looked, a line
//! where something changed.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::present;
use crate::model::finding::Window;
use crate::model::history::{Counts, HistoryPoint};
use crate::model::unit::seconds_for_people;

/// Measures of the picture in its own units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 120.0;
/// A picture has about so many bars at most: more cannot be told apart.
const BARS: usize = 240;
/// What is said of a gap.
const NOBODY_LOOKED: &str = "nobody looked";
/// Looks by which it is told how long the next one may take to come.
const LAST_LOOKS: usize = 5;
/// Lines of the table behind the pictures.
const LINES: usize = 200;

/// Some time as a bar.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Bar {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
    /// Nobody looked.
    pub is_gap: bool,
    pub title: String,
}

/// Something that changed at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Change {
    /// When it was seen.
    pub at: DateTime<Utc>,
    /// What changed, in a few words.
    pub what: String,
}

/// A moment as a line in the picture.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Mark {
    pub x: f64,
    pub title: String,
}

/// How many lines there are, for a person who does not see them; nothing where there is none.
pub fn marks_told(marks: &[Mark]) -> String {
    match marks.len() {
        0 => String::new(),
        number => format!(
            "; {}",
            present::plural(number, "change is marked", "changes are marked")
        ),
    }
}

/// A time that is shaded in the picture.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Shade {
    pub x: f64,
    pub width: f64,
    pub title: String,
}

/// One number of a history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryChart {
    /// The bars, oldest first.
    pub bars: Vec<Bar>,
    /// What changed meanwhile.
    pub marks: Vec<Mark>,
    /// The time over which the evidence of a finding was gathered.
    pub shade: Option<Shade>,
    /// The height of a line for as much as there can be, where that is known.
    pub ceiling_y: Option<f64>,
    /// The greatest value, for the scale.
    pub greatest: String,
    /// What a person who does not see it hears.
    pub label: String,
    /// What is said where it was looked at and there is nothing to draw; empty where nobody looked.
    nothing: &'static str,
}

/// What is drawn of a history.
pub struct Measure<C> {
    /// What it is, in a few words.
    pub name: &'static str,
    /// Its value over so many seconds; none where there is nothing to draw.
    pub value: fn(&C, f64) -> Option<f64>,
    /// A value in words.
    pub told: fn(f64) -> String,
    /// What is said where there is no value.
    pub nothing: &'static str,
}

/// How often in a minute.
pub fn per_minute(number: u64, seconds: f64) -> f64 {
    number as f64 / seconds.max(1e-3) * 60.0
}

/// A line of the table behind the pictures: what happened in some time, or what changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a, C> {
    /// When it begins.
    pub at: DateTime<Utc>,
    /// What happened; none where something changed.
    pub counts: Option<C>,
    /// What changed.
    pub change: Option<&'a str>,
}

/// The points in which something happened and the changes, newest first, and not too many.
pub fn lines<'a, C: Counts>(
    points: &[HistoryPoint<C>],
    changes: &'a [Change],
    has_happened: impl Fn(&C) -> bool,
) -> Vec<Line<'a, C>> {
    let happened = points.iter().filter_map(|point| {
        Some(Line {
            at: point.from,
            counts: Some(point.counts.filter(&has_happened)?),
            change: None,
        })
    });
    let changed = changes.iter().map(|change| Line {
        at: change.at,
        counts: None,
        change: Some(change.what.as_str()),
    });
    let mut lines: Vec<Line<'a, C>> = happened.chain(changed).collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.at));
    lines.truncate(LINES);
    lines
}

/// Why a table behind pictures has no line: nobody looked, or this is so.
pub fn no_line<C>(points: &[HistoryPoint<C>], nothing: &'static str) -> &'static str {
    match points.iter().any(|point| point.counts.is_some()) {
        true => nothing,
        false => NOBODY_LOOKED,
    }
}

/// A history over all of a range: what is before the first look and after the last is time in which nobody looked. The time
/// until the next look is none: looks come one after the other, and some sooner than others.
pub fn over<C: Counts>(
    points: &[HistoryPoint<C>],
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Vec<HistoryPoint<C>> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    let gap = |from: DateTime<Utc>, to: DateTime<Utc>| HistoryPoint {
        from,
        length_seconds: seconds_between(from, to),
        seen_seconds: 0.0,
        counts: None,
    };
    let end = last.from + TimeDelta::milliseconds((last.length_seconds * 1000.0) as i64);
    let (before, after) = (seconds_between(from, first.from), seconds_between(end, to));
    let mut all = Vec::with_capacity(points.len() + 2);
    if before > 1.0_f64.max(first.length_seconds / 10.0) {
        all.push(gap(from, first.from));
    }
    all.extend_from_slice(points);
    let looks = points.iter().rev().take(LAST_LOOKS);
    let seen = looks.filter(|point| point.counts.is_some());
    let usual = seen
        .map(|point| point.length_seconds)
        .fold(last.length_seconds, f64::max);
    if after > 2.0 * usual {
        all.push(gap(end, to));
    } else if let Some(last) = all.last_mut() {
        last.length_seconds += after.max(0.0);
    }
    all
}

/// Those of the changes that lie within a history, oldest first.
pub fn within<C>(points: &[HistoryPoint<C>], mut changes: Vec<Change>) -> Vec<Change> {
    changes.retain(|change| place(points, change.at).is_some());
    changes.sort_by_key(|change| change.at);
    changes
}

/// Where a moment lies in a history, 0 to 1; none outside of it.
fn place<C>(points: &[HistoryPoint<C>], at: DateTime<Utc>) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    let whole = seconds_between(first.from, last.from) + last.length_seconds;
    place_between((first.from, whole), at)
}

fn seconds_between(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).num_milliseconds() as f64 / 1000.0
}

/// Where a moment lies in a time that begins then and is so many seconds long, 0 to 1; none outside of it.
fn place_between((from, seconds): (DateTime<Utc>, f64), at: DateTime<Utc>) -> Option<f64> {
    let place = seconds_between(from, at) / seconds.max(1.0);
    (0.0..=1.0).contains(&place).then_some(place)
}

/// A line for each change that lies within a time that begins then and is so many seconds long.
pub fn marks(whole: (DateTime<Utc>, f64), changes: &[Change]) -> Vec<Mark> {
    let mark = |change: &Change| {
        Some(Mark {
            x: place_between(whole, change.at)? * WIDTH,
            title: format!("{}: {}", change.at.format("%Y-%m-%d %H:%M UTC"), change.what),
        })
    };
    changes.iter().filter_map(mark).collect()
}

/// What happened over the whole of a history.
pub fn total<C: Counts>(points: &[HistoryPoint<C>]) -> C {
    let counts = points.iter().filter_map(|point| point.counts);
    counts.fold(C::default(), C::then)
}

/// The same in fewer points: neighbours are put together until few enough are left, and a gap stays a gap.
fn coarser<C: Counts>(points: &[HistoryPoint<C>]) -> Vec<HistoryPoint<C>> {
    let whole: f64 = points.iter().map(|point| point.length_seconds).sum();
    let length = whole / BARS as f64;
    let mut coarse: Vec<HistoryPoint<C>> = Vec::new();
    for point in points {
        let fits = |last: &HistoryPoint<C>| {
            last.counts.is_some() == point.counts.is_some()
                && last.length_seconds + point.length_seconds <= length
        };
        match coarse.last_mut() {
            Some(last) if fits(last) => {
                last.length_seconds += point.length_seconds;
                last.seen_seconds += point.seen_seconds;
                last.counts = last.counts.zip(point.counts).map(|(one, next)| one.then(next));
            }
            _ => coarse.push(*point),
        }
    }
    coarse
}

impl HistoryChart {
    /// Draws points that come oldest first.
    pub fn of<C: Counts>(points: &[HistoryPoint<C>], measure: &Measure<C>) -> Self {
        Self::below(points, measure, None)
    }

    /// The same with a line for as much as there can be.
    pub fn below<C: Counts>(points: &[HistoryPoint<C>], measure: &Measure<C>, ceiling: Option<f64>) -> Self {
        let points = coarser(points);
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Self::default();
        };
        let value = |point: &HistoryPoint<C>| {
            let counts = point.counts?;
            // what was looked at for half of an hour is no hour's work
            (measure.value)(&counts, point.seen_seconds)
        };
        let greatest = points.iter().filter_map(value).fold(0.0, f64::max);
        let top = greatest.max(ceiling.unwrap_or(0.0));
        let height = |value: f64| value / top * (HEIGHT - 4.0);
        let begin = |point: &HistoryPoint<C>| (point.from - first.from).num_milliseconds() as f64 / 1000.0;
        let scale = WIDTH / (begin(last) + last.length_seconds).max(1.0);
        let bar = |point: &HistoryPoint<C>| {
            let told = match (point.counts, value(point)) {
                (None, _) => NOBODY_LOOKED.to_owned(),
                (_, None) => measure.nothing.to_owned(),
                (_, Some(value)) => (measure.told)(value),
            };
            let height = match (point.counts, value(point)) {
                (None, _) => HEIGHT,
                (_, Some(value)) if top > 0.0 => height(value).max(1.0),
                _ => 0.0,
            };
            let width = point.length_seconds * scale;
            Bar {
                x: begin(point) * scale,
                y: HEIGHT - height,
                width: if width > 3.0 { width - 1.0 } else { width },
                height,
                is_gap: point.counts.is_none(),
                title: format!("{}: {told}", point.from.format("%Y-%m-%d %H:%M UTC")),
            }
        };
        let unseen = points.iter().filter(|point| point.counts.is_none()).count();
        Self {
            bars: points.iter().map(bar).filter(|bar| bar.height > 0.0).collect(),
            marks: Vec::new(),
            shade: None,
            ceiling_y: ceiling.filter(|_| top > 0.0).map(|most| HEIGHT - height(most)),
            greatest: (measure.told)(greatest),
            label: format!(
                "{} over {}, at most {}{}",
                measure.name,
                seconds_for_people(begin(last) + last.length_seconds),
                (measure.told)(greatest),
                if unseen > 0 {
                    "; with gaps in which nobody looked"
                } else {
                    ""
                }
            ),
            nothing: no_line(&points, measure.nothing),
        }
    }

    /// Why nothing is drawn, where nothing is.
    pub fn why_nothing(&self) -> &'static str {
        match self.nothing.is_empty() {
            true => NOBODY_LOOKED,
            false => self.nothing,
        }
    }

    /// The same where a gap need not be time in which nobody looked: what is said of one instead.
    #[must_use]
    pub fn with_gaps_told(mut self, told: &str) -> Self {
        for bar in self.bars.iter_mut().filter(|bar| bar.is_gap) {
            bar.title = bar.title.replace(NOBODY_LOOKED, told);
        }
        self.label = self.label.replace(NOBODY_LOOKED, told);
        self
    }

    /// The same picture on a scale that goes beyond what there was: the highest bar is that share of the height.
    #[must_use]
    pub fn lowered(mut self, share: f64) -> Self {
        let share = share.clamp(0.0, 1.0);
        for bar in self.bars.iter_mut().filter(|bar| !bar.is_gap) {
            bar.height *= share;
            bar.y = HEIGHT - bar.height;
        }
        self.ceiling_y = self.ceiling_y.map(|y| HEIGHT - (HEIGHT - y) * share);
        self
    }

    /// The same picture of those points with a line for each change that lies within them, and with no other line.
    #[must_use]
    pub fn marked<C>(mut self, points: &[HistoryPoint<C>], changes: &[Change]) -> Self {
        let unmarked = self.label.strip_suffix(marks_told(&self.marks).as_str());
        if let Some(unmarked) = unmarked.map(str::to_owned) {
            self.label = unmarked;
        }
        if let Some((first, last)) = points.first().zip(points.last()) {
            let whole = seconds_between(first.from, last.from) + last.length_seconds;
            self.marks = marks((first.from, whole), changes);
        }
        self.label.push_str(&marks_told(&self.marks));
        self
    }

    /// The same picture of those points with a time shaded, as far as it lies within them.
    #[must_use]
    pub fn shaded<C>(mut self, points: &[HistoryPoint<C>], window: Window) -> Self {
        let Some((first, last)) = points.first().zip(points.last()) else {
            return self;
        };
        let whole = (seconds_between(first.from, last.from) + last.length_seconds).max(1.0);
        let place = |at| (seconds_between(first.from, at) / whole).clamp(0.0, 1.0) * WIDTH;
        let (begin, end) = (place(window.from), place(window.to));
        if end > begin {
            let told = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M UTC");
            let title = format!("the evidence: {} to {}", told(window.from), told(window.to));
            self.label.push_str(&format!("; shaded is {title}"));
            self.shade = Some(Shade {
                x: begin,
                width: (end - begin).max(2.0),
                title,
            });
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::history::TableCounts;
    use crate::web::pages::sample;
    use chrono::TimeDelta;

    const ROWS: Measure<TableCounts> = Measure {
        name: "rows written a minute",
        value: |counts, seconds| (counts.written() > 0).then(|| per_minute(counts.written(), seconds)),
        told: |value| format!("{value:.1} rows a minute"),
        nothing: "nothing was written",
    };

    fn point(hour: i64, inserted: Option<u64>) -> HistoryPoint<TableCounts> {
        HistoryPoint {
            from: sample::now() + TimeDelta::hours(hour),
            length_seconds: 3600.0,
            seen_seconds: 3600.0,
            counts: inserted.map(|inserted| TableCounts {
                inserted,
                bytes: inserted * 8192,
                ..TableCounts::default()
            }),
        }
    }

    #[test]
    fn a_gap_is_a_gap_and_nothing_is_nothing() {
        let points = [
            point(0, Some(30)),
            point(1, None),
            point(2, Some(0)),
            point(3, Some(60)),
        ];
        let chart = HistoryChart::of(&points, &ROWS);
        let bars: Vec<(f64, f64, bool)> = chart
            .bars
            .iter()
            .map(|bar| (bar.x, bar.height, bar.is_gap))
            .collect();
        assert_eq!(
            bars,
            [(0.0, 58.0, false), (180.0, 120.0, true), (540.0, 116.0, false)]
        );
        assert_eq!(chart.greatest, "1.0 rows a minute");
        assert!(chart.label.ends_with("with gaps in which nobody looked"));
        let unseen = HistoryChart::of(&points[1..3], &ROWS).bars;
        assert!(unseen.len() == 1 && unseen[0].is_gap);
        assert_eq!(HistoryChart::of(&[], &ROWS), HistoryChart::default());
        let lowered = chart.lowered(0.5).bars;
        let heights: Vec<(f64, f64)> = lowered.iter().map(|bar| (bar.y, bar.height)).collect();
        assert_eq!(heights, [(91.0, 29.0), (0.0, 120.0), (62.0, 58.0)]);
    }

    #[test]
    fn a_change_is_a_line_in_the_picture_and_in_the_table() {
        let points = [
            point(0, Some(30)),
            point(1, None),
            point(2, Some(0)),
            point(3, Some(60)),
        ];
        let change = |hour: i64, what: &str| Change {
            at: sample::now() + TimeDelta::hours(hour),
            what: what.to_owned(),
        };
        let changes = vec![
            change(3, "late"),
            change(-1, "before"),
            change(1, "early"),
            change(5, "after"),
        ];
        let changes = within(&points, changes);
        let chart = HistoryChart::of(&points, &ROWS).marked(&points, &changes);
        let marks: Vec<f64> = chart.marks.iter().map(|mark| mark.x).collect();
        assert_eq!(marks, [180.0, 540.0]);
        assert!(chart.marks[0].title.ends_with(" UTC: early"));
        assert!(chart.label.ends_with("; 2 changes are marked"));
        assert_eq!(chart.clone().marked(&points, &changes), chart, "once is enough");
        let told: Vec<(Option<u64>, Option<&str>)> = lines(&points, &changes, |counts| counts.inserted > 0)
            .into_iter()
            .map(|line| (line.counts.map(|counts| counts.inserted), line.change))
            .collect();
        let expected = [
            (Some(60), None),
            (None, Some("late")),
            (None, Some("early")),
            (Some(30), None),
        ];
        assert_eq!(told, expected);
        assert!(within::<TableCounts>(&[], vec![change(0, "unknown")]).is_empty());
    }

    #[test]
    fn the_time_of_the_evidence_is_shaded_as_far_as_it_is_shown() {
        let points: Vec<_> = (0..4).map(|hour| point(hour, Some(30))).collect();
        let shade = |from: i64, to: i64| {
            let window = Window {
                from: sample::now() + TimeDelta::hours(from),
                to: sample::now() + TimeDelta::hours(to),
            };
            let chart = HistoryChart::of(&points, &ROWS).shaded(&points, window);
            assert_eq!(
                chart.label.contains("; shaded is the evidence"),
                chart.shade.is_some()
            );
            chart.shade.map(|shade| (shade.x, shade.width))
        };
        assert_eq!(shade(1, 3), Some((180.0, 360.0)));
        assert_eq!(shade(-5, 2), Some((0.0, 360.0)));
        assert_eq!(shade(-5, -2), None);
        assert_eq!(HistoryChart::of(&[], &ROWS).shade, None);
    }

    #[test]
    fn a_short_history_is_drawn_in_the_range_that_is_asked_for() {
        let at = |hour: i64| sample::now() + TimeDelta::hours(hour);
        let points: Vec<_> = (0..2).map(|hour| point(hour, Some(30))).collect();
        let bars = |from: i64, to: i64| -> Vec<(f64, bool)> {
            let chart = HistoryChart::of(&over(&points, (at(from), at(to))), &ROWS);
            chart.bars.iter().map(|bar| (bar.x, bar.is_gap)).collect()
        };
        assert_eq!(bars(0, 2), [(0.0, false), (360.0, false)]);
        assert_eq!(bars(-2, 2), [(0.0, true), (360.0, false), (540.0, false)]);
        // the next look comes within the time of one; what is longer is a gap
        assert_eq!(bars(0, 4), [(0.0, false), (180.0, false)]);
        assert_eq!(bars(0, 8), [(0.0, false), (90.0, false), (180.0, true)]);
        assert!(over::<TableCounts>(&[], (at(0), at(8))).is_empty());
        // one look that came early does not make the next one late
        let mut early = points.clone();
        early[1].length_seconds = 60.0;
        let drawn = over(&early, (at(0), at(2)));
        assert_eq!((drawn.len(), drawn[1].length_seconds), (2, 3600.0));
        assert_eq!(over(&early, (at(0), at(8))).len(), 3);
    }

    #[test]
    fn where_nothing_is_drawn_it_is_said_whether_somebody_looked() {
        let why = |points: &[HistoryPoint<TableCounts>]| HistoryChart::of(points, &ROWS).why_nothing();
        assert_eq!(
            why(&[point(0, Some(0)), point(1, Some(0))]),
            "nothing was written"
        );
        assert_eq!(why(&[point(0, None)]), NOBODY_LOOKED);
        assert_eq!(why(&[]), NOBODY_LOOKED);
        assert_eq!(no_line(&[point(0, Some(0))], "no scan"), "no scan");
    }

    #[test]
    fn a_long_history_has_no_more_bars_than_can_be_told_apart() {
        let mut points: Vec<_> = (0..2160).map(|hour| point(hour, Some(1))).collect();
        points[1000].counts = None;
        let coarse = coarser(&points);
        assert!((BARS..BARS + 4).contains(&coarse.len()), "{}", coarse.len());
        assert_eq!(total(&coarse).inserted, 2159, "nothing is lost");
        let gaps: Vec<f64> = coarse
            .iter()
            .filter(|point| point.counts.is_none())
            .map(|point| point.length_seconds)
            .collect();
        assert_eq!(gaps, [3600.0]);
    }
}

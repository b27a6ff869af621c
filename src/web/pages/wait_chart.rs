//! What sessions did and waited for over time, as a picture made on the server: one area for each event, one above the other,
//! work at the bottom; a gap where nobody looked.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::load::{SCALE_SESSIONS, rounded};
use super::present;
use crate::limits;
use crate::model::history::{WaitKey, WaitPoint};
use crate::model::unit::seconds_for_people;

/// Measures of the picture in its own units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 120.0;
/// The picture has about so many steps at most: more cannot be told apart.
const STEPS: f64 = 120.0;

/// How events are coloured, the most frequent first; what waits for nothing, and what has no colour of its own.
const TONES: [&str; limits::EVENTS_SHOWN] = [
    "wait-1", "wait-2", "wait-3", "wait-4", "wait-5", "wait-6", "wait-7",
];
const WORK: &str = "work";
pub(super) const REST: &str = "rest";

/// One event over time.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Series {
    /// Its colour's name in the style sheet.
    pub tone: &'static str,
    pub name: String,
    /// Of all active time, 0 to 1.
    pub share_ratio: f64,
    /// Its area.
    pub path: String,
}

/// The picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WaitChart {
    /// From the bottom up.
    pub series: Vec<Series>,
    /// The time in which nobody looked, as an area.
    pub gaps: String,
    /// The most sessions of one step, for the scale.
    pub greatest: String,
    /// What a person who does not see it hears.
    pub label: String,
}

/// Some time with what was seen in it; no sample is a gap.
struct Step<'a> {
    begin: f64,
    end: f64,
    samples: u64,
    seen: BTreeMap<&'a str, u64>,
}

impl Step<'_> {
    fn is_gap(&self) -> bool {
        self.samples == 0
    }

    /// Average sessions that were seen so.
    fn mean(&self, sessions: u64) -> f64 {
        sessions as f64 / self.samples.max(1) as f64
    }

    fn load(&self) -> f64 {
        self.mean(self.seen.values().sum())
    }
}

/// The points in few steps: neighbours are put together, and a gap stays a gap.
fn steps(points: &[WaitPoint]) -> Vec<Step<'_>> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    let begin = |point: &WaitPoint| (point.from - first.from).num_milliseconds() as f64 / 1000.0;
    let length = (begin(last) + last.length_seconds) / STEPS;
    let mut steps: Vec<Step<'_>> = Vec::new();
    for point in points {
        let seen = point.sessions.as_ref().filter(|_| point.samples > 0);
        let (begin, samples) = (begin(point), seen.map_or(0, |_| point.samples));
        let end = begin + point.length_seconds;
        let joins = |step: &Step<'_>| step.is_gap() == (samples == 0) && end - step.begin <= length;
        if !steps.last().is_some_and(joins) {
            steps.push(Step {
                begin,
                end,
                samples: 0,
                seen: BTreeMap::new(),
            });
        }
        if let Some(step) = steps.last_mut() {
            step.end = end;
            step.samples += samples;
            for (event, sessions) in seen.into_iter().flatten() {
                *step.seen.entry(event).or_default() += sessions;
            }
        }
    }
    steps
}

/// The events in the order in which they are drawn, each with its colour; what is not among them belongs to the rest.
fn tones(totals: &BTreeMap<&str, u64>) -> Vec<(&'static str, String)> {
    let is_wait = |event: &&str| ![WaitKey::CPU, WaitKey::OTHERS].contains(event);
    let mut waits: Vec<(&str, u64)> = totals
        .iter()
        .map(|(event, sessions)| (*event, *sessions))
        .filter(|(event, _)| is_wait(event))
        .collect();
    waits.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let named = TONES.into_iter().zip(waits);
    let named = named.map(|(tone, (event, _))| (tone, event.to_owned()));
    [(WORK, WaitKey::CPU.to_owned())]
        .into_iter()
        .chain(named)
        .chain([(REST, String::new())])
        .collect()
}

fn name(tone: &str, event: String) -> String {
    match tone {
        WORK => "at work (CPU)".to_owned(),
        REST => "everything else".to_owned(),
        _ => event,
    }
}

/// A rectangle as a part of a path.
fn rectangle(path: &mut String, (x, y): (f64, f64), (width, height): (f64, f64)) {
    // writing to a text cannot fail
    let _ = write!(path, "M{x:.1} {y:.1}h{width:.1}v{height:.1}h-{width:.1}z");
}

impl WaitChart {
    /// Draws points that come oldest first.
    pub fn of(points: &[WaitPoint]) -> Self {
        Self::named(points, "active sessions", name)
    }

    /// The same of whatever adds up: what all of it is, and how a part is told, by its colour and the word of its points.
    pub(super) fn named(
        points: &[WaitPoint],
        what: &str,
        name: impl Fn(&'static str, String) -> String,
    ) -> Self {
        let steps = steps(points);
        let Some(whole) = steps.last().map(|step| step.end.max(1.0)) else {
            return Self::default();
        };
        let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
        for (event, sessions) in steps.iter().flat_map(|step| &step.seen) {
            *totals.entry(event).or_default() += sessions;
        }
        let all: u64 = totals.values().sum();
        let tones = tones(&totals);
        let greatest = steps.iter().map(Step::load).fold(0.0, f64::max);
        let series: Vec<Series> = areas(&steps, &tones, (whole, greatest.max(SCALE_SESSIONS)))
            .into_iter()
            .zip(tones)
            .filter(|((_, sessions), _)| *sessions > 0)
            .map(|((path, sessions), (tone, event))| Series {
                tone,
                name: name(tone, event),
                share_ratio: sessions as f64 / all.max(1) as f64,
                path,
            })
            .collect();
        let mut gaps = String::new();
        for step in steps.iter().filter(|step| step.is_gap()) {
            let (x, width) = across(step, whole);
            rectangle(&mut gaps, (x, 0.0), (width, HEIGHT));
        }
        Self {
            label: label(what, &series, (whole, greatest), &gaps),
            series,
            gaps,
            greatest: rounded(greatest),
        }
    }
}

impl WaitChart {
    /// The most sessions of one step, with their noun.
    pub fn most(&self, one: &str, many: &str) -> String {
        present::amount(self.greatest.clone(), one, many)
    }
}

/// Where a step begins in the picture, and how wide it is.
fn across(step: &Step<'_>, whole: f64) -> (f64, f64) {
    let scale = WIDTH / whole;
    (step.begin * scale, (step.end - step.begin) * scale)
}

/// The area of each colour, and how many sessions it stands for.
fn areas(
    steps: &[Step<'_>],
    tones: &[(&'static str, String)],
    (whole, top): (f64, f64),
) -> Vec<(String, u64)> {
    let places: BTreeMap<&str, usize> = tones
        .iter()
        .enumerate()
        .map(|(place, (_, event))| (event.as_str(), place))
        .collect();
    let rest = tones.len() - 1;
    let mut areas = vec![(String::new(), 0_u64); tones.len()];
    for step in steps.iter().filter(|step| !step.is_gap()) {
        let mut sums = vec![0_u64; tones.len()];
        for (event, sessions) in &step.seen {
            sums[places.get(event).copied().unwrap_or(rest)] += sessions;
        }
        let (x, width) = across(step, whole);
        let mut y = HEIGHT;
        for (sessions, area) in sums.into_iter().zip(&mut areas) {
            if sessions == 0 {
                continue;
            }
            let height = step.mean(sessions) / top * (HEIGHT - 4.0);
            y -= height;
            rectangle(&mut area.0, (x, y), (width, height));
            area.1 += sessions;
        }
    }
    areas
}

fn label(what: &str, series: &[Series], (whole, greatest): (f64, f64), gaps: &str) -> String {
    let told: Vec<String> = series
        .iter()
        .map(|one| format!("{} {}", one.name, present::percent(one.share_ratio)))
        .collect();
    format!(
        "{what} over {}, at most {}: {}{}",
        seconds_for_people(whole),
        rounded(greatest),
        told.join(", "),
        if gaps.is_empty() {
            ""
        } else {
            "; with gaps in which nobody looked"
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::sample;
    use chrono::TimeDelta;

    fn point(hour: i64, seen: Option<&[(&str, u64)]>) -> WaitPoint {
        let owned = |(event, sessions): &(&str, u64)| ((*event).to_owned(), *sessions);
        WaitPoint {
            from: sample::now() + TimeDelta::hours(hour),
            length_seconds: 3600.0,
            samples: if seen.is_some() { 10 } else { 0 },
            sessions: seen.map(|seen| seen.iter().map(owned).collect()),
        }
    }

    #[test]
    fn areas_stand_on_each_other_and_a_gap_is_a_gap() {
        let chart = WaitChart::of(&[
            point(0, Some(&[("CPU", 10), ("IO: WALSync", 30)])),
            point(1, None),
            point(2, Some(&[("CPU", 20)])),
        ]);
        let told: Vec<(&str, &str, f64)> = chart
            .series
            .iter()
            .map(|one| (one.tone, one.path.as_str(), one.share_ratio))
            .collect();
        // four sessions are 116 high
        assert_eq!(
            told,
            [
                (
                    "work",
                    "M0.0 91.0h240.0v29.0h-240.0zM480.0 62.0h240.0v58.0h-240.0z",
                    0.5
                ),
                ("wait-1", "M0.0 4.0h240.0v87.0h-240.0z", 0.5),
            ]
        );
        assert_eq!(chart.gaps, "M240.0 0.0h240.0v120.0h-240.0z");
        assert_eq!(chart.greatest, "4");
        assert!(chart.label.ends_with("with gaps in which nobody looked"));
        assert_eq!(WaitChart::of(&[]), WaitChart::default());
        let idle = WaitChart::of(&[point(0, Some(&[]))]);
        assert_eq!(
            (idle.series.len(), idle.gaps.as_str()),
            (0, ""),
            "nobody was active"
        );
    }

    #[test]
    fn an_idle_server_does_not_look_busy_and_is_not_told_as_nothing() {
        let seen = WaitPoint {
            samples: 100,
            ..point(0, Some(&[("CPU", 1)]))
        };
        let chart = WaitChart::of(&[seen]);
        assert_eq!(chart.greatest, "0.01");
        assert!(chart.label.contains("at most 0.01: "), "{}", chart.label);
        assert_eq!(chart.series[0].path, "M0.0 108.4h720.0v11.6h-720.0z");
    }

    #[test]
    fn the_least_frequent_events_are_the_rest_and_nothing_is_lost() {
        let names: Vec<String> = (0..20).map(|number| format!("Lock: {number:02}")).collect();
        let mut seen: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 2)).collect();
        seen.push((WaitKey::OTHERS, 60));
        let chart = WaitChart::of(&[point(0, Some(&seen))]);
        assert_eq!(chart.series.len(), limits::EVENTS_SHOWN + 1);
        let rest = chart.series.last().unwrap();
        assert_eq!((rest.tone, rest.share_ratio), ("rest", 0.86));
        let all: f64 = chart.series.iter().map(|one| one.share_ratio).sum();
        assert!((all - 1.0).abs() < 1e-9);
    }

    #[test]
    fn many_points_are_few_steps() {
        let points: Vec<WaitPoint> = (0..5_000).map(|hour| point(hour, Some(&[("CPU", 10)]))).collect();
        let chart = WaitChart::of(&points);
        let drawn = chart.series[0].path.matches('M').count();
        assert!((100..=130).contains(&drawn), "{drawn}");
    }
}

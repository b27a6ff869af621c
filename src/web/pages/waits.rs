//! What sessions did and waited for over a range of time: a part of the page of a server's activity.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::present;
use super::range::Range;
use super::wait_chart::WaitChart;
use crate::limits;
use crate::model::history::{StatementTotal, WaitCounts, WaitHistory, WaitKey, WaitPoint};
use crate::web::problem::Problem;
use crate::web::query::{Parameters, unknown};

/// The ranges over which samples are told.
pub const RANGES: [Range; 3] = [Range::Hour, Range::Day, Range::Week];

/// What `?range=` says; the last 24 hours where it says nothing.
///
/// # Errors
/// If it is none of [`RANGES`].
pub fn range(parameters: &Parameters) -> Result<Range, Problem> {
    let range = Range::of(parameters)?;
    match RANGES.contains(&range) {
        true => Ok(range),
        false => Err(unknown("range", range.word(), &RANGES.map(Range::word))),
    }
}

/// What samples saw of sessions: a session that was seen in two samples counts twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct WaitsView {
    /// How many samples were taken.
    pub samples: u64,
    /// Active sessions in all of them.
    pub sessions: u64,
    /// By event, oldest first; a point without sessions is time without samples.
    pub history: Vec<WaitPoint>,
    /// What was seen most, most first.
    pub most: Vec<WaitLine>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) chart: WaitChart,
}

/// Sessions that were seen doing the same.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct WaitLine {
    /// What they did.
    #[serde(flatten)]
    pub key: WaitKey,
    /// How many, in all samples.
    pub sessions: u64,
    /// Of all active sessions in samples, 0 to 1.
    pub share_ratio: f64,
    /// The outline of the statement; null where it is not one of those that took most time in the last hour.
    pub statement: Option<String>,
}

impl WaitsView {
    /// What the store knows of samples, and statements whose texts are known.
    pub fn of(history: WaitHistory, statements: &[StatementTotal]) -> Self {
        let outlines: HashMap<(&str, &str), &str> = statements
            .iter()
            .map(|one| {
                (
                    (one.database.as_str(), one.statement_id.as_str()),
                    one.text.as_str(),
                )
            })
            .collect();
        let all = history.sessions.max(1) as f64;
        let line = |(key, counts): (WaitKey, WaitCounts)| {
            let text = outlines.get(&(key.database.as_str(), key.statement_id.as_str()));
            WaitLine {
                statement: text.map(|text| crate::sql::outline(text)),
                sessions: counts.sessions,
                share_ratio: counts.sessions as f64 / all,
                key,
            }
        };
        Self {
            chart: WaitChart::of(&history.by_event),
            samples: history.samples,
            sessions: history.sessions,
            most: history
                .top
                .into_iter()
                .take(limits::PAGE_ITEMS)
                .map(line)
                .collect(),
            history: history.by_event,
        }
    }

    /// The whole range in a sentence.
    pub fn sentence(&self, range: &Range) -> String {
        let range = range.name();
        if self.samples == 0 {
            return format!("Nothing was sampled in the last {range}.");
        }
        let load = self.sessions as f64 / self.samples as f64;
        let waits = self
            .chart
            .series
            .iter()
            .filter(|one| one.tone.starts_with("wait"));
        let most = waits.max_by(|a, b| a.share_ratio.total_cmp(&b.share_ratio));
        let waiting = most.map_or(String::new(), |most| {
            let share = present::percent(most.share_ratio);
            format!(
                "; most of what they waited for was {} ({share} of their time)",
                most.name
            )
        });
        format!("On average {load:.1} sessions were active in the last {range}{waiting}.")
    }
}

impl WaitLine {
    /// The event as the table calls it.
    pub fn event(&self) -> &str {
        match self.key.event.as_str() {
            WaitKey::CPU => "at work (CPU)",
            WaitKey::OTHERS => "not told apart",
            event => event,
        }
    }

    /// What stands where the statement's outline is not known.
    pub fn unnamed(&self) -> &str {
        match self.key.statement_id.as_str() {
            "" => "no query that pg_stat_statements knows",
            id => id,
        }
    }

    /// The length of its bar.
    pub fn of_hundred(&self) -> u8 {
        (self.share_ratio * 100.0).clamp(0.0, 100.0) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::history::StatementCounts;
    use crate::web::pages::sample;

    fn key(number: usize) -> WaitKey {
        WaitKey {
            database: "shop".into(),
            event: "Lock: tuple".into(),
            statement_id: format!("{number:016}"),
            ..WaitKey::default()
        }
    }

    fn history(lines: usize) -> WaitHistory {
        WaitHistory {
            by_event: vec![WaitPoint {
                from: sample::now(),
                length_seconds: 3600.0,
                samples: 100,
                sessions: Some([("Lock: tuple".to_owned(), 150), ("CPU".to_owned(), 50)].into()),
            }],
            top: (0..lines)
                .map(|number| (key(number), WaitCounts { sessions: 50 }))
                .collect(),
            samples: 100,
            sessions: 200,
        }
    }

    #[test]
    fn lines_are_bounded_and_name_their_statements_where_they_are_known() {
        let known = StatementTotal {
            statement_id: key(1).statement_id,
            database: "shop".into(),
            text: "SELECT a, b, c FROM t WHERE d = $1".into(),
            counts: StatementCounts::default(),
            mean_seconds: 0.0,
            share_ratio: 0.0,
            before: None,
        };
        let elsewhere = StatementTotal {
            database: "other".into(),
            statement_id: key(0).statement_id,
            ..known.clone()
        };
        let view = WaitsView::of(history(limits::PAGE_ITEMS + 50), &[known, elsewhere]);
        assert_eq!(view.most.len(), limits::PAGE_ITEMS);
        assert_eq!(view.most[0].statement, None, "of another database");
        assert_eq!(
            view.most[1].statement.as_deref(),
            Some("SELECT … FROM t WHERE d = $1")
        );
        assert_eq!((view.most[1].share_ratio, view.most[1].of_hundred()), (0.25, 25));
        assert_eq!(
            view.sentence(&Range::Day),
            "On average 2.0 sessions were active in the last 24 hours; most of what they waited for was Lock: tuple (75 % of \
             their time)."
        );
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["most"][1]["event"], "Lock: tuple");
        assert_eq!(json["history"][0]["sessions"]["CPU"], 50);
        assert!(json.get("chart").is_none());
    }

    #[test]
    fn no_sample_is_said_and_ranges_go_up_to_a_week() {
        let none = WaitsView::of(WaitHistory::default(), &[]);
        assert_eq!(
            none.sentence(&Range::Hour),
            "Nothing was sampled in the last hour."
        );
        let of = |query: &str| {
            let uri = format!("/x?{query}").parse().unwrap();
            range(&Parameters::read(&uri, &["range"]).unwrap())
        };
        assert_eq!(of("").unwrap(), Range::Day);
        assert_eq!(of("range=7d").unwrap(), Range::Week);
        assert!(
            of("range=30d")
                .unwrap_err()
                .detail()
                .contains("unknown range \"30d\"")
        );
    }
}

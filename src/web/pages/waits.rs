//! What sessions did and waited for over a range of time: a part of the page of a server's activity.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::picture::ChartTable;
use super::present;
use super::range::Range;
use super::wait_chart::WaitChart;
use crate::limits;
use crate::model::history::{WaitCounts, WaitHistory, WaitKey, WaitPoint};
use crate::model::unit::seconds_for_people;
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
    /// For how many seconds of the range these stand: the rest of it nobody looked at.
    pub sampled_seconds: f64,
    /// Active sessions in all of them.
    pub sessions: u64,
    /// By event, oldest first; a point without sessions is time without samples.
    pub history: Vec<WaitPoint>,
    /// What was seen most, most first.
    pub most: Vec<WaitLine>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) chart: WaitChart,
    /// What is said of sessions whose statement has no identity.
    #[serde(skip)]
    #[schema(ignore)]
    nameless: &'static str,
}

/// Samples are those of clients: what they execute has no identity where it is a utility statement, or is not among those
/// that pg_stat_statements keeps. Where its first call has not ended yet, only a look that sees a session execute it tells which one
/// it is.
const NAMELESS: &str = "a utility statement (as COPY, VACUUM or DDL), or one that pg_stat_statements did not hold then, as on its \
                        first call";
/// The same of what waits for a table: its lock is taken before the statement is analysed, which is when it gets its identity.
const NAMELESS_BEFORE_ANALYSIS: &str =
    "not known: it waits before its query is identified, or is a utility statement";
/// The event of such a wait.
const LOCK_OF_A_TABLE: &str = "Lock: relation";
/// The same where not one statement has one.
const WITHOUT_IDENTIFIERS: &str =
    "not known: compute_query_id is off, so the server does not tell statements apart";

/// From this part of a range on, what was sampled stands for all of it.
const NEARLY_ALL: f64 = 0.95;

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
    /// The outline of the statement; null where its text is not known.
    pub statement: Option<String>,
}

impl WaitsView {
    /// What the store knows of samples, and texts of statements by database and statement_id; and the setting
    /// `compute_query_id`, where that is known.
    pub fn of(
        history: WaitHistory,
        texts: &HashMap<(String, String), String>,
        compute_query_id: Option<&str>,
    ) -> Self {
        // where it is off another module may compute the identifiers
        let has_identifiers = history.top.iter().any(|(key, _)| !key.statement_id.is_empty());
        let nameless = match compute_query_id {
            Some("off") if !has_identifiers => WITHOUT_IDENTIFIERS,
            _ => NAMELESS,
        };
        let all = history.sessions.max(1) as f64;
        let line = |(key, counts): (WaitKey, WaitCounts)| {
            let text = texts.get(&(key.database.clone(), key.statement_id.clone()));
            WaitLine {
                statement: text.map(|text| crate::sql::outline(text)),
                sessions: counts.sessions,
                share_ratio: counts.sessions as f64 / all,
                key,
            }
        };
        Self {
            nameless,
            chart: WaitChart::of(&history.by_event),
            samples: history.samples,
            sampled_seconds: history.sampled_seconds,
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

    /// The table behind the picture.
    pub fn table(&self) -> ChartTable {
        ChartTable::of_waits(&self.history, &self.chart)
    }

    /// What stands where the outline of a line's statement is not known.
    pub fn unnamed<'a>(&'a self, line: &'a WaitLine) -> &'a str {
        match (line.key.event.as_str(), line.key.statement_id.as_str()) {
            (WaitKey::OTHERS, _) => "what was too rare to be counted on its own",
            (LOCK_OF_A_TABLE, "") if self.nameless == NAMELESS => NAMELESS_BEFORE_ANALYSIS,
            (_, "") => self.nameless,
            (_, id) => id,
        }
    }

    /// The whole range in a sentence.
    pub fn sentence(&self, range: &Range) -> String {
        if self.samples == 0 {
            return format!("Nothing was sampled in the last {}.", range.name());
        }
        let over = self.over(range);
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
        format!("On average {load:.1} sessions were active in the {over}{waiting}.")
    }

    /// The time that the samples stand for.
    fn over(&self, range: &Range) -> String {
        let name = range.name();
        match self.sampled_seconds >= NEARLY_ALL * range.length().num_seconds() as f64 {
            true => format!("last {name}"),
            false => format!(
                "{} of the last {name} that were looked at",
                seconds_for_people(self.sampled_seconds)
            ),
        }
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

    /// The length of its bar.
    pub fn of_hundred(&self) -> u8 {
        (self.share_ratio * 100.0).clamp(0.0, 100.0) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            sampled_seconds: 86_400.0,
            sessions: 200,
        }
    }

    #[test]
    fn lines_are_bounded_and_name_their_statements_where_they_are_known() {
        let text = |database: &str, number: usize| {
            let text = "SELECT a, b, c FROM t WHERE d = $1";
            ((database.to_owned(), key(number).statement_id), text.to_owned())
        };
        let texts = [text("shop", 1), text("other", 0)].into();
        let view = WaitsView::of(history(limits::PAGE_ITEMS + 50), &texts, None);
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
    fn what_is_told_of_a_range_is_what_was_sampled_of_it() {
        let sentence = |sampled_seconds: f64, range: Range| {
            let seen = WaitHistory {
                sampled_seconds,
                ..history(0)
            };
            WaitsView::of(seen, &HashMap::new(), None).sentence(&range)
        };
        let begin = "On average 2.0 sessions were active in the";
        let minutes = sentence(840.0, Range::Day);
        assert!(
            minutes.starts_with(&format!(
                "{begin} 14 min of the last 24 hours that were looked at;"
            )),
            "{minutes}"
        );
        let hours = sentence(86_400.0, Range::Week);
        assert!(
            hours.starts_with(&format!("{begin} 1 day of the last 7 days that")),
            "{hours}"
        );
        let nearly = sentence(82_080.0, Range::Day);
        assert!(nearly.starts_with(&format!("{begin} last 24 hours;")), "{nearly}");
        assert!(sentence(82_079.0, Range::Day).contains("that were looked at"));
    }

    #[test]
    fn a_statement_without_an_identity_is_told_by_why_it_has_none() {
        let of = |event: &str, statement_id: &str, compute_query_id| {
            let named = WaitKey {
                event: event.into(),
                statement_id: statement_id.into(),
                ..WaitKey::default()
            };
            let mut seen = history(0);
            seen.top = vec![(named, WaitCounts { sessions: 1 })];
            let view = WaitsView::of(seen, &HashMap::new(), compute_query_id);
            view.unnamed(&view.most[0]).to_owned()
        };
        assert_eq!(of("CPU", "", Some("auto")), NAMELESS);
        assert_eq!(of("CPU", "", None), NAMELESS);
        assert_eq!(of("CPU", "", Some("off")), WITHOUT_IDENTIFIERS);
        assert_eq!(of("Lock: relation", "", Some("off")), WITHOUT_IDENTIFIERS);
        assert_eq!(of("Lock: relation", "", Some("auto")), NAMELESS_BEFORE_ANALYSIS);
        assert_eq!(
            of("Lock: relation", "12ab", Some("auto")),
            "12ab",
            "it was planned, and waits for another"
        );
        assert_eq!(of("Lock: tuple", "", Some("auto")), NAMELESS);
        assert_eq!(
            of("CPU", "12ab", Some("off")),
            "12ab",
            "another module computes them"
        );
        assert!(of(WaitKey::OTHERS, "", Some("off")).contains("too rare"));
    }

    #[test]
    fn no_sample_is_said_and_ranges_go_up_to_a_week() {
        let none = WaitsView::of(WaitHistory::default(), &HashMap::new(), None);
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

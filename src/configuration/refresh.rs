//! `[[refresh]]`: which materialized views are refreshed when, and how gently.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::matches;
use super::read::Section;
use super::schema;
use crate::model::schedule::{CronExpression, DailyHours, Zone};
use crate::model::unit::{Period, Size};

/// Materialized views that are refreshed. Where several tables match a view, the last one counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = schema::of_refresh)]
pub struct Refresh {
    /// The name of one of the servers; may be left out where there is only one.
    pub server: String,
    /// The database, or a pattern with `*`.
    pub database: String,
    /// The view with its schema, or a pattern with `*`: "reports.daily_*".
    pub view: String,
    /// Due when a cron expression says so: "0 1 * * *".
    pub cron: Option<CronExpression>,
    /// Due each time this has passed, counted from midnight UTC of 1970-01-01.
    pub every: Option<Period>,
    /// The promise that no row is older than this: refreshed as late and as seldom as keeps it.
    pub max_age: Option<Period>,
    /// Due whenever this view of the same database was refreshed: "reports.base".
    pub after: Option<String>,
    /// The time zone of `cron`, `not_between` and `plain_between`.
    pub time_zone: Zone,
    /// Each view starts later by a part of this that is always the same for it, so that not all start at once.
    pub jitter: Period,
    /// Hours in which nothing is started; what is due then starts after them.
    pub not_between: Vec<DailyHours>,
    /// What happens with moments that passed while nobody was there to refresh: "once" makes up for all of them with one
    /// run, "skip" waits for the next one.
    pub missed: Missed,
    /// Whether a view is left as it is while nothing that it reads has changed.
    pub skip_unchanged: bool,
    /// It is refreshed at least so often, changed or not.
    pub at_least_every: Period,
    /// "auto" chooses by what is possible, who reads and what each was measured to cost.
    pub mode: RefreshMode,
    /// A plain refresh locks readers out. One that is expected to take longer, or takes longer, is not made while there
    /// are readers.
    pub plain_limit: Period,
    /// Hours in which readers may be locked out for longer.
    pub plain_between: Vec<DailyHours>,
    /// How long one try waits for the view's lock; later readers wait behind it.
    pub lock_timeout: Period,
    /// A refresh that takes longer is cancelled.
    pub max_duration: Period,
    /// How many more times a refresh that failed is tried for the same moment.
    pub retries: u32,
    /// The wait before the first of these; it doubles each time.
    pub retry_after: Period,
    /// What to do while another session refreshes the view: "skip" or "wait".
    pub if_running: IfRunning,
    /// work_mem of the refresh; the default is that of its login.
    pub work_mem: Option<Size>,
    /// max_parallel_workers_per_gather of the refresh; the default is that of its login.
    pub parallel_workers: Option<u32>,
}

/// What happens with moments that were missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Missed {
    #[default]
    Once,
    Skip,
}

/// How a view is refreshed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum RefreshMode {
    #[default]
    Auto,
    Concurrently,
    Plain,
}

/// What to do while another session refreshes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum IfRunning {
    #[default]
    Skip,
    Wait,
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            server: String::new(),
            database: "*".to_owned(),
            view: String::new(),
            cron: None,
            every: None,
            max_age: None,
            after: None,
            time_zone: Zone::default(),
            jitter: Period::seconds(0),
            not_between: Vec::new(),
            missed: Missed::default(),
            skip_unchanged: true,
            at_least_every: Period::days(1),
            mode: RefreshMode::default(),
            plain_limit: Period::seconds(2),
            plain_between: Vec::new(),
            lock_timeout: Period::seconds(2),
            max_duration: Period::minutes(60),
            retries: 5,
            retry_after: Period::seconds(10),
            if_running: IfRunning::default(),
            work_mem: None,
            parallel_workers: None,
        }
    }
}

impl Refresh {
    /// Whether a view of a database of a server is meant; `view` is `schema.name`.
    pub fn is_for(&self, database: &str, view: &str) -> bool {
        matches(&self.database, database) && matches(&self.view, view)
    }

    /// Whether it is meant to match several views.
    pub fn is_pattern(&self) -> bool {
        self.view.contains('*')
    }

    /// When it is due, in the words of the file.
    pub fn when(&self) -> String {
        match (&self.cron, self.every, self.max_age, &self.after) {
            (Some(cron), ..) if self.time_zone == Zone::default() => format!("cron {cron}"),
            (Some(cron), ..) => format!("cron {cron}, {}", self.time_zone),
            (_, Some(every), ..) => format!("every {every}"),
            (_, _, Some(age), _) => format!("no older than {age}"),
            (_, _, _, Some(after)) => format!("after {after}"),
            _ => String::new(),
        }
    }
}

impl Section for Refresh {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut wrong = |key: &'static str, message: String| problems.push((key, message));
        if self.view.is_empty() {
            wrong(
                "view",
                "is needed: the view with its schema, such as \"reports.daily\" or \"reports.daily_*\""
                    .to_owned(),
            );
        } else if !self.view.contains('.') && !self.view.contains('*') {
            wrong(
                "view",
                format!(
                    "\"{}\" has no schema: write \"public.{}\", or the schema that it is in",
                    self.view, self.view
                ),
            );
        }
        if self.database.is_empty() {
            wrong(
                "database",
                "is an empty pattern: leave it out for all databases".to_owned(),
            );
        }
        let given: Vec<&'static str> = [
            ("cron", self.cron.is_some()),
            ("every", self.every.is_some()),
            ("max_age", self.max_age.is_some()),
            ("after", self.after.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, is_given)| is_given.then_some(key))
        .collect();
        match given[..] {
            [] => wrong(
                "max_age",
                "is needed, or one of cron, every, after: when is the view due?".to_owned(),
            ),
            [_] => {}
            [first, second, ..] => wrong(
                second,
                format!("cannot stand beside {first}: a view is due by one of cron, every, max_age, after"),
            ),
        }
        for (key, period) in [("every", self.every), ("max_age", self.max_age)] {
            if period.is_some_and(|period| period < Period::seconds(1)) {
                wrong(key, "must be at least 1 s".to_owned());
            }
        }
        if self
            .after
            .as_ref()
            .is_some_and(|after| after.is_empty() || !after.contains('.') || after.contains('*'))
        {
            wrong(
                "after",
                "must be one view with its schema, such as \"reports.base\"".to_owned(),
            );
        }
        for (key, period) in [
            ("lock_timeout", self.lock_timeout),
            ("plain_limit", self.plain_limit),
            ("max_duration", self.max_duration),
        ] {
            if period < Period::milliseconds(10) || period > Period::days(7) {
                wrong(key, format!("must be from 10 ms to 7 days, not {period}"));
            }
        }
        if self.retries > 100 {
            wrong("retries", format!("must be at most 100, not {}", self.retries));
        }
        if self.parallel_workers.is_some_and(|workers| workers > 1024) {
            wrong("parallel_workers", "must be at most 1024".to_owned());
        }
        // the range of PostgreSQL's own setting
        if self
            .work_mem
            .is_some_and(|size| size.bytes < 64 << 10 || size.bytes > 2_147_483_647 << 10)
        {
            wrong("work_mem", "must be from 64 KiB to 2 TiB".to_owned());
        }
        problems
    }
}

/// Which table leads back to itself by `after`, with the views on the way.
pub(super) fn cycle(refreshes: &[Refresh], start: usize) -> Option<Vec<String>> {
    let of_view = |from: &Refresh, view: &str| {
        refreshes.iter().rposition(|other| {
            other.server == from.server
                && matches(&other.view, view)
                && (matches(&other.database, &from.database) || matches(&from.database, &other.database))
        })
    };
    let mut way = vec![refreshes[start].view.clone()];
    let mut seen = vec![start];
    let mut at = start;
    while let Some(after) = &refreshes[at].after {
        way.push(after.clone());
        at = of_view(&refreshes[at], after)?;
        if at == start {
            return Some(way);
        }
        if seen.contains(&at) {
            // a ring further on, which is told where it begins
            return None;
        }
        seen.push(at);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::{WITH_SERVERS, errors};

    #[test]
    fn bad_schedules_say_line_field_and_what_was_meant() {
        let wrong = |table: &str, words: &str| {
            let text = format!("{WITH_SERVERS}[[refresh]]\nserver = \"a\"\n{table}");
            let errors = errors(&text);
            assert_eq!(errors.len(), 1, "{table}: {errors:?}");
            assert!(errors[0].contains(words), "{table}: {errors:?}");
        };
        let view = |line: &str| format!("view = \"r.v\"\n{line}");
        wrong(&view("cron = \"0 0 31 2 *\""), "10:8 refresh[0].cron");
        wrong(&view("cron = \"0 0 31 2 *\""), "never due");
        wrong(&view("cron = \"0 0 1 * * *\""), "has 6 fields, and must have 5");
        wrong(&view("cron = \"0 25 * * *\""), "the hour \"25\"");
        wrong(
            &view("cron = \"0 1 * * *\"\ntime_zone = \"Stockholm\""),
            "did you mean \"Europe/Stockholm\"?",
        );
        wrong(&view("max_age = \"-5 min\""), "out of range");
        wrong(&view("max_age = \"0 s\""), "at least 1 s");
        wrong(
            &view("every = \"1 h\"\nmax_age = \"1 h\""),
            "cannot stand beside every",
        );
        wrong("view = \"\"\nevery = \"1 h\"", "view is needed");
        wrong("view = \"orders\"\nevery = \"1 h\"", "\"public.orders\"");
        wrong(&view(""), "when is the view due?");
        wrong(&view("after = \"base\""), "with its schema");
        wrong(&view("after = \"r.v\""), "r.v after r.v");
        wrong(
            &view("every = \"1 h\"\nnot_between = [\"9-17\"]"),
            "the hours \"9-17\"",
        );
        wrong(&view("every = \"1 h\"\nmissed = \"never\""), "once");
        wrong(
            &view("every = \"1 h\"\nevry = \"1 h\""),
            "did you mean \"every\"?",
        );
        wrong(&view("every = \"1 h\"\nwork_mem = \"1 kB\""), "from 64 KiB");
        let without = format!("{WITH_SERVERS}[[refresh]]\nview = \"r.v\"\nevery = \"1 h\"");
        assert!(errors(&without)[0].contains("several servers"));
        let unknown = format!("{WITH_SERVERS}[[refresh]]\nserver = \"c\"\nview = \"r.v\"\nevery = \"1 h\"");
        assert!(errors(&unknown)[0].contains("no server \"c\""));
    }

    #[test]
    fn views_that_wait_for_each_other_are_told_with_the_whole_circle() {
        let table = |view: &str, after: &str| {
            format!("[[refresh]]\nserver = \"a\"\nview = \"r.{view}\"\nafter = \"r.{after}\"\n")
        };
        let ring = format!(
            "{WITH_SERVERS}{}{}{}",
            table("x", "y"),
            table("y", "z"),
            table("z", "x")
        );
        let errors = errors(&ring);
        assert_eq!(errors.len(), 3);
        assert!(
            errors[0].contains("r.x after r.y after r.z after r.x"),
            "{errors:?}"
        );
        // the last table that matches counts: this one ends the chain
        let ended = format!("{ring}[[refresh]]\nserver = \"a\"\nview = \"r.z\"\nevery = \"1 h\"\n");
        assert_eq!(super::tests::errors(&ended), Vec::<String>::new());
    }
}

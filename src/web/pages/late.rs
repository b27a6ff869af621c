//! What of a server is late: looks that should have been taken again by now, and materialized views that should have been
//! refreshed.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::refreshes::ViewLine;
use crate::model::status::{Look, ServerStatus};

/// A look is late after so many times the time that lies between two of its family.
const TIMES: f64 = 3.0;
/// Not before that, however often it is taken: it takes its time itself.
const LATE_AT_LEAST_SECONDS: f64 = 60.0;

/// Families that are not read at every turn, and not at all where there is nothing of the kind any more.
const WHEN_NEEDED: [&str; 3] = ["statement texts", "materialized views", "refreshing"];

/// Whether a look is at what is still watched: what is known of the last look at a database stays when that is dropped, or left
/// out. Of a server that was not seen yet nobody knows.
pub fn is_watched(server: &ServerStatus, look: &Look) -> bool {
    let is_there = |database: &String| server.databases.contains(database);
    server.databases.is_empty() || look.database.as_ref().is_none_or(is_there)
}

/// Whether a look should have been taken again by now: by how far apart those of its family are, stretched as they may be.
/// Where that is not known, nothing is said.
pub fn is_late(now: DateTime<Utc>, server: &ServerStatus, look: &Look) -> bool {
    let mut families = server.families.iter();
    let cost = families.find(|cost| cost.family == look.family);
    let every_seconds = cost.and_then(|cost| cost.every_seconds);
    let ago_seconds = (now - look.at).num_milliseconds() as f64 / 1000.0;
    is_watched(server, look)
        && !WHEN_NEEDED.contains(&look.family.as_str())
        && every_seconds.is_some_and(|every| ago_seconds > (TIMES * every).max(LATE_AT_LEAST_SECONDS))
}

/// The looks at a server that are late; of one that does not answer none, since that is told instead.
pub fn late_looks<'a>(now: DateTime<Utc>, server: &ServerStatus, looks: &'a [Look]) -> Vec<&'a Look> {
    let is_its = |look: &&Look| look.server == server.name && is_late(now, server, look);
    match server.unreachable {
        Some(_) => Vec::new(),
        None => looks.iter().filter(is_its).collect(),
    }
}

/// What of a server is late.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Late {
    /// Materialized views that are older than promised, or overdue.
    pub refreshes: usize,
    /// Looks that should have been taken again by now; those at a server that does not answer are not counted.
    pub looks: usize,
    /// The one of them that is longest ago.
    pub oldest_look: Option<Look>,
}

impl Late {
    /// Of one server, from what is known of all.
    pub fn of(now: DateTime<Utc>, server: &ServerStatus, looks: &[Look], views: &[ViewLine]) -> Self {
        let late = late_looks(now, server, looks);
        let is_late = |view: &&ViewLine| view.server == server.name && view.is_late;
        Self {
            refreshes: views.iter().filter(is_late).count(),
            looks: late.len(),
            oldest_look: late.into_iter().min_by_key(|look| look.at).cloned(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::refresh::{Promise, ViewName, ViewStatus};
    use crate::web::pages::sample;
    use chrono::TimeDelta;

    /// A look at the server `main`, so many minutes ago.
    pub(in crate::web::pages) fn look(family: &str, database: Option<&str>, minutes_ago: i64) -> Look {
        Look {
            server: "main".into(),
            family: family.into(),
            database: database.map(str::to_owned),
            at: sample::now() - TimeDelta::minutes(minutes_ago),
            elapsed_seconds: 0.1,
            rows: 1,
            error: None,
        }
    }

    /// A view that is due since so many minutes.
    pub(in crate::web::pages) fn view(server: &str, minutes: i64) -> ViewLine {
        let status = ViewStatus {
            view: ViewName {
                database: "shop".into(),
                schema: "public".into(),
                name: sample::HOSTILE.into(),
            },
            exists: true,
            is_populated: true,
            schedule: Some("every 1 h".into()),
            max_age_seconds: None,
            interval_seconds: Some(3600.0),
            fresh_as_of: None,
            refreshed_at: None,
            refreshed_by_others: false,
            next_due_at: Some(sample::now() - TimeDelta::minutes(minutes)),
            waits_for: None,
            how: "plain".into(),
            can_refresh: true,
            is_paused: false,
            depends_on: Vec::new(),
            tables: Vec::new(),
            never_unchanged: Vec::new(),
            size_bytes: None,
            unique_index: None,
            has_readers: None,
            read_at: None,
            readers_watched_since: None,
            promise: Promise::ExactlyOnce,
            why_no_record: None,
        };
        ViewLine::new(sample::now(), server.to_owned(), status, None)
    }

    #[test]
    fn late_is_more_than_three_times_as_long_ago_as_looks_are_apart() {
        // statements every minute, the catalog every ten
        let mut server = sample::server("main");
        let late = |server: &ServerStatus, family: &str, minutes_ago: i64| {
            is_late(sample::now(), server, &look(family, None, minutes_ago))
        };
        assert!(!late(&server, "statements", 3) && late(&server, "statements", 4));
        assert!(!late(&server, "catalog", 30) && late(&server, "catalog", 31));
        server.families[0].every_seconds = Some(4800.0);
        assert!(
            !late(&server, "catalog", 240),
            "it is stretched to stay within the budget"
        );
        assert!(late(&server, "catalog", 241));
        server.families[1].every_seconds = Some(1.0);
        assert!(!late(&server, "statements", 1), "a look takes its time");
        assert!(
            !late(&server, "sessions", 999),
            "how far apart they are is not known"
        );
        server.families[0].family = "statement texts".into();
        assert!(!late(&server, "statement texts", 999), "there are no new ones");
    }

    #[test]
    fn the_oldest_of_what_is_late_is_told() {
        let mut server = sample::server("main");
        let mut elsewhere = look("statements", None, 999);
        elsewhere.server = "other".into();
        let looks = [
            look("statements", None, 9),
            look("catalog", Some("shop"), 99),
            look("catalog", Some("dropped"), 9999),
            elsewhere,
        ];
        let views = [view("main", 5), view("main", -5), view("other", 5)];
        let late = Late::of(sample::now(), &server, &looks, &views);
        assert_eq!((late.looks, late.oldest_look.as_ref()), (2, Some(&looks[1])));
        assert_eq!(late.refreshes, 1);
        server.unreachable = Some("refused".into());
        assert_eq!(Late::of(sample::now(), &server, &looks, &[]), Late::default());
    }
}

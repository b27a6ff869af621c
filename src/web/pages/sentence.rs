//! The sentence at the top of the overview: what should be done now, and what is it worth? Only what is known counts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::coverage::Coverage;
use super::present::{capital, number_word, per_day, percent, plural};
use super::servers::{running, silent};
use super::spark;
use crate::model::finding::{Severity, State};
use crate::model::fold::Outline;
use crate::model::status::{LoadPoint, ServerStatus};
use crate::model::unit::{bytes_for_people, count_for_people, seconds_for_people};

/// The first line of the overview.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headline {
    /// The sentence.
    pub sentence: String,
    /// Whether nothing has to be done.
    pub calm: bool,
}

/// Days below which a coming exhaustion is named in the sentence.
const SOON_DAYS: f64 = 60.0;
/// Days below which it is named first.
const URGENT_DAYS: f64 = 14.0;
/// The part of a day whose load must be known before shares of it are told.
const ENOUGH_OF_A_DAY: f64 = 0.25;

/// What several findings say of one thing counts once: the largest value per server, database and subject.
fn without_overlap<'a>(
    findings: &[&'a Outline],
    value: impl Fn(&Outline) -> Option<f64>,
) -> BTreeMap<(&'a str, Option<&'a str>, &'a str), f64> {
    let mut largest = BTreeMap::new();
    for finding in findings {
        let Some(value) = value(finding).filter(|value| *value > 0.0) else {
            continue;
        };
        // what is said of a whole server or database is not one thing
        let subject = match finding.subject.as_str() {
            "" => finding.fingerprint.as_str(),
            subject => subject,
        };
        let entry = largest
            .entry((finding.server.as_str(), finding.database.as_deref(), subject))
            .or_insert(0.0_f64);
        *entry = entry.max(value);
    }
    largest
}

/// `41 %` of database time where the load of all servers in question is known, else seconds a day.
fn cost(seconds: f64, servers: &[&str], now: DateTime<Utc>, loads: &[(String, Vec<LoadPoint>)]) -> String {
    let per_server = |server: &&str| {
        let points = &loads.iter().find(|(name, _)| name == server)?.1;
        spark::average(now, points)
            .filter(|(_, known)| *known >= ENOUGH_OF_A_DAY)
            .map(|(load, _)| load * 86_400.0)
    };
    let total: Option<f64> = servers.iter().map(per_server).sum();
    match total.map(|total| seconds / total) {
        Some(share) if (0.005..=1.0).contains(&share) => format!("{} of database time", percent(share)),
        _ => format!(
            "{} of database time a day",
            per_day(seconds).trim_end_matches("/day")
        ),
    }
}

/// "three findings cost", "one finding costs".
fn counted(number: usize, noun: (&str, &str), verb: (&str, &str)) -> String {
    let (noun, verb) = if number == 1 {
        (noun.0, verb.0)
    } else {
        (noun.1, verb.1)
    };
    format!("{} {noun} {verb}", number_word(number))
}

/// "one limit is reached in 12 days", and the days.
fn exhaustion(open: &[&Outline]) -> Option<(String, f64)> {
    let mut days: Vec<f64> = open
        .iter()
        .filter_map(|f| f.impact.days_left)
        .filter(|d| *d < SOON_DAYS)
        .collect();
    days.sort_by(f64::total_cmp);
    let first = *days.first()?;
    let when = match first {
        d if d <= 0.0 => "already".to_owned(),
        d if d < 2.0 => format!("in {}", seconds_for_people(d * 86_400.0)),
        d => format!("in {} days", count_for_people(d.floor())),
    };
    let text = match days.len() {
        1 => format!("one limit is reached {when}"),
        n => format!("{} limits are reached, the first {when}", number_word(n)),
    };
    Some((text, first))
}

/// "three findings cost 41 % of database time".
fn time(open: &[&Outline], now: DateTime<Utc>, loads: &[(String, Vec<LoadPoint>)]) -> Option<String> {
    let queries: Vec<&Outline> = open
        .iter()
        .copied()
        .filter(|f| f.rule.starts_with("query."))
        .collect();
    let costs = without_overlap(&queries, |f| f.impact.db_seconds_per_day);
    let number = queries
        .iter()
        .filter(|f| f.impact.db_seconds_per_day.is_some_and(|s| s > 0.0))
        .count();
    let mut servers: Vec<&str> = costs.keys().map(|(server, _, _)| *server).collect();
    servers.dedup();
    let what = cost(costs.values().sum(), &servers, now, loads);
    (number > 0).then(|| {
        format!(
            "{} {what}",
            counted(number, ("finding", "findings"), ("costs", "cost"))
        )
    })
}

/// "two hold 4.2 GiB of disk".
fn disk(open: &[&Outline], noun: bool) -> Option<String> {
    let on_disk: Vec<&Outline> = open
        .iter()
        .copied()
        .filter(|f| f.rule.starts_with("index.") || f.rule.starts_with("table."))
        .collect();
    let sizes = without_overlap(&on_disk, |f| f.impact.bytes);
    let number = on_disk
        .iter()
        .filter(|f| f.impact.bytes.is_some_and(|b| b > 0.0))
        .count();
    let nouns = if noun { ("finding", "findings") } else { ("", "") };
    let bytes = bytes_for_people(sizes.values().sum());
    let text = format!("{} {bytes} of disk", counted(number, nouns, ("holds", "hold"))).replace("  ", " ");
    (number > 0).then_some(text)
}

/// What can be said when nothing costs time or disk and nothing runs out.
fn plain(open: &[&Outline], acknowledged: usize, coverage: &Coverage) -> String {
    let critical = open.iter().filter(|f| f.severity == Severity::Critical).count();
    let warning = open.iter().filter(|f| f.severity == Severity::Warning).count();
    match (critical, warning, open.len(), acknowledged) {
        (0, 0, 0, 0) if coverage.is_whole() => "nothing needs you".to_owned(),
        (0, 0, 0, 0) => "nothing was found in what could be judged".to_owned(),
        (0, 0, 0, n) => format!(
            "nothing new needs you; {} acknowledged",
            counted(n, ("finding", "findings"), ("is", "are"))
        ),
        (0, 0, n, _) => format!(
            "{} worth a look, none urgent",
            counted(n, ("finding", "findings"), ("is", "are"))
        ),
        (0, n, _, _) => counted(n, ("warning", "warnings"), ("needs you", "need you")),
        (n, _, _, _) => counted(
            n,
            ("critical finding", "critical findings"),
            ("needs you", "need you"),
        ),
    }
}

impl Headline {
    /// Says what is known of these findings and servers.
    pub fn of(
        now: DateTime<Utc>,
        findings: &[Outline],
        servers: &[ServerStatus],
        loads: &[(String, Vec<LoadPoint>)],
        coverage: &Coverage,
    ) -> Self {
        let open: Vec<&Outline> = findings.iter().filter(|f| f.state == State::Open).collect();
        if open.is_empty() && servers.iter().all(|s| s.last_seen_at.is_none()) {
            return Self {
                sentence: nothing_is_known(servers),
                calm: false,
            };
        }
        let time = time(&open, now, loads);
        let disk = disk(&open, time.is_none());
        let limit = exhaustion(&open);
        let urgent = limit.as_ref().is_some_and(|(_, days)| *days < URGENT_DAYS);
        let limit = limit.map(|(text, _)| text);
        let order = if urgent {
            [limit, time, disk]
        } else {
            [time, limit, disk]
        };
        let mut parts: Vec<String> = order.into_iter().flatten().take(2).collect();
        if parts.is_empty() {
            parts.push(plain(&open, findings.len() - open.len(), coverage));
        }
        if open.is_empty() {
            parts.extend(coverage.unjudged_rules());
        }
        parts.extend(silent(now, &running(servers)));
        let waiting: Vec<String> = coverage
            .never_seen
            .iter()
            .filter(|name| !coverage.unreachable.contains(name))
            .cloned()
            .collect();
        parts.extend(of_servers(&waiting, "has not been seen yet"));
        Self {
            sentence: capital(&parts.join("; ")) + ".",
            calm: open.is_empty() && coverage.is_whole(),
        }
    }
}

/// Before the first look, or where none was ever possible.
fn nothing_is_known(servers: &[ServerStatus]) -> String {
    let lost: Vec<String> = servers
        .iter()
        .filter(|s| s.unreachable.is_some())
        .map(|s| s.name.clone())
        .collect();
    match of_servers(&lost, "was never reached") {
        _ if servers.is_empty() => "No server is configured.".to_owned(),
        Some(lost) => format!("Nothing is known yet: {lost}."),
        None => "The first look has not come back yet.".to_owned(),
    }
}

/// "main cannot be reached", "2 servers cannot be reached"; nothing where there is none.
fn of_servers(names: &[String], what: &str) -> Option<String> {
    match names {
        [] => None,
        [one] => Some(format!("{} {what}", super::present::visible(one))),
        many => {
            let what = what.replace("was ", "were ").replace("has ", "have ");
            Some(format!("{} {what}", plural(many.len(), "server", "servers")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Finding;
    use crate::web::pages::sample;

    fn says(findings: &[Finding], servers: &[ServerStatus], loads: &[(String, Vec<LoadPoint>)]) -> String {
        Headline::of(
            sample::now(),
            &findings.iter().map(Outline::of).collect::<Vec<_>>(),
            servers,
            loads,
            &Coverage::of(servers, &[], &[]),
        )
        .sentence
    }

    fn finding(rule: &str, seconds: Option<f64>, bytes: Option<f64>, days: Option<f64>) -> Finding {
        let mut finding = sample::finding(rule, "orders");
        let impact = &mut finding.claim.impact;
        (impact.db_seconds_per_day, impact.bytes, impact.days_left) = (seconds, bytes, days);
        finding
    }

    #[test]
    fn none_is_calm() {
        assert_eq!(says(&[], &[], &[]), "No server is configured.");
        assert_eq!(says(&[], &[sample::server("main")], &[]), "Nothing needs you.");
        let servers = [sample::server("main")];
        let coverage = Coverage::of(&servers, &[], &[]);
        assert!(Headline::of(sample::now(), &[], &servers, &[], &coverage).calm);
        let mut known = finding("index.unused", None, None, None);
        known.state = State::Acknowledged;
        assert_eq!(
            says(&[known], &[sample::server("main")], &[]),
            "Nothing new needs you; one finding is acknowledged."
        );
    }

    #[test]
    fn a_lost_server_is_said() {
        let mut server = sample::server("main");
        server.unreachable = Some("refused".into());
        assert_eq!(
            says(&[], std::slice::from_ref(&server), &[]),
            "Nothing was found in what could be judged; main cannot be reached (it last answered 14 s ago)."
        );
        let mut second = sample::server("second");
        (second.last_seen_at, second.unreachable) = (None, server.unreachable.clone());
        assert_eq!(
            says(&[], std::slice::from_ref(&second), &[]),
            "Nothing is known yet: second was never reached."
        );
        second.unreachable = None;
        assert_eq!(
            says(&[], &[sample::server("main"), second], &[]),
            "Nothing was found in what could be judged; second has not been seen yet."
        );
    }

    #[test]
    fn what_could_not_be_judged_is_never_well() {
        let servers = [sample::server("main")];
        let outcomes = [
            sample::skipped(
                "main",
                "query.slow_mean",
                "no extension",
                Some("CREATE EXTENSION x"),
            ),
            sample::skipped(
                "main",
                "query.time_share",
                "no extension",
                Some("CREATE EXTENSION x"),
            ),
        ];
        let coverage = Coverage::of(&servers, &outcomes, &[]);
        let headline = Headline::of(sample::now(), &[], &servers, &[], &coverage);
        assert!(!headline.calm);
        assert_eq!(
            headline.sentence,
            "Nothing was found in what could be judged; 2 rules could not be."
        );
    }

    #[test]
    fn the_same_statement_counts_once() {
        let two = [
            finding("query.slow_mean", Some(8640.0), None, None),
            finding("query.time_share", Some(8640.0), None, None),
        ];
        let servers = [sample::server("main")];
        assert_eq!(
            says(&two, &servers, &[]),
            "Two findings cost 2 h 24 min of database time a day."
        );
        let loads = [("main".to_owned(), sample::load(0.2))];
        assert_eq!(
            says(&two, &servers, &loads),
            "Two findings cost 50 % of database time."
        );
    }

    #[test]
    fn what_runs_out_and_what_lies_on_disk() {
        let servers = [sample::server("main")];
        let wrap = finding("vacuum.xid_wraparound", None, None, Some(12.3));
        let index = finding("index.unused", None, Some(3.0 * 1_073_741_824.0), None);
        assert_eq!(
            says(&[wrap, index.clone()], &servers, &[]),
            "One limit is reached in 12 days; one finding holds 3.0 GiB of disk."
        );
        let slow = finding("query.slow_mean", Some(60.0), None, None);
        assert_eq!(
            says(&[slow, index], &servers, &[]),
            "One finding costs 1 min of database time a day; one holds 3.0 GiB of disk."
        );
    }
}

//! activity.wait_hotspot

mod events;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::finding::{Claim, Impact, Severity, Who};
use crate::model::history::WaitKey;
use crate::model::observation::{Observation, Unknown, Waits};
use crate::model::remedy::Remedy;
use crate::rules::{Found, Guards, Place, Rule, Samples, Scope, evidence, number, sessions, statements};
use events::{Meaning, meaning};

/// Sessions spend much of their time waiting, and for one kind of thing.
///
/// ## Why it is bad
/// What waits does no work, and a server on which most sessions wait for the same thing gets no faster with more cores,
/// more memory or more connections: only less of that one thing helps, or more of what provides it.
///
/// ## What to do
/// It depends on the event; the finding says it. Locks: shorter transactions, rows and tables always locked in the same
/// order. WAL: fewer and larger commits, a faster device for it. Buffers: fewer sessions at the same few pages. Reads: an
/// index, or more memory. The client: less to send, or a nearer program. Begin with the statements that are named.
///
/// ## When it is wrong to obey
/// A load that comes once, such as a bulk load that waits for its device, may as well wait. Events that are not the
/// server's (`Client`, `Timeout`, `Extension`) and advisory locks, by which programs often queue on purpose, are told as
/// info only. Somebody who holds a lock for long is activity.blocking: look there first.
///
/// A sample is what each session was seen doing at one moment, every few seconds (`sample_every` of the server); a session
/// that was seen in two samples counts twice. Judged is the last hour of samples. What a smaller part than
/// half of `info_share` waits for in the last minutes is over and not told, if these have 20 samples or more. Nothing is said of fewer than
/// `minimum_sessions` sessions in `minimum_samples` samples, so that neither one bad moment nor an idle server counts. What
/// waits for nothing is at work (`CPU`), and never a hotspot. Sessions of which the server does not tell what they do count
/// as if they were active and waited for something else, so that a share is told too small, never too large. It is a warning only where the cores of the machine are
/// declared (`cores` of the server). Source: PostgreSQL's chapter "The Cumulative Statistics System", wait events.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitHotspot {
    /// Part of all active sessions in samples, 0 to 1, that wait for one event from which it is worth knowing.
    info_share: f64,
    /// Part of all active sessions in samples, 0 to 1, from which it is a warning where more are active than there are cores.
    warning_share: f64,
    /// So many active sessions must have been seen in all samples together.
    minimum_sessions: i64,
    /// So many samples must have been taken.
    minimum_samples: i64,
    /// Average active sessions below which the server is nearly idle, and nothing is said.
    minimum_load: f64,
}

impl Default for WaitHotspot {
    fn default() -> Self {
        Self {
            info_share: 0.25,
            warning_share: 0.5,
            minimum_sessions: 500,
            minimum_samples: 60,
            minimum_load: 0.5,
        }
    }
}

const NOT_SAMPLED: &str = "nobody has sampled in the last minutes what sessions do";
/// Fewer samples of the last minutes do not show that something is over.
const ENOUGH_LATELY: u64 = 20;
/// Names of each kind that a finding tells.
const TOLD: usize = 5;

impl Rule for WaitHotspot {
    const ID: &'static str = "activity.wait_hotspot";
    const SCOPE: Scope = Scope::Server;
    const SAMPLES: Samples = Samples::Read;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        // a right that is missing is told before time that is missing
        sessions::seen(place)?;
        let waits = place.observation.waits.as_ref().map_err(Clone::clone)?;
        if (waits.samples as i64) < self.minimum_samples {
            return Err(Unknown::because(format!(
                "needs {} samples of what sessions do, and has {}",
                self.minimum_samples, waits.samples
            )));
        }
        let mut found = Found::default();
        if waits.load_sessions() < self.minimum_load {
            found.absence_is_no_proof = Some(statements::IDLE.to_owned());
            return Ok(found);
        }
        if (waits.sessions() as i64) < self.minimum_sessions {
            found.absence_is_no_proof = Some(format!(
                "needs {} active sessions in samples, and has seen {}",
                self.minimum_sessions,
                waits.sessions()
            ));
            return Ok(found);
        }
        if waits.hidden_sessions > 0 {
            found.absence_is_no_proof = Some(format!(
                "in samples of the last hour what {} sessions did was hidden, beside {} that were seen active",
                waits.hidden_sessions,
                waits.sessions()
            ));
        }
        let is_enough = waits.samples_lately >= ENOUGH_LATELY;
        for hotspot in hotspots(waits) {
            match waits.share_lately(hotspot.event) {
                // it was waited for, and hardly is any longer
                Some(share) if is_enough && share < self.info_share / 2.0 => continue,
                Some(_) => {}
                None => {
                    found.undecided.push(vec![hotspot.event.to_owned()]);
                    found.untold = Some(NOT_SAMPLED.to_owned());
                    continue;
                }
            }
            let severity = self.severity(&hotspot, waits, place.observation.server.declared.cores);
            found
                .claims
                .extend(severity.map(|severity| claim(place, severity, waits, &hotspot)));
        }
        Ok(found)
    }
}

impl WaitHotspot {
    fn severity(&self, hotspot: &Hotspot<'_>, waits: &Waits, cores: Option<u32>) -> Option<Severity> {
        if hotspot.share < self.info_share {
            return None;
        }
        let is_crowded = cores.is_some_and(|cores| waits.load_sessions() > f64::from(cores));
        match hotspot.share >= self.warning_share && is_crowded && hotspot.meaning.is_of_the_server {
            true => Some(Severity::Warning),
            false => Some(Severity::Info),
        }
    }
}

/// One event that sessions were seen waiting for.
struct Hotspot<'a> {
    event: &'a str,
    sessions: u64,
    /// Of all active sessions, 0 to 1; at least that where some were hidden.
    share: f64,
    meaning: Meaning,
    seen: Vec<(&'a WaitKey, u64)>,
}

/// What sessions waited for, most first.
fn hotspots(waits: &Waits) -> Vec<Hotspot<'_>> {
    // what is hidden may be idle, at work, or waiting for anything
    let all = (waits.sessions() + waits.hidden_sessions).max(1) as f64;
    let mut by_event: BTreeMap<&str, Vec<(&WaitKey, u64)>> = BTreeMap::new();
    for (key, sessions) in &waits.seen {
        if ![WaitKey::CPU, WaitKey::OTHERS].contains(&key.event.as_str()) {
            by_event.entry(&key.event).or_default().push((key, *sessions));
        }
    }
    let mut hotspots: Vec<Hotspot<'_>> = by_event
        .into_iter()
        .map(|(event, seen)| {
            let sessions: u64 = seen.iter().map(|(_, sessions)| sessions).sum();
            Hotspot {
                event,
                sessions,
                share: sessions as f64 / all,
                meaning: meaning(event),
                seen,
            }
        })
        .collect();
    hotspots.sort_by(|a, b| b.sessions.cmp(&a.sessions).then(a.event.cmp(b.event)));
    hotspots
}

impl Hotspot<'_> {
    /// What most of them have in common by one of their names, most first, with its part of them.
    fn by<'b>(&'b self, name: impl Fn(&'b WaitKey) -> &'b str) -> Vec<(&'b str, f64)> {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (key, sessions) in &self.seen {
            *sums.entry(name(key)).or_default() += sessions;
        }
        let mut sums: Vec<(&str, u64)> = sums.into_iter().collect();
        sums.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let all = self.sessions.max(1) as f64;
        let parts = sums.into_iter().take(TOLD);
        parts
            .map(|(name, sessions)| (name, sessions as f64 / all))
            .collect()
    }
}

fn percent(ratio: f64) -> String {
    format!("{:.0} %", ratio * 100.0)
}

/// `80 %: shop`.
fn told(parts: &[(&str, f64)], unknown: &str) -> Value {
    let line = |(name, part): &(&str, f64)| {
        let name = if name.is_empty() { unknown } else { *name };
        format!("{}: {name}", percent(*part))
    };
    json!(parts.iter().map(line).collect::<Vec<_>>())
}

/// The statements in which they wait: their outlines where these are known.
fn told_statements(observation: &Observation, hotspot: &Hotspot<'_>) -> Value {
    let activity = observation.statements.as_ref().ok();
    let outline = |id: &str| {
        let mut known = activity?.statements.iter();
        let statement = known.find(|statement| statement.text.statement_id == id)?;
        Some(crate::sql::outline(&statement.text.text))
    };
    let line = |(id, part): (&str, f64)| {
        let name = match (id, outline(id)) {
            ("", _) => "not known to pg_stat_statements yet, or no query".to_owned(),
            (id, None) => id.to_owned(),
            (id, Some(outline)) => format!("{outline} ({id})"),
        };
        format!("{}: {name}", percent(part))
    };
    let parts = hotspot.by(|key| &key.statement_id);
    json!(parts.into_iter().map(line).collect::<Vec<_>>())
}

/// All who wait for it, "" of those without a name; nobody where some sessions were hidden or not told apart: who leaves out what some
/// do must not leave out what another one does.
fn who(waits: &Waits, hotspot: &Hotspot<'_>) -> Who {
    if waits.hidden_sessions > 0 || waits.seen.iter().any(|(key, _)| key.event == WaitKey::OTHERS) {
        return Who::default();
    }
    let names = |name: fn(&WaitKey) -> &String| -> Vec<String> {
        let names: BTreeSet<&String> = hotspot.seen.iter().map(|(key, _)| name(key)).collect();
        names.into_iter().cloned().collect()
    };
    Who {
        roles: names(|key| &key.role),
        applications: names(|key| &key.application),
    }
}

fn claim(place: &Place<'_>, severity: Severity, waits: &Waits, hotspot: &Hotspot<'_>) -> Claim {
    let waiting = hotspot.sessions as f64 / waits.samples.max(1) as f64;
    let (load, cores) = (waits.load_sessions(), place.observation.server.declared.cores);
    let (roles, applications) = (hotspot.by(|key| &key.role), hotspot.by(|key| &key.application));
    let mut guards = Guards::default();
    guards.checked(format!(
        "{} active sessions were seen in {} samples",
        waits.sessions(),
        waits.samples
    ));
    guards.checked("ours were left out, and so was whatever no client asked for");
    if waits.hidden_sessions > 0 {
        guards.not_checked(format!(
            "what {} sessions in samples did, which was hidden",
            waits.hidden_sessions
        ));
    }
    if cores.is_none() && hotspot.meaning.is_of_the_server {
        guards.not_checked("whether more sessions are active than there are cores: cores are not declared");
    }
    let share = match waits.hidden_sessions {
        0 => percent(hotspot.share),
        _ => format!("At least {}", percent(hotspot.share)),
    };
    Claim {
        who: who(waits, hotspot),
        title: format!(
            "{share} of the time of active sessions goes into waiting for {}",
            hotspot.event
        ),
        explanation: format!(
            "On average {load:.1} sessions were active, and {waiting:.1} of them waited for it: {}. {}",
            hotspot.meaning.what,
            hotspot.meaning.todo.first().copied().unwrap_or_default()
        ),
        evidence: evidence([
            ("share_ratio", number(hotspot.share)),
            ("waiting_sessions", number(waiting)),
            ("load_sessions", number(load)),
            ("cores", json!(cores)),
            ("statements", told_statements(place.observation, hotspot)),
            ("roles", told(&roles, "not known")),
            ("applications", told(&applications, "no name")),
            ("samples", json!(waits.samples)),
            ("sampled_sessions", json!(waits.sessions())),
        ]),
        evidence_window: Some(waits.window),
        evidence_sql: Some(
            "SELECT wait_event_type, wait_event, count(*)\n  FROM pg_stat_activity\n  \
             WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()\n  \
             GROUP BY 1, 2 ORDER BY 3 DESC"
                .to_owned(),
        ),
        impact: Impact {
            // a program that sleeps or queues on purpose takes no time of the server
            db_seconds_per_day: hotspot.meaning.is_of_the_server.then_some(waiting * 86_400.0),
            ..Impact::default()
        },
        confidence: guards.confidence("sampled from pg_stat_activity"),
        remedy: Remedy {
            caveats: hotspot
                .meaning
                .todo
                .iter()
                .map(|todo| (*todo).to_owned())
                .collect(),
            ..Remedy::default()
        },
        guards: guards.told(),
        ..place.claim(WaitHotspot::ID, severity, vec![hotspot.event.to_owned()], None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::ConfidenceLevel;
    use crate::rules::testing::{claims, found, observation, severities, statement, waits};

    /// So many sessions in 100 samples on a machine of four cores.
    fn observed(seen: &[(&str, u64)]) -> Observation {
        let mut observed = observation(vec![statement("SELECT 1 FROM a", 10, 5.0)], 0.0);
        observed.waits = Ok(waits(100, seen));
        observed.server.declared.cores = Some(4);
        observed
    }

    #[test]
    fn the_edges_of_its_shares() {
        let severity = |waiting: u64| {
            severities::<WaitHotspot>(&observed(&[("CPU", 1000 - waiting), ("IO: WALSync", waiting)]))
        };
        assert_eq!(severity(249), []);
        assert_eq!(severity(250), [Severity::Info]);
        assert_eq!(severity(499), [Severity::Info]);
        assert_eq!(severity(500), [Severity::Warning]);
    }

    #[test]
    fn a_warning_needs_more_active_sessions_than_declared_cores() {
        let claim = |cores: Option<u32>| {
            let mut observed = observed(&[("IO: WALSync", 1000)]);
            observed.server.declared.cores = cores;
            claims::<WaitHotspot>(&observed).unwrap().remove(0)
        };
        assert_eq!(claim(Some(9)).severity, Severity::Warning);
        assert_eq!(
            claim(Some(10)).severity,
            Severity::Info,
            "ten sessions are not above ten cores"
        );
        let unknown = claim(None);
        assert_eq!(
            (unknown.severity, unknown.confidence.level),
            (Severity::Info, ConfidenceLevel::Estimated)
        );
        assert!(
            unknown
                .guards
                .iter()
                .any(|guard| guard.contains("cores are not declared"))
        );
    }

    #[test]
    fn what_is_not_the_servers_is_no_warning_and_work_is_no_wait() {
        for event in [
            "Client: ClientWrite",
            "Timeout: PgSleep",
            "Extension: Extension",
            "Lock: advisory",
        ] {
            assert_eq!(
                severities::<WaitHotspot>(&observed(&[(event, 1000)])),
                [Severity::Info],
                "{event}"
            );
            let claim = claims::<WaitHotspot>(&observed(&[(event, 1000)]))
                .unwrap()
                .remove(0);
            assert_eq!(claim.impact.db_seconds_per_day, None, "{event}");
        }
        assert_eq!(
            severities::<WaitHotspot>(&observed(&[("CPU", 600), ("others", 400)])),
            []
        );
        assert_eq!(
            severities::<WaitHotspot>(&observed(&[("Lock: tuple", 300), ("others", 1000)])),
            [],
            "what is not told apart counts in the whole"
        );
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_told() {
        let judged = |waiting: u64, samples: u64| {
            let mut observed = observed(&[("Lock: tuple", 900), ("CPU", 100)]);
            let Ok(waits) = &mut observed.waits else { panic!() };
            waits.seen_lately = [("Lock: tuple".to_owned(), waiting), ("CPU".to_owned(), 75)].into();
            waits.samples_lately = samples;
            let found = found::<WaitHotspot>(&observed).unwrap();
            (
                found.claims.len(),
                found.undecided.len(),
                found.absence_is_no_proof,
            )
        };
        assert_eq!(judged(11, 60), (1, 0, None), "half of a quarter");
        assert_eq!(judged(10, 60), (0, 0, None), "it is over");
        assert_eq!(judged(0, 20), (0, 0, None), "it is over");
        assert_eq!(judged(0, 19), (1, 0, None), "too few samples to tell");
        assert_eq!(judged(0, 0), (0, 1, None), "nobody knows");
    }

    #[test]
    fn few_samples_and_idle_servers_say_nothing() {
        let few = |samples: u64, sessions: u64| {
            let mut observed = observed(&[]);
            observed.waits = Ok(waits(samples, &[("Lock: relation", sessions)]));
            found::<WaitHotspot>(&observed)
        };
        assert_eq!(few(60, 500).unwrap().claims.len(), 1);
        let reason = few(59, 500).unwrap_err().reason;
        assert_eq!(reason, "needs 60 samples of what sessions do, and has 59");
        let quiet = |found: Result<Found, Unknown>| {
            let found = found.unwrap();
            assert_eq!(found.claims.len(), 0);
            found.absence_is_no_proof.unwrap()
        };
        assert_eq!(
            quiet(few(60, 499)),
            "needs 500 active sessions in samples, and has seen 499"
        );
        assert_eq!(quiet(few(1001, 500)), statements::IDLE);
        assert_eq!(few(1000, 500).unwrap().claims.len(), 1);
    }

    #[test]
    fn what_was_hidden_is_unknown() {
        let with_hidden = |sessions: u64| {
            let mut observed = observed(&[("Lock: relation", 1000)]);
            let Ok(waits) = &mut observed.waits else { panic!() };
            waits.hidden_sessions = sessions;
            observed
        };
        let some = found::<WaitHotspot>(&with_hidden(1000)).unwrap();
        assert!(
            some.absence_is_no_proof
                .unwrap()
                .contains("what 1000 sessions did was hidden")
        );
        assert!(
            some.claims[0].title.starts_with("At least 50 % of"),
            "{}",
            some.claims[0].title
        );
        assert_eq!(some.claims[0].confidence.level, ConfidenceLevel::Estimated);
        let most = found::<WaitHotspot>(&with_hidden(3001)).unwrap();
        assert!(
            most.claims.is_empty() && most.absence_is_no_proof.is_some(),
            "it may be less than a quarter"
        );
        let mut hidden = with_hidden(1);
        hidden.server.sees_all_sessions = false;
        assert!(claims::<WaitHotspot>(&hidden).unwrap_err().remedy_sql.is_some());
        let single = observation(vec![], 0.0);
        assert!(
            claims::<WaitHotspot>(&single)
                .unwrap_err()
                .reason
                .starts_with("needs ")
        );
    }

    #[test]
    fn it_is_ignored_if_all_who_wait_are() {
        use crate::model::selector::{Ignore, Selector};
        // whether those of the role and application `etl*` are left out, beside these, of which each waits once
        let is_ignored = |others: &[(&str, &str)]| {
            let mut observed = observed(&[("IO: WALSync", 1000)]);
            let Ok(waits) = &mut observed.waits else { panic!() };
            let key = waits.seen[0].0.clone();
            waits.seen.clear();
            let mut see = |role: &str, application: &str, sessions: u64| {
                let one = WaitKey {
                    role: role.into(),
                    application: application.into(),
                    ..key.clone()
                };
                waits.seen.push((one, sessions));
            };
            for number in 0..5 {
                see(&format!("etl{number}"), &format!("etl{number}"), 200);
            }
            others
                .iter()
                .for_each(|(role, application)| see(role, application, 1));
            let claim = claims::<WaitHotspot>(&observed).unwrap().remove(0);
            assert_eq!(claim.evidence["roles"].as_array().unwrap().len(), TOLD);
            let of = |role: &str, application: &str| {
                let selector = Selector {
                    role: role.into(),
                    ..Selector::default()
                };
                let ignore = Ignore {
                    rule: WaitHotspot::ID.into(),
                    selector,
                    application: application.into(),
                    ..Ignore::default()
                };
                ignore.selects(&claim)
            };
            assert!(of("*", "*"));
            (of("etl*", "*"), of("*", "etl*"))
        };
        assert_eq!(is_ignored(&[]), (true, true));
        assert_eq!(is_ignored(&[("etl5", "etl5")]), (true, true));
        assert_eq!(is_ignored(&[("shop", "etl5")]), (false, true), "the sixth");
        assert_eq!(is_ignored(&[("etl5", "shop")]), (true, false));
        assert_eq!(
            is_ignored(&[("etl5", "")]),
            (true, false),
            "one without a name may be another one"
        );
        let mut crowded = observed(&[("IO: WALSync", 900), (WaitKey::OTHERS, 100)]);
        let claim = claims::<WaitHotspot>(&crowded).unwrap().remove(0);
        assert_eq!(claim.who, Who::default(), "some are not told apart");
        let Ok(waits) = &mut crowded.waits else { panic!() };
        waits.seen.pop();
        let claim = claims::<WaitHotspot>(&crowded).unwrap().remove(0);
        assert_eq!(
            (claim.who.roles, claim.who.applications),
            (vec!["app".into()], vec!["shop".into()])
        );
    }

    #[test]
    fn it_tells_who_waits_in_what_and_what_helps() {
        let mut observed = observed(&[("Lock: transactionid", 900), ("CPU", 100)]);
        let Ok(waits) = &mut observed.waits else { panic!() };
        let mut other = waits.seen[0].clone();
        other.1 = 300;
        other.0.statement_id = String::new();
        other.0.role = "batch".into();
        waits.seen.push(other);
        let claim = claims::<WaitHotspot>(&observed).unwrap().remove(0);
        assert_eq!(
            claim.title,
            "92 % of the time of active sessions goes into waiting for Lock: transactionid"
        );
        assert_eq!(claim.subject, ["Lock: transactionid"]);
        assert_eq!(claim.evidence["roles"], json!(["75 %: app", "25 %: batch"]));
        let statements = claim.evidence["statements"].to_string();
        assert!(statements.contains("75 %: SELECT 1 FROM a (") && statements.contains("25 %: not known"));
        assert_eq!(claim.who.roles, ["app", "batch"]);
        assert_eq!(claim.evidence["waiting_sessions"], json!(12.0));
        assert_eq!(claim.impact.db_seconds_per_day, Some(12.0 * 86_400.0));
        assert!(!claim.remedy.caveats.is_empty() && claim.remedy.apply_sql.is_empty());
    }
}

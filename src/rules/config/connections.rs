//! config.connections

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::finding::{Claim, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::Remedy;
use crate::model::session::Session;
use crate::model::snapshot::ServerFacts;
use crate::model::unit::Period;
use crate::rules::activity::long_query::is_ours;
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, measured, number, sessions, settings};

/// Connections are nearly used up, or far more of them are allowed than the machine has cores for.
///
/// ## Why it is bad
/// When the last connection is taken the next one is refused: "too many clients already". Applications fail, and so
/// does who comes to look. But to allow thousands is no way out: a core runs one statement at a time, so more of them
/// at once only make each one slower, each session takes memory, and `work_mem` is granted to all of them.
///
/// ## What to do
/// Look at which applications hold connections that do nothing. Give their pools a limit, or put a pooler (as
/// PgBouncer in transaction mode) in front, and keep `max_connections` near what the machine can do at the same time.
///
/// ## When it is wrong to obey
/// Many connections that are allowed and never used cost little. What stands in front of the server cannot be seen
/// from it: with a pooler there that limits them a large `max_connections` does no harm.
///
/// Sessions of clients are counted against `max_connections` less the reserved ones, for five minutes. Whether too
/// many are allowed is judged only where the configuration tells `cores` in `[[servers]]`.
///
/// Source: PostgreSQL's chapter "Connections and Authentication", Connection Settings.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connections {
    /// Share of the connections, 0 to 1, above which it is a warning.
    warning_ratio: f64,
    /// Share of the connections, 0 to 1, above which it is critical.
    critical_ratio: f64,
    /// Connections that may be allowed for each core, beside `connections_base`.
    connections_per_core: i64,
    /// Connections that may be allowed on any machine.
    connections_base: i64,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            warning_ratio: 0.8,
            critical_ratio: 0.9,
            connections_per_core: 4,
            connections_base: 100,
        }
    }
}

const MAX: &str = "max_connections";
/// Applications that are named.
const APPLICATIONS_NAMED: usize = 5;

impl Rule for Connections {
    const ID: &'static str = "config.connections";
    const SCOPE: Scope = Scope::Server;
    const HOLD: Period = Period::minutes(5);

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let mut found = Found::default();
        let mut unknowns: Vec<Unknown> = Vec::new();
        let parts = [
            (Vec::new(), self.used(place)),
            (vec![MAX.to_owned()], self.allowed(place)),
        ];
        for (subject, judged) in parts {
            match judged {
                Ok(claim) => found.claims.extend(claim),
                Err(unknown) => {
                    found.undecided.push(subject);
                    unknowns.push(unknown);
                }
            }
        }
        let reasons: Vec<&str> = unknowns.iter().map(|unknown| unknown.reason.as_str()).collect();
        let reason = reasons.join("; ");
        match unknowns.len() {
            0 => Ok(found),
            1 => {
                found.untold = Some(reason);
                Ok(found)
            }
            _ => Err(Unknown {
                reason,
                remedy_sql: unknowns.into_iter().find_map(|unknown| unknown.remedy_sql),
            }),
        }
    }
}

/// How many sessions the server takes.
struct Slots {
    all: f64,
    for_superusers: f64,
    /// For members of pg_use_reserved_connections, from 16 on.
    for_members: f64,
}

impl Slots {
    fn of(server: &ServerFacts) -> Result<Self, Unknown> {
        let number = |name: &str| {
            let value = server.setting_number(name);
            value.ok_or_else(|| Unknown::because(format!("{name} could not be read")))
        };
        Ok(Self {
            all: number(MAX)?,
            for_superusers: number("superuser_reserved_connections")?,
            for_members: match server.version_num < 160_000 {
                true => 0.0,
                false => number("reserved_connections")?,
            },
        })
    }

    /// Those that everybody may take, never 0.
    fn for_all(&self) -> f64 {
        (self.all - self.for_superusers - self.for_members).max(1.0)
    }
}

/// How often each name comes, the most frequent first.
fn counted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(&'a str, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    // names that are equally frequent stay in the order of the alphabet
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

fn as_json(counts: &[(&str, usize)]) -> Value {
    let pairs = counts
        .iter()
        .map(|(name, count)| ((*name).to_owned(), json!(count)));
    Value::Object(pairs.collect())
}

/// What to do where they are nearly used up.
fn fewer_sessions() -> Remedy {
    let caveats = [
        "First limit the pools of the applications that hold most, or put a pooler (PgBouncer in transaction mode) in front.",
        "idle_session_timeout for a role ends its sessions that do nothing: a pool must be able to bear that.",
        "More max_connections need a restart and memory, and make no statement faster.",
    ];
    Remedy {
        caveats: caveats.map(str::to_owned).into(),
        ..Remedy::default()
    }
}

impl Connections {
    fn used(&self, place: &Place<'_>) -> Result<Option<Claim>, Unknown> {
        let sessions = sessions::all(place)?;
        let slots = Slots::of(&place.observation.server)?;
        let clients: Vec<&Session> = sessions.iter().filter(|session| session.is_client()).collect();
        let ratio = clients.len() as f64 / slots.for_all();
        if ratio <= self.warning_ratio {
            return Ok(None);
        }
        let severity = match ratio > self.critical_ratio {
            true => Severity::Critical,
            false => Severity::Warning,
        };
        let states = counted(
            clients
                .iter()
                .map(|session| session.state.as_deref().unwrap_or("unknown")),
        );
        // ours take connections like others, and have no pool that could be smaller
        let others = clients.iter().filter(|session| !is_ours(session));
        let mut applications = counted(others.map(|session| session.application_or_type()));
        applications.truncate(APPLICATIONS_NAMED);
        let idle = clients
            .iter()
            .filter(|session| session.state.as_deref() == Some("idle"))
            .count();
        let most = match applications.first() {
            Some((most, count)) if *count > 1 => format!(
                "{most} holds most, {count}: give the pools of applications a limit, or put a pooler in front, before \
                 max_connections is raised."
            ),
            _ => {
                "No application holds more than one: put a pooler in front, before max_connections is raised."
                    .to_owned()
            }
        };
        Ok(Some(Claim {
            title: format!("{} of {} connections are taken", clients.len(), slots.for_all()),
            explanation: format!(
                "{} of the {} connections that clients may have are taken, {idle} of them by sessions that do nothing. When \
                 the last one is taken new ones are refused. {most}",
                clients.len(),
                slots.for_all(),
            ),
            evidence: evidence([
                ("used_connections", json!(clients.len())),
                ("usable_connections", json!(slots.for_all() as i64)),
                ("used_ratio", number(ratio)),
                (MAX, json!(slots.all as i64)),
                ("reserved_for_superusers", json!(slots.for_superusers as i64)),
                ("reserved_for_members", json!(slots.for_members as i64)),
                ("states", as_json(&states)),
                ("applications", as_json(&applications)),
            ]),
            evidence_sql: Some(
                "SELECT application_name, state, count(*) FROM pg_stat_activity\n  \
                 WHERE backend_type = 'client backend' GROUP BY 1, 2 ORDER BY 3 DESC"
                    .to_owned(),
            ),
            confidence: measured("counted in pg_stat_activity"),
            remedy: fewer_sessions(),
            guards: vec![
                "sessions of clients only, without workers and standbys".to_owned(),
                "connections that are reserved are not counted as usable".to_owned(),
            ],
            ..place.claim(Self::ID, severity, Vec::new(), None)
        }))
    }

    fn allowed(&self, place: &Place<'_>) -> Result<Option<Claim>, Unknown> {
        let server = &place.observation.server;
        let cores = server.declared.cores.filter(|cores| *cores > 0).ok_or_else(|| {
            Unknown::because(
                "how many cores the server has is not known: write what it has, as cores = 8, into its [[servers]] of the \
                 configuration",
            )
        })?;
        let setting = settings::servers_own(place, MAX)?;
        let slots = Slots::of(server)?;
        let bound = (self.connections_per_core * i64::from(cores) + self.connections_base) as f64;
        if slots.all <= bound {
            return Ok(None);
        }
        let clients = sessions::all(place).ok();
        let used = clients.map(|all| all.iter().filter(|session| session.is_client()).count());
        let mut guards = Guards::default();
        guards.checked(format!(
            "the server has {cores} cores, as the configuration declares"
        ));
        guards.not_checked("whether a pooler stands in front of the server and keeps them few");
        let mut claim = settings::claim(place, Self::ID, Severity::Warning, MAX, setting);
        claim.title = format!("{MAX} is {} on {cores} cores", slots.all);
        claim.explanation = format!(
            "{} sessions are allowed, and {cores} cores run {cores} statements at a time. If that many come at once all of them \
             are slow, and each takes memory. For this machine {bound} would do: {} for each core and {} more. Put a pooler in \
             front and lower it, unless one is there.",
            slots.all, self.connections_per_core, self.connections_base
        );
        claim.evidence.extend(evidence([
            ("cores", json!(cores)),
            ("cores_known_from", json!("the configuration")),
            ("advised_connections", json!(bound as i64)),
            ("used_connections", json!(used)),
        ]));
        claim.confidence = guards.confidence("read from pg_settings");
        claim.guards.extend(guards.told());
        let caveats = [
            "First put a pooler in front, as PgBouncer in transaction mode: applications that open more are refused \
             afterwards.",
            "A standby must allow at least as many as its primary: lower it on the primary first.",
        ];
        // with a quarter to spare
        let fits = used.is_some_and(|used| used as f64 * 1.25 <= bound - (slots.all - slots.for_all()));
        claim.remedy = match fits {
            true => settings::change(server, MAX, &bound.to_string(), &caveats),
            false => Remedy {
                rewrites_table: Some(false),
                caveats: caveats.iter().map(|caveat| (*caveat).to_owned()).collect(),
                ..Remedy::default()
            },
        };
        Ok(Some(claim))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, found, observation, session, set, severities};

    /// A server with 100 usable connections, of which so many are taken; 64 cores.
    fn observed(used: i32) -> Observation {
        let mut observed = observation(vec![], 0.0);
        set(&mut observed, MAX, "105");
        set(&mut observed, "superuser_reserved_connections", "3");
        set(&mut observed, "reserved_connections", "2");
        observed.server.declared.cores = Some(64);
        let mut sessions: Vec<Session> = (0..used).map(|pid| session(pid, "idle", 1, |_| ())).collect();
        sessions.push(session(-1, "active", 1, |session| {
            session.backend_type = "walsender".into()
        }));
        observed.sessions = Ok(sessions);
        observed
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        for (used, expected) in [
            (80, None),
            (81, Some(Severity::Warning)),
            (90, Some(Severity::Warning)),
            (91, Some(Severity::Critical)),
        ] {
            assert_eq!(
                severities::<Connections>(&observed(used)).pop(),
                expected,
                "{used}"
            );
        }
        let mut older = observed(81);
        older.server.version_num = 150_000;
        older.server.settings.remove("reserved_connections");
        assert_eq!(severities::<Connections>(&older), [], "81 of 102");
    }

    #[test]
    fn who_holds_them_is_named() {
        let mut observed = observed(81);
        let sessions = observed.sessions.as_mut().unwrap();
        sessions[0].application = "report".into();
        sessions[1].application = "admin".into();
        sessions[1].state = Some("active".into());
        let claim = claims::<Connections>(&observed).unwrap().remove(0);
        assert_eq!(
            serde_json::to_string(&claim.evidence["applications"]).unwrap(),
            r#"{"shop":79,"admin":1,"report":1}"#
        );
        assert_eq!(
            serde_json::to_string(&claim.evidence["states"]).unwrap(),
            r#"{"idle":80,"active":1}"#
        );
        assert!(claim.subject.is_empty() && claim.object.is_none());
    }

    #[test]
    fn the_advisor_is_not_told_to_limit_its_pool() {
        let explained = |name: fn(usize) -> String| {
            let mut observed = observed(81);
            let sessions = observed.sessions.as_mut().unwrap();
            for (number, session) in sessions.iter_mut().enumerate() {
                session.application = name(number);
            }
            let claim = claims::<Connections>(&observed).unwrap().remove(0);
            assert_eq!(
                claim.evidence["used_connections"],
                json!(81),
                "ours take some, too"
            );
            assert!(claim.evidence["applications"].get("pgadvisor").is_none());
            claim.explanation
        };
        let two_of_one = explained(|number| match number {
            0..3 => "pgadvisor".to_owned(),
            3..5 => "shop".to_owned(),
            other => format!("job {other}"),
        });
        assert!(two_of_one.contains("shop holds most, 2:"), "{two_of_one}");
        let one_each = explained(|number| match number {
            0..3 => "pgadvisor".to_owned(),
            other => format!("job {other}"),
        });
        assert!(
            one_each.contains("No application holds more than one"),
            "{one_each}"
        );
        assert!(!one_each.contains("pgadvisor"));
    }

    #[test]
    fn more_than_the_cores_can_do() {
        let judged = |max: &str, used: i32| {
            let mut observed = observed(used);
            observed.server.declared.cores = Some(4);
            set(&mut observed, MAX, max);
            let claim = claims::<Connections>(&observed).unwrap().pop();
            claim.map(|claim| (claim.severity, claim.remedy.apply_sql.len()))
        };
        assert_eq!(judged("116", 0), None);
        assert_eq!(judged("117", 0), Some((Severity::Warning, 2)));
        assert_eq!(judged("117", 88), Some((Severity::Warning, 2)));
        assert_eq!(
            judged("117", 89),
            Some((Severity::Warning, 0)),
            "it would be too few for those that are there"
        );
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let mut without_cores = observed(81);
        without_cores.server.declared.cores = None;
        let found = found::<Connections>(&without_cores).unwrap();
        assert_eq!(
            (found.claims.len(), found.undecided),
            (1, vec![vec![MAX.to_owned()]])
        );
        assert!(found.untold.unwrap().contains("cores = 8"));
        let mut unseen = observed(81);
        unseen.server.sees_all_sessions = false;
        unseen.server.login = "observer".into();
        let seen_in_part = crate::rules::testing::found::<Connections>(&unseen).unwrap();
        assert_eq!(
            (seen_in_part.claims.len(), seen_in_part.undecided),
            (0, vec![Vec::new()])
        );
        unseen.server.declared.cores = None;
        let unknown = claims::<Connections>(&unseen).unwrap_err();
        assert_eq!(
            unknown.remedy_sql.as_deref(),
            Some("GRANT pg_read_all_stats TO observer")
        );
        let mut unread = observed(81);
        unread.server.settings.remove("reserved_connections");
        assert!(claims::<Connections>(&unread).is_err());
    }
}

//! pgss.eviction

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Severity};
use crate::model::observation::{StatementActivity, Unknown};
use crate::model::remedy::{Remedy, qualified};
use crate::model::snapshot::{ServerFacts, Setting};
use crate::model::unit::{bytes_for_people, count_for_people};
use crate::rules::{Found, Place, Rule, Scope, evidence, number, settings, statements};

/// pg_stat_statements has too little room for the statements of this server, and forgets some.
///
/// ## Why it is bad
/// When it is full it throws out the twentieth part that was used least, with all that was counted of it. What is called
/// seldom and takes long is lost first, each round takes a lock that new statements wait for, and shares and rates of
/// everything here are less exact.
///
/// ## What to do
/// First see what fills it. Often it is one program that makes a new statement of every call: names of temporary tables,
/// lists of different length in IN (…) before 18, values in SET and other utility statements. Pass an array (`=
/// ANY($1)`), or switch `pg_stat_statements.track_utility` off. If there really are that many statements, raise
/// `pg_stat_statements.max`; that takes a restart.
///
/// ## When it is wrong to obey
/// More entries make every look at pg_stat_statements longer, and new statements wait meanwhile: above 50 000 this never
/// advises more.
///
/// Evictions are rounds, not entries; a window that is shorter than half an hour counts as half an hour. Where it is
/// nearly full and nothing was thrown out in the window, that is told as info. Only top-level statements that have been
/// called are counted here, so that it may be fuller than is told. Source: PostgreSQL's chapter "pg_stat_statements",
/// pg_stat_statements_info.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Eviction {
    /// Evictions in an hour from which it is a warning.
    warning_evictions_per_hour: f64,
    /// Share of pg_stat_statements.max, 0 to 1, above which it is full.
    full_ratio: f64,
}

impl Default for Eviction {
    fn default() -> Self {
        Self {
            warning_evictions_per_hour: 10.0,
            full_ratio: 0.95,
        }
    }
}

/// The setting that it is about.
const MAX: &str = "pg_stat_statements.max";
/// A shorter window counts as this many seconds.
const LEAST_WINDOW_SECONDS: f64 = 1800.0;
/// Shared memory of one entry, with its share of the hash table: measured on 15 and 18.
const ENTRY_BYTES: f64 = 450.0;
/// More entries than this are never advised.
const MOST_ENTRIES: f64 = 50_000.0;

/// What is known of how full it is.
#[derive(Clone, Copy, Debug)]
struct Seen {
    entries: Option<usize>,
    max: f64,
    /// Evictions in the window, and the same in an hour.
    evictions: Option<(i64, f64)>,
}

impl Seen {
    fn ratio(self) -> Option<f64> {
        self.entries.map(|entries| entries as f64 / self.max.max(1.0))
    }
}

impl Rule for Eviction {
    const ID: &'static str = "pgss.eviction";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let activity = statements::activity(place);
        let entries = place.observation.statement_entries;
        if let (Err(unknown), None) = (&activity, entries) {
            return Err(unknown.clone());
        }
        let setting = settings::servers_own(place, MAX)?;
        let max = setting
            .value
            .parse::<f64>()
            .map_err(|_| Unknown::because(format!("{MAX} is no number")))?;
        let seen = Seen {
            entries,
            max,
            evictions: activity.as_ref().ok().map(|activity| evictions(activity)),
        };
        let severity = self.severity(seen);
        match (severity, activity) {
            // that it is not full says nothing of evictions
            (None, Err(unknown)) => Err(unknown),
            (severity, activity) => {
                let activity = activity.ok();
                let mut claims: Vec<Claim> = severity
                    .map(|severity| claim(place, severity, seen, setting, activity))
                    .into_iter()
                    .collect();
                // that it is full is so now
                if let Some(activity) = activity.filter(|_| !self.is_full(seen)) {
                    let tell = |claim: &mut Claim| _ = statements::tell_of_before(claim, activity);
                    claims.iter_mut().for_each(tell);
                }
                Ok(Found {
                    claims,
                    absence_is_no_proof: activity.and_then(|activity| activity.still_filling.clone()),
                    ..Found::default()
                })
            }
        }
    }
}

impl Eviction {
    fn is_full(&self, seen: Seen) -> bool {
        seen.ratio().is_some_and(|ratio| ratio > self.full_ratio)
    }

    fn severity(&self, seen: Seen) -> Option<Severity> {
        let is_full = self.is_full(seen);
        match seen.evictions {
            Some((_, per_hour)) if per_hour >= self.warning_evictions_per_hour => Some(Severity::Warning),
            Some((0, _)) if is_full => Some(Severity::Info),
            _ => is_full.then_some(Severity::Warning),
        }
    }
}

fn evictions(activity: &StatementActivity) -> (i64, f64) {
    let hours = statements::window_seconds(activity).max(LEAST_WINDOW_SECONDS) / 3600.0;
    (activity.evictions, activity.evictions as f64 / hours)
}

fn claim(
    place: &Place<'_>,
    severity: Severity,
    seen: Seen,
    setting: &Setting,
    activity: Option<&StatementActivity>,
) -> Claim {
    let percent = seen.ratio().map(|ratio| format!("{:.0} %", ratio * 100.0));
    let room = count_for_people(seen.max);
    let full = match &percent {
        Some(percent) => format!("At least {percent} of its {room} entries are taken"),
        None => format!("It has room for {room} entries"),
    };
    let lost = match seen.evictions {
        None => "how often it throws some out is not known yet".to_owned(),
        Some((0, _)) => "it has thrown out none in the window, and will begin to".to_owned(),
        Some((count, per_hour)) => format!(
            "it has thrown some out {count} times in the window, {per_hour:.0} times an hour, each time the twentieth part"
        ),
    };
    let title = match (seen.evictions, percent) {
        (Some((1.., per_hour)), _) => {
            format!("pg_stat_statements throws entries out {per_hour:.0} times an hour")
        }
        (_, Some(percent)) => format!("pg_stat_statements is {percent} full"),
        (_, None) => "pg_stat_statements is full".to_owned(),
    };
    let base = settings::claim(place, Eviction::ID, severity, MAX, setting);
    let mut told = evidence([
        ("entries", json!(seen.entries)),
        ("max_entries", json!(seen.max as i64)),
        ("full_ratio", json!(seen.ratio().map(number))),
        ("evictions", json!(seen.evictions.map(|(count, _)| count))),
        (
            "evictions_per_hour",
            json!(seen.evictions.map(|(_, per_hour)| number(per_hour))),
        ),
    ]);
    told.extend(base.evidence);
    let sql = activity.map(|activity| {
        format!(
            "SELECT dealloc, stats_reset, current_setting('{MAX}') AS max_entries\n  FROM {}",
            qualified(&activity.schema, "pg_stat_statements_info")
        )
    });
    Claim {
        title,
        explanation: format!(
            "{full}; {lost}. What is forgotten is not judged here, and shares are less exact. See first what makes so \
             many statements."
        ),
        evidence: told,
        evidence_window: activity.and_then(|activity| activity.window),
        evidence_sql: sql.or(base.evidence_sql),
        remedy: remedy(&place.observation.server, seen.max),
        guards: vec!["a short window is not taken for a rate".to_owned()],
        ..base
    }
}

fn remedy(server: &ServerFacts, max: f64) -> Remedy {
    let cause = "See first what fills it: names of temporary tables, lists of different length in IN (…) before 18, and \
                 values in utility statements make a new entry each time. No size is enough for that.";
    let next = (max * 2.0).min(MOST_ENTRIES);
    if next <= max {
        let enough =
            "It is large already: a larger one makes every look at it, and all that waits meanwhile, longer.";
        return Remedy {
            caveats: vec![cause.to_owned(), enough.to_owned()],
            ..Remedy::default()
        };
    }
    let memory = format!(
        "It takes {} more of shared memory, about half a kilobyte for each entry.",
        bytes_for_people((next - max) * ENTRY_BYTES)
    );
    settings::change(server, MAX, &format!("{next:.0}"), &[cause, &memory])
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, found, now, observation};

    /// With so many entries, and so many evictions in so many minutes.
    fn observed(entries: Option<usize>, over: Option<(i64, i64)>) -> Observation {
        let mut observed = observation(vec![], 0.0);
        observed.statement_entries = entries;
        let setting = Setting {
            value: "5000".into(),
            context: "postmaster".into(),
            source: "default".into(),
            ..Setting::default()
        };
        observed.server.settings.insert(MAX.into(), setting);
        match over {
            Some((evictions, minutes)) => {
                let activity = observed.statements.as_mut().unwrap();
                activity.evictions = evictions;
                activity.window.as_mut().unwrap().from = now() - TimeDelta::minutes(minutes);
            }
            None => observed.statements = Err(Unknown::because("needs two looks")),
        }
        observed
    }

    fn severity(entries: Option<usize>, over: Option<(i64, i64)>) -> Option<Severity> {
        let claims = claims::<Eviction>(&observed(entries, over)).unwrap();
        claims.first().map(|claim| claim.severity)
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        assert_eq!(severity(Some(100), Some((10, 60))), Some(Severity::Warning));
        assert_eq!(severity(Some(100), Some((9, 60))), None);
        assert_eq!(
            severity(Some(100), Some((5, 5))),
            Some(Severity::Warning),
            "as in half an hour"
        );
        assert_eq!(
            severity(Some(100), Some((4, 5))),
            None,
            "one round in five minutes is no rate"
        );
        assert_eq!(severity(Some(4750), Some((1, 60))), None);
        assert_eq!(severity(Some(4751), Some((1, 60))), Some(Severity::Warning));
        assert_eq!(
            severity(Some(4751), Some((0, 60))),
            Some(Severity::Info),
            "it throws nothing out yet"
        );
        assert_eq!(severity(Some(4751), None), Some(Severity::Warning));
        assert_eq!(severity(None, Some((10, 60))), Some(Severity::Warning));
    }

    #[test]
    fn what_was_thrown_out_before_the_first_look_is_info() {
        let told = |entries: usize| {
            let mut observed = observed(Some(entries), Some((10, 60)));
            observed.statements.as_mut().unwrap().looked_only_since = Some(now());
            claims::<Eviction>(&observed).unwrap().remove(0).severity
        };
        assert_eq!(told(100), Severity::Info);
        assert_eq!(told(4751), Severity::Warning, "it is full now");
    }

    #[test]
    fn what_is_given_on_the_command_line_is_told_with_its_new_value() {
        let mut observed = observed(Some(4999), Some((20, 60)));
        observed.server.settings.get_mut(MAX).unwrap().source = "command line".into();
        let remedy = claims::<Eviction>(&observed).unwrap().remove(0).remedy;
        assert!(remedy.apply_sql.is_empty());
        assert!(
            remedy.caveats[0].contains("Write pg_stat_statements.max=10000 in what starts"),
            "{:?}",
            remedy.caveats
        );
    }

    #[test]
    fn what_is_not_known_is_not_judged() {
        let reason = |observed: &Observation| claims::<Eviction>(observed).unwrap_err().reason;
        assert_eq!(reason(&observed(Some(100), None)), "needs two looks");
        assert_eq!(reason(&observed(None, None)), "needs two looks");
        let mut unread = observed(Some(4999), Some((10, 60)));
        unread.server.settings.clear();
        assert!(reason(&unread).contains("pg_stat_statements.max could not be read"));
        let mut filling = observed(Some(100), Some((0, 5)));
        filling.statements.as_mut().unwrap().still_filling = Some("5 min of 30".into());
        assert!(found::<Eviction>(&filling).unwrap().absence_is_no_proof.is_some());
    }

    #[test]
    fn it_is_made_larger_only_while_that_helps() {
        let claim = claims::<Eviction>(&observed(Some(4999), Some((20, 60))))
            .unwrap()
            .remove(0);
        assert_eq!(
            claim.remedy.apply_sql[0],
            "ALTER SYSTEM SET \"pg_stat_statements.max\" = '10000'"
        );
        assert!(
            claim
                .remedy
                .caveats
                .iter()
                .any(|caveat| caveat.contains("2.1 MiB more")),
            "{:?}",
            claim.remedy.caveats
        );
        assert_eq!(claim.evidence["evictions_per_hour"], json!(20.0));
        assert_eq!(
            claim.title,
            "pg_stat_statements throws entries out 20 times an hour"
        );
        let server = ServerFacts::default();
        assert_eq!(
            remedy(&server, 40_000.0).apply_sql[0],
            "ALTER SYSTEM SET \"pg_stat_statements.max\" = '50000'"
        );
        assert_eq!(remedy(&server, 50_000.0).apply_sql.len(), 0);
    }
}

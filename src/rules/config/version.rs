//! config.version

use chrono::{DateTime, Datelike, NaiveDate, Utc, Weekday};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::finding::{Claim, Confidence, Impact, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::Remedy;
use crate::model::snapshot::ServerFacts;
use crate::model::unit::Period;
use crate::rules::{Found, Place, Rule, Scope, estimated, evidence, measured};

/// The server's version is not the newest minor release, or its major version gets no more fixes, or soon gets none.
///
/// ## Why it is bad
/// A minor release holds nothing but fixes: of wrong results, damaged data and holes in security that are public from
/// its day on. A major version gets them for five years; after that none are made, whatever is found.
///
/// ## What to do
/// Install the newest minor release: new programs and a restart, no dump and no new files. For a new major version
/// plan an upgrade by `pg_upgrade` or logical replication, rehearse it on a copy, and run ANALYZE after it.
///
/// ## When it is wrong to obey
/// Where somebody else makes fixes for the old version, as some services and distributions do for money. A managed
/// service may offer a minor release some weeks later.
///
/// What is newest and how long it lives is a table in this program, made from postgresql.org; its date is in the
/// evidence. Minor releases that were due since then are known by their schedule alone: the second Thursday of February, May,
/// August and November, as long as the major version lives. Each of these days brings one at least, so that it is known which
/// server cannot have the last of them, and not what that is called. When the table is older than a year, that is told.
///
/// Sources: PostgreSQL's pages "Versioning Policy" and "Roadmap".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// How long before the end of its life a major version becomes a warning.
    end_of_life_notice: Period,
}

impl Default for Version {
    fn default() -> Self {
        Self {
            end_of_life_notice: Period::days(183),
        }
    }
}

/// A major version: its newest minor release, and the day of its last one.
struct Release {
    major: i32,
    newest_minor: i32,
    end_of_life: &'static str,
}

const fn release(major: i32, newest_minor: i32, end_of_life: &'static str) -> Release {
    Release {
        major,
        newest_minor,
        end_of_life,
    }
}

/// The day of which the table is.
const KNOWN_ON: &str = "2026-05-14";
/// What is known, the oldest first. Of versions before the first all are past the end of their life.
static RELEASES: [Release; 5] = [
    release(14, 23, "2026-11-12"),
    release(15, 18, "2027-11-11"),
    release(16, 14, "2028-11-09"),
    release(17, 10, "2029-11-08"),
    release(18, 4, "2030-11-14"),
];
/// A table that is older is told to be old.
const OLD_AFTER_DAYS: i64 = 365;

/// In these months minor releases are due, on the second Thursday.
const RELEASE_MONTHS: [u32; 4] = [2, 5, 8, 11];

/// The days since that of the table, in order, on which a minor release was due that a server cannot have.
fn missed(release: &Release, minor: i32, now: DateTime<Utc>) -> Vec<NaiveDate> {
    let dates = (
        KNOWN_ON.parse::<NaiveDate>(),
        release.end_of_life.parse::<NaiveDate>(),
    );
    let (Ok(known_on), Ok(end_of_life)) = dates else {
        return Vec::new();
    };
    let today = now.date_naive();
    let days = (known_on.year()..=today.year()).flat_map(|year| {
        let day = move |month| NaiveDate::from_weekday_of_month_opt(year, month, Weekday::Thu, 2);
        RELEASE_MONTHS.into_iter().filter_map(day)
    });
    // each of them brought one at least, so that it may have the first of them
    let had = usize::try_from(minor - release.newest_minor).unwrap_or(0);
    // on the day itself it may still be to come
    let is_over = |day: &NaiveDate| *day > known_on && *day < today && *day <= end_of_life;
    days.filter(is_over).skip(had).collect()
}

/// Days from a moment to a date, negative where it has passed.
fn days_until(date: &str, now: DateTime<Utc>) -> Option<i64> {
    let date: NaiveDate = date.parse().ok()?;
    Some((date - now.date_naive()).num_days())
}

/// What the table says of a server.
struct Known {
    major: i32,
    minor: i32,
    /// None where the major version is older or newer than the table.
    release: Option<&'static Release>,
    /// None where that is not known.
    left_days: Option<i64>,
    /// How many minor releases of the table it lacks.
    behind: i32,
    /// When those were due that are newer than the table, and that it lacks by their schedule.
    missed: Vec<NaiveDate>,
}

impl Known {
    fn of(version_num: i32, now: DateTime<Utc>) -> Self {
        let (major, minor) = (version_num / 10_000, version_num % 10_000);
        let release = RELEASES.iter().find(|release| release.major == major);
        Self {
            major,
            minor,
            release,
            left_days: release.and_then(|release| days_until(release.end_of_life, now)),
            behind: release.map_or(0, |release| (release.newest_minor - minor).max(0)),
            missed: release.map_or_else(Vec::new, |release| missed(release, minor, now)),
        }
    }

    /// Whether there is a minor release that is newer than that of the server.
    fn is_behind(&self) -> bool {
        self.behind > 0 || !self.missed.is_empty()
    }

    /// The days of which the last sentence about minor releases tells; empty where there are none.
    fn missed_for_people(&self) -> String {
        let days: Vec<String> = self.missed.iter().map(NaiveDate::to_string).collect();
        match days.split_last() {
            None => String::new(),
            Some((only, [])) => only.clone(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
        }
    }

    /// None once it is over.
    fn still_left_days(&self) -> Option<i64> {
        self.left_days.filter(|days| *days >= 0)
    }

    fn is_past(&self) -> bool {
        self.major < RELEASES[0].major || self.left_days.is_some_and(|days| days < 0)
    }
}

impl Rule for Version {
    const ID: &'static str = "config.version";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let (server, now) = (&place.observation.server, place.observation.now);
        if server.version_num == 0 {
            return Err(Unknown::because("the server's version could not be read"));
        }
        let known = Known::of(server.version_num, now);
        let notice = self.end_of_life_notice.as_seconds();
        let ends_soon = known
            .left_days
            .is_some_and(|days| days as f64 * 86_400.0 < notice);
        let severity = match (known.is_past(), ends_soon, known.is_behind()) {
            (true, ..) => Some(Severity::Critical),
            (_, true, _) => Some(Severity::Warning),
            (.., true) => Some(Severity::Info),
            _ => None,
        };
        let is_old = days_until(KNOWN_ON, now).is_some_and(|days| -days > OLD_AFTER_DAYS);
        Ok(Found {
            claims: severity.map(|severity| claim(place, &known, severity)).into_iter().collect(),
            untold: is_old.then(|| {
                format!("the releases that are known here are those of {KNOWN_ON}: a newer pgadvisor knows newer ones")
            }),
            ..Found::default()
        })
    }
}

/// The claim in a few words, and in a paragraph.
fn words(known: &Known, severity: Severity) -> (String, String) {
    let (major, minor) = (known.major, known.minor);
    let (newest, end) = known
        .release
        .map_or((minor, ""), |release| (release.newest_minor, release.end_of_life));
    let title = match severity {
        Severity::Critical if end.is_empty() => {
            format!("PostgreSQL {major} is long past the end of its life")
        }
        Severity::Critical => format!("PostgreSQL {major} is past the end of its life since {end}"),
        Severity::Warning => format!("PostgreSQL {major} gets no more fixes after {end}"),
        Severity::Info => match known.missed.last().filter(|_| known.behind == 0) {
            Some(due) => {
                format!("PostgreSQL {major}.{minor} is older than the release that was due on {due}")
            }
            None => format!("PostgreSQL {major}.{minor} lacks the fixes of {major}.{newest}"),
        },
    };
    let of_life = match (severity, known.left_days) {
        (Severity::Critical, _) => format!(
            "No more fixes are made for PostgreSQL {major}, neither of damaged data nor of holes in security. Plan the upgrade \
             to a version that lives."
        ),
        (Severity::Warning, Some(days)) => format!(
            "In {days} days the last release of PostgreSQL {major} is due; after {end} nothing that is found in it is mended. Plan \
             the upgrade, and rehearse it on a copy."
        ),
        _ => String::new(),
    };
    let of_minor = match known.behind {
        0 => String::new(),
        behind => format!(
            "The server runs {major}.{minor}, {behind} minor release{} behind {major}.{newest}. Minor releases hold fixes only, \
             of wrong results, damaged data and holes in security. Install the newest and restart.",
            if behind == 1 { "" } else { "s" }
        ),
    };
    let of_schedule = match known.missed.as_slice() {
        [] => String::new(),
        days => format!(
            "By PostgreSQL's schedule {} due on {}, and {major}.{minor} is older: what {} called this program does not know, whose \
             table is of {KNOWN_ON}.",
            if days.len() == 1 {
                "a minor release was"
            } else {
                "minor releases were"
            },
            known.missed_for_people(),
            if days.len() == 1 { "it is" } else { "they are" },
        ),
    };
    let sentences = [of_life, of_minor, of_schedule];
    let told: Vec<String> = sentences.into_iter().filter(|text| !text.is_empty()).collect();
    (title, told.join(" "))
}

fn claim(place: &Place<'_>, known: &Known, severity: Severity) -> Claim {
    let (title, explanation) = words(known, severity);
    let release = known.release;
    Claim {
        title,
        explanation,
        evidence: evidence([
            ("version", json!(format!("{}.{}", known.major, known.minor))),
            (
                "newest_minor_release",
                json!(release.map(|release| format!("{}.{}", release.major, release.newest_minor))),
            ),
            ("minor_releases_behind", json!(release.map(|_| known.behind))),
            (
                "minor_releases_due_since",
                json!((!known.missed.is_empty()).then_some(&known.missed)),
            ),
            ("end_of_life", json!(release.map(|release| release.end_of_life))),
            ("left_days", json!(known.still_left_days())),
            ("releases_known_on", json!(KNOWN_ON)),
        ]),
        evidence_sql: Some(
            "SELECT current_setting('server_version') AS version, version() AS built_as".to_owned(),
        ),
        impact: Impact {
            days_left: known
                .still_left_days()
                .filter(|_| severity != Severity::Info)
                .map(|days| days as f64),
            ..Impact::default()
        },
        confidence: confidence(known, severity),
        remedy: remedy(&place.observation.server, known, severity),
        guards: vec![format!("compared with the releases as they were on {KNOWN_ON}")],
        ..place.claim(Version::ID, severity, Vec::new(), None)
    }
}

/// The calendar tells that there is a release, and nobody has seen it here.
fn confidence(known: &Known, severity: Severity) -> Confidence {
    match severity == Severity::Info && known.behind == 0 {
        true => estimated(
            "the server tells its version; that a newer one is out follows from PostgreSQL's schedule alone",
        ),
        false => measured(&format!(
            "the server tells its version; the releases are those known on {KNOWN_ON}"
        )),
    }
}

fn remedy(server: &ServerFacts, known: &Known, severity: Severity) -> Remedy {
    let mut caveats = Vec::new();
    if known.is_behind() {
        caveats.push(
            "A minor release needs new programs and a restart. Read the release notes of each one between: some ask for a \
             REINDEX.",
        );
    }
    if severity != Severity::Info {
        caveats.push(
            "A new major version needs pg_upgrade or logical replication: look at the extensions first, rehearse it on a copy, and \
             run ANALYZE after it.",
        );
    }
    let mut caveats: Vec<String> = caveats.into_iter().map(str::to_owned).collect();
    if server.is_standby || server.standbys > 0 {
        caveats.push("Minor releases go to standbys first, then to their primary.".to_owned());
    }
    if let Some(provider) = server.provider() {
        let name = provider.name();
        caveats.push(format!(
            "{name} upgrades with its own tools, may offer a release later, and may support an old version for money."
        ));
    }
    Remedy {
        rewrites_table: Some(false),
        caveats,
        ..Remedy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::ConfidenceLevel;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, found, observation, set};

    fn observed(version_num: i32, day: &str) -> Observation {
        let mut observed = observation(vec![], 0.0);
        observed.server.version_num = version_num;
        observed.now = format!("{day}T12:00:00Z").parse().unwrap();
        observed
    }

    fn severity(version_num: i32, day: &str) -> Option<Severity> {
        let claim = claims::<Version>(&observed(version_num, day)).unwrap().pop();
        claim.map(|claim| claim.severity)
    }

    #[test]
    fn the_table_is_in_order_and_readable() {
        let now = observed(0, "2026-06-01").now;
        for (older, newer) in RELEASES.iter().zip(&RELEASES[1..]) {
            assert_eq!(older.major + 1, newer.major);
            let (first, next) = (
                days_until(older.end_of_life, now),
                days_until(newer.end_of_life, now),
            );
            assert!(first.unwrap() < next.unwrap(), "{}", newer.major);
        }
        assert_eq!(days_until(KNOWN_ON, now), Some(-18));
    }

    #[test]
    fn minor_releases() {
        assert_eq!(severity(180_003, "2026-06-01"), Some(Severity::Info));
        assert_eq!(severity(180_004, "2026-06-01"), None);
        assert_eq!(severity(180_005, "2026-06-01"), None, "newer than the table");
        let claim = claims::<Version>(&observed(170_000, "2026-06-01"))
            .unwrap()
            .remove(0);
        assert_eq!(claim.evidence["minor_releases_behind"], json!(10));
        assert_eq!(claim.evidence["releases_known_on"], json!("2026-05-14"));
        assert!(claim.subject.is_empty() && claim.impact.days_left.is_none());
    }

    #[test]
    fn minor_releases_that_the_calendar_knows() {
        assert_eq!(severity(180_004, "2026-08-13"), None, "it may come today");
        let due = |version_num: i32, day: &str| {
            let claim = claims::<Version>(&observed(version_num, day)).unwrap().pop();
            claim.map_or(json!([]), |claim| {
                claim.evidence["minor_releases_due_since"].clone()
            })
        };
        assert_eq!(due(180_004, "2026-08-14"), json!(["2026-08-13"]));
        assert_eq!(due(180_004, "2026-11-13"), json!(["2026-08-13", "2026-11-12"]));
        assert_eq!(due(180_005, "2026-11-12"), json!([]), "it may be that of August");
        assert_eq!(due(180_005, "2026-11-13"), json!(["2026-11-12"]));
        assert_eq!(due(180_006, "2026-11-13"), json!([]));
        assert_eq!(
            due(140_023, "2027-06-01"),
            json!(["2026-08-13", "2026-11-12"]),
            "after its end there are none"
        );
        assert_eq!(severity(190_000, "2027-06-01"), None, "nothing is known of it");
        let told = claims::<Version>(&observed(180_004, "2026-11-13"))
            .unwrap()
            .remove(0);
        assert_eq!(
            told.title,
            "PostgreSQL 18.4 is older than the release that was due on 2026-11-12"
        );
        assert!(
            told.explanation
                .contains("minor releases were due on 2026-08-13 and 2026-11-12, and 18.4 is older"),
            "{}",
            told.explanation
        );
        assert_eq!(told.severity, Severity::Info);
        assert_eq!(told.confidence.level, ConfidenceLevel::Estimated);
        let behind = claims::<Version>(&observed(180_003, "2026-11-13"))
            .unwrap()
            .remove(0);
        assert_eq!(behind.title, "PostgreSQL 18.3 lacks the fixes of 18.4");
        assert_eq!(behind.confidence.level, ConfidenceLevel::Measured);
        assert!(behind.explanation.contains("1 minor release behind 18.4"));
        assert!(behind.explanation.contains("By PostgreSQL's schedule"));
    }

    #[test]
    fn the_edges_of_a_life() {
        assert_eq!(severity(140_023, "2026-05-13"), None);
        assert_eq!(
            severity(140_023, "2026-05-14"),
            Some(Severity::Warning),
            "182 days left"
        );
        assert_eq!(
            severity(140_023, "2026-11-12"),
            Some(Severity::Warning),
            "the last release is of that day"
        );
        assert_eq!(severity(140_023, "2026-11-13"), Some(Severity::Critical));
        let past = claims::<Version>(&observed(140_020, "2026-11-13"))
            .unwrap()
            .remove(0);
        assert!(
            past.explanation.contains("No more fixes")
                && past.explanation.contains("3 minor releases behind")
        );
        assert_eq!(past.impact.days_left, None, "it is over");
        assert!(!past.evidence.contains_key("left_days"), "{:?}", past.evidence);
    }

    #[test]
    fn versions_that_the_table_does_not_have() {
        assert_eq!(severity(130_099, "2026-06-01"), Some(Severity::Critical));
        assert_eq!(
            severity(190_000, "2040-01-01"),
            None,
            "who knows how long it lives"
        );
        assert!(claims::<Version>(&observed(0, "2026-06-01")).is_err());
    }

    #[test]
    fn an_old_table_says_so() {
        let untold = |day: &str| found::<Version>(&observed(180_004, day)).unwrap().untold;
        assert_eq!(untold("2027-05-14"), None);
        assert!(untold("2027-05-15").unwrap().contains("those of 2026-05-14"));
    }

    #[test]
    fn who_upgrades_is_told() {
        let mut managed = observed(170_000, "2026-06-01");
        let caveats =
            |observed: &Observation| claims::<Version>(observed).unwrap()[0].remedy.caveats.join(" ");
        assert!(!caveats(&managed).contains("standbys first"));
        managed.server.standbys = 1;
        set(&mut managed, "azure.extensions", "");
        let told = caveats(&managed);
        assert!(told.contains("Azure Database for PostgreSQL upgrades") && told.contains("standbys first"));
    }
}

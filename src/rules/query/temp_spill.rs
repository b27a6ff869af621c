//! query.temp_spill

mod remedy;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::limits;
use crate::model::finding::{Claim, Severity};
use crate::model::observation::{StatementActivity, StatementDelta, Unknown};
use crate::model::unit::{Size, bytes_for_people, seconds_for_people};
use crate::rules::statements;
use crate::rules::{Found, Place, Rule, Scope, evidence, number};
use remedy::{Steps, WorkMem, remedy};

/// A statement whose sorts and hashes do not fit into work_mem and are written to temporary files.
///
/// ## Why it is bad
/// What would have been done in memory is written to disk and read again, often several times over. It takes disk and
/// bandwidth from everybody, and a bad day of it fills the disk.
///
/// ## What to do
/// First see whether it must sort or hash so much: an index gives rows in order, a condition that is asked earlier leaves
/// rows out, fewer columns make them smaller. Then give it more work_mem: to the role that runs it, or to the one transaction
/// (`SET LOCAL work_mem`), not to the whole server. Where ALTER ROLE or ALTER DATABASE gave it less than the server has, that is
/// taken back first.
///
/// ## When it is wrong to obey
/// Each sort and each hash of each session and of each parallel worker may take work_mem, so that a role with many sessions
/// multiplies it. How much would do cannot be told from what was written: each sort and each hash of a call counts, and each pass
/// over it again. So the value that is named is one step, twice what its sessions have; it is at most a quarter of RAM, divided by
/// max_connections, and where RAM is not known 256 MiB. A report at a quiet hour may as well spill.
///
/// Windows shorter than half an hour count as half an hour, so that one call is not made a rate. What it costs is the time of all
/// calls of the statement: how much of that goes to temporary files is not known, so that no part of it is told to be saved. What
/// hardly wrote any since a look within the window, in three calls or more and at least half of all calls of the window, is told no
/// longer: it was mended. What a daemon finds in totals that began before its first look may have been over by then, and is info.
///
/// Sources: PostgreSQL's chapters "Resource Consumption" and "pg_stat_statements".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TempSpill {
    /// Temporary files written in an hour from which it is worth knowing.
    info_per_hour: Size,
    /// Temporary files written in an hour from which it is a warning.
    warning_per_hour: Size,
    /// Temporary files written in an hour from which it is critical.
    critical_per_hour: Size,
}

impl Default for TempSpill {
    fn default() -> Self {
        Self {
            info_per_hour: Size { bytes: 100_000_000 },
            warning_per_hour: Size::gigabytes(1),
            critical_per_hour: Size::gigabytes(5),
        }
    }
}

/// Rows take more room in memory than on disk.
const ROOM: f64 = 3.0;

impl Rule for TempSpill {
    const ID: &'static str = "query.temp_spill";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let activity = statements::activity(place)?;
        let block_bytes = place
            .observation
            .server
            .setting_number("block_size")
            .ok_or_else(|| Unknown::because("block_size could not be read"))?;
        let shortest = limits::STATEMENT_WINDOW.as_secs_f64();
        let hours = statements::window_seconds(activity).max(shortest) / 3600.0;
        let written = |statement: &StatementDelta| statement.temp_blocks_written as f64 * block_bytes;
        let spills = |statement: &StatementDelta| {
            statement.temp_blocks_written > 0 && !activity.spills_no_longer(statement)
        };
        let told = activity.statements.iter().filter(|&one| spills(one));
        let told: Vec<(&StatementDelta, Severity)> = told
            .filter_map(|one| Some((one, self.severity(written(one) / hours)?)))
            .collect();
        let server = &place.observation.server;
        let steps = Steps::of(server, told.iter().map(|(statement, _)| *statement));
        Ok(Found {
            absence_is_no_proof: activity
                .absence_is_no_proof(|hidden| self.severity(written(hidden) / hours).is_some()),
            decided: statements::decided_while_filling(activity, limits::CALLS_WITHOUT_SPILLING, spills),
            claims: told
                .into_iter()
                .map(|(statement, severity)| {
                    let bytes = written(statement);
                    claim(place, activity, statement, severity, (bytes, hours), &steps)
                })
                .collect(),
            ..Found::default()
        })
    }
}

impl TempSpill {
    fn severity(&self, bytes_per_hour: f64) -> Option<Severity> {
        let steps = [
            (self.critical_per_hour, Severity::Critical),
            (self.warning_per_hour, Severity::Warning),
            (self.info_per_hour, Severity::Info),
        ];
        let reached = |(size, severity): (Size, Severity)| {
            (bytes_per_hour >= size.bytes as f64 && bytes_per_hour > 0.0).then_some(severity)
        };
        steps.into_iter().find_map(reached)
    }
}

fn claim(
    place: &Place<'_>,
    activity: &StatementActivity,
    statement: &StatementDelta,
    severity: Severity,
    (bytes, hours): (f64, f64),
    steps: &Steps,
) -> Claim {
    let per_call = bytes / statement.calls.max(1) as f64;
    let server = &place.observation.server;
    let have = WorkMem::of_each(server, statement);
    let least = have.iter().map(|one| one.bytes).min_by(f64::total_cmp);
    let given: Vec<&str> = have
        .iter()
        .filter_map(|one| Some(one.given?.value.as_str()))
        .collect();
    let own = evidence([
        ("temp_bytes", number(bytes)),
        ("temp_bytes_per_hour", number(bytes / hours)),
        ("temp_bytes_per_call", number(per_call)),
        ("work_mem_bytes", json!(least)),
        ("work_mem_of_roles", json!((!given.is_empty()).then_some(given))),
    ]);
    let mut claim = statements::claim(place, TempSpill::ID, severity, activity, statement, own);
    let window = statements::window_seconds(activity);
    claim.title = match window >= 1800.0 {
        true => format!(
            "{} writes {} of temporary files an hour",
            crate::sql::outline(&statement.text.text),
            bytes_for_people(bytes / hours)
        ),
        // a short time is no rate
        false => {
            claim.evidence.remove("temp_bytes_per_hour");
            format!(
                "{} wrote {} of temporary files in {}",
                crate::sql::outline(&statement.text.text),
                bytes_for_people(bytes),
                seconds_for_people(window)
            )
        }
    };
    claim.explanation = format!(
        "Each of its {} calls wrote {} of temporary files on average, {} in the window: a sort or a hash did not fit into \
         memory ({}). See whether it must sort or hash so much, then give more work_mem to it alone. What it is said to cost is all \
         of its time: how much of that temporary files take is not known.",
        statement.calls,
        bytes_for_people(per_call),
        bytes_for_people(bytes),
        told_work_mem(&have)
    );
    claim.remedy = remedy(server, statement, &have, per_call * ROOM, steps);
    // its time went on, which does not say that it still spills
    statements::tell_of_before(&mut claim, activity);
    claim
}

/// Whose work_mem is how large; each is told once.
fn told_work_mem(have: &[WorkMem<'_>]) -> String {
    let mut told: Vec<String> = Vec::new();
    for one in have.iter().map(WorkMem::told) {
        if !told.contains(&one) && told.len() < TOLD {
            told.push(one);
        }
    }
    match told.is_empty() {
        true => "work_mem of the server could not be read".to_owned(),
        false => told.join("; "),
    }
}

/// So many settings are told.
const TOLD: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::model::remedy::Remedy;
    use crate::model::role_setting::RoleSetting;
    use crate::rules::testing::{claims, found, observation, set, severities, statement};

    const MEBIBYTE: f64 = 1_048_576.0;

    /// A statement that spilled so many blocks in each of ten calls within ten minutes.
    fn observed(blocks_per_call: i64, roles: &[&str]) -> Observation {
        let mut one = statement("SELECT a FROM t ORDER BY b", 10, 100.0);
        one.temp_blocks_written = 10 * blocks_per_call;
        one.roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let mut observed = observation(vec![one], 0.0);
        for (name, value) in [
            ("block_size", "8192"),
            ("work_mem", "4096"),
            ("max_connections", "100"),
        ] {
            set(&mut observed, name, value);
        }
        observed.server.settings.get_mut("work_mem").unwrap().unit = Some("kB".into());
        observed
    }

    fn remedy_of(observed: &Observation) -> Remedy {
        claims::<TempSpill>(observed).unwrap().remove(0).remedy
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        // ten minutes count as half an hour: 50 MB are 100 MB an hour
        let severity = |blocks: i64| {
            let mut observed = observed(0, &["app"]);
            observed.statements.as_mut().unwrap().statements[0].temp_blocks_written = blocks;
            severities::<TempSpill>(&observed)
        };
        assert_eq!(severity(6_103), []);
        assert_eq!(severity(6_104), [Severity::Info]);
        assert_eq!(severity(61_036), [Severity::Warning]);
        assert_eq!(severity(305_175), [Severity::Warning]);
        assert_eq!(severity(305_176), [Severity::Critical]);
        assert_eq!(severity(0), []);
        let none = TempSpill {
            info_per_hour: Size::default(),
            ..TempSpill::default()
        };
        assert_eq!(none.severity(0.0), None);
    }

    #[test]
    fn what_spilled_before_the_first_look_is_info_though_it_is_still_called() {
        let mut observed = observed(128_000, &["app"]);
        assert_eq!(severities::<TempSpill>(&observed), [Severity::Critical]);
        let first_look = observed.now - chrono::TimeDelta::minutes(2);
        let activity = observed.statements.as_mut().unwrap();
        activity.looked_only_since = Some(first_look);
        activity.statements[0].seen_seconds = activity.statements[0].seconds;
        assert_eq!(severities::<TempSpill>(&observed), [Severity::Info]);
    }

    #[test]
    fn it_costs_what_the_statement_does_and_none_of_that_is_promised() {
        // ten calls of 100 ms in ten minutes
        let observed = observed(1280, &["app"]);
        let claim = claims::<TempSpill>(&observed).unwrap().remove(0);
        let cost = claim.impact.db_seconds_per_day.unwrap();
        assert!((cost - 144.0).abs() < 1e-6, "{cost}");
        let told = claim.explanation;
        assert!(
            told.contains("how much of that temporary files take is not known"),
            "{told}"
        );
    }

    #[test]
    fn one_role_gets_one_step() {
        let given = remedy_of(&observed(1280, &["app"]));
        assert_eq!(given.apply_sql, ["ALTER ROLE app SET work_mem = '8MB'"]);
        assert_eq!(given.undo_sql, ["ALTER ROLE app RESET work_mem"]);
        let caveats = given.caveats.join(" ");
        assert!(caveats.contains("At most about 30.0 MiB would do"), "{caveats}");
        let several = remedy_of(&observed(1280, &["app", "web"]));
        assert_eq!(several.apply_sql.len(), 0);
        assert!(several.caveats[1].contains("Several roles run it: write SET LOCAL work_mem = '8MB'"));
        let mut standby = observed(1280, &["app"]);
        standby.server.is_standby = true;
        assert_eq!(remedy_of(&standby).apply_sql.len(), 0);
    }

    fn given(observed: &mut Observation, role: Option<&str>, database: Option<&str>, value: &str) {
        let setting = RoleSetting {
            role: role.map(str::to_owned),
            database: database.map(str::to_owned),
            name: "work_mem".into(),
            value: value.into(),
        };
        observed
            .server
            .role_settings
            .get_or_insert_with(Vec::new)
            .push(setting);
    }

    #[test]
    fn a_role_that_was_given_less_than_the_server_has_loses_that_first() {
        let mut observed = observed(1280, &["app"]);
        given(&mut observed, Some("web"), None, "64kB");
        given(&mut observed, Some("app"), None, "1MB");
        let claim = claims::<TempSpill>(&observed).unwrap().remove(0);
        assert!(
            claim
                .explanation
                .contains("role app was given a work_mem of 1.0 MiB, and would have 4.0 MiB without that"),
            "{}",
            claim.explanation
        );
        assert_eq!(claim.evidence["work_mem_bytes"], json!(MEBIBYTE));
        assert_eq!(claim.remedy.apply_sql, ["ALTER ROLE app RESET work_mem"]);
        assert_eq!(claim.remedy.undo_sql, ["ALTER ROLE app SET work_mem = '1MB'"]);
        // in one database it has even less
        given(&mut observed, Some("app"), Some("app"), "512kB");
        let nearest = remedy_of(&observed);
        assert_eq!(
            nearest.apply_sql,
            ["ALTER ROLE app IN DATABASE app RESET work_mem"]
        );
        let mut of_database = super::tests::observed(1280, &["app"]);
        given(&mut of_database, None, Some("app"), "1MB");
        assert_eq!(
            remedy_of(&of_database).apply_sql,
            ["ALTER DATABASE app RESET work_mem"]
        );
    }

    #[test]
    fn undoing_gives_back_what_was_there() {
        let mut observed = observed(1280, &["app"]);
        given(&mut observed, Some("app"), None, "16MB");
        let more = remedy_of(&observed);
        assert_eq!(more.apply_sql, ["ALTER ROLE app SET work_mem = '32MB'"]);
        assert_eq!(more.undo_sql, ["ALTER ROLE app SET work_mem = '16MB'"]);
    }

    #[test]
    fn a_role_gets_one_value_for_all_of_its_statements() {
        let mut observed = observed(1280, &["app"]);
        let mut other = statement("SELECT c FROM u ORDER BY d", 10, 100.0);
        (other.temp_blocks_written, other.roles) = (128_000, vec!["app".into()]);
        other.database = "other".into();
        observed.statements.as_mut().unwrap().statements.push(other);
        given(&mut observed, None, Some("other"), "16MB");
        let claims = claims::<TempSpill>(&observed).unwrap();
        for claim in &claims {
            assert_eq!(
                claim.remedy.apply_sql,
                ["ALTER ROLE app SET work_mem = '32MB'"],
                "the largest"
            );
        }
        assert_eq!(claims.len(), 2);
    }

    #[test]
    fn what_no_longer_writes_is_told_no_longer() {
        let mut observed = observed(1280, &["app"]);
        let activity = observed.statements.as_mut().unwrap();
        let one = &activity.statements[0];
        let key = (one.database.clone(), one.text.statement_id.clone());
        activity.no_longer_spilling.insert(key.clone());
        activity.still_filling = Some("10 min of 30".into());
        let found = found::<TempSpill>(&observed).unwrap();
        assert_eq!(found.claims.len(), 0);
        assert_eq!(found.decided, [(key.0, vec![key.1])], "also while a window fills");
    }

    #[test]
    fn no_more_than_memory_allows() {
        let mut observed = observed(128_000, &["app"]);
        set(&mut observed, "work_mem", "200000");
        observed.server.settings.get_mut("work_mem").unwrap().unit = Some("kB".into());
        let unknown = remedy_of(&observed);
        assert_eq!(unknown.apply_sql, ["ALTER ROLE app SET work_mem = '256MB'"]);
        assert!(
            unknown
                .caveats
                .iter()
                .any(|caveat| caveat.contains("RAM or max_connections is not known"))
        );
        observed.server.declared.memory_bytes = Some(100.0 * 1024.0 * MEBIBYTE);
        assert_eq!(
            remedy_of(&observed).apply_sql,
            ["ALTER ROLE app SET work_mem = '256MB'"]
        );
        observed.server.declared.memory_bytes = Some(1024.0 * MEBIBYTE);
        let small = remedy_of(&observed);
        assert_eq!(small.apply_sql.len(), 0, "2.6 MiB are less than it has");
        assert!(small.caveats[1].starts_with("More work_mem is not advised"));
        observed.server.settings.remove("work_mem");
        let nobody_knows = claims::<TempSpill>(&observed).unwrap().remove(0);
        assert_eq!(nobody_knows.remedy.apply_sql.len(), 0);
        assert!(nobody_knows.explanation.contains("could not be read"));
        observed.server.settings.clear();
        assert!(claims::<TempSpill>(&observed).is_err(), "how large a block is");
    }
}

//! query.temp_spill

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::limits;
use crate::model::finding::{Claim, Severity};
use crate::model::observation::{StatementActivity, StatementDelta, Unknown};
use crate::model::remedy::{Remedy, Statement};
use crate::model::snapshot::ServerFacts;
use crate::model::unit::{Size, bytes_for_people, seconds_for_people};
use crate::rules::statements;
use crate::rules::{Found, Place, Rule, Scope, evidence, number};

/// A statement whose sorts and hashes do not fit into work_mem and are written to temporary files.
///
/// ## Why it is bad
/// What would have been done in memory is written to disk and read again, often several times over. It takes disk and
/// bandwidth from everybody, and a bad day of it fills the disk.
///
/// ## What to do
/// First see whether it must sort or hash so much: an index gives rows in order, a condition that is asked earlier leaves
/// rows out, fewer columns make them smaller. Then give it more work_mem: to the role that runs it, or to the one transaction
/// (`SET LOCAL work_mem`), not to the whole server.
///
/// ## When it is wrong to obey
/// Each sort and each hash of each session and of each parallel worker may take work_mem, so that a role with many sessions
/// multiplies it. The value that is named holds what was spilled by one call three times over, since rows take more room in
/// memory than on disk; it is at most a quarter of RAM, divided by max_connections, and where RAM is not known 256 MiB. A
/// report at a quiet hour may as well spill.
///
/// Windows shorter than half an hour count as half an hour, so that one call is not made a rate. Sources: PostgreSQL's
/// chapters "Resource Consumption" and "pg_stat_statements".
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
/// The part of RAM that work_mem of all connections may take together.
const RAM_SHARE: f64 = 0.25;
const MEBIBYTE: f64 = 1_048_576.0;
/// The most that is advised where RAM is not known.
const CEILING: f64 = 256.0 * MEBIBYTE;

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
        let mut found = Found {
            absence_is_no_proof: activity
                .absence_is_no_proof(|hidden| self.severity(written(hidden) / hours).is_some()),
            ..Found::default()
        };
        for statement in &activity.statements {
            let bytes = written(statement);
            let severity = self.severity(bytes / hours);
            found
                .claims
                .extend(severity.map(|severity| claim(place, activity, statement, severity, (bytes, hours))));
        }
        Ok(found)
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
) -> Claim {
    let per_call = bytes / statement.calls.max(1) as f64;
    let work_mem = place.observation.server.setting_bytes("work_mem");
    let own = evidence([
        ("temp_bytes", number(bytes)),
        ("temp_bytes_per_hour", number(bytes / hours)),
        ("temp_bytes_per_call", number(per_call)),
        ("work_mem_bytes", json!(work_mem)),
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
    let told_work_mem = work_mem.map_or("work_mem of the server could not be read".to_owned(), |bytes| {
        format!("work_mem of the server is {}", bytes_for_people(bytes))
    });
    claim.explanation = format!(
        "Each of its {} calls wrote {} of temporary files on average, {} in the window: a sort or a hash did not fit into \
         memory ({told_work_mem}). See whether it must sort or hash so much, then give more work_mem to it alone.",
        statement.calls,
        bytes_for_people(per_call),
        bytes_for_people(bytes),
    );
    claim.remedy = remedy(&place.observation.server, &statement.roles, work_mem, per_call);
    claim
}

/// The most that work_mem may be, and what it is reckoned from.
fn ceiling(server: &ServerFacts) -> (f64, String) {
    let connections = server
        .setting_number("max_connections")
        .filter(|most| *most >= 1.0);
    match server.declared.memory_bytes.zip(connections) {
        Some((memory, connections)) => (
            memory * RAM_SHARE / connections,
            "a quarter of RAM divided by max_connections".to_owned(),
        ),
        None => (
            CEILING,
            "RAM or max_connections is not known, so that more is not advised; RAM can be declared in the configuration"
                .to_owned(),
        ),
    }
}

fn remedy(server: &ServerFacts, roles: &[String], work_mem: Option<f64>, per_call: f64) -> Remedy {
    let mut remedy = Remedy {
        caveats: vec![
            "An index that gives the order, a narrower SELECT or a condition that is asked earlier is better than more memory."
                .to_owned(),
        ],
        ..Remedy::default()
    };
    let Some(work_mem) = work_mem else {
        remedy
            .caveats
            .push("What work_mem is now is not known, so that no value is named.".to_owned());
        return remedy;
    };
    let (ceiling, why) = ceiling(server);
    let wanted = (per_call * ROOM).max(work_mem * 2.0);
    let mebibytes = match wanted <= ceiling {
        true => (wanted / MEBIBYTE).ceil(),
        false => (ceiling / MEBIBYTE).floor(),
    };
    if mebibytes * MEBIBYTE <= work_mem {
        remedy.caveats.push(format!(
            "More work_mem is not advised: it is {} now, and no more than {} may be given ({why}).",
            bytes_for_people(work_mem),
            bytes_for_people(ceiling)
        ));
        return remedy;
    }
    if wanted > ceiling {
        remedy.caveats.push(format!(
            "It will still spill some: all of it would need about {}, and no more than {} is advised ({why}).",
            bytes_for_people(wanted),
            bytes_for_people(ceiling)
        ));
    }
    let value = format!("{mebibytes}MB");
    match roles {
        [role] if !server.is_standby => give(&mut remedy, role, value),
        _ => remedy.caveats.push(format!(
            "{}: write SET LOCAL work_mem = '{value}' at the beginning of the transaction that runs it.",
            match roles {
                [_] => "A standby takes no ALTER ROLE",
                [] => "Which role runs it is not known",
                _ => "Several roles run it",
            }
        )),
    }
    remedy.caveats.push(
        "Every sort and hash of every session and parallel worker may take that much: watch memory afterwards.".to_owned(),
    );
    remedy
}

/// Gives a role more work_mem.
fn give(remedy: &mut Remedy, role: &str, value: String) {
    let (role, name) = (role.to_owned(), "work_mem");
    let set = Statement::AlterRoleSet {
        role: role.clone(),
        name,
        value,
    };
    remedy.apply_sql = vec![set.sql()];
    remedy.undo_sql = vec![Statement::AlterRoleReset { role, name }.sql()];
    remedy.rewrites_table = Some(false);
    remedy.caveats.push(
        "It counts for all that the role runs, from its next sessions on. If the role has a work_mem of its own already \
         (\\drds in psql), write that back to undo this: RESET takes it away."
            .to_owned(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::Observation;
    use crate::rules::testing::{claims, observation, set, severities, statement};

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
        assert_eq!(severity(305_176), [Severity::Critical]);
        assert_eq!(severity(0), []);
        let none = TempSpill {
            info_per_hour: Size::default(),
            ..TempSpill::default()
        };
        assert_eq!(none.severity(0.0), None);
    }

    #[test]
    fn one_role_gets_what_it_spills_three_times_over() {
        let given = remedy_of(&observed(1280, &["app"]));
        assert_eq!(given.apply_sql, ["ALTER ROLE app SET work_mem = '30MB'"]);
        assert_eq!(given.undo_sql, ["ALTER ROLE app RESET work_mem"]);
        let several = remedy_of(&observed(1280, &["app", "web"]));
        assert_eq!(several.apply_sql.len(), 0);
        assert!(several.caveats[1].contains("Several roles run it: write SET LOCAL work_mem = '30MB'"));
        let mut standby = observed(1280, &["app"]);
        standby.server.is_standby = true;
        assert_eq!(remedy_of(&standby).apply_sql.len(), 0);
    }

    #[test]
    fn no_more_than_memory_allows() {
        let mut observed = observed(128_000, &["app"]);
        let unknown = remedy_of(&observed);
        assert_eq!(unknown.apply_sql, ["ALTER ROLE app SET work_mem = '256MB'"]);
        assert!(
            unknown
                .caveats
                .iter()
                .any(|caveat| caveat.contains("RAM or max_connections is not known"))
        );
        observed.server.declared.memory_bytes = Some(16.0 * 1024.0 * MEBIBYTE);
        assert_eq!(
            remedy_of(&observed).apply_sql,
            ["ALTER ROLE app SET work_mem = '40MB'"]
        );
        observed.server.declared.memory_bytes = Some(1024.0 * MEBIBYTE);
        let small = remedy_of(&observed);
        assert_eq!(small.apply_sql.len(), 0, "2.6 MiB are less than it has");
        assert!(small.caveats[1].starts_with("More work_mem is not advised"));
        observed.server.settings.remove("work_mem");
        assert_eq!(remedy_of(&observed).apply_sql.len(), 0);
        observed.server.settings.clear();
        assert!(claims::<TempSpill>(&observed).is_err(), "how large a block is");
    }
}

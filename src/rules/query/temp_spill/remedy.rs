//! How much work_mem the sessions have that spill, and how they get more.

use std::collections::BTreeMap;

use crate::model::observation::StatementDelta;
use crate::model::remedy::{Remedy, Statement};
use crate::model::role_setting::RoleSetting;
use crate::model::snapshot::ServerFacts;
use crate::model::unit::bytes_for_people;

/// The part of RAM that work_mem of all connections may take together.
const RAM_SHARE: f64 = 0.25;
const MEBIBYTE: f64 = 1_048_576.0;
/// The most that is advised where RAM is not known.
const CEILING: f64 = 256.0 * MEBIBYTE;
/// So many times what there is make one step.
const STEP: f64 = 2.0;
const NAME: &str = "work_mem";

/// What the sessions of one role have in the database of a statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkMem<'a> {
    pub(super) bytes: f64,
    /// What gave it to them; none is the server.
    pub(super) given: Option<&'a RoleSetting>,
    /// What they would have without that.
    below: Option<f64>,
}

impl<'a> WorkMem<'a> {
    /// Of each role that runs a statement, or of anybody in its database where that is not known; of those that are known.
    pub(super) fn of_each(server: &'a ServerFacts, statement: &StatementDelta) -> Vec<Self> {
        let database = statement.database.as_str();
        let roles = statement.roles.iter();
        match statement.roles.is_empty() {
            true => Self::of(server, "", database).into_iter().collect(),
            false => roles
                .filter_map(|role| Self::of(server, role, database))
                .collect(),
        }
    }

    fn of(server: &'a ServerFacts, role: &str, database: &str) -> Option<Self> {
        let settings = server.role_settings.as_deref().unwrap_or_default();
        let nearest = RoleSetting::of(settings, NAME, role, database);
        let of_server = server.setting_bytes(NAME);
        let Some(given) = nearest.first().copied() else {
            return of_server.map(|bytes| Self {
                bytes,
                given: None,
                below: None,
            });
        };
        Some(Self {
            bytes: given.bytes()?,
            given: Some(given),
            below: nearest.get(1).map_or(of_server, |next| next.bytes()),
        })
    }

    /// What somebody gave them that is less than they would have without, and how much that would be.
    fn too_little(&self) -> Option<(&'a RoleSetting, f64)> {
        let below = self.below.filter(|below| *below > self.bytes)?;
        Some((self.given?, below))
    }

    /// For people.
    pub(super) fn told(&self) -> String {
        let bytes = bytes_for_people(self.bytes);
        let Some(given) = self.given else {
            return format!("work_mem of the server is {bytes}");
        };
        let without = self.too_little().map_or(String::new(), |(_, below)| {
            format!(", and would have {} without that", bytes_for_people(below))
        });
        format!("{} was given a work_mem of {bytes}{without}", whose(given))
    }
}

fn whose(given: &RoleSetting) -> String {
    match (&given.role, &given.database) {
        (Some(role), Some(database)) => format!("role {role} in database {database}"),
        (Some(role), None) => format!("role {role}"),
        (None, Some(database)) => format!("database {database}"),
        (None, None) => "every role".to_owned(),
    }
}

/// Whose sessions get more: those of a role, or those of a role in one database where that has a setting of its own.
type Whose = (String, Option<String>);

/// How much more each gets, in MiB: one value for all statements of a role, the largest of them.
pub(super) struct Steps(BTreeMap<Whose, f64>);

impl Steps {
    /// For these statements.
    pub(super) fn of<'a>(
        server: &'a ServerFacts,
        statements: impl Iterator<Item = &'a StatementDelta>,
    ) -> Self {
        let (most, _) = ceiling(server);
        let mut steps: BTreeMap<Whose, f64> = BTreeMap::new();
        for statement in statements {
            let have = WorkMem::of_each(server, statement);
            if let ([role], [one]) = (statement.roles.as_slice(), have.as_slice()) {
                let value = steps.entry(gets_more(role, one)).or_default();
                *value = value.max(step(one.bytes, most));
            }
        }
        Self(steps)
    }
}

fn gets_more(role: &str, have: &WorkMem<'_>) -> Whose {
    // what is set for the role in that database goes before what is set for the role
    let of_both = have.given.filter(|given| given.role.is_some());
    (role.to_owned(), of_both.and_then(|given| given.database.clone()))
}

/// One step, in whole MiB.
fn step(bytes: f64, most: f64) -> f64 {
    match bytes * STEP <= most {
        true => (bytes * STEP / MEBIBYTE).ceil(),
        false => (most / MEBIBYTE).floor(),
    }
}

/// The most that work_mem may be, and what it is reckoned from.
fn ceiling(server: &ServerFacts) -> (f64, &'static str) {
    let connections = server
        .setting_number("max_connections")
        .filter(|most| *most >= 1.0);
    match server.declared.memory_bytes.zip(connections) {
        Some((memory, connections)) => (
            memory * RAM_SHARE / connections,
            "a quarter of RAM divided by max_connections",
        ),
        None => (
            CEILING,
            "RAM or max_connections is not known, so that more is not advised; RAM can be declared in the configuration",
        ),
    }
}

/// How the sessions of a statement get more, where they may. `at_most` bytes would hold all that a call wrote, and more than that.
pub(super) fn remedy(
    server: &ServerFacts,
    statement: &StatementDelta,
    have: &[WorkMem<'_>],
    at_most: f64,
    steps: &Steps,
) -> Remedy {
    let mut remedy = Remedy {
        caveats: vec![
            "An index that gives the order, a narrower SELECT or a condition that is asked earlier is better than more memory."
                .to_owned(),
        ],
        ..Remedy::default()
    };
    let too_little: Vec<(&RoleSetting, f64)> = have.iter().filter_map(WorkMem::too_little).collect();
    if !too_little.is_empty() {
        take_back(&mut remedy, server, &too_little);
        return remedy;
    }
    let Some(largest) = have.iter().max_by(|a, b| a.bytes.total_cmp(&b.bytes)) else {
        remedy
            .caveats
            .push("What work_mem is now is not known, so that no value is named.".to_owned());
        return remedy;
    };
    let (most, why) = ceiling(server);
    let of_one = match (statement.roles.as_slice(), have) {
        ([role], [one]) => Some(gets_more(role, one)),
        _ => None,
    };
    let of_all = of_one.as_ref().and_then(|whose| steps.0.get(whose)).copied();
    let mebibytes = of_all.unwrap_or_else(|| step(largest.bytes, most));
    if mebibytes * MEBIBYTE <= largest.bytes {
        remedy.caveats.push(format!(
            "More work_mem is not advised: it is {} now, and no more than {} may be given ({why}).",
            bytes_for_people(largest.bytes),
            bytes_for_people(most)
        ));
        return remedy;
    }
    let value = format!("{mebibytes}MB");
    match of_one.filter(|_| !server.is_standby) {
        Some(whose) => give(&mut remedy, server, whose, value),
        None => remedy.caveats.push(format!(
            "{}: write SET LOCAL work_mem = '{value}' at the beginning of the transaction that runs it.",
            match statement.roles.as_slice() {
                [_] => "A standby takes no ALTER ROLE",
                [] => "Which role runs it is not known",
                _ => "Several roles run it",
            }
        )),
    }
    tell_of_a_step(&mut remedy, (largest.bytes, at_most), (most, why));
    remedy
}

/// What is to be known of one step from what there is, and of the most that would do.
fn tell_of_a_step(remedy: &mut Remedy, (bytes, at_most): (f64, f64), (most, why): (f64, &str)) {
    remedy.caveats.push(format!(
        "It is one step. See after some calls whether it still writes temporary files, and only then take the next one. At most \
         about {} would do, and mostly far less does: each sort and hash of a call was counted, and each pass over it again.",
        bytes_for_people(at_most)
    ));
    if bytes * STEP > most {
        remedy.caveats.push(format!(
            "It may still spill: no more than {} is advised ({why}).",
            bytes_for_people(most)
        ));
    }
    remedy.caveats.push(
        "Every sort and hash of every session and parallel worker may take that much: watch memory afterwards.".to_owned(),
    );
}

/// Takes back what gave some sessions less than they would have without.
fn take_back(remedy: &mut Remedy, server: &ServerFacts, too_little: &[(&RoleSetting, f64)]) {
    for (given, below) in too_little {
        let (role, database) = (given.role.clone(), given.database.clone());
        let reset = Statement::SessionsReset {
            role: role.clone(),
            database: database.clone(),
            name: NAME,
        };
        let back = Statement::SessionsSet {
            role,
            database,
            name: NAME,
            value: given.value.clone(),
        };
        // several roles may have it from one setting of their database
        if remedy.apply_sql.contains(&reset.sql()) {
            continue;
        }
        remedy.apply_sql.push(reset.sql());
        remedy.undo_sql.push(back.sql());
        remedy.caveats.push(format!(
            "{} was given {}, which is less than the {} that it would have without. Ask who wanted that, and why. It counts from \
             its next sessions on.",
            whose(given),
            given.value,
            bytes_for_people(*below)
        ));
    }
    remedy.rewrites_table = Some(false);
    if server.is_standby {
        remedy
            .caveats
            .push("This is a standby: it is changed on its primary.".to_owned());
        (remedy.apply_sql, remedy.undo_sql) = (Vec::new(), Vec::new());
    }
}

/// Gives the sessions of a role more work_mem. To undo it gives back what they had.
fn give(remedy: &mut Remedy, server: &ServerFacts, (role, database): Whose, value: String) {
    let settings = server.role_settings.as_deref();
    let is_it = |one: &&RoleSetting| {
        one.name == NAME && one.role.as_deref() == Some(role.as_str()) && one.database == database
    };
    let before = settings.and_then(|settings| settings.iter().find(is_it));
    let back = match before {
        Some(before) => Statement::SessionsSet {
            role: before.role.clone(),
            database: before.database.clone(),
            name: NAME,
            value: before.value.clone(),
        },
        None => Statement::SessionsReset {
            role: Some(role.clone()),
            database: database.clone(),
            name: NAME,
        },
    };
    remedy
        .caveats
        .push("It counts for all that the role runs, from its next sessions on.".to_owned());
    if settings.is_none() {
        remedy.caveats.push(
            "If the role has a work_mem of its own already (\\drds in psql), write that back to undo this: RESET takes it away."
                .to_owned(),
        );
    }
    let set = Statement::SessionsSet {
        role: Some(role),
        database,
        name: NAME,
        value,
    };
    remedy.apply_sql = vec![set.sql()];
    remedy.undo_sql = vec![back.sql()];
    remedy.rewrites_table = Some(false);
}

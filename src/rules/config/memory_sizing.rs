//! config.memory_sizing

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::finding::{Claim, Severity};
use crate::model::observation::Unknown;
use crate::model::provider::Provider;
use crate::model::remedy::qualified;
use crate::model::snapshot::Setting;
use crate::model::unit::{Size, bytes_for_people, count_for_people};
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, number, settings};

/// Settings of memory that do not fit the machine: `shared_buffers` and `effective_cache_size` against its RAM,
/// `maintenance_work_mem` against its tables, `work_mem` against its connections.
///
/// ## Why it is bad
/// A new server takes 128 MB of `shared_buffers` on any machine, so that pages are asked of the operating system
/// again and again; too much leaves too little for its cache, and for sorting. `effective_cache_size` reserves
/// nothing: the planner takes it for the memory in which pages may be cached, and thinks indexes dearer than they are
/// if it is small. A small `maintenance_work_mem` makes VACUUM read the indexes of a large table several times, and
/// builds of indexes sort on disk. `work_mem` counts for each sort or hash of each session: where all connections
/// together could take more than there is, the kernel may kill the server on a busy day.
///
/// ## What to do
/// Begin with a quarter of RAM for `shared_buffers` and three quarters for `effective_cache_size`. Keep `work_mem`
/// small for the server and set it for the few roles or transactions that need more; let a pooler keep connections
/// few.
///
/// ## When it is wrong to obey
/// Where other programs share the machine: then declare the RAM that is PostgreSQL's. Where another size was measured
/// to be better: change the thresholds. A worst case of `work_mem` hardly ever comes true with many idle connections.
///
/// No server tells of its RAM: write `memory = "64 GiB"` into its `[[servers]]`; without that only
/// `maintenance_work_mem` is judged. Aurora, AlloyDB and Neon size the first two by rules of their own. Source:
/// PostgreSQL's chapter "Resource Consumption".
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemorySizing {
    /// Share of RAM, 0 to 1, below which shared_buffers is small.
    least_shared_buffers_ratio: f64,
    /// Share of RAM, 0 to 1, above which shared_buffers is large.
    greatest_shared_buffers_ratio: f64,
    /// Share of RAM, 0 to 1, below which effective_cache_size is small.
    least_cache_size_ratio: f64,
    /// Share of RAM, 0 to 1, above which effective_cache_size is large.
    greatest_cache_size_ratio: f64,
    /// RAM below which no share of it is judged: a small machine needs most of it elsewhere.
    least_memory: Size,
    /// The maintenance_work_mem below which it is small for a large table.
    least_maintenance_work_mem: Size,
    /// Size of a table, without indexes, from which it is a large one.
    large_table: Size,
}

impl Default for MemorySizing {
    fn default() -> Self {
        Self {
            least_shared_buffers_ratio: 0.2,
            greatest_shared_buffers_ratio: 0.4,
            least_cache_size_ratio: 0.5,
            greatest_cache_size_ratio: 0.9,
            least_memory: Size::mebibytes(1024),
            least_maintenance_work_mem: Size::mebibytes(64),
            large_table: Size::gigabytes(1),
        }
    }
}

const MIB: f64 = 1_048_576.0;

impl Rule for MemorySizing {
    const ID: &'static str = "config.memory_sizing";
    const SCOPE: Scope = Scope::Server;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let parts = [
            ("shared_buffers", self.shared_buffers(place)),
            ("effective_cache_size", self.cache_size(place)),
            ("maintenance_work_mem", self.maintenance(place)),
            ("work_mem", work_mem(place)),
        ];
        let (all, mut found) = (parts.len(), Found::default());
        let mut reasons: Vec<String> = Vec::new();
        for (name, judged) in parts {
            match judged {
                Ok(claim) => found.claims.extend(claim),
                Err(unknown) => {
                    found.undecided.push(vec![name.to_owned()]);
                    if !reasons.contains(&unknown.reason) {
                        reasons.push(unknown.reason);
                    }
                }
            }
        }
        if found.undecided.len() == all {
            return Err(Unknown::because(reasons.join("; ")));
        }
        found.untold = (!reasons.is_empty()).then(|| reasons.join("; "));
        Ok(found)
    }
}

/// The RAM of the machine.
fn memory(place: &Place<'_>) -> Result<f64, Unknown> {
    let declared = place.observation.server.declared.memory_bytes;
    declared.filter(|bytes| *bytes > 0.0).ok_or_else(|| {
        Unknown::because(
            "how much RAM the server has is not known: write what it has, as memory = \"64 GiB\", into its [[servers]] of \
             the configuration",
        )
    })
}

/// A setting with its value in bytes.
fn sized<'a>(place: &Place<'a>, name: &str) -> Result<(&'a Setting, f64), Unknown> {
    let setting = settings::servers_own(place, name)?;
    let bytes = place.observation.server.setting_bytes(name);
    let bytes = bytes.ok_or_else(|| Unknown::because(format!("the size of {name} could not be read")))?;
    Ok((setting, bytes))
}

/// A size as it is written: services want a number in the setting's own unit, people whole megabytes.
fn written(place: &Place<'_>, name: &str, bytes: f64) -> String {
    let server = &place.observation.server;
    let unit = server.setting_bytes(name).zip(server.setting_number(name));
    match (server.provider(), unit) {
        (Some(_), Some((now, number))) if number > 0.0 => format!("{:.0}", bytes / (now / number)),
        _ => format!("{:.0}MB", bytes / MIB),
    }
}

/// What is judged as a share of RAM.
struct Share {
    name: &'static str,
    least: f64,
    greatest: f64,
    /// What is advised.
    advised: f64,
    small: &'static str,
    large: &'static str,
    caveat: &'static str,
}

impl MemorySizing {
    fn shared_buffers(&self, place: &Place<'_>) -> Result<Option<Claim>, Unknown> {
        self.share(
            place,
            &Share {
                name: "shared_buffers",
                least: self.least_shared_buffers_ratio,
                greatest: self.greatest_shared_buffers_ratio,
                advised: 0.25,
                small: "Pages that do not fit are asked of the operating system again and again.",
                large: "Little is left for the operating system's cache and for sorting, and many pages are kept twice.",
                caveat: "With huge_pages = on the system must have reserved that many pages first, or the server does not \
                         start.",
            },
        )
    }

    fn cache_size(&self, place: &Place<'_>) -> Result<Option<Claim>, Unknown> {
        self.share(
            place,
            &Share {
                name: "effective_cache_size",
                least: self.least_cache_size_ratio,
                greatest: self.greatest_cache_size_ratio,
                advised: 0.75,
                small: "It reserves nothing: the planner believes that fewer pages are cached than are, and thinks indexes \
                        dearer than they are.",
                large: "It reserves nothing: the planner believes that pages are cached which cannot be, and thinks indexes \
                        cheaper than they are.",
                caveat: "It changes plans: compare the costliest statements before and after.",
            },
        )
    }

    fn share(&self, place: &Place<'_>, share: &Share) -> Result<Option<Claim>, Unknown> {
        let memory = memory(place)?;
        let (setting, bytes) = sized(place, share.name)?;
        if let Some(provider @ (Provider::Aurora | Provider::AlloyDb | Provider::Neon)) =
            place.observation.server.provider()
        {
            let (provider, name) = (provider.name(), share.name);
            return Err(Unknown::because(format!(
                "{provider} sizes {name} by rules of its own"
            )));
        }
        let ratio = bytes / memory;
        if memory < self.least_memory.bytes as f64 || (share.least..=share.greatest).contains(&ratio) {
            return Ok(None);
        }
        let effect = if ratio < share.least {
            share.small
        } else {
            share.large
        };
        let advised = (memory * share.advised / MIB).floor().max(1.0) * MIB;
        let mut claim = claim(place, Severity::Info, share.name, setting, bytes);
        claim.title = format!(
            "{} is {}, {} of the RAM",
            share.name,
            bytes_for_people(bytes),
            percent(ratio)
        );
        claim.explanation = format!(
            "{} is {} of {} of RAM; {:.0} % to {:.0} % are usual. {effect} Begin with {}, and measure.",
            share.name,
            bytes_for_people(bytes),
            bytes_for_people(memory),
            share.least * 100.0,
            share.greatest * 100.0,
            bytes_for_people(advised)
        );
        of_memory(&mut claim, memory, [("memory_ratio", number(ratio))]);
        let mut guards = Guards::default();
        guards.checked("the RAM is the one that the configuration declares");
        guards.not_checked("whether other programs share the machine");
        claim.confidence = guards.confidence("read from pg_settings");
        claim.guards.extend(guards.told());
        let value = written(place, share.name, advised);
        claim.remedy = settings::change(&place.observation.server, share.name, &value, &[share.caveat]);
        Ok(Some(claim))
    }

    fn maintenance(&self, place: &Place<'_>) -> Result<Option<Claim>, Unknown> {
        const NAME: &str = "maintenance_work_mem";
        // a standby neither vacuums nor builds indexes: what was told of a primary is over
        if place.observation.server.is_standby {
            return Ok(None);
        }
        let (setting, bytes) = sized(place, NAME)?;
        let least = self.least_maintenance_work_mem.bytes as f64;
        if bytes >= least {
            return Ok(None);
        }
        let observation = place.observation;
        let tables = observation.databases.iter().flat_map(|database| {
            let tables = database.catalog.tables.values();
            let stored = tables.filter(|table| matches!(table.kind, 'r' | 'm') && !table.owned_by_extension);
            stored.map(move |table| (table.size_bytes, &database.name, table))
        });
        let large = tables.filter(|(size, ..)| *size >= self.large_table.bytes as f64);
        let largest =
            large.max_by(|(a, _, first), (b, _, second)| a.total_cmp(b).then(second.name.cmp(&first.name)));
        let Some((size, database, table)) = largest else {
            return match observation.gaps.iter().any(|gap| gap.fact == "database") {
                true => Err(Unknown::because(
                    "not every database could be visited to see how large its tables are",
                )),
                false => Ok(None),
            };
        };
        let of_memory = memory(place).map_or(0.0, |memory| (memory / 32.0).min(1024.0 * MIB));
        let advised = (least.max(of_memory) / MIB).ceil() * MIB;
        let name = qualified(&table.schema, &table.name);
        let mut claim = claim(place, Severity::Info, NAME, setting, bytes);
        claim.title = format!(
            "{NAME} is {}, and {name} has {}",
            bytes_for_people(bytes),
            bytes_for_people(size)
        );
        claim.explanation = format!(
            "VACUUM keeps what it removes from a table in {NAME}: where that is full it reads all indexes of the table, and \
             begins anew. Builds of indexes sort on disk. {name} in {database} has {}. Give it {}.",
            bytes_for_people(size),
            bytes_for_people(advised)
        );
        claim
            .evidence
            .insert("largest_table".to_owned(), json!(format!("{database}: {name}")));
        claim
            .evidence
            .insert("largest_table_bytes".to_owned(), json!(size));
        let caveats = ["Each worker of autovacuum may take as much, unless autovacuum_work_mem is set."];
        claim.remedy = settings::change(
            &observation.server,
            NAME,
            &written(place, NAME, advised),
            &caveats,
        );
        Ok(Some(claim))
    }
}

fn work_mem(place: &Place<'_>) -> Result<Option<Claim>, Unknown> {
    const NAME: &str = "work_mem";
    let server = &place.observation.server;
    let memory = memory(place)?;
    let (setting, bytes) = sized(place, NAME)?;
    let connections = server
        .setting_number("max_connections")
        .ok_or_else(|| Unknown::because("max_connections could not be read"))?;
    let all = bytes * connections;
    if all <= memory {
        return Ok(None);
    }
    let mut claim = claim(place, Severity::Warning, NAME, setting, bytes);
    let (each, sum) = (bytes_for_people(bytes), bytes_for_people(all));
    let people = count_for_people(connections);
    claim.title = format!("{NAME} of {each} for {people} connections is more than the RAM");
    claim.explanation = format!(
        "If each of the {people} connections that are allowed sorts once at the same time, they take {sum}, and the RAM is {}. \
         One statement may take {NAME} several times, and a hash hash_mem_multiplier times that. When memory runs out the kernel \
         may kill the server. Allow fewer connections, behind a pooler, or make {NAME} smaller and set it for the roles that need \
         more.",
        bytes_for_people(memory)
    );
    let multiplier = server
        .setting_number("hash_mem_multiplier")
        .map_or(Value::Null, number);
    of_memory(
        &mut claim,
        memory,
        [
            ("max_connections", json!(connections as i64)),
            ("all_connections_bytes", json!(all)),
            ("hash_mem_multiplier", multiplier),
        ],
    );
    claim
        .guards
        .push("one sort in each connection is taken into account, and the RAM that is declared".to_owned());
    // a quarter of RAM for all; no less than what a new server has
    let advised = (memory / 4.0 / connections / MIB).floor() * MIB;
    let caveats = [
        "Statements that sort more than that spill to disk: set it for their roles by ALTER ROLE … SET work_mem.",
    ];
    match advised >= 4.0 * MIB && advised < bytes {
        true => claim.remedy = settings::change(server, NAME, &written(place, NAME, advised), &caveats),
        false => claim.remedy.caveats.push(format!(
            "{NAME} cannot be small enough for {people} connections: put a pooler in front and lower max_connections."
        )),
    }
    Ok(Some(claim))
}

/// What all of them have in common.
fn claim(place: &Place<'_>, severity: Severity, name: &str, setting: &Setting, bytes: f64) -> Claim {
    let mut claim = settings::claim(place, MemorySizing::ID, severity, name, setting);
    claim.evidence.insert("setting_bytes".to_owned(), json!(bytes));
    claim
}

/// Adds the RAM, how it is known, and what was reckoned with it.
fn of_memory<const N: usize>(claim: &mut Claim, memory: f64, values: [(&str, Value); N]) {
    claim.evidence.extend(evidence([
        ("memory_bytes", json!(memory)),
        ("memory_known_from", json!("the configuration")),
    ]));
    claim.evidence.extend(evidence(values));
}

/// A share for a title: one that is there is not nothing.
fn percent(ratio: f64) -> String {
    match ratio * 100.0 {
        percent if percent < 1.0 => "< 1 %".to_owned(),
        percent => format!("{percent:.0} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_share_is_not_none() {
        assert_eq!(
            [0.0039, 0.0099, 0.01, 0.256].map(percent),
            ["< 1 %", "< 1 %", "1 %", "26 %"]
        );
    }

    use crate::model::observation::Observation;
    use crate::model::status::Gap;
    use crate::rules::testing::{claims, found, observation, set, table, tables};

    const GIB: f64 = 1024.0 * MIB;

    /// In MiB, on 64 GiB: settings that fit, to be changed.
    fn put(observed: &mut Observation, name: &str, mebibytes: f64) {
        set(observed, name, &(mebibytes * 1024.0).to_string());
        observed.server.settings.get_mut(name).unwrap().unit = Some("kB".into());
    }

    fn fitting(mut observed: Observation) -> Observation {
        observed.server.declared.memory_bytes = Some(64.0 * GIB);
        put(&mut observed, "shared_buffers", 16_384.0);
        put(&mut observed, "effective_cache_size", 49_152.0);
        put(&mut observed, "maintenance_work_mem", 1024.0);
        put(&mut observed, "work_mem", 4.0);
        set(&mut observed, "max_connections", "100");
        observed
    }

    fn named(observed: &Observation) -> Vec<String> {
        let claims = claims::<MemorySizing>(observed).unwrap();
        claims.into_iter().flat_map(|claim| claim.subject).collect()
    }

    #[test]
    fn the_edges_of_its_shares() {
        let of_100_gib = |name: &str, gibibytes: f64| {
            let mut observed = fitting(observation(vec![], 0.0));
            observed.server.declared.memory_bytes = Some(100.0 * GIB);
            put(&mut observed, "shared_buffers", 25.0 * 1024.0);
            put(&mut observed, "effective_cache_size", 75.0 * 1024.0);
            put(&mut observed, name, gibibytes * 1024.0);
            named(&observed).join(" ")
        };
        for (name, least, greatest) in [
            ("shared_buffers", 20.0, 40.0),
            ("effective_cache_size", 50.0, 90.0),
        ] {
            assert_eq!(of_100_gib(name, least - 1.0), name);
            assert_eq!(of_100_gib(name, least), "");
            assert_eq!(of_100_gib(name, greatest), "");
            assert_eq!(of_100_gib(name, greatest + 1.0), name);
        }
    }

    #[test]
    fn a_small_machine_is_not_judged_by_shares() {
        let mut observed = fitting(observation(vec![], 0.0));
        observed.server.declared.memory_bytes = Some(GIB - MIB);
        assert_eq!(named(&observed), [""; 0]);
        observed.server.declared.memory_bytes = Some(GIB);
        assert_eq!(named(&observed), ["shared_buffers", "effective_cache_size"]);
    }

    #[test]
    fn what_is_advised_fits_the_machine() {
        let mut observed = fitting(observation(vec![], 0.0));
        put(&mut observed, "shared_buffers", 128.0);
        let applied = |observed: &Observation| claims::<MemorySizing>(observed).unwrap().remove(0).remedy;
        assert_eq!(
            applied(&observed).apply_sql[0],
            "ALTER SYSTEM SET shared_buffers = '16384MB'"
        );
        set(&mut observed, "rds.extensions", "");
        assert!(
            applied(&observed).caveats[0].contains("ParameterValue=16777216,"),
            "in the setting's own unit"
        );
        set(&mut observed, "aurora_compute_plan_id", "");
        let found = found::<MemorySizing>(&observed).unwrap();
        assert_eq!((found.claims.len(), found.undecided.len()), (0, 2));
        assert!(
            found
                .untold
                .unwrap()
                .contains("Amazon Aurora sizes shared_buffers by rules of its own")
        );
    }

    #[test]
    fn work_mem_of_all_connections_against_the_memory() {
        let judged = |mebibytes: f64, connections: &str| {
            let mut observed = fitting(observation(vec![], 0.0));
            put(&mut observed, "work_mem", mebibytes);
            set(&mut observed, "max_connections", connections);
            let claim = claims::<MemorySizing>(&observed).unwrap().pop();
            claim.map(|claim| (claim.severity, claim.remedy.apply_sql.first().cloned()))
        };
        assert_eq!(judged(64.0, "1024"), None, "just all of it");
        let smaller = Some("ALTER SYSTEM SET work_mem = '15MB'".to_owned());
        assert_eq!(judged(64.0, "1025"), Some((Severity::Warning, smaller)));
        assert_eq!(
            judged(64.0, "10000"),
            Some((Severity::Warning, None)),
            "too many connections for any work_mem"
        );
    }

    #[test]
    fn maintenance_matters_with_a_large_table() {
        let of_table = |size: f64| {
            fitting(tables(vec![
                table(1, "small", 1.0, 8192.0),
                table(2, "big", 1.0, size),
            ]))
        };
        let mut observed = of_table(1e9);
        assert_eq!(named(&observed), [""; 0]);
        put(&mut observed, "maintenance_work_mem", 63.0);
        let claim = claims::<MemorySizing>(&observed).unwrap().remove(0);
        assert_eq!(claim.evidence["largest_table"], json!("app: public.big"));
        assert_eq!(
            claim.remedy.apply_sql[0],
            "ALTER SYSTEM SET maintenance_work_mem = '1024MB'"
        );
        observed.server.declared.memory_bytes = None;
        let without = found::<MemorySizing>(&observed).unwrap();
        assert_eq!(
            without.claims[0].remedy.apply_sql[0],
            "ALTER SYSTEM SET maintenance_work_mem = '64MB'"
        );
        assert!(without.untold.unwrap().contains("memory = \"64 GiB\""));
        let mut small = of_table(1e9 - 1.0);
        put(&mut small, "maintenance_work_mem", 63.0);
        assert_eq!(named(&small), [""; 0]);
        small.gaps = vec![Gap {
            fact: "database".into(),
            database: Some("other".into()),
            why: "refused".into(),
            remedy_sql: None,
            missing_privilege: None,
            rules: vec![],
        }];
        assert_eq!(
            found::<MemorySizing>(&small).unwrap().undecided,
            [["maintenance_work_mem"]]
        );
        observed.server.is_standby = true;
        let undecided = |observed| {
            let found = found::<MemorySizing>(observed).unwrap();
            assert!(found.claims.is_empty());
            found.undecided.into_iter().flatten().collect::<Vec<_>>()
        };
        assert!(
            !undecided(&observed).contains(&"maintenance_work_mem".to_owned()),
            "no VACUUM there"
        );
    }

    #[test]
    fn what_is_set_for_the_login_is_not_judged() {
        let mut observed = fitting(observation(vec![], 0.0));
        put(&mut observed, "shared_buffers", 128.0);
        observed.server.settings.get_mut("work_mem").unwrap().source = "user".into();
        let found = found::<MemorySizing>(&observed).unwrap();
        assert_eq!(
            (found.claims.len(), found.undecided),
            (1, vec![vec!["work_mem".to_owned()]])
        );
        assert!(claims::<MemorySizing>(&observation(vec![], 0.0)).is_err());
    }
}

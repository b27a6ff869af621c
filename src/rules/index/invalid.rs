//! index.invalid

mod repeated;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::repeated::repeated_keys_sql;
use crate::model::catalog::{IndexFacts, TableFacts};
use crate::model::finding::{Claim, Impact, Severity};
use crate::model::observation::Unknown;
use crate::model::remedy::{NAME_BYTES, Remedy, Statement, qualified};
use crate::model::unit::bytes_for_people;
use crate::rules::{Found, Place, Rule, Scope, evidence, index_object, measured};
use crate::sql::cut;

/// An index that no query can use, because its build failed.
///
/// ## Why it is bad
/// CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY was interrupted and left it behind, or DROP INDEX CONCURRENTLY was. Where
/// its rows were collected already (`indisready`), every write still pays for it; where not, nothing is written to it, but it
/// can keep updates from being HOT. A unique one enforces nothing, or only what it holds: rows that it forbids may be there.
///
/// ## What to do
/// If it is to be unique, find the rows that are not, and mend them: until then every build fails, and each REINDEX that does
/// leaves one more invalid index behind. Build it anew with REINDEX INDEX CONCURRENTLY, or drop it. What a failed REINDEX left
/// behind (`_ccnew`, `_ccold`) is dropped: the index that it was made for is still there.
///
/// ## When it is wrong to obey
/// While a build is running, also in another session: as long as one works on the table, or on a table that the login may
/// not see, nothing is said. An index of a partitioned table that is waiting for its partitions to be attached is left
/// out, too.
///
/// Source: PostgreSQL's pages of CREATE INDEX ("Building Indexes Concurrently") and REINDEX.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Invalid {}

impl Rule for Invalid {
    const ID: &'static str = "index.invalid";
    const SCOPE: Scope = Scope::Database;

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        place.on_primary()?;
        let database = place.database()?;
        let mut found = Found::default();
        let invalid =
            |facts: &IndexFacts| !(facts.is_valid || facts.is_partitioned || facts.owned_by_extension);
        for (index, facts) in database.indexes_with_facts().filter(|(_, facts)| invalid(facts)) {
            let Some(table) = database.table_of(facts) else {
                continue;
            };
            let untold = match index.table_is_being_indexed {
                Some(false) if !facts.may_be_in_progress => {
                    found.claims.push(claim(place, facts, table));
                    continue;
                }
                None => {
                    "not checked: whether invalid indexes are being built just now: a build is running, and without \
                     pg_read_all_stats its table cannot be seen"
                }
                _ => "an index is being built on the tables of some invalid indexes just now",
            };
            found
                .undecided
                .push(vec![facts.schema.clone(), facts.name.clone()]);
            found.untold = Some(untold.to_owned());
        }
        Ok(found)
    }
}

/// Behind the name of its index REINDEX CONCURRENTLY writes these for the one that it builds, and for the old one that it has yet
/// to drop; and a number behind them, where such a name is taken.
const NEW: &str = "_ccnew";
const OLD: &str = "_ccold";
/// PostgreSQL cuts longer names at the beginning of a letter.
const LETTER_BYTES: usize = 4;

/// The name of the index for which REINDEX CONCURRENTLY made one of this name, perhaps cut; none where it did not.
fn made_for(name: &str) -> Option<&str> {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
    name.strip_suffix(NEW).or_else(|| name.strip_suffix(OLD))
}

/// Whether REINDEX CONCURRENTLY left it behind, as its name tells.
pub(super) fn is_left_by_reindex(name: &str) -> bool {
    made_for(name).is_some()
}

/// Whether the index is there for which REINDEX CONCURRENTLY made this one.
fn has_original(place: &Place<'_>, facts: &IndexFacts) -> bool {
    let Some((name, database)) = made_for(&facts.name).zip(place.database) else {
        return false;
    };
    let may_be_cut = facts.name.len() > NAME_BYTES - LETTER_BYTES;
    let is_original = |other: &IndexFacts| {
        let is_named = other.name == name || (may_be_cut && other.name.starts_with(name));
        is_named && !is_left_by_reindex(&other.name)
    };
    database.catalog.indexes_of(facts.table_oid).any(is_original)
}

/// What came to pass, and what it means for writes and queries.
fn explanation(facts: &IndexFacts, table: &TableFacts, has_original: bool) -> String {
    let is_left = is_left_by_reindex(&facts.name);
    let because = match (is_left, facts.is_unique) {
        (true, _) if has_original => {
            "A REINDEX CONCURRENTLY was interrupted and left it behind; the index it was made for is still there."
        }
        (true, _) => {
            "A REINDEX CONCURRENTLY was interrupted and left it behind, as its name tells; no index of the table has the name \
             that it was made for."
        }
        (false, true) => {
            "Its build failed, perhaps because rows are not unique, or a DROP INDEX CONCURRENTLY was interrupted."
        }
        (false, false) => "Its build was interrupted, or a DROP INDEX CONCURRENTLY.",
    };
    let table = format!("{}.{}", table.schema, table.name);
    let writes = match facts.is_ready {
        true => format!("Every write to {table} pays for it and no query can use it."),
        false => format!(
            "Nothing that is written to {table} goes into it and no query can use it; it may keep updates of its columns from \
             being HOT."
        ),
    };
    let enforces = match (facts.is_unique && !is_left, facts.is_ready) {
        (false, _) => "",
        (true, true) => " New rows are checked only against those that it holds, which may not be all.",
        (true, false) => " It enforces nothing, of new rows neither.",
    };
    // what a build wrote before it failed is not counted
    let takes = match facts.size_bytes > 0.0 {
        true => format!(" It takes {}.", bytes_for_people(facts.size_bytes)),
        false => String::new(),
    };
    format!("{because} {writes}{enforces}{takes}")
}

/// To drop what REINDEX CONCURRENTLY left behind, and to build anew what is something of its own.
fn remedy(facts: &IndexFacts, has_original: bool, has_query: bool) -> Remedy {
    let (schema, name) = (facts.schema.clone(), facts.name.clone());
    let drop = Statement::DropIndexConcurrently { schema, name }.sql();
    let of_sql = |sql: String, caveats: Vec<String>| Remedy {
        apply_sql: vec![sql],
        lock: Some("SHARE UPDATE EXCLUSIVE".to_owned()),
        rewrites_table: Some(false),
        caveats,
        ..Remedy::default()
    };
    if is_left_by_reindex(&facts.name) {
        let look = "Look first whether the table has the index that it was made for, under another name.";
        return of_sql(
            drop,
            (!has_original).then(|| look.to_owned()).into_iter().collect(),
        );
    }
    let mut caveats = Vec::new();
    caveats.extend(facts.is_unique.then(|| {
        let found_by = match has_query {
            true => " The query that stands as evidence finds them; it reads the whole table.",
            false => "",
        };
        format!("If rows are not unique the rebuild fails again: find and mend them first.{found_by}")
    }));
    let left = format!("{}{NEW}", cut(&facts.name, NAME_BYTES - NEW.len()));
    caveats.push(format!(
        "A rebuild that fails leaves one more invalid index behind, {}, which is to be dropped.",
        qualified(&facts.schema, &left)
    ));
    // neither goes by itself
    let is_held = facts.is_partition || facts.constraint.is_some();
    caveats.extend((!is_held).then(|| format!("If nobody needs it, drop it instead: {drop}")));
    let (schema, name) = (facts.schema.clone(), facts.name.clone());
    let rebuild = Statement::ReindexIndexConcurrently { schema, name }.sql();
    Remedy {
        // of one whose rows were not all collected the size says nothing of what a build takes
        extra_disk_bytes: (facts.is_ready && facts.size_bytes > 0.0).then_some(facts.size_bytes),
        ..of_sql(rebuild, caveats)
    }
}

fn claim(place: &Place<'_>, facts: &IndexFacts, table: &TableFacts) -> Claim {
    let has_original = has_original(place, facts);
    let failed_unique = facts.is_unique && !is_left_by_reindex(&facts.name);
    let definition = facts.definition.as_deref().filter(|_| failed_unique);
    let repeated = definition.and_then(|definition| repeated_keys_sql(definition, table));
    let is_written = match facts.is_ready {
        true => "written to, never used",
        false => "neither written to nor used",
    };
    let severity = match failed_unique {
        true => Severity::Critical,
        false => Severity::Warning,
    };
    let subject = vec![facts.schema.clone(), facts.name.clone()];
    Claim {
        title: format!("{}.{} is invalid: {is_written}", facts.schema, facts.name),
        explanation: explanation(facts, table, has_original),
        evidence: evidence([
            ("definition", json!(facts.definition)),
            ("is_unique", json!(facts.is_unique)),
            ("is_ready", json!(facts.is_ready)),
            ("size_bytes", json!(facts.size_bytes)),
        ]),
        impact: Impact {
            bytes: (facts.size_bytes > 0.0).then_some(facts.size_bytes),
            ..Impact::default()
        },
        confidence: measured("pg_index.indisvalid is false and no index of its table is being built"),
        remedy: remedy(facts, has_original, repeated.is_some()),
        evidence_sql: Some(
            repeated.unwrap_or_else(|| {
                "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid".to_owned()
            }),
        ),
        guards: vec!["no build is in progress on its table".to_owned()],
        ..place.claim(Invalid::ID, severity, subject, Some(index_object(facts, table)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{claims, database, found, index, severities};

    #[test]
    fn severity_and_remedy_by_what_it_was() {
        let broken = |name: &str, unique: bool| {
            database(vec![IndexFacts {
                is_valid: false,
                is_unique: unique,
                ..index(9, name)
            }])
        };
        assert_eq!(severities::<Invalid>(&broken("i", false)), [Severity::Warning]);
        assert_eq!(severities::<Invalid>(&broken("i", true)), [Severity::Critical]);
        assert_eq!(
            severities::<Invalid>(&broken("i_ccnew1", true)),
            [Severity::Warning]
        );
        let leftover = claims::<Invalid>(&broken("i_ccold", false)).unwrap();
        assert_eq!(
            leftover[0].remedy.apply_sql,
            ["DROP INDEX CONCURRENTLY public.i_ccold"]
        );
        assert_eq!(severities::<Invalid>(&database(vec![index(9, "i")])), []);
    }

    /// What is told of an invalid index beside a valid one, `t_a`.
    fn told(change: impl FnOnce(&mut IndexFacts)) -> Claim {
        let mut broken = IndexFacts {
            is_valid: false,
            size_bytes: 8192.0,
            ..index(9, "i")
        };
        change(&mut broken);
        let claims = claims::<Invalid>(&database(vec![broken, index(10, "t_a")]));
        claims.unwrap().remove(0)
    }

    #[test]
    fn what_is_not_ready_is_not_written_to_and_enforces_nothing() {
        let ready = told(|facts| facts.is_unique = true);
        assert!(ready.title.ends_with("written to, never used"), "{}", ready.title);
        assert!(ready.explanation.contains("Every write to public.t pays for it"));
        assert!(ready.explanation.contains("against those that it holds"));
        assert_eq!(ready.remedy.extra_disk_bytes, Some(8192.0));
        let failed = told(|facts| (facts.is_unique, facts.is_ready) = (true, false));
        assert!(
            failed.title.ends_with("neither written to nor used"),
            "{}",
            failed.title
        );
        assert!(
            !failed.explanation.contains("pays for it"),
            "{}",
            failed.explanation
        );
        assert!(
            failed
                .explanation
                .contains("It enforces nothing, of new rows neither.")
        );
        assert_eq!(
            failed.remedy.extra_disk_bytes, None,
            "a build that succeeds needs more"
        );
        let empty = told(|facts| facts.size_bytes = 0.0);
        assert_eq!((empty.remedy.extra_disk_bytes, empty.impact.bytes), (None, None));
    }

    #[test]
    fn what_a_rebuild_fails_on_is_to_be_found_first_and_what_it_leaves_behind_is_named() {
        let unique = told(|facts| facts.is_unique = true);
        assert_eq!(unique.remedy.apply_sql, ["REINDEX INDEX CONCURRENTLY public.i"]);
        let query = unique.evidence_sql.unwrap();
        assert!(query.ends_with("GROUP BY 1 HAVING count(*) > 1"), "{query}");
        let caveats = unique.remedy.caveats.join("\n");
        for words in ["stands as evidence", "public.i_ccnew, which is to be dropped"] {
            assert!(caveats.contains(words), "{caveats}");
        }
        assert!(
            caveats.ends_with("drop it instead: DROP INDEX CONCURRENTLY public.i"),
            "{caveats}"
        );
        let unread = told(|facts| (facts.is_unique, facts.definition) = (true, None));
        assert!(unread.evidence_sql.unwrap().contains("NOT indisvalid"));
        assert!(!unread.remedy.caveats.join("\n").contains("stands as evidence"));
        let plain = told(|facts| facts.is_partition = true);
        assert!(plain.evidence_sql.unwrap().contains("NOT indisvalid"));
        let caveats = plain.remedy.caveats.join("\n");
        assert!(
            !caveats.contains("not unique") && !caveats.contains("drop it instead"),
            "{caveats}"
        );
    }

    #[test]
    fn what_a_reindex_left_behind_is_dropped_beside_the_index_that_it_was_made_for() {
        let left = |name: &str| told(|facts| (facts.name, facts.is_unique) = (name.to_owned(), true));
        for name in ["t_a_ccnew", "t_a_ccnew12", "t_a_ccold"] {
            let claim = left(name);
            assert_eq!(
                claim.remedy.apply_sql,
                [format!("DROP INDEX CONCURRENTLY public.{name}")]
            );
            assert!(
                claim.explanation.contains("is still there"),
                "{}",
                claim.explanation
            );
            assert!(claim.remedy.caveats.is_empty());
            assert_eq!(claim.remedy.extra_disk_bytes, None);
        }
        let alone = left("other_ccnew");
        assert!(
            !alone.explanation.contains("is still there"),
            "{}",
            alone.explanation
        );
        assert_eq!(alone.remedy.caveats.len(), 1);
    }

    #[test]
    fn what_may_be_under_way_is_neither_named_nor_gone() {
        let judged = |being_indexed: Option<bool>, may_be_in_progress: bool| {
            let mut observed = database(vec![IndexFacts {
                is_valid: false,
                may_be_in_progress,
                ..index(9, "t_a_ccnew")
            }]);
            observed.databases[0].indexes[0].table_is_being_indexed = being_indexed;
            let found = found::<Invalid>(&observed).unwrap();
            (found.claims.len(), found.undecided, found.untold)
        };
        assert_eq!(judged(Some(false), false), (1, vec![], None));
        let subject = vec!["public".to_owned(), "t_a_ccnew".to_owned()];
        for (being_indexed, may_be_in_progress, told) in [
            (Some(true), false, "being built on the tables"),
            (Some(false), true, "being built on the tables"),
            (None, false, "not checked: "),
        ] {
            let (claims, undecided, untold) = judged(being_indexed, may_be_in_progress);
            assert_eq!((claims, undecided), (0, vec![subject.clone()]));
            assert!(untold.unwrap().contains(told), "{told}");
        }
    }
}

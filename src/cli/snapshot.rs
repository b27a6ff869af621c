//! Looks in a file: `check --save-snapshot FILE` and `check --snapshot FILE`, so that what somebody saw can be judged
//! elsewhere, again, and by another version.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Failure;
use crate::collect::mask::without_constants;
use crate::model::finding::{Claim, Evidence};
use crate::model::snapshot::Snapshot;
use crate::rules;
use crate::sql::holds_mark;

/// The form of the file.
const FORMAT: u32 = 1;
/// A file that is larger holds no look of ours.
const LARGEST_BYTES: u64 = 1 << 30;

#[derive(Serialize, Deserialize)]
struct Saved {
    /// Another one cannot be read.
    pgadvisor_snapshot: u32,
    advisor_version: String,
    /// One, or two that `--wait` lies between.
    looks: Vec<Snapshot>,
}

fn failed(what: &str, path: &Path, why: impl std::fmt::Display) -> Failure {
    let path = crate::report::visible(&path.display().to_string());
    Failure::Usage(format!("cannot {what} the snapshot {path}: {why}"))
}

/// Writes looks into a file that only its owner may read. There are no secrets in it, and no constants: but names, and
/// statements as pg_stat_statements keeps them.
///
/// # Errors
/// If the file cannot be written.
pub fn save(path: &Path, mut looks: Vec<Snapshot>) -> Result<(), Failure> {
    let mut key = [0; 32];
    let random = std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut key));
    random.map_err(|error| failed("write", path, error))?;
    let ids = rules::ids();
    for look in &mut looks {
        without_constants(look, &key, &ids);
    }
    let saved = Saved {
        pgadvisor_snapshot: FORMAT,
        advisor_version: env!("CARGO_PKG_VERSION").to_owned(),
        looks,
    };
    let text = serde_json::to_vec(&saved).map_err(anyhow::Error::from)?;
    // a file that is there may be readable by others, or lead elsewhere: a new one takes its place
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let draft = Path::new(&draft);
    let file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft);
    let written = file.and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()));
    let placed = written.and_then(|()| std::fs::rename(draft, path));
    placed.map_err(|error| {
        // what is left of it is of no use
        let _ = std::fs::remove_file(draft);
        failed("write", path, error)
    })
}

/// Reads looks from a file.
///
/// # Errors
/// If it cannot be read, or holds no looks of a form that this version knows.
pub fn load(path: &Path) -> Result<Vec<Snapshot>, Failure> {
    let file = std::fs::File::open(path).map_err(|error| failed("read", path, error))?;
    let mut text = Vec::new();
    let read = file.take(LARGEST_BYTES + 1).read_to_end(&mut text);
    read.map_err(|error| failed("read", path, error))?;
    if text.len() as u64 > LARGEST_BYTES {
        return Err(failed("read", path, "it is larger than 1 GiB"));
    }
    #[derive(Deserialize)]
    struct Form {
        pgadvisor_snapshot: u32,
    }
    let form: Form = serde_json::from_slice(&text).map_err(|error| {
        let why = format!("it is no file of `pgadvisor check --save-snapshot`: {error}");
        failed("read", path, why)
    })?;
    if form.pgadvisor_snapshot != FORMAT {
        let why = format!(
            "its form is {}, this version reads {FORMAT}",
            form.pgadvisor_snapshot
        );
        return Err(failed("read", path, why));
    }
    let saved: Saved = serde_json::from_slice(&text).map_err(|error| failed("read", path, error))?;
    match saved.looks.is_empty() {
        true => Err(failed("read", path, "it holds no look")),
        false => Ok(saved.looks),
    }
}

/// The key of evidence that names what of it holds marks.
const MASKED_CONSTANTS_IN: &str = "masked_constants_in";

/// Takes SQL with a constant out of what was found in a file: a mark stands there in its place, and the SQL would run, but
/// build or show something else. What is undone goes with what is done. Evidence stays, and says where marks are in it.
pub fn without_masked_sql(claims: &mut [Claim]) {
    for claim in claims {
        tell_marks(&mut claim.evidence);
        let remedy = &mut claim.remedy;
        let mut left_out = Vec::new();
        if remedy.apply_sql.iter().any(|sql| holds_mark(sql)) {
            remedy.apply_sql.clear();
            remedy.undo_sql.clear();
            left_out.push("to run");
        }
        if remedy.undo_sql.iter().any(|sql| holds_mark(sql)) {
            remedy.undo_sql.clear();
            left_out.push("to undo it");
        }
        if claim.evidence_sql.as_deref().is_some_and(holds_mark) {
            claim.evidence_sql = None;
            left_out.push("that shows it");
        }
        if !left_out.is_empty() {
            remedy.caveats.push(format!(
                "The SQL {} is not given: it holds a constant, and constants are masked in a snapshot. Take the definition from \
                 the server (pg_get_indexdef, pg_get_constraintdef), before anything is changed.",
                left_out.join(" and the SQL ")
            ));
        }
    }
}

/// Names what of the evidence holds marks, so that nobody takes such a definition for the server's own.
fn tell_marks(evidence: &mut Evidence) {
    let masked = evidence.iter().filter(|(_, value)| is_marked(value));
    let masked: Vec<Value> = masked.map(|(key, _)| Value::from(key.as_str())).collect();
    if !masked.is_empty() {
        evidence.insert(MASKED_CONSTANTS_IN.to_owned(), Value::Array(masked));
    }
}

/// Whether a mark is anywhere in a value.
fn is_marked(value: &Value) -> bool {
    match value {
        Value::String(text) => holds_mark(text),
        Value::Array(values) => values.iter().any(is_marked),
        Value::Object(values) => values.values().any(is_marked),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::mask_constants;

    fn claim(apply: &str, undo: &str, evidence: &str) -> Claim {
        let masked = |text: &str| mask_constants(text, &[7; 32]);
        serde_json::from_value(serde_json::json!({
            "rule": "index.duplicate", "severity": "warning", "server": "main", "database": "sales", "object": null,
            "title": "t", "explanation": "e", "evidence": {}, "evidence_window": null, "impact": {},
            "evidence_sql": masked(evidence), "confidence": { "level": "measured", "reason": "r" },
            "remedy": { "apply_sql": [masked(apply)], "undo_sql": [masked(undo), "ALTER TABLE t CLUSTER ON i"], "caveats": [] },
            "guards": [],
        }))
        .unwrap()
    }

    #[test]
    fn evidence_with_a_masked_constant_says_so() {
        let masked = |text: &str| mask_constants(text, &[7; 32]);
        let plain = masked("CREATE INDEX i ON public.t USING btree (a)");
        let partial = masked("CREATE INDEX i ON public.t USING btree (a) WHERE (kind = 'x'::text)");
        let told = |evidence: Value| {
            let mut claims = [claim("DROP INDEX CONCURRENTLY i", "SELECT a", "SELECT a")];
            claims[0].evidence = evidence.as_object().unwrap().clone();
            without_masked_sql(&mut claims);
            let [claim] = claims;
            assert!(claim.evidence.contains_key("definition"), "nothing is lost");
            claim.evidence.get(MASKED_CONSTANTS_IN).cloned()
        };
        let json = |definition: &str, other: &str| {
            serde_json::json!({
                "definition": definition, "scans": 4, "indexes": [{ "name": "i", "definition": other }],
            })
        };
        assert_eq!(told(json(&plain, &plain)), None);
        assert_eq!(
            told(json(&partial, &partial)),
            Some(serde_json::json!(["definition", "indexes"]))
        );
        assert_eq!(told(json(&plain, &partial)), Some(serde_json::json!(["indexes"])));
    }

    #[test]
    fn sql_with_a_masked_constant_is_not_given() {
        let (drop, build) = (
            "DROP INDEX CONCURRENTLY i",
            "CREATE INDEX CONCURRENTLY i ON t (a)",
        );
        let partial = "CREATE INDEX CONCURRENTLY i ON t (a) WHERE (a = 'it''s'::text)";
        let told = |apply: &str, undo: &str, evidence: &str| {
            let mut claims = [claim(apply, undo, evidence)];
            without_masked_sql(&mut claims);
            let [claim] = claims;
            let remedy = claim.remedy;
            let caveat = remedy.caveats.first().map(|caveat| caveat[..24].to_owned());
            let left = (
                remedy.apply_sql.len(),
                remedy.undo_sql.len(),
                claim.evidence_sql.is_some(),
            );
            (left, caveat.unwrap_or_default())
        };
        let said = |left: (usize, usize, bool), caveat: &str| (left, caveat.to_owned());
        assert_eq!(told(drop, build, "SELECT a FROM t"), said((1, 2, true), ""));
        assert_eq!(
            told(drop, partial, "SELECT a FROM t"),
            said((1, 0, true), "The SQL to undo it is no")
        );
        assert_eq!(
            told(partial, drop, "SELECT a FROM t"),
            said((0, 0, true), "The SQL to run is not gi")
        );
        assert_eq!(
            told(drop, build, "SELECT a FROM t WHERE n > 42"),
            said((1, 2, false), "The SQL that shows it is")
        );
    }
}

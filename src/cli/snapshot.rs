//! Looks in a file: `check --save-snapshot FILE` and `check --snapshot FILE`, so that what somebody saw can be judged
//! elsewhere, again, and by another version.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::collect::mask::without_constants;
use crate::model::snapshot::Snapshot;

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
    for look in &mut looks {
        without_constants(look, &key);
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

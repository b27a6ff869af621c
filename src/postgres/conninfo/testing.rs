//! What the tests of this folder share.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::{ConnInfo, Environment};

pub(super) const SECRET: &str = "hunter2X";

pub(super) fn environment(variables: &[(&str, &str)]) -> Environment {
    let pairs = variables
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    Environment {
        variables: pairs.collect(),
        home: None,
        login: Some("login".to_string()),
    }
}

pub(super) fn parsed(text: &str) -> ConnInfo {
    ConnInfo::parse(text, &environment(&[])).unwrap()
}

pub(super) fn error(text: &str) -> String {
    ConnInfo::parse(text, &environment(&[])).unwrap_err().to_string()
}

/// A file which only its owner may access, in a directory of its own.
pub(super) fn file(test: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("conninfo-{test}-{}", std::process::id()));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

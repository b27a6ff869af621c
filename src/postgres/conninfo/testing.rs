//! What the tests of this folder share.

use std::io::Write as _;

use tempfile::TempPath;

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

/// A file which only its owner may access; it goes with what is given.
pub(super) fn file(text: &str) -> TempPath {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.into_temp_path()
}

//! An open finding in few words, as lists tell it beside what it is about.

use super::finding::{Object, Severity};
use super::id::Fingerprint;

/// An open finding without its explanation, its evidence and its remedy.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenFinding {
    /// Which one it is.
    pub fingerprint: Fingerprint,
    /// The rule that claims it.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it says, in one line.
    pub title: String,
    /// What it is about; none where that is no single thing.
    pub object: Option<Object>,
}

//! What happened to a finding, on a line.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::finding::{Event, EventKind};

/// What happened to a finding, for the list of a day.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EventLine {
    /// The event; the API's feed has the same.
    #[serde(flatten)]
    pub event: Event,
}

impl EventLine {
    /// What happened, in a word or two.
    pub fn word(&self) -> String {
        match self.event.kind {
            EventKind::Opened => "opened".to_owned(),
            EventKind::SeverityChanged => format!("now {}", self.event.finding.claim.severity.word()),
            EventKind::Acknowledged => "acknowledged".to_owned(),
            EventKind::Snoozed => "snoozed".to_owned(),
            EventKind::Resolved => "resolved".to_owned(),
            EventKind::Reopened => "reopened".to_owned(),
            EventKind::MarkedFalsePositive => "not a problem".to_owned(),
            EventKind::OutcomeKnown => "measured".to_owned(),
        }
    }

    /// The class of the word's chip.
    pub fn tone(&self) -> &'static str {
        match self.event.kind {
            EventKind::Opened | EventKind::Reopened | EventKind::SeverityChanged => "warn",
            EventKind::Resolved | EventKind::OutcomeKnown => "good",
            _ => "",
        }
    }
}

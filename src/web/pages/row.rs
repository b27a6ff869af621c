//! A finding as a row of a list.

use serde::Serialize;
use utoipa::ToSchema;

use super::present::{self, ImpactView, Scale};
use crate::model::finding::Finding;

/// A finding and how its row shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Row {
    /// The finding itself; the API's answer is nothing but this.
    #[serde(flatten)]
    pub finding: Finding,
    /// The impact in one number, with the length of its bar.
    #[serde(skip)]
    #[schema(ignore)]
    pub impact: ImpactView,
}

impl Row {
    /// The rows of one list, on one scale.
    pub fn list(findings: impl IntoIterator<Item = Finding>) -> Vec<Self> {
        let findings: Vec<Finding> = findings.into_iter().collect();
        let scale = Scale::of(findings.iter().map(|finding| &finding.claim.impact));
        let row = |finding: Finding| Self {
            impact: scale.view(&finding.claim.impact),
            finding,
        };
        findings.into_iter().map(row).collect()
    }

    /// The severity as it begins a row.
    pub fn severity_word(&self) -> &'static str {
        present::severity_word(self.finding.claim.severity)
    }

    /// The state as a page calls it.
    pub fn state_word(&self) -> &'static str {
        present::state_word(self.finding.state)
    }

    /// The object's name, where the finding is about one; a statement has none that a reader knows.
    pub fn object(&self) -> Option<String> {
        use crate::model::finding::ObjectKind::Statement;
        self.finding
            .claim
            .object
            .as_ref()
            .filter(|object| object.kind != Statement)
            .map(|object| object.qualified())
    }

    /// What the finding says, in one sentence.
    pub fn gist(&self) -> String {
        present::first_sentence(&self.finding.claim.explanation, 150)
    }
}

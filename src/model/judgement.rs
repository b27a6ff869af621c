//! What one turn of all rules over one observation of one server came to.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::finding::{Claim, Severity};
use super::unit::Period;

/// Everything that the rules said of one observation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// What was found, worst first.
    pub claims: Vec<Claim>,
    /// For each rule, and each database where it judges databases one by one, what became of it.
    pub outcomes: Vec<RuleOutcome>,
    /// What was left out because somebody does not want to hear of it.
    pub ignored: Vec<Ignored>,
    /// Claims left out because a rule made more than it may.
    pub dropped_claims: usize,
    /// Two sights of a problem that are further apart than this are not one that lasted.
    pub unbroken_within: Period,
    /// Every database that the server has, watched or not, where that is known: what was found in another one is gone.
    pub databases: Option<Vec<String>>,
}

/// A problem that somebody does not want to hear of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ignored {
    /// The rule, as `index.unused`.
    pub rule: String,
    /// The database; null where the whole server is meant.
    pub database: Option<String>,
    /// The problem in a few words.
    pub title: String,
    /// How much it would have mattered.
    pub severity: Severity,
    /// Why it is left out, in the words of whoever wrote that.
    pub reason: String,
    /// The last day on which it is.
    #[schema(value_type = Option<String>)]
    pub until: Option<NaiveDate>,
}

/// What became of one rule in one place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleOutcome {
    /// The rule, as `index.unused`.
    pub rule: String,
    /// The database that was judged; `None` for rules about the whole server.
    pub database: Option<String>,
    /// Judged, or why not.
    pub verdict: Verdict,
    /// How long the evidence must last before a finding opens.
    pub hold: Period,
    /// How long the evidence must be gone before a finding resolves.
    pub clear: Period,
}

/// Judged, or why not. Only what was judged, or is told elsewhere, may resolve a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Verdict {
    /// The rule was judged; of the problems named here it could not tell, so they keep their state.
    Evaluated {
        /// Subjects of problems about which nothing can be said now. There can be many, and none of them may be a finding.
        #[serde(skip)]
        undecided: Vec<Vec<String>>,
        /// Whether it counts that a problem was not seen: not while a window is still filling.
        absence_counts: bool,
        /// Why it could not tell, where it could not.
        untold: Option<String>,
    },
    /// The rule could not be judged.
    Skipped {
        /// What was missing, for people.
        reason: String,
        /// SQL that mends it, where SQL can.
        remedy_sql: Option<String>,
    },
    /// The rule is not about this server any more, as one about tables on a standby: what it found here before is over.
    Elsewhere {
        /// Where it is told, for people.
        reason: String,
    },
}

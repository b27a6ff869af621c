//! What one turn of all rules over one observation of one server came to.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::finding::{Claim, Object, Severity};
use super::proof::Proof;
use super::selector::Selector;
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
    /// Problems that are known to be mended, and not only unseen: they are over at once, and though their rule cannot tell now
    /// what else is.
    #[serde(skip)]
    pub mended: Vec<Mended>,
    /// What the catalogs prove of what is not seen any more.
    #[serde(skip)]
    pub proof: Proof,
    /// Problems that were looked for and are not there, of rules for which it does not count what else they did not see.
    #[serde(skip)]
    pub decided: Vec<Decided>,
}

/// A problem that is known not to be there just now, where its rule cannot tell of others.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// The rule, as `query.time_share`.
    pub rule: String,
    /// The database.
    pub database: String,
    /// What the problem is known by, in that place.
    pub subject: Vec<String>,
}

/// A problem of which what mends it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Mended {
    /// The rule, as `index.missing`.
    pub rule: String,
    /// The database; none is the whole server.
    pub database: Option<String>,
    /// What the problem is known by, in that place.
    pub subject: Vec<String>,
}

/// A problem that somebody does not want to hear of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ignored {
    /// The rule, as `index.unused`.
    pub rule: String,
    /// The database; null where the whole server is meant.
    pub database: Option<String>,
    /// What it is about; null where the whole server or database is meant.
    #[serde(default)]
    pub object: Option<Object>,
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

/// Since when what a finding rests on is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceGone {
    /// The first judgement that did not see it.
    pub since: DateTime<Utc>,
    /// When it is resolved if that lasts; none where its rule was not judged of late.
    pub resolved_at: Option<DateTime<Utc>>,
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
    /// What became of it for things with settings of their own; where several fit, the last one counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own: Vec<OwnOutcome>,
}

impl RuleOutcome {
    /// What could not be told of things with settings of their own, where that is not what could not be told at all.
    pub fn own_untold(&self) -> impl Iterator<Item = &OwnOutcome> {
        let of_all = self.verdict.untold();
        let untold = move |own: &&OwnOutcome| own.verdict.untold().is_some_and(|why| Some(why) != of_all);
        self.own.iter().filter(untold)
    }
}

/// What became of one rule in one place for the things that some settings of their own are meant for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnOutcome {
    /// For which.
    pub selector: Selector,
    /// Judged, or why not.
    pub verdict: Verdict,
}

impl OwnOutcome {
    /// Why it could not tell of those, where it could not, for people.
    pub fn untold(&self) -> Option<String> {
        let why = self.verdict.untold()?;
        Some(format!("for {}: {why}", self.selector.told()))
    }
}

/// Judged, or why not. Only what was judged, or is told elsewhere, may resolve a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Verdict {
    /// The rule was judged; of the problems named here it could not tell, so they keep their state.
    Evaluated {
        /// Subjects of problems about which nothing can be said now; one that ends earlier than those of its rule stands for
        /// all that begin with it. There can be many, and none of them may be a finding.
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

impl Verdict {
    /// Why it could not tell, or not of everything.
    pub fn untold(&self) -> Option<&str> {
        match self {
            Self::Evaluated { untold, .. } => untold.as_deref(),
            Self::Skipped { reason, .. } | Self::Elsewhere { reason, .. } => Some(reason),
        }
    }

    /// SQL that mends that, where SQL can.
    pub fn remedy_sql(&self) -> Option<&str> {
        match self {
            Self::Skipped { remedy_sql, .. } => remedy_sql.as_deref(),
            Self::Evaluated { .. } | Self::Elsewhere { .. } => None,
        }
    }
}

/// Another entry of the configuration leads to the same running server, and tells what both see of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToldBy {
    /// Its name in the configuration.
    pub name: String,
    /// Who tells what: that one, and others that lead to the same server.
    pub tellers: Vec<Teller>,
    /// What becomes of a rule where the other one tells: told elsewhere, or skipped as long as the other is waited for.
    pub verdict: Verdict,
    /// What becomes meanwhile of a rule of which the other one told nothing yet; none once it had time enough for that.
    pub until_then: Option<Verdict>,
    /// The databases that the other one visits, so that it is waited for there.
    pub visits: Vec<String>,
}

impl ToldBy {
    /// What becomes of a rule in a place.
    pub fn verdict_of(&self, rule: &str, database: Option<&str>) -> Verdict {
        let is_told = !self.tellers(rule, database).is_empty();
        let waiting = self.until_then.as_ref().filter(|_| !is_told);
        waiting.unwrap_or(&self.verdict).clone()
    }

    /// Whether the other one is waited for in a place where it told nothing yet.
    pub fn is_awaited(&self, database: Option<&str>) -> bool {
        let is_visited = |name| self.visits.iter().any(|visited| visited == name);
        self.until_then.is_some() && database.is_none_or(is_visited)
    }

    /// Whether it is known that the other one tells, and not only waited for.
    pub fn is_settled(&self) -> bool {
        matches!(self.verdict, Verdict::Elsewhere { .. })
    }

    /// The names under which a rule could be judged in a place, or may be: a database, or the whole server.
    pub fn tellers(&self, rule: &str, database: Option<&str>) -> Vec<&str> {
        let place = (rule.to_owned(), database.map(str::to_owned));
        let tells = |teller: &&Teller| teller.places.as_ref().is_none_or(|told| told.contains(&place));
        let tellers = self.tellers.iter().filter(tells);
        tellers.map(|teller| teller.name.as_str()).collect()
    }
}

/// A rule, and the database where it was judged; none is the whole server.
pub type ToldPlace = (String, Option<String>);

/// What one name of the configuration tells of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Teller {
    /// The name.
    pub name: String,
    /// Where which rules could be judged; of a rule about the server each database that is visited, too. `None` where that
    /// is not known yet, so that it may be everywhere.
    pub places: Option<BTreeSet<ToldPlace>>,
}

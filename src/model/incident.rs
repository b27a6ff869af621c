//! What held others up, or kept dead row versions from being removed, over the looks at which it was seen.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// Sessions wait for a lock that it holds.
    Blocking,
    /// Its transaction is old.
    OldTransaction,
}

impl IncidentKind {
    /// The word in JSON and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::OldTransaction => "old_transaction",
        }
    }
}

/// Who it was and how bad it became: who and what as of the last look that saw it, numbers the greatest of all looks.
/// There is no text of a statement in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct IncidentFacts {
    /// Its state, as pg_stat_activity has it, or `prepared`; null where it is not seen.
    pub state: Option<String>,
    /// Its database.
    pub database: Option<String>,
    /// Its role; of a prepared transaction its owner.
    pub role: Option<String>,
    /// Its application_name, or what kind of process it is.
    pub application: String,
    /// The name of a prepared transaction, where it is known which one it was.
    pub gid: Option<String>,
    /// The first keywords of what it ran, or ran last, as `ALTER TABLE`; empty where that is not seen.
    pub command: String,
    /// The identity of that statement, where it is one that is counted in a watched database.
    pub statement_id: Option<String>,
    /// The lock for which most waited, with its table; null where nobody waited, or it was not seen.
    pub waits_for: Option<String>,
    /// How many waited at once, directly or behind each other.
    pub waiting: usize,
    /// The longest wait; null where nobody waited, or nobody knows since when.
    pub longest_wait_seconds: Option<f64>,
    /// How long the transaction was open.
    pub transaction_seconds: Option<f64>,
    /// Transactions since the oldest row versions that it kept from being removed; null where it held none back.
    pub xmin_age: Option<i64>,
}

impl IncidentFacts {
    /// The same with what a later look saw.
    pub fn then(self, later: Self) -> Self {
        let longest = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        Self {
            waits_for: later.waits_for.or(self.waits_for),
            waiting: self.waiting.max(later.waiting),
            longest_wait_seconds: longest(self.longest_wait_seconds, later.longest_wait_seconds),
            transaction_seconds: longest(self.transaction_seconds, later.transaction_seconds),
            xmin_age: self.xmin_age.max(later.xmin_age),
            ..later
        }
    }
}

/// What one look saw of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sighting {
    /// The same at every look while it lasts: process and begin of the transaction.
    pub identity: String,
    /// How long it had lasted then.
    pub seconds: f64,
    /// Who it is, and how bad it is.
    pub facts: IncidentFacts,
}

/// Everything of one kind that one look saw: what is not among it is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Sightings {
    /// The kind.
    pub kind: IncidentKind,
    /// What was seen, each once, the worst first.
    pub seen: Vec<Sighting>,
}

/// What looks that followed each other saw of one holder.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Incident {
    /// Since when it lasted, as the first look knew it.
    pub began_at: DateTime<Utc>,
    /// The last look that saw it.
    pub last_seen_at: DateTime<Utc>,
    /// The first look that saw it no more; null while it goes on.
    pub ended_at: Option<DateTime<Utc>>,
    /// Who it was, and how bad it became.
    #[serde(flatten)]
    pub facts: IncidentFacts,
}

impl Incident {
    /// How long it is known to have lasted, in seconds.
    pub fn seconds(&self) -> f64 {
        ((self.last_seen_at - self.began_at).num_milliseconds() as f64 / 1000.0).max(0.0)
    }
}

/// Incidents of one kind, those that were seen last first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct IncidentList {
    /// The first of them.
    pub items: Vec<Incident>,
    /// How many there are.
    pub total: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_all_looks_is_kept_of_who_it_is_now() {
        let first = IncidentFacts {
            state: Some("active".into()),
            waits_for: Some("ShareLock on public.t".into()),
            waiting: 9,
            longest_wait_seconds: Some(8.0),
            ..IncidentFacts::default()
        };
        let later = IncidentFacts {
            state: Some("idle in transaction".into()),
            waiting: 2,
            longest_wait_seconds: None,
            transaction_seconds: Some(70.0),
            xmin_age: Some(5),
            ..IncidentFacts::default()
        };
        let both = first.then(later);
        assert_eq!(both.state.as_deref(), Some("idle in transaction"));
        assert_eq!(both.waits_for.as_deref(), Some("ShareLock on public.t"));
        assert_eq!((both.waiting, both.longest_wait_seconds), (9, Some(8.0)));
        assert_eq!((both.transaction_seconds, both.xmin_age), (Some(70.0), Some(5)));
    }
}

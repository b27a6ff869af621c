//! A server with its looks: a part of the status page.

use serde::Serialize;
use utoipa::ToSchema;

use super::status_facts::Connections;
use crate::model::status::{Look, ServerStatus};
use crate::report::reached_under;

/// Databases of a server without index advice, for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NoAdvice {
    /// The databases.
    pub databases: Vec<String>,
    /// Why: it may wait until the budget leaves time for it.
    pub reason: String,
}

impl NoAdvice {
    /// Of one server, from what is known of all.
    pub(super) fn of(server: &str, all: &[(String, String, String)]) -> Vec<Self> {
        let mut known: Vec<Self> = Vec::new();
        for (_, database, reason) in all.iter().filter(|(of, ..)| of == server) {
            match known.iter_mut().find(|one| one.reason == *reason) {
                Some(same) => same.databases.push(database.clone()),
                None => known.push(Self {
                    databases: vec![database.clone()],
                    reason: reason.clone(),
                }),
            }
        }
        known
    }

    pub(super) fn names(&self) -> String {
        self.databases.join(", ")
    }
}

/// A server with its looks.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ServerLooks {
    /// The server.
    #[serde(flatten)]
    pub server: ServerStatus,
    /// Connections to it, where it is known.
    pub connections: Option<Connections>,
    /// The budget for the advisor's own cost.
    pub budget_ratio: f64,
    /// The last look of each family.
    pub looks: Vec<Look>,
    /// Where it is not known which indexes are missing, and why.
    pub no_advice: Vec<NoAdvice>,
    /// Every name under which it is reached, first the one under which it is told of; empty where there is no other name.
    pub names: Vec<String>,
}

impl ServerLooks {
    /// Own cost in per cent of the budget, at most 100, for the bar.
    pub fn budget_used(&self) -> u8 {
        match self.budget_ratio > 0.0 {
            true => (self.server.own_cost_ratio / self.budget_ratio * 100.0).clamp(0.0, 100.0) as u8,
            false => 0,
        }
    }

    /// Whether it costs more than it may.
    pub fn over_budget(&self) -> bool {
        self.budget_ratio > 0.0 && self.server.own_cost_ratio > self.budget_ratio
    }

    /// That it is reached under several names, and under which it is told of; nothing where it has one name.
    pub fn told_under(&self) -> Option<String> {
        let told = match &self.server.told_by {
            Some(name) => format!("what both see is told under {name}"),
            None => "what several see is told under the first that answers".to_owned(),
        };
        let names = reached_under(&self.names);
        (!self.names.is_empty()).then(|| {
            format!("It is {names}; {told}. Each name costs the server looks of its own: one can watch every database.")
        })
    }

    /// `17.6`.
    pub fn version(&self) -> Option<String> {
        self.server
            .version_num
            .map(|number| format!("{}.{}", number / 10_000, number % 10_000))
    }
}

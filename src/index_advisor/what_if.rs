//! The planner's own price of statements under sets of hypothetical indexes. Every question is counted: it is what advice
//! costs the server.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use super::candidate::Candidate;
use super::selection::{Answer, Planner};
use crate::postgres::{Detail, HypotheticalIndex, Parameters, Plan, PostgresError, ServerText};

/// A statement as it is planned again and again.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its text, which the gate let pass.
    pub text: ServerText,
    /// The search_path of its user.
    pub search_path: String,
    /// Whether it has parameters, so that its generic plan is judged.
    pub has_parameters: bool,
}

impl Planned {
    /// What EXPLAIN is told of its parameters.
    pub fn parameters(&self) -> Parameters<'static> {
        match self.has_parameters {
            true => Parameters::Unknown,
            false => Parameters::Values(&[]),
        }
    }
}

/// A planning session with candidates of which some are there as hypothetical indexes.
pub struct WhatIf<'a> {
    plan: &'a Plan,
    statements: &'a [Planned],
    candidates: &'a [Candidate],
    present: BTreeMap<usize, HypotheticalIndex>,
    /// How often the planner was asked with hypothetical indexes.
    pub calls: usize,
}

impl<'a> WhatIf<'a> {
    /// Nothing is there yet.
    pub fn new(plan: &'a Plan, statements: &'a [Planned], candidates: &'a [Candidate]) -> Self {
        Self {
            plan,
            statements,
            candidates,
            present: BTreeMap::new(),
            calls: 0,
        }
    }

    /// The sizes in bytes that HypoPG estimates, `None` for a candidate that it does not take.
    ///
    /// # Errors
    /// If the session is lost.
    pub async fn sizes(&mut self) -> Result<Vec<Option<f64>>, PostgresError> {
        let mut sizes = Vec::with_capacity(self.candidates.len());
        // HypoPG has OIDs for some 2 500 at once
        for chunk in self.candidates.chunks(500) {
            let definitions: Vec<String> = chunk.iter().map(Candidate::hypothetical).collect();
            let made = self.plan.create_hypothetical(&definitions).await?;
            sizes.extend(
                made.iter()
                    .map(|index| index.as_ref().map(|index| index.size_bytes)),
            );
            self.plan.reset_hypothetical().await?;
        }
        self.present.clear();
        Ok(sizes)
    }

    /// Makes exactly these candidates present.
    async fn show(&mut self, set: &FixedBitSet) -> Result<(), PostgresError> {
        let surplus: Vec<usize> = self
            .present
            .keys()
            .copied()
            .filter(|one| !set.contains(*one))
            .collect();
        let oids: Vec<u32> = surplus
            .iter()
            .filter_map(|one| self.present.remove(one))
            .map(|index| index.oid)
            .collect();
        if !oids.is_empty() {
            self.plan.drop_hypothetical(&oids).await?;
        }
        let missing: Vec<usize> = set.ones().filter(|one| !self.present.contains_key(one)).collect();
        let definitions: Vec<String> = missing
            .iter()
            .map(|one| self.candidates[*one].hypothetical())
            .collect();
        let made = self.plan.create_hypothetical(&definitions).await?;
        self.present.extend(
            missing
                .into_iter()
                .zip(made)
                .filter_map(|(one, index)| Some((one, index?))),
        );
        Ok(())
    }
}

impl Planner for WhatIf<'_> {
    async fn ask(&mut self, statement: usize, set: &FixedBitSet) -> Result<Answer, PostgresError> {
        self.show(set).await?;
        self.calls += 1;
        let planned = &self.statements[statement];
        let tree = self
            .plan
            .explain(
                &planned.text,
                &planned.search_path,
                planned.parameters(),
                Detail::Costs,
            )
            .await?;
        let mut used = FixedBitSet::with_capacity(self.candidates.len());
        for name in tree.nodes().into_iter().filter_map(|node| node.index.as_ref()) {
            let of_ours = self.present.iter().find(|(_, index)| index.name == *name);
            if let Some((candidate, _)) = of_ours {
                used.insert(*candidate);
            }
        }
        Ok(Answer {
            cost: tree.total_cost(),
            used,
        })
    }
}

//! From a workload to advice: plan every statement as things are, make candidates, let the planner choose, and tell what
//! came of it.

use fixedbitset::FixedBitSet;

use super::candidate::{Candidate, Kinds, of_use};
use super::clauses::of_plan;
use super::gate::{Gate, Passage};
use super::search_path::SearchPath;
use super::selection::{Answer, Planner, Problem, Selection};
use super::what_if::{Planned, WhatIf};
use crate::limits;
use crate::postgres::{Detail, Plan, PostgresError, ServerText};
use crate::sql;

/// A statement of the workload, as it was captured or given.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct WorkloadStatement {
    pub name: Option<String>,
    pub weight: f64,
    pub text: String,
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Wanted {
    pub kinds: Kinds,
    pub budget_bytes: Option<f64>,
    pub calls_per_statement: usize,
}

/// What became of one statement.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct StatementAdvice {
    pub statement: WorkloadStatement,
    pub statement_id: String,
    /// Planner's units for one call; `None` where it could not be planned.
    pub cost_before: Option<f64>,
    pub cost_after: Option<f64>,
    /// Positions in [`Advice::indexes`].
    pub uses: Vec<usize>,
    pub has_candidates: bool,
    /// Why it was not planned.
    pub reason: Option<String>,
}

/// One index that is advised.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct IndexAdvice {
    pub candidate: Candidate,
    pub size_bytes: f64,
    /// What the workload costs without this one of the set, and with it.
    pub cost_before: f64,
    pub cost_after: f64,
}

/// The set that is advised, and what it does for each statement.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Advice {
    pub indexes: Vec<IndexAdvice>,
    pub statements: Vec<StatementAdvice>,
    pub what_if_calls: usize,
}

/// Works it out.
///
/// # Errors
/// If the session is lost. A statement that cannot be planned is told, and the others go on.
pub async fn advise(
    plan: &Plan,
    gate: &mut Gate,
    search_path: &SearchPath,
    workload: Vec<WorkloadStatement>,
    wanted: Wanted,
    stop: &(dyn Fn() -> bool + Sync),
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Advice, PostgresError> {
    let mut statements = Vec::new();
    let mut ready = Ready::default();
    for statement in workload {
        statements.push(
            ready
                .take(plan, gate, search_path, statement, wanted.kinds)
                .await?,
        );
    }
    let mut what_if = WhatIf::new(plan, &ready.planned, &ready.candidates);
    let sizes = what_if.sizes().await?;
    let problem = ready.problem(&sizes, wanted);
    let set = Selection::new(&problem, &mut what_if, stop, progress)
        .run()
        .await?;
    let answers = confirmed(&mut what_if, &problem, &set).await?;
    Ok(told(statements, &ready, &problem, &set, &answers, what_if.calls))
}

/// What was found out before any index is tried.
#[derive(Default)]
struct Ready {
    planned: Vec<Planned>,
    /// The position of each planned statement in the workload.
    positions: Vec<usize>,
    weights: Vec<f64>,
    costs: Vec<f64>,
    relevant: Vec<Vec<usize>>,
    candidates: Vec<Candidate>,
    taken: usize,
}

impl Ready {
    async fn take(
        &mut self,
        plan: &Plan,
        gate: &mut Gate,
        search_path: &SearchPath,
        statement: WorkloadStatement,
        kinds: Kinds,
    ) -> Result<StatementAdvice, PostgresError> {
        let position = self.taken;
        self.taken += 1;
        let mut advice = StatementAdvice {
            statement_id: sql::identify(&statement.text).statement_id,
            cost_before: None,
            cost_after: None,
            uses: Vec::new(),
            has_candidates: false,
            reason: None,
            statement,
        };
        let text = match ServerText::one_query(&advice.statement.text) {
            Ok(text) => text,
            Err(error) => {
                advice.reason = Some(error.to_string());
                return Ok(advice);
            }
        };
        if let Passage::NotPlanned(reason) = gate.examine(plan, &text, search_path, None).await? {
            advice.reason = Some(reason.to_string());
            return Ok(advice);
        }
        let planned = Planned {
            has_parameters: sql::has_parameters(text.as_str()),
            text,
            search_path: search_path.to_string(),
        };
        let explained = plan
            .explain(
                &planned.text,
                &planned.search_path,
                planned.parameters(),
                Detail::Expressions,
            )
            .await;
        let tree = match explained {
            Ok(tree) => tree,
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                advice.reason = Some(error.one_line());
                return Ok(advice);
            }
        };
        advice.cost_before = Some(tree.total_cost());
        let mut relevant = Vec::new();
        for candidate in of_plan(&tree).iter().flat_map(|asked| of_use(asked, kinds)) {
            let known = self.candidates.iter().position(|known| *known == candidate);
            let number = known.unwrap_or(self.candidates.len());
            if known.is_none() {
                self.candidates.push(candidate);
            }
            if !relevant.contains(&number) && relevant.len() < limits::CANDIDATES_PER_STATEMENT {
                relevant.push(number);
            }
        }
        advice.has_candidates = !relevant.is_empty();
        self.planned.push(planned);
        self.positions.push(position);
        self.weights.push(advice.statement.weight);
        self.costs.push(tree.total_cost());
        self.relevant.push(relevant);
        Ok(advice)
    }

    fn problem(&self, sizes: &[Option<f64>], wanted: Wanted) -> Problem {
        let count = self.candidates.len();
        let budget_bytes = wanted.budget_bytes.unwrap_or(f64::INFINITY);
        let fits = |number: &usize| sizes[*number].is_some_and(|size| size <= budget_bytes);
        let relevant = self.relevant.iter().map(|numbers| {
            let mut set = FixedBitSet::with_capacity(count);
            numbers
                .iter()
                .copied()
                .filter(fits)
                .for_each(|number| set.insert(number));
            set
        });
        Problem {
            weights: self.weights.clone(),
            costs: self.costs.clone(),
            relevant: relevant.collect(),
            sizes: sizes.iter().map(|size| size.unwrap_or(f64::INFINITY)).collect(),
            widths: self
                .candidates
                .iter()
                .map(|candidate| candidate.keys.len())
                .collect(),
            upkeep: vec![0.0; count],
            budget_bytes,
            calls: wanted.calls_per_statement * self.planned.len(),
        }
    }
}

/// Every statement planned once more under the whole set: what is told is the planner's word.
async fn confirmed(
    what_if: &mut WhatIf<'_>,
    problem: &Problem,
    set: &FixedBitSet,
) -> Result<Vec<Answer>, PostgresError> {
    let mut answers = Vec::new();
    for statement in 0..problem.weights.len() {
        answers.push(what_if.ask(statement, set).await?);
    }
    Ok(answers)
}

fn told(
    mut statements: Vec<StatementAdvice>,
    ready: &Ready,
    problem: &Problem,
    set: &FixedBitSet,
    answers: &[Answer],
    what_if_calls: usize,
) -> Advice {
    let mut members: Vec<usize> = set
        .ones()
        .filter(|one| answers.iter().any(|answer| answer.used.contains(*one)))
        .collect();
    let after: f64 = answers
        .iter()
        .zip(&problem.weights)
        .map(|(answer, weight)| answer.cost * weight)
        .sum();
    // of what its statements gain each index has an equal share
    let gain = |one: usize| -> f64 {
        let users = answers
            .iter()
            .zip(&problem.weights)
            .zip(&problem.costs)
            .filter(|((answer, _), _)| answer.used.contains(one));
        users
            .map(|((answer, weight), cost)| weight * (cost - answer.cost) / answer.used.count_ones(..) as f64)
            .sum()
    };
    members.sort_by(|a, b| gain(*b).total_cmp(&gain(*a)).then(a.cmp(b)));
    for (number, answer) in answers.iter().enumerate() {
        let told = &mut statements[ready.positions[number]];
        told.cost_after = Some(answer.cost);
        told.uses = (0..members.len())
            .filter(|position| answer.used.contains(members[*position]))
            .collect();
    }
    let indexes = members.iter().map(|one| IndexAdvice {
        candidate: ready.candidates[*one].clone(),
        size_bytes: problem.sizes[*one],
        cost_before: after + gain(*one),
        cost_after: after,
    });
    Advice {
        indexes: indexes.collect(),
        statements,
        what_if_calls,
    }
}

use super::*;
use proptest::prelude::*;

/// A planner whose plans are given: each uses some candidates and costs something.
struct Given {
    plans: Vec<Vec<(Vec<usize>, f64)>>,
    count: usize,
    calls: usize,
}

fn set(count: usize, members: &[usize]) -> FixedBitSet {
    let mut set = FixedBitSet::with_capacity(count);
    set.extend(members.iter().copied());
    set
}

impl Planner for Given {
    async fn ask(&mut self, statement: usize, available: &FixedBitSet) -> Result<Answer, PostgresError> {
        self.calls += 1;
        let fits = |plan: &&(Vec<usize>, f64)| plan.0.iter().all(|one| available.contains(*one));
        let best = self.plans[statement]
            .iter()
            .filter(fits)
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap();
        Ok(Answer {
            cost: best.1,
            used: set(self.count, &best.0),
            scans: Scans::new(),
        })
    }
}

pub(super) fn solved(
    plans: Vec<Vec<(Vec<usize>, f64)>>,
    sizes: &[f64],
    budget_bytes: f64,
    upkeep: f64,
) -> (Vec<usize>, f64, usize) {
    solved_beside(plans, sizes, budget_bytes, upkeep, &[])
}

/// The same where these are an index that is there with something more.
pub(super) fn solved_beside(
    plans: Vec<Vec<(Vec<usize>, f64)>>,
    sizes: &[f64],
    budget_bytes: f64,
    upkeep: f64,
    rebuilds: &[usize],
) -> (Vec<usize>, f64, usize) {
    solved_as(plans, sizes, |problem| {
        problem.budget_bytes = budget_bytes;
        problem.upkeep.fill(upkeep);
        problem.rebuilds.extend(rebuilds.iter().copied());
    })
}

/// The same of indexes of any size on one table, with what is changed in the problem.
pub(super) fn solved_as(
    plans: Vec<Vec<(Vec<usize>, f64)>>,
    sizes: &[f64],
    change: impl FnOnce(&mut Problem),
) -> (Vec<usize>, f64, usize) {
    let count = sizes.len();
    let relevant = plans.iter().map(|plans| {
        let members: Vec<usize> = plans.iter().flat_map(|plan| plan.0.clone()).collect();
        set(count, &members)
    });
    let base = |plans: &Vec<(Vec<usize>, f64)>| plans.iter().find(|plan| plan.0.is_empty()).unwrap().1;
    let mut problem = Problem {
        weights: vec![1.0; plans.len()],
        costs: plans.iter().map(base).collect(),
        useful: relevant.clone().collect(),
        relevant: relevant.collect(),
        sizes: sizes.to_vec(),
        groups: (0..count).collect(),
        widths: vec![1; count],
        carried: vec![0; count],
        narrower: vec![None; count],
        turned: vec![None; count],
        siblings: vec![Vec::new(); count],
        rebuilds: set(count, &[]),
        tables: vec![0; count],
        parts: set(count, &[]),
        skewed: Vec::new(),
        upkeep: vec![0.0; count],
        estimates: Vec::new(),
        least_gain: 0.0,
        least_gain_share: 0.0,
        budget_bytes: f64::INFINITY,
        calls: 20 * plans.len(),
    };
    change(&mut problem);
    let mut given = Given {
        plans: plans.clone(),
        count,
        calls: 0,
    };
    let chosen = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(Selection::new(&problem, &mut given, &|| false, &|_| {}).run())
        .unwrap();
    let cost = |plans: &Vec<(Vec<usize>, f64)>| {
        let fits = plans
            .iter()
            .filter(|plan| plan.0.iter().all(|one| chosen.contains(*one)));
        fits.map(|plan| plan.1).fold(f64::INFINITY, f64::min)
    };
    (chosen.ones().collect(), plans.iter().map(cost).sum(), given.calls)
}

#[test]
fn two_that_only_pay_together_are_found() {
    let plans = vec![vec![(vec![], 100.0), (vec![0, 1], 10.0), (vec![2], 90.0)]];
    assert_eq!(solved(plans, &[5.0, 5.0, 9.0], 10.0, 0.0).0, [0, 1]);
}

#[test]
fn the_budget_is_kept_and_a_smaller_index_may_be_better() {
    let plans = vec![
        vec![(vec![], 100.0), (vec![0], 10.0), (vec![1], 20.0)],
        vec![(vec![], 100.0), (vec![2], 20.0)],
    ];
    let (chosen, cost, _) = solved(plans, &[10.0, 4.0, 4.0], 10.0, 0.0);
    assert_eq!((chosen, cost), (vec![1, 2], 40.0));
}

#[test]
fn what_costs_more_to_keep_than_it_saves_is_left_out() {
    let plans = vec![vec![(vec![], 100.0), (vec![0], 95.0)]];
    assert_eq!(
        solved(plans.clone(), &[1.0], f64::INFINITY, 6.0).0,
        Vec::<usize>::new()
    );
    assert_eq!(solved(plans, &[1.0], f64::INFINITY, 4.0).0, [0]);
}

proptest! {
    /// Whatever the plans are: the budget holds, the questions are bounded, the answer is the same each time, and never
    /// worse than no index at all.
    #[test]
    fn always_valid(
        sizes in prop::collection::vec(1.0f64..50.0, 6),
        statements in prop::collection::vec(prop::collection::vec((prop::collection::vec(0usize..6, 1..4), 1.0f64..99.0), 1..6), 1..6),
        budget in 10.0f64..150.0,
    ) {
        let plans: Vec<Vec<(Vec<usize>, f64)>> =
            statements.into_iter().map(|mut plans| { plans.push((vec![], 100.0)); plans }).collect();
        let (chosen, cost, calls) = solved(plans.clone(), &sizes, budget, 0.0);
        prop_assert!(chosen.iter().map(|one| sizes[*one]).sum::<f64>() <= budget);
        prop_assert!(cost <= 100.0 * plans.len() as f64 && calls <= 20 * plans.len());
        prop_assert_eq!(solved(plans, &sizes, budget, 0.0).0, chosen);
    }
}

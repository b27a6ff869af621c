//! The best set of indexes by the plans that are known: a knapsack in which things are worth something only together.
//! Pure arithmetic, so that thousands of sets are looked at for one question to the planner.

/// One plan of a statement that is known: what it uses, and what it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Candidates, each once.
    pub uses: Vec<usize>,
    /// The planner's units, times the statement's weight.
    pub cost: f64,
    /// Whether the planner said so: what is only hoped for is no reason to look at its indexes together.
    pub is_known: bool,
}

/// What there is to choose from.
#[derive(Clone, Debug)]
pub struct Knapsack {
    /// The plans of each statement, one of which uses nothing; the cheapest first.
    choices: Vec<Vec<Choice>>,
    sizes: Vec<f64>,
    upkeep: Vec<f64>,
    budget: f64,
    /// The statements that have a plan with a candidate.
    users: Vec<Vec<usize>>,
    /// Candidates that some plan uses together, and single ones.
    bundles: Vec<Bundle>,
}

#[derive(Clone, Debug)]
struct Bundle {
    members: Vec<usize>,
    /// The plans that use one of them, by statement and number.
    plans: Vec<(usize, usize)>,
}

/// A set, and what each statement costs with it.
#[derive(Clone, Debug)]
struct State {
    is_in: Vec<bool>,
    costs: Vec<f64>,
    size: f64,
    total: f64,
}

/// Of so many candidates all sets are looked at.
const FEW: usize = 10;
/// Differences smaller than this are none.
const SAME: f64 = 1e-9;
/// How strongly size counts against gain while a set is filled.
const EXPONENTS: [f64; 5] = [1.0, 0.7, 0.4, 0.0, 1.3];
/// How often a part of the set is taken out at random and filled up anew: for each member so often, at least and at most.
const REFILLS_PER_MEMBER: usize = 40;
const REFILLS: std::ops::RangeInclusive<usize> = 150..=600;

impl Knapsack {
    /// Of each statement's plans; sizes and upkeep are by candidate.
    pub fn new(mut choices: Vec<Vec<Choice>>, sizes: &[f64], upkeep: &[f64], budget: f64) -> Self {
        let mut users = vec![Vec::new(); sizes.len()];
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (statement, plans) in choices.iter_mut().enumerate() {
            plans.sort_by(|a, b| a.cost.total_cmp(&b.cost).then_with(|| a.uses.cmp(&b.uses)));
            *plans = undominated(std::mem::take(plans));
            for choice in plans.iter() {
                for one in &choice.uses {
                    if users[*one].last() != Some(&statement) {
                        users[*one].push(statement);
                    }
                }
                if choice.is_known {
                    groups.push(choice.uses.clone());
                }
                groups.extend(choice.uses.iter().map(|one| vec![*one]));
            }
        }
        groups.sort();
        groups.dedup();
        let size = |members: &[usize]| members.iter().map(|one| sizes[*one]).sum::<f64>();
        let with = plans_with(&choices, sizes.len());
        let bundle = |members: Vec<usize>| {
            let mut plans: Vec<(usize, usize)> = members
                .iter()
                .flat_map(|one| with[*one].iter().copied())
                .collect();
            plans.sort_unstable();
            plans.dedup();
            Bundle { members, plans }
        };
        let fitting = groups
            .into_iter()
            .filter(|members| !members.is_empty() && size(members) <= budget);
        Self {
            bundles: fitting.map(bundle).collect(),
            choices,
            sizes: sizes.to_vec(),
            upkeep: upkeep.to_vec(),
            budget,
            users,
        }
    }

    /// The best set: of few candidates of all sets, of many the best that is found; the same for the same question.
    pub fn best(&self) -> Vec<usize> {
        let best = match self.sizes.len() <= FEW {
            true => self.of_all(),
            false => self.searched(),
        };
        (0..best.is_in.len()).filter(|one| best.is_in[*one]).collect()
    }

    fn of_all(&self) -> State {
        let count = self.sizes.len();
        let states = (0..1_usize << count)
            .map(|bits| self.state((0..count).map(|one| bits >> one & 1 == 1).collect()))
            .filter(|state| state.size <= self.budget);
        let best = states.min_by(|a, b| a.total.total_cmp(&b.total));
        self.trimmed(best.unwrap_or_else(|| self.state(vec![false; count])))
    }

    fn searched(&self) -> State {
        let none = self.state(vec![false; self.sizes.len()]);
        let start = EXPONENTS
            .iter()
            .map(|exponent| self.filled(none.clone(), *exponent, None));
        let best = start.min_by(|a, b| a.total.total_cmp(&b.total)).unwrap_or(none);
        self.swapped(self.refilled(best))
    }

    fn cost(&self, statement: usize, is_in: &[bool]) -> f64 {
        let possible = |choice: &&Choice| choice.uses.iter().all(|one| is_in[*one]);
        self.choices[statement]
            .iter()
            .find(possible)
            .map_or(f64::INFINITY, |choice| choice.cost)
    }

    fn state(&self, is_in: Vec<bool>) -> State {
        let costs: Vec<f64> = (0..self.choices.len())
            .map(|one| self.cost(one, &is_in))
            .collect();
        let members = (0..is_in.len()).filter(|one| is_in[*one]);
        let size = members.clone().map(|one| self.sizes[one]).sum();
        let upkeep: f64 = members.map(|one| self.upkeep[one]).sum();
        State {
            total: costs.iter().sum::<f64>() + upkeep,
            costs,
            size,
            is_in,
        }
    }

    /// How much a bundle would add to the size.
    fn growth(&self, state: &State, bundle: &Bundle) -> f64 {
        let fresh = bundle.members.iter().filter(|one| !state.is_in[**one]);
        fresh.map(|one| self.sizes[*one]).sum()
    }

    /// What a bundle would save of the total.
    fn saved(&self, state: &mut State, bundle: &Bundle) -> f64 {
        let members = bundle.members.iter().copied();
        let fresh: Vec<usize> = members.filter(|one| !state.is_in[*one]).collect();
        fresh.iter().for_each(|one| state.is_in[*one] = true);
        let mut saved = 0.0;
        let mut cheaper = None;
        for (statement, number) in &bundle.plans {
            let plan = &self.choices[*statement][*number];
            // of each statement the first that is possible is the cheapest
            if cheaper != Some(statement)
                && plan.cost < state.costs[*statement]
                && plan.uses.iter().all(|one| state.is_in[*one])
            {
                saved += state.costs[*statement] - plan.cost;
                cheaper = Some(statement);
            }
        }
        fresh.iter().for_each(|one| state.is_in[*one] = false);
        saved - fresh.iter().map(|one| self.upkeep[*one]).sum::<f64>()
    }

    fn put(&self, state: &mut State, one: usize, is_in: bool) {
        if state.is_in[one] == is_in {
            return;
        }
        state.is_in[one] = is_in;
        let sign = if is_in { 1.0 } else { -1.0 };
        state.size += sign * self.sizes[one];
        state.total += sign * self.upkeep[one];
        for statement in &self.users[one] {
            let cost = self.cost(*statement, &state.is_in);
            state.total += cost - state.costs[*statement];
            state.costs[*statement] = cost;
        }
    }

    /// Adds bundles by gain for size until none fits or pays; none with what is banned.
    fn filled(&self, mut state: State, exponent: f64, banned: Option<usize>) -> State {
        loop {
            let mut best: Option<(f64, &Bundle)> = None;
            for bundle in &self.bundles {
                let is_banned = banned.is_some_and(|banned| bundle.members.contains(&banned));
                if is_banned || bundle.members.iter().all(|one| state.is_in[*one]) {
                    continue;
                }
                let size = self.growth(&state, bundle);
                if state.size + size > self.budget {
                    continue;
                }
                let saved = self.saved(&mut state, bundle);
                if saved <= SAME * state.total.abs() {
                    continue;
                }
                let value = saved / size.max(1.0).powf(exponent);
                if best.is_none_or(|(known, _)| value > known) {
                    best = Some((value, bundle));
                }
            }
            let Some((_, bundle)) = best else { break };
            bundle
                .members
                .iter()
                .for_each(|one| self.put(&mut state, *one, true));
        }
        self.trimmed(state)
    }

    /// Without what makes no difference, the largest first.
    fn trimmed(&self, mut state: State) -> State {
        let mut members: Vec<usize> = (0..state.is_in.len()).filter(|one| state.is_in[*one]).collect();
        members.sort_by(|a, b| self.sizes[*b].total_cmp(&self.sizes[*a]).then(a.cmp(b)));
        for one in members {
            let before = state.total;
            self.put(&mut state, one, false);
            if state.total > before {
                self.put(&mut state, one, true);
            }
        }
        // sums that were added to and taken from for long are worked out anew
        self.state(state.is_in)
    }

    /// Takes a few out at random, fills up again, and keeps what is better.
    fn refilled(&self, mut best: State) -> State {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let members = best.is_in.iter().filter(|is_in| **is_in).count();
        for round in 0..(REFILLS_PER_MEMBER * members).clamp(*REFILLS.start(), *REFILLS.end()) {
            let members: Vec<usize> = (0..best.is_in.len()).filter(|one| best.is_in[*one]).collect();
            if members.is_empty() {
                break;
            }
            let mut state = best.clone();
            // one of those must do without for once, or the set would be filled up as it was
            let banned = members[random.below(members.len())];
            self.put(&mut state, banned, false);
            for _ in 0..random.below(4) {
                self.put(&mut state, members[random.below(members.len())], false);
            }
            let exponent = EXPONENTS[round % EXPONENTS.len()];
            let state = self.filled(state, exponent, Some(banned).filter(|_| random.below(3) > 0));
            if state.total < best.total * (1.0 - SAME) {
                best = state;
            }
        }
        best
    }

    /// Takes each one and each two out in turn, which is sure to see what chance has missed.
    fn swapped(&self, mut best: State) -> State {
        const MEMBERS: usize = 40;
        'again: loop {
            let members: Vec<usize> = (0..best.is_in.len()).filter(|one| best.is_in[*one]).collect();
            for (position, one) in members.iter().enumerate() {
                let others = if members.len() > MEMBERS {
                    &members[position..=position]
                } else {
                    &members[position..]
                };
                for other in others {
                    let mut state = best.clone();
                    self.put(&mut state, *one, false);
                    self.put(&mut state, *other, false);
                    for exponent in [0.0, 1.0] {
                        let state = self.filled(state.clone(), exponent, None);
                        if state.total < best.total * (1.0 - SAME) {
                            best = state;
                            continue 'again;
                        }
                    }
                }
            }
            return best;
        }
    }
}

/// For each of so many candidates the plans that use it, by statement and number.
fn plans_with(choices: &[Vec<Choice>], count: usize) -> Vec<Vec<(usize, usize)>> {
    let mut with = vec![Vec::new(); count];
    for (statement, plans) in choices.iter().enumerate() {
        for (number, plan) in plans.iter().enumerate() {
            plan.uses
                .iter()
                .for_each(|one| with[*one].push((statement, number)));
        }
    }
    with
}

/// Of plans, the cheapest first, those that no cheaper one makes needless by using nothing that they do not use.
fn undominated(plans: Vec<Choice>) -> Vec<Choice> {
    let mut kept: Vec<Choice> = Vec::new();
    for plan in plans {
        let makes_needless = |other: &Choice| other.uses.iter().all(|one| plan.uses.contains(one));
        if !kept.iter().any(makes_needless) {
            kept.push(plan);
        }
    }
    kept
}

/// Numbers that look random and are the same each time (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knapsack(plans: &[Vec<(Vec<usize>, f64)>], sizes: &[f64], upkeep: f64, budget: f64) -> Knapsack {
        let choice = |(uses, cost): &(Vec<usize>, f64)| Choice {
            uses: uses.clone(),
            cost: *cost,
            is_known: true,
        };
        let choices = plans
            .iter()
            .map(|plans| plans.iter().map(choice).collect())
            .collect();
        Knapsack::new(choices, sizes, &vec![upkeep; sizes.len()], budget)
    }

    /// The least total of all sets.
    fn least(knapsack: &Knapsack) -> f64 {
        let count = knapsack.sizes.len();
        let states = (0..1_usize << count)
            .map(|bits| knapsack.state((0..count).map(|one| bits >> one & 1 == 1).collect()));
        let fitting = states.filter(|state| state.size <= knapsack.budget);
        fitting.map(|state| state.total).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn pairs_and_small_ones() {
        let together = [vec![(vec![], 100.0), (vec![0, 1], 10.0), (vec![2], 90.0)]];
        assert_eq!(knapsack(&together, &[5.0, 5.0, 9.0], 0.0, 10.0).best(), [0, 1]);
        let small = [
            vec![(vec![], 100.0), (vec![0], 10.0), (vec![1], 20.0)],
            vec![(vec![], 100.0), (vec![2], 20.0)],
        ];
        assert_eq!(knapsack(&small, &[10.0, 4.0, 4.0], 0.0, 10.0).best(), [1, 2]);
        let kept = [vec![(vec![], 100.0), (vec![0], 95.0)]];
        assert_eq!(knapsack(&kept, &[1.0], 6.0, 10.0).best(), [0; 0]);
        assert_eq!(knapsack(&kept, &[1.0], 4.0, f64::INFINITY).best(), [0]);
    }

    /// Statements with a few plans each, the same for the same seed.
    fn question(random: &mut Random) -> Knapsack {
        let sizes: Vec<f64> = (0..8).map(|_| 1.0 + random.below(50) as f64).collect();
        let plan = |random: &mut Random| {
            let mut uses: Vec<usize> = (0..=random.below(3)).map(|_| random.below(8)).collect();
            uses.sort_unstable();
            uses.dedup();
            (uses, 1.0 + random.below(98) as f64)
        };
        let statement = |random: &mut Random| {
            let mut plans: Vec<(Vec<usize>, f64)> = (0..=random.below(5)).map(|_| plan(random)).collect();
            plans.push((vec![], 100.0));
            plans
        };
        let statements: Vec<Vec<(Vec<usize>, f64)>> =
            (0..=random.below(5)).map(|_| statement(random)).collect();
        knapsack(&statements, &sizes, 0.0, 10.0 + random.below(190) as f64)
    }

    #[test]
    fn nearly_as_good_as_trying_everything() {
        let mut random = Random(7);
        let ratios: Vec<f64> = (0..300)
            .map(|_| {
                let knapsack = question(&mut random);
                let (best, least) = (knapsack.best(), least(&knapsack));
                let is_in = (0..8).map(|one| best.contains(&one)).collect();
                let exact = knapsack.state(is_in);
                assert!(exact.size <= knapsack.budget && exact.total <= least * (1.0 + SAME));
                // what is done where there are too many for that
                let searched = knapsack.searched();
                assert!(searched.size <= knapsack.budget);
                assert_eq!(searched.is_in, knapsack.searched().is_in, "the same each time");
                searched.total / least
            })
            .collect();
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        let worst = ratios.iter().copied().fold(0.0, f64::max);
        assert!(mean < 1.002 && worst < 1.2, "mean {mean}, worst {worst}");
    }
}

//! What is estimated beside what is proven. An index that the planner cannot be asked about saves what the scan costs that it
//! would replace; where a plan with other indexes still reads that scan as before, it saves the same there.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use super::{Answer, Estimate, Problem};
use crate::model::plan::{PlanNode, PlanTree};

/// What is paid for the tables that a plan reads from end to end, by their aliases, in the planner's units.
pub type Scans = BTreeMap<String, f64>;

/// Indexes of one statement that are counted together.
const COUNTED_TOGETHER: usize = 4;
/// Costs are the same that differ by no more than this part: EXPLAIN rounds them.
const ROUNDED: f64 = 1e-3;

/// What a plan reads from end to end, once: what is read again for each row of something else costs a multiple of what the plan
/// tells of it, so that nothing can be said of its alias.
pub fn scans(tree: &PlanTree) -> Scans {
    let mut again = Vec::new();
    read_again(&tree.root, false, &mut again);
    let mut scans = Scans::new();
    for (node, paid) in tree.nodes_paid() {
        if let ("Seq Scan", Some(alias)) = (node.kind.as_str(), &node.alias) {
            *scans.entry(alias.clone()).or_default() += paid;
        }
    }
    scans.retain(|alias, _| !again.contains(&alias.as_str()));
    scans
}

/// The aliases of what is read from end to end for each row outside of a nested loop, and not kept.
fn read_again<'a>(node: &'a PlanNode, is_again: bool, aliases: &mut Vec<&'a str>) {
    let is_again = is_again && !matches!(node.kind.as_str(), "Materialize" | "Memoize");
    if is_again && node.kind == "Seq Scan" {
        aliases.extend(node.alias.as_deref());
    }
    for child in &node.children {
        let is_inner = node.kind == "Nested Loop" && child.relationship.as_deref() == Some("Inner");
        read_again(child, is_again || is_inner, aliases);
    }
}

/// Those of a plan that an estimate is about, which reckons with so much for each alias; none if it is about anything else.
pub fn about<'a>(tree: &PlanTree, reckoned: impl Iterator<Item = (&'a String, f64)>) -> Scans {
    let all = scans(tree);
    let same = |(alias, now): (&String, f64)| {
        let paid = *all.get(alias)?;
        is_same(paid, now).then(|| (alias.clone(), paid))
    };
    reckoned.map(same).collect::<Option<Scans>>().unwrap_or_default()
}

fn is_same(one: f64, other: f64) -> bool {
    (one - other).abs() <= ROUNDED * one.abs().max(other.abs())
}

impl Estimate {
    /// What comes of it where nothing else is advised.
    pub fn alone(&self) -> Answer {
        let mut used = FixedBitSet::with_capacity(self.candidate + 1);
        used.insert(self.candidate);
        Answer {
            cost: self.cost,
            used,
            scans: Scans::new(),
        }
    }

    /// What comes of it on top of a plan that still reads all that it would replace, of a statement that costs so much as things
    /// are.
    fn on_top_of(&self, plan: &Answer, cost_as_it_is: f64) -> Option<Answer> {
        let is_read = |(alias, paid): (&String, &f64)| {
            let now = plan.scans.get(alias);
            now.is_some_and(|now| is_same(*now, *paid))
        };
        if self.scans.is_empty() || !self.scans.iter().all(is_read) {
            return None;
        }
        let mut with = plan.clone();
        with.used.grow(self.candidate + 1);
        with.used.insert(self.candidate);
        with.cost = (plan.cost - (cost_as_it_is - self.cost)).max(0.0);
        // nothing else can replace them, too
        with.scans.retain(|alias, _| !self.scans.contains_key(alias));
        Some(with)
    }
}

impl Problem {
    /// A statement as things are, of which the scans are known that estimates are about.
    pub fn as_it_is(&self, statement: usize) -> Answer {
        let estimates = self.estimates.iter().filter(|one| one.statement == statement);
        Answer {
            cost: self.costs[statement],
            used: FixedBitSet::new(),
            scans: estimates.flat_map(|one| one.scans.clone()).collect(),
        }
    }

    /// What comes of a plan of a statement with one or several indexes added that the planner cannot be asked about.
    pub fn with_estimates(&self, statement: usize, plan: &Answer) -> Vec<Answer> {
        let estimates = self.estimates.iter().filter(|one| {
            // what it can be asked about it may take for something else
            one.statement == statement && !self.useful[statement].contains(one.candidate)
        });
        let mut all = vec![plan.clone()];
        for estimate in estimates.take(COUNTED_TOGETHER) {
            let with = |plan: &Answer| estimate.on_top_of(plan, self.costs[statement]);
            let more: Vec<Answer> = all.iter().filter_map(with).collect();
            all.extend(more);
        }
        all.split_off(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Planner, Selection};
    use super::*;
    use crate::postgres::PostgresError;
    use serde_json::json;

    fn set(members: &[usize]) -> FixedBitSet {
        let mut set = FixedBitSet::with_capacity(3);
        set.extend(members.iter().copied());
        set
    }

    fn scans_of(paid: &[(&str, f64)]) -> Scans {
        paid.iter()
            .map(|(alias, paid)| ((*alias).to_owned(), *paid))
            .collect()
    }

    /// One statement over p and i that costs 1000: an index on i saves 500, what is estimated of p 300 and of i 400.
    fn problem() -> Problem {
        let estimate = |candidate, alias, paid, cost| Estimate {
            statement: 0,
            candidate,
            cost,
            scans: scans_of(&[(alias, paid)]),
        };
        Problem {
            weights: vec![1.0],
            costs: vec![1000.0],
            useful: vec![set(&[0])],
            relevant: vec![set(&[0])],
            sizes: vec![1.0; 3],
            groups: vec![0, 1, 2],
            widths: vec![1; 3],
            carried: vec![0; 3],
            narrower: vec![None; 3],
            turned: vec![None; 3],
            siblings: vec![Vec::new(); 3],
            rebuilds: set(&[]),
            tables: vec![0; 3],
            parts: set(&[]),
            skewed: Vec::new(),
            upkeep: vec![0.0; 3],
            estimates: vec![estimate(1, "p", 320.0, 700.0), estimate(2, "i", 600.0, 600.0)],
            least_gain: 0.0,
            least_gain_share: 0.0,
            budget_bytes: f64::INFINITY,
            calls: 20,
        }
    }

    /// With the index on i it is no longer read from end to end.
    struct Joined {
        paid_for_p: f64,
    }

    impl Planner for Joined {
        async fn ask(&mut self, _: usize, available: &FixedBitSet) -> Result<Answer, PostgresError> {
            Ok(match available.contains(0) {
                true => Answer {
                    cost: 500.0,
                    used: set(&[0]),
                    scans: scans_of(&[("p", self.paid_for_p)]),
                },
                false => Answer {
                    cost: 1000.0,
                    used: set(&[]),
                    scans: scans_of(&[("p", 320.0), ("i", 600.0)]),
                },
            })
        }
    }

    fn chosen(problem: &Problem, paid_for_p: f64) -> Vec<usize> {
        let mut planner = Joined { paid_for_p };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let run = Selection::new(problem, &mut planner, &|| false, &|_| {}).run();
        runtime.block_on(run).unwrap().ones().collect()
    }

    #[test]
    fn what_is_estimated_counts_beside_what_is_proven() {
        let mut problem = problem();
        problem.estimates.truncate(1);
        assert_eq!(chosen(&problem, 320.0), [0, 1]);
        // 500 is less than 700, and nothing is known of the two together
        assert_eq!(chosen(&problem, 3.2), [0], "p is read otherwise");
        problem.estimates[0].scans.clear();
        assert_eq!(chosen(&problem, 320.0), [0], "nobody knows what it replaces");
    }

    #[test]
    fn of_each_scan_one_index_spares_one() {
        let problem = problem();
        let told = |plan: &Answer| -> Vec<(Vec<usize>, f64)> {
            let all = problem.with_estimates(0, plan).into_iter();
            all.map(|one| (one.used.ones().collect(), one.cost)).collect()
        };
        let on_i = Answer {
            cost: 500.0,
            used: set(&[0]),
            scans: scans_of(&[("p", 320.0)]),
        };
        assert_eq!(told(&on_i), [(vec![0, 1], 200.0)]);
        assert_eq!(
            told(&problem.as_it_is(0)),
            [(vec![1], 700.0), (vec![2], 600.0), (vec![1, 2], 300.0)]
        );
        let asked = Problem {
            useful: vec![set(&[0, 1, 2])],
            ..problem.clone()
        };
        assert!(
            asked.with_estimates(0, &on_i).is_empty(),
            "the planner can be asked"
        );
    }

    #[test]
    fn an_estimate_is_about_scans_from_end_to_end() {
        let scan = |kind: &str, alias: &str, cost: f64| json!({"Node Type": kind, "Relation Name": alias, "Alias": alias, "Total Cost": cost});
        let plan = json!({"Node Type": "Nested Loop", "Total Cost": 500.0,
            "Plans": [scan("Seq Scan", "p", 320.0), scan("Index Scan", "i", 8.0)]});
        let tree = PlanTree::read(&json!([{ "Plan": plan }])).unwrap();
        assert_eq!(scans(&tree), scans_of(&[("p", 320.0)]));
        let about = |alias: &str, now: f64| about(&tree, [(&alias.to_owned(), now)].into_iter());
        assert_eq!(about("p", 320.1), scans_of(&[("p", 320.0)]));
        assert!(about("p", 500.0).is_empty() && about("i", 8.0).is_empty());
        let mut inner = scan("Seq Scan", "i", 600.0);
        inner["Parent Relationship"] = "Inner".into();
        let kept = json!({"Node Type": "Materialize", "Parent Relationship": "Inner", "Total Cost": 610.0,
            "Plans": [scan("Seq Scan", "i", 600.0)]});
        for (inner, read_once) in [(inner, &["p"][..]), (kept, &["i", "p"][..])] {
            let plan = json!({"Node Type": "Nested Loop", "Total Cost": 90000.0, "Plans": [scan("Seq Scan", "p", 320.0), inner]});
            let tree = PlanTree::read(&json!([{ "Plan": plan }])).unwrap();
            assert_eq!(scans(&tree).keys().collect::<Vec<_>>(), read_once);
        }
    }
}

//! Advice without HypoPG: for each statement what fits best what it asks, unproven, as far as PostgreSQL would take it. In the order of
//! what is at stake, within a budget by sizes that statistics tell.

use std::collections::BTreeMap;

use super::advice::{Advice, IndexAdvice};
use super::build;
use super::built;
use super::candidate::Candidate;
use super::dealt::Fit;
use super::definition::define;
use super::kept;
use super::partition::share_of_rows;
use super::ready::Ready;
use super::signatures::{Refused, Signatures};
use super::superseded;
use super::tables::{ExistingIndex, Table, Tables};
use super::told::taken;
use crate::model::finding::{Confidence, ConfidenceLevel};
use crate::model::plan::{PlanNode, PlanTree};
use crate::postgres::{Plan, PostgresError};
use crate::sql::expression::columns;

/// A plan that reads a whole table, or a whole index, is helped by an index where it keeps less than this part of the rows.
const FEW: f64 = 0.1;
/// What an entry of an index that is read costs: the default of `cpu_index_tuple_cost`.
const INDEX_ROW_COST: f64 = 0.005;
/// Entries that a page of an index holds at least, mostly: where there are no more of a value, skipping from one to the next reads
/// every page.
const ENTRIES_OF_A_PAGE: f64 = 100.0;
/// A scan of which less than this part is paid for stops early. (Costs are told with two digits, so that sums miss a little.)
const WHOLE: f64 = 0.99;

/// Why a statement gets none that could have one.
const READS_MUCH: &str = "for a small part of the rows its plan neither reads a table as a whole nor searches an index on all rows from end to \
     end, and without HypoPG the planner cannot be asked what an index would save it";
/// The same within a budget.
const TOO_LARGE: &str = "no index that could serve it fits, by sizes that are estimated";

/// What is at stake for each planned statement, by candidate: planner's units by weight.
type Chosen = BTreeMap<usize, BTreeMap<usize, f64>>;

impl Ready {
    /// The guess, within so many bytes if that is given.
    ///
    /// # Errors
    /// If the server refuses what is asked of its catalogs, or the session is lost.
    pub(super) async fn guessed(
        mut self,
        plan: &Plan,
        budget_bytes: Option<f64>,
    ) -> Result<Advice, PostgresError> {
        self.measure_inverted(plan).await?;
        let refused = self.refused(plan).await?;
        let sizes: Vec<Option<f64>> = (0..self.candidates.len())
            .map(|one| self.guessed_bytes(one))
            .collect();
        let may_be = |one: usize| refused[one].is_none() && self.fits_alone(one, sizes[one], budget_bytes);
        let chosen = self.chosen(&may_be);
        let (members, left_out) = self.within(&chosen, &sizes, budget_bytes);
        let mut taken = taken(plan, &self.candidates, &members, &self.tables).await?;
        let mut advice = Advice::default();
        let seconds_per_unit = build::seconds_per_unit(&self.statements);
        for one in members {
            let (candidate, users) = (&self.candidates[one], &chosen[&one]);
            let Some(table) = self.table_of(one) else { continue };
            let users: Vec<usize> = users.keys().copied().collect();
            let statements = self.positions_of(&users);
            let cost = |position: &usize| {
                let told = &self.statements[*position];
                told.cost_before.unwrap_or(0.0) * told.statement.weight
            };
            let before = statements.iter().map(cost).sum();
            let alone = self.read_alone(table, &statements);
            let on = alone.as_ref().unwrap_or(table);
            // what is told of a part of the rows is at most that of all
            let size_bytes = sizes[one].filter(|_| candidate.predicate.is_none());
            let size_bytes = size_bytes
                .zip(share_of_rows(on, table))
                .map(|(bytes, share)| bytes * share);
            let sorted_bytes = size_bytes.filter(|_| candidate.method == "btree");
            let seconds = |per_unit: f64| sorted_bytes.map(|bytes| build::seconds(per_unit, on, bytes));
            let index = IndexAdvice {
                definition: define(candidate, on, &mut taken, self.extension_of(candidate)),
                size_bytes,
                build_seconds: seconds_per_unit.and_then(seconds),
                assumed_build_seconds: match seconds_per_unit {
                    Some(_) => None,
                    None => seconds(build::ASSUMED_SECONDS_PER_UNIT),
                },
                write_cost: 0.0,
                writes_are_counted: false,
                cost_before: before,
                cost_after: before,
                statements,
                confidence: self.with_caveat(without_planner(), &users, one),
                supersedes: superseded::by_definition(on, candidate, &[]),
                candidate: candidate.clone(),
            };
            for position in &index.statements {
                self.statements[*position].uses.push(advice.indexes.len());
            }
            advice.indexes.push(index);
        }
        superseded::settle(plan, &mut advice.indexes).await?;
        self.tell_why_not(&chosen, &sizes, budget_bytes);
        advice
            .left_out
            .extend(budget_bytes.map(|_| about_the_budget(left_out)));
        advice.statements = self.statements;
        advice.plans = kept::told(self.planned, self.positions, self.unplanned);
        Ok(advice)
    }

    /// Why PostgreSQL would not take each candidate; remembered for the statements that could have had it.
    async fn refused(&mut self, plan: &Plan) -> Result<Vec<Option<Refused>>, PostgresError> {
        let signatures = Signatures::read(plan, &self.candidates, &self.tables).await?;
        let refusal = |candidate: &Candidate| {
            let table = self.tables.get(&candidate.schema, &candidate.table)?;
            signatures.refusal(candidate, table)
        };
        let refused: Vec<Option<Refused>> = self.candidates.iter().map(refusal).collect();
        for (statement, one) in self.wanted_by() {
            match refused[one] {
                Some(Refused::MutableKey) => self.note_mutable_for(statement, one),
                Some(Refused::Unordered) => self.note_unordered_for(statement, one),
                // there is one on all rows, too
                Some(Refused::MutablePredicate) | None => {}
            }
        }
        Ok(refused)
    }

    /// Bytes that an index should take, if it were on all rows.
    fn guessed_bytes(&self, one: usize) -> Option<f64> {
        if let Some(estimated) = self.estimated_sizes.get(&one) {
            return *estimated;
        }
        built::by_statistics(&self.candidates[one], self.table_of(one)?)
    }

    /// Whether an index might fit if there were no other. That on one partition is smaller than what is known of the whole.
    fn fits_alone(&self, one: usize, bytes: Option<f64>, budget_bytes: Option<f64>) -> bool {
        let is_partitioned = self.table_of(one).is_some_and(|table| table.is_partitioned);
        budget_bytes.is_none_or(|most| bytes.is_some_and(|bytes| is_partitioned || bytes <= most))
    }

    /// For each statement the candidates that fit best what it asks of each table, of those that may be.
    fn chosen(&self, may_be: &dyn Fn(usize) -> bool) -> Chosen {
        let mut chosen = Chosen::new();
        for (number, relevant) in self.relevant.iter().enumerate() {
            let tree = &self.planned[number].tree;
            let weight = self.statements[self.positions[number]].statement.weight;
            let mut by_table: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
            for one in relevant.iter().copied().filter(|one| may_be(*one)) {
                let candidate = &self.candidates[one];
                let table = (candidate.schema.as_str(), candidate.table.as_str());
                by_table.entry(table).or_default().push(one);
            }
            for ((schema, table), candidates) in by_table {
                let scanned = scanned_for_few(tree, schema, table, &self.tables);
                let best = candidates.into_iter().min_by_key(|one| self.rank(number, *one));
                if let (Some(cost), Some(best)) = (scanned, best) {
                    chosen.entry(best).or_default().insert(number, cost * weight);
                }
            }
            let estimates = self
                .estimates
                .iter()
                .filter(|(statement, ..)| *statement == number);
            for (_, one, cost_after) in estimates.filter(|(_, one, _)| may_be(*one)) {
                let saved = (tree.total_cost() - cost_after).max(0.0);
                chosen.entry(*one).or_default().insert(number, saved * weight);
            }
        }
        self.put_together(&mut chosen);
        chosen.retain(|one, _| self.table_of(*one).is_some());
        chosen
    }

    /// One that begins with all the keys of another serves for both.
    fn put_together(&self, chosen: &mut Chosen) {
        let all: Vec<usize> = chosen.keys().copied().collect();
        for one in &all {
            let longer = all.iter().find(|other| {
                *other != one
                    && chosen.contains_key(other)
                    && self.candidates[*one].is_prefix_of(&self.candidates[**other])
            });
            if let Some(longer) = longer
                && let Some(statements) = chosen.remove(one)
            {
                chosen.entry(*longer).or_default().extend(statements);
            }
        }
    }

    /// Those that fit together, those for which most is at stake first, and how many do not.
    fn within(
        &self,
        chosen: &Chosen,
        sizes: &[Option<f64>],
        budget_bytes: Option<f64>,
    ) -> (Vec<usize>, usize) {
        let at_stake = |one: &usize| chosen[one].values().sum::<f64>();
        let mut order: Vec<usize> = chosen.keys().copied().collect();
        order.sort_by(|a, b| at_stake(b).total_cmp(&at_stake(a)).then(a.cmp(b)));
        let Some(mut left) = budget_bytes else {
            return (order, 0);
        };
        let count = order.len();
        order.retain(|one| {
            let users: Vec<usize> = chosen[one].keys().copied().collect();
            let share = self.table_of(*one).and_then(|table| {
                let alone = self.read_alone(table, &self.positions_of(&users));
                share_of_rows(alone.as_ref().unwrap_or(table), table)
            });
            let bytes = sizes[*one].map(|bytes| bytes * share.unwrap_or(1.0));
            let fitting = bytes.filter(|bytes| *bytes <= left);
            left -= fitting.unwrap_or(0.0);
            fitting.is_some()
        });
        let left_out = count - order.len();
        (order, left_out)
    }

    /// Positions in the workload of planned statements, in their order.
    fn positions_of(&self, statements: &[usize]) -> Vec<usize> {
        let mut positions: Vec<usize> = statements.iter().map(|number| self.positions[*number]).collect();
        positions.sort_unstable();
        positions
    }

    /// Tells of each statement that could have an index and gets none why that is.
    fn tell_why_not(&mut self, chosen: &Chosen, sizes: &[Option<f64>], budget_bytes: Option<f64>) {
        let wanted = self.wanted_by();
        for (number, position) in self.positions.iter().enumerate() {
            let told = &self.statements[*position];
            if !told.has_candidates || !told.uses.is_empty() {
                continue;
            }
            let mut own = wanted.iter().filter(|(statement, _)| *statement == number);
            // alone, or beside those that are worth more
            let is_too_large = own.any(|(_, one)| !self.fits_alone(*one, sizes[*one], budget_bytes))
                || chosen.values().any(|users| users.contains_key(&number));
            let why = match self.remarks.why_none(number) {
                Some(why) => why.clone(),
                None if is_too_large => TOO_LARGE.to_owned(),
                None => READS_MUCH.to_owned(),
            };
            self.statements[*position].reason = Some(why);
        }
    }

    /// Without a planner to ask: the candidate that fits best, and of those the plainest, comes first.
    fn rank(&self, statement: usize, one: usize) -> (Fit, bool, usize) {
        let fit = self
            .fits
            .get(&(statement, one))
            .copied()
            .unwrap_or((usize::MAX, 0));
        (fit, self.candidates[one].predicate.is_some(), one)
    }
}

/// How sure a guess is.
fn without_planner() -> Confidence {
    Confidence {
        level: ConfidenceLevel::Estimated,
        reason: "HypoPG is not installed in this database, so that the planner could not be asked".to_owned(),
    }
}

/// What a reader should know of a budget that was kept by estimates.
fn about_the_budget(left_out: usize) -> String {
    let rest = match left_out {
        0 => String::new(),
        1 => "; one index that is worth less did not fit".to_owned(),
        count => format!("; {count} indexes that are worth less did not fit"),
    };
    format!(
        "without HypoPG sizes are estimated from statistics, and the budget is kept by these: an index on a part of the rows counts as \
         one on all of them{rest}"
    )
}

/// What a plan pays for reading a whole table, or searching a whole index, for a small part of its rows, if it does that.
fn scanned_for_few(tree: &PlanTree, schema: &str, table: &str, tables: &Tables) -> Option<f64> {
    let paid = tree.nodes_paid().into_iter();
    let scans = paid.filter(|(node, paid)| {
        let read = node.schema.as_deref().zip(node.relation.as_deref());
        let known = read.and_then(|(schema, name)| tables.get(schema, name));
        known.is_some_and(|known| {
            (known.name.schema.as_str(), known.name.name.as_str()) == (schema, table)
                && node.rows < FEW * known.rows
                && (node.kind == "Seq Scan" || reads_all_of_its_index(node, *paid, known))
        })
    });
    scans.map(|(_, paid)| paid).reduce(|sum, paid| sum + paid)
}

/// Whether a scan searches a b-tree on all rows by none of what that begins with: all of it is read then, unless a LIMIT stops it.
/// PostgreSQL 18 may skip through one that begins with few values, which costs less than all entries.
fn reads_all_of_its_index(node: &PlanNode, paid: f64, table: &Table) -> bool {
    let search = match &node.children[..] {
        [below] if node.kind == "Bitmap Heap Scan" => below,
        _ => node,
    };
    let Some(name) = search.index.as_ref() else {
        return false;
    };
    let is_it =
        |index: &&ExistingIndex| index.name == *name || index.parts.iter().any(|part| part.name == *name);
    let index = table.indexes.iter().find(is_it);
    let Some(first) = index
        .filter(|index| index.method == "btree" && index.predicate.is_none())
        .and_then(|index| index.keys.first())
    else {
        return false;
    };
    let begins_with = table.columns_of(&first.key);
    let names_first = |text: &&String| {
        let mut named = columns(text).into_iter();
        named.any(|one| Some(&one.alias) == node.alias.as_ref() && begins_with.contains(&one.column))
    };
    let conditions = search.conditions.iter();
    let searched: Vec<&String> = conditions.filter(|text| !search.filter.contains(text)).collect();
    let skips = search.total_cost < INDEX_ROW_COST * table.rows
        && table.values_of(&first.key) * ENTRIES_OF_A_PAGE < table.rows;
    // below a LIMIT, too, a bitmap is complete before the first row is read by it
    let ends = paid >= WHOLE * search.total_cost;
    ends && !searched.is_empty() && !begins_with.is_empty() && !searched.iter().any(names_first) && !skips
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::clauses::Key;
    use crate::index_advisor::tables::tests::{table_of, tables_of};
    use crate::index_advisor::tables::{Column, ExistingKey};
    use serde_json::{Value, json};

    #[test]
    fn only_what_is_read_for_few_rows_is_at_stake() {
        let tables = tables_of(table_of(100_000.0, []));
        let scan = |name: &str, rows: f64, cost: f64| {
            json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": name, "Alias": name, "Plan Rows": rows,
                   "Total Cost": cost})
        };
        let scanned = |scans: Vec<Value>| {
            let join = json!({"Node Type": "Hash Join", "Total Cost": 9000.0, "Plans": scans});
            let tree = PlanTree::read(&json!([{ "Plan": join }])).unwrap();
            scanned_for_few(&tree, "s", "t", &tables)
        };
        assert_eq!(
            scanned(vec![scan("t", 10.0, 2000.0), scan("other", 10.0, 5000.0)]),
            Some(2000.0)
        );
        assert_eq!(
            scanned(vec![scan("t", 10.0, 2000.0), scan("t", 20.0, 2000.0)]),
            Some(4000.0),
            "twice"
        );
        assert_eq!(
            scanned(vec![scan("t", 20_000.0, 2000.0)]),
            None,
            "a fifth is not few"
        );
    }

    #[test]
    fn an_index_that_is_searched_by_no_leading_key_is_read_as_a_whole() {
        let key = |name: &str| ExistingKey {
            key: Key::Column(name.into()),
            descending: false,
            nulls_first: false,
            is_plain: true,
        };
        let index = ExistingIndex {
            oid: 2,
            schema: "s".into(),
            name: "txy".into(),
            method: "btree".into(),
            is_unique: false,
            is_needed: false,
            predicate: None,
            keys: vec![key("x"), key("y")],
            include: Vec::new(),
            parts: Vec::new(),
        };
        let columns = ["x", "y", "z"].map(|name| (name, Column::default()));
        let of_part = ExistingIndex {
            name: "txy_open".into(),
            predicate: Some("(z = 1)".into()),
            ..index.clone()
        };
        let tables = tables_of(Table {
            indexes: vec![index, of_part],
            ..table_of(100_000.0, columns)
        });
        let scanned = |plan: Value| {
            let tree = PlanTree::read(&json!([{ "Plan": plan }])).unwrap();
            scanned_for_few(&tree, "s", "t", &tables)
        };
        let scan = |kind: &str, condition: &str, cost: f64| {
            json!({"Node Type": kind, "Schema": "s", "Relation Name": "t", "Alias": "t", "Index Name": "txy",
                   "Index Cond": condition, "Filter": "(t.x < 7)", "Plan Rows": 100.0, "Total Cost": cost})
        };
        for kind in ["Index Scan", "Index Only Scan"] {
            assert_eq!(scanned(scan(kind, "(t.y = $1)", 2024.0)), Some(2024.0), "{kind}");
            assert_eq!(
                scanned(scan(kind, "((t.x = $1) AND (t.y = $2))", 2024.0)),
                None,
                "{kind}"
            );
        }
        assert_eq!(
            scanned(scan("Index Scan", "(t.y = u.x)", 2024.0)),
            Some(2024.0),
            "the key of another table"
        );
        assert_eq!(
            scanned(scan("Index Scan", "(t.y = $1)", 90.0)),
            None,
            "most of it is skipped"
        );
        let mut part = scan("Index Scan", "(t.y = $1)", 2024.0);
        part["Index Name"] = json!("txy_open");
        assert_eq!(scanned(part), None, "it holds a part of the rows");
        let limited = |cost: f64, below: Value| {
            scanned(json!({"Node Type": "Limit", "Plan Rows": 1.0, "Total Cost": cost, "Plans": [below]}))
        };
        let whole = || scan("Index Scan", "(t.y = $1)", 2024.0);
        assert_eq!(limited(20.7, whole()), None, "it stops at the first row");
        assert_eq!(
            limited(2024.0, whole()),
            Some(2024.0),
            "there is no more than that"
        );
        let bitmap = |condition: &str| {
            let search = json!({"Node Type": "Bitmap Index Scan", "Index Name": "txy", "Index Cond": condition,
                "Plan Rows": 100.0, "Total Cost": 1800.0});
            scanned(
                json!({"Node Type": "Bitmap Heap Scan", "Schema": "s", "Relation Name": "t", "Alias": "t",
                "Recheck Cond": condition, "Plan Rows": 100.0, "Total Cost": 2100.0, "Plans": [search]}),
            )
        };
        assert_eq!(bitmap("(t.y = $1)"), Some(2100.0));
        assert_eq!(bitmap("(t.x = $1)"), None);
        let in_order = json!({"Node Type": "Index Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Index Name": "txy",
            "Filter": "(t.z = $1)", "Plan Rows": 100.0, "Total Cost": 9000.0});
        assert_eq!(
            scanned(in_order),
            None,
            "it is read for its order, until there are enough"
        );
    }

    #[test]
    fn a_budget_says_that_it_is_kept_by_estimates() {
        assert!(about_the_budget(0).ends_with("as one on all of them"));
        assert!(about_the_budget(1).ends_with("one index that is worth less did not fit"));
        assert!(
            about_the_budget(3).contains("sizes are estimated")
                && about_the_budget(3).contains("; 3 indexes")
        );
    }
}

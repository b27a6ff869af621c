//! What a reader should know of candidates and statements beside what the planner says: why no index can be what a statement asks
//! for, what rests on something that nobody knows, and which b-trees no generic plan takes.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;

use super::clauses::{Key, of_plan};
use super::ready::Ready;
use super::selection::Problem;
use super::tables::TableName;
use crate::model::finding::{Confidence, ConfidenceLevel};
use crate::model::plan::{PlanNode, PlanTree};
use crate::model::remedy::quote_identifier;
use crate::postgres::{Plan, ServerText};
use crate::sql;
use crate::sql::expression::{
    Condition, compares_what_a_parameter_makes, conditions, is_made_by_a_parameter, sought_in_arrays,
};

/// What becomes of a statement that could have an index and gets none.
const NOT_WORTH: &str = "what an index would save it is not worth its price";
/// The same where it would be worth it, if nothing were written.
const NOT_WORTH_FOR_WRITES: &str =
    "what an index would save it is not worth its price: what is written to the table would pay more for it";
/// The same within a budget.
const NOT_WORTH_OR_TOO_LARGE: &str = "what an index would save it is not worth its price, or does not fit";

/// What is said of a statement for which there is no candidate.
const NOTHING: &str = "nothing that it asks of its tables could be answered by an index that is not there";
/// The same where it is the pattern that tells.
const OF_A_PATTERN: &str = "it depends on the pattern: where that begins with fixed text an index serves LIKE, and of a parameter nobody knows; give the \
     statement with a usual pattern by --statement";
/// The cost below which a statement that reads a table as a whole is cheap already.
const CHEAP: f64 = 100.0;

/// What there is to say where an index would have to contain a value that nobody told.
const WITHOUT_CONSTANT: &str = "what it searches, sorts or groups by is computed with a parameter, and an index on that would have to contain its value: if \
     pg_stat_statements left out the constant, give the statement itself by --statement";

/// The same where a pattern is too short.
const WITHOUT_TRIGRAMS: &str = "a pattern that it searches text for has nowhere three letters or digits in a row (a trigram) between its wildcards, so that \
     every index would be read as a whole for it: no index helps";

/// What a pattern must hold for which an index on trigrams is searched: without one all of the index would be read.
const SHORT_PATTERNS: &str = "the pattern comes with each call: one of fewer than three letters or digits in a row between its wildcards holds no \
     trigram, so that it cannot use the index";

/// What is known beside the planner's answers. Statements are numbers of planned ones.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    /// B-trees for what begins with a parameter, whose worth is worked out: by statement and candidate.
    pub(super) begun: BTreeSet<(usize, usize)>,
    /// What would do the same for less, if that were so which nobody knows: by statement and candidate.
    pub(super) caveats: BTreeMap<(usize, usize), String>,
    /// Statements that search text for a pattern that nobody knows before the call.
    with_unknown_patterns: BTreeSet<usize>,
    /// Why no index can be what a statement asks for.
    pub(super) unindexable: BTreeMap<usize, String>,
    /// Candidates that PostgreSQL takes no index for, as their type has no order.
    pub(super) unordered: BTreeSet<usize>,
    /// The indexes that answer a statement as things are, where it reads no table as a whole.
    answered_by: BTreeMap<usize, String>,
    /// The first key of the order of pages that a statement asks for behind the last row that was seen, with the table of that name
    /// in the plan.
    pub(super) paged_by: BTreeMap<usize, (TableName, Key)>,
}

impl Remarks {
    /// Sees whether a plan asks for what is computed with a parameter, or for a pattern that no index finds, and what answers it.
    pub(super) fn take(&mut self, statement: usize, text: &ServerText, tree: &PlanTree) {
        self.answered_by
            .extend(answered_by(tree).map(|names| (statement, names)));
        self.take_pages(statement, tree);
        if searches(tree, Condition::has_unknown_pattern) {
            self.with_unknown_patterns.insert(statement);
        }
        if sql::parameter_count(text.as_str()) > 0 && asks_for_a_parameter(tree) {
            self.unindexable.insert(statement, WITHOUT_CONSTANT.to_owned());
        } else if searches(tree, Condition::lacks_trigrams) {
            self.unindexable.insert(statement, WITHOUT_TRIGRAMS.to_owned());
        } else if let Some(why) = looks_in_arrays(tree) {
            self.unindexable.insert(statement, why);
        }
    }

    /// Why no index can be what a statement asks for.
    pub(super) fn why_none(&self, statement: usize) -> Option<&String> {
        self.unindexable.get(&statement)
    }

    /// Why a statement gets no other index, with what answers it as things are.
    fn beside_what_answers(&self, statement: usize, why: &str) -> String {
        match self.answered_by.get(&statement) {
            Some(names) => format!(
                "{names} answers it already; {}",
                why.replacen("an index", "another index", 1)
            ),
            None => why.to_owned(),
        }
    }

    /// The caveat about a candidate, where all of these statements have it.
    pub(super) fn caveat(&self, statements: &[usize], candidate: usize) -> Option<&String> {
        let of = |statement: &usize| self.caveats.get(&(*statement, candidate));
        let all: Option<Vec<&String>> = statements.iter().map(of).collect();
        all?.first().copied()
    }

    /// Which patterns cannot use an index on trigrams, where one of these statements may bring any.
    pub(super) fn caveat_of_patterns(&self, statements: &[usize]) -> Option<&'static str> {
        let is_unknown = |statement: &usize| self.with_unknown_patterns.contains(statement);
        statements.iter().any(is_unknown).then_some(SHORT_PATTERNS)
    }

    /// Whether a candidate is only there for what begins with a parameter in all of these statements.
    pub(super) fn are_begun(&self, statements: &[usize], candidate: usize) -> bool {
        statements
            .iter()
            .all(|statement| self.begun.contains(&(*statement, candidate)))
    }
}

/// Why there is no candidate for a statement, by its plan.
pub(super) fn why_nothing(tree: &PlanTree) -> String {
    let nodes = tree.nodes();
    let is_of_a_pattern = |text: &String| text.contains(" ~~ $") || text.contains(" ~~ ($");
    if nodes
        .iter()
        .flat_map(|node| &node.conditions)
        .any(is_of_a_pattern)
    {
        return OF_A_PATTERN.to_owned();
    }
    let searches = |node: &&PlanNode| node.kind == "Seq Scan" && !node.conditions.is_empty();
    match tree.total_cost() {
        cost if cost < CHEAP && nodes.iter().any(searches) => format!("it is cheap already (cost {cost:.2})"),
        _ => ended_by_its_limit(tree).unwrap_or_else(|| NOTHING.to_owned()),
    }
}

/// Why no index on what is searched would be taken, where an index is read in the order that is asked for until a LIMIT ends it.
fn ended_by_its_limit(tree: &PlanTree) -> Option<String> {
    let nodes = tree.nodes();
    nodes.iter().find(|node| node.kind == "Limit")?;
    let searched: BTreeSet<String> = of_plan(tree)
        .into_iter()
        .filter(|asked| !asked.searched.is_empty())
        .map(|asked| asked.alias)
        .collect();
    let scan = nodes.iter().find(|node| {
        let is_searched = node.alias.as_ref().is_some_and(|alias| searched.contains(alias));
        is_searched && node.kind.starts_with("Index") && !node.filter.is_empty()
    })?;
    Some(format!(
        "{} is read in the order that it asks for until its LIMIT is reached (cost {:.2}), since the planner expects rows that match to \
         come early: an index on what it searches (GIN, GiST) would not be taken. Where a call reads far more blocks than \
         that (shared_blks_hit and shared_blks_read in pg_stat_statements) they do not come early: sort by an expression, as \
         ORDER BY id + 0, and the planner takes an index on what is searched",
        quote_identifier(scan.index.as_deref()?),
        tree.total_cost()
    ))
}

/// How sure a b-tree is for what begins with a parameter.
pub(super) fn of_begun() -> Confidence {
    Confidence {
        level: ConfidenceLevel::Estimated,
        reason: "a generic plan searches no index for what begins with a parameter, so that the planner could not be asked: \
                 worked out from its row estimates. PostgreSQL takes the index where it plans with the values: for what is not \
                 prepared, or with plan_cache_mode = force_custom_plan. Under the collation C an ordinary b-tree does the same"
            .to_owned(),
    }
}

/// The indexes that a plan reads, where it reads no table as a whole.
fn answered_by(tree: &PlanTree) -> Option<String> {
    let nodes = tree.nodes();
    let names: BTreeSet<String> = nodes
        .iter()
        .filter_map(|node| node.index.as_deref())
        .map(quote_identifier)
        .collect();
    let reads_a_whole = nodes.iter().any(|node| node.kind == "Seq Scan");
    (!names.is_empty() && !reads_a_whole).then(|| names.into_iter().collect::<Vec<String>>().join(", "))
}

/// Whether a scan has such a condition.
fn searches(tree: &PlanTree, is_it: fn(&Condition) -> bool) -> bool {
    let scans = tree.nodes().into_iter().filter(|node| node.relation.is_some());
    let mut texts = scans.flat_map(|node| &node.conditions);
    texts.any(|text| conditions(text).iter().any(is_it))
}

/// Why no index finds the arrays that hold a value, where a scan asks so from the wrong side, and how to ask instead.
fn looks_in_arrays(tree: &PlanTree) -> Option<String> {
    let scans = tree.nodes().into_iter().filter(|node| node.relation.is_some());
    let mut sought = scans
        .flat_map(|node| &node.conditions)
        .flat_map(|text| sought_in_arrays(text));
    let array = quote_identifier(&sought.next()?.column);
    Some(format!(
        "it looks for a value by = ANY ({array}) in the array of each row, for which no index is searched: written as {array} @> ARRAY[…], \
         with that value in it, it finds the same rows, and a GIN index on {array} could answer it"
    ))
}

fn asks_for_a_parameter(tree: &PlanTree) -> bool {
    let is_of = |texts: &[String], is_it: fn(&str) -> bool| {
        texts.iter().any(|text| text.contains('$') && is_it(text))
    };
    tree.nodes().into_iter().any(|node| {
        is_of(&node.conditions, compares_what_a_parameter_makes)
            || is_of(&node.sort_key, is_made_by_a_parameter)
            || is_of(&node.group_key, is_made_by_a_parameter)
    })
}

impl Ready {
    /// Each planned statement with each candidate that could serve it.
    pub(super) fn wanted_by(&self) -> Vec<(usize, usize)> {
        let relevant = self.relevant.iter().enumerate();
        let relevant = relevant.flat_map(|(statement, all)| all.iter().map(move |one| (statement, *one)));
        let estimated = self
            .estimates
            .iter()
            .map(|(statement, one, _)| (*statement, *one));
        relevant.chain(estimated).collect()
    }

    /// Remembers for which statements HypoPG did not take an index because an expression in it is not immutable.
    pub(super) fn note_mutable(&mut self, plan: &Plan) {
        let is_mutable = |(_, one): &(usize, usize)| {
            let candidate = &self.candidates[*one];
            // a predicate may be what is mutable
            candidate.predicate.is_none()
                && candidate.has_expressions()
                && plan.is_mutable(&candidate.hypothetical())
        };
        let mutable: Vec<(usize, usize)> = self.wanted_by().into_iter().filter(is_mutable).collect();
        for (statement, one) in mutable {
            self.note_mutable_for(statement, one);
        }
    }

    /// The expression of this candidate is not immutable: so for one statement.
    pub(super) fn note_mutable_for(&mut self, statement: usize, one: usize) {
        let candidate = &self.candidates[one];
        let table = self.tables.get(&candidate.schema, &candidate.table);
        let keys = candidate.keys.iter().map(|key| &key.key);
        let expressions = keys.filter(|key| matches!(key, Key::Expression(_)));
        let columns: BTreeSet<String> = expressions
            .flat_map(|key| table.map(|table| table.columns_of(key)).unwrap_or_default())
            .collect();
        let columns: Vec<String> = columns.into_iter().collect();
        let why = format!(
            "the expression over {} is not immutable (it depends on a setting, as the time zone or the text search \
             configuration, or on a function that is not marked IMMUTABLE), so PostgreSQL cannot index it",
            columns.join(", ")
        );
        self.remarks.unindexable.entry(statement).or_insert(why);
    }

    /// Why a statement that could have an index gets none of this set, or why nobody knows what one is worth.
    pub(super) fn why_without(
        &self,
        statement: usize,
        problem: &Problem,
        set: &FixedBitSet,
        untold: Option<String>,
    ) -> String {
        let not_worth = match (&untold, problem.budget_bytes.is_finite()) {
            (Some(untold), _) => untold.as_str(),
            // it may as well be that it did not fit
            (None, true) => NOT_WORTH_OR_TOO_LARGE,
            (None, false) if self.is_lost_to_writes(statement, problem, set) => NOT_WORTH_FOR_WRITES,
            (None, false) => NOT_WORTH,
        };
        let not_worth = self.remarks.beside_what_answers(statement, not_worth);
        let is_apart =
            |one: &usize| self.candidates[*one].has_expressions() || self.remarks.unordered.contains(one);
        let has_others = !self.relevant[statement].iter().all(is_apart)
            || self.estimates.iter().any(|(number, ..)| *number == statement);
        match self.remarks.why_none(statement) {
            Some(why) if has_others => format!("{not_worth}; {why}"),
            Some(why) => why.clone(),
            None => not_worth,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_constant_that_was_left_out_is_told() {
        let told = |text: &str, filter: &str| {
            let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Filter": filter});
            let tree = PlanTree::read(&json!([{ "Plan": scan }])).unwrap();
            let mut remarks = Remarks::default();
            remarks.take(3, &ServerText::one_query(text).unwrap(), &tree);
            remarks.why_none(3).is_some()
        };
        let captured = "SELECT 1 FROM t WHERE data ->> $1 = $2";
        assert!(told(captured, "((t.data ->> $1) = $2)"));
        assert!(told(
            captured,
            "(to_tsvector($1, t.subject) @@ to_tsquery($2, $3))"
        ));
        assert!(told(captured, "((t.prefs ->> $1))::boolean"));
        assert!(!told("SELECT 1 FROM t WHERE a = $1", "(t.a = $1)"));
        let subplan = "SELECT 1 FROM t WHERE a + (SELECT 1) = 5";
        assert!(
            !told(subplan, "((t.a + $1) = 5)"),
            "it has no parameter of its own"
        );
    }

    #[test]
    fn a_value_that_is_looked_for_in_arrays_is_told_how_to_be_asked_for() {
        let told = |filter: &str| {
            let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Filter": filter});
            let tree = PlanTree::read(&json!([{ "Plan": scan }])).unwrap();
            let mut remarks = Remarks::default();
            remarks.take(3, &ServerText::one_query("SELECT 1").unwrap(), &tree);
            remarks.why_none(3).cloned()
        };
        let why = told("('secret'::text = ANY (t.\"Tags\"))").unwrap();
        assert!(
            why.contains("\"Tags\" @> ARRAY[") && !why.contains("secret"),
            "{why}"
        );
        assert_eq!(told("(t.id = ANY ('{1,2}'::integer[]))"), None);
    }

    #[test]
    fn what_answers_a_statement_already_is_told() {
        let told = |nodes: serde_json::Value| {
            let tree =
                PlanTree::read(&json!([{"Plan": {"Node Type": "Nested Loop", "Plans": nodes}}])).unwrap();
            let mut remarks = Remarks::default();
            remarks.take(3, &ServerText::one_query("SELECT 1").unwrap(), &tree);
            remarks.beside_what_answers(3, NOT_WORTH)
        };
        let scan = json!({"Node Type": "Index Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Index Name": "t_a_idx"});
        let bitmap = json!({"Node Type": "Bitmap Index Scan", "Index Name": "Odd one"});
        let whole = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "u", "Alias": "u"});
        assert_eq!(
            told(json!([scan, bitmap])),
            "\"Odd one\", t_a_idx answers it already; what another index would save it is not worth its price"
        );
        assert_eq!(told(json!([scan, whole])), NOT_WORTH);
        assert_eq!(told(json!([])), NOT_WORTH);
    }

    #[test]
    fn a_pattern_that_is_too_short_is_told() {
        let told = |filter: &str| {
            let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Filter": filter});
            let tree = PlanTree::read(&json!([{ "Plan": scan }])).unwrap();
            let mut remarks = Remarks::default();
            remarks.take(3, &ServerText::one_query("SELECT 1").unwrap(), &tree);
            remarks.why_none(3).cloned()
        };
        assert_eq!(
            told("(t.name ~~ '%jo%'::text)").as_deref(),
            Some(WITHOUT_TRIGRAMS)
        );
        assert_eq!(told("(t.name ~~ '%joe%'::text)"), None);
    }

    #[test]
    fn short_patterns_are_told_of_where_calls_bring_them() {
        let mut remarks = Remarks::default();
        for (statement, filter) in [
            (3, "(t.name ~~* $1)"),
            (4, "(t.name ~~* '%joe%'::text)"),
            (5, "((t.id = $1) OR (t.name ~~ (('%'::text || $2) || '%'::text)))"),
        ] {
            let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Filter": filter});
            let tree = PlanTree::read(&json!([{ "Plan": scan }])).unwrap();
            remarks.take(statement, &ServerText::one_query("SELECT 1").unwrap(), &tree);
        }
        assert_eq!(
            remarks.caveat_of_patterns(&[4]),
            None,
            "it is known what it searches for"
        );
        for statements in [&[3][..], &[5], &[3, 4]] {
            let told = remarks.caveat_of_patterns(statements).unwrap_or_default();
            assert!(
                told.contains("fewer than three letters"),
                "{statements:?}: {told}"
            );
        }
    }

    #[test]
    fn why_there_is_no_candidate_is_true() {
        let told = |filter: &str, cost: f64| {
            let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Filter": filter,
                "Total Cost": cost});
            why_nothing(&PlanTree::read(&json!([{ "Plan": scan }])).unwrap())
        };
        assert_eq!(told("(t.code ~~ $1)", 5000.0), OF_A_PATTERN);
        assert_eq!(told("((t.code)::text ~~ ($1)::text)", 50.0), OF_A_PATTERN);
        assert_eq!(
            told("(t.payload @> $2)", 12.5),
            "it is cheap already (cost 12.50)"
        );
        assert_eq!(told("(t.note <> 'a'::text)", 5000.0), NOTHING);
        let in_order = |above: &str, filter: &str| {
            let scan = json!({"Node Type": "Index Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Index Name": "t_pkey",
                "Filter": filter, "Total Cost": 9000.0});
            let plan = json!({"Node Type": above, "Total Cost": 12.5, "Plans": [scan]});
            why_nothing(&PlanTree::read(&json!([{ "Plan": plan }])).unwrap())
        };
        let told = in_order("Limit", "(t.reactions ? $1)");
        assert!(
            told.starts_with(
                "t_pkey is read in the order that it asks for until its LIMIT is reached (cost 12.50)"
            ),
            "{told}"
        );
        assert_eq!(in_order("Aggregate", "(t.reactions ? $1)"), NOTHING);
        assert_eq!(in_order("Limit", "(t.note <> 'a'::text)"), NOTHING);
        let calls = json!({"Node Type": "Result", "Total Cost": 0.26});
        assert_eq!(
            why_nothing(&PlanTree::read(&json!([{ "Plan": calls }])).unwrap()),
            NOTHING
        );
    }

    #[test]
    fn a_caveat_is_told_where_all_have_it() {
        let mut remarks = Remarks::default();
        remarks.caveats.insert((0, 7), "if".into());
        remarks.caveats.insert((1, 7), "if".into());
        remarks.begun.insert((0, 7));
        assert_eq!(remarks.caveat(&[0, 1], 7).map(String::as_str), Some("if"));
        assert_eq!(remarks.caveat(&[0, 2], 7), None);
        assert!(remarks.are_begun(&[0], 7) && !remarks.are_begun(&[0, 1], 7));
    }
}

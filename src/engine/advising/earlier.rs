//! What was advised so far: what is not named any more may be built, not asked for in this window, or not worth it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::limits;
use crate::model::advice::{Advised, EarlierAdvice, EarlierIndex, MissingIndex};
use crate::model::finding::Claim;

/// What was advised so far, and for which statements.
pub(super) type Earlier = BTreeMap<MissingIndex, EarlierAdvice>;

/// What is still to be remembered after this advice.
pub(super) fn after(mut earlier: Earlier, advised: &Advised) -> Earlier {
    // of what was seen the advice itself spoke, where it counts that it did not name it
    let says_all = advised.still_filling.is_none() && !advised.report.workload.was_stopped;
    for known in earlier.values_mut().filter(|_| says_all) {
        let mut statements = known.statements.iter();
        if statements.any(|id| advised.activity.contains_key(id)) {
            known.statements.clear();
        }
    }
    let mut named = Earlier::new();
    for index in &advised.report.indexes {
        let known = named.entry(MissingIndex::of(index)).or_default();
        known.statements.extend(index.statements.iter().cloned());
        known.indexes.push(EarlierIndex::of(index));
    }
    for (missing, mut known) in named {
        let before = earlier.remove(&missing).unwrap_or_default();
        known.statements.extend(before.statements);
        earlier.insert(missing, known);
    }
    bounded(earlier)
}

/// Forgets what tells nothing, and what is too much: first that for which no statement is awaited. What was built stays as long as
/// there is room: by it an index is known to be one that was advised.
fn bounded(mut earlier: Earlier) -> Earlier {
    earlier.retain(|_, known| !known.statements.is_empty() || !known.indexes.is_empty());
    let too_many = earlier.len().saturating_sub(limits::ADVICE_REMEMBERED);
    let last_first = || earlier.iter().rev();
    let unawaited = last_first().filter(|(_, known)| known.statements.is_empty());
    let awaited = last_first().filter(|(_, known)| !known.statements.is_empty());
    let forgotten = unawaited.chain(awaited).take(too_many);
    let forgotten: Vec<MissingIndex> = forgotten.map(|(missing, _)| missing.clone()).collect();
    for missing in &forgotten {
        earlier.remove(missing);
    }
    earlier
}

/// What a finding of index.missing tells of an advice that was made before this daemon started; none where it is no such finding.
pub(super) fn of_finding(claim: &Claim) -> Option<(MissingIndex, EarlierAdvice)> {
    let [schema, table, leading_key] = &claim.subject[..] else {
        return None;
    };
    let missing = MissingIndex {
        schema: schema.clone(),
        table: table.clone(),
        leading_key: leading_key.clone(),
    };
    let statements = claim.evidence.get("statements").and_then(Value::as_array);
    let ids = statements
        .into_iter()
        .flatten()
        .filter_map(|one| one.get("statement_id")?.as_str().map(str::to_owned));
    let to_run = claim.remedy.apply_sql.iter().map(String::as_str);
    // a standby has nothing to run
    let elsewhere = claim.evidence.get("definitions").and_then(Value::as_array);
    let elsewhere = elsewhere.into_iter().flatten().filter_map(Value::as_str);
    let builds = to_run
        .chain(elsewhere)
        .filter(|sql| sql.starts_with("CREATE INDEX "));
    let indexes = builds.map(|definition| EarlierIndex {
        schema: schema.clone(),
        table: table.clone(),
        name: String::new(),
        definition: definition.to_owned(),
    });
    let known = EarlierAdvice {
        statements: ids.collect(),
        indexes: indexes.collect(),
        of_a_standby: claim.remedy.apply_sql.is_empty(),
    };
    Some((missing, known))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rules::index::missing::Missing;
    use crate::rules::testing::{advised, advised_statement, claims, database};

    const CREATE: &str = "CREATE INDEX CONCURRENTLY t_a_idx ON public.t USING btree (a)";

    /// The statements and the indexes of the one advice that is remembered.
    fn only(earlier: &Earlier) -> (usize, usize) {
        assert_eq!(earlier.len(), 1);
        let known = earlier.values().next().unwrap();
        (known.statements.len(), known.indexes.len())
    }

    #[test]
    fn what_was_advised_is_remembered_and_awaited_until_advice_that_says_all_has_seen_its_statements() {
        let named = advised(&[CREATE], vec![advised_statement("s1", &[CREATE], Some(0.0))]);
        let earlier = after(Earlier::new(), &named);
        assert_eq!(only(&earlier), (1, 1));
        assert_eq!(
            only(&after(earlier.clone(), &named)),
            (1, 1),
            "said again it is the same"
        );
        let unseen = advised(&[], vec![advised_statement("other", &[], Some(1.0))]);
        assert_eq!(only(&after(earlier.clone(), &unseen)), (1, 1));
        let mut seen = advised(&[], vec![advised_statement("s1", &[], Some(1.0))]);
        assert_eq!(
            only(&after(earlier.clone(), &seen)),
            (0, 1),
            "what it was is still known"
        );
        seen.still_filling = Some("10 min of 30".into());
        assert_eq!(
            only(&after(earlier, &seen)),
            (1, 1),
            "it does not count that it is not named"
        );
    }

    #[test]
    fn a_finding_tells_what_was_advised_of_a_primary_and_of_a_standby() {
        for is_standby in [false, true] {
            let advice = advised(&[CREATE], vec![advised_statement("s1", &[CREATE], Some(0.0))]);
            let mut observed = database(vec![]);
            observed.server.is_standby = is_standby;
            observed.databases[0].advice = Ok(Arc::new(advice));
            let claim = claims::<Missing>(&observed).unwrap().remove(0);
            let (_, known) = of_finding(&claim).unwrap();
            assert_eq!(known.of_a_standby, is_standby);
            let [index] = &known.indexes[..] else {
                panic!("one index: {:?}", known.indexes);
            };
            assert_eq!(index.definition, CREATE, "so that it is known once it is built");
        }
    }

    #[test]
    fn what_tells_nothing_is_forgotten_and_so_is_what_is_too_much() {
        let missing = |table: usize| MissingIndex {
            schema: "public".into(),
            table: format!("t{table:05}"),
            leading_key: "a".into(),
        };
        let advice = |awaited: bool, indexes: usize| EarlierAdvice {
            statements: awaited.then(|| "s1".to_owned()).into_iter().collect(),
            indexes: vec![
                EarlierIndex {
                    schema: "public".into(),
                    table: "t".into(),
                    name: String::new(),
                    definition: CREATE.into(),
                };
                indexes
            ],
            of_a_standby: false,
        };
        let nothing = Earlier::from([(missing(0), advice(false, 0)), (missing(1), advice(false, 1))]);
        let unseen = advised(&[], vec![advised_statement("other", &[], Some(1.0))]);
        assert_eq!(only(&after(nothing, &unseen)), (0, 1));
        let bound = limits::ADVICE_REMEMBERED;
        let kept = |awaited_from: usize| -> Vec<MissingIndex> {
            let all = (0..bound + 2).map(|table| (missing(table), advice(table >= awaited_from, 1)));
            after(all.collect(), &unseen).into_keys().collect()
        };
        let but = |gone: [usize; 2]| -> Vec<MissingIndex> {
            let tables = (0..bound + 2).filter(|table| !gone.contains(table));
            tables.map(missing).collect()
        };
        assert_eq!(kept(3), but([1, 2]), "nothing is awaited for the first three");
        assert_eq!(kept(1), but([0, bound + 1]));
    }
}

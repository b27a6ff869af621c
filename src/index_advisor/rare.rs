//! Which conditions on constants pick so few rows that an index on those alone is small: `status <> 'done'`, `amount < 0`; and which
//! pick nearly all of them, so that such an index is no smaller than one on all: `left_at IS NULL` where nobody ever left. That is
//! for the planner's statistics to say. HypoPG reckons with them how many rows a partial index would hold, so that its size beside
//! that of the same index on all rows is what is asked for. No statement is planned for it.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use super::candidate::{Candidate, IndexKey};
use super::clauses::{Predicate, RelationUse};
use super::predicate::ALL_HOLD;
use super::ready::Ready;
use super::tables::Table;
use crate::postgres::{HypotheticalIndex, Plan, PostgresError};

/// The part of a table's rows up to which they are few.
const FEW: f64 = 0.1;
/// And up to which they are a part of it that is worth an index of its own.
const PART: f64 = 0.9;
/// Conditions of one statement that are looked at.
const LOOKED_AT: usize = 16;

/// Schema and name of a table, and the text of a condition on it.
type ConditionOf = (String, String, String);

/// Conditions that were looked at, and the part of the rows that each of them picks, where that could be told.
#[derive(Debug, Default)]
pub(super) struct Rare {
    known: BTreeMap<ConditionOf, Option<f64>>,
}

impl Rare {
    /// Whether it is known that a condition picks few rows, if it must, and of others not known that it picks nearly all.
    pub(super) fn allows(&self, table: &Table, predicate: &Predicate) -> bool {
        let part = self.known.get(&condition_of(table, predicate)).copied().flatten();
        match predicate.picks.must_be_rare() {
            true => part.is_some_and(|part| part <= FEW),
            false => part.is_none_or(|part| part <= PART),
        }
    }

    /// The part of its table's rows, 0 to 1, that a partial index holds at most: what the rarest of its conditions picks, as far as
    /// they were looked at.
    fn share_of(&self, candidate: &Candidate) -> Option<f64> {
        let conditions = candidate.predicate.iter().flat_map(|all| all.split(ALL_HOLD));
        let share = |text: &str| {
            let of = (candidate.schema.clone(), candidate.table.clone(), text.to_owned());
            self.known.get(&of).copied().flatten()
        };
        let rarest = conditions.filter_map(share).reduce(f64::min);
        rarest.map(|part| part.min(1.0))
    }

    /// Those of a statement that were not looked at yet, each with an index on its rows, and the same on all rows.
    fn fresh<'a>(
        &self,
        asked: impl Iterator<Item = (&'a Table, RelationUse)>,
    ) -> BTreeMap<ConditionOf, [String; 2]> {
        let mut fresh = BTreeMap::new();
        for (table, asked) in asked {
            for predicate in &asked.predicates {
                let of = condition_of(table, predicate);
                if table.picks_a_part(predicate) && !self.known.contains_key(&of) {
                    fresh.insert(of, definitions(table, predicate));
                }
            }
        }
        fresh
    }
}

fn condition_of(table: &Table, predicate: &Predicate) -> ConditionOf {
    let name = &table.name;
    (name.schema.clone(), name.name.clone(), predicate.text.clone())
}

/// An index on the rows that a condition picks, and the same on all rows.
fn definitions(table: &Table, predicate: &Predicate) -> [String; 2] {
    let index = |predicate: Option<&String>, key: IndexKey| Candidate {
        schema: table.name.schema.clone(),
        table: table.name.name.clone(),
        method: "btree",
        keys: vec![key],
        include: Vec::new(),
        predicate: predicate.cloned(),
    };
    let key = IndexKey::from(predicate.key.clone());
    [Some(&predicate.text), None].map(|text| index(text, key.clone()).hypothetical())
}

/// Which part of the other one index is, if HypoPG took both.
fn share(part: Option<&HypotheticalIndex>, all: Option<&HypotheticalIndex>) -> Option<f64> {
    let (part, all) = part.zip(all)?;
    (all.size_bytes > 0.0).then(|| part.size_bytes / all.size_bytes)
}

impl Ready {
    /// The candidates that hold a part of the rows alone.
    pub(super) fn parts(&self) -> FixedBitSet {
        let numbered = self.candidates.iter().enumerate();
        let mut parts = FixedBitSet::with_capacity(self.candidates.len());
        parts.extend(
            numbered
                .filter(|(_, one)| one.predicate.is_some())
                .map(|(number, _)| number),
        );
        parts
    }

    /// The part of its table's rows, 0 to 1, that each partial candidate holds at most, by its number, where that is known.
    pub(super) fn shares(&self) -> BTreeMap<usize, f64> {
        let numbered = self.candidates.iter().enumerate();
        let shares = numbered.filter_map(|(number, one)| Some((number, self.rare.share_of(one)?)));
        shares.collect()
    }

    /// Finds out which part of the rows the conditions of a statement pick. Without HypoPG nobody says that, and none is taken for
    /// one that picks few.
    ///
    /// # Errors
    /// If HypoPG cannot be asked, or the session is lost.
    pub(super) async fn learn_rare(
        &mut self,
        plan: &Plan,
        uses: &[RelationUse],
    ) -> Result<(), PostgresError> {
        let asked = uses.iter().filter_map(|asked| {
            let table = self.tables.get(&asked.schema, &asked.table)?;
            table.refusal().is_none().then(|| (table, table.read(asked)))
        });
        let mut fresh: Vec<(ConditionOf, [String; 2])> = self.rare.fresh(asked).into_iter().collect();
        fresh.truncate(LOOKED_AT);
        if fresh.is_empty() || plan.hypothetical().is_none() {
            return Ok(());
        }
        let definitions: Vec<String> = fresh.iter().flat_map(|(_, pair)| pair.clone()).collect();
        let made = plan.create_hypothetical(&definitions).await?;
        plan.reset_hypothetical().await?;
        for ((of, _), pair) in fresh.into_iter().zip(made.chunks(2)) {
            let of_pair = |one: usize| pair.get(one).and_then(Option::as_ref);
            self.rare.known.insert(of, share(of_pair(0), of_pair(1)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::clauses::{Key, Picks};
    use crate::index_advisor::tables::{Column, tests::table_of};

    fn predicate(text: &str, column: &str, picks: Picks) -> Predicate {
        Predicate {
            text: text.into(),
            key: Key::Column(column.into()),
            picks,
        }
    }

    #[test]
    fn a_condition_is_rare_where_it_is_known_to_be() {
        let table = table_of(1000.0, [("status", Column::default())]);
        let open = predicate("status <> 'done'", "status", Picks::Rare);
        let any = predicate("status IS NULL", "status", Picks::State);
        let mut rare = Rare::default();
        assert!(!rare.allows(&table, &open) && rare.allows(&table, &any));
        rare.known.insert(condition_of(&table, &open), Some(0.1));
        assert!(rare.allows(&table, &open));
        let another = predicate("status <> 'open'", "status", Picks::Rare);
        assert!(
            !rare.allows(&table, &another),
            "another constant is another condition"
        );
        rare.known.insert(condition_of(&table, &open), Some(0.2));
        assert!(!rare.allows(&table, &open));
        rare.known.insert(condition_of(&table, &open), None);
        assert!(!rare.allows(&table, &open), "nobody knows");
    }

    #[test]
    fn a_condition_that_excludes_nothing_is_no_part() {
        let table = table_of(1000.0, [("state", Column::default())]);
        for (text, picks) in [
            ("state IS NULL", Picks::State),
            ("state IS NOT NULL", Picks::NotNull),
            ("state", Picks::State),
            ("state = 'open'", Picks::Value),
        ] {
            let one = predicate(text, "state", picks);
            let mut rare = Rare::default();
            for (part, expected) in [
                (Some(1.0), false),
                (Some(0.95), false),
                (Some(0.9), true),
                (None, true),
            ] {
                rare.known.insert(condition_of(&table, &one), part);
                assert_eq!(rare.allows(&table, &one), expected, "{text} {part:?}");
            }
        }
    }

    #[test]
    fn each_condition_that_may_pick_a_part_is_looked_at_once() {
        let few = Column {
            has_few_values: true,
            ..Column::default()
        };
        let table = table_of(
            1000.0,
            [("status", few.clone()), ("kind", few), ("at", Column::default())],
        );
        let asked = || RelationUse {
            predicates: [
                predicate("status <> 'done'", "status", Picks::Rare),
                predicate("kind > 3", "kind", Picks::Range),
                predicate("at > '2026-01-01'", "at", Picks::Range),
                predicate("kind = 3", "kind", Picks::Value),
                predicate("at IS NULL", "at", Picks::State),
            ]
            .into(),
            ..RelationUse::default()
        };
        let mut rare = Rare::default();
        let texts = |rare: &Rare| -> Vec<String> {
            let fresh = rare.fresh([(&table, asked())].into_iter());
            fresh.into_keys().map(|(_, _, text)| text).collect()
        };
        assert_eq!(
            texts(&rare),
            ["at IS NULL", "kind = 3", "kind > 3", "status <> 'done'"]
        );
        let of = condition_of(&table, &predicate("kind > 3", "kind", Picks::Range));
        rare.known.insert(of, None);
        assert_eq!(texts(&rare), ["at IS NULL", "kind = 3", "status <> 'done'"]);
    }

    #[test]
    fn a_part_holds_no_more_than_its_rarest_condition_picks() {
        let table = table_of(1000.0, []);
        let of = |text: &str| condition_of(&table, &predicate(text, "a", Picks::Value));
        let rare = Rare {
            known: [
                (of("a = 1"), Some(0.2)),
                (of("b = 2"), Some(0.05)),
                (of("c = 3"), None),
                (of("d = 4"), Some(1.1)),
            ]
            .into(),
        };
        let share = |predicate: Option<&str>| {
            rare.share_of(&Candidate {
                schema: "s".into(),
                table: "t".into(),
                method: "btree",
                keys: Vec::new(),
                include: Vec::new(),
                predicate: predicate.map(str::to_owned),
            })
        };
        assert_eq!(share(Some("a = 1")), Some(0.2));
        assert_eq!(share(Some("a = 1 AND b = 2 AND c = 3")), Some(0.05));
        assert_eq!(share(Some("d = 4")), Some(1.0));
        assert_eq!((share(Some("c = 3")), share(None)), (None, None));
    }

    #[test]
    fn a_part_is_measured_against_the_same_index_on_all_rows() {
        let table = table_of(1000.0, []);
        let made = definitions(&table, &predicate("a < 0", "a", Picks::Rare));
        assert_eq!(
            made,
            [
                "CREATE INDEX ON s.t USING btree (a) WHERE a < 0",
                "CREATE INDEX ON s.t USING btree (a)"
            ]
        );
        let index = |size_bytes: f64| HypotheticalIndex {
            oid: 1,
            name: String::new(),
            size_bytes,
        };
        assert_eq!(share(Some(&index(100.0)), Some(&index(1000.0))), Some(0.1));
        assert_eq!(share(None, Some(&index(1000.0))), None, "HypoPG did not take it");
    }
}

//! Which candidates of a statement are tried where it has too many, and how well each fits what is asked.

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::Candidate;
use super::clauses::{Key, RelationUse};
use super::room::ROOM_OF_A_STATEMENT;

/// Keys that are not searched, and searched ones that are not keys: the fewer the better.
pub(super) type Fit = (usize, usize);

/// How well a candidate fits what is asked.
pub(super) fn fit(asked: &RelationUse, candidate: &Candidate) -> Fit {
    let searched: BTreeSet<&Key> = asked
        .equal
        .iter()
        .chain(&asked.joined)
        .chain(&asked.ranged)
        .collect();
    let hits = candidate
        .keys
        .iter()
        .filter(|key| searched.contains(&key.key))
        .count();
    (
        candidate.keys.len() - hits + candidate.include.len(),
        searched.len() - hits.min(searched.len()),
    )
}

/// What the relations of one statement ask for, each candidate once.
#[derive(Default)]
pub(super) struct Hands {
    /// In the order in which they were made, with how well each fits where it fits best.
    made: Vec<(Fit, Candidate)>,
    known: BTreeMap<Candidate, usize>,
    /// Of each relation their positions, every kind having its turn: eight keys alone make as many sequences of three as are
    /// tried.
    of_relations: Vec<Vec<usize>>,
}

/// What becomes of the candidates of one statement.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Dealt {
    /// In the order in which they were made.
    pub(super) tried: Vec<(Fit, Candidate)>,
    /// Those that have their turn when there is no room left for them.
    pub(super) without_room: Vec<Candidate>,
}

impl Hands {
    /// Those of one relation by their kinds, the most promising of each first.
    pub(super) fn add(&mut self, of_kinds: Vec<Vec<(Fit, Candidate)>>) {
        let mut hands: Vec<Vec<usize>> = Vec::new();
        for of_kind in of_kinds {
            let positions = of_kind.into_iter();
            hands.push(positions.map(|(fit, one)| self.position_of(fit, one)).collect());
        }
        self.of_relations.push(dealt(&hands, usize::MAX));
    }

    fn position_of(&mut self, fit: Fit, candidate: Candidate) -> usize {
        let candidate = candidate.simplest();
        let next = self.made.len();
        let position = *self.known.entry(candidate.clone()).or_insert(next);
        match self.made.get_mut(position) {
            Some((known, _)) => *known = fit.min(*known),
            None => self.made.push((fit, candidate)),
        }
        position
    }

    /// At most so many of them, every relation having its turn, each of which takes so many hypothetical indexes.
    pub(super) fn dealt(self, most: usize, takes: &dyn Fn(&Candidate) -> usize) -> Dealt {
        let mut room = ROOM_OF_A_STATEMENT;
        let (mut tried, mut without_room) = (BTreeSet::new(), BTreeSet::new());
        for position in dealt(&self.of_relations, most) {
            let left = room.checked_sub(takes(&self.made[position].1));
            let among = match left {
                Some(_) => &mut tried,
                None => &mut without_room,
            };
            among.insert(position);
            room = left.unwrap_or(room);
        }
        let mut dealt = Dealt::default();
        for (position, (fit, candidate)) in self.made.into_iter().enumerate() {
            if tried.contains(&position) {
                dealt.tried.push((fit, candidate));
            } else if without_room.contains(&position) {
                dealt.without_room.push(candidate);
            }
        }
        dealt
    }
}

/// The first of each hand, then the second of each, until there are so many; none twice. What the last relation of a wide join
/// asks for is worth as much as what the first does.
fn dealt(hands: &[Vec<usize>], most: usize) -> Vec<usize> {
    let longest = hands.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..longest).flat_map(|turn| hands.iter().filter_map(move |hand| hand.get(turn).copied()));
    let mut known = BTreeSet::new();
    turns.filter(|one| known.insert(*one)).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::candidate::Kinds;
    use crate::index_advisor::clauses::{OrderedKey, Picks, Predicate};
    use crate::index_advisor::maker::of_use;
    use crate::limits;

    #[test]
    fn each_relation_has_its_turn() {
        let hands = [vec![0, 1, 2, 3, 4], vec![5, 1], vec![6, 7, 8]];
        assert_eq!(dealt(&hands, 5), [0, 5, 6, 1, 7]);
        assert_eq!(dealt(&hands, 100).len(), 9, "none twice, and none forgotten");
        assert!(dealt(&[], 5).is_empty());
    }

    fn column(name: &str) -> Key {
        Key::Column(name.into())
    }

    #[test]
    fn each_kind_has_its_turn() {
        let asked = RelationUse {
            schema: "s".into(),
            table: "t".into(),
            equal: (0..8).map(|number| column(&format!("k{number}"))).collect(),
            sorted: [vec![OrderedKey {
                key: column("o"),
                descending: true,
                nulls_first: true,
            }]]
            .into(),
            predicates: [Predicate {
                text: "k0 = 1".into(),
                key: column("k0"),
                picks: Picks::Value,
            }]
            .into(),
            needed: ["k0", "o", "x"].map(String::from).into(),
            ..RelationUse::default()
        };
        let of_kinds = of_use(&asked, Kinds::default()).into_iter();
        let with_fit = |hand: Vec<Candidate>| -> Vec<(Fit, Candidate)> {
            hand.into_iter().map(|one| ((0, 0), one)).collect()
        };
        let mut hands = Hands::default();
        hands.add(of_kinds.map(with_fit).collect());
        let Dealt { tried, without_room } = hands.dealt(limits::CANDIDATES_PER_STATEMENT, &|_| 1);
        assert!(without_room.is_empty());
        assert_eq!(tried.len(), limits::CANDIDATES_PER_STATEMENT);
        let count = |is_it: fn(&Candidate) -> bool| tried.iter().filter(|(_, one)| is_it(one)).count();
        for (kind, found) in [
            ("short", count(|one| one.keys.len() <= 2)),
            ("long", count(|one| one.keys.len() > 2)),
            ("sorted", count(|one| one.keys.iter().any(|key| key.descending))),
            ("covering", count(|one| !one.include.is_empty())),
            ("partial", count(|one| one.predicate.is_some())),
        ] {
            assert!(found > 20, "{kind}: {found}");
        }
        let first: Vec<&Key> = tried[0].1.keys.iter().map(|key| &key.key).collect();
        assert_eq!(first, [&column("k0")], "in the order in which they were made");
    }

    #[test]
    fn one_that_two_relations_ask_for_is_one() {
        let candidate = |name: &str| Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: vec![column(name).into()],
            include: Vec::new(),
            predicate: None,
        };
        let mut hands = Hands::default();
        hands.add(vec![vec![((1, 1), candidate("a")), ((0, 0), candidate("b"))]]);
        hands.add(vec![
            vec![((0, 1), candidate("a"))],
            vec![((2, 0), candidate("c"))],
        ]);
        let expected = vec![((0, 1), candidate("a")), ((0, 0), candidate("b"))];
        assert_eq!(hands.dealt(2, &|_| 1).tried, expected, "with the better fit");
    }

    #[test]
    fn what_there_is_no_room_for_is_told_apart() {
        let candidate = |(name, keys): (&str, usize)| Candidate {
            schema: "s".into(),
            table: "t".into(),
            method: "btree",
            keys: vec![column(name).into(); keys],
            include: Vec::new(),
            predicate: None,
        };
        let with_fit = |all: &[&Candidate]| -> Vec<(Fit, Candidate)> {
            all.iter().map(|one| ((0, 0), (*one).clone())).collect()
        };
        let [a, b, c, d] = [("a", 1), ("b", 2), ("c", 1), ("d", 1)].map(candidate);
        let mut hands = Hands::default();
        hands.add(vec![with_fit(&[&a, &b, &c, &d])]);
        // of two keys it takes all that there is
        let takes = |one: &Candidate| match one.keys.len() {
            1 => 1,
            _ => ROOM_OF_A_STATEMENT,
        };
        let expected = Dealt {
            tried: with_fit(&[&a, &c]),
            without_room: vec![b],
        };
        assert_eq!(
            hands.dealt(3, &takes),
            expected,
            "smaller ones have their turn after it"
        );
    }
}

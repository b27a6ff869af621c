//! Indexes that could answer what plans ask of tables. Whether one is worth anything is not decided here: the planner is
//! asked. So what is left out counts: orders of keys that cannot help, tails that neither search nor cover.

use std::collections::BTreeSet;

use super::candidate::{Candidate, IndexKey, Kinds};
use super::clauses::{Key, Picks, Predicate, RelationUse};
use super::predicate::ALL_HOLD;
use crate::limits;

/// Columns that every table has. Names of users' columns cannot be these.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "tableoid", "xmin", "xmax", "cmin", "cmax"];

/// More keys than these are a kind of their own: they are many.
const FEW_KEYS: usize = 2;

/// All candidates for one relation of one plan by their kinds, the most promising of each first: few keys and more, orders, those
/// that cover either, parts, ranges of blocks.
pub(super) fn of_use(asked: &RelationUse, kinds: Kinds) -> Vec<Vec<Candidate>> {
    let wanted = |key: &Key| kinds.expression || matches!(key, Key::Column(_));
    let mut made = Maker {
        asked,
        kinds,
        found: Vec::new(),
        known: BTreeSet::new(),
    };
    let keep = |keys: &BTreeSet<Key>| {
        keys.iter()
            .filter(|key| wanted(key))
            .cloned()
            .collect::<Vec<Key>>()
    };
    let points = keep(&asked.equal.union(&asked.joined).cloned().collect());
    let ranged = keep(&asked.ranged);
    if !kinds.btree {
        made.ranges_of_blocks(&ranged);
        return vec![made.hand()];
    }
    let mut searched: BTreeSet<Key> = points.iter().chain(&ranged).cloned().collect();
    searched.extend(
        asked
            .sorted
            .iter()
            .filter_map(|order| order.first())
            .map(|first| first.key.clone())
            .filter(wanted),
    );
    searched.extend(asked.grouped.iter().flatten().filter(|key| wanted(key)).cloned());
    let searched: Vec<Key> = searched.into_iter().collect();

    let mut sequences = sequences(&points, &searched, kinds.max_width);
    for range in &ranged {
        for rest in tails(range, &searched, kinds.max_width - 1) {
            sequences.push(std::iter::once(range.clone()).chain(rest).collect());
        }
    }
    for group in &asked.grouped {
        let group = group.iter().filter(|key| wanted(key));
        sequences.push(group.take(kinds.max_width).cloned().collect());
    }
    sequences.extend(made.valued_behind(&points, &searched));
    sequences.sort_by_key(Vec::len);
    let leads: Vec<Vec<IndexKey>> = sequences.into_iter().map(ascending).collect();
    let mut hands = made.of_leads(&leads, &points);
    if kinds.partial {
        made.partial(&searched, &points);
        hands.push(made.hand());
    }
    made.ranges_of_blocks(&ranged);
    hands.push(made.hand());
    hands
}

fn ascending(keys: Vec<Key>) -> Vec<IndexKey> {
    keys.into_iter().map(IndexKey::from).collect()
}

/// Sequences in which all but the last key are points: after a range further keys only filter.
fn sequences(points: &[Key], searched: &[Key], width: usize) -> Vec<Vec<Key>> {
    let mut all: Vec<Vec<Key>> = Vec::new();
    let mut heads: Vec<Vec<Key>> = vec![Vec::new()];
    for _ in 0..width {
        let mut longer = Vec::new();
        for head in &heads {
            all.extend(extended(head, searched));
            // more are not tried at any rate
            if all.len() >= limits::CANDIDATES_PER_STATEMENT {
                all.truncate(limits::CANDIDATES_PER_STATEMENT);
                return all;
            }
            longer.extend(extended(head, points));
        }
        heads = longer;
    }
    all
}

fn extended<'a>(head: &'a [Key], by: &'a [Key]) -> impl Iterator<Item = Vec<Key>> + 'a {
    let fresh = by.iter().filter(|key| !head.contains(key));
    fresh.map(|key| head.iter().cloned().chain([key.clone()]).collect())
}

/// What may follow a range, in one order: these keys only filter.
fn tails(first: &Key, searched: &[Key], width: usize) -> Vec<Vec<Key>> {
    let others: Vec<&Key> = searched.iter().filter(|key| *key != first).collect();
    let mut tails: Vec<Vec<Key>> = Vec::new();
    for (position, one) in others.iter().enumerate() {
        if width >= 1 {
            tails.push(vec![(*one).clone()]);
        }
        for other in others.iter().skip(position + 1) {
            if width >= 2 {
                tails.push(vec![(*one).clone(), (*other).clone()]);
            }
        }
    }
    tails
}

/// What may stand in front of an order: nothing, or keys of which all its rows have one value. It does not matter to the order
/// which of them is first.
fn heads(points: &[Key]) -> Vec<Vec<Key>> {
    let mut heads = vec![Vec::new()];
    heads.extend(points.iter().map(|one| vec![one.clone()]));
    for (position, one) in points.iter().enumerate() {
        let others = &points[position + 1..];
        heads.extend(others.iter().map(|other| vec![one.clone(), other.clone()]));
    }
    if points.len() > 2 {
        heads.push(points.to_vec());
    }
    heads
}

/// An order behind each of the heads that hold none of its keys.
fn behind(heads: &[Vec<Key>], order: &[IndexKey]) -> Vec<Vec<IndexKey>> {
    let is_apart = |head: &&Vec<Key>| !order.iter().any(|key| head.contains(&key.key));
    let joined = |head: &Vec<Key>| [ascending(head.clone()), order.to_vec()].concat();
    heads.iter().filter(is_apart).map(joined).collect()
}

struct Maker<'a> {
    asked: &'a RelationUse,
    kinds: Kinds,
    found: Vec<Candidate>,
    known: BTreeSet<Candidate>,
}

impl Maker<'_> {
    fn add(
        &mut self,
        keys: Vec<IndexKey>,
        include: Vec<String>,
        predicate: Option<String>,
        method: &'static str,
    ) {
        let unwanted = |key: &IndexKey| !self.kinds.expression && matches!(key.key, Key::Expression(_));
        if keys.is_empty() || keys.len() > self.kinds.max_width || keys.iter().any(unwanted) {
            return;
        }
        if predicate.is_none() && keys.first().is_some_and(|first| self.wades_through(&first.key)) {
            return;
        }
        let candidate = Candidate {
            schema: self.asked.schema.clone(),
            table: self.asked.table.clone(),
            method,
            keys,
            include,
            predicate,
        };
        let mut for_patterns = candidate.clone();
        for key in &mut for_patterns.keys {
            // other methods have no such classes
            let class = self.asked.prefixed.get(&key.key).filter(|_| method == "btree");
            key.operator_class = class.map(|class| (*class).to_owned());
        }
        for candidate in [candidate, for_patterns] {
            if self.known.insert(candidate.clone()) {
                self.found.push(candidate);
            }
        }
    }

    /// Whether an index that begins with this key leads through all of a queue that is done to the first row that is not.
    fn wades_through(&self, first: &Key) -> bool {
        let asked = self.asked;
        let begins_an_order = || {
            let mut orders = asked.sorted.iter();
            orders.any(|order| order.first().is_some_and(|key| key.key == *first))
        };
        asked.is_queue && !asked.equal.is_empty() && !asked.equal.contains(first) && begins_an_order()
    }

    /// Keys that must have a value and are asked nothing else, where most rows have none: a b-tree finds these as it finds a range.
    fn valued(&self, searched: &[Key]) -> Vec<Key> {
        let predicates = self.asked.predicates.iter();
        let valued = predicates.filter(|one| one.picks == Picks::NotNull);
        let valued = valued.map(|one| one.key.clone());
        valued.filter(|key| !searched.contains(key)).collect()
    }

    /// These behind keys that are equal to something. Alone they are a part of the rows, which is smaller.
    fn valued_behind(&self, points: &[Key], searched: &[Key]) -> Vec<Vec<Key>> {
        let valued = self.valued(searched);
        let mut heads = heads(points);
        heads.retain(|head| !head.is_empty() || !self.kinds.partial);
        let mut found: Vec<Vec<Key>> = Vec::new();
        for head in &heads {
            for last in &valued {
                found.push(head.iter().chain([last]).cloned().collect());
            }
        }
        found
    }

    fn ranges_of_blocks(&mut self, ranged: &[Key]) {
        let wanted = if self.kinds.brin { ranged } else { &[] };
        for range in wanted {
            self.add(vec![range.clone().into()], Vec::new(), None, "brin");
        }
    }

    /// What was made since the last one was taken.
    fn hand(&mut self) -> Vec<Candidate> {
        std::mem::take(&mut self.found)
    }

    /// These keys, the shorter ones first, the orders, and what covers either.
    fn of_leads(&mut self, leads: &[Vec<IndexKey>], points: &[Key]) -> Vec<Vec<Candidate>> {
        let mut hands = Vec::new();
        let (few, more) = leads.split_at(leads.partition_point(|keys| keys.len() <= FEW_KEYS));
        for leads in [few, more] {
            leads.iter().for_each(|keys| self.plain(keys.clone()));
            hands.push(self.hand());
        }
        let orders = self.orders(points);
        hands.push(self.hand());
        for leads in [leads, &orders] {
            self.covering(leads, None, &BTreeSet::new());
            hands.push(self.hand());
        }
        hands
    }

    fn plain(&mut self, keys: Vec<IndexKey>) {
        self.add(keys, Vec::new(), None, "btree");
    }

    /// The orders that save a sort, and rows that are compared, where no order has the same keys.
    fn wanted_orders(&self) -> Vec<Vec<IndexKey>> {
        let sorted = &self.asked.sorted;
        let is_sorted = |row: &Vec<Key>| {
            let mut orders = sorted.iter();
            orders.any(|order| {
                order.len() >= row.len() && order.iter().zip(row).all(|(ordered, key)| ordered.key == *key)
            })
        };
        let rows = self.asked.rows.iter().filter(|row| !is_sorted(row));
        let orders = sorted
            .iter()
            .map(|order| order.iter().map(IndexKey::of_order).collect::<Vec<IndexKey>>());
        orders.chain(rows.cloned().map(ascending)).collect()
    }

    /// Orders, and the beginnings of them, alone and behind keys that are equal to something: their keys.
    fn orders(&mut self, points: &[Key]) -> Vec<Vec<IndexKey>> {
        let heads = heads(points);
        let mut made: Vec<Vec<IndexKey>> = Vec::new();
        for order in self.wanted_orders() {
            for length in 1..=order.len().min(self.kinds.max_width) {
                made.extend(behind(&heads, &order[..length]));
            }
        }
        made.retain(|keys| keys.len() <= self.kinds.max_width);
        for keys in &made {
            self.plain(keys.clone());
        }
        made
    }

    /// Indexes that hold all that the statement needs, so that the table need not be read. What a predicate implies is known of
    /// all rows of a partial one.
    fn covering(&mut self, leads: &[Vec<IndexKey>], predicate: Option<&str>, implied: &BTreeSet<Key>) {
        // no index holds them
        if SYSTEM_COLUMNS
            .iter()
            .any(|column| self.asked.needed.contains(*column))
        {
            return;
        }
        for lead in leads {
            let is_known = |key: &Key| implied.contains(key) || lead.iter().any(|other| other.key == *key);
            let needed = self.asked.needed.iter();
            let rest: Vec<String> = needed
                .filter(|column| !is_known(&Key::Column((*column).clone())))
                .cloned()
                .collect();
            if rest.is_empty() || rest.len() > limits::INCLUDED_COLUMNS {
                continue;
            }
            if lead.len() + rest.len() <= self.kinds.max_width {
                let tail = rest.iter().cloned().map(Key::Column).collect();
                let keys = lead.iter().cloned().chain(ascending(tail)).collect();
                self.add(keys, Vec::new(), predicate.map(str::to_owned), "btree");
            }
            if self.kinds.include {
                self.add(lead.clone(), rest, predicate.map(str::to_owned), "btree");
            }
        }
    }

    /// Indexes on the rows alone that conditions without parameters pick.
    fn partial(&mut self, searched: &[Key], points: &[Key]) {
        let asked = self.asked;
        let picking: Vec<&Predicate> = asked
            .predicates
            .iter()
            .filter(|one| {
                let picks_by_itself = one.picks == Picks::NotNull || one.picks.must_be_rare();
                picks_by_itself || asked.equal.contains(&one.key)
            })
            .collect();
        for one in &picking {
            self.part(&[*one], searched, points);
        }
        if picking.len() > 1 {
            self.part(&picking, searched, points);
        }
        // the smallest part alone: the statement always asks for all of it
        if !picking.is_empty() {
            self.covering_part(&picking, searched, points);
        }
    }

    /// Indexes on the rows for which all of these conditions hold.
    fn part(&mut self, conditions: &[&Predicate], searched: &[Key], points: &[Key]) {
        let mut searched = without(searched, &picked(conditions));
        let own: BTreeSet<Key> = conditions.iter().map(|one| one.key.clone()).collect();
        let valued = self.valued(&searched);
        searched.extend(without(&valued, &own));
        let mut found: Vec<Vec<IndexKey>> = sequences(&searched, &searched, 2)
            .into_iter()
            .map(ascending)
            .collect();
        found.extend(self.orders_of_part(points, &answered(conditions)));
        // where nothing else is asked the condition itself is what is searched
        if found.is_empty() {
            found = telling(conditions);
        }
        if found.is_empty() {
            found.extend(conditions.iter().map(|one| vec![IndexKey::from(one.key.clone())]));
        }
        let predicate = all_hold(conditions);
        for keys in found {
            self.add(keys, Vec::new(), Some(predicate.clone()), "btree");
        }
    }

    /// The same with all that the statement needs, but for those that begin with keys that only filter: these are many.
    fn covering_part(&mut self, conditions: &[&Predicate], searched: &[Key], points: &[Key]) {
        let picked = picked(conditions);
        let mut leads = self.orders_of_part(points, &answered(conditions));
        let found = sequences(&without(points, &picked), &without(searched, &picked), 2);
        leads.extend(found.into_iter().map(ascending));
        if leads.is_empty() {
            leads = telling(conditions);
        }
        let predicate = all_hold(conditions);
        // of an expression nobody knows how many rows it picks: the planner's guess is no part
        let are_columns = conditions.iter().all(|one| matches!(one.key, Key::Column(_)));
        if leads.is_empty() && are_columns {
            self.holding_part(&predicate, &picked);
        }
        // what all its rows were picked by may be asked for nevertheless, but where it leaves one value nothing is worth its place
        for implied in [&picked, &answered(conditions)] {
            self.covering(&leads, Some(&predicate), implied);
        }
    }

    /// Where nothing is asked but what all rows of a part have in common, that is no key: what the statement needs of them is, so
    /// that the table need not be read. Without what is carried along each is there, too, for where that is hardly worth it.
    fn holding_part(&mut self, predicate: &str, common: &BTreeSet<Key>) {
        let needed = self.asked.needed.iter();
        let needed = needed.filter(|column| !common.contains(&Key::Column((*column).clone())));
        let needed: Vec<String> = needed.cloned().collect();
        let is_system = |column: &String| SYSTEM_COLUMNS.contains(&column.as_str());
        if needed.len() > limits::INCLUDED_COLUMNS || needed.iter().any(is_system) {
            return;
        }
        let predicate = || Some(predicate.to_owned());
        let all = needed.iter().cloned().map(Key::Column).collect();
        self.add(ascending(all), Vec::new(), predicate(), "btree");
        for first in &needed {
            let key = || vec![IndexKey::from(Key::Column(first.clone()))];
            if self.kinds.include {
                let others = needed.iter().filter(|column| *column != first);
                self.add(key(), others.cloned().collect(), predicate(), "btree");
            }
            self.add(key(), Vec::new(), predicate(), "btree");
        }
    }

    /// The orders, as long as they may be, behind keys that are equal to something, without those that are so in all rows.
    fn orders_of_part(&self, points: &[Key], about: &BTreeSet<Key>) -> Vec<Vec<IndexKey>> {
        let heads = heads(&without(points, about));
        let mut found: Vec<Vec<IndexKey>> = Vec::new();
        for mut order in self.wanted_orders() {
            order.retain(|key| !about.contains(&key.key));
            if !order.is_empty() {
                found.extend(behind(&heads, &order));
            }
        }
        for keys in &mut found {
            keys.truncate(self.kinds.max_width);
        }
        found
    }
}

/// What conditions leave nothing to search for. Rows that have a value are still told apart by it.
fn picked(conditions: &[&Predicate]) -> BTreeSet<Key> {
    let picked = conditions.iter().filter(|one| one.picks != Picks::NotNull);
    picked.map(|one| one.key.clone()).collect()
}

/// Of what conditions leave but one value, so that nothing is sorted by it.
fn answered(conditions: &[&Predicate]) -> BTreeSet<Key> {
    let answered = conditions.iter().filter(|one| one.picks.is_one_value());
    answered.map(|one| one.key.clone()).collect()
}

/// What conditions are about that still tells their rows apart, each as a key.
fn telling(conditions: &[&Predicate]) -> Vec<Vec<IndexKey>> {
    let telling = conditions.iter().filter(|one| !one.picks.is_one_value());
    telling.map(|one| vec![IndexKey::from(one.key.clone())]).collect()
}

fn without(keys: &[Key], about: &BTreeSet<Key>) -> Vec<Key> {
    let others = keys.iter().filter(|key| !about.contains(key));
    others.cloned().collect()
}

fn all_hold(conditions: &[&Predicate]) -> String {
    let texts: Vec<&str> = conditions.iter().map(|one| one.text.as_str()).collect();
    texts.join(ALL_HOLD)
}

#[cfg(test)]
mod tests;

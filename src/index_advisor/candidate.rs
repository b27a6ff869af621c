//! Indexes that could answer what plans ask of tables. Whether one is worth anything is not decided here: the planner is
//! asked. So what is left out counts: orders of keys that cannot help, tails that neither search nor cover.

use std::collections::BTreeSet;

use super::clauses::{Key, OrderedKey, Picks, Predicate, RelationUse};
use super::estimated::Methods;
use super::ready::KeyOf;
use crate::limits;
use crate::model::remedy::{Statement, quote_identifier};

/// One key of an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct IndexKey {
    pub key: Key,
    pub descending: bool,
    pub nulls_first: bool,
    /// An operator class other than the type's own, as `text_pattern_ops`.
    pub operator_class: Option<String>,
}

impl From<Key> for IndexKey {
    fn from(key: Key) -> Self {
        Self {
            key,
            descending: false,
            nulls_first: false,
            operator_class: None,
        }
    }
}

/// An index that could be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Candidate {
    pub schema: String,
    pub table: String,
    pub method: &'static str,
    pub keys: Vec<IndexKey>,
    pub include: Vec<String>,
    pub predicate: Option<String>,
}

impl Candidate {
    /// The index as a statement.
    pub fn statement(&self, concurrently: bool, name: Option<String>) -> Statement {
        Statement::CreateIndex {
            concurrently,
            only: false,
            name,
            schema: self.schema.clone(),
            table: self.table.clone(),
            method: self.method,
            keys: self.keys.iter().map(IndexKey::sql).collect(),
            include: self.include.clone(),
            predicate: self.predicate.clone(),
        }
    }

    /// The index as HypoPG takes it.
    pub fn hypothetical(&self) -> String {
        self.statement(false, None).sql()
    }

    /// The same without what is only carried along, else without its last key. A key that rows are sorted by stays: the
    /// planner takes all values for equally common, and those that are not would have to be sorted.
    pub fn narrower(&self, ordering: &BTreeSet<KeyOf>) -> Option<Self> {
        let mut less = self.clone();
        if !less.include.is_empty() {
            less.include.clear();
            return Some(less);
        }
        let last = less.keys.pop()?;
        let stays = ordering.contains(&(self.schema.clone(), self.table.clone(), last.key));
        (!stays && !less.keys.is_empty()).then_some(less)
    }

    /// Whether a search or an order that this one answers is answered by another one, too: it has the same first keys.
    pub fn is_prefix_of(&self, other: &Self) -> bool {
        let mine: BTreeSet<&str> = self.columns().collect();
        let theirs: BTreeSet<&str> = other.columns().collect();
        (&self.schema, &self.table, self.method, &self.predicate)
            == (&other.schema, &other.table, other.method, &other.predicate)
            && other.keys.starts_with(&self.keys)
            && (self.include.is_empty() || mine.is_subset(&theirs))
    }

    /// Whether it holds a column as it is.
    pub fn holds(&self, column: &str) -> bool {
        self.columns().any(|one| one == column)
    }

    /// Whether an expression or the predicate names a column.
    pub fn mentions(&self, column: &str) -> bool {
        let expressions = self.keys.iter().filter_map(|key| match &key.key {
            Key::Expression(text) => Some(text.as_str()),
            Key::Column(_) => None,
        });
        let mut texts = expressions.chain(self.predicate.as_deref());
        texts.any(|text| text.contains(column))
    }

    /// Whether a key is an expression.
    pub fn has_expressions(&self) -> bool {
        self.keys.iter().any(|key| matches!(key.key, Key::Expression(_)))
    }

    /// The columns that it holds as they are.
    fn columns(&self) -> impl Iterator<Item = &str> {
        let keys = self.keys.iter().filter_map(|key| match &key.key {
            Key::Column(column) => Some(column.as_str()),
            Key::Expression(_) => None,
        });
        keys.chain(self.include.iter().map(String::as_str))
    }
}

impl IndexKey {
    /// The key in a definition.
    pub fn sql(&self) -> String {
        let mut sql = match &self.key {
            Key::Column(column) => quote_identifier(column),
            Key::Expression(text) => format!("({text})"),
        };
        if let Some(class) = &self.operator_class {
            sql = format!("{sql} {class}");
        }
        match (self.descending, self.nulls_first) {
            (false, false) => sql,
            (false, true) => sql + " NULLS FIRST",
            (true, true) => sql + " DESC",
            (true, false) => sql + " DESC NULLS LAST",
        }
    }
}

/// Columns that every table has. Names of users' columns cannot be these.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "tableoid", "xmin", "xmax", "cmin", "cmax"];

/// Which kinds of index are wanted.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Kinds {
    /// Keys at most.
    pub max_width: usize,
    pub btree: bool,
    pub include: bool,
    pub partial: bool,
    pub expression: bool,
    /// Beside b-trees they are priced apart.
    pub brin: bool,
    /// Those that no planner can price before they exist.
    pub estimated: Methods,
}

impl Default for Kinds {
    fn default() -> Self {
        Self {
            max_width: 3,
            btree: true,
            include: true,
            partial: true,
            expression: true,
            brin: true,
            estimated: Methods {
                gin: true,
                gist: true,
            },
        }
    }
}

/// All candidates for one relation of one plan, the most promising kinds first.
pub fn of_use(asked: &RelationUse, kinds: Kinds) -> Vec<Candidate> {
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
    let equal = keep(&asked.equal);
    let ranged = keep(&asked.ranged);
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

    if !kinds.btree {
        made.ranges_of_blocks(&ranged);
        return made.found;
    }
    let mut sequences = sequences(&points, &searched, kinds.max_width);
    for range in &ranged {
        for rest in tails(range, &searched, kinds.max_width - 1) {
            sequences.push(std::iter::once(range.clone()).chain(rest).collect());
        }
    }
    for group in &asked.grouped {
        sequences.push(
            group
                .iter()
                .filter(|key| wanted(key))
                .take(kinds.max_width)
                .cloned()
                .collect(),
        );
    }
    sequences.sort_by_key(Vec::len);
    for keys in &sequences {
        made.plain(keys.iter().cloned().map(IndexKey::from).collect());
    }
    made.orders(&equal);
    made.covering(&sequences);
    if kinds.partial {
        made.partial(&searched);
    }
    made.ranges_of_blocks(&ranged);
    made.found
}

/// Sequences in which all but the last key are points: after a range further keys only filter.
fn sequences(points: &[Key], searched: &[Key], width: usize) -> Vec<Vec<Key>> {
    let mut all: Vec<Vec<Key>> = Vec::new();
    let mut heads: Vec<Vec<Key>> = vec![Vec::new()];
    for _ in 0..width {
        let mut longer = Vec::new();
        for head in &heads {
            all.extend(extended(head, searched));
            longer.extend(extended(head, points));
        }
        heads = longer;
        if all.len() > limits::CANDIDATES_PER_STATEMENT {
            break;
        }
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
        let candidate = Candidate {
            schema: self.asked.schema.clone(),
            table: self.asked.table.clone(),
            method,
            keys,
            include,
            predicate,
        };
        let mut for_patterns = candidate.clone();
        for key in for_patterns
            .keys
            .iter_mut()
            .filter(|key| self.asked.prefixed.contains(&key.key))
        {
            key.operator_class = Some("text_pattern_ops".to_owned());
        }
        for candidate in [candidate, for_patterns] {
            if self.known.insert(candidate.clone()) {
                self.found.push(candidate);
            }
        }
    }

    fn ranges_of_blocks(&mut self, ranged: &[Key]) {
        let wanted = if self.kinds.brin { ranged } else { &[] };
        for range in wanted {
            self.add(vec![range.clone().into()], Vec::new(), None, "brin");
        }
    }

    fn plain(&mut self, keys: Vec<IndexKey>) {
        self.add(keys, Vec::new(), None, "btree");
    }

    /// Orders that save a sort, alone and after the keys that are equal.
    fn orders(&mut self, equal: &[Key]) {
        for order in &self.asked.sorted {
            for length in 1..=order.len().min(self.kinds.max_width) {
                let keys: Vec<IndexKey> = order[..length].iter().map(IndexKey::of_order).collect();
                self.plain(keys.clone());
                for first in equal
                    .iter()
                    .filter(|key| !order[..length].iter().any(|other| other.key == **key))
                {
                    let first = IndexKey::from(first.clone());
                    self.plain(std::iter::once(first).chain(keys.iter().cloned()).collect());
                }
                if equal.len() > 1 {
                    let all = equal.iter().cloned().map(IndexKey::from);
                    self.plain(all.chain(keys).collect());
                }
            }
        }
    }

    /// Indexes that hold all that the statement needs, so that the table need not be read.
    fn covering(&mut self, sequences: &[Vec<Key>]) {
        // no index holds them
        if SYSTEM_COLUMNS
            .iter()
            .any(|column| self.asked.needed.contains(*column))
        {
            return;
        }
        let mut leads: Vec<Vec<IndexKey>> = sequences
            .iter()
            .map(|keys| keys.iter().cloned().map(IndexKey::from).collect())
            .collect();
        leads.extend(
            self.found
                .iter()
                .filter(|one| one.keys.iter().any(|key| key.descending))
                .map(|one| one.keys.clone()),
        );
        for lead in leads {
            let is_in = |column: &&String| lead.iter().any(|key| key.key == Key::Column((*column).clone()));
            let rest: Vec<String> = self
                .asked
                .needed
                .iter()
                .filter(|column| !is_in(column))
                .cloned()
                .collect();
            if rest.is_empty() || rest.len() > limits::INCLUDED_COLUMNS {
                continue;
            }
            if lead.len() + rest.len() <= self.kinds.max_width {
                let tail = rest
                    .iter()
                    .cloned()
                    .map(|column| IndexKey::from(Key::Column(column)));
                self.plain(lead.iter().cloned().chain(tail).collect());
            }
            if self.kinds.include {
                self.add(lead, rest, None, "btree");
            }
        }
    }

    /// Indexes on the rows alone that a condition without parameters picks.
    fn partial(&mut self, searched: &[Key]) {
        let predicates: Vec<Predicate> = self.asked.predicates.iter().cloned().collect();
        let picking: Vec<&Predicate> = predicates
            .iter()
            .filter(|one| one.picks == Picks::NotNull || self.asked.equal.contains(&one.key))
            .collect();
        // rows that have a value are still told apart, and sorted, by it
        let answered = |one: &&Predicate| one.picks != Picks::NotNull;
        let mut chosen: Vec<(String, Vec<&Predicate>)> =
            picking.iter().map(|one| (one.text.clone(), vec![*one])).collect();
        if picking.len() > 1 {
            let all: Vec<&str> = picking.iter().map(|one| one.text.as_str()).collect();
            chosen.push((all.join(" AND "), picking.clone()));
        }
        for (predicate, parts) in chosen {
            let about: BTreeSet<&Key> = parts
                .iter()
                .copied()
                .filter(answered)
                .map(|one| &one.key)
                .collect();
            let others: Vec<&Key> = searched.iter().filter(|key| !about.contains(key)).collect();
            let mut orders: Vec<Vec<IndexKey>> =
                others.iter().map(|key| vec![(*key).clone().into()]).collect();
            for one in &others {
                for other in others.iter().filter(|other| *other != one) {
                    orders.push(vec![(*one).clone().into(), (*other).clone().into()]);
                }
            }
            for order in &self.asked.sorted {
                let keys: Vec<IndexKey> = order
                    .iter()
                    .filter(|key| !about.contains(&key.key))
                    .map(IndexKey::of_order)
                    .collect();
                orders.push(keys.iter().take(self.kinds.max_width).cloned().collect());
                for first in others
                    .iter()
                    .filter(|key| !order.iter().any(|other| other.key == ***key))
                {
                    let first = IndexKey::from((*first).clone());
                    orders.push(
                        std::iter::once(first)
                            .chain(keys.iter().cloned())
                            .take(self.kinds.max_width)
                            .collect(),
                    );
                }
            }
            // where nothing else is asked the condition itself is what is searched
            if orders.is_empty() {
                orders.extend(parts.iter().map(|one| vec![IndexKey::from(one.key.clone())]));
            }
            for keys in orders {
                self.add(keys, Vec::new(), Some(predicate.clone()), "btree");
            }
        }
    }
}

impl IndexKey {
    /// The column that it is, ascending and by the type's own operators.
    pub fn plain_column(&self) -> Option<&String> {
        match &self.key {
            Key::Column(name) if *self == Self::from(self.key.clone()) => Some(name),
            _ => None,
        }
    }

    fn of_order(order: &OrderedKey) -> Self {
        Self {
            key: order.key.clone(),
            descending: order.descending,
            nulls_first: order.nulls_first,
            operator_class: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> BTreeSet<Key> {
        names.iter().map(|name| Key::Column((*name).into())).collect()
    }

    fn definitions(asked: &RelationUse, kinds: Kinds) -> Vec<String> {
        of_use(asked, kinds)
            .iter()
            .map(|one| one.hypothetical().replace("CREATE INDEX ON s.t USING ", ""))
            .collect()
    }

    fn plain() -> Kinds {
        Kinds {
            max_width: 3,
            btree: true,
            include: false,
            partial: false,
            expression: false,
            brin: false,
            estimated: Methods {
                gin: false,
                gist: false,
            },
        }
    }

    #[test]
    fn points_come_first_and_a_range_last() {
        let asked = RelationUse {
            schema: "s".into(),
            table: "t".into(),
            equal: columns(&["a", "b"]),
            ranged: columns(&["r"]),
            needed: ["a", "b", "r", "x", "y"].map(String::from).into(),
            ..RelationUse::default()
        };
        let made = definitions(&asked, plain());
        for wanted in [
            "btree (a)",
            "btree (a, b, r)",
            "btree (b, a, r)",
            "btree (r, a)",
            "btree (r)",
        ] {
            assert!(made.contains(&wanted.to_owned()), "{wanted}: {made:?}");
        }
        assert!(
            !made.iter().any(|one| one.contains('x')),
            "a tail that covers nothing is left out"
        );
        assert_eq!(made.len(), made.iter().collect::<BTreeSet<_>>().len());
        let made = definitions(
            &asked,
            Kinds {
                include: true,
                ..plain()
            },
        );
        assert!(
            made.contains(&"btree (a, b, r) INCLUDE (x, y)".to_owned()),
            "{made:?}"
        );
    }

    #[test]
    fn orders_follow_what_is_equal_and_predicates_take_its_place() {
        let newest = OrderedKey {
            key: Key::Column("made_at".into()),
            descending: true,
            nulls_first: true,
        };
        let predicate = Predicate {
            text: "status = 'open'".into(),
            key: Key::Column("status".into()),
            picks: Picks::Value,
        };
        let asked = RelationUse {
            schema: "s".into(),
            table: "t".into(),
            equal: columns(&["status"]),
            sorted: [vec![newest]].into(),
            predicates: [predicate].into(),
            ..RelationUse::default()
        };
        let made = definitions(
            &asked,
            Kinds {
                partial: true,
                ..plain()
            },
        );
        for wanted in [
            "btree (made_at DESC)",
            "btree (status, made_at DESC)",
            "btree (made_at DESC) WHERE status = 'open'",
        ] {
            assert!(made.contains(&wanted.to_owned()), "{wanted}: {made:?}");
        }
    }

    #[test]
    fn rows_that_have_a_value_are_a_part_with_any_key() {
        let has_value = Predicate {
            text: "claimed_at IS NOT NULL".into(),
            key: Key::Column("claimed_at".into()),
            picks: Picks::NotNull,
        };
        let partial = Kinds {
            partial: true,
            ..plain()
        };
        let parts = |asked: &RelationUse| -> Vec<String> {
            let mut made = definitions(asked, partial);
            made.retain(|one| one.contains(" WHERE "));
            made
        };
        let mut asked = RelationUse {
            schema: "s".into(),
            table: "t".into(),
            predicates: [has_value].into(),
            ..RelationUse::default()
        };
        assert_eq!(
            parts(&asked),
            ["btree (claimed_at) WHERE claimed_at IS NOT NULL"],
            "nothing else is asked"
        );
        asked.sorted = [vec![OrderedKey {
            key: Key::Column("claimed_at".into()),
            descending: false,
            nulls_first: false,
        }]]
        .into();
        assert_eq!(parts(&asked), ["btree (claimed_at) WHERE claimed_at IS NOT NULL"]);
        asked.sorted.clear();
        asked.equal = columns(&["shop"]);
        assert_eq!(parts(&asked), ["btree (shop) WHERE claimed_at IS NOT NULL"]);
    }

    #[test]
    fn every_definition_parses_whatever_the_names_are() {
        let asked = RelationUse {
            schema: "S \" x".into(),
            table: "select".into(),
            equal: [
                Key::Column("a\"; DROP TABLE t; --".into()),
                Key::Expression("lower(\"B\")".into()),
            ]
            .into(),
            needed: ["Ü".to_owned()].into(),
            ..RelationUse::default()
        };
        for one in of_use(&asked, Kinds::default()) {
            assert_eq!(crate::sql::statement_count(&one.hypothetical()).unwrap(), 1);
        }
    }
}

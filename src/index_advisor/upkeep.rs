//! What indexes cost the writes of a workload: those of its own statements; where the tables' counters were read twice, everything
//! that was written in between; and where they only tell since when they count, at least what no load explains.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;

use super::candidate::Candidate;
use super::clauses::Key;
use super::predicate::ALL_HOLD;
use super::ready::Ready;
use super::selection::Problem;
use super::tables::{ExistingIndex, Table, TableName, Tables};
use super::what_if::Planned;
use super::workload::WorkloadStatement;
pub use super::written::{Known, WriteCounters, Writes};
use crate::sql::{self, Command, Name, remembered};

/// One entry in one index, in the planner's units: the way down to its leaf in memory (some fifty comparisons, 0.13), and the
/// page that it makes dirty, which now and then has to be read and is written out with others (a tenth of
/// `random_page_cost`).
const ENTRY_COST: f64 = 0.5;
/// The same for a row that a BRIN index hears of: it compares the row with what it says of the row's range of blocks, which
/// mostly holds already.
const RANGE_COST: f64 = 0.05;
/// What a GIN index pays for each key of a row, by a b-tree's entry. With fastupdate, which is PostgreSQL's default, rows wait in a
/// list until thousands of them are brought in together, key by key, so that the way down and the page are shared. Measured on
/// 200 000 rows: 0.13 with 33 trigrams in each, 0.27 with 4 elements; without fastupdate 1.4.
const PENDING: f64 = 0.2;
/// What an update costs more, for each row, where it cannot be HOT any more, besides the new entries: every old entry is looked for
/// and removed by vacuum; the old version keeps its line in the page until then, so that new ones go to other pages, which are
/// written out, too; and index-only scans visit the table until vacuum was there. Reckoned as two pages read in order.
const ENDED_HOT_COST: f64 = 2.0;
/// Keys of a row where nobody knows better: the words of a short text, or the fields of a small document.
const KEYS_PER_ROW: f64 = 10.0;

/// What one statement writes to one table.
struct Write<'a> {
    table: &'a Table,
    command: Command,
    rows: f64,
}

/// What a statement writes: as its plan says, else as its text does; of one that writes to one table as many rows as were
/// measured. A login that may only read plans what it reads, or nothing of it at all; its writes are no cheaper for that.
fn writes<'a>(
    statement: &WorkloadStatement,
    planned: Option<&Planned>,
    tables: &'a Tables,
) -> Vec<Write<'a>> {
    let nodes = planned.map_or_else(Vec::new, |planned| planned.tree.nodes());
    let by_plan = nodes
        .iter()
        .filter(|node| node.kind == "ModifyTable")
        .map(|node| {
            let table = tables.get(node.schema.as_deref()?, node.relation.as_deref()?)?;
            let command = command(node.operation.as_deref()?)?;
            let rows: f64 = node.children.iter().map(|child| child.rows).sum();
            Some(Write {
                table,
                command,
                rows: rows.max(1.0),
            })
        });
    let mut by_plan: Vec<Option<Write<'a>>> = by_plan.collect();
    if !by_plan.is_empty() {
        let is_root = planned.is_some_and(|planned| planned.tree.root.kind == "ModifyTable");
        // of what only prepares it, or is a query of WITH, other rows are counted
        let measured = statement.rows_per_call.filter(|rows| is_root && *rows > 0.0);
        if let ([Some(only)], Some(rows)) = (&mut by_plan[..], measured) {
            only.rows = rows;
        }
        return by_plan.into_iter().flatten().collect();
    }
    // most statements read, and need not be parsed for that
    let Some(named) = Some(&statement.text)
        .filter(|text| may_write(text))
        .and_then(|text| remembered::tables(text))
    else {
        return Vec::new();
    };
    let of_that_name = |name: &Name| {
        let is_named = |table: &TableName| {
            table.name == name.name && name.schema.as_ref().is_none_or(|schema| *schema == table.schema)
        };
        // what is written to a partition is written to the indexes of the whole
        let is_it = |table: &&Table| {
            is_named(&table.name) || table.partitions.iter().any(|partition| is_named(&partition.name))
        };
        let mut found = tables.all().filter(is_it);
        // which of two is meant depends on the search_path; what is paid for both would be too much
        found.next().filter(|_| found.next().is_none())
    };
    let read = planned.map(|planned| planned.tree.root.rows);
    let write = named.target.as_ref().and_then(of_that_name).map(|table| Write {
        table,
        command: named.command,
        rows: statement.rows_per_call.or(read).unwrap_or(1.0).max(1.0),
    });
    write.into_iter().collect()
}

/// Whether a word that writes occurs in a text.
fn may_write(text: &str) -> bool {
    let words = text.split(|letter: char| !letter.is_ascii_alphabetic());
    let mut words = words.filter(|word| word.len() == 5 || word.len() == 6);
    let writing = ["insert", "update", "delete", "merge"];
    words.any(|word| writing.iter().any(|one| word.eq_ignore_ascii_case(one)))
}

/// The operation of a plan's node.
fn command(operation: &str) -> Option<Command> {
    Some(match operation {
        "Insert" => Command::Insert,
        "Update" => Command::Update,
        "Delete" => Command::Delete,
        "Merge" => Command::Merge,
        _ => return None,
    })
}

/// What each candidate costs the writes of a workload: of these statements, weighted as they are, with their plans where they
/// have one, and where `counted` tells what really was written to its table in the same time, of that. `keys_per_row` is by the
/// number of a candidate that has several for each row, `shares` is the part of its table's rows by that of a partial one.
pub(super) fn of<'a>(
    candidates: &[Candidate],
    keys_per_row: &BTreeMap<usize, f64>,
    shares: &BTreeMap<usize, f64>,
    tables: &Tables,
    statements: impl Iterator<Item = (&'a WorkloadStatement, Option<&'a Planned>)>,
    counted: &BTreeMap<u32, Writes>,
) -> Vec<f64> {
    let numbered = candidates.iter().enumerate();
    let entries = numbered.map(|(one, candidate)| {
        let cost = entry_cost(candidate, keys_per_row.get(&one));
        Entry::of(cost, shares.get(&one).copied().unwrap_or(1.0))
    });
    let entries: Vec<Entry> = entries.collect();
    let asks: Vec<Option<Asks>> = candidates.iter().map(|one| Asks::of(one, tables)).collect();
    let counted_of = |candidate: &Candidate| {
        let table = tables.get(&candidate.schema, &candidate.table)?;
        counted.get(&table.oid)
    };
    let by_counters: Vec<f64> = candidates
        .iter()
        .zip(&entries)
        .map(|(candidate, entry)| counted_of(candidate).map_or(0.0, |writes| writes.entries() * entry.mean()))
        .collect();
    // the same, as the statements alone tell it, where counters may tell too little
    let mut by_statements = vec![0.0; candidates.len()];
    let mut upkeep = by_counters.clone();
    for (statement, planned) in statements {
        for write in writes(statement, planned, tables) {
            let changed = Changed::by(&statement.text, write.table, tables.brin_keeps_hot);
            let counted = counted.get(&write.table.oid);
            let of_table = candidates.iter().enumerate().filter(|(_, candidate)| {
                (&candidate.schema, &candidate.table) == (&write.table.name.schema, &write.table.name.name)
            });
            for (one, candidate) in of_table {
                let is_told = asks[one]
                    .as_ref()
                    .is_some_and(|asks| asks.are_named(write.command, &changed));
                let price = price(&write, candidate, &changed, entries[one].if_told(is_told));
                let rows = statement.weight * write.rows;
                upkeep[one] += rows * price.unpaid(counted);
                if counted.is_some_and(|writes| writes.known == Known::AtLeast) {
                    by_statements[one] += rows * price.of_any;
                }
            }
        }
    }
    for (one, told) in by_statements.into_iter().enumerate() {
        upkeep[one] += (told - by_counters[one]).max(0.0);
    }
    upkeep
}

/// What a statement does to the rows that it writes.
struct Changed {
    /// Its text in small letters.
    text: String,
    columns: BTreeSet<String>,
    /// Those to which it brings constants with new rows; `None` is one that it does not name.
    constants: BTreeSet<Option<String>>,
    /// No update of these columns is HOT as things are: every index gets an entry.
    moves: bool,
    /// Updates stay HOT though columns of BRIN indexes change: from PostgreSQL 16 on.
    brin_keeps_hot: bool,
    /// MERGE … WHEN NOT MATCHED THEN INSERT.
    merge_inserts: bool,
}

impl Changed {
    fn by(text: &str, table: &Table, brin_keeps_hot: bool) -> Self {
        let written = sql::written(text);
        let counts = |index: &&ExistingIndex| !(brin_keeps_hot && index.method == "brin");
        let mut held = table
            .indexes
            .iter()
            .filter(counts)
            .flat_map(|index| columns_of(table, index));
        Self {
            moves: held.any(|column| written.updated.contains(&column)),
            text: text.to_lowercase(),
            columns: written.updated,
            constants: written.constants,
            brin_keeps_hot,
            merge_inserts: written.merge_inserts,
        }
    }
}

/// All columns of which an index knows, be it in its predicate or only carried along: an update of any of them is not HOT.
fn columns_of(table: &Table, index: &ExistingIndex) -> BTreeSet<String> {
    let keys = index.keys.iter().flat_map(|key| table.columns_of(&key.key));
    let predicate = index.predicate.clone().map(Key::Expression);
    let of_predicate = predicate.iter().flat_map(|predicate| table.columns_of(predicate));
    keys.chain(of_predicate)
        .chain(index.include.iter().cloned())
        .collect()
}

/// What the predicate of a candidate asks for.
struct Asks {
    columns: BTreeSet<String>,
    conditions: Vec<Asked>,
}

/// One condition of it.
struct Asked {
    columns: BTreeSet<String>,
    /// Words that it compares with.
    words: Vec<String>,
    /// It compares to exclude them.
    excludes: bool,
}

impl Asked {
    fn of(condition: &str, table: &Table) -> Self {
        // literals are every other part, and that of an array holds several
        let literals = condition.split('\'').skip(1).step_by(2);
        let words = literals.flat_map(|literal| literal.split(['{', '}', ',', '"']));
        Self {
            columns: table.columns_of(&Key::Expression(condition.to_owned())),
            words: words
                .filter(|word| !word.is_empty())
                .map(str::to_lowercase)
                .collect(),
            excludes: ["<>", " DISTINCT "].iter().any(|word| condition.contains(word)),
        }
    }

    /// Whether rows that a statement adds may well be asked for. Where no word tells which value is, each constant that is brought to
    /// the column may be.
    fn is_met_by(&self, changed: &Changed) -> bool {
        let has_word = self.words.iter().any(|word| names(&changed.text, word));
        let gets_constant = || {
            let mut constants = changed.constants.iter();
            constants.any(|one| one.as_ref().is_none_or(|column| self.columns.contains(column)))
        };
        match self.excludes || self.words.is_empty() {
            true => !has_word && gets_constant(),
            false => has_word,
        }
    }
}

impl Asks {
    fn of(candidate: &Candidate, tables: &Tables) -> Option<Self> {
        let predicate = candidate.predicate.as_ref()?;
        let table = tables.get(&candidate.schema, &candidate.table)?;
        let conditions = predicate.split(ALL_HOLD);
        Some(Self {
            columns: table.columns_of(&Key::Expression(predicate.clone())),
            conditions: conditions.map(|one| Asked::of(one, table)).collect(),
        })
    }

    /// Whether a statement may well write just the rows that are asked for, however few of all those are. One that sets a column of
    /// the predicate takes rows out, each of which had an entry since it came in; one that only adds rows names the column anyway.
    fn are_named(&self, command: Command, changed: &Changed) -> bool {
        let mut columns = self.columns.iter();
        match command {
            _ if self.columns.is_empty() => true,
            Command::Insert => {
                columns.any(|column| changed.columns.contains(column))
                    || self.conditions.iter().any(|one| one.is_met_by(changed))
            }
            _ => columns.any(|column| names(&changed.text, &column.to_lowercase())),
        }
    }
}

/// Whether a text holds a word that is no part of another.
fn names(text: &str, word: &str) -> bool {
    let is_of_a_word =
        |beside: Option<char>| beside.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    let mut found = text.match_indices(word);
    found.any(|(start, found)| {
        let before = text[..start].chars().next_back();
        let after = text[start + found.len()..].chars().next();
        !found.is_empty() && !is_of_a_word(before) && !is_of_a_word(after)
    })
}

/// What a row costs in an index that holds it, and the part of the rows that it holds, 0 to 1.
#[derive(Clone, Copy, Debug)]
struct Entry {
    cost: f64,
    /// Of all rows of its table.
    of_table: f64,
    /// Of those that one statement writes.
    of_written: f64,
}

impl Entry {
    /// Nothing is known of a statement.
    fn of(cost: f64, share: f64) -> Self {
        Self {
            cost,
            of_table: share,
            of_written: share,
        }
    }

    /// Whatever the part is, a statement may write it alone.
    fn if_told(self, is_told: bool) -> Self {
        let of_written = match is_told {
            true => 1.0,
            false => self.of_written,
        };
        Self { of_written, ..self }
    }

    /// For any row of the table.
    fn mean(self) -> f64 {
        self.cost * self.of_table
    }

    /// What one row costs that has to be entered into every index that holds it.
    fn price(self) -> Price {
        Price {
            of_any: self.mean(),
            ..self.price_of_this(0.0)
        }
    }

    /// What one row costs that no other index would need an entry for.
    fn price_of_this(self, of_this: f64) -> Price {
        Price {
            of_any: 0.0,
            of_this,
            of_part: self.cost * (self.of_written - self.of_table),
        }
    }
}

/// What one row costs in this index.
fn entry_cost(candidate: &Candidate, keys_per_row: Option<&f64>) -> f64 {
    match candidate.method {
        "brin" => RANGE_COST,
        // the row itself is put on the list at any rate
        "gin" => ENTRY_COST * (PENDING * keys_per_row.unwrap_or(&KEYS_PER_ROW)).max(1.0),
        _ => ENTRY_COST,
    }
}

/// What one row that is written costs because an index is there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Price {
    /// As every index costs: the table's counters tell of that, too.
    of_any: f64,
    /// Because it is this index: counters that count while it is not there do not tell.
    of_this: f64,
    /// Because a statement writes more of the rows that this index holds than others do: nor do counters tell of that.
    of_part: f64,
}

impl Price {
    /// What is not paid for yet where everything was counted that was written to the table.
    fn unpaid(self, counted: Option<&Writes>) -> f64 {
        let more = match counted {
            None => self.of_any + self.of_this,
            Some(writes) if writes.updated > 0.0 => {
                self.of_this * (writes.updated_hot / writes.updated).min(1.0)
            }
            // counted at another time than the statements: how many of their updates are HOT is not known
            Some(_) => self.of_this,
        };
        more + self.of_part
    }
}

/// What one row costs; `entry` is the candidate's own.
fn price(write: &Write<'_>, candidate: &Candidate, changed: &Changed, entry: Entry) -> Price {
    match write.command {
        Command::Update => price_of_update(write.table, candidate, changed, entry),
        // how many of its rows are new nobody knows before: ON CONFLICT DO UPDATE updates, too
        Command::Insert | Command::Merge => match price_of_update(write.table, candidate, changed, entry) {
            updated if updated != Price::default() => updated,
            _ if write.command == Command::Insert || changed.merge_inserts => entry.price(),
            updated => updated,
        },
        Command::Select | Command::Delete => Price::default(),
    }
}

fn price_of_update(table: &Table, candidate: &Candidate, changed: &Changed, entry: Entry) -> Price {
    if changed.moves {
        return entry.price();
    }
    let concerns = |column: &String| candidate.holds(column) || candidate.mentions(column);
    if !changed.columns.iter().any(concerns) {
        return Price::default();
    }
    // no HOT any more, be the row in this part or not: all other indexes get an entry, too
    let ended_hot = match changed.brin_keeps_hot && candidate.method == "brin" {
        true => 0.0,
        false => ENDED_HOT_COST + ENTRY_COST * table.indexes.len() as f64,
    };
    entry.price_of_this(entry.mean() + ended_hot)
}

impl Ready {
    /// Whether writes took from a statement what it could have: a plan with other indexes than those of this set is known that saves it
    /// enough, but no more than they would pay for these.
    pub(super) fn is_lost_to_writes(&self, statement: usize, problem: &Problem, set: &FixedBitSet) -> bool {
        let (cost, weight) = (problem.costs[statement], problem.weights[statement]);
        let least = problem.least_gain.max(problem.least_gain_share * cost);
        let is_lost = |with: f64, paid: f64| {
            let saved = cost - with;
            saved >= least && paid > 0.0 && paid >= weight * saved
        };
        let paid = |used: &FixedBitSet| paid_beside(set, used, &problem.upkeep);
        let mut planned = self.answers.of(statement);
        let mut estimated = problem.estimates.iter().filter(|one| one.statement == statement);
        planned.any(|answer| is_lost(answer.cost, paid(&answer.used)))
            || estimated.any(|one| is_lost(one.cost, paid(&one.alone().used)))
    }
}

/// What writes would pay for what is used; what the set has they pay for anyway.
fn paid_beside(set: &FixedBitSet, used: &FixedBitSet, upkeep: &[f64]) -> f64 {
    used.difference(set).map(|one| upkeep[one]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::candidate::IndexKey;
    use crate::index_advisor::search_path::SearchPath;
    use crate::index_advisor::tables::tests::{table_of, tables_of};
    use crate::index_advisor::tables::{Column, ExistingKey};
    use crate::model::plan::PlanTree;
    use crate::postgres::ServerText;
    use serde_json::json;

    #[test]
    fn what_counters_tell_at_least_is_no_less_than_what_the_statements_tell() {
        let tables = tables_of(table_of(1000.0, [("a", Column::default())]));
        let statement = WorkloadStatement {
            weight: 10.0,
            text: "INSERT INTO t (a) VALUES ($1)".into(),
            ..WorkloadStatement::default()
        };
        let upkeep = |counted: &BTreeMap<u32, Writes>| {
            let statements = std::iter::once((&statement, None));
            of(
                &[candidate("btree", "a")],
                &BTreeMap::new(),
                &BTreeMap::new(),
                &tables,
                statements,
                counted,
            )[0]
        };
        let counted = |inserted: f64, known: Known| -> BTreeMap<u32, Writes> {
            let writes = Writes {
                inserted,
                known,
                ..Writes::default()
            };
            [(1, writes)].into()
        };
        assert_eq!(upkeep(&BTreeMap::new()), 10.0 * ENTRY_COST);
        assert_eq!(upkeep(&counted(2.0, Known::All)), 2.0 * ENTRY_COST);
        assert_eq!(upkeep(&counted(2.0, Known::AtLeast)), 10.0 * ENTRY_COST);
        assert_eq!(upkeep(&counted(50.0, Known::AtLeast)), 50.0 * ENTRY_COST);
    }

    fn index(method: &str, key: Key, include: &[&str], predicate: Option<&str>) -> ExistingIndex {
        ExistingIndex {
            oid: 2,
            schema: "s".into(),
            name: "i".into(),
            method: method.into(),
            is_unique: false,
            is_needed: false,
            predicate: predicate.map(str::to_owned),
            keys: vec![ExistingKey {
                key,
                descending: false,
                nulls_first: false,
                is_plain: true,
            }],
            include: include.iter().map(|one| (*one).to_owned()).collect(),
            parts: Vec::new(),
        }
    }

    fn candidate(method: &'static str, column: &str) -> Candidate {
        Candidate {
            schema: "s".into(),
            table: "t".into(),
            method,
            keys: vec![IndexKey::from(Key::Column(column.into()))],
            include: Vec::new(),
            predicate: None,
        }
    }

    fn column(name: &str) -> Key {
        Key::Column(name.into())
    }

    /// What an update of `a` costs a candidate.
    fn of_update(indexes: Vec<ExistingIndex>, candidate: &Candidate, brin_keeps_hot: bool) -> Price {
        let columns = ["a", "b", "c"].map(|name| (name, Column::default()));
        let table = Table {
            indexes,
            ..table_of(1000.0, columns)
        };
        let changed = Changed::by("UPDATE t SET a = 1 WHERE b = 2", &table, brin_keeps_hot);
        let entry = Entry::of(entry_cost(candidate, None), 1.0);
        price_of_update(&table, candidate, &changed, entry)
    }

    /// What a statement that runs ten times costs an index on `made_at` of the hundredth part of the rows that is open, where an
    /// index on `note` is there.
    fn of_part(text: &str, counted: &BTreeMap<u32, Writes>) -> f64 {
        of_part_where("status = 'open'::text", text, counted)
    }

    /// The same of another part.
    fn of_part_where(predicate: &str, text: &str, counted: &BTreeMap<u32, Writes>) -> f64 {
        let columns =
            ["id", "status", "note", "made_at", "state", "active"].map(|name| (name, Column::default()));
        let tables = tables_of(Table {
            indexes: vec![index("btree", column("note"), &[], None)],
            ..table_of(1000.0, columns)
        });
        let part = Candidate {
            predicate: Some(predicate.into()),
            ..candidate("btree", "made_at")
        };
        let statement = WorkloadStatement {
            weight: 10.0,
            text: text.into(),
            ..WorkloadStatement::default()
        };
        let statements = std::iter::once((&statement, None));
        let shares = BTreeMap::from([(0, 0.01)]);
        of(&[part], &BTreeMap::new(), &shares, &tables, statements, counted)[0]
    }

    #[test]
    fn a_part_pays_for_the_rows_that_reach_it() {
        let ended_hot = ENDED_HOT_COST + ENTRY_COST;
        for (text, each) in [
            (
                "INSERT INTO t (id, status) VALUES ($1, 'done')",
                0.01 * ENTRY_COST,
            ),
            ("INSERT INTO t (id, status) VALUES ($1, $2)", 0.01 * ENTRY_COST),
            ("INSERT INTO t (id, status) VALUES ($1, 'open')", ENTRY_COST),
            ("UPDATE t SET note = $1 WHERE id = $2", 0.01 * ENTRY_COST),
            ("UPDATE t SET note = $1 WHERE STATUS = 'open'", ENTRY_COST),
            (
                "UPDATE t SET note = $1, status = 'done' WHERE id = $2",
                ENTRY_COST,
            ),
            ("UPDATE t SET status = $1 WHERE id = $2", ENTRY_COST + ended_hot),
            (
                "UPDATE t SET made_at = now() WHERE id = $2",
                0.01 * ENTRY_COST + ended_hot,
            ),
            (
                "INSERT INTO t (id, note) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET note = $2, status = 'done'",
                ENTRY_COST,
            ),
            ("DELETE FROM t WHERE status = 'open'", 0.0),
        ] {
            let told = of_part(text, &BTreeMap::new());
            assert!((told - 10.0 * each).abs() < 1e-9, "{told} of {text}");
        }
    }

    #[test]
    fn a_part_is_reached_by_constants_that_its_conditions_may_ask_for() {
        let several = "status = 'open'::text AND note <> 'x'::text";
        for (predicate, values, is_full) in [
            ("state = 0", "(id, state) VALUES ($1, 0)", true),
            ("state = 0", "(id, state) VALUES (7, $1)", false),
            ("state = 0", "VALUES ($1, 0)", true),
            ("active", "(id, active) VALUES ($1, true)", true),
            ("active", "(id, active) VALUES ($1, $2)", false),
            (several, "(status, note) VALUES ('open', $1)", true),
            (several, "(status, note) VALUES ('done', $1)", false),
            ("status <> 'done'::text", "(id, status) VALUES ($1, 'new')", true),
            (
                "status <> 'done'::text",
                "(id, status) VALUES ($1, 'done')",
                false,
            ),
            (
                "status = ANY ('{open,new}'::text[])",
                "(status) VALUES ('new')",
                true,
            ),
        ] {
            let told = of_part_where(predicate, &format!("INSERT INTO t {values}"), &BTreeMap::new());
            let part = if is_full { 1.0 } else { 0.01 };
            assert!(
                (told - 10.0 * part * ENTRY_COST).abs() < 1e-9,
                "{told} of {values} where {predicate}"
            );
        }
    }

    #[test]
    fn what_is_in_the_set_is_paid_for_anyway() {
        let of = |numbers: &[usize]| numbers.iter().copied().collect::<FixedBitSet>();
        let paid = |set: &[usize]| paid_beside(&of(set), &of(&[0, 2]), &[1.0, 2.0, 4.0]);
        assert_eq!((paid(&[]), paid(&[2]), paid(&[0, 1, 2])), (5.0, 1.0, 0.0));
    }

    #[test]
    fn counters_of_all_rows_tell_of_a_part_but_for_what_is_written_to_it_alone() {
        let writes = Writes {
            inserted: 200.0,
            ..Writes::default()
        };
        let at_least = Writes {
            known: Known::AtLeast,
            ..writes
        };
        for writes in [writes, at_least] {
            let told = |status: &str| {
                let text = format!("INSERT INTO t (id, status) VALUES ($1, {status})");
                of_part(&text, &[(1, writes)].into())
            };
            let mean = 200.0 * 0.01 * ENTRY_COST;
            assert!((told("'done'") - mean).abs() < 1e-9, "{writes:?}");
            let alone = mean + 10.0 * 0.99 * ENTRY_COST;
            assert!((told("'open'") - alone).abs() < 1e-9, "{writes:?}");
        }
    }

    #[test]
    fn a_word_is_no_part_of_another() {
        assert!(names("values ($1, 'open')", "open") && names("set status = $1", "status"));
        assert!(!names("insert into open_orders", "open") && !names("reopened, opened", "open"));
        assert!(!names("values ('')", ""));
    }

    #[test]
    fn an_update_that_is_not_hot_pays_for_every_index() {
        let other = candidate("btree", "c");
        let any = Price {
            of_any: ENTRY_COST,
            ..Price::default()
        };
        for index in [
            index("btree", column("a"), &[], None),
            index("btree", Key::Expression("lower(a)".into()), &[], None),
            index("btree", column("b"), &["a"], None),
            index("btree", column("b"), &[], Some("(a IS NOT NULL)")),
        ] {
            assert_eq!(of_update(vec![index.clone()], &other, true), any, "{index:?}");
            let own = candidate("btree", "a");
            assert_eq!(of_update(vec![index], &own, true), any, "all others pay already");
        }
        let hot = of_update(vec![index("btree", column("b"), &[], None)], &other, true);
        assert_eq!(hot, Price::default());
        assert_eq!(
            (any.unpaid(None), any.unpaid(Some(&Writes::default()))),
            (0.5, 0.0)
        );
    }

    #[test]
    fn an_index_that_ends_hot_pays_for_the_others_unless_it_is_brin() {
        let there = || {
            vec![
                index("btree", column("b"), &[], None),
                index("btree", column("c"), &[], None),
            ]
        };
        let of = |method, brin_keeps_hot| of_update(there(), &candidate(method, "a"), brin_keeps_hot).of_this;
        assert_eq!(of("btree", true), 3.0 * ENTRY_COST + ENDED_HOT_COST);
        assert_eq!(
            of("brin", false),
            RANGE_COST + (ENDED_HOT_COST + 2.0 * ENTRY_COST)
        );
        assert_eq!(of("brin", true), RANGE_COST);
        let brin = || vec![index("brin", column("a"), &[], None)];
        let other = candidate("btree", "c");
        assert_eq!(of_update(brin(), &other, true), Price::default(), "it stays HOT");
        assert_eq!(of_update(brin(), &other, false).of_any, ENTRY_COST);
        let price = of_update(there(), &candidate("btree", "a"), true);
        let half_hot = Writes {
            inserted: 0.0,
            updated: 10.0,
            updated_hot: 5.0,
            known: Known::All,
        };
        assert_eq!(
            price.unpaid(Some(&half_hot)),
            price.of_this / 2.0,
            "the others move anyway"
        );
        let none = Writes::default();
        assert_eq!(
            price.unpaid(Some(&none)),
            price.of_this,
            "the statements say that there are updates"
        );
    }

    /// The plan of an update that reads so many rows.
    fn planned_update(rows: f64) -> Planned {
        let scan = json!({"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t", "Plan Rows": rows});
        let update = json!({"Node Type": "ModifyTable", "Operation": "Update", "Schema": "s", "Relation Name": "t",
            "Alias": "t", "Plans": [scan]});
        Planned {
            text: ServerText::one_query(UPDATE).unwrap(),
            search_path: SearchPath::default(),
            has_parameters: true,
            role: None,
            passed_at: std::time::Instant::now(),
            tree: PlanTree::read(&json!([{ "Plan": update }])).unwrap(),
            lists: BTreeSet::new(),
            page_rows: None,
            has_guessed_types: false,
            locks_rows: false,
            values: Vec::new(),
            cost_by_values: None,
        }
    }

    const UPDATE: &str = "update t set a = a + $1 where b = $2";

    #[test]
    fn the_rows_that_were_measured_are_paid_for_whether_or_not_there_is_a_plan() {
        let tables = tables_of(table_of(
            100_000.0,
            ["a", "b"].map(|name| (name, Column::default())),
        ));
        let upkeep = |text: &str, rows_per_call: Option<f64>, planned: Option<&Planned>| {
            let statement = WorkloadStatement {
                weight: 10.0,
                text: text.into(),
                rows_per_call,
                ..WorkloadStatement::default()
            };
            let mut two_keys = candidate("btree", "b");
            let one_key = two_keys.clone();
            two_keys.keys.push(IndexKey::from(column("a")));
            let statements = std::iter::once((&statement, planned));
            of(
                &[one_key, two_keys],
                &BTreeMap::new(),
                &BTreeMap::new(),
                &tables,
                statements,
                &BTreeMap::new(),
            )
        };
        let each = ENTRY_COST + ENDED_HOT_COST;
        let planned = planned_update(50.0);
        assert_eq!(
            upkeep(UPDATE, Some(1000.0), Some(&planned)),
            [0.0, 10_000.0 * each]
        );
        assert_eq!(upkeep(UPDATE, None, Some(&planned)), [0.0, 500.0 * each]);
        assert_eq!(
            upkeep(UPDATE, Some(0.0), Some(&planned)),
            [0.0, 500.0 * each],
            "counted elsewhere"
        );
        // as a function in PL/pgSQL runs it: its variables are no columns, so that there is no plan
        let of_function = "update t set a = a + delta where b = which";
        assert_eq!(upkeep(of_function, Some(1000.0), None), [0.0, 10_000.0 * each]);
    }

    #[test]
    fn a_row_is_as_many_entries_in_gin_as_it_has_keys() {
        let cost = |method, keys: Option<f64>| entry_cost(&candidate(method, "a"), keys.as_ref());
        assert_eq!(cost("gin", Some(30.0)), 30.0 * PENDING * ENTRY_COST);
        assert_eq!(cost("gin", Some(1.0)), ENTRY_COST, "it waits on the list first");
        assert!(cost("gin", None) > ENTRY_COST);
        assert_eq!(cost("gist", Some(30.0)), ENTRY_COST);
        assert_eq!(cost("brin", None), RANGE_COST);
    }
}

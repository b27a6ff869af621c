//! How an index is made that a rule advises: on a table CONCURRENTLY, on a partitioned one level by level, one partition after the
//! other, so that nobody waits for it.

use std::collections::BTreeSet;

use crate::model::catalog::{IndexFacts, TableFacts};
use crate::model::observation::DatabaseObservation;
use crate::model::partitioned_index::{
    ABOUT_ATTACHED, ABOUT_THE_WHOLE, NO_UNDO, OwnIndex, Part, Recipe, recipe,
};
use crate::model::remedy::{ABOUT_ATTACHING, ABOUT_ONLY, NAME_BYTES, Remedy, Statement};
use crate::sql::cut;

/// A recipe for more partitions is longer than anybody reads.
const PARTITIONS: usize = 50;

/// An index that is not there yet.
pub struct NewIndex<'a> {
    /// Where.
    pub database: &'a DatabaseObservation,
    /// What stands in its name between that of its table and the end of it.
    pub stem: String,
    /// The end of its name, as `_idx`.
    pub ending: &'static str,
    /// As `btree`.
    pub method: &'static str,
    /// As SQL spells them.
    pub keys: Vec<String>,
    /// Whether an index that is there is the same, so that it can become a part of one of the whole.
    pub is_same: Box<dyn Fn(&IndexFacts) -> bool + 'a>,
}

/// How it is built.
#[derive(Clone, Copy)]
enum How {
    Concurrently,
    Only,
    AtOnce,
}

impl NewIndex<'_> {
    /// Adds how it is made on a table, and undone, to a remedy: the statements, the strongest lock, and what is to be said of them.
    pub fn add_to(&self, remedy: &mut Remedy, table: &TableFacts) {
        let mut given = BTreeSet::new();
        let name = self.free_name(table, &mut given);
        let made = match table.kind {
            'p' => {
                remedy.lock = Some("SHARE".to_owned());
                self.on_partitions(table, name, given, &mut remedy.caveats)
            }
            _ => {
                remedy.lock = Some("SHARE UPDATE EXCLUSIVE".to_owned());
                let (schema, create_sql) =
                    (table.schema.clone(), self.create(How::Concurrently, &name, table));
                Recipe {
                    apply_sql: vec![create_sql],
                    undo_sql: vec![Statement::DropIndexConcurrently { schema, name }.sql()],
                    attached: Vec::new(),
                }
            }
        };
        remedy.rewrites_table = Some(false);
        remedy.apply_sql.extend(made.apply_sql);
        remedy.undo_sql.extend(made.undo_sql);
    }

    fn create(&self, how: How, name: &str, table: &TableFacts) -> String {
        Statement::CreateIndex {
            concurrently: matches!(how, How::Concurrently),
            only: matches!(how, How::Only),
            name: Some(name.to_owned()),
            schema: table.schema.clone(),
            table: table.name.clone(),
            method: self.method,
            keys: self.keys.clone(),
            include: Vec::new(),
            predicate: None,
        }
        .sql()
    }

    /// A name that neither anything else has, nor one of those that were given already, by schema and name.
    fn free_name(&self, table: &TableFacts, given: &mut BTreeSet<(String, String)>) -> String {
        let stem = format!("{}_{}", table.name, self.stem);
        let numbered = |number: String| {
            let room = NAME_BYTES - self.ending.len() - number.len();
            format!("{}{}{number}", cut(&stem, room), self.ending)
        };
        let numbers = std::iter::once(String::new()).chain((2..1_000).map(|number: u32| number.to_string()));
        let is_free = |name: &String| {
            !self.database.catalog.is_taken(&table.schema, name)
                && given.insert((table.schema.clone(), name.clone()))
        };
        let free = numbers.map(numbered).find(is_free);
        free.unwrap_or_else(|| numbered("1000".to_owned()))
    }

    /// The index of a partition that can become a part of that of the whole.
    fn own(&self, part: &TableFacts) -> Option<&IndexFacts> {
        let mut indexes = self.database.catalog.indexes_of(part.oid);
        indexes.find(|facts| facts.is_valid && !facts.is_partition && (self.is_same)(facts))
    }

    /// One partition after the other, at all levels.
    fn on_partitions(
        &self,
        table: &TableFacts,
        name: String,
        mut given: BTreeSet<(String, String)>,
        caveats: &mut Vec<String>,
    ) -> Recipe {
        let below = self.database.catalog.below(table);
        let Some(below) = below.filter(|below| (1..=PARTITIONS).contains(&below.len())) else {
            return self.at_once(table, name, caveats);
        };
        let top = OwnIndex {
            schema: table.schema.clone(),
            create_sql: self.create(How::Only, &name, table),
            name,
            is_there: false,
        };
        let parts = below.into_iter().map(|(parent_oid, facts)| {
            let oid = facts.oid;
            (Part { oid, parent_oid }, facts)
        });
        let made = recipe((table.oid, top), parts, |part| match self.own(part) {
            Some(facts) => OwnIndex {
                schema: facts.schema.clone(),
                name: facts.name.clone(),
                create_sql: again(facts),
                is_there: true,
            },
            None => {
                let name = self.free_name(part, &mut given);
                let how = match part.kind {
                    'p' => How::Only,
                    _ => How::Concurrently,
                };
                OwnIndex {
                    schema: part.schema.clone(),
                    create_sql: self.create(how, &name, part),
                    name,
                    is_there: false,
                }
            }
        });
        let about = [ABOUT_THE_WHOLE, ABOUT_ONLY, ABOUT_ATTACHING];
        caveats.extend(about.map(str::to_owned));
        caveats.extend((!made.attached.is_empty()).then(|| ABOUT_ATTACHED.to_owned()));
        made
    }

    /// The same in one statement, where a recipe would be too long, or what is a partition of what is not known.
    fn at_once(&self, table: &TableFacts, name: String, caveats: &mut Vec<String>) -> Recipe {
        caveats.push(
            "Writes to all of its partitions wait for as long as it takes. To avoid that, build the index of each partition \
             CONCURRENTLY, then that of the table ON ONLY it (and of each partition that is partitioned itself), and attach those \
             of the partitions, the deepest first."
                .to_owned(),
        );
        // to drop the index of the whole drops those of its partitions, the ones that were there before, too
        let mut parts = self.database.catalog.partitions_of(table.oid);
        let takes_others = parts.any(|part| self.own(part).is_some());
        caveats.extend(takes_others.then(|| NO_UNDO.to_owned()));
        let create_sql = self.create(How::AtOnce, &name, table);
        let schema = table.schema.clone();
        let drop = Statement::DropIndex { schema, name }.sql();
        Recipe {
            apply_sql: vec![create_sql],
            undo_sql: (!takes_others).then_some(drop).into_iter().collect(),
            attached: Vec::new(),
        }
    }
}

/// What makes an index that is there anew.
fn again(facts: &IndexFacts) -> String {
    let definition = facts.definition.as_deref().unwrap_or_default().to_owned();
    match facts.is_partitioned {
        true => Statement::CreateIndexOnPartitions { definition }.sql(),
        false => Statement::CreateIndexConcurrently { definition }.sql(),
    }
}

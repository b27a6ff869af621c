//! Names and definitions of the tables and indexes of one database, as they were read last.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::by_oid::{ByOid, HasOid};

/// Names and definitions of one database.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Catalog {
    /// Tables, materialized views and TOAST tables, by OID.
    pub tables: ByOid<TableFacts>,
    /// Indexes by OID.
    pub indexes: ByOid<IndexFacts>,
    /// Indexes of one table that are the same in everything but their name, in groups of two and more, at least one of which
    /// is attached to no other.
    pub alike: Vec<Vec<u32>>,
    /// The tables of indexes and the places of these, in the order of the tables, once somebody has asked for that.
    #[serde(skip)]
    by_table: OnceLock<Vec<(u32, u32)>>,
    /// All of them, in the order of schemas and names, once somebody has asked for that.
    #[serde(skip)]
    by_name: OnceLock<Vec<Named>>,
}

/// A relation of a catalog, to be found by its name.
#[derive(Clone, Copy, Debug)]
enum Named {
    /// A table, at this place.
    Table(u32),
    /// An index, at this place.
    Index(u32),
}

impl Catalog {
    /// Takes what was read, and works out what is alike: once, since it changes only with the names.
    pub fn new(tables: ByOid<TableFacts>, indexes: ByOid<IndexFacts>) -> Self {
        let mut groups: HashMap<(u32, &str), Vec<&IndexFacts>> = HashMap::new();
        for facts in indexes
            .values()
            .filter(|facts| facts.may_stand_in() && !facts.shape.is_empty())
        {
            groups
                .entry((facts.table_oid, &facts.shape))
                .or_default()
                .push(facts);
        }
        // of those that are all attached none can go alone: their indexes above are compared
        let is_told =
            |group: &Vec<&IndexFacts>| group.len() > 1 && group.iter().any(|facts| facts.is_comparable());
        let groups = groups.into_values().filter(is_told);
        let mut alike: Vec<Vec<u32>> = groups
            .map(|group| group.into_iter().map(|facts| facts.oid).collect())
            .collect();
        alike.iter_mut().for_each(|group| group.sort_unstable());
        alike.sort_unstable();
        Self {
            tables,
            indexes,
            alike,
            by_table: OnceLock::new(),
            by_name: OnceLock::new(),
        }
    }

    fn name_of(&self, named: Named) -> Option<(&str, &str)> {
        match named {
            Named::Table(place) => {
                let facts = self.tables.at(place as usize)?;
                Some((&facts.schema, &facts.name))
            }
            Named::Index(place) => {
                let facts = self.indexes.at(place as usize)?;
                Some((&facts.schema, &facts.name))
            }
        }
    }

    /// What has that name: one relation, or two where one took the name of another one between two questions to the server.
    fn named(&self, schema: &str, name: &str) -> &[Named] {
        let sorted = self.by_name.get_or_init(|| {
            let tables = (0..self.tables.len() as u32).map(Named::Table);
            let indexes = (0..self.indexes.len() as u32).map(Named::Index);
            let mut all: Vec<Named> = tables.chain(indexes).collect();
            all.sort_by_key(|named| self.name_of(*named));
            all
        });
        let wanted = Some((schema, name));
        let begin = sorted.partition_point(|named| self.name_of(*named) < wanted);
        let rest = &sorted[begin..];
        &rest[..rest.partition_point(|named| self.name_of(*named) == wanted)]
    }

    /// Whether a table or an index has that name, so that no other one can.
    pub fn is_taken(&self, schema: &str, name: &str) -> bool {
        !self.named(schema, name).is_empty()
    }

    /// The table of that name.
    pub fn table_named(&self, schema: &str, name: &str) -> Option<&TableFacts> {
        self.named(schema, name).iter().find_map(|named| match named {
            Named::Table(place) => self.tables.at(*place as usize),
            Named::Index(_) => None,
        })
    }

    /// The index of that name.
    pub fn index_named(&self, schema: &str, name: &str) -> Option<&IndexFacts> {
        self.named(schema, name).iter().find_map(|named| match named {
            Named::Table(_) => None,
            Named::Index(place) => self.indexes.at(*place as usize),
        })
    }

    fn places_by_table(&self) -> &[(u32, u32)] {
        self.by_table.get_or_init(|| {
            let tables = self.indexes.values().map(|facts| facts.table_oid);
            let mut places: Vec<(u32, u32)> = tables.zip(0..).collect();
            places.sort_unstable();
            places
        })
    }

    /// The partitions of a table at all levels, by OID.
    pub fn partitions_of(&self, top_oid: u32) -> impl Iterator<Item = &TableFacts> {
        let all = self.tables.values();
        all.filter(move |facts| facts.partition_of == Some(top_oid))
    }

    /// The same with what each is a partition of, by OID, and parents first; `None` where that is not known, as in a look of an
    /// older version.
    pub fn below(&self, table: &TableFacts) -> Option<Vec<(u32, &TableFacts)>> {
        let all: Vec<&TableFacts> = self.partitions_of(table.oid).collect();
        let is_flat = all.iter().all(|facts| facts.kind != 'p');
        let parent_of = |facts: &TableFacts| facts.parent_oid.or(is_flat.then_some(table.oid));
        let parents: Option<Vec<u32>> = all.iter().map(|facts| parent_of(facts)).collect();
        let all: Vec<(u32, &TableFacts)> = parents?.into_iter().zip(all).collect();
        let mut ordered: Vec<(u32, &TableFacts)> = Vec::with_capacity(all.len());
        let mut above: HashSet<u32> = [table.oid].into();
        while !above.is_empty() {
            let level = all.iter().filter(|(parent, _)| above.contains(parent));
            let level: Vec<(u32, &TableFacts)> = level.copied().collect();
            above = level.iter().map(|(_, facts)| facts.oid).collect();
            ordered.extend(level);
        }
        (ordered.len() == all.len()).then_some(ordered)
    }

    /// The indexes of a table, by OID.
    pub fn indexes_of(&self, table_oid: u32) -> impl Iterator<Item = &IndexFacts> + Clone {
        let places = self.places_by_table();
        let begin = places.partition_point(|(table, _)| *table < table_oid);
        let own = places[begin..]
            .iter()
            .take_while(move |(table, _)| *table == table_oid);
        own.filter_map(|(_, place)| self.indexes.at(*place as usize))
    }

    /// The indexes of each table that has some.
    pub fn indexes_by_table(&self) -> impl Iterator<Item = (u32, impl Iterator<Item = &IndexFacts>)> {
        let tables = self
            .places_by_table()
            .chunk_by(|(one, _), (other, _)| one == other);
        tables.map(|places| {
            let facts = |(_, place): &(u32, u32)| self.indexes.at(*place as usize);
            (places[0].0, places.iter().filter_map(facts))
        })
    }
}

/// One row of pg_class, for a table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TableFacts {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// `r` table, `p` partitioned table, `m` materialized view, `t` TOAST table.
    pub kind: char,
    pub rows: f64,
    pub size_bytes: f64,
    pub options: Vec<String>,
    /// age(relfrozenxid) in transactions; 0 where it has none.
    pub frozen_xid_age: i64,
    /// The table whose TOAST table this is.
    pub toast_of: Option<u32>,
    /// Of a TOAST table the rows that are there by the cumulative statistics, n_live_tup; 0 of any other.
    #[serde(default)]
    pub toast_live_rows: f64,
    /// The table at the top of the partitions that it belongs to.
    #[serde(default)]
    pub partition_of: Option<u32>,
    /// The table right above it, of which it is a partition.
    #[serde(default)]
    pub parent_oid: Option<u32>,
    /// It is published for logical replication, alone or with all tables.
    #[serde(default)]
    pub is_published: bool,
    pub owned_by_extension: bool,
}

impl HasOid for TableFacts {
    fn oid(&self) -> u32 {
        self.oid
    }
}

impl TableFacts {
    /// Its schema and name, by which tables are put in order.
    pub fn names(&self) -> (&str, &str) {
        (&self.schema, &self.name)
    }

    /// A storage parameter, as `autovacuum_enabled`.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options
            .iter()
            .find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }

    /// A storage parameter that is on or off, in any of the words that PostgreSQL takes for it.
    pub fn option_is_on(&self, name: &str) -> Option<bool> {
        let word = self.option(name)?.to_ascii_lowercase();
        // every word may be cut short, as long as it is clear which one is meant
        let begins = |whole: &[&str]| whole.iter().any(|whole| whole.starts_with(&word)) && word != "o";
        match word.as_str() {
            "" => None,
            "1" => Some(true),
            "0" => Some(false),
            _ if begins(&["true", "yes", "on"]) => Some(true),
            _ if begins(&["false", "no", "off"]) => Some(false),
            _ => None,
        }
    }
}

/// One row of pg_index, with what decides whether the index may go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct IndexFacts {
    pub oid: u32,
    pub table_oid: u32,
    pub schema: String,
    pub name: String,
    pub size_bytes: f64,
    pub is_valid: bool,
    pub is_ready: bool,
    pub is_unique: bool,
    /// Checked row by row, as ON CONFLICT and foreign keys need it; not so for a DEFERRABLE constraint.
    pub is_immediate: bool,
    pub is_primary: bool,
    pub is_exclusion: bool,
    pub is_clustered: bool,
    pub is_replica_identity: bool,
    pub has_expressions: bool,
    /// The constraint that it backs.
    pub constraint: Option<Box<str>>,
    /// A foreign key points at it.
    pub is_referenced: bool,
    /// Foreign keys of its table, by OID, whose columns it begins with.
    pub foreign_keys: Box<[u32]>,
    /// Foreign keys of its table, by OID, of which it has at least one column in front, or those of some rows.
    pub foreign_keys_in_part: Box<[u32]>,
    /// It was not valid when this was read, and its table was locked as a build locks it.
    pub may_be_in_progress: bool,
    /// It is attached to an index of a partitioned table.
    pub is_partition: bool,
    pub is_partitioned: bool,
    /// The index at the top of the partitions that it belongs to.
    #[serde(default)]
    pub partition_of: Option<u32>,
    pub owned_by_extension: bool,
    /// What it indexes and how, without its name: method, columns, operator classes and their options, collations, order,
    /// INCLUDE, expressions, predicate, NULLS DISTINCT, storage parameters that decide what it answers. Equal for
    /// duplicates, empty where it could not be read in this look. Indexes of tables that are alike share one.
    pub shape: Arc<str>,
    /// `pg_get_indexdef`; `None` where it could not be read in this look.
    pub definition: Option<Box<str>>,
}

impl HasOid for IndexFacts {
    fn oid(&self) -> u32 {
        self.oid
    }
}

impl IndexFacts {
    /// Whether it can have duplicates: what is attached to an index of a partitioned table goes with that alone.
    pub fn is_comparable(&self) -> bool {
        self.may_stand_in() && !self.is_partition
    }

    /// Whether it can be the duplicate that stays.
    fn may_stand_in(&self) -> bool {
        self.is_valid && self.is_ready && !self.owned_by_extension
    }

    /// Whether something beside the statements that it serves rests on it: however idle it is, it cannot just go.
    pub fn is_needed(&self) -> bool {
        self.is_primary
            || self.is_unique
            || self.is_exclusion
            || self.constraint.is_some()
            || self.is_replica_identity
            || self.is_clustered
            || self.is_referenced
            || self.has_expressions
            || self.is_partition
            || self.is_partitioned
            || self.owned_by_extension
            || !self.is_valid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_and_off_in_all_of_their_words() {
        let is_on = |value: &str| {
            let table = TableFacts {
                options: vec![format!("autovacuum_enabled={value}"), "fillfactor=90".into()],
                ..TableFacts::default()
            };
            table.option_is_on("autovacuum_enabled")
        };
        for word in ["on", "true", "TRUE", "t", "y", "yes", "1"] {
            assert_eq!(is_on(word), Some(true), "{word}");
        }
        for word in ["off", "OF", "false", "f", "n", "no", "0"] {
            assert_eq!(is_on(word), Some(false), "{word}");
        }
        for word in ["", "o", "maybe", "offs", "10"] {
            assert_eq!(is_on(word), None, "{word}");
        }
        assert_eq!(TableFacts::default().option_is_on("autovacuum_enabled"), None);
    }

    #[test]
    fn of_attached_indexes_only_those_with_an_own_one_beside_them_are_alike() {
        let index = |oid: u32, is_partition: bool| IndexFacts {
            oid,
            is_partition,
            is_valid: true,
            is_ready: true,
            shape: "same".into(),
            ..IndexFacts::default()
        };
        let alike = |indexes: Vec<IndexFacts>| Catalog::new(Vec::new().into(), indexes.into()).alike;
        assert!(alike(vec![index(1, true), index(2, true)]).is_empty());
        assert_eq!(alike(vec![index(1, true), index(2, false)]), [[1, 2]]);
        assert_eq!(alike(vec![index(1, false), index(2, false)]), [[1, 2]]);
    }

    #[test]
    fn a_name_is_taken_by_tables_and_by_indexes_of_its_schema() {
        let table = |oid: u32, schema: &str, name: &str| TableFacts {
            oid,
            schema: schema.into(),
            name: name.into(),
            ..TableFacts::default()
        };
        let index = IndexFacts {
            oid: 9,
            schema: "b".into(),
            name: "orders_at".into(),
            ..IndexFacts::default()
        };
        let tables = [table(1, "b", "orders"), table(2, "a", "items")];
        let catalog = Catalog::new(tables.into_iter().collect(), [index].into_iter().collect());
        for (schema, name, is_taken) in [
            ("b", "orders", true),
            ("a", "items", true),
            ("b", "orders_at", true),
            ("a", "orders", false),
            ("a", "orders_at", false),
            ("b", "order", false),
        ] {
            assert_eq!(catalog.is_taken(schema, name), is_taken, "{schema}.{name}");
        }
        let table = |schema: &str, name: &str| catalog.table_named(schema, name).map(|facts| facts.oid);
        let index = |schema: &str, name: &str| catalog.index_named(schema, name).map(|facts| facts.oid);
        assert_eq!((table("b", "orders"), table("a", "items")), (Some(1), Some(2)));
        assert_eq!((table("a", "orders"), table("b", "orders_at")), (None, None));
        assert_eq!((index("b", "orders_at"), index("b", "orders")), (Some(9), None));
        assert!(!Catalog::default().is_taken("b", "orders"));
    }

    #[test]
    fn indexes_are_found_by_their_table() {
        let index = |oid: u32, table_oid: u32| IndexFacts {
            oid,
            table_oid,
            ..IndexFacts::default()
        };
        let indexes = vec![index(9, 1), index(3, 2), index(5, 1), index(7, 4)];
        let catalog = Catalog::new(Vec::new().into(), indexes.into());
        let of =
            |table_oid: u32| -> Vec<u32> { catalog.indexes_of(table_oid).map(|facts| facts.oid).collect() };
        assert_eq!(
            (of(1), of(2), of(3), of(5)),
            (vec![5, 9], vec![3], vec![], vec![])
        );
        let all: Vec<(u32, usize)> = catalog
            .indexes_by_table()
            .map(|(table_oid, indexes)| (table_oid, indexes.count()))
            .collect();
        assert_eq!(all, [(1, 2), (2, 1), (4, 1)]);
    }
}

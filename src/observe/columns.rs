//! What rules and index advice read of columns, told once for each time that some of it is read: for pages.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use crate::model::advice::Advised;
use crate::model::catalog::Catalog;
use crate::model::column::{ColumnNow, KnownColumns, TableColumns};
use crate::model::column_statistics::ColumnStatistics;
use crate::model::observation::DatabaseObservation;
use crate::model::schema::{ForeignKey, Schema};

/// What was told about last, of each database.
#[derive(Default)]
pub struct Columns {
    told: HashMap<String, Told>,
}

/// What was read of a database; a `Weak` of nothing for what is not known.
struct Told {
    names: Weak<Catalog>,
    design: Weak<Schema>,
    statistics: Weak<ColumnStatistics>,
    advised: Weak<Advised>,
    statistics_unknown_because: Option<String>,
}

impl Told {
    fn of(database: &DatabaseObservation) -> Self {
        let design = database.schema.as_ref();
        let statistics = database.column_statistics.as_ref();
        Self {
            names: Arc::downgrade(&database.catalog),
            design: design.map_or_else(|_| Weak::new(), |schema| Arc::downgrade(&schema.facts)),
            statistics: statistics.map_or_else(|_| Weak::new(), Arc::downgrade),
            advised: advised(database).map_or_else(Weak::new, Arc::downgrade),
            statistics_unknown_because: statistics_unknown_because(database),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.names.ptr_eq(&other.names)
            && self.design.ptr_eq(&other.design)
            && self.statistics.ptr_eq(&other.statistics)
            && self.advised.ptr_eq(&other.advised)
            && self.statistics_unknown_because == other.statistics_unknown_because
    }
}

/// The last index advice, as long as it is told: its columns may be gone by now, or have other names.
fn advised(database: &DatabaseObservation) -> Option<&Arc<Advised>> {
    database.advice.as_ref().ok()
}

fn statistics_unknown_because(database: &DatabaseObservation) -> Option<String> {
    let unknown = database.column_statistics.as_ref().err()?;
    Some(match &unknown.remedy_sql {
        Some(sql) => format!("{}: {sql}", unknown.reason),
        None => unknown.reason.clone(),
    })
}

impl Columns {
    /// What is known of columns, of each database of which something was read since it was told about.
    pub fn observe(&mut self, databases: &[DatabaseObservation]) -> Vec<KnownColumns> {
        let names: Vec<&str> = databases.iter().map(|database| database.name.as_str()).collect();
        self.told.retain(|name, _| names.contains(&name.as_str()));
        let mut known = Vec::new();
        for database in databases {
            let read = Told::of(database);
            let told = self.told.get(&database.name);
            if told.is_none_or(|told| !told.is_same(&read)) {
                known.push(known_of(database));
                self.told.insert(database.name.clone(), read);
            }
        }
        known
    }

    /// What was told could not be written down: all of it is told again.
    pub fn tell_again(&mut self) {
        self.told.clear();
    }
}

/// Columns by table, then by name.
#[derive(Default)]
struct Found {
    tables: BTreeMap<u32, BTreeMap<String, ColumnNow>>,
}

impl Found {
    fn column(&mut self, table_oid: u32, name: &str) -> &mut ColumnNow {
        let columns = self.tables.entry(table_oid).or_default();
        columns.entry(name.to_owned()).or_insert_with(|| ColumnNow {
            name: name.to_owned(),
            ..ColumnNow::default()
        })
    }

    fn types(
        &mut self,
        table_oid: u32,
        columns: &[String],
        (types, domains): (&[String], &[Option<String>]),
    ) {
        for (place, (name, type_name)) in columns.iter().zip(types).enumerate() {
            let domain = domains.get(place).and_then(Option::as_ref);
            self.column(table_oid, name).type_name = Some(domain.unwrap_or(type_name).clone());
        }
    }

    fn foreign_key(&mut self, key: &ForeignKey) {
        self.types(key.table_oid, &key.columns, (&key.types, &key.domains));
        let referenced = (&key.referenced_types[..], &key.referenced_domains[..]);
        self.types(key.referenced_oid, &key.referenced_columns, referenced);
    }
}

fn known_of(database: &DatabaseObservation) -> KnownColumns {
    let mut found = Found::default();
    // the others may have read it later
    for (oid, columns) in advised(database).into_iter().flat_map(|advised| &advised.columns) {
        for column in columns {
            found.column(*oid, &column.name).clone_from(column);
        }
    }
    if let Ok(schema) = &database.schema {
        let fed = schema
            .facts
            .sequences
            .iter()
            .filter_map(|one| one.column.as_ref());
        for column in fed {
            found.column(column.table_oid, &column.name).type_name = Some(column.type_name.clone());
        }
        schema
            .facts
            .foreign_keys
            .iter()
            .for_each(|key| found.foreign_key(key));
    }
    if let Ok(statistics) = &database.column_statistics {
        for column in statistics.columns.values() {
            found.column(column.table_oid, &column.name).sample = Some(column.sample);
        }
    }
    let table = |(oid, columns): (u32, BTreeMap<String, ColumnNow>)| {
        let facts = database.catalog.tables.get(oid)?;
        Some(TableColumns {
            schema: facts.schema.clone(),
            name: facts.name.clone(),
            columns: columns.into_values().collect(),
        })
    };
    KnownColumns {
        database: database.name.clone(),
        tables: found.tables.into_iter().filter_map(table).collect(),
        statistics_unknown_because: statistics_unknown_because(database),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::advice::Rehearsals;
    use crate::model::column_statistics::{IndexedColumn, Sample};
    use crate::model::observation::{SchemaObservation, Unknown};
    use crate::rules::testing::{table, tables};

    #[test]
    fn what_rules_read_is_told_once_for_each_reading_of_it() {
        let mut observed = tables(vec![table(7, "orders", 1.0, 1.0), table(8, "users", 1.0, 1.0)]);
        let key = ForeignKey {
            table_oid: 7,
            columns: vec!["user_id".into()],
            types: vec!["integer".into()],
            referenced_oid: 8,
            referenced_columns: vec!["id".into()],
            referenced_types: vec!["bigint".into()],
            ..ForeignKey::default()
        };
        let gone = ForeignKey {
            table_oid: 99,
            ..key.clone()
        };
        let database = &mut observed.databases[0];
        database.schema = Ok(SchemaObservation {
            facts: Arc::new(Schema {
                foreign_keys: vec![key, gone],
                ..Schema::default()
            }),
            ..SchemaObservation::default()
        });
        let indexed = IndexedColumn {
            index_oid: 70,
            table_oid: 7,
            attribute_number: 2,
            name: "user_id".into(),
            sample: Sample::NotReadable,
            ancestors: Vec::new(),
        };
        database.column_statistics = Ok(Arc::new(ColumnStatistics {
            columns: vec![indexed].into(),
            ..ColumnStatistics::default()
        }));
        let mut columns = Columns::default();
        let told = columns.observe(&observed.databases);
        let tables: Vec<(&str, &ColumnNow)> = told[0]
            .tables
            .iter()
            .map(|table| (table.name.as_str(), &table.columns[0]))
            .collect();
        let column = |name: &str, type_name: &str, sample| ColumnNow {
            name: name.into(),
            type_name: Some(type_name.into()),
            sample,
            ..ColumnNow::default()
        };
        assert_eq!(
            tables,
            [
                ("orders", &column("user_id", "integer", Some(Sample::NotReadable))),
                ("users", &column("id", "bigint", None)),
            ]
        );
        assert!(columns.observe(&observed.databases).is_empty(), "it was told");
        observed.databases[0].catalog = Arc::new(observed.databases[0].catalog.as_ref().clone());
        assert_eq!(columns.observe(&observed.databases).len(), 1, "names were read");
        columns.tell_again();
        assert_eq!(columns.observe(&observed.databases), told);
        let database = &mut observed.databases[0];
        database.column_statistics = Err(Unknown::because("refused"));
        let failed = columns.observe(&observed.databases);
        assert_eq!(failed[0].statistics_unknown_because.as_deref(), Some("refused"));
        assert_eq!(failed[0].tables[0].columns[0].sample, None);
        observed.databases[0].column_statistics = Err(Unknown {
            remedy_sql: Some("GRANT CONNECT".into()),
            ..Unknown::because("refused")
        });
        let failed = columns.observe(&observed.databases);
        let why = failed[0].statistics_unknown_because.as_deref();
        assert_eq!(why, Some("refused: GRANT CONNECT"));
        observed.databases[0].schema = Err(Unknown::because("refused"));
        assert!(columns.observe(&observed.databases)[0].tables.is_empty());
        assert!(columns.observe(&observed.databases).is_empty(), "it was told");
    }

    #[test]
    fn all_columns_are_known_of_the_tables_that_index_advice_read() {
        let mut observed = tables(vec![table(7, "orders", 1.0, 1.0)]);
        let column = |name: &str| ColumnNow {
            name: name.into(),
            type_name: Some("text".into()),
            is_not_null: Some(false),
            sample: None,
        };
        let read = vec![column("id"), column("note")];
        let advice = Advised {
            columns: [(7, read.clone()), (99, vec![column("gone")])].into(),
            ..Advised::default()
        };
        let mut columns = Columns::default();
        assert!(columns.observe(&observed.databases)[0].tables.is_empty());
        let advice = Arc::new(advice);
        observed.databases[0].advice = Ok(advice.clone());
        let told = columns.observe(&observed.databases);
        assert_eq!(told[0].tables.len(), 1);
        assert_eq!(told[0].tables[0].columns, read);
        assert!(columns.observe(&observed.databases).is_empty(), "it was told");
        observed.databases[0].rehearsals = Rehearsals::Known(advice);
        observed.databases[0].advice = Err(Unknown::because("it is too old"));
        let told = columns.observe(&observed.databases);
        assert!(
            told[0].tables.is_empty(),
            "they may be gone, or renamed: {told:?}"
        );
    }
}

//! What is known of the columns of tables, as of the last time that names were read.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::Store;
use super::error::StoreError;
use super::row::{from_json, to_json};
use crate::model::column::{ColumnNow, KnownColumns};

/// What stands in the place of a table where it is about all of a database: no table has an empty name.
const WHOLE_DATABASE: (&str, &str) = ("", "");

impl Store {
    /// The columns of a table of which something is known, by name.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn columns(
        &self,
        server: &str,
        database: &str,
        schema: &str,
        name: &str,
    ) -> Result<Vec<ColumnNow>, StoreError> {
        let body = self.body_of_columns(server, database, (schema, name))?;
        let known = body.map(|body| from_json("columns", &body)).transpose()?;
        Ok(known.unwrap_or_default())
    }

    /// Why statistics of columns of a database are not known; none where they were read, or nothing was read yet.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn column_statistics_unknown_because(
        &self,
        server: &str,
        database: &str,
    ) -> Result<Option<String>, StoreError> {
        let body = self.body_of_columns(server, database, WHOLE_DATABASE)?;
        body.map(|body| from_json("why statistics are unknown", &body))
            .transpose()
    }

    fn body_of_columns(
        &self,
        server: &str,
        database: &str,
        (schema, name): (&str, &str),
    ) -> Result<Option<String>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT body FROM table_columns WHERE server = ?1 AND database = ?2 AND schema = ?3 AND name = ?4",
            )?;
            let found = statement.query_row(params![server, database, schema, name], |row| row.get(0));
            Ok(found.optional()?)
        })
    }
}

/// Replaces what is known of the columns of some databases; forgets those of databases that are not there.
pub(super) fn record_columns(
    tx: &Transaction<'_>,
    server: &str,
    there: &[String],
    known: &[KnownColumns],
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "DELETE FROM table_columns WHERE server = ?1 AND database NOT IN (SELECT value FROM json_each(?2))",
    )?
    .execute(params![server, to_json("list of databases", &there)?])?;
    for database in known {
        let mut upsert = tx.prepare_cached(
            "INSERT INTO table_columns (server, database, schema, name, body) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET body = excluded.body WHERE body <> excluded.body",
        )?;
        let mut names = Vec::with_capacity(database.tables.len());
        for table in &database.tables {
            let body = to_json("columns", &table.columns)?;
            upsert.execute(params![server, database.database, table.schema, table.name, body])?;
            names.push((table.schema.as_str(), table.name.as_str()));
        }
        if let Some(why) = &database.statistics_unknown_because {
            let (schema, name) = WHOLE_DATABASE;
            let body = to_json("why statistics are unknown", why)?;
            upsert.execute(params![server, database.database, schema, name, body])?;
            names.push(WHOLE_DATABASE);
        }
        tx.prepare_cached(
            "DELETE FROM table_columns WHERE server = ?1 AND database = ?2 AND (schema, name) NOT IN (
                 SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?3))",
        )?
        .execute(params![
            server,
            database.database,
            to_json("list of tables", &names)?
        ])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::column::TableColumns;
    use crate::model::column_statistics::{ColumnSample, Sample};

    fn table(name: &str) -> TableColumns {
        let sample = ColumnSample {
            null_ratio: 0.25,
            distinct_values: -1.0,
            width_bytes: 8.0,
            commonest_ratio: None,
        };
        TableColumns {
            schema: "public".to_owned(),
            name: name.to_owned(),
            columns: vec![ColumnNow {
                name: "id".to_owned(),
                type_name: Some("bigint".to_owned()),
                is_not_null: Some(true),
                sample: Some(Sample::Known(sample)),
            }],
        }
    }

    #[test]
    fn columns_read_back_and_those_of_tables_that_are_gone_go() {
        let store = Store::in_memory().unwrap();
        let record = |there: &[&str], database: &str, names: &[&str]| {
            let known = KnownColumns {
                database: database.to_owned(),
                tables: names.iter().map(|name| table(name)).collect(),
                statistics_unknown_because: names.is_empty().then(|| "refused".to_owned()),
            };
            let there: Vec<String> = there.iter().map(|name| (*name).to_owned()).collect();
            store
                .write(|tx| record_columns(tx, "main", &there, &[known]))
                .unwrap();
        };
        let known = |database: &str, name: &str| store.columns("main", database, "public", name).unwrap();
        let both = ["app", "other"];
        record(&both, "app", &["a", "it's \"b\""]);
        record(&both, "other", &["a"]);
        assert_eq!(known("app", "it's \"b\""), table("").columns);
        record(&both, "app", &["it's \"b\""]);
        assert!(known("app", "a").is_empty());
        assert_eq!(
            (known("app", "it's \"b\"").len(), known("other", "a").len()),
            (1, 1)
        );
        record(&["other"], "other", &["a"]);
        assert!(known("app", "it's \"b\"").is_empty(), "the database is gone");
        let why = || store.column_statistics_unknown_because("main", "other").unwrap();
        assert_eq!(why(), None);
        record(&["other"], "other", &[]);
        assert!(known("other", "a").is_empty());
        assert_eq!(why().as_deref(), Some("refused"));
        record(&["other"], "other", &["a"]);
        assert_eq!((why(), known("other", "a").len()), (None, 1));
        store.write(|tx| record_columns(tx, "main", &[], &[])).unwrap();
        assert!(known("other", "a").is_empty(), "it is gone, and nothing was told");
    }
}

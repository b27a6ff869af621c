//! Answers of one row in which each column is an array of all its values: what many thousand rows say, without what each
//! row costs both sides.

use std::vec;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, Type};

use super::error::PostgresError;
use super::session::{Identifier, Observe, OurSql};

/// The arrays of one answer, all of the same length.
pub struct Arrays {
    row: Option<Row>,
    query: &'static str,
    target: String,
}

impl Arrays {
    /// The values of a column, in the order of the other columns; none if there were no rows.
    ///
    /// # Errors
    /// If a value is NULL where none may be, or of another type.
    pub fn values<T: FromSqlOwned>(&self, column: usize) -> Result<vec::IntoIter<T>, PostgresError> {
        let Some(row) = &self.row else {
            return Ok(Vec::new().into_iter());
        };
        let values: Result<Option<Vec<T>>, _> = row.try_get(column);
        let wrong = |source| PostgresError::Query {
            target: self.target.clone(),
            query: self.query,
            code: None,
            source,
        };
        Ok(values.map_err(wrong)?.unwrap_or_default().into_iter())
    }
}

impl Observe {
    /// The arrays of a statement whose one parameter bounds their length, and in which `{schema}` stands for the schema of
    /// an extension.
    ///
    /// # Errors
    /// If the server refuses, or does not answer in time.
    pub async fn arrays(
        &self,
        sql: OurSql,
        schema: Option<&Identifier>,
        limit: usize,
    ) -> Result<Arrays, PostgresError> {
        let limit = limit as i64;
        let mut rows = match schema {
            Some(schema) => self.rows_in_schema(sql, schema, &[(&limit, Type::INT8)]).await?,
            None => self.rows(sql, &[(&limit, Type::INT8)]).await?,
        };
        Ok(Arrays {
            row: rows.pop(),
            query: sql.name,
            target: self.target().to_owned(),
        })
    }
}

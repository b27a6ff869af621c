//! How much of one answer is read. A server, or what stands between, may send rows without end, and time alone would let them
//! fill our memory. A single message is outside of this: the driver hands a row on when all of it has come, so that one row can
//! take what comes until the time is over (its length is told in four bytes, so it is never more than 2 GiB).

use std::future::ready;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, RowStream};

use super::error::Unanswered;
use crate::limits;

/// What is read of one answer at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    rows: usize,
    bytes: usize,
}

impl Bound {
    /// For rows that are kept until all have come.
    pub(super) const KEPT: Self = Self {
        rows: usize::MAX,
        bytes: limits::KEPT_ANSWER_BYTES,
    };

    /// For rows of which each is handed on, or made into something smaller, as it comes.
    pub(super) const PASSING: Self = Self {
        rows: usize::MAX,
        bytes: limits::PASSING_ANSWER_BYTES,
    };

    /// The same for a statement that itself asks for no more rows than these.
    pub(super) fn rows(rows: usize) -> Self {
        Self {
            rows,
            ..Self::PASSING
        }
    }

    /// Takes a row of so many bytes and columns from what is left.
    fn take(&mut self, bytes: usize, columns: usize) -> Result<(), Unanswered> {
        // of each column the driver keeps where it lies: of rows of NULLs that is more than the row
        let held = size_of::<Row>() + columns * size_of::<Option<std::ops::Range<usize>>>() + bytes;
        match (self.rows.checked_sub(1), self.bytes.checked_sub(held)) {
            (Some(rows), Some(bytes)) => {
                *self = Self { rows, bytes };
                Ok(())
            }
            _ => Err(Unanswered::TooLarge),
        }
    }
}

/// Hands over each row of an answer as it comes.
///
/// # Errors
/// If the server refuses, or sends more than the bound.
pub(super) async fn read<F: Future<Output = ()>>(
    rows: RowStream,
    mut bound: Bound,
    mut take: impl FnMut(Row) -> F,
) -> Result<(), Unanswered> {
    let mut rows = pin!(rows);
    while let Some(row) = rows.try_next().await? {
        bound.take(row.raw_size_bytes(), row.len())?;
        take(row).await;
    }
    Ok(())
}

/// All rows of a statement, outside of any transaction of ours.
///
/// # Errors
/// If the server refuses, or sends more than is kept.
pub(super) async fn all_rows(
    client: &Client,
    sql: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, Unanswered> {
    let asked = client.query_typed_raw(sql, parameters.iter().cloned()).await?;
    let mut rows = Vec::new();
    let take = |row| {
        rows.push(row);
        ready(())
    };
    read(asked, Bound::KEPT, take).await?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(bound: &mut Bound, bytes: usize, columns: usize) -> bool {
        bound.take(bytes, columns).is_ok()
    }

    #[test]
    fn rows_and_their_bytes_are_bounded_together() {
        let mut two = Bound::rows(2);
        assert!(is_taken(&mut two, 10, 1) && is_taken(&mut two, 10, 1));
        assert!(!is_taken(&mut two, 10, 1), "more rows than were asked for");
        let mut kept = Bound::KEPT;
        let half = limits::KEPT_ANSWER_BYTES / 2;
        assert!(is_taken(&mut kept, half, 1));
        assert!(
            !is_taken(&mut kept, half, 1),
            "what the driver holds of a row counts, too"
        );
        assert!(
            is_taken(&mut kept, half / 2, 1),
            "what was not taken is not counted"
        );
    }

    #[test]
    fn rows_of_nothing_do_not_come_for_ever() {
        let mut kept = Bound::KEPT;
        let taken = (0..limits::KEPT_ANSWER_BYTES).take_while(|_| is_taken(&mut kept, 2, 0));
        let count = taken.count();
        assert!(count < limits::KEPT_ANSWER_BYTES / size_of::<Row>(), "{count}");
    }
}

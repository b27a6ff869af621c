//! A connection and what it has prepared: how one statement of ours is asked.

use std::collections::HashMap;

use tokio::sync::Mutex;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, RowStream, Statement};

use super::bound::{Bound, read};
use super::error::Unanswered;
use super::visiting::Visiting;

/// What begins and ends the transaction of one statement. The mark by which pg_stat_statements knows what is ours stands
/// within: of what stands before the first word newer versions keep nothing.
pub(super) const BEGIN: &str = "BEGIN /* pgadvisor */ TRANSACTION READ ONLY";
pub(super) const ROLLBACK: &str = "ROLLBACK /* pgadvisor */ TRANSACTION";
const COMMIT: &str = "COMMIT /* pgadvisor */ TRANSACTION";
/// What stands around a statement. Going back takes back what it left behind, also settings that a function of an extension
/// changed, and works after an error, too. So the transaction can be committed: whatever is rolled back as a whole the server counts
/// for the database, where people watch for the rollbacks of their programs.
pub(super) const SAVEPOINT: &str = "SAVEPOINT /* pgadvisor */ pgadvisor_before";
pub(super) const BACK: &str = "ROLLBACK /* pgadvisor */ TRANSACTION TO SAVEPOINT pgadvisor_before";

/// A pooled client, or one of its own for a visit to another database, with what it has prepared.
pub(super) enum Handle {
    Pooled(deadpool_postgres::Object),
    Visiting(Visiting, Mutex<HashMap<String, Statement>>),
}

/// A statement that is asked at every look is planned by the server once.
pub(super) async fn prepared<F: Future<Output = ()>>(
    handle: &Handle,
    text: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
    bound: Bound,
    take: impl FnMut(Row) -> F,
) -> Result<(), Unanswered> {
    let types: Vec<Type> = parameters.iter().map(|(_, kind)| kind.clone()).collect();
    let statement = handle.prepare(text, &types).await?;
    let values = parameters.iter().map(|(value, _)| *value);
    let client = handle.client();
    read_only(client, client.query_raw(&statement, values), bound, take).await
}

impl Handle {
    pub(super) fn client(&self) -> &Client {
        match self {
            Self::Pooled(client) => client,
            Self::Visiting(client, _) => client,
        }
    }

    /// Prepares a text of ours once a session; the same text always comes with the same types.
    async fn prepare(&self, text: &str, types: &[Type]) -> Result<Statement, tokio_postgres::Error> {
        match self {
            Self::Pooled(client) => client.prepare_typed_cached(text, types).await,
            Self::Visiting(client, known) => {
                let mut known = known.lock().await;
                if let Some(statement) = known.get(text) {
                    return Ok(statement.clone());
                }
                let statement = client.prepare_typed(text, types).await?;
                known.insert(text.to_owned(), statement.clone());
                Ok(statement)
            }
        }
    }
}

/// A read-only transaction of one statement, which is taken back, all sent at once: one round trip, not five.
pub(super) async fn read_only<F: Future<Output = ()>>(
    client: &Client,
    asking: impl Future<Output = Result<RowStream, tokio_postgres::Error>>,
    bound: Bound,
    take: impl FnMut(Row) -> F,
) -> Result<(), Unanswered> {
    let reading = async {
        let read = async { read(asking.await?, bound, take).await };
        // an error that the server told is told once all of them are answered; for the end of too many rows nobody waits
        match read.await {
            Ok(()) => Ok(Ok(())),
            Err(Unanswered::Refused(error)) => Ok(Err(error)),
            Err(Unanswered::TooLarge) => Err(Unanswered::TooLarge),
        }
    };
    // each is sent when it is first polled, so in this order
    let (begun, kept, read, back, ended) = tokio::try_join!(
        biased;
        async { Ok::<_, Unanswered>(client.batch_execute(BEGIN).await) },
        async { Ok::<_, Unanswered>(client.batch_execute(SAVEPOINT).await) },
        reading,
        async { Ok::<_, Unanswered>(client.batch_execute(BACK).await) },
        async { Ok::<_, Unanswered>(client.batch_execute(COMMIT).await) },
    )?;
    Ok(begun.and(kept).and(read).and(back).and(ended)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::StatementKind;
    use crate::sql::identify;

    #[test]
    fn what_is_sent_beside_our_statements_is_known_as_ours() {
        for sql in [BEGIN, ROLLBACK, COMMIT, SAVEPOINT, BACK] {
            assert_eq!(identify(sql).kind, StatementKind::Own, "{sql}");
        }
    }
}

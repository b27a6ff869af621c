//! A connection and what it has prepared: how one statement of ours is asked.

use std::collections::HashMap;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use tokio::sync::Mutex;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, RowStream, Statement};

/// A pooled client, or one of its own for a visit to another database, with what it has prepared.
pub(super) enum Handle {
    Pooled(deadpool_postgres::Object),
    Visiting(Client, Mutex<HashMap<String, Statement>>),
}

/// A statement that is asked at every look is planned by the server once.
pub(super) async fn prepared<F: Future<Output = ()>>(
    handle: &Handle,
    text: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
    take: impl FnMut(Row) -> F,
) -> Result<(), tokio_postgres::Error> {
    let types: Vec<Type> = parameters.iter().map(|(_, kind)| kind.clone()).collect();
    let statement = handle.prepare(text, &types).await?;
    let values = parameters.iter().map(|(value, _)| *value);
    let client = handle.client();
    read_only(client, client.query_raw(&statement, values), take).await
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

/// A read-only transaction of one statement, rolled back, all sent at once: one round trip, not three.
pub(super) async fn read_only<F: Future<Output = ()>>(
    client: &Client,
    asking: impl Future<Output = Result<RowStream, tokio_postgres::Error>>,
    mut take: impl FnMut(Row) -> F,
) -> Result<(), tokio_postgres::Error> {
    let reading = async {
        let mut rows = pin!(asking.await?);
        while let Some(row) = rows.try_next().await? {
            take(row).await;
        }
        Ok(())
    };
    // each is sent when it is first polled, so in this order
    let (begun, read, ended) = tokio::join!(
        biased;
        client.batch_execute("BEGIN TRANSACTION READ ONLY"),
        reading,
        client.batch_execute("ROLLBACK"),
    );
    begun.and(read).and(ended)
}

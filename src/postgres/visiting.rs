//! A connection of its own, beside the pool: a task of the runtime drives it, and does not outlive it for long.

use std::ops::Deref;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_postgres::{Client, Error};

use crate::limits;

/// A client whose connection ends soon after it is dropped, also where the server does not answer any more: the driver alone
/// would wait for what is owed, and keep its socket, for ever.
pub(super) struct Visiting {
    client: Client,
    /// Told to whoever drives the connection by being dropped.
    _wanted: oneshot::Sender<()>,
}

impl Visiting {
    /// Drives a connection for its client.
    pub(super) fn new(
        client: Client,
        connection: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> Self {
        let (wanted, unwanted) = oneshot::channel();
        tokio::spawn(async move {
            if let Some(Err(error)) = driven(connection, unwanted, limits::ANSWER_GRACE).await {
                tracing::debug!(%error, "a visiting session ended");
            }
        });
        Self {
            client,
            _wanted: wanted,
        }
    }
}

impl Deref for Visiting {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Drives a connection until it ends. Once nobody wants it any more it has some time to take its leave, so that the server
/// need not log that a client was lost; then the socket is closed. None where it did not end by itself.
async fn driven<T>(
    connection: impl Future<Output = T>,
    unwanted: oneshot::Receiver<()>,
    grace: Duration,
) -> Option<T> {
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        ended = &mut connection => return Some(ended),
        _ = unwanted => {}
    }
    tokio::time::timeout(grace, connection).await.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_owes_an_answer_ends_with_its_client() {
        let socket = Arc::new(());
        let held = socket.clone();
        let hangs = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        let (wanted, unwanted) = oneshot::channel();
        let mut driving = Box::pin(driven(hangs, unwanted, Duration::ZERO));
        assert!((&mut driving).now_or_never().is_none(), "as long as it is wanted");
        assert_eq!(Arc::strong_count(&socket), 2);
        drop(wanted);
        assert_eq!(driving.await, None);
        assert_eq!(Arc::strong_count(&socket), 1, "what it held is let go");
    }

    #[tokio::test]
    async fn one_that_takes_its_leave_is_not_cut_off() {
        let (wanted, unwanted) = oneshot::channel();
        let (bye, heard) = oneshot::channel();
        let leaves = async { heard.await.is_ok() };
        let mut driving = Box::pin(driven(leaves, unwanted, Duration::from_secs(3600)));
        drop(wanted);
        assert!((&mut driving).now_or_never().is_none());
        assert!(bye.send(()).is_ok());
        assert_eq!(driving.await, Some(true));
    }
}

//! Who waits for whom while a view is refreshed.

use std::time::{Duration, Instant};

use tokio_postgres::types::{ToSql, Type};

use crate::limits;
use crate::postgres::{Server, column_or_default, queries};
use crate::refresh::plan::Step;

/// What a refresh did while it was watched.
#[derive(Clone, Copy, Default)]
pub(super) struct Watched {
    /// How long it waited for locks.
    pub waited_seconds: f64,
    /// Session-seconds that others waited for the view.
    pub held_up_seconds: f64,
    /// Of the last try, without waiting for locks.
    pub work_seconds: f64,
    /// Readers came and waited longer than they may have to.
    pub readers_came: bool,
}

/// Adds up who waits for whom, until it is dropped, or somebody has waited for the view longer than `readers_wait`.
pub(super) async fn watch(
    server: &Server,
    step: &Step,
    (pid, readers_wait): (i32, Option<Duration>),
    watched: &mut Watched,
) {
    let mut last = Instant::now();
    let mut waited_in_a_row = Duration::ZERO;
    loop {
        tokio::time::sleep(limits::REFRESH_WATCHED_EVERY).await;
        let passed = last.elapsed();
        last = Instant::now();
        let asked = async {
            let home = server.observe_home().await?;
            let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
                (&pid, Type::INT4),
                (&step.oid, Type::OID),
                (&step.view.database, Type::TEXT),
            ];
            home.rows(queries::REFRESH_WATCH, &parameters).await
        };
        // what is not seen is not counted
        let Ok(Ok(rows)) = tokio::time::timeout(limits::ANSWER_GRACE, asked).await else {
            continue;
        };
        let Some(row) = rows.first() else { continue };
        if column_or_default(row, "is_waiting") {
            watched.waited_seconds += passed.as_secs_f64();
        }
        let waiting: i64 = column_or_default(row, "waiting_sessions");
        watched.held_up_seconds += passed.as_secs_f64() * waiting as f64;
        waited_in_a_row = match waiting {
            0 => Duration::ZERO,
            _ => waited_in_a_row + passed,
        };
        if readers_wait.is_some_and(|patience| waited_in_a_row > patience) {
            watched.readers_came = true;
            return;
        }
    }
}

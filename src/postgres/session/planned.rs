//! EXPLAIN of other people's statements: each in one read-only transaction with the search_path of the statement's user.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::Observe;
use crate::postgres::error::PostgresError;
use crate::postgres::plan::Detail;
use crate::postgres::queries;
use crate::postgres::traces::{Counting, Then, in_transaction};

/// What stands before a text of which the generic plan is asked for: the server counts places in it from there.
pub(in crate::postgres) const PREPARE: &str = "PREPARE /* pgadvisor */ pgadvisor_planned AS ";
const DEALLOCATE: &str = "DEALLOCATE /* pgadvisor */ pgadvisor_planned";

/// Which partitions a generic plan shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) enum Partitions {
    /// Without those that no value asks for.
    AskedFor,
    /// Every one.
    All,
}

/// How what a generic plan takes is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) enum Sending {
    /// In one round trip, for a text that could be prepared before.
    AtOnce,
    /// What needs the prepared statement once there is one: for each statement behind one that is refused the server would write
    /// one more error into its log.
    StepByStep,
}

/// No partition is left out, for one transaction.
const WHOLE: &str = "SET /* pgadvisor */ LOCAL enable_partition_pruning = off";

/// The search_path of the statement's user, and a time for planning, both for one transaction.
async fn take_settings(
    client: &Client,
    search_path: &str,
    timeout: Duration,
) -> Result<(), tokio_postgres::Error> {
    let timeout = timeout.as_millis().to_string();
    let sql = queries::PLANNING_SETTINGS.text;
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&search_path, Type::TEXT), (&timeout, Type::TEXT)];
    client.execute_typed(sql, &parameters).await.map(drop)
}

/// Which partitions are shown, for one transaction.
async fn show(client: &Client, partitions: Partitions) -> Result<(), tokio_postgres::Error> {
    match partitions {
        Partitions::AskedFor => Ok(()),
        Partitions::All => client.batch_execute(WHOLE).await,
    }
}

/// How long is waited where planning may take so long: a slow catalog is no lost session.
fn with_readings(timeout: Duration, counting: Option<Counting<'_>>) -> Duration {
    timeout + counting.map_or(Duration::ZERO, |counting| counting.patience())
}

impl Observe {
    /// EXPLAIN of a statement by the extended protocol, with its search_path for this one time.
    pub(in crate::postgres) async fn planned(
        &self,
        sql: &str,
        search_path: &str,
        values: &[&(dyn ToSql + Sync)],
        timeout: Duration,
        counting: Option<Counting<'_>>,
    ) -> Result<serde_json::Value, PostgresError> {
        let client = self.client();
        let patience = with_readings(timeout, counting);
        let values = values
            .iter()
            .map(|value| (*value, Type::UNKNOWN))
            .collect::<Vec<_>>();
        let planning = async {
            let (set, explained) = tokio::join!(
                biased;
                take_settings(client, search_path, timeout),
                client.query_typed_one(sql, &values),
            );
            set.and(explained)
        };
        let asking = Box::pin(in_transaction(client, counting, planning, Then::Nothing));
        let answer = self.answer_within("EXPLAIN", patience, asking).await;
        self.plan_of(&answer?)
    }

    /// The same for the generic plan of a statement with parameters: what its values are does not matter. But EXPLAIN leaves
    /// those partitions out that the values, which are NULL here, do not ask for: all of them, so that such a statement is
    /// planned with none left out.
    pub(in crate::postgres) async fn planned_generic(
        &self,
        text: &str,
        search_path: &str,
        (detail, partitions, sending): (Detail, Partitions, Sending),
        timeout: Duration,
        counting: Option<Counting<'_>>,
    ) -> Result<serde_json::Value, PostgresError> {
        let client = self.client();
        let patience = with_readings(timeout, counting);
        let prepare = format!("{PREPARE}{text}");
        let arguments = match crate::sql::parameter_count(text) {
            0 => String::new(),
            // the protocol knows no more
            count => format!("({})", vec!["NULL"; count.min(65_535)].join(", ")),
        };
        let explain = format!(
            "EXPLAIN /* pgadvisor */ {} EXECUTE pgadvisor_planned{arguments}",
            detail.options()
        );
        let is_made = AtomicBool::new(false);
        let preparing = async {
            let (set, whole, prepared) = tokio::join!(
                biased;
                take_settings(client, search_path, timeout),
                show(client, partitions),
                client.execute_typed(&prepare, &[]),
            );
            set.and(whole).and(prepared)
        };
        let explaining = client.query_typed_one(&explain, &[]);
        let planning = async {
            if sending == Sending::AtOnce {
                let (prepared, explained) = tokio::join!(biased; preparing, explaining);
                return prepared.and(explained);
            }
            preparing.await?;
            is_made.store(true, Ordering::Relaxed);
            explaining.await
        };
        // a prepared statement outlives the transaction, and a plan that was kept does not see new indexes
        let then = match sending {
            Sending::AtOnce => Then::AtOnce(DEALLOCATE),
            Sending::StepByStep => Then::IfMade(DEALLOCATE, &is_made),
        };
        // all that is under way at once is much: on the heap, or each caller has it on its stack once more
        let asking = Box::pin(in_transaction(client, counting, planning, then));
        let answer = self.answer_within("EXPLAIN", patience, asking).await;
        self.plan_of(&answer?)
    }

    /// The answer of EXPLAIN; one that is too deep to be read is the fault of its statement, not of the session.
    fn plan_of(&self, row: &Row) -> Result<serde_json::Value, PostgresError> {
        row.try_get(0).map_err(|_| self.unusable("the answer of EXPLAIN"))
    }
}

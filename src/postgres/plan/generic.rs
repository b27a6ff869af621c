//! Generic plans: those that serve all values of a statement's parameters alike.

use serde_json::Value;

use super::{Detail, Plan, ServerText};
use crate::limits;
use crate::postgres::error::PostgresError;
use crate::postgres::session::{Observe, Partitions, Sending};

/// Whether EXPLAIN left partitions out when execution would have begun.
fn leaves_partitions_out(plan: &Value) -> bool {
    match plan {
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            name == "Subplans Removed" && value.as_i64() > Some(0) || leaves_partitions_out(value)
        }),
        Value::Array(values) => values.iter().any(leaves_partitions_out),
        _ => false,
    }
}

impl Plan {
    /// The generic plan, with all partitions where some were left out for want of values.
    pub(super) async fn generic(
        &self,
        session: &Observe,
        statement: &ServerText,
        search_path: &str,
        detail: Detail,
    ) -> Result<Value, PostgresError> {
        let text = statement.as_str();
        let asked = |partitions| {
            let how = (detail, partitions, self.sending(text));
            session.planned_generic(text, search_path, how, limits::PLAN_TIMEOUT, self.counting())
        };
        if !self.state().with_all_partitions.contains(text) {
            let plan = asked(Partitions::AskedFor).await?;
            self.state().prepared.insert(text.to_owned());
            if !leaves_partitions_out(&plan) {
                return Ok(plan);
            }
            self.state().with_all_partitions.insert(text.to_owned());
        }
        asked(Partitions::All).await
    }

    /// What was prepared once is planned again and again, under other indexes: that is sent at once.
    fn sending(&self, text: &str) -> Sending {
        match self.state().prepared.contains(text) {
            true => Sending::AtOnce,
            false => Sending::StepByStep,
        }
    }
}

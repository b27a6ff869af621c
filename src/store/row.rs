//! Between the columns and the model's types.

use chrono::{DateTime, Utc};
use rusqlite::{Params, Row, Transaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};

use super::error::StoreError;
use crate::model::finding::{Claim, Finding, Links};
use crate::model::id::Fingerprint;

/// A time as it is stored. Finer than a microsecond is lost, so whatever is compared goes through [`stored`] first.
pub(super) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// A stored time.
pub(super) fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

/// A time as it will read back.
pub(super) fn stored(at: DateTime<Utc>) -> DateTime<Utc> {
    time(micros(at))
}

/// What is read of all rows that a query gives, in their order.
pub(super) fn rows<T>(
    tx: &Transaction<'_>,
    sql: &str,
    parameters: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = tx.prepare_cached(sql)?;
    let rows = statement.query_map(parameters, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A word of one of the model's enums.
pub(super) fn word<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    let reader: StrDeserializer<'_, WordError> = text.into_deserializer();
    T::deserialize(reader).map_err(|error| StoreError::Row {
        what,
        source: serde::de::Error::custom(format!("{text}: {error}")),
    })
}

/// A body as JSON.
pub(super) fn to_json<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Row { what, source })
}

/// A body from JSON.
pub(super) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Row { what, source })
}

/// A fingerprint that was stored.
pub(super) fn fingerprint(text: String) -> Result<Fingerprint, StoreError> {
    from_json("fingerprint", &serde_json::Value::String(text).to_string())
}

/// The columns that [`finding`] reads, in its order.
pub(super) const FINDING_COLUMNS: &str = "fingerprint, subject, body, state, first_seen_at, last_seen_at, \
     acknowledged_by, snoozed_until";

/// Where they are.
pub(super) const FINDING_TABLES: &str = "finding JOIN claim USING (fingerprint)";

/// A finding from [`FINDING_COLUMNS`].
pub(super) fn finding(row: &Row<'_>) -> Result<Finding, StoreError> {
    let fingerprint = fingerprint(row.get(0)?)?;
    let mut claim: Claim = from_json("claim", row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)?;
    claim.subject = from_json(
        "subject",
        row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?,
    )?;
    Ok(Finding {
        links: links(&fingerprint),
        fingerprint,
        claim,
        state: word("state", row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?)?,
        first_seen_at: time(row.get(4)?),
        last_seen_at: time(row.get(5)?),
        acknowledged_by: row.get(6)?,
        snoozed_until: row.get::<_, Option<i64>>(7)?.map(time),
    })
}

fn links(fingerprint: &Fingerprint) -> Links {
    Links {
        api: Some(format!("/api/v1/findings/{fingerprint}")),
        dashboard: Some(format!("/findings/{fingerprint}")),
    }
}

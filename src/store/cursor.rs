//! Where the next page of a list begins.

use rusqlite::types::Value;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::findings::Sort;

/// The order and the last row's place in it, as JSON in hexadecimal digits: opaque, and safe in every URL.
/// Numbers with a fraction are their bits, so that they come back exactly.
pub(super) fn write_cursor(sort: Sort, key: &[Value]) -> String {
    let parts: Vec<CursorPart> = key
        .iter()
        .map(|value| match value {
            Value::Integer(number) => CursorPart::Integer(*number),
            Value::Real(number) => CursorPart::Real(number.to_bits()),
            Value::Text(text) => CursorPart::Text(text.clone()),
            Value::Null | Value::Blob(_) => CursorPart::Text(String::new()),
        })
        .collect();
    let json = serde_json::json!([sort, parts]).to_string();
    json.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Serialize, Deserialize)]
enum CursorPart {
    #[serde(rename = "i")]
    Integer(i64),
    #[serde(rename = "r")]
    Real(u64),
    #[serde(rename = "t")]
    Text(String),
}

/// The last row's place, of so many columns, if the text is a cursor of this order.
pub(super) fn read_cursor(sort: Sort, columns: usize, text: &str) -> Result<Vec<Value>, StoreError> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let json: Option<Vec<u8>> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect();
    let (of, parts): (Sort, Vec<CursorPart>) = json
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or(StoreError::BadCursor)?;
    // A cursor of another order would begin anywhere.
    if of != sort || parts.len() != columns {
        return Err(StoreError::BadCursor);
    }
    Ok(parts
        .into_iter()
        .map(|part| match part {
            CursorPart::Integer(number) => Value::Integer(number),
            CursorPart::Real(bits) => Value::Real(f64::from_bits(bits)),
            CursorPart::Text(text) => Value::Text(text),
        })
        .collect())
}

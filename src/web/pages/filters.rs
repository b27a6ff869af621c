//! The filters that templates use: thin names for [`super::present`]. Escaping stays with askama.

use std::fmt::Display;

use askama::{Result, Values, filter_fn};
use chrono::{DateTime, Utc};

use super::coverage::{self, Unjudged};
use super::present;

/// Text from a server, with what a reader cannot see made visible.
#[filter_fn]
pub fn visible(value: impl Display, _: &dyn Values) -> Result<String> {
    Ok(present::visible(&value.to_string()))
}

/// A text as one part of a path or of a query.
#[filter_fn]
pub fn part(value: impl Display, _: &dyn Values) -> Result<String> {
    Ok(present::url_part(&value.to_string()))
}

/// `3 min ago`.
#[filter_fn]
pub fn ago(at: &DateTime<Utc>, _: &dyn Values, now: &DateTime<Utc>) -> Result<String> {
    Ok(present::ago(*now, *at))
}

/// `2026-11-21 14:02:07 UTC`.
#[filter_fn]
pub fn exact(at: &DateTime<Utc>, _: &dyn Values) -> Result<String> {
    Ok(present::exact(at))
}

/// `14:02 UTC`.
#[filter_fn]
pub fn clock(at: &DateTime<Utc>, _: &dyn Values) -> Result<String> {
    Ok(present::clock(at))
}

/// The attribute `datetime`.
#[filter_fn]
pub fn iso(at: &DateTime<Utc>, _: &dyn Values) -> Result<String> {
    Ok(at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}

/// `1 200 000`.
#[filter_fn]
pub fn count(value: impl Display, _: &dyn Values) -> Result<String> {
    Ok(present::count(&value.to_string()))
}

/// `4.2 GiB`.
#[filter_fn]
pub fn bytes(value: &f64, _: &dyn Values) -> Result<String> {
    Ok(crate::model::unit::bytes_for_people(*value))
}

/// `3 h 40 min`.
#[filter_fn]
pub fn seconds(value: &f64, _: &dyn Values) -> Result<String> {
    Ok(crate::model::unit::seconds_for_people(*value))
}

/// `0.04 %` of a ratio.
#[filter_fn]
pub fn percent(value: &f64, _: &dyn Values) -> Result<String> {
    Ok(present::percent(*value))
}

/// `2 rules wait`.
#[filter_fn]
pub fn rules_wait(waiting: &[Unjudged], _: &dyn Values) -> Result<String> {
    Ok(coverage::rules_wait(waiting))
}

//! A range of time that ends now, as the addresses of pages and the API say it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::tabs::Tab;
use crate::web::problem::Problem;
use crate::web::query::{Parameters, unknown};

/// A range of time that ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs)]
pub enum Range {
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
    #[serde(rename = "30d")]
    Month,
    #[serde(rename = "90d")]
    Quarter,
}

impl Range {
    /// Every range, shortest first.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter];

    /// The word in addresses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Quarter => "90d",
        }
    }

    /// As people say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
            Self::Quarter => "90 days",
        }
    }

    /// How long it is.
    pub fn length(self) -> TimeDelta {
        match self {
            Self::Hour => TimeDelta::hours(1),
            Self::Day => TimeDelta::hours(24),
            Self::Week => TimeDelta::days(7),
            Self::Month => TimeDelta::days(30),
            Self::Quarter => TimeDelta::days(90),
        }
    }

    /// When it begins and when it ends, where it ends then.
    pub fn ending(self, now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        (now - self.length(), now)
    }

    /// What `?range=` says; the last 24 hours where it says nothing.
    ///
    /// # Errors
    /// If it is none of the words.
    pub fn of(parameters: &Parameters) -> Result<Self, Problem> {
        let Some(word) = parameters.get("range") else {
            return Ok(Self::Day);
        };
        let known = Self::ALL.map(Self::word);
        let found = Self::ALL.into_iter().find(|range| range.word() == word);
        found.ok_or_else(|| unknown("range", &word, &known))
    }

    /// The range that a small picture in steps of an hour or longer shows: a day at least.
    pub fn drawn(self) -> Self {
        match self {
            Self::Hour => Self::Day,
            longer => longer,
        }
    }

    /// Links to the same page over each range; `more` is what else its address asks for, as `&order=size`.
    pub fn tabs(self, path: &str, more: &str) -> Vec<Tab> {
        let tab = |range: Self| Tab {
            label: range.name(),
            path: format!("{path}?range={}{more}", range.word()),
            is_shown: range == self,
        };
        Self::ALL.into_iter().map(tab).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_of_the_words() {
        let of = |query: &str| {
            let uri = format!("/x?{query}").parse().unwrap();
            Range::of(&Parameters::read(&uri, &["range"]).unwrap())
        };
        assert_eq!(of("").unwrap(), Range::Day);
        for range in Range::ALL {
            assert_eq!(of(&format!("range={}", range.word())).unwrap(), range);
            let json = serde_json::to_value(range).unwrap();
            assert_eq!(json, range.word(), "JSON says it as the address does");
        }
        assert!(
            of("range=2h")
                .unwrap_err()
                .detail()
                .contains("unknown range \"2h\"")
        );
        let tabs = Range::Week.tabs("/a", "&order=size");
        assert_eq!(tabs[4].path, "/a?range=90d&order=size");
        assert!(tabs[2].is_shown && !tabs[1].is_shown);
    }
}

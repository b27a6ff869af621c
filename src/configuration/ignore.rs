//! `[[ignore]]`: what nobody wants to hear of, until when, and why.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::read::Section;
use super::schema;
use crate::model::selector::{Ignore, Selector};

/// Problems that nobody wants to hear of: all that every key of it fits. They are counted and shown, and are no findings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = schema::of_ignore, rename = "Ignore")]
pub struct IgnoreTable {
    /// The rule, or a pattern with `*`: "index.*".
    pub rule: String,
    /// The name of a server, or a pattern.
    pub server: String,
    /// The database, or a pattern.
    pub database: String,
    /// The thing with its schema, or a pattern: "legacy.*"; of an index its table's name counts, too.
    pub object: String,
    /// The role that causes it, or a pattern: every role must fit.
    pub role: String,
    /// The application_name of the sessions, or a pattern. Of a statement those count that samples of the last hour saw
    /// executing it: at least five sessions, all of which must fit. Samples know names without their numbers, as "etl-#".
    pub application: String,
    /// The last day on which it counts, in UTC: 2027-01-31.
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "day")]
    pub until: Option<NaiveDate>,
    /// Why, for whoever finds it later.
    pub reason: String,
}

impl Default for IgnoreTable {
    fn default() -> Self {
        let Selector {
            server,
            database,
            object,
            role,
        } = Selector::default();
        Self {
            rule: "*".to_owned(),
            server,
            database,
            object,
            role,
            application: "*".to_owned(),
            until: None,
            reason: String::new(),
        }
    }
}

impl From<IgnoreTable> for Ignore {
    fn from(table: IgnoreTable) -> Self {
        Self {
            rule: table.rule,
            selector: Selector {
                server: table.server,
                database: table.database,
                object: table.object,
                role: table.role,
            },
            application: table.application,
            until: table.until,
            reason: table.reason,
        }
    }
}

impl From<Ignore> for IgnoreTable {
    fn from(ignore: Ignore) -> Self {
        Self {
            rule: ignore.rule,
            server: ignore.selector.server,
            database: ignore.selector.database,
            object: ignore.selector.object,
            role: ignore.selector.role,
            application: ignore.application,
            until: ignore.until,
            reason: ignore.reason,
        }
    }
}

fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveDate>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    let day = |text: String| {
        let wrong = |_| de::Error::custom("must be a day, such as 2027-01-31");
        text.parse().map_err(wrong)
    };
    text.map(day).transpose()
}

impl Section for IgnoreTable {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.reason.trim().is_empty() {
            problems.push((
                "reason",
                "is needed: why it is ignored, for whoever finds it later".to_owned(),
            ));
        }
        let ignore = Ignore::from(self.clone());
        if ignore.rule == "*" && ignore.application == "*" && ignore.selector.is_everything() {
            let message =
                "is needed, or another key that says what is ignored: as it is, it would be everything";
            problems.push(("rule", message.to_owned()));
        }
        problems
    }
}

//! The finding: the one record that pages, JSON, webhooks and the command line carry.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::id::Fingerprint;
pub use super::remedy::Remedy;
use super::unit::Period;

/// How much it matters. The order is the order of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    /// The word in JSON, in filters and as a CSS class.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Where a finding is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum State {
    Open,
    Acknowledged,
    Snoozed,
    Resolved,
    FalsePositive,
}

impl State {
    /// The word in JSON and in filters.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Snoozed => "snoozed",
            Self::Resolved => "resolved",
            Self::FalsePositive => "false_positive",
        }
    }
}

/// What kind of thing a finding is about, in PostgreSQL's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ObjectKind {
    Table,
    Index,
    MaterializedView,
    Sequence,
    Column,
    Constraint,
    Statement,
    Role,
    Session,
    Setting,
    ReplicationSlot,
    Standby,
    Subscription,
    PreparedTransaction,
    Database,
    Server,
}

impl ObjectKind {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Index => "index",
            Self::MaterializedView => "materialized view",
            Self::Sequence => "sequence",
            Self::Column => "column",
            Self::Constraint => "constraint",
            Self::Statement => "statement",
            Self::Role => "role",
            Self::Session => "session",
            Self::Setting => "setting",
            Self::ReplicationSlot => "replication slot",
            Self::Standby => "standby",
            Self::Subscription => "subscription",
            Self::PreparedTransaction => "prepared transaction",
            Self::Database => "database",
            Self::Server => "server",
        }
    }
}

/// The thing itself, by its names in the catalog, unquoted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Object {
    /// What kind of thing it is.
    pub kind: ObjectKind,
    /// Its schema, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Its name; a statement's is its statement_id.
    pub name: String,
    /// Of an index, column or constraint: its table, in the same schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

impl Object {
    /// `schema.name`, of a column `schema.table.name`, unquoted, for titles.
    pub fn qualified(&self) -> String {
        let table = self.table.as_ref().filter(|_| self.kind == ObjectKind::Column);
        let parts = [
            self.schema.as_deref(),
            table.map(String::as_str),
            Some(self.name.as_str()),
        ];
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        parts.join(".")
    }

    /// What it is and its name: `index legacy.a_idx`.
    pub fn told(&self) -> String {
        format!("{} {}", self.kind.word(), self.qualified())
    }
}

/// The time that a number covers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct Window {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

impl Window {
    /// Its length in seconds, never negative.
    pub fn seconds(&self) -> f64 {
        ((self.to - self.from).num_milliseconds() as f64 / 1000.0).max(0.0)
    }
}

/// What it costs; what lists are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Impact {
    /// Seconds of database time a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub db_seconds_per_day: Option<f64>,
    /// Bytes on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<f64>,
    /// Days until something is exhausted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_left: Option<f64>,
}

impl Impact {
    /// The same without what is not a number or has no end: neither can be ordered or added up.
    pub fn known(self) -> Self {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        Self {
            db_seconds_per_day: finite(self.db_seconds_per_day),
            bytes: finite(self.bytes),
            days_left: finite(self.days_left),
        }
    }

    /// What two cost together: time and size add up, and what is exhausted first counts.
    pub fn and(self, other: Self) -> Self {
        let (one, other) = (self.known(), other.known());
        let both = |a: Option<f64>, b: Option<f64>, join: fn(f64, f64) -> f64| match (a, b) {
            (Some(a), Some(b)) => Some(join(a, b)),
            (a, b) => a.or(b),
        };
        Self {
            db_seconds_per_day: both(one.db_seconds_per_day, other.db_seconds_per_day, |a, b| a + b),
            bytes: both(one.bytes, other.bytes, |a, b| a + b),
            days_left: both(one.days_left, other.days_left, f64::min),
        }
    }
}

/// How a claim is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ConfidenceLevel {
    Verified,
    Measured,
    Estimated,
}

impl ConfidenceLevel {
    /// The word in JSON and on pages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Measured => "measured",
            Self::Estimated => "estimated",
        }
    }
}

/// How a claim is known, and why it is not known better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct Confidence {
    pub level: ConfidenceLevel,
    pub reason: String,
}

/// Named numbers with the unit in the name, in the order in which they are told.
pub type Evidence = serde_json::Map<String, serde_json::Value>;

/// Who causes a problem.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Who {
    /// The roles; none where that is not known or means nothing.
    pub roles: Vec<String>,
    /// The applications, by application_name, "" of sessions without one; none where that is not known.
    pub applications: Vec<String>,
}

/// What a rule claims about one subject, before the store knows its history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Claim {
    /// The rule, as `index.unused`.
    pub rule: String,
    /// How much it matters.
    pub severity: Severity,
    /// The server's configured name.
    pub server: String,
    /// The database; null where the whole server is meant.
    pub database: Option<String>,
    /// What it is about; null where the whole server or database is meant.
    pub object: Option<Object>,
    /// The identity beside rule, server and database (names only); not published.
    #[serde(skip)]
    #[schema(ignore)]
    pub subject: Vec<String>,
    /// Who causes it, as far as that is known: what `[[ignore]]` and thresholds of their own go by; not published.
    #[serde(skip)]
    #[schema(ignore)]
    pub who: Who,
    /// How long its evidence must last before it opens, where that is another time than its rule's; not published.
    #[serde(skip)]
    #[schema(ignore)]
    pub hold: Option<Period>,
    /// The same for how long it must be gone before it resolves.
    #[serde(skip)]
    #[schema(ignore)]
    pub clear: Option<Period>,
    /// The claim in a few words, with the object's name.
    pub title: String,
    /// One paragraph: what, why that is bad, what to do.
    pub explanation: String,
    /// Named values with the unit in the name.
    #[schema(value_type = Object)]
    pub evidence: Evidence,
    /// The time that the evidence covers.
    pub evidence_window: Option<Window>,
    /// A statement for psql that shows the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence_sql: Option<String>,
    /// What it costs.
    pub impact: Impact,
    /// How it is known.
    pub confidence: Confidence,
    /// What to do.
    pub remedy: Remedy,
    /// What was checked before this was said.
    pub guards: Vec<String>,
}

impl Claim {
    /// The key under which this problem is known for its whole life.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.rule, &self.server, self.database.as_deref(), &self.subject)
    }

    /// Makes all bytes in it whole: what was reckoned from shares and averages is no more exact than that.
    pub fn round_bytes(&mut self) {
        let whole = |bytes: Option<f64>| bytes.map(f64::round);
        self.impact.bytes = whole(self.impact.bytes);
        self.remedy.extra_disk_bytes = whole(self.remedy.extra_disk_bytes);
        for (name, value) in &mut self.evidence {
            round_bytes_of(name, value);
        }
    }

    /// The subject as one text: what lists go by where two claims of a rule cost the same.
    pub fn subject_key(&self) -> String {
        self.subject.join("\u{1}")
    }
}

/// Rounds what a name says to be bytes, at any depth.
fn round_bytes_of(name: &str, value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|one| round_bytes_of(name, one)),
        Value::Object(values) => values
            .iter_mut()
            .for_each(|(name, one)| round_bytes_of(name, one)),
        Value::Number(number) if number.is_f64() && (name == "bytes" || name.ends_with("_bytes")) => {
            *value = Value::from(number.as_f64().map(f64::round));
        }
        _ => {}
    }
}

/// One problem, for its whole life: the claim, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct Finding {
    pub fingerprint: Fingerprint,
    #[serde(flatten)]
    pub claim: Claim,
    pub state: State,
    pub first_seen_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snoozed_until: Option<DateTime<Utc>>,
    pub links: Links,
}

/// Where the finding is to be found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Links {
    /// In the API.
    #[serde(rename = "self")]
    pub api: Option<String>,
    /// On the dashboard.
    pub dashboard: Option<String>,
}

/// What happened to a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub enum EventKind {
    #[serde(rename = "finding.opened")]
    Opened,
    #[serde(rename = "finding.severity_changed")]
    SeverityChanged,
    #[serde(rename = "finding.acknowledged")]
    Acknowledged,
    #[serde(rename = "finding.snoozed")]
    Snoozed,
    #[serde(rename = "finding.resolved")]
    Resolved,
    #[serde(rename = "finding.reopened")]
    Reopened,
    #[serde(rename = "finding.marked_false_positive")]
    MarkedFalsePositive,
    #[serde(rename = "finding.outcome_known")]
    OutcomeKnown,
}

impl EventKind {
    /// The name in JSON and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Opened => "finding.opened",
            Self::SeverityChanged => "finding.severity_changed",
            Self::Acknowledged => "finding.acknowledged",
            Self::Snoozed => "finding.snoozed",
            Self::Resolved => "finding.resolved",
            Self::Reopened => "finding.reopened",
            Self::MarkedFalsePositive => "finding.marked_false_positive",
            Self::OutcomeKnown => "finding.outcome_known",
        }
    }
}

/// One event: an item of the change feed and the body of a webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct Event {
    pub event_id: String,
    /// Grows by the order of writing; the feed's cursor.
    pub sequence: i64,
    #[serde(rename = "type")]
    pub kind: EventKind,
    pub occurred_at: DateTime<Utc>,
    /// Who did it; null for the advisor.
    pub actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    pub finding: Finding,
}

/// What a person may do with a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Action {
    Acknowledge,
    Snooze,
    Resolve,
    FalsePositive,
    Reopen,
}

impl Action {
    /// Every action, in the order in which they are offered.
    pub const ALL: [Self; 5] = [
        Self::Acknowledge,
        Self::Snooze,
        Self::Resolve,
        Self::FalsePositive,
        Self::Reopen,
    ];

    /// The word in URLs and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Snooze => "snooze",
            Self::Resolve => "resolve",
            Self::FalsePositive => "false-positive",
            Self::Reopen => "reopen",
        }
    }

    /// The action of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }
}

/// Days below which it counts as critical that something runs out.
const URGENT_DAYS: f64 = 14.0;

/// How urgent it is: the severity, but critical where something runs out soon. It orders only, it changes no severity.
pub fn urgency(severity: Severity, impact: &Impact) -> Severity {
    match impact.known().days_left {
        Some(days) if days < URGENT_DAYS => Severity::Critical,
        _ => severity,
    }
}

/// The order of every list, worst first: urgency, where fewer than 14 days left count as critical; then seconds of
/// database time a day plus one second a day per 10^9 bytes; then days left.
///
/// Urgency comes first because no saving is worth a server that stops or data that are lost, and because a rule that calls
/// something a warning knows more than its number says. Below that only what the database pays counts, in one currency, so
/// that a heap of idle bytes and a slow statement can stand in one list: 10^9 bytes are read, written, cached and backed
/// up at a price of about a second a day, so that time is what matters first, and disk where there is much of it. What
/// costs nothing that is known stands last, what runs out sooner before what runs out later.
pub fn order_key(severity: Severity, impact: &Impact) -> (i64, f64, f64) {
    let impact = impact.known();
    let cost = impact.db_seconds_per_day.unwrap_or(0.0) + impact.bytes.unwrap_or(0.0) / 1e9;
    // taken from or added to zero, a zero has no sign: here it would make a difference, in the store it makes none
    let days = impact.days_left.map_or(f64::MAX, |days| 0.0 + days);
    (-(urgency(severity, &impact) as i64), 0.0 - cost, days)
}

/// Compares two claims by [`order_key`], and by name where that is equal, so that the order is always the same. The store
/// orders by the same (`src/store/findings.rs`), so that it is the same everywhere.
pub fn by_impact(a: &Claim, b: &Claim) -> std::cmp::Ordering {
    let (a_rank, a_cost, a_days) = order_key(a.severity, &a.impact);
    let (b_rank, b_cost, b_days) = order_key(b.severity, &b.impact);
    // no database is the one without a name
    fn database(claim: &Claim) -> &str {
        claim.database.as_deref().unwrap_or_default()
    }
    a_rank
        .cmp(&b_rank)
        .then(a_cost.total_cmp(&b_cost))
        .then(a_days.total_cmp(&b_days))
        .then_with(|| a.rule.cmp(&b.rule))
        .then_with(|| database(a).cmp(database(b)))
        .then_with(|| a.subject_key().cmp(&b.subject_key()))
        .then_with(|| a.fingerprint().cmp(&b.fingerprint()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn impact(seconds: Option<f64>, bytes: Option<f64>, days: Option<f64>) -> Impact {
        Impact {
            db_seconds_per_day: seconds,
            bytes,
            days_left: days,
        }
    }

    #[test]
    fn bytes_are_whole_and_other_numbers_stay_as_they_are() {
        let mut told = serde_json::json!({
            "size_bytes": 1.4,
            "ratio": 1.4,
            "parts": [{ "bytes": 2.6, "rows": 2.6 }],
            "kept_bytes": [3.5],
        });
        round_bytes_of("", &mut told);
        let whole = serde_json::json!({
            "size_bytes": 1.0,
            "ratio": 1.4,
            "parts": [{ "bytes": 3.0, "rows": 2.6 }],
            "kept_bytes": [4.0],
        });
        assert_eq!(told, whole);
    }

    #[test]
    fn a_column_is_named_with_its_table() {
        let object = |kind: ObjectKind| Object {
            kind,
            schema: Some("public".into()),
            name: "id".into(),
            table: Some("orders".into()),
        };
        assert_eq!(object(ObjectKind::Column).told(), "column public.orders.id");
        assert_eq!(object(ObjectKind::Index).told(), "index public.id");
        let setting = Object {
            schema: None,
            table: None,
            ..object(ObjectKind::Setting)
        };
        assert_eq!(setting.told(), "setting id");
    }

    #[test]
    fn what_stops_the_server_comes_first_and_what_costs_nothing_last() {
        use Severity::{Critical, Info, Warning};
        let worst_first = [
            order_key(Critical, &impact(Some(60.0), None, None)),
            order_key(Info, &impact(None, None, Some(2.0))),
            order_key(Critical, &impact(None, None, Some(13.0))),
            order_key(Critical, &impact(None, None, None)),
            order_key(Warning, &impact(Some(3600.0), None, None)),
            order_key(Warning, &impact(None, Some(100e9), None)),
            order_key(Warning, &impact(Some(60.0), None, None)),
            order_key(Warning, &impact(None, None, Some(20.0))),
            order_key(Warning, &impact(None, None, None)),
            order_key(Info, &impact(Some(7200.0), None, None)),
            order_key(Info, &impact(None, None, None)),
        ];
        assert!(worst_first.is_sorted(), "{worst_first:?}");
    }

    #[test]
    fn what_is_no_number_has_no_place_in_the_order() {
        let none = order_key(Severity::Info, &Impact::default());
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let odd = Some(odd);
            assert_eq!(order_key(Severity::Info, &impact(odd, odd, odd)), none, "{odd:?}");
            assert_eq!(impact(odd, odd, odd).and(Impact::default()), Impact::default());
        }
        let (_, cost, days) = order_key(Severity::Info, &impact(Some(-0.0), Some(-0.0), Some(-0.0)));
        assert!(cost.is_sign_positive() && days.is_sign_positive());
    }

    #[test]
    fn what_is_not_known_adds_nothing_and_is_no_zero() {
        let one = impact(Some(1.5), None, Some(30.0));
        let together = one
            .and(impact(Some(2.0), None, Some(12.0)))
            .and(Impact::default());
        assert_eq!(together, impact(Some(3.5), None, Some(12.0)));
    }
}

//! Questions about findings and events.

use rusqlite::types::Value;
use rusqlite::{Transaction, params_from_iter};
use serde::{Deserialize, Serialize};

use super::Store;
use super::cursor::{read_cursor, write_cursor};
use super::error::StoreError;
use super::record::read_finding;
use super::row::{FINDING_COLUMNS, finding, rows, word};
use crate::model::finding::{Finding, Severity, State};
use crate::model::id::Fingerprint;
use crate::model::judgement::ToldPlace;

/// What lists are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// What costs most, first.
    #[default]
    Impact,
    /// What was first seen last, first.
    Newest,
    /// What was last seen last, first.
    LastSeen,
}

/// Which findings, in which order. Empty lists and `None` leave nothing out, but for the states.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingFilter {
    /// Any of these.
    pub severities: Vec<Severity>,
    /// A rule, or a pattern with `*`.
    pub rule: Option<String>,
    /// The server's configured name.
    pub server: Option<String>,
    /// The database's name.
    pub database: Option<String>,
    /// Any of these; if empty, what still asks for attention: open and acknowledged.
    pub states: Vec<State>,
    /// A part of the title, object, rule or database, in letters of either size.
    pub text: Option<String>,
    /// The name of what it is about, or of that one's table, exactly.
    pub about: Option<String>,
    /// The schema of what it is about, exactly.
    pub schema: Option<String>,
    /// The name of a table or a materialized view, exactly: what is about it, its indexes, columns and constraints.
    pub table: Option<String>,
    /// The order.
    pub sort: Sort,
    /// At most so many.
    pub limit: usize,
    /// Go on after the page that gave this cursor.
    pub cursor: Option<String>,
}

impl Default for FindingFilter {
    fn default() -> Self {
        Self {
            severities: Vec::new(),
            rule: None,
            server: None,
            database: None,
            states: Vec::new(),
            text: None,
            about: None,
            schema: None,
            table: None,
            sort: Sort::Impact,
            limit: 100,
            cursor: None,
        }
    }
}

/// One page of findings.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingList {
    /// The page.
    pub items: Vec<Finding>,
    /// Where the next page begins; none after the last.
    pub next_cursor: Option<String>,
    /// How many there are on all pages.
    pub total: u64,
}

/// How many findings are alike in these.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CountRow {
    /// The server's configured name.
    pub server: String,
    /// The rule.
    pub rule: String,
    /// The severity.
    pub severity: Severity,
    /// The state.
    pub state: State,
    /// How many.
    pub count: u64,
}

impl Store {
    /// One finding.
    pub fn finding(&self, fingerprint: &Fingerprint) -> Result<Option<Finding>, StoreError> {
        self.read(|tx| read_finding(tx, fingerprint))
    }

    /// One page of the findings that fit.
    pub fn findings(&self, filter: &FindingFilter) -> Result<FindingList, StoreError> {
        let (condition, mut values) = condition(filter);
        let after = filter
            .cursor
            .as_deref()
            .map(|text| read_cursor(filter.sort, order(filter.sort).0.len(), text))
            .transpose()?;
        self.read(|tx| {
            let sql = format!("SELECT count(*) FROM finding WHERE {condition}");
            let total: i64 = tx
                .prepare_cached(&sql)?
                .query_row(params_from_iter(&values), |row| row.get(0))?;
            let (items, next_cursor) = page(tx, filter, &condition, &mut values, after)?;
            Ok(FindingList {
                items,
                next_cursor,
                total: total.unsigned_abs(),
            })
        })
    }

    /// How many findings there are of each kind, whatever their state.
    pub fn counts(&self) -> Result<Vec<CountRow>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT server, rule, severity, state, count(*) FROM finding WHERE state IS NOT NULL
                 GROUP BY server, rule, severity, state ORDER BY server, rule, severity, state",
            )?;
            let mut rows = statement.query([])?;
            let mut counts = Vec::new();
            while let Some(row) = rows.next()? {
                counts.push(CountRow {
                    server: row.get(0)?,
                    rule: row.get(1)?,
                    severity: word("severity", &row.get::<_, String>(2)?)?,
                    state: word("state", &row.get::<_, String>(3)?)?,
                    count: row.get::<_, i64>(4)?.unsigned_abs(),
                });
            }
            Ok(counts)
        })
    }

    /// The rules that have findings on a server which are neither resolved nor false, and in which databases; none is the whole
    /// server.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn rules_that_told(&self, server: &str) -> Result<Vec<ToldPlace>, StoreError> {
        self.read(|tx| rows(tx, TOLD, [server], |row| Ok((row.get(0)?, row.get(1)?))))
    }
}

/// The rules that told of something on a server; all of it stands in one index, in order.
const TOLD: &str = "SELECT DISTINCT rule, database FROM finding
                    WHERE server = ?1 AND state NOT IN ('resolved', 'false_positive') ORDER BY rule, database";

/// A limit as SQLite takes it.
pub(super) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The condition of a filter without its cursor, and the values of its parameters in order.
fn condition(filter: &FindingFilter) -> (String, Vec<Value>) {
    let mut conditions = vec!["state IS NOT NULL".to_owned()];
    let mut values: Vec<Value> = Vec::new();
    let mut any_of = |column: &str, words: Vec<&'static str>| {
        conditions.push(format!("{column} IN ({})", vec!["?"; words.len()].join(", ")));
        values.extend(words.into_iter().map(|word| Value::from(word.to_owned())));
    };
    if filter.states.is_empty() {
        any_of("state", vec![State::Open.word(), State::Acknowledged.word()]);
    } else {
        any_of("state", filter.states.iter().map(|state| state.word()).collect());
    }
    if !filter.severities.is_empty() {
        any_of(
            "severity",
            filter.severities.iter().map(|severity| severity.word()).collect(),
        );
    }
    let mut equals = |condition: &str, value: Option<String>| {
        if let Some(value) = value {
            conditions.push(condition.to_owned());
            values.push(value.into());
        }
    };
    equals("server = ?", filter.server.clone());
    equals("database = ?", filter.database.clone());
    equals(
        "rule LIKE ? ESCAPE '\\'",
        filter.rule.as_deref().map(|rule| escaped(rule).replace('*', "%")),
    );
    let text = filter
        .text
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty());
    equals(
        "fingerprint IN (SELECT fingerprint FROM claim WHERE search LIKE ? ESCAPE '\\')",
        text.map(|text| format!("%{}%", escaped(&text.to_lowercase()))),
    );
    equals(
        "EXISTS (SELECT 1 FROM claim AS c WHERE c.fingerprint = finding.fingerprint
             AND ? IN (json_extract(c.body, '$.object.name'), json_extract(c.body, '$.object.table')))",
        filter.about.clone(),
    );
    equals(
        "EXISTS (SELECT 1 FROM claim AS c WHERE c.fingerprint = finding.fingerprint
             AND json_extract(c.body, '$.object.schema') = ?)",
        filter.schema.clone(),
    );
    // a column or a constraint may have the name of a table
    equals(
        "EXISTS (SELECT 1 FROM claim AS c WHERE c.fingerprint = finding.fingerprint
             AND ? IN (json_extract(c.body, '$.object.table'),
                 CASE WHEN json_extract(c.body, '$.object.kind') IN ('table', 'materialized_view')
                     THEN json_extract(c.body, '$.object.name') END))",
        filter.table.clone(),
    );
    (conditions.join(" AND "), values)
}

/// A text in which LIKE finds nothing special.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

/// The columns of an order, the last one unique; and its direction.
pub(super) fn order(sort: Sort) -> (&'static [&'static str], &'static str) {
    match sort {
        Sort::Impact => (
            &[
                "order_rank",
                "order_cost",
                "order_days",
                "rule",
                "coalesce(database, '')",
                "order_subject",
                "fingerprint",
            ],
            "ASC",
        ),
        Sort::Newest => (&["first_seen_at", "fingerprint"], "DESC"),
        Sort::LastSeen => (&["last_seen_at", "fingerprint"], "DESC"),
    }
}

fn page(
    tx: &Transaction<'_>,
    filter: &FindingFilter,
    condition: &str,
    values: &mut Vec<Value>,
    after: Option<Vec<Value>>,
) -> Result<(Vec<Finding>, Option<String>), StoreError> {
    let (columns, direction) = order(filter.sort);
    let key = columns.join(", ");
    // the rows are chosen by what orders them alone: to sort whole claims costs more than all the rest
    let mut chosen = format!("SELECT rowid AS chosen FROM finding WHERE {condition}");
    if let Some(after) = after {
        let than = if direction == "ASC" { ">" } else { "<" };
        chosen.push_str(&format!(
            " AND ({key}) {than} ({})",
            vec!["?"; after.len()].join(", ")
        ));
        values.extend(after);
    }
    let directed: Vec<_> = columns
        .iter()
        .map(|column| format!("{column} {direction}"))
        .collect();
    let directed = directed.join(", ");
    let sql = format!(
        "SELECT {FINDING_COLUMNS}, {key} FROM ({chosen} ORDER BY {directed} LIMIT ?)
         CROSS JOIN finding ON finding.rowid = chosen JOIN claim USING (fingerprint) ORDER BY {directed}"
    );
    // One more than asked for tells whether there is another page.
    values.push(count(filter.limit.saturating_add(1)).into());
    let first_key = FINDING_COLUMNS.split(',').count();
    let mut statement = tx.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values.iter()))?;
    let (mut items, mut last) = (Vec::new(), None);
    while let Some(row) = rows.next()? {
        if items.len() == filter.limit {
            return Ok((
                items,
                last.map(|last: Vec<Value>| write_cursor(filter.sort, &last)),
            ));
        }
        items.push(finding(row)?);
        last = Some(
            (0..columns.len())
                .map(|n| row.get(first_key + n))
                .collect::<Result<_, _>>()?,
        );
    }
    Ok((items, None))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, claim, evaluated, judgement};
    use super::*;
    use crate::model::finding::by_impact;

    fn filled() -> Store {
        let store = Store::in_memory().unwrap();
        for second in 0..3 {
            let claims = (0..7_u8).map(|n| {
                let mut claim = claim(
                    ["a.rule", "b.100%_rule"][usize::from(n % 2)],
                    Some("db"),
                    &format!("T{n}Ä"),
                );
                claim.subject.push(second.to_string());
                claim.severity = [Severity::Info, Severity::Critical][usize::from(n % 3 / 2)];
                claim.impact.db_seconds_per_day = Some(f64::from(n / 2) * 0.1);
                claim
            });
            let judgement = judgement(claims, [evaluated("c.rule", None)]);
            store.record("main", at(second), &judgement).unwrap();
        }
        store
    }

    #[test]
    fn it_is_known_which_rules_told_of_something_and_where() {
        let store = Store::in_memory().unwrap();
        let outcomes = || [evaluated("a.rule", Some("db")), evaluated("b.rule", None)];
        let claims = |tables: &[&str]| {
            let mut claims: Vec<_> = tables
                .iter()
                .map(|table| claim("a.rule", Some("db"), table))
                .collect();
            claims.push(claim("b.rule", None, "t"));
            claims
        };
        let told = || store.rules_that_told("main").unwrap();
        let first = judgement(claims(&["t", "u"]), outcomes());
        store.record("main", at(0), &first).unwrap();
        let of_database = ("a.rule".to_owned(), Some("db".to_owned()));
        let of_server = ("b.rule".to_owned(), None);
        assert_eq!(told(), [of_database, of_server.clone()]);
        let second = judgement(claims(&[]), outcomes());
        store.record("main", at(1), &second).unwrap();
        assert_eq!(told(), [of_server], "what is resolved is told no more");
        assert!(store.rules_that_told("other").unwrap().is_empty());
        let mark = "UPDATE finding SET state = 'false_positive' WHERE rule = 'b.rule'";
        store.write(|tx| Ok(tx.execute(mark, [])?)).unwrap();
        assert!(told().is_empty(), "what was said to be false tells nothing");
    }

    #[test]
    fn the_rules_that_told_are_read_from_an_index_alone() {
        let store = Store::in_memory().unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {TOLD}");
        let plan = store.read(|tx| rows(tx, &sql, ["main"], |row| row.get::<_, String>(3)));
        let plan = plan.unwrap().join("; ");
        assert!(plan.contains("COVERING INDEX finding_told"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }

    #[test]
    fn pages_give_every_finding_once_in_order() {
        let store = filled();
        for sort in [Sort::Impact, Sort::Newest, Sort::LastSeen] {
            let all = store
                .findings(&FindingFilter {
                    sort,
                    ..Default::default()
                })
                .unwrap();
            assert_eq!((all.items.len(), all.total, all.next_cursor), (21, 21, None));
            for limit in [1, 2, 7, 20, 21, 22] {
                let mut filter = FindingFilter {
                    sort,
                    limit,
                    ..Default::default()
                };
                let mut paged = Vec::new();
                loop {
                    let page = store.findings(&filter).unwrap();
                    assert_eq!(page.total, 21);
                    paged.extend(page.items);
                    filter.cursor = page.next_cursor;
                    if filter.cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(paged, all.items, "{sort:?} {limit}");
            }
            let sorted = |a: &Finding, b: &Finding| match sort {
                Sort::Impact => by_impact(&a.claim, &b.claim).is_le(),
                Sort::Newest => a.first_seen_at >= b.first_seen_at,
                Sort::LastSeen => a.last_seen_at >= b.last_seen_at,
            };
            assert!(all.items.is_sorted_by(sorted), "{sort:?}");
        }
    }

    #[test]
    fn garbage_is_no_cursor() {
        let store = filled();
        let page = store
            .findings(&FindingFilter {
                limit: 1,
                ..Default::default()
            })
            .unwrap();
        let of_another_order = page.next_cursor.unwrap();
        for cursor in ["", "x", "zz", "5b5d", "é", "00", of_another_order.as_str()] {
            let filter = FindingFilter {
                sort: Sort::Newest,
                cursor: Some(cursor.to_owned()),
                ..Default::default()
            };
            assert!(
                matches!(store.findings(&filter), Err(StoreError::BadCursor)),
                "{cursor}"
            );
        }
    }

    #[test]
    fn a_table_is_named_exactly_with_its_indexes_and_columns() {
        use crate::model::finding::{Object, ObjectKind};

        let store = Store::in_memory().unwrap();
        let part = |kind, schema: &str, name: &str| {
            let mut claim = claim("a.rule", Some("db"), name);
            claim.subject = vec![schema.to_owned(), name.to_owned(), format!("{kind:?}")];
            claim.object = Some(Object {
                kind,
                schema: Some(schema.to_owned()),
                name: name.to_owned(),
                table: (kind != ObjectKind::Table).then(|| "orders".to_owned()),
            });
            claim
        };
        let mut foreign = part(ObjectKind::Column, "public", "orders");
        foreign.object.as_mut().unwrap().table = Some("customers".into());
        let claims = [
            claim("a.rule", Some("db"), "orders"),
            claim("a.rule", Some("db"), "orders_archive"),
            part(ObjectKind::Index, "public", "orders_a_idx"),
            part(ObjectKind::Table, "other", "orders"),
            foreign,
        ];
        let judgement = judgement(claims, [evaluated("c.rule", None)]);
        store.record("main", at(0), &judgement).unwrap();
        let about = |schema: Option<&str>| {
            let filter = FindingFilter {
                schema: schema.map(str::to_owned),
                table: Some("orders".into()),
                ..Default::default()
            };
            let items = store.findings(&filter).unwrap().items.into_iter();
            let mut names: Vec<String> = items.map(|one| one.claim.object.unwrap().qualified()).collect();
            names.sort();
            names
        };
        assert_eq!(about(Some("public")), ["public.orders", "public.orders_a_idx"]);
        assert_eq!(about(None).len(), 3, "of any schema");
    }

    #[test]
    fn filters_leave_out() {
        let store = filled();
        let total = |change: &dyn Fn(&mut FindingFilter)| {
            let mut filter = FindingFilter::default();
            change(&mut filter);
            store.findings(&filter).unwrap().total
        };
        assert_eq!(total(&|f| f.rule = Some("a.*".into())), 12);
        assert_eq!(total(&|f| f.rule = Some("a".into())), 0);
        assert_eq!(total(&|f| f.rule = Some("*%_*".into())), 9);
        assert_eq!(total(&|f| f.rule = Some("a_rule".into())), 0);
        assert_eq!(total(&|f| f.severities = vec![Severity::Critical]), 6);
        assert_eq!(
            total(&|f| f.severities = vec![Severity::Critical, Severity::Info]),
            21
        );
        assert_eq!(total(&|f| f.server = Some("other".into())), 0);
        assert_eq!(total(&|f| f.database = Some("db".into())), 21);
        assert_eq!(total(&|f| f.states = vec![State::Resolved]), 0);
        assert_eq!(total(&|f| f.text = Some("TABLE t3ä".into())), 3);
        assert_eq!(total(&|f| f.text = Some("public.t".into())), 21);
        assert_eq!(total(&|f| f.text = Some("%' OR 1=1 --".into())), 0);
        assert_eq!(total(&|f| f.text = Some("100%_".into())), 9);
        assert_eq!(total(&|f| f.text = Some(" ".into())), 21);
        let counts = store.counts().unwrap();
        assert_eq!(counts.iter().map(|row| row.count).sum::<u64>(), 21);
    }
}

//! Statements by PostgreSQL's own identifier. Samples carry that of what a session executes, and pg_stat_statements holds no text of
//! it before its first call has ended: until then those tell it who execute it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::history::{WaitKey, WaitMinute};
use crate::model::session::Session;
use crate::model::snapshot::{StatementKind, StatementText, Statements};

/// What one look knows of identifiers.
pub struct QueryIds<'a> {
    /// As pg_stat_statements holds them.
    held: Option<&'a HashMap<i64, Arc<StatementText>>>,
    /// Queries that sessions execute just now, and of which it holds no text.
    executed: HashMap<i64, &'a str>,
}

impl<'a> QueryIds<'a> {
    /// Those of a look, as far as it could read them.
    pub fn of(statements: Option<&'a Statements>, sessions: Option<&'a [Session]>) -> Self {
        let held = statements.map(|read| &*read.texts);
        let is_held = |query_id: &i64| held.is_some_and(|texts| texts.contains_key(query_id));
        let executed = sessions.unwrap_or_default().iter().filter_map(|session| {
            let query_id = session.query_id.filter(|query_id| !is_held(query_id))?;
            let text = session.statement.as_deref()?;
            // of several that were sent at once the identifier is that of one of them
            let is_one = text.kind == StatementKind::Query && crate::sql::one_query(&text.text).is_ok();
            is_one.then_some((query_id, text.statement_id.as_str()))
        });
        Self {
            held,
            executed: executed.collect(),
        }
    }

    /// The statement_id of an identifier, empty for what is no query; none where it is not known yet.
    fn statement_id(&self, query_id: i64) -> Option<&str> {
        match self.held.and_then(|texts| texts.get(&query_id)) {
            Some(text) if text.kind == StatementKind::Query => Some(&text.statement_id),
            Some(_) => Some(""),
            None => self.executed.get(&query_id).copied(),
        }
    }

    /// What was not named before, with its name; none where it has one, or it is not known yet.
    pub(super) fn name(&self, key: &WaitKey) -> Option<WaitKey> {
        let statement_id = self.statement_id(key.query_id?)?;
        Some(WaitKey {
            statement_id: statement_id.to_owned(),
            query_id: None,
            ..key.clone()
        })
    }

    /// Names in what was sampled what can be named by now.
    pub fn name_all(&self, minute: &mut WaitMinute) {
        for (key, _) in &mut minute.points {
            if let Some(named) = self.name(key) {
                *key = named;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::history::WaitCounts;

    /// What pg_stat_statements holds, if it is these texts.
    pub fn held(texts: &[(i64, &str)]) -> Statements {
        let texts = texts.iter();
        let texts = texts.map(|(id, text)| (*id, Arc::new(crate::sql::identify(text))));
        Statements {
            texts: Arc::new(texts.collect()),
            ..Statements::default()
        }
    }

    /// A session that waits for a lock in a statement that nobody has told yet.
    pub fn unnamed(query_id: i64) -> WaitKey {
        WaitKey {
            event: "Lock: transactionid".into(),
            query_id: Some(query_id),
            ..WaitKey::default()
        }
    }

    #[test]
    fn what_is_executed_for_the_first_time_is_named_by_who_executes_it() {
        let statements = held(&[(1, "SELECT a FROM t"), (2, "VACUUM t")]);
        let executed = [
            (3, "UPDATE t SET a = 7 WHERE b = 'x'"),
            (4, "VACUUM u"),
            (5, "SELECT a FROM t; SELECT b FROM t"),
        ];
        let sessions = executed.map(|(id, text)| Session {
            query_id: Some(id),
            statement: Some(Arc::new(crate::sql::masked(text))),
            ..Session::default()
        });
        let ids = QueryIds::of(Some(&statements), Some(&sessions));
        let id = |text: &str| Some(crate::sql::identify(text).statement_id);
        let named = |query_id| ids.name(&unnamed(query_id)).map(|key| key.statement_id);
        assert_eq!(named(1), id("SELECT a FROM t"));
        assert_eq!(named(2), Some(String::new()), "known to be no query");
        assert_eq!(named(3), id("UPDATE t SET a = $1 WHERE b = $2"));
        assert_eq!(named(4), None, "what was cut looks like this, too");
        assert_eq!(named(5), None, "one of two");
        assert_eq!(named(6), None);
        let mut minute = WaitMinute {
            seconds: 60.0,
            samples: 12,
            points: vec![
                (unnamed(3), WaitCounts { sessions: 5 }),
                (unnamed(6), WaitCounts { sessions: 2 }),
            ],
        };
        ids.name_all(&mut minute);
        let (named, counts) = &minute.points[0];
        assert_eq!(
            Some(named.statement_id.clone()),
            id("UPDATE t SET a = $1 WHERE b = $2")
        );
        assert_eq!((named.query_id, counts.sessions), (None, 5));
        assert_eq!(minute.points[1].0, unnamed(6));
    }
}

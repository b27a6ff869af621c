//! Texts of pg_stat_statements: of statements that were not seen before, whole only of those that take most time.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::limits;
use crate::model::snapshot::{StatementCounters, StatementKind, StatementText, Statements};
use crate::postgres::{Identifier, Observe, PostgresError, column, queries};
use crate::sql;

/// Texts by queryid, as far as they were ever read and are still in use.
#[derive(Default)]
pub struct TextCache {
    texts: Arc<HashMap<i64, Arc<StatementText>>>,
    /// Those of which only the beginning is kept, with the bytes of the whole.
    cut: HashMap<i64, usize>,
    /// Those that the server does not have, since when: to ask for them makes it read its whole text file.
    lost: HashMap<i64, Instant>,
    /// Set when reading texts failed, so that it is tried again only after a while.
    failed_at: Option<Instant>,
}

/// After a failure the texts are left alone for this long: the server would read its whole text file in vain.
const RETRY_TEXTS_AFTER: Duration = Duration::from_secs(600);

impl TextCache {
    /// All that are known.
    pub fn texts(&self) -> Arc<HashMap<i64, Arc<StatementText>>> {
        self.texts.clone()
    }

    /// Reading texts failed just now.
    pub fn failed(&mut self) {
        self.failed_at = Some(Instant::now());
    }

    /// Whether texts could not be read the last time.
    pub fn has_failed(&self) -> bool {
        self.failed_at.is_some()
    }

    /// Fetches the texts of statements not seen before, and forgets those that are gone. Gives how many were read.
    ///
    /// # Errors
    /// If the server refuses or does not answer; what was known stays.
    pub async fn fetch(
        &mut self,
        home: &Observe,
        schema: &Identifier,
        version_num: i32,
        statements: &Statements,
    ) -> Result<usize, PostgresError> {
        if self.failed_at.is_some_and(|at| at.elapsed() < RETRY_TEXTS_AFTER) {
            return Ok(0);
        }
        let whole = Arc::new(self.worth_their_memory(statements));
        let missing = self.missing(statements, &whole);
        self.forget_but(statements);
        if missing.is_empty() {
            return Ok(0);
        }
        let limit = limits::STATEMENT_TEXT_CHARACTERS_PER_LOOK as i64;
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&missing, Type::INT8_ARRAY), (&limit, Type::INT8)];
        let (sender, receiver) = mpsc::channel(TEXTS_UNDER_WAY);
        let identifying = identify(receiver, whole);
        let query = queries::STATEMENT_TEXTS.on(version_num);
        let sent = home.send_rows(query, schema, &parameters, sender).await;
        let identified = identifying.await;
        sent?;
        self.failed_at = None;
        let read: usize = identified.iter().map(|text| text.characters).sum();
        let count = identified.len();
        self.take_in(identified);
        // an answer with room for one more text was not cut: what is left was evicted just now, or lost by the server
        if read + limits::STATEMENT_PARSE_BYTES < limits::STATEMENT_TEXT_CHARACTERS_PER_LOOK {
            let lost = missing.iter().filter(|queryid| !self.texts.contains_key(queryid));
            self.lost.extend(lost.map(|queryid| (*queryid, Instant::now())));
        }
        self.cut_others_than(statements);
        Ok(count)
    }

    fn take_in(&mut self, identified: Vec<Identified>) {
        let texts = Arc::make_mut(&mut self.texts);
        for text in identified {
            match text.whole_bytes {
                Some(bytes) => self.cut.insert(text.queryid, bytes),
                None => self.cut.remove(&text.queryid),
            };
            texts.insert(text.queryid, Arc::new(text.text));
        }
    }

    /// The statements that took most time: only of these the whole text is kept, since only these are told of; and of the
    /// less costly among them only as long as all of them together are not too long.
    fn worth_their_memory(&self, statements: &Statements) -> HashSet<i64> {
        let mut entries: Vec<&StatementCounters> = statements.entries.iter().collect();
        let costliest_first = |a: &&StatementCounters, b: &&StatementCounters| {
            let by_time = b.execution_ms.total_cmp(&a.execution_ms);
            by_time.then(a.key.cmp(&b.key))
        };
        let count = limits::WHOLE_STATEMENTS.min(entries.len());
        if count < entries.len() {
            entries.select_nth_unstable_by(count, costliest_first);
        }
        entries[..count].sort_unstable_by(costliest_first);
        let (mut whole, mut bytes) = (HashSet::new(), 0);
        for entry in &entries[..count] {
            let queryid = entry.key.queryid;
            if whole.contains(&queryid) {
                continue;
            }
            bytes += self.whole_bytes(queryid);
            if whole.len() >= limits::ADVISED_STATEMENTS && bytes > limits::WHOLE_TEXTS_BYTES {
                break;
            }
            whole.insert(queryid);
        }
        whole
    }

    /// How long the whole text is; that of one that was never read takes no room yet.
    fn whole_bytes(&self, queryid: i64) -> usize {
        let known = || self.texts.get(&queryid).map_or(0, |text| text.text.len());
        self.cut.get(&queryid).copied().unwrap_or_else(known)
    }

    /// Cuts the texts of statements that are no longer among the costliest, once whole texts take twice what they may: so
    /// that one at the edge is not read again and again.
    fn cut_others_than(&mut self, statements: &Statements) {
        let is_whole = |queryid: &i64, text: &StatementText| {
            text.text.len() > limits::STATEMENT_BEGINNING_BYTES && !self.cut.contains_key(queryid)
        };
        let whole = self
            .texts
            .iter()
            .filter(|(queryid, text)| is_whole(queryid, text));
        let bytes: usize = whole.map(|(_, text)| text.text.len()).sum();
        if bytes <= 2 * limits::WHOLE_TEXTS_BYTES {
            return;
        }
        let worth = self.worth_their_memory(statements);
        for (queryid, text) in Arc::make_mut(&mut self.texts) {
            if text.text.len() > limits::STATEMENT_BEGINNING_BYTES
                && !worth.contains(queryid)
                && !self.cut.contains_key(queryid)
            {
                self.cut.insert(*queryid, text.text.len());
                *text = Arc::new(StatementText {
                    text: beginning(&text.text),
                    ..StatementText::clone(text)
                });
            }
        }
    }

    /// Statements whose text is to be fetched.
    fn missing(&mut self, statements: &Statements, whole: &HashSet<i64>) -> Vec<i64> {
        self.lost.retain(|_, since| since.elapsed() < RETRY_TEXTS_AFTER);
        let is_missing = |queryid: &i64| match self.texts.contains_key(queryid) {
            false => !self.lost.contains_key(queryid),
            true => self.cut.contains_key(queryid) && whole.contains(queryid),
        };
        let queryids = statements.entries.iter().map(|entry| entry.key.queryid);
        let mut missing: Vec<i64> = queryids.filter(is_missing).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// Forgets what is gone, once that is much.
    fn forget_but(&mut self, statements: &Statements) {
        if self.texts.len() <= 2 * statements.entries.len() + 1000 {
            return;
        }
        let queryids = statements.entries.iter().map(|entry| entry.key.queryid);
        let used: HashSet<i64> = queryids.collect();
        Arc::make_mut(&mut self.texts).retain(|queryid, _| used.contains(queryid));
        self.cut.retain(|queryid, _| used.contains(queryid));
        self.lost.retain(|queryid, _| used.contains(queryid));
    }
}

/// Texts that were received and not yet read by our parser: more would only take memory.
const TEXTS_UNDER_WAY: usize = 64;
/// Threads that read texts: one core is left for whoever else lives here.
const TEXT_READERS: usize = 2;

/// A text that was read by our parser.
struct Identified {
    queryid: i64,
    text: StatementText,
    /// Where only its beginning is kept, the bytes of all of it.
    whole_bytes: Option<usize>,
    /// As it came from the server, in bytes.
    characters: usize,
}

impl Identified {
    fn of(row: &Row, kept_whole: &HashSet<i64>) -> Option<Self> {
        let (queryid, whole): (i64, String) = (column(row, "queryid")?, column(row, "text")?);
        let mut text = sql::identify(&whole);
        if text.kind == StatementKind::Query
            && let Some(plain) = sql::without_constants(&whole).filter(|plain| *plain != whole)
        {
            // the identity does not know constants
            text.text = sql::cut(&plain, limits::STATEMENT_TEXT_BYTES).to_owned();
        }
        let is_long = text.text.len() > limits::STATEMENT_BEGINNING_BYTES;
        let whole_bytes = (is_long && !kept_whole.contains(&queryid)).then_some(text.text.len());
        if whole_bytes.is_some() {
            text.text = beginning(&text.text);
        }
        Some(Self {
            queryid,
            text,
            whole_bytes,
            characters: whole.len(),
        })
    }
}

/// What is kept of a text that is not worth its memory; in one piece: a string that grows takes twice its size.
fn beginning(text: &str) -> String {
    [sql::cut(text, limits::STATEMENT_BEGINNING_BYTES), "…"].concat()
}

/// Parsing thousands of texts takes a moment: while the others still come, and not on a thread that serves pages.
fn identify(
    texts: mpsc::Receiver<Row>,
    kept_whole: Arc<HashSet<i64>>,
) -> impl Future<Output = Vec<Identified>> {
    let texts = Arc::new(Mutex::new(texts));
    let reader = || {
        let (texts, kept_whole) = (texts.clone(), kept_whole.clone());
        let next = move || texts.lock().ok()?.blocking_recv();
        tokio::task::spawn_blocking(move || -> Vec<Identified> {
            let rows = std::iter::from_fn(next);
            rows.filter_map(|row| Identified::of(&row, &kept_whole)).collect()
        })
    };
    let readers: Vec<_> = std::iter::repeat_with(reader).take(TEXT_READERS).collect();
    futures_util::future::join_all(readers).map(|read| read.into_iter().flatten().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::StatementKey;

    /// Statements with whole texts of that many bytes, each costlier than the next.
    fn seen(count: usize, bytes: usize) -> (TextCache, Statements) {
        let entry = |number: usize| StatementCounters {
            key: StatementKey {
                user_oid: 10,
                database_oid: 5,
                queryid: number as i64,
            },
            execution_ms: (count - number) as f64,
            ..StatementCounters::default()
        };
        let text = |number: usize| Identified {
            queryid: number as i64,
            text: StatementText {
                statement_id: number.to_string(),
                text: "x".repeat(bytes),
                kind: StatementKind::Query,
            },
            whole_bytes: None,
            characters: bytes,
        };
        let mut cache = TextCache::default();
        cache.take_in((0..count).map(text).collect());
        let statements = Statements {
            entries: Arc::new((0..count).map(entry).collect()),
            ..Statements::default()
        };
        (cache, statements)
    }

    #[test]
    fn whole_texts_are_kept_of_the_costliest_as_far_as_memory_allows() {
        let bytes = 5_000;
        let (mut cache, statements) = seen(900, bytes);
        cache.cut_others_than(&statements);
        let kept = limits::WHOLE_TEXTS_BYTES / bytes;
        assert!((limits::ADVISED_STATEMENTS..900).contains(&kept));
        let lengths = |numbers: std::ops::Range<usize>| -> HashSet<usize> {
            numbers
                .map(|number| cache.texts[&(number as i64)].text.len())
                .collect()
        };
        assert_eq!(lengths(0..kept), HashSet::from([bytes]));
        let cut = limits::STATEMENT_BEGINNING_BYTES + "…".len();
        assert_eq!(lengths(kept..900), HashSet::from([cut]));
        let worth = cache.worth_their_memory(&statements);
        assert_eq!(worth.len(), kept, "their lengths are remembered");
        assert!(cache.missing(&statements, &worth).is_empty());
    }

    #[test]
    fn what_is_advised_is_kept_however_long_it_is_and_short_texts_stay() {
        let (mut cache, statements) = seen(900, limits::STATEMENT_TEXT_BYTES);
        cache.cut_others_than(&statements);
        assert_eq!(cache.cut.len(), 900 - limits::ADVISED_STATEMENTS);
        let (mut cache, statements) = seen(900, 1_000);
        cache.cut_others_than(&statements);
        assert!(
            cache.cut.is_empty(),
            "below twice what they may take nothing is cut"
        );
    }

    #[test]
    fn a_statement_that_becomes_costly_is_read_again() {
        let (mut cache, mut statements) = seen(900, 5_000);
        cache.cut_others_than(&statements);
        assert!(cache.cut.contains_key(&899));
        Arc::make_mut(&mut statements.entries)[899].execution_ms = 1e9;
        let worth = cache.worth_their_memory(&statements);
        assert_eq!(cache.missing(&statements, &worth), [899]);
    }
}

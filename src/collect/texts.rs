//! Texts of pg_stat_statements: of statements that were not seen before, whole only of those that take most time.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::unread::{RETRY_TEXTS_AFTER, Unread};
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
    /// The counters of the look before.
    last: Arc<Vec<StatementCounters>>,
    /// Those that the server does not have, since when: to ask for them makes it read its whole text file.
    lost: HashMap<i64, Instant>,
    /// Set when reading texts failed, so that it is tried again only after a while.
    unread: Option<Unread>,
}

impl TextCache {
    /// All that are known.
    pub fn texts(&self) -> Arc<HashMap<i64, Arc<StatementText>>> {
        self.texts.clone()
    }

    /// Reading texts failed just now.
    pub fn failed(&mut self, unread: Unread) {
        self.unread = Some(unread);
    }

    /// That texts could not be read the last time, where that is so.
    pub fn unread(&self) -> Option<&Unread> {
        self.unread.as_ref()
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
        let read = self.fetch_missing(home, schema, version_num, statements).await;
        // only now: what was costly since the look before is worth its memory until the end of this one
        self.last = statements.entries.clone();
        read
    }

    async fn fetch_missing(
        &mut self,
        home: &Observe,
        schema: &Identifier,
        version_num: i32,
        statements: &Statements,
    ) -> Result<usize, PostgresError> {
        let is_left_alone = |unread: &Unread| !unread.may_be_mended(&statements.entries);
        if self.unread.as_ref().is_some_and(is_left_alone) {
            return Ok(0);
        }
        let whole = Arc::new(self.worth_their_memory(statements));
        let missing = self.missing(statements, &whole);
        self.forget_but(statements);
        if missing.is_empty() {
            self.unread = None;
            return Ok(0);
        }
        let limit = limits::STATEMENT_TEXT_CHARACTERS_PER_LOOK as i64;
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&missing, Type::INT8_ARRAY), (&limit, Type::INT8)];
        let (sender, receiver) = mpsc::channel(TEXTS_UNDER_WAY);
        let identifying = identify(receiver, whole.clone());
        let query = queries::STATEMENT_TEXTS.on(version_num);
        let sent = home.send_rows(query, schema, &parameters, sender).await;
        let identified = identifying.await;
        sent?;
        self.unread = None;
        let read: usize = identified.iter().map(|text| text.characters).sum();
        let count = identified.len();
        let answered: HashSet<i64> = identified.iter().map(|text| text.queryid).collect();
        self.take_in(identified);
        // an answer with room for one more text was not cut: what is left was evicted just now, or lost by the server
        if read + limits::STATEMENT_PARSE_BYTES < limits::STATEMENT_TEXT_CHARACTERS_PER_LOOK {
            let lost = missing.iter().filter(|queryid| !answered.contains(queryid));
            self.lost.extend(lost.map(|queryid| (*queryid, Instant::now())));
        }
        self.cut_others_than(&self.worth_their_memory(statements));
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

    /// The statements of which the whole text is kept: those that took most time, in all or since the look before, since only
    /// these are told of and advised; and of the less costly among them only as long as all together are not too long.
    fn worth_their_memory(&self, statements: &Statements) -> HashSet<i64> {
        let costliest = by_cost(&statements.entries, limits::WHOLE_STATEMENTS, |entry| {
            entry.execution_ms
        });
        let before = |entry: &StatementCounters| {
            let place = self.last.binary_search_by_key(&entry.key, |last| last.key);
            place.map_or(0.0, |place| self.last[place].execution_ms)
        };
        let now = by_cost(&statements.entries, limits::ADVISED_STATEMENTS, |entry| {
            entry.execution_ms - before(entry)
        });
        let advised = costliest.iter().take(limits::ADVISED_STATEMENTS).chain(&now);
        let mut whole: HashSet<i64> = advised.copied().collect();
        let mut bytes: usize = whole.iter().map(|queryid| self.cuttable_bytes(*queryid)).sum();
        for queryid in costliest {
            if !whole.contains(&queryid) {
                bytes += self.cuttable_bytes(queryid);
                if bytes > limits::WHOLE_TEXTS_BYTES {
                    break;
                }
                whole.insert(queryid);
            }
        }
        whole
    }

    /// How long the whole text is, where there is something to cut; one that was never read takes no room yet.
    fn cuttable_bytes(&self, queryid: i64) -> usize {
        let known = || self.texts.get(&queryid).map_or(0, |text| text.text.len());
        let bytes = self.cut.get(&queryid).copied().unwrap_or_else(known);
        match bytes > limits::STATEMENT_BEGINNING_BYTES {
            true => bytes,
            false => 0,
        }
    }

    /// Cuts the texts of statements that are no longer among the costliest, once whole texts take twice what they may: so
    /// that one at the edge is not read again and again.
    fn cut_others_than(&mut self, worth: &HashSet<i64>) {
        let whole = self
            .texts
            .keys()
            .filter(|queryid| !self.cut.contains_key(queryid));
        let bytes: usize = whole.map(|queryid| self.cuttable_bytes(*queryid)).sum();
        let worth_bytes: usize = worth.iter().map(|queryid| self.cuttable_bytes(*queryid)).sum();
        if bytes <= 2 * limits::WHOLE_TEXTS_BYTES.max(worth_bytes) {
            return;
        }
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
        let is_wanted = |queryid: &i64| match self.texts.contains_key(queryid) {
            false => true,
            true => self.cut.contains_key(queryid) && whole.contains(queryid),
        };
        let is_missing = |queryid: &i64| is_wanted(queryid) && !self.lost.contains_key(queryid);
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

/// The statements with most of something, the first first, each once.
fn by_cost(
    entries: &[StatementCounters],
    count: usize,
    cost: impl Fn(&StatementCounters) -> f64,
) -> Vec<i64> {
    let mut costs: Vec<(f64, i64)> = entries
        .iter()
        .map(|entry| (cost(entry), entry.key.queryid))
        .filter(|(cost, _)| *cost > 0.0)
        .collect();
    let costliest_first = |a: &(f64, i64), b: &(f64, i64)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    let count = count.min(costs.len());
    if count < costs.len() {
        costs.select_nth_unstable_by(count, costliest_first);
    }
    costs.truncate(count);
    costs.sort_unstable_by(costliest_first);
    let mut told = HashSet::new();
    let queryids = costs.into_iter().map(|(_, queryid)| queryid);
    queryids.filter(|queryid| told.insert(*queryid)).collect()
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
        Some(Self::read(
            column(row, "queryid")?,
            &column::<String>(row, "text")?,
            kept_whole,
        ))
    }

    fn read(queryid: i64, whole: &str, kept_whole: &HashSet<i64>) -> Self {
        let mut text = sql::identify(whole);
        if text.kind == StatementKind::Query
            && let Some(plain) = sql::without_constants(whole).filter(|plain| *plain != whole)
        {
            // the identity does not know constants
            text.text = sql::shortened(&plain);
        }
        let is_long = text.text.len() > limits::STATEMENT_BEGINNING_BYTES;
        let whole_bytes = (is_long && !kept_whole.contains(&queryid)).then_some(text.text.len());
        if whole_bytes.is_some() {
            text.text = beginning(&text.text);
        }
        Self {
            queryid,
            text,
            whole_bytes,
            characters: whole.len(),
        }
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
                only_sleeps: false,
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

    fn trim(cache: &mut TextCache, statements: &Statements) {
        // nothing happened since the look before
        cache.last = statements.entries.clone();
        let worth = cache.worth_their_memory(statements);
        cache.cut_others_than(&worth);
    }

    #[test]
    fn of_comments_only_those_are_kept_that_speak_to_us() {
        let kept = |text: &str| Identified::read(1, text, &HashSet::new()).text;
        let plain = kept("SELECT a FROM t WHERE b = $1");
        for (text, shown) in [
            (
                "SELECT a FROM t WHERE b = $1 /* token=abc123SECRET */",
                "SELECT a FROM t WHERE b = $1",
            ),
            // prepared before a reset: as it was sent
            (
                "/* abc123SECRET */ SELECT a FROM t WHERE b = 'abc123SECRET'",
                "SELECT a FROM t WHERE b = $1",
            ),
            (
                "SELECT a FROM t WHERE b = $1 /* pgadvisor:ignore query.slow_mean */",
                "SELECT a FROM t WHERE b = $1 /* pgadvisor:ignore query.slow_mean */",
            ),
        ] {
            let text = kept(text);
            assert_eq!(
                (text.text.as_str(), &text.statement_id),
                (shown, &plain.statement_id)
            );
        }
        let utility = kept("VACUUM t -- abc123SECRET");
        assert_eq!(
            (utility.text.as_str(), utility.kind),
            ("VACUUM t", StatementKind::Utility)
        );
        // a long comment is no long text
        let long = format!(
            "SELECT a FROM t /* {} */",
            "x".repeat(2 * limits::STATEMENT_BEGINNING_BYTES)
        );
        let read = Identified::read(1, &long, &HashSet::new());
        assert_eq!(
            (read.text.text.as_str(), read.whole_bytes, read.characters),
            ("SELECT a FROM t", None, long.len())
        );
    }

    #[test]
    fn whole_texts_are_kept_of_the_costliest_as_far_as_memory_allows() {
        let bytes = 2_000;
        let (mut cache, statements) = seen(900, bytes);
        trim(&mut cache, &statements);
        let kept = limits::WHOLE_TEXTS_BYTES / bytes;
        assert!((limits::ADVISED_STATEMENTS + 1..900).contains(&kept));
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
        trim(&mut cache, &statements);
        assert_eq!(cache.cut.len(), 900 - limits::ADVISED_STATEMENTS);
        for (bytes, why) in [
            (1_000, "below twice what they may take nothing is cut"),
            (500, "there is nothing to cut"),
        ] {
            let (mut cache, statements) = seen(900, bytes);
            trim(&mut cache, &statements);
            assert!(cache.cut.is_empty(), "{why}");
        }
    }

    #[test]
    fn a_statement_that_is_costly_now_is_read_again_whatever_others_took_in_months() {
        let (mut cache, mut statements) = seen(900, 5_000);
        trim(&mut cache, &statements);
        assert!(cache.cut.contains_key(&899));
        Arc::make_mut(&mut statements.entries)[899].execution_ms += 0.5;
        let worth = cache.worth_their_memory(&statements);
        assert_eq!(cache.missing(&statements, &worth), [899]);
        let (mut whole, _) = seen(900, 5_000);
        whole.last = cache.last.clone();
        let worth = whole.worth_their_memory(&statements);
        whole.cut_others_than(&worth);
        assert!(
            !whole.cut.contains_key(&899) && whole.cut.contains_key(&898),
            "what was read is not cut again in the same look"
        );
        cache.lost.insert(899, Instant::now());
        assert!(
            cache.missing(&statements, &worth).is_empty(),
            "the server has lost it"
        );
    }
}

//! What a text says, remembered: rules ask the same of the same texts at every look, and to parse one takes a hundred times
//! as long as to find it again. Only what was asked is kept, under a hash of the text.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, RwLock};

use super::index_keys::{self, IndexKeys};
use super::names::{Command, Name};
use super::shape::{self, KeyLookup, Searched};

/// Texts that are remembered of each question; with one more all are forgotten.
const TEXTS: usize = 20_000;
/// Bytes of a hash: no two texts that anybody can make have the same.
const KEY_BYTES: usize = 16;

/// Answers by the hashes of their texts.
type Answers<T> = HashMap<[u8; KEY_BYTES], Option<Arc<T>>>;

/// The answers to one question.
struct Remembered<T> {
    known: LazyLock<RwLock<Answers<T>>>,
}

impl<T> Remembered<T> {
    const fn new() -> Self {
        Self {
            known: LazyLock::new(RwLock::default),
        }
    }

    /// The answer as it was given before, or a new one.
    fn of(&self, text: &str, answer: impl FnOnce(&str) -> Option<T>) -> Option<Arc<T>> {
        let mut key = [0; KEY_BYTES];
        key.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..KEY_BYTES]);
        let before = self.known.read().ok().and_then(|known| known.get(&key).cloned());
        if let Some(known) = before {
            return known;
        }
        let answer = answer(text).map(Arc::new);
        if let Ok(mut known) = self.known.write() {
            if known.len() >= TEXTS {
                known.clear();
            }
            known.insert(key, answer.clone());
        }
        answer
    }
}

/// The tables that a statement names: what most rules want to know of its names, in little memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTables {
    /// What it does.
    pub command: Command,
    /// What it writes to, if it does.
    pub target: Option<Name>,
    /// Tables, views and the like, without what WITH names in it.
    pub relations: Vec<Name>,
}

/// See [`super::names()`]; none where the text is no single query.
pub fn tables(text: &str) -> Option<Arc<NamedTables>> {
    static KNOWN: Remembered<NamedTables> = Remembered::new();
    KNOWN.of(text, |text| {
        let names = super::names(text).ok()?;
        Some(NamedTables {
            command: names.command,
            target: names.target,
            relations: names.relations.into_iter().collect(),
        })
    })
}

/// See [`index_keys::index_keys`]. What an index is called, and its table, is not asked here: most databases have many more
/// indexes than ways to index.
pub fn index_keys(definition: &str) -> Option<Arc<IndexKeys>> {
    static KNOWN: Remembered<IndexKeys> = Remembered::new();
    let nameless = nameless(definition);
    KNOWN.of(nameless.as_deref().unwrap_or(definition), index_keys::index_keys)
}

/// The definition of an index with other names in the place of its own and its table's; none where those are not bare.
fn nameless(definition: &str) -> Option<String> {
    let (head, held) = definition.split_once(" USING ")?;
    let (kind, names) = match head.strip_prefix("CREATE UNIQUE INDEX ") {
        Some(names) => ("CREATE UNIQUE", names),
        None => ("CREATE", head.strip_prefix("CREATE INDEX ")?),
    };
    let (index, table) = names.split_once(" ON ")?;
    let table = table.strip_prefix("ONLY ").unwrap_or(table);
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let are_bare = index.chars().all(is_of_name) && table.chars().all(|c| is_of_name(c) || c == '.');
    are_bare.then(|| format!("{kind} INDEX i ON t USING {held}"))
}

/// See [`shape::key_lookup`].
pub fn key_lookup(text: &str) -> Option<Arc<KeyLookup>> {
    static KNOWN: Remembered<KeyLookup> = Remembered::new();
    KNOWN.of(text, shape::key_lookup)
}

/// See [`super::updated_columns`]; none where it sets none.
pub fn updated_columns(text: &str) -> Option<Arc<BTreeSet<String>>> {
    static KNOWN: Remembered<BTreeSet<String>> = Remembered::new();
    KNOWN.of(text, |text| {
        Some(super::updated_columns(text)).filter(|columns| !columns.is_empty())
    })
}

/// See [`shape::searched_columns`]; none where it searches none.
pub fn searched_columns(text: &str) -> Option<Arc<Vec<Searched>>> {
    static KNOWN: Remembered<Vec<Searched>> = Remembered::new();
    KNOWN.of(text, |text| {
        Some(shape::searched_columns(text)).filter(|columns| !columns.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_was_said_and_each_text_has_its_own() {
        let (one, other) = (
            "SELECT a FROM shop.one WHERE id = $1",
            "UPDATE other SET b = 1, c = 2",
        );
        for _ in 0..2 {
            let names = tables(one).unwrap();
            assert_eq!((names.command, &names.target), (Command::Select, &None));
            assert_eq!(names.relations[0].schema.as_deref(), Some("shop"));
            assert_eq!(tables(other).unwrap().target.as_ref().unwrap().name, "other");
            assert_eq!(key_lookup(one).unwrap().columns, ["id"]);
            assert_eq!(key_lookup(other), None);
            assert_eq!(updated_columns(other).unwrap().len(), 2);
            assert_eq!(updated_columns(one), None);
            assert_eq!(tables("SELECT FROM WHERE"), None);
        }
        assert!(Arc::ptr_eq(&tables(one).unwrap(), &tables(one).unwrap()));
    }

    #[test]
    fn a_question_is_put_once_and_memory_is_bounded() {
        let known: Remembered<usize> = Remembered::new();
        let mut asked = 0;
        for number in [0, 1, 0, 1] {
            let answer = known.of(&format!("text {number}"), |_| {
                asked += 1;
                (number == 0).then_some(7)
            });
            assert_eq!(answer.as_deref(), (number == 0).then_some(&7));
        }
        assert_eq!(asked, 2, "also that there is no answer is remembered");
        for number in 0..TEXTS + 5 {
            known.of(&format!("text {number}"), |_| Some(number));
        }
        assert!(known.known.read().unwrap().len() <= TEXTS);
    }

    #[test]
    fn indexes_that_differ_by_their_names_alone_are_read_once() {
        let keys = |definition: &str| index_keys(definition).unwrap();
        let one = keys("CREATE INDEX a_at ON public.a USING btree (at DESC) WHERE (at > 0)");
        let other = keys("CREATE INDEX b_at ON ONLY shop.b USING btree (at DESC) WHERE (at > 0)");
        assert!(Arc::ptr_eq(&one, &other));
        for (another, is_alike) in [
            (
                "CREATE UNIQUE INDEX a_at ON public.a USING btree (at DESC) WHERE (at > 0)",
                false,
            ),
            (
                "CREATE INDEX a_at ON public.a USING btree (at) WHERE (at > 0)",
                false,
            ),
            (
                "CREATE INDEX \"a USING b\" ON public.a USING btree (at DESC) WHERE (at > 0)",
                true,
            ),
            (
                "CREATE INDEX \" ON \" ON \"USING\".\" USING \" USING btree (at DESC) WHERE (at > 0)",
                true,
            ),
        ] {
            assert!(!Arc::ptr_eq(&one, &keys(another)), "{another}");
            assert_eq!(one == keys(another), is_alike, "{another}");
        }
        assert_eq!(
            index_keys("CREATE INDEX a; DROP TABLE b ON c USING btree (d)"),
            None
        );
    }
}

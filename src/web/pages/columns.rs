//! The columns of a table, as far as they are known: a part of its page.
//!
//! Nobody reads all columns of all tables. What rules and index advice read of them, and what the definitions of indexes say, is
//! told; the rest is not known, and is told so.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::indexes::IndexLine;
use super::present;
use crate::model::column::ColumnNow;
use crate::model::column_statistics::Sample;
use crate::model::remedy::quote_identifier;
use crate::model::unit::{bytes_for_people, count_for_people};
use crate::sql::expression::unquoted;
use crate::sql::index_keys::{IndexKeys, index_keys};

/// Columns of a table of which something is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Columns {
    /// By name. Others are not known.
    pub columns: Vec<ColumnLine>,
    /// Indexes of which it is not known what they hold.
    pub indexes_unread: usize,
}

/// One column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ColumnLine {
    /// Its name.
    pub name: String,
    /// Its type as SQL spells it; null where it is not known.
    pub type_name: Option<String>,
    /// Whether the primary key holds it.
    pub is_in_primary_key: bool,
    /// Whether it is NOT NULL, by itself or by its domain; null where it is not known.
    pub is_not_null: Option<bool>,
    /// Indexes that hold it.
    pub indexes: Vec<Held>,
    /// The share of NULLs, 0 to 1; null where it is not known.
    pub null_ratio: Option<f64>,
    /// How many different values there are; negative: their share of the rows. Null where it is not known.
    pub distinct_values: Option<f64>,
    /// How many bytes a value that is not NULL takes on average; null where it is not known.
    pub average_width_bytes: Option<f64>,
    /// Why the last three are not known; null where they are.
    pub statistics_unknown_because: Option<String>,
    #[serde(skip)]
    #[schema(ignore)]
    is_not_readable: bool,
}

/// An index that holds a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Held {
    /// Its name.
    pub index: String,
    /// Which key the column is, from 1; null where the index only carries it along (INCLUDE).
    pub key: Option<usize>,
}

impl Held {
    /// Where it stands, in words.
    pub(super) fn place(&self) -> String {
        match self.key {
            Some(key) => format!("key {key}"),
            None => "carried along".to_owned(),
        }
    }
}

impl ColumnLine {
    /// Whether it may be NULL, in a word or two; none where that is not known.
    pub(super) fn null(&self) -> Option<&'static str> {
        self.is_not_null.map(|is_not_null| match is_not_null {
            true => "not allowed",
            false => "allowed",
        })
    }

    /// Whether a GRANT makes its statistics known.
    pub(super) fn needs_select(&self) -> bool {
        self.is_not_readable
    }

    pub(super) fn nulls(&self) -> String {
        self.null_ratio.map_or_else(String::new, present::percent)
    }

    /// As pg_stats has it, negative numbers are a share of the rows.
    pub(super) fn distinct(&self) -> String {
        match self.distinct_values {
            None => String::new(),
            Some(share) if share < 0.0 => format!("{} of the rows", present::percent(-share)),
            Some(number) => count_for_people(number),
        }
    }

    pub(super) fn width(&self) -> String {
        self.average_width_bytes
            .map_or_else(String::new, bytes_for_people)
    }

    fn take(&mut self, known: ColumnNow) {
        self.type_name = known.type_name;
        self.is_not_null = known.is_not_null;
        let because = match known.sample {
            Some(Sample::Known(sample)) => {
                self.null_ratio = Some(sample.null_ratio);
                self.distinct_values = Some(sample.distinct_values);
                self.average_width_bytes = Some(sample.width_bytes);
                return;
            }
            Some(Sample::NotAnalyzed) => "it was never analyzed",
            Some(Sample::NotReadable) => "the login that asked has no SELECT on it",
            Some(Sample::BehindPolicy) => "a policy of the table hides it",
            None => return,
        };
        self.is_not_readable = known.sample == Some(Sample::NotReadable);
        self.statistics_unknown_because = Some(because.to_owned());
    }
}

/// What stands for a constant in the definition of an index.
const MASK: &str = "\u{2026}";

/// The column that a key of an index is; none where it is an expression.
fn column_of(key: &str) -> Option<String> {
    let name = unquoted(key);
    (name != MASK && quote_identifier(&name) == key).then_some(name)
}

/// What an index holds. Where only a number can stand, as in `character varying(20)`, SQL does not take the mask of one.
fn taken_apart(definition: &str) -> Option<IndexKeys> {
    let with_numbers = || index_keys(&definition.replace(MASK, "0"));
    // within a quoted name it is no mask
    let or_with_numbers = || (!definition.contains('"')).then(with_numbers).flatten();
    index_keys(definition).or_else(or_with_numbers)
}

impl Columns {
    /// What is known of columns, put together with what the indexes hold; and why no statistics of the database are known,
    /// where that is so.
    pub(super) fn of(
        known: Vec<ColumnNow>,
        indexes: &[IndexLine],
        statistics_unknown_because: Option<&str>,
    ) -> Self {
        let mut found: BTreeMap<String, ColumnLine> = BTreeMap::new();
        let mut indexes_unread = 0;
        for index in indexes {
            let now = &index.total.now;
            let Some(read) = now.definition.as_deref().and_then(taken_apart) else {
                indexes_unread += 1;
                continue;
            };
            let keys = (1..).zip(read.keys.iter().map(|key| key.text.as_str()));
            let keys = keys.map(|(number, text)| (Some(number), text));
            let carried = read.include.iter().map(|text| (None, text.as_str()));
            for (key, text) in keys.chain(carried) {
                let Some(name) = column_of(text) else { continue };
                let line = found.entry(name).or_default();
                line.is_in_primary_key |= now.is_primary && key.is_some();
                line.indexes.push(Held {
                    index: now.name.clone(),
                    key,
                });
            }
        }
        for column in known {
            found.entry(column.name.clone()).or_default().take(column);
        }
        let line = |(name, mut line): (String, ColumnLine)| {
            if line.null_ratio.is_none() && line.statistics_unknown_because.is_none() {
                let because = statistics_unknown_because.unwrap_or("not asked for");
                line.statistics_unknown_because = Some(because.to_owned());
            }
            // a primary key holds no NULL
            line.is_not_null = line.is_in_primary_key.then_some(true).or(line.is_not_null);
            ColumnLine { name, ..line }
        };
        Self {
            columns: found.into_iter().map(line).collect(),
            indexes_unread,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::column_statistics::ColumnSample;
    use crate::model::relation::{IndexNow, IndexTotal};
    use crate::web::pages::range::Range;

    fn index(name: &str, definition: Option<&str>, is_primary: bool) -> IndexTotal {
        IndexTotal {
            now: IndexNow {
                name: name.into(),
                definition: definition.map(str::to_owned),
                is_primary,
                ..IndexNow::default()
            },
            ..IndexTotal::default()
        }
    }

    fn of(known: Vec<ColumnNow>, indexes: Vec<IndexTotal>) -> Columns {
        Columns::of(
            known,
            &IndexLine::list(("main", "app"), Range::Day, indexes, &[]),
            None,
        )
    }

    fn column(name: &str, sample: Option<Sample>) -> ColumnNow {
        ColumnNow {
            name: name.into(),
            type_name: Some("bigint".into()),
            is_not_null: None,
            sample,
        }
    }

    #[test]
    fn a_column_is_told_with_each_index_that_holds_it_and_where() {
        let told = of(
            vec![column("b", None)],
            vec![
                index(
                    "t_pkey",
                    Some("CREATE UNIQUE INDEX t_pkey ON public.t USING btree (id)"),
                    true,
                ),
                index(
                    "t_b",
                    Some(
                        "CREATE INDEX t_b ON public.t USING btree (\"B c\", lower(d), b) INCLUDE (id) WHERE (b = \u{2026})",
                    ),
                    false,
                ),
                index("unread", None, false),
            ],
        );
        let line = |name: &str| told.columns.iter().find(|line| line.name == name).unwrap();
        let places = |name: &str| {
            let held = line(name).indexes.iter();
            held.map(|held| format!("{} {}", held.index, held.place()))
                .collect::<Vec<_>>()
        };
        assert_eq!(places("id"), ["t_pkey key 1", "t_b carried along"]);
        assert_eq!(places("B c"), ["t_b key 1"]);
        assert_eq!(places("b"), ["t_b key 3"]);
        assert_eq!(told.columns.len(), 3, "an expression is no column: {told:?}");
        assert!(line("id").is_in_primary_key && !line("b").is_in_primary_key);
        assert_eq!(line("b").type_name.as_deref(), Some("bigint"));
        assert_eq!((line("id").type_name.as_deref(), told.indexes_unread), (None, 1));
    }

    #[test]
    fn whether_it_may_be_null_is_told_where_it_is_known() {
        let known = |name: &str, is_not_null| ColumnNow {
            is_not_null,
            ..column(name, None)
        };
        let key = "CREATE UNIQUE INDEX t_pkey ON public.t USING btree (id)";
        let told = of(
            vec![known("a", Some(true)), known("b", Some(false)), known("c", None)],
            vec![index("t_pkey", Some(key), true)],
        );
        let nulls: Vec<_> = told.columns.iter().map(ColumnLine::null).collect();
        assert_eq!(
            nulls,
            [Some("not allowed"), Some("allowed"), None, Some("not allowed")]
        );
    }

    #[test]
    fn what_stands_for_a_constant_is_no_column() {
        let definition = |keys: &str| format!("CREATE INDEX i ON public.t USING btree ({keys})");
        for keys in ["a, \u{2026}", "a, ((b)::character varying(\u{2026}))"] {
            let told = of(vec![], vec![index("i", Some(&definition(keys)), false)]);
            let names: Vec<&str> = told.columns.iter().map(|line| line.name.as_str()).collect();
            assert_eq!((names, told.indexes_unread), (vec!["a"], 0), "{keys}");
        }
    }

    #[test]
    fn statistics_are_told_or_why_they_are_not_known() {
        let sample = |distinct_values| {
            Some(Sample::Known(ColumnSample {
                null_ratio: 0.25,
                distinct_values,
                width_bytes: 37.0,
                ..ColumnSample::default()
            }))
        };
        let told = of(
            vec![
                column("a", sample(-0.5)),
                column("b", sample(1200.0)),
                column("c", Some(Sample::NotReadable)),
                column("d", None),
            ],
            vec![],
        );
        let [a, b, c, d] = &told.columns[..] else {
            panic!("four columns")
        };
        assert_eq!(
            [a.nulls(), a.distinct(), a.width()],
            ["25 %", "50 % of the rows", "37 B"]
        );
        assert_eq!(b.distinct(), "1\u{202f}200");
        assert!(c.needs_select() && c.null_ratio.is_none() && c.statistics_unknown_because.is_some());
        assert_eq!(
            (c.average_width_bytes, c.width()),
            (None, String::new()),
            "absent is not zero"
        );
        assert!(!d.needs_select());
        assert_eq!(d.statistics_unknown_because.as_deref(), Some("not asked for"));
        let failed = Columns::of(
            vec![column("a", sample(5.0)), column("b", None)],
            &[],
            Some("refused"),
        );
        let why: Vec<Option<&str>> = failed
            .columns
            .iter()
            .map(|line| line.statistics_unknown_because.as_deref())
            .collect();
        assert_eq!(why, [None, Some("refused")]);
    }
}

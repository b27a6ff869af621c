//! The index of trigrams that finds a text anywhere, where the extension for it is at hand.

use std::collections::BTreeSet;

use super::{Search, partitions};
use crate::model::catalog::TableFacts;
use crate::model::observation::DatabaseObservation;
use crate::model::remedy::{EXTENSIONS_SCHEMA, Remedy, Statement, qualified, quote_identifier};
use crate::rules::{Guards, Place, settings};
use crate::sql::shape::Searched;

/// Bytes of a name that the table and the column may take.
const NAME_BYTES: usize = 48;
const EXTENSION: &str = "pg_trgm";

/// Whether the extension that indexes trigrams is at hand.
pub(super) enum Trigrams {
    /// In this schema of the database.
    Installed(String),
    /// It can be created, or is in the database already and nobody could read that.
    Offered,
    /// Its files are not on the server.
    Missing,
    Unknown,
}

impl Trigrams {
    pub(super) fn of(place: &Place<'_>, database: &DatabaseObservation) -> Self {
        let schema = database.schema.as_ref().ok();
        let installed = schema.and_then(|schema| schema.facts.trigrams_schema.clone());
        match (installed, place.observation.server.offers_trigrams) {
            (Some(schema), _) => Self::Installed(schema),
            (None, Some(true)) => Self::Offered,
            (None, Some(false)) => Self::Missing,
            (None, None) => Self::Unknown,
        }
    }

    pub(super) fn guard(&self, guards: &mut Guards) {
        match self {
            Self::Installed(_) => guards.checked("the extension pg_trgm is installed in its database"),
            Self::Offered => guards.checked("the extension pg_trgm can be created on this server"),
            Self::Missing => guards.checked("the extension pg_trgm is not on this server"),
            Self::Unknown => {
                guards.not_checked("whether the extension pg_trgm can be created on this server")
            }
        }
    }

    /// What comes before the index.
    fn create_extension(&self) -> Option<String> {
        let is_there = matches!(self, Self::Installed(_));
        (!is_there).then(|| Statement::CreateExtension { name: EXTENSION }.sql())
    }

    /// The operator class as the statement names it.
    fn operator_class(&self) -> String {
        const CLASS: &str = "gin_trgm_ops";
        // the search_path of whoever runs this may lead elsewhere
        match self {
            Self::Installed(schema) => qualified(schema, CLASS),
            Self::Offered | Self::Missing | Self::Unknown => qualified(EXTENSIONS_SCHEMA, CLASS),
        }
    }
}

/// What is indexed.
pub(super) struct Indexed {
    /// The column or expression, as it is to be run: whatever stands in a search_path, it is PostgreSQL's own function.
    pub(super) key: String,
    /// As PostgreSQL tells it of an index: of a text, and of another type of text.
    pub(super) told: [String; 2],
    /// What the name of the index says of it.
    pub(super) stem: String,
}

impl Indexed {
    /// What a search can read an index by; none where it is an expression of which it is not known that it can be indexed: whether a
    /// function is immutable the text does not tell.
    fn of(column: &Searched) -> Option<Self> {
        let name = quote_identifier(&column.column);
        match (column.is_plain, column.letter_case) {
            (true, _) => Some(Self {
                told: [name.clone(), name.clone()],
                key: name,
                stem: column.column.clone(),
            }),
            (false, Some(function)) => Some(Self {
                told: [
                    format!("{function}({name})"),
                    format!("{function}(({name})::text)"),
                ],
                key: format!("pg_catalog.{function}({name})"),
                stem: format!("{function}_{}", column.column),
            }),
            (false, None) => None,
        }
    }
}

pub(super) fn remedy(place: &Place<'_>, search: &Search<'_>, trigrams: &Trigrams) -> Remedy {
    let caveats = [
        "Such an index is often as large as the column, and every row that is written is taken apart for it.",
        "It helps patterns with at least three letters in a row. For whole words a full-text index is smaller.",
    ];
    let mut remedy = Remedy {
        caveats: caveats.map(str::to_owned).into(),
        ..Remedy::default()
    };
    let server = &place.observation.server;
    let before = settings::before_create(server, EXTENSION);
    let indexed = match &search.columns[..] {
        [column] => Indexed::of(column),
        _ => None,
    };
    let why_not = match (indexed, &search.columns[..]) {
        _ if server.is_standby => "This is a standby: make the index on its primary.",
        _ if matches!(trigrams, Trigrams::Missing) => {
            let way = before.unwrap_or_else(|| {
                "Install the package with PostgreSQL's additional modules (contrib) for its version; then the extension can be \
                 created."
                    .to_owned()
            });
            let missing = "The server does not have the extension pg_trgm (pg_available_extensions).";
            remedy.caveats.push(format!("{missing} {way}"));
            return remedy;
        }
        (Some(indexed), _) => {
            create(&mut remedy, search, &indexed, trigrams);
            if trigrams.create_extension().is_some() {
                remedy.caveats.extend(before);
            }
            return remedy;
        }
        (None, [_]) => {
            "The column is searched as an expression (a function, a cast): the index must be on that very expression, which must be \
             immutable for that."
        }
        _ => {
            "Several columns are searched, and which of them with a leading wildcard is not known: index only those."
        }
    };
    remedy.caveats.push(why_not.to_owned());
    remedy
}

/// The index of one table, `(concurrently, only)`.
pub(super) fn create_index(
    table: &TableFacts,
    name: &str,
    (indexed, trigrams): (&Indexed, &Trigrams),
    (concurrently, only): (bool, bool),
) -> String {
    Statement::CreateIndex {
        concurrently,
        only,
        name: Some(name.to_owned()),
        schema: table.schema.clone(),
        table: table.name.clone(),
        method: "gin",
        keys: vec![format!("{} {}", indexed.key, trigrams.operator_class())],
        include: Vec::new(),
        predicate: None,
    }
    .sql()
}

fn create(remedy: &mut Remedy, search: &Search<'_>, indexed: &Indexed, trigrams: &Trigrams) {
    let mut names = Names::of(search.database);
    let name = names.free(search.table, &indexed.stem);
    remedy.apply_sql = trigrams.create_extension().into_iter().collect();
    remedy.rewrites_table = Some(false);
    if search.table.kind == 'p' {
        partitions::create(remedy, (search, indexed, trigrams), &mut names, &name);
    } else {
        let index = create_index(search.table, &name, (indexed, trigrams), (true, false));
        let schema = search.table.schema.clone();
        remedy.apply_sql.push(index);
        remedy.undo_sql = vec![Statement::DropIndexConcurrently { schema, name }.sql()];
        remedy.lock = Some("SHARE UPDATE EXCLUSIVE".to_owned());
    }
    remedy.caveats.push(
        "The column must be text or varchar. If the build fails it leaves an index that is not valid: drop that, then try again."
            .to_owned(),
    );
}

/// Names for indexes that nothing in their schemas has.
pub(super) struct Names<'a> {
    database: &'a DatabaseObservation,
    /// Schemas and names.
    given: BTreeSet<(String, String)>,
}

impl<'a> Names<'a> {
    fn of(database: &'a DatabaseObservation) -> Self {
        Self {
            database,
            given: BTreeSet::new(),
        }
    }

    /// Another one, for an index of a table.
    pub(super) fn free(&mut self, table: &TableFacts, stem: &str) -> String {
        let stem = format!("{}_{stem}", table.name);
        let stem = crate::sql::cut(&stem, NAME_BYTES);
        let mut number = 1_u32;
        loop {
            let name = match number {
                1 => format!("{stem}_trgm_idx"),
                number => format!("{stem}_trgm_idx{number}"),
            };
            let is_free = !self.database.catalog.is_taken(&table.schema, &name);
            if is_free && self.given.insert((table.schema.clone(), name.clone())) {
                return name;
            }
            number += 1;
        }
    }
}

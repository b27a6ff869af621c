//! The index of trigrams that finds a text anywhere, where the extension for it is at hand.

use super::Search;
use crate::model::catalog::TableFacts;
use crate::model::observation::DatabaseObservation;
use crate::model::remedy::{Remedy, Statement, qualified, quote_identifier};
use crate::rules::{Guards, Place, settings};

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
        match self {
            // most sessions have it in their path, and the name reads better bare
            Self::Installed(schema) if schema != "public" => qualified(schema, CLASS),
            _ => CLASS.to_owned(),
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
    let why_not = match &search.columns[..] {
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
        _ if search.table.kind == 'p' => {
            "The table is partitioned: make the index on each partition with CONCURRENTLY, then attach them."
        }
        [column] if column.is_plain => {
            create(&mut remedy, search, &column.column, trigrams);
            if trigrams.create_extension().is_some() {
                remedy.caveats.extend(before);
            }
            return remedy;
        }
        [_] => {
            "The column is searched as an expression (lower, a cast): the index must be on that very expression."
        }
        _ => {
            "Several columns are searched, and which of them with a leading wildcard is not known: index only those."
        }
    };
    remedy.caveats.push(why_not.to_owned());
    remedy
}

fn create(remedy: &mut Remedy, search: &Search<'_>, column: &str, trigrams: &Trigrams) {
    let Some(name) = free_name(search.database, search.table, column) else {
        return;
    };
    let schema = search.table.schema.clone();
    let index = Statement::CreateIndex {
        concurrently: true,
        only: false,
        name: Some(name.clone()),
        schema: schema.clone(),
        table: search.table.name.clone(),
        method: "gin",
        keys: vec![format!(
            "{} {}",
            quote_identifier(column),
            trigrams.operator_class()
        )],
        include: Vec::new(),
        predicate: None,
    };
    remedy.apply_sql = trigrams.create_extension().into_iter().collect();
    remedy.apply_sql.push(index.sql());
    remedy.undo_sql = vec![Statement::DropIndexConcurrently { schema, name }.sql()];
    remedy.lock = Some("SHARE UPDATE EXCLUSIVE".to_owned());
    remedy.rewrites_table = Some(false);
    remedy.caveats.push(
        "The column must be text or varchar. If the build fails it leaves an index that is not valid: drop that, then try again."
            .to_owned(),
    );
}

/// A name for the index that nothing in its schema has.
fn free_name(database: &DatabaseObservation, table: &TableFacts, column: &str) -> Option<String> {
    let schema = &table.schema;
    let stem = format!("{}_{column}", table.name);
    let stem = crate::sql::cut(&stem, NAME_BYTES);
    let is_taken = |name: &String| database.catalog.is_taken(schema, name);
    let numbers = std::iter::once(String::new()).chain((2..).map(|number: u32| number.to_string()));
    let mut names = numbers.map(|number| format!("{stem}_trgm_idx{number}"));
    names.find(|name| !is_taken(name))
}

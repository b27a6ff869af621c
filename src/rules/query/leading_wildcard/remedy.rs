//! The index of trigrams that finds a text anywhere, where the extension for it is at hand.

use super::{Search, advised};
use crate::model::advice::AdvisedIndex;
use crate::model::catalog::IndexFacts;
use crate::model::observation::DatabaseObservation;
use crate::model::remedy::{EXTENSIONS_SCHEMA, Remedy, Statement, qualified, quote_identifier};
use crate::rules::new_index::NewIndex;
use crate::rules::{Guards, Place, settings};
use crate::sql::remembered::index_keys;
use crate::sql::shape::Searched;

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
    /// Whether an index is on that over all rows, by trigrams.
    fn is_on(&self, facts: &IndexFacts) -> bool {
        let keys = facts.definition.as_deref().and_then(index_keys);
        keys.is_some_and(|index| match &index.keys[..] {
            [key] => {
                let class = key.operator_class.as_deref().unwrap_or_default();
                index.method == "gin"
                    && index.predicate.is_none()
                    && self.told.contains(&key.text)
                    && class.ends_with("gin_trgm_ops")
            }
            _ => false,
        })
    }

    /// What a search can read an index by; none where it is an expression of which it is not known that it can be indexed: whether a
    /// function is immutable the text does not tell.
    pub(super) fn of(column: &Searched) -> Option<Self> {
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

/// The index, or why it is not given; where one is advised already, that.
pub(super) fn remedy(
    place: &Place<'_>,
    search: &Search<'_>,
    trigrams: &Trigrams,
    advised: Option<&AdvisedIndex>,
) -> Remedy {
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
    let can_be_built = !server.is_standby && !matches!(trigrams, Trigrams::Missing);
    if let Some(index) = advised.filter(|_| can_be_built) {
        advised::add_to(&mut remedy, server, index);
        return remedy;
    }
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

fn create(remedy: &mut Remedy, search: &Search<'_>, indexed: &Indexed, trigrams: &Trigrams) {
    remedy.apply_sql.extend(trigrams.create_extension());
    let index = NewIndex {
        database: search.database,
        stem: indexed.stem.clone(),
        ending: "_trgm_idx",
        method: "gin",
        keys: vec![format!("{} {}", indexed.key, trigrams.operator_class())],
        is_same: Box::new(|facts| indexed.is_on(facts)),
    };
    index.add_to(remedy, search.table);
    remedy.caveats.push(
        "The column must be text or varchar. If the build fails it leaves an index that is not valid: drop that, then try again."
            .to_owned(),
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::LeadingWildcard;
    use crate::model::catalog::{Catalog, IndexFacts, TableFacts};
    use crate::model::observation::Observation;
    use crate::model::partitioned_index::{ABOUT_ATTACHED, NO_UNDO};
    use crate::model::remedy::{ABOUT_ONLY, Remedy};
    use crate::rules::testing::{claims, index, observation, statement, table, tables};

    /// A search in a table of two partitions, with these indexes.
    fn observed(kind: char, indexes: Vec<IndexFacts>) -> Observation {
        let one = statement("SELECT id FROM notes WHERE lower(body) LIKE $1", 100, 100.0);
        let id = one.text.statement_id.clone();
        let mut observed = observation(vec![one], 90.0);
        observed.leading_wildcards.insert(id);
        let part = |oid: u32, name: &str, kind: char| TableFacts {
            partition_of: Some(1),
            kind,
            ..table(oid, name, 10_000.0, 1e6)
        };
        let whole = TableFacts {
            kind: 'p',
            ..table(1, "notes", -1.0, 0.0)
        };
        let mut all = vec![whole, part(3, "notes_2", kind), part(2, "notes_1", 'r')];
        // what is between holds rows in a partition of its own
        all.extend((kind == 'p').then(|| part(4, "notes_3", 'r')));
        observed.databases = tables(all.clone()).databases;
        observed.databases[0].catalog = Arc::new(Catalog::new(all.into(), indexes.into()));
        observed
    }

    fn own(oid: u32, table_oid: u32) -> IndexFacts {
        let name = format!("own_{table_oid}");
        let definition =
            format!("CREATE INDEX {name} ON public.t USING gin (lower(body) public.gin_trgm_ops)");
        IndexFacts {
            table_oid,
            definition: Some(definition.into()),
            ..index(oid, &name)
        }
    }

    #[test]
    fn one_partition_after_the_other() {
        let remedy = |kind: char, indexes: Vec<IndexFacts>| {
            claims::<LeadingWildcard>(&observed(kind, indexes))
                .unwrap()
                .remove(0)
                .remedy
        };
        let both = remedy('r', vec![]);
        assert_eq!(
            both.apply_sql[1..],
            [
                "CREATE INDEX notes_lower_body_trgm_idx ON ONLY public.notes USING gin (pg_catalog.lower(body) public.gin_trgm_ops)",
                "CREATE INDEX CONCURRENTLY notes_1_lower_body_trgm_idx ON public.notes_1 USING gin (pg_catalog.lower(body) public.gin_trgm_ops)",
                "CREATE INDEX CONCURRENTLY notes_2_lower_body_trgm_idx ON public.notes_2 USING gin (pg_catalog.lower(body) public.gin_trgm_ops)",
                "ALTER INDEX public.notes_lower_body_trgm_idx ATTACH PARTITION public.notes_2_lower_body_trgm_idx",
                "ALTER INDEX public.notes_lower_body_trgm_idx ATTACH PARTITION public.notes_1_lower_body_trgm_idx",
            ]
        );
        assert_eq!(both.undo_sql, ["DROP INDEX public.notes_lower_body_trgm_idx"]);
        let half = remedy('r', vec![own(9, 2)]);
        assert_eq!(half.apply_sql.len(), 5, "what is there is taken");
        assert!(half.apply_sql[4].ends_with("ATTACH PARTITION public.own_2"));
        assert_eq!(
            half.undo_sql,
            [
                "DROP INDEX public.notes_lower_body_trgm_idx",
                "CREATE INDEX CONCURRENTLY own_2 ON public.t USING gin (lower(body) public.gin_trgm_ops)",
            ],
            "and made again"
        );
        let says = |remedy: &Remedy, what: &str| remedy.caveats.iter().any(|told| told == what);
        assert!(says(&both, ABOUT_ONLY) && !says(&both, ABOUT_ATTACHED) && says(&half, ABOUT_ATTACHED));
        let levels = remedy('p', vec![]);
        assert_eq!(levels.apply_sql.len(), 2, "partitions of partitions");
        assert!(levels.apply_sql[1].starts_with("CREATE INDEX notes_lower_body_trgm_idx ON public.notes "));
        assert_eq!(levels.undo_sql, ["DROP INDEX public.notes_lower_body_trgm_idx"]);
        assert!(!says(&levels, NO_UNDO));
        let half = remedy('p', vec![own(9, 2)]);
        assert!(
            half.undo_sql.is_empty() && says(&half, NO_UNDO),
            "it would go, too"
        );
    }

    #[test]
    fn partitions_that_all_have_one_need_no_other() {
        let told = |indexes| claims::<LeadingWildcard>(&observed('r', indexes)).unwrap().len();
        assert_eq!(told(vec![own(9, 2), own(10, 3)]), 0);
        assert_eq!(told(vec![own(9, 2)]), 1);
    }
}

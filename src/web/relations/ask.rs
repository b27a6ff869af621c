//! What the pages of tables and indexes, and the API of the same, ask of the store.

use axum::http::Uri;
use chrono::{DateTime, Utc};

use crate::limits;
use crate::model::finding::Finding;
use crate::model::history::StatementTotal;
use crate::model::open_finding::OpenFinding;
use crate::model::relation::{RelationOrder, TableNow};
use crate::sql::{self, remembered};
use crate::store::{FindingFilter, IndexKey, Store};
use crate::web::pages::changes;
use crate::web::pages::coverage::{About, Unjudged, waiting_in};
use crate::web::pages::index::IndexPage;
use crate::web::pages::indexes::{IndexLine, IndexesPage};
use crate::web::pages::range::Range;
use crate::web::pages::relations::{INDEX_ORDERS, TABLE_ORDERS, is_about_index, is_about_table, order_of};
use crate::web::pages::statement::NamedTable;
use crate::web::pages::table::TablePage;
use crate::web::pages::tables::{TableLine, TablesPage};
use crate::web::places::known_place;
use crate::web::plans::verdict_of_advice;
use crate::web::problem::Problem;
use crate::web::query::{self, Parameters};

/// Statements that are looked through for those that name a table: their texts are parsed where nobody did it before.
const STATEMENTS_LOOKED_THROUGH: usize = 50;
/// Tables that the page of a statement leads to.
const TABLES_OF_A_STATEMENT: usize = 20;

/// The server, the database, the schema and the name of an address.
pub type RelationPath = (String, String, String, String);

/// What the address of a list asks for.
struct ListOf {
    range: Range,
    order: RelationOrder,
    places: Vec<(String, String)>,
}

impl ListOf {
    fn read(
        store: &Store,
        uri: &Uri,
        place: &(String, String),
        orders: &[RelationOrder],
    ) -> Result<Self, Problem> {
        let parameters = Parameters::read(uri, &["range", "order"])?;
        Ok(Self {
            places: known_place(store, place)?,
            range: Range::of(&parameters)?,
            order: order_of(&parameters, orders)?,
        })
    }
}

/// The open findings of a database in few words: as many as there may be, since they are counted by table; and how many there
/// are.
fn open_findings(
    store: &Store,
    (server, database): (&str, &str),
) -> Result<(Vec<OpenFinding>, usize), Problem> {
    let (open, total) = store.open_findings(server, database, limits::PAGE_ITEMS_MAXIMUM)?;
    Ok((open, total as usize))
}

/// The findings of a database that matter most, of some rules, about something of that name; and how many there are.
fn findings(
    store: &Store,
    (server, database): (&str, &str),
    rule: Option<&str>,
    about: Option<&str>,
) -> Result<(Vec<Finding>, usize), Problem> {
    let list = store.findings(&FindingFilter {
        server: Some(server.to_owned()),
        database: Some(database.to_owned()),
        rule: rule.map(str::to_owned),
        about: about.map(str::to_owned),
        limit: limits::PAGE_ITEMS,
        ..FindingFilter::default()
    })?;
    Ok((list.items, list.total as usize))
}

/// When a database was looked at last, and what of tables and indexes cannot be judged there yet.
fn known_of(
    store: &Store,
    (server, database): &(String, String),
) -> Result<(Option<DateTime<Utc>>, Vec<Unjudged>), Problem> {
    let told = store.rules_that_told(server)?;
    let waiting = waiting_in(
        &store.rule_outcomes()?,
        &told,
        (server, database),
        About::Relations,
    );
    Ok((store.relations_looked_at(server, database)?, waiting))
}

/// The tables of a database.
pub fn tables(store: &Store, uri: &Uri, place: (String, String)) -> Result<TablesPage, Problem> {
    let asked = ListOf::read(store, uri, &place, &TABLE_ORDERS)?;
    let (now, range, order) = (Utc::now(), asked.range, asked.order);
    let from = now - range.length();
    let list = store.tables(&place.0, &place.1, order, from, now, limits::PAGE_ITEMS)?;
    let (findings, total) = open_findings(store, (&place.0, &place.1))?;
    let found = (findings.as_slice(), total);
    let (looked_at, waiting) = known_of(store, &place)?;
    let page = TablesPage::build(now, place, (range, order), list, found, asked.places);
    Ok(page.as_known(looked_at, waiting))
}

/// The indexes of a database.
pub fn indexes(store: &Store, uri: &Uri, place: (String, String)) -> Result<IndexesPage, Problem> {
    let asked = ListOf::read(store, uri, &place, &INDEX_ORDERS)?;
    let (now, range, order) = (Utc::now(), asked.range, asked.order);
    let from = now - range.length();
    let list = store.indexes(&place.0, &place.1, None, order, from, now, limits::PAGE_ITEMS)?;
    let (findings, total) = findings(store, (&place.0, &place.1), Some("index.*"), None)?;
    let advice = verdict_of_advice(store, (&place.0, &place.1))?;
    let found = (findings.as_slice(), total);
    let (looked_at, waiting) = known_of(store, &place)?;
    let page = IndexesPage::build(now, place, (range, order), list, found, asked.places);
    Ok(page.with_advice(advice.as_ref()).as_known(looked_at, waiting))
}

/// One table with its indexes and the statements that name it.
pub fn table(store: &Store, uri: &Uri, path: RelationPath) -> Result<TablePage, Problem> {
    let range = Range::of(&Parameters::read(uri, &["range"])?)?;
    let (server, database, schema, name) = path;
    let table = store.table(&server, &database, &schema, &name)?;
    let table = table.ok_or_else(|| {
        Problem::not_yet(
            "This table is not known.",
            "Tables are known after the first look at their database. It may be gone, or have another name by now; a \
             partition that is partitioned itself has no page but that of the whole.",
        )
    })?;
    let now = Utc::now();
    let from = now - range.length();
    let history = store.table_history(&server, &database, &schema, &name, from, now)?;
    let before = store.table_before((&server, &database), (&schema, &name), from)?;
    let indexes = store.indexes(
        &server,
        &database,
        Some((schema.as_str(), name.as_str())),
        RelationOrder::Size,
        from,
        now,
        limits::PAGE_ITEMS,
    )?;
    let (mut findings, _) = findings(store, (&server, &database), None, Some(name.as_str()))?;
    findings.retain(|finding| is_about_table(finding.claim.object.as_ref(), &schema, &name));
    let indexes = IndexLine::list((&server, &database), range, indexes.items, &findings);
    let partitions = match table.kind {
        'p' => largest_partitions(store, (&server, &database), (&schema, &name), range, now)?,
        _ => Vec::new(),
    };
    let columns = store.columns(&server, &database, &schema, &name)?;
    let statistics_unknown_because = store.column_statistics_unknown_because(&server, &database)?;
    let statements = store.busiest_statements(
        &server,
        Some(database.as_str()),
        from,
        now,
        STATEMENTS_LOOKED_THROUGH,
    )?;
    let looked_through = statements.0.len();
    let statements = naming(&table, statements.0);
    let changes = changes::of_relations(&store.server_changes(&server)?, &database);
    let page = TablePage::build(
        now,
        (server, database),
        range,
        (table, history.unwrap_or_default(), partitions),
        (indexes, columns, statistics_unknown_because),
        (statements, looked_through),
        findings,
    );
    Ok(page
        .with_changes(changes)
        .with_size_before(before.map(|before| before.bytes)))
}

/// The largest partitions of a table, with the findings of the database that matter most.
fn largest_partitions(
    store: &Store,
    place: (&str, &str),
    table: (&str, &str),
    range: Range,
    now: DateTime<Utc>,
) -> Result<Vec<TableLine>, Problem> {
    let over = (now - range.length(), now);
    let list = store.partitions(place, table, RelationOrder::Size, over, limits::PAGE_ITEMS)?;
    let (findings, _) = open_findings(store, place)?;
    Ok(TableLine::list(place, range, list.items, &findings))
}

/// The partitions of a partitioned table, like the tables of a database.
pub fn partitions(store: &Store, uri: &Uri, path: RelationPath) -> Result<TablesPage, Problem> {
    let parameters = Parameters::read(uri, &["range", "order", "limit"])?;
    let (range, order) = (Range::of(&parameters)?, order_of(&parameters, &TABLE_ORDERS)?);
    let limit = query::limit(parameters.get("limit").as_deref())?;
    let (server, database, schema, name) = path;
    let table = store.table(&server, &database, &schema, &name)?;
    if table.is_none_or(|table| table.kind != 'p') {
        let told = format!("{schema}.{name}");
        return Err(Problem::absent("partitioned table", &told));
    }
    let now = Utc::now();
    let over = (now - range.length(), now);
    let list = store.partitions((&server, &database), (&schema, &name), order, over, limit)?;
    let (findings, total) = open_findings(store, (&server, &database))?;
    let found = (findings.as_slice(), total);
    let place = (server, database);
    let (looked_at, waiting) = known_of(store, &place)?;
    let page = TablesPage::build(now, place, (range, order), list, found, Vec::new());
    Ok(page.as_known(looked_at, waiting))
}

/// One index.
pub fn index(store: &Store, uri: &Uri, path: RelationPath) -> Result<IndexPage, Problem> {
    let range = Range::of(&Parameters::read(uri, &["range"])?)?;
    let (server, database, schema, name) = path;
    let index = store.index(&server, &database, &schema, &name)?;
    let index = index.ok_or_else(|| {
        Problem::not_yet(
            "This index is not known.",
            "Indexes are known after the first look at their database. It may be gone, or have another name by now.",
        )
    })?;
    let now = Utc::now();
    let from = now - range.length();
    let history = store.index_history(&server, &database, &schema, &name, from, now)?;
    let history = history.unwrap_or_default();
    // a point may begin before the range
    let begin = history.first().map_or(from, |point| point.from);
    let made_at = store.index_made_at((&server, &database), (&schema, &name), begin)?;
    let table = store.table_history(&server, &database, &schema, &index.table, from, now)?;
    let changes = changes::of_relations(&store.server_changes(&server)?, &database);
    let (mut findings, _) = findings(store, (&server, &database), None, Some(name.as_str()))?;
    findings.retain(|finding| is_about_index(finding, &schema, &name));
    let key = IndexKey {
        database: database.clone(),
        schema,
        name,
    };
    let on_standbys = store.scanned_on_standbys(&server, &key)?;
    let place = (server, database);
    let page = IndexPage::build(now, place, range, (index, made_at), history, findings);
    let page = page.with_standbys(on_standbys);
    Ok(page.with_changes(changes, &table.unwrap_or_default()))
}

/// Those of the statements that name the table, with its schema or with none.
fn naming(table: &TableNow, statements: Vec<StatementTotal>) -> Vec<StatementTotal> {
    let is_it = |named: &sql::Name| {
        named.name == table.name && named.schema.as_ref().is_none_or(|schema| *schema == table.schema)
    };
    let names_it = |statement: &StatementTotal| {
        let named = remembered::tables(&statement.text);
        named.is_some_and(|named| named.relations.iter().any(is_it))
    };
    statements.into_iter().filter(names_it).collect()
}

/// The tables that a statement names. One without a schema is taken for that of the schema public, if there is one.
pub fn tables_named(
    store: &Store,
    (server, database): (&str, &str),
    text: &str,
) -> Result<Vec<NamedTable>, Problem> {
    let Some(named) = remembered::tables(text) else {
        return Ok(Vec::new());
    };
    let mut tables = Vec::new();
    for relation in named.relations.iter().take(TABLES_OF_A_STATEMENT) {
        let schema = relation.schema.as_deref().unwrap_or("public");
        let is_known = store.table(server, database, schema, &relation.name)?.is_some();
        let found = is_known.then(|| schema.to_owned());
        tables.push(NamedTable {
            schema: relation.schema.clone().or(found),
            name: relation.name.clone(),
            is_known,
        });
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::history::StatementCounts;

    fn named(text: &str) -> bool {
        let table = TableNow {
            schema: "shop".into(),
            name: "Items \"x\"".into(),
            ..TableNow::default()
        };
        let statement = StatementTotal {
            statement_id: String::new(),
            database: String::new(),
            text: text.into(),
            counts: StatementCounts::default(),
            mean_seconds: 0.0,
            share_ratio: 0.0,
            before: None,
        };
        !naming(&table, vec![statement]).is_empty()
    }

    #[test]
    fn a_statement_names_a_table_with_its_schema_or_with_none() {
        assert!(named("SELECT 1 FROM \"Items \"\"x\"\"\" WHERE a = $1"));
        assert!(named("UPDATE shop.\"Items \"\"x\"\"\" SET a = $1"));
        assert!(
            !named("SELECT 1 FROM other.\"Items \"\"x\"\"\""),
            "of another schema"
        );
        assert!(!named("SELECT \"Items \"\"x\"\"\" FROM shop.t"), "a column");
        assert!(!named("SELECT 1 FROM \"items \"\"x\"\"\""), "another name");
        assert!(!named("VACUUM \"Items \"\"x\"\"\""), "no query");
    }

    #[test]
    fn tables_of_a_statement_are_known_or_only_named() {
        let store = Store::in_memory().unwrap();
        let text = "SELECT 1 FROM a JOIN s.b ON true";
        let found = tables_named(&store, ("main", "shop"), text).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|table| (table.schema.as_deref(), table.name.as_str(), table.is_known))
            .collect();
        assert_eq!(found, [(None, "a", false), (Some("s"), "b", false)]);
        assert!(
            tables_named(&store, ("main", "shop"), "SELECT FROM WHERE (")
                .unwrap()
                .is_empty()
        );
    }
}

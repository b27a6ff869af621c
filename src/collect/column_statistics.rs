//! What ANALYZE found out about the columns of large indexes. It is asked by the login that plans, since pg_stats shows
//! nothing of tables that a login may not read, and the one that looks is to read none.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{Collector, Notes};
use crate::limits;
use crate::model::catalog::{Catalog, IndexFacts, TableFacts};
use crate::model::column_statistics::{ColumnSample, ColumnStatistics, FACT, IndexedColumn, Sample};
use crate::model::observation::Unknown;
use crate::model::snapshot::ServerFacts;
use crate::model::status::Gap;
use crate::postgres::{Plan, PostgresError, Server, column, column_or_default, queries};
use crate::sql::partial::over_one_column;

/// The rules that need them.
const RULES: [&str; 1] = ["index.null_heavy"];

/// What was read last in one database, and what could not be.
#[derive(Clone)]
pub struct LastRead {
    read_at: Instant,
    statistics: Option<Arc<ColumnStatistics>>,
    gap: Option<Gap>,
}

impl Collector {
    /// Has column statistics read, too, by the login of this server: the one that plans, where there is one.
    pub fn read_statistics_as(&mut self, server: Server) {
        self.statistics_server = Some(server);
    }

    /// The column statistics of a database, read again where that is due. What cannot be read is a gap: it must not lose the
    /// look.
    pub(super) async fn column_statistics(
        &mut self,
        name: &str,
        facts: &ServerFacts,
        catalog: &Catalog,
        notes: &mut Notes,
    ) -> Option<Arc<ColumnStatistics>> {
        // what is to be changed is changed on the primary
        let server = self.statistics_server.as_ref().filter(|_| !facts.is_standby)?;
        let known = self.statistics.get(name);
        if let Some(known) = known.filter(|known| known.read_at.elapsed() < self.names_every) {
            notes.gaps.extend(known.gap.clone());
            return known.statistics.clone();
        }
        let read_at = Instant::now();
        let asked = asked(catalog);
        let read = match asked.is_empty() {
            true => Ok(ColumnStatistics::default()),
            false => read(server, name, facts.version_num, &asked).await,
        };
        if !asked.is_empty() {
            *notes.spent.entry(FACT).or_default() += read_at.elapsed().as_secs_f64();
        }
        let (statistics, gap) = match read {
            Ok(statistics) => {
                notes.look(FACT, Some(name), read_at, statistics.columns.len(), None);
                let gap = not_readable(&statistics, catalog, &facts.login);
                (Some(Arc::new(statistics)), gap)
            }
            Err(why) => {
                notes.look(FACT, Some(name), read_at, 0, Some(why.reason.clone()));
                (None, Some(why))
            }
        };
        let gap = gap.map(|why| gap_of(name, why));
        notes.gaps.extend(gap.clone());
        let last = LastRead {
            read_at,
            statistics: statistics.clone(),
            gap,
        };
        self.statistics.insert(name.to_owned(), last);
        statistics
    }
}

/// The indexes whose columns are asked for: the largest of those over one column of all rows that could be built otherwise.
fn asked(catalog: &Catalog) -> Vec<u32> {
    let is_large =
        |facts: &&IndexFacts| facts.size_bytes >= limits::COLUMN_STATISTICS_FROM_BYTES && !facts.is_needed();
    let mut large: Vec<&IndexFacts> = catalog.indexes.values().filter(is_large).collect();
    large.sort_by_key(|facts| (Reverse(facts.size_bytes as u64), facts.oid));
    let is_over_one = |facts: &&IndexFacts| facts.definition.as_deref().and_then(over_one_column).is_some();
    let largest = large.into_iter().filter(is_over_one);
    let oids = largest.map(|facts| facts.oid);
    oids.take(limits::COLUMN_STATISTICS_INDEXES).collect()
}

/// Asks the planner's login, in a session that is closed then.
async fn read(
    server: &Server,
    database: &str,
    version_num: i32,
    asked: &[u32],
) -> Result<ColumnStatistics, Unknown> {
    let reading = async {
        let plan = server.plan(database).await?;
        rows(&plan, version_num, asked).await
    };
    match tokio::time::timeout(limits::COLUMN_STATISTICS_TIMEOUT, reading).await {
        Ok(Ok(statistics)) => Ok(statistics),
        Ok(Err(error)) => Err(error.unknown(&server.conninfo().user, database)),
        Err(_) => Err(Unknown::because(format!(
            "the login {} did not answer within {} s",
            server.conninfo().user,
            limits::COLUMN_STATISTICS_TIMEOUT.as_secs()
        ))),
    }
}

async fn rows(plan: &Plan, version_num: i32, asked: &[u32]) -> Result<ColumnStatistics, PostgresError> {
    let query = queries::COLUMN_STATISTICS.on(version_num);
    let rows = plan.session().rows(query, &[(&asked, Type::OID_ARRAY)]).await?;
    Ok(ColumnStatistics {
        login: rows
            .first()
            .map(|row| column_or_default(row, "login"))
            .unwrap_or_default(),
        columns: rows.iter().filter_map(indexed_column).collect(),
        indexes_asked: asked.len(),
    })
}

fn indexed_column(row: &Row) -> Option<IndexedColumn> {
    let flag = |name: &str| column_or_default::<bool>(row, name);
    let sample = match column::<f64>(row, "null_ratio") {
        Some(null_ratio) => Sample::Known(ColumnSample {
            null_ratio,
            distinct_values: column_or_default(row, "distinct_values"),
            width_bytes: column_or_default(row, "width_bytes"),
            commonest_ratio: column(row, "commonest_ratio"),
        }),
        None if !flag("may_select") => Sample::NotReadable,
        None if flag("is_hidden") => Sample::BehindPolicy,
        None => Sample::NotAnalyzed,
    };
    let names = |name: &str| column_or_default::<Vec<String>>(row, name);
    let ancestors = names("ancestor_schemas").into_iter().zip(names("ancestor_names"));
    Some(IndexedColumn {
        index_oid: column(row, "index_oid")?,
        table_oid: column(row, "table_oid")?,
        attribute_number: column_or_default(row, "attribute_number"),
        name: column(row, "column_name")?,
        sample,
        ancestors: ancestors.collect(),
    })
}

/// Why some of them could not be read, where the login lacks the right.
fn not_readable(statistics: &ColumnStatistics, catalog: &Catalog, looks: &str) -> Option<Unknown> {
    let refused = statistics.columns.values();
    let oids: BTreeSet<u32> = refused
        .filter(|column| column.sample == Sample::NotReadable)
        .map(|column| column.table_oid)
        .collect();
    let tables: Vec<&TableFacts> = oids.iter().filter_map(|oid| catalog.tables.get(*oid)).collect();
    (!tables.is_empty()).then(|| statistics.not_readable(tables, looks))
}

/// It is no finding of advisor.privilege_gap: the login that looks is to read no table. The rules say what they lack.
fn gap_of(database: &str, why: Unknown) -> Gap {
    Gap {
        fact: FACT.to_owned(),
        database: Some(database.to_owned()),
        why: why.reason,
        remedy_sql: why.remedy_sql,
        missing_privilege: None,
        rules: RULES.map(str::to_owned).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_largest_that_may_be_built_otherwise_are_asked_for() {
        let index = |oid: u32, size_bytes: f64, keys: &str| IndexFacts {
            oid,
            size_bytes,
            is_valid: true,
            definition: Some(format!("CREATE INDEX i ON public.t USING btree ({keys})").into()),
            ..IndexFacts::default()
        };
        let unique = IndexFacts {
            is_unique: true,
            ..index(6, 9e9, "a")
        };
        let unread = IndexFacts {
            definition: None,
            ..index(7, 9e9, "a")
        };
        let indexes = vec![
            index(1, 9.9e6, "a"),
            index(2, 1e7, "a"),
            index(3, 3e7, "a"),
            index(4, 3e7, "a, b"),
            index(5, 3e7, "a) WHERE (b > 0"),
            unique,
            unread,
        ];
        assert_eq!(asked(&Catalog::new(Vec::new().into(), indexes.into())), [3, 2]);
    }

    #[test]
    fn what_the_login_may_not_read_is_a_gap_with_its_grant() {
        let table = TableFacts {
            oid: 1,
            schema: "public".into(),
            name: "t".into(),
            ..TableFacts::default()
        };
        let catalog = Catalog::new(vec![table].into(), Vec::new().into());
        let statistics = |sample: Sample| ColumnStatistics {
            login: "planner".into(),
            columns: vec![IndexedColumn {
                index_oid: 9,
                table_oid: 1,
                attribute_number: 1,
                name: "a".into(),
                sample,
                ancestors: Vec::new(),
            }]
            .into(),
            indexes_asked: 1,
        };
        for fine in [Sample::NotAnalyzed, Sample::BehindPolicy] {
            assert_eq!(not_readable(&statistics(fine), &catalog, "watcher"), None);
        }
        let why = not_readable(&statistics(Sample::NotReadable), &catalog, "watcher").unwrap();
        let gap = gap_of("app", why);
        assert_eq!(
            gap.remedy_sql.as_deref(),
            Some("GRANT SELECT ON TABLE public.t TO planner")
        );
        assert_eq!((gap.missing_privilege, gap.rules.len()), (None, 1));
    }
}

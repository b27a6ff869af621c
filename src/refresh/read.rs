//! What a refresher has to know of a database, read by its own login in a read-only session.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::graph::{Lineage, References, lineages};
use crate::limits;
use crate::model::refresh::{Inputs, MaterializedView, RelationState, ViewName};
use crate::postgres::{Observe, PostgresError, Server, column, column_or_default, queries, relation_state};

/// One database at one moment.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Its name.
    pub database: String,
    /// Now, by the server's clock.
    pub now: DateTime<Utc>,
    /// Such a server takes no REFRESH.
    pub is_standby: bool,
    /// Readers on standbys are not counted here.
    pub has_standbys: bool,
    /// Who looked.
    pub login: String,
    /// The materialized views, by OID.
    pub views: BTreeMap<u32, MaterializedView>,
    /// What each reads, by OID.
    pub lineages: BTreeMap<u32, Lineage>,
    /// What tells whether these have changed, by the OID of what a view names: all partitions of a table.
    pub relations: HashMap<u32, Vec<Relation>>,
    /// The server's clock less ours.
    pub ahead: TimeDelta,
    /// Since when counters count.
    pub epoch: String,
    /// Whether all writers count what they write.
    pub are_changes_counted: bool,
    /// A session may have written longer ago than it takes until that is counted.
    pub may_write_unseen: bool,
    /// Until PostgreSQL 14: when a session that is still connected last did anything.
    pub last_activity_at: Option<DateTime<Utc>>,
    /// The table of runs, where refreshers on several machines agree.
    pub record: Record,
    /// How long the server took for all this.
    pub spent_seconds: f64,
}

/// A relation that a view reads, or a partition of one.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Relation {
    pub oid: u32,
    pub kind: char,
    /// Whether what is written to it is counted, and all that decides what is read of it.
    pub is_counted: bool,
    pub schema: String,
    pub name: String,
    pub state: RelationState,
}

/// The table of runs.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Whether it is there and can be used.
    pub is_used: bool,
    /// Why not, where it is there.
    pub why_not: Option<String>,
    /// By schema and name: the last due moment that was taken, and when the last run started.
    pub last: HashMap<(String, String), (DateTime<Utc>, DateTime<Utc>)>,
}

impl Look {
    /// Everything that a view reads, as it is now; none where it cannot be told from this whether it has changed.
    pub fn inputs(&self, view: u32) -> Option<Inputs> {
        let lineage = self.lineages.get(&view)?;
        if !lineage.never_unchanged.is_empty() || !self.are_changes_counted {
            return None;
        }
        let mut relations = BTreeMap::new();
        for oid in lineage.relations.iter().chain(&lineage.views) {
            for relation in self.relations.get(oid)? {
                if !relation.is_counted {
                    return None;
                }
                relations.insert(relation.oid, relation.state.clone());
            }
        }
        Some(Inputs {
            epoch: self.epoch.clone(),
            definition: lineage.definition.clone(),
            relations,
        })
    }

    /// Why a view is never left as it is.
    pub fn never_unchanged(&self, view: u32) -> Vec<String> {
        let Some(lineage) = self.lineages.get(&view) else {
            return Vec::new();
        };
        let relations = lineage
            .relations
            .iter()
            .filter_map(|oid| self.relations.get(oid))
            .flatten();
        let uncounted = relations.filter(|relation| !relation.is_counted).map(|relation| {
            let what = match relation.kind {
                'f' => "is a foreign table",
                'S' => "is a sequence",
                _ => "has policies for its rows",
            };
            format!("{}.{} {what}", relation.schema, relation.name)
        });
        let counted = (!self.are_changes_counted).then(|| "some writers have track_counts off".to_owned());
        lineage
            .never_unchanged
            .iter()
            .cloned()
            .chain(uncounted)
            .chain(counted)
            .collect()
    }

    /// `schema.name` of what a view reads and is no materialized view.
    pub fn tables(&self, view: u32) -> Vec<String> {
        let oids = self.lineages.get(&view).map(|lineage| &lineage.relations);
        let roots = oids.into_iter().flatten().filter_map(|oid| {
            let members = self.relations.get(oid)?;
            members.iter().find(|member| member.oid == *oid)
        });
        let mut names: Vec<String> = roots
            .map(|root| format!("{}.{}", root.schema, root.name))
            .collect();
        names.sort_unstable();
        names
    }

    /// The materialized views that a view reads.
    pub fn upstream(&self, view: u32) -> impl Iterator<Item = &ViewName> {
        let oids = self.lineages.get(&view).map(|lineage| &lineage.views);
        let views = oids.into_iter().flatten().filter_map(|oid| self.views.get(oid));
        views.map(|view| &view.name)
    }
}

/// What the views of one database name, which is read again only when one of them changed.
#[derive(Default)]
pub struct Definitions {
    version: String,
    references: HashMap<u32, References>,
}

impl Definitions {
    async fn read(&mut self, session: &Observe, version: String) -> Result<(), PostgresError> {
        if self.version != version || self.references.is_empty() {
            let limit = (limits::RELATIONS_PER_DATABASE, 0);
            let references = session
                .bounded(queries::REFRESH_REFERENCES, limit, references_of)
                .await?;
            self.references = references.into_iter().collect();
            self.version = version;
        }
        Ok(())
    }
}

/// Looks at one database. Views that `wanted` does not name, and what only they read, are left out of the relations.
///
/// # Errors
/// If the server refuses or does not answer.
pub async fn look(
    server: &Server,
    database: &str,
    wanted: &(dyn Fn(&MaterializedView) -> bool + Sync),
    known: &mut Definitions,
) -> Result<Look, PostgresError> {
    let session = server.observe(database).await?;
    let mut look = Look {
        database: database.to_owned(),
        ..Look::default()
    };
    let mut version_num = 0;
    let mut definitions = String::new();
    let mut has_record = false;
    let long = format!("{} s", limits::STATISTICS_LAG.as_secs());
    let server = session
        .rows(queries::REFRESH_SERVER, &[(&long, Type::TEXT)])
        .await?;
    if let Some(row) = server.first() {
        look.now = column(row, "at").unwrap_or_else(Utc::now);
        look.ahead = look.now - Utc::now();
        look.are_changes_counted = column_or_default(row, "are_changes_counted");
        look.may_write_unseen = column_or_default(row, "may_write_unseen");
        look.last_activity_at = column(row, "last_activity_at");
        definitions = column_or_default(row, "definitions");
        look.is_standby = column_or_default(row, "is_standby");
        look.has_standbys = column_or_default::<i64>(row, "standbys") > 0;
        look.login = column_or_default(row, "login");
        look.epoch = column_or_default(row, "epoch");
        version_num = column_or_default(row, "version_num");
        has_record = column_or_default(row, "has_record");
        look.record.why_not = column(row, "why_no_record");
    }
    let views = session.materialized_views(version_num).await?;
    look.views = views.into_iter().map(|view| (view.oid, view)).collect();
    if look.views.values().any(wanted) {
        known.read(&session, definitions).await?;
        read_lineages(&session, &mut look, wanted, &known.references).await?;
    }
    if has_record && look.record.why_not.is_none() {
        look.record.is_used = true;
        for row in session.rows(queries::REFRESH_RECORD, &[]).await? {
            let key = (
                column_or_default(&row, "schema_name"),
                column_or_default(&row, "view_name"),
            );
            let last = column(&row, "due_at").zip(column(&row, "started_at"));
            look.record.last.extend(last.map(|last| (key, last)));
        }
    }
    look.spent_seconds = session.spent_seconds();
    Ok(look)
}

async fn read_lineages(
    session: &Observe,
    look: &mut Look,
    wanted: &(dyn Fn(&MaterializedView) -> bool + Sync),
    references: &HashMap<u32, References>,
) -> Result<(), PostgresError> {
    let oids: BTreeSet<u32> = look.views.keys().copied().collect();
    look.lineages = lineages(&oids, references);
    let read: BTreeSet<u32> = look
        .views
        .values()
        .filter(|view| wanted(view))
        .filter_map(|view| look.lineages.get(&view.oid))
        .flat_map(|lineage| lineage.relations.iter().chain(&lineage.views).copied())
        .collect();
    let read: Vec<u32> = read.into_iter().collect();
    let rows = session
        .rows(queries::REFRESH_RELATIONS, &[(&read, Type::OID_ARRAY)])
        .await?;
    for row in rows {
        let relation = Relation {
            oid: column_or_default(&row, "oid"),
            is_counted: column_or_default(&row, "is_counted"),
            kind: column_or_default::<String>(&row, "kind")
                .chars()
                .next()
                .unwrap_or('?'),
            schema: column_or_default(&row, "schema"),
            name: column_or_default(&row, "name"),
            state: relation_state(&row),
        };
        look.relations
            .entry(column_or_default(&row, "root"))
            .or_default()
            .push(relation);
    }
    Ok(())
}

fn references_of(row: &Row) -> (u32, References) {
    let references = References {
        version: column_or_default(row, "version"),
        relations: column_or_default(row, "relations"),
        changing: column_or_default(row, "changing"),
        unseen: column_or_default(row, "unseen"),
    };
    (column_or_default(row, "view"), references)
}

//! What a refresher has to know of a database, read by its own login in a read-only session.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, Type};

use super::graph::{Lineage, References, lineages};
use crate::limits;
use crate::model::refresh::{Inputs, MaterializedView, RelationState, ViewState};
use crate::postgres::{Observe, PostgresError, Server, queries};

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
    /// The materialized views.
    pub views: Vec<MaterializedView>,
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

    /// A view by its OID.
    pub fn view(&self, oid: u32) -> Option<&MaterializedView> {
        self.views.iter().find(|view| view.oid == oid)
    }
}

fn column<T: FromSqlOwned + Default>(row: &Row, name: &str) -> T {
    row.try_get::<_, Option<T>>(name)
        .ok()
        .flatten()
        .unwrap_or_default()
}

fn optional<T: FromSqlOwned>(row: &Row, name: &str) -> Option<T> {
    row.try_get::<_, Option<T>>(name).ok().flatten()
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
    if let Some(row) = session.rows(queries::REFRESH_SERVER, &[]).await?.first() {
        look.now = optional(row, "at").unwrap_or_else(Utc::now);
        look.ahead = look.now - Utc::now();
        look.are_changes_counted = column(row, "are_changes_counted");
        look.may_write_unseen = column(row, "may_write_unseen");
        look.last_activity_at = optional(row, "last_activity_at");
        definitions = column(row, "definitions");
        look.is_standby = column(row, "is_standby");
        look.has_standbys = column::<i64>(row, "standbys") > 0;
        look.login = column(row, "login");
        look.epoch = column(row, "epoch");
        version_num = column(row, "version_num");
        has_record = column(row, "has_record");
        look.record.why_not = optional(row, "why_no_record");
    }
    look.views = views(&session, version_num).await?;
    if look.views.iter().any(wanted) {
        known.read(&session, definitions).await?;
        read_lineages(&session, &mut look, wanted, &known.references).await?;
    }
    if has_record && look.record.why_not.is_none() {
        look.record.is_used = true;
        for row in session.rows(queries::REFRESH_RECORD, &[]).await? {
            let key = (column(&row, "schema_name"), column(&row, "view_name"));
            let last = optional(&row, "due_at").zip(optional(&row, "started_at"));
            look.record.last.extend(last.map(|last| (key, last)));
        }
    }
    Ok(look)
}

/// All materialized views of a database, by name.
///
/// # Errors
/// If the server refuses or does not answer.
pub async fn views(session: &Observe, version_num: i32) -> Result<Vec<MaterializedView>, PostgresError> {
    let limit = (limits::MATERIALIZED_VIEWS_PER_DATABASE, 0);
    session
        .bounded(queries::REFRESH_VIEWS.on(version_num), limit, view_of)
        .await
}

async fn read_lineages(
    session: &Observe,
    look: &mut Look,
    wanted: &(dyn Fn(&MaterializedView) -> bool + Sync),
    references: &HashMap<u32, References>,
) -> Result<(), PostgresError> {
    let oids: BTreeSet<u32> = look.views.iter().map(|view| view.oid).collect();
    look.lineages = lineages(&oids, references);
    let read: BTreeSet<u32> = look
        .views
        .iter()
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
            oid: column(&row, "oid"),
            is_counted: column(&row, "is_counted"),
            kind: column::<String>(&row, "kind").chars().next().unwrap_or('?'),
            schema: column(&row, "schema"),
            name: column(&row, "name"),
            state: RelationState {
                version: column(&row, "version"),
                filenode: column(&row, "filenode"),
                written: column(&row, "written"),
            },
        };
        look.relations
            .entry(column(&row, "root"))
            .or_default()
            .push(relation);
    }
    Ok(())
}

fn view_of(row: &Row) -> MaterializedView {
    MaterializedView {
        oid: column(row, "oid"),
        schema: column(row, "schema"),
        name: column(row, "name"),
        owner: column(row, "owner"),
        is_populated: column(row, "is_populated"),
        may_refresh: column(row, "may_refresh"),
        unique_index: optional(row, "unique_index"),
        unusable_indexes: column(row, "unusable_indexes"),
        state: ViewState {
            version: column(row, "version"),
            filenode: column(row, "filenode"),
            written: column(row, "written"),
        },
        is_busy: column(row, "is_busy"),
        busy_since: optional(row, "busy_since"),
        is_being_refreshed: column(row, "is_being_refreshed"),
        scans: column(row, "scans"),
        committed_at: optional(row, "committed_at"),
        size_bytes: column(row, "size_bytes"),
    }
}

fn references_of(row: &Row) -> (u32, References) {
    let references = References {
        version: column(row, "version"),
        relations: column(row, "relations"),
        changing: column(row, "changing"),
        unseen: column(row, "unseen"),
    };
    (column(row, "view"), references)
}

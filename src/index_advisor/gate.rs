//! The gate: what decides whether a captured statement may be planned at all. Planning runs code: functions with constant
//! arguments, operators over statistics, what a view, a policy or an index of a table says. All that planning can touch
//! must belong to PostgreSQL, to superusers (as extensions do), or to a role that the operator trusts.
//!
//! ```text
//! once   whose code is trusted; where others have code          gate_owners, gate_code
//! then   what the names of a statement may mean                 gate_names   one query a statement
//! then   all that can be touched from there                     gate_walk    one query a set of objects
//! ```
//!
//! A name that the search_path of the role does not find, and that one schema alone holds, is looked for there (admit): its
//! sessions set a path of their own.
//!
//! Functions are not resolved as the parser would, by the types of their arguments: all that the name could mean must pass.
//! So must operators. Between the gate and the planner the catalog can change, so what was found is believed for a short time
//! only, and a statement is examined right before it is planned. The gate takes no lock and runs nobody's code.

mod builtin;
mod giver;
mod meaning;
mod owners;
mod reason;
mod sole_schema;

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

pub use giver::Giver;
pub use reason::{Object, Reason};

use super::search_path::SearchPath;
use crate::limits;
use crate::postgres::{Plan, PostgresError, ServerText, column, queries};
use crate::sql::{self, Name, Names};
use meaning::Meaning;
use owners::Owners;

/// Whether a statement may be planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It may.
    Passes {
        /// OIDs of the tables, partitions and materialized views that it reaches, through views, too.
        relations: Vec<u32>,
    },
    /// It may not.
    NotPlanned(Reason),
}

/// An object as pg_depend names it: catalog and OID.
type Address = (u32, u32);

/// OIDs of catalogs, which are the same everywhere.
const PG_TYPE: u32 = 1247;
const PG_PROC: u32 = 1255;
const PG_CLASS: u32 = 1259;
const PG_OPERATOR: u32 = 2617;

/// Objects from this OID on were not made by initdb.
const FIRST_NORMAL_OID: u32 = 16_384;

/// Decides over the statements of one database, for one planning login.
pub struct Gate {
    trusted_owners: Vec<String>,
    giver: Giver,
    asked: Instant,
    owners: Owners,
    /// `None` if there are too many to look through.
    strangers: Option<Vec<Stranger>>,
    walked: HashMap<(Vec<Address>, Option<String>), Walk>,
}

/// Code of a role that is not trusted: one example for each schema.
struct Stranger {
    schema: Option<String>,
    object: Object,
    /// Whether a statement could run it while it is planned.
    could_run: bool,
    /// A table is no code, but may bring some along.
    is_code: bool,
    /// For a cast or a member of an operator class: the types that call for it.
    types: Vec<u32>,
}

impl Stranger {
    /// Whether it is a cast, or a member of an operator class, that one of these types or any statement at all calls for.
    fn is_called_for(&self, types: &[u32]) -> bool {
        let mut own = self
            .types
            .iter()
            .filter(|kind| **kind >= FIRST_NORMAL_OID)
            .peekable();
        !self.types.is_empty() && (own.peek().is_none() || own.any(|kind| types.contains(kind)))
    }

    fn is_in(&self, schemas: &[&str]) -> bool {
        self.schema
            .as_deref()
            .is_some_and(|schema| schemas.contains(&schema))
    }
}

/// What can be touched from some objects on.
#[derive(Clone)]
struct Walk {
    refused: Option<Reason>,
    relations: Vec<u32>,
    types: Vec<u32>,
    /// Trusted functions that look names up when they run, each with the search_path that it sets.
    looking_up: Vec<(Object, Option<String>)>,
}

/// What an answer is cut at.
const ROWS: i64 = limits::GATE_ROWS as i64;

/// Whether an answer may lack rows, and so proves nothing.
fn is_cut(rows: &[Row]) -> bool {
    rows.len() >= limits::GATE_ROWS
}

impl Gate {
    /// Asks whose code a database holds. Superusers are trusted; the roles named here, and the database's owner, unless
    /// the planning login is a superuser or as good as one.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn open(plan: &Plan, trusted_owners: &[String]) -> Result<Self, PostgresError> {
        let (owners, strangers) = ask(plan, trusted_owners).await?;
        Ok(Self {
            trusted_owners: trusted_owners.to_vec(),
            giver: Giver::Unknown,
            asked: Instant::now(),
            owners,
            strangers,
            walked: HashMap::new(),
        })
    }

    /// Whether only superusers are trusted, since the planning login is one, or as good as one.
    pub fn planner_is_powerful(&self) -> bool {
        self.owners.is_powerful
    }

    /// The names by which no role is known here.
    pub fn unknown_owners(&self) -> Vec<&str> {
        let is_unknown = |name: &&String| !self.owners.named.contains(name);
        let names = self.trusted_owners.iter();
        names.filter(is_unknown).map(String::as_str).collect()
    }

    /// Whether a statement that this role ran under this search_path may be planned, now.
    ///
    /// # Errors
    /// If the server does not answer; then nothing may be planned.
    pub async fn examine(
        &mut self,
        plan: &Plan,
        statement: &ServerText,
        path: &SearchPath,
        role: Option<&str>,
    ) -> Result<Passage, PostgresError> {
        if self.asked.elapsed() > limits::GATE_MEMORY {
            *self = Self::open(plan, &self.trusted_owners)
                .await?
                .for_statements_of(self.giver);
        }
        let names = match read(statement).await {
            Ok(names) => names,
            Err(why) => return Ok(Passage::NotPlanned(Reason::Unparsable(why))),
        };
        if !self.owners.is_utf8 && !statement.as_str().is_ascii() {
            return Ok(Passage::NotPlanned(Reason::Encoding));
        }
        Ok(match self.judge(plan, &names, path, role).await? {
            Ok(relations) => Passage::Passes { relations },
            Err(reason) => Passage::NotPlanned(reason),
        })
    }

    async fn judge(
        &mut self,
        plan: &Plan,
        names: &Names,
        path: &SearchPath,
        role: Option<&str>,
    ) -> Result<Result<Vec<u32>, Reason>, PostgresError> {
        let is_known_whose = role.is_some() || self.giver == Giver::Planner;
        let meaning = match resolve(plan, names, path, is_known_whose).await? {
            Ok(meaning) => meaning,
            Err(Reason::Builtin { name, why, .. }) if names.relations.is_empty() => {
                return Ok(Err(Reason::BuiltinAlone { name, why }));
            }
            Err(reason) => return Ok(Err(reason)),
        };
        let Some(strangers) = &self.strangers else {
            return Ok(Err(Reason::TooMuch));
        };
        if meaning.is_plain && !strangers.iter().any(|stranger| stranger.could_run) {
            return Ok(Ok(meaning.relations));
        }
        let walk = self.walk(plan, meaning.roots, role).await?;
        Ok(self.weigh(walk, path))
    }

    /// Whether what the walk found may run.
    fn weigh(&self, walk: Walk, path: &SearchPath) -> Result<Vec<u32>, Reason> {
        if let Some(reason) = walk.refused {
            return Err(reason);
        }
        let strangers = self.strangers.as_deref().unwrap_or_default();
        if let Some(stranger) = strangers
            .iter()
            .find(|stranger| stranger.is_called_for(&walk.types))
        {
            return Err(Reason::Stranger {
                object: stranger.object.clone(),
                by: None,
            });
        }
        let could_run = strangers.iter().any(|stranger| stranger.could_run);
        for (object, setting) in walk.looking_up {
            let own = setting
                .map(|setting| SearchPath::parse(&setting, Some(&self.owners.planner)).unwrap_or_default());
            let schemas = own.as_ref().unwrap_or(path).lookup();
            if let Some(stranger) = strangers
                .iter()
                .find(|stranger| stranger.is_in(&schemas) && (stranger.is_code || could_run))
            {
                return Err(Reason::LooksUp {
                    object,
                    stranger: Box::new(stranger.object.clone()),
                });
            }
        }
        Ok(walk.relations)
    }

    /// Walks over all that planning can touch, unless that was done a moment ago.
    async fn walk(
        &mut self,
        plan: &Plan,
        roots: BTreeSet<Address>,
        role: Option<&str>,
    ) -> Result<Walk, PostgresError> {
        let key = (roots.into_iter().collect::<Vec<_>>(), role.map(str::to_owned));
        if let Some(walk) = self.walked.get(&key) {
            return Ok(walk.clone());
        }
        let (classes, oids): (Vec<u32>, Vec<u32>) = key.0.iter().copied().unzip();
        let rows = plan
            .session()
            .rows(
                queries::GATE_WALK,
                &[
                    (&classes, Type::OID_ARRAY),
                    (&oids, Type::OID_ARRAY),
                    (&self.owners.trusted, Type::OID_ARRAY),
                    (&role, Type::TEXT),
                    (&ROWS, Type::INT8),
                ],
            )
            .await?;
        let walk = Walk::read(&rows);
        self.walked.insert(key, walk.clone());
        Ok(walk)
    }
}

/// The questions that are asked once a database.
async fn ask(
    plan: &Plan,
    trusted_owners: &[String],
) -> Result<(Owners, Option<Vec<Stranger>>), PostgresError> {
    let owners = Owners::ask(plan, trusted_owners).await?;
    let rows = plan
        .session()
        .rows(
            queries::GATE_CODE,
            &[(&owners.trusted, Type::OID_ARRAY), (&ROWS, Type::INT8)],
        )
        .await?;
    let stranger = |row: &Row| Stranger {
        schema: column(row, "schema"),
        object: object(row, "kind", "identity", "owner"),
        could_run: column(row, "could_run").unwrap_or(true),
        is_code: column(row, "is_code").unwrap_or(true),
        types: column(row, "types").unwrap_or_default(),
    };
    let strangers = (!is_cut(&rows)).then(|| rows.iter().map(stranger).collect());
    Ok((owners, strangers))
}

fn object(row: &Row, kind: &str, identity: &str, owner: &str) -> Object {
    Object {
        kind: column(row, kind).unwrap_or_else(|| "object".to_owned()),
        identity: column(row, identity).unwrap_or_else(|| "?".to_owned()),
        owner: column(row, owner),
    }
}

/// Parsing is work without a pause: it is done where it holds nobody up.
async fn read(statement: &ServerText) -> Result<Names, String> {
    let text = statement.as_str().to_owned();
    match tokio::task::spawn_blocking(move || sql::names(&text)).await {
        Ok(Ok(names)) => Ok(names),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the parser failed".to_owned()),
    }
}

/// Two columns for the server, one of schemas and one of names.
fn columns<'a>(names: impl IntoIterator<Item = &'a Name>) -> (Vec<Option<String>>, Vec<String>) {
    names
        .into_iter()
        .map(|name| (name.schema.clone(), name.name.clone()))
        .unzip()
}

/// All that the names of a statement may mean in a search_path.
async fn meanings(plan: &Plan, names: &Names, path: &SearchPath) -> Result<Vec<Row>, PostgresError> {
    let schemas: Vec<String> = path.lookup().into_iter().map(str::to_owned).collect();
    let (relation_schemas, relations) = columns(&names.relations);
    let (function_schemas, functions) = columns(&names.functions);
    let attributes: Vec<&String> = names.attributes.iter().collect();
    let (operator_schemas, operators) = columns(&names.operators);
    let (type_schemas, types) = columns(&names.types);
    plan.session()
        .rows(
            queries::GATE_NAMES,
            &[
                (&schemas, Type::TEXT_ARRAY),
                (&relation_schemas, Type::TEXT_ARRAY),
                (&relations, Type::TEXT_ARRAY),
                (&function_schemas, Type::TEXT_ARRAY),
                (&functions, Type::TEXT_ARRAY),
                (&attributes, Type::TEXT_ARRAY),
                (&operator_schemas, Type::TEXT_ARRAY),
                (&operators, Type::TEXT_ARRAY),
                (&type_schemas, Type::TEXT_ARRAY),
                (&types, Type::TEXT_ARRAY),
                (&ROWS, Type::INT8),
            ],
        )
        .await
}

/// What the names of a statement mean in a search_path.
async fn resolve(
    plan: &Plan,
    names: &Names,
    path: &SearchPath,
    is_known_whose: bool,
) -> Result<Result<Meaning, Reason>, PostgresError> {
    let rows = meanings(plan, names, path).await?;
    if is_cut(&rows) {
        return Ok(Err(Reason::TooMuch));
    }
    let mut meaning = Meaning {
        is_plain: true,
        ..Meaning::default()
    };
    let added = rows.iter().try_for_each(|row| meaning.add(row, is_known_whose));
    // one relation may have several names
    meaning.relations.sort_unstable();
    meaning.relations.dedup();
    Ok(added.map(|()| meaning))
}

impl Walk {
    fn read(rows: &[Row]) -> Self {
        let mut walk = Self {
            refused: is_cut(rows).then_some(Reason::TooMuch),
            relations: Vec::new(),
            types: Vec::new(),
            looking_up: Vec::new(),
        };
        for row in rows {
            if let Err(reason) = walk.add(row) {
                // one reason is enough; the first is as good as another
                walk.refused.get_or_insert(reason);
            }
        }
        walk
    }

    fn add(&mut self, row: &Row) -> Result<(), Reason> {
        let what: String = column(row, "what").unwrap_or_default();
        let oid: Option<u32> = column(row, "oid");
        let object = object(row, "kind", "identity", "owner");
        let detail: Option<String> = column(row, "detail");
        match what.as_str() {
            "relation" => self.relations.extend(oid),
            "type" => self.types.extend(oid),
            "text" => self.looking_up.push((object, detail)),
            "stranger" => {
                let by = column::<String>(row, "via").map(|identity| {
                    Box::new(Object {
                        kind: column(row, "via_kind").unwrap_or_default(),
                        identity,
                        owner: None,
                    })
                });
                return Err(Reason::Stranger { object, by });
            }
            "builtin" | "volatile" => {
                let name = detail.unwrap_or_default();
                let refused = match what.as_str() {
                    "volatile" => Some("is VOLATILE, and checking a value of that domain runs it"),
                    _ => builtin::refused(&name),
                };
                if let Some(why) = refused {
                    let by = Some(Box::new(object));
                    return Err(Reason::Builtin { name, why, by });
                }
            }
            "foreign" => return Err(Reason::Foreign(object.identity)),
            "row security unknown" | "row security differs" => {
                return Err(Reason::RowSecurity {
                    relation: object.identity,
                    role_is_known: what.ends_with("differs"),
                });
            }
            _ => return Err(Reason::Unreadable),
        }
        Ok(())
    }
}

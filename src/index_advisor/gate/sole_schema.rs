//! Names that the search_path of a role does not hold, since its sessions set one of their own, which nobody else can see.
//! Where a name is found in one schema only, there is nothing else that it can mean.

use std::collections::BTreeMap;

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::{Gate, Passage, Reason, is_cut, meanings, read};
use crate::index_advisor::search_path::SearchPath;
use crate::postgres::{Plan, PostgresError, ServerText, column, queries};

/// Catalogs: what they hold is not what a statement of an application means by a name of its own.
pub(super) const CATALOGS: [&str; 3] = ["pg_catalog", "information_schema", "pg_toast"];

/// Whether a search_path finds a table, a view or the like by a name.
pub(super) fn is_table(row: &Row) -> bool {
    let kind: String = column(row, "kind").unwrap_or_default();
    ["r", "p", "v", "m", "f", "S"].contains(&kind.as_str())
}

/// Why a name means nothing that the search_path finds, with the other schemas that hold such a name.
pub(super) fn not_in(name: String, mut elsewhere: Vec<String>) -> Reason {
    elsewhere.retain(|schema| !CATALOGS.contains(&schema.as_str()));
    match elsewhere.len() {
        0 => Reason::Unresolved(name),
        1 => Reason::OutsidePath {
            name,
            schema: elsewhere.remove(0),
        },
        _ => Reason::Ambiguous {
            name,
            schemas: elsewhere,
        },
    }
}

/// A relation as a statement names it.
struct Named {
    name: String,
    /// The schema in which the search_path finds it.
    schema: Option<String>,
    /// Others that hold such a name, if the statement says no schema.
    elsewhere: Vec<String>,
}

impl Gate {
    /// The search_path under which a statement of this role may be planned, now: this one, and behind it the schemas that
    /// alone hold a name of the statement, if every other name of it is found in one schema only, too. The gate examines the
    /// statement under the path that it gives.
    ///
    /// # Errors
    /// If the server does not answer; then nothing may be planned.
    pub async fn admit(
        &mut self,
        plan: &Plan,
        statement: &ServerText,
        path: &SearchPath,
        role: Option<&str>,
    ) -> Result<Result<SearchPath, Reason>, PostgresError> {
        match self.examine(plan, statement, path, role).await? {
            Passage::Passes { .. } => return Ok(Ok(path.clone())),
            Passage::NotPlanned(Reason::OutsidePath { .. }) => {}
            Passage::NotPlanned(reason) => return Ok(Err(reason)),
        }
        let wider = match wider(plan, statement, path, role).await? {
            Ok(wider) => wider,
            Err(reason) => return Ok(Err(reason)),
        };
        Ok(match self.examine(plan, statement, &wider, role).await? {
            Passage::Passes { .. } => Ok(wider),
            Passage::NotPlanned(reason) => Err(reason),
        })
    }
}

/// The path with the schemas that alone hold what it does not find; or the name of which that is not certain.
async fn wider(
    plan: &Plan,
    statement: &ServerText,
    path: &SearchPath,
    role: Option<&str>,
) -> Result<Result<SearchPath, Reason>, PostgresError> {
    let names = match read(statement).await {
        Ok(names) => names,
        Err(why) => return Ok(Err(Reason::Unparsable(why))),
    };
    let rows = meanings(plan, &names, path).await?;
    if is_cut(&rows) {
        return Ok(Err(Reason::TooMuch));
    }
    let named: Vec<Named> = rows.iter().filter_map(Named::read).collect();
    let sole = match sole_schemas(named) {
        Ok(sole) => sole,
        Err(reason) => return Ok(Err(reason)),
    };
    let schemas: Vec<&String> = sole.keys().collect();
    let wider = path.followed_by(&schemas);
    if let Some(role) = role {
        let asked: [(&(dyn ToSql + Sync), Type); 2] = [(&schemas, Type::TEXT_ARRAY), (&role, Type::TEXT)];
        let rows = plan.session().rows(queries::GATE_SCHEMAS, &asked).await?;
        let usable: Vec<String> = rows.iter().filter_map(|row| column(row, "name")).collect();
        // what its user may not use it did not mean
        let hidden = sole.iter().find(|(schema, _)| !usable.contains(*schema));
        if let Some((schema, name)) = hidden {
            return Ok(Err(Reason::OutsidePath {
                name: name.clone(),
                schema: schema.clone(),
            }));
        }
    }
    Ok(wider.ok_or(Reason::Unreadable))
}

impl Named {
    fn read(row: &Row) -> Option<Self> {
        let what: String = column(row, "what")?;
        (what == "relation").then(|| Self {
            name: column(row, "name").unwrap_or_else(|| "?".to_owned()),
            schema: column(row, "schema").filter(|_| is_table(row)),
            elsewhere: column(row, "elsewhere").unwrap_or_default(),
        })
    }
}

/// The schemas that alone hold names that the path does not find, each with such a name. Since the path is not the one that
/// the statement ran under, a name that several schemas hold is not certain, even where the path finds it.
fn sole_schemas(named: Vec<Named>) -> Result<BTreeMap<String, String>, Reason> {
    let mut sole = BTreeMap::new();
    for Named {
        name,
        schema,
        elsewhere,
    } in named
    {
        match schema {
            Some(_) if elsewhere.is_empty() => {}
            Some(schema) => {
                let schemas = [vec![schema], elsewhere].concat();
                return Err(Reason::Ambiguous { name, schemas });
            }
            None => match not_in(name, elsewhere) {
                Reason::OutsidePath { name, schema } => _ = sole.insert(schema, name),
                reason => return Err(reason),
            },
        }
    }
    Ok(sole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, schema: Option<&str>, elsewhere: &[&str]) -> Named {
        Named {
            name: name.to_owned(),
            schema: schema.map(str::to_owned),
            elsewhere: elsewhere.iter().map(|one| (*one).to_owned()).collect(),
        }
    }

    #[test]
    fn a_schema_is_taken_only_where_every_name_has_but_one() {
        let outside = || named("nokey", None, &["Sch.A \"q\""]);
        let sole = sole_schemas(vec![outside(), named("t", Some("public"), &[])]).unwrap();
        assert_eq!(
            sole,
            BTreeMap::from([("Sch.A \"q\"".to_owned(), "nokey".to_owned())])
        );
        let catalogs = sole_schemas(vec![named("tables", None, &["information_schema", "app"])]).unwrap();
        assert_eq!(
            catalogs,
            BTreeMap::from([("app".to_owned(), "tables".to_owned())])
        );
        let refused = |other: Named| sole_schemas(vec![outside(), other]).unwrap_err();
        let ambiguous = |schemas: &[&str]| Reason::Ambiguous {
            name: "t".to_owned(),
            schemas: schemas.iter().map(|one| (*one).to_owned()).collect(),
        };
        assert_eq!(
            refused(named("t", Some("public"), &["a"])),
            ambiguous(&["public", "a"]),
            "the session's own path may have found the other one"
        );
        assert_eq!(refused(named("t", None, &["a", "b"])), ambiguous(&["a", "b"]));
        assert_eq!(
            refused(named("t", None, &[])),
            Reason::Unresolved("t".to_owned()),
            "as of a temporary table"
        );
    }
}

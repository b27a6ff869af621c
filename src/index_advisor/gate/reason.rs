//! Why a statement is not planned, in words for who can change it.

use crate::model::advice::{NAMES_NO_TABLE, OF_POSTGRESQL};
use crate::model::remedy::quote_identifier;
use std::fmt;

/// An object of the server as pg_identify_object names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// As `function` or `operator`.
    pub kind: String,
    /// As `app.total(integer)`.
    pub identity: String,
    /// Whose it is, if it is somebody's.
    pub owner: Option<String>,
}

/// Why a statement is not planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Code of a role that is not trusted could run with the advisor's rights.
    Stranger {
        /// The code.
        object: Object,
        /// What of the statement's tables brings it along; `None` if the statement itself names it.
        by: Option<Box<Object>>,
    },
    /// A function of PostgreSQL itself that runs queries, or looks into the server.
    Builtin {
        /// Its name.
        name: String,
        /// What it would do.
        why: &'static str,
        /// What of the statement's tables calls it.
        by: Option<Box<Object>>,
    },
    /// The same, of a statement that names no table: no index is kept from it.
    BuiltinAlone {
        /// The function's name.
        name: String,
        /// What it would do.
        why: &'static str,
    },
    /// A trusted function looks names up when it runs, in a schema where others have code, or tables that may bring some along.
    LooksUp {
        /// The function.
        object: Object,
        /// Such an object.
        stranger: Box<Object>,
    },
    /// A foreign table: planning can connect to another server.
    Foreign(String),
    /// A table of the catalog, for which no advice is given.
    Catalog(String),
    /// Row-level security shows the planner other rows than the statement's user.
    RowSecurity {
        /// The table.
        relation: String,
        /// Whether it is known who ran the statement.
        role_is_known: bool,
    },
    /// A name that could mean several relations.
    Ambiguous {
        /// The name.
        name: String,
        /// Where it is found.
        schemas: Vec<String>,
    },
    /// A name that one schema holds that is not in the search_path.
    OutsidePath {
        /// The name.
        name: String,
        /// The only schema it is in.
        schema: String,
    },
    /// A name that means no relation, as of a temporary table.
    Unresolved(String),
    /// The planner would not see the relation that the statement's user sees.
    NoUsage {
        /// The name.
        name: String,
        /// The schema it is in.
        schema: String,
    },
    /// Names with other characters mean different things to us and to a server whose database is not UTF-8.
    Encoding,
    /// Our parser does not take it.
    Unparsable(String),
    /// It reaches more objects than are looked through.
    TooMuch,
    /// The server answered what we cannot read.
    Unreadable,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.identity)?;
        match &self.owner {
            Some(owner) => write!(f, ", owned by {owner},"),
            None => Ok(()),
        }
    }
}

/// What helps where an operator of somebody is only found by its name.
const NOT_MEANT: &str = "; where it is not meant: DROP OPERATOR, take its schema out of the search_path, or write OPERATOR(pg_catalog.…) in \
                         the statement";

/// How the operator lets code of a role run, and what that means; nothing where it is not known whose code it is.
fn how_to_trust(owner: Option<&String>) -> String {
    let Some(owner) = owner else {
        return String::new();
    };
    // TOML and JSON quote alike
    let in_toml = serde_json::Value::from(owner.as_str());
    let is_bare = !owner.is_empty() && owner.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let in_shell = match is_bare {
        true => owner.clone(),
        false => format!("'{}'", owner.replace('\'', r"'\''")),
    };
    format!(
        "; to let code of {owner} run with the rights of a login that plans and is no superuser (for one that is it has no \
         effect): trusted_owners = [{in_toml}] of the server, or advise --trust-owner={in_shell}"
    )
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not planned: ")?;
        let by = |by: &Option<Box<Object>>| {
            by.as_ref()
                .map(|by| format!(" ({} {})", by.kind, by.identity))
                .unwrap_or_default()
        };
        match self {
            Self::Stranger { object, by: place } => {
                let trust = how_to_trust(object.owner.as_ref());
                let is_by_operator = [Some(object), place.as_deref()]
                    .into_iter()
                    .flatten()
                    .any(|one| one.kind == "operator");
                let otherwise = if is_by_operator { NOT_MEANT } else { "" };
                write!(
                    f,
                    "{object} could run while planning{}{trust}{otherwise}",
                    by(place)
                )
            }
            Self::Builtin { name, why, by: place } => {
                write!(
                    f,
                    "function {name} could run while planning{}: it {why}",
                    by(place)
                )
            }
            Self::BuiltinAlone { name, why } => {
                write!(
                    f,
                    "function {name} could run while planning: it {why}; {NAMES_NO_TABLE}"
                )
            }
            Self::LooksUp { object, stranger } => write!(
                f,
                "{object} looks names up where others have objects: {stranger} could be found instead of what is meant{}",
                how_to_trust(stranger.owner.as_ref())
            ),
            Self::Foreign(name) => write!(
                f,
                "{name} is a foreign table, and planning could connect to its server"
            ),
            Self::Catalog(name) => write!(f, "{name} {OF_POSTGRESQL}"),
            Self::RowSecurity {
                relation,
                role_is_known: true,
            } => write!(
                f,
                "row-level security of {relation} applies to the planner otherwise than to the statement's user"
            ),
            Self::RowSecurity { relation, .. } => write!(
                f,
                "{relation} has row-level security, and it is not known who ran the statement"
            ),
            Self::Ambiguous { name, schemas } => {
                write!(f, "ambiguous: {name} is found in {}", schemas.join(", "))?;
                let first = schemas.first().map_or("schema", String::as_str);
                write!(
                    f,
                    ": say which in the statement, as {}.{}, or give the role that runs it a search_path that finds it (ALTER ROLE … \
                     SET search_path)",
                    quote_identifier(first),
                    quote_identifier(name)
                )
            }
            Self::OutsidePath { name, schema } => write!(
                f,
                "{name} is found only in schema {schema}, which is not in the search_path of the role that ran it, or which that \
                 role may not use: ALTER ROLE … SET search_path, GRANT USAGE ON SCHEMA"
            ),
            Self::Unresolved(name) => write!(f, "{name} is no table or view in the search_path"),
            Self::NoUsage { name, schema } => write!(
                f,
                "{name} is found in schema {schema}, which the planner may not use: GRANT USAGE ON SCHEMA to it"
            ),
            Self::Encoding => {
                f.write_str("it has characters beyond ASCII, and the database's encoding is not UTF-8")
            }
            Self::Unparsable(why) => f.write_str(why),
            Self::TooMuch => f.write_str("it reaches more objects than the gate looks through"),
            Self::Unreadable => f.write_str("the server's answer about it cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(owner: Option<&str>) -> String {
        let object = Object {
            kind: "function".to_owned(),
            identity: "app.f()".to_owned(),
            owner: owner.map(str::to_owned),
        };
        Reason::Stranger { object, by: None }.to_string()
    }

    #[test]
    fn an_operator_that_is_not_meant_can_be_kept_out() {
        let operator = Object {
            kind: "operator".to_owned(),
            identity: "public.=(integer,text)".to_owned(),
            owner: Some("mallory".to_owned()),
        };
        let told = Reason::Stranger {
            object: operator.clone(),
            by: None,
        };
        let told = told.to_string();
        for part in [
            "operator public.=(integer,text), owned by mallory, could run while planning",
            "advise --trust-owner=mallory",
            "DROP OPERATOR",
            "OPERATOR(pg_catalog.…)",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let through = Reason::Stranger {
            object: Object::default(),
            by: Some(Box::new(operator)),
        };
        assert!(through.to_string().ends_with(NOT_MEANT), "{through}");
        assert!(!stranger(None).contains("OPERATOR"));
    }

    #[test]
    fn a_statement_without_a_table_is_told_as_such() {
        let (name, why) = ("pg_get_viewdef".to_owned(), "looks into the server");
        let told = Reason::BuiltinAlone { name, why }.to_string();
        assert!(told.starts_with(
            "not planned: function pg_get_viewdef could run while planning: it looks into the server; "
        ));
        assert!(told.ends_with(NAMES_NO_TABLE), "{told}");
    }

    #[test]
    fn an_ambiguous_name_says_what_to_do() {
        let told = Reason::Ambiguous {
            name: "item".to_owned(),
            schemas: vec!["Odd one".to_owned(), "public".to_owned()],
        };
        assert_eq!(
            told.to_string(),
            "not planned: ambiguous: item is found in Odd one, public: say which in the statement, as \"Odd one\".item, or give \
             the role that runs it a search_path that finds it (ALTER ROLE … SET search_path)"
        );
    }

    #[test]
    fn how_to_trust_a_role_can_be_copied_whatever_its_name() {
        assert_eq!(
            stranger(Some("app_owner")),
            "not planned: function app.f(), owned by app_owner, could run while planning; to let code of app_owner run with \
             the rights of a login that plans and is no superuser (for one that is it has no effect): \
             trusted_owners = [\"app_owner\"] of the server, or advise --trust-owner=app_owner"
        );
        let odd = stranger(Some("O'Brien \"x\""));
        for part in [
            r#"trusted_owners = ["O'Brien \"x\""] of"#,
            r#"--trust-owner='O'\''Brien "x"'"#,
        ] {
            assert!(odd.contains(part), "{odd}");
        }
        assert_eq!(
            stranger(None),
            "not planned: function app.f() could run while planning",
            "nobody is to be trusted whom nobody knows"
        );
    }
}

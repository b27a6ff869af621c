//! The search_path under which a statement's names meant what they did.

use std::fmt;

use tokio_postgres::types::Type;

use crate::model::remedy::{NAME_BYTES, quote_identifier};
use crate::postgres::{Plan, PostgresError, queries};

/// A search_path in one spelling, so that the gate and the server cannot read it differently: `$user` expanded, every name
/// quoted where it must be, temporary tables last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SearchPath {
    schemas: Vec<String>,
}

impl SearchPath {
    /// Reads a setting as PostgreSQL reads it; without a user, `$user` stands for nothing.
    /// `None` if PostgreSQL would refuse it.
    pub fn parse(setting: &str, user: Option<&str>) -> Option<Self> {
        let names = split(setting)?;
        let expanded = names.into_iter().filter_map(|name| match name.as_str() {
            "$user" => user.map(str::to_owned),
            "pg_temp" | "" => None,
            _ => Some(name),
        });
        Some(Self {
            schemas: expanded.collect(),
        })
    }

    /// The schemas in the order in which a relation is looked for: that of PostgreSQL itself first, unless the path names it.
    pub fn lookup(&self) -> Vec<&str> {
        let own = ["pg_catalog"].into_iter().filter(|own| !self.holds(own));
        own.chain(self.schemas.iter().map(String::as_str)).collect()
    }

    /// The same with these schemas behind it; `None` if PostgreSQL would read the name of one as something else (`$user`).
    pub(super) fn followed_by(&self, schemas: &[&String]) -> Option<Self> {
        let mut wider = self.clone();
        for schema in schemas {
            if !wider.holds(schema) {
                wider.schemas.push((*schema).clone());
            }
        }
        (Self::parse(&wider.to_string(), None).as_ref() == Some(&wider)).then_some(wider)
    }

    fn holds(&self, schema: &str) -> bool {
        self.schemas.iter().any(|one| one == schema)
    }
}

/// The setting, as [`Plan::explain`] takes it.
impl fmt::Display for SearchPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for schema in &self.schemas {
            write!(f, "{}, ", quote_identifier(schema))?;
        }
        f.write_str("pg_temp")
    }
}

/// The names in a list as `"$user", public`: unquoted ones are folded to lower case, all are cut at 63 bytes.
fn split(list: &str) -> Option<Vec<String>> {
    let space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c');
    let mut rest = list.trim_start_matches(space);
    let mut names = Vec::new();
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let name;
        if let Some(quoted) = rest.strip_prefix('"') {
            (name, rest) = unquote(quoted)?;
        } else {
            let end = rest.find(|c: char| c == ',' || space(c)).unwrap_or(rest.len());
            name = rest[..end].to_ascii_lowercase();
            rest = &rest[end..];
            if name.is_empty() {
                return None;
            }
        }
        names.push(crate::sql::cut(&name, NAME_BYTES).to_owned());
        rest = rest.trim_start_matches(space);
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start_matches(space),
            None => return rest.is_empty().then_some(names),
        }
    }
}

/// What stands before the closing quote, and what follows it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                name.push('"');
                rest = next;
            }
            None => return Some((name, after)),
        }
    }
}

/// The search_path of a role's sessions in this database: as it was set for the role here, the role, the database, the
/// server; without the schemas that do not exist or that the role may not use, as PostgreSQL leaves them out.
/// What a session has set for itself nobody else can see.
///
/// # Errors
/// If the server does not answer.
pub async fn search_path_of(plan: &Plan, role: &str) -> Result<SearchPath, PostgresError> {
    let session = plan.session();
    let rows = session
        .rows(queries::GATE_SEARCH_PATH, &[(&role, Type::TEXT)])
        .await?;
    let text = |row: &tokio_postgres::Row, name: &str| row.try_get::<_, Option<String>>(name).ok().flatten();
    let given = rows.first().and_then(|row| text(row, "setting"));
    let setting = match given {
        Some(setting) => Some(setting),
        // only some logins may read the configuration file; for the others it is PostgreSQL's own default
        None if !may_read_files(&rows) => None,
        None => match session.rows(queries::GATE_FILE_SETTINGS, &[]).await {
            Ok(rows) => rows.first().and_then(|row| text(row, "setting")),
            Err(error) if error.is_privilege() => None,
            Err(error) => return Err(error),
        },
    };
    let setting = setting.or_else(|| rows.first().and_then(|row| text(row, "boot_value")));
    let path = setting.and_then(|setting| SearchPath::parse(&setting, Some(role)));
    let path = path.unwrap_or_default();
    let rows = session
        .rows(
            queries::GATE_SCHEMAS,
            &[(&path.schemas, Type::TEXT_ARRAY), (&role, Type::TEXT)],
        )
        .await?;
    let usable: Vec<String> = rows.iter().filter_map(|row| text(row, "name")).collect();
    Ok(SearchPath {
        schemas: path
            .schemas
            .into_iter()
            .filter(|schema| usable.contains(schema))
            .collect(),
    })
}

/// Whether the login may read what stands in the configuration files: one that may not is refused, which the server's log keeps.
fn may_read_files(rows: &[tokio_postgres::Row]) -> bool {
    let told = |row: &tokio_postgres::Row| row.try_get::<_, bool>("may_read_files").ok();
    rows.first().and_then(told).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(setting: &str) -> Option<String> {
        SearchPath::parse(setting, Some("Ann")).map(|path| path.to_string())
    }

    #[test]
    fn settings_are_read_as_postgresql_reads_them() {
        let cases = [
            ("\"$user\", public", Some("\"Ann\", public, pg_temp")),
            ("$user,Public", Some("\"Ann\", public, pg_temp")),
            (" a ,\t\"B\"\"c, d\" ", Some("a, \"B\"\"c, d\", pg_temp")),
            ("", Some("pg_temp")),
            ("\"\"", Some("pg_temp")),
            ("pg_temp, a", Some("a, pg_temp")),
            ("a b", None),
            ("a,", None),
            (",a", None),
            ("\"a", None),
        ];
        for (setting, expected) in cases {
            assert_eq!(read(setting).as_deref(), expected, "{setting}");
        }
        let long = "é".repeat(40);
        assert_eq!(read(&long), Some(format!("\"{}\", pg_temp", "é".repeat(31))));
    }

    #[test]
    fn postgresql_s_own_schema_comes_first_unless_named() {
        let path = |setting| SearchPath::parse(setting, None).unwrap();
        assert_eq!(path("$user, a").lookup(), ["pg_catalog", "a"]);
        assert_eq!(path("a, pg_catalog").lookup(), ["a", "pg_catalog"]);
    }

    #[test]
    fn only_a_schema_that_is_read_back_comes_behind_it() {
        let path = SearchPath::parse("a, b", None).unwrap();
        let followed = |schema: &str| {
            path.followed_by(&[&schema.to_owned()])
                .map(|path| path.to_string())
        };
        assert_eq!(
            followed("Sch.A \"q\"").as_deref(),
            Some("a, b, \"Sch.A \"\"q\"\"\", pg_temp")
        );
        assert_eq!(followed("b").as_deref(), Some("a, b, pg_temp"));
        assert_eq!(
            followed("$user"),
            None,
            "the server would take it for the login that plans"
        );
        assert_eq!(followed("pg_temp"), None);
    }

    proptest::proptest! {
        #[test]
        fn one_spelling_is_read_back(names in proptest::collection::vec("[^\u{0}]{1,15}", 0..4)) {
            let names: Vec<String> = names.into_iter().filter(|name| name != "$user" && name != "pg_temp").collect();
            let path = SearchPath { schemas: names };
            proptest::prop_assert_eq!(SearchPath::parse(&path.to_string(), None), Some(path));
        }
    }
}

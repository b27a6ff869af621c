//! The server that the libpq environment names: it is watched where the configuration names none.

use crate::configuration::secret::hidden;
use crate::configuration::{Configuration, Effective, Server};
use crate::postgres::conninfo::Environment;

/// Adds it to a configuration that names no server; whether it did.
pub fn add_server(configuration: &mut Configuration) -> bool {
    let is_missing = configuration.servers.is_empty();
    if is_missing {
        configuration.servers.push(Server {
            name: "main".to_owned(),
            ..Server::default()
        });
    }
    is_missing
}

/// Says in the values in force how that server is connected to, and which variables say so. Without any of them libpq's
/// defaults hold.
pub fn tell(values: &mut [Effective], environment: &Environment) {
    let Some(dsn) = values.iter_mut().find(|one| one.key == "servers[0].dsn") else {
        return;
    };
    let (mut pairs, mut variables) = (Vec::new(), Vec::new());
    for (keyword, variable, value) in environment.given() {
        let value = match keyword {
            "password" => "***".to_owned(),
            // a database name may be a whole connection string
            _ => quoted(&hidden(value)),
        };
        pairs.push(format!("{keyword}={value}"));
        variables.push(variable);
    }
    if !pairs.is_empty() {
        dsn.value = pairs.join(" ").into();
        dsn.from = format!("environment {}", variables.join(", "));
    }
}

/// A value as a key=value string has it.
fn quoted(value: &str) -> String {
    match value.contains(|c: char| c.is_whitespace() || c == '\'' || c == '\\') {
        true => format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'")),
        false => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rule_schemas;

    /// The connection of the server in force, and where that comes from.
    fn told(variables: &[(&str, &str)]) -> (String, String) {
        let mut configuration = Configuration::defaults(&rule_schemas());
        assert!(add_server(&mut configuration) && !add_server(&mut configuration));
        let pairs = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = Environment {
            variables: pairs.collect(),
            ..Environment::default()
        };
        let mut values = configuration.effective();
        tell(&mut values, &environment);
        let dsn = values
            .into_iter()
            .find(|one| one.key == "servers[0].dsn")
            .unwrap();
        (dsn.shown(), dsn.from)
    }

    #[test]
    fn the_server_of_the_environment_is_told_without_its_password() {
        assert_eq!(
            told(&[
                ("PGUSER", "observer"),
                ("PGHOST", "db1"),
                ("PGPASSWORD", "hunter2"),
                ("PGPORT", ""),
                ("PGTZ", "UTC")
            ]),
            (
                "\"host=db1 user=observer password=***\"".to_owned(),
                "environment PGHOST, PGUSER, PGPASSWORD".to_owned()
            )
        );
        for database in [
            "postgres://u:hunter2@h/db",
            "host=h password=hunter2",
            "host=h password='hunter2 x'",
        ] {
            let (shown, from) = told(&[("PGDATABASE", database)]);
            assert!(shown.contains("***") && !shown.contains("hunter2"), "{shown}");
            assert_eq!(from, "environment PGDATABASE");
        }
        assert_eq!(told(&[]), ("\"\"".to_owned(), "default".to_owned()));
        assert_eq!(quoted("it's a\\b"), "'it\\'s a\\\\b'");
    }
}

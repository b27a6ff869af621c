//! What has to be run on a server for the logins of the advisor.

use crate::model::remedy::{quote_identifier, quote_literal};

/// The login that looks: statistics and catalogs, no table data.
pub fn observer(login: &str) -> Vec<String> {
    vec![
        role(login, 10),
        format!("GRANT pg_monitor TO {}", quote_identifier(login)),
    ]
}

/// A login of so many connections at most. One that is there stays as it is: what is printed can be run again, as for another
/// database.
fn role(login: &str, connections: u32) -> String {
    let block = include_str!("role.sql").replace("{connections}", &connections.to_string());
    granting(&block, "{login}", login)
}

/// An extension, and the right to its schema for who uses it. One that is not there is created in `public`, or in `extensions`
/// where there is no such schema: a search_path may begin with that of an application, or with none that there is. Where there is
/// no package of it, that is a warning, and nothing else fails.
fn extension(name: &str, login: &str) -> String {
    let block = include_str!("extension.sql").replace("{extension}", name);
    granting(&block, "{login}", login)
}

/// What the login that looks reads the statements by, in the database that it connects to.
pub fn statements(login: &str) -> String {
    extension("pg_stat_statements", login)
}

/// What it needs in each database that is watched: to read how far sequences are, also those that are created later. No table's
/// data are among that.
pub fn observer_in_database(login: &str) -> Vec<String> {
    let block = of_what_comes_later(include_str!("observer.sql"), "'r', 'p', 'S'");
    vec![granting(&block, "{observer}", login)]
}

/// A block with default privileges for the roles that create things there: who owns some of these kinds, the database or a schema,
/// who may create in a schema by a GRANT of its own, and who runs it. In an empty database nobody owns any yet.
fn of_what_comes_later(block: &str, kinds: &str) -> String {
    let creators = include_str!("creators.sql").trim_end().replace("{kinds}", kinds);
    block.replace("{creators}", &creators)
}

/// A block of GRANTs with a login's name in it. It gives the search_path back, so that what follows in the same transaction
/// goes where it would have gone.
fn granting(block: &str, place: &str, login: &str) -> String {
    // a name may hold anything, but not the end of what it stands in
    let mut tag = "grants".to_owned();
    while login.contains(&tag) {
        tag.push('_');
    }
    block
        .trim_end()
        .replace("{tag}", &tag)
        .replace(place, &quote_literal(login))
}

/// What a login asks is not to fill the statistics that the advisor reads.
pub fn leave_statements(login: &str) -> String {
    format!(
        "ALTER ROLE {} SET pg_stat_statements.track = 'none'",
        quote_identifier(login)
    )
}

/// What a login plans is not to count as a scan of an index.
pub fn leave_counters(login: &str) -> String {
    format!("ALTER ROLE {} SET track_counts = off", quote_identifier(login))
}

/// The login that plans: no member of anything, and what it plans is counted nowhere.
pub fn planner(login: &str) -> Vec<String> {
    vec![role(login, 10), leave_counters(login), leave_statements(login)]
}

/// What it needs in each database whose statements it plans: to read the tables, also those that are created later, and HypoPG.
/// That is last: whatever keeps it from being created, the rights are there.
pub fn planner_in_database(login: &str) -> Vec<String> {
    let block = of_what_comes_later(include_str!("planner.sql"), "'r', 'p', 'm', 'v'");
    vec![granting(&block, "{planner}", login), extension("hypopg", login)]
}

/// The login that refreshes: as a member of the owners of the views it may what they may. Without seeing the sessions of
/// others it could not tell that nothing has changed.
pub fn refresher(login: &str) -> Vec<String> {
    vec![
        role(login, 30),
        format!("GRANT pg_read_all_stats TO {}", quote_identifier(login)),
    ]
}

/// What lets several refreshers take each due moment exactly once, in each database with views to refresh. It belongs to the
/// refresher: nobody else could put a trigger there.
pub fn refresh_record(login: &str) -> Vec<String> {
    let login = quote_identifier(login);
    vec![
        "CREATE SCHEMA IF NOT EXISTS pgadvisor".to_owned(),
        "CREATE TABLE IF NOT EXISTS pgadvisor.refresh_run (schema_name text NOT NULL, view_name text NOT NULL, \
         due_at timestamptz NOT NULL, started_at timestamptz NOT NULL, ended_at timestamptz, mode text, \
         PRIMARY KEY (schema_name, view_name, due_at))"
            .to_owned(),
        format!("ALTER TABLE pgadvisor.refresh_run OWNER TO {login}"),
        format!("ALTER SCHEMA pgadvisor OWNER TO {login}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_a_name_in_each_block() {
        for login in [
            "a",
            "O'Brien",
            "x$grants$; DROP TABLE t; --",
            "{tag}{login}{extension}",
        ] {
            let of_all = [
                observer(login),
                observer_in_database(login),
                vec![statements(login), leave_statements(login)],
                planner(login),
                planner_in_database(login),
                refresher(login),
            ];
            for sql in of_all.concat() {
                assert_eq!(crate::sql::statement_count(&sql).unwrap(), 1, "{sql}");
            }
            let named = format!("login CONSTANT text := {};", quote_literal(login));
            assert!(role(login, 10).contains(&named) && extension("hypopg", login).contains(&named));
        }
    }

    #[test]
    fn no_place_of_a_block_is_left_open() {
        let of_databases = [observer_in_database("a"), planner_in_database("a")].concat();
        for sql in [role("a", 30), extension("hypopg", "a")]
            .into_iter()
            .chain(of_databases)
        {
            assert!(!sql.contains('{') && !sql.contains('}'), "{sql}");
            assert!(
                !sql.contains("--"),
                "a comment ends what is written in one line: {sql}"
            );
        }
        assert!(role("a", 30).contains("CONNECTION LIMIT 30"));
        assert!(extension("hypopg", "a").contains("extension CONSTANT text := 'hypopg';"));
    }

    #[test]
    fn an_extension_goes_where_no_search_path_has_a_say() {
        let sql = extension("hypopg", "a");
        assert!(sql.contains("name := 'public';"), "{sql}");
        assert!(
            sql.contains("'CREATE EXTENSION IF NOT EXISTS %I SCHEMA %I', extension, name"),
            "{sql}"
        );
    }

    #[test]
    fn what_is_created_later_may_be_read_in_an_empty_database_too() {
        for (block, kinds) in [
            (observer_in_database("a"), "c.relkind IN ('r', 'p', 'S')"),
            (planner_in_database("a"), "c.relkind IN ('r', 'p', 'm', 'v')"),
        ] {
            for part in [kinds, "d.datdba", "n.nspowner", "a.grantee", "current_user"] {
                assert!(block[0].contains(part), "{part}: {}", block[0]);
            }
        }
    }

    #[test]
    fn what_may_not_be_there_is_created_last() {
        let sql = planner_in_database("a");
        let [grants, extension] = &sql[..] else {
            panic!("{sql:?}")
        };
        assert!(grants.contains("GRANT SELECT ON ALL TABLES") && extension.contains("CREATE EXTENSION"));
        assert!(
            extension.contains("pg_catalog.pg_available_extensions") && extension.contains("RAISE WARNING")
        );
    }
}

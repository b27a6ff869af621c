//! What has to be run on a server for the logins of the advisor.

use crate::model::remedy::{quote_identifier, quote_literal};

/// The login that looks: statistics and catalogs, no table data.
pub fn observer(login: &str) -> Vec<String> {
    let login = quote_identifier(login);
    vec![
        format!("CREATE ROLE {login} LOGIN CONNECTION LIMIT 10"),
        format!("GRANT pg_monitor TO {login}"),
    ]
}

/// What it needs in each database that is watched: to read how far sequences are, also those that the owners of these create
/// later. No table's data are among that.
pub fn observer_in_database(login: &str) -> Vec<String> {
    vec![granting(include_str!("observer.sql"), "{observer}", login)]
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
    let name = quote_identifier(login);
    vec![
        format!("CREATE ROLE {name} LOGIN CONNECTION LIMIT 10"),
        leave_counters(login),
        leave_statements(login),
    ]
}

/// What it needs in each database whose statements it plans: to read the tables, also those that the owners of these create
/// later, and HypoPG.
pub fn planner_in_database(login: &str) -> Vec<String> {
    vec![
        "CREATE EXTENSION IF NOT EXISTS hypopg".to_owned(),
        granting(include_str!("planner.sql"), "{planner}", login),
    ]
}

/// The login that refreshes: as a member of the owners of the views it may what they may. Without seeing the sessions of
/// others it could not tell that nothing has changed.
pub fn refresher(login: &str) -> Vec<String> {
    let login = quote_identifier(login);
    vec![
        format!("CREATE ROLE {login} LOGIN CONNECTION LIMIT 30"),
        format!("GRANT pg_read_all_stats TO {login}"),
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

//! The servers and databases that an address can name, and what is said where it names another.

use super::problem::Problem;
use crate::model::status::ServerStatus;
use crate::store::Store;

/// The names of all servers that are known; a problem where that one is not among them.
pub fn known_server(store: &Store, asked: &str) -> Result<Vec<String>, Problem> {
    let servers: Vec<String> = store.servers()?.into_iter().map(|server| server.name).collect();
    match servers.iter().any(|name| name == asked) {
        true => Ok(servers),
        false => Err(missing_server(asked, &servers)),
    }
}

/// No server of that name is among these.
pub fn missing_server(asked: &str, servers: &[String]) -> Problem {
    let known: Vec<&str> = servers.iter().map(String::as_str).collect();
    Problem::missing("server", asked, &known)
}

/// Every server with each of its databases; a problem where that place is not among them.
pub fn known_place(
    store: &Store,
    (server, database): &(String, String),
) -> Result<Vec<(String, String)>, Problem> {
    known_server(store, server)?;
    let places = places(store)?;
    let of_server = places.iter().filter(|(name, _)| name == server);
    let databases: Vec<&str> = of_server.map(|(_, database)| database.as_str()).collect();
    match databases.contains(&database.as_str()) {
        true => Ok(places),
        false => Err(Problem::missing("watched database", database, &databases)),
    }
}

/// Every server with each of its databases.
pub fn places(store: &Store) -> Result<Vec<(String, String)>, Problem> {
    let of_server = |server: ServerStatus| {
        let place = move |database| (server.name.clone(), database);
        server.databases.into_iter().map(place).collect::<Vec<_>>()
    };
    Ok(store.servers()?.into_iter().flat_map(of_server).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::sample;

    #[test]
    fn a_place_that_is_not_known_is_told_with_those_that_are() {
        let store = Store::in_memory().unwrap();
        let place = |server: &str, database: &str| (server.to_owned(), database.to_owned());
        let problem = |server: &str, database: &str| {
            let problem = known_place(&store, &place(server, database)).unwrap_err();
            format!("{} {}", problem.detail(), problem.next().unwrap())
        };
        assert_eq!(
            problem("main", "shop"),
            "There is no server \"main\". None is known yet."
        );
        store.record_server(&sample::server("main")).unwrap();
        assert_eq!(
            problem("mian", "shop"),
            "There is no server \"mian\". Known here: \"main\"."
        );
        assert_eq!(
            problem("main", "shpo"),
            "There is no watched database \"shpo\". Known here: \"shop\"."
        );
        let places = known_place(&store, &place("main", "shop")).unwrap();
        assert_eq!(places, [place("main", "shop")]);
    }
}

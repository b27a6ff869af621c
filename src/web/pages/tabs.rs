//! Links of which one holds now: the ranges and orders of a page, and the pages about one database.

use super::activity;
use super::present::url_part;
use super::range::Range;

/// One of several links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tab {
    /// What it says.
    pub label: &'static str,
    /// Where it leads, below the dashboard's root.
    pub path: String,
    /// Whether it is what is shown now.
    pub is_shown: bool,
}

/// A page about one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum View {
    Statements,
    Tables,
    Indexes,
}

impl View {
    const ALL: [Self; 3] = [Self::Statements, Self::Tables, Self::Indexes];

    /// The word in addresses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Statements => "statements",
            Self::Tables => "tables",
            Self::Indexes => "indexes",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Statements => "Statements",
            Self::Tables => "Tables",
            Self::Indexes => "Indexes",
        }
    }

    /// The address of the page.
    pub fn path(self, server: &str, database: &str) -> String {
        let (server, database) = (url_part(server), url_part(database));
        format!("/servers/{server}/{database}/{}", self.word())
    }

    /// The address of a table or an index below the page.
    pub fn path_of(self, server: &str, database: &str, schema: &str, name: &str) -> String {
        let list = self.path(server, database);
        format!("{list}/{}/{}", url_part(schema), url_part(name))
    }

    /// Links to the pages about the database, over the same range.
    pub fn tabs(self, server: &str, database: &str, range: Range) -> Vec<Tab> {
        let tab = |view: Self| Tab {
            label: view.name(),
            path: format!("{}?range={}", view.path(server, database), range.word()),
            is_shown: view == self,
        };
        let activity = Tab {
            label: "Activity",
            path: activity::path(server),
            is_shown: false,
        };
        Self::ALL.into_iter().map(tab).chain([activity]).collect()
    }

    /// Links to the same page about every database that there is.
    pub fn places(self, places: &[(String, String)], shown: (&str, &str), range: Range) -> Vec<Place> {
        let place = |(server, database): &(String, String)| Place {
            path: format!("{}?range={}", self.path(server, database), range.word()),
            is_shown: (server.as_str(), database.as_str()) == shown,
            server: server.clone(),
            database: database.clone(),
        };
        places.iter().map(place).collect()
    }

    /// The list that the address of one thing lies below: its name, and its address as it was written.
    pub fn list_above(path: &str) -> Option<(&'static str, String)> {
        let parts: Vec<&str> = path.split('/').collect();
        let ["", "servers", _, _, word, _, ..] = parts.as_slice() else {
            return None;
        };
        let view = Self::ALL.into_iter().find(|view| view.word() == *word)?;
        Some((view.name(), parts[..5].join("/")))
    }
}

/// A database that can be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The server.
    pub server: String,
    /// The database.
    pub database: String,
    /// Where it leads, below the dashboard's root.
    pub path: String,
    /// Whether it is what is shown now.
    pub is_shown: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::sample;

    #[test]
    fn addresses_hold_any_name() {
        let path = View::Tables.path_of("main", "a/b", "s\"", sample::HOSTILE);
        assert!(path.starts_with("/servers/main/a%2Fb/tables/s%22/x%22"), "{path}");
        assert_eq!(path.matches('/').count(), 6, "{path}");
        assert!(path.is_ascii() && !path.contains(['<', '"', '\n']), "{path}");
        let (label, list) = View::list_above(&path).unwrap();
        assert_eq!((label, list.as_str()), ("Tables", "/servers/main/a%2Fb/tables"));
        for other in ["/", "/servers/main/shop/tables", "/findings/a/b/tables/c/d"] {
            assert_eq!(View::list_above(other), None, "{other}");
        }
    }

    #[test]
    fn one_page_and_one_database_are_shown() {
        let tabs = View::Tables.tabs("main", "shop", Range::Week);
        let shown: Vec<&str> = tabs
            .iter()
            .filter(|tab| tab.is_shown)
            .map(|tab| tab.label)
            .collect();
        assert_eq!(shown, ["Tables"]);
        assert_eq!(tabs[2].path, "/servers/main/shop/indexes?range=7d");
        let places = ["shop", "bank"].map(|database| ("main".to_owned(), database.to_owned()));
        let places = View::Indexes.places(&places, ("main", "bank"), Range::Day);
        assert!(!places[0].is_shown && places[1].is_shown);
    }
}

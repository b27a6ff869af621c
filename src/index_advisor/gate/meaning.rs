//! What the names of a statement may mean, by what the catalogs answer.

use std::collections::BTreeSet;

use tokio_postgres::Row;

use super::sole_schema::{CATALOGS, is_table, not_in};
use super::{Address, PG_CLASS, PG_OPERATOR, PG_PROC, PG_TYPE, Reason, builtin};
use crate::postgres::column;

/// What the names of a statement may mean.
#[derive(Default)]
pub(super) struct Meaning {
    pub(super) relations: Vec<u32>,
    /// Whether nothing but the statistics of these relations can matter: no views, policies, partitions.
    pub(super) is_plain: bool,
    pub(super) roots: BTreeSet<Address>,
}

impl Meaning {
    pub(super) fn add(&mut self, row: &Row, is_known_whose: bool) -> Result<(), Reason> {
        let what: String = column(row, "what").unwrap_or_default();
        let name: String = column(row, "name").unwrap_or_else(|| "?".to_owned());
        let oid: Option<u32> = column(row, "oid");
        let class = match (what.as_str(), oid) {
            ("relation", oid) => return self.add_relation(row, name, oid, is_known_whose),
            ("builtin", _) => {
                return match builtin::refused(&name) {
                    Some(why) => Err(Reason::Builtin { name, why, by: None }),
                    None => Ok(()),
                };
            }
            ("function", Some(_)) => PG_PROC,
            ("operator", Some(_)) => PG_OPERATOR,
            ("type", Some(_)) => PG_TYPE,
            _ => return Err(Reason::Unreadable),
        };
        self.is_plain = false;
        self.roots.extend(oid.map(|oid| (class, oid)));
        Ok(())
    }

    fn add_relation(
        &mut self,
        row: &Row,
        name: String,
        oid: Option<u32>,
        is_known_whose: bool,
    ) -> Result<(), Reason> {
        let schema: String = column(row, "schema").unwrap_or_default();
        let mut elsewhere: Vec<String> = column(row, "elsewhere").unwrap_or_default();
        let Some(oid) = oid.filter(|_| is_table(row)) else {
            return Err(not_in(name, elsewhere));
        };
        if CATALOGS.contains(&schema.as_str()) {
            return Err(Reason::Catalog(format!("{schema}.{name}")));
        }
        // whose search_path it is decides which of several is meant
        if !is_known_whose && !elsewhere.is_empty() {
            elsewhere.insert(0, schema);
            return Err(Reason::Ambiguous {
                name,
                schemas: elsewhere,
            });
        }
        if column(row, "is_usable") != Some(true) {
            return Err(Reason::NoUsage { name, schema });
        }
        self.is_plain &= column(row, "is_plain") == Some(true);
        self.relations.push(oid);
        self.roots.insert((PG_CLASS, oid));
        Ok(())
    }
}

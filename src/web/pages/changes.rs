//! What happened to a server as a whole, as marks in the pictures of what it holds.

use chrono::{DateTime, Utc};

use super::history_chart::Change;
use crate::model::relation::IndexNow;
use crate::model::server_change::{ServerChange, ServerChangeKind};

fn told<'a>(changes: impl Iterator<Item = &'a ServerChange>) -> Vec<Change> {
    let change = |change: &ServerChange| Change {
        at: change.at,
        what: change.kind.told().to_owned(),
    };
    changes.map(change).collect()
}

/// What changes the numbers of statements, and those of a server.
pub fn of_statements(changes: &[ServerChange]) -> Vec<Change> {
    let concerns = |change: &&ServerChange| change.kind != ServerChangeKind::StatisticsReset;
    told(changes.iter().filter(concerns))
}

/// The indexes that the tables of a statement got, by when each was seen first.
pub fn of_indexes(made: Vec<(DateTime<Utc>, IndexNow)>) -> impl Iterator<Item = Change> {
    made.into_iter().map(|(at, index)| Change {
        at,
        what: format!("an index was seen first: {}.{}", index.schema, index.name),
    })
}

/// What changes the numbers of the tables and indexes of a database.
pub fn of_relations(changes: &[ServerChange], database: &str) -> Vec<Change> {
    let concerns = |change: &&ServerChange| {
        change.kind != ServerChangeKind::StatementsReset
            && change.database.as_ref().is_none_or(|name| name == database)
    };
    told(changes.iter().filter(concerns))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::web::pages::sample;
    use chrono::TimeDelta;

    /// So many minutes ago.
    pub(in crate::web::pages) fn change(
        kind: ServerChangeKind,
        database: Option<&str>,
        minutes_ago: i64,
    ) -> ServerChange {
        ServerChange {
            at: sample::now() - TimeDelta::minutes(minutes_ago),
            kind,
            database: database.map(str::to_owned),
        }
    }

    #[test]
    fn each_picture_is_marked_with_what_concerns_it() {
        use ServerChangeKind::*;
        let changes = [
            change(Restarted, None, 9),
            change(StatementsReset, None, 8),
            change(StatisticsReset, None, 7),
            change(StatisticsReset, Some("shop"), 6),
            change(StatisticsReset, Some("other"), 5),
        ];
        let minutes = |changes: Vec<Change>| -> Vec<i64> {
            let ago = |change: Change| (sample::now() - change.at).num_minutes();
            changes.into_iter().map(ago).collect()
        };
        assert_eq!(minutes(of_statements(&changes)), [9, 8]);
        assert_eq!(minutes(of_relations(&changes, "shop")), [9, 7, 6]);
    }

    #[test]
    fn an_index_that_its_tables_got_is_named() {
        let index = IndexNow {
            schema: "public".into(),
            name: "items_b".into(),
            ..IndexNow::default()
        };
        let told: Vec<Change> = of_indexes(vec![(sample::now(), index)]).collect();
        assert_eq!(told[0].at, sample::now());
        assert_eq!(told[0].what, "an index was seen first: public.items_b");
    }
}

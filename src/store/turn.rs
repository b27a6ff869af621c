//! What one look and its judgement leave behind, in one transaction: readers see all of it or nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::Store;
use super::columns::record_columns;
use super::earlier_load::record_earlier_load;
use super::error::StoreError;
use super::history::{
    forget_databases_but, record_databases, record_incidents, record_relations, record_server_point,
    record_statements, record_waits,
};
use super::own_planning::{record_own_scans, record_planned_texts};
use super::plans::record_plans;
use super::record::record;
use super::server_changes::record_server_changes;
use super::server_facts::record_server_facts;
use super::status::{record_activity, record_gaps, record_ignored, record_load, record_look, record_server};
use super::usage::{IndexKey, IndexUsage, save_index_usage};
use crate::model::activity::ActivityNow;
use crate::model::column::KnownColumns;
use crate::model::finding::Event;
use crate::model::history::{RelationsMinute, StatementMinute, WaitMinute};
use crate::model::incident::Sightings;
use crate::model::judgement::{Judgement, ToldPlace};
use crate::model::kept_plan::KeptPlan;
use crate::model::observation::BlockReads;
use crate::model::own_planning::{KnownOwnScans, PlannedText};
use crate::model::server_change::Landmarks;
use crate::model::server_point::ServerPoint;
use crate::model::snapshot::{Checkpoints, Setting};
use crate::model::status::{EarlierLoad, Gap, LoadPoint, Look, ServerStatus};

/// One turn of one server.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// The server, as it is after this look.
    pub status: &'a ServerStatus,
    /// What was judged.
    pub judgement: &'a Judgement,
    /// What each part of the look cost.
    pub looks: &'a [Look],
    /// What could not be seen.
    pub gaps: &'a [Gap],
    /// How busy the server was.
    pub load: &'a LoadPoint,
    /// What ended since the look before and was executing before that.
    pub earlier_load: &'a [EarlierLoad],
    /// What else was seen of the server as a whole.
    pub server_point: &'a ServerPoint,
    /// What statements did since the look before; none where the two cannot be compared.
    pub minute: Option<&'a StatementMinute>,
    /// What happened to tables and indexes, of each database whose names were read.
    pub relations: &'a [RelationsMinute],
    /// What the samples saw since the look before; none where none was taken.
    pub waits: Option<&'a WaitMinute>,
    /// What goes on just now; none where that could not be read.
    pub activity: Option<&'a ActivityNow>,
    /// Who holds others up, and transactions that are old, of each kind that could be seen.
    pub incidents: &'a [Sightings],
    /// What the planner answered about statements since the turn before.
    pub plans: &'a [KeptPlan],
    /// Settings by name; empty where they could not be read.
    pub settings: &'a BTreeMap<String, Setting>,
    /// Its checkpoints.
    pub checkpoints: Option<&'a Checkpoints>,
    /// What tells restarts, failovers and resets of statistics.
    pub landmarks: &'a Landmarks,
    /// How databases found their blocks.
    pub block_reads: &'a [BlockReads],
    /// What is known of columns, of each database whose names were read.
    pub columns: &'a [KnownColumns],
    /// Indexes whose use must be written down.
    pub changed: &'a [IndexUsage],
    /// Indexes that are gone.
    pub gone: &'a [IndexKey],
    /// Scans of indexes that planning counted; none where they are what was written down.
    pub own_scans: Option<&'a [KnownOwnScans]>,
    /// The texts that were planned of late; none where they are what was written down.
    pub planned_texts: Option<&'a [PlannedText]>,
}

impl Store {
    /// Writes down one turn; gives the events that it made, in order.
    ///
    /// # Errors
    /// If the store fails; then nothing of it is written.
    pub fn record_turn(&self, now: DateTime<Utc>, turn: &Turn<'_>) -> Result<Vec<Event>, StoreError> {
        let server = &turn.status.name;
        self.write(|tx| {
            save_index_usage(tx, server, turn.changed, turn.gone)?;
            record_own_scans(tx, server, turn.own_scans)?;
            record_planned_texts(tx, server, turn.planned_texts)?;
            let events = record(tx, server, now, turn.judgement)?;
            record_gaps(tx, server, turn.gaps)?;
            record_ignored(tx, server, &turn.judgement.ignored)?;
            for look in turn.looks {
                record_look(tx, look)?;
            }
            if let Some(minute) = turn.minute {
                record_statements(tx, &self.inner.numbers, server, now, minute)?;
                record_databases(tx, &self.inner.numbers, server, now, minute)?;
            }
            if !turn.relations.is_empty() {
                forget_databases_but(tx, server, &turn.status.databases)?;
            }
            for minute in turn.relations {
                record_relations(tx, &self.inner.numbers, server, now, minute)?;
            }
            if let Some(minute) = turn.waits {
                record_waits(tx, &self.inner.numbers, server, now, minute)?;
            }
            record_plans(tx, server, now, turn.plans)?;
            record_activity(tx, server, turn.activity)?;
            record_incidents(tx, server, now, turn.incidents)?;
            record_server_facts(tx, server, turn.settings, turn.checkpoints, turn.block_reads)?;
            record_server_changes(tx, server, now, turn.landmarks)?;
            record_columns(tx, server, &turn.status.databases, turn.columns)?;
            record_earlier_load(tx, server, turn.earlier_load)?;
            record_load(tx, server, turn.load)?;
            record_server_point(tx, server, turn.server_point)?;
            record_server(tx, turn.status)?;
            Ok(events)
        })
    }

    /// Where the last judgement of a server could judge which rules, if only for what nobody hears of elsewhere.
    ///
    /// # Errors
    /// If the store fails.
    pub fn told_places(&self, server: &str) -> Result<Vec<ToldPlace>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT rule, nullif(database, '') FROM rule_outcome
                 WHERE server = ?1 AND at = (SELECT max(at) FROM rule_outcome WHERE server = ?1)
                     AND (json_type(body, '$.verdict.Evaluated') IS NOT NULL
                         OR json_type(body, '$.verdict.Elsewhere') IS NOT NULL AND EXISTS (
                             SELECT 1 FROM json_each(body, '$.own')
                             WHERE json_type(value, '$.verdict.Evaluated') IS NOT NULL))",
            )?;
            let places = statement.query_map([server], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(places.collect::<Result<_, _>>()?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, evaluated, judgement, skipped};
    use super::*;
    use crate::model::judgement::{OwnOutcome, RuleOutcome, Verdict};
    use crate::model::selector::Selector;

    #[test]
    fn only_what_the_last_judgement_could_judge_is_told() {
        let store = Store::in_memory().unwrap();
        let record = |second: i64, outcomes: Vec<RuleOutcome>| {
            let judged = judgement([], outcomes);
            store.record("main", at(second), &judged).unwrap();
        };
        let rule = |name: &str, database: Option<&str>| (name.to_owned(), database.map(str::to_owned));
        record(
            0,
            vec![evaluated("a.rule", Some("db")), evaluated("b.rule", None)],
        );
        assert_eq!(
            store.told_places("main").unwrap(),
            [rule("a.rule", Some("db")), rule("b.rule", None)]
        );
        record(
            60,
            vec![skipped("a.rule", Some("db")), evaluated("a.rule", Some("other"))],
        );
        assert_eq!(
            store.told_places("main").unwrap(),
            [rule("a.rule", Some("other"))]
        );
        assert!(store.told_places("another").unwrap().is_empty());
        let beside = |own: RuleOutcome| RuleOutcome {
            verdict: Verdict::Elsewhere {
                reason: "told there".into(),
            },
            own: vec![OwnOutcome {
                selector: Selector::default(),
                verdict: own.verdict,
            }],
            ..evaluated("a.rule", Some("db"))
        };
        record(120, vec![beside(skipped("a.rule", Some("db")))]);
        assert!(store.told_places("main").unwrap().is_empty());
        record(180, vec![beside(evaluated("a.rule", Some("db")))]);
        assert_eq!(store.told_places("main").unwrap(), [rule("a.rule", Some("db"))]);
    }
}

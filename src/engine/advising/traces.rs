//! What planning leaves behind on the server, for whoever takes it off what is counted, writes it down and says so.

use super::Advising;
use crate::model::own_planning::{OwnScans, PlannedText, SCANS_LEFT_BEHIND, TEXTS_LEFT_BEHIND};
use crate::model::status::Gap;
use crate::model::unit::amount;
use crate::report::setup;

impl Advising {
    /// The scans of indexes that planning counted since this was last asked, with their databases: also of what is still being
    /// worked out. The server may show some of them later, and none before.
    pub fn take_own_scans(&self) -> Vec<(String, OwnScans)> {
        self.traces.take_scans()
    }

    /// Takes in the texts that were planned before this daemon started.
    pub fn remember_texts(&self, texts: &[PlannedText]) {
        self.traces.remember_texts(texts);
    }

    /// The texts of the last day that were planned, if they are to be written down.
    pub fn take_texts(&self) -> Option<Vec<PlannedText>> {
        self.traces.take_texts()
    }

    /// The texts could not be written down.
    pub fn tell_texts_again(&self) {
        self.traces.tell_texts_again();
    }

    /// What is to be said of it under status, where the login that plans leaves anything behind; so many scans of so many
    /// indexes are taken off what the server counts.
    pub fn left_behind(&self, (scans, indexes): (i64, usize)) -> Vec<Gap> {
        let login = &self.planner.server().conninfo().user;
        let gap = |fact: &str, why: String, remedy_sql: String| Gap {
            fact: fact.to_owned(),
            database: None,
            why,
            remedy_sql: Some(remedy_sql),
            missing_privilege: None,
            rules: Vec::new(),
        };
        let mut gaps = Vec::new();
        if self.traces.counts_scans() {
            let unread = match self.traces.unread() {
                0 => String::new(),
                unread => format!(
                    "; what {} counted is not known, and looks like use, since their session was lost or the catalog is too \
                     large, or not to be read",
                    amount(unread.to_string(), "planning", "plannings")
                ),
            };
            let why = format!(
                "{login}, which plans, may not switch off track_counts, so that planning counts as use of indexes: {} until \
                 now, in {}, taken off what the server counts{unread}",
                amount(scans.to_string(), "scan", "scans"),
                amount(indexes.to_string(), "index", "indexes")
            );
            gaps.push(gap(SCANS_LEFT_BEHIND, why, setup::leave_counters(login)));
        }
        if let Some((texts, most)) = self.traces.texts() {
            let why = format!(
                "{login}, which plans, may not switch off pg_stat_statements.track, so that every text that is planned becomes an \
                 entry: {texts} were planned within a day, and no more than {most} are, a fiftieth of what pg_stat_statements holds"
            );
            gaps.push(gap(TEXTS_LEFT_BEHIND, why, setup::leave_statements(login)));
        }
        gaps
    }
}

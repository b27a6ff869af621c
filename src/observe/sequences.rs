//! How fast sequences are used.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::observation::SchemaObservation;
use crate::model::schema::Schema;

/// Where sequences stood: at the start of the window that is judged, and at one that follows it.
#[derive(Default)]
pub struct Sequences {
    /// By database and OID.
    known: HashMap<(String, u32), [Stood; 2]>,
}

/// When a sequence stood where.
type Stood = (DateTime<Utc>, i64);

/// A rate is a mean over at least this, and over at most twice `LONGEST`.
const SHORTEST: TimeDelta = TimeDelta::hours(1);
const LONGEST: TimeDelta = TimeDelta::days(3);

impl Sequences {
    /// The design of a database with the rates of its sequences.
    pub fn observe(&mut self, database: &str, facts: &Arc<Schema>, now: DateTime<Utc>) -> SchemaObservation {
        let mut values_per_second = HashMap::new();
        for sequence in &facts.sequences {
            let Some(value) = sequence.last_value else {
                continue;
            };
            let key = (database.to_owned(), sequence.oid);
            let known = self.known.entry(key).or_insert([(now, value); 2]);
            let used = |from: i64| (value as f64 - from as f64) / sequence.increment as f64;
            // setval() or RESTART
            if used(known[1].1) < 0.0 {
                *known = [(now, value); 2];
            }
            if now - known[1].0 >= LONGEST {
                *known = [known[1], (now, value)];
            }
            let (from, start) = known[0];
            if now - from >= SHORTEST {
                let seconds = (now - from).num_milliseconds() as f64 / 1000.0;
                values_per_second.insert(sequence.oid, (used(start) / seconds).max(0.0));
            }
        }
        let is_there = |oid: &u32| facts.sequences.iter().any(|sequence| sequence.oid == *oid);
        if self.known.len() > 2 * facts.sequences.len() + 1000 {
            self.known
                .retain(|(name, oid), _| name != database || is_there(oid));
        }
        SchemaObservation {
            facts: facts.clone(),
            values_per_second,
        }
    }

    /// Forgets databases that are gone.
    pub fn forget_databases_but(&mut self, there: &[&str]) {
        self.known
            .retain(|(database, _), _| there.contains(&database.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::Sequence;

    #[test]
    fn a_rate_needs_an_hour_and_a_restart_begins_again() {
        let mut sequences = Sequences::default();
        let mut rate = |minute: i64, value: i64| {
            let sequence = Sequence {
                oid: 3,
                last_value: Some(value),
                increment: -2,
                ..Sequence::default()
            };
            let facts = Arc::new(Schema {
                sequences: vec![sequence],
                ..Schema::default()
            });
            let now = DateTime::from_timestamp(1_790_000_000 + minute * 60, 0).unwrap();
            sequences
                .observe("d", &facts, now)
                .values_per_second
                .get(&3)
                .copied()
        };
        assert_eq!(rate(0, 0), None);
        assert_eq!(rate(59, -100), None);
        assert_eq!(rate(60, -7200), Some(1.0));
        assert_eq!(rate(120, 5), None, "it was set back");
        assert_eq!(rate(180, 5), Some(0.0));
    }
}

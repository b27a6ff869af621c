//! Since when nobody uses a slot, where the server does not tell: before PostgreSQL 17.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::model::replication::Replication;

/// Slots that were seen without a consumer, and since when.
#[derive(Default)]
pub struct IdleSlots {
    since: HashMap<String, DateTime<Utc>>,
}

impl IdleSlots {
    /// The same with what our own looks know.
    pub fn observe(&mut self, mut replication: Replication, now: DateTime<Utc>) -> Replication {
        let idle = |name: &str| {
            replication
                .slots
                .iter()
                .any(|slot| slot.name == name && !slot.is_active)
        };
        self.since.retain(|name, _| idle(name));
        for slot in replication.slots.iter_mut().filter(|slot| !slot.is_active) {
            let ours = *self.since.entry(slot.name.clone()).or_insert(now);
            slot.inactive_since = slot.inactive_since.or(Some(ours));
        }
        replication
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::replication::ReplicationSlot;

    #[test]
    fn a_slot_is_idle_since_it_was_first_seen_so() {
        let at = |second: i64| DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap();
        let with = |is_active| Replication {
            slots: vec![ReplicationSlot {
                name: "s".into(),
                is_active,
                ..ReplicationSlot::default()
            }],
            ..Replication::default()
        };
        let mut slots = IdleSlots::default();
        let mut since =
            |is_active, second| slots.observe(with(is_active), at(second)).slots[0].inactive_since;
        assert_eq!(since(false, 0), Some(at(0)));
        assert_eq!(since(false, 60), Some(at(0)));
        assert_eq!(since(true, 120), None);
        assert_eq!(since(false, 180), Some(at(180)));
    }
}

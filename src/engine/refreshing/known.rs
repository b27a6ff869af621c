//! One database as it was just looked at, with what is remembered of its views: what is due, and when something is next.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::configuration::Refresh;
use crate::model::refresh::{MaterializedView, ViewMemory, ViewName};
use crate::refresh::due::{Due, Reckoning};
use crate::refresh::plan::{self, Ask, Knowledge, Step};
use crate::refresh::read::Look;

/// One database as it was just looked at, with what is remembered of its views.
pub struct Known {
    /// What was seen.
    pub look: Look,
    /// The configuration's table for each view that is to be refreshed.
    pub policies: HashMap<ViewName, Arc<Refresh>>,
    /// What is remembered of each view.
    pub memories: HashMap<ViewName, ViewMemory>,
    /// So long nobody comes back; whoever waits until something is due leaves it at nothing.
    pub next_pass_in: TimeDelta,
}

impl Known {
    /// Now, by the server's clock.
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.look.ahead
    }

    /// The steps of a pass.
    pub fn plan(&self, ask: &Ask<'_>) -> Vec<Step> {
        let known = Knowledge {
            policies: &self.policies,
            memories: &self.memories,
            next_pass_in: self.next_pass_in,
        };
        plan::plan(&self.look, &known, ask)
    }

    /// The names of its views.
    pub fn names(&self) -> impl Iterator<Item = &ViewName> {
        self.look.views.values().map(|view| &view.name)
    }

    /// Whether and when a view is due; none if nothing in the configuration is about it.
    pub fn due(&self, view: &MaterializedView, now: DateTime<Utc>) -> Option<Due> {
        let policy = self.policies.get(&view.name)?;
        let nothing = ViewMemory::default();
        let reckoning = Reckoning {
            policy,
            view: &view.name,
            memory: self.memories.get(&view.name).unwrap_or(&nothing),
            is_populated: view.is_populated,
            after: plan::after(&view.name, policy, &self.memories),
            others: plan::oldest(self.look.upstream(view.oid), &self.memories),
            next_pass_in: TimeDelta::zero(),
        };
        Some(reckoning.due(now))
    }

    /// Those of the `wanted` views that cannot begin while others are `busy`: these themselves, and whatever reads them, be it
    /// through others that are wanted.
    pub fn held_up(&self, wanted: &BTreeSet<ViewName>, busy: &BTreeSet<ViewName>) -> BTreeSet<ViewName> {
        let mut held_up = busy.clone();
        loop {
            let more = self.look.views.values().filter(|view| {
                wanted.contains(&view.name)
                    && !held_up.contains(&view.name)
                    && self.look.upstream(view.oid).any(|other| held_up.contains(other))
            });
            let more: Vec<ViewName> = more.map(|view| view.name.clone()).collect();
            if more.is_empty() {
                break;
            }
            held_up.extend(more);
        }
        held_up.intersection(wanted).cloned().collect()
    }

    /// The next moment at which something can begin, that is due or among the `asked`; now, if something can. On a standby
    /// nothing can before the next look shows that it was promoted.
    pub fn next(&self, asked: &BTreeSet<ViewName>, busy: &BTreeSet<ViewName>) -> Option<DateTime<Utc>> {
        if self.look.is_standby {
            return None;
        }
        let now = self.now();
        let mut wanted = BTreeSet::new();
        let mut next: Option<DateTime<Utc>> = None;
        for view in self.look.views.values() {
            let due = self.due(view, now);
            let memory = self.memories.get(&view.name);
            let is_paused = memory.is_some_and(|memory| memory.is_paused);
            let waits = memory.is_some_and(|memory| memory.waits_for_others(now));
            match due {
                Some(_) if asked.contains(&view.name) && !waits => _ = wanted.insert(view.name.clone()),
                _ if is_paused => {}
                Some(Due::Now { .. } | Due::Missed { .. }) => _ = wanted.insert(view.name.clone()),
                Some(Due::Later { at, .. }) if !busy.contains(&view.name) => {
                    next = Some(next.map_or(at, |next| next.min(at)));
                }
                _ => {}
            }
        }
        match self.held_up(&wanted, busy).len() < wanted.len() {
            true => Some(now),
            false => next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::unit::Period;
    use crate::refresh::graph::Lineage;

    /// Each of the views reads the one before it; all are due every minute.
    fn chain(names: &[&str]) -> Known {
        let mut known = Known {
            look: Look {
                now: Utc::now(),
                ..Look::default()
            },
            policies: HashMap::new(),
            memories: HashMap::new(),
            next_pass_in: TimeDelta::zero(),
        };
        let policy = Arc::new(Refresh {
            every: Some(Period::minutes(1)),
            ..Refresh::default()
        });
        for (oid, name) in (1..).zip(names) {
            let view = MaterializedView {
                oid,
                name: view(name),
                is_populated: true,
                ..MaterializedView::default()
            };
            let lineage = Lineage {
                views: BTreeSet::from([oid - 1]),
                ..Lineage::default()
            };
            let handled = ViewMemory {
                handled_until: Some(Utc::now() + TimeDelta::hours(1)),
                ..ViewMemory::default()
            };
            known.policies.insert(view.name.clone(), policy.clone());
            known.memories.insert(view.name.clone(), handled);
            known.look.lineages.insert(oid, lineage);
            known.look.views.insert(oid, view);
        }
        known
    }

    fn view(name: &str) -> ViewName {
        ViewName {
            name: name.to_owned(),
            ..ViewName::default()
        }
    }

    fn views(names: &[&str]) -> BTreeSet<ViewName> {
        names.iter().copied().map(view).collect()
    }

    #[test]
    fn whatever_reads_a_busy_view_waits_be_it_through_others_that_wait() {
        let known = chain(&["a", "b", "c", "d"]);
        let held_up = |wanted: &[&str]| known.held_up(&views(wanted), &views(&["a"]));
        assert_eq!(held_up(&["b", "c", "d"]), views(&["b", "c", "d"]));
        assert_eq!(held_up(&["c", "d"]), views(&[]), "b is not refreshed in between");
        assert_eq!(held_up(&["a", "d"]), views(&["a"]));
    }

    #[test]
    fn nothing_is_next_before_a_busy_view_is_done() {
        let mut known = chain(&["a", "b", "c"]);
        let none = views(&[]);
        let later = known.next(&none, &none).unwrap();
        assert!(later > known.now(), "each has been refreshed");
        for name in ["b", "c"] {
            known.memories.get_mut(&view(name)).unwrap().handled_until = None;
        }
        assert!(known.next(&none, &none).unwrap() <= known.now());
        assert_eq!(known.next(&none, &views(&["a"])), None);
        assert_eq!(known.next(&views(&["a"]), &views(&["a"])), None);
        assert!(known.next(&views(&["a"]), &none).unwrap() <= known.now());
    }
}

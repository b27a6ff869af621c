//! Runs that were under way when their process ended.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use crate::model::refresh::{Outcome, Run, ViewName};
use crate::refresh::read::Look;
use crate::store::{Store, StoreError};

/// What came of runs that were under way.
#[derive(Default)]
pub(super) struct Settled {
    /// Those that did refresh their view.
    pub refreshed: Vec<Run>,
    /// Views of which the next look will tell.
    pub too_young: BTreeSet<ViewName>,
}

/// A refresh that began later than this before a look may have taken its lock after it.
const LOOK_TAKES: TimeDelta = TimeDelta::seconds(1);

/// Writes down what became of runs whose process is gone, and tells which of them did refresh their view. The whole of a
/// refresh is one transaction that holds a lock, so the server tells: nobody is at it any more, and the view was refreshed or
/// was not. A process that is there after all replaces this by what it knows.
pub(super) fn settle(store: &Store, server: &str, look: &Look) -> Result<Settled, StoreError> {
    let under_way = store.refreshes_of_others_under_way(server)?;
    let mut settled = Settled::default();
    // nothing is refreshed there, and locks are others'
    if under_way.is_empty() || look.is_standby {
        return Ok(settled);
    }
    let memories = store.view_memories(server)?;
    for (id, run) in under_way {
        let view = look.views.values().find(|view| view.name == run.view);
        let is_young = run.started_at.is_some_and(|at| look.now - at < LOOK_TAKES);
        let is_alive = view.is_some_and(|view| view.is_being_refreshed);
        if run.view.database != look.database || is_alive {
            continue;
        }
        if is_young {
            settled.too_young.insert(run.view);
            continue;
        }
        // that one of us was at it is known: the version alone tells that it was committed
        let was_refreshed = view
            .zip(memories.get(&run.view))
            .is_some_and(|(view, memory)| memory.state.version != view.state.version);
        let (outcome, why) = match was_refreshed {
            true => (
                Outcome::Refreshed,
                "the advisor ended before it was told, and the view shows that it was refreshed",
            ),
            false => (
                Outcome::Cancelled,
                "the advisor ended meanwhile, and PostgreSQL took it back",
            ),
        };
        let told = Run {
            outcome,
            reason: format!("{}; {why}", run.reason),
            ended_at: look.now,
            ..run
        };
        store.settle_refresh(id, &told)?;
        settled.refreshed.extend(Some(told).filter(|_| was_refreshed));
    }
    Ok(settled)
}

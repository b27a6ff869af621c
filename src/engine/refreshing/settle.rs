//! Runs that were under way when their process ended.

use chrono::TimeDelta;

use crate::model::refresh::{Outcome, Run};
use crate::refresh::read::Look;
use crate::store::{Store, StoreError};

/// A refresh that began later than this before a look may have taken its lock after it.
const LOOK_TAKES: TimeDelta = TimeDelta::seconds(1);

/// Writes down what became of runs whose process is gone, and tells which of them did refresh their view. The whole of a
/// refresh is one transaction that holds a lock, so the server tells: nobody is at it any more, and the view was refreshed or
/// was not. A process that is there after all replaces this by what it knows.
pub(super) fn settle(store: &Store, server: &str, look: &Look) -> Result<Vec<Run>, StoreError> {
    let under_way = store.refreshes_of_others_under_way(server)?;
    if under_way.is_empty() {
        return Ok(Vec::new());
    }
    let mut refreshed = Vec::new();
    let memories = store.view_memories(server)?;
    for (id, run) in under_way {
        let view = look.views.values().find(|view| view.name == run.view);
        let is_young = run.started_at.is_some_and(|at| look.now - at < LOOK_TAKES);
        let is_alive = is_young || view.is_some_and(|view| view.is_being_refreshed);
        if is_alive || run.view.database != look.database {
            continue;
        }
        let was_refreshed = view
            .zip(memories.get(&run.view))
            .is_some_and(|(view, memory)| memory.state.was_refreshed_until(&view.state));
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
        let settled = Run {
            outcome,
            reason: format!("{}; {why}", run.reason),
            ended_at: look.now,
            ..run
        };
        store.settle_refresh(id, &settled)?;
        refreshed.extend(Some(settled).filter(|_| was_refreshed));
    }
    Ok(refreshed)
}

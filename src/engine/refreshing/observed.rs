//! What refreshing knows, for the rules.

use std::collections::HashMap;

use crate::limits;
use crate::model::observation::{Observation, Refreshing};
use crate::model::refresh::{ViewName, ViewStatus};
use crate::store::{Store, StoreError};

/// Adds what refreshing knows of the views of a server to what was observed of them.
///
/// # Errors
/// If the store cannot be read.
pub fn add_to(observation: &mut Observation, store: &Store) -> Result<(), StoreError> {
    let server = observation.server.name.clone();
    let now = observation.now;
    let mut statuses: HashMap<ViewName, ViewStatus> = store
        .view_statuses()?
        .into_iter()
        .filter(|(of, status)| *of == server && status.schedule.is_some())
        .map(|(_, status)| (status.view.clone(), status))
        .collect();
    if statuses.is_empty() {
        return Ok(());
    }
    let mut sums = store.refresh_sums(&server, now)?;
    for database in &mut observation.databases {
        for observed in database.materialized_views.iter_mut().flatten() {
            let name = observed.facts.view.name.clone();
            let Some(status) = statuses.remove(&name) else {
                continue;
            };
            let runs = store.made_refreshes_of(&server, &name, limits::RUNS_OF_A_VIEW)?;
            let (seconds_last_week, held_up_seconds_last_day) = sums.remove(&name).unwrap_or_default();
            observed.refreshing = Some(Refreshing {
                status,
                runs,
                seconds_last_week,
                held_up_seconds_last_day,
            });
        }
    }
    Ok(())
}

//! How a view is refreshed: locking readers out or not, by who reads it and what each way was measured to cost; or why it
//! cannot be refreshed.

use std::time::Duration;

use chrono::TimeDelta;

use super::read::Look;
use crate::configuration::{Refresh, RefreshMode};
use crate::model::refresh::{MaterializedView, Mode, ViewMemory};
use crate::model::remedy::quote_identifier;
use crate::model::unit::seconds_for_people;

/// How a view is refreshed.
pub struct Choice {
    /// Whether readers are locked out.
    pub mode: Mode,
    /// It may take so long.
    pub within: Duration,
    /// Why so.
    pub reason: String,
}

/// The part of the limit below which locking readers out is better than the work of CONCURRENTLY.
const HARDLY_FELT: f64 = 0.1;
/// A plain refresh that took too long for its readers is not tried again for so long.
const SLOW_FOR: TimeDelta = TimeDelta::hours(24);
/// Why nothing is refreshed there.
pub const ON_STANDBY: &str = "the server is a standby: materialized views are refreshed on its primary";

/// How a view would be refreshed now, or why it cannot be.
pub fn how(
    look: &Look,
    memory: &ViewMemory,
    view: &MaterializedView,
    policy: &Refresh,
) -> Result<String, String> {
    if look.is_standby {
        return Err(ON_STANDBY.to_owned());
    }
    if let Some(why) = not_allowed(look, view) {
        return Err(why);
    }
    choose(look, memory, view, policy).map(|choice| choice.reason)
}

/// Why the login may not refresh a view, and what to grant.
pub fn not_allowed(look: &Look, view: &MaterializedView) -> Option<String> {
    let (owner, login) = (quote_identifier(&view.owner), quote_identifier(&look.login));
    (!view.may_refresh).then(|| {
        format!(
            "{} may not refresh it: it belongs to {}; GRANT {owner} TO {login}, or from PostgreSQL 17 on GRANT MAINTAIN ON \
             TABLE {} TO {login}",
            look.login,
            view.owner,
            view.name.sql(),
        )
    })
}

/// How a view is refreshed, how long that may take, and why so; or why it cannot be.
pub fn choose(
    look: &Look,
    memory: &ViewMemory,
    view: &MaterializedView,
    policy: &Refresh,
) -> Result<Choice, String> {
    let longest = policy.max_duration.as_duration();
    let limit = policy.plain_limit.as_duration();
    let chosen = |mode, within, reason: String| Ok(Choice { mode, within, reason });
    if !view.is_populated {
        let why = "plain, since it holds nothing yet".to_owned();
        return chosen(Mode::Plain, longest, why);
    }
    let plain = memory.usual_seconds(Mode::Plain);
    let concurrent = memory.usual_seconds(Mode::Concurrently);
    // what was too slow once is tried again now and then
    let is_known_slow = memory.too_slow_at.is_none_or(|at| look.now - at < SLOW_FOR);
    let in_hours = policy
        .plain_between
        .iter()
        .any(|hours| hours.contains(look.now, policy.time_zone));
    let nobody_reads = !look.has_standbys && memory.has_readers(look.now) == Some(false);
    let plainly = |why: &str| match plain {
        _ if in_hours => chosen(
            Mode::Plain,
            longest,
            format!("plain, within the hours for it{why}"),
        ),
        _ if nobody_reads => chosen(Mode::Plain, longest, format!("plain, since nobody reads it{why}")),
        Some(seconds) if seconds > limit.as_secs_f64() && is_known_slow => Err(format!(
            "a plain refresh takes about {} and would lock readers out for longer than {}{why}; {}",
            seconds_for_people(seconds),
            policy.plain_limit,
            way_out(view)
        )),
        _ => {
            let why = format!(
                "plain{why}, cancelled if it takes longer than {}",
                policy.plain_limit
            );
            chosen(Mode::Plain, limit.min(longest), why)
        }
    };
    match (policy.mode, &view.unique_index) {
        (RefreshMode::Plain, _) => plainly(", as configured"),
        (RefreshMode::Concurrently, None) => Err(format!(
            "CONCURRENTLY needs a unique index on plain columns over all rows, and {}; {}",
            what_there_is(view),
            way_out(view)
        )),
        (RefreshMode::Auto, None) => plainly(" without a unique index that CONCURRENTLY needs"),
        (RefreshMode::Concurrently, Some(_)) => chosen(
            Mode::Concurrently,
            longest,
            "concurrently, as configured".to_owned(),
        ),
        (RefreshMode::Auto, Some(index)) => {
            let is_cheaper = plain
                .zip(concurrent)
                .is_none_or(|(plain, concurrent)| plain < concurrent);
            let hardly_felt = plain
                .filter(|plain| *plain <= limit.as_secs_f64() * HARDLY_FELT)
                .filter(|_| concurrent.is_some());
            match hardly_felt {
                _ if is_cheaper && (in_hours || nobody_reads) => plainly(", which is cheaper"),
                Some(plain) if is_cheaper => {
                    let why = format!("plain, which took {}, and is cheaper", seconds_for_people(plain));
                    chosen(Mode::Plain, limit.min(longest), why)
                }
                _ => chosen(
                    Mode::Concurrently,
                    longest,
                    format!("concurrently by {index}, since it may be read meanwhile"),
                ),
            }
        }
    }
}

fn what_there_is(view: &MaterializedView) -> String {
    match view.unusable_indexes[..] {
        [] => "there is no unique index".to_owned(),
        ref unusable => unusable.join(", "),
    }
}

fn way_out(view: &MaterializedView) -> String {
    format!(
        "create a unique index on plain columns of {} over all rows, or give hours for it (plain_between)",
        view.name.sql()
    )
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::model::schedule::DailyHours;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_400, 0).unwrap()
    }

    #[test]
    fn how_a_view_is_refreshed_follows_from_who_reads_it_and_what_it_costs() {
        let look = Look {
            now: now(),
            ..Look::default()
        };
        let day = TimeDelta::days(2);
        let unread = ViewMemory {
            readers_watched_since: Some(now() - day),
            ..ViewMemory::default()
        };
        let read = ViewMemory {
            read_at: Some(now()),
            ..unread.clone()
        };
        let slow = |memory: &ViewMemory| ViewMemory {
            plain_seconds: vec![9.0],
            concurrent_seconds: vec![30.0],
            too_slow_at: Some(now()),
            ..memory.clone()
        };
        let begins = |memory: &ViewMemory, index: bool, policy: Refresh, words: &str| {
            let view = MaterializedView {
                unique_index: index.then(|| "u".to_owned()),
                is_populated: true,
                may_refresh: true,
                ..MaterializedView::default()
            };
            let told = match how(&look, memory, &view, &policy) {
                Ok(how) => how,
                Err(why) => format!("no: {why}"),
            };
            assert!(told.starts_with(words), "{told}");
        };
        let auto = Refresh::default;
        begins(&read, true, auto(), "concurrently by u");
        begins(&ViewMemory::default(), true, auto(), "concurrently by u");
        begins(&unread, true, auto(), "plain, since nobody reads it");
        begins(&read, false, auto(), "plain without a unique index");
        begins(&slow(&read), false, auto(), "no: a plain refresh takes about 9");
        begins(&slow(&unread), false, auto(), "plain, since nobody reads it");
        let once = ViewMemory {
            plain_seconds: vec![0.05, 0.05, 9.0],
            ..slow(&read)
        };
        begins(&once, false, auto(), "plain without a unique index");
        let long_ago = ViewMemory {
            too_slow_at: Some(now() - day),
            ..slow(&read)
        };
        begins(&long_ago, false, auto(), "plain without a unique index");
        let hours: DailyHours = "00:00-24:00".parse().unwrap();
        let at_night = Refresh {
            plain_between: vec![hours],
            ..auto()
        };
        begins(&slow(&read), false, at_night, "plain, within the hours for it");
        let concurrently = Refresh {
            mode: RefreshMode::Concurrently,
            ..auto()
        };
        begins(
            &read,
            false,
            concurrently,
            "no: CONCURRENTLY needs a unique index",
        );
    }
}

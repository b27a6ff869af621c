//! The load of a time is known in full only when the calls that were executing in it have ended.

use rusqlite::{Transaction, params};

use super::error::StoreError;
use crate::model::status::EarlierLoad;

/// Adds to the load before the last look that is written down what was executing then and has ended only since. Where nobody
/// looked, the load stays unknown. After a look that could not be written down it is told by that time too early: looks are known by the
/// server's clock, points of the load by ours, and only their order brings the two together.
pub fn record_earlier_load(
    tx: &Transaction<'_>,
    server: &str,
    earlier: &[EarlierLoad],
) -> Result<(), StoreError> {
    for (at, load_sessions) in changed(tx, server, earlier)? {
        tx.prepare_cached("UPDATE load_point SET load_sessions = ?3 WHERE server = ?1 AND at = ?2")?
            .execute(params![server, at, load_sessions])?;
    }
    Ok(())
}

/// The points that tell another load with it, and that load.
fn changed(
    tx: &Transaction<'_>,
    server: &str,
    earlier: &[EarlierLoad],
) -> Result<Vec<(i64, f64)>, StoreError> {
    let longest_seconds = earlier.iter().map(|one| one.seconds).fold(0.0, f64::max);
    let mut changed = Vec::new();
    if longest_seconds <= 0.0 {
        return Ok(changed);
    }
    let mut statement =
        tx.prepare_cached("SELECT at, load_sessions FROM load_point WHERE server = ?1 ORDER BY at DESC")?;
    let mut rows = statement.query([server])?;
    let mut newest: Option<i64> = None;
    let mut later: Option<(i64, Option<f64>)> = None;
    while let Some(row) = rows.next()? {
        let (at, load_sessions): (i64, Option<f64>) = (row.get(0)?, row.get(1)?);
        let last = *newest.get_or_insert(at);
        let ago = |at: i64| (last - at) as f64 / 1e6;
        // a point tells the load since the one before
        if let Some((later_at, Some(load))) = later {
            changed.push((later_at, load + mean(earlier, ago(later_at), ago(at))));
        }
        if ago(at) >= longest_seconds {
            break;
        }
        later = Some((at, load_sessions));
    }
    Ok(changed)
}

/// Sessions that executed it on average from so many seconds before the last look on until so many.
fn mean(earlier: &[EarlierLoad], to_seconds: f64, from_seconds: f64) -> f64 {
    let within = |one: &EarlierLoad| one.sessions * (one.seconds.min(from_seconds) - to_seconds).max(0.0);
    let sum: f64 = earlier.iter().map(within).sum();
    sum / (from_seconds - to_seconds).max(1e-6)
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::super::status::record_load;
    use super::super::testing::at;
    use super::*;
    use crate::model::status::LoadPoint;

    #[test]
    fn a_call_of_eight_minutes_belongs_to_the_minutes_before_it_ended() {
        let store = Store::in_memory().unwrap();
        let write = |minute: i64, load_sessions: Option<f64>| {
            let point = LoadPoint {
                at: at(minute * 60),
                load_sessions,
            };
            store.write(|tx| record_load(tx, "main", &point)).unwrap();
        };
        // nobody looked in the minute that ends with the fourth
        for minute in 0..=6 {
            write(minute, (minute != 4).then_some(0.25));
        }
        let earlier = |sessions: f64, seconds: f64| EarlierLoad { sessions, seconds };
        let add = |server: &str, earlier: &[EarlierLoad]| {
            store
                .write(|tx| record_earlier_load(tx, server, earlier))
                .unwrap();
        };
        add("other", &[earlier(1.0, 210.0)]);
        add("main", &[]);
        add("main", &[earlier(1.0, 210.0), earlier(2.0, 60.0)]);
        let told: Vec<Option<f64>> = store
            .load("main", at(0))
            .unwrap()
            .iter()
            .map(|point| point.load_sessions)
            .collect();
        let expected = [
            Some(0.25),
            Some(0.25),
            Some(0.25),
            // half of it
            Some(0.75),
            None,
            Some(1.25),
            Some(3.25),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_began_before_all_that_is_known_is_told_as_far_as_that() {
        let store = Store::in_memory().unwrap();
        for second in [0, 60] {
            let point = LoadPoint {
                at: at(second),
                load_sessions: (second > 0).then_some(0.0),
            };
            store.write(|tx| record_load(tx, "main", &point)).unwrap();
        }
        let day = [EarlierLoad {
            sessions: 1.0,
            seconds: 86_400.0,
        }];
        store.write(|tx| record_earlier_load(tx, "main", &day)).unwrap();
        let told = store.load("main", at(0)).unwrap();
        assert_eq!((told[0].load_sessions, told[1].load_sessions), (None, Some(1.0)));
    }
}

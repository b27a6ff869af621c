//! Where the time of long calls belongs in the load by database. What a database executed is counted when a call ends, as
//! pg_stat_statements does it; the load of the server is told where it ran, and no database executes more than its server.

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::database_load::{DatabaseLoad, DatabaseLoadPoint};
use crate::model::status::LoadPoint;

/// What differs by less is no long call: looks at the one and at the other are not made in the same moment.
const MORE: f64 = 1.1;

/// The same with what is more than the server executed moved to the time before, as far as the server executed more then than is
/// told. Where the load of the server, oldest first, is not known, all stays as it is.
pub(super) fn told_where_they_ran(mut load: DatabaseLoad, server: &[LoadPoint]) -> DatabaseLoad {
    // seconds of each database that belong before, the last those of all others
    let mut carried = vec![0.0; load.databases.len() + 1];
    for point in load.points.iter_mut().rev() {
        let known = point.seconds.zip(room(server, point));
        let Some((alone, room)) = known.filter(|_| point.database_seconds.len() + 1 == carried.len()) else {
            carried.fill(0.0);
            continue;
        };
        // nothing else was executing here: what is carried began after it
        if alone >= room && alone <= room * MORE {
            carried.fill(0.0);
            continue;
        }
        let named: f64 = point.database_seconds.iter().sum();
        let others = (alone - named).max(0.0);
        let own = point.database_seconds.iter().copied().chain([others]);
        let all: Vec<f64> = own.zip(&carried).map(|(own, before)| own + before).collect();
        let sum: f64 = all.iter().sum();
        let level = match sum > room * MORE {
            true => level(&all, room),
            false => f64::INFINITY,
        };
        let kept: Vec<f64> = all.iter().map(|seconds| seconds.min(level)).collect();
        for ((carried, all), kept) in carried.iter_mut().zip(&all).zip(&kept) {
            *carried = all - kept;
        }
        point.seconds = Some(kept.iter().sum());
        point.database_seconds = kept;
        point.database_seconds.pop();
    }
    load
}

/// As many seconds as the server executed over the time of a point; none where that is not known.
fn room(server: &[LoadPoint], point: &DatabaseLoadPoint) -> Option<f64> {
    let seconds = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).num_milliseconds() as f64 / 1000.0;
    let end = point.from + TimeDelta::milliseconds((point.length_seconds * 1000.0) as i64);
    let first = server.partition_point(|one| one.at <= point.from);
    let pairs = server[first.saturating_sub(1)..].windows(2);
    let (mut sum, mut known) = (0.0, 0.0);
    for pair in pairs.take_while(|pair| pair[0].at < end) {
        let overlap = seconds(pair[0].at.max(point.from), pair[1].at.min(end));
        if let Some(load) = pair[1].load_sessions.filter(|load| load.is_finite())
            && overlap > 0.0
        {
            sum += load * overlap;
            known += overlap;
        }
    }
    (known > 0.0).then(|| sum / known * point.seen_seconds)
}

/// The height at which the values must be cut so that they are so much together: the greatest have the long calls.
fn level(values: &[f64], together: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut left = together;
    for (place, value) in sorted.iter().enumerate() {
        let share = left / (sorted.len() - place) as f64;
        if *value >= share {
            return share.max(0.0);
        }
        left -= value;
    }
    f64::INFINITY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::sample;

    fn at(minute: i64) -> DateTime<Utc> {
        sample::now() + TimeDelta::minutes(minute)
    }

    /// A minute each, with what all databases executed, and of that the two that are named.
    fn by_database(minutes: &[Option<(f64, [f64; 2])>]) -> DatabaseLoad {
        let point = |(minute, told): (usize, &Option<(f64, [f64; 2])>)| DatabaseLoadPoint {
            from: at(minute as i64),
            length_seconds: 60.0,
            seen_seconds: 60.0,
            seconds: told.map(|(all, _)| all),
            database_seconds: told.map_or_else(Vec::new, |(_, named)| named.to_vec()),
        };
        DatabaseLoad {
            databases: vec!["shop".to_owned(), "small".to_owned()],
            points: minutes.iter().enumerate().map(point).collect(),
        }
    }

    /// The load of the server in the same minutes.
    fn of_server(sessions: &[Option<f64>]) -> Vec<LoadPoint> {
        let first = LoadPoint {
            at: at(0),
            load_sessions: None,
        };
        let told = sessions.iter().enumerate().map(|(minute, load)| LoadPoint {
            at: at(minute as i64 + 1),
            load_sessions: *load,
        });
        [first].into_iter().chain(told).collect()
    }

    #[test]
    fn a_long_call_is_load_of_its_database_where_it_ran() {
        // three minutes of shop end in the last one; small does six seconds in each
        let six = Some((6.0, [0.0, 6.0]));
        let seen = by_database(&[six, six, six, Some((186.0, [180.0, 6.0]))]);
        let server = of_server(&[Some(0.1), Some(1.1), Some(1.1), Some(1.1)]);
        let told = told_where_they_ran(seen.clone(), &server);
        let expected = Some((66.0, [60.0, 6.0]));
        assert_eq!(told, by_database(&[six, expected, expected, expected]));
        assert_eq!(
            told_where_they_ran(seen.clone(), &[]),
            seen,
            "nothing is known better"
        );
        let blind = of_server(&[Some(0.1), Some(1.1), None, Some(1.1)]);
        let told = told_where_they_ran(seen.clone(), &blind);
        assert_eq!(
            told,
            by_database(&[six, six, six, expected]),
            "it is told as far as it was looked at without a gap"
        );
    }

    #[test]
    fn what_fits_stays_where_it_was_counted() {
        let seen = by_database(&[Some((12.0, [6.0, 3.0])), None, Some((120.0, [90.0, 30.0]))]);
        let server = of_server(&[Some(0.5), None, Some(2.0)]);
        assert_eq!(told_where_they_ran(seen.clone(), &server), seen);
    }

    #[test]
    fn the_greatest_are_cut() {
        assert_eq!(level(&[480.0, 10.0, 0.0], 70.0), 60.0);
        assert_eq!(level(&[480.0, 480.0], 120.0), 60.0);
        assert_eq!(level(&[5.0, 3.0], 100.0), f64::INFINITY);
    }
}

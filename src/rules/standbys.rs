//! What is known of the use of indexes on standbys, and what is not.

use crate::model::observation::Observation;
use crate::rules::Guards;

/// Whether nobody uses an index on a standby, where those that are watched do not.
pub(super) fn guard(guards: &mut Guards, observation: &Observation) {
    match (
        observation.standbys_unwatched(),
        observation.standbys_watched.names.len(),
    ) {
        (0, 0) => guards.checked("no standby streams from this server"),
        (0, _) => guards.checked("its standbys, which are watched, too, do not use it"),
        (_, 0) => guards.not_checked("use on its standbys"),
        _ => guards.not_checked("use on those of its standbys that are not watched"),
    }
}

/// Why it is not known how often an index was scanned on standbys, where that is so.
pub(super) fn unknown_scans(observation: &Observation, scans_on_standbys: Option<i64>) -> Option<String> {
    match (observation.standbys_unwatched(), scans_on_standbys) {
        (0, Some(_)) => None,
        (0, None) => Some(format!(
            "scans of some indexes are not known on standbys for as long as here: {}",
            observation.standbys_watched.uncounted.join(", ")
        )),
        (1, _) => Some(
            "one standby that streams from this server is not watched: how indexes are used there is not known"
                .to_owned(),
        ),
        (unwatched, _) => Some(format!(
            "{unwatched} standbys that stream from this server are not watched: how indexes are used there is not known"
        )),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use crate::model::replication::WatchedStandbys;
    use crate::rules::index::unused::Unused;
    use crate::rules::testing::{claims, database, index, now};

    #[test]
    fn only_watched_standbys_that_stream_speak_for_those_that_do() {
        let told = |there: i64, watched: &[&str], streaming: usize| {
            let mut observed = database(vec![index(9, "i")]);
            observed.databases[0].indexes[0].idle_since = Some(now() - TimeDelta::days(40));
            observed.server.standbys = there;
            observed.standbys_watched = WatchedStandbys {
                names: watched.iter().map(|name| (*name).to_owned()).collect(),
                streaming,
                ..WatchedStandbys::default()
            };
            let guards = claims::<Unused>(&observed).unwrap().remove(0).guards;
            let of_standbys = guards.into_iter().filter(|guard| guard.contains("standby"));
            of_standbys.collect::<Vec<_>>().join("; ")
        };
        assert_eq!(told(0, &[], 0), "no standby streams from this server");
        let all = "its standbys, which are watched, too, do not use it";
        assert_eq!(told(1, &["b"], 1), all);
        assert_eq!(told(0, &["b"], 0), all, "it restores from an archive");
        assert_eq!(told(1, &[], 0), "not checked: use on its standbys");
        let some = "not checked: use on those of its standbys that are not watched";
        assert_eq!(told(2, &["b"], 1), some);
        assert_eq!(told(2, &["b", "c"], 1), some, "one of the two does not stream");
    }
}

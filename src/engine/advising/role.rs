//! A server that becomes a standby, or that is promoted: what of its advice still holds.

use std::sync::Arc;
use std::time::Instant;

use super::{Advising, Task};
use crate::limits;
use crate::model::advice::Advised;
use crate::model::observation::Unknown;
use crate::rules::FOR_ITS_PRIMARY;

impl Advising {
    /// Notes whether the server is a standby. Where that changed all is worked out anew: drops are rehearsed on a primary
    /// only. What was advised to a primary is now told by another one; what a standby lacks it may still lack once it was
    /// promoted.
    pub(super) fn heed_role(&mut self, is_standby: bool) {
        if std::mem::replace(&mut self.is_standby, is_standby) == is_standby {
            return;
        }
        let names: Vec<String> = self.latest.keys().cloned().collect();
        for name in names {
            let earlier = self.earlier(&name);
            self.remembered.insert(name, earlier);
        }
        self.demoted.clear();
        for (name, earlier) in &mut self.remembered {
            match is_standby {
                true => {
                    let known = earlier.len();
                    earlier.retain(|_, known| known.of_a_standby);
                    if earlier.len() < known {
                        self.demoted.insert(name.clone());
                    }
                }
                false => earlier.values_mut().for_each(|known| known.of_a_standby = true),
            }
        }
        self.latest.clear();
        self.writes.clear();
        if let Some(running) = &mut self.running {
            // what it says of indexes is of what the server was
            running.task = Task::Plans;
        }
        self.since = Instant::now();
    }

    /// The advice for a database. What was told of a primary ends as soon as the server is a standby: its primary tells it. So it
    /// is said there until advice of the standby itself is there, or does not come in time.
    pub(super) fn heeding_role(
        &mut self,
        database: &str,
        advice: Result<Arc<Advised>, Unknown>,
    ) -> Result<Arc<Advised>, Unknown> {
        let is_new = self.since.elapsed() < self.every * 2 + limits::ADVICE_TIME;
        match advice {
            Err(_) if is_new && self.demoted.contains(database) => Err(Unknown::because(FOR_ITS_PRIMARY)),
            advice => {
                self.demoted.remove(database);
                advice
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::engine::advising::Planner;
    use crate::model::advice::{EarlierAdvice, EarlierIndex, MissingIndex};
    use crate::postgres::Server;
    use crate::postgres::conninfo::{ConnInfo, Environment};

    fn missing(table: &str) -> MissingIndex {
        MissingIndex {
            schema: "public".into(),
            table: table.into(),
            leading_key: "a".into(),
        }
    }

    #[test]
    fn what_was_told_of_a_primary_is_not_awaited_on_a_standby() {
        let conninfo = ConnInfo::parse("host=/nowhere user=u dbname=app", &Environment::default()).unwrap();
        let planner = Planner::from(Server::new(conninfo).unwrap());
        let mut advising = Advising::new(planner, Duration::from_secs(60), CancellationToken::new());
        let of_a_primary = EarlierAdvice {
            statements: ["s1".to_owned()].into(),
            indexes: vec![EarlierIndex {
                schema: "public".into(),
                table: "t".into(),
                name: String::new(),
                definition: "CREATE INDEX CONCURRENTLY t_a_idx ON public.t USING btree (a)".into(),
            }],
            of_a_standby: false,
        };
        let of_a_standby = EarlierAdvice {
            of_a_standby: true,
            ..of_a_primary.clone()
        };
        let known = advising.remembered.entry("app".to_owned()).or_default();
        known.insert(missing("t"), of_a_primary);
        known.insert(missing("report"), of_a_standby);
        let tables = |advising: &Advising| -> Vec<String> {
            let known = advising.remembered["app"].keys();
            known.map(|missing| missing.table.clone()).collect()
        };
        advising.heed_role(false);
        assert_eq!(tables(&advising), ["report", "t"], "it is what it was");
        advising.heed_role(true);
        assert_eq!(tables(&advising), ["report"]);
        advising.heed_role(false);
        assert_eq!(tables(&advising), ["report"], "it may still lack it");
        advising.heed_role(true);
        assert_eq!(tables(&advising), ["report"], "it was told of a standby");
    }

    #[test]
    fn what_was_told_of_a_primary_ends_on_a_standby_until_that_has_advice_of_its_own() {
        let conninfo = ConnInfo::parse("host=/nowhere user=u dbname=app", &Environment::default()).unwrap();
        let planner = Planner::from(Server::new(conninfo).unwrap());
        let mut advising = Advising::new(planner, Duration::from_secs(60), CancellationToken::new());
        for (name, of_a_standby) in [("app", false), ("own", true)] {
            let known = EarlierAdvice {
                statements: ["s1".to_owned()].into(),
                of_a_standby,
                ..EarlierAdvice::default()
            };
            let all = advising.remembered.entry(name.to_owned()).or_default();
            all.insert(missing("t"), known);
        }
        let is_elsewhere = |advising: &mut Advising, database: &str| {
            let unknown = Err(Unknown::because("not asked yet"));
            let told = advising.heeding_role(database, unknown).unwrap_err();
            told == Unknown::because(FOR_ITS_PRIMARY)
        };
        assert!(!is_elsewhere(&mut advising, "app"), "it is a primary");
        advising.heed_role(true);
        for _ in 0..2 {
            assert!(is_elsewhere(&mut advising, "app"));
            assert!(!is_elsewhere(&mut advising, "own"), "it is the standby's own");
        }
        assert!(advising.heeding_role("app", Ok(Arc::default())).is_ok());
        assert!(!is_elsewhere(&mut advising, "app"), "its own findings stay");
    }
}

//! A server that becomes a standby, or that is promoted: what of its advice still holds.

use std::time::Instant;

use super::{Advising, Task};

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
        if is_standby {
            // a finding of a standby has nothing to run, so that one of which indexes are known was told of a primary
            for earlier in self.remembered.values_mut() {
                earlier.retain(|_, known| known.indexes.is_empty());
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
        };
        let of_a_standby = EarlierAdvice {
            indexes: vec![],
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
    }
}

//! What rules are told of the settings of others: where one of two would tell the same, it must know whether anybody hears of
//! the other.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::own::InForce;
use super::{Override, RuleSettings, Settings, tell};
use crate::limits;
use crate::model::finding::{Claim, Object};
use crate::model::observation::{DatabaseObservation, Observation, ToldAsRare};
use crate::model::schema::Sequence;
use crate::model::selector::{Ignore, matches};
use crate::rules::index::missing::Missing;
use crate::rules::query::heavy_rare::{self, HeavyRare};
use crate::rules::query::time_share::TimeShare;
use crate::rules::sampled::SampledStatements;
use crate::rules::schema::int_key_overflow::{self, IntKeyOverflow};
use crate::rules::vacuum::autovacuum_off::{self, AutovacuumOff};
use crate::rules::vacuum::dead_tuples::DeadTuples;
use crate::rules::vacuum::xmin_blocked::{self, XminBlocked};
use crate::rules::{self, Place, Rule as _, RuleKind};

impl Settings {
    /// Puts into an observation what rules are told of the settings of others.
    pub fn tell_rules(&self, observation: &mut Observation) {
        let unused_after = self.unused_after();
        let hearing = |rule| Hearing::of(self, rule, &observation.server.name, observation.now);
        let (of_missing, of_keys, of_autovacuum) = (
            hearing(Missing::ID),
            hearing(IntKeyOverflow::ID),
            hearing(AutovacuumOff::ID),
        );
        for database in &mut observation.databases {
            database.unused_after = unused_after;
            database.missing_indexes_untold = of_missing.untold_tables(database);
            database.key_overflows_untold = of_keys.untold_keys(database);
        }
        observation.autovacuum_untold = of_autovacuum.untold_settings(&autovacuum_off::SETTINGS);
        if self.is_enabled(HeavyRare::ID) && self.is_enabled(TimeShare::ID) {
            observation.told_as_rare = self.told_as_rare(observation);
        }
        if self.is_enabled(XminBlocked::ID) && self.is_enabled(DeadTuples::ID) {
            observation.told_as_held_back = self.told_as_held_back(observation);
        }
    }

    /// Since when somebody holds row versions back of whom people hear by vacuum.xmin_blocked, by database.
    fn told_as_held_back(&self, observation: &Observation) -> BTreeMap<String, DateTime<Utc>> {
        let Some(rule) = rules::find(XminBlocked::ID) else {
            return BTreeMap::new();
        };
        let claims = self.told_by(&rule, observation, &SampledStatements::default(), |claim, _| {
            Some(xmin_blocked::held_databases(&claim, observation.now))
        });
        earliest(claims.into_iter().flatten())
    }

    /// What people hear of by query.heavy_rare.
    fn told_as_rare(&self, observation: &Observation) -> Vec<ToldAsRare> {
        // what samples saw matters only to what is told at all, which mostly is nothing
        let untold = self.told_as_rare_by(observation, &SampledStatements::default());
        match untold.is_empty() {
            true => untold,
            false => self.told_as_rare_by(observation, &SampledStatements::of(observation)),
        }
    }

    fn told_as_rare_by(&self, observation: &Observation, sampled: &SampledStatements<'_>) -> Vec<ToldAsRare> {
        let Some(rule) = rules::find(HeavyRare::ID) else {
            return Vec::new();
        };
        self.told_by(&rule, observation, sampled, |claim, thresholds| {
            Some(ToldAsRare {
                max_calls: heavy_rare::max_calls(thresholds)?,
                database: claim.database?,
                statement_id: claim.subject.into_iter().next()?,
            })
        })
    }

    /// What people hear of by a rule about the server, each claim with the thresholds that it was judged by.
    fn told_by<T>(
        &self,
        rule: &RuleKind,
        observation: &Observation,
        sampled: &SampledStatements<'_>,
        tell_of: impl Fn(Claim, &Value) -> Option<T>,
    ) -> Vec<T> {
        let settings = self.of(rule);
        let ignores = self.ignores.iter();
        let ignores: Vec<&Ignore> = ignores
            .filter(|ignore| ignore.is_in_force(observation.now))
            .collect();
        let place = Place {
            observation,
            database: None,
            sampled,
            claims_at_most: limits::FINDINGS_PER_RULE,
        };
        let in_force = InForce::of(&settings, &place);
        let told = tell(rule, &in_force, &ignores, &place).claims.into_iter();
        let told = told.filter_map(|claim| {
            let thresholds = in_force.thresholds_for(&claim);
            tell_of(claim, thresholds)
        });
        told.collect()
    }
}

/// Since when each database is held back: of several who do, the first one began it.
fn earliest(held: impl IntoIterator<Item = (String, DateTime<Utc>)>) -> BTreeMap<String, DateTime<Utc>> {
    let mut all = BTreeMap::new();
    for (database, since) in held {
        let first = all.entry(database).or_insert(since);
        *first = since.min(*first);
    }
    all
}

/// What decides whether anybody hears of what a rule finds. It is decided as it is of its claims: of several settings that are
/// meant for a thing the last one counts.
struct Hearing<'a> {
    server: String,
    settings: Option<&'a RuleSettings>,
    ignores: Vec<&'a Ignore>,
}

impl<'a> Hearing<'a> {
    fn of(settings: &'a Settings, rule: &str, server: &str, now: DateTime<Utc>) -> Self {
        let ignores = settings.ignores.iter();
        let is_meant = |ignore: &&Ignore| ignore.is_in_force(now) && matches(&ignore.rule, rule);
        Self {
            server: server.to_owned(),
            settings: settings.rules.get(rule),
            ignores: ignores.filter(is_meant).collect(),
        }
    }

    /// Whether nothing that it finds is left out.
    fn is_of_all(&self) -> bool {
        let tells_all = |settings: &RuleSettings| settings.enabled && settings.overrides.is_empty();
        self.ignores.is_empty() && self.settings.is_none_or(tells_all)
    }

    /// Whether anybody hears of a thing in a database, or in none.
    fn is_told(&self, database: Option<&str>, thing: &Object) -> bool {
        let is_on = self.settings.is_none_or(|settings| {
            let is_meant = |own: &&Override| own.selector.selects_thing(&self.server, database, thing);
            let own = settings.overrides.iter().rfind(is_meant);
            own.map_or(settings.enabled, |own| own.enabled)
        });
        let is_ignored = |ignore: &&Ignore| ignore.selects_thing(&self.server, database, thing);
        is_on && !self.ignores.iter().any(is_ignored)
    }

    /// Whether somebody who named a thing wants to hear nothing of it: that is about the problem, whichever rule tells it.
    fn is_hushed(&self, database: Option<&str>, thing: &Object) -> bool {
        let mut naming = self
            .ignores
            .iter()
            .filter(|ignore| ignore.selector.names_things());
        naming.any(|ignore| ignore.selects_thing(&self.server, database, thing))
    }

    /// The settings of the server of which nobody hears.
    fn untold_settings(&self, names: &[&str]) -> BTreeSet<String> {
        let is_untold = |name: &&&str| !self.is_told(None, &rules::settings::object(name));
        let untold = names.iter().filter(is_untold);
        untold.map(|name| (*name).to_owned()).collect()
    }

    /// The sequences of which nobody hears that the column ends that they feed, by OID; without those of columns that somebody named
    /// who does not want to hear of it.
    fn untold_keys(&self, database: &DatabaseObservation) -> BTreeSet<u32> {
        if self.is_of_all() {
            return BTreeSet::new();
        }
        let schema = database.schema.iter();
        let sequences = schema.flat_map(|schema| &schema.facts.sequences);
        let is_untold = |sequence: &&Sequence| {
            let column = int_key_overflow::told_column(database, sequence);
            let place = Some(database.name.as_str());
            column.is_some_and(|column| !self.is_told(place, &column) && !self.is_hushed(place, &column))
        };
        let untold = sequences.filter(is_untold);
        untold.map(|sequence| sequence.oid).collect()
    }

    /// The tables with foreign keys of which nobody hears, by OID.
    fn untold_tables(&self, database: &DatabaseObservation) -> BTreeSet<u32> {
        if self.is_of_all() {
            return BTreeSet::new();
        }
        let keys = database
            .schema
            .iter()
            .flat_map(|schema| &schema.facts.foreign_keys);
        let tables: BTreeSet<u32> = keys.map(|key| key.table_oid).collect();
        let is_untold = |oid: &u32| {
            let table = database.catalog.tables.get(*oid);
            table.is_some_and(|table| !self.is_told(Some(&database.name), &rules::table_object(table)))
        };
        tables.into_iter().filter(is_untold).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::observation::{SchemaObservation, TableObservation};
    use crate::model::schema::{ForeignKey, Schema, SequenceColumn};
    use crate::model::selector::Selector;
    use crate::model::snapshot::XminHolder;
    use crate::model::unit::Period;
    use crate::rules::testing::{now, observation, statement, table, tables};
    use serde_json::json;

    /// The tables `public.a` (OID 1) and `public.b` (OID 2), each with a foreign key.
    fn observed() -> Observation {
        let mut observed = tables(vec![table(1, "a", 1e6, 1e9), table(2, "b", 1e6, 1e9)]);
        let key = |table_oid| ForeignKey {
            oid: 70 + table_oid,
            table_oid,
            ..ForeignKey::default()
        };
        let schema = Schema {
            foreign_keys: vec![key(1), key(2)],
            ..Schema::default()
        };
        observed.databases[0].schema = Ok(SchemaObservation {
            facts: Arc::new(schema),
            ..SchemaObservation::default()
        });
        observed
    }

    fn untold(settings: &Settings) -> Vec<u32> {
        let mut observed = observed();
        settings.tell_rules(&mut observed);
        let untold = observed.databases[0].missing_indexes_untold.iter();
        untold.copied().collect()
    }

    fn ignoring(change: impl FnOnce(&mut Ignore)) -> Vec<u32> {
        let mut ignore = Ignore {
            rule: "index.*".into(),
            application: "*".into(),
            ..Ignore::default()
        };
        change(&mut ignore);
        untold(&Settings {
            ignores: vec![ignore],
            ..Settings::default()
        })
    }

    #[test]
    fn what_is_ignored_is_untold_as_its_claims_are() {
        assert_eq!(untold(&Settings::default()), [0; 0]);
        assert_eq!(ignoring(|_| ()), [1, 2]);
        assert_eq!(ignoring(|ignore| ignore.selector.database = "app".into()), [1, 2]);
        assert_eq!(
            ignoring(|ignore| ignore.selector.database = "other".into()),
            [0; 0]
        );
        assert_eq!(ignoring(|ignore| ignore.selector.server = "other".into()), [0; 0]);
        assert_eq!(ignoring(|ignore| ignore.selector.object = "public.b".into()), [2]);
        assert_eq!(
            ignoring(|ignore| ignore.selector.role = "batch".into()),
            [0; 0],
            "a missing index is nobody's"
        );
        assert_eq!(ignoring(|ignore| ignore.application = "batch".into()), [0; 0]);
        assert_eq!(
            ignoring(|ignore| ignore.until = now().date_naive().pred_opt()),
            [0; 0]
        );
        assert_eq!(ignoring(|ignore| ignore.rule = "query.*".into()), [0; 0]);
    }

    #[test]
    fn settings_and_keys_that_nobody_hears_of() {
        let sequence = Sequence {
            oid: 9,
            type_name: "integer".into(),
            greatest: i64::from(i32::MAX),
            increment: 1,
            column: Some(SequenceColumn {
                table_oid: 2,
                name: "id".into(),
                type_name: "integer".into(),
                ..SequenceColumn::default()
            }),
            ..Sequence::default()
        };
        let untold = |change: &dyn Fn(&mut Settings)| {
            let mut observed = observed();
            let sequences = vec![sequence.clone(), Sequence::default()];
            observed.databases[0].schema = Ok(SchemaObservation {
                facts: Arc::new(Schema {
                    sequences,
                    ..Schema::default()
                }),
                ..SchemaObservation::default()
            });
            let mut settings = Settings::default();
            change(&mut settings);
            settings.tell_rules(&mut observed);
            let keys = observed.databases[0].key_overflows_untold.iter().copied();
            let names = observed.autovacuum_untold.into_iter();
            (
                names.collect::<Vec<String>>().join(" "),
                keys.collect::<Vec<u32>>(),
            )
        };
        let off = |settings: &mut Settings, id: &str| {
            let rule = rules::find(id).unwrap();
            let mut chosen = settings.of(&rule);
            chosen.enabled = false;
            settings.rules.insert(id.to_owned(), chosen);
        };
        let nothing = (String::new(), vec![]);
        assert_eq!(untold(&|_| ()), nothing);
        assert_eq!(
            untold(&|settings| {
                off(settings, AutovacuumOff::ID);
                off(settings, IntKeyOverflow::ID);
            }),
            ("autovacuum track_counts".to_owned(), vec![9])
        );
        let ignoring = |rule: &str, object: &str, database: &str| {
            untold(&|settings| {
                let mut ignore = Ignore {
                    rule: rule.into(),
                    application: "*".into(),
                    ..Ignore::default()
                };
                ignore.selector.object = object.into();
                ignore.selector.database = database.into();
                settings.ignores = vec![ignore];
            })
        };
        assert_eq!(
            ignoring("*", "track_counts", "*"),
            ("track_counts".to_owned(), vec![])
        );
        let told_by_its_sequence = (String::new(), vec![9]);
        assert_eq!(ignoring(IntKeyOverflow::ID, "*", "*"), told_by_its_sequence);
        assert_eq!(ignoring("schema.int_*", "*", "app"), told_by_its_sequence);
        for rule in ["*", IntKeyOverflow::ID] {
            for object in ["public.b", "public.b.id", "public.*"] {
                assert_eq!(ignoring(rule, object, "*"), nothing, "{rule} {object}: named");
            }
        }
        assert_eq!(
            ignoring("*", "track_counts", "app"),
            nothing,
            "a setting is in no database"
        );
    }

    /// From how many calls on two statements with 19 calls each would not be rare, by those that people hear of.
    fn told_as_rare(change: impl FnOnce(&mut Settings)) -> Vec<i64> {
        let statements = ["a", "b"].map(|table| statement(&format!("SELECT 1 FROM {table}"), 19, 30_000.0));
        let mut observed = observation(statements.into(), 0.0);
        let mut settings = Settings::default();
        change(&mut settings);
        settings.tell_rules(&mut observed);
        observed.told_as_rare.iter().map(|rare| rare.max_calls).collect()
    }

    #[test]
    fn what_is_rare_and_heavy_is_told_as_it_is_configured() {
        let rule = rules::find(HeavyRare::ID).unwrap();
        let with = |change: &dyn Fn(&mut RuleSettings)| {
            told_as_rare(|settings| {
                let mut chosen = settings.of(&rule);
                change(&mut chosen);
                settings.rules.insert(rule.id.to_owned(), chosen);
            })
        };
        assert_eq!(with(&|_| ()), [20, 20]);
        assert_eq!(with(&|chosen| chosen.enabled = false), [0; 0]);
        assert_eq!(with(&|chosen| chosen.thresholds["max_calls"] = json!(19)), [0; 0]);
        assert_eq!(
            with(&|chosen| chosen.thresholds["max_calls"] = json!(50)),
            [50, 50]
        );
        let own = |enabled: bool, max_calls: i64| {
            let mut thresholds = (rule.defaults)();
            thresholds["max_calls"] = json!(max_calls);
            Override {
                selector: Selector {
                    object: crate::sql::identify("SELECT 1 FROM a").statement_id,
                    ..Selector::default()
                },
                enabled,
                hold: Period::default(),
                clear: Period::default(),
                thresholds,
            }
        };
        let mut calls = with(&|chosen| chosen.overrides = vec![own(true, 30)]);
        calls.sort_unstable();
        assert_eq!(calls, [20, 30]);
        assert_eq!(with(&|chosen| chosen.overrides = vec![own(false, 30)]), [20]);
        let ignoring = |application: &str| {
            told_as_rare(|settings| {
                settings.ignores = vec![Ignore {
                    rule: "query.heavy_*".into(),
                    application: application.into(),
                    ..Ignore::default()
                }];
            })
        };
        assert_eq!(ignoring("*"), [0; 0]);
        assert_eq!(ignoring("nightly"), [20, 20], "nobody knows whose they are");
    }

    #[test]
    fn who_holds_rows_back_is_told_of_as_far_as_people_hear_of_it() {
        let rule = rules::find(XminBlocked::ID).unwrap();
        let told = |change: &dyn Fn(&mut Settings)| {
            let mut observed = tables(vec![table(1, "a", 3_000_000.0, 4e9)]);
            observed.databases[0].tables = vec![TableObservation {
                oid: 1,
                dead_rows: 2_000_000,
                vacuum_threshold_rows: 600_050.0,
                rows_were_counted: true,
                ..TableObservation::default()
            }];
            observed.server.xmin_holders = vec![XminHolder {
                kind: "prepared transaction".into(),
                name: "left over".into(),
                database: Some("app".into()),
                age: 5_000,
                since: Some(now() - chrono::TimeDelta::hours(2)),
                catalogs_only: false,
            }];
            let mut settings = Settings::default();
            change(&mut settings);
            settings.tell_rules(&mut observed);
            observed.told_as_held_back.into_keys().collect::<Vec<_>>()
        };
        let with = |change: &dyn Fn(&mut RuleSettings)| {
            told(&|settings| {
                let mut chosen = settings.of(&rule);
                change(&mut chosen);
                settings.rules.insert(rule.id.to_owned(), chosen);
            })
        };
        assert_eq!(with(&|_| ()), ["app"]);
        assert_eq!(with(&|chosen| chosen.enabled = false), [""; 0]);
        assert_eq!(
            with(&|chosen| chosen.thresholds["min_dead_rows"] = json!(3_000_000)),
            [""; 0]
        );
        let ignored = told(&|settings| {
            settings.ignores = vec![Ignore {
                rule: "vacuum.*".into(),
                application: "*".into(),
                ..Ignore::default()
            }];
        });
        assert_eq!(ignored, [""; 0]);
    }

    #[test]
    fn of_two_who_hold_rows_of_a_database_back_the_earlier_one_counts() {
        let since = |hours: i64| now() - chrono::TimeDelta::hours(hours);
        for both in [[5, 2], [2, 5]] {
            let held = both.map(|hours| ("app".to_owned(), since(hours)));
            assert_eq!(earliest(held), [("app".to_owned(), since(5))].into());
        }
    }

    #[test]
    fn the_last_setting_that_is_meant_for_a_table_counts() {
        let rule = rules::find(Missing::ID).unwrap();
        let judged = |everywhere: bool, own: &[(&str, &str, bool)]| {
            let mut settings = Settings::default();
            let mut chosen = settings.of(&rule);
            chosen.enabled = everywhere;
            let overrides = own.iter().map(|(object, role, enabled)| Override {
                selector: Selector {
                    object: (*object).into(),
                    role: (*role).into(),
                    ..Selector::default()
                },
                enabled: *enabled,
                hold: rule.hold,
                clear: rule.clear,
                thresholds: (rule.defaults)(),
            });
            chosen.overrides = overrides.collect();
            settings.rules.insert(rule.id.to_owned(), chosen);
            untold(&settings)
        };
        assert_eq!(judged(false, &[]), [1, 2]);
        assert_eq!(judged(false, &[("public.a", "*", true)]), [2]);
        assert_eq!(judged(true, &[("public.a", "*", false)]), [1]);
        assert_eq!(judged(true, &[("*", "*", false), ("public.a", "*", true)]), [2]);
        assert_eq!(
            judged(true, &[("public.a", "*", true), ("*", "*", false)]),
            [1, 2]
        );
        assert_eq!(judged(true, &[("*", "batch", false)]), [0; 0]);
    }
}

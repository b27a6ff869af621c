//! Runs the rules over one observation, bounds and orders what comes out. Pure.

mod beside;
mod late;
mod own;
mod unheard;
mod untold;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde_json::Value;

use crate::limits;
use crate::model::finding::{Claim, ConfidenceLevel, by_impact};
use crate::model::index_days::LittleUse;
use crate::model::judgement::{Decided, Ignored, Judgement, Mended, RuleOutcome, ToldBy, Verdict};
use crate::model::observation::{Observation, Unknown};
use crate::model::selector::{Ignore, Selector, is_ignored_by_comment, matches};
use crate::model::unit::Period;
use crate::rules::index::rarely_used::{self, RarelyUsed};
use crate::rules::index::unused::{self, Unused};
use crate::rules::sampled::SampledStatements;
use crate::rules::{self, Place, Rule, RuleKind, Scope};

use own::{InForce, Told};

/// What the configuration says of one rule.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct RuleSettings {
    pub enabled: bool,
    pub hold: Period,
    pub clear: Period,
    pub thresholds: Value,
    /// Settings of their own for some places and things; where several fit, the last one counts.
    pub overrides: Vec<Override>,
}

/// Settings of one rule for some places and things.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Override {
    pub selector: Selector,
    pub enabled: bool,
    pub hold: Period,
    pub clear: Period,
    pub thresholds: Value,
}

/// What the configuration says of all rules.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Every rule's settings, by id; a rule that is not named runs with its defaults.
    pub rules: BTreeMap<String, RuleSettings>,
    /// What nobody wants to hear of.
    pub ignores: Vec<Ignore>,
}

impl Settings {
    /// The settings of one rule.
    pub fn of(&self, rule: &RuleKind) -> RuleSettings {
        self.rules.get(rule.id).cloned().unwrap_or_else(|| RuleSettings {
            enabled: true,
            hold: rule.hold,
            clear: rule.clear,
            thresholds: (rule.defaults)(),
            overrides: Vec::new(),
        })
    }

    /// How long an index must have been idle for index.unused to name it somewhere; `None` where that is judged nowhere.
    pub fn unused_after(&self) -> Option<Period> {
        let chosen = self.of(&rules::find(Unused::ID)?);
        let own = chosen.overrides.iter().filter(|own| own.enabled);
        let everywhere = chosen.enabled.then_some(&chosen.thresholds);
        let all = own.map(|own| &own.thresholds).chain(everywhere);
        all.filter_map(unused::min_age).min()
    }

    /// How little an index must be used for index.rarely_used to name it somewhere; `None` where that is judged nowhere.
    pub fn little_use(&self) -> Option<LittleUse> {
        let chosen = self.of(&rules::find(RarelyUsed::ID)?);
        let own = chosen.overrides.iter().filter(|own| own.enabled);
        let everywhere = chosen.enabled.then_some(&chosen.thresholds);
        rarely_used::little_use(own.map(|own| &own.thresholds).chain(everywhere))
    }

    /// Whether a rule is judged anywhere.
    pub fn is_enabled(&self, rule: &str) -> bool {
        let settings = self.rules.get(rule);
        settings.is_none_or(|rule| rule.enabled || rule.overrides.iter().any(|own| own.enabled))
    }
}

/// Judges one observation by every rule that is switched on.
pub fn judge(observation: &Observation, settings: &Settings) -> Judgement {
    judge_beside(observation, settings, None)
}

/// The same where another name of the configuration leads to the same running server: what that one tells is not told here.
pub fn judge_beside(observation: &Observation, settings: &Settings, told_by: Option<&ToldBy>) -> Judgement {
    let mut judgement = Judgement::default();
    let in_force = settings.ignores.iter();
    let ignores: Vec<&Ignore> = in_force
        .filter(|ignore| ignore.is_in_force(observation.now))
        .collect();
    let server = Place {
        observation,
        database: None,
        sampled: &SampledStatements::of(observation),
        claims_at_most: limits::FINDINGS_PER_RULE,
    };
    for rule in rules::all() {
        if !settings.is_enabled(rule.id) {
            continue;
        }
        let chosen = settings.of(rule);
        match rule.scope {
            Scope::Server => match beside::of_server(told_by, rule, &chosen) {
                None => judge_place(rule, &chosen, &ignores, &server, &mut judgement),
                Some(other) => {
                    beside::judge_own(rule, &chosen, &ignores, &server, other, &mut judgement);
                }
            },
            Scope::Database => {
                for database in &observation.databases {
                    let place = Place {
                        database: Some(database),
                        ..server
                    };
                    match beside::of_database(told_by, rule, &chosen, database) {
                        None => judge_place(rule, &chosen, &ignores, &place, &mut judgement),
                        Some(other) => {
                            beside::judge_unheard(rule, &chosen, &ignores, &place, other, &mut judgement);
                        }
                    }
                }
                skip_unseen(rule, &chosen, observation, told_by, &mut judgement);
            }
        }
    }
    judgement.claims.sort_by(by_impact);
    let left_out = &mut judgement.ignored;
    left_out.sort_by(|a, b| (&a.rule, &a.database, &a.title).cmp(&(&b.rule, &b.database, &b.title)));
    judgement.unbroken_within = Period::seconds(limits::UNBROKEN_WITHIN.as_secs());
    for database in &observation.databases {
        let schema = database.schema.as_ref().ok().map(|schema| schema.facts.clone());
        judgement
            .proof
            .add(&database.name, database.catalog.clone(), schema);
    }
    let databases = &observation.server.databases;
    judgement.databases = Some(databases.iter().map(|database| database.name.clone()).collect());
    judgement
}

fn judge_place(
    rule: &RuleKind,
    settings: &RuleSettings,
    ignores: &[&Ignore],
    place: &Place<'_>,
    judgement: &mut Judgement,
) {
    let observation = place.observation;
    let in_force = InForce::of(settings, place);
    let mut told = tell(rule, &in_force, ignores, place);
    // what nobody wants to hear of takes nobody's place, and what is meant for other settings is judged by those
    let is_chosen =
        !settings.overrides.is_empty() || ignores.iter().any(|ignore| matches(&ignore.rule, rule.id));
    let is_short = told.claims.len() < limits::FINDINGS_PER_RULE;
    if told.is_cut && (is_short || is_chosen) {
        let with_more = Place {
            claims_at_most: limits::CLAIMS_PER_RULE,
            ..*place
        };
        told = tell(rule, &in_force, ignores, &with_more);
    }
    let name = place.database.map(|database| database.name.clone());
    judgement.ignored.extend(told.left_out);
    let mended = told.mended.into_iter().map(|subject| Mended {
        rule: rule.id.to_owned(),
        database: name.clone(),
        subject,
    });
    judgement.mended.extend(mended);
    let dropped = keep(rule, in_force.hold, observation, told.claims, judgement);
    let mut own = told.own;
    for one in &mut own {
        if let Verdict::Evaluated { undecided, .. } = &mut one.verdict {
            undecided.extend(dropped.iter().cloned());
        }
    }
    let verdict = match told.base {
        Ok(found) => {
            judgement.dropped_claims += found.beyond.len();
            // things with settings of their own are told by those
            if own.is_empty() {
                judgement.decided.extend(decided(rule, found.decided));
                judgement
                    .mended
                    .extend(found.over.into_iter().map(|(database, subject)| Mended {
                        rule: rule.id.to_owned(),
                        database: Some(database),
                        subject,
                    }));
            }
            let undecided = found.undecided.into_iter().chain(found.beyond).chain(dropped);
            Verdict::Evaluated {
                undecided: undecided.collect(),
                absence_counts: found.absence_is_no_proof.is_none(),
                untold: found.untold.or(found.absence_is_no_proof),
            }
        }
        // where nobody watches a primary, nobody else would tell
        Err(unknown) if observation.primary.is_some() && place.is_for_its_primary(&unknown) => {
            Verdict::Elsewhere {
                reason: unknown.reason,
            }
        }
        Err(Unknown { reason, remedy_sql }) => Verdict::Skipped { reason, remedy_sql },
    };
    judgement.outcomes.push(RuleOutcome {
        hold: in_force.hold,
        clear: in_force.clear,
        own,
        ..outcome(rule, settings, name, verdict)
    });
}

/// What a rule can tell of though it cannot tell of others.
fn decided(rule: &RuleKind, subjects: Vec<(String, Vec<String>)>) -> impl Iterator<Item = Decided> {
    let rule = rule.id;
    subjects.into_iter().map(move |(database, subject)| Decided {
        rule: rule.to_owned(),
        database,
        subject,
    })
}

/// What a rule claims without what nobody wants to hear of, which comes beside it.
fn tell(rule: &RuleKind, in_force: &InForce<'_>, ignores: &[&Ignore], place: &Place<'_>) -> Told {
    let mut told = in_force.judge(rule, place);
    leave_out(ignores, &mut told.claims, &mut told.left_out);
    told
}

/// Why a claim is left out where the configuration has switched its rule off for it.
const SWITCHED_OFF: &str = "the rule is switched off for it";

fn ignored(claim: &Claim, reason: &str, until: Option<NaiveDate>) -> Ignored {
    Ignored {
        rule: claim.rule.clone(),
        database: claim.database.clone(),
        object: claim.object.clone(),
        title: claim.title.clone(),
        severity: claim.severity,
        reason: reason.to_owned(),
        until,
    }
}

/// Leaves out what nobody wants to hear of, and counts it.
fn leave_out(ignores: &[&Ignore], claims: &mut Vec<Claim>, left_out: &mut Vec<Ignored>) {
    claims.retain(|claim| {
        let by_comment = || {
            let text = claim.evidence.get("statement").and_then(Value::as_str)?;
            is_ignored_by_comment(text, &claim.rule)
                .then(|| ignored(claim, "its text says pgadvisor:ignore", None))
        };
        let chosen = ignores.iter().find(|ignore| ignore.selects(claim));
        let found = chosen
            .map(|ignore| ignored(claim, &ignore.reason, ignore.until))
            .or_else(by_comment);
        let stays = found.is_none();
        left_out.extend(found);
        stays
    });
}

/// Bytes of a title, without the "…" of one that is cut.
const TITLE_BYTES: usize = 200;

/// Takes in the worst claims. The rest are counted, and keep the state that they have: their subjects come back.
fn keep(
    rule: &RuleKind,
    hold: Period,
    observation: &Observation,
    mut claims: Vec<Claim>,
    judgement: &mut Judgement,
) -> Vec<Vec<String>> {
    claims.sort_by(by_impact);
    let dropped = claims.split_off(claims.len().min(limits::FINDINGS_PER_RULE));
    judgement.dropped_claims += dropped.len();
    let late = late::guard(observation, rule.scope, rule.samples);
    for mut claim in claims {
        claim.round_bytes();
        claim.guards.extend(late.clone());
        let hold = claim.hold.unwrap_or(hold);
        // what need not last is not left unchecked
        if observation.single_look && hold > Period::seconds(0) {
            claim.guards.push(format!("not checked: duration ({hold})"));
            claim.confidence.level = ConfidenceLevel::Estimated;
            claim.confidence.reason = format!("{}; not checked: duration", claim.confidence.reason);
        }
        if claim.title.len() > TITLE_BYTES {
            claim.title = [crate::sql::cut(&claim.title, TITLE_BYTES), "…"].concat();
        }
        judgement.claims.push(claim);
    }
    dropped.into_iter().map(|claim| claim.subject).collect()
}

fn outcome(
    rule: &RuleKind,
    settings: &RuleSettings,
    database: Option<String>,
    verdict: Verdict,
) -> RuleOutcome {
    RuleOutcome {
        rule: rule.id.to_owned(),
        database,
        verdict,
        hold: settings.hold,
        clear: settings.clear,
        own: Vec::new(),
    }
}

/// Databases that are meant to be watched but could not be visited: their rules are skipped, never silently passed.
fn skip_unseen(
    rule: &RuleKind,
    settings: &RuleSettings,
    observation: &Observation,
    told_by: Option<&ToldBy>,
    judgement: &mut Judgement,
) {
    for gap in observation.gaps.iter().filter(|gap| gap.fact == "database") {
        let name = gap.database.as_deref();
        let is_told = |other: &&ToldBy| name.is_some() && beside::tells(other, rule, settings, name);
        let verdict = match told_by.filter(is_told) {
            Some(other) => other.verdict_of(rule.id, name),
            None => Verdict::Skipped {
                reason: gap.why.clone(),
                remedy_sql: gap.remedy_sql.clone(),
            },
        };
        judgement
            .outcomes
            .push(outcome(rule, settings, gap.database.clone(), verdict));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{now, observation, set, statement};
    use serde_json::json;

    /// Two statements of 100 ms a call, one of a role that reports.
    fn observed() -> Observation {
        let mut report = statement("SELECT 1 FROM report", 100, 100.0);
        report.roles = vec!["report_eu".into()];
        let marked = "SELECT /* pgadvisor:ignore query.* */ 1 FROM marked";
        let statements = vec![
            report,
            statement("SELECT 1 FROM shop", 100, 100.0),
            statement(marked, 100, 100.0),
        ];
        let mut observed = observation(statements, 0.0);
        set(&mut observed, "autovacuum", "off");
        set(&mut observed, "track_counts", "off");
        observed
    }

    fn only(rule: &str, change: impl FnOnce(&mut RuleSettings)) -> Settings {
        let mut settings = Settings::default();
        for kind in rules::all() {
            let mut chosen = settings.of(kind);
            chosen.enabled = kind.id == rule;
            settings.rules.insert(kind.id.to_owned(), chosen);
        }
        change(settings.rules.get_mut(rule).unwrap());
        settings
    }

    #[test]
    fn bytes_are_told_whole() {
        use crate::model::catalog::IndexFacts;
        use crate::rules::testing::{database, index};
        let broken = IndexFacts {
            is_valid: false,
            size_bytes: 8192.4,
            ..index(9, "i")
        };
        let judgement = judge(&database(vec![broken]), &only("index.invalid", |_| ()));
        let claim = &judgement.claims[0];
        assert_eq!(claim.impact.bytes, Some(8192.0));
        assert_eq!(claim.remedy.extra_disk_bytes, Some(8192.0));
        assert_eq!(claim.evidence["size_bytes"], json!(8192.0));
    }

    fn own(selector: Selector, enabled: bool, thresholds: Value) -> Override {
        Override {
            selector,
            enabled,
            hold: Period::minutes(7),
            clear: Period::minutes(9),
            thresholds,
        }
    }

    fn titles(judgement: &Judgement) -> Vec<&str> {
        judgement
            .claims
            .iter()
            .map(|claim| claim.title.as_str())
            .collect()
    }

    #[test]
    fn the_shortest_setting_of_index_unused_is_what_others_heed() {
        assert_eq!(Settings::default().unused_after(), Some(Period::days(35)));
        let kind = rules::find(Unused::ID).unwrap();
        let after = |own_is_enabled: bool, everywhere_is_enabled: bool| {
            let mut shorter = (kind.defaults)();
            shorter["min_age"] = json!("3 days");
            let settings = only(kind.id, |rule| {
                rule.enabled = everywhere_is_enabled;
                rule.overrides = vec![own(Selector::default(), own_is_enabled, shorter)];
            });
            settings.unused_after()
        };
        assert_eq!(after(true, true), Some(Period::days(3)));
        assert_eq!(after(true, false), Some(Period::days(3)));
        assert_eq!(after(false, true), Some(Period::days(35)));
        assert_eq!(after(false, false), None);
    }

    #[test]
    fn the_loosest_setting_of_index_rarely_used_is_what_the_store_is_asked_for() {
        let kind = rules::find(RarelyUsed::ID).unwrap();
        let little = |own_is_enabled: bool, everywhere_is_enabled: bool| {
            let mut looser = (kind.defaults)();
            looser["max_scans"] = json!(5_000);
            let settings = only(kind.id, |rule| {
                rule.enabled = everywhere_is_enabled;
                rule.overrides = vec![own(Selector::default(), own_is_enabled, looser)];
            });
            settings.little_use().map(|little| little.max_scans)
        };
        assert_eq!(little(true, true), Some(5_000.0));
        assert_eq!(little(false, true), Some(1_000.0));
        assert_eq!(little(false, false), None);
    }

    #[test]
    fn thresholds_of_their_own_count_for_what_they_are_meant_for_and_nothing_else() {
        let slow = rules::find("query.slow_mean").unwrap();
        let mut lenient = (slow.defaults)();
        lenient["info_mean"] = json!("200 ms");
        let of_reports = Selector {
            role: "report_*".into(),
            ..Selector::default()
        };
        let judged = |enabled, thresholds| {
            let settings = only(slow.id, |rule| {
                rule.overrides = vec![own(of_reports.clone(), enabled, thresholds)]
            });
            judge(&observed(), &settings)
        };
        let lenient = judged(true, lenient);
        assert_eq!(titles(&lenient).len(), 1);
        assert!(titles(&lenient)[0].contains("shop"));
        let strict = judged(true, (slow.defaults)());
        let holds: Vec<_> = strict.claims.iter().map(|claim| claim.hold).collect();
        assert_eq!(holds.iter().flatten().count(), 1, "only what it is meant for");
        let clears = strict.claims.iter().filter_map(|claim| claim.clear);
        assert_eq!(clears.collect::<Vec<_>>(), [Period::minutes(9)]);
        let off = judged(false, (slow.defaults)());
        assert!(titles(&off)[0].contains("shop") && off.claims.len() == 1);
        assert!(off.ignored.iter().any(|one| one.reason == SWITCHED_OFF));
        let settings = only(slow.id, |rule| {
            rule.enabled = false;
            rule.overrides = vec![own(of_reports.clone(), true, (slow.defaults)())];
        });
        let alone = judge(&observed(), &settings);
        assert!(titles(&alone)[0].contains("report") && alone.claims.len() == 1);
    }

    #[test]
    fn what_is_ignored_is_counted_and_comes_back_after_its_last_day() {
        let ignore = |until| Ignore {
            rule: "vacuum.*".into(),
            selector: Selector {
                object: "autovacuum".into(),
                ..Selector::default()
            },
            application: "*".into(),
            until,
            reason: "a bulk load".into(),
        };
        let judged = |until| {
            let mut settings = only("vacuum.autovacuum_off", |_| {});
            settings.ignores = vec![ignore(until)];
            judge(&observed(), &settings)
        };
        for until in [None, Some(now().date_naive())] {
            let judgement = judged(until);
            assert_eq!((judgement.claims.len(), judgement.ignored.len()), (1, 1));
            assert_eq!(judgement.ignored[0].reason, "a bulk load");
            let object = judgement.ignored[0].object.as_ref();
            assert_eq!(object.map(|object| object.name.as_str()), Some("autovacuum"));
        }
        let over = judged(now().date_naive().pred_opt());
        assert_eq!((over.claims.len(), over.ignored.len()), (2, 0));
    }

    #[test]
    fn what_is_ignored_takes_nobodys_place() {
        use crate::rules::testing::{database, index};
        let mut indexes = Vec::new();
        for oid in 10..10 + limits::FINDINGS_PER_RULE as u32 + 100 {
            let mut old = index(oid, &format!("old_{oid}"));
            (old.schema, old.size_bytes) = ("legacy".into(), 1e10);
            indexes.push(old);
        }
        indexes.push(index(9, "mine"));
        let mut observed = database(indexes);
        for index in &mut observed.databases[0].indexes {
            index.idle_since = Some(now() - chrono::TimeDelta::days(90));
        }
        let mut settings = only("index.unused", |_| {});
        let judged = |settings: &Settings| judge(&observed, settings);
        assert!(
            !titles(&judged(&settings))
                .iter()
                .any(|title| title.contains("mine"))
        );
        settings.ignores = vec![Ignore {
            rule: "index.*".into(),
            selector: Selector {
                object: "legacy.*".into(),
                ..Selector::default()
            },
            application: "*".into(),
            until: None,
            reason: "goes away".into(),
        }];
        let judgement = judged(&settings);
        assert_eq!(titles(&judgement).len(), 1);
        assert!(titles(&judgement)[0].contains("mine"));
        assert_eq!(judgement.ignored.len(), limits::FINDINGS_PER_RULE + 100);
    }

    #[test]
    fn what_only_a_primary_is_told_of_is_elsewhere_on_a_standby() {
        use crate::model::replication::WatchedPrimary;
        use crate::rules::testing::{database, index};
        let mut observed = database(vec![index(9, "i")]);
        observed.server.is_standby = true;
        observed.primary = Some(WatchedPrimary::default());
        let verdict = |rule: &str, observed: &Observation| {
            let mut outcomes = judge(observed, &only(rule, |_| {})).outcomes;
            outcomes.remove(0).verdict
        };
        assert!(matches!(
            verdict("index.unused", &observed),
            Verdict::Elsewhere { reason } if reason.contains("primary")
        ));
        let alone = Observation {
            primary: None,
            ..observed.clone()
        };
        assert!(matches!(verdict("index.unused", &alone), Verdict::Skipped { .. }));
        observed.replication = Err(Unknown::because("not read"));
        assert!(
            matches!(verdict("replication.lag", &observed), Verdict::Skipped { .. }),
            "what could not be read is not known on a standby, too"
        );
        observed.server.is_standby = false;
        assert!(!matches!(
            verdict("index.unused", &observed),
            Verdict::Elsewhere { .. }
        ));
    }

    #[test]
    fn what_is_mended_is_told_by_whichever_settings_saw_it() {
        use crate::rules::testing::{advised, advised_statement, database, index};
        let create = "CREATE INDEX CONCURRENTLY t_a_idx ON public.t USING btree (a)";
        let mut observed = database(vec![index(8, "t_a_idx")]);
        let advice = advised(&[create], vec![advised_statement("s1", &[create], Some(0.0))]);
        observed.databases[0].advice = Ok(std::sync::Arc::new(advice));
        let kind = rules::find("index.missing").unwrap();
        let mended = |change: &dyn Fn(&mut RuleSettings)| {
            let judgement = judge(&observed, &only(kind.id, change));
            assert!(judgement.claims.is_empty());
            judgement.mended
        };
        let expected = [Mended {
            rule: kind.id.into(),
            database: Some(observed.databases[0].name.clone()),
            subject: vec!["public".into(), "t".into(), "a".into()],
        }];
        assert_eq!(mended(&|_| ()), expected);
        let of_the_table = mended(&|rule| {
            rule.enabled = false;
            let selector = Selector {
                object: "public.t".into(),
                ..Selector::default()
            };
            rule.overrides = vec![own(selector, true, (kind.defaults)())];
        });
        assert_eq!(of_the_table, expected);
        assert!(mended(&|rule| rule.enabled = false).is_empty());
    }

    #[test]
    fn what_is_about_a_table_or_an_index_that_is_gone_is_proven_to_be_mended() {
        let observed = crate::rules::testing::database(vec![]);
        let judgement = judge(&observed, &Settings::default());
        let gone = ["public", "gone"].map(str::to_owned);
        for rule in rules::all() {
            let is_of_relations = rule.id.starts_with("index.")
                || rule.id.starts_with("schema.") && rule.id != "schema.sequence_exhaustion";
            let is_mended = judgement.proof.is_mended(rule.id, Some("app"), &gone);
            assert_eq!(is_mended, is_of_relations, "{}", rule.id);
        }
    }

    #[test]
    fn what_a_window_that_fills_decides_is_told_where_no_setting_is_its_own() {
        let mut observed = observation(vec![statement("SELECT 1 FROM shop", 100, 100.0)], 90.0);
        let activity = observed.statements.as_mut().unwrap();
        activity.still_filling = Some("10 min of 30".into());
        let rule = "query.time_share";
        let subject = vec![activity.statements[0].text.statement_id.clone()];
        let decided = |change: &dyn Fn(&mut RuleSettings)| judge(&observed, &only(rule, change)).decided;
        let expected = Decided {
            rule: rule.into(),
            database: "app".into(),
            subject,
        };
        assert_eq!(decided(&|_| ()), [expected]);
        let selector = Selector {
            object: "another".into(),
            ..Selector::default()
        };
        let kind = rules::find(rule).unwrap();
        let with_own = |settings: &mut RuleSettings| {
            settings.overrides = vec![own(selector.clone(), true, (kind.defaults)())];
        };
        assert!(decided(&with_own).is_empty());
    }

    #[test]
    fn only_what_must_last_is_told_not_to_be_checked_for_it() {
        let slow = rules::find("query.slow_mean").unwrap();
        let unchecked = |hold: Period, own_hold: Option<Period>| {
            let settings = only(slow.id, |rule| {
                rule.hold = hold;
                rule.overrides = Vec::from_iter(own_hold.map(|hold| Override {
                    hold,
                    ..own(Selector::default(), true, (slow.defaults)())
                }));
            });
            let mut observed = observed();
            observed.single_look = true;
            let claim = judge(&observed, &settings).claims.remove(0);
            let guards = claim.guards.join("; ");
            assert_eq!(
                guards.contains("not checked: duration"),
                claim.confidence.reason.contains("not checked: duration")
            );
            guards.contains("not checked: duration")
        };
        assert!(unchecked(Period::minutes(7), None));
        assert!(!unchecked(Period::seconds(0), None));
        assert!(!unchecked(Period::minutes(7), Some(Period::seconds(0))));
        assert!(unchecked(Period::seconds(0), Some(Period::minutes(7))));
    }

    #[test]
    fn a_title_that_is_cut_says_so() {
        let table = crate::rules::testing::table(1, &"t".repeat(300), 1e6, 1e9);
        let mut observed = crate::rules::testing::tables(vec![table]);
        let read = crate::rules::testing::last_hour(1, |delta| {
            (delta.sequential_scans, delta.sequential_rows_read) = (1_000, 1_000_000_000);
        });
        observed.databases[0].table_activity = Ok(vec![read]);
        let judgement = judge(&observed, &only("index.seq_scan_hotspot", |_| {}));
        assert!(titles(&judgement)[0].ends_with("tt…"), "{:?}", titles(&judgement));
    }

    #[test]
    fn a_comment_in_a_sessions_statement_leaves_it_out_and_no_other_session() {
        use crate::rules::testing::session;
        let running = |pid: i32, seconds: i64, comment: &str| {
            session(pid, "active", seconds, |session| {
                let mut text = crate::sql::identify("SELECT 1 FROM a");
                text.text = format!("{} {comment}", text.text);
                session.statement = Some(text.into());
            })
        };
        let judged = |comment: &str| {
            let mut observed = observation(vec![], 0.0);
            observed.sessions = Ok(vec![running(1, 7200, comment), running(2, 3600, "")]);
            let judgement = judge(&observed, &only("activity.long_query", |_| {}));
            let processes = judgement.claims.iter().map(|claim| &claim.evidence["process"]);
            let processes: Vec<Value> = processes.cloned().collect();
            (processes, judgement.ignored.len())
        };
        assert_eq!(judged(""), (vec![json!(1)], 0));
        assert_eq!(judged("/* pgadvisor:ignore */"), (vec![json!(2)], 1));
        assert_eq!(judged("/* pgadvisor:ignore activity.* */"), (vec![json!(2)], 1));
        assert_eq!(judged("/* pgadvisor:ignore query.* */"), (vec![json!(1)], 0));
    }

    #[test]
    fn a_comment_in_the_statement_leaves_it_out() {
        let judgement = judge(&observed(), &only("query.slow_mean", |_| {}));
        assert_eq!((judgement.claims.len(), judgement.ignored.len()), (2, 1));
        assert!(judgement.ignored[0].title.contains("marked"));
    }
}

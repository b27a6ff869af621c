//! What a rule finds in one place by all the settings that are meant for something there. Each claim counts only as the
//! settings that are meant for it make it; and what some settings cannot tell is not known of what they are meant for,
//! and of nothing else.

use serde_json::Value;

use super::{Override, RuleSettings, SWITCHED_OFF, ignored};
use crate::model::finding::Claim;
use crate::model::judgement::{Ignored, OwnOutcome, Verdict};
use crate::model::observation::Unknown;
use crate::model::unit::Period;
use crate::rules::{Found, Place, RuleKind};

/// Whether a rule is judged in a place by the settings that hold for all of it.
#[derive(Clone, Copy)]
enum Judged {
    Yes,
    No,
    /// It is switched off for this very place: what it would tell is counted as left out.
    CountedOnly,
}

/// The settings that a rule is judged by in one place.
pub(super) struct InForce<'a> {
    judged: Judged,
    pub(super) hold: Period,
    pub(super) clear: Period,
    thresholds: &'a Value,
    /// Those for some things in the place; where several fit, the last one counts.
    own: Vec<&'a Override>,
}

/// What a rule tells of one place.
pub(super) struct Told {
    /// What the settings of the place found, its claims taken out; or why they cannot tell.
    pub(super) base: Result<Found, Unknown>,
    /// What became of each thing with settings of its own.
    pub(super) own: Vec<OwnOutcome>,
    /// What all settings claim, each of what they are meant for.
    pub(super) claims: Vec<Claim>,
    /// What is switched off for its things.
    pub(super) left_out: Vec<Ignored>,
    /// Subjects of which some settings saw what mends them.
    pub(super) mended: Vec<Vec<String>>,
    /// Whether there was more than was put into words.
    pub(super) is_cut: bool,
}

impl Told {
    fn of(base: Result<Found, Unknown>) -> Self {
        Self {
            base,
            own: Vec::new(),
            claims: Vec::new(),
            left_out: Vec::new(),
            mended: Vec::new(),
            is_cut: false,
        }
    }
}

/// Whether a rule is switched on for all of a place, which is told by its names.
pub(super) fn is_on(settings: &RuleSettings, server: &str, database: Option<&str>) -> bool {
    let is_meant =
        |own: &&Override| own.selector.may_select(server, database) && own.selector.is_of_all_in(database);
    let own = settings.overrides.iter().rfind(is_meant);
    own.map_or(settings.enabled, |own| own.enabled)
}

impl<'a> InForce<'a> {
    /// The settings in force in a place. Settings that are meant for all of it take the place of the rule's own, and of
    /// what stands before them.
    pub(super) fn of(settings: &'a RuleSettings, place: &Place<'_>) -> Self {
        let server = place.observation.server.name.as_str();
        let database = place.database.map(|database| database.name.as_str());
        let mut chosen = Self {
            judged: match settings.enabled {
                true => Judged::Yes,
                false => Judged::No,
            },
            hold: settings.hold,
            clear: settings.clear,
            thresholds: &settings.thresholds,
            own: Vec::new(),
        };
        for own in &settings.overrides {
            if !own.selector.may_select(server, database) {
                continue;
            }
            if !own.selector.is_of_all_in(database) {
                chosen.own.push(own);
                continue;
            }
            chosen = Self {
                judged: match (own.enabled, settings.enabled) {
                    (true, _) => Judged::Yes,
                    (false, true) => Judged::CountedOnly,
                    (false, false) => Judged::No,
                },
                hold: own.hold,
                clear: own.clear,
                thresholds: &own.thresholds,
                own: Vec::new(),
            };
        }
        chosen
    }

    /// Judges a place.
    pub(super) fn judge(&self, rule: &RuleKind, place: &Place<'_>) -> Told {
        let mut told = Told::of(Ok(Found::default()));
        let mut meant_for_own = Vec::new();
        match self.judged {
            Judged::No => {}
            Judged::Yes => match (rule.judge)(self.thresholds, place) {
                Ok(found) => meant_for_own = self.take(found, &mut told),
                Err(unknown) => told.base = Err(unknown),
            },
            // where it cannot tell there is nothing to be counted
            Judged::CountedOnly => {
                if let Ok(found) = (rule.judge)(self.thresholds, place) {
                    meant_for_own = self.take(found, &mut told);
                    let switched_off = told.claims.drain(..);
                    told.left_out
                        .extend(switched_off.map(|claim| ignored(&claim, SWITCHED_OFF, None)));
                    told.base = Ok(Found::default());
                }
            }
        }
        let base = told.base.as_ref();
        match base.is_err_and(|unknown| place.is_for_its_primary(unknown)) {
            true => told,
            false => self.judge_own(rule, place, &meant_for_own, told),
        }
    }

    /// The thresholds that are meant for a problem.
    pub(super) fn thresholds_for(&self, claim: &Claim) -> &Value {
        let own = self.meant_for(claim);
        own.map_or(self.thresholds, |position| &self.own[position].thresholds)
    }

    /// The last that fits; none is the settings of the place.
    fn meant_for(&self, claim: &Claim) -> Option<usize> {
        self.own.iter().rposition(|own| own.selector.selects(claim))
    }

    /// Takes in what the settings of the place found; of what is meant for others the subjects come back, with theirs.
    fn take(&self, mut found: Found, told: &mut Told) -> Vec<(usize, Vec<String>)> {
        let mut of_others = Vec::new();
        told.is_cut |= !found.beyond.is_empty();
        told.mended.append(&mut found.mended);
        for claim in std::mem::take(&mut found.claims) {
            match self.meant_for(&claim) {
                None => told.claims.push(claim),
                // switched off for it: counted as what is left out
                Some(position) if !self.own[position].enabled => {
                    told.left_out.push(ignored(&claim, SWITCHED_OFF, None));
                }
                Some(position) => of_others.push((position, claim.subject)),
            }
        }
        told.base = Ok(found);
        of_others
    }

    /// Judges by the settings that are meant for some things. `seen` are things that the settings of the place would
    /// claim: where those that are meant for one cannot tell, it keeps its state.
    fn judge_own(
        &self,
        rule: &RuleKind,
        place: &Place<'_>,
        seen: &[(usize, Vec<String>)],
        mut told: Told,
    ) -> Told {
        let mut first_unknown = None;
        let mut is_told_somewhere = !matches!(self.judged, Judged::No);
        for (position, own) in self.own.iter().enumerate() {
            let verdict = match own.enabled.then(|| (rule.judge)(&own.thresholds, place)) {
                None => evaluated(Found::default()),
                Some(Ok(mut found)) => {
                    is_told_somewhere = true;
                    told.is_cut |= !found.beyond.is_empty();
                    told.mended.append(&mut found.mended);
                    let claims = std::mem::take(&mut found.claims).into_iter();
                    let meant = claims.filter(|claim| self.meant_for(claim) == Some(position));
                    told.claims.extend(meant.map(|claim| Claim {
                        hold: Some(own.hold),
                        clear: Some(own.clear),
                        ..claim
                    }));
                    evaluated(found)
                }
                Some(Err(unknown)) if place.is_for_its_primary(&unknown) => {
                    return Told::of(Err(unknown));
                }
                Some(Err(unknown)) => {
                    if let Ok(found) = &mut told.base {
                        let meant = seen.iter().filter(|(meant_for, _)| *meant_for == position);
                        found.undecided.extend(meant.map(|(_, subject)| subject.clone()));
                    }
                    first_unknown.get_or_insert_with(|| unknown.clone());
                    Verdict::Skipped {
                        reason: unknown.reason,
                        remedy_sql: unknown.remedy_sql,
                    }
                }
            };
            told.own.push(OwnOutcome {
                selector: own.selector.clone(),
                verdict,
            });
        }
        // a rule that is only for some things, and can tell of none of them
        if let (false, Some(unknown)) = (is_told_somewhere, first_unknown) {
            told.base = Err(unknown);
        }
        told
    }
}

/// What was found by settings for some things, without its claims.
fn evaluated(found: Found) -> Verdict {
    let mut undecided = found.undecided;
    undecided.extend(found.beyond);
    Verdict::Evaluated {
        undecided,
        absence_counts: found.absence_is_no_proof.is_none(),
        untold: found.untold.or(found.absence_is_no_proof),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use crate::judge::{Override, Settings, judge};
    use crate::model::judgement::{Judgement, Verdict};
    use crate::model::observation::Observation;
    use crate::model::selector::Selector;
    use crate::model::unit::Period;
    use crate::rules;
    use crate::rules::testing::{database, index, last_hour, now};

    const RULE: &str = "index.rarely_used";

    /// Two indexes that are rarely used, their scans counted for 30 days.
    fn observed() -> Observation {
        let mut observed = database(vec![index(9, "audit_i"), index(10, "shop_i")]);
        let since = now() - TimeDelta::days(30);
        let database = &mut observed.databases[0];
        database.counters_since = Some(since);
        for index in &mut database.indexes {
            index.scans = 10;
        }
        let written = last_hour(1, |delta| {
            delta.window.from = since;
            delta.inserted = 1_000_000;
        });
        database.table_activity = Ok(vec![written]);
        observed
    }

    /// Judges by that `min_age` in days, and by others where a selector is meant.
    fn judged(min_age: i64, own: Vec<(Selector, bool, i64)>) -> Judgement {
        let mut settings = Settings::default();
        for kind in rules::all() {
            let mut chosen = settings.of(kind);
            chosen.enabled = kind.id == RULE;
            settings.rules.insert(kind.id.to_owned(), chosen);
        }
        let thresholds = |days: i64| {
            let mut thresholds = (rules::find(RULE).unwrap().defaults)();
            thresholds["min_age"] = json!(format!("{days} days"));
            thresholds
        };
        let rule = settings.rules.get_mut(RULE).unwrap();
        rule.thresholds = thresholds(min_age);
        let own = own.into_iter().map(|(selector, enabled, days)| Override {
            selector,
            enabled,
            hold: Period::minutes(7),
            clear: Period::minutes(9),
            thresholds: thresholds(days),
        });
        rule.overrides = own.collect();
        judge(&observed(), &settings)
    }

    fn of_audit() -> Selector {
        Selector {
            object: "public.audit_i".into(),
            ..Selector::default()
        }
    }

    fn of_server(name: &str) -> Selector {
        Selector {
            server: name.into(),
            ..Selector::default()
        }
    }

    fn names(judgement: &Judgement) -> Vec<&str> {
        let objects = judgement.claims.iter().filter_map(|claim| claim.object.as_ref());
        let mut names: Vec<&str> = objects.map(|object| object.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_settings_of_their_own_cannot_tell_leaves_the_rest_judged() {
        let judgement = judged(30, vec![(of_audit(), true, 365)]);
        assert_eq!(names(&judgement), ["shop_i"]);
        let outcome = &judgement.outcomes[0];
        let Verdict::Evaluated {
            undecided,
            absence_counts: true,
            untold: None,
        } = &outcome.verdict
        else {
            panic!("{outcome:?}")
        };
        assert_eq!(undecided, &[["public", "audit_i"]], "the place would claim it");
        let [own] = &outcome.own[..] else { panic!() };
        assert!(matches!(own.verdict, Verdict::Skipped { .. }), "{own:?}");
        let untold = outcome.own_untold().next().and_then(|own| own.untold()).unwrap();
        assert!(untold.starts_with("for object public.audit_i: "), "{untold}");
    }

    #[test]
    fn what_the_place_cannot_tell_leaves_what_has_settings_of_its_own_judged() {
        let judgement = judged(365, vec![(of_audit(), true, 30)]);
        assert_eq!(names(&judgement), ["audit_i"]);
        assert_eq!(judgement.claims[0].clear, Some(Period::minutes(9)));
        let outcome = &judgement.outcomes[0];
        assert!(matches!(outcome.verdict, Verdict::Skipped { .. }), "{outcome:?}");
        assert!(matches!(outcome.own[0].verdict, Verdict::Evaluated { .. }));
        let neither = judged(365, vec![(of_audit(), true, 400)]);
        assert!(neither.claims.is_empty());
        assert!(matches!(neither.outcomes[0].verdict, Verdict::Skipped { .. }));
    }

    #[test]
    fn settings_for_a_whole_place_take_the_place_of_the_rules_own() {
        let judgement = judged(365, vec![(of_audit(), true, 365), (of_server("main"), true, 30)]);
        assert_eq!(
            names(&judgement),
            ["audit_i", "shop_i"],
            "the last that fits counts"
        );
        let outcome = &judgement.outcomes[0];
        assert!(matches!(outcome.verdict, Verdict::Evaluated { .. }) && outcome.own.is_empty());
        assert_eq!(
            (outcome.hold, outcome.clear),
            (Period::minutes(7), Period::minutes(9))
        );
        let cannot = judged(30, vec![(of_server("main"), true, 365)]);
        assert!(matches!(cannot.outcomes[0].verdict, Verdict::Skipped { .. }));
        let elsewhere = judged(30, vec![(of_server("other"), true, 365)]);
        assert_eq!(names(&elsewhere).len(), 2);
        let then = judged(365, vec![(of_server("main"), true, 365), (of_audit(), true, 30)]);
        assert_eq!(names(&then), ["audit_i"]);
    }

    #[test]
    fn what_is_switched_off_for_a_place_is_counted_and_no_open_question() {
        let off = judged(30, vec![(of_server("main"), false, 30)]);
        assert_eq!((off.claims.len(), off.ignored.len()), (0, 2));
        let unknown = judged(365, vec![(of_server("main"), false, 365)]);
        assert!(unknown.ignored.is_empty());
        assert!(matches!(
            unknown.outcomes[0].verdict,
            Verdict::Evaluated { untold: None, .. }
        ));
    }
}

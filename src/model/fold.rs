//! Folding: the few findings that cost most, and the rest by rule with what they cost together, so that nobody has to
//! read two hundred times that a foreign key has no index. Pure; the front page and `check` show what comes out.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::finding::{Finding, Impact, Severity, State, urgency};
use super::id::Fingerprint;
use crate::limits;

/// A finding without its words: enough to count, weigh and fold it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// The key of the problem.
    pub fingerprint: Fingerprint,
    /// The rule, as `index.unused`.
    pub rule: String,
    /// The server's configured name.
    pub server: String,
    /// The database; none where the whole server is meant.
    pub database: Option<String>,
    /// What it is about within its database; empty where the whole of it is meant. See `Claim::subject_key`.
    pub subject: String,
    /// How much it matters.
    pub severity: Severity,
    /// Where it is in its life.
    pub state: State,
    /// What it costs.
    pub impact: Impact,
}

impl Outline {
    /// The outline of a finding.
    pub fn of(finding: &Finding) -> Self {
        let claim = &finding.claim;
        Self {
            fingerprint: finding.fingerprint.clone(),
            rule: claim.rule.clone(),
            server: claim.server.clone(),
            database: claim.database.clone(),
            subject: claim.subject_key(),
            severity: claim.severity,
            state: finding.state,
            impact: claim.impact.known(),
        }
    }
}

/// What folding asks of a finding, whole or in outline.
pub trait Weighed {
    /// The rule, as `index.unused`.
    fn rule(&self) -> &str;
    /// How much it matters.
    fn severity(&self) -> Severity;
    /// What it costs.
    fn impact(&self) -> Impact;
}

impl Weighed for Finding {
    fn rule(&self) -> &str {
        &self.claim.rule
    }
    fn severity(&self) -> Severity {
        self.claim.severity
    }
    fn impact(&self) -> Impact {
        self.claim.impact
    }
}

impl Weighed for &Outline {
    fn rule(&self) -> &str {
        &self.rule
    }
    fn severity(&self) -> Severity {
        self.severity
    }
    fn impact(&self) -> Impact {
        self.impact
    }
}

/// Findings of one rule that are folded away.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FoldedRule {
    /// The rule, as `index.unused`.
    pub rule: String,
    /// How many.
    pub count: usize,
    /// The worst severity among them.
    pub worst: Severity,
    /// What they cost together, as far as it is known: seconds and bytes are sums, days are those of the first.
    pub impact: Impact,
}

/// A list of findings, folded.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded<'a, T> {
    /// The few that are shown, in the order of the list.
    pub shown: Vec<&'a T>,
    /// The others by rule; a rule stands where the worst of it that is folded away stands in the list.
    pub rest: Vec<FoldedRule>,
}

/// The findings that ask for attention, open and acknowledged, as the front page needs them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Digest {
    /// All of them, worst first.
    pub outlines: Vec<Outline>,
    /// Of the open ones the few that are shown.
    pub shown: Vec<Finding>,
    /// The other open ones.
    pub rest: Vec<FoldedRule>,
}

/// Folds a list that is ordered, worst first. All are shown where they are few. Otherwise no rule has more than
/// [`limits::FINDINGS_SHOWN_PER_RULE`] places, so that a talkative one does not hide the others; but what is critical
/// takes every place there is before anything lesser has one, and of that first what goes on at this moment: it has no price,
/// so that it stands behind what has one, and who reads of it tomorrow reads of it too late.
pub fn fold<T: Weighed>(findings: &[T]) -> Folded<'_, T> {
    let (mut shown, mut rest) = (Vec::new(), Vec::new());
    for (finding, is_shown) in findings.iter().zip(chosen(findings)) {
        match is_shown {
            true => shown.push(finding),
            false => fold_away(&mut rest, finding),
        }
    }
    Folded { shown, rest }
}

/// Which of them are shown.
fn chosen<T: Weighed>(findings: &[T]) -> Vec<bool> {
    let mut places = limits::FINDINGS_SHOWN;
    let mut chosen = vec![findings.len() <= places; findings.len()];
    let critical =
        findings.partition_point(|one| urgency(one.severity(), &one.impact()) == Severity::Critical);
    let is_now = |position: &usize| is_incident(findings[*position].rule());
    let incidents: Vec<usize> = (0..critical).filter(is_now).collect();
    let mut of_rule: HashMap<&str, usize> = HashMap::new();
    for (positions, at_most) in [
        (incidents, limits::FINDINGS_SHOWN_PER_RULE),
        ((0..critical).collect(), limits::FINDINGS_SHOWN_PER_RULE),
        ((0..critical).collect(), usize::MAX),
        (
            (critical..findings.len()).collect(),
            limits::FINDINGS_SHOWN_PER_RULE,
        ),
    ] {
        for position in positions {
            let told = of_rule.entry(findings[position].rule()).or_default();
            if places > 0 && !chosen[position] && *told < at_most {
                chosen[position] = true;
                *told += 1;
                places -= 1;
            }
        }
    }
    chosen
}

/// Whether a rule is about what sessions do at this moment.
fn is_incident(rule: &str) -> bool {
    rule.starts_with("activity.")
}

fn fold_away<T: Weighed>(rest: &mut Vec<FoldedRule>, finding: &T) {
    match rest.iter_mut().find(|folded| folded.rule == finding.rule()) {
        Some(folded) => {
            folded.count += 1;
            folded.worst = folded.worst.max(finding.severity());
            folded.impact = folded.impact.and(finding.impact());
        }
        None => rest.push(FoldedRule {
            rule: finding.rule().to_owned(),
            count: 1,
            worst: finding.severity(),
            impact: finding.impact().known(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::order_key;
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug, PartialEq)]
    struct One {
        rule: String,
        severity: Severity,
        impact: Impact,
    }

    impl Weighed for One {
        fn rule(&self) -> &str {
            &self.rule
        }
        fn severity(&self) -> Severity {
            self.severity
        }
        fn impact(&self) -> Impact {
            self.impact
        }
    }

    fn ones(rule: &str, severity: Severity, bytes: impl IntoIterator<Item = u32>) -> Vec<One> {
        let one = |bytes: u32| One {
            rule: rule.to_owned(),
            severity,
            impact: Impact {
                bytes: Some(f64::from(bytes) * 1e9),
                ..Impact::default()
            },
        };
        bytes.into_iter().map(one).collect()
    }

    fn ordered(mut findings: Vec<One>) -> Vec<One> {
        let key = |one: &One| order_key(one.severity, &one.impact);
        findings.sort_by(|a, b| key(a).partial_cmp(&key(b)).unwrap());
        findings
    }

    fn rules<'a>(folded: &Folded<'a, One>) -> Vec<&'a str> {
        folded.shown.iter().map(|one| one.rule.as_str()).collect()
    }

    #[test]
    fn a_few_are_all_shown() {
        let few = ordered(ones(
            "index.unused",
            Severity::Warning,
            0..limits::FINDINGS_SHOWN as u32,
        ));
        let folded = fold(&few);
        assert_eq!((folded.shown.len(), folded.rest.len()), (few.len(), 0));
        assert_eq!(fold::<One>(&[]).shown.len(), 0);
    }

    #[test]
    fn a_talkative_rule_does_not_hide_the_others() {
        let mut many = ones("index.unused", Severity::Warning, 100..140);
        many.extend(ones("index.fk_missing", Severity::Warning, 10..15));
        many.extend(ones("schema.no_primary_key", Severity::Info, 1..2));
        let many = ordered(many);
        let folded = fold(&many);
        let mut expected = vec!["index.unused"; 3];
        expected.extend(["index.fk_missing"; 3]);
        expected.push("schema.no_primary_key");
        assert_eq!(rules(&folded), expected);
        let rest = |rule: &str, count, worst, gigabytes: u32| FoldedRule {
            rule: rule.to_owned(),
            count,
            worst,
            impact: Impact {
                bytes: Some(f64::from(gigabytes) * 1e9),
                ..Impact::default()
            },
        };
        let told = [
            rest("index.unused", 37, Severity::Warning, (100_u32..137).sum()),
            rest("index.fk_missing", 2, Severity::Warning, 10 + 11),
        ];
        assert_eq!(folded.rest, told);
    }

    #[test]
    fn what_is_critical_takes_every_place_before_anything_lesser() {
        let mut many = ones("replication.slot_retention", Severity::Critical, 20..40);
        many.extend(ones("config.durability_off", Severity::Critical, 1..2));
        many.extend(ones("index.unused", Severity::Warning, 500..510));
        let many = ordered(many);
        let folded = fold(&many);
        let mut expected = vec!["replication.slot_retention"; limits::FINDINGS_SHOWN - 1];
        expected.push("config.durability_off");
        assert_eq!(rules(&folded), expected);
        assert_eq!(folded.rest[0].worst, Severity::Critical);
        // what runs out soon is as urgent, whatever it is called
        let mut soon = ones("schema.sequence_exhaustion", Severity::Info, [0; 12]);
        soon.iter_mut().for_each(|one| one.impact.days_left = Some(3.0));
        soon.extend(ones("index.unused", Severity::Warning, 500..510));
        let soon = ordered(soon);
        assert_eq!(
            rules(&fold(&soon)),
            vec!["schema.sequence_exhaustion"; limits::FINDINGS_SHOWN]
        );
    }

    #[test]
    fn what_goes_on_at_this_moment_is_not_folded_behind_what_has_a_price() {
        let mut many: Vec<One> = (0..15)
            .flat_map(|rule| ones(&format!("a.{rule}"), Severity::Critical, [500 + rule]))
            .collect();
        let mut incident = ones("activity.blocking", Severity::Critical, [0; 5]);
        incident.iter_mut().for_each(|one| one.impact = Impact::default());
        many.extend(incident);
        let many = ordered(many);
        let folded = fold(&many);
        let told = rules(&folded);
        assert_eq!(told.len(), limits::FINDINGS_SHOWN);
        assert_eq!(
            told[told.len() - 3..],
            ["activity.blocking"; 3],
            "in the order of the list"
        );
        let mut lesser = ones("activity.blocking", Severity::Warning, [0]);
        lesser.extend(ones("a.b", Severity::Critical, 500..520));
        let lesser = ordered(lesser);
        assert!(!rules(&fold(&lesser)).contains(&"activity.blocking"));
    }

    proptest! {
        #[test]
        fn none_is_lost_and_the_order_stays(
            kinds in proptest::collection::vec((0_usize..6, 0_usize..3, 0_u32..50), 0..120),
        ) {
            let severities = [Severity::Info, Severity::Warning, Severity::Critical];
            let of = |(rule, severity, bytes): &(usize, usize, u32)| {
                ones(&format!("a.{rule}"), severities[*severity], [*bytes])
            };
            let all = ordered(kinds.iter().flat_map(of).collect());
            let folded = fold(&all);
            prop_assert_eq!(&folded, &fold(&all));
            prop_assert!(folded.shown.len() <= limits::FINDINGS_SHOWN);
            let counted = folded.rest.iter().map(|rest| rest.count).sum::<usize>();
            prop_assert_eq!(folded.shown.len() + counted, all.len());
            // what is shown stands in the order of the list
            let mut list = all.iter();
            prop_assert!(folded.shown.iter().all(|shown| list.any(|one| std::ptr::eq(one, *shown))));
            let lesser_is_shown = folded.shown.iter().any(|one| one.severity < Severity::Critical);
            let critical_is_folded = folded.rest.iter().any(|rest| rest.worst == Severity::Critical);
            prop_assert!(!(lesser_is_shown && critical_is_folded));
            for rest in &folded.rest {
                let of_rule = all.iter().filter(|one| one.rule == rest.rule);
                let shown = folded.shown.iter().filter(|one| one.rule == rest.rule);
                let bytes = |one: &One| one.impact.bytes.unwrap();
                let whole: f64 = of_rule.map(bytes).sum();
                let seen: f64 = shown.map(|one| bytes(one)).sum();
                prop_assert!((rest.impact.bytes.unwrap() - (whole - seen)).abs() < 1.0);
            }
        }
    }
}

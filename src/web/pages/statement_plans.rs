//! The plans that a statement had: a part of its page.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::history_chart::Change;
use super::plans::Side;
use super::present;
use crate::limits;
use crate::model::judgement::Verdict;
use crate::model::kept_plan::{PlanHistory, PlanShape, SeenPlan};

/// Plans that are drawn: the others are in the JSON, so that the page stays light.
const DRAWN: usize = 3;

/// Indexes of the kept plans that are named: as many as there are tables.
const INDEXES: usize = 20;

/// An index that a statement reads, as its plans tell.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PlannedIndex {
    /// Its schema; null where the plan does not tell.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// When a plan was seen last that reads it.
    pub last_seen_at: DateTime<Utc>,
    /// Whether there is a page about it.
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) is_known: bool,
}

impl PlannedIndex {
    /// Those of all plans, which come with the one that was seen last first; each once.
    fn list(plans: &[SeenPlan]) -> Vec<Self> {
        let mut list: Vec<Self> = Vec::new();
        for seen in plans {
            for (schema, name) in indexes_of(&seen.plan) {
                let is_it = |known: &Self| known.schema.as_deref() == schema && known.name == name;
                if list.len() < INDEXES && !list.iter().any(is_it) {
                    list.push(Self {
                        schema: schema.map(str::to_owned),
                        name: name.to_owned(),
                        last_seen_at: seen.last_seen_at,
                        is_known: false,
                    });
                }
            }
        }
        list
    }

    pub(crate) fn qualified(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// The indexes that a plan reads. An index is in the schema of its table, which a bitmap's node above it names.
fn indexes_of(plan: &PlanShape) -> Vec<(Option<&str>, &str)> {
    let mut above: Vec<Option<&str>> = Vec::new();
    let mut indexes = Vec::new();
    for node in &plan.nodes {
        above.truncate(node.line.depth);
        let schema = node.schema.as_deref().or_else(|| above.last().copied().flatten());
        above.push(schema);
        indexes.extend(node.index.as_deref().map(|index| (schema, index)));
    }
    indexes
}

/// Why a statement has no plan where plans of its database were read last at that time; `advice` is what became of index advice.
fn unread(read_at: Option<DateTime<Utc>>, advice: Option<&Verdict>) -> String {
    let of_advice = advice
        .filter(|verdict| !matches!(verdict, Verdict::Evaluated { .. }))
        .and_then(|verdict| Some(present::why(verdict.untold()?, verdict.remedy_sql())));
    let of_advice = of_advice.map_or_else(String::new, |why| {
        format!(" Of index advice, with which they are read, is known: {why}.")
    });
    match (read_at, advice) {
        (Some(at), _) => format!(
            "It was not planned when plans were read last, at {}: that is done for the {} statements of the database that take \
             most time, as far as the budget lasts.{of_advice}",
            present::exact(&at),
            limits::PLANNED_STATEMENTS
        ),
        (None, Some(_)) => format!("No plan of this database was read yet.{of_advice}"),
        (None, None) => {
            "Plans are read together with index advice, which was not asked for in this database yet, or is \
                         switched off (index.missing and query.matview_candidate)."
                .to_owned()
        }
    }
}

/// The plans that a statement had, without constants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct StatementPlans {
    /// One for each shape, the one that was seen last first.
    pub plans: Vec<SeenPlan>,
    /// The indexes that they read, those of the newest first, and no more than twenty.
    pub indexes: Vec<PlannedIndex>,
    /// Why there is none, or none of late; null where there is.
    pub no_plan_because: Option<String>,
}

impl StatementPlans {
    /// What is told of a history; `advice` is what became of index advice in the database, where that is known.
    pub fn of(history: PlanHistory, advice: Option<&Verdict>) -> Self {
        let PlanHistory {
            plans,
            unplanned,
            read_at,
        } = history;
        let no_plan_because = match unplanned {
            Some((_, reason)) => {
                let reason = reason.strip_prefix("not planned: ").unwrap_or(&reason);
                let again = if plans.is_empty() { "" } else { " again" };
                Some(format!("It was not planned{again}: {reason}."))
            }
            None if !plans.is_empty() => None,
            None => Some(unread(read_at, advice)),
        };
        Self {
            indexes: PlannedIndex::list(&plans),
            plans,
            no_plan_because,
        }
    }

    /// The newest, each with its picture.
    pub(crate) fn shown(&self) -> Vec<(&SeenPlan, Side)> {
        let label = |position: usize| match position {
            0 => "As it was seen last",
            _ => "Earlier",
        };
        let plans = self.plans.iter().take(DRAWN).enumerate();
        plans
            .map(|(position, seen)| (seen, Side::kept(label(position), &seen.plan)))
            .collect()
    }

    /// When another plan than before was seen. The first one that is known is no change: it may be as old as the statement.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let change = |seen: &SeenPlan| {
            let (shape, cost) = (&seen.plan.shape, present::number(seen.first_cost));
            let new = Change {
                at: seen.first_seen_at,
                what: format!("a plan was seen for the first time: {shape}, cost {cost}"),
            };
            let again = (seen.since > seen.first_seen_at).then(|| Change {
                at: seen.since,
                what: format!("a plan came back: {shape}"),
            });
            [Some(new), again]
        };
        let mut changes: Vec<Change> = self.plans.iter().flat_map(change).flatten().collect();
        changes.sort_by_key(|change| change.at);
        changes.into_iter().skip(1).collect()
    }

    /// Words that mark one of them.
    pub(crate) fn marks(&self, seen: &SeenPlan) -> Vec<&'static str> {
        let is_newest = self.plans.first().is_some_and(|newest| newest == seen);
        let came_back = seen.since > seen.first_seen_at;
        [
            (is_newest, "newest"),
            (is_newest && self.plans.len() > 1, "changed"),
            (came_back, "came back"),
        ]
        .into_iter()
        .filter_map(|(applies, word)| applies.then_some(word))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::history::{HistoryPoint, StatementCounts};
    use crate::model::kept_plan::KeptNode;
    use crate::model::plan::PlanLine;
    use crate::web::pages::frame::Page as _;
    use crate::web::pages::range::Range;
    use crate::web::pages::sample;
    use crate::web::pages::statement::StatementPage;
    use chrono::TimeDelta;

    fn seen(shape: &str, cost: f64, hours_ago: i64) -> SeenPlan {
        let node = KeptNode {
            line: PlanLine {
                node: format!("Seq Scan on {}", sample::HOSTILE),
                cost,
                own_cost: cost,
                rows: 7.0,
                depth: 0,
            },
            conditions: vec![format!("({} = …)", sample::HOSTILE)],
            ..KeptNode::default()
        };
        let at = sample::now() - TimeDelta::hours(hours_ago);
        SeenPlan {
            plan: PlanShape {
                shape: shape.to_owned(),
                cost,
                nodes: vec![node],
                nodes_left_out: 3,
            },
            first_seen_at: at,
            since: at,
            last_seen_at: at,
            first_cost: cost,
        }
    }

    fn html(plans: StatementPlans) -> String {
        let of = ("main".to_owned(), "app".to_owned(), "0123456789abcdef".to_owned());
        let page = StatementPage::build(
            sample::now(),
            of,
            Range::Day,
            ("SELECT 1".into(), Vec::new()),
            Vec::new(),
            Vec::new(),
        );
        page.with_plans(plans).html("..", "t").unwrap()
    }

    #[test]
    fn every_plan_is_drawn_and_hostile_names_are_escaped() {
        let history = PlanHistory {
            plans: vec![seen("aaaa", 12.0, 1), seen("bbbb", 4711.0, 30)],
            ..PlanHistory::default()
        };
        let plans = StatementPlans::of(history, None);
        assert_eq!(plans.no_plan_because, None);
        assert_eq!(plans.marks(&plans.plans[0]), ["newest", "changed"]);
        assert!(plans.marks(&plans.plans[1]).is_empty());
        let html = html(plans);
        assert!(!html.contains("<script>alert"), "{html}");
        assert_eq!(html.matches("whole table").count(), 2, "{html}");
        let none_kept = "What is kept of its plans reads none.";
        for told in [
            "aaaa",
            "bbbb",
            "As it was seen last",
            "Earlier",
            "3 more nodes",
            none_kept,
        ] {
            assert!(html.contains(told), "{told}: {html}");
        }
    }

    #[test]
    fn indexes_of_every_plan_are_named_once_in_the_schema_of_their_table() {
        let node = |depth: usize, schema: Option<&str>, index: Option<&str>| KeptNode {
            line: PlanLine {
                depth,
                ..PlanLine::default()
            },
            schema: schema.map(str::to_owned),
            index: index.map(str::to_owned),
            ..KeptNode::default()
        };
        let of = |nodes: Vec<KeptNode>, hours_ago: i64| {
            let mut seen = seen("aaaa", 1.0, hours_ago);
            seen.plan.nodes = nodes;
            seen
        };
        let newest = of(
            vec![
                node(0, None, None),
                node(1, Some("s"), None),
                node(2, None, None),
                node(3, None, Some("bitmap")),
                node(1, Some(sample::HOSTILE), Some("plain")),
                node(1, None, Some("nowhere")),
            ],
            1,
        );
        let earlier = of(
            vec![
                node(0, Some("s"), Some("earlier")),
                node(0, Some("s"), Some("bitmap")),
            ],
            30,
        );
        let history = PlanHistory {
            plans: vec![newest, earlier],
            ..PlanHistory::default()
        };
        let mut plans = StatementPlans::of(history, None);
        let told: Vec<_> = plans
            .indexes
            .iter()
            .map(|index| (index.schema.as_deref(), index.name.as_str()))
            .collect();
        let expected = [
            (Some("s"), "bitmap"),
            (Some(sample::HOSTILE), "plain"),
            (None, "nowhere"),
            (Some("s"), "earlier"),
        ];
        assert_eq!(told, expected);
        assert_eq!(plans.indexes[0].last_seen_at, sample::now() - TimeDelta::hours(1));
        plans.indexes[0].is_known = true;
        let html = html(plans);
        assert!(!html.contains("<script>alert"), "{html}");
        let link = "<a href=\"../servers/main/app/indexes/s/bitmap?range=24h\"><bdi>s.bitmap</bdi></a>";
        assert!(
            html.contains(link) && html.contains("Indexes that it uses"),
            "{html}"
        );
        assert_eq!(
            html.matches("/indexes/").count(),
            1,
            "only what is known has a page"
        );
    }

    #[test]
    fn a_change_of_plan_is_marked_where_it_was_seen() {
        let came_back = SeenPlan {
            since: sample::now() - TimeDelta::hours(1),
            ..seen("aaaa", 12.0, 30)
        };
        let history = PlanHistory {
            plans: vec![came_back, seen("bbbb", 4711.0, 29)],
            ..PlanHistory::default()
        };
        let plans = StatementPlans::of(history, None);
        let told: Vec<String> = plans.changes().into_iter().map(|change| change.what).collect();
        assert_eq!(told.len(), 2, "the first one is none: {told:?}");
        assert!(told[0].contains("first time: bbbb, cost") && told[1] == "a plan came back: aaaa");
        let of = ("main".to_owned(), "app".to_owned(), "0123456789abcdef".to_owned());
        let counts = StatementCounts {
            calls: 3,
            microseconds: 3_000_000,
            ..StatementCounts::default()
        };
        let point = |hours_ago: i64| HistoryPoint {
            from: sample::now() - TimeDelta::hours(hours_ago),
            length_seconds: 3600.0,
            seen_seconds: 3600.0,
            counts: Some(counts),
        };
        let history = vec![point(4), point(3), point(2), point(1)];
        let text = ("SELECT 1".to_owned(), history);
        let page = StatementPage::build(sample::now(), of, Range::Day, text, Vec::new(), Vec::new());
        let page = page.with_plans(plans);
        let json = serde_json::to_value(&page).unwrap();
        assert_eq!(
            json["changes"].as_array().unwrap().len(),
            1,
            "what lies before is not drawn"
        );
        assert_eq!(json["changes"][0]["what"], "a plan came back: aaaa");
        let html = page.html("..", "t").unwrap();
        assert_eq!(
            html.matches("class=\"mark\"").count(),
            3,
            "one in each picture: {html}"
        );
        assert!(
            html.contains("<td colspan=\"6\">a plan came back: aaaa</td>"),
            "{html}"
        );
    }

    #[test]
    fn where_there_is_none_it_says_why() {
        let why = |history: PlanHistory, advice: Option<&Verdict>| {
            let plans = StatementPlans::of(history, advice);
            let why = plans.no_plan_because.clone().unwrap();
            assert!(html(plans).contains("id=\"plans\""));
            why
        };
        let skipped = Verdict::Skipped {
            reason: "HypoPG is not installed".to_owned(),
            remedy_sql: None,
        };
        let nothing = PlanHistory::default;
        assert!(why(nothing(), Some(&skipped)).ends_with("HypoPG is not installed."));
        assert!(why(nothing(), None).contains("switched off"));
        let read = PlanHistory {
            read_at: Some(sample::now()),
            ..nothing()
        };
        let told = why(read.clone(), Some(&skipped));
        assert!(
            told.starts_with("It was not planned when plans")
                && told.contains(&present::exact(&sample::now())),
            "{told}"
        );
        assert!(told.ends_with("is known: HypoPG is not installed."), "{told}");
        let refused = Verdict::Skipped {
            reason: "it refused.".to_owned(),
            remedy_sql: Some("GRANT CONNECT".to_owned()),
        };
        assert!(why(read.clone(), Some(&refused)).ends_with("known: it refused: GRANT CONNECT mends it."));
        assert!(why(read, None).ends_with("as far as the budget lasts."));
        let refused = || Some((sample::now(), "not planned: t is a foreign table".to_owned()));
        let unplanned = PlanHistory {
            unplanned: refused(),
            ..nothing()
        };
        assert_eq!(why(unplanned, None), "It was not planned: t is a foreign table.");
        let no_more = PlanHistory {
            plans: vec![seen("aaaa", 1.0, 1)],
            unplanned: refused(),
            ..nothing()
        };
        assert_eq!(
            why(no_more, None),
            "It was not planned again: t is a foreign table."
        );
    }
}

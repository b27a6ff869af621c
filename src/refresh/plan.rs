//! What one pass does: each view in question with how it is refreshed and why, or why it is not, dependencies first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::choose::{ON_STANDBY, choose, not_allowed};
use super::due::{Due, Reckoning, interval};
use super::graph::dependencies_first;
use super::read::Look;
use crate::configuration::Refresh;
use crate::limits;
use crate::model::refresh::{Counted, MaterializedView, Mode, ViewMemory, ViewName};
use crate::model::remedy::Statement;

/// One view of a pass.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which view.
    pub view: ViewName,
    /// Its OID when this was planned.
    pub oid: u32,
    /// What is to be done.
    pub todo: Todo,
    /// Why.
    pub reason: String,
    /// The moment that it is due for; none if somebody asked for it.
    pub moment: Option<DateTime<Utc>>,
    /// When this was planned, by the server's clock.
    pub planned_at: DateTime<Utc>,
    /// The server's clock less ours.
    pub ahead: TimeDelta,
    /// Materialized views that it reads: those of the pass go first.
    pub depends_on: BTreeSet<ViewName>,
    /// How it is refreshed.
    pub policy: Arc<Refresh>,
    /// The view as it was when this was planned.
    pub seen: MaterializedView,
    /// What it reads, as far as it tells whether it has changed; none if it cannot.
    pub reads: Option<Reads>,
    /// What was counted of its statements when it was last refreshed.
    pub counted: BTreeMap<Mode, Counted>,
    /// Whether a due moment is taken in the table of runs.
    pub uses_record: bool,
    /// Even if somebody else has just done it.
    pub is_forced: bool,
}

/// Where it is seen whether what a view reads has changed.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Reads {
    pub epoch: String,
    pub definition: String,
    /// OIDs of tables and materialized views that its definition leads to.
    pub roots: Vec<u32>,
}

/// What is to be done with a view.
#[derive(Clone, Debug, PartialEq)]
pub enum Todo {
    /// Refresh it.
    Refresh {
        /// How.
        mode: Mode,
        /// It may take so long.
        within: Duration,
        /// Only if one of the views that it reads, and that go first, is refreshed.
        if_others_are: bool,
    },
    /// Nothing: it is as if it had been refreshed now.
    Unchanged,
    /// Nothing before this: what was written just before the moment may not have been counted yet.
    LookAgain(DateTime<Utc>),
    /// Nothing: another refresher took the moment.
    Taken,
    /// Nothing, and its moment passes.
    Miss,
    /// It cannot be refreshed as it is.
    Refuse {
        /// SQLSTATE that the server would answer with.
        sqlstate: Option<&'static str>,
    },
}

/// What a pass is asked for.
#[derive(Clone, Copy)]
pub enum Ask<'a> {
    /// Whatever is due.
    Due(Unchanged),
    /// These views, due or not.
    Named(&'a BTreeSet<ViewName>, Unchanged),
    /// Whatever is due and has changed, and these, due or not, changed or not.
    DueAnd(&'a BTreeSet<ViewName>),
}

/// What is done with a view of which nothing has changed, or that somebody else has just refreshed.
#[derive(Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub enum Unchanged {
    Leave,
    Refresh,
}

/// What is known beside the look.
pub struct Knowledge<'a> {
    /// The table of the configuration for each view that is to be refreshed.
    pub policies: &'a HashMap<ViewName, Arc<Refresh>>,
    /// What is remembered of each view, this look taken in.
    pub memories: &'a HashMap<ViewName, ViewMemory>,
    /// So long nobody comes back: a promise that would be broken meanwhile is kept now.
    pub next_pass_in: TimeDelta,
}

/// Why a view is part of a pass.
struct Asked {
    /// The moment that it is due for.
    moment: Option<DateTime<Utc>>,
    why: Why,
    unchanged: Unchanged,
}

enum Why {
    /// It is to be refreshed, for this reason.
    Wanted(String),
    /// Its moment passed, and is not made up for.
    Missed(String),
}

/// Plans a pass over one database.
pub fn plan(look: &Look, known: &Knowledge<'_>, ask: &Ask<'_>) -> Vec<Step> {
    let mut steps: BTreeMap<ViewName, Step> = BTreeMap::new();
    let nothing = ViewMemory::default();
    for view in look.views.values() {
        let Some(policy) = known.policies.get(&view.name) else {
            continue;
        };
        let memory = known.memories.get(&view.name).unwrap_or(&nothing);
        let Some(asked) = asked(look, known, ask, view, (policy, memory)) else {
            continue;
        };
        let lineage = look.lineages.get(&view.oid);
        let mut step = Step {
            view: view.name.clone(),
            oid: view.oid,
            todo: Todo::Miss,
            reason: String::new(),
            moment: asked.moment,
            planned_at: look.now,
            ahead: look.ahead,
            depends_on: look.upstream(view.oid).cloned().collect(),
            policy: policy.clone(),
            seen: view.clone(),
            reads: look.inputs(view.oid).zip(lineage).map(|(inputs, lineage)| Reads {
                epoch: inputs.epoch,
                definition: inputs.definition,
                roots: lineage.relations.iter().chain(&lineage.views).copied().collect(),
            }),
            counted: memory.counted.clone(),
            uses_record: look.record.is_used,
            is_forced: asked.unchanged == Unchanged::Refresh,
        };
        (step.todo, step.reason) = match asked.why {
            Why::Missed(why) => (Todo::Miss, why),
            Why::Wanted(reason) => decide(look, memory, &step, reason),
        };
        steps.insert(view.name.clone(), step);
    }
    in_order(steps)
}

/// Whether a view is part of the pass: its moment and why.
fn asked(
    look: &Look,
    known: &Knowledge<'_>,
    ask: &Ask<'_>,
    view: &MaterializedView,
    (policy, memory): (&Arc<Refresh>, &ViewMemory),
) -> Option<Asked> {
    let due = || {
        let reckoning = Reckoning {
            policy,
            view: &view.name,
            memory,
            is_populated: view.is_populated,
            after: after(&view.name, policy, known.memories),
            others: oldest(look.upstream(view.oid), known.memories),
            next_pass_in: known.next_pass_in,
        };
        let (moment, why) = match reckoning.due(look.now) {
            Due::Now { moment, reason } => (moment, Why::Wanted(reason)),
            Due::Missed { moment } => {
                let why = format!("the moment {} was missed", moment.format("%Y-%m-%d %H:%M:%S UTC"));
                (moment, Why::Missed(why))
            }
            Due::Later { .. } | Due::Waiting => return None,
        };
        Some((moment, why))
    };
    let named = |moment, unchanged| Asked {
        moment,
        why: Why::Wanted("it was asked for".to_owned()),
        unchanged,
    };
    let of_due = |unchanged| {
        let (moment, why) = due().filter(|_| !memory.is_paused)?;
        Some(Asked {
            moment: Some(moment),
            why,
            unchanged,
        })
    };
    match ask {
        Ask::Named(names, unchanged) => names.contains(&view.name).then(|| named(None, *unchanged)),
        Ask::DueAnd(names) if names.contains(&view.name) && memory.waits_for_others(look.now) => None,
        // what a person wants is done, and the moment with it
        Ask::DueAnd(names) if names.contains(&view.name) => {
            Some(named(due().map(|(moment, _)| moment), Unchanged::Refresh))
        }
        Ask::DueAnd(_) => of_due(Unchanged::Leave),
        Ask::Due(unchanged) => of_due(*unchanged),
    }
}

/// Of when the oldest of these views is, as far as that is known.
pub fn oldest<'a>(
    views: impl IntoIterator<Item = &'a ViewName>,
    memories: &HashMap<ViewName, ViewMemory>,
) -> Option<DateTime<Utc>> {
    let known = views
        .into_iter()
        .filter_map(|view| memories.get(view)?.data_as_of());
    known.min()
}

/// When the view that this one comes after was last refreshed.
pub fn after(
    name: &ViewName,
    policy: &Refresh,
    memories: &HashMap<ViewName, ViewMemory>,
) -> Option<DateTime<Utc>> {
    let (schema, view) = policy.after.as_deref()?.split_once('.')?;
    let other = ViewName {
        database: name.database.clone(),
        schema: schema.to_owned(),
        name: view.to_owned(),
    };
    memories.get(&other)?.refreshed_until
}

/// What is done with a view that is part of the pass, and why, as far as that does not depend on others.
fn decide(look: &Look, memory: &ViewMemory, step: &Step, reason: String) -> (Todo, String) {
    if look.is_standby {
        // it may be promoted any time
        return (Todo::LookAgain(look.now), ON_STANDBY.to_owned());
    }
    if let Some(why) = not_allowed(look, &step.seen) {
        let sqlstate = Some("42501");
        return (Todo::Refuse { sqlstate }, why);
    }
    if !step.is_forced && is_taken(look, step) {
        return (Todo::Taken, "another refresher has taken this moment".to_owned());
    }
    let unchanged = unchanged(look, memory, step);
    match (unchanged, choose(look, memory, &step.seen, &step.policy)) {
        (Some(why), _) if step.depends_on.is_empty() => (leave(look.now, step), why),
        (unchanged, Ok(choice)) => {
            let todo = Todo::Refresh {
                mode: choice.mode,
                within: choice.within,
                if_others_are: unchanged.is_some(),
            };
            (todo, format!("{reason}; {}", choice.reason))
        }
        (_, Err(why)) => (Todo::Refuse { sqlstate: None }, why),
    }
}

/// What is written up to a moment is counted so much later, at the latest, by sessions that stay connected and ask nothing.
const COUNTED_AFTER: TimeDelta = TimeDelta::seconds(limits::STATISTICS_LAG.as_secs() as i64 + 1);

/// Leaves a view as it is; where it is due seldom, only once all that was written before its moment is counted.
fn leave(now: DateTime<Utc>, step: &Step) -> Todo {
    let is_seldom = step.policy.max_age.is_none()
        && interval(&step.policy, now).is_none_or(|interval| interval > COUNTED_AFTER * 2);
    let counted_at = step.moment.map(|moment| moment + COUNTED_AFTER);
    match counted_at.filter(|counted_at| is_seldom && *counted_at > now) {
        Some(counted_at) => Todo::LookAgain(counted_at),
        None => Todo::Unchanged,
    }
}

/// Why a view that only others could have changed is left as it is.
pub const OTHERS_ARE_NOT: &str = "nothing that it reads has changed since it was refreshed";
/// Whether somebody took the moment, as the table of runs has it.
fn is_taken(look: &Look, step: &Step) -> bool {
    // a promised age is reckoned from when the last one started; a view of that name that holds nothing is another one
    if step.policy.max_age.is_some() || !step.seen.is_populated {
        return false;
    }
    let key = (step.view.schema.clone(), step.view.name.clone());
    let taken = look.record.last.get(&key).map(|(due, _)| *due);
    step.moment
        .is_some_and(|moment| taken.is_some_and(|taken| taken >= moment))
}

/// Why the view is as it would be after a refresh, where that is so.
fn unchanged(look: &Look, memory: &ViewMemory, step: &Step) -> Option<String> {
    let policy = &step.policy;
    if step.is_forced || !policy.skip_unchanged || !step.seen.is_populated {
        return None;
    }
    let refreshed = memory.refreshed_at?;
    if look.now - refreshed >= policy.at_least_every.as_delta() {
        return None;
    }
    let may_be_uncounted = look.last_activity_at.is_some_and(|at| at > refreshed);
    if look.may_write_unseen || may_be_uncounted {
        return None;
    }
    let now = look.inputs(step.oid)?;
    let is_same = memory.inputs.as_ref() == Some(&now);
    is_same.then(|| {
        let at = refreshed.format("%Y-%m-%d %H:%M:%S UTC");
        format!("nothing that it reads has changed since it was refreshed at {at}")
    })
}

/// Dependencies first; what a pass does not hold decides nothing.
fn in_order(mut steps: BTreeMap<ViewName, Step>) -> Vec<Step> {
    let within: BTreeSet<ViewName> = steps.keys().cloned().collect();
    // whatever would be refreshed only together with others, of which none is, is unchanged
    let dependencies: BTreeMap<ViewName, BTreeSet<ViewName>> = steps
        .iter()
        .map(|(name, step)| {
            (
                name.clone(),
                step.depends_on.intersection(&within).cloned().collect(),
            )
        })
        .collect();
    let order = dependencies_first(&dependencies);
    let mut refreshed: BTreeSet<ViewName> = BTreeSet::new();
    let mut waiting: BTreeMap<ViewName, DateTime<Utc>> = BTreeMap::new();
    for name in &order {
        let others_are = dependencies[name].iter().any(|other| refreshed.contains(other));
        let Some(step) = steps.get_mut(name) else { continue };
        // what reads a view that is looked at again waits for it
        let waits = dependencies[name]
            .iter()
            .filter_map(|other| waiting.get(other))
            .max();
        if let (Todo::Refresh { .. } | Todo::Unchanged, Some(at), false) = (&step.todo, waits, step.is_forced)
        {
            step.todo = Todo::LookAgain(*at);
            step.reason = "a view that it reads is looked at again first".to_owned();
        }
        if let Todo::LookAgain(at) = step.todo {
            waiting.insert(name.clone(), at);
        }
        if let Todo::Refresh {
            if_others_are: true, ..
        } = step.todo
            && !others_are
        {
            step.todo = leave(step.planned_at, step);
            step.reason = OTHERS_ARE_NOT.to_owned();
        }
        if matches!(step.todo, Todo::Refresh { .. }) {
            refreshed.insert(name.clone());
        }
    }
    order.iter().filter_map(|name| steps.remove(name)).collect()
}

impl Step {
    /// The statement that it runs.
    pub fn sql(&self) -> Option<String> {
        let Todo::Refresh { mode, .. } = self.todo else {
            return None;
        };
        let statement = Statement::RefreshMaterializedView {
            concurrently: mode == Mode::Concurrently,
            schema: self.view.schema.clone(),
            name: self.view.name.clone(),
        };
        Some(statement.sql())
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::Lineage;
    use super::*;
    use crate::model::refresh::{Inputs, ViewState};

    use crate::model::unit::Period;

    fn now() -> DateTime<Utc> {
        // four seconds past the hour
        DateTime::from_timestamp(1_790_000_400 / 3600 * 3600 + 4, 0).unwrap()
    }

    type Policies = HashMap<ViewName, Arc<Refresh>>;
    type Memories = HashMap<ViewName, ViewMemory>;

    /// `a` reads a table, `b` reads `a` and another table; both hourly, both as they were.
    fn scene() -> (Look, Policies, Memories) {
        let view = |oid, name: &str| MaterializedView {
            oid,
            name: ViewName {
                schema: "r".into(),
                name: name.into(),
                ..ViewName::default()
            },
            is_populated: true,
            may_refresh: true,
            state: ViewState::default(),
            ..MaterializedView::default()
        };
        let lineage = |views: &[u32]| Lineage {
            views: views.iter().copied().collect(),
            ..Lineage::default()
        };
        let mut look = Look {
            now: now(),
            are_changes_counted: true,
            views: BTreeMap::from([(1, view(1, "a")), (2, view(2, "b"))]),
            lineages: BTreeMap::from([(1, lineage(&[])), (2, lineage(&[1]))]),
            ..Look::default()
        };
        look.relations.insert(1, Vec::new());
        let policy = Arc::new(Refresh {
            every: Some(Period::minutes(60)),
            ..Refresh::default()
        });
        let names: Vec<ViewName> = look.views.values().map(|view| view.name.clone()).collect();
        let memory = ViewMemory {
            first_seen_at: Some(now() - TimeDelta::days(9)),
            refreshed_at: Some(now() - TimeDelta::hours(1)),
            handled_until: Some(now() - TimeDelta::hours(1)),
            inputs: Some(Inputs::default()),
            ..ViewMemory::default()
        };
        let policies = names.iter().map(|name| (name.clone(), policy.clone())).collect();
        let memories = names.iter().map(|name| (name.clone(), memory.clone())).collect();
        (look, policies, memories)
    }

    fn todos(look: &Look, policies: &Policies, memories: &Memories) -> Vec<Todo> {
        let known = Knowledge {
            policies,
            memories,
            next_pass_in: TimeDelta::zero(),
        };
        let steps = plan(look, &known, &Ask::Due(Unchanged::Leave));
        steps.into_iter().map(|step| step.todo).collect()
    }

    #[test]
    fn nothing_is_called_unchanged_before_all_that_was_written_is_counted() {
        let (mut look, policies, mut memories) = scene();
        let again = Todo::LookAgain(now() + TimeDelta::seconds(7));
        assert_eq!(todos(&look, &policies, &memories), [again.clone(), again.clone()]);
        // what reads a view that is looked at again waits for it, changed or not
        let b = look.views[&2].name.clone();
        memories.get_mut(&b).unwrap().inputs = None;
        assert_eq!(todos(&look, &policies, &memories), [again.clone(), again]);
        look.now += TimeDelta::seconds(7);
        let later = todos(&look, &policies, &memories);
        assert_eq!(later[0], Todo::Unchanged);
        let is_refreshed = matches!(
            later[1],
            Todo::Refresh {
                if_others_are: false,
                ..
            }
        );
        assert!(is_refreshed, "{later:?}");
        // somebody may have written long ago what is not counted yet
        look.may_write_unseen = true;
        assert!(matches!(
            todos(&look, &policies, &memories)[0],
            Todo::Refresh { .. }
        ));
    }

    #[test]
    fn a_view_that_only_others_could_have_changed_is_refreshed_if_they_are() {
        let (mut look, policies, mut memories) = scene();
        look.now += TimeDelta::seconds(20);
        assert_eq!(
            todos(&look, &policies, &memories),
            [Todo::Unchanged, Todo::Unchanged]
        );
        let a = look.views[&1].name.clone();
        memories.get_mut(&a).unwrap().inputs = None;
        let both = todos(&look, &policies, &memories);
        let is_refreshed = matches!(
            both[1],
            Todo::Refresh {
                if_others_are: true,
                ..
            }
        );
        assert!(is_refreshed, "{both:?}");
    }

    #[test]
    fn what_is_asked_for_takes_its_place_among_what_is_due() {
        let (mut look, policies, mut memories) = scene();
        look.now += TimeDelta::seconds(20);
        let [a, b] = [1, 2].map(|oid| look.views[&oid].name.clone());
        memories.get_mut(&a).unwrap().inputs = None;
        memories.get_mut(&b).unwrap().is_paused = true;
        let known = Knowledge {
            policies: &policies,
            memories: &memories,
            next_pass_in: TimeDelta::zero(),
        };
        let asked = BTreeSet::from([b.clone()]);
        let steps = plan(&look, &known, &Ask::DueAnd(&asked));
        let order: Vec<&ViewName> = steps.iter().map(|step| &step.view).collect();
        assert_eq!(order, [&a, &b], "whoever asked for b gets it from the new a");
        let moment = now() - TimeDelta::seconds(4);
        assert_eq!((steps[1].moment, steps[1].is_forced), (Some(moment), true));
        assert!(
            steps[1].reason.starts_with("it was asked for"),
            "{}",
            steps[1].reason
        );
        assert_eq!(plan(&look, &known, &Ask::Due(Unchanged::Leave)).len(), 1);
    }

    #[test]
    fn a_moment_that_somebody_took_is_not_taken_again() {
        let (mut look, policies, memories) = scene();
        look.record.is_used = true;
        let moment = now() - TimeDelta::seconds(4);
        look.record.last.insert(("r".into(), "a".into()), (moment, now()));
        assert_eq!(todos(&look, &policies, &memories)[0], Todo::Taken);
        look.views.get_mut(&1).unwrap().is_populated = false;
        let filled = &todos(&look, &policies, &memories)[0];
        assert!(
            matches!(filled, Todo::Refresh { .. }),
            "another view of that name: {filled:?}"
        );
    }
}

//! What one pass does: each view in question with how it is refreshed and why, or why it is not, dependencies first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::due::{Due, Reckoning, interval};
use super::graph::dependencies_first;
use super::read::Look;
use crate::configuration::{Refresh, RefreshMode};
use crate::model::refresh::{MaterializedView, Mode, ViewMemory, ViewName};
use crate::model::remedy::{Statement, qualified, quote_identifier};
use crate::model::unit::seconds_for_people;

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
pub enum Ask<'a> {
    /// Whatever is due; forced: changed or not.
    Due(bool),
    /// These views, due or not; forced: changed or not.
    Named(&'a BTreeSet<ViewName>, bool),
}

/// What is known beside the look.
pub struct Knowledge<'a> {
    /// The table of the configuration for each view that is to be refreshed.
    pub policies: &'a HashMap<ViewName, Arc<Refresh>>,
    /// What is remembered of each view, this look taken in.
    pub memories: &'a HashMap<ViewName, ViewMemory>,
}

/// The name of a view of a look.
pub fn name_of(look: &Look, view: &MaterializedView) -> ViewName {
    ViewName {
        database: look.database.clone(),
        schema: view.schema.clone(),
        name: view.name.clone(),
    }
}

/// Plans a pass over one database.
pub fn plan(look: &Look, known: &Knowledge<'_>, ask: &Ask<'_>) -> Vec<Step> {
    let names: BTreeMap<u32, ViewName> = look
        .views
        .iter()
        .map(|view| (view.oid, name_of(look, view)))
        .collect();
    let mut steps: BTreeMap<ViewName, Step> = BTreeMap::new();
    for view in &look.views {
        let name = &names[&view.oid];
        let Some(policy) = known.policies.get(name) else {
            continue;
        };
        let nothing = ViewMemory::default();
        let memory = known.memories.get(name).unwrap_or(&nothing);
        let Some((moment, reason, is_forced)) = asked(look, known, ask, (view, name), (policy, memory))
        else {
            continue;
        };
        let lineage = look.lineages.get(&view.oid);
        let upstream = lineage.into_iter().flat_map(|lineage| &lineage.views);
        let mut step = Step {
            view: name.clone(),
            oid: view.oid,
            todo: Todo::Unchanged,
            reason: reason.unwrap_or_else(|why| why),
            moment,
            planned_at: look.now,
            ahead: look.ahead,
            depends_on: upstream.filter_map(|oid| names.get(oid).cloned()).collect(),
            policy: policy.clone(),
            seen: view.clone(),
            reads: look.inputs(view.oid).zip(lineage).map(|(inputs, lineage)| Reads {
                epoch: inputs.epoch,
                definition: inputs.definition,
                roots: lineage.relations.iter().chain(&lineage.views).copied().collect(),
            }),
            uses_record: look.record.is_used,
            is_forced,
        };
        decide(look, memory, &mut step);
        steps.insert(name.clone(), step);
    }
    in_order(steps)
}

/// Whether a view is part of the pass: its moment and why.
#[allow(clippy::type_complexity)]
fn asked(
    look: &Look,
    known: &Knowledge<'_>,
    ask: &Ask<'_>,
    (view, name): (&MaterializedView, &ViewName),
    (policy, memory): (&Arc<Refresh>, &ViewMemory),
) -> Option<(Option<DateTime<Utc>>, Result<String, String>, bool)> {
    match ask {
        Ask::Named(names, is_forced) => names
            .contains(name)
            .then(|| (None, Ok("it was asked for".to_owned()), *is_forced)),
        Ask::Due(_) if memory.is_paused => None,
        Ask::Due(is_forced) => {
            let reckoning = Reckoning {
                policy,
                view: name,
                memory,
                is_populated: view.is_populated,
                after: after(name, policy, known.memories),
            };
            match reckoning.due(look.now) {
                Due::Now { moment, reason } => Some((Some(moment), Ok(reason), *is_forced)),
                Due::Missed { moment } => {
                    let why = format!("the moment {} was missed", moment.format("%Y-%m-%d %H:%M:%S UTC"));
                    Some((Some(moment), Err(why), false))
                }
                Due::Later { .. } | Due::Waiting => None,
            }
        }
    }
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

/// What is done with a view that is part of the pass, as far as that does not depend on others.
fn decide(look: &Look, memory: &ViewMemory, step: &mut Step) {
    let (todo, reason) = if step.reason.ends_with("was missed") {
        (Todo::Miss, None)
    } else if look.is_standby {
        let why = "the server is a standby: materialized views are refreshed on its primary";
        (Todo::LookAgain(look.now + STANDBY_PAUSE), Some(why.to_owned()))
    } else if !step.seen.may_refresh {
        let why = format!(
            "{} may not refresh it: it belongs to {}; GRANT {} TO {}, or from PostgreSQL 17 on GRANT MAINTAIN ON TABLE {} TO {}",
            look.login,
            step.seen.owner,
            quote_identifier(&step.seen.owner),
            quote_identifier(&look.login),
            qualified(&step.view.schema, &step.view.name),
            quote_identifier(&look.login),
        );
        let sqlstate = Some("42501");
        (Todo::Refuse { sqlstate }, Some(why))
    } else if !step.is_forced && is_taken(look, step) {
        let why = "another refresher has taken this moment";
        (Todo::Taken, Some(why.to_owned()))
    } else {
        let if_others_are = match unchanged(look, memory, step) {
            Some(why) if step.depends_on.is_empty() => {
                leave(look.now, step, why);
                return;
            }
            Some(_) => true,
            None => false,
        };
        match choose(look, memory, step) {
            Ok((mode, within, why)) => {
                let todo = Todo::Refresh {
                    mode,
                    within,
                    if_others_are,
                };
                (todo, Some(format!("{}; {why}", step.reason)))
            }
            Err(why) => (Todo::Refuse { sqlstate: None }, Some(why)),
        }
    };
    step.todo = todo;
    step.reason = reason.unwrap_or_else(|| step.reason.clone());
}

/// What is written up to a moment is counted so much later by sessions that stay connected and ask nothing.
const COUNTED_AFTER: TimeDelta = TimeDelta::seconds(11);

/// Leaves a view as it is; where it is due seldom, only once all that was written before its moment is counted.
fn leave(now: DateTime<Utc>, step: &mut Step, why: String) {
    let is_seldom = step.policy.max_age.is_none()
        && interval(&step.policy, now).is_none_or(|interval| interval > COUNTED_AFTER * 2);
    let counted_at = step
        .moment
        .filter(|_| is_seldom)
        .map(|moment| moment + COUNTED_AFTER);
    step.todo = match counted_at.filter(|counted_at| *counted_at > now) {
        Some(counted_at) => Todo::LookAgain(counted_at),
        None => Todo::Unchanged,
    };
    step.reason = why;
}

/// A standby may be promoted.
const STANDBY_PAUSE: TimeDelta = TimeDelta::seconds(60);

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

/// The part of the limit below which locking readers out is better than the work of CONCURRENTLY.
const HARDLY_FELT: f64 = 0.1;
/// A plain refresh that took too long for its readers is not tried again for so long.
const SLOW_FOR: TimeDelta = TimeDelta::hours(24);

/// How a view is refreshed, how long that may take, and why so; or why it cannot be.
pub fn choose(look: &Look, memory: &ViewMemory, step: &Step) -> Result<(Mode, Duration, String), String> {
    let (policy, view) = (&step.policy, &step.seen);
    let longest = policy.max_duration.as_duration();
    let limit = policy.plain_limit.as_duration();
    let plain = memory.usual_seconds(Mode::Plain);
    let concurrent = memory.usual_seconds(Mode::Concurrently);
    // what was too slow once is tried again now and then
    let is_known_slow = memory.too_slow_at.is_none_or(|at| look.now - at < SLOW_FOR);
    let in_hours = policy
        .plain_between
        .iter()
        .any(|hours| hours.contains(look.now, policy.time_zone));
    let nobody_reads = !look.has_standbys && memory.has_readers(look.now) == Some(false);
    if !view.is_populated {
        return Ok((
            Mode::Plain,
            longest,
            "plain, since it holds nothing yet".to_owned(),
        ));
    }
    let plainly = |why: &str| match (in_hours, nobody_reads) {
        (true, _) => Ok((
            Mode::Plain,
            longest,
            format!("plain, within the hours for it{why}"),
        )),
        (_, true) => Ok((Mode::Plain, longest, format!("plain, since nobody reads it{why}"))),
        _ => match plain {
            Some(seconds) if seconds > limit.as_secs_f64() && is_known_slow => Err(format!(
                "a plain refresh takes about {} and would lock readers out for longer than {}{why}; {}",
                seconds_for_people(seconds),
                policy.plain_limit,
                way_out(view)
            )),
            _ => Ok((
                Mode::Plain,
                limit.min(longest),
                format!(
                    "plain{why}, cancelled if it takes longer than {}",
                    policy.plain_limit
                ),
            )),
        },
    };
    match (policy.mode, &view.unique_index) {
        (RefreshMode::Plain, _) => plainly(", as configured"),
        (RefreshMode::Concurrently, None) => Err(format!(
            "CONCURRENTLY needs a unique index on plain columns over all rows, and {}; {}",
            what_there_is(view),
            way_out(view)
        )),
        (RefreshMode::Auto, None) => plainly(" without a unique index that CONCURRENTLY needs"),
        (RefreshMode::Concurrently, Some(_)) => Ok((
            Mode::Concurrently,
            longest,
            "concurrently, as configured".to_owned(),
        )),
        (RefreshMode::Auto, Some(index)) => {
            let is_cheaper = plain
                .zip(concurrent)
                .is_none_or(|(plain, concurrent)| plain < concurrent);
            let is_hardly_felt = plain.is_some_and(|plain| plain <= limit.as_secs_f64() * HARDLY_FELT);
            match (
                is_cheaper,
                in_hours || nobody_reads,
                is_hardly_felt && concurrent.is_some(),
            ) {
                (true, true, _) => plainly(", which is cheaper"),
                (true, _, true) => {
                    let seconds = seconds_for_people(plain.unwrap_or_default());
                    Ok((
                        Mode::Plain,
                        limit.min(longest),
                        format!("plain, which took {seconds}, and is cheaper"),
                    ))
                }
                _ => Ok((
                    Mode::Concurrently,
                    longest,
                    format!("concurrently by {index}, since it may be read meanwhile"),
                )),
            }
        }
    }
}

/// How a view would be refreshed now, or why it cannot be.
pub fn how(
    look: &Look,
    memory: &ViewMemory,
    view: &MaterializedView,
    name: &ViewName,
    policy: &Arc<Refresh>,
) -> Result<String, String> {
    let mut step = Step {
        view: name.clone(),
        oid: view.oid,
        todo: Todo::Unchanged,
        reason: String::new(),
        moment: None,
        planned_at: look.now,
        ahead: look.ahead,
        depends_on: BTreeSet::new(),
        policy: policy.clone(),
        seen: view.clone(),
        reads: None,
        uses_record: false,
        is_forced: true,
    };
    decide(look, memory, &mut step);
    match step.todo {
        Todo::Refresh { .. } => Ok(step.reason.trim_start_matches("; ").to_owned()),
        _ => Err(step.reason),
    }
}

fn what_there_is(view: &MaterializedView) -> String {
    match view.unusable_indexes[..] {
        [] => "there is no unique index".to_owned(),
        ref unusable => unusable.join(", "),
    }
}

fn way_out(view: &MaterializedView) -> String {
    format!(
        "create a unique index on plain columns of {} over all rows, or give hours for it (plain_between)",
        qualified(&view.schema, &view.name)
    )
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
        if let (Todo::Refresh { .. } | Todo::Unchanged, Some(at)) = (&step.todo, waits) {
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
            let why = "nothing that it reads has changed since it was refreshed";
            leave(step.planned_at, step, why.to_owned());
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
    use crate::model::schedule::DailyHours;
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
            schema: "r".into(),
            name: name.into(),
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
            views: vec![view(1, "a"), view(2, "b")],
            lineages: BTreeMap::from([(1, lineage(&[])), (2, lineage(&[1]))]),
            ..Look::default()
        };
        look.relations.insert(1, Vec::new());
        let policy = Arc::new(Refresh {
            every: Some(Period::minutes(60)),
            ..Refresh::default()
        });
        let names: Vec<ViewName> = look.views.iter().map(|view| name_of(&look, view)).collect();
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
        let known = Knowledge { policies, memories };
        let steps = plan(look, &known, &Ask::Due(false));
        steps.into_iter().map(|step| step.todo).collect()
    }

    #[test]
    fn nothing_is_called_unchanged_before_all_that_was_written_is_counted() {
        let (mut look, policies, mut memories) = scene();
        let again = Todo::LookAgain(now() + TimeDelta::seconds(7));
        assert_eq!(todos(&look, &policies, &memories), [again.clone(), again.clone()]);
        // what reads a view that is looked at again waits for it, changed or not
        let b = name_of(&look, &look.views[1]);
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
        let a = name_of(&look, &look.views[0]);
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
    fn a_moment_that_somebody_took_is_not_taken_again() {
        let (mut look, policies, memories) = scene();
        look.record.is_used = true;
        let moment = now() - TimeDelta::seconds(4);
        look.record.last.insert(("r".into(), "a".into()), (moment, now()));
        assert_eq!(todos(&look, &policies, &memories)[0], Todo::Taken);
        look.views[0].is_populated = false;
        let filled = &todos(&look, &policies, &memories)[0];
        assert!(
            matches!(filled, Todo::Refresh { .. }),
            "another view of that name: {filled:?}"
        );
    }

    #[test]
    fn how_a_view_is_refreshed_follows_from_who_reads_it_and_what_it_costs() {
        let (look, _, _) = scene();
        let name = name_of(&look, &look.views[0]);
        let day = TimeDelta::days(2);
        let unread = ViewMemory {
            readers_watched_since: Some(now() - day),
            ..ViewMemory::default()
        };
        let read = ViewMemory {
            read_at: Some(now()),
            ..unread.clone()
        };
        let slow = |memory: &ViewMemory| ViewMemory {
            plain_seconds: vec![9.0],
            concurrent_seconds: vec![30.0],
            too_slow_at: Some(now()),
            ..memory.clone()
        };
        let begins = |memory: &ViewMemory, index: bool, policy: Refresh, words: &str| {
            let view = MaterializedView {
                unique_index: index.then(|| "u".to_owned()),
                ..look.views[0].clone()
            };
            let told = match how(&look, memory, &view, &name, &Arc::new(policy)) {
                Ok(how) => how,
                Err(why) => format!("no: {why}"),
            };
            assert!(told.starts_with(words), "{told}");
        };
        let auto = Refresh::default;
        begins(&read, true, auto(), "concurrently by u");
        begins(&ViewMemory::default(), true, auto(), "concurrently by u");
        begins(&unread, true, auto(), "plain, since nobody reads it");
        begins(&read, false, auto(), "plain without a unique index");
        begins(&slow(&read), false, auto(), "no: a plain refresh takes about 9");
        begins(&slow(&unread), false, auto(), "plain, since nobody reads it");
        let once = ViewMemory {
            plain_seconds: vec![0.05, 0.05, 9.0],
            ..slow(&read)
        };
        begins(&once, false, auto(), "plain without a unique index");
        let long_ago = ViewMemory {
            too_slow_at: Some(now() - day),
            ..slow(&read)
        };
        begins(&long_ago, false, auto(), "plain without a unique index");
        let hours: DailyHours = "00:00-24:00".parse().unwrap();
        let at_night = Refresh {
            plain_between: vec![hours],
            ..auto()
        };
        begins(&slow(&read), false, at_night, "plain, within the hours for it");
        let concurrently = Refresh {
            mode: RefreshMode::Concurrently,
            ..auto()
        };
        begins(
            &read,
            false,
            concurrently,
            "no: CONCURRENTLY needs a unique index",
        );
    }
}

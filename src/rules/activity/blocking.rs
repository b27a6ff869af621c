//! activity.blocking

mod waits;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::long_query::{is_maintenance, only_reads};
use super::prepared_transaction;
use crate::model::finding::{Claim, Evidence, Object, ObjectKind, Severity, Who};
use crate::model::observation::Unknown;
use crate::model::remedy::{Remedy, Statement};
use crate::model::session::{PreparedTransaction, Session};
use crate::model::unit::{Period, seconds_for_people};
use crate::rules::{Found, Guards, Place, Rule, Scope, evidence, number, sessions};
use waits::{Jam, Root, Waits};

/// Sessions wait for locks behind one session that holds them up.
///
/// ## Why it is bad
/// What waits does nothing, and keeps what it holds itself, so that more and more wait behind it until all connections
/// are taken. Worst is somebody who waits for an ACCESS EXCLUSIVE lock, as ALTER TABLE and DROP do: every later statement
/// on that table queues behind it, even one that only reads.
///
/// ## What to do
/// Look at the root of the tree: the one that waits for nobody. If it is idle in a transaction, its program has to end
/// that. If it works, it is mostly best to wait. Run changes of the schema with a short `lock_timeout` and try again.
/// Where an ACCESS EXCLUSIVE lock is waited for, cancelling that one session lets the others go on and loses nothing but
/// its wait.
///
/// ## When it is wrong to obey
/// Ending a root that writes loses its work, and rolling back takes time, too. A migration in its hour holds others up on
/// purpose: where the root is just executing one (ALTER, CREATE, DROP, TRUNCATE, REINDEX, CLUSTER) it is said, and critical only
/// from `migration_wait` on. An autovacuum that prevents transaction ids from running out does not give way and must not be ended: it is
/// named, not blamed. Waiting for an advisory lock is often how a program chooses a leader; where nothing else is waited
/// for it is told as info.
///
/// Waits that are shorter than `minimum_wait` are not counted: a busy server always has some. A deadlock is not told: the
/// server resolves it after `deadlock_timeout`. Roots of the same role and application at the same table are one finding.
/// Source: PostgreSQL's chapter "Explicit Locking", pg_blocking_pids.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blocking {
    /// So many sessions behind one root are a warning.
    warning_waiting: i64,
    /// The longest wait behind a root from which it is a warning.
    warning_wait: Period,
    /// The longest wait behind a root from which it is critical.
    critical_wait: Period,
    /// The longest wait behind a root that is executing a change of the schema from which it is critical.
    migration_wait: Period,
    /// A session counts from this wait on; one that waits for an ACCESS EXCLUSIVE lock with others behind it is then critical.
    minimum_wait: Period,
}

impl Default for Blocking {
    fn default() -> Self {
        Self {
            warning_waiting: 3,
            warning_wait: Period::seconds(60),
            critical_wait: Period::seconds(300),
            migration_wait: Period::minutes(15),
            minimum_wait: Period::seconds(5),
        }
    }
}

impl Rule for Blocking {
    const ID: &'static str = "activity.blocking";
    const SCOPE: Scope = Scope::Server;
    /// Who holds others up again and again is not told anew each minute; whoever has gone for two looks has ended it.
    const CLEAR: Period = Period::seconds(30);

    fn judge(&self, place: &Place<'_>) -> Result<Found, Unknown> {
        let waits = Waits::of(place.observation, sessions::seen(place)?);
        let mut jams: Vec<(Severity, Jam<'_>)> = Vec::new();
        for (identity, roots) in waits.roots() {
            if let Some(jam) = waits.jam(identity, &roots, self.minimum_wait.as_seconds())
                && let Some(severity) = self.severity(&jam)
            {
                jams.push((severity, jam));
            }
        }
        jams.sort_by(|(a_severity, a), (b_severity, b)| {
            let by_size = b.longest.total_cmp(&a.longest).then(b.waiting.cmp(&a.waiting));
            b_severity
                .cmp(a_severity)
                .then(by_size)
                .then_with(|| a.identity.cmp(&b.identity))
        });
        let mut found = Found::default();
        for (severity, jam) in &jams {
            found.claim_worst_first(
                place,
                || jam.identity.subject.clone(),
                || claim(place, *severity, &waits, jam),
            );
        }
        if waits.vanished > 0 {
            found.untold = Some(
                "some sessions that were in the way had ended before they could be looked at".to_owned(),
            );
        }
        Ok(found)
    }
}

impl Blocking {
    fn severity(&self, jam: &Jam<'_>) -> Option<Severity> {
        let severity = if jam.longest >= self.critical_wait.as_seconds() || jam.queue.is_some() {
            Severity::Critical
        } else if jam.longest >= self.warning_wait.as_seconds() || jam.counted as i64 >= self.warning_waiting
        {
            Severity::Warning
        } else {
            return None;
        };
        Some(match &jam.root {
            _ if jam.is_advisory => Severity::Info,
            Root::Session(root) if !root.is_client() => severity.min(Severity::Warning),
            Root::Session(root) if migrates(root) && jam.longest < self.migration_wait.as_seconds() => {
                severity.min(Severity::Warning)
            }
            _ => severity,
        })
    }
}

/// Whether a statement changes the schema, as those of migrations do.
fn changes_schema(command: &str) -> bool {
    let first = command.split(' ').next().unwrap_or_default();
    ["ALTER", "CREATE", "DROP", "TRUNCATE", "REINDEX", "CLUSTER"].contains(&first)
}

/// Whether a client is just executing such a statement.
fn migrates(root: &Session) -> bool {
    root.is_client() && root.is_active() && changes_schema(&root.command)
}

/// Whether it is a migration that holds others up.
fn guard_migrations(root: Root<'_>, guards: &mut Guards) {
    let Root::Session(root) = root else { return };
    let command = &root.command;
    if root.is_untracked() {
        guards.not_checked("migrations: what it executes is not seen");
    } else if migrates(root) {
        guards.checked(format!("migrations: it is one, as it executes {command}"));
    } else if changes_schema(command) {
        guards.checked(format!(
            "migrations: it has executed {command}, and executes nothing now"
        ));
    } else if root.is_client() {
        guards.checked("migrations: its statement changes no schema");
    }
}

/// "4 sessions wait", and the same without the verb.
fn sessions_waiting(count: usize) -> (String, String) {
    match count {
        1 => ("1 session".to_owned(), "1 session waits".to_owned()),
        all => (format!("{all} sessions"), format!("{all} sessions wait")),
    }
}

fn claim(place: &Place<'_>, severity: Severity, waits: &Waits<'_>, jam: &Jam<'_>) -> Claim {
    let relation = jam
        .identity
        .subject
        .last()
        .filter(|relation| !relation.is_empty());
    let at = relation.map_or(String::new(), |relation| format!(" at {relation}"));
    let longest = seconds_for_people(jam.longest);
    let own = evidence([
        ("waiting_sessions", json!(jam.waiting)),
        ("longest_wait_seconds", number(jam.longest)),
        ("tree", json!(waits.tree(jam))),
        ("roots", json!(jam.roots)),
        ("relations", json!(jam.relations)),
    ]);
    let mut guards = Guards::default();
    guards.checked("it waits for nobody itself");
    guard_migrations(jam.root, &mut guards);
    if !jam.is_timed {
        guards.not_checked("since when some of them wait: it is counted from the begin of their statements");
    }
    let (name, base) = match jam.root {
        Root::Session(root) => {
            let role = root.role.as_deref().unwrap_or("unknown");
            let name = format!("{} as {role}", root.application_or_type());
            (name, of_session(place, severity, root, jam, own))
        }
        Root::Prepared(database) => {
            let name = format!("A prepared transaction in {database}");
            (
                name,
                of_prepared(place, severity, database, jam, own, &mut guards),
            )
        }
    };
    let (sessions, sessions_wait) = sessions_waiting(jam.waiting);
    let advisory = match jam.is_advisory {
        true => " All of it is about an advisory lock, by which programs often choose a leader.",
        false => "",
    };
    Claim {
        subject: jam.identity.subject.clone(),
        title: format!("{name} holds up {sessions}{at} for {longest}"),
        explanation: format!(
            "{sessions_wait} behind it, directly or behind each other, the longest for {longest}.{advisory} {}",
            base.explanation
        ),
        confidence: guards.confidence("read from pg_blocking_pids"),
        guards: guards.told(),
        ..base
    }
}

/// Cancelling who queues for an ACCESS EXCLUSIVE lock: the statement, and what it means.
fn relief(jam: &Jam<'_>) -> Option<(String, String)> {
    let (waiter, behind) = jam.queue?;
    let cancel = Statement::CancelBackend { pid: waiter.pid }.sql();
    let caveat = format!(
        "Quickest, and with the least loss: process {} waits for an ACCESS EXCLUSIVE lock with {behind} behind it. \
         Cancelling it ({cancel}) lets those go on and rolls back its own transaction only. Run it again with a short \
         lock_timeout.",
        waiter.pid
    );
    Some((cancel, caveat))
}

/// What a root does, what ends it where that is not the last thing to do, and what is lost by it.
struct Ending {
    told: String,
    apply: Option<String>,
    caveat: String,
}

fn ending(root: &Session, lasted: &str) -> Ending {
    let cancel = Statement::CancelBackend { pid: root.pid }.sql();
    let terminate = Statement::TerminateBackend { pid: root.pid }.sql();
    let (told, apply, caveat) = if !root.is_client() {
        let told = format!(
            "It is no client but a process of the server ({}), and not to blame: an autovacuum that does not give way \
             prevents transaction ids from running out, and ends by itself.",
            root.backend_type
        );
        (
            told,
            None,
            "Do not end it: it would begin anew and take as long again.".to_owned(),
        )
    } else if root.is_untracked() {
        let told = "What it does is not seen: track_activities is off for it.";
        let caveat = format!(
            "Ask whose program it is, and what it does. Ending it ({terminate}) rolls back all that its transaction did."
        );
        (told.to_owned(), None, caveat)
    } else if root.is_idle_in_transaction() {
        let told = format!(
            "It has been idle in a transaction{lasted}, and its locks stay until its program goes on."
        );
        let caveat = "Terminating it rolls back all that its transaction has written: look first at what its program does.";
        (told, Some(terminate), caveat.to_owned())
    } else if root.state.as_deref() == Some("idle") {
        let told =
            "It executes nothing and is in no transaction: what it holds is an advisory lock of its session.";
        let caveat =
            "An advisory lock means what its program wants it to mean: ask there before it is terminated.";
        (told.to_owned(), Some(terminate), caveat.to_owned())
    } else if only_reads(root) {
        let caveat =
            "Cancelling it loses its result so far, and rolls back what its transaction wrote before.";
        (
            format!("It has been executing a query{lasted}."),
            Some(cancel),
            caveat.to_owned(),
        )
    } else {
        let what = match () {
            () if migrates(root) => format!("It changes the schema ({}), as a migration does", root.command),
            () if is_maintenance(root) => "It maintains tables or indexes".to_owned(),
            () => "It works, and may write".to_owned(),
        };
        let caveat = format!(
            "Wait for it first. Ending it ({cancel}) rolls back all that its transaction did: that work is lost, and \
             the rollback takes time, too."
        );
        (
            format!("{what}; it has done so{lasted}. Mostly it is best to wait."),
            None,
            caveat,
        )
    };
    Ending { told, apply, caveat }
}

fn of_session(place: &Place<'_>, severity: Severity, root: &Session, jam: &Jam<'_>, own: Evidence) -> Claim {
    let since = Session::seconds_since(root.state_changed_at, place.observation.now);
    let lasted = since.map_or(String::new(), |seconds| {
        format!(" for {}", seconds_for_people(seconds))
    });
    let ending = ending(root, &lasted);
    let (cancel_queue, quickest) = relief(jam).unzip();
    Claim {
        explanation: ending.told,
        evidence_sql: Some(format!(
            "SELECT pid, pg_blocking_pids(pid) AS blocked_by, usename, application_name, state, query\n  \
             FROM pg_stat_activity WHERE pid = {} OR cardinality(pg_blocking_pids(pid)) > 0",
            root.pid
        )),
        remedy: Remedy {
            apply_sql: ending.apply.or(cancel_queue).into_iter().collect(),
            caveats: quickest.into_iter().chain([ending.caveat]).collect(),
            ..Remedy::default()
        },
        ..sessions::claim(place, Blocking::ID, severity, root, own)
    }
}

/// A root without a session: which prepared transactions it can be.
fn of_prepared(
    place: &Place<'_>,
    severity: Severity,
    database: &str,
    jam: &Jam<'_>,
    own: Evidence,
    guards: &mut Guards,
) -> Claim {
    let all = place
        .observation
        .prepared_transactions
        .as_deref()
        .unwrap_or_default();
    let there: Vec<&PreparedTransaction> = all.iter().filter(|one| one.database == database).collect();
    let gids: Vec<&str> = there.iter().map(|one| one.gid.as_str()).collect();
    let mut told = own;
    told.insert("prepared_transactions".to_owned(), json!(gids));
    let (object, remedy, explanation) = match there.as_slice() {
        [only] => {
            let explanation = format!(
                "They wait for the prepared transaction {}, which belongs to no session.",
                only.gid
            );
            let object = prepared_transaction::object(&only.gid);
            (
                object,
                prepared_transaction::remedy(&only.gid, database),
                explanation,
            )
        }
        _ => {
            guards.not_checked("which prepared transaction holds the lock");
            several_prepared(database, &gids)
        }
    };
    let quickest = relief(jam).map(|(_, caveat)| caveat);
    let caveats = quickest.into_iter().chain(remedy.caveats).collect();
    Claim {
        database: Some(database.to_owned()),
        who: Who {
            roles: there.iter().filter_map(|one| one.owner.clone()).collect(),
            applications: Vec::new(),
        },
        explanation,
        evidence: told,
        evidence_sql: Some(
            "SELECT gid, owner, database, prepared FROM pg_prepared_xacts ORDER BY prepared".to_owned(),
        ),
        remedy: Remedy { caveats, ..remedy },
        ..place.claim(Blocking::ID, severity, jam.identity.subject.clone(), Some(object))
    }
}

/// It cannot be told which one it is.
fn several_prepared(database: &str, gids: &[&str]) -> (Object, Remedy, String) {
    let names = match gids.is_empty() {
        true => "none could be read".to_owned(),
        false => gids.join(", "),
    };
    let object = Object {
        kind: ObjectKind::Database,
        schema: None,
        name: database.to_owned(),
        table: None,
    };
    let caveat = "ROLLBACK PREPARED or COMMIT PREPARED ends one: ask the transaction manager by its gid.";
    let remedy = Remedy {
        caveats: vec![caveat.to_owned()],
        ..Remedy::default()
    };
    let explanation = format!(
        "They wait for a prepared transaction, which belongs to no session. It may be one of: {names}."
    );
    (object, remedy, explanation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    use super::waits::TREE_LINES;
    use crate::model::finding::ConfidenceLevel;
    use crate::model::observation::Observation;
    use crate::model::session::AwaitedLock;
    use crate::rules::testing::{claims, found, now, session, severities, table, tables};

    fn observed(sessions: Vec<Session>) -> Observation {
        let mut observed = tables(vec![table(1, "orders", 10.0, 10.0)]);
        observed.sessions = Ok(sessions);
        observed
    }

    /// A session that holds others up.
    fn root(pid: i32, state: &str) -> Session {
        session(pid, state, 400, |session| session.command = "UPDATE".into())
    }

    /// One that has waited for `public.orders` so long.
    fn waiter(pid: i32, blocked_by: &[i32], mode: &str, seconds: i64) -> Session {
        session(pid, "active", 3600, |session| {
            session.blocked_by = blocked_by.to_vec();
            session.awaited = Some(AwaitedLock {
                kind: "relation".into(),
                mode: mode.into(),
                relation_oid: Some(1),
                since: Some(now() - TimeDelta::seconds(seconds)),
            });
        })
    }

    fn share(pid: i32, blocked_by: &[i32], seconds: i64) -> Session {
        waiter(pid, blocked_by, "AccessShareLock", seconds)
    }

    fn claim_of(sessions: Vec<Session>) -> Claim {
        let mut claims = claims::<Blocking>(&observed(sessions)).unwrap();
        assert_eq!(claims.len(), 1);
        claims.remove(0)
    }

    #[test]
    fn the_edges_of_its_thresholds() {
        let one =
            |seconds| severities::<Blocking>(&observed(vec![root(1, "active"), share(2, &[1], seconds)]));
        assert_eq!(one(59), []);
        assert_eq!(one(60), [Severity::Warning]);
        assert_eq!(one(299), [Severity::Warning]);
        assert_eq!(one(300), [Severity::Critical]);
        let three = |seconds| {
            let chain = vec![
                root(1, "active"),
                share(2, &[1], seconds),
                share(3, &[2], 5),
                share(4, &[2, 3], 5),
            ];
            severities::<Blocking>(&observed(chain))
        };
        assert_eq!(three(5), [Severity::Warning], "in the whole tree");
        assert_eq!(three(4), [], "one has not waited long enough to count");
        let queue = |seconds, behind: &[i32]| {
            let exclusive = waiter(2, &[1], "AccessExclusiveLock", seconds);
            severities::<Blocking>(&observed(vec![root(1, "active"), exclusive, share(3, behind, 1)]))
        };
        assert_eq!(queue(5, &[2]), [Severity::Critical]);
        assert_eq!(queue(4, &[2]), [], "it may get it yet");
        assert_eq!(queue(5, &[1]), [], "nobody queues behind it");
    }

    #[test]
    fn the_tree_shows_each_once_below_whom_it_waits_for() {
        let claim = claim_of(vec![
            root(1, "idle in transaction"),
            waiter(2, &[1], "AccessExclusiveLock", 61),
            share(3, &[2], 30),
            share(4, &[2, 3], 20),
            share(5, &[1], 10),
        ]);
        let lines: Vec<String> = claim.evidence["tree"]
            .as_str()
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
        assert_eq!(
            lines[0],
            "pid 1 app/shop idle in transaction 6 min 40 s: SELECT 1 FROM a"
        );
        assert_eq!(
            lines[1],
            "  └ pid 2 app/shop waits 1 min 1 s for AccessExclusiveLock on public.orders: SELECT 1 FROM a"
        );
        let begins: Vec<&str> = lines[2..]
            .iter()
            .map(|line| line.split(" app").next().unwrap())
            .collect();
        assert_eq!(begins, ["    └ pid 3", "      └ pid 4", "  └ pid 5"]);
        assert_eq!(claim.subject, ["app", "shop", "public.orders"]);
        assert_eq!(
            (&claim.evidence["waiting_sessions"], &claim.evidence["process"]),
            (&json!(4), &json!(1))
        );
        assert!(
            claim.title.contains("holds up 4 sessions at public.orders"),
            "{}",
            claim.title
        );
    }

    #[test]
    fn who_comes_later_makes_no_other_problem_of_it() {
        // the first waits for the end of a transaction, which is no table's
        let mut first = share(2, &[1], 400);
        first.awaited.as_mut().unwrap().relation_oid = None;
        let before = claim_of(vec![root(1, "active"), first.clone()]);
        let later = claim_of(vec![
            root(1, "active"),
            first,
            share(3, &[1], 100),
            share(4, &[1], 100),
        ]);
        assert_eq!(before.subject, later.subject);
        assert_eq!(later.evidence["waiting_sessions"], json!(3));
    }

    #[test]
    fn a_long_tree_is_cut_and_a_circle_ends() {
        let mut many = vec![root(1, "active")];
        many.extend((2..100).map(|pid| share(pid, &[pid - 1], 100)));
        let claim = claim_of(many);
        let tree = claim.evidence["tree"].as_str().unwrap();
        assert_eq!(tree.lines().count(), TREE_LINES + 2);
        assert!(tree.ends_with("… and 68 more"), "{tree}");
        let circle = vec![share(2, &[3], 100), share(3, &[2], 100)];
        assert_eq!(
            severities::<Blocking>(&observed(circle)),
            [],
            "the server resolves it"
        );
        let behind_a_root = vec![root(1, "active"), share(2, &[1, 3], 100), share(3, &[2], 100)];
        assert_eq!(claim_of(behind_a_root).evidence["waiting_sessions"], json!(2));
    }

    #[test]
    fn roots_that_are_the_same_are_one_finding_and_others_are_not() {
        let other = session(3, "active", 400, |session| session.application = "report".into());
        let sessions = vec![
            root(1, "active"),
            root(2, "active"),
            other,
            share(4, &[1, 2, 3], 70),
            share(5, &[2], 70),
        ];
        let found = claims::<Blocking>(&observed(sessions)).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|claim| {
                (
                    claim.subject[1].as_str(),
                    &claim.evidence["process"],
                    &claim.evidence["roots"],
                )
            })
            .collect();
        assert_eq!(
            told,
            [("shop", &json!(2), &json!(2)), ("report", &json!(3), &json!(1))]
        );
    }

    #[test]
    fn a_root_that_is_to_be_left_alone_stands_for_no_other() {
        let mut marked = root(1, "active");
        let mut text = crate::sql::identify("SELECT 1 FROM a");
        text.text.push_str(" /* pgadvisor:ignore activity.blocking */");
        marked.statement = Some(text.into());
        let sessions = vec![
            marked,
            root(2, "active"),
            share(3, &[1], 400),
            share(4, &[1], 400),
            share(5, &[2], 400),
        ];
        let found = claims::<Blocking>(&observed(sessions)).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|claim| (&claim.evidence["process"], &claim.evidence["roots"]))
            .collect();
        assert_eq!(told, [(&json!(1), &json!(1)), (&json!(2), &json!(1))]);
    }

    #[test]
    fn a_writer_is_never_ended_first() {
        let apply = |state: &str, command: &str, mode: &str| {
            let mut root = root(1, state);
            root.command = command.into();
            let sessions = vec![root, waiter(2, &[1], mode, 70), share(3, &[2], 65)];
            let remedy = claim_of(sessions).remedy;
            (remedy.apply_sql.join(";"), remedy.caveats.join(" "))
        };
        let (none, caveats) = apply("active", "UPDATE", "ShareLock");
        assert_eq!(none, "");
        assert!(caveats.starts_with("Wait for it first"));
        let (relief, caveats) = apply("active", "ALTER TABLE", "AccessExclusiveLock");
        assert_eq!(relief, "SELECT pg_catalog.pg_cancel_backend(2)");
        assert!(caveats.starts_with("Quickest") && caveats.contains("with 1 behind it"));
        assert_eq!(
            apply("active", "SELECT", "ShareLock").0,
            "SELECT pg_catalog.pg_cancel_backend(1)"
        );
        assert_eq!(
            apply("idle in transaction", "UPDATE", "ShareLock").0,
            "SELECT pg_catalog.pg_terminate_backend(1)"
        );
        assert!(apply("idle", "", "ShareLock").1.contains("advisory lock"));
    }

    #[test]
    fn a_migration_is_named_and_is_critical_later() {
        let judged = |state: &str, seconds: i64| {
            let mut root = root(1, state);
            root.command = "ALTER TABLE".into();
            let queue = vec![
                root,
                waiter(2, &[1], "AccessExclusiveLock", seconds),
                share(3, &[2], 10),
            ];
            claim_of(queue)
        };
        let migration = judged("active", 899);
        assert_eq!(migration.severity, Severity::Warning);
        assert!(
            migration
                .explanation
                .contains("It changes the schema (ALTER TABLE), as a migration does")
        );
        assert!(
            migration
                .guards
                .contains(&"migrations: it is one, as it executes ALTER TABLE".to_owned())
        );
        assert_eq!(judged("active", 900).severity, Severity::Critical);
        let forgotten = judged("idle in transaction", 60);
        assert_eq!(forgotten.severity, Severity::Critical, "nothing goes on");
        let mut unseen = root(1, "disabled");
        unseen.command.clear();
        let unseen = claim_of(vec![unseen, share(2, &[1], 70)]);
        assert_eq!(unseen.confidence.level, ConfidenceLevel::Estimated);
        assert!(
            unseen.explanation.contains("What it does is not seen") && unseen.remedy.apply_sql.is_empty()
        );
    }

    #[test]
    fn who_is_not_to_blame() {
        let mut autovacuum = root(1, "active");
        autovacuum.backend_type = "autovacuum worker".into();
        let claim = claim_of(vec![
            autovacuum,
            waiter(2, &[1], "AccessExclusiveLock", 400),
            share(3, &[2], 400),
        ]);
        assert_eq!(claim.severity, Severity::Warning);
        assert_eq!(claim.remedy.apply_sql, ["SELECT pg_catalog.pg_cancel_backend(2)"]);
        let mut leader = share(2, &[1], 9000);
        leader.awaited.as_mut().unwrap().kind = "advisory".into();
        assert_eq!(claim_of(vec![root(1, "active"), leader]).severity, Severity::Info);
        let mut ours = root(1, "active");
        ours.application = "pgadvisor".into();
        assert_eq!(
            severities::<Blocking>(&observed(vec![ours, share(2, &[1], 400)])),
            []
        );
    }

    #[test]
    fn a_prepared_transaction_is_named_where_it_can_only_be_one() {
        let judged = |gids: &[(&str, &str)]| {
            let mut observed = observed(vec![share(2, &[0], 70)]);
            let prepared = gids.iter().map(|(gid, database)| PreparedTransaction {
                gid: (*gid).to_owned(),
                database: (*database).to_owned(),
                ..PreparedTransaction::default()
            });
            observed.prepared_transactions = Ok(prepared.collect());
            claims::<Blocking>(&observed).unwrap().remove(0)
        };
        let only = judged(&[("one", "app"), ("elsewhere", "other")]);
        assert_eq!(only.remedy.apply_sql, ["ROLLBACK PREPARED 'one'"]);
        assert_eq!(only.object.unwrap().name, "one");
        let several = judged(&[("one", "app"), ("two", "app")]);
        assert_eq!(several.remedy.apply_sql.len(), 0);
        assert!(several.explanation.contains("one, two"));
        assert_eq!(several.confidence.level, ConfidenceLevel::Estimated);
        assert_eq!(
            only.subject, several.subject,
            "what is read of it does not change what it is"
        );
    }

    #[test]
    fn what_is_not_told_is_said() {
        let mut timeless = share(2, &[1], 0);
        timeless.awaited = None;
        let claim = claim_of(vec![root(1, "active"), timeless]);
        assert_eq!(
            (claim.severity, claim.confidence.level),
            (Severity::Critical, ConfidenceLevel::Estimated)
        );
        assert_eq!(claim.subject[2], "");
        let gone = found::<Blocking>(&observed(vec![share(2, &[1], 400)])).unwrap();
        assert_eq!(gone.claims.len(), 0);
        assert!(gone.untold.unwrap().contains("had ended"));
        let mut hidden = observed(vec![]);
        hidden.server.sees_all_sessions = false;
        assert!(claims::<Blocking>(&hidden).is_err());
    }
}

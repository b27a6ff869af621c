//! What a reader should know of the login that advice was worked out with: what it may not read, prove or switch off.

use super::NAMED;
use crate::index_advisor::gate::Gate;
use crate::index_advisor::workload::Captured;
use crate::model::own_planning::OwnScans;
use crate::model::remedy::{Statement, qualified};
use crate::postgres::Plan;

/// How one login that reads what was captured and another that plans it are used together: neither is enough alone.
const BY_TWO_LOGINS: &str = "`pgadvisor setup` prints a login that reads what was captured, and one that plans it and may only \
     read tables: give them as dsn and planner_dsn of a [[servers]] in a configuration file, and run `pgadvisor advise` without a \
     URL (--config FILE, --server NAME)";

/// What of a captured workload is not advised, and why. `plans`: the login that reads it is the one that plans, too.
pub fn about_the_captured(captured: &Captured, login: &str, plans: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let share = 100.0 * captured.left_out_ratio;
    let readable = captured.all - captured.hidden.min(captured.all);
    if readable > captured.statements.len() {
        notes.push(format!(
            "the {} statements that took most time are advised, of {} that pg_stat_statements holds; the others took \
             {share:.1} % of the time. --workload takes a file of more",
            captured.statements.len(),
            captured.all
        ));
    }
    if captured.hidden > 0 {
        let grant = Statement::GrantRole {
            role: "pg_read_all_stats",
            to: login.to_owned(),
        };
        let remedy = match plans {
            true => format!("{BY_TWO_LOGINS}; or {} mends it", grant.sql()),
            false => format!("{} mends it", grant.sql()),
        };
        notes.push(format!(
            "{} statements of other roles may not be read by {login}, so that they are not advised: {remedy}",
            captured.hidden
        ));
    }
    notes
}

/// Where what a standby lacks is built, and what is not known there.
const ON_A_STANDBY: &str = "this is a standby: run on its primary what is advised, from where it comes here by replication. \
     What the primary's own statements need, and what its writes would pay, is not seen here, so drop nothing for it";

/// What a login that is no superuser may not plan. `reads`: it is the one that reads what was captured, too.
pub fn about_what_may_be_planned(login: &str, reads: bool) -> String {
    let remedy = match reads {
        true => BY_TWO_LOGINS,
        false => "`pgadvisor setup` prints what the login that plans needs in each database",
    };
    format!(
        "planned as {login}: a statement about a table that this login may not read is not planned, and says so; {remedy}"
    )
}

/// What the login is and where it plans, and what a separate planner would add.
pub fn about_the_login(plan: &Plan, gate: &Gate, login: &str) -> Vec<String> {
    let mut notes = Vec::new();
    if plan.is_standby {
        notes.push(ON_A_STANDBY.to_owned());
    }
    if gate.planner_is_powerful() {
        notes.push(format!(
            "{login} is a superuser or as good as one, so only code of superusers is planned through, whomever else you trust. \
             Without one: {BY_TWO_LOGINS}"
        ));
    }
    let unknown = gate.unknown_owners();
    if !unknown.is_empty() {
        notes.push(format!(
            "no role is known here by the name {}, which trusted_owners or --trust-owner gives: nobody is trusted for it",
            unknown.join(", nor ")
        ));
    }
    if !plan.leaves_counters {
        notes.push(format!(
            "{login} may not switch off track_counts: planning counts as a scan of some indexes. \
             ALTER ROLE … SET track_counts = off mends it"
        ));
    }
    if !plan.leaves_statements {
        notes.push(format!(
            "{login} may not switch off pg_stat_statements.track: what is planned becomes an entry there, so that of very many \
             texts some are not planned. ALTER ROLE … SET pg_stat_statements.track = none mends it"
        ));
    }
    if let Some(schema) = plan.refused_hypopg() {
        notes.push(format!(
            "{login} may not use the schema that HypoPG is in, so nothing could be proven: {} mends it",
            schema.grant_usage_to(login)
        ));
    } else if plan.hypothetical().is_none() {
        let create = Statement::CreateExtension { name: "hypopg" }.sql();
        notes.push(format!(
            "HypoPG is not installed here, so nothing could be proven: install its package (on a managed service see \
             whether it is offered; `pgadvisor setup` tells what each wants before) and run {create}"
        ));
    }
    notes
}

/// What planning counted as use of indexes, where its login may not switch that off.
pub fn about_what_was_counted(plan: &Plan) -> Vec<String> {
    let scans: Vec<OwnScans> = plan
        .traces()
        .take_scans()
        .into_iter()
        .map(|(_, own)| own)
        .collect();
    counted(&scans, plan.traces().unread())
}

fn counted(scans: &[OwnScans], unread: u64) -> Vec<String> {
    let all = scans.iter().fold(0_i64, |all, own| all.saturating_add(own.scans));
    let named = scans.iter().take(NAMED);
    let mut names: Vec<String> = named.map(|own| qualified(&own.schema, &own.name)).collect();
    if scans.len() > NAMED {
        names.push("…".to_owned());
    }
    let counted = (!scans.is_empty()).then(|| {
        format!(
            "planning counted as {all} scans of {} indexes, which look used by it: {}",
            scans.len(),
            names.join(", ")
        )
    });
    let unknown = (unread > 0).then(|| {
        format!(
            "what {unread} plannings counted is not known, since their session was lost or the catalog is too large, or not to \
             be read"
        )
    });
    counted.into_iter().chain(unknown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::own_planning::testing::own_scans;
    use chrono::DateTime;

    #[test]
    fn who_reads_and_plans_by_one_login_is_told_how_two_are_given() {
        let captured = Captured {
            hidden: 3,
            all: 3,
            ..Captured::default()
        };
        let told = |plans: bool| about_the_captured(&captured, "pgadvisor_planner", plans).concat();
        for note in [told(true), about_what_may_be_planned("pgadvisor", true)] {
            assert!(note.contains("dsn and planner_dsn of a [[servers]]"), "{note}");
        }
        for note in [told(false), about_what_may_be_planned("pgadvisor_planner", false)] {
            assert!(!note.contains("planner_dsn"), "{note}");
        }
        assert!(told(false).contains("GRANT pg_read_all_stats TO pgadvisor_planner mends it"));
    }

    #[test]
    fn what_planning_counted_is_told_with_its_indexes() {
        let own = |number: u32| OwnScans {
            name: format!("i{number}"),
            ..own_scans(number, 2, DateTime::UNIX_EPOCH)
        };
        assert!(counted(&[], 0).is_empty());
        let told = counted(&(0..7).map(own).collect::<Vec<_>>(), 1);
        let [scans, unknown] = &told[..] else {
            panic!("{told:?}")
        };
        assert!(scans.contains("14 scans of 7 indexes"), "{scans}");
        assert!(scans.contains("i4, …") && !scans.contains("i5"), "{scans}");
        assert!(unknown.contains("1 plannings"), "{unknown}");
    }
}

use super::*;
use crate::model::advice::WorkloadTotals;
use crate::model::finding::{Confidence, ConfidenceLevel};
use crate::model::plan::PlanLine;

/// What turns a line, ends a comment, and would then run.
const HOSTILE: &str = "i\u{202e}\n; DROP TABLE t; --\r\"";

fn index() -> AdvisedIndex {
    let create = "CREATE INDEX CONCURRENTLY t_a_idx ON public.t USING btree (a)".to_owned();
    AdvisedIndex {
        definition: create.clone(),
        name: "t_a_idx".to_owned(),
        apply_sql: vec![create],
        undo_sql: vec!["DROP INDEX CONCURRENTLY public.t_a_idx".to_owned()],
        schema: "public".to_owned(),
        table: "t".to_owned(),
        partition_of: None,
        method: "btree".to_owned(),
        columns: vec!["a".to_owned()],
        include: Vec::new(),
        predicate: None,
        expressions: Vec::new(),
        size_bytes: Some(1024.0 * 1024.0),
        build_seconds: Some(4.0),
        assumed_build_seconds: None,
        write_cost_per_day: Some(12.0),
        cost_before: Some(5_000.0),
        cost_after: Some(1_000.0),
        statements: Vec::new(),
        confidence: Confidence {
            level: ConfidenceLevel::Verified,
            reason: "the planner chose it".to_owned(),
        },
        supersedes: Vec::new(),
        supersedes_unproven: None,
        supersedes_made_again: Vec::new(),
    }
}

fn line(depth: usize, node: &str) -> PlanLine {
    PlanLine {
        depth,
        node: node.to_owned(),
        cost: 1_234.0,
        own_cost: 1.0,
        rows: 20_000.0,
    }
}

/// One that takes the index, and had and has a plan of one node.
fn improved(name: &str, before: f64, after: f64) -> AdvisedStatement {
    AdvisedStatement {
        statement_id: "0123456789abcdef".to_owned(),
        name: Some(name.to_owned()),
        text: "SELECT b FROM t WHERE a = $1".to_owned(),
        weight: 1.0,
        cost_before: Some(before),
        cost_after: Some(after),
        uses: vec![index().definition],
        status: StatementStatus::Improved,
        reason: None,
        values: Vec::new(),
        may_have_later_page: false,
        plan_before: vec![line(0, "Seq Scan on t")],
        plan_after: vec![line(0, "Index Scan using t_a_idx on t")],
    }
}

/// One that takes none, and has the plan that it had.
fn without(name: &str, after: f64, reason: &str) -> AdvisedStatement {
    AdvisedStatement {
        uses: Vec::new(),
        status: StatementStatus::Unchanged,
        reason: Some(reason.to_owned()),
        plan_before: Vec::new(),
        plan_after: Vec::new(),
        ..improved(name, 100.0, after)
    }
}

fn report(index: AdvisedIndex, statements: Vec<AdvisedStatement>) -> AdviceReport {
    AdviceReport {
        schema_version: 1,
        database: "shop".to_owned(),
        indexes: vec![index],
        workload: WorkloadTotals {
            window_seconds: Some(2.0 * 86_400.0),
            what_if_calls: 3,
            ..WorkloadTotals::default()
        },
        statements,
        notes: Vec::new(),
    }
}

fn told(index: AdvisedIndex, statements: Vec<AdvisedStatement>) -> String {
    let text = text(&report(index, statements), Style::Plain);
    // what stands between digits is no space that breaks
    text.replace('\u{a0}', " ")
}

#[test]
fn an_index_says_what_it_costs() {
    let text = told(index(), vec![improved("q", 1_000.0, 10.0)]);
    for part in [
        "\n1. t_a_idx on public.t, 1.0 MiB, saves 4 000 of the planner's cost units\n",
        "\n  build: about 4.0 s; up to 2.0 MiB of disk, half to sort\n",
        "\n  writes pay about 12.00 a day for it, its reads save 2 000 a day (planner's units)\n",
        "\n  for\n    q: 1 000 → 10.00\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(
        !text.contains("superfluous") && !text.contains("Dearer"),
        "{text}"
    );
}

#[test]
fn what_is_not_known_is_said() {
    let assumed = AdvisedIndex {
        build_seconds: None,
        assumed_build_seconds: Some(12.0),
        ..index()
    };
    assert_eq!(
        price::build(&assumed),
        "build: about 12 s on an ordinary machine (not measured); up to 2.0 MiB of disk, half to sort"
    );
    let inverted = AdvisedIndex {
        build_seconds: None,
        method: "gin".to_owned(),
        ..index()
    };
    assert_eq!(
        price::build(&inverted),
        "build: time unknown (only of b-trees it can be told); 1.0 MiB of disk"
    );
    let untimed = AdvisedIndex {
        build_seconds: None,
        ..index()
    };
    assert_eq!(
        price::build(&untimed),
        "build: time unknown; up to 2.0 MiB of disk, half to sort"
    );
    let guessed = AdvisedIndex {
        build_seconds: None,
        size_bytes: None,
        write_cost_per_day: None,
        cost_before: None,
        cost_after: None,
        ..index()
    };
    assert_eq!(
        price::build(&guessed),
        "build: time unknown, as its size is; disk unknown"
    );
    let unpriced = AdvisedIndex {
        write_cost_per_day: None,
        ..index()
    };
    let free = AdvisedIndex {
        write_cost_per_day: Some(0.0),
        ..index()
    };
    for (index, window_seconds, part) in [
        (&guessed, None, "is not known: the planner could not be asked"),
        (
            &unpriced,
            None,
            "for it in a day is not known: how often these statements run was not measured; what these statements write",
        ),
        (&unpriced, Some(1200.0), "is not known: 20 min of statistics"),
        (
            &free,
            Some(86_400.0),
            "no write of these statements pays for it, its",
        ),
    ] {
        let totals = WorkloadTotals {
            window_seconds,
            ..WorkloadTotals::default()
        };
        let words = price::writes(index, &totals);
        assert!(words.contains(part), "{part:?} is not in {words:?}");
    }
}

#[test]
fn plans_are_those_of_the_statements_that_gain_most() {
    let statements =
        (1..=30).map(|number| improved(&format!("q{number}"), 1_000.0 * f64::from(number), 10.0));
    let text = told(index(), statements.collect());
    let (_, plans) = text.split_once("\nPlans\n").unwrap();
    assert!(
        plans.starts_with(
            "  q30: 30 000 → 10.00\n    now\n      Seq Scan on t  cost 1 234, 20 000 rows\n    then\n      Index Scan"
        ),
        "{plans}"
    );
    assert_eq!(plans.matches("    now\n").count(), 5, "{plans}");
    assert!(
        plans.contains("\n  … 25 more, which gain less: --format json has all plans\n"),
        "{plans}"
    );
    assert!(
        text.contains("\n    … 20 more, which gain less: --format json has all\n"),
        "{text}"
    );
    assert!(!text.contains("q20:") && text.contains("    q21: "), "{text}");
    let few = told(index(), vec![improved("q", 1_000.0, 10.0)]);
    assert!(!few.contains("more"), "{few}");
}

#[test]
fn a_plan_of_many_nodes_with_long_names_stays_narrow() {
    let deep = (0..40).map(|depth| line(depth, &format!("Nested Loop on {}", "n".repeat(200))));
    let statement = AdvisedStatement {
        plan_before: deep.collect(),
        ..improved("q", 1_000.0, 10.0)
    };
    let text = told(index(), vec![statement]);
    let (_, plans) = text.split_once("\nPlans\n").unwrap();
    assert!(plans.lines().all(|line| line.chars().count() <= 100), "{plans}");
    assert_eq!(plans.matches("Nested Loop on nnn").count(), 12, "{plans}");
    assert!(plans.contains("\n      … 28 more lines\n    then\n"), "{plans}");
}

#[test]
fn a_headline_does_not_judge_what_was_not_planned() {
    let refused = |reason: &str| AdvisedStatement {
        status: StatementStatus::NotPlanned,
        ..without("q", 100.0, reason)
    };
    let told = |statements: Vec<AdvisedStatement>| {
        let report = AdviceReport {
            indexes: Vec::new(),
            ..report(index(), statements)
        };
        headline(&report)
    };
    let of_nothing = told(Vec::new());
    assert!(
        of_nothing.starts_with("shop: there was no statement to plan (0 of "),
        "{of_nothing}"
    );
    let none = told(vec![
        refused("not planned: t is no table"),
        refused("cannot parse"),
    ]);
    assert!(
        none.starts_with("shop: no statement could be planned (0 of "),
        "{none}"
    );
    for statements in [
        vec![refused("cannot parse"), without("p", 100.0, "it is cheap")],
        vec![refused(crate::model::advice::ONLY_INSERTS)],
    ] {
        let told = told(statements);
        assert!(
            told.starts_with("shop: no index is known to be worth its price ("),
            "{told}"
        );
    }
}

#[test]
fn no_statement_is_made_worse_unseen() {
    let not_worth = "it is not worth its price";
    let mut worst = without("worst", 120.0, not_worth);
    worst.weight = 20.0;
    let statements = vec![
        without("same", 100.5, not_worth),
        without("worse", 102.0, not_worth),
        worst,
        improved("better", 1_000.0, 10.0),
    ];
    let text = told(index(), statements);
    let (_, dearer) = text.split_once("\nDearer\n").unwrap();
    assert_eq!(
        dearer,
        "  worst: 100 → 120, × 20\n  worse: 100 → 102\n\nNo index for\n  same: it is not worth its price\n"
    );
}

#[test]
fn statements_without_an_index_are_told_by_reason() {
    let of_reason = |count: usize, reason: &'static str| {
        (0..count).map(move |number| without(&format!("q{number}"), 100.0, reason))
    };
    let statements = of_reason(40, "too small").chain(of_reason(1, "never analyzed"));
    let text = told(index(), statements.collect());
    let (_, without) = text.split_once("\nNo index for\n").unwrap();
    assert_eq!(
        without,
        "  too small\n    q0\n    q1\n    q2\n    q3\n    q4\n    … 35 more: --format json has all\n  q0: never analyzed\n"
    );
}

#[test]
fn a_statement_that_has_an_index_may_lack_another() {
    let improved = AdvisedStatement {
        reason: Some("HypoPG sees no other".to_owned()),
        ..improved("has", 1_000.0, 10.0)
    };
    let text = told(index(), vec![without("lacks", 100.0, "too small"), improved]);
    let (_, without) = text.split_once("\nNo index for\n").unwrap();
    assert_eq!(
        without,
        "  lacks: too small\n\nPerhaps another index for\n  has: HypoPG sees no other\n"
    );
}

#[test]
fn a_label_holds_no_constant() {
    let labelled = |text: &str| {
        let statement = AdvisedStatement {
            name: None,
            text: text.to_owned(),
            ..improved("", 1.0, 1.0)
        };
        label(&statement)
    };
    for (text, expected) in [
        ("SELECT b FROM t WHERE a = $1", "SELECT b FROM t WHERE a = $1"),
        (
            "SELECT b FROM t WHERE a = 'secret'",
            "SELECT b FROM t WHERE a = $1",
        ),
        ("ALTER ROLE r PASSWORD 'secret'", "ALTER ROLE …"),
        (
            "SET lock_timeout = '2s'; ALTER TABLE t ADD b text DEFAULT 'secret'",
            "several statements",
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
            "CREATE FUNCTION …",
        ),
        (
            "DECLARE c CURSOR FOR SELECT b FROM t WHERE a = 'secret'",
            "SELECT b FROM t WHERE a = $1",
        ),
    ] {
        assert_eq!(labelled(text), format!("0123456789abcdef ({expected})"));
    }
    assert!(!labelled("SELEC 'secret'").contains("secret"));
}

#[test]
fn drops_are_comments_after_what_makes_them_possible() {
    let index = AdvisedIndex {
        supersedes: vec!["DROP INDEX CONCURRENTLY public.t_old".to_owned()],
        ..index()
    };
    let script = sql(&report(index.clone(), Vec::new()));
    let (_, of_index) = script.split_once("\n\n").unwrap();
    assert_eq!(
        of_index.replace('\u{a0}', " "),
        "-- 1.0 MiB, verified: the planner chose it\n\
         -- build: about 4.0 s; up to 2.0 MiB of disk, half to sort\n\
         -- writes pay about 12.00 a day for it, its reads save 2 000 a day (planner's units)\n\
         -- undo: DROP INDEX CONCURRENTLY public.t_a_idx;\n\
         CREATE INDEX CONCURRENTLY t_a_idx ON public.t USING btree (a);\n\
         -- not yet: superfluous once t_a_idx is there and seen in use (idx_scan in pg_stat_user_indexes)\n\
         -- DROP INDEX CONCURRENTLY public.t_old;\n"
    );
    let text = told(index, Vec::new());
    assert!(
        text.contains(
            "  then superfluous, once this one is seen in use\n    DROP INDEX CONCURRENTLY public.t_old;\n"
        ),
        "{text}"
    );
}

#[test]
fn a_drop_waits_for_all_indexes_of_its_table_up_to_it() {
    let of = |name: &str, table: &str| AdvisedIndex {
        name: name.to_owned(),
        table: table.to_owned(),
        supersedes: vec![format!("DROP INDEX CONCURRENTLY public.{table}_old")],
        ..index()
    };
    let mut report = report(of("t_a_b_idx", "t"), Vec::new());
    report.indexes[0].supersedes.clear();
    report.indexes.extend([of("u_a_idx", "u"), of("t_a_c_idx", "t")]);
    let script = sql(&report);
    for part in [
        "superfluous once u_a_idx is there and seen in use (",
        "superfluous once t_a_b_idx and t_a_c_idx are there and seen in use (",
    ] {
        assert!(script.contains(part), "{part}: {script}");
    }
    let text = text(&report, Style::Plain);
    for part in [
        "  then superfluous, once this one is seen in use\n    DROP INDEX CONCURRENTLY public.u_old;\n",
        "  then superfluous, once this one and t_a_b_idx are seen in use\n    DROP INDEX CONCURRENTLY public.t_old;\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_script_tells_what_was_not_planned() {
    let mut report = report(index(), Vec::new());
    assert!(!sql(&report).contains("not planned:"));
    let ids = |count: usize| {
        (0..count)
            .map(|number| format!("id{number}"))
            .collect::<Vec<String>>()
    };
    report.workload.statements = 20;
    report.workload.not_planned = [("a reason", 1), ("of most", 7)]
        .map(|(why, count)| (why.to_owned(), ids(count)))
        .into();
    let script = sql(&report);
    let (_, told) = script.split_once(";\n\n").unwrap();
    assert_eq!(
        told,
        "-- not planned: 8 of 20 statements\n\
         -- 7: of most (id0, id1, id2, id3, id4, … 2 more)\n\
         -- 1: a reason (id0)\n"
    );
}

#[test]
fn hostile_names_stay_in_their_lines() {
    let quoted = crate::model::remedy::quote_identifier(HOSTILE);
    let create = format!("CREATE INDEX CONCURRENTLY {quoted} ON {quoted}.{quoted} USING btree ({quoted})");
    let mut index = AdvisedIndex {
        definition: create.clone(),
        name: HOSTILE.to_owned(),
        apply_sql: vec![create.clone()],
        undo_sql: vec![format!("DROP INDEX CONCURRENTLY {quoted}.{quoted}")],
        schema: HOSTILE.to_owned(),
        table: HOSTILE.to_owned(),
        supersedes: vec![format!("DROP INDEX CONCURRENTLY {quoted}.{quoted}")],
        ..index()
    };
    index.confidence.reason = HOSTILE.to_owned();
    let taking = AdvisedStatement {
        uses: vec![create],
        plan_after: vec![line(0, &format!("Index Scan using {HOSTILE} on {HOSTILE}"))],
        ..improved(HOSTILE, 1_000.0, 10.0)
    };
    let mut report = report(
        index,
        vec![
            taking,
            without(HOSTILE, 200.0, HOSTILE),
            without("q", 100.0, HOSTILE),
        ],
    );
    report.database = HOSTILE.to_owned();
    report.notes = vec![HOSTILE.to_owned()];
    report.workload.not_planned = [(HOSTILE.to_owned(), vec![HOSTILE.to_owned()])].into();
    let script = sql(&report);
    let is_wrong = |c| super::super::is_hidden(c) && c != '\n';
    assert!(!script.contains(is_wrong), "{script}");
    let runs: Vec<&str> = script
        .lines()
        .filter(|line| !line.starts_with("-- ") && !line.is_empty())
        .collect();
    assert_eq!(runs.len(), 1, "{script}");
    assert!(runs[0].starts_with("CREATE INDEX CONCURRENTLY U&\""), "{script}");
    assert_eq!(parser::statement_count(&script).unwrap(), 1, "{script}");
    // what is taken out of its comment names the very index
    let drops: Vec<&str> = script
        .lines()
        .filter_map(|line| line.strip_prefix("-- DROP"))
        .collect();
    assert_eq!(drops.len(), 1, "{script}");
    assert_eq!(
        parser::dropped_names(&format!("DROP{}", drops[0])).unwrap(),
        vec![vec![HOSTILE.to_owned(), HOSTILE.to_owned()]]
    );
    let text = text(&report, Style::Plain);
    assert!(!text.contains(is_wrong), "{text}");
    assert!(
        !text.lines().any(|line| line.trim_start().starts_with("; DROP")),
        "{text}"
    );
}

//! What pages and the API both ask of the store.

use std::collections::HashMap;

use axum::http::Uri;
use chrono::{TimeDelta, Utc};

use super::Context;
use super::pages::activity::ActivityPage;
use super::pages::changes;
use super::pages::coverage::{About, Coverage, waiting_in};
use super::pages::findings::{Facets, FilterView};
use super::pages::overview::OverviewPage;
use super::pages::range::Range;
use super::pages::refresh::RefreshPage;
use super::pages::refreshes::{RefreshesPage, RunLine, ViewLine};
use super::pages::rules::{RuleView, Skip};
use super::pages::statement::{NamedTable, StatementPage};
use super::pages::statements::StatementsPage;
use super::pages::status::StatusPage;
use super::pages::status_facts::{Advisor, Limit, StatusFacts};
use super::pages::waits::{self, WaitsView};
use super::places::{known_place, known_server};
use super::plans::{statement_plans, without_advice};
use super::problem::Problem;
use super::query::{self, Parameters};
use super::relations::ask::tables_named;
use super::thresholds;
use crate::limits;
use crate::model::finding::{Finding, Severity, State};
use crate::model::judgement::Verdict;
use crate::model::refresh::{Run, ViewName};
use crate::model::status::ServerStatus;
use crate::rules::{self, RuleKind};
use crate::store::{FindingFilter, Sort, Store};

/// The words of a list's address.
#[derive(Clone, Debug, Default, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// info, warning or critical; several with commas
    pub severity: Option<String>,
    /// a rule, or a pattern as index.*
    pub rule: Option<String>,
    /// the server's configured name
    pub server: Option<String>,
    /// the database
    pub database: Option<String>,
    /// the schema of what it is about, exactly
    pub schema: Option<String>,
    /// a table, exactly: what is about it, its indexes, columns and constraints
    pub table: Option<String>,
    /// open, acknowledged, snoozed, resolved, false_positive, or all; several with commas
    pub state: Option<String>,
    /// text in title, object, rule or database
    pub q: Option<String>,
    /// impact, newest or last_seen
    pub sort: Option<String>,
    /// at most so many, up to 1000
    pub limit: Option<String>,
    /// where the page before ended
    pub cursor: Option<String>,
}

const EVERY_STATE: [State; 5] = [
    State::Open,
    State::Acknowledged,
    State::Snoozed,
    State::Resolved,
    State::FalsePositive,
];

impl ListQuery {
    /// The names of the parameters above.
    pub const NAMES: [&'static str; 11] = [
        "severity", "rule", "server", "database", "schema", "table", "state", "q", "sort", "limit", "cursor",
    ];

    /// Reads the address of a list.
    pub fn read(uri: &Uri) -> Result<Self, Problem> {
        let given = Parameters::read(uri, &Self::NAMES)?;
        Ok(Self {
            severity: given.get("severity"),
            rule: given.get("rule"),
            server: given.get("server"),
            database: given.get("database"),
            schema: given.get("schema"),
            table: given.get("table"),
            state: given.get("state"),
            q: given.get("q"),
            sort: given.get("sort"),
            limit: given.get("limit"),
            cursor: given.get("cursor"),
        })
    }

    /// The filter, or what is wrong with the address.
    pub fn filter(&self) -> Result<FindingFilter, Problem> {
        let words = |text: &Option<String>| -> Vec<String> {
            text.iter()
                .flat_map(|text| text.split(','))
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let mut severities = Vec::new();
        for word in words(&self.severity) {
            let known = [Severity::Info, Severity::Warning, Severity::Critical];
            let found = known.into_iter().find(|severity| severity.word() == word);
            severities.push(
                found.ok_or_else(|| {
                    Problem::new(400, format!("severity={word}: info, warning or critical"))
                })?,
            );
        }
        let mut states = Vec::new();
        for word in words(&self.state) {
            match (
                word.as_str(),
                EVERY_STATE.into_iter().find(|state| state.word() == word),
            ) {
                ("all", _) => states.extend(EVERY_STATE),
                (_, Some(state)) => states.push(state),
                _ => {
                    return Err(Problem::new(
                        400,
                        format!("state={word}: open, acknowledged, snoozed, resolved, false_positive or all"),
                    ));
                }
            }
        }
        let sort = match self.sort.as_deref().unwrap_or("") {
            "" | "impact" => Sort::Impact,
            "newest" => Sort::Newest,
            "last_seen" => Sort::LastSeen,
            word => {
                return Err(Problem::new(
                    400,
                    format!("sort={word}: impact, newest or last_seen"),
                ));
            }
        };
        let limit = query::limit(self.limit.as_deref())?;
        Ok(FindingFilter {
            severities,
            states,
            sort,
            limit,
            rule: self.rule.clone(),
            server: self.server.clone(),
            database: self.database.clone(),
            text: self.q.clone(),
            about: None,
            schema: self.schema.clone(),
            table: self.table.clone(),
            cursor: self.cursor.clone(),
        })
    }

    /// The same for the page.
    pub fn view(&self) -> FilterView {
        FilterView {
            severity: self.severity.clone(),
            rule: self.rule.clone(),
            server: self.server.clone(),
            database: self.database.clone(),
            schema: self.schema.clone(),
            table: self.table.clone(),
            state: self.state.clone(),
            q: self.q.clone(),
            sort: self.sort.clone(),
        }
    }
}

/// Asks the store on a thread that may wait.
pub async fn ask<T: Send + 'static>(
    store: &Store,
    question: impl FnOnce(&Store) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let store = store.clone();
    match tokio::task::spawn_blocking(move || question(&store)).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(%error, "a question to the store failed");
            Err(Problem::new(
                500,
                "the advisor could not answer; the cause is in the log",
            ))
        }
    }
}

/// The servers that are watched, also those that no look has come back from.
pub fn servers(context: &Context, store: &Store) -> Result<Vec<ServerStatus>, Problem> {
    let mut servers = store.servers()?;
    for configured in &context.configuration.servers {
        if !servers.iter().any(|known| known.name == configured.name) {
            servers.push(ServerStatus::unseen(&configured.name));
        }
    }
    Ok(servers)
}

/// What could not be seen or judged.
pub fn coverage(context: &Context, store: &Store) -> Result<Coverage, Problem> {
    coverage_of(store, &servers(context, store)?)
}

/// The same of these servers.
fn coverage_of(store: &Store, servers: &[ServerStatus]) -> Result<Coverage, Problem> {
    let mut told = Vec::new();
    for server in servers {
        told.push((server.name.clone(), store.rules_that_told(&server.name)?));
    }
    Ok(Coverage::of(servers, &store.rule_outcomes()?, &told))
}

/// The front page.
pub fn overview(context: &Context, store: &Store) -> Result<OverviewPage, Problem> {
    let now = Utc::now();
    let findings = store.digest()?;
    let servers = servers(context, store)?;
    let day = now - TimeDelta::hours(24);
    let mut loads = Vec::new();
    for server in &servers {
        loads.push((server.name.clone(), store.load(&server.name, day)?));
    }
    let events = store.events_since(day, limits::PAGE_ITEMS)?;
    let page = OverviewPage::build(
        now,
        &findings,
        &servers,
        &loads,
        &events,
        &store.gaps()?,
        coverage_of(store, &servers)?,
    );
    Ok(page.with_late(&store.looks()?, &view_lines(store)?))
}

/// What the list of findings can be narrowed to.
pub fn facets(store: &Store) -> Result<Facets, Problem> {
    let mut facets = Facets::default();
    let mut add = |list: fn(&mut Facets) -> &mut Vec<(String, usize)>, name: &str, count: u64| {
        let list = list(&mut facets);
        match list.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += count as usize,
            None => list.push((name.to_owned(), count as usize)),
        }
    };
    for row in store
        .counts()?
        .iter()
        .filter(|row| matches!(row.state, State::Open | State::Acknowledged))
    {
        add(|facets| &mut facets.rules, &row.rule, row.count);
        add(|facets| &mut facets.servers, &row.server, row.count);
    }
    for server in store.servers()? {
        for database in server.databases {
            add(|facets| &mut facets.databases, &database, 0);
        }
    }
    Ok(facets)
}

/// All rules, with what became of them.
pub fn rule_views(context: &Context, store: &Store) -> Result<Vec<RuleView>, Problem> {
    let mut open: HashMap<String, usize> = HashMap::new();
    for row in store
        .counts()?
        .iter()
        .filter(|row| matches!(row.state, State::Open | State::Acknowledged))
    {
        *open.entry(row.rule.clone()).or_default() += row.count as usize;
    }
    let opened: HashMap<String, u64> = store.rule_firings()?.into_iter().collect();
    let marked_false: HashMap<String, u64> = store.rule_false_positives()?.into_iter().collect();
    let outcomes = store.rule_outcomes()?;
    let settings = crate::engine::rule_settings(&context.configuration);
    let view = |rule: &RuleKind| {
        let in_force = thresholds::in_force(&context.configuration, rule, &settings);
        let mut view = RuleView::new(rule.id, &rule.manual(), in_force);
        view.overrides = thresholds::overrides(&context.configuration, rule, &settings);
        view.fired = open.get(rule.id).copied().unwrap_or(0);
        view.opened = opened.get(rule.id).copied().unwrap_or(0);
        view.marked_false = marked_false.get(rule.id).copied().unwrap_or(0);
        for (server, outcome) in outcomes.iter().filter(|(_, outcome)| outcome.rule == rule.id) {
            match &outcome.verdict {
                Verdict::Evaluated { .. } => view.evaluated += 1,
                Verdict::Skipped { reason, remedy_sql } => view.skipped.push(Skip {
                    server: server.clone(),
                    database: outcome.database.clone(),
                    reason: reason.clone(),
                    remedy_sql: remedy_sql.clone(),
                }),
                Verdict::Elsewhere { reason } => view.skipped.push(Skip {
                    server: server.clone(),
                    database: outcome.database.clone(),
                    reason: reason.clone(),
                    remedy_sql: None,
                }),
            }
            let own = outcome.own_untold();
            for own in own.filter(|own| matches!(own.verdict, Verdict::Skipped { .. })) {
                view.skipped.push(Skip {
                    server: server.clone(),
                    database: outcome.database.clone(),
                    reason: own.untold().unwrap_or_default(),
                    remedy_sql: own.verdict.remedy_sql().map(str::to_owned),
                });
            }
        }
        view
    };
    Ok(rules::all().iter().map(view).collect())
}

/// The advisor's own state.
pub fn status(context: &Context, store: &Store) -> Result<StatusPage, Problem> {
    let findings = store.counts()?.iter().map(|row| row.count).sum();
    let limits = limits::table().into_iter().map(|(name, value, why)| Limit {
        name,
        value,
        why: why.to_owned(),
    });
    let now = Utc::now();
    let mut audit = store.events_since(now - TimeDelta::days(30), limits::PAGE_ITEMS_MAXIMUM)?;
    audit.retain(|event| event.actor.is_some());
    audit.truncate(50);
    let facts = StatusFacts {
        advisor: Advisor {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: Some(context.started_at),
            store_path: context.configuration.store.path.display().to_string(),
            store_bytes: store.size_bytes()? as f64,
            findings,
            budget_ratio: context.configuration.budget.own_cost_ratio,
        },
        servers: servers(context, store)?,
        looks: store.looks()?,
        gaps: store.gaps()?,
        ignored: store.ignored()?,
        no_advice: without_advice(store)?,
        connections: Vec::new(),
        limits: limits.collect(),
        audit,
    };
    Ok(StatusPage::build(now, facts))
}

/// The views of all servers, each with its newest run.
pub fn view_lines(store: &Store) -> Result<Vec<ViewLine>, Problem> {
    let now = Utc::now();
    let newest: HashMap<(String, ViewName), Run> = store
        .newest_refresh_runs()?
        .into_iter()
        .map(|(server, run)| ((server, run.view.clone()), run))
        .collect();
    let line = |(server, status): (String, crate::model::refresh::ViewStatus)| {
        let last = newest.get(&(server.clone(), status.view.clone())).cloned();
        ViewLine::new(now, server, status, last)
    };
    Ok(store.view_statuses()?.into_iter().map(line).collect())
}

/// All materialized views that the refresher knows.
pub fn refreshes(context: &Context, store: &Store) -> Result<RefreshesPage, Problem> {
    let runs = store.refresh_runs(50)?.into_iter();
    let runs = runs.map(|(server, run)| RunLine { server, run }).collect();
    let is_configured = !context.configuration.refreshes.is_empty();
    Ok(RefreshesPage::build(
        Utc::now(),
        view_lines(store)?,
        runs,
        is_configured,
    ))
}

/// What goes on at a server, and what its sessions waited for and who held them up over a range.
pub fn activity(store: &Store, uri: &Uri, server: String) -> Result<ActivityPage, Problem> {
    let range = waits::range(&Parameters::read(uri, &["range"])?)?;
    let servers = known_server(store, &server)?;
    let activity = store.activity(&server)?;
    let now = Utc::now();
    let history = store.wait_history(&server, now - range.length(), now)?;
    let named = history.top.iter().filter(|(key, _)| !key.statement_id.is_empty());
    let named = named.map(|(key, _)| (key.database.as_str(), key.statement_id.as_str()));
    let texts = store.statement_texts(&server, &named.collect())?;
    let incidents = super::incidents::over(store, &server, range, now, limits::PAGE_ITEMS)?;
    let settings = store.settings(&server)?;
    let compute_query_id = settings.get("compute_query_id");
    let compute_query_id = compute_query_id.map(|setting| setting.value.as_str());
    let waits = WaitsView::of(history, &texts, compute_query_id);
    let over = (range, waits, incidents);
    Ok(ActivityPage::build(now, server, activity, over, servers))
}

/// The costliest statements of a database over a range.
pub fn statements(store: &Store, uri: &Uri, place: (String, String)) -> Result<StatementsPage, Problem> {
    let parameters = Parameters::read(uri, &["range", "limit"])?;
    let range = Range::of(&parameters)?;
    let limit = query::limit(parameters.get("limit").as_deref())?;
    let places = known_place(store, &place)?;
    let now = Utc::now();
    let (server, database) = (place.0.as_str(), place.1.as_str());
    let found = store.busiest_statements(server, Some(database), now - range.length(), now, limit)?;
    let ids: Vec<&str> = found.0.iter().map(|total| total.statement_id.as_str()).collect();
    let drawn_from = now - range.drawn().length();
    let times = store.statement_times(server, database, &ids, drawn_from, now)?;
    let told = store.rules_that_told(server)?;
    let waiting = waiting_in(
        &store.rule_outcomes()?,
        &told,
        (server, database),
        About::Everything,
    );
    let page = StatementsPage::build(now, place, range, found, places);
    Ok(page.with_times(times).with_waiting(waiting))
}

/// One statement over a range.
pub fn statement(
    store: &Store,
    uri: &Uri,
    which: (String, String, String),
) -> Result<StatementPage, Problem> {
    let range = Range::of(&Parameters::read(uri, &["range"])?)?;
    let now = Utc::now();
    let (server, database, id) = (&which.0, &which.1, &which.2);
    let from = now - range.length();
    let found = store.statement_history(server, database, id, from, now)?;
    let (text, history) = found.ok_or_else(|| {
        Problem::not_yet(
            "This statement is not known yet.",
            "What a statement does is known from the second look after it ended for the first time, if it is among those \
             that pg_stat_statements keeps. Come back in a moment, or see those that are known.",
        )
    })?;
    let tables = tables_named(store, (server, database), &text)?;
    let plans = statement_plans(store, (server, database), id)?;
    let filter = FindingFilter {
        server: Some(server.clone()),
        database: Some(database.clone()),
        text: Some(id.clone()),
        limit: limits::PAGE_ITEMS,
        ..FindingFilter::default()
    };
    let about = |finding: &Finding| {
        let object = finding.claim.object.as_ref();
        object.is_some_and(|object| object.name == *id)
    };
    let mut findings = store.findings(&filter)?.items;
    findings.retain(about);
    let naming = store.findings_naming((server, database), id, limits::PAGE_ITEMS)?;
    for finding in naming {
        if findings
            .iter()
            .all(|known| known.fingerprint != finding.fingerprint)
        {
            findings.push(finding);
        }
    }
    let known: Vec<(&str, &str)> = tables.iter().filter_map(NamedTable::known).collect();
    let made = store.indexes_made((server, database), &known, from, limits::PAGE_ITEMS)?;
    let mut changes = changes::of_statements(&store.server_changes(server)?);
    changes.extend(changes::of_indexes(made));
    let page = StatementPage::build(now, which, range, (text, history), tables, findings);
    Ok(page.with_changes(changes).with_plans(plans))
}

/// One materialized view.
pub fn refresh(store: &Store, server: &str, view: &ViewName) -> Result<RefreshPage, Problem> {
    let status = store.view_status(server, view)?;
    let status = status.ok_or_else(|| Problem::absent("materialized view", &view.in_database()))?;
    let runs = store.refresh_runs_of(server, view, limits::PAGE_ITEMS)?;
    let now = Utc::now();
    let line = ViewLine::new(now, server.to_owned(), status, runs.first().cloned());
    Ok(RefreshPage::build(now, line, runs))
}

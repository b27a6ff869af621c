//! What the pages about servers ask of the store.

use axum::http::Uri;
use chrono::{DateTime, TimeDelta, Utc};

use crate::limits;
use crate::model::finding::{Severity, State};
use crate::model::history::StatementTotal;
use crate::model::status::Gap;
use crate::store::{FindingFilter, Store};
use crate::web::Context;
use crate::web::ask::{servers as all_servers, view_lines};
use crate::web::pages::busy::BusyStatement;
use crate::web::pages::cluster::Cluster;
use crate::web::pages::late::Late;
use crate::web::pages::range::Range;
use crate::web::pages::server::ServerPage;
use crate::web::pages::server_facts::Facts;
use crate::web::pages::server_line::ServerLine;
use crate::web::pages::servers::ServersPage;
use crate::web::pages::spark::Spark;
use crate::web::pages::status_facts::ServerGap;
use crate::web::places::missing_server;
use crate::web::problem::Problem;
use crate::web::query::Parameters;

/// Findings that the page of a server shows; the rest are counted.
const FINDINGS: usize = 10;

/// What could not be read, without what planning leaves behind.
fn unread(store: &Store) -> Result<Vec<(String, Gap)>, Problem> {
    let mut gaps = store.gaps()?;
    gaps.retain(|(_, gap)| !gap.is_left_behind());
    Ok(gaps)
}

/// Every server on a line.
fn lines(context: &Context, store: &Store, now: DateTime<Utc>) -> Result<Vec<ServerLine>, Problem> {
    let (counts, gaps) = (store.counts()?, unread(store)?);
    let (looks, views) = (store.looks()?, view_lines(store)?);
    let mut lines = Vec::new();
    for server in all_servers(context, store)? {
        let points = store.load(&server.name, now - TimeDelta::hours(24))?;
        let open = |severity: Severity| -> usize {
            let rows = counts.iter().filter(|row| {
                row.server == server.name && row.severity == severity && row.state == State::Open
            });
            rows.map(|row| row.count as usize).sum()
        };
        lines.push(ServerLine {
            critical: open(Severity::Critical),
            warning: open(Severity::Warning),
            info: open(Severity::Info),
            gaps: gaps.iter().filter(|(name, _)| *name == server.name).count(),
            late: Late::of(now, &server, &looks, &views),
            spark: Spark::of(now, &points),
            server,
        });
    }
    Ok(lines)
}

/// All servers, each primary with its standbys.
pub fn servers(context: &Context, store: &Store) -> Result<ServersPage, Problem> {
    let now = Utc::now();
    Ok(ServersPage::build(now, lines(context, store, now)?))
}

/// One server over a range.
pub fn server(context: &Context, store: &Store, uri: &Uri, name: String) -> Result<ServerPage, Problem> {
    let range = Range::of(&Parameters::read(uri, &["range"])?)?;
    let now = Utc::now();
    let lines = lines(context, store, now)?;
    let known: Vec<String> = lines.iter().map(|line| line.server.name.clone()).collect();
    let asked = name.clone();
    let missing = || missing_server(&asked, &known);
    let clusters = Cluster::list(lines);
    let is_its = |cluster: &Cluster| cluster.servers.iter().any(|line| line.server.name == name);
    let cluster = clusters.into_iter().find(is_its).ok_or_else(missing)?;
    let from = now - range.length();
    // of longer ago it is kept by the hour, with its databases
    let load = match range.length() > Range::Week.length() {
        true => Vec::new(),
        // a point tells the load since the one before, which may lie before the range
        false => store.load(&name, from - TimeDelta::hours(2))?,
    };
    let most = limits::PAGE_ITEMS_MAXIMUM;
    let (statements, _) = store.busiest_statements(&name, None, from, now, most)?;
    let findings = store.findings(&FindingFilter {
        server: Some(name.clone()),
        states: vec![State::Open],
        limit: FINDINGS,
        ..FindingFilter::default()
    })?;
    // all of them: config.cache_hit has one for each database
    let about_configuration = store.findings(&FindingFilter {
        server: Some(name.clone()),
        rule: Some("config.*".to_owned()),
        limit: limits::PAGE_ITEMS_MAXIMUM,
        ..FindingFilter::default()
    })?;
    let gaps = unread(store)?.into_iter().filter(|(server, _)| *server == name);
    let facts = Facts {
        cluster,
        range,
        load,
        over_time: store.server_points(&name, from, now)?,
        database_load: store.database_load(&name, from, now, limits::DATABASES_DRAWN)?,
        changes: store.server_changes(&name)?,
        statements: statements.into_iter().map(busy).collect(),
        findings: findings.items,
        open: findings.total as usize,
        unread: gaps.map(|(server, gap)| ServerGap { server, gap }).collect(),
        activity: store.activity(&name)?,
        settings: store.settings(&name)?,
        checkpoints: store.checkpoints(&name)?,
        block_reads: store.block_reads(&name)?,
        config_findings: about_configuration.items,
        name,
    };
    let page = ServerPage::build(now, facts).ok_or_else(missing)?;
    let told = store.rules_that_told(&asked)?;
    Ok(page.with_waiting(&store.rule_outcomes()?, &told))
}

fn busy(total: StatementTotal) -> BusyStatement {
    BusyStatement {
        seconds: total.counts.seconds(),
        share_ratio: total.share_ratio,
        database: total.database,
        statement_id: total.statement_id,
        text: total.text,
    }
}

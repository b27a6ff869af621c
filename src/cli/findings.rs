//! `pgadvisor findings`: what the store knows, and what a person says of it. With a daemon running the command is handed
//! to it; without one the writer's lock is taken and the same is done here.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::{ConfigOption, Failure, ListFormat, PlainFormat, configuration, json, print, style};
use crate::limits;
use crate::model::finding::{self, Finding, Severity, State};
use crate::model::id::Fingerprint;
use crate::model::unit::Period;
use crate::report::{finding_of_a_server_text, visible};
use crate::store::{CommandOutcome, FindingFilter, NewCommand, Store, StoreError};

#[derive(Subcommand)]
pub enum Action {
    /// Findings, worst first
    List(ListOptions),
    /// One finding with its history
    Show(OneOptions),
    /// Every finding with all it holds, also resolved ones
    Export(ListOptions),
    /// It is known and being worked on
    Acknowledge(AnswerOptions),
    /// Not now: it comes back when the time is over, after a day unless --for says otherwise
    Snooze(AnswerOptions),
    /// It is done; if it is still seen it comes back
    Resolve(AnswerOptions),
    /// It is no problem here
    FalsePositive(AnswerOptions),
    /// Open it again
    Reopen(AnswerOptions),
}

#[derive(Args)]
pub struct ListOptions {
    #[command(flatten)]
    config: ConfigOption,
    #[arg(long, value_enum, default_value = "text")]
    format: ListFormat,
    /// info, warning or critical (repeatable)
    #[arg(long, value_parser = severity)]
    severity: Vec<Severity>,
    /// open, acknowledged, snoozed, resolved or false_positive (repeatable)
    #[arg(long, value_parser = state)]
    state: Vec<State>,
    /// A rule, or a pattern as index.*
    #[arg(long)]
    rule: Option<String>,
    #[arg(long)]
    server: Option<String>,
    #[arg(long)]
    database: Option<String>,
    /// Only those first seen since then: 2026-11-21T08:00:00Z, or a duration back from now as "2 days"
    #[arg(long, value_parser = since)]
    since: Option<DateTime<Utc>>,
}

#[derive(Args)]
pub struct OneOptions {
    fingerprint: String,
    #[command(flatten)]
    config: ConfigOption,
    #[arg(long, value_enum, default_value = "text")]
    format: PlainFormat,
}

#[derive(Args)]
pub struct AnswerOptions {
    fingerprint: String,
    #[command(flatten)]
    config: ConfigOption,
    /// Why; kept in the history
    #[arg(long)]
    comment: Option<String>,
    /// Of a snooze: how long, as "3 days"; one day without it
    #[arg(long, value_name = "DURATION")]
    r#for: Option<Period>,
}

fn severity(word: &str) -> Result<Severity, String> {
    [Severity::Info, Severity::Warning, Severity::Critical]
        .into_iter()
        .find(|severity| severity.word() == word)
        .ok_or_else(|| "one of: info, warning, critical".to_owned())
}

fn state(word: &str) -> Result<State, String> {
    [
        State::Open,
        State::Acknowledged,
        State::Snoozed,
        State::Resolved,
        State::FalsePositive,
    ]
    .into_iter()
    .find(|state| state.word() == word)
    .ok_or_else(|| "one of: open, acknowledged, snoozed, resolved, false_positive".to_owned())
}

fn since(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.with_timezone(&Utc));
    }
    let period: Period = text
        .parse()
        .map_err(|error: crate::model::unit::UnitError| error.to_string())?;
    Ok(Utc::now() - period.as_delta())
}

pub async fn run(action: Action) -> Result<u8, Failure> {
    use finding::Action as Answer;
    match action {
        Action::List(options) => list(&options, false)?,
        Action::Export(options) => list(&options, true)?,
        Action::Show(options) => show(&options)?,
        Action::Acknowledge(options) => answer(Answer::Acknowledge, options).await?,
        Action::Snooze(options) => answer(Answer::Snooze, options).await?,
        Action::Resolve(options) => answer(Answer::Resolve, options).await?,
        Action::FalsePositive(options) => answer(Answer::FalsePositive, options).await?,
        Action::Reopen(options) => answer(Answer::Reopen, options).await?,
    }
    Ok(0)
}

fn list(options: &ListOptions, everything: bool) -> Result<(), Failure> {
    let store = open(&options.config)?;
    let every_state = [
        State::Open,
        State::Acknowledged,
        State::Snoozed,
        State::Resolved,
        State::FalsePositive,
    ]
    .to_vec();
    let mut filter = FindingFilter {
        severities: options.severity.clone(),
        states: if everything && options.state.is_empty() {
            every_state
        } else {
            options.state.clone()
        },
        rule: options.rule.clone(),
        server: options.server.clone(),
        database: options.database.clone(),
        limit: limits::PAGE_ITEMS_MAXIMUM,
        ..FindingFilter::default()
    };
    let mut items: Vec<Finding> = Vec::new();
    loop {
        let page = store.findings(&filter)?;
        items.extend(page.items);
        filter.cursor = page.next_cursor;
        if filter.cursor.is_none() {
            break;
        }
    }
    items.retain(|item| options.since.is_none_or(|since| item.first_seen_at >= since));
    match options.format {
        ListFormat::Json => print(&json(&serde_json::json!({"items": items, "next_cursor": null}))?),
        ListFormat::Ndjson => {
            for item in &items {
                print(&format!(
                    "{}\n",
                    serde_json::to_string(item).map_err(anyhow::Error::from)?
                ))?;
            }
            Ok(())
        }
        ListFormat::Text if items.is_empty() => print("no findings\n"),
        ListFormat::Text => {
            for item in &items {
                print(&format!("{}\n", finding_of_a_server_text(item, style())))?;
            }
            Ok(())
        }
    }
}

fn show(options: &OneOptions) -> Result<(), Failure> {
    let store = open(&options.config)?;
    let fingerprint = fingerprint(&options.fingerprint)?;
    let unknown = || {
        Failure::Usage(format!(
            "there is no finding {fingerprint}; `pgadvisor findings list` shows them"
        ))
    };
    let finding = store.finding(&fingerprint)?.ok_or_else(unknown)?;
    if options.format != PlainFormat::Text {
        return print(&json(&finding)?);
    }
    let mut text = finding_of_a_server_text(&finding, style());
    text.push_str(&format!(
        "\n  {}, first seen {}\n",
        finding.state.word(),
        finding.first_seen_at.to_rfc3339()
    ));
    for (name, value) in &finding.claim.evidence {
        text.push_str(&format!("  {name}: {}\n", visible(&value.to_string())));
    }
    for event in store.history(&fingerprint)? {
        let actor = event
            .actor
            .as_deref()
            .map(|actor| format!(" by {}", visible(actor)))
            .unwrap_or_default();
        let comment = event
            .comment
            .as_deref()
            .map(|text| format!(": {}", visible(text)))
            .unwrap_or_default();
        let at = event.occurred_at.format("%Y-%m-%d %H:%M:%S");
        text.push_str(&format!("  {at}Z {}{actor}{comment}\n", event.kind.word()));
    }
    print(&text)
}

fn fingerprint(text: &str) -> Result<Fingerprint, Failure> {
    Fingerprint::parse(text).ok_or_else(|| {
        Failure::Usage(format!(
            "\"{}\" is no fingerprint: 16 to 64 letters a-z and digits",
            visible(text)
        ))
    })
}

fn open(option: &ConfigOption) -> Result<Store, Failure> {
    let configuration = configuration(option.config.as_deref())?;
    Ok(Store::open_shared(&configuration.store.path)?)
}

/// The store with the writer's lock, if nobody else has it.
fn writer_of(path: &Path) -> Result<Option<Store>, StoreError> {
    match Store::open(path) {
        Ok(store) => Ok(Some(store)),
        Err(StoreError::InUse { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// That an answer was carried out, and until when it counts where it does not for good.
fn done(action: finding::Action, until: Option<DateTime<Utc>>) -> String {
    match until {
        Some(until) => format!(
            "{}: done, until {}\n",
            action.word(),
            until.format("%Y-%m-%d %H:%M:%SZ")
        ),
        None => format!("{}: done\n", action.word()),
    }
}

/// Hands the answer in, and waits until it was carried out, by the daemon or here.
async fn answer(action: finding::Action, options: AnswerOptions) -> Result<(), Failure> {
    let configuration = configuration(options.config.config.as_deref())?;
    let path = &configuration.store.path;
    let fingerprint = fingerprint(&options.fingerprint)?;
    // what is not there is not made
    let mut writer = if path.exists() { writer_of(path)? } else { None };
    let store = match &writer {
        Some(writer) => writer.clone(),
        None => Store::open_shared(path)?,
    };
    let now = Utc::now();
    let actor = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .unwrap_or_else(|_| "local".to_owned());
    let named = fingerprint.clone();
    let id = store.submit_command(&NewCommand {
        fingerprint,
        action,
        actor,
        comment: options.comment,
        until: options.r#for.map(|period| now + period.as_delta()),
        submitted_at: now,
    })?;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        if writer.is_none() {
            // whoever had the lock may have been a command like this one, and have left
            writer = writer_of(path)?;
        }
        if let Some(writer) = &writer {
            writer.apply_commands(Utc::now())?;
        }
        match store.command_outcome(id)? {
            Some(CommandOutcome::Applied) => {
                let finding = store.finding(&named)?;
                let until = finding.and_then(|finding| finding.snoozed_until);
                return print(&done(action, until));
            }
            Some(CommandOutcome::Refused(why)) => return Err(Failure::Usage(why)),
            None if std::time::Instant::now() > deadline => {
                let why = "the running daemon did not carry it out within 10 s; it will when it can";
                return Err(Failure::Ours(anyhow::anyhow!(why)));
            }
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_snoozes_is_told_until_when() {
        let until = DateTime::from_timestamp(1_790_000_000, 0);
        let told = done(finding::Action::Snooze, until);
        assert_eq!(told, "snooze: done, until 2026-09-21 14:13:20Z\n");
        assert_eq!(done(finding::Action::Resolve, None), "resolve: done\n");
    }
}

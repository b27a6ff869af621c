//! `pgadvisor config check | show | schema`.

use std::collections::BTreeMap;

use chrono::Utc;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{ConfigOption, Failure, PlainFormat, configuration, environment, json, print};
use crate::configuration::{Configuration, Source, json_schema};
use crate::engine::rule_schemas;
use crate::postgres::conninfo::Environment;
use crate::report::visible;
use crate::rules;
use crate::web::pages::present::plural;

#[derive(Subcommand)]
pub enum Action {
    /// Read the file and tell every mistake in it
    Check(Options),
    /// The values in force, and where each came from
    Show(Options),
    /// The JSON Schema of the file
    Schema,
}

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    config: ConfigOption,
    #[arg(long, value_enum, default_value = "text")]
    format: PlainFormat,
}

pub fn run(action: Action) -> Result<u8, Failure> {
    match action {
        Action::Check(options) => check(&options),
        Action::Show(options) => show(&options),
        Action::Schema => {
            let schemas: BTreeMap<String, Value> = rules::all()
                .iter()
                .map(|rule| (rule.id.to_owned(), (rule.schema)()))
                .collect();
            print(&json(&json_schema(&rule_schemas(), &schemas))?)?;
            Ok(0)
        }
    }
}

/// The file's name, where there is one.
fn file(configuration: &Configuration) -> Option<String> {
    match &configuration.source {
        Source::File(path) => Some(path.display().to_string()),
        Source::Defaults | Source::Text => None,
    }
}

fn check(options: &Options) -> Result<u8, Failure> {
    let mut read = configuration(options.config.config.as_deref());
    if let Ok(right) = &mut read {
        let over = right.over(Utc::now().date_naive());
        right.warnings.extend(over);
        environment::add_server(right);
    }
    if options.format == PlainFormat::Json {
        let (answer, code) = match read {
            Ok(right) => (
                json!({
                    "file": file(&right), "valid": true, "errors": [], "unshown": 0, "warnings": right.warnings,
                    "servers": right.servers.len(), "rules": right.rules.len(),
                }),
                0,
            ),
            Err(Failure::Configuration(wrong)) => (
                json!({
                    "file": wrong.file, "valid": false, "errors": wrong.errors, "unshown": wrong.unshown, "warnings": [],
                }),
                2,
            ),
            Err(other) => return Err(other),
        };
        print(&json(&answer)?)?;
        return Ok(code);
    }
    let configuration = read?;
    let what = match file(&configuration) {
        Some(file) => format!("{} is right", visible(&file)),
        None => "there is no configuration file; the defaults hold".to_owned(),
    };
    for warning in &configuration.warnings {
        eprintln!("pgadvisor: {}", visible(warning));
    }
    let servers = plural(configuration.servers.len(), "server", "servers");
    let rules = plural(configuration.rules.len(), "rule", "rules");
    print(&format!("{what}: {servers}, {rules}\n"))?;
    Ok(0)
}

fn show(options: &Options) -> Result<u8, Failure> {
    let mut configuration = configuration(options.config.config.as_deref())?;
    let is_of_environment = environment::add_server(&mut configuration);
    let mut values = configuration.effective();
    if is_of_environment {
        environment::tell(&mut values, &Environment::of_process());
    }
    if options.format == PlainFormat::Json {
        print(&json(&json!({ "file": file(&configuration), "values": values }))?)?;
        return Ok(0);
    }
    let lines: String = values
        .iter()
        .map(|one| format!("{} = {}  # {}\n", one.key, one.shown(), one.from))
        .collect();
    print(&lines)?;
    Ok(0)
}

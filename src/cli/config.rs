//! `pgadvisor config check | show | schema`.

use std::collections::BTreeMap;

use clap::Subcommand;

use super::{ConfigOption, Failure, configuration, json, print};
use crate::configuration::{Source, json_schema};
use crate::engine::rule_schemas;
use crate::report::visible;
use crate::rules;

#[derive(Subcommand)]
pub enum Action {
    /// Read the file and tell every mistake in it
    Check(ConfigOption),
    /// The values in force, and where each came from
    Show(ConfigOption),
    /// The JSON Schema of the file
    Schema,
}

pub fn run(action: Action) -> Result<u8, Failure> {
    match action {
        Action::Check(option) => {
            let configuration = configuration(option.config.as_deref())?;
            let what = match &configuration.source {
                Source::File(path) => format!("{} is right", path.display()),
                _ => "there is no configuration file; the defaults hold".to_owned(),
            };
            for warning in &configuration.warnings {
                eprintln!("pgadvisor: {}", visible(warning));
            }
            print(&format!(
                "{what}: {} servers, {} rules\n",
                configuration.servers.len(),
                configuration.rules.len()
            ))?;
        }
        Action::Show(option) => {
            let configuration = configuration(option.config.as_deref())?;
            let lines: String = configuration
                .effective()
                .into_iter()
                .map(|(key, value, from)| format!("{key} = {}  # {from}\n", visible(&value)))
                .collect();
            print(&lines)?;
        }
        Action::Schema => {
            let schemas: BTreeMap<String, serde_json::Value> = rules::all()
                .iter()
                .map(|rule| (rule.id.to_owned(), (rule.schema)()))
                .collect();
            print(&json(&json_schema(&rule_schemas(), &schemas))?)?;
        }
    }
    Ok(0)
}

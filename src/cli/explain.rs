//! `pgadvisor explain RULE`: the manual of a rule, from its own file.

use clap::Args;

use super::{Failure, print};
use crate::rules::{self, RuleKind};

#[derive(Args)]
pub struct Options {
    /// The rule, as index.unused; without it all rules are listed
    rule: Option<String>,
    /// All rules as a Markdown table
    #[arg(long, conflicts_with = "rule")]
    table: bool,
}

pub fn run(options: &Options) -> Result<u8, Failure> {
    let text = match &options.rule {
        None if options.table => table(),
        None => rules::all()
            .iter()
            .map(|rule| format!("{:28} {}\n", rule.id, summary(rule)))
            .collect(),
        Some(id) => manual(&rules::find(id).ok_or_else(|| {
            let near: Vec<&str> = rules::all().iter().map(|rule| rule.id).collect();
            Failure::Usage(format!(
                "there is no rule \"{id}\"; there are: {}",
                near.join(", ")
            ))
        })?),
    };
    print(&text)?;
    Ok(0)
}

/// The first sentence of a manual.
fn summary(rule: &RuleKind) -> String {
    rule.manual()
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .replace('\n', " ")
}

fn manual(rule: &RuleKind) -> String {
    let mut text = format!(
        "{}\n\n{}\n\n## Thresholds: [rules.{}]\n\n",
        rule.id,
        rule.manual(),
        rule.id
    );
    let plain = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    };
    for (name, description, default) in rule.thresholds() {
        text.push_str(&format!("{name} = {}\n    {description}\n", plain(&default)));
    }
    text.push_str(&format!(
        "hold = \"{}\"\n    How long the evidence must last before a finding opens.\n",
        rule.hold
    ));
    text.push_str(&format!(
        "clear = \"{}\"\n    How long it must be gone before a finding resolves.\n",
        rule.clear
    ));
    text
}

fn table() -> String {
    let mut text = "| rule | finds |\n|---|---|\n".to_owned();
    for rule in rules::all() {
        text.push_str(&format!("| `{}` | {} |\n", rule.id, summary(rule)));
    }
    text
}

//! `pgadvisor explain RULE`: the manual of a rule, from its own file.

use clap::Args;
use serde_json::{Value, json};

use super::{Failure, PlainFormat, json, print};
use crate::report::visible;
use crate::rules::{self, RuleKind};

#[derive(Args)]
pub struct Options {
    /// The rule, as index.unused; without it all rules are listed
    rule: Option<String>,
    /// All rules as a Markdown table
    #[arg(long, conflicts_with = "rule")]
    table: bool,
    #[arg(long, value_enum, default_value = "text", conflicts_with = "table")]
    format: PlainFormat,
}

pub fn run(options: &Options) -> Result<u8, Failure> {
    let rule = options.rule.as_deref().map(find).transpose()?;
    let text = match (rule, options.format) {
        (None, _) if options.table => table(),
        (None, PlainFormat::Text) => rules::all()
            .iter()
            .map(|rule| format!("{:28} {}\n", rule.id, summary(rule)))
            .collect(),
        (None, PlainFormat::Json) => json(&rules::all().iter().map(described).collect::<Vec<_>>())?,
        (Some(rule), PlainFormat::Text) => manual(&rule),
        (Some(rule), PlainFormat::Json) => json(&described(&rule))?,
    };
    print(&text)?;
    Ok(0)
}

fn find(id: &str) -> Result<RuleKind, Failure> {
    rules::find(id).ok_or_else(|| {
        let known: Vec<&str> = rules::all().iter().map(|rule| rule.id).collect();
        let id = visible(id);
        Failure::Usage(format!(
            "there is no rule \"{id}\"; there are: {}",
            known.join(", ")
        ))
    })
}

/// All that is known of a rule, for programs.
fn described(rule: &RuleKind) -> Value {
    let thresholds: Vec<Value> = rule
        .thresholds()
        .into_iter()
        .map(|(name, description, default)| {
            json!({ "name": name, "description": description, "default": default })
        })
        .collect();
    json!({
        "rule": rule.id, "summary": summary(rule), "manual": rule.manual(), "thresholds": thresholds,
        "hold": rule.hold, "clear": rule.clear,
    })
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

//! Runs of `pgadvisor advise`, and what they tell.

use serde_json::Value;

use crate::command_line::conforms;
use crate::harness::{Cluster, pgadvisor};

/// What is advised to a login for one statement.
pub fn advise(cluster: &Cluster, login: &str, statement: &str, more: &[&str]) -> Value {
    let asked = [&["--statement", statement], more].concat();
    advised(cluster, login, &asked)
}

/// What is advised to a login, as JSON that keeps the contract.
pub fn advised(cluster: &Cluster, login: &str, more: &[&str]) -> Value {
    let dsn = cluster.dsn(login, "postgres");
    let output = pgadvisor()
        .args(["advise", &dsn, "--format", "json"])
        .args(more)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    conforms("advise.schema.json", &answer);
    answer
}

/// The definitions that are advised.
pub fn definitions(answer: &Value) -> Vec<&str> {
    let indexes = answer["indexes"].as_array().unwrap().iter();
    indexes
        .map(|index| index["definition"].as_str().unwrap())
        .collect()
}

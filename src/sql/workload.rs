//! Workload files: statements separated by `;`, each optionally preceded by comment lines with `name: q1` and
//! `weight: 12.5`.

/// One statement of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedStatement {
    /// The name that a comment before it gives.
    pub name: Option<String>,
    /// The weight that a comment before it gives, else 1.
    pub weight: f64,
    /// The statement without what surrounds it.
    pub text: String,
}

/// Splits a file. A part that does not parse is a statement all the same: it is told when it is planned.
pub fn statements(text: &str) -> Vec<NamedStatement> {
    let Ok(parts) = pg_query::split_with_scanner(text) else {
        return vec![named(text)];
    };
    let has_words = |part: &&str| {
        part.lines()
            .any(|line| !line.trim().is_empty() && !line.trim().starts_with("--"))
    };
    parts.into_iter().filter(has_words).map(named).collect()
}

fn named(part: &str) -> NamedStatement {
    let mut statement = NamedStatement {
        name: None,
        weight: 1.0,
        text: String::new(),
    };
    let mut rest = part.trim();
    while let Some(comment) = rest.strip_prefix("--") {
        let (line, after) = comment.split_once('\n').unwrap_or((comment, ""));
        let word = |label: &str| {
            line.split_once(label)
                .and_then(|(_, value)| value.split_whitespace().next())
        };
        if let Some(name) = word("name:") {
            statement.name = Some(name.to_owned());
        }
        if let Some(weight) = word("weight:").and_then(|weight| weight.parse::<f64>().ok()) {
            statement.weight = weight;
        }
        rest = after.trim_start();
    }
    statement.text = rest
        .trim_end_matches(|c: char| c == ';' || c.is_whitespace())
        .to_owned();
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_weights_and_semicolons_in_strings() {
        let found = statements(
            "-- The workload; of a shop.\n-- name: a weight: 2.5\nSELECT ';' -- not; here\n FROM t;\n\n-- name: b\n-- weight: 3\nSELECT 2;\nSELECT 3\n;\n-- the end\n",
        );
        let told: Vec<_> = found
            .iter()
            .map(|one| (one.name.as_deref(), one.weight))
            .collect();
        assert_eq!(told, [(Some("a"), 2.5), (Some("b"), 3.0), (None, 1.0)]);
        assert_eq!(found[2].text, "SELECT 3");
        assert!(found[0].text.ends_with("FROM t"));
    }
}

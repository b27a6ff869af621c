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
///
/// # Errors
/// If it cannot be told where a statement ends (a quote that is never closed), or a weight is no number from 0 on.
pub fn statements(text: &str) -> Result<Vec<NamedStatement>, String> {
    let parts = pg_query::split_with_scanner(text).map_err(|error| error.to_string())?;
    let has_words = |part: &&str| {
        part.lines()
            .any(|line| !line.trim().is_empty() && !line.trim().starts_with("--"))
    };
    parts.into_iter().filter(has_words).map(named).collect()
}

fn named(part: &str) -> Result<NamedStatement, String> {
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
        if let Some(weight) = word("weight:") {
            let number = weight
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite() && *number >= 0.0);
            statement.weight = number.ok_or_else(|| {
                let of = statement.name.as_deref().unwrap_or("a statement");
                format!("the weight of {of} must be a number from 0 on, not \"{weight}\"")
            })?;
        }
        rest = after.trim_start();
    }
    statement.text = rest
        .trim_end_matches(|c: char| c == ';' || c.is_whitespace())
        .to_owned();
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_weights_and_semicolons_in_strings() {
        let found = statements(
            "-- The workload; of a shop.\n-- name: a weight: 2.5\nSELECT ';' -- not; here\n FROM t;\n\n-- name: b\n-- weight: 3\nSELECT 2;\nSELECT 3\n;\n-- the end\n",
        )
        .unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|one| (one.name.as_deref(), one.weight))
            .collect();
        assert_eq!(told, [(Some("a"), 2.5), (Some("b"), 3.0), (None, 1.0)]);
        assert_eq!(found[2].text, "SELECT 3");
        assert!(found[0].text.ends_with("FROM t"));
        let refused = statements("-- name: q weight: much\nSELECT 1").unwrap_err();
        assert_eq!(
            refused,
            "the weight of q must be a number from 0 on, not \"much\""
        );
        assert!(statements("-- weight: -1\nSELECT 1").is_err());
        assert!(statements("SELECT 'a").is_err());
    }
}

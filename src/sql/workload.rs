//! Workload files: statements separated by `;`, each optionally preceded by comment lines with `name: q1` and
//! `weight: 12.5`, which stand at the beginning of a comment, one behind the other, or behind `,`, `;` or `|`.

use pg_query::protobuf::{ScanToken, Token};

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

/// Behind these a comment may tell something else.
const SEPARATORS: [char; 3] = [',', ';', '|'];
/// Ends of lines at which a statement may seem to end and goes on, as in a constant of several lines.
const ENDS_WITHIN: usize = 100;

/// Splits a file. A part that does not parse is a statement all the same: it is told when it is planned. So is one of which it cannot
/// be told where it ends (a quote that is never closed): it is taken up to the next line that ends in `;`, and called by its line if
/// nothing else names it.
///
/// # Errors
/// If a weight is a number below 0.
pub fn statements(text: &str) -> Result<Vec<NamedStatement>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match parts(text) {
        Some(parts) => parts.into_iter().map(named).collect(),
        None => by_lines(text),
    }
}

/// The statements of a text, if it can be told where all of them end. What holds no word that PostgreSQL knows is one, too: that it
/// does not parse is told when it is planned.
fn parts(text: &str) -> Option<Vec<&str>> {
    let tokens = pg_query::scan(text).ok()?.tokens;
    let is = |token: &ScanToken, kind: Token| token.token == kind as i32;
    let (mut found, mut start, mut has_words) = (Vec::new(), 0, false);
    for (token, ends) in tokens.iter().zip(ending(&tokens)) {
        if ends {
            found.extend(
                text.get(start..usize::try_from(token.start).ok()?)
                    .filter(|_| has_words),
            );
            start = usize::try_from(token.end).ok()?;
            has_words = false;
        } else {
            has_words |= !is(token, Token::SqlComment) && !is(token, Token::CComment);
        }
    }
    found.extend(text.get(start..).filter(|_| has_words));
    Some(found)
}

/// Of each token whether it is a `;` that ends a statement: one that stands in no parenthesis, or in one that is never closed.
fn ending(tokens: &[ScanToken]) -> Vec<bool> {
    let mut ends = vec![false; tokens.len()];
    let mut open = 0_usize;
    // those in the parentheses that are open
    let mut within = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            kind if kind == Token::Ascii40 as i32 => open += 1,
            kind if kind == Token::Ascii41 as i32 => open = open.saturating_sub(1),
            kind if kind == Token::Ascii59 as i32 && open > 0 => within.push(at),
            kind => ends[at] = kind == Token::Ascii59 as i32,
        }
        if open == 0 {
            within.clear();
        }
    }
    within.into_iter().for_each(|at| ends[at] = true);
    ends
}

/// The statements of a text in which something is never closed: lines that end in `;` part what can be read from what cannot.
fn by_lines(text: &str) -> Result<Vec<NamedStatement>, String> {
    let ends = ends_of_statements(text);
    let mut found = Vec::new();
    let (mut start, mut next) = (0, 0);
    while next < ends.len() {
        let most = ends.len().min(next + ENDS_WITHIN);
        let read = (next..most).find_map(|last| Some((last, parts(&text[start..ends[last]])?)));
        if let Some((last, parts)) = read {
            for part in parts {
                found.push(named(part)?);
            }
            next = last;
        } else {
            let chunk = &text[start..ends[next]];
            let mut statement = named(chunk)?;
            let before = start + chunk.find(&statement.text).unwrap_or(0);
            let line = 1 + text[..before].matches('\n').count();
            statement.name.get_or_insert_with(|| format!("line {line}"));
            found.push(statement);
        }
        start = ends[next];
        next += 1;
    }
    Ok(found)
}

/// Where lines end behind a `;`, and where the text does.
fn ends_of_statements(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.len();
        let line = line.trim();
        if end == text.len() || line.ends_with(';') && !line.starts_with("--") {
            ends.push(end);
        }
    }
    ends
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
        for (label, value) in labelled(line) {
            let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
            match (label, number) {
                ("name", _) => statement.name = Some(value.to_owned()),
                (_, Some(weight)) if weight >= 0.0 => statement.weight = weight,
                (_, Some(_)) => {
                    let of = statement.name.as_deref().unwrap_or("a statement");
                    return Err(format!(
                        "the weight of {of} must be a number from 0 on, not \"{value}\""
                    ));
                }
                // a comment that speaks of weights
                (_, None) => {}
            }
        }
        rest = after.trim_start();
    }
    statement.text = rest
        .trim_end_matches(|c: char| c == ';' || c.is_whitespace())
        .to_owned();
    Ok(statement)
}

/// What a comment tells by `name:` and `weight:`, where these stand at its beginning, one behind the other, or behind a separator: in
/// the midst of other words they are words like these.
fn labelled(comment: &str) -> Vec<(&'static str, &str)> {
    let is_between = |c: char| c.is_whitespace() || c == '-' || SEPARATORS.contains(&c);
    let mut found = Vec::new();
    let mut rest = comment.trim_start_matches(is_between);
    while !rest.is_empty() {
        let mut labels = ["name", "weight"].into_iter();
        let here = labels.find_map(|label| Some((label, rest.strip_prefix(label)?.strip_prefix(':')?)));
        let after = if let Some((label, value)) = here {
            let value = value.trim_start();
            let end = value.find(char::is_whitespace).unwrap_or(value.len());
            let word = value[..end].trim_end_matches(SEPARATORS);
            found.extend((!word.is_empty()).then_some((label, word)));
            &value[end..]
        } else {
            rest.find(SEPARATORS).map_or("", |at| &rest[at..])
        };
        rest = after.trim_start_matches(is_between);
    }
    found
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
        let refused = statements("-- name: q weight: -2\nSELECT 1").unwrap_err();
        assert_eq!(refused, "the weight of q must be a number from 0 on, not \"-2\"");
    }

    #[test]
    fn only_labels_are_taken_for_labels() {
        for (comment, name, weight) in [
            ("name: a weight: 2.5", Some("a"), 2.5),
            ("weight:3, name:b", Some("b"), 3.0),
            ("of the shop; name: c; weight: 4", Some("c"), 4.0),
            ("- name: d | weight: 5", Some("d"), 5.0),
            ("articles by weight: kg", None, 1.0),
            ("articles by weight: 7", None, 1.0),
            ("name: orders by weight: 7", Some("orders"), 1.0),
            ("filename: x", None, 1.0),
            ("weight: kg", None, 1.0),
            ("weight: nan", None, 1.0),
            ("name:", None, 1.0),
            ("überweight: 5 größe; name: é", Some("é"), 1.0),
        ] {
            let found = statements(&format!("-- {comment}\nSELECT 1")).unwrap();
            assert_eq!(
                (found[0].name.as_deref(), found[0].weight),
                (name, weight),
                "{comment}"
            );
            assert_eq!(found[0].text, "SELECT 1");
        }
    }

    #[test]
    fn what_never_ends_takes_no_other_with_it() {
        let told = |text: &str| -> Vec<(Option<String>, String)> {
            let found = statements(text).unwrap();
            found.into_iter().map(|one| (one.name, one.text)).collect()
        };
        let own = |name: Option<&str>, text: &str| (name.map(str::to_owned), text.to_owned());
        assert_eq!(
            told(
                "SELECT 1;\n-- name: b\nSELECT 'x;\n' FROM t;\n\n-- of the shop\nSELECT 'a;\n-- name: c\nSELECT 'c' FROM t;\nSELECT 3"
            ),
            [
                own(None, "SELECT 1"),
                own(Some("b"), "SELECT 'x;\n' FROM t"),
                own(Some("line 7"), "SELECT 'a"),
                own(Some("c"), "SELECT 'c' FROM t"),
                own(None, "SELECT 3")
            ]
        );
        assert_eq!(told("SELECT 'a"), [own(Some("line 1"), "SELECT 'a")]);
        assert_eq!(
            told("-- name: c\nSELECT $f$ 1;\nSELECT 2;\n"),
            [own(Some("c"), "SELECT $f$ 1"), own(None, "SELECT 2")]
        );
        assert_eq!(told("\u{feff}-- name: d\nSELECT 1"), [own(Some("d"), "SELECT 1")]);
        assert_eq!(told("-- nothing\n"), []);
    }

    #[test]
    fn what_does_not_parse_is_a_statement_all_the_same() {
        let told = |text: &str| -> Vec<(Option<String>, f64, String)> {
            let found = statements(text).unwrap();
            found
                .into_iter()
                .map(|one| (one.name, one.weight, one.text))
                .collect()
        };
        let own =
            |name: Option<&str>, weight: f64, text: &str| (name.map(str::to_owned), weight, text.to_owned());
        assert_eq!(
            told(
                "-- name: typo\n-- weight: 1000\nselec * frm orders;\n-- name: ok\nselect 1;\n;;\n-- name: last\nsleect x;\n/* the end */"
            ),
            [
                own(Some("typo"), 1000.0, "selec * frm orders"),
                own(Some("ok"), 1.0, "select 1"),
                own(Some("last"), 1.0, "sleect x")
            ]
        );
        assert_eq!(told("qwerty;"), [own(None, 1.0, "qwerty")]);
        assert_eq!(
            told("größe x; 7"),
            [own(None, 1.0, "größe x"), own(None, 1.0, "7")]
        );
        assert_eq!(told(" ; /* a; b */ ;\n-- c; d\n"), []);
    }

    #[test]
    fn a_parenthesis_that_is_never_closed_takes_no_other_with_it() {
        let texts = |text: &str| -> Vec<String> {
            let found = statements(text).unwrap();
            found.into_iter().map(|one| one.text).collect()
        };
        assert_eq!(
            texts("SELECT 1; SELECT (2; SELECT 3; SELECT 4)"),
            ["SELECT 1", "SELECT (2; SELECT 3; SELECT 4)"]
        );
        assert_eq!(
            texts("SELECT (1); SELECT (2; SELECT (3); qwerty"),
            ["SELECT (1)", "SELECT (2", "SELECT (3)", "qwerty"]
        );
        assert_eq!(texts("SELECT 1); SELECT 2"), ["SELECT 1)", "SELECT 2"]);
    }
}

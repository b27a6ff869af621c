//! What follows the question mark of an address: known words alone, each once. A misspelt filter that is ignored would
//! answer another question than was asked.

use axum::http::Uri;

use super::problem::Problem;
use crate::configuration::{is_like, nearest};
use crate::limits;

/// The parameters of one request.
pub struct Parameters(Vec<(String, String)>);

/// Says what is not known, and what was probably meant.
pub fn unknown(what: &str, name: &str, known: &[&str]) -> Problem {
    let advice = match nearest(name, known.iter().copied()) {
        None => "none is known here".to_owned(),
        Some(nearest) if is_like(name, nearest) => format!("did you mean \"{nearest}\"?"),
        Some(_) => format!("known here: {}", known.join(", ")),
    };
    let name: String = name.chars().take(100).collect();
    Problem::new(400, format!("unknown {what} \"{name}\": {advice}"))
}

impl Parameters {
    /// Reads the parameters of an address that takes these.
    pub fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                return Err(unknown("query parameter", &name, known));
            }
            if given.iter().any(|(before, _)| *before == name) {
                let why = format!("{name} is given twice: several values are one parameter, with commas");
                return Err(Problem::new(400, why));
            }
            given.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(given))
    }

    /// The value of a parameter, unless it is empty.
    pub fn get(&self, name: &str) -> Option<String> {
        let mut all = self.0.iter();
        let (_, value) = all.find(|(given, value)| given == name && !value.is_empty())?;
        Some(value.clone())
    }
}

/// How many items are asked for at once.
pub fn limit(text: Option<&str>) -> Result<usize, Problem> {
    let most = limits::PAGE_ITEMS_MAXIMUM;
    match text.map(str::parse) {
        None => Ok(limits::PAGE_ITEMS),
        Some(Ok(limit)) if (1..=most).contains(&limit) => Ok(limit),
        _ => Err(Problem::new(
            400,
            format!("limit={}: 1 to {most}", text.unwrap_or_default()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_each_once() {
        let read = |query: &str| {
            let uri: Uri = format!("/x?{query}").parse().unwrap();
            Parameters::read(&uri, &["severity", "limit"]).map_err(|problem| problem.detail().to_owned())
        };
        let found = read("severity=a%20b&limit=").map(|all| (all.get("severity"), all.get("limit")));
        assert_eq!(found.unwrap(), (Some("a b".to_owned()), None));
        let why = |query: &str| read(query).err().unwrap();
        assert!(why("severty=1").ends_with("did you mean \"severity\"?"));
        assert!(why("zzzzzzzz=1").ends_with("known here: severity, limit"));
        assert!(why("limit=1&limit=2").contains("twice"));
        let none = Parameters::read(&"/x?a".parse().unwrap(), &[]);
        assert!(none.err().unwrap().detail().ends_with("none is known here"));
    }

    #[test]
    fn a_limit_is_a_number_in_its_bounds() {
        assert_eq!(limit(None).unwrap(), limits::PAGE_ITEMS);
        assert_eq!(limit(Some("1000")).unwrap(), 1000);
        for wrong in ["0", "1001", "-1", "x", "1e3"] {
            assert_eq!(
                limit(Some(wrong)).unwrap_err().detail(),
                format!("limit={wrong}: 1 to 1000")
            );
        }
    }
}

//! The reader: turns a TOML table into a struct, key by key, so that each error has its own place.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{RawError, Text};
use super::name::{is_like, join, nearest, shortened};

/// A table that has been read from its own serde definition, and what serde cannot say about it.
pub(super) trait Section: Default + Serialize + DeserializeOwned {
    /// What is wrong with values that are well-formed: the key and the message.
    fn problems(&self) -> Vec<(&'static str, String)>;
}

/// Reads the tables of one file and collects what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) text: Text<'a>,
    pub(super) errors: Vec<RawError>,
    /// The line of every key that was set.
    pub(super) origins: BTreeMap<String, usize>,
    /// Lines with an error of syntax: what the parser makes of them means nothing.
    broken: BTreeSet<usize>,
    /// Behind a broken header nobody knows to which table a key belongs.
    unsure_from: usize,
    /// Keys that an unknown key was probably meant to be: they are not missed as well.
    meant: BTreeSet<String>,
}

/// Whether an object with all its keys is acceptable, and if not, why.
pub(super) type Check<'c> = &'c dyn Fn(&Map<String, Value>) -> Result<(), String>;

/// One key of a table with its value.
struct Given {
    name: String,
    value: Value,
    span: Range<usize>,
}

impl<'a> Reader<'a> {
    /// Begins with the parser's own errors, one for each line: further ones are mostly its echo.
    pub(super) fn new(text: &'a str, syntax: Vec<toml::de::Error>) -> Self {
        let mut reader = Self {
            text: Text::new(text),
            errors: Vec::new(),
            origins: BTreeMap::new(),
            broken: BTreeSet::new(),
            unsure_from: usize::MAX,
            meant: BTreeSet::new(),
        };
        for error in syntax {
            let span = error.span().unwrap_or(0..0);
            let line = reader.text.line(span.start);
            let is_header = reader.text.line_text(line).trim_start().starts_with('[');
            if is_header && error.message() != "duplicate key" {
                reader.unsure_from = reader.unsure_from.min(line);
            }
            if reader.broken.insert(line) {
                reader.error(span, "", error.message().trim_end_matches(", expected nothing"));
            }
        }
        reader
    }

    pub(super) fn error(&mut self, span: Range<usize>, key: &str, message: impl Into<String>) {
        self.errors.push(RawError {
            span,
            key: shortened(key),
            message: message.into(),
        });
    }

    /// An unknown name, with the nearest of the known ones, or all where none is like it.
    pub(super) fn unknown(&mut self, span: Range<usize>, path: &str, what: &str, name: &str, known: &[&str]) {
        let advice = match nearest(name, known.iter().copied()) {
            Some(nearest) if is_like(name, nearest) => {
                if let Some(parent) = path.strip_suffix(name) {
                    self.meant.insert(format!("{parent}{nearest}"));
                }
                format!("did you mean \"{nearest}\"?")
            }
            _ => format!("known here: {}", known.join(", ")),
        };
        self.error(
            span,
            path,
            format!("unknown {what} \"{}\": {advice}", shortened(name)),
        );
    }

    /// Whether a key or its value lies on a line that could not be parsed.
    pub(super) fn is_broken(&self, key: &Range<usize>, value: &Range<usize>) -> bool {
        let first = self.text.line(key.start);
        let last = self
            .text
            .line(value.end.max(key.end).saturating_sub(1))
            .max(first);
        first >= self.unsure_from || self.broken.range(first..=last).next().is_some()
    }

    /// The value as a table, or an error that tells how to write one.
    pub(super) fn table<'t, 'i>(
        &mut self,
        value: &'t Spanned<DeValue<'i>>,
        path: &str,
    ) -> Option<&'t DeTable<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let given = kind_of(value.get_ref());
            self.error(
                value.span(),
                path,
                format!("must be a table, written [{path}], not {given}"),
            );
        }
        table
    }

    /// Reads a table and then asks its type what else is wrong. `place` is where a missing key is reported.
    pub(super) fn read_section<T: Section>(
        &mut self,
        table: &DeTable<'_>,
        place: Range<usize>,
        path: &str,
    ) -> T {
        let first_error = self.errors.len();
        let section: T = self.read_table(table, path);
        for (name, message) in section.problems() {
            let key = join(path, name);
            if self.errors[first_error..].iter().any(|error| error.key == key) {
                continue;
            }
            match table.get_key_value(name) {
                Some((name, value)) if self.is_broken(&name.span(), &value.span()) => {}
                Some((_, value)) => self.error(value.span(), &key, message),
                // a misspelt key is not missed as well; after an error of syntax the parser may have lost it
                None if self.broken.is_empty() && !self.meant.contains(&key) => {
                    self.error(place.clone(), &key, message)
                }
                None => {}
            }
        }
        section
    }

    /// Reads a table as a struct whose serde definition is the only one: its keys are those that its
    /// default has, and a value is right when the struct can be made with it.
    pub(super) fn read_table<T>(&mut self, table: &DeTable<'_>, path: &str) -> T
    where
        T: Default + Serialize + DeserializeOwned,
    {
        let Ok(Value::Object(defaults)) = serde_json::to_value(T::default()) else {
            return T::default();
        };
        let check = |object: &Map<String, Value>| {
            let made = serde_json::from_value::<T>(Value::Object(object.clone()));
            made.map(drop).map_err(|error| error.to_string())
        };
        let object = self.read_object(table, path, defaults, &check);
        serde_json::from_value(Value::Object(object)).unwrap_or_default()
    }

    /// The defaults with every given value that `check` accepts; an error at each of the others.
    pub(super) fn read_object(
        &mut self,
        table: &DeTable<'_>,
        path: &str,
        mut object: Map<String, Value>,
        check: Check<'_>,
    ) -> Map<String, Value> {
        let mut pending = self.given(table, path, &object);
        let mut whole = object.clone();
        whole.extend(
            pending
                .iter()
                .map(|given| (given.name.clone(), given.value.clone())),
        );
        if check(&whole).is_ok() {
            return whole;
        }
        // again while it helps: one value may be right only together with another
        let mut before = usize::MAX;
        while pending.len() < before {
            before = pending.len();
            pending.retain(|given| with_key(&mut object, given, check).is_err());
        }
        for given in pending {
            if let Err(message) = with_key(&mut object, &given, check) {
                let default = object.get(&given.name).unwrap_or(&Value::Null);
                let in_words = wrong_kind(default, &given.value).or_else(|| expected(&message));
                let message = in_words.unwrap_or(message);
                self.error(given.span, &join(path, &given.name), message);
            }
        }
        object
    }

    /// The known keys of a table; the unknown ones become errors.
    fn given(&mut self, table: &DeTable<'_>, path: &str, defaults: &Map<String, Value>) -> Vec<Given> {
        let mut all = Vec::new();
        for (key, value) in table {
            if self.is_broken(&key.span(), &value.span()) {
                continue;
            }
            let (name, key_path) = (key.get_ref().as_ref(), join(path, key.get_ref()));
            if !defaults.contains_key(name) {
                let known: Vec<&str> = defaults.keys().map(String::as_str).collect();
                self.unknown(key.span(), &key_path, "key", name, &known);
                continue;
            }
            match to_json(value, 0) {
                Ok(json) => {
                    self.origins.insert(key_path, self.text.line(key.span().start));
                    all.push(Given {
                        name: name.to_owned(),
                        value: json,
                        span: value.span(),
                    });
                }
                Err((span, message)) => self.error(span, &key_path, message),
            }
        }
        all
    }
}

/// Sets one key, or leaves the object as it was and tells why.
fn with_key(object: &mut Map<String, Value>, given: &Given, check: Check<'_>) -> Result<(), String> {
    let previous = object.insert(given.name.clone(), given.value.clone());
    let result = check(object);
    if let (Err(_), Some(previous)) = (&result, previous) {
        object.insert(given.name.clone(), previous);
    }
    result
}

/// Says it plainly where the value is of another kind than the default; serde's words are for programmers.
fn wrong_kind(default: &Value, value: &Value) -> Option<String> {
    let expected = match default {
        Value::Null => return None,
        Value::Number(whole) if !whole.is_f64() && value.is_f64() => {
            return Some(format!("must be a whole number, such as {default}, not {value}"));
        }
        Value::Bool(_) => "true or false".to_owned(),
        Value::Number(_) => format!("a number, such as {default}"),
        Value::String(text) if text.is_empty() => "a text in quotes".to_owned(),
        Value::String(_) => format!("a text in quotes, such as {default}"),
        Value::Array(_) => format!("an array, such as {default}"),
        Value::Object(_) => "a table".to_owned(),
    };
    if std::mem::discriminant(default) == std::mem::discriminant(value) {
        return None;
    }
    let given = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "a table",
    };
    Some(format!("must be {expected}, not {given}"))
}

/// The same where there is no default, so that serde alone knows what is expected, by a name of the programmer's.
fn expected(message: &str) -> Option<String> {
    let (_, expected) = message.rsplit_once(", expected ")?;
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => {
            Some("must be a whole number of 0 or more, such as 8".to_owned())
        }
        "a string" | "path string" => Some("must be a text in quotes".to_owned()),
        _ => None,
    }
}

fn kind_of(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Array(array) if array.iter().all(|element| element.get_ref().is_table()) => {
            "a list of tables".to_owned()
        }
        DeValue::Array(_) | DeValue::Integer(_) => format!("an {}", value.type_str()),
        _ => format!("a {}", value.type_str()),
    }
}

/// A TOML value as JSON; dates become texts. Fails on what JSON or a reasonable file does not have.
fn to_json(value: &Spanned<DeValue<'_>>, depth: usize) -> Result<Value, (Range<usize>, &'static str)> {
    let fail = |message| Err((value.span(), message));
    if depth > 16 {
        return fail("is nested too deeply");
    }
    match value.get_ref() {
        DeValue::String(text) => Ok(Value::from(text.as_ref())),
        DeValue::Boolean(truth) => Ok(Value::from(*truth)),
        DeValue::Datetime(time) => Ok(Value::from(time.to_string())),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Ok(Value::from(number)),
            Err(_) => fail("is too large a number"),
        },
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            number.map_or_else(
                || fail("must be a finite number"),
                |number| Ok(Value::Number(number)),
            )
        }
        DeValue::Array(array) => array.iter().map(|element| to_json(element, depth + 1)).collect(),
        DeValue::Table(table) => {
            let entries = table.iter();
            entries
                .map(|(key, value)| Ok((key.get_ref().to_string(), to_json(value, depth + 1)?)))
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_told_in_words_where_there_is_no_default() {
        let told = |message: &str| expected(message).unwrap_or_default();
        let number = "must be a whole number of 0 or more, such as 8";
        assert_eq!(told("invalid type: string \"many\", expected u32"), number);
        assert_eq!(told("invalid value: integer `-1`, expected u32"), number);
        assert_eq!(
            told("invalid type: integer `5`, expected a string"),
            "must be a text in quotes"
        );
        assert_eq!(expected("must be a day, such as 2027-01-31"), None);
    }

    #[test]
    fn values_that_are_right_only_together_are_accepted() {
        let text = "a_warning = 30\nb_critical = 40\nz = 1";
        let table = DeTable::parse(text).unwrap();
        let defaults = serde_json::json!({ "a_warning": 10, "b_critical": 20, "z": "text" });
        let Value::Object(defaults) = defaults else {
            unreachable!()
        };
        let mut reader = Reader::new(text, Vec::new());
        let object = reader.read_object(table.get_ref(), "p", defaults, &|object| {
            if !object["z"].is_string() {
                return Err("not a text".to_owned());
            }
            let right = object["a_warning"].as_i64() < object["b_critical"].as_i64();
            right.then_some(()).ok_or_else(|| "in the wrong order".to_owned())
        });
        assert_eq!(
            (&object["a_warning"], &object["b_critical"]),
            (&30.into(), &40.into())
        );
        assert_eq!(reader.errors.len(), 1);
        assert_eq!(reader.errors[0].key, "p.z");
        assert_eq!(
            reader.errors[0].message,
            "must be a text in quotes, such as \"text\", not a number"
        );
    }
}

//! Names as EXPLAIN writes them: bare where the search_path of the statement finds them, which no other session need have. With
//! their schemas they mean the same everywhere: to HypoPG, to whoever makes an index, and beside what the catalogs tell. Operators stay
//! as they are: which of them is meant hangs on what stands on both sides, and the wrong one would run a stranger's function.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf::{KeywordKind, ScanResult, Token};

use super::expression::unquoted;
use crate::model::remedy::quote_identifier;

/// What most texts name and PostgreSQL itself has: these are not asked for.
const WELL_KNOWN: [&str; 22] = [
    "text",
    "date",
    "uuid",
    "json",
    "jsonb",
    "bytea",
    "inet",
    "regclass",
    "regconfig",
    "tsvector",
    "tsquery",
    "lower",
    "upper",
    "date_trunc",
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "to_tsvector",
    "to_tsquery",
    "now",
];

/// Names that texts of EXPLAIN write without a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BareNames {
    /// Types that something is cast to.
    pub types: BTreeSet<String>,
    /// Functions that are called.
    pub functions: BTreeSet<String>,
}

impl BareNames {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty() && self.functions.is_empty()
    }
}

/// The schemas, other than PostgreSQL's own, in which one search_path finds names.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    /// All that was asked for.
    asked: BareNames,
    types: BTreeMap<String, String>,
    functions: BTreeMap<String, String>,
}

/// What stands bare in a text.
enum Bare {
    Type(String),
    Function(String),
}

/// The same with where it begins.
struct Found {
    bare: Bare,
    start: usize,
}

impl Schemas {
    /// What these texts name that was not asked for yet.
    pub fn unknown<'a>(&self, texts: impl Iterator<Item = &'a String>) -> BareNames {
        let mut named = BareNames::default();
        for found in texts.flat_map(|text| bare_names(text)) {
            match found.bare {
                Bare::Type(name) => _ = named.types.insert(name),
                Bare::Function(name) => _ = named.functions.insert(name),
            }
        }
        named.types.retain(|name| !self.asked.types.contains(name));
        named
            .functions
            .retain(|name| !self.asked.functions.contains(name));
        named
    }

    /// These were asked for: what is not added is found in no schema, or only in PostgreSQL's own.
    pub fn were_asked(&mut self, names: BareNames) {
        self.asked.types.extend(names.types);
        self.asked.functions.extend(names.functions);
    }

    /// A name is found in this schema; `kind` is `type` or `function`.
    pub fn add(&mut self, kind: &str, name: String, schema: String) {
        let names = match kind {
            "type" => &mut self.types,
            _ => &mut self.functions,
        };
        names.insert(name, schema);
    }

    /// Whether there is nothing to be written otherwise.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty() && self.functions.is_empty()
    }

    /// A text with the schemas of the names in it.
    pub fn qualified(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        for found in bare_names(text) {
            let schema = match &found.bare {
                Bare::Type(name) => self.types.get(name),
                Bare::Function(name) => self.functions.get(name),
            };
            let (Some(schema), Some(before)) = (schema, text.get(copied..found.start)) else {
                continue;
            };
            out.push_str(before);
            out.push_str(&format!("{}.", quote_identifier(schema)));
            copied = found.start;
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        out
    }
}

/// The schemas in which a search_path looks for names, in its order; temporary objects have no place in an index.
pub fn looked_in(search_path: &str) -> Vec<String> {
    let Ok(scan) = pg_query::scan(search_path) else {
        return Vec::new();
    };
    let words = Words {
        text: search_path,
        scan: &scan,
    };
    let raw = (0..scan.tokens.len()).filter_map(|position| words.raw(position));
    let named = raw.filter(|raw| *raw != ",").map(unquoted);
    let mut schemas: Vec<String> = named.filter(|schema| schema != "pg_temp").collect();
    if !schemas.iter().any(|schema| schema == "pg_catalog") {
        schemas.insert(0, "pg_catalog".to_owned());
    }
    schemas
}

/// What stands bare in a text, in its order.
fn bare_names(text: &str) -> Vec<Found> {
    // most are a column, which needs no scanner
    if !text.contains("::") && !text.contains('(') {
        return Vec::new();
    }
    let Ok(scan) = pg_query::scan(text) else {
        return Vec::new();
    };
    let words = Words { text, scan: &scan };
    let mut found = Vec::new();
    for position in 0..scan.tokens.len() {
        if words.is(position, Token::Typecast) {
            let name = words.type_name(position + 1);
            found.extend(name.and_then(|name| words.found(position + 1, Bare::Type(name))));
        } else if let Some(function) = words.function(position) {
            found.extend(words.found(position, Bare::Function(function)));
        }
    }
    found
}

/// The words of a text.
struct Words<'a> {
    text: &'a str,
    scan: &'a ScanResult,
}

impl<'a> Words<'a> {
    fn is(&self, position: usize, token: Token) -> bool {
        let tokens = &self.scan.tokens;
        tokens.get(position).is_some_and(|one| one.token == token as i32)
    }

    fn raw(&self, position: usize) -> Option<&'a str> {
        let token = self.scan.tokens.get(position)?;
        self.text.get(token.start as usize..token.end as usize)
    }

    fn found(&self, position: usize, bare: Bare) -> Option<Found> {
        let token = self.scan.tokens.get(position)?;
        Some(Found {
            bare,
            start: token.start as usize,
        })
    }

    /// The name that stands here. PostgreSQL writes its own words, as `OVER`, in capitals, and quotes a name that has some.
    fn name(&self, position: usize) -> Option<String> {
        let token = self.scan.tokens.get(position)?;
        let is_name =
            token.token == Token::Ident as i32 || token.keyword_kind == KeywordKind::UnreservedKeyword as i32;
        let raw = self.raw(position).filter(|_| is_name)?;
        let is_written_so = raw.starts_with('"') || !raw.contains(|c: char| c.is_ascii_uppercase());
        let name = unquoted(raw);
        (is_written_so && !WELL_KNOWN.contains(&name.as_str())).then_some(name)
    }

    /// The type behind `::`, if it has a name of one word without a schema.
    fn type_name(&self, position: usize) -> Option<String> {
        let goes_on = [Token::Ascii46, Token::Precision]
            .into_iter()
            .any(|token| self.is(position + 1, token));
        self.name(position).filter(|_| !goes_on)
    }

    /// The function that is called here.
    fn function(&self, position: usize) -> Option<String> {
        let before = position.wrapping_sub(1);
        let is_other = [Token::Ascii46, Token::Typecast]
            .into_iter()
            .any(|token| self.is(before, token));
        let is_call = self.is(position + 1, Token::Ascii40) && !is_other;
        self.name(position).filter(|_| is_call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Under `freight, "Zoll"`: an enum, a type in odd letters, a text type with operators of its own and some functions.
    fn schemas() -> Schemas {
        let mut schemas = Schemas::default();
        for (kind, name, schema) in [
            ("type", "cstate", "freight"),
            ("type", "Stand", "Zoll"),
            ("type", "citext", "ext"),
            ("type", "mode", "freight"),
            ("type", "double", "freight"),
            ("function", "slug", "freight"),
            ("function", "Kürzel", "Zoll"),
            ("function", "operator", "freight"),
        ] {
            schemas.add(kind, name.to_owned(), schema.to_owned());
        }
        schemas
    }

    #[test]
    fn names_get_the_schema_that_they_are_found_in() {
        for (text, expected) in [
            (
                "(c.state = 'customs'::cstate)",
                "(c.state = 'customs'::freight.cstate)",
            ),
            (
                "(c.state = ANY ('{customs,draft}'::cstate[]))",
                "(c.state = ANY ('{customs,draft}'::freight.cstate[]))",
            ),
            (
                "(t.s <> 'offen'::\"Stand\")",
                "(t.s <> 'offen'::\"Zoll\".\"Stand\")",
            ),
            ("(t.a = 'x'::citext)", "(t.a = 'x'::ext.citext)"),
            (
                "((t.a = ANY ('{x,y}'::citext[])) AND (t.a < 'z'::citext))",
                "((t.a = ANY ('{x,y}'::ext.citext[])) AND (t.a < 'z'::ext.citext))",
            ),
            (
                "(slug((t.name)::text) = \"Kürzel\"('a'::text))",
                "(freight.slug((t.name)::text) = \"Zoll\".\"Kürzel\"('a'::text))",
            ),
            ("(t.m = 'x'::mode)", "(t.m = 'x'::freight.mode)"),
        ] {
            assert_eq!(schemas().qualified(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_such_name_stays() {
        for text in [
            "(c.state = 'customs'::other.cstate)",
            "(t.a OPERATOR(other.=) 'x'::text)",
            "(other.slug(t.a) = 'x'::text)",
            "(t.slug = 'slug(x)::cstate'::text)",
            "(t.slug > 5)",
            "(cstate.mode = (t.a)::character varying)",
            "mode",
            "(t.a = '5'::double precision)",
            "(NOT (hashed SubPlan 1))",
            "not ( SQL '",
        ] {
            assert_eq!(schemas().qualified(text), text);
        }
    }

    #[test]
    fn only_what_is_not_known_is_asked_for() {
        let mut schemas = Schemas::default();
        let unknown = |schemas: &Schemas, text: &str| schemas.unknown([text.to_owned()].iter());
        let text = "((t.a = 'x'::citext) AND (lower((t.b)::text) = 'y'::text) AND (slug(t.b) ~~ 'y'::text))";
        let first = unknown(&schemas, text);
        let set = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<String>>()
        };
        assert_eq!(first.types, set(&["citext"]));
        assert_eq!(first.functions, set(&["slug"]));
        schemas.were_asked(first);
        assert!(unknown(&schemas, text).is_empty());
        let more = unknown(&schemas, "(t.a ~~ 'x'::citext)");
        assert!(more.is_empty());
        assert!(unknown(&schemas, "(lower(t.b) = 'y'::text)").is_empty());
    }

    #[test]
    fn a_path_is_looked_in_in_its_order() {
        assert_eq!(
            looked_in("freight, \"Zoll\", pg_temp"),
            ["pg_catalog", "freight", "Zoll"]
        );
        assert_eq!(looked_in("a, pg_catalog, pg_temp"), ["a", "pg_catalog"]);
        assert_eq!(looked_in("pg_temp"), ["pg_catalog"]);
    }
}

//! What a statement names: relations, functions, operators, types. It is read from the whole parse tree whatever its
//! nodes are, so that no kind of node can be forgotten.
//!
//! A server of another version may read a word as the name of a function that our grammar knows as syntax of its own
//! (`json_scalar(1)` before 17, say), so a keyword is a possible name, too.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::operators::operators;
use super::{ParseError, parse_one};

/// A name as it stands in the statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The schema, where the statement gives one.
    pub schema: Option<String>,
    /// The last part.
    pub name: String,
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    Select,
    Insert,
    Update,
    Delete,
    Merge,
}

/// What a statement names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// What it does.
    pub command: Command,
    /// What it writes to, if it does.
    pub target: Option<Name>,
    /// Whether it locks rows (`FOR UPDATE`).
    pub locks_rows: bool,
    /// Whether it writes, be it in a query of WITH alone.
    pub writes: bool,
    /// Tables, views and the like, without what WITH names in it.
    pub relations: BTreeSet<Name>,
    /// Functions, and words that another version may take for one.
    pub functions: BTreeSet<Name>,
    /// `b` of `a.b`, which calls the function b if a has no such column.
    pub attributes: BTreeSet<String>,
    /// Operators that are written, and those that other syntax (IN, USING, CASE) looks up by name.
    pub operators: BTreeSet<Name>,
    /// Types, functions that may be types (`date(x)`), and words that another version may take for one.
    pub types: BTreeSet<Name>,
}

/// The statements that write, by the parser's names of their nodes.
const WRITES: [(&str, Command); 4] = [
    ("InsertStmt", Command::Insert),
    ("UpdateStmt", Command::Update),
    ("DeleteStmt", Command::Delete),
    ("MergeStmt", Command::Merge),
];

/// The names in a text that is exactly one query. Nesting and length are bounded by the parser.
///
/// # Errors
/// If the text does not parse, or is no single query.
pub fn names(text: &str) -> Result<Names, ParseError> {
    let statement = parse_one(text)?;
    let tree = serde_json::to_value(&statement).map_err(|error| ParseError(error.to_string()))?;
    let mut names = Names {
        command: Command::Select,
        target: None,
        locks_rows: false,
        writes: false,
        relations: BTreeSet::new(),
        functions: BTreeSet::new(),
        attributes: BTreeSet::new(),
        operators: operators(&tree),
        types: BTreeSet::new(),
    };
    for (node, command) in WRITES {
        if let Some(write) = tree.pointer(&format!("/stmt/node/{node}")) {
            names.command = command;
            names.target = write["relation"].as_object().map(relation_name);
        }
    }
    names.read(&tree, &[]);
    names.read_keywords(text)?;
    names.types.extend(names.functions.iter().cloned());
    Ok(names)
}

pub(super) fn bare(name: &str) -> Name {
    Name {
        schema: None,
        name: name.to_owned(),
    }
}

fn relation_name(range: &Map<String, Value>) -> Name {
    let part = |key: &str| range.get(key).and_then(Value::as_str).unwrap_or_default();
    Name {
        schema: Some(part("schemaname").to_owned()).filter(|schema| !schema.is_empty()),
        name: part("relname").to_owned(),
    }
}

/// The strings of a list of nodes: the parts of a name. What is no string (`*`, a subscript) is left out.
pub(super) fn parts(list: &Value) -> Vec<&str> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| item.pointer("/node/String/sval")?.as_str())
        .collect()
}

/// The name that a list of its parts makes.
pub(super) fn qualified(list: &Value) -> Option<Name> {
    let parts = parts(list);
    let (name, before) = parts.split_last()?;
    Some(Name {
        schema: before.last().map(|schema| (*schema).to_owned()),
        name: (*name).to_owned(),
    })
}

impl Names {
    /// Reads a node and what is below; `scope` holds the names that WITH gives here.
    fn read(&mut self, value: &Value, scope: &[String]) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.read(item, scope)),
            Value::Object(fields) => self.read_fields(fields, scope),
            _ => {}
        }
    }

    fn read_fields(&mut self, fields: &Map<String, Value>, scope: &[String]) {
        self.read_names(fields, scope);
        let inner = match fields.get("with_clause").and_then(Value::as_object) {
            Some(with) => self.read_with(with, scope),
            None => scope.to_vec(),
        };
        for (key, value) in fields {
            // what is locked is named as FROM names it, by an alias where it has one
            if key == "with_clause" || key == "locked_rels" {
                continue;
            }
            // what is written to is never a name of WITH
            if WRITES.iter().any(|(write, _)| write == key) {
                self.writes = true;
                self.relations
                    .extend(value["relation"].as_object().map(relation_name));
            }
            self.read(value, &inner);
        }
    }

    /// The names that this very node holds, told by the fields that only such a node has.
    fn read_names(&mut self, fields: &Map<String, Value>, scope: &[String]) {
        if fields.contains_key("relname") {
            let name = relation_name(fields);
            if name.schema.is_some() || !scope.contains(&name.name) {
                self.relations.insert(name);
            }
        }
        if let Some(function) = fields.get("funcname") {
            self.functions.extend(qualified(function));
        }
        if let Some(sample) = fields.get("RangeTableSample") {
            self.functions.extend(qualified(&sample["method"]));
        }
        if fields.contains_key("type_oid") {
            self.types.extend(fields.get("names").and_then(qualified));
        }
        let operators = [
            fields.get("AExpr").map(|node| &node["name"]),
            fields.get("oper_name"),
            fields.get("use_op"),
        ];
        self.operators
            .extend(operators.into_iter().flatten().filter_map(qualified));
        if let Some(reference) = fields.get("ColumnRef") {
            let parts = parts(&reference["fields"]);
            self.attributes
                .extend(parts.iter().skip(1).map(|part| (*part).to_owned()));
        }
        if let Some(list) = fields.get("indirection") {
            self.attributes
                .extend(parts(list).iter().map(|part| (*part).to_owned()));
        }
        let locks = fields.get("locking_clause").and_then(Value::as_array);
        self.locks_rows |= locks.is_some_and(|locks| !locks.is_empty());
    }

    /// Reads the queries of a WITH, and answers what is in scope after it.
    fn read_with(&mut self, with: &Map<String, Value>, scope: &[String]) -> Vec<String> {
        let ctes = with.get("ctes").and_then(Value::as_array);
        let ctes = ctes.map(Vec::as_slice).unwrap_or_default();
        let name = |cte: &Value| {
            cte.pointer("/node/CommonTableExpr/ctename")
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let mut inner = scope.to_vec();
        let recursive = with.get("recursive").and_then(Value::as_bool) == Some(true);
        if recursive {
            inner.extend(ctes.iter().filter_map(name));
        }
        for cte in ctes {
            self.read(cte, &inner);
            // without RECURSIVE a query sees only those before it
            inner.extend(name(cte).filter(|_| !recursive));
        }
        inner
    }

    /// Keywords of our grammar may be names to the server's: of a function where a parenthesis follows, of a type anywhere.
    fn read_keywords(&mut self, text: &str) -> Result<(), ParseError> {
        use pg_query::protobuf::{KeywordKind, Token};
        let comment = |token: i32| token == Token::SqlComment as i32 || token == Token::CComment as i32;
        let scan = pg_query::scan(text).map_err(|error| ParseError(error.to_string()))?;
        let tokens: Vec<_> = scan.tokens.iter().filter(|token| !comment(token.token)).collect();
        for (at, token) in tokens.iter().enumerate() {
            if token.keyword_kind == KeywordKind::NoKeyword as i32 {
                continue;
            }
            let word = text
                .get(token.start as usize..token.end as usize)
                .unwrap_or_default();
            let word = bare(&word.to_ascii_lowercase());
            let opens = |next: &&pg_query::protobuf::ScanToken| next.token == Token::Ascii40 as i32;
            if tokens.get(at + 1).is_some_and(opens) {
                self.functions.insert(word.clone());
            }
            self.types.insert(word);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relations(text: &str) -> String {
        let names = names(text).unwrap();
        let list: Vec<String> = names.relations.iter().map(show).collect();
        list.join(" ")
    }

    fn show(name: &Name) -> String {
        match &name.schema {
            Some(schema) => format!("{schema}.{}", name.name),
            None => name.name.clone(),
        }
    }

    fn has(names: &BTreeSet<Name>, name: &str) -> bool {
        names.iter().any(|one| show(one) == name)
    }

    #[test]
    fn relations_wherever_they_stand() {
        let text = "SELECT (SELECT max(x) FROM a) FROM s.b JOIN LATERAL (SELECT * FROM c, ONLY d) l ON EXISTS (TABLE e)
                    WHERE f = ANY (SELECT 1 FROM g TABLESAMPLE system (1)) UNION ALL SELECT 1 FROM h
                    ORDER BY (SELECT 1 FROM i) LIMIT (SELECT 1 FROM j)";
        assert_eq!(relations(text), "a c d e g h i j s.b");
        let text = "INSERT INTO a SELECT * FROM b ON CONFLICT (x) DO UPDATE SET y = (SELECT 1 FROM c) RETURNING (SELECT 1 FROM d)";
        assert_eq!(relations(text), "a b c d");
        let text = "MERGE INTO a USING (SELECT * FROM b) AS c ON true WHEN MATCHED AND EXISTS (SELECT FROM d) THEN DELETE";
        assert_eq!(relations(text), "a b d");
        assert_eq!(
            relations(
                "SELECT * FROM JSON_TABLE((SELECT a FROM x), '$' COLUMNS (b int)) j, XMLTABLE('a' PASSING (SELECT c FROM y) COLUMNS d int) k"
            ),
            "x y"
        );
    }

    #[test]
    fn names_of_with_are_no_relations_where_they_are_in_scope() {
        assert_eq!(relations("WITH a AS (SELECT 1) SELECT * FROM a"), "");
        assert_eq!(relations("WITH a AS (SELECT * FROM a) SELECT * FROM a"), "a");
        assert_eq!(
            relations("WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT 1"),
            "b"
        );
        assert_eq!(
            relations(
                "WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT 1 UNION SELECT * FROM b) SELECT 1"
            ),
            ""
        );
        assert_eq!(
            relations("WITH a AS (SELECT 1) SELECT * FROM s.a, (SELECT (SELECT 1 FROM a)) x"),
            "s.a"
        );
        assert_eq!(
            relations("SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) x, a"),
            "a"
        );
        assert_eq!(
            relations("WITH a AS (SELECT 1) UPDATE a SET x = 1 FROM a AS b"),
            "a"
        );
        assert_eq!(
            relations("WITH a AS (INSERT INTO t VALUES (1) RETURNING *) INSERT INTO u SELECT * FROM a"),
            "t u"
        );
    }

    #[test]
    fn functions_operators_and_types() {
        let text = "SELECT f(o.total), s.g(1)::app.dom, (o).name, (x(1)).y, 'a'::text[], app.t '1', date(z), o.* FROM t o
                    WHERE a OPERATOR(s.===) ANY (SELECT 1) AND b !~~ c AND d <<< ALL (ARRAY[1]) ORDER BY e USING >>>";
        let names = names(text).unwrap();
        for function in ["f", "s.g", "x", "date"] {
            assert!(has(&names.functions, function), "{function}");
        }
        assert_eq!(
            names.attributes.iter().map(String::as_str).collect::<Vec<_>>(),
            ["name", "total", "y"]
        );
        for operator in ["s.===", "!~~", "<<<", ">>>"] {
            assert!(has(&names.operators, operator), "{operator}");
        }
        assert!(!has(&names.operators, "="), "nothing here looks it up");
        for kind in ["app.dom", "text", "app.t", "date"] {
            assert!(has(&names.types, kind), "{kind}");
        }
    }

    #[test]
    fn what_another_version_takes_for_a_function_is_a_name() {
        let names =
            names("SELECT JSON_SCALAR /* a */ (1), merge_action(), json_object('a': 1 RETURNING app.t), U&\"\\0065vil\"(2)")
                .unwrap();
        for function in ["json_scalar", "merge_action", "json_object", "evil"] {
            assert!(has(&names.functions, function), "{function}");
        }
        assert!(has(&names.types, "app.t"));
    }

    #[test]
    fn what_a_statement_does() {
        let of = |text: &str| {
            let names = names(text).unwrap();
            (names.command, names.target.as_ref().map(show), names.locks_rows)
        };
        assert_eq!(
            of("UPDATE s.t SET a = 1"),
            (Command::Update, Some("s.t".to_owned()), false)
        );
        assert_eq!(
            of("SELECT 1 FROM (SELECT 1 FROM t FOR UPDATE) x"),
            (Command::Select, None, true)
        );
        let queue = "UPDATE jobs SET run = true WHERE ctid IN (SELECT ctid FROM jobs ORDER BY due LIMIT 1 FOR UPDATE SKIP LOCKED)";
        assert!(of(queue).2);
        assert_eq!(
            of("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE").0,
            Command::Merge
        );
        let writes = |text: &str| names(text).unwrap().writes;
        assert!(writes("UPDATE t SET a = 1") && !writes("SELECT a FROM t FOR UPDATE"));
        assert!(writes(
            "WITH gone AS (DELETE FROM t RETURNING a) SELECT * FROM gone"
        ));
        assert!(names("SELECT 1; SELECT 2").is_err());
        assert!(names("DROP TABLE t").is_err());
    }
}

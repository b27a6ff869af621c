//! Parameters that have lost their type. `date '2026-01-01' + 30` is `date $1 + $2` in pg_stat_statements, and of `$2` nothing tells
//! any more whether it was a number or an interval; of `(SELECT $1 AS id) s … t.id = s.id` the server makes a text. What it
//! says against such a text, and where, tells behind which parameters a type is missing. A number is guessed to be an integer,
//! which becomes every other kind of number by itself; what is compared is of the type of the other side.
//!
//! Nothing here depends on the language in which a server speaks but for what an INSERT or an UPDATE assigns.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, ParseResult, RawStmt, Token};
use serde_json::Value;

use super::names::parts;
use super::parse_one;
use super::twin::{keeping, parameters, visit};

/// What a server says against a text, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// SQLSTATE.
    pub code: String,
    /// Its message.
    pub message: String,
    /// How many characters of the text stand before the place; `None` if it names no place.
    pub characters_before: Option<usize>,
}

/// Names that mean nothing (columns, tables), types that nothing tells, or tells in one place only, operators and functions that
/// are several or none for these types, and assignments of other types.
const NO_SUCH_COLUMN: &str = "42703";
const NO_SUCH_TABLE: &str = "42P01";
const NO_TYPE: &str = "42P18";
const NO_TYPE_HERE: &str = "42P08";
const SEVERAL: &str = "42725";
const NO_OPERATOR: &str = "42883";
const OTHER_TYPE: &str = "42804";

/// Operators of numbers: what is computed with them is no text.
const ARITHMETIC: [&str; 11] = ["+", "-", "*", "/", "%", "^", "<<", ">>", "&", "|", "#"];
const NUMBER: &str = "integer";
const TEXT: &str = "text";

/// The same text with a type behind the parameters that a server missed it for, or with a parameter where the variable of a
/// function stood; `None` if what it says is about something else. It may have more to say afterwards.
pub fn with_types(text: &str, said: &Objection) -> Option<String> {
    let statement = parse_one(text).ok()?;
    let tree = serde_json::to_value(&statement).ok()?;
    let reader = Reader { text, tree: &tree };
    let place = said.characters_before.and_then(|count| byte_of(text, count));
    let edits = match said.code.as_str() {
        NO_TYPE => {
            let number = parameter_in(&said.message)?;
            if !parameters(&tree).contains(&i64::try_from(number).ok()?) {
                return keeping_all(statement, &tree);
            }
            reader.of_no_type(number)
        }
        NO_TYPE_HERE => reader.apart(place?)?,
        NO_SUCH_COLUMN | NO_SUCH_TABLE => reader.variable(place?)?,
        OTHER_TYPE => reader.assigned(place?, &said.message),
        SEVERAL | NO_OPERATOR => reader.operands(place?, &said.message),
        _ => return None,
    };
    edited(text, &edits)
}

/// What takes the place of bytes of a text: from the one, up to the other.
type Edits = BTreeMap<(usize, usize), String>;

fn edited(text: &str, edits: &Edits) -> Option<String> {
    if edits.is_empty() {
        return None;
    }
    let mut out = text.to_owned();
    for ((start, end), by) in edits.iter().rev() {
        out.get(*start..*end)?;
        out.replace_range(*start..*end, by);
    }
    parse_one(&out).ok()?;
    Some(out)
}

/// The byte behind so many characters.
fn byte_of(text: &str, characters: usize) -> Option<usize> {
    text.char_indices().nth(characters).map(|(byte, _)| byte)
}

/// The number of the parameter that a message names.
fn parameter_in(message: &str) -> Option<usize> {
    let digits: String = message
        .split_once('$')?
        .1
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

/// The types left and right of the operator that a message ends with, as `integer = text`.
fn types(message: &str) -> Option<(&str, &str)> {
    let (_, told) = message.rsplit_once(": ")?;
    let is_sign = |c: char| "+-*/<>=~!@#%^&|`?".contains(c);
    let is_operator = |word: &&str| !word.is_empty() && word.chars().all(is_sign);
    let operator = told.split(' ').find(is_operator)?;
    told.split_once(&format!(" {operator} "))
}

/// The type that a parameter gets of which the other side has this one. A quoted name is not taken over from a message.
fn beside(other: &str) -> &str {
    let element = other.trim_end_matches("[]");
    let is_name = |c: char| c.is_alphanumeric() || "_. ".contains(c);
    match element {
        "" | TEXT | "unknown" => NUMBER,
        _ if element.chars().all(is_name) => element,
        _ => NUMBER,
    }
}

/// The kind of a node, and what it holds.
fn of_node(node: &Value) -> Option<(&str, &Value)> {
    let (kind, value) = node.get("node")?.as_object()?.iter().next()?;
    Some((kind.as_str(), value))
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn count_in(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

/// Whether an expression computes with numbers, or with a date and a number.
fn is_arithmetic(expression: &Value) -> bool {
    let operator = parts(&expression["name"]).last().copied().unwrap_or_default();
    expression["kind"].as_i64() == Some(AExprKind::AexprOp as i64) && ARITHMETIC.contains(&operator)
}

/// The nodes that give a node its type.
fn beneath<'a>(kind: &str, value: &'a Value) -> Vec<&'a Value> {
    let all = |list: &'a Value| -> Vec<&'a Value> { items(list).iter().collect() };
    match kind {
        "AExpr" if is_arithmetic(value) => vec![&value["lexpr"], &value["rexpr"]],
        "AArrayExpr" => all(&value["elements"]),
        "List" => all(&value["items"]),
        "CoalesceExpr" | "MinMaxExpr" => all(&value["args"]),
        "FuncCall" => match parts(&value["funcname"]).last() {
            Some(&("unnest" | "min" | "max")) => all(&value["args"]),
            _ => Vec::new(),
        },
        "CaseExpr" => items(&value["args"])
            .iter()
            .map(|when| &when["node"]["CaseWhen"]["result"])
            .chain([&value["defresult"]])
            .collect(),
        _ => Vec::new(),
    }
}

/// The expression, the call or the column that begins in a place; of an operator that is where it stands itself.
fn found_at(tree: &Value, place: usize) -> Option<(&str, &Value)> {
    match tree {
        Value::Object(fields) => fields.iter().find_map(|(kind, value)| {
            let is_one = ["AExpr", "SubLink", "FuncCall", "ColumnRef"].contains(&kind.as_str());
            match is_one && count_in(&value["location"]) == Some(place) {
                true => Some((kind.as_str(), value)),
                false => found_at(value, place),
            }
        }),
        Value::Array(values) => values.iter().find_map(|value| found_at(value, place)),
        _ => None,
    }
}

/// The positions of the columns of that name in what a SELECT or VALUES gives.
fn positions_in(select: &Value, name: &str) -> Vec<usize> {
    let mut first = select;
    while !first["larg"].is_null() {
        first = &first["larg"];
    }
    let unnamed = name
        .strip_prefix("column")
        .and_then(|number| number.parse::<usize>().ok()?.checked_sub(1))
        .filter(|_| !items(&first["values_lists"]).is_empty());
    let is_it = |target: &Value| target["node"]["ResTarget"]["name"].as_str() == Some(name);
    let targets = items(&first["target_list"]).iter().enumerate();
    let named = targets.filter(|(_, target)| is_it(target));
    named.map(|(position, _)| position).chain(unnamed).collect()
}

/// Parameters that were found, by where they stand and their numbers; and the names of columns that were looked up, each once.
#[derive(Default)]
struct Found {
    parameters: BTreeSet<(usize, usize)>,
    names: BTreeSet<String>,
}

/// A text and its tree.
struct Reader<'a> {
    text: &'a str,
    tree: &'a Value,
}

impl Reader<'_> {
    /// Writes a type behind the parameters without one that a node has its type from.
    fn cast(&self, node: &Value, kind: &str, edits: &mut Edits) {
        let mut found = Found::default();
        self.collect(node, &mut found);
        self.cast_all(&found.parameters, kind, edits);
    }

    fn cast_all(&self, places: &BTreeSet<(usize, usize)>, kind: &str, edits: &mut Edits) {
        for (start, number) in places {
            let parameter = format!("${number}");
            let end = start + parameter.len();
            // what the parser told must stand there
            if self.text.get(*start..end) == Some(parameter.as_str()) {
                edits.insert((end, end), format!("::{kind}"));
            }
        }
    }

    fn collect(&self, node: &Value, found: &mut Found) {
        let Some((kind, value)) = of_node(node) else {
            return;
        };
        match kind {
            "ParamRef" => {
                let place = count_in(&value["location"]).zip(count_in(&value["number"]));
                found.parameters.extend(place);
            }
            "ColumnRef" => {
                if let Some(name) = parts(&value["fields"]).last() {
                    self.collect_columns_named(name, found);
                }
            }
            "SubLink" => self.collect_column(&value["subselect"]["node"]["SelectStmt"], 0, found),
            _ => beneath(kind, value)
                .into_iter()
                .for_each(|part| self.collect(part, found)),
        }
    }

    /// Of what a SELECT or VALUES gives in this position.
    fn collect_column(&self, select: &Value, position: usize, found: &mut Found) {
        for side in ["larg", "rarg"] {
            if !select[side].is_null() {
                self.collect_column(&select[side], position, found);
            }
        }
        let rows = items(&select["values_lists"]).iter();
        for value in rows.filter_map(|row| row["node"]["List"]["items"].get(position)) {
            self.collect(value, found);
        }
        if let Some(target) = items(&select["target_list"]).get(position) {
            self.collect(&target["node"]["ResTarget"]["val"], found);
        }
    }

    /// Of what a subquery, a WITH, VALUES or a function in FROM gives under a name.
    fn collect_columns_named(&self, name: &str, found: &mut Found) {
        /// Of one expression; one may be computed of another.
        const NAMES: usize = 30;
        if found.names.len() >= NAMES || !found.names.insert(name.to_owned()) {
            return;
        }
        let mut see = |kind: &str, value: &Value| {
            let (names, query) = match kind {
                "SelectStmt" => {
                    for position in positions_in(value, name) {
                        self.collect_column(value, position, found);
                    }
                    return true;
                }
                "RangeFunction" => {
                    self.collect_function(value, name, found);
                    return true;
                }
                "RangeSubselect" => (&value["alias"]["colnames"], &value["subquery"]),
                "CommonTableExpr" => (&value["aliascolnames"], &value["ctequery"]),
                _ => return true,
            };
            for (position, _) in parts(names).iter().enumerate().filter(|(_, one)| **one == name) {
                self.collect_column(&query["node"]["SelectStmt"], position, found);
            }
            true
        };
        visit(self.tree, &mut see);
    }

    /// Of a function in FROM, if it or its column has that name.
    fn collect_function(&self, range: &Value, name: &str, found: &mut Found) {
        let alias = &range["alias"];
        if alias["aliasname"].as_str() == Some(name) || parts(&alias["colnames"]).contains(&name) {
            for function in items(&range["functions"]) {
                self.collect(function, found);
            }
        }
    }

    /// Types for the operands of an operator, and the arguments of a function, that is none or several without.
    fn operands(&self, place: usize, message: &str) -> Edits {
        let mut edits = Edits::new();
        let Some((kind, value)) = found_at(self.tree, place) else {
            return edits;
        };
        if kind == "FuncCall" {
            for argument in items(&value["args"]) {
                self.cast(argument, NUMBER, &mut edits);
            }
            return edits;
        }
        if kind == "AExpr" && is_arithmetic(value) {
            self.cast(&value["lexpr"], NUMBER, &mut edits);
            self.cast(&value["rexpr"], NUMBER, &mut edits);
            return edits;
        }
        let (left, right) = types(message).unwrap_or((TEXT, TEXT));
        if kind == "SubLink" {
            let mut found = Found::default();
            self.collect_column(&value["subselect"]["node"]["SelectStmt"], 0, &mut found);
            self.cast_all(&found.parameters, beside(left), &mut edits);
            return edits;
        }
        for (side, own, other) in [(&value["lexpr"], left, right), (&value["rexpr"], right, left)] {
            if own.trim_end_matches("[]") == TEXT {
                self.cast(side, beside(other), &mut edits);
            } else if of_node(side).is_some_and(|(kind, _)| kind == "AExpr") {
                // a date less an unknown is a number of days, and less a number a date
                self.cast(side, NUMBER, &mut edits);
            }
        }
        edits
    }

    /// The type of the column that something is assigned to.
    fn assigned(&self, place: usize, message: &str) -> Edits {
        let wanted = message
            .split_once("is of type ")
            .and_then(|(_, rest)| rest.split_once(" but"))
            .map_or(NUMBER, |(kind, _)| beside(kind));
        let mut found = Found::default();
        if let Some(("ColumnRef", value)) = found_at(self.tree, place)
            && let Some(name) = parts(&value["fields"]).last()
        {
            self.collect_columns_named(name, &mut found);
        }
        // of `SELECT *` only the message names the column
        if found.parameters.is_empty()
            && let Some(name) = message.split('"').nth(1)
        {
            self.collect_columns_named(name, &mut found);
        }
        let mut edits = Edits::new();
        self.cast_all(&found.parameters, wanted, &mut edits);
        edits
    }

    /// Text for a parameter that may be of any type, and for those beside it among the arguments of a function.
    fn of_no_type(&self, number: usize) -> Edits {
        let mut places: BTreeMap<usize, BTreeSet<(usize, usize)>> = BTreeMap::new();
        let mut together: BTreeSet<usize> = [number].into();
        let mut typed: BTreeSet<usize> = BTreeSet::new();
        let number_of = |node: &Value| count_in(&node["node"]["ParamRef"]["number"]);
        visit(self.tree, &mut |kind, value| {
            match kind {
                "ParamRef" => {
                    if let Some(place) = count_in(&value["location"]).zip(count_in(&value["number"])) {
                        places.entry(place.1).or_default().insert(place);
                    }
                }
                "TypeCast" => typed.extend(number_of(&value["arg"])),
                "FuncCall" => {
                    let numbers: Vec<usize> = items(&value["args"]).iter().filter_map(number_of).collect();
                    if numbers.contains(&number) {
                        together.extend(numbers);
                    }
                }
                _ => {}
            }
            true
        });
        let mut edits = Edits::new();
        for (one, places) in places {
            // what also stands elsewhere may have its type from there
            let is_alone = one == number || places.len() == 1;
            if together.contains(&one) && !typed.contains(&one) && is_alone {
                self.cast_all(&places, TEXT, &mut edits);
            }
        }
        edits
    }

    /// A parameter of its own where one stands that has its type from another place: `$1 IS NULL OR a = $1`. To a generic plan
    /// that is the same.
    fn apart(&self, place: usize) -> Option<Edits> {
        let mut number = None;
        visit(self.tree, &mut |kind, value| {
            if kind == "ParamRef" && count_in(&value["location"]) == Some(place) {
                number = value["number"].as_i64();
            }
            true
        });
        let parameter = format!("${}", number?);
        let end = place + parameter.len();
        let next = parameters(self.tree).last()? + 1;
        let is_there = self.text.get(place..end) == Some(parameter.as_str());
        is_there.then(|| Edits::from([((place, end), format!("${next}::{TEXT}"))]))
    }

    /// A parameter in the place of a name that is no column. Of a statement that a function in PL/pgSQL runs, variables keep
    /// their names, and the numbers of parameters that they are to the server are left free.
    fn variable(&self, place: usize) -> Option<Edits> {
        let Some(("ColumnRef", named)) = found_at(self.tree, place) else {
            return None;
        };
        let used = parameters(self.tree);
        let free = (1..*used.last()?).find(|number| !used.contains(number))?;
        let names = parts(&named["fields"]);
        let mut starts = BTreeSet::new();
        visit(self.tree, &mut |kind, value| {
            let is_it = kind == "ColumnRef"
                && items(&value["fields"]).len() == names.len()
                && parts(&value["fields"]) == names;
            starts.extend(count_in(&value["location"]).filter(|_| is_it));
            true
        });
        let mut tokens = pg_query::scan(self.text).ok()?.tokens;
        // within a name, too, there may be comments
        let comments = [Token::CComment as i32, Token::SqlComment as i32];
        tokens.retain(|token| !comments.contains(&token.token));
        let mut edits = Edits::new();
        for (position, token) in tokens.iter().enumerate() {
            let start = usize::try_from(token.start).ok()?;
            if starts.contains(&start) {
                // a name, and a point and a name for each further part
                let last = tokens.get(position + 2 * names.len().checked_sub(1)?)?;
                edits.insert((start, usize::try_from(last.end).ok()?), format!("${free}"));
            }
        }
        Some(edits)
    }
}

/// The same statement with a query that nobody reads, which holds those of its parameters that are missing: a server asks for
/// the type of each.
fn keeping_all(mut statement: RawStmt, tree: &Value) -> Option<String> {
    /// A function does not have more variables.
    const NUMBERS: i64 = 1000;
    let used = parameters(tree);
    let last = used.last().copied().filter(|last| *last <= NUMBERS)?;
    let missing: Vec<i64> = (1..last).filter(|number| !used.contains(number)).collect();
    if missing.is_empty() {
        return None;
    }
    let with = match statement.stmt.as_mut()?.node.as_mut()? {
        NodeEnum::SelectStmt(select) => &mut select.with_clause,
        NodeEnum::InsertStmt(insert) => &mut insert.with_clause,
        NodeEnum::UpdateStmt(update) => &mut update.with_clause,
        NodeEnum::DeleteStmt(delete) => &mut delete.with_clause,
        NodeEnum::MergeStmt(merge) => &mut merge.with_clause,
        _ => return None,
    };
    *with = Some(keeping(with.take(), &missing));
    let whole = ParseResult {
        stmts: vec![statement],
        ..ParseResult::default()
    };
    let kept = pg_query::deparse(&whole, Default::default()).ok()?;
    parse_one(&kept).ok()?;
    Some(kept)
}

//! Whether a statement looks for the rows in which a column is NULL: what an index without them could not serve.

use pg_query::protobuf::{AExprKind, BoolExprType, JoinType, NullTestType};
use serde_json::{Map, Value};

use super::names::parts;
use super::parse_one;

/// A column, with the names under which statements may reach its table.
#[derive(Clone, Debug)]
pub struct Column<'a> {
    tables: Vec<(&'a str, &'a str)>,
    name: &'a str,
    /// The names as a statement in small letters would hold them.
    small_tables: Vec<String>,
    small_name: String,
}

impl<'a> Column<'a> {
    /// A column of that name. Schema and name of the table itself, and of those that it is a part of or inherits from.
    pub fn new(tables: Vec<(&'a str, &'a str)>, name: &'a str) -> Self {
        let small = |name: &str| name.to_lowercase().replace('"', "\"\"");
        Self {
            small_tables: tables.iter().map(|(_, table)| small(table)).collect(),
            small_name: small(name),
            tables,
            name,
        }
    }
}

/// A statement that is asked about many columns.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    text: &'a str,
    small: String,
}

impl<'a> Asked<'a> {
    /// The statement of that text.
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            small: text.to_lowercase(),
        }
    }
}

/// What statements do with the rows in which a column is NULL; of several the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nulls {
    /// They do not look for them by this column.
    NotWanted,
    /// One names the table, and cannot be read: it was cut, or is of another grammar.
    Unclear,
    /// One looks for them, or wants all rows in the order of the column.
    Wanted,
}

/// Words without which no statement that our parser knows can want NULLs.
const TELLING: [&str; 10] = [
    "null", "order", "group", "distinct", "over", "window", "not", "true", "false", "unknown",
];

/// What a statement does with the rows in which a column is NULL. Where it is not certain that a name means the column, it
/// is supposed to.
pub fn wanted_nulls(statement: &Asked<'_>, column: &Column<'_>) -> Nulls {
    let Asked { text, small } = statement;
    if !column.small_tables.iter().any(|table| small.contains(table)) {
        return Nulls::NotWanted;
    }
    let is_whole = !text.ends_with('…');
    // a statement without a condition may read the whole index for the column alone
    let may_tell = || !small.contains("where") || TELLING.iter().any(|word| small.contains(*word));
    if is_whole && !(small.contains(&column.small_name) && may_tell()) {
        return Nulls::NotWanted;
    }
    let mended = || parse_one(&super::mended(text)?).ok();
    let statement = parse_one(text).ok().or_else(mended);
    let Some(tree) = statement.and_then(|statement| serde_json::to_value(&statement).ok()) else {
        return Nulls::Unclear;
    };
    let mut reader = Reader {
        column,
        tables: Vec::new(),
    };
    reader.collect_tables(&tree);
    let names_it = reader.tables.iter().any(|table| reader.is_ours(table));
    match names_it && reader.wants_nulls(&tree) {
        true => Nulls::Wanted,
        false => Nulls::NotWanted,
    }
}

/// A table as a statement names it.
struct Named<'a> {
    schema: &'a str,
    name: &'a str,
    alias: Option<&'a str>,
}

struct Reader<'a> {
    column: &'a Column<'a>,
    tables: Vec<Named<'a>>,
}

fn is_kind(value: &Value, kind: i32) -> bool {
    value.as_i64() == Some(i64::from(kind))
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The references to columns in a part of a tree, and each `*`, which is none by its name.
fn collect_columns<'a>(tree: &'a Value, columns: &mut Vec<&'a Value>) {
    match tree {
        Value::Object(fields) if fields.contains_key("node") && !tree["node"]["ColumnRef"].is_null() => {
            columns.push(tree);
        }
        // the least and the greatest are looked for among the values
        Value::Object(_) if ["min", "max"].contains(&function_of(tree)) => {}
        Value::Object(fields) => fields.values().for_each(|value| collect_columns(value, columns)),
        Value::Array(values) => values.iter().for_each(|value| collect_columns(value, columns)),
        _ => {}
    }
}

fn function_of(tree: &Value) -> &str {
    parts(&tree["node"]["FuncCall"]["funcname"])
        .last()
        .copied()
        .unwrap_or_default()
}

impl<'a> Reader<'a> {
    fn collect_tables(&mut self, tree: &'a Value) {
        match tree {
            Value::Object(fields) => {
                if let Some(name) = tree["relname"].as_str() {
                    self.tables.push(Named {
                        schema: tree["schemaname"].as_str().unwrap_or_default(),
                        name,
                        alias: tree["alias"]["aliasname"].as_str(),
                    });
                }
                fields.values().for_each(|value| self.collect_tables(value));
            }
            Value::Array(values) => values.iter().for_each(|value| self.collect_tables(value)),
            _ => {}
        }
    }

    fn is_ours(&self, table: &Named<'_>) -> bool {
        let mut own = self.column.tables.iter();
        own.any(|(schema, name)| table.name == *name && (table.schema.is_empty() || table.schema == *schema))
    }

    /// Whether a node is the column as it stands, and of no table that is known to be another one.
    fn is_column(&self, node: &Value) -> bool {
        let names = parts(&node["node"]["ColumnRef"]["fields"]);
        let Some((name, qualifiers)) = names.split_last() else {
            return false;
        };
        if *name != self.column.name {
            return false;
        }
        let Some(qualifier) = qualifiers.last() else {
            return true;
        };
        let is_meant = |table: &&Named<'_>| table.alias.unwrap_or(table.name) == *qualifier;
        let mut meant = self.tables.iter().filter(is_meant).peekable();
        // the alias of a subquery may pass the column on
        meant.peek().is_none() || meant.any(|table| self.is_ours(table))
    }

    fn wants_nulls(&self, tree: &Value) -> bool {
        match tree {
            Value::Object(fields) => {
                self.asks(fields)
                    || self.sorts(fields)
                    || self.reads_all(fields)
                    || fields.values().any(|value| self.wants_nulls(value))
            }
            Value::Array(values) => values.iter().any(|value| self.wants_nulls(value)),
            _ => false,
        }
    }

    /// Whether this very node is a condition that NULLs may fulfil and an index can find, or one of which PostgreSQL does
    /// not see that NULLs cannot.
    fn asks(&self, fields: &Map<String, Value>) -> bool {
        let of = |kind: &str| fields.get(kind).unwrap_or(&Value::Null);
        let (test, negated, compared) = (of("NullTest"), of("BoolExpr"), of("AExpr"));
        let is_null =
            is_kind(&test["nulltesttype"], NullTestType::IsNull as i32) && self.is_column(&test["arg"]);
        let is_boolean = self.is_column(&of("BooleanTest")["arg"]);
        let is_negation = is_kind(&negated["boolop"], BoolExprType::NotExpr as i32);
        let is_negated = is_negation
            && items(&negated["args"])
                .iter()
                .any(|one| self.is_column(one) || self.is_column(&one["node"]["NullTest"]["arg"]));
        let of_row = |side: &Value| {
            items(&side["node"]["RowExpr"]["args"])
                .iter()
                .any(|one| self.is_column(one))
        };
        let operator = parts(&compared["name"]).last().copied().unwrap_or_default();
        let is_order = ["<", "<=", ">", ">="].contains(&operator);
        let is_row = is_order && (of_row(&compared["lexpr"]) || of_row(&compared["rexpr"]));
        is_null || is_boolean || is_negated || is_row
    }

    /// Whether this very node wants rows in the order of the column, and does not say that it has a value.
    fn sorts(&self, fields: &Map<String, Value>) -> bool {
        let of = |name: &str| fields.get(name).unwrap_or(&Value::Null);
        let mut window = items(of("partition_clause"))
            .iter()
            .chain(items(of("order_clause")));
        if window.any(|key| self.is_key(key, &[])) {
            return true;
        }
        if !fields.contains_key("sort_clause") {
            return false;
        }
        let targets = items(of("target_list"));
        let keys = [of("sort_clause"), of("group_clause"), of("distinct_clause")];
        let mut keys = keys.into_iter().flat_map(items);
        // DISTINCT alone is a list of nothing: of all that is selected
        let is_distinct = items(of("distinct_clause"))
            .iter()
            .any(|key| key["node"].is_null());
        let is_selected = || targets.iter().any(|target| self.is_target(target));
        let is_sorted = keys.any(|key| self.is_key(key, targets)) || is_distinct && is_selected();
        let is_joined = || items(of("from_clause")).iter().any(|from| self.joins(from));
        is_sorted && !self.has_value(of("where_clause")) && !is_joined()
    }

    /// Whether this very node selects from one table without any condition, and reads no other column: the whole index can
    /// answer that, and is smaller than the table.
    fn reads_all(&self, fields: &Map<String, Value>) -> bool {
        let of = |name: &str| fields.get(name).unwrap_or(&Value::Null);
        let from = items(of("from_clause"));
        let is_plain = fields.contains_key("target_list")
            && from.len() == 1
            && !from[0]["node"]["RangeVar"].is_null()
            && of("where_clause").is_null();
        let mut columns = Vec::new();
        collect_columns(of("target_list"), &mut columns);
        is_plain && !columns.is_empty() && columns.iter().all(|column| self.is_column(column))
    }

    /// Whether rows are sorted or grouped by the column, by its name, its place in what is selected, or its alias there.
    fn is_key(&self, key: &Value, targets: &[Value]) -> bool {
        let sorted = &key["node"]["SortBy"]["node"];
        let key = if sorted.is_null() { key } else { sorted };
        let sets = items(&key["node"]["GroupingSet"]["content"]);
        let place = key["node"]["AConst"]["val"]["Ival"]["ival"].as_u64();
        let place = place.and_then(|place| usize::try_from(place).ok()?.checked_sub(1));
        let alias = parts(&key["node"]["ColumnRef"]["fields"]);
        let is_named =
            |target: &&Value| matches!(&alias[..], [name] if target["node"]["ResTarget"]["name"] == **name);
        let is_placed = place.and_then(|place| targets.get(place));
        self.is_column(key)
            || is_placed.is_some_and(|target| self.is_target(target))
            || targets
                .iter()
                .filter(is_named)
                .any(|target| self.is_target(target))
            || sets.iter().any(|key| self.is_key(key, targets))
    }

    fn is_target(&self, target: &Value) -> bool {
        self.is_column(&target["node"]["ResTarget"]["val"])
    }

    /// Whether an inner join says that the column has a value.
    fn joins(&self, from: &Value) -> bool {
        let join = &from["node"]["JoinExpr"];
        is_kind(&join["jointype"], JoinType::JoinInner as i32)
            && (self.has_value(&join["quals"]) || self.joins(&join["larg"]) || self.joins(&join["rarg"]))
    }

    /// Whether a condition holds only where the column has a value, in a way that PostgreSQL sees.
    fn has_value(&self, condition: &Value) -> bool {
        let node = &condition["node"];
        let (together, test, compared) = (&node["BoolExpr"], &node["NullTest"], &node["AExpr"]);
        let arms = items(&together["args"]);
        if is_kind(&together["boolop"], BoolExprType::AndExpr as i32) {
            return arms.iter().any(|one| self.has_value(one));
        }
        if is_kind(&together["boolop"], BoolExprType::OrExpr as i32) {
            return arms.iter().all(|one| self.has_value(one));
        }
        if is_kind(&test["nulltesttype"], NullTestType::IsNotNull as i32) {
            return self.is_column(&test["arg"]);
        }
        // none of these is true of a NULL
        let is_strict = [
            AExprKind::AexprOp,
            AExprKind::AexprOpAny,
            AExprKind::AexprIn,
            AExprKind::AexprLike,
            AExprKind::AexprIlike,
            AExprKind::AexprBetween,
            AExprKind::AexprBetweenSym,
        ]
        .into_iter()
        .any(|kind| is_kind(&compared["kind"], kind as i32));
        is_strict && (self.is_column(&compared["lexpr"]) || self.is_column(&compared["rexpr"]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the column `gone` of `shop.items`.
    fn wanted(text: &str) -> Nulls {
        let column = Column::new(vec![("shop", "items"), ("shop", "things")], "gone");
        wanted_nulls(&Asked::new(text), &column)
    }

    #[test]
    fn who_looks_for_nulls() {
        for text in [
            "SELECT 1 FROM items WHERE gone IS NULL",
            "SELECT count(gone) FROM items",
            "SELECT gone FROM shop.items AS i",
            "SELECT 1 FROM shop.items i WHERE i.id = $1 AND (i.gone > $2 OR i.gone ISNULL)",
            "SELECT 1 FROM things WHERE gone IS NULL",
            "SELECT 1 FROM Items WHERE Gone Is Null",
            "UPDATE items SET a = $1 WHERE gone IS NULL",
            "DELETE FROM items USING u WHERE items.gone IS NULL AND u.id = items.id",
            "INSERT INTO log SELECT id FROM items WHERE gone IS NULL",
            "SELECT 1 FROM u WHERE NOT EXISTS (SELECT 1 FROM items WHERE items.u = u.id AND gone IS NULL)",
            "SELECT 1 FROM (SELECT * FROM items) x WHERE x.gone IS NULL",
            "SELECT 1 FROM items WHERE NOT gone",
            "SELECT 1 FROM items WHERE NOT (gone IS NOT NULL)",
            "SELECT 1 FROM items WHERE gone IS NOT TRUE",
            "SELECT id FROM items ORDER BY gone LIMIT $1",
            "SELECT id, gone AS g FROM items WHERE id > $1 ORDER BY g DESC NULLS LAST",
            "SELECT gone FROM items ORDER BY 1",
            "SELECT id FROM items WHERE (gone, id) > ($1, $2) ORDER BY id",
            "SELECT gone, count(*) FROM items GROUP BY gone",
            "SELECT gone, count(*) FROM items GROUP BY ROLLUP (gone)",
            "SELECT DISTINCT gone FROM items",
            "SELECT DISTINCT ON (gone) id FROM items",
            "SELECT row_number() OVER (PARTITION BY a ORDER BY gone) FROM items",
            "SELECT id FROM items LEFT JOIN u ON u.at = items.gone ORDER BY gone",
        ] {
            assert_eq!(wanted(text), Nulls::Wanted, "{text}");
        }
    }

    #[test]
    fn who_does_not() {
        for text in [
            "SELECT 1 FROM items WHERE gone = $1",
            "SELECT id, gone FROM items",
            "SELECT * FROM items",
            "SELECT gone FROM items JOIN u ON u.id = items.id",
            "SELECT 1 FROM items WHERE gone IS NOT NULL",
            "SELECT id FROM items WHERE gone > $1 ORDER BY gone LIMIT $2",
            "SELECT id FROM items WHERE a = $1 AND gone BETWEEN $2 AND $3 ORDER BY gone",
            "SELECT id FROM items WHERE gone = $1 OR gone = $2 GROUP BY id, gone",
            "SELECT id FROM items WHERE gone IN ($1, $2) ORDER BY gone",
            "SELECT id FROM items JOIN u ON u.at = items.gone ORDER BY items.gone",
            "SELECT u.id FROM items, u WHERE u.gone IS NULL",
            "SELECT 1 FROM other.items WHERE gone IS NULL",
            "SELECT 1 FROM items_old WHERE gone IS NULL",
            "SELECT id FROM items WHERE id IS NULL ORDER BY lower(gone)",
            "SELECT 1 FROM items WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.at = items.gone)",
            "SELECT max(gone) FROM items",
            "INSERT INTO items (id, gone) VALUES ($1, NULL)",
            "UPDATE items SET gone = NULL WHERE id = $1",
            "not SQL about others: gone IS NULL…",
        ] {
            assert_eq!(wanted(text), Nulls::NotWanted, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_and_names_the_table_is_unclear() {
        assert_eq!(
            wanted("SELECT a, b FROM items WHERE c IN ($1, $2…"),
            Nulls::Unclear
        );
        assert_eq!(wanted("GRAPH items MATCH gone IS NULL"), Nulls::Unclear);
        assert_eq!(
            wanted("SELECT a, b FROM users WHERE c IN ($1, $2…"),
            Nulls::NotWanted
        );
    }
}

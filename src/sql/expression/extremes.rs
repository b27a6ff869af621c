//! The least and the greatest in what is computed of all rows.

use serde_json::Value;

use super::{expression, is_aggregate};
use crate::model::remedy::quote_identifier;
use crate::sql::names::parts;

/// The columns of which a text of EXPLAIN takes `min` or `max`, as it names them, wherever in it: `(COALESCE(max(t.a), 0) + 1)`.
/// None where it computes anything else of the rows, for which all of them are read.
pub fn extremes(text: &str) -> Vec<String> {
    // most have none, which needs no parser
    if !text.contains("min(") && !text.contains("max(") {
        return Vec::new();
    }
    let tree =
        expression(text.trim_start_matches("PARTIAL ")).and_then(|node| serde_json::to_value(node).ok());
    let mut found = Extremes::default();
    if let Some(tree) = tree {
        found.take(&tree);
    }
    match found.has_others {
        true => Vec::new(),
        false => found.columns,
    }
}

#[derive(Default)]
struct Extremes {
    columns: Vec<String>,
    has_others: bool,
}

impl Extremes {
    fn take(&mut self, tree: &Value) {
        match tree {
            Value::Object(fields) => {
                for (kind, value) in fields {
                    match kind.as_str() {
                        "FuncCall" => self.take_call(value),
                        // of a row, though there are no groups: in another aggregate
                        "ColumnRef" => self.has_others = true,
                        _ => self.take(value),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.take(value)),
            _ => {}
        }
    }

    fn take_call(&mut self, call: &Value) {
        let name = parts(&call["funcname"]).last().copied().unwrap_or_default();
        let is_extreme = matches!(name, "min" | "max") && call["agg_filter"].is_null();
        match only_column(&call["args"]).filter(|_| is_extreme) {
            Some(column) => self.columns.push(column),
            None if is_aggregate(name) || call["agg_star"] == true => self.has_others = true,
            None => self.take(&call["args"]),
        }
    }
}

/// The column that is the one argument, also where it is cast, with the alias of its relation if there is one.
fn only_column(arguments: &Value) -> Option<String> {
    let [argument] = arguments.as_array().map(Vec::as_slice)? else {
        return None;
    };
    let mut argument = argument;
    while !argument["node"]["TypeCast"].is_null() {
        argument = &argument["node"]["TypeCast"]["arg"];
    }
    let fields = &argument["node"]["ColumnRef"]["fields"];
    let quoted: Vec<String> = parts(fields).into_iter().map(quote_identifier).collect();
    // a whole row, `t.*`, is no column
    (fields.as_array()?.len() == quoted.len()).then(|| quoted.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_found_in_what_is_computed_of_them() {
        for (text, columns) in [
            ("max(t.a)", &["t.a"][..]),
            ("PARTIAL max(a)", &["a"]),
            ("(COALESCE(max(seq), 0) + 1)", &["seq"]),
            ("(max(t.at) + '1 day'::interval)", &["t.at"]),
            ("(max(a) - min(b))", &["a", "b"]),
            ("max((name)::text)", &["name"]),
            ("min(\"T x\".\"A\")", &["\"T x\".\"A\""]),
            ("to_char(max(at), 'YYYY'::text)", &["at"]),
        ] {
            assert_eq!(extremes(text), columns, "{text}");
        }
    }

    #[test]
    fn what_reads_all_rows_has_no_extreme() {
        for text in [
            "sum(a)",
            "(max(a) + sum(b))",
            "(max(a) + count(*))",
            "(max(a) + my_count(b))",
            "max(a) FILTER (WHERE (b > 0))",
            "max((a + b))",
            "max(t.*)",
            "my_max(a)",
            "max(",
        ] {
            assert!(extremes(text).is_empty(), "{text}: {:?}", extremes(text));
        }
    }
}

//! What an index holds, and in which order: read from the definition that PostgreSQL prints of it (`pg_get_indexdef`).

use pg_query::NodeEnum;
use pg_query::protobuf::{IndexElem, Node, SortByDir, SortByNulls};

use super::expression::deparsed;
use crate::model::remedy::quote_identifier;

/// An index as its definition tells. Columns, expressions and the predicate are spelled in one way, so that equal texts mean
/// the same within one table.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexKeys {
    /// `btree`, `hash`, `gin`, …
    pub method: String,
    /// What it is searched by, in this order.
    pub keys: Vec<Key>,
    /// The columns of INCLUDE, as SQL spells them.
    pub include: Vec<String>,
    /// The condition on its rows.
    pub predicate: Option<String>,
    /// Whether it is UNIQUE.
    pub unique: bool,
    /// Whether it takes two NULLs for equal.
    pub nulls_not_distinct: bool,
}

/// One key of an index.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The name of a column as SQL spells it, or an expression.
    pub text: String,
    /// Where it is not the one of the column or expression.
    pub collation: Option<String>,
    /// Where it is not the default of the type; with its options.
    pub operator_class: Option<String>,
    /// `DESC`
    pub descending: bool,
    /// Whether NULLs come first.
    pub nulls_first: bool,
}

/// The keys of an index; none if this is no single CREATE INDEX that our parser can read.
pub fn index_keys(definition: &str) -> Option<IndexKeys> {
    let tree = pg_query::parse(definition, 0).ok()?.protobuf;
    let [statement] = &tree.stmts[..] else {
        return None;
    };
    let NodeEnum::IndexStmt(index) = statement.stmt.as_ref()?.node.as_ref()? else {
        return None;
    };
    let predicate = match index.where_clause.as_deref() {
        Some(condition) => Some(deparsed(condition)?),
        None => None,
    };
    Some(IndexKeys {
        method: index.access_method.clone(),
        keys: elements(&index.index_params, key)?,
        include: elements(&index.index_including_params, text)?,
        predicate,
        unique: index.unique,
        nulls_not_distinct: index.nulls_not_distinct,
    })
}

fn elements<T>(nodes: &[Node], read: fn(&IndexElem) -> Option<T>) -> Option<Vec<T>> {
    let element = |node: &Node| match node.node.as_ref()? {
        NodeEnum::IndexElem(element) => read(element),
        _ => None,
    };
    nodes.iter().map(element).collect()
}

fn key(element: &IndexElem) -> Option<Key> {
    let descending = element.ordering == SortByDir::SortbyDesc as i32;
    Some(Key {
        text: text(element)?,
        collation: name(&element.collation),
        operator_class: match name(&element.opclass) {
            Some(class) => Some(class + &options(&element.opclassopts)?),
            None => None,
        },
        descending,
        nulls_first: match SortByNulls::try_from(element.nulls_ordering) {
            Ok(SortByNulls::SortbyNullsFirst) => true,
            Ok(SortByNulls::SortbyNullsLast) => false,
            // as PostgreSQL does where nothing is said
            _ => descending,
        },
    })
}

fn text(element: &IndexElem) -> Option<String> {
    match element.expr.as_deref() {
        Some(expression) => deparsed(expression),
        None => Some(quote_identifier(&element.name)),
    }
}

/// A name of some parts as SQL spells it; none where there is no part.
fn name(parts: &[Node]) -> Option<String> {
    let part = |node: &Node| match &node.node {
        Some(NodeEnum::String(part)) => Some(quote_identifier(&part.sval)),
        _ => None,
    };
    let parts: Vec<String> = parts.iter().filter_map(part).collect();
    (!parts.is_empty()).then(|| parts.join("."))
}

/// The options of an operator class in parentheses; empty where there are none, and nothing if one cannot be read.
fn options(nodes: &[Node]) -> Option<String> {
    let option = |node: &Node| {
        let NodeEnum::DefElem(option) = node.node.as_ref()? else {
            return None;
        };
        let value = match option.arg.as_ref()?.node.as_ref()? {
            NodeEnum::String(value) => value.sval.clone(),
            NodeEnum::Integer(value) => value.ival.to_string(),
            NodeEnum::Float(value) => value.fval.clone(),
            _ => return None,
        };
        Some(format!("{}={value}", option.defname))
    };
    let options: Vec<String> = nodes.iter().map(option).collect::<Option<_>>()?;
    Some(match options.is_empty() {
        true => String::new(),
        false => format!(" ({})", options.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Key {
        Key {
            text: text.to_owned(),
            collation: None,
            operator_class: None,
            descending: false,
            nulls_first: false,
        }
    }

    #[test]
    fn everything_that_a_definition_says_is_read() {
        let definition = "CREATE UNIQUE INDEX \"T a\" ON ONLY s.\"T\" USING btree (a DESC, \"B c\" COLLATE \"C\" \
                          text_pattern_ops NULLS FIRST, lower(d), ((e ->> 'x'::text)) DESC NULLS LAST) INCLUDE (f, \"G\") \
                          NULLS NOT DISTINCT WITH (fillfactor='70') WHERE ((a > 0) AND (d IS NOT NULL))";
        let read = index_keys(definition).unwrap();
        assert_eq!(read.method, "btree");
        let a = Key {
            descending: true,
            nulls_first: true,
            ..plain("a")
        };
        let b = Key {
            collation: Some("\"C\"".into()),
            operator_class: Some("text_pattern_ops".into()),
            nulls_first: true,
            ..plain("\"B c\"")
        };
        assert_eq!(read.keys[..3], [a, b, plain("lower(d)")]);
        assert!(read.keys[3].text.contains("->>") && read.keys[3].descending && !read.keys[3].nulls_first);
        assert_eq!(read.include, ["f", "\"G\""]);
        assert_eq!(read.predicate.as_deref(), Some("a > 0 AND d IS NOT NULL"));
        assert!(read.unique && read.nulls_not_distinct);
    }

    #[test]
    fn a_plain_index_and_what_is_none() {
        let read = index_keys("CREATE INDEX i ON public.t USING hash (a)").unwrap();
        let expected = IndexKeys {
            method: "hash".into(),
            keys: vec![plain("a")],
            include: vec![],
            predicate: None,
            unique: false,
            nulls_not_distinct: false,
        };
        assert_eq!(read, expected);
        let class = |definition: &str| index_keys(definition).unwrap().keys[0].operator_class.clone();
        assert_eq!(
            class("CREATE INDEX i ON public.t USING gist (v tsvector_ops (siglen='500'))").as_deref(),
            Some("tsvector_ops (siglen=500)")
        );
        assert_eq!(
            class("CREATE INDEX i ON public.t USING gin (v ext.gin_trgm_ops)").as_deref(),
            Some("ext.gin_trgm_ops")
        );
        for none in ["", "SELECT 1", "CREATE INDEX i ON t (", "DROP INDEX i"] {
            assert_eq!(index_keys(none), None, "{none}");
        }
        assert_eq!(
            index_keys("CREATE INDEX i ON t (a); CREATE INDEX j ON t (b)"),
            None
        );
    }

    #[test]
    fn a_column_of_an_odd_name_is_no_expression() {
        let text = |keys: &str| {
            let read = index_keys(&format!("CREATE INDEX i ON public.t USING btree ({keys})"));
            read.unwrap().keys.remove(0).text
        };
        assert_eq!(text("lower(b)"), "lower(b)");
        assert_eq!(text("\"lower(b)\""), "\"lower(b)\"");
        assert_eq!(text("\"select\""), "\"select\"");
    }
}

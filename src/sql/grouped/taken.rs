//! A grouping statement taken apart: the columns of the view, what it is grouped by, and the conditions that become conditions on
//! the view.

use pg_query::protobuf::{AExprKind, ColumnRef, ResTarget, SelectStmt, SortByDir, SortByNulls};
use pg_query::{Node, NodeEnum};

use super::tree::{Columns, bare_column, contains, has_columns, has_parameters, name_of, whole_number};
use crate::model::remedy::quote_identifier;
use crate::sql::expression::deparsed;

/// Types of which one value is equal to itself alone, whoever compares it, and that a unique index takes.
const KEY_TYPES: [&str; 20] = [
    "bool",
    "int2",
    "int4",
    "int8",
    "numeric",
    "text",
    "varchar",
    "bpchar",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "uuid",
    "inet",
    "cidr",
    "macaddr",
    "bytea",
    "enum",
    "name",
];
/// Comparisons that hold for all rows of a group or for none.
const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];
/// Aggregates whose one row a unique index takes.
const SMALL: [&str; 7] = ["count", "sum", "min", "max", "avg", "bool_and", "bool_or"];
/// Columns that every table has and no view may.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"];
/// Of the name of a column: a number behind it must fit.
const COLUMN_BYTES: usize = 55;

/// The columns of the view.
pub(super) struct Taken {
    pub targets: Vec<Node>,
    /// Their expressions, as the parser spells them.
    spelled: Vec<String>,
    pub columns: Vec<String>,
    /// What PostgreSQL calls the statement's own, which come first.
    names: Vec<String>,
    /// Those that it is grouped by.
    pub keys: Vec<String>,
    /// What it is to be grouped by beside that.
    pub added: Vec<Node>,
    /// Columns of its tables, with their types.
    known: Columns,
}

impl Taken {
    pub fn of(select: &SelectStmt, known: Columns) -> Option<Self> {
        let mut taken = Self {
            targets: Vec::new(),
            spelled: Vec::new(),
            columns: Vec::new(),
            names: Vec::new(),
            keys: Vec::new(),
            added: Vec::new(),
            known,
        };
        for target in &select.target_list {
            let NodeEnum::ResTarget(target) = target.node.as_ref()? else {
                return None;
            };
            let expression = target.val.as_deref()?;
            let name = match target.name.as_str() {
                "" => name_of(expression),
                alias => alias.to_owned(),
            };
            taken.add(expression, &name)?;
            taken.names.push(name);
        }
        Some(taken)
    }

    /// Adds a column under a name that no other one has.
    fn add(&mut self, expression: &Node, name: &str) -> Option<usize> {
        let spelled = deparsed(expression)?;
        let wanted = match name {
            "?column?" => "column",
            name => crate::sql::cut(name, COLUMN_BYTES),
        };
        if SYSTEM_COLUMNS.contains(&wanted) {
            return None;
        }
        let is_taken = |name: &String| self.columns.contains(name);
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let name = std::iter::once(wanted.to_owned())
            .chain(numbered)
            .find(|name| !is_taken(name))?;
        self.targets.push(Node {
            node: Some(NodeEnum::ResTarget(Box::new(ResTarget {
                name: name.clone(),
                val: Some(Box::new(expression.clone())),
                ..ResTarget::default()
            }))),
        });
        self.spelled.push(spelled);
        self.columns.push(name);
        Some(self.columns.len() - 1)
    }

    /// The statement's own columns, with what it calls them.
    pub fn given(&self) -> Vec<(String, String)> {
        self.columns
            .iter()
            .cloned()
            .zip(self.names.iter().cloned())
            .collect()
    }

    fn position(&self, spelled: &str) -> Option<usize> {
        self.spelled.iter().position(|one| one == spelled)
    }

    fn numbered(&self, expression: &Node) -> Option<Option<usize>> {
        let number = whole_number(expression)?;
        Some(
            number
                .checked_sub(1)
                .filter(|position| *position < self.names.len()),
        )
    }

    fn by_name(&self, expression: &Node) -> Option<usize> {
        let name = bare_column(expression)?;
        self.names.iter().position(|one| *one == name)
    }

    /// The statement's column that GROUP BY means: a bare name is a column of a table if there is one.
    fn grouped(&self, expression: &Node) -> Option<usize> {
        if let Some(numbered) = self.numbered(expression) {
            return numbered;
        }
        let is_column = bare_column(expression).is_some_and(|name| self.known.contains_key(&name));
        let by_name = || self.by_name(expression).filter(|_| !is_column);
        self.position(&deparsed(expression)?).or_else(by_name)
    }

    /// The column that ORDER BY means: a bare name is one of the result if there is one.
    fn ordered(&self, expression: &Node) -> Option<usize> {
        if let Some(numbered) = self.numbered(expression) {
            return numbered;
        }
        let spelled = deparsed(expression)?;
        self.by_name(expression).or_else(|| self.position(&spelled))
    }

    /// What is grouped by, as the parser spells it, each a column of the view.
    pub fn group_keys(&mut self, select: &SelectStmt) -> Option<Vec<String>> {
        let mut keys = Vec::new();
        for key in &select.group_clause {
            let position = match self.grouped(key) {
                Some(position) => position,
                None if self.numbered(key).is_some() => return None,
                None => self.add(key, &name_of(key))?,
            };
            let target = self.targets[position].clone();
            if let Some(NodeEnum::ResTarget(target)) = &target.node
                && !self.may_be_key(target.val.as_deref()?)
            {
                return None;
            }
            let column = self.columns[position].clone();
            keys.push(self.spelled[position].clone());
            if !self.keys.contains(&column) {
                self.keys.push(column);
            }
        }
        Some(keys)
    }

    /// Whether equal values of a key are one value; of an expression its functions answer for that.
    fn may_be_key(&self, expression: &Node) -> bool {
        let Some(NodeEnum::ColumnRef(column)) = &expression.node else {
            return true;
        };
        let Some(NodeEnum::String(name)) = column.fields.last().and_then(|field| field.node.as_ref()) else {
            return false;
        };
        let types = self.known.get(&name.sval);
        types.is_some_and(|types| types.iter().all(|one| KEY_TYPES.contains(&one.as_str())))
    }

    /// A column of the one row that a unique index takes.
    pub fn small(&self) -> Option<String> {
        let is_small = |name: &&String| SMALL.contains(&name.as_str());
        let position = self.targets.iter().position(|target| match &target.node {
            Some(NodeEnum::ResTarget(target)) => {
                let name = target.val.as_deref().map(name_of);
                name.as_ref().is_some_and(|name| is_small(&name))
            }
            _ => false,
        });
        Some(self.columns[position?].clone())
    }

    /// Takes the conditions with parameters out of the query; what they become for the view.
    pub fn conditions(&mut self, select: &mut SelectStmt, keys: &[String]) -> Option<Vec<String>> {
        let is_grouped = !select.group_clause.is_empty();
        let (kept, asked): (Vec<Node>, Vec<Node>) = select
            .where_clause
            .take()
            .map(|all| conjuncts(*all))
            .unwrap_or_default()
            .into_iter()
            .partition(|one| !has_parameters(one));
        select.where_clause = together(kept);
        let mut conditions = Vec::new();
        for mut condition in asked {
            // without groups no row at all would be another answer than one that counts nothing
            if !is_grouped {
                return None;
            }
            let NodeEnum::AExpr(compared) = condition.node.as_mut()? else {
                return None;
            };
            // an operator with a schema is somebody else's
            let operator = operator(&compared.name).filter(|_| compared.name.len() == 1)?;
            let is_point = match compared.kind() {
                AExprKind::AexprOp if COMPARISONS.contains(&operator) => operator == "=",
                AExprKind::AexprIn | AExprKind::AexprOpAny if operator == "=" => false,
                AExprKind::AexprBetween => false,
                _ => return None,
            };
            let sides = (compared.lexpr.as_deref()?, compared.rexpr.as_deref()?);
            let is_left = match (has_columns(sides.0), has_columns(sides.1)) {
                (true, false) => true,
                (false, true) => false,
                _ => return None,
            };
            let side = if is_left { sides.0 } else { sides.1 };
            let other = if is_left { sides.1 } else { sides.0 };
            // a cast compares otherwise than the groups were made
            if has_parameters(side) || contains(other, "TypeCast") || !self.may_be_key(side) {
                return None;
            }
            let spelled = deparsed(side)?;
            let position = match self.position(&spelled).filter(|_| keys.contains(&spelled)) {
                Some(position) => position,
                None if is_point && matches!(side.node, Some(NodeEnum::ColumnRef(_))) => {
                    let position = self.add(side, &name_of(side))?;
                    self.added.push(side.clone());
                    self.keys.push(self.columns[position].clone());
                    position
                }
                _ => return None,
            };
            let column = Box::new(column(&self.columns[position]));
            match is_left {
                true => compared.lexpr = Some(column),
                false => compared.rexpr = Some(column),
            }
            conditions.push(deparsed(&condition)?);
        }
        Some(conditions)
    }

    /// ORDER BY of a column of the view.
    pub fn order(&self, item: &Node) -> Option<String> {
        let NodeEnum::SortBy(sort) = item.node.as_ref()? else {
            return None;
        };
        let position = self.ordered(sort.node.as_deref()?)?;
        let direction = match sort.sortby_dir() {
            SortByDir::SortbyDesc => " DESC",
            SortByDir::SortbyUsing => return None,
            _ => "",
        };
        let nulls = match sort.sortby_nulls() {
            SortByNulls::SortbyNullsFirst => " NULLS FIRST",
            SortByNulls::SortbyNullsLast => " NULLS LAST",
            _ => "",
        };
        Some(format!(
            "{}{direction}{nulls}",
            quote_identifier(&self.columns[position])
        ))
    }
}

fn operator(name: &[Node]) -> Option<&str> {
    match name.last().and_then(|part| part.node.as_ref()) {
        Some(NodeEnum::String(part)) => Some(&part.sval),
        _ => None,
    }
}

/// The parts of an AND.
fn conjuncts(node: Node) -> Vec<Node> {
    match node.node {
        Some(NodeEnum::BoolExpr(both)) if both.boolop() == pg_query::protobuf::BoolExprType::AndExpr => {
            both.args.into_iter().flat_map(conjuncts).collect()
        }
        _ => vec![node],
    }
}

fn together(mut parts: Vec<Node>) -> Option<Box<Node>> {
    match parts.len() {
        0 | 1 => parts.pop().map(Box::new),
        _ => Some(Box::new(Node {
            node: Some(NodeEnum::BoolExpr(Box::new(pg_query::protobuf::BoolExpr {
                boolop: pg_query::protobuf::BoolExprType::AndExpr as i32,
                args: parts,
                ..Default::default()
            }))),
        })),
    }
}

fn column(name: &str) -> Node {
    let name = pg_query::protobuf::String {
        sval: name.to_owned(),
    };
    Node {
        node: Some(NodeEnum::ColumnRef(ColumnRef {
            fields: vec![Node {
                node: Some(NodeEnum::String(name)),
            }],
            ..ColumnRef::default()
        })),
    }
}

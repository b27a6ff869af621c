//! Other types for columns: what keeps PostgreSQL from giving them, and what is said of it.

use crate::model::catalog::TableFacts;
use crate::model::remedy::{Remedy, Statement};
use crate::model::schema::{Schema, TypeChange};

/// A column that is to get another type.
#[derive(Clone, Debug)]
pub struct Retyped<'a> {
    /// Its table.
    pub table: &'a TableFacts,
    /// Its name.
    pub column: String,
    /// The type that it has, as `format_type` writes it.
    pub before: String,
    /// The type that it is to get.
    pub after: String,
}

impl Retyped<'_> {
    /// Its whole name, for people.
    pub fn name(&self) -> String {
        format!("{}.{}.{}", self.table.schema, self.table.name, self.column)
    }

    /// Gives it the other type.
    pub fn apply_sql(&self) -> String {
        self.sql(&self.after)
    }

    /// Gives it its own type again.
    pub fn undo_sql(&self) -> String {
        self.sql(&self.before)
    }

    fn sql(&self, type_name: &str) -> String {
        Statement::AlterColumnType {
            schema: self.table.schema.clone(),
            table: self.table.name.clone(),
            column: self.column.clone(),
            type_name: type_name.to_owned(),
        }
        .sql()
    }

    /// Whether nothing changes its type, ever.
    pub fn is_in_partition_key(&self, schema: &Schema) -> bool {
        // of partitions it is read with the table at their top
        let top_oid = self.table.partition_of.unwrap_or(self.table.oid);
        match schema.type_change(top_oid, &self.column) {
            TypeChange::Refused(why) => why.is_in_partition_key,
            TypeChange::Unknown | TypeChange::Free => false,
        }
    }

    /// Whether its type is changed in the parent of its table, and nowhere else: of a partition that is so for every column.
    pub fn is_inherited(&self, schema: &Schema) -> bool {
        self.table.partition_of.is_some()
            || match schema.type_change(self.table.oid, &self.column) {
                TypeChange::Refused(why) => why.is_inherited,
                TypeChange::Unknown | TypeChange::Free => false,
            }
    }

    /// Why PostgreSQL refuses the statement as long as nothing else is done, and what that is; none where it is not known to refuse.
    fn refusal(&self, schema: &Schema) -> Option<String> {
        let name = self.name();
        if self.is_in_partition_key(schema) {
            return Some(format!(
                "{name} is in the partition key, and no command gives such a column another type. Make another partitioned table \
                 with the wider column and the same partitions, let a trigger write what comes to it, too, fill it one partition \
                 after the other, and swap the names in one short transaction with a lock_timeout; sequences, foreign keys and \
                 views are made anew for it."
            ));
        }
        if self.is_inherited(schema) {
            return Some(format!(
                "{name} is inherited: its type is changed where it is declared, in the parent of its table."
            ));
        }
        let TypeChange::Refused(why) = schema.type_change(self.table.oid, &self.column) else {
            return None;
        };
        Some(format!(
            "PostgreSQL gives {name} no other type while these use it: {}. In one transaction drop them, change the type, and make \
             them anew; pg_get_viewdef, pg_get_triggerdef and \\d in psql tell how they were made.",
            listed(&why.used_by, usize::try_from(why.users).unwrap_or(0))
        ))
    }
}

/// The first of some names, and how many more there are.
pub fn listed(names: &[String], all: usize) -> String {
    /// Names that are told.
    const NAMED: usize = 10;
    let told = &names[..names.len().min(NAMED)];
    let more = match all.saturating_sub(told.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", told.join(", "))
}

/// Says what PostgreSQL refuses of a remedy that gives columns other types. Where it refuses some, the statements are told behind
/// what is to be done before, and not given to be run; where that is not known it is said that it may.
pub fn tell_refusals(remedy: &mut Remedy, schema: &Schema, changes: &[Retyped<'_>]) {
    let refusals: Vec<String> = changes.iter().filter_map(|one| one.refusal(schema)).collect();
    if refusals.is_empty() {
        let is_unknown = |one: &Retyped<'_>| {
            matches!(
                schema.type_change(one.table.oid, &one.column),
                TypeChange::Unknown
            )
        };
        if changes.iter().any(is_unknown) {
            remedy.caveats.push(
                "PostgreSQL refuses where a view, a generated column, a trigger or a policy uses the column (drop them and make them \
                 anew), and where it is in a partition key."
                    .to_owned(),
            );
        }
        return;
    }
    remedy.caveats.extend(refusals);
    let never = changes.iter().any(|one| one.is_in_partition_key(schema));
    withhold(remedy, never);
}

/// Tells the statements of a remedy as what comes after what its caveats tell, or not at all where they can never run.
pub fn withhold(remedy: &mut Remedy, never: bool) {
    let sql = std::mem::take(&mut remedy.apply_sql).join("; ");
    if !never && !sql.is_empty() {
        remedy.caveats.push(format!("After that: {sql}."));
    }
    remedy.undo_sql.clear();
    (remedy.lock, remedy.rewrites_table, remedy.extra_disk_bytes) = (None, None, None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::FixedColumn;
    use crate::rules::testing::table;

    fn told(fixed: Vec<FixedColumn>) -> Remedy {
        told_of(table(1, "t", 10.0, 1e6), fixed)
    }

    fn told_of(facts: TableFacts, fixed: Vec<FixedColumn>) -> Remedy {
        let schema = Schema {
            fixed_columns: fixed,
            ..Schema::default()
        };
        let change = Retyped {
            table: &facts,
            column: "Id".into(),
            before: "integer".into(),
            after: "bigint".into(),
        };
        let runs = !change.is_inherited(&schema);
        let mut remedy = Remedy {
            apply_sql: runs.then(|| change.apply_sql()).into_iter().collect(),
            undo_sql: vec![change.undo_sql()],
            lock: Some("ACCESS EXCLUSIVE".into()),
            ..Remedy::default()
        };
        tell_refusals(&mut remedy, &schema, &[change]);
        remedy
    }

    fn fixed(name: Option<&str>, change: impl FnOnce(&mut FixedColumn)) -> FixedColumn {
        let mut fixed = FixedColumn {
            table_oid: 1,
            name: name.map(str::to_owned),
            ..FixedColumn::default()
        };
        change(&mut fixed);
        fixed
    }

    #[test]
    fn what_nothing_stands_in_the_way_of_runs_as_it_is() {
        let unknown = told(vec![]);
        assert_eq!(unknown.apply_sql.len(), 1);
        assert!(unknown.caveats[0].contains("refuses where a view"));
        for free in [fixed(None, |_| ()), fixed(Some("other"), |other| other.users = 1)] {
            let free = told(vec![free]);
            assert_eq!((free.apply_sql.len(), free.undo_sql.len()), (1, 1));
            assert!(free.caveats.is_empty(), "{:?}", free.caveats);
        }
    }

    #[test]
    fn what_postgresql_refuses_is_told_and_not_given_to_be_run() {
        let used = told(vec![fixed(Some("Id"), |one| {
            (one.used_by, one.users) = (vec!["view app.v".into(), "trigger x of app.t".into()], 12);
        })]);
        assert_eq!(
            (used.apply_sql.len(), used.undo_sql.len(), used.lock),
            (0, 0, None)
        );
        assert!(
            used.caveats[0].contains("while these use it: view app.v, trigger x of app.t and 10 more."),
            "{:?}",
            used.caveats
        );
        assert_eq!(
            used.caveats[1],
            "After that: ALTER TABLE public.t ALTER COLUMN \"Id\" TYPE bigint."
        );
        let key = told(vec![fixed(Some("Id"), |one| one.is_in_partition_key = true)]);
        assert_eq!(
            (key.apply_sql.len(), key.caveats.len()),
            (0, 1),
            "there is no after"
        );
        let inherited = told(vec![fixed(Some("Id"), |one| one.is_inherited = true)]);
        assert!(
            inherited.caveats[0].contains("in the parent"),
            "{:?}",
            inherited.caveats
        );
    }

    #[test]
    fn a_column_of_a_partition_is_changed_in_its_parent() {
        let part = || TableFacts {
            partition_of: Some(1),
            ..table(3, "t_1", 10.0, 1e6)
        };
        // nothing stands in the way of the table at the top, nothing is known, and something uses it
        let in_a_view = |one: &mut FixedColumn| (one.used_by, one.users) = (vec!["view app.v".into()], 1);
        for known in [
            vec![fixed(None, |_| ())],
            vec![],
            vec![fixed(Some("Id"), in_a_view)],
        ] {
            let remedy = told_of(part(), known);
            assert_eq!((remedy.apply_sql.len(), remedy.undo_sql.len()), (0, 0));
            assert_eq!(remedy.caveats.len(), 1, "{:?}", remedy.caveats);
            assert!(
                remedy.caveats[0].contains("public.t_1.Id is inherited"),
                "{:?}",
                remedy.caveats
            );
        }
        let key = told_of(
            part(),
            vec![fixed(Some("Id"), |one| one.is_in_partition_key = true)],
        );
        assert!(
            key.caveats[0].contains("is in the partition key"),
            "{:?}",
            key.caveats
        );
    }
}

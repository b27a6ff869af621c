//! Other types for columns: what keeps PostgreSQL from giving them, and what is said of it.

use std::collections::BTreeMap;

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
    /// The type that it has, as `format_type` writes it; of a domain what that is over.
    pub before: String,
    /// The domain that it is declared with.
    pub domain: Option<String>,
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

    /// Whether a statement of its own gives it the type: not in the place of a domain, whose checks would be lost.
    pub fn is_run(&self, schema: &Schema) -> bool {
        self.domain.is_none() && !self.is_inherited(schema)
    }

    /// Whether PostgreSQL is known to refuse the statement.
    pub fn is_refused(&self, schema: &Schema) -> bool {
        self.refusal(schema).is_some()
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

/// What is said of columns of domains, once for each domain: what it checks is not ours to give away, and not known here.
fn of_domains(schema: &Schema, changes: &[Retyped<'_>]) -> Vec<String> {
    let mut columns: BTreeMap<[&str; 3], Vec<String>> = BTreeMap::new();
    let is_changed_here = |one: &&Retyped<'_>| !one.is_inherited(schema) && !one.is_in_partition_key(schema);
    for one in changes.iter().filter(is_changed_here) {
        if let Some(domain) = &one.domain {
            let types = [domain.as_str(), one.before.as_str(), one.after.as_str()];
            columns.entry(types).or_default().push(one.name());
        }
    }
    let told = columns.into_iter().map(|([domain, before, after], names)| {
        let (are, them) = match names.len() {
            1 => ("is", "it"),
            _ => ("are", "them"),
        };
        format!(
            "{} {are} of the domain {domain}, which is over {before}; no command changes that, and a plain {after} would lose what \
             the domain checks. Make a domain over {after} with the same CHECK, NOT NULL and DEFAULT (\\dD in psql shows them), and \
             give it to {them} in the place of {domain}.",
            listed(&names, names.len())
        )
    });
    told.collect()
}

/// What stands in the way of columns that are to get other types.
fn refusals(schema: &Schema, changes: &[Retyped<'_>]) -> Vec<String> {
    let mut refusals: Vec<String> = changes.iter().filter_map(|one| one.refusal(schema)).collect();
    refusals.extend(of_domains(schema, changes));
    refusals
}

/// What is said where it is not known what stands in the way of some column.
fn about_unread(schema: &Schema, changes: &[Retyped<'_>]) -> Option<String> {
    let is_unknown = |one: &Retyped<'_>| {
        matches!(
            schema.type_change(one.table.oid, &one.column),
            TypeChange::Unknown
        )
    };
    changes.iter().any(is_unknown).then(|| {
        "PostgreSQL refuses where a view, a generated column, a trigger or a policy uses the column (drop them and make them \
         anew), and where it is in a partition key."
            .to_owned()
    })
}

/// Says what stands in the way of columns for which the statements of a remedy do not wait.
pub fn tell_beside(remedy: &mut Remedy, schema: &Schema, changes: &[Retyped<'_>]) {
    let mut told = refusals(schema, changes);
    if told.is_empty() {
        told.extend(about_unread(schema, changes));
    }
    told.retain(|caveat| !remedy.caveats.contains(caveat));
    remedy.caveats.append(&mut told);
}

/// Says what stands in the way of a remedy that gives columns other types: what PostgreSQL refuses, and domains. Where something
/// does, the statements are told behind what is to be done before, and not given to be run; where that is not known it is said that
/// PostgreSQL may refuse.
pub fn tell_refusals(remedy: &mut Remedy, schema: &Schema, changes: &[Retyped<'_>]) {
    let refusals = refusals(schema, changes);
    if refusals.is_empty() {
        remedy.caveats.extend(about_unread(schema, changes));
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
            domain: None,
            after: "bigint".into(),
        };
        let runs = change.is_run(&schema);
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
    fn columns_of_a_domain_are_told_together_and_what_comes_after_them() {
        let (facts, part) = (table(1, "t", 10.0, 1e6), table(2, "part", 10.0, 1e6));
        let part = TableFacts {
            partition_of: Some(3),
            ..part
        };
        let schema = Schema::default();
        let change = |table, column: &str, domain: Option<&str>| Retyped {
            table,
            column: column.into(),
            before: "integer".into(),
            domain: domain.map(str::to_owned),
            after: "bigint".into(),
        };
        let key = Some("app.key");
        let changes = [
            change(&facts, "a", key),
            change(&facts, "b", key),
            change(&facts, "plain", None),
            change(&part, "a", key),
        ];
        let run = changes.iter().filter(|one| one.is_run(&schema));
        let mut remedy = Remedy {
            apply_sql: run.map(Retyped::apply_sql).collect(),
            ..Remedy::default()
        };
        tell_refusals(&mut remedy, &schema, &changes);
        assert!(remedy.apply_sql.is_empty());
        let [of_part, of_domain, after] = &remedy.caveats[..] else {
            panic!("{:?}", remedy.caveats);
        };
        assert!(of_part.contains("public.part.a is inherited"), "{of_part}");
        let told = "public.t.a, public.t.b are of the domain app.key, which is over integer;";
        assert!(of_domain.starts_with(told), "{of_domain}");
        assert_eq!(
            after,
            "After that: ALTER TABLE public.t ALTER COLUMN plain TYPE bigint."
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

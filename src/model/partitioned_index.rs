//! How an index of a partitioned table is made without holding up writes: on each partition CONCURRENTLY, ON ONLY what is
//! partitioned itself, and attached from below. CREATE INDEX on the whole would lock all partitions against writes for as long
//! as it takes.

use std::collections::{BTreeMap, BTreeSet};

use super::remedy::Statement;

/// What is said of the index of the table itself.
pub const ABOUT_THE_WHOLE: &str = "The index of the table itself is there at once, and is valid when those of all partitions are \
                                   attached. A foreign table among them cannot be indexed: then it never becomes valid, and \
                                   those of the other partitions serve all the same.";
/// What is said where indexes are taken that were there before.
pub const ABOUT_ATTACHED: &str = "Indexes that partitions have already become a part of it: undoing drops these, too, and makes \
                                  them again without their tablespace and comment.";
/// What is said where they are taken, and it is not told how to make them again.
pub const NO_UNDO: &str = "There is no undo in one statement: to drop the index of the whole drops those of its partitions, and \
                           with them those that were there before.";

/// A partition, at any level below the table.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its OID.
    pub oid: u32,
    /// What it is a partition of, by OID.
    pub parent_oid: u32,
}

/// The index that the table or one of its partitions is to have.
#[derive(Clone, Debug)]
pub struct OwnIndex {
    /// The schema of the index.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Makes it: ON ONLY what is partitioned, CONCURRENTLY what is not; where it is there already, as it is.
    pub create_sql: String,
    /// It is there already and valid, with its parts below.
    pub is_there: bool,
}

/// How the index of the whole is made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recipe {
    /// To run, in order.
    pub apply_sql: Vec<String>,
    /// To take it back, in order: dropped with the whole are those that were there before, and these are made again.
    pub undo_sql: Vec<String>,
    /// Schema and name of those that were there before.
    pub attached: Vec<(String, String)>,
}

/// The recipe for the index `top` of the table with this OID. `parts` come parents first, each with what `own_index` tells its
/// index by.
pub fn recipe<T>(
    (table_oid, top): (u32, OwnIndex),
    parts: impl Iterator<Item = (Part, T)>,
    mut own_index: impl FnMut(T) -> OwnIndex,
) -> Recipe {
    let drop = Statement::DropIndex {
        schema: top.schema.clone(),
        name: top.name.clone(),
    };
    let mut recipe = Recipe {
        apply_sql: vec![top.create_sql],
        undo_sql: vec![drop.sql()],
        attached: Vec::new(),
    };
    let mut indexes = BTreeMap::from([(table_oid, (top.schema, top.name))]);
    let mut attach = Vec::new();
    // what is valid of a partition has all its parts below
    let mut complete: BTreeSet<u32> = BTreeSet::new();
    for (part, of) in parts {
        if complete.contains(&part.parent_oid) {
            complete.insert(part.oid);
            continue;
        }
        let own = own_index(of);
        if own.is_there {
            complete.insert(part.oid);
            recipe.undo_sql.push(own.create_sql);
            recipe.attached.push((own.schema.clone(), own.name.clone()));
        } else {
            recipe.apply_sql.push(own.create_sql);
        }
        if let Some((schema, name)) = indexes.get(&part.parent_oid) {
            let statement = Statement::AttachIndexPartition {
                schema: schema.clone(),
                name: name.clone(),
                partition_schema: own.schema.clone(),
                partition: own.name.clone(),
            };
            attach.push(statement.sql());
        }
        indexes.insert(part.oid, (own.schema, own.name));
    }
    // the deepest first, so that each is whole when it is attached
    recipe.apply_sql.extend(attach.into_iter().rev());
    recipe
}

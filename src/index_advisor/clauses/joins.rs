//! What joins make equal, as it follows from all of them.

use std::collections::BTreeSet;

use super::{Key, Relations};

/// Columns that joins make equal: of `a = b` and `b = c` the planner tells only two.
#[derive(Default)]
pub(super) struct Joins {
    classes: Vec<BTreeSet<(String, Key)>>,
}

impl Joins {
    /// Takes two that must be equal.
    pub(super) fn equal(&mut self, one: (String, Key), other: (String, Key)) {
        let (mut touched, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.classes)
            .into_iter()
            .partition(|class| class.contains(&one) || class.contains(&other));
        let mut class: BTreeSet<(String, Key)> = touched.drain(..).flatten().collect();
        class.extend([one, other]);
        self.classes = rest;
        self.classes.push(class);
    }

    /// Tells each relation.
    pub(super) fn tell(self, relations: &mut Relations) {
        for (alias, key) in self.classes.into_iter().flatten() {
            if let Some(relation) = relations.get_mut(&alias) {
                relation.joined.insert(key);
            }
        }
    }
}

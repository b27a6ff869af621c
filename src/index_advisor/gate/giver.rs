//! Whose statements those are of which no role is told.

use super::Gate;

/// Whose statements those are of which no role is told: in whose search_path their names are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Giver {
    /// Anybody's: a name that several schemas hold may mean any of them.
    Unknown,
    /// The login that plans gave them by hand: they mean what they mean to it. Whose rows a policy shows is asked all the same.
    Planner,
}

impl Gate {
    /// The same gate for statements that were given so, where no role is told.
    pub fn for_statements_of(self, giver: Giver) -> Self {
        Self { giver, ..self }
    }
}

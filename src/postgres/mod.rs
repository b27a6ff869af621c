//! The only door to watched servers. What may be run is decided by types: [`OurSql`] is a text of ours from `queries/`,
//! [`Identifier`] a name that is always quoted, [`ServerText`] one whole query of somebody else, which is planned and never
//! run; other text from a server has no way into a statement but as a parameter.

mod arrays;
mod bound;
mod connect;
pub mod conninfo;
mod driven;
mod error;
mod halved;
mod handle;
mod hosts;
mod plan;
pub mod queries;
mod refresh;
mod round_trip;
mod row;
mod session;
mod spent;
mod tls;
mod traces;
mod visiting;

pub use arrays::Arrays;
pub use error::PostgresError;
pub use plan::{Detail, Hypothetical, HypotheticalIndex, Parameters, Plan, ServerText};
pub use refresh::{Canceller, Refresh, RefreshLimits};
pub use row::{column, column_or_default, relation_state, view_state};
pub use session::{Identifier, Observe, OurSql, Server};
pub use traces::Traces;

//! What is done about indexes that are missing.

use super::gain::Gain;
use super::on_standby;
use crate::model::advice::AdvisedIndex;
use crate::model::remedy::Remedy;
use crate::model::snapshot::ServerFacts;
use crate::rules::advised_remedy;

/// What no plan of ours can show: it is the client that gives a parameter its type.
pub(super) const OTHER_TYPE: &str = "A client that binds the parameter with another type (numeric for an int column, text for a date) makes the \
                          index useless: a cast is hidden in the driver.";

/// How these are built and undone, and what is to be known before.
pub(super) fn remedy(server: &ServerFacts, indexes: &[&AdvisedIndex], gains: &[Gain<'_>]) -> Remedy {
    let mut remedy = advised_remedy::remedy(server, indexes);
    let has_parameters = gains.iter().any(|gain| gain.has_parameters());
    remedy
        .caveats
        .extend(has_parameters.then(|| OTHER_TYPE.to_owned()));
    match server.is_standby {
        true => on_standby::built_on_its_primary(remedy),
        false => remedy,
    }
}

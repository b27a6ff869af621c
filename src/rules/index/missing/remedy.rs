//! What is done about indexes that are missing.

use std::collections::BTreeSet;

use super::gain::Gain;
use crate::model::advice::AdvisedIndex;
use crate::model::remedy::{
    ABOUT_ATTACHING, ABOUT_ONLY, ATTACH, IF_NOT_THERE, ON_ONLY, Remedy, created_extension,
};
use crate::model::snapshot::ServerFacts;
use crate::rules::settings;

/// What no plan of ours can show: it is the client that gives a parameter its type.
pub(super) const OTHER_TYPE: &str = "A client that binds the parameter with another type (numeric for an int column, text for a date) makes the \
                          index useless: a cast is hidden in the driver.";

/// How these are built and undone, and what is to be known before.
pub(super) fn remedy(
    server: &ServerFacts,
    indexes: &[&AdvisedIndex],
    gains: &[Gain<'_>],
    size_bytes: Option<f64>,
) -> Remedy {
    let apply_sql: Vec<String> = indexes.iter().flat_map(|index| index.apply_sql.clone()).collect();
    let mut extensions = apply_sql.iter().filter_map(|sql| created_extension(sql));
    let before = extensions.find_map(|extension| settings::before_create(server, extension));
    let undo = indexes.iter().rev();
    let on_parent = apply_sql.iter().any(|sql| sql.contains(ON_ONLY));
    let mut caveats = vec![
        "CONCURRENTLY does not run inside a transaction, and waits for older ones; if it is interrupted, it leaves an invalid \
         index, which is to be dropped."
            .to_owned(),
    ];
    let alone: BTreeSet<String> = indexes
        .iter()
        .filter_map(|index| index.on_one_partition())
        .collect();
    caveats.extend(alone.into_iter().map(|note| format!("{note}.")));
    let superseded: Vec<&str> = indexes
        .iter()
        .flat_map(|index| &index.supersedes)
        .map(String::as_str)
        .collect();
    if !superseded.is_empty() {
        let unproven = indexes
            .iter()
            .find_map(|index| index.supersedes_unproven.as_ref());
        let proof = match unproven {
            Some(why) => format!(" (proven by definition only, not rehearsed: {why})"),
            None => String::new(),
        };
        caveats.push(format!(
            "Afterwards this serves nothing any more{proof}: {}",
            superseded.join("; ")
        ));
    }
    let made_again = indexes.iter().flat_map(|index| &index.supersedes_made_again);
    caveats.extend(made_again.cloned());
    if gains.iter().any(|gain| gain.has_parameters()) {
        caveats.push(OTHER_TYPE.to_owned());
    }
    if on_parent {
        caveats.push(ABOUT_ONLY.to_owned());
    }
    if apply_sql.iter().any(|sql| sql.contains(ATTACH)) {
        caveats.push(ABOUT_ATTACHING.to_owned());
    }
    let mut undone = indexes.iter().flat_map(|index| &index.undo_sql);
    if undone.any(|sql| sql.starts_with("CREATE INDEX") && !sql.contains(IF_NOT_THERE)) {
        caveats.push(
            "Indexes that partitions have already become a part of it: undoing drops these, too, and makes them again without \
             their storage parameters and tablespace."
                .to_owned(),
        );
    }
    caveats.extend(before);
    Remedy {
        undo_sql: undo.flat_map(|index| index.undo_sql.clone()).collect(),
        // ON ONLY a partitioned table it is there at once
        lock: Some(
            if on_parent {
                "SHARE"
            } else {
                "SHARE UPDATE EXCLUSIVE"
            }
            .to_owned(),
        ),
        rewrites_table: Some(false),
        extra_disk_bytes: size_bytes,
        expected_seconds: indexes
            .iter()
            .map(|index| index.build_seconds.filter(|seconds| *seconds > 0.0))
            .sum(),
        caveats,
        apply_sql,
    }
}

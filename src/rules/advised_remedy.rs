//! What is done about indexes that were advised, in whichever rule they are told.

use std::collections::BTreeSet;

use crate::model::advice::AdvisedIndex;
use crate::model::remedy::{
    ABOUT_ATTACHING, ABOUT_CONCURRENTLY, ABOUT_ONLY, ATTACH, IF_NOT_THERE, ON_ONLY, Remedy, created_extension,
};
use crate::model::snapshot::ServerFacts;
use crate::rules::settings;

/// How these are built and undone, and what is to be known before.
pub fn remedy(server: &ServerFacts, indexes: &[&AdvisedIndex]) -> Remedy {
    let apply_sql: Vec<String> = indexes.iter().flat_map(|index| index.apply_sql.clone()).collect();
    let undo = indexes.iter().rev().flat_map(|index| index.undo_sql.clone());
    let says = |what: &str| apply_sql.iter().any(|sql| sql.contains(what));
    // ON ONLY a partitioned table it is there at once
    let lock = match says(ON_ONLY) {
        true => "SHARE",
        false => "SHARE UPDATE EXCLUSIVE",
    };
    let mut caveats = vec![ABOUT_CONCURRENTLY.to_owned()];
    let alone: BTreeSet<String> = indexes
        .iter()
        .filter_map(|index| index.on_one_partition())
        .collect();
    caveats.extend(alone.into_iter().map(|note| format!("{note}.")));
    // what a standby's own statements do without, its primary may need
    if !server.is_standby {
        caveats.extend(about_the_superseded(indexes));
    }
    caveats.extend(says(ON_ONLY).then(|| ABOUT_ONLY.to_owned()));
    caveats.extend(says(ATTACH).then(|| ABOUT_ATTACHING.to_owned()));
    let mut undone = indexes.iter().flat_map(|index| &index.undo_sql);
    if undone.any(|sql| sql.starts_with("CREATE INDEX") && !sql.contains(IF_NOT_THERE)) {
        caveats.push(
            "Indexes that partitions have already become a part of it: undoing drops these, too, and makes them again without \
             their storage parameters and tablespace."
                .to_owned(),
        );
    }
    let mut extensions = apply_sql.iter().filter_map(|sql| created_extension(sql));
    caveats.extend(extensions.find_map(|extension| settings::before_create(server, extension)));
    Remedy {
        undo_sql: undo.collect(),
        lock: Some(lock.to_owned()),
        rewrites_table: Some(false),
        extra_disk_bytes: indexes.iter().map(|index| index.size_bytes).sum(),
        expected_seconds: indexes
            .iter()
            .map(|index| index.build_seconds.filter(|seconds| *seconds > 0.0))
            .sum(),
        caveats,
        apply_sql,
    }
}

/// What is superfluous once they are there, and how that is made again where undoing does not make it.
fn about_the_superseded(indexes: &[&AdvisedIndex]) -> Vec<String> {
    let superseded = indexes.iter().flat_map(|index| &index.supersedes);
    let superseded: Vec<&str> = superseded.map(String::as_str).collect();
    let mut unproven = indexes
        .iter()
        .filter_map(|index| index.supersedes_unproven.as_ref());
    let proof = match unproven.next() {
        Some(why) => format!(" (proven by definition only, not rehearsed: {why})"),
        None => String::new(),
    };
    let afterwards = format!(
        "Afterwards this serves nothing any more{proof}: {}",
        superseded.join("; ")
    );
    let made_again = indexes.iter().flat_map(|index| &index.supersedes_made_again);
    let told = (!superseded.is_empty()).then_some(afterwards).into_iter();
    told.chain(made_again.cloned()).collect()
}

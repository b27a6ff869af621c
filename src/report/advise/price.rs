//! What an index costs: time and disk while it is built, and what writes pay for it from then on.

use super::cost;
use crate::model::advice::{AdvisedIndex, WorkloadTotals};
use crate::model::unit::{bytes_for_people, seconds_for_people};

const DAY_SECONDS: f64 = 86_400.0;
/// Seconds of statistics from which on what writes pay is told for a day.
const ENOUGH_SECONDS: f64 = 3600.0;

/// How long building takes, and the disk that it needs meanwhile: a b-tree is sorted, in files where memory does not
/// suffice, and those are about as large as the index.
pub(super) fn build(index: &AdvisedIndex) -> String {
    let is_sorted = index.method == "btree";
    let time = match (index.build_seconds, index.assumed_build_seconds) {
        (Some(seconds), _) => format!("about {}", seconds_for_people(seconds)),
        (None, Some(seconds)) => {
            format!(
                "about {} on an ordinary machine (not measured)",
                seconds_for_people(seconds)
            )
        }
        (None, None) if is_sorted && index.size_bytes.is_some() => "time unknown".to_owned(),
        (None, None) if is_sorted => "time unknown, as its size is".to_owned(),
        (None, None) => "time unknown (only of b-trees it can be told)".to_owned(),
    };
    let disk = match index.size_bytes {
        Some(bytes) if is_sorted => {
            format!("up to {} of disk, half to sort", bytes_for_people(2.0 * bytes))
        }
        Some(bytes) => format!("{} of disk", bytes_for_people(bytes)),
        None => "disk unknown".to_owned(),
    };
    format!("build: {time}; {disk}")
}

/// The search reckons with the writes that it was given, whether or not anybody knows in what time they come.
const TAKEN_OFF: &str = "what these statements write, by their weights, is taken off what it is worth";

/// What the writes of the workload pay for an index in a day beside what its reads save, or why that is not known.
pub(super) fn writes(index: &AdvisedIndex, totals: &WorkloadTotals) -> String {
    let why = match (index.write_cost_per_day, totals.window_seconds) {
        (Some(paid), window) => return paid_and_saved(index, paid, window),
        (None, _) if index.cost_after.is_none() => {
            return "what writes pay for it is not known: the planner could not be asked".to_owned();
        }
        (None, None) => "how often these statements run was not measured".to_owned(),
        (None, Some(seconds)) => format!(
            "{} of statistics are too few, {} are enough",
            seconds_for_people(seconds),
            seconds_for_people(ENOUGH_SECONDS)
        ),
    };
    format!("what writes pay for it in a day is not known: {why}; {TAKEN_OFF}")
}

fn paid_and_saved(index: &AdvisedIndex, paid: f64, window_seconds: Option<f64>) -> String {
    let days = window_seconds.map(|seconds| seconds / DAY_SECONDS);
    let saves = match (index.cost_before, index.cost_after, days) {
        (Some(before), Some(after), Some(days)) if days > 0.0 => {
            format!(", its reads save {} a day", cost((before - after) / days))
        }
        _ => String::new(),
    };
    let pays = match paid > 0.0 {
        true => format!("writes pay about {} a day for it", cost(paid)),
        false => "no write of these statements pays for it".to_owned(),
    };
    format!("{pays}{saves} (planner's units)")
}

//! How much time a reason says that it lacks: what is judged soonest comes first in a list.

use crate::model::unit::Period;

/// Seconds after which a rule is judged that waits for this reason, in the reason's own words; none where it tells no time.
pub fn lacking_seconds(reason: &str) -> Option<f64> {
    let window = reason.strip_prefix("the window is ");
    if let Some((there, full)) = window.and_then(|window| window.split_once(" of ")) {
        return Some((first_seconds(full)? - first_seconds(there)?).max(0.0));
    }
    let needed = first_seconds(reason)?;
    let parts = reason
        .split_once("and has ")
        .or_else(|| reason.split_once("which is "));
    let there = parts.and_then(|(_, there)| first_seconds(there));
    Some((needed - there.unwrap_or(0.0)).max(0.0))
}

/// The first length of time in a text: `20 min`, `1 h 20 min`, `34 more days`, `an hour`.
fn first_seconds(text: &str) -> Option<f64> {
    let words: Vec<&str> = text
        .split([' ', ',', ':', ';'])
        .filter(|word| !word.is_empty() && *word != "more")
        .collect();
    let first = words.windows(2).position(|pair| seconds_of(pair).is_some())?;
    Some(words[first..].chunks_exact(2).map_while(seconds_of).sum())
}

/// Seconds of a number and its unit.
fn seconds_of(pair: &[&str]) -> Option<f64> {
    let [number, unit] = pair else { return None };
    let number = if *number == "an" { "1" } else { *number };
    let period: Period = format!("{number} {unit}").parse().ok()?;
    Some(period.as_seconds())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::whole_tables::NO_WINDOW;

    #[test]
    fn what_a_rule_waits_for_tells_for_how_long() {
        const DAY: f64 = 86_400.0;
        for (reason, seconds) in [
            ("the window is 10 min of 30 min long", Some(1200.0)),
            (
                "needs two looks at pg_stat_statements that are 5 min apart",
                Some(300.0),
            ),
            (NO_WINDOW, Some(3600.0)),
            (
                "needs 1 h since the server was started, which is 20 min ago: its cache is still cold",
                Some(2400.0),
            ),
            (
                "immature: needs 1 day without a reset of statistics, and has 3 h 20 min",
                Some(DAY - 12_000.0),
            ),
            (
                "immature: needs 34 more days without a reset of statistics",
                Some(34.0 * DAY),
            ),
            ("needs 500 active sessions in samples, and has seen 499", None),
            ("the first window is still filling", None),
            ("the window is <b>", None),
        ] {
            assert_eq!(lacking_seconds(reason), seconds, "{reason}");
        }
    }
}

//! How the indexes of one finding are told apart in its title.

use crate::model::advice::AdvisedIndex;
use crate::sql;

/// Bytes of a predicate that a title has room for.
const PREDICATE_BYTES: usize = 80;

/// Each by its keys; where two have the same, all by what else they are.
pub(super) fn keys(indexes: &[&AdvisedIndex]) -> String {
    let short: Vec<String> = indexes.iter().map(|index| columns(index)).collect();
    if !has_two_alike(&short) {
        return short.join(" and ");
    }
    let long: Vec<String> = indexes.iter().map(|index| in_full(index)).collect();
    let named: Vec<String> = match has_two_alike(&long) {
        true => {
            let names = indexes.iter().map(|index| index.name.as_str());
            long.iter()
                .zip(names)
                .map(|(one, name)| format!("{one} as {name}"))
                .collect()
        }
        false => long,
    };
    named.join(", and on ")
}

fn has_two_alike(labels: &[String]) -> bool {
    labels
        .iter()
        .enumerate()
        .any(|(place, label)| labels[..place].contains(label))
}

fn columns(index: &AdvisedIndex) -> String {
    format!("({})", index.columns.join(", "))
}

/// With all that may be another; a constant of a predicate stays out of what is stored and sent.
fn in_full(index: &AdvisedIndex) -> String {
    let mut label = columns(index);
    if index.method != "btree" {
        label = format!("{label} using {}", index.method);
    }
    if !index.include.is_empty() {
        label = format!("{label} include ({})", index.include.join(", "));
    }
    if let Some(predicate) = &index.predicate {
        let masked = sql::masked_expression(predicate);
        let beginning = sql::cut(&masked, PREDICATE_BYTES);
        let rest = if beginning.len() < masked.len() {
            "\u{2026}"
        } else {
            ""
        };
        label = format!("{label} where {beginning}{rest}");
    }
    match &index.partition_of {
        Some(_) => format!("{label} of {} alone", index.table),
        None => label,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::advised_index;

    #[test]
    fn indexes_on_the_same_columns_are_told_apart() {
        let plain = advised_index("CREATE a");
        let titled = |other: &AdvisedIndex| keys(&[&plain, other]);
        let mut other = plain.clone();
        other.columns.push("b".to_owned());
        assert_eq!(titled(&other), "(a) and (a, b)");
        let mut partial = plain.clone();
        partial.predicate = Some("(gone IS NULL)".to_owned());
        let told = titled(&partial);
        assert!(
            told.starts_with("(a), and on (a) where ") && told.contains("gone IS NULL"),
            "{told}"
        );
        let mut wide = plain.clone();
        wide.include = vec!["b".to_owned()];
        assert_eq!(titled(&wide), "(a), and on (a) include (b)");
        let mut hash = plain.clone();
        hash.method = "hash".to_owned();
        assert_eq!(titled(&hash), "(a), and on (a) using hash");
        let mut twin = plain.clone();
        twin.name = "t_a_idx1".to_owned();
        assert_eq!(titled(&twin), "(a) as t_a_idx, and on (a) as t_a_idx1");
    }

    #[test]
    fn a_predicate_tells_no_constant_and_is_cut() {
        let plain = advised_index("CREATE a");
        let mut partial = plain.clone();
        partial.predicate = Some("(note = 'hunter2'::text)".to_owned());
        let told = keys(&[&plain, &partial]);
        assert!(told.contains("where") && !told.contains("hunter2"), "{told}");
        partial.predicate = Some(format!("({} IS NULL)", "x".repeat(500)));
        let told = keys(&[&plain, &partial]);
        assert!(told.len() < 150 && told.ends_with('\u{2026}'), "{told}");
    }
}

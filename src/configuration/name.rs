//! The names of keys: how they are written, and which known one an unknown one resembles.

/// The path of a key in a table, quoted where TOML would need it.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let key = if bare {
        key.to_owned()
    } else {
        serde_json::Value::from(key).to_string()
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

/// The start of a name that is too long to be repeated in full.
pub(super) fn shortened(name: &str) -> String {
    match name.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// The known name that is most like the given one.
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known.min_by_key(|candidate| unlikeness(name, candidate))
}

/// Whether one was probably written for the other.
pub(crate) fn is_like(name: &str, candidate: &str) -> bool {
    unlikeness(name, candidate) * 2 <= candidate.chars().count().max(4)
}

/// The start of a name counts as very like it.
fn unlikeness(name: &str, candidate: &str) -> usize {
    let name: Vec<char> = name.to_lowercase().chars().take(80).collect();
    let candidate: Vec<char> = candidate.chars().collect();
    let begins = name.len() > 2 && (candidate.starts_with(&name) || name.starts_with(&candidate));
    if begins { 1 } else { distance(&name, &candidate) }
}

/// How many characters must be added, removed or replaced to make one of the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, character) in from.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(character != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let known = || ["poll_every", "catalog_every", "dsn", "name", "password_file"].into_iter();
        for (name, expected) in [
            ("pol_every", "poll_every"),
            ("dns", "dsn"),
            ("NAME", "name"),
            ("password", "password_file"),
        ] {
            assert_eq!(nearest(name, known()), Some(expected));
        }
        assert_eq!(nearest("x", std::iter::empty()), None);
        assert_eq!(distance(&['a', 'b'], &['b']), 1);
    }
}

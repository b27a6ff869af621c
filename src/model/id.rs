//! What makes two findings the same problem.

use serde::{Deserialize, Serialize};

/// The stable key of a problem for its whole life: a hash of rule, server, database and subject.
/// Severity, numbers, wording, OIDs and pids never enter it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Hashes the parts, each with its length in front, so that no two different lists can meet.
    pub fn of(rule: &str, server: &str, database: Option<&str>, subject: &[String]) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &str| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        };
        add(rule);
        add(server);
        add(if database.is_some() { "database" } else { "server" });
        add(database.unwrap_or(""));
        subject.iter().for_each(|part| add(part));
        Self(hasher.finalize().to_hex()[..32].to_owned())
    }

    /// Reads a fingerprint that a person or program sent; `None` if it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let valid = (16..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        valid.then(|| Self(text.to_owned()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn different_identities_never_meet(a in ".{0,8}", b in ".{0,8}", c in ".{0,8}") {
            let one = Fingerprint::of("r", &a, Some(&b), std::slice::from_ref(&c));
            let moved = Fingerprint::of("r", &format!("{a}x"), Some(&b), std::slice::from_ref(&c));
            let joined = Fingerprint::of("r", &a, Some(&format!("{b}{c}")), &[]);
            let of_server = Fingerprint::of("r", &a, None, &[b.clone(), c.clone()]);
            prop_assert_ne!(&one, &moved);
            prop_assert_ne!(&one, &joined);
            prop_assert_ne!(&one, &of_server);
            prop_assert_eq!(Fingerprint::parse(one.as_str()), Some(one.clone()));
        }
    }
}

//! Settings with which ALTER ROLE and ALTER DATABASE let sessions begin.

use serde::{Deserialize, Serialize};

/// A setting of the sessions of a role, of a database, or of a role in a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoleSetting {
    /// The role; none is every role.
    pub role: Option<String>,
    /// The database; none is every database.
    pub database: Option<String>,
    /// The setting, as `work_mem`.
    pub name: String,
    /// Its value as somebody wrote it: `64MB`, or `4096` in the setting's own unit.
    pub value: String,
}

impl RoleSetting {
    /// What is set for a role in a database, the nearest first: the first is in force, and each counts once those before it are
    /// gone. What is set for all roles in all databases is the server's own value, and is not among them.
    pub fn of<'a>(settings: &'a [Self], name: &str, role: &str, database: &str) -> Vec<&'a Self> {
        let is_of = |of: &Option<String>, this: &str| of.as_deref().is_none_or(|of| of == this);
        let counts = |one: &&Self| {
            one.name == name
                && (one.role.is_some() || one.database.is_some())
                && is_of(&one.role, role)
                && is_of(&one.database, database)
        };
        let mut nearest: Vec<&Self> = settings.iter().filter(counts).collect();
        nearest.sort_by_key(|one| (one.role.is_none(), one.database.is_none()));
        nearest
    }

    /// The value of a setting of memory whose own unit is kB, in bytes; none where it cannot be read.
    pub fn bytes(&self) -> Option<f64> {
        let text = self.value.trim();
        let end = text
            .find(|letter: char| !(letter.is_ascii_digit() || letter == '.'))
            .unwrap_or(text.len());
        let number: f64 = text[..end].parse().ok()?;
        let unit = match text[end..].trim() {
            "B" => 1.0,
            "" | "kB" => 1024.0,
            "MB" => 1_048_576.0,
            "GB" => 1_073_741_824.0,
            "TB" => 1_099_511_627_776.0,
            _ => return None,
        };
        Some(number * unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(role: Option<&str>, database: Option<&str>, value: &str) -> RoleSetting {
        RoleSetting {
            role: role.map(str::to_owned),
            database: database.map(str::to_owned),
            name: "work_mem".into(),
            value: value.into(),
        }
    }

    #[test]
    fn the_nearest_setting_is_in_force() {
        let all = [
            given(None, None, "1"),
            given(None, Some("shop"), "2"),
            given(Some("app"), None, "3"),
            given(Some("app"), Some("shop"), "4"),
            given(Some("web"), None, "5"),
        ];
        let of = |role: &str, database: &str| -> Vec<&str> {
            let nearest = RoleSetting::of(&all, "work_mem", role, database);
            nearest.iter().map(|one| one.value.as_str()).collect()
        };
        assert_eq!(of("app", "shop"), ["4", "3", "2"]);
        assert_eq!(of("app", "other"), ["3"]);
        assert_eq!(of("web", "shop"), ["5", "2"]);
        assert!(of("nobody", "other").is_empty());
        assert!(RoleSetting::of(&all, "hash_mem_multiplier", "app", "shop").is_empty());
    }

    #[test]
    fn what_people_write_is_read_as_the_server_does() {
        let bytes = |value: &str| given(None, None, value).bytes();
        assert_eq!(bytes("4096"), Some(4_194_304.0));
        assert_eq!(bytes("1MB"), Some(1_048_576.0));
        assert_eq!(bytes("1.5 GB"), Some(1_610_612_736.0));
        assert_eq!((bytes("64 mb"), bytes("all"), bytes("")), (None, None, None));
    }
}

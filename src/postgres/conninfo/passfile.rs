//! The password file (libpq, "The Password File").

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Password;

/// The file's lines, or a warning which says why it is ignored (libpq, "The Password File").
pub(super) fn read_password_file(path: &Path) -> std::result::Result<Vec<Password>, String> {
    let ignored = |reason: String| format!("the password file {} is ignored: {reason}", path.display());
    let unreadable = |error| ignored(format!("it cannot be read ({error})"));
    let metadata = fs::metadata(path).map_err(unreadable)?;
    let remedy = format!("chmod 0600 {}", path.display());
    if !metadata.is_file() {
        return Err(ignored(format!(
            "it is not a plain file; write one and run {remedy}"
        )));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(ignored(format!("group or others may access it; run {remedy}")));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines.map(Password::new).collect())
}

/// The password of a line `host:port:database:user:password` whose first four fields match.
pub(super) fn password_in_line(line: &str, wanted: [&String; 4]) -> Option<Password> {
    let mut escaped = false;
    let mut separates = |letter| {
        let plain_colon = letter == ':' && !escaped;
        escaped = letter == '\\' && !escaped;
        plain_colon
    };
    let fields: Vec<&str> = line.split(&mut separates).collect();
    let password = unescape(fields.get(4)?);
    let mut pairs = fields.iter().zip(wanted);
    let matches = pairs.all(|(field, value)| *field == "*" || unescape(field) == *value);
    matches.then(|| Password::new(password))
}

fn unescape(field: &str) -> String {
    let mut plain = String::new();
    let mut letters = field.chars();
    while let Some(letter) = letters.next() {
        let escaped = if letter == '\\' { letters.next() } else { None };
        plain.push(escaped.unwrap_or(letter));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::super::testing::{file, parsed};
    use super::*;

    #[test]
    fn password_file() {
        let path = file("# c\nh:*:a\\:b:*:one\nh:5432:*:login:t\\\\w\\:o:rest\nlocalhost:*:*:*:three\n");
        let text = format!("passfile={} host=h,localhost dbname=a:b", path.display());
        let info = parsed(&text);
        assert_eq!(info.password, Some(Password::new("one")));
        assert_eq!(info.with_database("c").password, Some(Password::new("t\\w:o")));
        assert_eq!(
            info.password_for(&info.endpoints[1]),
            Some(Password::new("three"))
        );
        assert_eq!(
            parsed(&format!("{text} password=p")).with_database("c").password,
            Some(Password::new("p"))
        );
        // No host: the default directory of sockets, or localhost.
        assert_eq!(
            parsed(&format!("passfile={}", path.display())).password,
            Some(Password::new("three"))
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let info = parsed(&text);
        assert!(
            info.password.is_none() && info.warnings[0].contains(&format!("chmod 0600 {}", path.display()))
        );
    }
}

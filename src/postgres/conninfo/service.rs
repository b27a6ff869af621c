//! The service file (libpq, "The Connection Service File").

use std::fs;
use std::path::{Path, PathBuf};

use super::keywords::known_keyword;
use super::{Environment, Parameters, Result};

/// Adds the service's parameters below the given ones (libpq, "The Connection Service File").
pub(super) fn add_service(
    parameters: &mut Parameters,
    outer: &Parameters,
    environment: &Environment,
) -> Result<()> {
    let find = |keyword| {
        parameters
            .get(keyword)
            .filter(|value| !value.is_empty())
            .or(outer.get(keyword))
    };
    let Some(header) = find("service").map(|service| format!("[{service}]")) else {
        return Ok(());
    };
    let user = find("servicefile").map(PathBuf::from);
    let user = user.or_else(|| environment.home_file(".pg_service.conf"));
    let folder = environment.variables.get("PGSYSCONFDIR").map(String::as_str);
    let folder = Path::new(folder.unwrap_or("/etc/postgresql-common"));
    let system = Some(folder.join("pg_service.conf")).filter(|path| path.exists());
    let mut searched = Vec::new();
    for path in user.into_iter().chain(system) {
        let shown = path.display().to_string();
        let text = fs::read_to_string(&path);
        let text = text.or_else(|error| fail!("cannot read the service file {shown}: {error}"))?;
        if add_service_section(parameters, &text, &header, &shown)? {
            return Ok(());
        }
        searched.push(shown);
    }
    let searched = searched.join(", ");
    fail!(
        "the service file ({searched}) has no section for service or PGSERVICE; add it or set PGSERVICEFILE"
    );
}

/// Adds the section's parameters; false if there is no such section.
fn add_service_section(parameters: &mut Parameters, text: &str, header: &str, file: &str) -> Result<bool> {
    let lines = text.lines().map(str::trim).enumerate();
    let mut section = lines.skip_while(|(_, line)| *line != header);
    if section.next().is_none() {
        return Ok(false);
    }
    for (position, line) in section.take_while(|(_, line)| !line.starts_with('[')) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("line {} of the service file {file}", position + 1);
        let Some((word, value)) = line.split_once('=') else {
            fail!("{place} is not key=value");
        };
        let keyword = known_keyword(word, &place)?;
        if keyword.starts_with("service") {
            fail!("{place} names another service, which PostgreSQL does not allow; remove it");
        }
        parameters.entry(keyword).or_insert_with(|| value.to_string());
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::ConnInfo;
    use super::super::testing::{environment, file};

    #[test]
    fn precedence_and_service_file() {
        let path = file("[other]\nuser=o\n[it]\n# c\nuser=s\ndbname=s\nport=3\n[x]\nhost=x\n");
        let path = path.to_str().unwrap();
        let pairs = [
            ("PGSERVICE", "it"),
            ("PGSERVICEFILE", path),
            ("PGUSER", "e"),
            ("PGHOST", "e"),
            ("PGPORT", ""),
        ];
        let info = ConnInfo::parse("dbname=t", &environment(&pairs)).unwrap();
        assert_eq!(info.to_string(), "postgres://s@e:3/t");
        let missing = ConnInfo::parse("service=no", &environment(&pairs))
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains(path) && missing.contains("has no section"),
            "{missing}"
        );
    }
}

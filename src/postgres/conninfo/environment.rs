//! What a description is completed from: the `PG*` variables, the home directory, the name of the user.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::keywords::USED;

/// What the description is completed from, so that tests need no environment of the process.
#[derive(Clone, Default)]
pub struct Environment {
    /// The `PG*` variables.
    pub variables: BTreeMap<String, String>,
    /// Where `.pgpass`, `.pg_service.conf` and `.postgresql/` are looked for.
    pub home: Option<PathBuf>,
    /// The operating system's name of the user, the default of `user`.
    pub login: Option<String>,
}

impl Environment {
    /// The environment of this process; variables which are not UTF-8 are left out.
    pub fn of_process() -> Environment {
        let unicode = std::env::vars_os().map(|(name, value)| (name.into_string(), value.into_string()));
        let unicode = unicode.filter_map(|(name, value)| name.ok().zip(value.ok()));
        let all: BTreeMap<String, String> = unicode.collect();
        let login = login_of_process().or_else(|| all.get("LOGNAME").or(all.get("USER")).cloned());
        let home = std::env::home_dir();
        let variables = all.into_iter().filter(|(name, _)| name.starts_with("PG"));
        Environment {
            variables: variables.collect(),
            home,
            login,
        }
    }

    /// The key words that its variables give, each with its variable and its value.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        let value = |variable| self.variables.get(variable).filter(|value| !value.is_empty());
        let used = USED.iter();
        used.filter_map(move |(keyword, variable)| Some((*keyword, *variable, value(*variable)?.as_str())))
    }

    /// The file under the home directory, if it is there.
    pub(super) fn home_file(&self, name: &str) -> Option<PathBuf> {
        let path = self.home.as_ref()?.join(name);
        path.exists().then_some(path)
    }
}

/// The effective user's name, which libpq takes from the user database and not from `USER`.
fn login_of_process() -> Option<String> {
    let user = format!(":{}:", fs::metadata("/proc/self").ok()?.uid());
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    // name:password:uid:…
    let mut names = accounts.lines().filter_map(|line| {
        let (name, rest) = line.split_once(':')?;
        let matches = rest[rest.find(':')?..].starts_with(&user);
        matches.then(|| name.to_string())
    });
    names.next()
}

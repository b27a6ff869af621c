//! What cannot be read is refused: with every error at once, each at its place, whatever the text is.

use std::path::Path;

use proptest::prelude::*;

use super::{VALID, assert_errors, errors, rules};
use crate::configuration::Configuration;

#[test]
fn every_error_is_reported_at_its_place() {
    let text = r#"[web]
listen = "0.0.0.0:80"
lisen = 1
public_url = "db.example.org"
[store]
retention = "1 h"
path = 5
[[servers]]
name = "a"
dns = "x"
poll_every = "0 s"
catalog_every = "10 parsecs"
[[servers]]
name = "a"
dsn = "x"
databases = "*"
[[servers]]
poll_every = 60
databases = []
[rules.index.unused]
min_age = "x"
min_pages = -1
enabled = "yes"
minage = 1
[rules.index.unsed]
[rules.indx.unused]
[rule]
[[ignore]]
"#;
    let expected = [
        "2:10 web.listen this version has no log-ins yet",
        "3:1 web.lisen unknown key \"lisen\": did you mean \"listen\"?",
        "4:14 web.public_url must be the full address",
        "6:13 store.retention must be at least 1 day, not 1 h",
        "7:8 store.path must be a text in quotes, such as \"pgadvisor.db\", not a number",
        "10:1 servers[0].dns unknown key \"dns\": did you mean \"dsn\"?",
        "11:14 servers[0].poll_every must be from 1 s to 1 h, not 0 s",
        "12:17 servers[0].catalog_every duration \"10 parsecs\" cannot be read",
        "14:8 servers[1].name the server in line 9 has this name",
        "16:13 servers[1].databases must be an array, such as [\"*\"], not a text",
        "17:1 servers[2].name is needed",
        "17:1 servers[2].dsn is needed",
        "18:14 servers[2].poll_every must be a text in quotes, such as \"1 min\", not a number",
        "19:13 servers[2].databases names no database",
        "21:11 rules.index.unused.min_age duration",
        "22:13 rules.index.unused.min_pages must be 0 or more, not -1",
        "23:11 rules.index.unused.enabled must be true or false, not a text",
        "24:1 rules.index.unused.minage unknown key \"minage\": did you mean \"min_age\"?",
        "25:14 rules.index.unsed there is no rule \"index.unsed\": did you mean [rules.index.unused]?",
        "26:8 rules.indx.unused there is no rule \"indx.unused\": did you mean [rules.index.unused]?",
        "27:2 rule unknown table \"rule\": did you mean \"rules\"?",
        "28:1 ignore[0].reason is needed: why it is ignored",
        "28:1 ignore[0].rule is needed, or another key that says what is ignored",
    ];
    assert_errors(text, &expected);
}

#[test]
fn errors_of_syntax_come_together_with_the_others() {
    let text =
        "[web]\nlisten = = 1\npublic_url = 5\n[[servers]]\nname = \"a\ndsn = \"x\"\npoll_every = \"2 h\"\n";
    assert_errors(
        text,
        &["2:10 ", "3:14 web.public_url", "5:", "7:14 servers[0].poll_every"],
    );
    assert_errors(
        "[web]\nlisten = \"::1\"\n[store\npath = 1\nx = 2",
        &["2:10 web.listen", "3:7 "],
    );
    assert_errors("[store]\npath = \"a\"\npath = \"b\"", &["3:1  duplicate key"]);
    assert_errors(
        "[web]\n[web]\n[budget]\nx = 1",
        &["2:2  duplicate key", "4:1 budget.x"],
    );
}

#[test]
fn tables_of_the_wrong_shape_are_explained() {
    assert_errors(
        "web = 1",
        &["1:7 web must be a table, written [web], not an integer"],
    );
    assert_errors(
        "[[web]]",
        &["web must be a table, written [web], not a list of tables"],
    );
    assert_errors(
        "[servers]\nname = \"a\"",
        &["servers must be written [[servers]], with two brackets"],
    );
    let server =
        "[[servers]]\nname = \"a\\n\"\ndsn = \"x\\u0000\"\nplanner_dsn = \"\"\nrefresh_dsn = \"a\\n\"";
    let expected = [
        "servers[0].name must not",
        "[0].dsn must not hold",
        "planner_dsn must not be empty",
        "refresh_dsn must not hold",
    ];
    assert_errors(server, &expected);
    assert_errors("servers = [1]", &["1:12 servers[0] must be a table"]);
    assert_errors("[rules]\nindex = 1", &["rules.index must be a table"]);
    assert_errors(
        "[rules.index]\nunused = false",
        &["rules.index.unused must be a table"],
    );
    assert_errors(
        "[rules.\"index.unused\"]",
        &["write [rules.index.unused], without quotes"],
    );
    assert_errors("[rules.zzz]", &["there is no rule \"zzz\""]);
    assert_errors(
        "[web]\nretention = 5",
        &["unknown key \"retention\": known here: listen, public_url"],
    );
    assert_errors("[budget]\nown_cost_ratio = nan", &["must be a finite number"]);
    assert_errors(
        "[budget]\nown_cost_ratio = 99999999999999999999",
        &["is too large a number"],
    );
    assert_errors(
        "[store]\nretention = 2027-01-31",
        &["duration \"2027-01-31\" cannot be read"],
    );
}

#[test]
fn a_file_that_cannot_be_read_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Configuration::load(&path, &rules(), |_| Vec::new())
            .map(drop)
            .map_err(|errors| errors.to_string())
            .unwrap_err()
    };
    assert!(
        load("latin1.toml", b"a = 1\n# caf\xe9")
            .contains("is not UTF-8 text: the first byte that is not is in line 2")
    );
    assert!(load("large.toml", &vec![b'\n'; 1 + (1 << 20)]).contains("larger than 1 MiB"));
    let of = |path: &Path| {
        Configuration::load(path, &rules(), |_| Vec::new())
            .unwrap_err()
            .to_string()
    };
    assert!(of(folder.path()).contains("it is a directory"));
    assert!(of(&folder.path().join("none.toml")).contains("cannot be read: No such file"));
    let named = folder.path().join("none.toml");
    assert_eq!(Configuration::find(Some(&named)), Some(named));
}

#[test]
fn hostile_texts_are_answered() {
    let deep = |open: &str, close: &str| format!("a = {}{}", open.repeat(50_000), close.repeat(50_000));
    let nested = format!(
        "[{}]\n{} = {}1{}",
        "a.".repeat(78) + "a",
        "b.".repeat(78) + "b",
        ("{".to_owned() + &"c.".repeat(78) + "c = ").repeat(78),
        "}".repeat(78)
    );
    for text in [
        deep("[", "]"),
        deep("{a=", "}"),
        format!("{}a = 1", "a.".repeat(300_000)),
        nested,
    ] {
        assert!(!errors(&text).is_empty());
    }
    let many = Configuration::parse(&"[x]\n".repeat(100_000), None, &rules(), |_| Vec::new()).unwrap_err();
    assert_eq!((many.errors.len(), many.unshown), (500, 99_499));
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in r#"[\[\]={}"'.,#a-c\n\\ é0-9:-]{0,60}|.{0,60}"#) {
        if let Err(errors) = Configuration::parse(&text, None, &rules(), |_| Vec::new()) {
            let expected = if errors.errors.len() == 1 { "1 error" } else { " errors" };
            prop_assert!(errors.to_string().ends_with(expected));
        }
    }

    #[test]
    fn no_mutation_is_too_strange(from in 0..VALID.len(), length in 0usize..30, with in r#"[\[\]={}"'.#\n é0-9]{0,4}|\PC{0,3}"#) {
        let mut text = VALID.to_owned();
        text.replace_range(from..(from + length).min(VALID.len()), &with);
        if let Err(errors) = Configuration::parse(&text, None, &rules(), |_| Vec::new()) {
            prop_assert!(!errors.errors.is_empty());
            errors.to_string();
        }
    }
}

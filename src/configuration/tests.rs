use super::*;
use proptest::prelude::*;
use serde_json::json;

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Unused {
    /// How long without a scan.
    min_age: Period,
    /// Smaller ones do not matter.
    min_pages: u32,
    /// A part of a whole.
    min_share: f64,
    /// Another one.
    other_ratio: f64,
}

impl Default for Unused {
    fn default() -> Self {
        Self {
            min_age: Period::days(35),
            min_pages: 8,
            min_share: 0.5,
            other_ratio: 0.5,
        }
    }
}

pub(super) fn rules() -> Vec<RuleSchema<'static>> {
    let check = |value: &Value| {
        serde_json::from_value::<Unused>(value.clone())
            .map(drop)
            .map_err(|error| error.to_string())
    };
    ["index.unused", "vacuum.dead_tuples"]
        .map(|id| RuleSchema {
            id,
            defaults: serde_json::to_value(Unused::default()).unwrap(),
            hold: Period::default(),
            clear: Period::minutes(10),
            check,
        })
        .into()
}

const VALID: &str = r#"
[web]
listen = "127.0.0.1:9000"
public_url = "https://db.example.org/advisor"
[store]
path = "data/x.db"
retention = "30 days"
[budget]
own_cost_ratio = 1
[[servers]]
name = "main"
dsn = "postgres://observer:hunter2@db1/postgres"
password_file = "secret"
databases = ["*", "!scratch*"]
poll_every = "30 s"
[[servers]]
name = "zweiter"
dsn = "host=db2 password='hunter2'"
[rules.index.unused]
enabled = false
hold = "3 min"
min_age = "60 days"
[rules.vacuum]
dead_tuples = { min_pages = 100 }
"#;

/// The errors as `line:column key message`.
pub(super) fn errors(text: &str) -> Vec<String> {
    let Err(errors) = Configuration::parse(text, None, &rules(), |_| Vec::new()) else {
        return Vec::new();
    };
    let place = |error: &ConfigurationError| {
        error
            .place
            .as_ref()
            .map(|place| (place.line, place.column))
            .unwrap()
    };
    let shown = errors.errors.iter().map(|error| {
        let (line, column) = place(error);
        format!("{line}:{column} {} {}", error.key, error.message)
    });
    shown.collect()
}

/// Each expected error is the beginning of one found, in this order, and there is no other.
#[track_caller]
pub(super) fn assert_errors(text: &str, expected: &[&str]) {
    let found = errors(text);
    let fits = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.contains(expected));
    assert!(fits, "found {found:#?}\nexpected {expected:#?}");
}

#[test]
fn a_valid_file_says_what_holds() {
    let read = Configuration::parse(VALID, Some(Path::new("/etc/a/config.toml")), &rules(), |_| {
        Vec::new()
    })
    .unwrap();
    assert_eq!(read.web.listen, "127.0.0.1:9000");
    assert_eq!(read.store.path, Path::new("/etc/a/data/x.db"));
    assert_eq!(read.budget.own_cost_ratio, 1.0);
    assert_eq!(
        read.servers[0].password_file.as_deref(),
        Some(Path::new("/etc/a/secret"))
    );
    assert_eq!(read.servers[0].poll_every, Period::seconds(30));
    assert_eq!(read.servers[1].catalog_every, Period::minutes(10));
    assert_eq!(read.servers[1].sample_every, Period::seconds(5));
    let unused = &read.rules["index.unused"];
    assert_eq!(
        (unused.enabled, unused.hold, unused.clear),
        (false, Period::minutes(3), Period::minutes(10))
    );
    assert_eq!(
        unused.thresholds,
        json!({ "min_age": "60 days", "min_pages": 8, "min_share": 0.5, "other_ratio": 0.5 })
    );
    assert_eq!(read.rules["vacuum.dead_tuples"].thresholds["min_pages"], 100);
    assert_eq!(read.origins["servers[1].dsn"], 18);
    assert_eq!(read.warnings.len(), 2);
    assert!(read.warnings[0].starts_with("servers[0].dsn (line 12) holds a password"));
}

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
fn samples_may_be_switched_off_and_are_not_taken_all_the_time() {
    let server =
        |every: &str| format!("[[servers]]\nname = \"a\"\ndsn = \"x\"\nsample_every = \"{every}\"\n");
    for good in ["0 s", "1 s", "10 min"] {
        assert_errors(&server(good), &[]);
    }
    for wrong in ["100 ms", "11 min"] {
        let expected = format!("4:16 servers[0].sample_every must be from 1 s to 10 min, not {wrong}");
        assert_errors(&server(wrong), &[&expected]);
    }
}

#[test]
fn whose_code_may_run_is_named_role_by_role() {
    let server = |owners: &str| format!("[[servers]]\nname = \"a\"\ndsn = \"x\"\n{owners}\n");
    let read = |owners: &str| Configuration::parse(&server(owners), None, &rules(), |_| Vec::new()).unwrap();
    assert_eq!(read("").servers[0].trusted_owners, Vec::<String>::new());
    let named = read("trusted_owners = [\"app_owner\", \"Reports\"]");
    assert_eq!(named.servers[0].trusted_owners, ["app_owner", "Reports"]);
    let shown = named.effective();
    let row = shown.iter().find(|row| row.key == "servers[0].trusted_owners");
    let row = row.map(|row| (row.shown(), row.from.clone()));
    assert_eq!(
        row,
        Some(("[\"app_owner\",\"Reports\"]".to_owned(), "line 4".to_owned()))
    );
    let one = |value: &str| format!("trusted_owners = {value}");
    let many = |count: usize| one(&format!("[{}]", "\"a\",".repeat(count)));
    assert_errors(&server(&many(100)), &[]);
    for (wrong, why) in [
        (many(101), "must name at most 100 roles"),
        (one("[\"a\", \"\"]"), "holds a name that no role has"),
        (one("[\"a\\u0000\"]"), "holds a name that no role has"),
        (one("[\"app_*\"]"), "holds a \"*\": there are no patterns"),
        (one("\"app\""), "must be an array"),
    ] {
        let expected = format!("4:18 servers[0].trusted_owners {why}");
        assert_errors(&server(&wrong), &[&expected]);
    }
}

#[test]
fn what_is_ignored_is_named_and_has_a_reason() {
    let text = r#"[[servers]]
name = "main"
dsn = "x"
[[ignore]]
rule = "index.*"
object = "legacy.*"
until = 2027-01-31
reason = "goes away with the old shop"
[[ignore]]
rule = "indx.*"
reason = "x"
[[ignore]]
server = "mian"
reason = "x"
until = "soon"
[[ignore]]
application = "nightly"
because = "x"
"#;
    assert_errors(
        text,
        &[
            "10:8 ignore[1].rule no rule fits \"indx.*\": did you mean",
            "13:10 ignore[2].server no server fits \"mian\": did you mean \"main\"?",
            "15:9 ignore[2].until must be a day, such as 2027-01-31",
            "16:1 ignore[3].reason is needed",
            "18:1 ignore[3].because unknown key",
        ],
    );
    let good = text.split("[[ignore]]\nrule = \"indx").next().unwrap();
    let read = Configuration::parse(good, None, &rules(), |_| Vec::new()).unwrap();
    let ignore = &read.ignores[0];
    assert_eq!(
        (ignore.rule.as_str(), ignore.selector.object.as_str()),
        ("index.*", "legacy.*")
    );
    assert_eq!(ignore.until, chrono::NaiveDate::from_ymd_opt(2027, 1, 31));
    let shown = read.effective();
    let until = shown.iter().find(|one| one.key == "ignore[0].until").unwrap();
    assert_eq!(
        (until.shown().as_str(), until.from.as_str()),
        ("\"2027-01-31\"", "line 7")
    );
}

#[test]
fn thresholds_are_in_their_range() {
    let text =
        "[rules.index.unused]\nmin_share = 50\nother_ratio = -0.1\nmin_pages = 1.5\nmin_age = \"-1 s\"\n";
    assert_errors(
        text,
        &[
            "2:13 rules.index.unused.min_share must be a share from 0 to 1, not 50",
            "3:15 rules.index.unused.other_ratio must be a share from 0 to 1, not -0.1",
            "4:13 rules.index.unused.min_pages must be a whole number, such as 8, not 1.5",
            "5:11 rules.index.unused.min_age duration \"-1 s\" is out of range: it must be from 0 to 36500 days",
        ],
    );
    assert_errors(
        "[rules.index.unused]\nmin_share = 1\nother_ratio = 0.0\nmin_pages = 0",
        &[],
    );
    for (wrong, is_right) in [
        ("https://db.example.org:8443/a/b/", true),
        ("http://[::1]:80", true),
        ("https://user@db.example.org", false),
        ("https://db.example.org/?a", false),
        ("https://db.example.org/#a", false),
        ("ftp://db.example.org", false),
        ("https:///advisor", false),
    ] {
        let text = format!("[web]\npublic_url = \"{wrong}\"");
        assert_eq!(errors(&text).is_empty(), is_right, "{wrong}");
    }
}

#[test]
fn how_to_connect_is_checked_at_its_place() {
    let check: ServerCheck = |server| {
        let file = server
            .password_file
            .as_ref()
            .map(|file| file.display().to_string());
        vec![
            ("dsn", "cannot be used".to_owned()),
            ("password_file", format!("cannot read {file:?}")),
            ("refresh_dsn", "is not even there".to_owned()),
        ]
    };
    let text =
        "[[servers]]\nname = \"a\"\ndsn = \"x\"\npassword_file = \"p\"\n[[servers]]\nname = \"b\"\ndsn = 5\n";
    let errors = Configuration::parse(text, Some(Path::new("/etc/a/c.toml")), &rules(), check).unwrap_err();
    let shown: Vec<String> = errors
        .errors
        .iter()
        .map(|error| format!("{} {}", error.key, error.message))
        .collect();
    assert_eq!(
        shown,
        [
            "servers[0].dsn cannot be used",
            "servers[0].password_file cannot read Some(\"/etc/a/p\")",
            "servers[1].dsn must be a text in quotes, not a number",
        ]
    );
    let line = errors.errors[0]
        .place
        .as_ref()
        .map(|place| (place.line, place.column));
    assert_eq!(line, Some((3, 7)));
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
fn no_output_holds_a_password() {
    let read = Configuration::parse(VALID, None, &rules(), |_| Vec::new()).unwrap();
    let rows = read.effective();
    assert!(!format!("{rows:?}{:?}", read.warnings).contains("hunter2"));
    let told = |value: &str, from: &str| (value.to_owned(), from.to_owned());
    let row = |key: &str| {
        rows.iter()
            .find(|row| row.key == key)
            .map(|row| (row.shown(), row.from.clone()))
    };
    assert_eq!(
        row("servers[0].dsn"),
        Some(told("\"postgres://observer:***@db1/postgres\"", "line 12"))
    );
    assert_eq!(row("servers[1].poll_every"), Some(told("\"1 min\"", "default")));
    assert_eq!(
        row("rules.index.unused.min_age"),
        Some(told("\"60 days\"", "line 22"))
    );
    assert_eq!(row("rules.index.unused.min_pages"), Some(told("8", "default")));
    for wrong in ["dns", "databases", "password"] {
        let text = format!("[[servers]]\n{wrong} = \"postgres://u:hunter2@h?password=hunter2\"");
        let shown = Configuration::parse(&text, None, &rules(), |_| Vec::new())
            .unwrap_err()
            .to_string();
        assert!(shown.contains("2 | ") && !shown.contains("hunter2"), "{shown}");
    }
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
fn the_example_is_valid_and_its_comments_are_the_defaults() {
    let example = include_str!("../../config.toml");
    let values = |text: &str| {
        let read = Configuration::parse(text, None, &rules(), |_| Vec::new()).unwrap();
        assert_eq!(read.warnings, Vec::<String>::new());
        read.effective()
            .into_iter()
            .map(|row| (row.key.clone(), row.shown()))
            .collect::<Vec<_>>()
    };
    let commented =
        |line: &str| line.starts_with('#') && line.as_bytes().get(1).is_some_and(u8::is_ascii_lowercase);
    let uncommented: Vec<&str> = example
        .lines()
        .map(|line| if commented(line) { &line[1..] } else { line })
        .collect();
    assert!(uncommented.join("\n").len() + 5 < example.len());
    assert_eq!(values(example), values(&uncommented.join("\n")));
}

#[test]
fn the_schema_has_every_key() {
    let own = schemars::schema_for!(Unused).to_value();
    let schema = json_schema(&rules(), &BTreeMap::from([("index.unused".to_owned(), own)]));
    let unused = &schema["properties"]["rules"]["properties"]["index"]["properties"]["unused"]["properties"];
    assert_eq!(unused["min_age"]["default"], "35 days");
    assert_eq!(unused["min_age"]["description"], "How long without a scan.");
    assert_eq!(unused["clear"]["default"], "10 min");
    let of_a_place = &unused["where"]["items"]["properties"];
    for common in ["enabled", "hold", "clear", "min_pages"] {
        assert_eq!(of_a_place[common], unused[common], "{common}");
    }
    assert_eq!(
        (&unused["min_share"]["minimum"], &unused["min_share"]["maximum"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(
        (
            &unused["min_pages"]["minimum"],
            &unused["min_pages"].get("maximum")
        ),
        (&json!(0), &None)
    );
    let server = &schema["$defs"]["Server"];
    assert_eq!(server["required"], json!(["name", "dsn"]));
    assert_eq!(server["properties"]["poll_every"]["default"], "1 min");
    assert_eq!(server["additionalProperties"], false);
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

pub(super) const WITH_SERVERS: &str =
    "[[servers]]\nname = \"a\"\ndsn = \"x\"\n[[servers]]\nname = \"b\"\ndsn = \"y\"\n";

#[test]
fn what_is_ignored_no_longer_is_told() {
    let text = "[[ignore]]\nrule = \"index.*\"\nuntil = 2026-01-31\nreason = \"audit\"\n";
    let read = Configuration::parse(text, None, &rules(), |_| Vec::new()).unwrap();
    let over = |day: &str| read.over(day.parse().unwrap());
    assert!(over("2026-01-31").is_empty(), "it still counts on that day");
    let told = over("2026-02-01");
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("ignore[0].until (line 3) is over: its last day was 2026-01-31"),
        "{told:?}"
    );
}

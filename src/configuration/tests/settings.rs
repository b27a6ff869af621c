//! What holds after a file was read, and what each of its settings may be.

use std::path::Path;

use serde_json::json;

use super::{VALID, assert_errors, errors, rules};
use crate::configuration::{Configuration, ServerCheck};
use crate::model::unit::Period;

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

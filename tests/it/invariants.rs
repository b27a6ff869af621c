//! What must be true of the source itself.

use std::path::{Path, PathBuf};

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false if path.extension().is_some_and(|end| end == extension) => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

fn source() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    files("src", "rs")
        .iter()
        .map(|path| (name(path), std::fs::read_to_string(path).unwrap()))
        .collect()
}

/// The part of a file before its tests.
fn body(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

#[test]
fn arrows_run_one_way() {
    // room → what it may not know
    let forbidden = [
        (
            "model",
            vec![
                "index_advisor",
                "refresh",
                "postgres",
                "collect",
                "observe",
                "rules",
                "judge",
                "store",
                "engine",
                "web",
                "cli",
                "report",
            ],
        ),
        (
            "sql",
            vec![
                "index_advisor",
                "refresh",
                "postgres",
                "collect",
                "observe",
                "rules",
                "judge",
                "store",
                "engine",
                "web",
                "cli",
            ],
        ),
        (
            "observe",
            vec![
                "index_advisor",
                "refresh",
                "postgres",
                "collect",
                "rules",
                "judge",
                "store",
                "engine",
                "web",
                "cli",
            ],
        ),
        (
            "rules",
            vec![
                "index_advisor",
                "refresh",
                "postgres",
                "collect",
                "judge",
                "store",
                "engine",
                "web",
                "cli",
            ],
        ),
        (
            "judge",
            vec![
                "index_advisor",
                "refresh",
                "postgres",
                "collect",
                "store",
                "engine",
                "web",
                "cli",
            ],
        ),
        (
            "postgres",
            vec![
                "index_advisor",
                "refresh",
                "collect",
                "observe",
                "rules",
                "judge",
                "store",
                "engine",
                "web",
                "cli",
            ],
        ),
        (
            "collect",
            vec![
                "index_advisor",
                "refresh",
                "observe",
                "rules",
                "judge",
                "store",
                "engine",
                "web",
                "cli",
            ],
        ),
        (
            "index_advisor",
            vec![
                "collect", "observe", "rules", "judge", "store", "engine", "web", "cli", "report",
            ],
        ),
        (
            "refresh",
            vec![
                "index_advisor",
                "collect",
                "observe",
                "rules",
                "judge",
                "store",
                "engine",
                "web",
                "cli",
                "report",
            ],
        ),
        (
            "store",
            vec![
                "index_advisor",
                "postgres",
                "collect",
                "observe",
                "rules",
                "judge",
                "refresh",
                "engine",
                "web",
                "cli",
            ],
        ),
        (
            "report",
            vec![
                "postgres", "collect", "observe", "rules", "judge", "store", "engine", "web", "cli",
            ],
        ),
        ("engine", vec!["web", "cli"]),
        ("web", vec!["cli", "collect", "observe"]),
    ];
    for (name, text) in source() {
        for (room, others) in &forbidden {
            if name.starts_with(&format!("{room}/")) || name == format!("{room}.rs") {
                for other in others {
                    assert!(
                        !body(&text).contains(&format!("crate::{other}::")),
                        "{name} knows {other}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_clock_is_read_only_at_the_edges() {
    for (name, text) in source() {
        let pure = [
            "model/",
            "sql/",
            "observe/",
            "rules/",
            "judge/",
            "store/",
            "refresh/due",
            "refresh/graph",
            "refresh/plan",
            "refresh/remember",
        ];
        if pure.iter().any(|room| name.starts_with(room)) {
            for clock in ["Utc::now(", "SystemTime::now(", "tokio::"] {
                assert!(!body(&text).contains(clock), "{name} uses {clock}");
            }
        }
    }
}

#[test]
fn every_query_says_what_it_is_and_is_used() {
    let queries = source().into_iter().map(|(_, text)| text).collect::<String>();
    for path in files("queries", "sql") {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(queries.contains(&name), "{name} is used nowhere");
        if !path.to_string_lossy().contains("/store/") {
            assert!(
                text.starts_with("-- ") && text.contains("privilege:") && text.contains("cost:"),
                "{name} has no header"
            );
            let sent = text.lines().skip_while(|line| line.starts_with("--"));
            assert!(
                sent.into_iter().all(str::is_ascii),
                "{name}: not every encoding has these characters"
            );
            assert!(
                text.contains("/* pgadvisor */") && !text.contains("SELECT *"),
                "{name}"
            );
        }
    }
}

#[test]
fn files_are_about_one_thing() {
    for (name, text) in source() {
        let lines = body(&text).lines().count();
        assert!(lines <= 600, "{name} has {lines} lines");
        for word in ["util", "common", "helpers", "manager"] {
            assert!(!name.split(['/', '.']).any(|part| part == word), "{name}");
        }
    }
}

#[test]
fn the_rules_that_are_said_to_name_roles_do() {
    let sources = source();
    for rule in pgadvisor::rules::all() {
        let file = format!("rules/{}", rule.id.replace('.', "/"));
        let (alone, below) = (format!("{file}.rs"), format!("{file}/"));
        let mut own = sources
            .iter()
            .filter(|(name, _)| *name == alone || name.starts_with(&below));
        let marks = ["statements::claim(", "sessions::claim(", "who: Who", "-> Who"];
        let names = own.any(|(_, text)| marks.iter().any(|mark| body(text).contains(mark)));
        assert_eq!(names, rule.names_roles(), "{}", rule.id);
    }
}

#[test]
fn the_registry_holds_every_rule_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules");
    for path in files("src/rules", "rs") {
        let inside = path.strip_prefix(&root).unwrap();
        if inside.components().count() == 2 {
            let id = inside.with_extension("").to_string_lossy().replace('/', ".");
            assert!(pgadvisor::rules::find(&id).is_some(), "{id}: run ./generate.sh");
        }
    }
}

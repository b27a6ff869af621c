//! How a server is, in a sentence: what it is among those of its cluster, how busy, and what was found.

use chrono::{DateTime, Utc};

use super::cluster::{Cluster, Follows};
use super::load::{LoadPart, mean, rounded};
use super::present;
use super::server_line::ServerLine;
use crate::model::status::ServerStatus;
use crate::report::reached_under;

/// What it is: `A primary with 2 standbys`.
fn role(server: &ServerLine, cluster: &Cluster) -> String {
    let known = &server.server;
    match known.is_standby {
        None => "A server".to_owned(),
        Some(true) => present::capital(&cluster.in_recovery(known)),
        Some(false) => match cluster.standbys() {
            0 => "A primary".to_owned(),
            standbys => format!(
                "A primary with {}",
                present::plural(standbys, "standby", "standbys")
            ),
        },
    }
}

/// What does not answer now: what it was, since when that is so, and who is in its place.
fn silent(now: DateTime<Utc>, server: &ServerStatus, last_at: DateTime<Utc>, cluster: &Cluster) -> String {
    let was = match (server.is_standby, Follows::of(server)) {
        (_, Some(Follows::Primary)) => "A standby",
        (_, Some(_)) => "In recovery",
        (Some(_), None) => "A primary",
        (None, None) => "A server",
    };
    let primary = cluster
        .primary()
        .filter(|primary| primary.name != server.name && primary.unreachable.is_none());
    let instead = primary.map_or(String::new(), |primary| match server.is_same_server(primary) {
        true => format!(" The same server answers as {}.", primary.name),
        false => format!(" The primary that answers is {}.", primary.name),
    });
    format!(
        "{was} when it last answered, {} ({}). It cannot be reached since: what is shown is as old as that.{instead}",
        present::ago(now, last_at),
        present::exact(&last_at)
    )
}

/// How it is, in a sentence.
pub fn sentence(
    now: DateTime<Utc>,
    server: &ServerLine,
    cluster: &Cluster,
    load: &[LoadPart],
    open: usize,
) -> String {
    let known = &server.server;
    match (known.last_seen_at, &known.unreachable) {
        (None, Some(_)) => return "It cannot be reached, and was never seen.".to_owned(),
        (None, None) => return "It has not been seen yet.".to_owned(),
        (Some(last_at), Some(_)) => return silent(now, known, last_at, cluster),
        (Some(_), None) => {}
    }
    let role = role(server, cluster);
    let busy = match mean(load) {
        None => "its load is not known yet".to_owned(),
        Some(mean) => format!(
            "on average {}",
            present::amount(rounded(mean), "session executes", "sessions execute")
        ),
    };
    let findings = match (open, server.critical) {
        (0, _) => "nothing is found".to_owned(),
        (open, 0) => present::plural(open, "finding is open", "findings are open"),
        (open, critical) => format!(
            "{}, {critical} critical",
            present::plural(open, "finding is open", "findings are open")
        ),
    };
    let names = cluster.names_of(known);
    let names = match names.is_empty() {
        true => String::new(),
        false => format!(", {}", reached_under(&names)),
    };
    let told = known.told_by.as_ref();
    let elsewhere = told.map(|name| format!(" What both see is told under {name}."));
    format!(
        "{role}{names}; {busy}, and {findings}.{}",
        elsewhere.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use crate::model::replication::Replay;
    use crate::web::pages::server::ServerPage;
    use crate::web::pages::server::tests::{facts, line};
    use crate::web::pages::{frame::Page, sample};

    #[test]
    fn a_stopped_primary_says_since_when_and_who_is_the_primary_now() {
        let mut stopped = line("main", false);
        stopped.server.unreachable = Some("refused".into());
        let servers = vec![stopped, line("copy", false), line("third", true)];
        let told = |name: &str| {
            let page = ServerPage::build(sample::now(), facts(name, servers.clone())).unwrap();
            (page.sentence.clone(), page.html("..", "t").unwrap())
        };
        let (sentence, html) = told("main");
        assert_eq!(
            sentence,
            "A primary when it last answered, 14 s ago (2026-11-21 13:59:46 UTC). It cannot be reached since: what is \
             shown is as old as that. The primary that answers is copy."
        );
        assert!(html.contains("Who received from it"), "{html}");
        let (sentence, html) = told("copy");
        assert!(sentence.starts_with("A primary with 1 standby;"), "{sentence}");
        assert!(html.contains("Who receives from it") && html.contains("primary when it last answered"));
        let (sentence, _) = told("third");
        assert!(sentence.starts_with("A standby of copy;"), "{sentence}");
    }

    #[test]
    fn a_restored_copy_is_no_standby() {
        let mut copy = line("copy", true);
        let seen = copy.server.replication.as_mut().unwrap();
        seen.replay = Some(Replay {
            restores_from_archive: Some(false),
            ..Replay::default()
        });
        let servers = vec![line("main", false), copy];
        let told = |name: &str| {
            let page = ServerPage::build(sample::now(), facts(name, servers.clone())).unwrap();
            page.sentence
        };
        let of_copy = "In recovery, follows nobody that is watched: it may be a copy of main; its load";
        assert!(told("copy").starts_with(of_copy), "{}", told("copy"));
        assert!(
            told("main").starts_with("A primary; its load"),
            "{}",
            told("main")
        );
    }

    #[test]
    fn a_standby_names_its_primary() {
        let servers = vec![line("main", false), line("copy", true)];
        let page = ServerPage::build(sample::now(), facts("copy", servers)).unwrap();
        assert!(
            page.sentence
                .starts_with("A standby of main; its load is not known yet"),
            "{}",
            page.sentence
        );
    }
}

//! `/servers`: which servers are watched, and how is each?

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::cluster::{Cluster, Follows};
use super::filters;
use super::frame::{Frame, Section, framed};
use super::present;
use super::server_line::ServerLine;
use crate::model::status::ServerStatus;
use crate::model::unit::{bytes_for_people, seconds_for_people};

/// Servers that run, each once, with every name under which it is watched, in the order in which they come.
pub fn running<'a>(servers: impl IntoIterator<Item = &'a ServerStatus>) -> Vec<Vec<&'a ServerStatus>> {
    let mut running: Vec<Vec<&ServerStatus>> = Vec::new();
    for server in servers {
        let known = running
            .iter_mut()
            .find(|names| names.iter().any(|known| known.is_same_server(server)));
        match known {
            Some(names) => names.push(server),
            None => running.push(vec![server]),
        }
    }
    running
}

/// How many there are: `4 servers (one under two names)`.
pub fn counted(running: &[Vec<&ServerStatus>]) -> String {
    let all = present::plural(running.len(), "server", "servers");
    let names = running.iter().map(Vec::len);
    let several: Vec<usize> = names.filter(|names| *names > 1).collect();
    match several.as_slice() {
        [] => all,
        [names] if running.len() == 1 => format!("{all} (under {} names)", present::number_word(*names)),
        [names] => format!("{all} (one under {} names)", present::number_word(*names)),
        many => format!("{all} ({} under several names)", present::number_word(many.len())),
    }
}

/// Whether it answers under none of its names.
pub(super) fn is_lost(names: &[&ServerStatus]) -> bool {
    names.iter().all(|server| server.unreachable.is_some())
}

/// Who cannot be reached, and since when: `main cannot be reached (it last answered 12 min ago)`; nothing where every one
/// answers under every name.
pub fn silent(now: DateTime<Utc>, running: &[Vec<&ServerStatus>]) -> Option<String> {
    let (lost, answering): (Vec<_>, Vec<_>) = running.iter().partition(|names| is_lost(names));
    let lost = match lost.as_slice() {
        [] => None,
        [names] => {
            let last_at = names.iter().filter_map(|server| server.last_seen_at).max();
            let last = match last_at {
                Some(at) => format!("it last answered {}", present::ago(now, at)),
                None => "it has never answered".to_owned(),
            };
            let name = names.first().map(|server| present::visible(&server.name));
            Some(format!("{} cannot be reached ({last})", name.unwrap_or_default()))
        }
        many => {
            let many = present::plural(many.len(), "server", "servers");
            Some(format!("{many} cannot be reached"))
        }
    };
    let names = answering.into_iter().flatten();
    let dead = names.filter(|server| server.unreachable.is_some()).count();
    let dead = (dead > 0).then(|| {
        let names = present::plural(dead, "name leads", "names lead");
        format!("{names} nowhere while another of the same server does not")
    });
    let parts: Vec<String> = lost.into_iter().chain(dead).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The address of a server's page.
pub fn path(server: &str) -> String {
    format!("/servers/{}", present::url_part(server))
}

/// How far a standby was behind when it was last seen; nothing where that is not known.
pub fn lag(server: &ServerStatus) -> Option<String> {
    let replay = server.replication.as_ref()?.replay.as_ref()?;
    let behind = match replay.unreplayed_bytes {
        Some(bytes) if bytes >= 1.0 => format!("{} to replay", bytes_for_people(bytes)),
        Some(_) => "all that came is replayed".to_owned(),
        None => "how far behind is not known".to_owned(),
    };
    let on_purpose = match replay.delay_seconds > 0.0 {
        true => format!(", {} behind on purpose", seconds_for_people(replay.delay_seconds)),
        false => String::new(),
    };
    Some(match replay.is_streaming {
        true => format!("{behind}{on_purpose}"),
        false => format!("receives nothing; {behind}{on_purpose}"),
    })
}

/// The servers.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "servers.html")]
pub struct ServersPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// How they are, in a sentence.
    pub sentence: String,
    /// Primaries with their standbys.
    pub clusters: Vec<Cluster>,
}
framed!(ServersPage);

impl ServersPage {
    /// The page from a line for each server.
    pub fn build(now: DateTime<Utc>, lines: Vec<ServerLine>) -> Self {
        let sentence = sentence(now, &lines);
        Self {
            frame: Frame::new(now, Section::Servers, "Servers"),
            sentence,
            clusters: Cluster::list(lines),
        }
    }

    fn path(&self, line: &ServerLine) -> String {
        path(&line.server.name)
    }

    fn lag(&self, line: &ServerLine) -> Option<String> {
        lag(&line.server)
    }

    /// A standby stands below its primary.
    fn indent(&self, line: &ServerLine, cluster: &Cluster) -> &'static str {
        match Follows::of(&line.server) == Some(Follows::Primary) && cluster.servers.len() > 1 {
            true => "in-1",
            false => "",
        }
    }
}

/// How the servers are.
fn sentence(now: DateTime<Utc>, lines: &[ServerLine]) -> String {
    let all = || lines.iter().map(|line| &line.server);
    let running_now = running(all());
    let unseen = all().filter(|server| server.unreachable.is_none() && server.last_seen_at.is_none());
    let standbys = running(all().filter(|server| Follows::of(server) == Some(Follows::Primary))).len();
    let watched = match running_now.len() {
        0 => return "No server is configured.".to_owned(),
        1 => format!("{} is watched", counted(&running_now)),
        _ => format!("{} are watched", counted(&running_now)),
    };
    let of_them = match standbys {
        0 => String::new(),
        standbys => format!(
            ", {}",
            present::plural(standbys, "standby among them", "standbys among them")
        ),
    };
    match (silent(now, &running_now), unseen.count()) {
        (None, 0) => format!("{watched}{of_them}, and every one was seen."),
        (None, unseen) => format!(
            "{watched}{of_them}; {} not been seen yet.",
            present::plural(unseen, "has", "have")
        ),
        (Some(silent), _) => format!("{watched}{of_them}; {silent}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::replication::Replay;
    use crate::model::status::{ReplicationStatus, RunningServer};
    use crate::web::pages::spark::Spark;
    use crate::web::pages::{frame::Page, sample};
    use chrono::TimeDelta;

    /// A server of a cluster.
    fn line(name: &str, identifier: Option<&str>, is_standby: bool) -> ServerLine {
        let mut server = sample::server(name);
        server.system_identifier = identifier.map(str::to_owned);
        server.is_standby = Some(is_standby);
        server.replication = is_standby.then(|| ReplicationStatus {
            replay: Some(Replay {
                is_streaming: true,
                ..Replay::default()
            }),
            ..ReplicationStatus::default()
        });
        ServerLine {
            server,
            critical: 0,
            warning: 2,
            info: 0,
            gaps: 1,
            late: Default::default(),
            spark: Spark::of(sample::now(), &sample::load(0.5)),
        }
    }

    fn names(page: &ServersPage) -> Vec<Vec<&str>> {
        page.clusters
            .iter()
            .map(|cluster| {
                cluster
                    .servers
                    .iter()
                    .map(|line| line.server.name.as_str())
                    .collect()
            })
            .collect()
    }

    #[test]
    fn standbys_stand_below_their_primary() {
        let page = ServersPage::build(
            sample::now(),
            vec![
                line("a-standby", Some("1"), true),
                line("b", None, false),
                line("c", Some("1"), false),
                line("d", None, true),
            ],
        );
        assert_eq!(names(&page), [vec!["c", "a-standby"], vec!["b"], vec!["d"]]);
        assert_eq!(page.clusters[0].heading().as_deref(), Some("c with 1 standby"));
        assert_eq!(page.clusters[1].heading(), None);
        assert_eq!(
            page.sentence,
            "4 servers are watched, 2 standbys among them, and every one was seen."
        );
        let html = page.html("..", "t").unwrap();
        assert!(html.contains("href=\"../servers/a-standby\"") && html.contains("class=\"what first in-1\""));
    }

    /// A server of a cluster that started so many hours ago.
    fn started(name: &str, hours_ago: i64, is_standby: bool) -> ServerLine {
        let mut line = line(name, Some("1"), is_standby);
        line.server.running = Some(RunningServer {
            system_identifier: "1".into(),
            timeline: None,
            is_standby,
            started_at: sample::now() - TimeDelta::hours(hours_ago),
        });
        line
    }

    #[test]
    fn one_server_under_two_names_is_no_copy_of_itself() {
        let heading = |lines: Vec<ServerLine>| {
            let page = ServersPage::build(sample::now(), lines);
            assert_eq!(page.clusters.len(), 1);
            page.clusters[0].heading().unwrap()
        };
        let mut second = started("a", 9, false);
        second.server.told_by = Some("b".into());
        let both = vec![second, started("b", 9, false)];
        assert_eq!(
            heading(both.clone()),
            "reached under two names: b and a",
            "who tells is first"
        );
        let with_standby = [both.clone(), vec![started("s", 8, true), started("t", 8, true)]].concat();
        assert_eq!(
            heading(with_standby),
            "a with 1 standby; reached under two names: b and a; reached under two names: s and t"
        );
        let with_copy = [both, vec![started("c", 7, false)]].concat();
        assert_eq!(
            heading(with_copy),
            "one system identifier, 2 primaries: copies of each other; reached under two names: b and a"
        );
    }

    #[test]
    fn two_names_of_one_server_count_once() {
        let sentence = |lines: Vec<ServerLine>| ServersPage::build(sample::now(), lines).sentence;
        let mut lines = vec![
            started("a", 9, false),
            started("b", 9, false),
            started("s", 8, true),
            line("other", None, false),
        ];
        assert_eq!(
            sentence(lines.clone()),
            "3 servers (one under two names) are watched, 1 standby among them, and every one was seen."
        );
        assert_eq!(
            sentence(lines[..2].to_vec()),
            "1 server (under two names) is watched, and every one was seen."
        );
        lines[1].server.unreachable = Some("refused".into());
        assert!(
            sentence(lines.clone())
                .ends_with("1 name leads nowhere while another of the same server does not."),
            "{}",
            sentence(lines.clone())
        );
        lines[0].server.unreachable = Some("refused".into());
        assert!(sentence(lines).ends_with("; a cannot be reached (it last answered 14 s ago)."));
    }

    #[test]
    fn a_promoted_standby_is_the_primary_and_the_stopped_one_was_it() {
        let mut stopped = started("a", 9, false);
        stopped.server.unreachable = Some("refused".into());
        let promoted = started("b", 8, false);
        let page = ServersPage::build(sample::now(), vec![stopped.clone(), promoted.clone()]);
        assert_eq!(names(&page), [["b", "a"]]);
        let was = "a was a primary when it last answered, and cannot be reached now";
        let heading = page.clusters[0].heading();
        assert_eq!(heading, Some(format!("b is the primary; {was}")));
        let lines = vec![stopped.clone(), promoted, started("c", 7, true)];
        let page = ServersPage::build(sample::now(), lines);
        let heading = page.clusters[0].heading();
        assert_eq!(heading, Some(format!("b with 1 standby; {was}")));
        assert_eq!(page.clusters[0].primary().unwrap().name, "b");
        assert_eq!(
            page.clusters[0].servers[1].role(),
            "primary when it last answered"
        );
        let alone = ServersPage::build(sample::now(), vec![stopped, started("c", 7, true)]);
        let heading = alone.clusters[0].heading();
        assert_eq!(
            heading.as_deref(),
            Some("a with 1 standby"),
            "nobody is in its place"
        );
    }

    #[test]
    fn the_lag_is_told_as_it_was_seen() {
        let mut standby = line("s", None, true).server;
        standby.replication = None;
        assert_eq!(lag(&standby), None);
        let mut told = |is_streaming, unreplayed_bytes, delay_seconds| {
            let replay = Replay {
                is_streaming,
                unreplayed_bytes,
                delay_seconds,
                ..Replay::default()
            };
            standby.replication = Some(ReplicationStatus {
                replay: Some(replay),
                ..ReplicationStatus::default()
            });
            lag(&standby).unwrap()
        };
        assert_eq!(told(true, Some(0.0), 0.0), "all that came is replayed");
        assert_eq!(
            told(false, Some(1_048_576.0), 0.0),
            "receives nothing; 1.0 MiB to replay"
        );
        assert!(told(true, None, 3600.0).ends_with("behind on purpose"));
    }

    #[test]
    fn no_server_and_hostile_names_are_a_page() {
        let empty = ServersPage::build(sample::now(), Vec::new());
        assert!(empty.html("", "t").unwrap().contains("No server is configured."));
        let mut lost = line(sample::HOSTILE, Some(sample::HOSTILE), false);
        lost.server.unreachable = Some(sample::HOSTILE.into());
        let lines = vec![lost, line("x", Some(sample::HOSTILE), true)];
        let html = ServersPage::build(sample::now(), lines).html("", "t").unwrap();
        assert!(
            !html.contains("<script>alert") && !html.contains('\u{202e}'),
            "{html}"
        );
        assert!(
            html.contains("cannot be reached (it last answered 14 s ago)."),
            "{html}"
        );
    }
}

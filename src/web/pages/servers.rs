//! `/servers`: which servers are watched, and how is each?

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::filters;
use super::frame::{Frame, Section, framed};
use super::overview::ServerLine;
use super::present;
use crate::model::status::ServerStatus;
use crate::model::unit::{bytes_for_people, seconds_for_people};
use crate::report::reached_under;

/// Servers with one system identifier: a primary with its standbys, or a server alone.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Cluster {
    /// The primary first; there is at least one server.
    pub servers: Vec<ServerLine>,
}

impl Cluster {
    /// Puts those together that belong together, in the order in which they come.
    pub fn list(lines: Vec<ServerLine>) -> Vec<Self> {
        let mut clusters: Vec<Self> = Vec::new();
        for line in lines {
            let known = clusters.iter_mut().find(|cluster| cluster.has(&line.server));
            match known {
                Some(cluster) => cluster.servers.push(line),
                None => clusters.push(Self { servers: vec![line] }),
            }
        }
        for cluster in &mut clusters {
            cluster
                .servers
                .sort_by_key(|line| line.server.is_standby == Some(true));
        }
        clusters
    }

    fn has(&self, server: &ServerStatus) -> bool {
        let is_its = |line: &ServerLine| line.server.system_identifier == server.system_identifier;
        server.system_identifier.is_some() && self.servers.iter().any(is_its)
    }

    /// How many of its servers are standbys. One that is reached under several names counts once.
    pub fn standbys(&self) -> usize {
        self.running(true)
    }

    fn running(&self, is_standby: bool) -> usize {
        let mut running: Vec<&ServerStatus> = Vec::new();
        for server in self.servers.iter().map(|line| &line.server) {
            let is_known = running.iter().any(|known| known.is_same_server(server));
            if (server.is_standby == Some(true)) == is_standby && !is_known {
                running.push(server);
            }
        }
        running.len()
    }

    /// Every name of one of its servers; empty where it has only that one.
    pub fn names_of(&self, server: &ServerStatus) -> Vec<String> {
        server.names(self.servers.iter().map(|line| &line.server))
    }

    /// What they are to each other, where they are several, and which of them are one under several names.
    pub fn heading(&self) -> Option<String> {
        let (others, standbys) = (self.running(false), self.standbys());
        let plural = || present::plural(standbys, "standby", "standbys");
        let relation = match (others, others + standbys) {
            (_, 0 | 1) => None,
            (0, _) => Some(format!("{} of a primary that is not watched", plural())),
            (1, _) => Some(format!("{} with {}", self.servers[0].server.name, plural())),
            (several, _) => Some(format!(
                "one system identifier, {}: copies of each other",
                present::plural(several, "primary", "primaries")
            )),
        };
        let mut parts: Vec<String> = relation.into_iter().collect();
        for line in &self.servers {
            let names = self.names_of(&line.server);
            let told = reached_under(&names);
            if !names.is_empty() && !parts.contains(&told) {
                parts.push(told);
            }
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
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
        let sentence = sentence(&lines);
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
        match line.server.is_standby == Some(true) && cluster.servers.len() > 1 {
            true => "in-1",
            false => "",
        }
    }
}

/// How the servers are.
fn sentence(lines: &[ServerLine]) -> String {
    let number = |is_so: fn(&ServerStatus) -> bool| lines.iter().filter(|line| is_so(&line.server)).count();
    let lost = number(|server| server.unreachable.is_some());
    let unseen = number(|server| server.unreachable.is_none() && server.last_seen_at.is_none());
    let standbys = number(|server| server.is_standby == Some(true));
    let all = present::plural(lines.len(), "server is watched", "servers are watched");
    let of_them = match standbys {
        0 => String::new(),
        standbys => format!(
            ", {}",
            present::plural(standbys, "standby among them", "standbys among them")
        ),
    };
    match (lines.len(), lost, unseen) {
        (0, ..) => "No server is configured.".to_owned(),
        (_, 0, 0) => format!("{all}{of_them}, and every one was seen."),
        (_, 0, unseen) => format!(
            "{all}{of_them}; {} not been seen yet.",
            present::plural(unseen, "has", "have")
        ),
        (_, lost, _) => format!("{all}{of_them}; {lost} cannot be reached."),
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
        ServerLine {
            server,
            critical: 0,
            warning: 2,
            info: 0,
            gaps: 1,
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
    fn the_lag_is_told_as_it_was_seen() {
        let mut standby = line("s", None, true).server;
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
        assert!(html.contains("1 cannot be reached."));
    }
}

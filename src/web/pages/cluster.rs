//! Servers with one system identifier, and what they are to each other: a primary, its standbys, and copies that only look
//! like them.

use serde::Serialize;
use utoipa::ToSchema;

use super::present;
use super::server_line::ServerLine;
use super::servers::{is_lost, running};
use crate::model::replication::Replay;
use crate::model::status::ServerStatus;
use crate::report::reached_under;

/// Whom a server in recovery follows, as far as its last look proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// A primary: it receives WAL, or restores what was archived of late.
    Primary,
    /// Nobody. A copy that was restored stands like this; so does a standby that is cut off.
    Nobody,
    /// It could not be read, or it restores from an archive of which nothing new came of late.
    Unknown,
}

impl Follows {
    /// Of a server in recovery; nothing of any other.
    pub fn of(server: &ServerStatus) -> Option<Self> {
        if server.is_standby != Some(true) {
            return None;
        }
        let may_restore = |replay: &Replay| replay.restores_from_archive != Some(false) && !replay.is_paused;
        let replay = server.replication.as_ref().and_then(|seen| seen.replay.as_ref());
        Some(match replay {
            Some(replay) if replay.keeps_up() => Self::Primary,
            Some(replay) if !may_restore(replay) => Self::Nobody,
            _ => Self::Unknown,
        })
    }

    /// As the word for a server.
    pub fn word(self) -> &'static str {
        match self {
            Self::Primary => "standby",
            Self::Nobody | Self::Unknown => "in recovery",
        }
    }
}

/// Servers with one system identifier: a primary with its standbys, or a server alone.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Cluster {
    /// The primary first, one that answers before one that does not; there is at least one server.
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
            cluster.servers.sort_by_key(|line| {
                let is_standby = line.server.is_standby == Some(true);
                (is_standby, line.server.unreachable.is_some())
            });
        }
        clusters
    }

    fn has(&self, server: &ServerStatus) -> bool {
        let is_its = |line: &ServerLine| line.server.system_identifier == server.system_identifier;
        server.system_identifier.is_some() && self.servers.iter().any(is_its)
    }

    fn all(&self) -> impl Iterator<Item = &ServerStatus> {
        self.servers.iter().map(|line| &line.server)
    }

    /// How many of its servers are standbys. One that is reached under several names counts once.
    pub fn standbys(&self) -> usize {
        running(
            self.all()
                .filter(|server| Follows::of(server) == Some(Follows::Primary)),
        )
        .len()
    }

    /// Its primaries, each with every name: those that answer, and those that do not.
    fn answering_and_lost(&self) -> (Vec<Vec<&ServerStatus>>, Vec<Vec<&ServerStatus>>) {
        let primaries = running(self.all().filter(|server| server.is_standby == Some(false)));
        primaries.into_iter().partition(|names| !is_lost(names))
    }

    /// The primaries that answer, or those that did where none does; each once.
    fn primaries(&self) -> Vec<&ServerStatus> {
        let known = match self.answering_and_lost() {
            (answering, lost) if answering.is_empty() => lost,
            (answering, _) => answering,
        };
        let mut primaries: Vec<&ServerStatus> = Vec::with_capacity(known.len());
        for names in known {
            primaries.extend(
                names
                    .into_iter()
                    .min_by_key(|server| server.unreachable.is_some()),
            );
        }
        primaries
    }

    /// The primary: the one that answers, or that did; nothing where there are several, since nobody can tell which it is.
    pub fn primary(&self) -> Option<&ServerStatus> {
        match self.primaries().as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// Primaries that do not answer while another one does: it may have been promoted in their place.
    fn former_primaries(&self) -> Vec<&ServerStatus> {
        match self.answering_and_lost() {
            (answering, _) if answering.is_empty() => Vec::new(),
            (_, lost) => lost
                .into_iter()
                .filter_map(|names| names.first().copied())
                .collect(),
        }
    }

    /// Every name of one of its servers; empty where it has only that one.
    pub fn names_of(&self, server: &ServerStatus) -> Vec<String> {
        server.names(self.all())
    }

    /// What one of its servers in recovery is: `a standby of main`. It is named a standby only where it follows somebody, and a
    /// primary is named only where there is no other.
    pub fn in_recovery(&self, server: &ServerStatus) -> String {
        let primaries = self.primaries();
        let is_there = primaries.iter().any(|primary| primary.unreachable.is_none());
        let of = match primaries.as_slice() {
            [] => "a primary that is not watched".to_owned(),
            [one] if is_there => one.name.clone(),
            [one] => format!("{}, which cannot be reached now", one.name),
            several => format!("one of {} primaries with its system identifier", several.len()),
        };
        match Follows::of(server) {
            Some(Follows::Primary) => format!("a standby of {of}"),
            Some(Follows::Nobody) if primaries.is_empty() => "in recovery, and follows nobody".to_owned(),
            // a standby, too, follows nobody while its primary is gone
            Some(Follows::Nobody) if is_there => {
                format!("in recovery, follows nobody that is watched: it may be a copy of {of}")
            }
            _ => format!("in recovery, and a standby or a copy of {of}: which of both is not known"),
        }
    }

    /// Those in recovery that nothing proves to be standbys, each once.
    fn unproven(&self) -> Vec<&ServerStatus> {
        let is_unproven =
            |server: &&ServerStatus| matches!(Follows::of(server), Some(Follows::Nobody | Follows::Unknown));
        let each = running(self.all().filter(is_unproven)).into_iter();
        each.filter_map(|names| names.first().copied()).collect()
    }

    /// What they are to each other, where they are several.
    fn relation(&self) -> Option<String> {
        let standbys = present::plural(self.standbys(), "standby", "standbys");
        match (self.primaries().as_slice(), self.standbys()) {
            ([], 0) => None,
            ([], _) => Some(format!("{standbys} of a primary that is not watched")),
            // of one that does not answer nobody knows what it is now
            ([one], 0) if one.unreachable.is_some() => None,
            ([_], 0) => Some(format!("{} is the primary", self.servers[0].server.name)),
            ([_], _) => Some(format!("{} with {standbys}", self.servers[0].server.name)),
            (several, _) => Some(format!(
                "one system identifier, {}: copies of each other",
                present::plural(several.len(), "primary", "primaries")
            )),
        }
    }

    /// What they are to each other, where they are several, and which of them are one under several names.
    pub fn heading(&self) -> Option<String> {
        let mut parts: Vec<String> = Vec::new();
        if running(self.all()).len() > 1 {
            let was = |server: &ServerStatus| {
                let name = &server.name;
                format!("{name} was a primary when it last answered, and cannot be reached now")
            };
            let unproven = |server: &ServerStatus| format!("{} is {}", server.name, self.in_recovery(server));
            parts.extend(self.relation());
            parts.extend(self.former_primaries().into_iter().map(was));
            parts.extend(self.unproven().into_iter().map(unproven));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::status::ReplicationStatus;
    use crate::web::pages::sample;
    use crate::web::pages::spark::Spark;

    fn line(name: &str, is_standby: bool) -> ServerLine {
        let mut server = sample::server(name);
        server.system_identifier = Some("1".into());
        server.is_standby = Some(is_standby);
        ServerLine {
            server,
            critical: 0,
            warning: 0,
            info: 0,
            gaps: 0,
            late: Default::default(),
            spark: Spark::default(),
        }
    }

    /// A server in recovery that replays like this.
    fn replaying(name: &str, change: fn(&mut Replay)) -> ServerLine {
        let mut line = line(name, true);
        let mut replay = Replay {
            restores_from_archive: Some(false),
            ..Replay::default()
        };
        change(&mut replay);
        line.server.replication = Some(ReplicationStatus {
            replay: Some(replay),
            ..ReplicationStatus::default()
        });
        line
    }

    fn unreachable(mut line: ServerLine) -> ServerLine {
        line.server.unreachable = Some("refused".into());
        line
    }

    /// What the last of them is, and the heading of all.
    fn told(lines: &[ServerLine]) -> (String, String) {
        let clusters = Cluster::list(lines.to_vec());
        assert_eq!(clusters.len(), 1);
        let last = &lines.last().unwrap().server;
        (
            clusters[0].in_recovery(last),
            clusters[0].heading().unwrap_or_default(),
        )
    }

    #[test]
    fn a_copy_that_follows_nobody_is_no_standby() {
        let clone = replaying("clone", |_| ());
        let (is, heading) = told(&[line("main", false), clone.clone()]);
        assert_eq!(
            is,
            "in recovery, follows nobody that is watched: it may be a copy of main"
        );
        assert_eq!(heading, format!("main is the primary; clone is {is}"));
        let standby = replaying("standby", |replay| replay.is_streaming = true);
        let (is, heading) = told(&[line("main", false), clone.clone(), standby.clone()]);
        assert_eq!(is, "a standby of main");
        assert!(
            heading.starts_with("main with 1 standby; clone is in recovery, follows nobody"),
            "{heading}"
        );
        let alone = |line: &ServerLine| told(std::slice::from_ref(line)).0;
        assert_eq!(alone(&clone), "in recovery, and follows nobody");
        assert_eq!(alone(&standby), "a standby of a primary that is not watched");
        assert_eq!([clone.role(), standby.role()], ["in recovery", "standby"]);
    }

    #[test]
    fn an_archive_proves_it_while_something_comes_of_it() {
        let of = |change| told(&[line("main", false), replaying("x", change)]).0;
        let fed: fn(&mut Replay) = |replay| {
            replay.restores_from_archive = Some(true);
            replay.since_last_commit_seconds = Some(60.0);
        };
        assert_eq!(of(fed), "a standby of main");
        let idle: fn(&mut Replay) = |replay| {
            replay.restores_from_archive = Some(true);
            replay.since_last_commit_seconds = Some(1e6);
        };
        let unknown = "in recovery, and a standby or a copy of main: which of both is not known";
        assert_eq!(of(idle), unknown, "its primary may be idle");
        let at_its_target: fn(&mut Replay) = |replay| {
            replay.restores_from_archive = Some(true);
            replay.since_last_commit_seconds = Some(60.0);
            replay.is_paused = true;
        };
        assert!(of(at_its_target).contains("it may be a copy of main"));
        let unread = told(&[line("main", false), line("x", true)]).0;
        assert_eq!(unread, unknown, "nothing was read");
    }

    #[test]
    fn of_several_primaries_none_is_named() {
        let (a, b) = (line("a", false), line("b", false));
        let standby = replaying("s", |replay| replay.is_streaming = true);
        let clone = replaying("c", |_| ());
        let (is, heading) = told(&[a.clone(), b.clone(), standby.clone()]);
        assert_eq!(is, "a standby of one of 2 primaries with its system identifier");
        assert_eq!(
            heading,
            "one system identifier, 2 primaries: copies of each other"
        );
        let (is, _) = told(&[a.clone(), b.clone(), clone.clone()]);
        assert!(
            is.ends_with("a copy of one of 2 primaries with its system identifier"),
            "{is}"
        );
        let clusters = Cluster::list(vec![a.clone(), b.clone()]);
        assert!(clusters[0].primary().is_none());
        // whoever streams, streams from one that runs
        assert_eq!(told(&[unreachable(a.clone()), b, standby]).0, "a standby of b");
        // while the primary is gone its standby receives nothing, either
        let (is, heading) = told(&[unreachable(a), clone]);
        let expected = "in recovery, and a standby or a copy of a, which cannot be reached now: which of both is not \
                        known";
        assert_eq!((is.as_str(), heading), (expected, format!("c is {expected}")));
    }
}

//! `/servers/{server}`: how is this server?

use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::filters;
use super::frame::{Frame, Section, framed};
use super::history_chart::{HistoryChart, Measure};
use super::overview::ServerLine;
use super::range::Range;
use super::row::Row;
use super::servers::{Cluster, lag, path};
use super::status::ServerGap;
use super::tabs::{Tab, View};
use super::{activity, present};
use crate::model::activity::ActivityNow;
use crate::model::finding::Finding;
use crate::model::history::{HistoryPoint, StatementCounts};
use crate::model::replication::Standby;
use crate::model::status::LoadPoint;
use crate::model::unit::{bytes_for_people, seconds_for_people};

/// The load is told in so many parts of the range.
const PARTS: usize = 96;
/// Statements that are named.
const STATEMENTS: usize = 5;

const LOAD: Measure<StatementCounts> = Measure {
    name: "sessions executing",
    value: |counts, seconds| Some(counts.seconds() / seconds.max(1e-3)),
    told: |sessions| format!("{} sessions", rounded(sessions)),
    nothing: "nothing was executed",
};

/// With one decimal at most.
fn rounded(value: f64) -> String {
    present::number((value * 10.0).round() / 10.0)
}

/// Some time with its load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct LoadPart {
    /// When it begins.
    pub from: DateTime<Utc>,
    /// How long it is.
    pub length_seconds: f64,
    /// Average sessions executing statements; null where it is not known.
    pub load_sessions: Option<f64>,
}

/// A statement, and what part of the server's time it took.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BusyStatement {
    /// The database.
    pub database: String,
    /// Its identity.
    pub statement_id: String,
    /// Its text, without constants.
    pub text: String,
    /// Seconds of execution.
    pub seconds: f64,
    /// Of the time of all statements of the server, 0 to 1.
    pub share_ratio: f64,
}

/// A database, and what part of the server's time it took.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DatabaseLine {
    /// Its name.
    pub name: String,
    /// Seconds that its costliest statements were executed.
    pub seconds: f64,
    /// Of the time of all statements of the server, 0 to 1.
    pub share_ratio: f64,
}

/// What the page is made from.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The server.
    pub name: String,
    /// The servers of its cluster; it is among them.
    pub cluster: Cluster,
    /// The range that is told.
    pub range: Range,
    /// The load from before the range on, oldest first.
    pub load: Vec<LoadPoint>,
    /// Statements that took most time over the range, costliest first.
    pub statements: Vec<BusyStatement>,
    /// The costliest open findings.
    pub findings: Vec<Finding>,
    /// Open findings at all.
    pub open: usize,
    /// What could not be read.
    pub unread: Vec<ServerGap>,
    /// What goes on, where that is known.
    pub activity: Option<ActivityNow>,
}

/// One server.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "server.html")]
pub struct ServerPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// How it is, in a sentence.
    pub sentence: String,
    /// The server.
    pub server: ServerLine,
    /// The servers of its cluster, the primary first; it is among them.
    pub cluster: Cluster,
    /// Sessions of clients at the last look; null where that is not known.
    pub clients: Option<usize>,
    /// As many there can be.
    pub connections_limit: Option<usize>,
    /// The range that is told.
    pub range: Range,
    /// The load over the range, oldest first.
    pub load: Vec<LoadPart>,
    /// Its databases, the busiest first.
    pub databases: Vec<DatabaseLine>,
    /// The statements that took most time.
    pub statements: Vec<BusyStatement>,
    /// The costliest open findings.
    pub findings: Vec<Row>,
    /// Open findings at all.
    pub open: usize,
    /// What could not be read.
    pub unread: Vec<ServerGap>,
    #[serde(skip)]
    #[schema(ignore)]
    charts: [(&'static str, HistoryChart); 1],
}
framed!(ServerPage);

/// The load in parts of equal length: each point tells the mean since the one before.
fn parts(now: DateTime<Utc>, range: Range, points: &[LoadPoint]) -> Vec<LoadPart> {
    let from = now - range.length();
    let seconds = |delta: TimeDelta| delta.num_milliseconds() as f64 / 1000.0;
    let length = seconds(range.length()) / PARTS as f64;
    // seconds of sessions, and seconds of which the load is known
    let mut sums = [(0.0, 0.0); PARTS];
    for pair in points.windows(2) {
        let known = pair[1].load_sessions;
        let Some(load) = known.filter(|load| load.is_finite() && *load >= 0.0) else {
            continue;
        };
        let (begin, end) = (seconds(pair[0].at - from), seconds(pair[1].at - from));
        for (place, sum) in sums.iter_mut().enumerate() {
            let (first, last) = (place as f64 * length, (place + 1) as f64 * length);
            let overlap = end.min(last) - begin.max(first);
            if overlap > 0.0 {
                sum.0 += load * overlap;
                sum.1 += overlap;
            }
        }
    }
    let part = |(place, (sum, known)): (usize, (f64, f64))| LoadPart {
        from: from + TimeDelta::milliseconds((place as f64 * length * 1000.0) as i64),
        length_seconds: length,
        load_sessions: (known > 0.0).then(|| sum / known),
    };
    sums.into_iter().enumerate().map(part).collect()
}

/// The same as the picture takes it.
fn history(parts: &[LoadPart]) -> Vec<HistoryPoint<StatementCounts>> {
    let counts = |load: f64, seconds: f64| StatementCounts {
        microseconds: (load * seconds * 1e6) as u64,
        ..StatementCounts::default()
    };
    let point = |part: &LoadPart| HistoryPoint {
        from: part.from,
        length_seconds: part.length_seconds,
        seen_seconds: part.length_seconds,
        counts: part.load_sessions.map(|load| counts(load, part.length_seconds)),
    };
    parts.iter().map(point).collect()
}

/// Each database with what its statements took.
fn databases(server: &ServerLine, statements: &[BusyStatement]) -> Vec<DatabaseLine> {
    let line = |name: &String| {
        let own = statements.iter().filter(|statement| statement.database == *name);
        let (seconds, share_ratio) = own.fold((0.0, 0.0), |(seconds, share), statement| {
            (seconds + statement.seconds, share + statement.share_ratio)
        });
        DatabaseLine {
            name: name.clone(),
            seconds,
            share_ratio,
        }
    };
    let mut lines: Vec<DatabaseLine> = server.server.databases.iter().map(line).collect();
    lines.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    lines
}

/// What it is: `A primary with 2 standbys`.
fn role(server: &ServerLine, cluster: &Cluster) -> String {
    let known = &server.server;
    let primary = cluster
        .servers
        .iter()
        .find(|line| line.server.is_standby == Some(false));
    match (known.is_standby, primary) {
        (None, _) => "A server".to_owned(),
        (Some(true), Some(primary)) => format!("A standby of {}", primary.server.name),
        (Some(true), None) => "A standby of a primary that is not watched".to_owned(),
        (Some(false), _) => match cluster.standbys() {
            0 => "A primary".to_owned(),
            standbys => format!(
                "A primary with {}",
                present::plural(standbys, "standby", "standbys")
            ),
        },
    }
}

/// How it is, in a sentence.
fn sentence(server: &ServerLine, cluster: &Cluster, load: &[LoadPart], open: usize) -> String {
    let known = &server.server;
    if known.last_seen_at.is_none() {
        return match known.unreachable {
            Some(_) => "It cannot be reached, and was never seen.".to_owned(),
            None => "It has not been seen yet.".to_owned(),
        };
    }
    let role = role(server, cluster);
    if known.unreachable.is_some() {
        return format!("{role} that cannot be reached now: what is shown is as old as the last look.");
    }
    let loads: Vec<f64> = load.iter().filter_map(|part| part.load_sessions).collect();
    let mean = loads.iter().sum::<f64>() / loads.len().max(1) as f64;
    let busy = match loads.is_empty() {
        true => "its load is not known yet".to_owned(),
        false => format!("on average {} sessions execute", rounded(mean)),
    };
    let findings = match (open, server.critical) {
        (0, _) => "nothing is found".to_owned(),
        (open, 0) => present::plural(open, "finding is open", "findings are open"),
        (open, critical) => format!(
            "{}, {critical} critical",
            present::plural(open, "finding is open", "findings are open")
        ),
    };
    format!("{role}; {busy}, and {findings}.")
}

impl ServerPage {
    /// The page from what the store knows; nothing where the server is not of its cluster.
    pub fn build(now: DateTime<Utc>, facts: Facts) -> Option<Self> {
        let cluster = facts.cluster;
        let is_it = |line: &&ServerLine| line.server.name == facts.name;
        let server = cluster.servers.iter().find(is_it)?.clone();
        let load = parts(now, facts.range, &facts.load);
        let mut statements = facts.statements;
        let databases = databases(&server, &statements);
        statements.truncate(STATEMENTS);
        Some(Self {
            frame: Frame::new(now, Section::Servers, facts.name.clone()),
            sentence: sentence(&server, &cluster, &load, facts.open),
            charts: [("Load", HistoryChart::of(&history(&load), &LOAD))],
            clients: facts.activity.as_ref().map(|activity| activity.clients),
            connections_limit: facts.activity.and_then(|activity| activity.connections_limit),
            range: facts.range,
            load,
            databases,
            statements,
            findings: Row::list(facts.findings),
            open: facts.open,
            unread: facts.unread,
            server,
            cluster,
        })
    }

    fn path(&self) -> String {
        path(&self.server.server.name)
    }

    fn activity_path(&self) -> String {
        activity::path(&self.server.server.name)
    }

    /// Of longer ago than a week the load is not kept.
    fn ranges(&self) -> Vec<Tab> {
        let mut tabs = self.range.tabs(&self.path(), "");
        tabs.truncate(3);
        tabs
    }

    fn charts(&self) -> &[(&'static str, HistoryChart)] {
        &self.charts
    }

    fn lag(&self, line: &ServerLine) -> Option<String> {
        lag(&line.server)
    }

    fn path_of(&self, line: &ServerLine) -> String {
        path(&line.server.name)
    }

    fn is_shown(&self, line: &ServerLine) -> bool {
        line.server.name == self.server.server.name
    }

    /// Who receives WAL from it, whether it is watched or not.
    fn receivers(&self) -> &[Standby] {
        let replication = self.server.server.replication.as_ref();
        replication.map_or(&[][..], |replication| replication.standbys.as_slice())
    }

    fn behind(&self, receiver: &Standby) -> String {
        let bytes = receiver.replay_lag_bytes.map(bytes_for_people);
        let seconds = receiver.replay_lag_seconds.map(seconds_for_people);
        let known: Vec<String> = bytes.into_iter().chain(seconds).collect();
        match known.is_empty() {
            true => "not known".to_owned(),
            false => known.join(", "),
        }
    }

    fn outline(&self, statement: &BusyStatement) -> String {
        crate::sql::outline(&statement.text)
    }

    fn statement_path(&self, statement: &BusyStatement) -> String {
        let list = View::Statements.path(&self.server.server.name, &statement.database);
        format!("{list}/{}", present::url_part(&statement.statement_id))
    }

    /// The pages about a database: what they are called, and where they are.
    fn views(&self, database: &DatabaseLine) -> [(&'static str, String); 3] {
        let path = |view: View| view.path(&self.server.server.name, &database.name);
        [
            ("statements", path(View::Statements)),
            ("tables", path(View::Tables)),
            ("indexes", path(View::Indexes)),
        ]
    }

    fn of_hundred(&self, ratio: &f64) -> u8 {
        (ratio * 100.0).clamp(0.0, 100.0) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::replication::Replay;
    use crate::model::status::{Gap, ReplicationStatus};
    use crate::web::pages::spark::Spark;
    use crate::web::pages::{frame::Page, sample};

    fn line(name: &str, is_standby: bool) -> ServerLine {
        let mut server = sample::server(name);
        server.system_identifier = Some("1".into());
        server.is_standby = Some(is_standby);
        server.databases = vec![sample::HOSTILE.into(), "shop".into()];
        server.replication = Some(ReplicationStatus {
            replay: is_standby.then(|| Replay {
                is_streaming: true,
                unreplayed_bytes: Some(0.0),
                ..Replay::default()
            }),
            standbys: vec![Standby {
                name: sample::HOSTILE.into(),
                replay_lag_bytes: Some(2048.0),
                ..Standby::default()
            }],
        });
        ServerLine {
            server,
            critical: 1,
            warning: 0,
            info: 0,
            gaps: 1,
            spark: Spark::default(),
        }
    }

    fn facts(name: &str, servers: Vec<ServerLine>) -> Facts {
        Facts {
            name: name.to_owned(),
            cluster: Cluster { servers },
            range: Range::Day,
            load: Vec::new(),
            statements: Vec::new(),
            findings: Vec::new(),
            open: 0,
            unread: Vec::new(),
            activity: None,
        }
    }

    #[test]
    fn nothing_known_is_a_page() {
        let mut unseen = line("main", false);
        (unseen.server.last_seen_at, unseen.server.replication) = (None, None);
        unseen.server.databases.clear();
        let page = ServerPage::build(sample::now(), facts("main", vec![unseen])).unwrap();
        assert_eq!(page.sentence, "It has not been seen yet.");
        assert!(page.load.iter().all(|part| part.load_sessions.is_none()));
        assert!(
            page.html("..", "t")
                .unwrap()
                .contains("It has not been seen yet.")
        );
        assert!(ServerPage::build(sample::now(), facts("other", vec![line("main", false)])).is_none());
    }

    #[test]
    fn hostile_names_are_escaped_and_everything_has_its_place() {
        let statement = BusyStatement {
            database: sample::HOSTILE.into(),
            statement_id: sample::HOSTILE.into(),
            text: sample::HOSTILE.into(),
            seconds: 60.0,
            share_ratio: 0.75,
        };
        let gap = Gap {
            fact: sample::HOSTILE.into(),
            database: None,
            why: sample::HOSTILE.into(),
            remedy_sql: Some("GRANT pg_read_all_stats TO watcher".into()),
            missing_privilege: None,
            rules: vec!["query.slow_mean".into()],
        };
        let told = Facts {
            load: sample::load(0.5).into_iter().rev().collect(),
            statements: vec![statement],
            findings: vec![sample::finding("index.missing", sample::HOSTILE)],
            open: 30,
            unread: vec![ServerGap {
                server: "main".into(),
                gap,
            }],
            ..facts(
                sample::HOSTILE,
                vec![line(sample::HOSTILE, false), line("copy", true)],
            )
        };
        let page = ServerPage::build(sample::now(), told).unwrap();
        assert_eq!(
            page.sentence,
            "A primary with 1 standby; on average 0.5 sessions execute, and 30 findings are open, 1 critical."
        );
        assert_eq!(page.databases[0].name, sample::HOSTILE, "the busiest first");
        let html = page.clone().html("..", "t").unwrap();
        assert!(
            !html.contains("<script>alert") && !html.contains('\u{202e}'),
            "{html}"
        );
        assert!(
            html.contains("GRANT") && html.contains("2.0 KiB") && html.contains("all that came is replayed")
        );
        let json = serde_json::to_value(&page).unwrap();
        assert!(json.get("frame").is_none() && json["server"]["name"] == sample::HOSTILE);
        assert_eq!(json["load"].as_array().unwrap().len(), PARTS);
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

    #[test]
    fn a_point_is_the_mean_since_the_one_before() {
        let at = |minutes: i64, load_sessions| LoadPoint {
            at: sample::now() - TimeDelta::minutes(minutes),
            load_sessions,
        };
        // a quarter of an hour each; the third point from the end follows a time in which nobody looked
        let points = [
            at(75, Some(9.0)),
            at(60, Some(1.0)),
            at(45, None),
            at(30, Some(2.0)),
            at(15, Some(4.0)),
            at(0, Some(f64::NAN)),
        ];
        let told: Vec<Option<f64>> = parts(sample::now(), Range::Day, &points)
            .into_iter()
            .map(|part| part.load_sessions)
            .collect();
        assert_eq!(told.len(), PARTS);
        assert_eq!(told[PARTS - 5..], [Some(1.0), None, Some(2.0), Some(4.0), None]);
        assert!(
            told[..PARTS - 5].iter().all(Option::is_none),
            "the first has none before it"
        );
    }
}

//! `/servers/{server}`: how is this server?

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::busy::{BusyStatement, DatabaseLine, databases};
use super::cache::CacheLine;
use super::changes;
use super::checkpoints::CheckpointFacts;
use super::cluster::Cluster;
use super::database_load::{DatabaseLoadChart, load_points};
use super::filters;
use super::frame::{Frame, Section, framed};
use super::history_chart::{Change, within};
use super::load::{LoadPart, history, known_from, parts};
use super::load_picture;
use super::long_calls::told_where_they_ran;
use super::picture::{ChartTable, Picture};
use super::range::Range;
use super::relations::{Brief, briefs};
use super::row::Row;
use super::server_charts::{self, Told};
use super::server_facts::Facts;
use super::server_line::ServerLine;
use super::server_parts::{self, ServerPart};
use super::server_sentence::sentence;
use super::servers::{lag, path};
use super::settings::{self, SettingGroup};
use super::status_facts::ServerGap;
use super::tabs::{Tab, View};
use super::told_time::KnownTime;
use super::{activity, present};
use crate::model::database_load::DatabaseLoad;
use crate::model::judgement::{RuleOutcome, ToldPlace};
use crate::model::replication::Standby;
use crate::model::unit::{bytes_for_people, seconds_for_people};

/// Statements that are named.
const STATEMENTS: usize = 5;
/// Changes that are told in words; the others stand in the pictures and in the JSON.
const CHANGES: usize = 20;

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
    /// Findings about how many there are.
    pub connections_findings: Vec<Brief>,
    /// The range that is told.
    pub range: Range,
    /// The load over the range, oldest first.
    pub load: Vec<LoadPart>,
    /// The same by database, as far as it is known.
    pub database_load: DatabaseLoad,
    /// Its connections, cache, checkpoints and replication over the range, oldest first.
    pub over_time: Vec<ServerPart>,
    /// What happened to it meanwhile.
    pub changes: Vec<Change>,
    /// Its databases, the busiest first.
    pub databases: Vec<DatabaseLine>,
    /// How each of them finds its blocks.
    pub cache: Vec<CacheLine>,
    /// Its checkpoints; null where they are not known.
    pub checkpoints: Option<CheckpointFacts>,
    /// The statements that took most time.
    pub statements: Vec<BusyStatement>,
    /// The costliest open findings.
    pub findings: Vec<Row>,
    /// Open findings at all.
    pub open: usize,
    /// What could not be read.
    pub unread: Vec<ServerGap>,
    /// The settings that are worth knowing; empty where none could be read.
    pub settings: Vec<SettingGroup>,
    #[serde(skip)]
    #[schema(ignore)]
    load_picture: Picture,
    #[serde(skip)]
    #[schema(ignore)]
    pictures: Vec<Picture>,
    #[serde(skip)]
    #[schema(ignore)]
    database_chart: DatabaseLoadChart,
}
framed!(ServerPage);

impl ServerPage {
    /// The page from what the store knows; nothing where the server is not of its cluster.
    pub fn build(now: DateTime<Utc>, facts: Facts) -> Option<Self> {
        let cluster = facts.cluster;
        let is_it = |line: &&ServerLine| line.server.name == facts.name;
        let server = cluster.servers.iter().find(is_it)?.clone();
        let database_load = told_where_they_ran(facts.database_load, &facts.load);
        let points = match facts.load.is_empty() {
            true => load_points(now, &database_load),
            false => facts.load,
        };
        let (from, known) = (now - facts.range.length(), known_from(&points));
        let (load, known) = (parts(now, facts.range, &points), KnownTime::since(known));
        let history = history(&load);
        let changes = within(&history, changes::of_statements(&facts.changes));
        let over_time = server_parts::parts(now, facts.range, &facts.over_time);
        let told = Told {
            known: KnownTime::since(server_parts::known_from(&facts.over_time)),
            changes: &changes,
            checkpoints_at: facts.checkpoints.as_ref().map(|seen| seen.at),
            is_standby: server.server.is_standby == Some(true),
        };
        let mut statements = facts.statements;
        let databases = databases(&server, &statements);
        statements.truncate(STATEMENTS);
        let found = &facts.config_findings;
        let names = databases.iter().map(|line| &line.name);
        let block_bytes = facts.settings.get("block_size");
        let block_bytes = block_bytes.and_then(|setting| setting.value.parse::<f64>().ok());
        Some(Self {
            frame: Frame::new(now, Section::Servers, facts.name.clone()),
            sentence: sentence(now, &server, &cluster, &load, facts.open),
            load_picture: load_picture::load(&load, &history, &changes, known),
            pictures: server_charts::pictures(&over_time, &told),
            database_chart: DatabaseLoadChart::of(&database_load, (from, now), &changes),
            database_load,
            over_time,
            changes,
            clients: facts.activity.as_ref().map(|activity| activity.clients),
            connections_limit: facts.activity.and_then(|activity| activity.connections_limit),
            connections_findings: briefs(found, |finding| finding.claim.rule == "config.connections"),
            cache: CacheLine::list(names, &facts.block_reads, block_bytes, found),
            checkpoints: facts
                .checkpoints
                .as_ref()
                .map(|seen| CheckpointFacts::of(seen, block_bytes)),
            settings: settings::groups(&facts.settings, found),
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

    /// The same with what cannot be judged yet in each of its databases, where these rules told of something.
    #[must_use]
    pub fn with_waiting(mut self, outcomes: &[(String, RuleOutcome)], told: &[ToldPlace]) -> Self {
        for line in &mut self.databases {
            line.tell_waiting(&self.server.server.name, outcomes, told);
        }
        self
    }

    fn path(&self) -> String {
        path(&self.server.server.name)
    }

    fn activity_path(&self) -> String {
        activity::path(&self.server.server.name)
    }

    fn ranges(&self) -> Vec<Tab> {
        self.range.tabs(&self.path(), "")
    }

    fn database_table(&self) -> ChartTable {
        ChartTable::of_databases(&self.database_load)
    }

    /// What happened to it meanwhile, the newest first, and not too much of it.
    fn newest_changes(&self) -> Vec<&Change> {
        self.changes.iter().rev().take(CHANGES).collect()
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

    /// Of the connections that there can be, in per cent.
    fn connected(&self) -> Option<u8> {
        let (clients, limit) = self.clients.zip(self.connections_limit)?;
        Some(self.of_hundred(&(clients as f64 / limit.max(1) as f64)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::activity::ActivityNow;
    use crate::model::observation::BlockReads;
    use crate::model::replication::Replay;
    use crate::model::server_change::ServerChangeKind;
    use crate::model::snapshot::{Checkpoints, Setting};
    use crate::model::status::{Gap, ReplicationStatus};
    use crate::web::pages::database_load::tests::three_hours;
    use crate::web::pages::load::PARTS;
    use crate::web::pages::spark::Spark;
    use crate::web::pages::{frame::Page, sample};
    use chrono::TimeDelta;

    /// A server of a cluster; a standby streams.
    pub(in crate::web::pages) fn line(name: &str, is_standby: bool) -> ServerLine {
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
            ..ReplicationStatus::default()
        });
        ServerLine {
            server,
            critical: 1,
            warning: 0,
            info: 0,
            gaps: 1,
            late: Default::default(),
            spark: Spark::default(),
        }
    }

    /// Nothing but the servers of its cluster is known.
    pub(in crate::web::pages) fn facts(name: &str, servers: Vec<ServerLine>) -> Facts {
        Facts {
            name: name.to_owned(),
            cluster: Cluster { servers },
            range: Range::Day,
            load: Vec::new(),
            over_time: Vec::new(),
            database_load: DatabaseLoad::default(),
            changes: Vec::new(),
            statements: Vec::new(),
            findings: Vec::new(),
            open: 0,
            unread: Vec::new(),
            activity: None,
            settings: Default::default(),
            checkpoints: None,
            block_reads: Vec::new(),
            config_findings: Vec::new(),
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
        let (of, mut waits) = sample::skipped(sample::HOSTILE, "index.too_many", "needs <two> looks", None);
        waits.database = Some("shop".into());
        let of_server = sample::skipped(sample::HOSTILE, "query.slow_mean", "needs two looks", None);
        let page = ServerPage::build(sample::now(), told)
            .unwrap()
            .with_waiting(&[(of, waits), of_server], &[]);
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
        assert!(html.contains("1 rule waits for") && html.contains("too_many</span>: needs &#60;two"));
        assert!(html.contains("goes</h2><span class=\"quiet\">in") && html.contains("/rules/query.slow"));
        let json = serde_json::to_value(&page).unwrap();
        assert!(json.get("frame").is_none() && json["server"]["name"] == sample::HOSTILE);
        assert_eq!(json["load"].as_array().unwrap().len(), PARTS);
    }

    #[test]
    fn settings_cache_and_connections_are_told_or_that_they_are_not_known() {
        let html = |facts| {
            ServerPage::build(sample::now(), facts)
                .unwrap()
                .html("..", "t")
                .unwrap()
        };
        let unknown = html(facts("main", vec![line("main", false)]));
        for told in ["Settings could not be read", "not known yet", "href=\"#gaps\""] {
            assert!(unknown.contains(told), "{told}: {unknown}");
        }
        let setting = |value: &str, unit: Option<&str>| Setting {
            value: value.to_owned(),
            unit: unit.map(str::to_owned),
            source: sample::HOSTILE.to_owned(),
            is_pending_restart: true,
            ..Setting::default()
        };
        let mut about = sample::finding("config.memory_sizing", "work_mem");
        about.claim.object = Some(crate::model::finding::Object {
            kind: crate::model::finding::ObjectKind::Setting,
            schema: None,
            name: "work_mem".into(),
            table: None,
        });
        let told = html(Facts {
            settings: [
                ("block_size".to_owned(), setting("8192", None)),
                ("work_mem".to_owned(), setting("4096", Some("kB"))),
                (
                    "shared_preload_libraries".to_owned(),
                    setting(sample::HOSTILE, None),
                ),
            ]
            .into(),
            checkpoints: Some(Checkpoints {
                timed: 3,
                requested: 1,
                blocks_written: 3600,
                since: Some(sample::now() - TimeDelta::hours(1)),
                at: sample::now(),
            }),
            block_reads: vec![BlockReads {
                database: sample::HOSTILE.into(),
                window: crate::model::finding::Window {
                    from: sample::now() - TimeDelta::hours(2),
                    to: sample::now(),
                },
                hit: 75,
                read: 25,
            }],
            activity: Some(ActivityNow {
                clients: 12,
                connections_limit: Some(97),
                ..ActivityNow::default()
            }),
            config_findings: vec![about, sample::finding("config.connections", "main")],
            ..facts("main", vec![line("main", false)])
        });
        assert!(
            !told.contains("<script>alert") && !told.contains('\u{202e}'),
            "{told}"
        );
        for seen in [
            "4 MiB",
            "75 %",
            "2 h",
            "12 of 97",
            "memory sizing",
            ">connections</a>",
            "waits for a restart",
        ] {
            assert!(told.contains(seen), "{seen}: {told}");
        }
    }

    #[test]
    fn the_load_is_told_by_database_and_a_restart_is_marked_in_it() {
        let restarted = changes::tests::change(ServerChangeKind::Restarted, None, 22 * 60 + 30);
        let told = Facts {
            database_load: three_hours(sample::HOSTILE),
            changes: vec![restarted],
            ..facts("main", vec![line("main", false)])
        };
        let page = ServerPage::build(sample::now(), told).unwrap();
        assert!(page.load.iter().any(|part| part.load_sessions == Some(2.0)));
        let html = page.clone().html("..", "t").unwrap();
        assert!(
            !html.contains("<script>alert") && !html.contains('\u{202e}'),
            "{html}"
        );
        for seen in ["Load by database", "all other databases", "wait-6", "range=90d"] {
            assert!(html.contains(seen), "{seen}: {html}");
        }
        let marks = html.matches("class=\"mark\"").count();
        assert_eq!(marks, 2, "in either picture: {html}");
        assert_eq!(
            html.matches("the server was started").count(),
            3,
            "and in words: {html}"
        );
        let json = serde_json::to_value(&page).unwrap();
        assert_eq!(json["database_load"]["databases"][0], sample::HOSTILE);
        assert_eq!(json["changes"][0]["what"], "the server was started");
        assert!(json.get("database_chart").is_none());
    }
}

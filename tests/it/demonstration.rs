//! What the demonstration says of its applications: what their flaws deserve, and no other warning.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::harness::pgadvisor;
use crate::verdicts::{Truth, false_alarms, may, must, open, two_more_looks, unsaid, until_nothing_is_left};

/// All that is true of the applications: the flaws are those of `src/demo/schema.sql`, `flaws.sql` and `workload.sql`.
const TRUE: &[Truth] = &[
    // flaws.sql: phone numbers are not unique, so the build failed and left its index
    must("index.invalid", "shop.customer_phone_key"),
    // two developers, one idea; the one that comes last by its name is to go
    must("index.duplicate", "erp.stock_move_article_idx"),
    // called 750 times a minute, and nothing leads to the items of an order
    must("index.missing", "shop.order_item"),
    // autovacuum is off for it, and every row has had two lives
    must("vacuum.disabled", "auth.session"),
    must("vacuum.dead_tuples", "auth.session"),
    // indexes that no statement of the workload asks for; their wait is shortened
    must("index.unused", "crm.contact_fax_idx"),
    must("index.unused", "erp.article_weight_idx"),
    must("index.unused", "shop.customer_birth_date_idx"),
    must("index.unused", "auth.audit_event_request_idx"),
    // both are refreshed and read, and neither has a unique index
    must("matview.not_concurrent", "erp.stock_on_hand"),
    must("matview.not_concurrent", "shop.monthly_revenue"),
    // each of these tables is read whole for want of an index, as the planner proves: 200 sign-ins a minute, four statements
    // over all contacts with one search behind a wildcard, 90 lists of activities, 120 of orders
    must("index.missing", "auth.account"),
    must("index.missing", "crm.activity"),
    must("index.missing", "crm.contact"),
    must("index.missing", "shop.orders"),
    // so are these; whether what they take is a hundredth of the time, and with it worth a word, the machine decides
    may("index.missing", "auth.audit_event"),
    may("index.missing", "erp.article"),
    may("index.missing", "erp.invoice"),
    // far more than a twentieth of a second each time: said after fifty calls, which the clients have made after less than
    // three minutes
    must("query.slow_mean", "remarks ILIKE"),
    must("query.slow_mean", "AS sold"),
    // nearer to it, so that a fast machine may stay below
    may("query.slow_mean", "count(DISTINCT address)"),
    // 5 000 to 20 000 contacts sorted and thrown away: said after twenty calls, the twentieth comes after four minutes
    must("query.offset_pagination", "ORDER BY full_name, id LIMIT"),
    // known only when a sample meets the search at work, which is chance
    may("query.leading_wildcard", "remarks ILIKE"),
    // the four that have most of the time: items of an order without an index, a search behind a wildcard, two reports that
    // add up all rows each time; how much each has, the machine decides
    may("query.time_share", "FROM shop.order_item WHERE order_id"),
    may("query.time_share", "remarks ILIKE"),
    may("query.time_share", "AS sold"),
    may("query.time_share", "count(DISTINCT address)"),
    // where one of the slow ones takes more than a second, its client calls it less than twenty times in the first window
    may("query.heavy_rare", "remarks ILIKE"),
    may("query.heavy_rare", "AS sold"),
    may("query.heavy_rare", "count(DISTINCT address)"),
    // it sorts more than work_mem holds; a warning after ten minutes
    may("query.temp_spill", "count(DISTINCT address)"),
    // its promise of a minute is one of the demonstration, and a machine that is busy may keep it late
    may("matview.stale", "shop.monthly_revenue"),
    // it looks every five seconds, and asks the planner in its first minutes: that is more than a hundredth of a slow core
    may("advisor.overhead", "demo"),
    // from the day on at which the last release of PostgreSQL 15 is near
    may("config.version", ""),
];

/// The demonstration as a user runs it, on an address of its own.
struct Demonstration {
    process: Child,
    address: String,
    /// What it said until it told its address.
    said: String,
    /// What it said last, for whoever looks why the test failed.
    last: Arc<Mutex<VecDeque<String>>>,
}

impl Demonstration {
    fn start() -> Self {
        let mut process = pgadvisor()
            .args(["demo", "--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut started = Self {
            process,
            address: String::new(),
            said: String::new(),
            last: Arc::default(),
        };
        while started.address.is_empty() {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("it ended: {}", started.said));
            let line = line.unwrap();
            if let Some((_, address)) = line.split_once("the dashboard: http://") {
                started.address = address.split('/').next().unwrap_or_default().to_owned();
            }
            started.said += &line;
            started.said.push('\n');
        }
        // somebody has to read what it says, or it would wait for a place to write
        let last = started.last.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut last = last.lock().unwrap();
                last.push_back(line);
                if last.len() > 40 {
                    last.pop_front();
                }
            }
        });
        started
    }
}

impl Drop for Demonstration {
    /// Ends it in a way that lets it stop its server and remove its folder.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let ended = self.process.try_wait();
            eprintln!("the demonstration ({ended:?}) said last: {:#?}", self.last.lock());
        }
        let _ = Command::new("kill")
            .args(["-TERM", &self.process.id().to_string()])
            .status();
        let _ = self.process.wait();
    }
}

/// Columns of which both rules about missing indexes speak, for people.
fn told_twice(findings: &[Value]) -> Vec<String> {
    let of = |rule: &'static str| findings.iter().filter(move |finding| finding["rule"] == rule);
    let is_about = |missing: &Value, key: &Value, column: &str| {
        let title = missing["title"].as_str().unwrap();
        let (ours, theirs) = (&missing["object"], &key["object"]);
        (&ours["schema"], &ours["name"]) == (&theirs["schema"], &theirs["table"])
            && (title.contains(&format!("({column})")) || title.contains(&format!("({column}, ")))
    };
    of("index.fk_missing")
        .filter(|&key| {
            let column = key["evidence"]["columns"][0].as_str().unwrap();
            of("index.missing").any(|missing| is_about(missing, key, column))
        })
        .map(|key| key["title"].to_string())
        .collect()
}

#[tokio::test]
async fn the_demonstration_says_what_its_flaws_deserve_and_no_other_warning() {
    let demonstration = Demonstration::start();
    let address = demonstration.address.as_str();
    let said = &demonstration.said;
    assert!(said.contains(pgadvisor::demo::SHORTENED), "{said}");
    assert!(
        said.contains("min_age = \"1 min\" # instead of 35 days"),
        "{said}"
    );
    // the last that must be said is the one of pages
    until_nothing_is_left(Duration::from_secs(390), || unsaid(address, "demo", TRUE)).await;
    two_more_looks(address).await;
    let alarms = false_alarms(address, TRUE);
    assert!(alarms.is_empty(), "{alarms:#?}");
    let twice = told_twice(&open(address));
    assert!(twice.is_empty(), "one problem, one finding: {twice:#?}");
}

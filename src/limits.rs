//! Every bound, timeout and cadence of the advisor, in one place. The status page shows them.

use std::time::Duration;

use crate::model::unit::seconds_for_people;

/// A bound as people read it; what a number counts stands in its name.
macro_rules! shown {
    (Duration, $value:expr) => {
        seconds_for_people($value.as_secs_f64())
    };
    ($number:ident, $value:expr) => {
        $value.to_string()
    };
}

/// Bounds, each with its reason as its comment, and the table of all of them.
macro_rules! limits {
    ($($(#[doc = $why:literal])+ pub const $name:ident: $type:ident = $value:expr;)+) => {
        $($(#[doc = $why])+ pub const $name: $type = $value;)+

        /// The same for people: name, value, and why.
        pub fn table() -> Vec<(String, String, &'static str)> {
            let named = |name: &str| name.to_lowercase().replace('_', " ");
            vec![$((named(stringify!($name)), shown!($type, $name), concat!($($why),+).trim()),)+]
        }
    };
}

limits! {
/// Texts of statements are cut here, for storing and showing.
pub const STATEMENT_TEXT_BYTES: usize = 20_000;
/// Of statements that take little time only so much is kept.
pub const STATEMENT_BEGINNING_BYTES: usize = 500;
/// Statements of which the whole text is kept: those that take most time.
pub const WHOLE_STATEMENTS: usize = 1_000;
/// Whole texts of one server that are kept, together: beyond it only those of statements that are advised.
pub const WHOLE_TEXTS_BYTES: usize = 500_000;
/// Longer texts are known by their raw text alone: parsing them could take seconds.
pub const STATEMENT_PARSE_BYTES: usize = 100_000;
/// Characters of texts fetched in one look; the others follow at the next.
pub const STATEMENT_TEXT_CHARACTERS_PER_LOOK: usize = 100_000_000;
/// Entries of pg_stat_statements read in one look.
pub const STATEMENTS_PER_SNAPSHOT: usize = 100_000;
/// Relations of one database read in one look.
pub const RELATIONS_PER_DATABASE: usize = 200_000;
/// Materialized views of one database that refreshing knows.
pub const MATERIALIZED_VIEWS_PER_DATABASE: usize = 10_000;
/// Looks are not stretched further apart than this.
pub const LOOKS_APART_AT_MOST: Duration = Duration::from_secs(60 * 60);
/// Two looks that are further apart are no point of a history.
pub const MINUTE_AT_MOST: Duration = Duration::from_secs(70 * 60);
/// What statements did is kept minute by minute for this long; hour by hour as long as measurements are kept.
pub const MINUTES_KEPT: Duration = Duration::from_secs(2 * 24 * 3600);
/// What every statement, table and index did in an hour is kept for this long; in a day as long as measurements are kept.
pub const HOURS_KEPT_BY_TIME: Duration = Duration::from_secs(8 * 24 * 3600);
/// Lists of ranges up to this are added up hour by hour; of longer ones day by day.
pub const HOURS_SHOWN: Duration = Duration::from_secs(2 * 24 * 3600);
/// Numbers of statements, tables, indexes and waits that are remembered between looks: sixteen bytes each.
pub const SUBJECTS_REMEMBERED: usize = 200_000;
/// Different waits that are kept of a server; what is new beyond that is told by its event alone.
pub const WAITS_REMEMBERED: usize = 20_000;
/// Statements that are no queries, of which rules look for what is within.
pub const UTILITY_STATEMENTS: usize = 1_000;
/// Ranges up to this are shown minute by minute.
pub const MINUTES_SHOWN: Duration = Duration::from_secs(3 * 3600);
/// Problems that are shown as left out.
pub const IGNORED_SHOWN: usize = 500;
/// Statements of which it is remembered that they look for a pattern that begins with a wildcard.
pub const WILDCARDS_REMEMBERED: usize = 1_000;
/// Roles of a server whose names are read.
pub const ROLE_NAMES: usize = 10_000;
/// Settings of roles and databases that are read: where there are as many, none counts.
pub const ROLE_SETTINGS: usize = 10_000;
/// Problems of one database that were advised against and are remembered; what no statement is awaited for is forgotten first.
pub const ADVICE_REMEMBERED: usize = 2_000;
/// What a standby knows of the use of indexes counts if it was seen within this.
pub const STANDBY_SEEN_WITHIN: Duration = Duration::from_secs(3600);
/// Where a server is watched under two names, the second waits so long for the first before it tells of the server itself.
pub const FIRST_NAME_AWAITED: Duration = Duration::from_secs(10 * 60);
/// Sequences that are asked where they stand in one look.
pub const SEQUENCES_PER_LOOK: usize = 2_000;
/// The same in one transaction of it, which locks each.
pub const SEQUENCES_AT_ONCE: usize = 50;
/// Tables of which is read what keeps their columns from getting a wider type.
pub const TABLES_TO_WIDEN: usize = 200;
/// The part of its column's numbers, 0 to 1, that a sequence must have used for that.
pub const TO_WIDEN_RATIO: f64 = 0.25;
/// Indexes of one database of whose columns statistics are read: the largest.
pub const COLUMN_STATISTICS_INDEXES: usize = 1_000;
/// And none that is smaller.
pub const COLUMN_STATISTICS_FROM_BYTES: f64 = 10_000_000.0;
/// So long a look waits for the login that reads them.
pub const COLUMN_STATISTICS_TIMEOUT: Duration = Duration::from_secs(5);
/// Of those who wait for a lock, so many are asked who is in the way: each question takes the lock manager's locks.
pub const WAITERS_PER_LOOK: usize = 300;
/// Sessions that idle in a transaction for so long are asked for the tables that they have locked: with many a program somebody
/// has always idled for a second, and a rule tells of none before minutes.
pub const HELD_LOCKS_AFTER: Duration = Duration::from_secs(60);
/// So many of them: those that have idled longest.
pub const HELD_LOCKS_SESSIONS: usize = 20;
/// Locks that are read of each: the strongest.
pub const HELD_LOCKS_PER_SESSION: usize = 50;
/// Of those that are in the way of one session and wait themselves, so many are kept.
pub const BLOCKERS_PER_SESSION: usize = 20;
/// Sessions of which the page of what goes on has a line.
pub const SESSIONS_SHOWN: usize = 200;
/// Applications that it names.
pub const APPLICATIONS_SHOWN: usize = 10;
/// Prepared transactions that it names where one of them is in the way.
pub const PREPARED_NAMED: usize = 5;
/// Who holds others up is remembered if one of them has waited for so long at a look.
pub const BLOCKING_WORTH_KEEPING: Duration = Duration::from_secs(1);
/// Transactions that are open for longer are remembered, with what they hold back.
pub const TRANSACTION_WORTH_KEEPING: Duration = Duration::from_secs(5 * 60);
/// Of either kind so many can begin at one look: those behind whom most wait, and the oldest.
pub const INCIDENTS_PER_LOOK: usize = 100;
/// Of both so many of a server: the newest.
pub const INCIDENTS_KEPT: usize = 2_000;
/// Names in them are cut here.
pub const INCIDENT_NAME_BYTES: usize = 200;
/// Restarts, failovers and resets of statistics that are remembered of a server: the newest.
pub const SERVER_CHANGES_KEPT: usize = 500;
/// Databases that a picture of the load tells apart.
pub const DATABASES_DRAWN: usize = 5;
/// What sessions do is sampled this often, unless the configuration says otherwise.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Groups of sessions that one sample tells apart: the most frequent.
pub const GROUPS_PER_SAMPLE: usize = 500;
/// Groups that are kept apart between two looks; what comes beyond is counted as others.
pub const SAMPLED_GROUPS: usize = 2_000;
/// What sessions wait for is judged over this, at most.
pub const WAITS_WINDOW: Duration = Duration::from_secs(60 * 60);
/// And what they wait for now is what they waited for in the last minutes of it.
pub const WAITS_LATELY: Duration = Duration::from_secs(5 * 60);
/// Looks that follow each other sooner are one part of that window.
pub const WAITS_PART: Duration = Duration::from_secs(2 * 60);
/// Events that a picture of waits tells apart.
pub const EVENTS_SHOWN: usize = 7;
/// Sessions read in one look: those with the oldest transactions.
pub const SESSIONS_PER_LOOK: usize = 5_000;
/// Databases visited on one server.
pub const DATABASES_PER_SERVER: usize = 200;
/// Definitions of indexes fetched in one look; the others follow at the next.
pub const INDEX_DEFINITIONS_PER_LOOK: usize = 50_000;
/// Relations without a size in the catalog, or that grew since, whose files are looked at in one look: those that grew most.
pub const RELATION_SIZES_PER_LOOK: usize = 500;
/// Claims that one rule puts into words in one place where the configuration leaves some of those out that would be kept.
pub const CLAIMS_PER_RULE: usize = 2_000;
/// Findings that one rule may hold in one database; the worst are kept.
pub const FINDINGS_PER_RULE: usize = 500;
/// A statement of ours that runs longer is cancelled by the server.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Of a wait that ended without a word of the server, so much counts towards the budget: it stood still, or the way to it did.
pub const SILENCE_COUNTED_AT_MOST: Duration = Duration::from_secs(1);
/// Looks are stretched only while they take more than this part of the budget: where others take too much, that would not help.
pub const LOOKS_WORTH_STRETCHING: f64 = 0.1;
/// Bytes of one answer whose rows are kept until all have come: whatever sends more is no server as we know it.
pub const KEPT_ANSWER_BYTES: usize = 256 << 20;
/// The same where each row is handed on as it comes; texts of statements are the largest, with four bytes a character.
pub const PASSING_ANSWER_BYTES: usize = 768 << 20;
/// How long we wait for an answer beyond the server's own timeout.
pub const ANSWER_GRACE: Duration = Duration::from_secs(5);
/// Candidates that are tried for one statement.
pub const CANDIDATES_PER_STATEMENT: usize = 400;
/// HypoPG has OIDs for so many hypothetical indexes at once, and some more.
pub const HYPOTHETICAL_INDEXES: usize = 2_000;
/// Of a partitioned table whose partitions must be indexed hypothetically one by one so many may be.
pub const PARTITIONS_INDEXED_APART: usize = 50;
/// Keys of an index that is advised.
pub const INDEX_KEYS: usize = 3;
/// Columns in the INCLUDE of one candidate.
pub const INCLUDED_COLUMNS: usize = 8;
/// Planning one statement may take this long.
pub const PLAN_TIMEOUT: Duration = Duration::from_secs(10);
/// Where nothing tells what type a parameter has, a statement is planned with types that are guessed, at most so often.
pub const TYPES_GUESSED: usize = 10;
/// Statements of pg_stat_statements that are advised at once: those that took most time.
pub const ADVISED_STATEMENTS: usize = 200;
/// Where planning fills pg_stat_statements, one text is planned within a day for so many entries that it may hold.
pub const ENTRIES_PER_PLANNED_TEXT: usize = 50;
/// While the daemon works out advice, it pauses this many times as long as the server took: that takes a tenth of a core.
pub const PLANNING_PAUSE: u32 = 9;
/// Advice of the daemon is the best that was found in this time, and within what the budget of the hour leaves.
pub const ADVICE_TIME: Duration = Duration::from_secs(600);
/// The same for all databases of one `check`.
pub const ADVICE_TIME_OF_A_CHECK: Duration = Duration::from_secs(10);
/// Once somebody asked for its end, advice that was still planning statements as they are searches for so long.
pub const ADVICE_AFTER_INTERRUPT: Duration = Duration::from_secs(2);
/// Advice of the daemon waits until the budget of the last hour leaves it so many seconds of the server.
pub const ADVICE_LEAST_SECONDS: f64 = 1.0;
/// What the advisor costs is reckoned over this.
pub const BUDGET_WINDOW: Duration = Duration::from_secs(3600);
/// Planning sessions that may be lost with statements; then a run goes on to its end with what it has.
pub const LOST_SESSIONS: usize = 3;
/// What did not end when it was cancelled while it was planned is not planned again for so long.
pub const STUBBORN_AGAIN_AFTER: Duration = Duration::from_secs(24 * 3600);
/// What is being planned when the daemon is told to stop may end within this.
pub const ADVICE_ENDS_WITHIN: Duration = Duration::from_secs(3);
/// Where no advice could be worked out it is tried again after this.
pub const ADVICE_RETRY_AFTER: Duration = Duration::from_secs(600);
/// The same where it could not even be begun, so that it took next to nothing; each further time after twice as long, up to that.
pub const ADVICE_FIRST_RETRY_AFTER: Duration = Duration::from_secs(120);
/// Indexes that came or went make advice due again, no sooner than after this.
pub const ADVICE_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Questions with hypothetical indexes for one statement, on average.
pub const WHAT_IF_CALLS_PER_STATEMENT: usize = 19;
/// Smaller tables are read as a whole faster than by any index.
pub const TINY_TABLE_PAGES: f64 = 8.0;
/// Of smaller tables the b-tree is small, too: so many pages are eight ranges of a BRIN index.
pub const BLOCKS_TABLE_PAGES: f64 = 1024.0;
/// An index must save one of its statements at least so many of the planner's units in each call.
pub const LEAST_GAIN: f64 = 10.0;
/// And at least this part of it: each index has to be kept.
pub const LEAST_GAIN_SHARE: f64 = 0.005;
/// Where HypoPG leaves out at least this part of what a statement costs with the set, since it counts no descents, that is told.
pub const DESCENTS_TOLD_SHARE: f64 = 0.1;
/// Within a budget, where bytes are what is bought with, and nobody wants any left over that buy something, this part.
pub const LEAST_GAIN_SHARE_WITHIN_A_BUDGET: f64 = 0.0002;
/// The longest text that `pgadvisor plan` takes for a plan.
pub const PLAN_FILE_BYTES: u64 = 16 << 20;
/// Improved statements of one advice that are planned for particular values, too.
pub const STATEMENTS_WITH_VALUES: usize = 100;
/// What is written to tables is a rate over at least so long.
pub const WRITES_WINDOW: Duration = Duration::from_secs(55 * 60);
/// Where only totals are known, they are one over at least so long: a load and what was read since are soon done.
pub const WRITES_TOTALS_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Statements of one advice that are tried as materialized views: the costliest.
pub const SUMMARY_VIEWS: usize = 20;
/// Drops that are rehearsed in one database.
pub const REHEARSED_DROPS: usize = 200;
/// Where run after run is stopped before a drop was rehearsed, it is told unrehearsed after this.
pub const REHEARSAL_AWAITED: Duration = Duration::from_secs(24 * 3600);
/// Statements that are planned again for one of them.
pub const REHEARSED_STATEMENTS: usize = 50;
/// Plans for particular values of parameters that are made for all of them together.
pub const REHEARSED_VALUES: usize = 200;
/// Statements of one database whose plans are kept: those that took most time.
pub const PLANNED_STATEMENTS: usize = 50;
/// Where tables were analyzed, or statements became costly, plans are read again no sooner than after this.
pub const PLANS_AGAIN_AFTER: Duration = Duration::from_secs(600);
/// Plans of different shape that are kept of one statement: the newest.
pub const PLANS_PER_STATEMENT: usize = 10;
/// The same of all statements of a database.
pub const PLANS_PER_DATABASE: usize = 2_000;
/// Nodes that are kept of a plan.
pub const PLAN_NODES_KEPT: usize = 200;
/// Bytes that are kept of a plan.
pub const PLAN_BYTES_KEPT: usize = 64_000;
/// Bytes that are kept of each of its conditions and keys.
pub const PLAN_EXPRESSION_BYTES: usize = 300;
/// What the gate found out about a database is believed this long.
pub const GATE_MEMORY: Duration = Duration::from_secs(10);
/// Rows of an answer to the gate; where there is more, nothing is planned.
pub const GATE_ROWS: usize = 100_000;
/// How long a statement of ours waits for a lock.
pub const LOCK_TIMEOUT: Duration = Duration::from_millis(200);
/// A session of ours that idles in a transaction longer is ended by the server.
pub const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// What a session wrote is counted at most so long after its transaction, where it stays connected and asks nothing.
pub const STATISTICS_LAG: Duration = Duration::from_secs(10);
/// Materialized views are looked at as often as the statistics are, and at least this often, whether something is due or not.
pub const VIEWS_LOOKED_AT_EVERY: Duration = Duration::from_secs(60);
/// Between two looks at materialized views there is at least this.
pub const VIEWS_PAUSE: Duration = Duration::from_millis(200);
/// What pages show of views follows their refreshes this often, at most.
pub const VIEWS_SHOWN_EVERY: Duration = Duration::from_secs(1);
/// A refresh that takes longer is watched, this often.
pub const REFRESH_WATCHED_EVERY: Duration = Duration::from_millis(500);
/// Runs of one view that rules look at.
pub const RUNS_OF_A_VIEW: usize = 10;
/// A look that outlives every timeout of the server is given up.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(120);
/// A problem lasts if it is seen at least this often, at every third look where those are further apart, and ten times in the
/// time that it must last.
pub const UNBROKEN_WITHIN: Duration = Duration::from_secs(10 * 60);
/// The first wait after a failed look; it doubles up to the longest.
pub const BACK_OFF_MINIMUM: Duration = Duration::from_secs(1);
/// The longest wait after failed looks.
pub const BACK_OFF_MAXIMUM: Duration = Duration::from_secs(60);
/// While its questions cost more than the budget the advisor reads names, definitions and designs so many times as seldom as
/// configured, at most.
pub const NAMES_STRETCHED_AT_MOST: u32 = 8;
/// If that is not enough it samples so many times as seldom, at most.
pub const SAMPLING_STRETCHED_AT_MOST: u32 = 8;
/// If that is not enough it looks so many times as seldom, at most: the last thing that is slowed.
pub const LOOKS_STRETCHED_AT_MOST: u32 = 64;
/// What was stretched comes back a step where it would cost less than this share of the budget then.
pub const BUDGET_SHARE_TO_COME_BACK: f64 = 0.8;
/// What questions cost is reckoned from the last hour, and from so many of them at least.
pub const QUESTIONS_RECKONED_WITH: f64 = 6.0;
/// A window of statements is this long, once it is full.
pub const STATEMENT_WINDOW: Duration = Duration::from_secs(30 * 60);
/// A statement was mended within the window where its calls since the look before take less than one in so many of what they
/// took over all of it.
pub const FASTER_TIMES: f64 = 10.0;
/// So many calls since then show that.
pub const FASTER_CALLS: u64 = 20;
/// So many calls that wrote hardly any temporary files show that a statement writes them no longer, where they are half of those
/// of the window, too.
pub const CALLS_WITHOUT_SPILLING: i64 = 3;
/// Of so many of the costliest statements it is worked out since when they are faster, however seldom they are called; and of so many
/// of those that write most temporary files, too.
pub const LATELY_STATEMENTS: usize = 50;
/// So many looks are kept as starts of later windows.
pub const STATEMENT_LOOKS_IN_WINDOW: i32 = 3;
/// A window of statements is judged only from this length on.
pub const STATEMENT_WINDOW_MINIMUM: Duration = Duration::from_secs(5 * 60);
/// How fast transaction ids are used is a mean over this to twice this.
pub const TRANSACTION_ID_WINDOW: Duration = Duration::from_secs(6 * 3600);
/// Totals since a known reset are judged only from this length on: of a few seconds every share would be large.
pub const STATEMENT_TOTALS_MINIMUM: Duration = Duration::from_secs(60);
/// Bytes of a request's body.
pub const REQUEST_BYTES: usize = 64 * 1024;
/// Characters of what a person says about a finding.
pub const COMMENT_CHARACTERS: usize = 1000;
/// Findings that the front page and the text of `check` show; the rest are folded by rule.
pub const FINDINGS_SHOWN: usize = 10;
/// Of one rule so many of these, unless they are critical: a talkative one must not hide the others.
pub const FINDINGS_SHOWN_PER_RULE: usize = 3;
/// Items in one page or one answer.
pub const PAGE_ITEMS: usize = 100;
/// Items that a caller may ask for at once.
pub const PAGE_ITEMS_MAXIMUM: usize = 1000;
/// How long a running request may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_shown_with_its_value_and_says_why() {
        let lines = include_str!("limits.rs").lines();
        let bounds = lines.filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
        let bounds: Vec<String> = bounds.map(|name| name.to_lowercase().replace('_', " ")).collect();
        let shown = table();
        let names: Vec<&String> = shown.iter().map(|(name, _, _)| name).collect();
        assert_eq!(names, bounds.iter().collect::<Vec<_>>());
        for (name, value, why) in &shown {
            assert!(!value.is_empty() && why.ends_with('.'), "{name}: {why:?}");
        }
        let value = |wanted: &str| {
            let found = shown.iter().find(|(name, _, _)| name == wanted);
            found.map(|(_, value, _)| value.as_str())
        };
        assert_eq!(value("lock timeout"), Some("200 ms"));
        assert_eq!(value("look timeout"), Some("2 min"));
        assert_eq!(value("findings per rule"), Some("500"));
    }
}

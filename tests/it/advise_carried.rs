//! What an index holds beside what is searched by: for a subquery, for both arms of a UNION, and where a part of the rows has its
//! key in common.

use crate::advise_harness::{advise, definitions};
use crate::harness::{Cluster, present};

/// One member in six has the rank that is asked for, and one deal in five hundred, anywhere among the others, is a draft. One
/// person in twenty lives in each country, and one in eight has a parent.
const GUILDS: &str = "
CREATE EXTENSION hypopg;
CREATE TABLE guilds (id int PRIMARY KEY, name text);
INSERT INTO guilds SELECT g, 'guild ' || g FROM generate_series(1, 3000) g;
CREATE TABLE members (guild_id int, player_id int, rank smallint, note text);
INSERT INTO members SELECT g::bigint * 7919 % 3000, g, g % 6, repeat('x', 100) FROM generate_series(1, 60000) g;
CREATE TABLE deals (id int, state text, seller int, buyer int, note text);
INSERT INTO deals SELECT g, CASE WHEN g % 500 = 7 THEN 'draft' ELSE 's' || g % 6 END, g::bigint * 7919 % 20000,
    g::bigint * 104729 % 20000, repeat('x', 150) FROM generate_series(1, 60000) g;
CREATE TABLE people (id int, country text, parent int, note text);
INSERT INTO people SELECT g, 'c' || g / 8 % 20, CASE WHEN g % 8 = 0 THEN g::bigint * 7919 % 900 END, repeat('x', 200)
    FROM generate_series(1, 60000) g";

/// Each statement, with more options, and which of these the one index is.
const ASKED: [(&str, &[&str], &[&str]); 5] = [
    (
        "SELECT id FROM guilds WHERE id NOT IN (SELECT guild_id FROM members WHERE rank = 5)",
        &[],
        &["(guild_id) WHERE rank = 5"],
    ),
    (
        "SELECT id FROM guilds WHERE id NOT IN (SELECT guild_id FROM members WHERE rank = 5)",
        &["--no-partial"],
        &["(rank, guild_id)", "(rank) INCLUDE (guild_id)"],
    ),
    (
        "SELECT seller FROM deals WHERE state = 'draft' UNION SELECT buyer FROM deals WHERE state = 'draft'",
        &["--no-partial"],
        &[
            "(state) INCLUDE (buyer, seller)",
            "(state, seller) INCLUDE (buyer)",
            "(state, buyer) INCLUDE (seller)",
        ],
    ),
    (
        "SELECT * FROM people WHERE parent IS NOT NULL AND country = 'c7'",
        &[],
        &[
            "(parent) WHERE country = 'c7'",
            "(country) WHERE parent IS NOT NULL",
            "(country, parent)",
        ],
    ),
    (
        "SELECT * FROM people WHERE parent IS NOT NULL AND country = 'c7'",
        &["--no-partial"],
        &["(country, parent)"],
    ),
];

#[tokio::test]
async fn an_index_holds_what_is_needed_and_not_what_its_part_has_in_common() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", GUILDS).await;
        cluster.sql("postgres", "VACUUM ANALYZE").await;
        for (statement, more, wanted) in ASKED {
            let answer = advise(&cluster, "postgres", statement, more);
            let told = format!("on {version}: {statement} {more:?}: {answer}");
            let calls = answer["workload"]["what_if_calls"].as_u64().unwrap();
            assert!(calls <= 20, "{told}");
            let [definition] = definitions(&answer)[..] else {
                panic!("{told}");
            };
            assert!(wanted.iter().any(|one| definition.contains(one)), "{told}");
        }
        // the few rows of both arms are read from indexes alone, be that one or two
        let answer = advise(&cluster, "postgres", ASKED[2].0, &[]);
        let cost = |name: &str| -> f64 { answer["workload"][name].as_f64().unwrap() };
        assert!(
            cost("cost_after") < 0.05 * cost("cost_before"),
            "on {version}: {answer}"
        );
        assert!(definitions(&answer).len() <= 2, "on {version}: {answer}");
    }
}

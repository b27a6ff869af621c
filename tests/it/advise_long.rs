//! Texts that are longer or deeper than anybody writes, among statements that people do write: each is told with its reason,
//! the others are advised, and the memory of the program has a bound.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::command_line::conforms;
use crate::harness::{Cluster, pgadvisor, present};

const CALLS: &str = "CREATE EXTENSION hypopg;
    CREATE TABLE calls (id int PRIMARY KEY, caller int, made_at timestamptz, note text);
    INSERT INTO calls SELECT g, g % 5000, timestamptz '2026-01-01' + g * interval '1 min', repeat('x', 60)
        FROM generate_series(1, 40000) g;
    ANALYZE calls";

const NEIGHBOURS: [&str; 2] = [
    "SELECT note FROM calls WHERE caller = 77",
    "SELECT id, note FROM calls ORDER BY made_at DESC LIMIT 10",
];

/// All that the program may map: several times what it takes, and far less than a text that runs away.
const MEMORY_KILOBYTES: u32 = 3_000_000;

/// What becomes of a text.
enum Told {
    /// It is not planned, for a reason that says this.
    Refused(&'static str),
    /// It is planned, or it is not: in any case something is said of it.
    Something,
}

/// Texts as long or as deep as it says, none with a `;` in it.
fn texts() -> Vec<(&'static str, String, Told)> {
    let names = |prefix: &str| -> String {
        let names: Vec<String> = (0..9_000).map(|number| format!("{prefix}{number}")).collect();
        names.join(", ")
    };
    let ors = |count: usize| {
        format!(
            "SELECT note FROM calls WHERE id = 1{}",
            " OR id = 1".repeat(count)
        )
    };
    let nested = |open: &str| format!("SELECT {}1{}", open.repeat(500), ")".repeat(500));
    vec![
        (
            "a megabyte",
            format!("SELECT '{}'", "x".repeat(1 << 20)),
            Told::Refused("longer than"),
        ),
        ("64 000 ORs", ors(64_000), Told::Refused("longer than")),
        ("9 000 ORs", ors(9_000), Told::Something),
        (
            "500 subqueries",
            nested("(SELECT "),
            Told::Refused("cannot parse"),
        ),
        ("500 calls", nested("lower("), Told::Something),
        (
            "20 000 sums",
            format!("SELECT id{} FROM calls", " + 1".repeat(20_000)),
            Told::Something,
        ),
        (
            "9 000 relations of one name",
            format!("SELECT 1 FROM calls{}", ", calls".repeat(9_000)),
            Told::Refused("calls"),
        ),
        (
            "9 000 relations",
            format!("SELECT 1 FROM {}", names("t")),
            Told::Refused("is no table or view"),
        ),
        (
            "9 000 columns",
            format!("SELECT {} FROM calls", names("c")),
            Told::Refused("c0"),
        ),
    ]
}

/// The program with no more memory than that.
fn bounded() -> Command {
    let program = pgadvisor();
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -v {MEMORY_KILOBYTES}; exec \"$@\""), "sh"])
        .arg(program.get_program())
        .current_dir(std::env::temp_dir());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn advised(cluster: &Cluster, workload: &Path, format: &str) -> Output {
    let output = bounded()
        .args([
            "advise",
            &cluster.dsn("postgres", "postgres"),
            "--format",
            format,
            "--workload",
        ])
        .arg(workload)
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{format}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A statement without the text that nobody wants to read in a failure.
fn short(told: &Value) -> String {
    format!("{} because {}", told["status"], told["reason"])
}

#[tokio::test]
async fn long_and_deep_texts_leave_their_neighbours_alone() {
    for version in present(&[15, 18]) {
        let cluster = Cluster::start(version).await;
        cluster.sql("postgres", CALLS).await;
        let texts = texts();
        let folder = tempfile::tempdir().unwrap();
        let workload = folder.path().join("workload.sql");
        let long = texts.iter().map(|(_, text, _)| text.as_str());
        let all = [NEIGHBOURS[0]].into_iter().chain(long).chain([NEIGHBOURS[1]]);
        std::fs::write(&workload, all.collect::<Vec<_>>().join(";\n")).unwrap();
        let output = advised(&cluster, &workload, "json");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        conforms("advise.schema.json", &answer);
        let told = answer["statements"].as_array().unwrap();
        assert_eq!(told.len(), texts.len() + NEIGHBOURS.len());
        for ((name, text, expected), told) in texts.iter().zip(&told[1..]) {
            assert!(
                told["text"] == text.as_str(),
                "{name} on {version} is told in another place"
            );
            let reason = told["reason"].as_str().unwrap_or_default();
            let is_right = match expected {
                Told::Refused(part) => told["status"] == "not_planned" && reason.contains(part),
                Told::Something => !reason.is_empty() || told["cost_after"].is_number(),
            };
            assert!(is_right, "{name} on {version}: {}", short(told));
            assert!(
                reason.len() < 2000,
                "{name} on {version}: a reason of {} bytes",
                reason.len()
            );
        }
        for neighbour in [&told[0], &told[told.len() - 1]] {
            assert_eq!(neighbour["status"], "improved", "on {version}: {neighbour}");
        }
        // people read it, too: a long text is told by its beginning
        let output = advised(&cluster, &workload, "text");
        let text = String::from_utf8(output.stdout).unwrap();
        let longest = text.lines().map(str::len).max().unwrap_or_default();
        assert!(longest < 4000, "on {version}: a line of {longest} bytes");
        assert!(text.contains("_idx on public.calls"), "on {version}: {text}");
        // and run it: nothing of the texts is in what is to be run
        let output = advised(&cluster, &workload, "sql");
        let sql = String::from_utf8(output.stdout).unwrap();
        assert!(
            sql.len() < 10_000 && sql.contains("CREATE INDEX"),
            "on {version}: {sql}"
        );
    }
}

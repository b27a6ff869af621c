//! How fast pages and API answer. Each address by itself: 50 clients that ask again 50 ms after each answer, with one turn
//! written down meanwhile; and how long one answer takes right after a turn, when nothing of it is kept ready. Then the first
//! answers after a turn, which are all made anew: every address but once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{DATABASES, Filling, database};

/// Pages that show what is now; the API has them, too.
const WITHOUT_RANGE: [&str; 5] = [
    "/findings",
    "/servers",
    "/servers/main/activity",
    "/status",
    "/rules",
];
const CLIENTS: usize = 50;
/// Answers that each of the clients waits for.
const ANSWERS: usize = 200;
/// Answers that are timed one by one, each after a turn.
const MADE_ANEW: usize = 5;
/// How long people think between two pages.
const THINKING: Duration = Duration::from_millis(50);
/// Turns after which every address is asked for once.
const TURNS: usize = 5;
/// Statements, tables and indexes whose own pages are among these addresses, of each so many.
const THINGS: u64 = 40;

/// The status of an answer and its bytes; none where there was none.
fn get(address: SocketAddr, path: &str) -> Option<(u16, usize)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let status = std::str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()?;
    Some((status, bytes.len()))
}

/// The milliseconds of one answer, if it went well.
fn timed(address: SocketAddr, path: &str) -> Option<f64> {
    let started = Instant::now();
    let (status, _) = get(address, path)?;
    let elapsed = started.elapsed().as_secs_f64() * 1000.0;
    (status == 200).then_some(elapsed)
}

/// The milliseconds of all answers to the clients, in their order; one turn is written down meanwhile.
fn crowd(filling: &Filling, address: SocketAddr, path: &str) -> Vec<f64> {
    let client = || {
        let one = |_| {
            let elapsed = timed(address, path);
            std::thread::sleep(THINKING);
            elapsed
        };
        (0..ANSWERS).filter_map(one).collect::<Vec<f64>>()
    };
    let mut times: Vec<f64> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        std::thread::sleep(Duration::from_secs(5));
        filling.record_now();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap_or_default())
            .collect()
    });
    times.sort_by(f64::total_cmp);
    times
}

/// One line of the table: of what is not there that is told, and nothing is measured.
fn measure(filling: &Filling, address: SocketAddr, path: &str) {
    let Some((200, size)) = get(address, path) else {
        let status =
            get(address, path).map_or("no answer".to_owned(), |(status, _)| format!("status {status}"));
        println!("| `{path}` | {status}: not measured | | | |");
        return;
    };
    let anew = |_| {
        filling.record_now();
        timed(address, path).expect("an answer")
    };
    let mut made: Vec<f64> = (0..MADE_ANEW).map(anew).collect();
    made.sort_by(f64::total_cmp);
    let times = crowd(filling, address, path);
    let wanted = CLIENTS * ANSWERS;
    if times.len() < wanted * 95 / 100 {
        println!(
            "| `{path}` | only {} of {wanted} were answered | | | |",
            times.len()
        );
        return;
    }
    println!(
        "| `{path}` | {:.1} ms | {:.1} ms | {:.1} ms | {} kB |",
        times[times.len() * 99 / 100],
        times[times.len() - 1],
        made[MADE_ANEW / 2],
        size / 1000,
    );
}

/// The page of the statement of that number.
fn statement(filling: &Filling, number: u64) -> String {
    let id = &filling.texts[number as usize].statement_id;
    format!("/servers/main/{}/statements/{id}", database(number))
}

fn table(number: u64) -> String {
    format!("/servers/main/{}/tables/public/t{number}", database(number))
}

fn index(number: u64) -> String {
    let name = format!("t{}_{}", number / 3, number % 3);
    format!("/servers/main/{}/indexes/public/{name}", database(number))
}

/// The pages by their names, each by itself; what a page and the API have in common, by both.
pub fn measured_one_by_one(filling: &Filling, address: SocketAddr) {
    println!(
        "\n| address | p99, 50 clients | slowest | made anew, alone | compressed |\n|---|---|---|---|---|"
    );
    let mut both: Vec<String> = WITHOUT_RANGE.map(str::to_owned).into();
    for range in ["30d", "90d"] {
        for list in ["statements", "tables", "indexes"] {
            both.push(format!("/servers/main/app/{list}?range={range}"));
        }
        let things = [
            "/servers/main".to_owned(),
            statement(filling, 0),
            table(0),
            index(0),
        ];
        both.extend(things.map(|page| format!("{page}?range={range}")));
    }
    // says nothing, and shows what clients and machine take of it
    measure(filling, address, "/healthz");
    measure(filling, address, "/");
    both.iter().for_each(|path| measure(filling, address, path));
    measure(filling, address, "/api/v1/overview");
    both.iter()
        .for_each(|path| measure(filling, address, &format!("/api/v1{path}")));
    measure(filling, address, "/healthz");
}

/// Addresses of which no two are one answer.
fn all_addresses(filling: &Filling) -> Vec<String> {
    let mut both: Vec<String> = WITHOUT_RANGE.map(str::to_owned).into();
    for range in ["24h", "30d", "90d"] {
        both.push(format!("/servers/main?range={range}"));
        for name in DATABASES {
            let lists = ["statements", "tables", "indexes"];
            both.extend(lists.map(|list| format!("/servers/main/{name}/{list}?range={range}")));
        }
    }
    for number in 0..THINGS {
        let things = [statement(filling, number), table(number), index(number)];
        both.extend(things.map(|page| format!("{page}?range=90d")));
    }
    let of_api: Vec<String> = both.iter().map(|path| format!("/api/v1{path}")).collect();
    both.extend(of_api);
    both.extend(["/".to_owned(), "/api/v1/overview".to_owned()]);
    both
}

/// The milliseconds of the answers to so many clients after one turn; each address is asked for once, by whoever is next.
fn once_each(filling: &Filling, address: SocketAddr, paths: &[String], clients: usize) -> Vec<f64> {
    filling.record_now();
    let next = AtomicUsize::new(0);
    let client = || {
        let mut times = Vec::new();
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            times.extend(timed(address, path));
            if clients > 1 {
                std::thread::sleep(THINKING);
            }
        }
        times
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap_or_default())
            .collect()
    })
}

/// The first answers after a turn, to one client that asks without a pause and to 50 that begin at the same moment.
pub fn first_after_a_turn(filling: &Filling, address: SocketAddr) {
    let paths = all_addresses(filling);
    println!("\n| first answers after a turn | answered | median | p99 | slowest |\n|---|---|---|---|---|");
    for clients in [1, CLIENTS] {
        let turn = |_| once_each(filling, address, &paths, clients);
        let mut times: Vec<f64> = (0..TURNS).flat_map(turn).collect();
        times.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            times
                .get(times.len() * percent / 100)
                .copied()
                .unwrap_or(f64::NAN)
        };
        println!(
            "| {clients} at a time, {} addresses, {TURNS} turns | {} of {} | {:.1} ms | {:.1} ms | {:.1} ms |",
            paths.len(),
            times.len(),
            paths.len() * TURNS,
            at(50),
            at(99),
            times.last().copied().unwrap_or(f64::NAN),
        );
    }
}

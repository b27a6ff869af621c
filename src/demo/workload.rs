//! Clients that keep calling: each application's statements at their rates, with values drawn anew for each call.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::server::{Disposable, session};
use super::{DATABASE, WORKLOAD};

/// One statement, and how often it is called.
#[derive(Clone, Debug, PartialEq)]
struct Call {
    name: String,
    per_minute: f64,
    text: String,
}

/// The statements of a file, without its comment lines; `;` at a line's end ends one.
pub fn statements(text: &str) -> Vec<String> {
    let code: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .collect();
    let code = code.join("\n") + "\n";
    code.split(";\n")
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

/// The calls that the workload file names.
fn calls(text: &str) -> Vec<Call> {
    let header = |line: &str| {
        let (name, rate) = line.strip_prefix("-- name: ")?.split_once(" per_minute: ")?;
        Some((name.trim().to_owned(), rate.trim().parse::<f64>().ok()?))
    };
    let headers = text.lines().filter_map(header);
    headers
        .zip(statements(text))
        .map(|((name, per_minute), text)| Call {
            name,
            per_minute,
            text,
        })
        .collect()
}

/// A small generator (xorshift64*): the demo needs variety, not secrets.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % below.max(1)
    }
}

/// Puts a number into each `{int:1:9}`.
fn with_values(text: &str, dice: &mut Dice) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{int:") {
        let range = after.split_once('}').and_then(|(range, after)| {
            let (low, high) = range.split_once(':')?;
            Some((low.parse::<u64>().ok()?, high.parse::<u64>().ok()?, after))
        });
        let Some((low, high, after)) = range else { break };
        out.push_str(before);
        out.push_str(&(low + dice.roll(high.saturating_sub(low) + 1)).to_string());
        rest = after;
    }
    out + rest
}

/// The clients of all applications.
pub struct Clients;

impl Clients {
    /// Starts one client for each application; they end when `stop` is cancelled.
    pub fn start(server: &Disposable, tasks: &TaskTracker, stop: &CancellationToken) {
        let all = calls(WORKLOAD);
        let mut applications: Vec<&str> = all
            .iter()
            .filter_map(|call| call.name.split('_').next())
            .collect();
        applications.dedup();
        for (number, application) in applications.into_iter().enumerate() {
            let own: Vec<Call> = all
                .iter()
                .filter(|call| call.name.starts_with(application))
                .cloned()
                .collect();
            let (dsn, stop) = (server.dsn("postgres", DATABASE), stop.clone());
            let dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (number as u64 + 1));
            tasks.spawn(async move {
                tokio::select! { () = stop.cancelled() => {}, () = client(&dsn, &own, dice) => {} }
            });
        }
    }
}

/// Calls for ever; a lost session is opened again.
async fn client(dsn: &str, calls: &[Call], mut dice: Dice) {
    let per_minute: f64 = calls.iter().map(|call| call.per_minute).sum();
    let mut next = tokio::time::interval(Duration::from_secs_f64(60.0 / per_minute.max(1.0)));
    next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        if let Ok(session) = session(dsn).await {
            while !session.is_closed() {
                next.tick().await;
                let mut at = dice.roll(per_minute as u64) as f64;
                let call = calls.iter().find(|call| {
                    at -= call.per_minute;
                    at < 0.0
                });
                let Some(call) = call else { continue };
                let text = with_values(&call.text, &mut dice);
                if let Err(error) = session.batch_execute(&text).await {
                    tracing::debug!(%error, name = call.name, "a call of the workload failed");
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_of_the_workload_is_read_and_parses() {
        let calls = calls(WORKLOAD);
        assert!(calls.len() >= 25);
        let mut dice = Dice(1);
        for call in &calls {
            let text = with_values(&call.text, &mut dice);
            assert!(!text.contains('{'), "{text}");
            assert_eq!(crate::sql::statement_count(&text).unwrap(), 1, "{text}");
        }
    }

    #[test]
    fn values_stay_in_their_range() {
        let mut dice = Dice(7);
        for _ in 0..1000 {
            let value: u64 = with_values("{int:3:5}", &mut dice).parse().unwrap();
            assert!((3..=5).contains(&value));
        }
        assert_eq!(with_values("a {int:x} b", &mut dice), "a {int:x} b");
    }
}

//! What wait events mean, and what helps: PostgreSQL's chapter "The Cumulative Statistics System", tables of wait events.

/// What it means that sessions wait for an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meaning {
    /// What they wait for, to be read after "waited for it:".
    pub what: &'static str,
    /// What helps, the most promising first.
    pub todo: &'static [&'static str],
    /// The server is what they wait for: neither their client, nor something that they asked to wait for.
    pub is_of_the_server: bool,
}

const fn server(what: &'static str, todo: &'static [&'static str]) -> Meaning {
    Meaning {
        what,
        todo,
        is_of_the_server: true,
    }
}

const fn elsewhere(what: &'static str, todo: &'static [&'static str]) -> Meaning {
    Meaning {
        what,
        todo,
        is_of_the_server: false,
    }
}

/// The meaning of `Lock: transactionid`, and the like.
pub fn meaning(event: &str) -> Meaning {
    let (kind, name) = event.split_once(": ").unwrap_or((event, ""));
    match (kind, name) {
        ("Lock", name) => lock(name),
        ("LWLock", name) => lightweight_lock(name),
        ("IO", name) => input_output(name),
        ("IPC", name) => other_process(name),
        ("BufferPin", _) => server(
            "a page that another session, often a cursor, keeps pinned",
            &[
                "Look for cursors that stay open while their program does something else, and close them sooner.",
            ],
        ),
        ("Client", "ClientRead") => elsewhere(
            "their client, which has not sent what they are to read",
            &[
                "COPY FROM STDIN waits for the program that loads: let it send larger pieces, or run it nearer to the server.",
                "Look at the network between the program and the server, and at what the program does between two pieces.",
            ],
        ),
        ("Client", _) => elsewhere(
            "their client, which does not take the result as fast as it comes",
            &[
                "Ask for fewer rows and columns: the program reads them more slowly than the server sends them.",
                "Let the program take the whole result before it works on it, or run it nearer to the server.",
            ],
        ),
        ("Timeout", _) => elsewhere(
            "a time to pass that they asked for themselves",
            &[
                "Look for pg_sleep and vacuum_cost_delay: a session that sleeps keeps its connection and its transaction.",
            ],
        ),
        ("Extension", _) => elsewhere(
            "something that an extension waits for",
            &["Look in the manual of the extension whose functions the statements call."],
        ),
        _ => server(
            "something inside the server",
            &["Look the event up in PostgreSQL's chapter \"The Cumulative Statistics System\"."],
        ),
    }
}

fn lock(name: &str) -> Meaning {
    const ROWS: &[&str] = &[
        "Make transactions that write shorter: what they hold stays locked until they end. See activity.idle_in_transaction.",
        "Lock rows in the same order everywhere, such as by their key; then nobody waits in a circle.",
        "Where many write the same row (a counter, a balance), write rows of their own and add them up when they are read.",
        "A queue of work takes its next row with FOR UPDATE SKIP LOCKED.",
    ];
    match name {
        "transactionid" | "tuple" | "spectoken" => {
            server("a row that another transaction has changed or locked", ROWS)
        }
        "relation" => server(
            "a lock on a table that another session holds or queues for",
            &[
                "Look for ALTER TABLE, TRUNCATE, LOCK TABLE and plain REFRESH at busy hours: run them with a short lock_timeout \
                 and try again.",
                "Who holds the lock just now is told by activity.blocking.",
            ],
        ),
        "extend" => server(
            "another session that makes the same table longer",
            &[
                "Let fewer sessions insert into one table at the same time, and each of them more rows at once (COPY, or \
                 INSERT of many rows).",
                "Partitions by a hash spread inserts over several files.",
            ],
        ),
        "advisory" | "userlock" => elsewhere(
            "an advisory lock, by which programs often queue on purpose",
            &["Where nobody is meant to queue, take it with pg_try_advisory_lock, and hold it for less."],
        ),
        "virtualxid" => server(
            "other transactions to end, as CREATE INDEX CONCURRENTLY does",
            &[
                "Look for transactions that stay open for long: activity.idle_in_transaction and activity.long_query.",
            ],
        ),
        _ => server("a lock that another session holds", ROWS),
    }
}

fn lightweight_lock(name: &str) -> Meaning {
    match name {
        "WALWrite" | "WALInsert" | "WALBufMapping" => wal(),
        "BufferContent" | "buffer_content" => server(
            "the same few pages that other sessions read or change",
            &[
                "Look for one page that everybody writes: a counter, the newest end of an index, a small table without room \
                 on its pages. A lower fillfactor, or rows spread over more pages, lets them pass each other.",
                "Fewer sessions at work at once do more: put a pooler before the server.",
            ],
        ),
        "BufferMapping" | "buffer_mapping" => server(
            "the table of what is in shared_buffers, which changes all the time",
            &[
                "More is read than shared_buffers holds: look for statements that read far more than they return \
                 (query.cache_miss, index.missing).",
                "Then see whether shared_buffers may be larger (config.memory_sizing).",
            ],
        ),
        "LockManager" | "lock_manager" => server(
            "the lock manager: more tables and indexes are locked than each session has quick places for",
            &[
                "A statement locks every partition that it does not rule out while it is planned, and all indexes of each: let \
                 its condition name the key of the partitions, or have fewer of them.",
                "Drop indexes that nobody uses (index.unused, index.duplicate): each of them is locked, too.",
                "Fewer sessions at work at once do more: put a pooler before the server. From PostgreSQL 18 on there are more \
                 quick places with a higher max_locks_per_transaction.",
            ],
        ),
        "ProcArray" | "XidGen" => server(
            "the list of all transactions, which every snapshot reads",
            &[
                "Fewer connections make it shorter: put a pooler before the server, and let transactions do more at once.",
            ],
        ),
        name if name.contains("Subtrans") => server(
            "what is known of subtransactions",
            &[
                "Look for SAVEPOINT, EXCEPTION in loops of PL/pgSQL, and drivers that set a savepoint before each statement; \
                 more than 64 in one transaction are dear for everybody.",
                "End transactions that have been open for long: they make others look back further.",
            ],
        ),
        name if name.contains("MultiXact") => server(
            "what is known of rows that several transactions have locked together",
            &[
                "Look for foreign keys to one row that many write at once, and for SELECT … FOR SHARE: keep such transactions short.",
            ],
        ),
        _ => server(
            "something in shared memory that other sessions use",
            &["Fewer sessions at work at once do more: put a pooler before the server."],
        ),
    }
}

fn wal() -> Meaning {
    server(
        "the write-ahead log to be written",
        &[
            "Commit less often: put what belongs together into one transaction, and insert many rows with one statement.",
            "Give the log (pg_wal) a device of its own that syncs fast; a cloud's volume may have used up its operations.",
            "Write less of it: fewer indexes, HOT updates (index.blocks_hot), wal_compression, checkpoints further apart.",
            "Where the last moments may be lost in a crash, synchronous_commit = 'off' for those transactions alone.",
        ],
    )
}

fn input_output(name: &str) -> Meaning {
    match name {
        name if name.starts_with("WAL") => wal(),
        "DataFileRead" | "DataFilePrefetch" | "AioIoCompletion" => server(
            "pages of tables and indexes to be read from storage",
            &[
                "Read less: see index.missing, index.seq_scan_hotspot and query.cache_miss for the statements that are named.",
                "Then see whether more of it fits into memory: shared_buffers and the operating system's cache \
                 (config.memory_sizing, config.cache_hit).",
            ],
        ),
        "DataFileExtend" | "DataFileWrite" | "DataFileFlush" | "DataFileSync" => server(
            "pages to be written to storage by the sessions themselves",
            &[
                "Checkpoints further apart (max_wal_size) and a busier background writer (bgwriter_lru_maxpages) take that from \
                 sessions.",
                "Write less: fewer indexes, larger and fewer transactions; or faster storage.",
            ],
        ),
        name if name.starts_with("BufFile") => server(
            "temporary files of sorts and hashes that did not fit into work_mem",
            &["See query.temp_spill for the statements and how much work_mem would do."],
        ),
        name if name.starts_with("SLRU") => server(
            "the state of transactions to be read or written",
            &[
                "End transactions that have been open for long, and use fewer subtransactions (SAVEPOINT, EXCEPTION).",
            ],
        ),
        _ => server(
            "storage",
            &[
                "Look at the storage of the server: how long its operations take, and whether it has used up what it may do.",
            ],
        ),
    }
}

fn other_process(name: &str) -> Meaning {
    match name {
        "SyncRep" => server(
            "a synchronous standby to confirm",
            &[
                "Look at the standby and the network to it: see replication.lag.",
                "Commit less often; or synchronous_commit = 'local' for transactions that no standby must have.",
            ],
        ),
        "ProcarrayGroupUpdate" | "XactGroupUpdate" => server(
            "many transactions that end at the same time",
            &["Let transactions do more at once, and put a pooler before the server."],
        ),
        _ => server(
            "another process of the server, such as a parallel worker",
            &[
                "Where parallel workers are awaited: small statements are faster without them \
                 (min_parallel_table_scan_size, max_parallel_workers_per_gather of their role).",
                "Where it is something else, look the event up in PostgreSQL's chapter \"The Cumulative Statistics System\".",
            ],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_advice() {
        for (event, word) in [
            ("Lock: transactionid", "same order"),
            ("Lock: relation", "lock_timeout"),
            ("Lock: extend", "COPY"),
            ("LWLock: WALWrite", "Commit less often"),
            ("IO: WALSync", "Commit less often"),
            ("LWLock: BufferContent", "fillfactor"),
            ("LWLock: BufferMapping", "shared_buffers"),
            ("LWLock: LockManager", "partition"),
            ("LWLock: SubtransSLRU", "SAVEPOINT"),
            ("IO: DataFileRead", "index.missing"),
            ("IO: BufFileWrite", "work_mem"),
            ("IPC: SyncRep", "standby"),
            ("IPC: ExecuteGather", "parallel"),
            ("Client: ClientRead", "COPY FROM STDIN"),
            ("Client: ClientWrite", "fewer rows"),
            ("Timeout: PgSleep", "pg_sleep"),
        ] {
            let todo = meaning(event).todo.join(" ");
            assert!(todo.contains(word), "{event}: {todo}");
        }
        assert!(
            !meaning("Sonderbar").todo.is_empty(),
            "an event of a newer version"
        );
        assert!(!meaning("Lock: advisory").is_of_the_server && meaning("Lock: tuple").is_of_the_server);
    }
}

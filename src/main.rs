//! Arguments, runtime, error chain, exit code: nothing else.

use std::process::ExitCode;

/// Gives memory back that one large look needed and the next ones do not: glibc's keeps it. It is `malloc` for the parser
/// and SQLite, too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // the chain of causes is for people; a backtrace would only hide it
    pgadvisor::cli::main(std::env::args_os())
}

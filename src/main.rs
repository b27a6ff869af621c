//! Arguments, runtime, error chain, exit code: nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    // the chain of causes is for people; a backtrace would only hide it
    pgadvisor::cli::main(std::env::args_os())
}

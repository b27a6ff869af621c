//! `pgadvisor demo`.

use clap::Args;

use super::Failure;

#[derive(Args)]
pub struct Options {
    /// The address of the dashboard
    #[arg(long, default_value = "127.0.0.1:8432")]
    listen: String,
}

pub async fn run(options: Options) -> Result<u8, Failure> {
    let _ = options.listen;
    Ok(0)
}

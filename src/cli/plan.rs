//! `pgadvisor plan FILE`: one EXPLAIN that the user ran, judged.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, PlainFormat, json, print, style};
use crate::explained;
use crate::limits;
use crate::report::{self, visible};

#[derive(Args)]
pub struct Options {
    /// What EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) printed; - is standard input
    file: PathBuf,
    #[arg(long, value_enum, default_value = "text")]
    format: PlainFormat,
}

pub fn run(options: &Options) -> Result<u8, Failure> {
    let name = visible(&options.file.display().to_string());
    let text = read(&options.file).map_err(|error| Failure::Usage(format!("cannot read {name}: {error}")))?;
    let explained = explained::read(&text).map_err(|why| Failure::Usage(format!("{name}: {why}")))?;
    let report = report::plan::PlanReport::new(&explained);
    print(&match options.format {
        PlainFormat::Text => report::plan::text(&report, style()),
        PlainFormat::Json => json(&report)?,
    })?;
    Ok(0)
}

/// All of a file, unless it is so long that it cannot be one plan.
fn read(file: &Path) -> std::io::Result<String> {
    let source: Box<dyn Read> = match file == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(std::fs::File::open(file)?),
    };
    let mut text = String::new();
    source
        .take(limits::PLAN_FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    match text.len() as u64 > limits::PLAN_FILE_BYTES {
        true => Err(std::io::Error::other(format!(
            "it is longer than {} bytes",
            limits::PLAN_FILE_BYTES
        ))),
        false => Ok(text),
    }
}

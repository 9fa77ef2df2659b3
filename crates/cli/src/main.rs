//! The `ouzel` command. Everything it does is in the library beside it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use ouzel_cli::args::Arguments;

fn main() -> ExitCode {
    ouzel_cli::command::run(Arguments::parse())
}

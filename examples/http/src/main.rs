//! The program. What it does is in the library, where tests and benchmarks can reach it.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match ouzel_http::run(&ouzel_http::Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ouzel-http: {error}");
            ExitCode::FAILURE
        }
    }
}

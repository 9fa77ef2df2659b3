//! Ouzel's server as it is: `examples/http`.

use clap::Parser;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ouzel_http::run(&ouzel_http::Options::parse())
}

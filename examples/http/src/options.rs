//! The command line: names, help texts and bounds of every option. Nothing is done here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use ouzel::BackendKind;

/// The backends that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// io_uring, or threads where that is refused
    Auto,
    /// Linux io_uring
    Uring,
    /// Plain system calls on threads
    Threads,
}

impl Backend {
    /// The backend to ask Ouzel for.
    pub fn kind(self) -> Option<BackendKind> {
        match self {
            Backend::Auto => None,
            Backend::Uring => Some(BackendKind::Uring),
            Backend::Threads => Some(BackendKind::Threads),
        }
    }
}

/// Serves the files below a directory over HTTP/1.1.
#[derive(Clone, Debug, Parser)]
#[command(name = "ouzel-http", version, about, max_term_width = 110)]
pub struct Options {
    /// The directory. Nothing outside it is served, also not through symbolic links
    pub root: PathBuf,
    /// Where to listen; with port 0 a free port is taken. The address is printed when connections are taken
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// What Ouzel is to run on
    #[arg(long, value_enum, default_value_t = Backend::Auto)]
    pub backend: Backend,
    /// Threads, each with a ring of its own; the kernel spreads connections among them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// Connections that one thread serves at once; more wait to be taken
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub connections: u32,
    /// Seconds that a connection may be idle between requests
    #[arg(long, default_value = "15", value_parser = seconds)]
    pub idle_timeout: Duration,
    /// Seconds that the head of a request may take from its first byte on
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub head_timeout: Duration,
    /// Seconds that a client may take for a piece of a body
    #[arg(long, default_value = "30", value_parser = seconds)]
    pub send_timeout: Duration,
    /// Seconds that answers may still take after SIGINT or SIGTERM
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub grace: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if seconds > 0.0 && seconds <= 86_400.0 {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err("more than 0 and at most 86400".to_owned())
}

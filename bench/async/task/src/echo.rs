//! What every echo server does besides echoing: it says where it listens, answers the harness, and ends with it.

use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use contender::allocations;

use crate::processor_time;

/// A listener on loopback.
///
/// Errors: no socket.
pub fn listener() -> Result<TcpListener, Box<dyn Error>> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)
}

/// Says how the server was set up and where it listens. From then on a thread answers each line of standard input with the
/// number of allocations and the processor time so far, and ends the process with the input.
///
/// Errors: a harness that went away.
pub fn listening(setting: &str, address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut output = std::io::stdout();
    writeln!(output, "{{\"setting\":{setting:?},\"address\":\"{address}\"}}")?;
    output.flush()?;
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
            let (allocs, used) = (allocations(), processor_time().as_nanos());
            let said = writeln!(output, "{{\"allocs\":{allocs},\"processor_ns\":{used}}}");
            if said.and_then(|()| output.flush()).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    Ok(())
}

//! Starting and stopping: listeners, threads, signals.

use std::error::Error;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use socket2::{Domain, Protocol, Socket, Type};

use crate::options::Options;
use crate::server::{Served, Server};

/// Connections that may wait to be taken.
const BACKLOG: i32 = 1024;

/// Serves until SIGINT or SIGTERM comes.
///
/// Errors: the address or the root cannot be used, no ring can be made, or a ring cannot go on.
pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    check_root(&options.root)?;
    let shared = options.threads > 1;
    let first = listen(options.listen, shared)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..options.threads {
        listeners.push(listen(address, shared)?);
    }
    let mut output = std::io::stdout();
    writeln!(output, "listening on http://{address}/")?;
    output.flush()?;
    let served = serve_all(options, listeners)?;
    writeln!(
        output,
        "served {} requests on {} connections, {} descriptors left",
        served.requests, served.connections, served.descriptors
    )?;
    Ok(())
}

fn check_root(root: &Path) -> Result<(), String> {
    let found = std::fs::metadata(root).map_err(|error| format!("{}: {error}", root.display()))?;
    if found.is_dir() { Ok(()) } else { Err(format!("{}: not a directory", root.display())) }
}

/// A socket that listens. With `shared` others may listen at the same address, and the kernel chooses among them.
///
/// What is accepted from it sends at once (TCP_NODELAY): an answer is handed over whole, so there is nothing to wait
/// for.
///
/// Errors: those of the system calls, such as an address in use.
pub fn listen(address: SocketAddr, shared: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn serve_all(options: &Options, listeners: Vec<TcpListener>) -> Result<Served, Box<dyn Error>> {
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        let mut own = None;
        for listener in listeners {
            let stop = stop_signal()?;
            if own.is_none() {
                own = Some((listener, stop));
                continue;
            }
            let thread = std::thread::Builder::new().spawn_scoped(scope, move || {
                serve(options, listener, stop).map_err(|error| error.to_string())
            })?;
            threads.push(thread);
        }
        // The first one's thread is this one.
        let mut served = match own {
            Some((listener, stop)) => serve(options, listener, stop)?,
            None => Served::default(),
        };
        for thread in threads {
            served.add(thread.join().map_err(|_| "a thread panicked")??);
        }
        Ok(served)
    })
}

fn serve(options: &Options, listener: TcpListener, stop: UnixStream) -> Result<Served, Box<dyn Error>> {
    Ok(Server::new(options, listener, stop)?.run()?)
}

/// Something that can be read when a signal to stop has come.
fn stop_signal() -> std::io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        pipe::register(signal, write.try_clone()?)?;
    }
    Ok(read)
}

//! Starting and stopping: listeners, threads, signals.

use std::error::Error;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

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
    let served = serve_all(options, listeners, address)?;
    writeln!(
        std::io::stdout(),
        "served {} requests on {} connections, {} descriptors left",
        served.requests,
        served.connections,
        served.descriptors
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

/// Serves on a thread for each listener, and says so when all of them are ready.
fn serve_all(
    options: &Options,
    listeners: Vec<TcpListener>,
    address: SocketAddr,
) -> Result<Served, Box<dyn Error>> {
    std::thread::scope(|scope| {
        let (ready, readiness) = channel();
        let (mut threads, mut stops) = (Vec::new(), Vec::new());
        for listener in listeners {
            let (stop, stopper) = stop_signal()?;
            stops.push(stopper);
            let ready = ready.clone();
            threads.push(scope.spawn(move || serve(options, listener, stop, ready)));
        }
        drop(ready);
        if readiness.iter().take(threads.len()).count() == threads.len() {
            let mut output = std::io::stdout();
            writeln!(output, "listening on http://{address}/")?;
            output.flush()?;
        } else {
            // One of them says why not; the others have nothing to wait for.
            for mut stopper in stops {
                let _ = stopper.write_all(b"x");
            }
        }
        let mut served = Served::default();
        for thread in threads {
            served.add(thread.join().map_err(|_| "a thread panicked")??);
        }
        Ok(served)
    })
}

fn serve(
    options: &Options,
    listener: TcpListener,
    stop: UnixStream,
    ready: Sender<()>,
) -> Result<Served, String> {
    let server = Server::new(options, listener, stop).map_err(|error| error.to_string())?;
    // Nobody listens any more if another thread has failed, and then the signal to stop comes.
    let _ = ready.send(());
    drop(ready);
    server.run().map_err(|error| error.to_string())
}

/// Something that can be read when a signal to stop has come, or somebody has written to its other end.
fn stop_signal() -> std::io::Result<(UnixStream, UnixStream)> {
    let (read, write) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        pipe::register(signal, write.try_clone()?)?;
    }
    Ok((read, write))
}

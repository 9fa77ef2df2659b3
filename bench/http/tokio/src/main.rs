//! The server on tokio: one task for each connection on the runtime of one thread.
//!
//! `inline`: files by plain calls where the task runs, which is quickest with a warm cache and stops everybody when it is
//! not warm. `blocking`: by the same calls, all of a request in one closure for tokio's pool of threads, as its
//! documentation wants it.

use std::cell::RefCell;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use http_peer::{Answers, Found, IDLE, Parsed, RECEIVE, Request, SEND, Start, parse, read_file};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_blocking, spawn_local};
use tokio::time::timeout;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Start::new()?;
    let blocking = match start.variant.as_str() {
        "inline" => false,
        "blocking" => true,
        other => return Err(format!("{other}: say inline or blocking").into()),
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        start.listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(start.listener)?;
        let root = Arc::new(start.root);
        let answers = Rc::new(RefCell::new(Answers::default()));
        loop {
            let (stream, _) = listener.accept().await?;
            let (root, answers) = (root.clone(), answers.clone());
            spawn_local(async move {
                // A connection that fails is over, that is all.
                let _ = serve(stream, &root, &answers, blocking).await;
            });
        }
    })
}

async fn serve(
    mut stream: TcpStream,
    root: &Arc<OwnedFd>,
    answers: &RefCell<Answers>,
    blocking: bool,
) -> std::io::Result<()> {
    let mut input = Vec::with_capacity(RECEIVE);
    let (mut out, mut body) = (Vec::new(), Vec::new());
    loop {
        let stays = match parse(&input) {
            Parsed::Partial => {
                input.reserve(RECEIVE);
                match timeout(IDLE, stream.read_buf(&mut input)).await {
                    Ok(Ok(1..)) => continue,
                    _ => return Ok(()),
                }
            }
            Parsed::Complete(length, request) => {
                input.drain(..length);
                let found = find(root, &request, body, blocking).await;
                let stays = answers.borrow_mut().write(&mut out, &request, &found);
                body = found.map_or_else(|_| Vec::new(), |found| found.body);
                stays
            }
            Parsed::Refused(status) => {
                answers.borrow_mut().refuse(&mut out, status);
                false
            }
        };
        match timeout(SEND, stream.write_all(&out)).await {
            Ok(Ok(())) if stays => {}
            _ => return Ok(()),
        }
    }
}

async fn find(
    root: &Arc<OwnedFd>,
    request: &Request,
    body: Vec<u8>,
    blocking: bool,
) -> std::io::Result<Found> {
    if !blocking {
        return read_file(root.as_fd(), &request.path, body);
    }
    let (root, path) = (root.clone(), request.path.clone());
    spawn_blocking(move || read_file(root.as_fd(), &path, body)).await?
}

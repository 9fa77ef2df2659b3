//! The server on monoio's io_uring driver: one task for each connection.
//!
//! `own`: files by monoio's own calls, open, metadata, read and close awaited one after the other. They have no way to
//! stay beneath the root, so this one does less than the others. `inline`: files by plain calls where the task runs, as
//! on tokio.

use std::cell::RefCell;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use http_peer::{Answers, Found, IDLE, PIECE, Parsed, RECEIVE, SEND, Start, facts, parse, read_file};
use monoio::fs::File;
use monoio::io::{AsyncReadRent as _, AsyncWriteRentExt as _};
use monoio::net::{TcpListener, TcpStream};
use monoio::time::timeout;

/// How files are read.
enum Files {
    Own(PathBuf),
    Inline(OwnedFd),
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Start::new()?;
    let files = match start.variant.as_str() {
        "own" => Files::Own(start.path),
        "inline" => Files::Inline(start.root),
        other => return Err(format!("{other}: say own or inline").into()),
    };
    let mut ring = io_uring::IoUring::builder();
    ring.setup_single_issuer().setup_coop_taskrun().setup_taskrun_flag();
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
        .uring_builder(ring)
        .with_entries(1024)
        .enable_timer()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(start.listener)?;
        let files = Rc::new(files);
        let answers = Rc::new(RefCell::new(Answers::default()));
        loop {
            let (stream, _) = listener.accept().await?;
            let (files, answers) = (files.clone(), answers.clone());
            monoio::spawn(async move {
                // A connection that fails is over, that is all.
                let _ = serve(stream, &files, &answers).await;
            });
        }
    })
}

async fn serve(mut stream: TcpStream, files: &Files, answers: &RefCell<Answers>) -> std::io::Result<()> {
    let mut input = Vec::with_capacity(RECEIVE);
    let mut room = Vec::with_capacity(RECEIVE);
    let (mut out, mut body) = (Vec::new(), Vec::new());
    loop {
        let stays = match parse(&input) {
            Parsed::Partial => {
                let Ok((length, back)) = timeout(IDLE, stream.read(room)).await else { return Ok(()) };
                room = back;
                if length? == 0 {
                    return Ok(());
                }
                if input.is_empty() {
                    std::mem::swap(&mut input, &mut room);
                } else {
                    input.extend_from_slice(&room);
                }
                continue;
            }
            Parsed::Complete(length, request) => {
                input.drain(..length);
                let found = match files {
                    Files::Inline(root) => read_file(root.as_fd(), &request.path, body),
                    Files::Own(root) => read_own(root, &request.path, body).await,
                };
                let stays = answers.borrow_mut().write(&mut out, &request, &found);
                body = found.map_or_else(|_| Vec::new(), |found| found.body);
                stays
            }
            Parsed::Refused(status) => {
                answers.borrow_mut().refuse(&mut out, status);
                false
            }
        };
        let Ok((sent, back)) = timeout(SEND, stream.write_all(out)).await else { return Ok(()) };
        out = back;
        sent?;
        if !stays {
            return Ok(());
        }
    }
}

async fn read_own(root: &Path, path: &[u8], mut body: Vec<u8>) -> std::io::Result<Found> {
    let file = File::open(root.join(std::ffi::OsStr::from_bytes(path))).await?;
    let about = file.metadata().await?;
    if !about.is_file() {
        return Err(std::io::ErrorKind::PermissionDenied.into());
    }
    body.clear();
    body.reserve(PIECE);
    let (read, body) = file.read_at(body, 0).await;
    read?;
    file.close().await?;
    Ok(Found { facts: facts(about.len(), about.modified()?), body })
}

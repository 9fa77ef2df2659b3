//! Streams for tokio: sockets of an executor's ring with tokio's traits.
//!
//! The sockets belong to the executor behind a [`Remote`]; tokio's tasks, on whatever thread they run, hand it chains and are
//! woken by its completions. What many of them ask for at a time travels in one enter. Data is copied once between the
//! caller's memory and a buffer that the ring may keep: what is dropped here can never be written to by the kernel.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ouzel_ring::Descriptor;
use ouzel_ring::modifiers::{MessageFlags, ShutdownHow};

use crate::Buffer;
use crate::chain::Fd;
use crate::chain::SocketAddress;
use crate::error::Error;
use crate::task::handle::Handle;
use crate::task::join::JoinError;
use crate::task::remote::Remote;
use crate::task::remote_calls::{RemoteFilling, RemoteValue};
use crate::task::reply::RemoteHandle;

/// How much is received at a time, and how much is taken to be sent at the most.
const CHUNK: usize = 64 * 1024;

const STREAM: u32 = 1;

/// `AF_INET` or `AF_INET6`.
fn domain(address: &SocketAddr) -> u32 {
    if address.is_ipv4() { 2 } else { 10 }
}

fn failed(error: &Error) -> io::Error {
    match error.errno() {
        Some(errno) => io::Error::from_raw_os_error(errno.raw()),
        None => io::Error::other(error.to_string()),
    }
}

fn lost(error: &JoinError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error.to_string())
}

/// What a task on the executor says of an operation.
fn flatten<T>(ended: Result<Result<T, Error>, JoinError>) -> io::Result<T> {
    ended.map_err(|error| lost(&error))?.map_err(|error| failed(&error))
}

/// A socket that listens, in the ring of an executor.
pub struct RingListener {
    remote: Remote,
    socket: Descriptor,
    address: SocketAddr,
    accepting: Option<RemoteValue<Fd>>,
}

impl RingListener {
    /// Listens on `address`, in the ring behind `remote`.
    pub async fn bind(remote: &Remote, address: SocketAddr) -> io::Result<RingListener> {
        let bound = remote.spawn(move |handle| async move {
            let socket = handle.socket(domain(&address), STREAM, 0).await?;
            let bound = listen(&handle, socket, address).await;
            if bound.is_err() {
                handle.close(socket).await?;
            }
            Ok::<_, Error>((socket, bound?))
        });
        let (socket, bound) = flatten(bound.await)?;
        let address = bound.inet().unwrap_or(address);
        Ok(RingListener { remote: remote.clone(), socket, address, accepting: None })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Takes a connection.
    pub async fn accept(&mut self) -> io::Result<RingStream> {
        std::future::poll_fn(|context| self.poll_accept(context)).await
    }

    /// Takes a connection, if there is one.
    pub fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<RingStream>> {
        let (remote, socket) = (&self.remote, self.socket);
        let accepting = self.accepting.get_or_insert_with(|| remote.accept(socket));
        let ended = ready!(Pin::new(accepting).poll(context));
        self.accepting = None;
        let socket = ended.map_err(|error| failed(&error))?;
        Poll::Ready(Ok(RingStream::new(self.remote.clone(), socket)))
    }
}

async fn listen(handle: &Handle, socket: Descriptor, address: SocketAddr) -> Result<SocketAddress, Error> {
    handle.bind(socket, &SocketAddress::from(address)).await?;
    handle.listen(socket, 1024).await?;
    handle.sockname(socket).await
}

impl Drop for RingListener {
    fn drop(&mut self) {
        // A connection that is taken all the same is closed by the executor.
        self.accepting = None;
        let socket = self.socket;
        drop(self.remote.spawn(move |handle| async move { handle.close(socket).await }));
    }
}

impl fmt::Debug for RingListener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RingListener").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A connection in the ring of an executor, with tokio's traits.
///
/// What is written is taken at once, up to 64 KiB, and sent while the caller goes on; an error of that comes with the next
/// write, flush or shutdown. Dropping it gives up a receive, lets what was written be sent, and closes the socket.
pub struct RingStream {
    remote: Remote,
    socket: Descriptor,
    receiving: Option<RemoteFilling>,
    /// What was received, and how much of it was handed out.
    received: Buffer,
    taken: usize,
    at_end: bool,
    sending: Option<RemoteHandle<(Buffer, Result<(), Error>)>>,
    spare: Buffer,
    shutting: Option<RemoteHandle<Result<(), Error>>>,
}

impl RingStream {
    /// A connection that the executor behind `remote` has. It is the stream's from now on.
    pub fn new(remote: Remote, socket: Descriptor) -> RingStream {
        RingStream {
            remote,
            socket,
            receiving: None,
            received: Buffer::default(),
            taken: 0,
            at_end: false,
            sending: None,
            spare: Buffer::default(),
            shutting: None,
        }
    }

    /// Connects to `address`, in the ring behind `remote`.
    pub async fn connect(remote: &Remote, address: SocketAddr) -> io::Result<RingStream> {
        let connected = remote.spawn(move |handle| async move {
            let socket = handle.socket(domain(&address), STREAM, 0).await?;
            let connected = handle.connect(socket, &SocketAddress::from(address)).await;
            if let Err(error) = connected {
                handle.close(socket).await?;
                return Err(error);
            }
            Ok(socket)
        });
        Ok(RingStream::new(remote.clone(), flatten(connected.await)?))
    }

    /// Waits until what was written before has been sent.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        let ended = ready!(Pin::new(sending).poll(context));
        self.sending = None;
        let (buffer, sent) = ended.map_err(|error| lost(&error))?;
        self.spare = buffer;
        Poll::Ready(sent.map_err(|error| failed(&error)))
    }

    fn start_to_receive(&mut self) -> RemoteFilling {
        let mut buffer = std::mem::take(&mut self.received);
        self.taken = 0;
        if buffer.capacity() == 0 {
            buffer = Buffer::with_capacity(CHUNK);
        }
        self.remote.recv(self.socket, buffer, MessageFlags::empty())
    }
}

async fn send_all(handle: Handle, socket: Descriptor, mut buffer: Buffer) -> (Buffer, Result<(), Error>) {
    loop {
        match handle.send(socket, buffer, MessageFlags::empty()).await {
            Ok((sent, all)) if sent >= all.len() => return (all, Ok(())),
            // What is left moves to the front.
            Ok((sent, all)) => {
                let mut bytes = all.into_vec();
                bytes.drain(..sent);
                buffer = Buffer::from(bytes);
            }
            Err(failed) => return (failed.buffer, Err(failed.error)),
        }
    }
}

impl AsyncRead for RingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.taken == this.received.len() && !this.at_end && into.remaining() > 0 {
            if this.receiving.is_none() {
                this.receiving = Some(this.start_to_receive());
            }
            if let Some(receiving) = &mut this.receiving {
                let ended = ready!(Pin::new(receiving).poll(context));
                this.receiving = None;
                this.received = ended.map_err(|error| failed(&error.error))?;
                this.at_end = this.received.is_empty();
            }
        }
        let rest = this.received.get(this.taken..).unwrap_or_default();
        let count = rest.len().min(into.remaining());
        into.put_slice(&rest[..count]);
        this.taken += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for RingStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.as_mut().poll_write_vectored(context, &[io::IoSlice::new(data)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_sent(context))?;
        let mut buffer = std::mem::take(&mut this.spare);
        buffer.clear();
        for piece in pieces {
            let room = CHUNK.saturating_sub(buffer.len());
            buffer.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        let count = buffer.len();
        if count == 0 {
            this.spare = buffer;
            return Poll::Ready(Ok(0));
        }
        let socket = this.socket;
        // A task there, because what does not go at once has to go on without anybody here.
        this.sending = Some(this.remote.spawn(move |handle| send_all(handle, socket, buffer)));
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_sent(context))?;
        let (remote, socket) = (&this.remote, this.socket);
        let shutting = this.shutting.get_or_insert_with(|| {
            remote.spawn(move |handle| async move { handle.shutdown(socket, ShutdownHow::Send).await })
        });
        let ended = ready!(Pin::new(shutting).poll(context));
        this.shutting = None;
        Poll::Ready(match flatten(ended) {
            // The peer has gone, so nothing is left to be ended.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            ended => ended,
        })
    }
}

impl Drop for RingStream {
    fn drop(&mut self) {
        self.receiving = None;
        let (socket, sending) = (self.socket, self.sending.take());
        drop(self.remote.spawn(move |handle| async move {
            if let Some(sending) = sending {
                drop(sending.await);
            }
            handle.close(socket).await
        }));
    }
}

impl fmt::Debug for RingStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RingStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

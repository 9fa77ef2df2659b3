//! Opcodes on sockets.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};

use crate::common::{MessageHeader, loopback, one, push, result, ring_for, run};
use ouzel_uring::abi::{CqeFlags, Iovec, Opcode, RecvSendFlags};
use ouzel_uring::{NewSlot, Ring, Slot, Sqe};

const INET: u32 = 2;
const STREAM: u32 = 1;
const CLOSE_ON_EXEC: u32 = 0o2000000;

fn owned(fd: i32) -> OwnedFd {
    assert!(fd >= 0, "no descriptor: {fd}");
    // SAFETY: the entry has just made it and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Two connected sockets.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
    (client, listener.accept().expect("the other end").0)
}

// covers: IORING_OP_SOCKET: the descriptor is a socket of that family and type; the slot connects
#[test]
fn socket() {
    let Some(mut ring) = ring_for(Opcode::Socket) else { return };
    let socket = owned(one(&mut ring, Sqe::socket(INET, STREAM | CLOSE_ON_EXEC, 0)));
    assert_eq!(
        rustix::net::sockopt::socket_type(&socket).expect("its type"),
        rustix::net::SocketType::STREAM
    );
    assert_eq!(
        rustix::net::sockopt::socket_domain(&socket).expect("its family"),
        rustix::net::AddressFamily::INET
    );
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = loopback(listener.local_addr().expect("its address").port());
    assert_eq!(one(&mut ring, Sqe::socket_direct(INET, STREAM, 0, Slot(0))), 0);
    assert_eq!(one(&mut ring, Sqe::connect(Slot(0), address.as_ptr().cast(), 16)), 0);
    assert_eq!(one(&mut ring, Sqe::socket(9999, STREAM, 0)), -97);
}

// covers: IORING_OP_BIND: the socket has the address
#[test]
fn bind() {
    let Some(mut ring) = ring_for(Opcode::Bind) else { return };
    let socket = owned(one(&mut ring, Sqe::socket(INET, STREAM, 0)));
    let address = loopback(0);
    assert_eq!(one(&mut ring, Sqe::bind(socket.as_fd(), address.as_ptr().cast(), 16)), 0);
    let listener = TcpListener::from(socket);
    let bound = listener.local_addr().expect("its address");
    assert!(bound.ip().is_loopback() && bound.port() != 0, "{bound}");
}

// covers: IORING_OP_LISTEN: connections are accepted from then on
#[test]
fn listen() {
    let Some(mut ring) = ring_for(Opcode::Listen) else { return };
    let socket = owned(one(&mut ring, Sqe::socket(INET, STREAM, 0)));
    let address = loopback(0);
    assert_eq!(one(&mut ring, Sqe::bind(socket.as_fd(), address.as_ptr().cast(), 16)), 0);
    let listener = TcpListener::from(socket);
    let bound = listener.local_addr().expect("its address");
    TcpStream::connect(bound).expect_err("nobody listens");
    assert_eq!(one(&mut ring, Sqe::listen(listener.as_fd(), 8)), 0);
    let _client = TcpStream::connect(bound).expect("a connection");
    listener.accept().expect("the other end");
}

/// Says `text` on one socket and hears it on the other.
fn talk(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"hello").expect("a write");
    let mut text = [0; 5];
    to.read_exact(&mut text).expect("five bytes");
    assert_eq!(&text, b"hello");
}

// covers: IORING_OP_ACCEPT: the descriptor talks to the peer and its address is told; multishot accepts again and again, into slots too
#[test]
fn accept() {
    let Some(mut ring) = ring_for(Opcode::Accept) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let (mut peer, mut length) = ([0_u8; 16], 16_u32);
    let accept = Sqe::accept(listener.as_fd(), peer.as_mut_ptr().cast(), &mut length, CLOSE_ON_EXEC);
    push(&mut ring, accept.user_data(1));
    assert_eq!(ring.submit(), Ok(1));
    let mut client = TcpStream::connect(address).expect("a connection");
    let mut server = TcpStream::from(owned(result(&run(&mut ring, 1), 1)));
    talk(&mut client, &mut server);
    assert_eq!(peer, loopback(client.local_addr().expect("the client's address").port()));

    push(&mut ring, Sqe::accept_multishot(listener.as_fd(), 0).user_data(2));
    assert_eq!(ring.submit(), Ok(1));
    for _ in 0..2 {
        let mut client = TcpStream::connect(address).expect("a connection");
        let done = run(&mut ring, 1);
        assert!(done[0].has_more(), "{done:?}");
        talk(&mut client, &mut TcpStream::from(owned(done[0].res)));
    }
    let cancel = Sqe::cancel(2, ouzel_uring::abi::CancelFlags::empty());
    push(&mut ring, cancel);
    run(&mut ring, 2);
    let accept = Sqe::accept_direct(
        listener.as_fd(),
        std::ptr::null_mut(),
        std::ptr::null_mut(),
        0,
        NewSlot::Allocate,
    );
    push(&mut ring, accept.user_data(3));
    assert_eq!(ring.submit(), Ok(1));
    let mut client = TcpStream::connect(address).expect("a connection");
    let slot = Slot(result(&run(&mut ring, 1), 3) as u32);
    client.write_all(b"slot").expect("a write");
    let mut text = [0_u8; 4];
    assert_eq!(one(&mut ring, Sqe::recv(slot, text.as_mut_ptr(), 4, 0)), 4);
    assert_eq!(&text, b"slot");
}

// covers: IORING_OP_CONNECT: the listener gets the connection
#[test]
fn connect() {
    let Some(mut ring) = ring_for(Opcode::Connect) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = loopback(listener.local_addr().expect("its address").port());
    let socket = owned(one(&mut ring, Sqe::socket(INET, STREAM, 0)));
    assert_eq!(one(&mut ring, Sqe::connect(socket.as_fd(), address.as_ptr().cast(), 16)), 0);
    let (mut server, _) = listener.accept().expect("the other end");
    talk(&mut TcpStream::from(socket), &mut server);
    drop(listener);
    let socket = owned(one(&mut ring, Sqe::socket(INET, STREAM, 0)));
    assert_eq!(one(&mut ring, Sqe::connect(socket.as_fd(), address.as_ptr().cast(), 16)), -111);
}

// covers: IORING_OP_SEND: the peer gets the bytes; a datagram goes to the address that is named
#[test]
fn send() {
    let Some(mut ring) = ring_for(Opcode::Send) else { return };
    let (client, mut server) = pair();
    assert_eq!(one(&mut ring, Sqe::send(client.as_fd(), b"bytes".as_ptr(), 5, 0)), 5);
    let mut text = [0; 5];
    server.read_exact(&mut text).expect("five bytes");
    assert_eq!(&text, b"bytes");
    let [from, to] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    let address = loopback(to.local_addr().expect("its address").port());
    let send = Sqe::send(from.as_fd(), b"datagram".as_ptr(), 8, 0).to_address(address.as_ptr().cast(), 16);
    assert_eq!(one(&mut ring, send), 8);
    let mut text = [0; 16];
    assert_eq!(to.recv(&mut text).expect("a datagram"), 8);
    assert_eq!(&text[..8], b"datagram");
}

// covers: IORING_OP_RECV: the peer's bytes arrive; multishot completes for each message, in a provided buffer
#[test]
fn recv() {
    let Some(mut ring) = ring_for(Opcode::Recv) else { return };
    let (mut client, server) = pair();
    client.write_all(b"bytes").expect("a write");
    let mut text = [0_u8; 8];
    assert_eq!(one(&mut ring, Sqe::recv(server.as_fd(), text.as_mut_ptr(), 8, 0)), 5);
    assert_eq!(&text, b"bytes\0\0\0");
    let mut memory = [0_u8; 32];
    assert_eq!(one(&mut ring, Sqe::provide_buffers(memory.as_mut_ptr(), 16, 2, 1, 0)), 0);
    push(&mut ring, Sqe::recv_multishot(server.as_fd(), 0, 0, 1).user_data(1));
    assert_eq!(ring.submit(), Ok(1));
    for piece in [&b"first"[..], b"second"] {
        client.write_all(piece).expect("a write");
        let done = run(&mut ring, 1);
        let start = usize::from(done[0].buffer().expect("a buffer")) * 16;
        assert_eq!((done[0].res as usize, done[0].has_more()), (piece.len(), true));
        assert_eq!(&memory[start..start + piece.len()], piece);
    }
}

// covers: IORING_OP_SENDMSG: the peer gets the vectors one after the other
#[test]
fn sendmsg() {
    let Some(mut ring) = ring_for(Opcode::Sendmsg) else { return };
    let (client, mut server) = pair();
    let mut vectors = [Iovec::new(b"one,".as_ptr(), 4), Iovec::new(b"two".as_ptr(), 3)];
    let header = MessageHeader::new(&mut vectors);
    assert_eq!(one(&mut ring, Sqe::sendmsg(client.as_fd(), (&raw const header).cast(), 0)), 7);
    let mut text = [0; 7];
    server.read_exact(&mut text).expect("seven bytes");
    assert_eq!(&text, b"one,two");
}

// covers: IORING_OP_RECVMSG: the bytes are spread over the vectors and the sender's address is told; multishot lays each message out in a buffer
#[test]
fn recvmsg() {
    let Some(mut ring) = ring_for(Opcode::Recvmsg) else { return };
    let [from, to] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    from.send_to(b"onetwo", to.local_addr().expect("its address")).expect("a datagram");
    let (mut first, mut second, mut name) = ([0_u8; 3], [0_u8; 8], [0_u8; 16]);
    let mut vectors = [Iovec::new(first.as_mut_ptr(), 3), Iovec::new(second.as_mut_ptr(), 8)];
    let mut header = MessageHeader::new(&mut vectors);
    (header.name, header.name_length) = (name.as_mut_ptr().cast(), 16);
    assert_eq!(one(&mut ring, Sqe::recvmsg(to.as_fd(), (&raw mut header).cast(), 0)), 6);
    assert_eq!((&first, &second[..3]), (b"one", &b"two"[..]));
    let sender = loopback(from.local_addr().expect("its address").port());
    assert_eq!((name, header.name_length), (sender, 16));

    let mut memory = [0_u8; 256];
    assert_eq!(one(&mut ring, Sqe::provide_buffers(memory.as_mut_ptr(), 128, 2, 1, 0)), 0);
    let mut header = MessageHeader::new(&mut []);
    header.name_length = 16;
    let multishot = Sqe::recvmsg_multishot(to.as_fd(), (&raw const header).cast(), 0, 1);
    push(&mut ring, multishot.user_data(1));
    assert_eq!(ring.submit(), Ok(1));
    from.send_to(b"again", to.local_addr().expect("its address")).expect("a datagram");
    let done = run(&mut ring, 1);
    assert!(done[0].has_more() && done[0].res == 16 + 16 + 5, "{done:?}");
    let start = usize::from(done[0].buffer().expect("a buffer")) * 128;
    let word =
        |at: usize| u32::from_ne_bytes(memory[start + at..start + at + 4].try_into().expect("four bytes"));
    assert_eq!((word(0), word(4), word(8)), (16, 0, 5));
    assert_eq!(memory[start + 16..start + 32], sender);
    assert_eq!(&memory[start + 32..start + 37], b"again");
}

// covers: IORING_OP_SHUTDOWN: the peer sees the end
#[test]
fn shutdown() {
    let Some(mut ring) = ring_for(Opcode::Shutdown) else { return };
    let (client, mut server) = pair();
    const WRITE: u32 = 1;
    assert_eq!(one(&mut ring, Sqe::shutdown(client.as_fd(), WRITE)), 0);
    let mut rest = Vec::new();
    assert_eq!(server.read_to_end(&mut rest).expect("the end"), 0);
    server.write_all(b"still").expect("the other direction");
    let socket = owned(one(&mut ring, Sqe::socket(INET, STREAM, 0)));
    assert_eq!(one(&mut ring, Sqe::shutdown(socket.as_fd(), WRITE)), -107);
}

/// Runs a zero-copy send and checks that it completes twice.
fn zero_copy(ring: &mut Ring, entry: Sqe, length: i32) {
    push(ring, entry.transfer_flags(RecvSendFlags::ZC_REPORT_USAGE).user_data(1));
    let done = run(ring, 2);
    assert!(done[0].has_more() && done[0].res == length, "{done:?}");
    assert!(done[1].cqe_flags().contains(CqeFlags::NOTIF) && !done[1].has_more(), "{done:?}");
}

// covers: IORING_OP_SEND_ZC: the peer gets the bytes, and a second completion tells that the buffer is free; from a registered buffer too
#[test]
fn send_zc() {
    let Some(mut ring) = ring_for(Opcode::SendZc) else { return };
    let (client, mut server) = pair();
    let memory = [7_u8; 8192];
    zero_copy(&mut ring, Sqe::send_zc(client.as_fd(), memory.as_ptr(), 8192, 0), 8192);
    let mut text = [0; 8192];
    server.read_exact(&mut text).expect("the bytes");
    assert_eq!(text, memory);
    ring.register_buffers(&[Iovec::new(memory.as_ptr(), memory.len())]).expect("a registered buffer");
    let entry = Sqe::send_zc(client.as_fd(), memory[10..].as_ptr(), 100, 0)
        .transfer_flags(RecvSendFlags::FIXED_BUF)
        .buffer_number(0);
    zero_copy(&mut ring, entry, 100);
    server.read_exact(&mut text[..100]).expect("the bytes");
}

// covers: IORING_OP_SENDMSG_ZC: the peer gets the vectors, and a second completion tells that the buffers are free
#[test]
fn sendmsg_zc() {
    let Some(mut ring) = ring_for(Opcode::SendmsgZc) else { return };
    let (client, mut server) = pair();
    let mut vectors = [Iovec::new(b"one,".as_ptr(), 4), Iovec::new(b"two".as_ptr(), 3)];
    let header = MessageHeader::new(&mut vectors);
    zero_copy(&mut ring, Sqe::sendmsg_zc(client.as_fd(), (&raw const header).cast(), 0), 7);
    let mut text = [0; 7];
    server.read_exact(&mut text).expect("seven bytes");
    assert_eq!(&text, b"one,two");
}

// cannot: IORING_OP_RECV_ZC: needs a network device whose receive queues can be handed out; the test checks that a queue that is not there is refused
#[test]
fn recv_zc() {
    let Some(mut ring) = ring_for(Opcode::RecvZc) else { return };
    let (_client, server) = pair();
    let refused = one(&mut ring, Sqe::recv_zc(server.as_fd(), 0, 0));
    assert!([-22, -2, -6].contains(&refused), "{refused}");
}

// covers: IORING_OP_URING_CMD: a socket tells what it holds, and its options are set and read
#[test]
fn uring_cmd() {
    let Some(mut ring) = ring_for(Opcode::UringCmd) else { return };
    let (mut client, server) = pair();
    client.write_all(b"twelve bytes").expect("a write");
    server.peek(&mut [0; 12]).expect("they have arrived");
    match one(&mut ring, Sqe::socket_readable(server.as_fd())) {
        -95 => return eprintln!("SKIPPED: no socket commands before Linux 6.7"),
        readable => assert_eq!(readable, 12),
    }
    assert_eq!(one(&mut ring, Sqe::socket_unsent(server.as_fd())), 0);
    const SOCKET_LEVEL: u32 = 1;
    const KEEP_ALIVE: u32 = 9;
    let on = 1_i32;
    let place = (&raw const on).cast();
    let set = Sqe::setsockopt(client.as_fd(), SOCKET_LEVEL, KEEP_ALIVE, place, 4);
    assert!(!rustix::net::sockopt::socket_keepalive(&client).expect("the option"));
    assert_eq!(one(&mut ring, set), 0);
    assert!(rustix::net::sockopt::socket_keepalive(&client).expect("the option"));
    let mut found = -1_i32;
    let place = (&raw mut found).cast();
    assert_eq!(one(&mut ring, Sqe::getsockopt(client.as_fd(), SOCKET_LEVEL, KEEP_ALIVE, place, 4)), 4);
    assert_eq!(found, 1);
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    assert_eq!(one(&mut ring, Sqe::socket_readable(reader.as_fd())), -95, "a pipe understands no commands");
}

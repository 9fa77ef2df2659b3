//! Rows for sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ouzel::abi::modifiers::{MessageFlags, ShutdownHow};
use ouzel::{Buffer, Error, Message, SocketAddress};

use crate::stage::{Scene, Stage};
use crate::table::{Row, chain, no_set_up, nothing, row};

const UNIX: u32 = 1;
const INET: u32 = 2;
const STREAM: u32 = 1;
const SOL_SOCKET: u32 = 1;
const SO_REUSEADDR: u32 = 2;
const SO_SNDBUF: u32 = 7;
const SO_RCVBUF: u32 = 8;
const NONE: MessageFlags = MessageFlags::empty();

fn loopback() -> SocketAddress {
    SocketAddress::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// A socket, and an address for it.
fn socket(stage: &mut dyn Stage, scene: &mut Scene) {
    scene.address = Some(loopback());
    scene.files.push(stage.one(|chain| chain.socket(INET, STREAM, 0)));
}

/// One that has its address.
fn bound(stage: &mut dyn Stage, scene: &mut Scene) {
    socket(stage, scene);
    let socket = scene.files[0];
    stage.one(|chain| chain.bind(socket, &loopback()));
}

/// One that listens, and its address.
fn listener(stage: &mut dyn Stage, scene: &mut Scene) {
    bound(stage, scene);
    let socket = scene.files[0];
    stage.one(|chain| chain.listen(socket, 8u64));
    scene.address = Some(stage.one(|chain| chain.sockname(socket)));
}

/// A listener, and a socket that is connected to nobody.
fn stranger(stage: &mut dyn Stage, scene: &mut Scene) {
    listener(stage, scene);
    scene.files.push(stage.one(|chain| chain.socket(INET, STREAM, 0)));
}

/// Connected sockets: the client, the server, the listener.
fn pair(stage: &mut dyn Stage, scene: &mut Scene) {
    listener(stage, scene);
    let listens = scene.files[0];
    let client = stage.one(|chain| chain.socket(INET, STREAM, 0));
    stage.one(|chain| chain.connect(client, scene.address()));
    let server = stage.one(|chain| chain.accept(listens));
    scene.files = vec![client, server, listens];
}

/// Such a pair of sockets that may pass descriptors.
fn unix_pair(stage: &mut dyn Stage, scene: &mut Scene) {
    let address = scene.socket_name();
    let listens = stage.one(|chain| chain.socket(UNIX, STREAM, 0));
    stage.one(|chain| chain.bind(listens, &address));
    stage.one(|chain| chain.listen(listens, 8u64));
    let client = stage.one(|chain| chain.socket(UNIX, STREAM, 0));
    stage.one(|chain| chain.connect(client, &address));
    let server = stage.one(|chain| chain.accept(listens));
    scene.files = vec![client, server, listens];
}

/// Such a pair, of which the client can send no more: there is no room.
fn full(stage: &mut dyn Stage, scene: &mut Scene) {
    unix_pair(stage, scene);
    let (client, server) = (scene.files[0], scene.files[1]);
    for (socket, option) in [(client, SO_SNDBUF), (server, SO_RCVBUF)] {
        stage.attempt(|chain| chain.setsockopt(socket, SOL_SOCKET, option, &4096i32.to_ne_bytes())).ok();
    }
    let mut length = 65536;
    while length > 0 {
        let room = stage.attempt(|chain| {
            let sent = chain.send(client, vec![b'f'; length], NONE);
            chain.timeout(Duration::ZERO);
            sent
        });
        if room.is_err() {
            length /= 4;
        }
    }
}

/// Receives all that there is.
fn drain(stage: &mut dyn Stage, scene: &mut Scene, _: bool) {
    let server = scene.files[1];
    while stage
        .attempt(|chain| {
            let got = chain.recv(server, vec![0; 65536], NONE);
            chain.timeout(Duration::ZERO);
            got
        })
        .is_ok_and(|got| got > 0)
    {}
}

/// A connection comes.
fn client_comes(stage: &mut dyn Stage, scene: &mut Scene, _: bool) {
    let client = stage.one(|chain| chain.socket(INET, STREAM, 0));
    stage.one(|chain| chain.connect(client, scene.address()));
    scene.files.push(client);
}

/// The server sends.
fn server_sends(stage: &mut dyn Stage, scene: &mut Scene, _: bool) {
    let server = scene.files[1];
    stage.attempt(|chain| chain.send(server, "late", NONE)).ok();
}

/// The server sends a descriptor along.
fn server_passes(stage: &mut dyn Stage, scene: &mut Scene, _: bool) {
    let (server, listens) = (scene.files[1], scene.files[2]);
    stage.attempt(|chain| chain.sendmsg(server, Message::new("late").with(listens), NONE)).ok();
}

pub fn rows() -> Vec<Row> {
    let mut rows = made();
    rows.extend(used());
    rows
}

fn made() -> Vec<Row> {
    vec![
        row!("SOCKET", Ends, no_set_up, |on, scene| on.socket(INET, STREAM, 0), nothing),
        row!("BIND", Ends, socket, |on, scene| on.bind(scene.files[0], scene.address()), nothing),
        row!("LISTEN", Ends, bound, |on, scene| on.listen(scene.files[0], 8u32), nothing),
        row!("ACCEPT", Waits, listener, |on, scene| on.accept(scene.files[0]), client_comes),
        Row {
            expected: ouzel::abi::Errno::ETIMEDOUT,
            streams: true,
            call: Some(|handle, scene| {
                let mut accepting = handle.accept_many(scene.files[0]);
                Box::pin(async move { accepting.next().await.map_or(Ok(()), |accepted| accepted.map(drop)) })
            }),
            lasts: Some(TIME),
            ..chain!(
                "ACCEPT, many",
                Waits,
                listener,
                |on, scene| {
                    on.accept_many(scene.files[0]);
                    on.timeout(TIME)
                },
                client_comes
            )
        },
        row!("CONNECT", Ends, stranger, |on, scene| on.connect(scene.files[1], scene.address()), nothing),
        row!("SHUTDOWN", Ends, pair, |on, scene| on.shutdown(scene.files[0], ShutdownHow::Send), nothing),
        row!(
            "GETSOCKOPT",
            Ends,
            socket,
            |on, scene| on.getsockopt(scene.files[0], SOL_SOCKET, SO_REUSEADDR, scene.room()),
            nothing
        ),
        row!(
            "SETSOCKOPT",
            Ends,
            socket,
            |on, scene| on.setsockopt(scene.files[0], SOL_SOCKET, SO_REUSEADDR, scene.bytes(4)),
            nothing
        ),
        row!("SOCKNAME", Ends, bound, |on, scene| on.sockname(scene.files[0]), nothing),
        row!("PEERNAME", Ends, pair, |on, scene| on.peername(scene.files[0]), nothing),
    ]
}

/// How long a multishot in a chain goes on.
const TIME: Duration = Duration::from_millis(60);

fn used() -> Vec<Row> {
    vec![
        row!("SEND", Ends, pair, |on, scene| on.send(scene.files[0], scene.bytes(512), NONE), nothing),
        row!(
            "SEND, no room",
            Waits,
            full,
            |on, scene| on.send(scene.files[0], scene.bytes(512), NONE),
            drain
        ),
        row!("RECV", Waits, pair, |on, scene| on.recv(scene.files[0], scene.room(), NONE), server_sends),
        Row {
            call: Some(|handle, scene| {
                let mut receiving = handle.recv_many(scene.files[0], 512, NONE);
                Box::pin(async move { receiving.next().await.map_or(Ok(()), |received| received.map(drop)) })
            }),
            ..chain!(
                "RECV, many",
                Waits,
                pair,
                |on, scene| {
                    // A byte at first: what comes at once is enough for both.
                    on.recv(scene.files[0], Buffer::from_pool(&scene.pool, 1).unwrap(), NONE);
                    on.recv(scene.files[0], scene.room(), NONE)
                },
                server_sends
            )
        },
        row!(
            "SENDMSG",
            Ends,
            unix_pair,
            |on, scene| on.sendmsg(
                scene.files[0],
                Message::new(scene.bytes(64)).piece(scene.bytes(64)).with(scene.files[2]),
                NONE
            ),
            nothing
        ),
        row!(
            "SENDMSG, no room",
            Waits,
            full,
            |on, scene| on.sendmsg(scene.files[0], Message::new(scene.bytes(64)), NONE),
            drain
        ),
        Row {
            call: Some(|handle, scene| {
                let receiving = handle.recvmsg(scene.files[0], scene.room(), 0, NONE);
                Box::pin(async { receiving.await.map(drop).map_err(Error::from) })
            }),
            ..chain!(
                "RECVMSG",
                Waits,
                pair,
                |on, scene| on.recvmsg(scene.files[0], [scene.room(), scene.room()], 0, NONE),
                server_sends
            )
        },
        Row {
            call: Some(|handle, scene| {
                let receiving = handle.recvmsg(scene.files[0], scene.room(), 2, NONE);
                Box::pin(async { receiving.await.map(drop).map_err(Error::from) })
            }),
            ..chain!(
                "RECVMSG, a descriptor",
                Waits,
                unix_pair,
                |on, scene| on.recvmsg(scene.files[0], [scene.room()], 2, NONE),
                server_passes
            )
        },
    ]
}

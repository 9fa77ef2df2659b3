//! Serving a connection and exchanging with a peer, each with the other side on the same ring.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ouzel::abi::{Descriptor, Errno, Verb};
use ouzel::compounds::{self, Answer, ServeOptions, Until};
use ouzel::{Buffer, Chain, Error, Ticket};

use crate::scene::{Scene, errno, pattern};

/// A client on the same ring: it sends, and what it then receives is in its third buffer.
pub(crate) fn client(scene: &mut Scene, request: &[u8]) -> Ticket {
    let mut chain = Chain::new();
    let socket = chain.socket(1, 1, 0);
    chain.connect(socket, &scene.address());
    chain.send(socket, request, Default::default());
    chain.recv(socket, Buffer::with_capacity(1 << 20), ouzel::abi::modifiers::MessageFlags::WAIT_ALL);
    chain.finally().close(socket);
    scene.ring.submit(chain).unwrap()
}

pub(crate) fn received(scene: &mut Scene, ticket: Ticket) -> Vec<u8> {
    let mut done = scene.ring.wait(ticket).unwrap();
    done.check().unwrap();
    done.take_of(3).unwrap().into_vec()
}

pub(crate) fn bounded() -> ServeOptions {
    let bound = Some(Duration::from_millis(30));
    ServeOptions { accept_within: bound, peer_within: bound, ..ServeOptions::default() }
}

pub(crate) fn connections_are_served(scene: &mut Scene) {
    let listener = scene.listen().unwrap();
    let generous = ServeOptions {
        accept_within: Some(Duration::from_secs(10)),
        peer_within: Some(Duration::from_secs(10)),
        room: 100,
    };
    // Longer than any socket's buffer.
    let long = pattern(1 << 20);
    let ticket = client(scene, b"ping");
    let answer = Answer::Fixed(long.clone().into());
    let served = compounds::accept_then_serve(&mut scene.ring, listener, answer, &generous).unwrap();
    assert_eq!((served.request.as_slice(), served.answered), (&b"ping"[..], long.len()));
    assert!(received(scene, ticket) == long);
    let ticket = client(scene, b"twice");
    let mut closure = |request: &[u8]| (request.len() >= 5).then(|| [request, request].concat());
    let answer = Answer::With(&mut closure);
    let served = compounds::accept_then_serve(&mut scene.ring, listener, answer, &generous).unwrap();
    assert_eq!((served.request.as_slice(), served.answered), (&b"twice"[..], 10));
    assert_eq!(received(scene, ticket), b"twicetwice");
    // Nobody comes.
    let error =
        compounds::accept_then_serve(&mut scene.ring, listener, Answer::Fixed("x".into()), &bounded());
    let error = error.unwrap_err();
    assert_eq!(errno(&error), Errno::ETIMEDOUT);
    assert!(matches!(&error, Error::Operation(error) if error.verb == Verb::Accept), "{error}");
    // Never enough: until the room is full.
    let ticket = client(scene, &[7; 100]);
    let mut never = |_: &[u8]| None;
    let answer = Answer::With(&mut never);
    let error = compounds::accept_then_serve(&mut scene.ring, listener, answer, &generous).unwrap_err();
    assert_eq!(errno(&error), Errno::EMSGSIZE);
    scene.ring.wait(ticket).unwrap();
    // Says nothing.
    let ticket = client(scene, b"");
    let error =
        compounds::accept_then_serve(&mut scene.ring, listener, Answer::Fixed("x".into()), &bounded());
    assert_eq!(errno(&error.unwrap_err()), Errno::ETIMEDOUT);
    scene.ring.wait(ticket).unwrap();
    scene.ring.close(listener).unwrap();
    assert_eq!(scene.open_now(), 0);
}

pub(crate) fn a_panic_in_an_answer_closes_the_connection(scene: &mut Scene) {
    let listener = scene.listen().unwrap();
    let ticket = client(scene, b"boom");
    let mut panics = |_: &[u8]| -> Option<Vec<u8>> { std::panic::resume_unwind(Box::new("an answer")) };
    let served = catch_unwind(AssertUnwindSafe(|| {
        let answer = Answer::With(&mut panics);
        compounds::accept_then_serve(&mut scene.ring, listener, answer, &ServeOptions::default())
    }));
    assert!(served.is_err());
    scene.ring.wait(ticket).unwrap();
    scene.ring.close(listener).unwrap();
    assert_eq!(scene.open_now(), 0);
}

/// A server on the same ring for one connection.
pub(crate) fn server(scene: &mut Scene, listener: Descriptor, answer: &[u8]) -> Ticket {
    let mut chain = Chain::new();
    let peer = chain.accept(listener);
    chain.recv(peer, Buffer::with_capacity(4), ouzel::abi::modifiers::MessageFlags::WAIT_ALL);
    chain.send(peer, answer, Default::default());
    chain.finally().close(peer);
    scene.ring.submit(chain).unwrap()
}

pub(crate) fn exchanges_end_as_asked(scene: &mut Scene) {
    let listener = scene.listen().unwrap();
    let address = scene.address();
    let second = Duration::from_secs(10);
    let answer = pattern(50_000);
    for (until, expected) in [
        (Until::PeerStops { limit: 50_000 }, Ok(50_000)),
        (Until::PeerStops { limit: 49_999 }, Err(Errno::EMSGSIZE)),
        (Until::Bytes(10_000), Ok(10_000)),
        (Until::Bytes(60_000), Ok(50_000)),
        (Until::Bytes(0), Ok(0)),
    ] {
        let ticket = server(scene, listener, &answer);
        let got = compounds::connect_exchange(&mut scene.ring, &address, "ping", until, second);
        match expected {
            Ok(length) => assert!(got.unwrap() == answer[..length], "{until:?}"),
            Err(expected) => assert_eq!(errno(&got.unwrap_err()), expected),
        }
        scene.ring.wait(ticket).unwrap();
    }
    // A peer that accepts and says nothing: the listener's queue.
    let short = Duration::from_millis(50);
    let got = compounds::connect_exchange(&mut scene.ring, &address, "ping", Until::Bytes(1), short);
    assert_eq!(errno(&got.unwrap_err()), Errno::ETIMEDOUT);
    scene.ring.close(listener).unwrap();
    let got = compounds::connect_exchange(&mut scene.ring, &address, "ping", Until::Bytes(1), second);
    assert_eq!(errno(&got.unwrap_err()), Errno::ECONNREFUSED);
    assert_eq!(scene.open_now(), 0);
}

//! Multishot steps: their results as they come, for rings and as streams.
#![allow(clippy::unwrap_used)]

mod task_support;

use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{MessageFlags, PollEvents};
use ouzel::task::{Executor, yield_now};
use ouzel::{Buffer, BuildError, Chain, Error, Offset, SocketAddress};
use task_support::*;

#[test]
fn a_ring_hands_out_connections_as_they_come() {
    on_each(|kind| {
        let mut ring = builder(kind).build().unwrap();
        let listens = ring.socket(INET, STREAM, 0).unwrap();
        let any = SocketAddress::from("127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap());
        ring.bind(listens, &any).unwrap();
        ring.listen(listens, 16).unwrap();
        let address = ring.sockname(listens).unwrap();
        let mut chain = Chain::new();
        let accepted = chain.accept_many(listens);
        let ticket = ring.submit(chain).unwrap();
        assert!(ring.next_result(ticket, accepted).is_none());
        let mut open = Vec::new();
        for _ in 0..5 {
            let client = ring.socket(INET, STREAM, 0).unwrap();
            ring.connect_socket(client, &address).unwrap();
            let taken = ring.wait_result(ticket, accepted).unwrap().unwrap();
            ring.send(taken, "hello", MessageFlags::empty()).unwrap();
            let said = ring.recv(client, Buffer::with_capacity(16), MessageFlags::empty()).unwrap();
            assert_eq!(&*said, b"hello");
            open.extend([client, taken]);
        }
        let client = ring.socket(INET, STREAM, 0).unwrap();
        ring.connect_socket(client, &address).unwrap();
        // Until it has been taken, without asking for it.
        while ring.gauges().descriptors < 13 {
            ring.sleep(Duration::from_millis(1)).unwrap();
        }
        assert!(ring.cancel(ticket).unwrap());
        let mut done = ring.wait(ticket).unwrap();
        assert_eq!(done.error().unwrap().errno, Errno::ECANCELED);
        assert_eq!(done.descriptors().len(), 1, "what nobody has asked for is there");
        open.extend(done.results(accepted));
        assert!(done.results(accepted).is_empty() && done.descriptors().is_empty());
        open.extend([client, listens]);
        assert_eq!(open.len(), 13);
        for file in open {
            ring.close(file).unwrap();
        }
        assert_eq!((ring.gauges().descriptors, ring.in_flight()), (0, 0));
        assert!(ring.next_result(ticket, accepted).is_none(), "it is over");
    });
}

#[test]
fn a_multishot_must_be_the_last_step() {
    let mut ring = builder(ouzel::BackendKind::Sim).build().unwrap();
    let bell = ring.bell().unwrap();
    let bell = ring.adopt_bell(&bell).unwrap();
    type Build = fn(&mut Chain, ouzel::abi::Descriptor);
    let wrong: [Build; 4] = [
        |chain, bell| {
            chain.poll_many(bell, PollEvents::IN);
            chain.sleep(Duration::ZERO);
        },
        |chain, bell| {
            chain.poll_many(bell, PollEvents::IN);
            chain.finally().close(bell);
        },
        |chain, bell| {
            chain.finally();
            chain.poll_many(bell, PollEvents::IN);
        },
        |chain, bell| {
            let events = chain.poll_many(bell, PollEvents::IN);
            chain.get(events);
        },
    ];
    for build in wrong {
        let mut chain = Chain::new();
        build(&mut chain, bell);
        let Err(Error::Build(error)) = ring.run(chain) else { panic!("it was run") };
        assert!(matches!(error, BuildError::MultishotNotLast { step: 0, .. }), "{error}");
        assert!(error.to_string().contains("must be the last"));
    }
    // Other steps may come before it; a timeout ends it.
    let mut chain = Chain::new();
    let other = chain.get(3u64);
    let events = chain.poll_many(bell, PollEvents::IN);
    chain.timeout(Duration::from_millis(1));
    chain.silent();
    let mut done = ring.run(chain).unwrap();
    assert_eq!(done.get(other).unwrap(), 3);
    assert_eq!(done.get(events).unwrap_err().errno(), Some(Errno::ETIMEDOUT));
    assert!(done.results(events).is_empty());
}

#[test]
fn connections_are_a_stream() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        executor
            .block_on(async {
                let (listens, address) = listener(&handle).await?;
                let mut accepting = handle.accept_many(listens);
                let own = handle.clone();
                let clients = handle.spawn(async move {
                    let mut clients = Vec::new();
                    for _ in 0..20 {
                        clients.push(connect(&own, &address).await?);
                    }
                    Ok::<_, Error>((clients, address))
                });
                let mut open = Vec::new();
                for _ in 0..20 {
                    open.push(accepting.next().await.unwrap()?);
                }
                let (clients, address) = clients.await.unwrap()?;
                open.extend(clients);
                // One that nobody asks for is closed when the stream is dropped.
                let client = connect(&handle, &address).await?;
                until(&handle, "the connection", || handle.gauges().descriptors == 44).await;
                drop(accepting);
                let nothing = handle.recv(client, Buffer::with_capacity(1), MessageFlags::empty()).await?;
                assert!(nothing.is_empty(), "its peer sees that it is closed");
                until(&handle, "the close", || handle.gauges().descriptors == 43).await;
                assert_eq!((handle.metrics().cancelled, handle.metrics().late_closed), (1, 1));
                open.extend([client, listens]);
                for file in open {
                    handle.close(file).await?;
                }
                // It ends after an error.
                let mut accepting = handle.accept_many(listens);
                assert_eq!(accepting.next().await.unwrap().unwrap_err().errno(), Some(Errno::EBADF));
                assert!(accepting.next().await.is_none());
                Ok::<_, Error>(())
            })
            .unwrap()
            .unwrap();
        assert_eq!(handle.gauges().descriptors, 1);
    });
}

#[test]
fn streams_begin_anew_when_there_is_no_room_for_more() {
    on_each(|kind| {
        // Four completions at once: the bell's, one for CANCEL, and two.
        let ring = builder(kind).entries(4).completions(4);
        let mut executor = Executor::builder().ring(ring).build().unwrap();
        let handle = executor.handle();
        executor
            .block_on(async {
                let (listens, address) = listener(&handle).await?;
                let mut accepting = handle.accept_many(listens);
                assert!(poll_once(&mut Box::pin(accepting.next())).await.is_pending());
                let mut clients = Vec::new();
                for _ in 0..12 {
                    clients.push(connect(&handle, &address).await?);
                }
                let mut taken = Vec::new();
                while taken.len() < clients.len() {
                    let next = handle.timeout(Duration::from_secs(20), accepting.next()).await;
                    taken.push(next.expect("a connection is lost").unwrap()?);
                }
                Ok::<_, Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn events_are_a_stream() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        executor
            .block_on(async {
                let (read, write) = handle.pipe().await?;
                let mut events = handle.poll_many(read, PollEvents::IN);
                for _ in 0..5 {
                    handle.write(write, "x", Offset::CURRENT).await?;
                    let event = events.next().await.unwrap()?;
                    assert!(PollEvents::from_bits_retain(event).contains(PollEvents::IN));
                    handle.read(read, Buffer::with_capacity(8), Offset::CURRENT).await?;
                }
                drop(events);
                yield_now().await;
                until(&handle, "the end", || handle.gauges().packets == 1).await;
                handle.close(read).await?;
                handle.close(write).await
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn what_is_received_is_a_stream() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        executor
            .block_on(async {
                let (listens, address) = listener(&handle).await?;
                let client = connect(&handle, &address).await?;
                let server = handle.accept(listens).await?;
                let own = handle.clone();
                let sender = handle.spawn(async move {
                    for _ in 0..50 {
                        let mut data = Buffer::from(vec![9; 1000]);
                        while !data.is_empty() {
                            let (sent, back) = own.send(client, data, MessageFlags::empty()).await?;
                            data = Buffer::from(&back[sent..]);
                        }
                    }
                    own.close(client).await
                });
                let mut received = handle.recv_many(server, 4096, MessageFlags::empty());
                let mut bytes = 0;
                while let Some(data) = received.next().await {
                    let data = data?;
                    bytes += data.len();
                    received.give_back(data);
                }
                assert_eq!(bytes, 50_000);
                assert!(received.next().await.is_none());
                sender.await.unwrap()?;
                handle.close(server).await?;
                handle.close(listens).await
            })
            .unwrap()
            .unwrap();
        assert_eq!(handle.gauges().descriptors, 1);
    });
}

//! Operations that wait: cancelled, not allowed to, reporting many times, and never in the way of an open.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use ouzel::backend::HostBackend;
use ouzel::backend::uring::UringOptions;
use ouzel_engine::{Backend, Edge, Operation, Outcome, Report};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::*;

use crate::driver::*;

fn each(test: impl Fn(Driver)) {
    let plain = UringOptions { descriptors: 64, ..UringOptions::default() };
    for options in [plain, UringOptions { slots: false, ..plain }, UringOptions { movable: true, ..plain }] {
        let Some(driver) = backend(options) else { return };
        println!("{options:?}");
        test(driver);
    }
}

const LISTENER: u32 = 0;
const SOCKET: u32 = 1;
const READ_END: u32 = 2;
const WRITE_END: u32 = 3;

/// A listener that nobody calls, a socket that nobody writes to, an empty pipe.
fn waiting_objects(driver: &mut Driver, scratch: &Scratch) -> (UnixStream, std::path::PathBuf) {
    let path = scratch.file("listener");
    let listener = UnixListener::bind(&path).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    driver.uring.adopt(LISTENER, listener.into()).unwrap();
    driver.uring.adopt(SOCKET, ours.into()).unwrap();
    driver.good(Operation::Pipe { into: [READ_END, WRITE_END] });
    (theirs, path)
}

fn waiting_operations(buffer: &mut [u8]) -> Vec<Operation> {
    vec![
        Operation::Accept { socket: LISTENER, address: None, into: 9, multishot: false },
        Operation::Accept { socket: LISTENER, address: None, into: u32::MAX, multishot: true },
        Operation::Recv { socket: SOCKET, buffer: span(buffer), flags: MessageFlags::empty() },
        Operation::Recv { socket: SOCKET, buffer: span(buffer), flags: MessageFlags::WAIT_ALL },
        read(SOCKET, buffer, None),
        read(READ_END, buffer, None),
        Operation::Poll { file: READ_END, events: PollEvents::IN, multishot: false },
        Operation::Poll { file: READ_END, events: PollEvents::IN, multishot: true },
        Operation::Poll { file: SOCKET, events: PollEvents::IN, multishot: false },
    ]
}

#[test]
fn what_waits_can_be_cancelled() {
    each(|mut driver| {
        for scratch in scratches("cancel") {
            let _others = waiting_objects(&mut driver, &scratch);
            let mut buffer = [0; 64];
            for operation in waiting_operations(&mut buffer) {
                // Once after it was submitted, once before.
                for submitted in [true, false] {
                    let token = driver.start(operation, true).unwrap();
                    if submitted {
                        assert_eq!(driver.report_within(Duration::from_millis(5)), None);
                    }
                    driver.uring.cancel(token);
                    let report = driver.report();
                    assert_eq!(
                        (report.token, report.outcome),
                        (token, failed(Errno::ECANCELED)),
                        "{operation:?}"
                    );
                    assert!(!report.more);
                    // Nobody is there any more.
                    driver.uring.cancel(token);
                    assert_eq!(driver.report_within(Duration::from_millis(1)), None);
                }
            }
            assert_eq!(driver.uring.in_flight(), 0);
            for index in [LISTENER, SOCKET, READ_END, WRITE_END] {
                driver.close(index);
            }
        }
    });
}

#[test]
fn what_may_not_wait_does_not() {
    each(|mut driver| {
        for scratch in scratches("not-wait") {
            let (mut peer, path) = waiting_objects(&mut driver, &scratch);
            let mut buffer = [0; 64];
            for operation in waiting_operations(&mut buffer) {
                assert_eq!(driver.error(operation, false), Errno::ETIMEDOUT, "{operation:?}");
            }
            // A full pipe, a full socket.
            let full = vec![1u8; 1 << 20];
            assert!(matches!(
                driver.run_one(write(WRITE_END, &full, None), false),
                Outcome::Done { error: Errno::OK, .. }
            ));
            assert_eq!(driver.error(write(WRITE_END, &full, None), false), Errno::ETIMEDOUT);
            let send = Operation::Send {
                socket: SOCKET,
                buffer: ouzel_engine::Span { pointer: full.as_ptr().cast_mut(), length: full.len() },
                flags: MessageFlags::empty(),
            };
            while driver.run_one(send, false) != failed(Errno::ETIMEDOUT) {}

            // What need not wait is done.
            assert_eq!(driver.run_one(read(READ_END, &mut buffer, None), false), done(64));
            let poll = Operation::Poll { file: READ_END, events: PollEvents::IN, multishot: false };
            assert_eq!(driver.run_one(poll, false), done(1));
            peer.write_all(b"hello").unwrap();
            let receive =
                Operation::Recv { socket: SOCKET, buffer: span(&mut buffer), flags: MessageFlags::empty() };
            assert_eq!(driver.run_one(receive, false), done(5));
            let _caller = UnixStream::connect(&path).unwrap();
            let accept = Operation::Accept { socket: LISTENER, address: None, into: 9, multishot: false };
            assert!(matches!(driver.run_one(accept, false), Outcome::Done { error: Errno::OK, .. }));
            driver.close(9);

            // Storage is no event, also if nobody knows yet that it is storage.
            let file = scratch.file("a");
            std::fs::write(&file, b"0123").unwrap();
            driver.open(&file, OpenFlags::READ | OpenFlags::WRITE, 9);
            assert_eq!(driver.run_one(read(9, &mut buffer, Some(0)), false), done(4));
            assert_eq!(driver.run_one(write(9, b"5678", Some(0)), false), done(4));
            driver.close(9);
            let zero = Text::new("/dev/zero");
            driver.good(open(&zero, OpenFlags::READ, 9));
            assert_eq!(driver.run_one(read(9, &mut buffer, None), false), done(64));
            driver.close(9);
            for index in [LISTENER, SOCKET, READ_END, WRITE_END] {
                driver.close(index);
            }
        }
    });
}

#[test]
fn an_open_fifo_waits_for_bytes_but_its_open_for_nobody() {
    each(|mut driver| {
        for scratch in scratches("fifo") {
            let path = scratch.file("fifo");
            rustix::fs::mknodat(
                rustix::fs::CWD,
                &path,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_bits_retain(0o600),
                0,
            )
            .unwrap();
            let text = Text::new(&path);
            assert_eq!(driver.bad(open(&text, OpenFlags::WRITE, 0)), Errno::ENXIO);
            driver.good(open(&text, OpenFlags::READ, 0));
            driver.good(open(&text, OpenFlags::WRITE, 1));
            let mut buffer = [0; 16];
            assert_eq!(driver.error(read(0, &mut buffer, None), false), Errno::ETIMEDOUT);
            let token = driver.start(read(0, &mut buffer, None), true).unwrap();
            assert_eq!(driver.report_within(Duration::from_millis(20)), None);
            assert_eq!(driver.start(write(1, b"bytes", None), true).map(|_| ()), Ok(()));
            let outcomes: Vec<_> = [driver.report(), driver.report()].into_iter().collect();
            assert!(outcomes.iter().all(|report| report.outcome == done(5)), "{outcomes:?}");
            assert!(outcomes.iter().any(|report| report.token == token));

            // A full one is waited for as well.
            let block = vec![0u8; 1 << 16];
            while driver.run_one(write(1, &block, None), false) != failed(Errno::ETIMEDOUT) {}
            let token = driver.start(write(1, b"more", None), true).unwrap();
            assert_eq!(driver.report_within(Duration::from_millis(20)), None);
            let mut large = vec![0u8; 1 << 20];
            let reading = driver.start(read(0, &mut large, None), true).unwrap();
            for _ in 0..2 {
                let report = driver.report();
                let Outcome::Done { error: Errno::OK, result, .. } = report.outcome else {
                    panic!("{report:?}")
                };
                assert!(report.token == token || report.token == reading);
                // The read takes what it finds, which may be the other's bytes as well.
                assert!(if report.token == token { result == 4 } else { result > 4 }, "{report:?}");
            }
            driver.close(1);
            driver.close(0);
        }
    });
}

#[test]
fn a_multishot_accept_hands_out_connections() {
    each(|mut driver| {
        for scratch in scratches("multishot") {
            let path = scratch.file("listener");
            driver.uring.adopt(LISTENER, UnixListener::bind(&path).unwrap().into()).unwrap();
            let accept =
                Operation::Accept { socket: LISTENER, address: None, into: u32::MAX, multishot: true };
            let token = driver.start(accept, true).unwrap();
            driver.uring.wait(0, None).unwrap();
            for round in 0..3u8 {
                let mut callers: Vec<_> = (0..4).map(|_| UnixStream::connect(&path).unwrap()).collect();
                let reports: Vec<_> = callers.iter().map(|_| driver.report()).collect();
                for (place, (caller, report)) in callers.iter_mut().zip(reports).enumerate() {
                    assert_eq!((report.token, report.more), (token, true));
                    let Outcome::Done { error: Errno::OK, result, .. } = report.outcome else { panic!() };
                    if place == 3 {
                        driver.uring.discard(result);
                        assert_eq!(caller.read(&mut [0]).unwrap(), 0);
                        continue;
                    }
                    driver.uring.attach(result, 10);
                    caller.write_all(&[round]).unwrap();
                    let mut buffer = [0; 8];
                    assert_eq!(driver.good(read(10, &mut buffer, None)), 1);
                    assert_eq!(buffer[0], round);
                    driver.close(10);
                    assert_eq!(caller.read(&mut buffer).unwrap(), 0);
                }
            }
            driver.uring.cancel(token);
            let last = Report { token, outcome: failed(Errno::ECANCELED), more: false };
            assert_eq!(driver.report(), last);
            driver.close(LISTENER);
        }
    });
}

#[test]
fn a_multishot_poll_reports_again_and_again() {
    each(|mut driver| {
        driver.good(Operation::Pipe { into: [READ_END, WRITE_END] });
        let poll = Operation::Poll { file: READ_END, events: PollEvents::IN, multishot: true };
        let token = driver.start(poll, true).unwrap();
        let mut buffer = [0; 8];
        for _ in 0..5 {
            let writing = driver.start(write(WRITE_END, b"x", None), true).unwrap();
            let mut polled = false;
            let mut written = false;
            while !(polled && written) {
                let report = driver.report();
                if report.token == token {
                    assert!(report.more);
                    polled = true;
                } else {
                    assert_eq!(report.token, writing);
                    written = true;
                }
            }
            let reading = driver.start(read(READ_END, &mut buffer, None), true).unwrap();
            // A wake-up that comes late is one more report.
            while driver.report().token != reading {}
        }
        driver.uring.cancel(token);
        loop {
            let report = driver.report();
            assert_eq!(report.token, token);
            if !report.more {
                assert_eq!(report.outcome, failed(Errno::ECANCELED));
                break;
            }
        }
    });
}

#[test]
fn a_cancelled_head_takes_its_run_along() {
    let Some(mut driver) = backend(UringOptions::default()) else { return };
    driver.good(Operation::Pipe { into: [READ_END, WRITE_END] });
    let mut buffer = [0; 8];
    for edge in [Edge::Success, Edge::Always] {
        let tokens = driver.start_run(&[
            (Edge::Success, read(READ_END, &mut buffer, None)),
            (edge, write(WRITE_END, b"x", None)),
        ]);
        assert_eq!(driver.report_within(Duration::from_millis(5)), None);
        driver.uring.cancel(tokens[0]);
        assert_eq!(driver.report().outcome, failed(Errno::ECANCELED));
        let second = driver.report();
        assert_eq!(second.token, tokens[1]);
        assert_eq!(second.outcome, if edge == Edge::Success { Outcome::NotRun } else { done(1) });
    }
}

#[test]
fn a_member_that_was_not_begun_is_cancelled_when_it_is() {
    let Some(mut driver) = backend(UringOptions::default()) else { return };
    driver.good(Operation::Pipe { into: [READ_END, WRITE_END] });
    let mut buffers = [[0; 8]; 4];
    let operations: Vec<_> =
        buffers.iter_mut().map(|buffer| (Edge::Always, read(READ_END, buffer, None))).collect();
    for backwards in [false, true] {
        let mut tokens = driver.start_run(&operations);
        assert_eq!(driver.report_within(Duration::from_millis(5)), None);
        if backwards {
            tokens.reverse();
        }
        for token in &tokens {
            driver.uring.cancel(*token);
        }
        for _ in 0..4 {
            assert_eq!(driver.report().outcome, failed(Errno::ECANCELED));
        }
    }
}

#[test]
fn cancels_are_not_lost_when_the_queue_is_full() {
    let options = UringOptions { entries: 8, ..UringOptions::default() };
    let Some(mut driver) = backend(options) else { return };
    driver.good(Operation::Pipe { into: [READ_END, WRITE_END] });
    let mut buffers = vec![[0u8; 8]; 100];
    let tokens: Vec<_> =
        buffers.iter_mut().map(|buffer| driver.start(read(READ_END, buffer, None), true).unwrap()).collect();
    for token in &tokens {
        driver.uring.cancel(*token);
    }
    for _ in &tokens {
        assert_eq!(driver.report().outcome, failed(Errno::ECANCELED));
    }
    assert_eq!(driver.uring.in_flight(), 0);
}

#[test]
fn an_object_outlives_its_close_for_those_at_work_on_it() {
    each(|mut driver| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        driver.uring.adopt(SOCKET, ours.into()).unwrap();
        let mut buffer = [0; 8];
        let reading = driver.start(read(SOCKET, &mut buffer, None), true).unwrap();
        assert_eq!(driver.report_within(Duration::from_millis(5)), None);
        driver.close(SOCKET);
        assert_eq!(driver.bad(write(SOCKET, b"x", None)), Errno::EBADF);
        // The number, had it one, is nobody else's yet.
        let _others: Vec<_> = (0..8).map(|_| std::fs::File::open("/dev/zero").unwrap()).collect();
        theirs.write_all(b"late").unwrap();
        let report = driver.report();
        assert_eq!((report.token, report.outcome), (reading, done(4)));
        assert_eq!(&buffer[..4], b"late");
        // Only now is it closed.
        assert_eq!(theirs.read(&mut buffer).unwrap(), 0);
    });
}

#[test]
fn a_wait_ends_when_its_time_is_up() {
    each(|mut driver| {
        driver.good(Operation::Pipe { into: [READ_END, WRITE_END] });
        let mut buffer = [0; 8];
        let token = driver.start(read(READ_END, &mut buffer, None), true).unwrap();
        let start = Instant::now();
        let until = driver.uring.now() + 30_000_000;
        driver.uring.wait(1, Some(until)).unwrap();
        assert!(driver.uring.now() >= until, "it came back early");
        assert!(start.elapsed() < Duration::from_secs(20));
        assert_eq!(driver.uring.next(), None);
        driver.uring.cancel(token);
        assert_eq!(driver.report().outcome, failed(Errno::ECANCELED));
    });
}

#[test]
fn a_connection_to_a_full_listener_waits_for_its_turn() {
    each(|mut driver| {
        for scratch in scratches("backlog") {
            let path = scratch.file("listener");
            let listener = UnixListener::bind(&path).unwrap();
            rustix::net::listen(&listener, 0).unwrap();
            let caller = UnixStream::connect(&path).unwrap();
            let mut address = vec![0u8; 2];
            address[..2].copy_from_slice(&1u16.to_ne_bytes());
            address.extend_from_slice(path.to_str().unwrap().as_bytes());
            address.push(0);
            driver.good(Operation::Socket { domain: 1, kind: 1, protocol: 0, into: SOCKET });
            let connect = Operation::Connect { socket: SOCKET, address: span(&mut address) };
            assert_eq!(driver.error(connect, false), Errno::ETIMEDOUT);
            let token = driver.start(connect, true).unwrap();
            assert_eq!(driver.report_within(Duration::from_millis(20)), None);
            driver.uring.cancel(token);
            assert_eq!(driver.report().outcome, failed(Errno::ECANCELED));

            let token = driver.start(connect, true).unwrap();
            assert_eq!(driver.report_within(Duration::from_millis(20)), None);
            let enters = driver.uring.counters().enters;
            assert_eq!(driver.report_within(Duration::from_millis(50)), None);
            assert!(driver.uring.counters().enters - enters < 10, "it spins");
            drop(listener.accept().unwrap());
            let report = driver.report();
            assert_eq!((report.token, report.outcome), (token, done(0)));
            drop(caller);
            driver.close(SOCKET);
        }
    });
}

#[test]
fn objects_that_came_in_non_blocking_are_waited_for() {
    each(|mut driver| {
        for scratch in scratches("non-blocking") {
            let path = scratch.file("listener");
            let listener = UnixListener::bind(&path).unwrap();
            listener.set_nonblocking(true).unwrap();
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let (pipe, mut pipe_writer) = std::io::pipe().unwrap();
            rustix::fs::fcntl_setfl(&pipe, rustix::fs::OFlags::NONBLOCK).unwrap();
            driver.uring.adopt(LISTENER, listener.into()).unwrap();
            driver.uring.adopt(SOCKET, ours.into()).unwrap();
            driver.uring.adopt(READ_END, pipe.into()).unwrap();
            let mut buffer = [0; 8];
            let accept = Operation::Accept { socket: LISTENER, address: None, into: 9, multishot: false };
            let receive =
                Operation::Recv { socket: SOCKET, buffer: span(&mut buffer), flags: MessageFlags::empty() };
            let operations =
                [accept, receive, read(SOCKET, &mut buffer, None), read(READ_END, &mut buffer, None)];
            for (place, operation) in operations.into_iter().enumerate() {
                let token = driver.start(operation, true).unwrap();
                assert_eq!(driver.report_within(Duration::from_millis(20)), None, "{operation:?}");
                let mut caller = None;
                match place {
                    0 => caller = Some(UnixStream::connect(&path).unwrap()),
                    3 => pipe_writer.write_all(b"bytes").unwrap(),
                    _ => theirs.write_all(b"bytes").unwrap(),
                }
                let report = driver.report();
                assert_eq!(report.token, token);
                let Outcome::Done { error, result, .. } = report.outcome else { panic!() };
                assert_eq!(error, Errno::OK, "{operation:?}");
                assert!(place == 0 || result == 5);
                drop(caller);
            }
            for index in [LISTENER, SOCKET, READ_END, 9] {
                driver.close(index);
            }
        }
    });
}

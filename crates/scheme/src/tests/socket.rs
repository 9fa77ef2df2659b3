//! All but two run in a process of their own: while another test starts a process, that one has every descriptor of this one,
//! and nothing is closed.

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::sync::Barrier;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{FdFlags, fcntl_getfd};

use super::*;
use crate::testing::{self, Killed};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

fn soon() -> Option<Instant> {
    Some(Instant::now() + LONG)
}

fn event() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC).unwrap()
}

/// Whatever was asked for, without asking whether it may be.
fn send_raw(control: &Control, bytes: &[u8], files: &[BorrowedFd<'_>]) {
    let mut space = vec![MaybeUninit::uninit(); cmsg_space!(ScmRights(files.len()))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(files.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(files)));
    let sent = sendmsg(control, &[io::IoSlice::new(bytes)], &mut ancillary, SendFlags::DONTWAIT).unwrap();
    assert_eq!(sent, bytes.len());
}

#[track_caller]
fn fails<T: fmt::Debug>(result: io::Result<T>, kind: ErrorKind) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    error.to_string()
}

/// Socket files of a folder, and what else is there.
fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Leaves a socket at the path as a service does that is killed.
fn leave_stale(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    assert!(std::fs::symlink_metadata(path).unwrap().file_type().is_socket());
}

#[test]
fn messages_come_whole_and_with_their_descriptors() {
    testing::isolated("socket::tests::messages_come_whole_and_with_their_descriptors", || {
        let (one, other) = Control::pair().unwrap();
        let files: Vec<OwnedFd> = (0..MAX_FILES).map(|_| event()).collect();
        for count in 0..=MAX_FILES {
            let sent: Vec<BorrowedFd<'_>> = files.iter().take(count).map(AsFd::as_fd).collect();
            one.send(&vec![7; count + 1], &sent).unwrap();
            one.send(b"next", &[]).unwrap();
            let mut bytes = [0; 64];
            let received = other.receive(&mut bytes, count).unwrap();
            assert_eq!((received.length, received.files.len()), (count + 1, count));
            assert_eq!(bytes[..count + 1], vec![7; count + 1]);
            for (index, file) in received.files.iter().enumerate() {
                assert!(fcntl_getfd(file).unwrap().contains(FdFlags::CLOEXEC));
                rustix::io::write(&files[index], &(index as u64 + 1).to_ne_bytes()).unwrap();
                let mut number = [0; 8];
                rustix::io::read(file, &mut number).unwrap();
                assert_eq!(u64::from_ne_bytes(number), index as u64 + 1);
            }
            let received = other.receive(&mut bytes, MAX_FILES).unwrap();
            assert_eq!((&bytes[..received.length], received.files.len()), (b"next".as_slice(), 0));
        }
    });
}

#[test]
fn nothing_waits_for_the_other_side() {
    testing::isolated("socket::tests::nothing_waits_for_the_other_side", || {
        let (one, other) = Control::pair().unwrap();
        let mut bytes = [0; 64];
        fails(other.receive(&mut bytes, 1), ErrorKind::WouldBlock);
        let mut sent = 0;
        let full = loop {
            match one.send(&[1; 64], &[]) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 1_000_000);
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        for _ in 0..sent {
            assert_eq!(other.receive(&mut bytes, 0).unwrap().length, 64);
        }
        fails(other.receive(&mut bytes, 0), ErrorKind::WouldBlock);
        one.send(&[1; 64], &[]).unwrap();
    });
}

#[test]
fn the_end_is_told_apart_from_silence() {
    testing::isolated("socket::tests::the_end_is_told_apart_from_silence", || {
        let (one, other) = Control::pair().unwrap();
        let mut bytes = [0; 64];
        one.send(b"last", &[]).unwrap();
        drop(one);
        assert_eq!(other.receive(&mut bytes, 0).unwrap().length, 4);
        for _ in 0..3 {
            fails(other.receive(&mut bytes, 0), ErrorKind::UnexpectedEof);
        }
        fails(other.send(b"x", &[]), ErrorKind::BrokenPipe);
    });
}

/// A server that refuses does so without having read what the client had said.
#[test]
fn what_was_said_before_the_end_is_heard() {
    testing::isolated("socket::tests::what_was_said_before_the_end_is_heard", || {
        let (client, server) = Control::pair().unwrap();
        client.send(b"hello", &[]).unwrap();
        server.send(b"no", &[]).unwrap();
        drop(server);
        let mut bytes = [0; 64];
        assert_eq!(client.receive(&mut bytes, 3).unwrap().length, 2);
        fails(client.receive(&mut bytes, 3), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn what_is_too_much_is_refused_and_closed() {
    testing::isolated("socket::tests::what_is_too_much_is_refused_and_closed", || {
        let (one, other) = Control::pair().unwrap();
        let file = event();
        let mut bytes = [0; 16];
        let before = testing::descriptors();
        for (length, count, allowed) in [
            (17, 0, 0),
            (100_000, 0, 1),
            (17, 1, 1),
            (17, 253, 1),
            (1, 1, 0),
            (1, 2, 1),
            (1, 3, 1),
            (1, 4, 3),
            (1, 5, MAX_FILES),
            (1, 253, 0),
            (1, 253, 1),
            (1, 253, MAX_FILES),
            (1, 253, 1000),
        ] {
            send_raw(&one, &vec![1; length], &vec![file.as_fd(); count]);
            one.send(b"next", &[]).unwrap();
            let text = fails(other.receive(&mut bytes, allowed), ErrorKind::InvalidData);
            assert!(text.contains(if length > 16 { "longer than 16" } else { "descriptors" }), "{text}");
            assert_eq!(testing::descriptors(), before, "{length} bytes, {count} descriptors");
            assert_eq!(other.receive(&mut bytes, allowed).unwrap().length, 4);
        }
        // One that nobody receives goes with the socket.
        send_raw(&one, b"x", &[file.as_fd(); 253]);
        drop((one, other));
    });
}

#[test]
fn a_message_of_no_bytes_is_the_end() {
    testing::isolated("socket::tests::a_message_of_no_bytes_is_the_end", || {
        let (one, other) = Control::pair().unwrap();
        let file = event();
        fails(one.send(&[], &[]), ErrorKind::InvalidInput);
        fails(one.send(b"x", &[file.as_fd(); MAX_FILES + 1]), ErrorKind::InvalidInput);
        let mut bytes = [0; 16];
        fails(other.receive(&mut bytes, 1), ErrorKind::WouldBlock);
        send_raw(&one, &[], &[file.as_fd()]);
        fails(other.receive(&mut bytes, 1), ErrorKind::UnexpectedEof);
    });
}

/// Where this process can have no more descriptors, those of a message are missing, which is not taken for none.
#[test]
fn a_message_without_its_descriptors_is_refused() {
    testing::isolated("socket::tests::a_message_without_its_descriptors_is_refused", || {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let (one, other) = Control::pair().unwrap();
        let file = event();
        one.send(b"x", &[file.as_fd()]).unwrap();
        let limits = getrlimit(Resource::Nofile);
        let full = Rlimit { current: Some(0), maximum: limits.maximum };
        setrlimit(Resource::Nofile, full).unwrap();
        let result = other.receive(&mut [0; 16], 1);
        setrlimit(Resource::Nofile, limits).unwrap();
        fails(result, ErrorKind::InvalidData);
    });
}

#[test]
fn waiting_has_an_end() {
    testing::isolated("socket::tests::waiting_has_an_end", || {
        let (one, other) = Control::pair().unwrap();
        let began = Instant::now();
        fails(other.wait(Some(began + Duration::from_millis(30))), ErrorKind::TimedOut);
        assert!(began.elapsed() >= Duration::from_millis(30));
        fails(other.wait(Some(began)), ErrorKind::TimedOut);
        let sender = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            one.send(b"x", &[]).unwrap();
            one
        });
        other.wait(soon()).unwrap();
        assert_eq!(other.receive(&mut [0; 16], 0).unwrap().length, 1);
        let one = sender.join().unwrap();
        drop(one);
        other.wait(None).unwrap();
        fails(other.receive(&mut [0; 16], 0), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn clients_find_a_service_by_its_path() {
    testing::isolated("socket::tests::clients_find_a_service_by_its_path", || {
        for folder in testing::folders() {
            let inner = folder.path().join("made").join("by it");
            let path = inner.join("name");
            let text = fails(Control::connect(&path), ErrorKind::NotFound);
            assert!(text.contains("no service has that name"), "{text}");
            let listener = Listener::bind(&path).unwrap();
            assert!(listener.accept().unwrap().is_none());
            let clients: Vec<Control> = (0..20).map(|_| Control::connect(&path).unwrap()).collect();
            for (number, client) in clients.iter().enumerate() {
                let server = listener.accept().unwrap().unwrap();
                assert!(fcntl_getfd(&server).unwrap().contains(FdFlags::CLOEXEC));
                client.send(&[number as u8], &[]).unwrap();
                let mut bytes = [0xff; 4];
                server.wait(soon()).unwrap();
                assert_eq!(server.receive(&mut bytes, 1).unwrap().length, 1);
                assert_eq!(bytes[0], number as u8);
                fails(server.receive(&mut bytes, 1), ErrorKind::WouldBlock);
            }
            assert!(listener.accept().unwrap().is_none());
            let mode = |path: &Path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&path), mode(&inner), mode(inner.parent().unwrap())), (0o600, 0o700, 0o700));
            drop(listener);
            assert_eq!(files(&inner), [""; 0]);
            fails(Control::connect(&path), ErrorKind::NotFound);
        }
    });
}

#[test]
fn a_path_may_be_longer_than_addresses_are() {
    testing::isolated("socket::tests::a_path_may_be_longer_than_addresses_are", || {
        for folder in testing::folders() {
            let path = folder.path().join("x".repeat(100)).join("y".repeat(100)).join("z".repeat(64));
            let listener = Listener::bind(&path).unwrap();
            let client = Control::connect(&path).unwrap();
            assert!(listener.accept().unwrap().is_some());
            fails(Listener::bind(&path), ErrorKind::AddrInUse);
            drop((client, listener));
            assert_eq!(files(path.parent().unwrap()), [""; 0]);
        }
        fails(Listener::bind(Path::new("/")).map(drop), ErrorKind::InvalidInput);
        fails(Control::connect(Path::new("..")), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_path_is_served_once() {
    testing::isolated("socket::tests::a_path_is_served_once", || {
        for folder in testing::folders() {
            let path = folder.path().join("name");
            let first = Listener::bind(&path).unwrap();
            for _ in 0..3 {
                let text = fails(Listener::bind(&path), ErrorKind::AddrInUse);
                assert!(
                    text.contains(&path.display().to_string()) && text.contains("another service"),
                    "{text}"
                );
            }
            // The attempts have not disturbed it.
            let _client = Control::connect(&path).unwrap();
            assert!(first.accept().unwrap().is_some());
            assert!(first.accept().unwrap().is_none());
            drop(first);
            Listener::bind(&path).unwrap();
            assert_eq!(files(folder.path()), [""; 0]);
        }
    });
}

#[test]
fn what_a_service_left_is_replaced() {
    testing::isolated("socket::tests::what_a_service_left_is_replaced", || {
        for folder in testing::folders() {
            let path = folder.path().join("name");
            leave_stale(&path);
            let text = fails(Control::connect(&path), ErrorKind::ConnectionRefused);
            assert!(text.contains("has ended"), "{text}");
            std::fs::write(folder.path().join(".name.lock"), "").unwrap();
            let listener = Listener::bind(&path).unwrap();
            let _client = Control::connect(&path).unwrap();
            assert!(listener.accept().unwrap().is_some());
            drop(listener);
            assert_eq!(files(folder.path()), [""; 0]);
        }
    });
}

#[test]
fn what_is_not_a_service_of_ours_is_left_alone() {
    testing::isolated("socket::tests::what_is_not_a_service_of_ours_is_left_alone", || {
        for folder in testing::folders() {
            let folder = folder.path();
            let path = folder.join("name");
            std::fs::write(&path, "precious").unwrap();
            let text = fails(Listener::bind(&path), ErrorKind::AlreadyExists);
            assert!(text.contains("no socket"), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
            std::fs::remove_file(&path).unwrap();
            // A link is not followed, not even to what is stale.
            leave_stale(&folder.join("stale"));
            std::os::unix::fs::symlink(folder.join("stale"), &path).unwrap();
            fails(Listener::bind(&path), ErrorKind::AlreadyExists);
            std::fs::remove_file(&path).unwrap();
            std::fs::remove_file(folder.join("stale")).unwrap();

            // Sockets that somebody serves who knows of no lock: of streams, and of messages.
            let streams = testing::in_folder(folder, |near| UnixListener::bind(near.join("name"))).unwrap();
            fails(Listener::bind(&path), ErrorKind::AddrInUse);
            std::os::unix::net::UnixStream::connect(&path).unwrap();
            drop(streams);
            std::fs::remove_file(&path).unwrap();
            let (messages, _) = serve(&path).unwrap();
            fails(Listener::bind(&path), ErrorKind::AddrInUse);
            Control::connect(&path).unwrap();
            drop(messages);
            let listener = Listener::bind(&path).unwrap();

            // What somebody put in its place is not the service's to remove.
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, "precious").unwrap();
            drop(listener);
            assert_eq!(files(folder), ["name"]);
        }
    });
}

#[test]
fn of_services_that_begin_together_one_serves() {
    testing::isolated("socket::tests::of_services_that_begin_together_one_serves", || {
        const SERVICES: usize = 8;
        for folder in testing::folders() {
            let path = folder.path().join("name");
            let barrier = Barrier::new(SERVICES);
            for round in 0..40 {
                if round % 2 == 0 {
                    leave_stale(&path);
                }
                let bound: Vec<io::Result<Listener>> = std::thread::scope(|scope| {
                    let begin = || {
                        barrier.wait();
                        Listener::bind(&path)
                    };
                    let threads: Vec<_> = (0..SERVICES).map(|_| scope.spawn(begin)).collect();
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
                });
                let (serving, refused): (Vec<_>, Vec<_>) = bound.into_iter().partition(Result::is_ok);
                assert_eq!((serving.len(), refused.len()), (1, SERVICES - 1));
                for refused in refused {
                    fails(refused, ErrorKind::AddrInUse);
                }
                let serving = serving.into_iter().next().unwrap().unwrap();
                let _client = Control::connect(&path).unwrap();
                assert!(serving.accept().unwrap().is_some());
            }
        }
    });
}

/// One ends while others begin: there are never two, and the socket is always that of the one there is.
#[test]
fn services_that_follow_each_other_do_not_take_what_is_the_others() {
    testing::isolated(
        "socket::tests::services_that_follow_each_other_do_not_take_what_is_the_others",
        || {
            for folder in testing::folders() {
                let path = folder.path().join("name");
                let served = std::sync::atomic::AtomicU32::new(0);
                std::thread::scope(|scope| {
                    for _ in 0..4 {
                        scope.spawn(|| {
                            for _ in 0..200 {
                                match Listener::bind(&path) {
                                    Ok(listener) => {
                                        served.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                                        let _client = Control::connect(&path).unwrap();
                                        assert!(listener.accept().unwrap().is_some());
                                    }
                                    Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}"),
                                }
                            }
                        });
                    }
                });
                assert!(served.into_inner() > 0);
                assert_eq!(files(folder.path()), [""; 0]);
            }
        },
    );
}

const KILLED: &str = "socket::tests::a_service_that_was_killed_can_be_started_again";

#[test]
fn a_service_that_was_killed_can_be_started_again() {
    if let Some(path) = testing::argument() {
        let listener = Listener::bind(Path::new(&path)).unwrap();
        loop {
            let _client = listener.accept().unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    for folder in testing::folders() {
        let path = folder.path().join("name");
        let mut service = Killed::start(testing::again(KILLED, path.to_str().unwrap()));
        let deadline = Instant::now() + LONG;
        let client = loop {
            match Control::connect(&path) {
                Ok(client) => break client,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        fails(Listener::bind(&path), ErrorKind::AddrInUse);
        service.0.kill().unwrap();
        client.wait(soon()).unwrap();
        fails(client.receive(&mut [0; 16], 0), ErrorKind::UnexpectedEof);
        service.0.wait().unwrap();
        assert_eq!(files(folder.path()), [".name.lock", "name"]);
        fails(Control::connect(&path), ErrorKind::ConnectionRefused);
        let listener = Listener::bind(&path).unwrap();
        let _client = Control::connect(&path).unwrap();
        assert!(listener.accept().unwrap().is_some());
    }
}

const WATCHED: &str = "socket::tests::a_client_is_who_the_kernel_says";

#[test]
fn a_client_is_who_the_kernel_says() {
    if let Some(path) = testing::argument() {
        let client = Control::connect(Path::new(&path)).unwrap();
        client.wait(soon()).unwrap();
        return;
    }
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let Some(folder) = testing::folders().pop() else { return };
    let path = folder.path().join("name");
    let listener = Listener::bind(&path).unwrap();
    let _own = Control::connect(&path).unwrap();
    let peer = listener.accept().unwrap().unwrap().peer().unwrap();
    assert_eq!((peer.process, peer.user, peer.group), (getpid().as_raw_pid(), user, group));

    let mut client = Killed::start(testing::again(WATCHED, path.to_str().unwrap()));
    let mut waited = [PollFd::new(&listener, PollFlags::IN)];
    assert_eq!(poll(&mut waited, Some(&Timespec::try_from(LONG).unwrap())), Ok(1));
    let server = listener.accept().unwrap().unwrap();
    let peer = server.peer().unwrap();
    assert_eq!((peer.process, peer.user), (client.0.id().cast_signed(), user));
    let text = format!("{peer:?}");
    assert!(text.contains(&format!("process: {}", client.0.id())), "{text}");
    let Some(pidfd) = &peer.pidfd else { return println!("SKIPPED: descriptors of processes") };
    assert!(fcntl_getfd(pidfd).unwrap().contains(FdFlags::CLOEXEC));
    let ended = |limit: Duration| {
        poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&Timespec::try_from(limit).unwrap()))
    };
    assert_eq!(ended(Duration::ZERO), Ok(0));
    client.0.kill().unwrap();
    assert_eq!(ended(LONG), Ok(1));
    server.wait(soon()).unwrap();
    fails(server.receive(&mut [0; 16], 0), ErrorKind::UnexpectedEof);
    client.0.wait().unwrap();
}

#[test]
fn nobody_is_at_the_end_of_a_socket_that_nobody_connected() {
    testing::isolated("socket::tests::nobody_is_at_the_end_of_a_socket_that_nobody_connected", || {
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        fails(Peer::of(socket.as_fd()), ErrorKind::NotConnected);
    });
}

/// Others may change what the description of a socket says about waiting.
#[test]
fn a_client_cannot_make_the_server_wait() {
    testing::isolated("socket::tests::a_client_cannot_make_the_server_wait", || {
        let (one, other) = Control::pair().unwrap();
        let shared = one.socket.try_clone().unwrap();
        for flags in [OFlags::NONBLOCK, OFlags::empty()] {
            rustix::fs::fcntl_setfl(&shared, flags).unwrap();
            let began = Instant::now();
            fails(one.receive(&mut [0; 16], 1), ErrorKind::WouldBlock);
            while one.send(&[1; 16], &[]).is_ok() {}
            assert!(began.elapsed() < LONG);
            while other.receive(&mut [0; 16], 0).is_ok() {}
        }
    });
}

//! What is not served: malformed requests, ways out of the root, what is no file, and clients that dawdle or vanish.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use support::{Client, Server, bytes, folders, on_each, write};

fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[test]
fn malformed_requests_are_answered_and_the_connection_ends() {
    let long = "a".repeat(20_000);
    let cases: Vec<(String, u16)> = vec![
        ("nonsense\r\n\r\n".into(), 400),
        ("GET /\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nbad field\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n".into(), 400),
        ("\0\u{1}\u{2}\u{3}\r\n\r\n".into(), 400),
        (request("/%"), 400),
        (request("/%4"), 400),
        (request("/%zz"), 400),
        (request("/a%00b"), 400),
        (request("relative"), 400),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n".into(), 505),
        ("GET / HTTP/1.2\r\nHost: x\r\n\r\n".into(), 505),
        ("POST / HTTP/1.1\r\nHost: x\r\n\r\n".into(), 405),
        ("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n".into(), 405),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".into(), 405),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".into(), 413),
        ("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), 413),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(100)), 431),
        (request(&format!("/{}", "a".repeat(5000))), 414),
    ];
    on_each(
        &[],
        |_| (),
        |server, _| {
            for (text, status) in &cases {
                let mut client = server.connect();
                client.send(text.as_bytes());
                let answer = client.answer();
                assert_eq!(answer.status, *status, "{text:?}");
                assert_eq!(answer.field("connection"), Some("close"), "{text:?}");
                assert_eq!(answer.field("allow"), (*status == 405).then_some("GET, HEAD"));
                client.at_end();
            }
        },
    );
}

#[test]
fn nothing_outside_the_root_is_served() {
    let fill = |root: &std::path::Path| {
        let outside = root.parent().unwrap();
        write(outside, "secret", b"secret");
        write(outside, "other/secret", b"secret");
        write(root, "inside", b"inside");
        write(root, "d/inside", b"inside");
        symlink("inside", root.join("good")).unwrap();
        symlink("../inside", root.join("d/up")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(outside.join("secret"), root.join("absolute")).unwrap();
        symlink("..", root.join("parent")).unwrap();
        symlink("/", root.join("slash")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
    };
    on_each(&[], fill, |server, root| {
        let outside = root.parent().unwrap().to_str().unwrap();
        let mut client = server.connect();
        for target in [
            "/../secret".to_owned(),
            "/d/../../secret".to_owned(),
            "/%2e%2e/secret".to_owned(),
            "/..%2fsecret".to_owned(),
            "/.%2e/.%2e/.%2e/etc/passwd".to_owned(),
            "/../root/inside".to_owned(),
            "/out".to_owned(),
            "/absolute".to_owned(),
            "/parent/secret".to_owned(),
            "/parent/root/inside".to_owned(),
            "/slash/etc/passwd".to_owned(),
            "/magic/etc/passwd".to_owned(),
            format!("/slash{outside}/secret"),
            "/loop".to_owned(),
        ] {
            client.send(request(&target).as_bytes());
            assert_eq!(client.answer().status, 403, "{target}");
        }
        for target in [format!("/{outside}/secret"), format!("//{outside}/secret"), "/nothing".into()] {
            client.send(request(&target).as_bytes());
            assert_eq!(client.answer().status, 404, "{target}");
        }
        for target in
            ["/inside", "/good", "/d/up", "/d/../inside", "/./inside", "//inside", "http://h/inside"]
        {
            client.send(request(target).as_bytes());
            assert_eq!(client.answer().body, b"inside", "{target}");
        }
    });
}

#[test]
fn only_files_are_served() {
    let fill = |root: &std::path::Path| {
        write(root, "d/index.html", b"index");
        std::fs::create_dir(root.join("a b")).unwrap();
        write(root, "f", b"f");
        let fifo = root.join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        drop(std::os::unix::net::UnixListener::bind(root.join("socket")));
    };
    on_each(&[], fill, |server, root| {
        assert_eq!(server.file("/d/").body, b"index");
        assert_eq!(server.file("/d/").field("content-type"), Some("text/html; charset=utf-8"));
        let moved = server.file("/d");
        assert_eq!((moved.status, moved.field("location")), (301, Some("/d/")));
        let moved = server.file("/a%20b?x");
        assert_eq!((moved.status, moved.field("location")), (301, Some("/a%20b/")));
        assert_eq!(server.file("/a%20b/").status, 404);
        assert_eq!(server.file("/f/").status, 404);
        assert_eq!(server.file("/f/x").status, 404);
        assert_eq!(server.file(&format!("/{}", "x".repeat(300))).status, 404);
        assert_eq!(server.file("/socket").status, 403);
        assert_eq!(server.file("/fifo").status, 403);
        assert_eq!(server.ask("HEAD /fifo HTTP/1.1\r\nHost: x\r\n\r\n").status, 403);
        assert_eq!(server.ask("HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n").status, 404);
        // One that somebody holds open to write, and writes nothing to.
        let writer = std::fs::OpenOptions::new().read(true).write(true).open(root.join("fifo")).unwrap();
        assert_eq!(server.ask("HEAD /fifo HTTP/1.1\r\nHost: x\r\n\r\n").status, 403);
        assert_eq!(server.file("/f").body, b"f");
        drop(writer);
    });
}

#[test]
fn connections_are_kept_and_ended_as_asked() {
    on_each(
        &[],
        |root| drop(write(root, "f", b"x")),
        |server, _| {
            let mut client = server.connect();
            for _ in 0..1000 {
                client.send(request("/f").as_bytes());
                assert_eq!(client.answer().field("connection"), None);
            }
            client.send(b"GET /f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /f HTTP/1.1\r\n");
            assert_eq!(client.answer().field("connection"), Some("close"));
            client.at_end();
            let mut client = server.connect();
            client.send(b"GET /f HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
            assert_eq!(client.answer().field("connection"), Some("keep-alive"));
            client.send(b"GET /f HTTP/1.0\r\n\r\n");
            assert_eq!(client.answer().field("connection"), Some("close"));
            client.at_end();
        },
    );
}

#[test]
fn clients_that_dawdle_are_left() {
    on_each(
        &["--idle-timeout", "0.3", "--head-timeout", "0.5", "--send-timeout", "0.5"],
        |root| drop(write(root, "f", &bytes(32 << 20))),
        |server, _| {
            let started = Instant::now();
            server.connect().at_end();
            assert!(started.elapsed() >= Duration::from_millis(300));
            // Bytes that keep coming do not make a head that takes too long any better.
            let started = Instant::now();
            let mut client = server.connect();
            client.send(b"GET /");
            let mut trickle = client.stream.try_clone().unwrap();
            let sender = std::thread::spawn(move || {
                while started.elapsed() < Duration::from_secs(3)
                    && std::io::Write::write_all(&mut trickle, b"a").is_ok()
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            assert_eq!(client.answer().status, 408);
            assert!(started.elapsed() >= Duration::from_millis(500));
            client.shut();
            drop(client);
            sender.join().unwrap();
            // One that asks and does not read: the rest never comes.
            let mut client = server.connect();
            client.send(request("/f").as_bytes());
            std::thread::sleep(Duration::from_secs(2));
            let mut got = 0;
            let mut room = vec![0; 1 << 16];
            while let Ok(length @ 1..) = std::io::Read::read(&mut client.stream, &mut room) {
                got += length;
            }
            assert!(got < 32 << 20, "{got}");
        },
    );
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    on_each(
        &[],
        |root| drop(write(root, "f", &bytes(8 << 20))),
        |server, _| {
            for round in 0..60 {
                let mut client = server.connect();
                match round % 4 {
                    0 => client.send(b"GET /f HTT"),
                    1 => client.send(request("/f").as_bytes()),
                    2 => {
                        client.send(request("/f").repeat(3).as_bytes());
                        client.head();
                    }
                    _ => {
                        // The end is a reset.
                        socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
                        client.send(request("/f").as_bytes());
                        client.head();
                    }
                }
            }
            assert_eq!(server.file("/f").body.len(), 8 << 20);
        },
    );
}

#[test]
fn connections_beyond_the_limit_wait() {
    on_each(
        &["--connections", "2"],
        |root| drop(write(root, "f", b"x")),
        |server, _| {
            let mut clients: Vec<Client> = (0..5).map(|_| server.connect()).collect();
            for client in &mut clients {
                client.send(request("/f").as_bytes());
            }
            for mut client in clients {
                assert_eq!(client.answer().body, b"x");
            }
        },
    );
}

#[test]
fn a_file_that_becomes_shorter_ends_the_connection() {
    let size = 16 << 20;
    on_each(
        &[],
        |_| (),
        |server, root| {
            let path = write(root, "f", &bytes(size));
            let mut client = server.connect();
            client.send(request("/f").as_bytes());
            let head = client.head();
            assert_eq!(head.field("content-length"), Some(size.to_string().as_str()));
            std::fs::write(&path, b"").unwrap();
            let mut got = 0;
            let mut room = vec![0; 1 << 16];
            while let Ok(length @ 1..) = std::io::Read::read(&mut client.stream, &mut room) {
                got += length;
            }
            assert!(got < size, "{got}");
        },
    );
}

#[test]
fn answers_under_way_are_finished_before_it_stops() {
    let size = 16 << 20;
    for folder in folders() {
        let root = folder.path().to_owned();
        write(&root, "f", &bytes(size));
        for backend in ["uring", "threads"] {
            let Some(server) = Server::start(&root, backend, &[]) else { continue };
            let mut idle = server.connect();
            idle.send(request("/nothing").as_bytes());
            assert_eq!(idle.answer().status, 404);
            let mut busy = server.connect();
            busy.send(request("/f").as_bytes());
            let head = busy.head();
            assert_eq!(head.status, 200);
            server.signal();
            idle.at_end();
            let mut got = Vec::new();
            std::io::Read::read_to_end(&mut busy.stream, &mut got).unwrap();
            assert!(got.len() <= size && bytes(size).ends_with(&got));
            drop(busy);
            let said = server.ended();
            assert!(said.contains("served 3 requests on 3 connections"), "{said}");
        }
    }
}

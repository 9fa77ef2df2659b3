//! Files come out as they are: whole, in parts, on one connection or many.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use support::{Client, bytes, on_each, write};

const SIZES: [usize; 10] = [0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, (1 << 20) + 3, 64 << 20];

fn get(target: &str, more: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n{more}\r\n").into_bytes()
}

#[test]
fn files_of_every_size_come_byte_for_byte() {
    let fill = |root: &std::path::Path| {
        for size in SIZES {
            write(root, &format!("f{size}"), &bytes(size));
        }
    };
    on_each(&[], fill, |server, _| {
        let mut client = server.connect();
        for size in SIZES {
            client.send(&get(&format!("/f{size}"), ""));
            let answer = client.answer();
            assert_eq!(answer.status, 200);
            assert!(answer.body == bytes(size), "{size} bytes differ");
            client.send(format!("HEAD /f{size} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
            let head = client.head();
            assert_eq!(head.field("content-length"), Some(size.to_string().as_str()));
            assert_eq!(head.field("etag"), answer.field("etag"));
            assert_eq!(head.field("last-modified"), answer.field("last-modified"));
        }
        client.shut();
        client.at_end();
    });
}

#[test]
fn parts_of_files_end_where_they_are_said_to() {
    let size = (1 << 20) + 3;
    let whole = bytes(size);
    on_each(
        &[],
        |root| {
            write(root, "f", &whole);
            write(root, "empty", b"");
        },
        |server, _| {
            let mut client = server.connect();
            let mut part = |range: &str, expected: Option<(usize, usize)>| {
                client.send(&get("/f", &format!("Range: bytes={range}\r\n")));
                let answer = client.answer();
                match expected {
                    Some((from, to)) => {
                        assert_eq!(answer.status, 206, "{range}");
                        assert!(answer.body == whole[from..to], "{range}");
                        let said = format!("bytes {from}-{}/{size}", to - 1);
                        assert_eq!(answer.field("content-range"), Some(said.as_str()));
                    }
                    None => {
                        assert_eq!(answer.status, 416, "{range}");
                        assert_eq!(answer.field("content-range"), Some(format!("bytes */{size}").as_str()));
                    }
                }
            };
            part("0-0", Some((0, 1)));
            part("0-", Some((0, size)));
            part("-1", Some((size - 1, size)));
            part("-99999999", Some((0, size)));
            part("1048578-", Some((1_048_578, size)));
            part("1048579-", None);
            part("1048579-1048580", None);
            part("-0", None);
            part("0-1048578", Some((0, size)));
            part("0-1048579", Some((0, size)));
            part("65535-65536", Some((65_535, 65_537)));
            part("1-65536", Some((1, 65_537)));
            part("1-65537", Some((1, 65_538)));
            part("1-196609", Some((1, 196_610)));
            part("18446744073709551615-", None);
            client.send(&get("/f", "Range: bytes=0-0,5-6\r\n"));
            assert_eq!(client.answer().status, 200, "of several ranges the whole is made");
            client.send(&get("/empty", "Range: bytes=0-\r\n"));
            assert_eq!(client.answer().status, 416);
            client.send(b"HEAD /f HTTP/1.1\r\nHost: x\r\nRange: bytes=5-9\r\n\r\n");
            let head = client.head();
            assert_eq!((head.status, head.field("content-length")), (206, Some("5")));
        },
    );
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    on_each(
        &[],
        |root| drop(write(root, "f.txt", b"text")),
        |server, root| {
            let first = server.file("/f.txt");
            assert_eq!(first.field("content-type"), Some("text/plain; charset=utf-8"));
            let (tag, date) = (first.field("etag").unwrap(), first.field("last-modified").unwrap());
            let mut client = server.connect();
            for field in [format!("If-None-Match: {tag}"), format!("If-Modified-Since: {date}")] {
                client.send(&get("/f.txt", &format!("{field}\r\n")));
                let answer = client.answer();
                assert_eq!((answer.status, answer.field("etag")), (304, Some(tag)));
            }
            client.send(&get("/f.txt", &format!("If-Range: {tag}\r\nRange: bytes=1-2\r\n")));
            assert_eq!(client.answer().body, b"ex");
            write(root, "f.txt", b"other text");
            client.send(&get("/f.txt", &format!("If-None-Match: {tag}\r\n")));
            assert_eq!(client.answer().body, b"other text");
            client.send(&get("/f.txt", &format!("If-Range: {tag}\r\nRange: bytes=1-2\r\n")));
            assert_eq!(client.answer().body, b"other text");
            write(root, "f.txt", b"text");
        },
    );
}

#[test]
fn requests_may_come_together_or_in_crumbs() {
    on_each(
        &[],
        |root| {
            for size in [1, 5000, 70_000] {
                write(root, &format!("f{size}"), &bytes(size));
            }
        },
        |server, _| {
            let mut client = server.connect();
            let mut together = Vec::new();
            for size in [1, 5000, 70_000].repeat(20) {
                together.extend(get(&format!("/f{size}"), ""));
            }
            let writer = client.stream.try_clone().unwrap();
            let sender = std::thread::spawn(move || (&writer).write_all(&together));
            for size in [1, 5000, 70_000].repeat(20) {
                assert!(client.answer().body == bytes(size));
            }
            sender.join().unwrap().unwrap();
            for byte in get("/f5000", "A: b\r\n") {
                client.send(&[byte]);
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(client.answer().body == bytes(5000));
            // The end of one and the beginning of the next.
            let two = [get("/f1", ""), get("/f5000", "")].concat();
            for cut in [10, 28, 30, 35, two.len() - 1] {
                client.send(&two[..cut]);
                std::thread::sleep(Duration::from_millis(5));
                client.send(&two[cut..]);
                assert!(client.answer().body == bytes(1));
                assert!(client.answer().body == bytes(5000));
            }
        },
    );
}

#[test]
fn a_client_that_stops_sending_is_answered() {
    on_each(
        &[],
        |root| drop(write(root, "f", &bytes(300_000))),
        |server, _| {
            let mut client = server.connect();
            client.send(&[get("/f", ""), get("/f", "")].concat());
            client.shut();
            for _ in 0..2 {
                assert!(client.answer().body == bytes(300_000));
            }
            client.at_end();
        },
    );
}

#[test]
fn a_slow_reader_gets_everything() {
    let size = 3 << 20;
    on_each(
        &[],
        |root| drop(write(root, "f", &bytes(size))),
        |server, _| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            socket.connect(&server.address.into()).unwrap();
            let mut stream: TcpStream = socket.into();
            stream.set_read_timeout(Some(support::BOUND)).unwrap();
            stream.write_all(&get("/f", "Connection: close\r\n")).unwrap();
            let mut got = Vec::new();
            let mut room = [0; 3000];
            loop {
                let length = stream.read(&mut room).unwrap();
                if length == 0 {
                    break;
                }
                got.extend_from_slice(&room[..length]);
                if got.len().is_multiple_of(50) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            let body = got.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            assert!(got[body..] == bytes(size));
        },
    );
}

#[test]
fn many_connections_are_served_at_once() {
    on_each(
        &[],
        |root| {
            for number in 0..10 {
                write(root, &format!("f{number}"), &bytes(number * 1000));
            }
        },
        |server, _| {
            let mut clients: Vec<Client> = (0..200).map(|_| server.connect()).collect();
            for round in 0..5 {
                for (number, client) in clients.iter_mut().enumerate() {
                    client.send(&get(&format!("/f{}", (number + round) % 10), ""));
                }
                for (number, client) in clients.iter_mut().enumerate() {
                    assert!(client.answer().body == bytes((number + round) % 10 * 1000));
                }
            }
        },
    );
}

#[test]
fn several_threads_share_a_port() {
    on_each(
        &["--threads", "3"],
        |root| drop(write(root, "f", b"x")),
        |server, _| {
            for _ in 0..50 {
                assert_eq!(server.file("/f").body, b"x");
            }
        },
    );
}

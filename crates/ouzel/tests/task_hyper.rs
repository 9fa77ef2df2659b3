//! A hyper server whose sockets are in a ring: the example, asked by a client that knows nothing of it, and by wrk.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

struct Server(Child, String);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The example, which cargo builds along with the tests.
fn server() -> Option<Server> {
    let test = std::env::current_exe().unwrap();
    let example = test.parent().unwrap().parent().unwrap().join("examples/hyper");
    if !example.exists() {
        println!("SKIPPED: the example is not built: cargo build --example hyper --features tokio");
        return None;
    }
    let mut child = Command::new(example).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("http://").unwrap().to_owned();
    Some(Server(child, address))
}

/// Asks `count` times over one connection.
fn ask(address: &str, name: &str, count: usize) {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for number in 0..count {
        let last = if number + 1 == count { "close" } else { "keep-alive" };
        write!(&stream, "GET /{name}/{number} HTTP/1.1\r\nhost: here\r\nconnection: {last}\r\n\r\n").unwrap();
        let (mut line, mut length) = (String::new(), 0);
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "HTTP/1.1 200 OK\r\n");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        assert_eq!(body, format!("you asked for /{name}/{number}\n").into_bytes());
    }
    let mut rest = Vec::new();
    assert_eq!(reader.read_to_end(&mut rest).unwrap(), 0, "it is closed as asked");
}

#[test]
fn hyper_serves_from_a_ring() {
    let Some(server) = server() else { return };
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let address = server.1.clone();
            std::thread::spawn(move || ask(&address, &format!("client{client}"), 100))
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn wrk_finds_no_errors() {
    let Some(server) = server() else { return };
    let wrk =
        Command::new("wrk").args(["-t1", "-c32", "-d2s"]).arg(format!("http://{}/wrk", server.1)).output();
    let Ok(output) = wrk else {
        println!("SKIPPED: wrk is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success() && said.contains("Requests/sec"));
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
}

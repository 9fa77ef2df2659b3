//! What the threads backend leaves behind: nothing. Alone in its process, since it counts descriptors and threads.
#![allow(clippy::unwrap_used)]

mod rig;

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ouzel_engine::Operation;
use ouzel_ring::modifiers::{OpenFlags, PollEvents};
use rig::*;

#[test]
fn a_drop_ends_everything_and_leaves_nothing() {
    let before = descriptors();
    for round in 0..20 {
        let mut rig = Rig::new();
        rig.good(Operation::Pipe { into: [1, 2] });
        rig.good(Operation::Socket { domain: 2, kind: 1, protocol: 0, into: 3 });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        rig.adopt(4, listener);
        let mut bytes = vec![[0u8; 8]; 50];
        for buffer in &mut bytes {
            rig.park(read(1, buffer, None));
        }
        rig.park(Operation::Poll { file: 1, events: PollEvents::IN, multishot: true });
        rig.park(Operation::Accept { socket: 4, address: None, into: 0, multishot: true });
        let _peer = TcpStream::connect(address).unwrap();
        let copy = Operation::Copy { source: 1, from: None, target: 2, to: None, length: 100 };
        rig.start(copy, true);
        let folders = Folder::each("drop");
        let name = folders[0].name("file");
        let flags = OpenFlags::WRITE | OpenFlags::CREATE;
        let open = Operation::Open { directory: None, path: name.path(), flags, mode: 0o600, into: 9 };
        rig.start(open, true);
        if round % 2 == 0 {
            std::thread::sleep(Duration::from_millis(2));
            rig.good(write(2, b"some", None));
        }
        let begin = Instant::now();
        drop(rig);
        assert!(begin.elapsed() < Duration::from_secs(30));
        let after = bytes.clone();
        std::thread::yield_now();
        assert_eq!(after, bytes, "nobody writes any more");
    }
    assert_eq!(descriptors(), before);
    // A thread that has been joined is still in the kernel's list for a moment.
    eventually("no thread is left", || threads("ouzel-") == 0);
}

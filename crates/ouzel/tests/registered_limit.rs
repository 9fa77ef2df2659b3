//! Memory of pools that may not be locked: a test of its own, since the limit is the process's.
#![allow(clippy::unwrap_used)]

mod task_support;

use ouzel::abi::{Descriptor, Errno};
use ouzel::pool::Pool;
use ouzel::{BackendKind, Buffer, Chain, Offset, Policy, Ring};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::set_thread_uid;
use task_support::*;

fn pipe(ring: &mut Ring) -> (Descriptor, Descriptor) {
    let mut chain = Chain::new();
    let (from, to) = chain.pipe();
    let (from, to) = (chain.get_descriptor(from), chain.get_descriptor(to));
    let done = ring.run(chain).unwrap();
    (done.get(from).unwrap(), done.get(to).unwrap())
}

#[test]
fn without_leave_to_lock_memory_everything_works() {
    if !backends().contains(&BackendKind::Uring) {
        return;
    }
    bounded("uring", || {
        // The limit is nothing to a privileged thread: this one, of its own, gives that up.
        if rustix::process::geteuid().is_root()
            && set_thread_uid(rustix::process::Uid::from_raw(65534)).is_err()
        {
            println!("SKIPPED: this thread cannot give up its privileges");
            return;
        }
        let before = getrlimit(Resource::Memlock);
        setrlimit(Resource::Memlock, Rlimit { current: Some(1 << 16), ..before }).unwrap();
        let pool = Pool::builder().region_size(1 << 16).build().unwrap();
        let mut ring = match builder(BackendKind::Uring).policy(Policy::Links).pool(&pool).build() {
            Ok(ring) => ring,
            Err(error) => {
                println!("SKIPPED: {error}");
                return;
            }
        };
        let (from, to) = pipe(&mut ring);
        let mut buffers: Vec<Buffer> = (0..4).map(|_| ring.buffer(1 << 16).unwrap()).collect();
        for buffer in &mut buffers {
            buffer.extend_from_slice(b"text");
        }
        for buffer in buffers {
            let mut chain = Chain::new();
            chain.write(to, buffer, Offset::CURRENT);
            let read = chain.read(from, Buffer::with_capacity(9), Offset::CURRENT);
            let (mut done, explained) = ring.explain(chain).unwrap();
            assert_eq!(done.take(read).as_deref(), Some(&b"text"[..]));
            assert!(explained.to_string().contains("raise RLIMIT_MEMLOCK"), "{explained}");
        }
        let memory = ring.registered_memory().unwrap();
        assert!(memory.regions <= 1, "{memory}");
        assert_eq!(memory.left_out, Some(Errno::ENOMEM));
        setrlimit(Resource::Memlock, before).unwrap();
    });
}

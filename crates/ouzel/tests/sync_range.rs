//! SYNC of a range writes that range and no more, on every backend that has a disk.
//!
//! What is dirty is asked of the kernel (`cachestat(2)`, Linux 6.5).

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::ffi::{c_int, c_long};
use std::fs::File;
use std::os::fd::AsRawFd;

use ouzel::{BackendKind, Chain, Ring};

const PART: u64 = 1 << 20;
const FAR: u64 = 8 << 20;
const CACHESTAT: c_long = 451;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// Pages of a megabyte from `offset` on that are dirty or being written, if the kernel can say.
fn unwritten(file: &File, offset: u64) -> Option<u64> {
    let range = [offset, PART];
    let mut pages = [0u64; 5];
    // SAFETY: cachestat(fd, range, result, flags) reads two words and writes five.
    let result = unsafe {
        syscall(CACHESTAT, file.as_raw_fd() as c_int, range.as_ptr(), pages.as_mut_ptr(), 0 as c_int)
    };
    (result == 0).then_some(pages[1] + pages[2])
}

fn dirty(file: &File) {
    use std::os::unix::fs::FileExt;
    let bytes = vec![7; PART as usize];
    file.write_all_at(&bytes, 0).unwrap();
    file.write_all_at(&bytes, FAR).unwrap();
}

#[test]
fn a_range_is_written_and_nothing_else() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("sync-range");
    for kind in [BackendKind::Uring, BackendKind::Threads] {
        let mut ring = match Ring::builder().backend(kind).build() {
            Ok(ring) => ring,
            Err(error) => {
                println!("SKIPPED: {error}");
                continue;
            }
        };
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        let adopted = ring.adopt(file.try_clone().unwrap()).unwrap();
        // The kernel may write back what it likes at any time, so it has some tries.
        let mut kept = false;
        for _ in 0..5 {
            dirty(&file);
            match unwritten(&file, FAR) {
                None => {
                    println!("SKIPPED: no cachestat(2), which came with Linux 6.5");
                    return;
                }
                Some(0) => {
                    println!("SKIPPED: this file system has no dirty pages");
                    return;
                }
                Some(_) => {}
            }
            let mut chain = Chain::new();
            chain.sync_range(adopted, 0u64, PART);
            ring.run(chain).unwrap().check().unwrap();
            assert_eq!(unwritten(&file, 0), Some(0), "{}: the range is not written", kind.name());
            kept |= unwritten(&file, FAR) > Some(0);
            if kept {
                break;
            }
        }
        assert!(kept, "{}: more was written than was asked for", kind.name());
    }
    std::fs::remove_file(&path).unwrap();
}

//! `raw-nop` and `raw-read` through the io-uring crate. The queues are borrowed once per batch, as its documentation
//! advises.

use std::error::Error;
use std::os::fd::AsRawFd as _;

use io_uring::squeue::Entry;
use io_uring::types::{Fd, Fixed};
use io_uring::{IoUring, opcode};
use raw_ring_task::{Access, BLOCK_BYTES, Contender, ENTRIES, Mode, NopTask, ReadTask};

#[global_allocator]
static ALLOCATOR: contender::CountingAllocator = contender::CountingAllocator;

struct Peer(IoUring);

impl Contender for Peer {
    const SETTING: &str = "submission().push, submit_and_wait, completion()";

    fn open(mode: Mode) -> Result<Self, Box<dyn Error>> {
        let mut builder = IoUring::builder();
        if mode == Mode::Deferred {
            builder.setup_single_issuer().setup_defer_taskrun();
        }
        Ok(Peer(builder.build(ENTRIES)?))
    }

    fn register(&mut self, task: &ReadTask) -> Result<(), Box<dyn Error>> {
        if task.access != Access::Plain {
            self.0.submitter().register_files(&[task.file.as_raw_fd()])?;
        }
        if task.access == Access::Buffer {
            let vector = |number| libc::iovec {
                iov_base: task.buffers.start().wrapping_add(number * BLOCK_BYTES).cast(),
                iov_len: BLOCK_BYTES,
            };
            let vectors: Vec<libc::iovec> = (0..task.buffers.count()).map(vector).collect();
            // SAFETY: the buffers are the task's, which outlives the ring.
            unsafe { self.0.submitter().register_buffers(&vectors) }?;
        }
        Ok(())
    }

    fn nops(&mut self, task: &NopTask) -> Result<u64, Box<dyn Error>> {
        let mut sum = 0;
        for _ in 0..task.batches {
            let mut queue = self.0.submission();
            for number in 0..u64::from(task.batch) {
                // SAFETY: NOP names no memory.
                unsafe { queue.push(&opcode::Nop::new().build().user_data(number)) }?;
            }
            drop(queue);
            self.0.submit_and_wait(task.batch as usize)?;
            let mut seen = 0;
            for completion in self.0.completion() {
                if completion.result() != 0 {
                    return Err("a NOP failed".into());
                }
                sum += completion.user_data();
                seen += 1;
            }
            if seen != task.batch {
                return Err("completions are missing".into());
            }
        }
        Ok(sum)
    }

    fn reads(&mut self, task: &ReadTask) -> Result<u64, Box<dyn Error>> {
        let (fd, length) = (Fd(task.file.as_raw_fd()), BLOCK_BYTES as u32);
        match task.access {
            Access::Plain => self
                .pass(task, |buffer, offset, _| opcode::Read::new(fd, buffer, length).offset(offset).build()),
            Access::File => self.pass(task, |buffer, offset, _| {
                opcode::Read::new(Fixed(0), buffer, length).offset(offset).build()
            }),
            Access::Buffer => self.pass(task, |buffer, offset, number| {
                opcode::ReadFixed::new(Fixed(0), buffer, length, number as u16).offset(offset).build()
            }),
        }
    }
}

impl Peer {
    /// Reads with the entries that `entry` makes out of buffer, offset and the buffer's number.
    #[inline(always)]
    fn pass(
        &mut self,
        task: &ReadTask,
        entry: impl Fn(*mut u8, u64, usize) -> Entry,
    ) -> Result<u64, Box<dyn Error>> {
        let start = task.buffers.start();
        let mut sum = 0u64;
        for offsets in task.offsets.chunks_exact(task.depth) {
            let mut queue = self.0.submission();
            for (number, offset) in offsets.iter().enumerate() {
                let buffer = start.wrapping_add(number * BLOCK_BYTES);
                // SAFETY: the buffer is the task's, which outlives the ring, and nobody looks at it before the
                // completion; numbers stay below the depth, which is the number of buffers.
                unsafe { queue.push(&entry(buffer, *offset, number).user_data(number as u64)) }?;
            }
            drop(queue);
            self.0.submit_and_wait(task.depth)?;
            let mut seen = 0;
            for completion in self.0.completion() {
                if completion.result() != BLOCK_BYTES as i32 {
                    return Err("a read failed or was short".into());
                }
                sum = sum.wrapping_add(task.buffers.word(completion.user_data()).ok_or("no such buffer")?);
                seen += 1;
            }
            if seen != task.depth {
                return Err("completions are missing".into());
            }
        }
        Ok(sum)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    raw_ring_task::run::<Peer>()
}

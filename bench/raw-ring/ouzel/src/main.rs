//! `raw-nop` and `raw-read` through ouzel-uring.

use std::error::Error;
use std::os::fd::{AsFd as _, AsRawFd as _};

use ouzel_uring::abi::{Iovec, SetupFlags};
use ouzel_uring::{Builder, Ring, Slot, SlotUpdate, Sqe};
use raw_ring_task::{Access, BLOCK_BYTES, Contender, ENTRIES, Mode, NopTask, ReadTask};

#[global_allocator]
static ALLOCATOR: contender::CountingAllocator = contender::CountingAllocator;

struct Ouzel(Ring);

impl Contender for Ouzel {
    const SETTING: &str = "push, submit_and_wait, completions";

    fn open(mode: Mode) -> Result<Self, Box<dyn Error>> {
        let flags = match mode {
            Mode::Default => SetupFlags::empty(),
            Mode::Deferred => SetupFlags::SINGLE_ISSUER | SetupFlags::DEFER_TASKRUN,
        };
        Ok(Ouzel(Builder::new(ENTRIES).flags(flags).build()?))
    }

    fn register(&mut self, task: &ReadTask) -> Result<(), Box<dyn Error>> {
        if task.access != Access::Plain {
            self.0.register_files(&[SlotUpdate::file(task.file.as_fd())])?;
        }
        if task.access == Access::Buffer {
            let vector = |number| Iovec {
                base: task.buffers.start().wrapping_add(number * BLOCK_BYTES).expose_provenance() as u64,
                length: BLOCK_BYTES as u64,
            };
            let vectors: Vec<Iovec> = (0..task.buffers.count()).map(vector).collect();
            self.0.register_buffers(&vectors)?;
        }
        Ok(())
    }

    fn nops(&mut self, task: &NopTask) -> Result<u64, Box<dyn Error>> {
        let mut sum = 0;
        for _ in 0..task.batches {
            for number in 0..u64::from(task.batch) {
                // SAFETY: NOP names no memory.
                unsafe { self.0.push(&Sqe::nop().user_data(number)) }?;
            }
            self.0.submit_and_wait(task.batch, None)?;
            let mut seen = 0;
            for completion in self.0.completions() {
                if completion.res != 0 {
                    return Err("a NOP failed".into());
                }
                sum += completion.user_data;
                seen += 1;
            }
            if seen != task.batch {
                return Err("completions are missing".into());
            }
        }
        Ok(sum)
    }

    fn reads(&mut self, task: &ReadTask) -> Result<u64, Box<dyn Error>> {
        let (fd, length) = (task.file.as_raw_fd(), BLOCK_BYTES as u32);
        match task.access {
            Access::Plain => self.pass(task, |buffer, offset, _| Sqe::read(fd, buffer, length, offset)),
            Access::File => self.pass(task, |buffer, offset, _| Sqe::read(Slot(0), buffer, length, offset)),
            Access::Buffer => self.pass(task, |buffer, offset, number| {
                Sqe::read_fixed(Slot(0), buffer, length, offset, number as u16)
            }),
        }
    }
}

impl Ouzel {
    /// Reads with the entries that `entry` makes out of buffer, offset and the buffer's number.
    #[inline(always)]
    fn pass(
        &mut self,
        task: &ReadTask,
        entry: impl Fn(*mut u8, u64, usize) -> Sqe,
    ) -> Result<u64, Box<dyn Error>> {
        let start = task.buffers.start();
        let mut sum = 0u64;
        for offsets in task.offsets.chunks_exact(task.depth) {
            for (number, offset) in offsets.iter().enumerate() {
                let buffer = start.wrapping_add(number * BLOCK_BYTES);
                // SAFETY: the buffer is the task's, which outlives the ring, and nobody looks at it before the
                // completion; numbers stay below the depth, which is the number of buffers.
                unsafe { self.0.push(&entry(buffer, *offset, number).user_data(number as u64)) }?;
            }
            self.0.submit_and_wait(task.depth as u32, None)?;
            let mut seen = 0;
            for completion in self.0.completions() {
                if completion.res != BLOCK_BYTES as i32 {
                    return Err("a read failed or was short".into());
                }
                sum = sum.wrapping_add(task.buffers.word(completion.user_data).ok_or("no such buffer")?);
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
    raw_ring_task::run::<Ouzel>()
}

//! The contenders. Each holds so many buffers at once, gets each anew in turn, and touches one byte of it.

use std::alloc::Layout;
use std::collections::VecDeque;
use std::error::Error;
use std::hint::black_box;
use std::ptr::NonNull;

use crossbeam_queue::ArrayQueue;
use ouzel_pool::{Pool, Slice};

/// Something that hands out buffers.
pub trait Contender {
    /// Gives the oldest buffer back and gets another, `operations` times.
    fn run(&mut self, operations: u64) -> Result<(), Box<dyn Error>>;
}

/// Sets a contender up for buffers of `length` bytes, of which `held` are in use all the time.
pub type Open = fn(length: usize, held: usize) -> Result<Box<dyn Contender>, Box<dyn Error>>;

/// All of them by name, in the order of a round.
pub fn all() -> Vec<(&'static str, Open)> {
    vec![
        ("ouzel-pool", OuzelPool::open),
        ("malloc", Malloc::open),
        ("calloc", |length, held| Ok(Box::new(Vectors(length, VecDeque::with_capacity(held + 1), held)))),
        ("array-queue", Queue::open),
    ]
}

/// `Pool::get`, and the drop of a `Slice`.
struct OuzelPool {
    pool: Pool,
    length: usize,
    held: VecDeque<Slice>,
}

impl OuzelPool {
    fn open(length: usize, held: usize) -> Result<Box<dyn Contender>, Box<dyn Error>> {
        let pool = Pool::builder().build()?;
        let mut slices = VecDeque::with_capacity(held + 1);
        for _ in 0..held {
            slices.push_back(pool.get(length)?);
        }
        Ok(Box::new(OuzelPool { pool, length, held: slices }))
    }
}

impl Contender for OuzelPool {
    fn run(&mut self, operations: u64) -> Result<(), Box<dyn Error>> {
        for number in 0..operations {
            drop(self.held.pop_front());
            let mut slice = self.pool.get(black_box(self.length))?;
            slice[0] = number as u8;
            self.held.push_back(slice);
        }
        Ok(())
    }
}

/// Memory of the allocator; freed when dropped. What is in it is undefined, unlike a slice's.
struct Raw(NonNull<u8>, Layout);

impl Raw {
    fn new(length: usize) -> Result<Raw, Box<dyn Error>> {
        let layout = Layout::from_size_align(length.max(1), 1)?;
        // SAFETY: not empty.
        let start = unsafe { std::alloc::alloc(layout) };
        Ok(Raw(NonNull::new(start).ok_or("no memory")?, layout))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { std::alloc::dealloc(self.0.as_ptr(), self.1) };
    }
}

/// malloc and free.
struct Malloc(usize, VecDeque<Raw>);

impl Malloc {
    fn open(length: usize, held: usize) -> Result<Box<dyn Contender>, Box<dyn Error>> {
        let mut buffers = VecDeque::with_capacity(held + 1);
        for _ in 0..held {
            buffers.push_back(Raw::new(length)?);
        }
        Ok(Box::new(Malloc(length, buffers)))
    }
}

impl Contender for Malloc {
    fn run(&mut self, operations: u64) -> Result<(), Box<dyn Error>> {
        for number in 0..operations {
            drop(self.1.pop_front());
            let buffer = Raw::new(black_box(self.0))?;
            // SAFETY: one byte at least.
            unsafe { buffer.0.as_ptr().write(number as u8) };
            self.1.push_back(black_box(buffer));
        }
        Ok(())
    }
}

/// `vec![0; length]` and its drop: initialised memory without unsafe code.
struct Vectors(usize, VecDeque<Vec<u8>>, usize);

impl Contender for Vectors {
    fn run(&mut self, operations: u64) -> Result<(), Box<dyn Error>> {
        while self.1.len() < self.2 {
            self.1.push_back(vec![0; self.0]);
        }
        for number in 0..operations {
            drop(self.1.pop_front());
            let mut buffer = vec![0; black_box(self.0)];
            buffer[0] = number as u8;
            self.1.push_back(black_box(buffer));
        }
        Ok(())
    }
}

/// Boxes of one size in a queue that threads may share: the least that a pool for several threads does.
struct Queue {
    free: ArrayQueue<Box<[u8]>>,
    held: VecDeque<Box<[u8]>>,
}

impl Queue {
    fn open(length: usize, held: usize) -> Result<Box<dyn Contender>, Box<dyn Error>> {
        let mut buffers = VecDeque::with_capacity(held + 1);
        for _ in 0..held {
            buffers.push_back(vec![0; length].into_boxed_slice());
        }
        Ok(Box::new(Queue { free: ArrayQueue::new(256), held: buffers }))
    }
}

impl Contender for Queue {
    fn run(&mut self, operations: u64) -> Result<(), Box<dyn Error>> {
        for number in 0..operations {
            if let Some(buffer) = self.held.pop_front() {
                self.free.push(buffer).map_err(|_| "the queue is full")?;
            }
            let mut buffer = self.free.pop().ok_or("the queue is empty")?;
            buffer[0] = number as u8;
            self.held.push_back(buffer);
        }
        Ok(())
    }
}

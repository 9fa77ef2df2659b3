//! The contenders. Each holds so many buffers at once, gets each anew in turn, and touches one byte of it.

use std::alloc::Layout;
use std::error::Error;
use std::hint::black_box;
use std::ptr::NonNull;

use crossbeam_queue::ArrayQueue;
use ouzel_pool::{Pool, Slice};
use slab::Slab;

/// Something that hands out buffers.
pub trait Contender {
    /// Gives the oldest buffer back and gets another, `operations` times.
    fn run(&mut self, operations: u64) -> Result<(), Box<dyn Error>>;
}

/// Sets a contender up for buffers of `length` bytes, of which `held` are in use all the time.
pub type Open = fn(length: usize, held: usize) -> Result<Box<dyn Contender>, Box<dyn Error>>;

/// What is held: so many places, taken in turn. Cheap, so that little of what is measured is its own.
struct Held<T> {
    places: Vec<Option<T>>,
    next: usize,
}

impl<T> Held<T> {
    fn new(
        held: usize,
        mut get: impl FnMut() -> Result<T, Box<dyn Error>>,
    ) -> Result<Held<T>, Box<dyn Error>> {
        let places = (0..held).map(|_| get().map(Some)).collect::<Result<_, _>>()?;
        Ok(Held { places, next: 0 })
    }

    /// The place of the oldest.
    fn place(&mut self) -> &mut Option<T> {
        let at = self.next;
        self.next = if at + 1 == self.places.len() { 0 } else { at + 1 };
        &mut self.places[at]
    }
}

/// All of them by name, in the order of a round.
pub fn all() -> Vec<(&'static str, Open)> {
    vec![
        ("ouzel-pool", OuzelPool::open),
        ("malloc", Malloc::open),
        ("calloc", Vectors::open),
        ("array-queue", Queue::open),
        ("slab", Slots::open),
        ("sharded-slab", Shards::open),
    ]
}

/// `Pool::get`, and the drop of a `Slice`.
struct OuzelPool {
    pool: Pool,
    length: usize,
    held: Held<Slice>,
}

impl OuzelPool {
    fn open(length: usize, held: usize) -> Result<Box<dyn Contender>, Box<dyn Error>> {
        let pool = Pool::builder().build()?;
        let held = Held::new(held, || Ok(pool.get(length)?))?;
        Ok(Box::new(OuzelPool { pool, length, held }))
    }
}

impl Contender for OuzelPool {
    fn run(&mut self, operations: u64) -> Result<(), Box<dyn Error>> {
        for number in 0..operations {
            let place = self.held.place();
            *place = None;
            let mut slice = self.pool.get(black_box(self.length))?;
            slice[0] = number as u8;
            *place = Some(slice);
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
struct Malloc(usize, Held<Raw>);

impl Malloc {
    fn open(length: usize, held: usize) -> Result<Box<dyn Contender>, Box<dyn Error>> {
        Ok(Box::new(Malloc(length, Held::new(held, || Raw::new(length))?)))
    }
}

impl Contender for Malloc {
    fn run(&mut self, operations: u64) -> Result<(), Box<dyn Error>> {
        for number in 0..operations {
            let place = self.1.place();
            *place = None;
            let buffer = Raw::new(black_box(self.0))?;
            // SAFETY: one byte at least.
            unsafe { buffer.0.as_ptr().write(number as u8) };
            *place = Some(buffer);
        }
        Ok(())
    }
}

/// `vec![0; length]` and its drop: initialised memory without unsafe code.
struct Vectors(usize, Held<Vec<u8>>);

impl Vectors {
    fn open(length: usize, held: usize) -> Result<Box<dyn Contender>, Box<dyn Error>> {
        Ok(Box::new(Vectors(length, Held::new(held, || Ok(vec![0; length]))?)))
    }
}

impl Contender for Vectors {
    fn run(&mut self, operations: u64) -> Result<(), Box<dyn Error>> {
        for number in 0..operations {
            let place = self.1.place();
            *place = None;
            let mut buffer = vec![0; black_box(self.0)];
            buffer[0] = number as u8;
            *place = Some(buffer);
        }
        Ok(())
    }
}

/// Boxes of one size in a queue that threads may share: the least that a pool for several threads does.
struct Queue {
    free: ArrayQueue<Box<[u8]>>,
    held: Held<Box<[u8]>>,
}

impl Queue {
    fn open(length: usize, held: usize) -> Result<Box<dyn Contender>, Box<dyn Error>> {
        let held = Held::new(held, || Ok(vec![0; length].into_boxed_slice()))?;
        Ok(Box::new(Queue { free: ArrayQueue::new(256), held }))
    }
}

impl Contender for Queue {
    fn run(&mut self, operations: u64) -> Result<(), Box<dyn Error>> {
        for number in 0..operations {
            let place = self.held.place();
            if let Some(buffer) = place.take() {
                self.free.push(buffer).map_err(|_| "the queue is full")?;
            }
            let mut buffer = self.free.pop().ok_or("the queue is empty")?;
            buffer[0] = number as u8;
            *place = Some(buffer);
        }
        Ok(())
    }
}

/// Boxes of one size, those that are held in a `Slab` and the others in a stack: what a program on one thread does by
/// hand that names its buffers by number.
struct Slots {
    free: Vec<Box<[u8]>>,
    used: Slab<Box<[u8]>>,
    held: Held<usize>,
}

impl Slots {
    fn open(length: usize, held: usize) -> Result<Box<dyn Contender>, Box<dyn Error>> {
        let mut used = Slab::with_capacity(256);
        let held = Held::new(held, || Ok(used.insert(vec![0; length].into_boxed_slice())))?;
        Ok(Box::new(Slots { free: Vec::with_capacity(256), used, held }))
    }
}

impl Contender for Slots {
    fn run(&mut self, operations: u64) -> Result<(), Box<dyn Error>> {
        for number in 0..operations {
            let place = self.held.place();
            if let Some(key) = place.take() {
                self.free.push(self.used.remove(key));
            }
            let mut buffer = self.free.pop().ok_or("the stack is empty")?;
            buffer[0] = number as u8;
            *place = Some(self.used.insert(buffer));
        }
        Ok(())
    }
}

/// A buffer that stays as it is when it is given back.
#[derive(Default)]
struct Kept(Box<[u8]>);

impl sharded_slab::Clear for Kept {
    fn clear(&mut self) {}
}

/// `sharded_slab::Pool`, for several threads; a buffer is made by the first that gets one in its place.
struct Shards {
    pool: sharded_slab::Pool<Kept>,
    length: usize,
    held: Held<usize>,
}

impl Shards {
    fn open(length: usize, held: usize) -> Result<Box<dyn Contender>, Box<dyn Error>> {
        let pool = sharded_slab::Pool::new();
        let held = Held::new(held, || Shards::take(&pool, length, 0))?;
        Ok(Box::new(Shards { pool, length, held }))
    }

    fn take(pool: &sharded_slab::Pool<Kept>, length: usize, number: u64) -> Result<usize, Box<dyn Error>> {
        let key = pool.create_with(|buffer| {
            if buffer.0.is_empty() {
                buffer.0 = vec![0; length].into_boxed_slice();
            }
            buffer.0[0] = number as u8;
        });
        Ok(key.ok_or("the pool is full")?)
    }
}

impl Contender for Shards {
    fn run(&mut self, operations: u64) -> Result<(), Box<dyn Error>> {
        for number in 0..operations {
            let place = self.held.place();
            if let Some(key) = place.take() {
                self.pool.clear(key);
            }
            *place = Some(Shards::take(&self.pool, self.length, number)?);
        }
        Ok(())
    }
}

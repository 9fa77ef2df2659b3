//! The contenders. Each keeps its queue between runs; none allocates while it runs.

use std::error::Error;
use std::hint::black_box;

use io_uring::IoUring;
use ouzel::abi::{Entry, Verb};
use ouzel::{BackendKind, RawRing, Ring};
use rtrb::{Consumer, Producer, RingBuffer};

/// Room of every queue, in entries.
const ENTRIES: usize = 256;

/// Something that takes operations in batches.
pub trait Contender {
    /// Makes `batches` times `batch` operations: a batch in, then a batch out.
    fn run(&mut self, batches: u64, batch: u64) -> Result<(), Box<dyn Error>>;
}

/// Sets a contender up.
pub type Open = fn() -> Result<Box<dyn Contender>, Box<dyn Error>>;

/// All of them by name, in the order of a round.
pub fn all() -> Vec<(&'static str, Open)> {
    vec![
        ("ouzel", Ouzel::open),
        ("rtrb-u64", || Ok(Box::new(Queue::<u64>::new()))),
        ("rtrb-64-bytes", || Ok(Box::new(Queue::<[u64; 8]>::new()))),
        ("io-uring", Kernel::open),
        ("getppid", || Ok(Box::new(SystemCall))),
    ]
}

/// Entries of 64 bytes in, engine, completions of 32 bytes out.
struct Ouzel(RawRing);

impl Ouzel {
    fn open() -> Result<Box<dyn Contender>, Box<dyn Error>> {
        Ok(Box::new(Ouzel(Ring::builder().entries(ENTRIES as u64).backend(BackendKind::Sim).build_raw()?)))
    }
}

impl Contender for Ouzel {
    fn run(&mut self, batches: u64, batch: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..batches {
            for number in 0..batch {
                // SAFETY: NOP names no memory.
                unsafe { self.0.push(&Entry::new(Verb::Nop).data(number)) }?;
            }
            self.0.enter(u32::MAX, 0, None)?;
            for number in 0..batch {
                let completion = self.0.pop().ok_or("a completion is missing")?;
                if completion.data != number || completion.error != 0 {
                    return Err("a wrong completion".into());
                }
            }
        }
        Ok(())
    }
}

/// What goes through a plain queue. It is made and looked at in place: passing 64 bytes through a black box would copy
/// them once more, which costs more than the queue.
trait Item {
    fn make(number: u64) -> Self;
    fn number(&self) -> u64;
}

impl Item for u64 {
    fn make(number: u64) -> u64 {
        number
    }

    fn number(&self) -> u64 {
        *self
    }
}

impl Item for [u64; 8] {
    fn make(number: u64) -> [u64; 8] {
        [number; 8]
    }

    fn number(&self) -> u64 {
        self[0] ^ self[1] ^ self[2] ^ self[3] ^ self[4] ^ self[5] ^ self[6]
    }
}

/// A queue with one producer and one consumer: what moving an item in and out costs at the least.
struct Queue<T> {
    producer: Producer<T>,
    consumer: Consumer<T>,
}

impl<T> Queue<T> {
    fn new() -> Queue<T> {
        let (producer, consumer) = RingBuffer::new(ENTRIES);
        Queue { producer, consumer }
    }
}

impl<T: Item> Contender for Queue<T> {
    fn run(&mut self, batches: u64, batch: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..batches {
            for number in 0..batch {
                self.producer.push(T::make(black_box(number))).map_err(|_| "the queue is full")?;
            }
            for number in 0..batch {
                let item = self.consumer.pop().map_err(|_| "the queue is empty")?;
                if item.number() != number {
                    return Err("a wrong item".into());
                }
            }
        }
        Ok(())
    }
}

/// The kernel's ring in the modes that are fastest from one thread.
struct Kernel(IoUring);

impl Kernel {
    fn open() -> Result<Box<dyn Contender>, Box<dyn Error>> {
        let ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(ENTRIES as u32)?;
        Ok(Box::new(Kernel(ring)))
    }
}

impl Contender for Kernel {
    fn run(&mut self, batches: u64, batch: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..batches {
            let mut queue = self.0.submission();
            for number in 0..batch {
                let entry = io_uring::opcode::Nop::new().build().user_data(number);
                // SAFETY: NOP names no memory.
                unsafe { queue.push(&entry) }?;
            }
            drop(queue);
            self.0.submit_and_wait(batch as usize)?;
            let mut queue = self.0.completion();
            for _ in 0..batch {
                let completion = queue.next().ok_or("a completion is missing")?;
                if completion.result() != 0 {
                    return Err("a wrong completion".into());
                }
            }
        }
        Ok(())
    }
}

/// The cheapest system call there is: the crossing alone.
struct SystemCall;

impl Contender for SystemCall {
    fn run(&mut self, batches: u64, batch: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..batches * batch {
            black_box(rustix::process::getppid());
        }
        Ok(())
    }
}

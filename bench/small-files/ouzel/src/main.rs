//! Ouzel through its typed interface: chains of open, read and close, so many submitted and then waited for together,
//! with the memory of finished chains and their buffers used again.

use std::sync::Arc;

use contender::{BUFFER_BYTES, CountingAllocator, Tally, Task, serve_with};
use ouzel::{BackendKind, Buffer, Chain, Offset, OpenOptions, Policy, Reg, Ring};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// A chain and its buffer, ready to be used again.
type Parts = (Chain, Buffer);

struct State {
    ring: Ring,
    spare: Vec<Parts>,
    /// The results of the reads of chains in flight, in the places that their tickets name.
    flying: Vec<Option<Reg<usize>>>,
}

impl std::fmt::Display for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Ring, Chain; backend: {}", self.ring.backend())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    serve_with(set_up, pass)
}

fn set_up(task: &Task) -> Result<State, Box<dyn std::error::Error>> {
    let mut builder = Ring::builder();
    // For comparisons of Ouzel with itself; the harness leaves the choice to Ouzel.
    match std::env::var("OUZEL_BENCH_BACKEND").as_deref() {
        Ok("uring") => builder = builder.backend(BackendKind::Uring),
        Ok("threads") => builder = builder.backend(BackendKind::Threads),
        Ok(other) => return Err(format!("OUZEL_BENCH_BACKEND={other}: say uring or threads").into()),
        Err(_) => {}
    }
    match std::env::var("OUZEL_BENCH_POLICY").as_deref() {
        Ok("auto") | Err(_) => {}
        Ok("links") => builder = builder.policy(Policy::Links),
        Ok("calls") => builder = builder.policy(Policy::Calls),
        Ok(other) => return Err(format!("OUZEL_BENCH_POLICY={other}: say auto, links or calls").into()),
    }
    let ring = builder.build()?;
    if ring.backend().backend == BackendKind::Sim {
        return Err("this build of Ouzel has no backend that reaches real files".into());
    }
    let spare = (0..task.in_flight).map(|_| (Chain::new(), Buffer::with_capacity(BUFFER_BYTES))).collect();
    Ok(State { ring, spare, flying: vec![None; task.in_flight] })
}

fn pass(state: &mut State, task: &Arc<Task>) -> Result<Tally, Box<dyn std::error::Error>> {
    let State { ring, spare, flying } = state;
    let mut tally = Tally::default();
    for paths in task.paths.chunks(task.in_flight) {
        for path in paths {
            let (mut chain, mut buffer) = spare.pop().ok_or("a chain did not come back")?;
            if task.allocate {
                buffer = Buffer::with_capacity(BUFFER_BYTES);
            }
            buffer.clear();
            let file = chain.open(path, OpenOptions::read());
            let length = chain.read(file, buffer, Offset::START);
            chain.finally().close(file);
            let ticket = ring.submit(chain)?;
            *flying.get_mut(ticket.index()).ok_or("more chains in flight than there should be")? =
                Some(length);
        }
        ring.wait_all()?;
        while let Some((ticket, mut done)) = ring.wait_any()? {
            let length = flying.get_mut(ticket.index()).and_then(Option::take).ok_or("an unknown ticket")?;
            done.check()?;
            let buffer = done.take(length).ok_or("the buffer did not come back")?;
            tally.add(buffer.as_slice());
            spare.push((done.into_chain(), buffer));
        }
    }
    Ok(tally)
}

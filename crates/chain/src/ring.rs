//! For those who run chains: laying them out into entries, delivering completions to them, and making what came of them.
//!
//! A ring does four things with a chain. It makes a [`Layout`] of its [`body`], and with that the entries; it pushes these,
//! and keeps the chain as a [`Running`] one, for it owns the memory that they name in region 0, the address space that it was
//! built in; it [delivers](Running::deliver) the completions as they come; and when as many have come as the layout
//! [announced](Layout::announced), it turns the chain into what came of it, a [`Done`].
//!
//! ```
//! use ouzel_chain::ring::{self, Layout, Running};
//! use ouzel_chain::{Chain, Done};
//! use ouzel_ring::Completion;
//!
//! let mut chain = Chain::new();
//! let five = chain.get(5u64);
//! let layout = Layout::new(ring::body(&chain))?;
//! let entries: Vec<_> = layout.entries(ring::body(&chain), u64::from).collect();
//! // … they are pushed, the ring is entered, and there is a completion:
//! let completion = Completion { op: entries[0].op, error: 0, data: 0, result: 5, flags: 0, extra: 0 };
//! let mut running = Running::new(chain, layout.unsilenced());
//! // SAFETY: its step fills no memory.
//! let announced = unsafe { running.deliver(completion.data as u16, completion) };
//! assert_eq!((u32::from(announced), layout.announced()), (1, 1));
//! let done: Done = running.into_done();
//! assert_eq!(done.get(five)?, 5);
//! # Ok::<(), ouzel_chain::Error>(())
//! ```
//!
//! A ring that stores programs keeps the [`description`] of each as long as a call of it may run; one that has groups of
//! buffers is the [`Group`] behind each handle.

use alloc::sync::Arc;
use core::any::Any;

use ouzel_engine::{Program as Verified, Rejection};
use ouzel_ring::Completion;

pub use crate::chain::{Body, Layout, Layouts, Memory, Running, Step, readdress};
pub use crate::group::Group;
pub use crate::program::{Description, Parameter};
use crate::{BufferGroup, Chain, Done, Picked, Program, ProgramId, Stored};

/// What a chain holds.
#[inline]
pub fn body(chain: &Chain) -> &Body {
    &chain.body
}

/// What a chain that has run holds.
#[inline]
pub fn ran<E>(done: &Done<E>) -> &Body {
    &done.chain.body
}

/// A chain that was not run, as what came of it: its buffers can be taken, and its memory used again.
pub fn not_run<E>(chain: Chain) -> Done<E> {
    Done::of(chain)
}

/// The next of the completions of a multishot step that nobody has taken.
pub fn next_completion<E>(done: &mut Done<E>) -> Option<Completion> {
    done.chain.body.many.pop_front()
}

/// The next of the buffers that a step has picked.
pub fn next_picked<E>(done: &mut Done<E>, step: usize) -> Option<Picked> {
    done.chain.body.next_picked(step)
}

/// What the engine is to store of a program.
///
/// # Safety
///
/// Its entries name memory of the [`description`], which is kept from when this is stored until it has been forgotten and
/// no call of it runs.
pub unsafe fn verified<T, E>(program: &Program<T, E>) -> &Verified {
    &program.verified
}

/// The memory that a program's entries name, and what its callers have to know.
pub fn description<T, E>(program: &Program<T, E>) -> &Arc<Description> {
    &program.description
}

/// The program for a ring in another process to store: its constants go with it.
///
/// Errors: what only a program in the same process can do (vectored transfers, SENDMSG and RECVMSG with constants).
pub fn portable<T, E>(program: &Program<T, E>) -> Result<Verified, Rejection> {
    crate::program::portable(program)
}

/// A program that the ring with this number has under this number of its own.
///
/// # Safety
///
/// It is the program that is described: calls of it keep this description's memory and no other's.
pub unsafe fn stored<T>(description: Arc<Description>, ring: u64, number: u32) -> Stored<T> {
    Stored::new(ProgramId { ring, number }, description)
}

/// The number of the ring that has stored a program.
pub fn ring_of(program: ProgramId) -> u64 {
    program.ring
}

/// A handle of a group.
pub fn group_of(group: Arc<dyn Group>) -> BufferGroup {
    BufferGroup::new(group)
}

/// What is behind the handle of a group; `None` if that is something else.
#[inline]
pub fn behind<G: Group>(group: &BufferGroup) -> Option<&G> {
    let group: &dyn Any = &**group.inner();
    group.downcast_ref()
}

/// How many handles, chains and [`Picked`]s lead to a group.
pub fn holders(group: &BufferGroup) -> usize {
    Arc::strong_count(group.inner())
}

//! Rings between processes: a service answers verbs for a name, and clients reach it through rings in shared memory.
//!
//! A connection is one ring, one thread's on the client's side. The service makes its memory in two parts, each written by one
//! side only ([`ouzel_ring::Memory::split`]); buffers lie in memory that the client shares. The service runs an
//! [engine](ouzel_engine::Engine) for each connection, over any backend, so chains and programs run there as anywhere.
//! Neither side trusts the other: `docs/schemes.md` lists what each may write, and where that is checked.

/// What the package's page shows is compiled, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod answering;
mod bytes;
mod client;
pub mod confine;
mod doorbell;
mod error;
mod futex;
mod host;
mod image;
mod limits;
mod names;
mod patience;
mod peer;
mod program;
mod readiness;
mod rights;
mod server;
mod service;
mod shared;
mod socket;
#[cfg(test)]
#[path = "tests/testing.rs"]
mod testing;
mod wire;

pub use answering::Answering;
pub use bytes::Bytes;
pub use client::{Client, ClientOptions, Terms};
pub use confine::Confine;
pub use error::{Error, ProgramRefusal, Reason};
pub use host::Host;
pub use limits::Quotas;
pub use names::{Name, NameError, directory, list};
pub use peer::Peer;
pub use program::{Found, Parameter, Programs, Published, ResultKind, Signature};
pub use rights::{Rights, VerbSet, verb_of};
pub use server::{Connection, Observer, Server, Statistics, Stopper, leaked_operations};
pub use service::{At, AtOnce, Position, Scheme, Simple, Times};

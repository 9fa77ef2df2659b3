//! A static-file HTTP/1.1 server on Ouzel.
//!
//! One thread drives one [`Ring`](ouzel::Ring) and any number of connections. Everything a connection does is a chain:
//! receive; open, stat and read; send and close. [`server`] submits them and takes them as they end; it holds no
//! thread, no future and no lock for a connection. What HTTP asks for is in the other modules, which do no I/O, so
//! that the servers it is compared with (`bench/http`) can use the very same.

#![forbid(unsafe_code)]

pub mod conditions;
pub mod content_type;
pub mod digits;
pub mod options;
pub mod request;
pub mod response;
pub mod server;
mod start;
pub mod status;
pub mod target;

pub use options::Options;
pub use start::{listen, run};

//! Entries by verb, as the suite has them, and the names that are in scope everywhere where there is a standard library.

pub use alloc::borrow::ToOwned;
pub use alloc::string::String;
pub use alloc::vec::Vec;

pub use verbs::*;

// The suite has more than its cases here use.
#[allow(dead_code)]
#[path = "../../../../../conformance/src/entry.rs"]
mod verbs;

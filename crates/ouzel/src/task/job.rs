//! What other threads have an executor do, and what it shares with them for that.
//!
//! What is common is a value: a chain travels in a request, which is used again. Only what is the caller's own code is in a box.

use std::fmt;
use std::sync;

use super::handle::Handle;
use super::operations::Ending;
use super::request;
use super::waker::Shared;
use crate::chain::Chain;
use crate::sync::Arc;

/// A chain that another thread has the executor run.
pub(super) type Request = request::Request<Chain, Ending>;

/// Something to be done on the executor's thread.
pub(super) enum Job {
    /// This is to be called.
    Call(Box<dyn FnOnce(&Handle) + Send>),
    /// The chain in this is to be run.
    Run(Arc<Request>),
    /// The future of this was dropped after the executor had begun with it.
    GivenUp(Arc<Request>),
}

impl fmt::Debug for Job {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Job::Call(_) => "Call",
            Job::Run(_) => "Run",
            Job::GivenUp(_) => "GivenUp",
        })
    }
}

/// The way to an executor, from anywhere.
pub(super) struct Far {
    pub(super) shared: sync::Arc<Shared>,
    pub(super) requests: request::Requests<Chain, Ending>,
}

//! Who is told of what connections do.

/// What a connection has done so far, and what it has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection {
    /// The client's process, as [`Peer::process`](crate::Peer::process).
    pub process: i32,
    /// Its user.
    pub user: u32,
    /// It has gone, and something that it had begun has not ended.
    pub leaving: bool,
    /// Entries taken.
    pub entries: u64,
    /// Completions posted.
    pub completions: u64,
    /// Entries that have not completed.
    pub in_flight: u32,
    /// Chains that are not over.
    pub chains: u32,
    /// Descriptors open.
    pub descriptors: u32,
    /// Bytes of memory that it shares, whole pages.
    pub shared_bytes: u64,
    /// Regions of these.
    pub regions: u32,
    /// Programs that it has stored.
    pub programs: u32,
}

/// Is told of connections, on the server's thread: what it does there keeps all clients waiting.
pub trait Observer {
    /// The connection at `place` has begun, or has had a turn. Places are the lowest numbers that are free.
    fn note(&mut self, place: u32, connection: &Connection);

    /// The connection at `place` has ended, and the place may be another's from now on.
    fn gone(&mut self, place: u32);
}

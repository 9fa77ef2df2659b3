//! Limits: what one client, one user and all of them together may cost a service.
//!
//! Numbers only, chosen by whoever runs the service and never by a client. Every queue, table and count that a client can make
//! grow has its limit here; what a client asks for is cut to it, or refused.

use std::time::Duration;

use ouzel_ring::{Geometry, GeometryError, MAX_SLOTS};

/// What the clients of a service may use.
///
/// ```
/// use ouzel_scheme::Quotas;
///
/// let quotas = Quotas { connections: 16, shared_bytes: 1 << 20, ..Quotas::default() };
/// assert_eq!(quotas.budget, 64);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Connections at once, of all users together. 0 refuses everybody. 1024.
    pub connections: u32,
    /// Connections at once of one user, by the number the kernel gives. 256.
    pub connections_of_user: u32,
    /// The most slots that either queue of a connection is granted, 2 to 65,536; rounded down to a power of two. A client that
    /// asks for more gets these. 4096.
    pub entries: u32,
    /// Descriptors that a connection may have open at once, 1 to 2^20. 64.
    pub descriptors: u32,
    /// Bytes of memory that a connection may share, all its regions together. 64 MiB.
    pub shared_bytes: u64,
    /// Regions of shared memory that a connection may have at once, at most 65,279. 64.
    pub regions: u32,
    /// Entries in one chain. 64.
    pub chain: u32,
    /// Programs that a connection may have stored at once. 64.
    pub programs: u32,
    /// Bytes of one program that a connection stores: its head, steps and constants. 64 KiB.
    pub program_bytes: u32,
    /// Steps of programs that run at once for a connection, at most 2^20. 1024.
    pub program_steps: u32,
    /// Entries that could not be taken for what they say (an unknown verb or flag, a payload outside its region) before the
    /// connection is ended. 16.
    pub refused: u32,
    /// Rings of the doorbell that bring no new entry before the connection is ended. 1000.
    pub doorbells: u32,
    /// How long a client that has connected may take to say what it wants. 1 second.
    pub handshake: Duration,
    /// Entries taken from one connection before the next one's turn, and never fewer than a chain may have. 64.
    pub budget: u32,
    /// How long the service looks again and again for entries of those who had some a moment ago, before it sleeps: it takes a
    /// whole processor for as long, and saves its clients the doorbell. It gets shorter by itself while nothing comes in time,
    /// and there is none while all of them wait on the service's own processor. `None`: as long as a wake takes on this machine
    /// (measured once in a process, 5 to 50 microseconds), and nothing where only one processor may be used. Zero never
    /// spins. `None`.
    pub spin: Option<Duration>,
    /// A bit for each verb, by its number, that clients are told they may use. What they may really use is the backend's
    /// business. All.
    pub verbs: u128,
}

impl Default for Quotas {
    fn default() -> Quotas {
        Quotas {
            connections: 1024,
            connections_of_user: 256,
            entries: 4096,
            descriptors: 64,
            shared_bytes: 64 << 20,
            regions: 64,
            chain: 64,
            programs: 64,
            program_bytes: 64 << 10,
            program_steps: 1024,
            refused: 16,
            doorbells: 1000,
            handshake: Duration::from_secs(1),
            budget: 64,
            spin: None,
            verbs: u128::MAX,
        }
    }
}

impl Quotas {
    /// Entries that one turn may take.
    pub(crate) fn turn(&self) -> u32 {
        self.budget.max(self.chain).max(1)
    }

    /// The geometry that a client gets who asks for this one: each queue as large as it is asked for, or as it may be.
    pub(crate) fn geometry(&self, entries: u32, completions: u32) -> Result<Geometry, GeometryError> {
        let asked = Geometry::new(entries.into(), completions.into())?;
        // The largest power of two that is allowed: both queues have at least 2 slots to be granted.
        let most = 1 << self.entries.clamp(2, MAX_SLOTS).ilog2();
        Geometry::new(asked.entries().min(most).into(), asked.completions().min(most).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_geometry_is_granted_up_to_the_quota() {
        let quotas = Quotas { entries: 100, ..Quotas::default() };
        assert_eq!(quotas.geometry(8, 16), Geometry::new(8, 16));
        assert_eq!(quotas.geometry(4096, 16), Geometry::new(64, 16));
        assert_eq!(quotas.geometry(1 << 16, 1 << 16), Geometry::new(64, 64));
        assert_eq!(quotas.geometry(1, 2), Geometry::new(1, 2));
    }

    #[test]
    fn a_quota_out_of_range_still_grants_a_ring() {
        for entries in [0, 1, 2, 3] {
            let quotas = Quotas { entries, ..Quotas::default() };
            assert_eq!(quotas.geometry(64, 64), Geometry::new(2, 2));
        }
        let quotas = Quotas { entries: u32::MAX, ..Quotas::default() };
        assert_eq!(quotas.geometry(1 << 16, 1 << 16), Geometry::new(1 << 16, 1 << 16));
    }

    #[test]
    fn a_geometry_that_cannot_be_is_refused_and_not_mended() {
        let quotas = Quotas::default();
        assert_eq!(quotas.geometry(0, 8), Err(GeometryError::Zero));
        assert_eq!(quotas.geometry(8, 12), Err(GeometryError::NotPowerOfTwo));
        assert_eq!(quotas.geometry(1 << 31, 8), Err(GeometryError::TooLarge));
        assert_eq!(quotas.geometry(8, 1), Err(GeometryError::TooFewCompletions));
    }
}

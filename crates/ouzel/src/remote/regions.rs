//! Regions: the memory of a pool that a service can see.
//!
//! Each region of the pool is shared when the first slice of it goes to the service, and taken back when the pool has given
//! it back to the system. Addresses go in and payloads come out; nothing here looks at bytes.

use ouzel_pool::{Memory, Pool, Watch};
use ouzel_ring::{Errno, Payload};

use super::Remote;
use crate::error::Error;

/// A region of the pool.
#[derive(Clone, Copy)]
struct Known {
    /// Its number in the pool.
    number: u64,
    start: usize,
    length: usize,
    /// Its number at the service, once it is shared.
    region: Option<u16>,
}

/// A pool of shared memory, and what of it the service can see.
pub(super) struct Regions {
    pool: Pool,
    watch: Watch,
    /// What the watch counted when the list was made.
    seen: u64,
    known: Vec<Known>,
}

impl Regions {
    /// Errors: EINVAL if the pool's memory cannot be shared.
    pub(super) fn new(pool: Pool) -> Result<Regions, Error> {
        if pool.memory() != Memory::Shared {
            return Err(Error::Refused { call: "pool", errno: Errno::EINVAL });
        }
        let watch = pool.watch();
        // Whatever it counts, the list is made before it is looked at.
        let seen = watch.changes().wrapping_sub(1);
        Ok(Regions { pool, watch, seen, known: Vec::new() })
    }

    /// The service is another one, which sees nothing yet.
    pub(super) fn begin_anew(&mut self) {
        self.known.clear();
        self.seen = self.watch.changes().wrapping_sub(1);
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The payload of the `length` bytes at `address`; `None` if they are not the pool's.
    ///
    /// The caller has a slice or a guard there, so that the region cannot go.
    pub(super) fn payload(
        &mut self,
        remote: &mut Remote,
        address: usize,
        length: usize,
    ) -> Result<Option<u64>, Error> {
        if self.watch.changes() != self.seen {
            self.look(remote);
        }
        let holds = |known: &&mut Known| {
            let offset = address.checked_sub(known.start);
            offset.is_some_and(|offset| offset <= known.length && known.length - offset >= length)
        };
        let Some(known) = self.known.iter_mut().find(holds) else { return Ok(None) };
        let region = match known.region {
            Some(region) => region,
            None => {
                let region = share(&self.pool, known.number, remote)?;
                known.region = Some(region);
                region
            }
        };
        Ok(Payload::new(region, (address - known.start) as u64).map(Payload::number))
    }

    /// Looks which regions there are now, and takes back what has gone.
    #[cold]
    fn look(&mut self, remote: &mut Remote) {
        self.seen = self.watch.changes();
        let there = self.watch.regions();
        for known in &self.known {
            let stays = there.iter().any(|region| region.number == known.number);
            if let Some(region) = known.region.filter(|_| !stays)
                && let Err(error) = remote.unshare(region)
            {
                tracing::warn!(%error, region, "a region of memory was not taken back from a service");
            }
        }
        let shared = std::mem::take(&mut self.known);
        self.known.extend(there.iter().map(|region| Known {
            number: region.number,
            start: region.address,
            length: region.length,
            region: shared.iter().find(|known| known.number == region.number).and_then(|known| known.region),
        }));
    }
}

#[cold]
fn share(pool: &Pool, number: u64, remote: &mut Remote) -> Result<u16, Error> {
    let unknown = Error::Refused { call: "share", errno: Errno::EFAULT };
    let regions = pool.regions();
    let Some(region) = regions.iter().find(|region| region.number() == number) else {
        return Err(unknown);
    };
    // SAFETY: a service is told of slices as payloads of entries in flight, whose slices are in the keeping of their chains.
    // One that writes elsewhere changes bytes that are always initialised and mean nothing but data, as `Ring::connect` says.
    let memfd = unsafe { region.memfd() };
    remote.share(memfd.ok_or(unknown)?, region.len())
}

//! The ring's pool: where buffers come from that chains take and give back without a copy.

use ouzel_pool::Pool;

use super::Ring;
use crate::error::Error;
use crate::{Buffer, RegisteredMemory};

impl<M> Ring<M> {
    /// An empty buffer with room for `capacity` bytes of the ring's [pool](Ring::pool). It goes into any step that reads,
    /// receives, writes or sends, comes back with what the chain has done, and its memory goes back to the pool when it is dropped:
    /// nothing is copied or allocated on the way, and nobody else gets its memory before the step has completed.
    ///
    /// ```
    /// use ouzel::{Chain, Offset, OpenOptions, Ring};
    ///
    /// let mut ring = Ring::new()?;
    /// let mut chain = Chain::new();
    /// let file = chain.open("Cargo.toml", OpenOptions::read());
    /// let length = chain.read(file, ring.buffer(65536)?, Offset::START);
    /// chain.finally().close(file);
    /// let text = ring.run(chain)?.take(length).expect("a buffer was given");
    /// assert!(text.starts_with(b"[package]"));
    /// assert_eq!(ring.pool()?.statistics().in_use, 1);
    /// # Ok::<(), ouzel::Error>(())
    /// ```
    ///
    /// Errors: [`Error::Pool`], for what [`Pool::get`] fails with.
    pub fn buffer(&mut self, capacity: usize) -> Result<Buffer, Error> {
        Ok(Buffer::from_pool(self.pool()?, capacity)?)
    }

    /// The ring's pool, which is [registered](Ring::register_pool): the one it was [built with](crate::RingBuilder::pool), or
    /// one of its own with default settings. Clone it for slices of other alignments or on other threads.
    ///
    /// Errors: [`Error::Pool`].
    pub fn pool(&mut self) -> Result<&Pool, Error> {
        if self.pool.is_none() {
            let pool = Pool::builder().build()?;
            self.take_pool(&pool)?;
        }
        // It was put there just now.
        self.pool.as_ref().ok_or(Error::Pool(ouzel_pool::Error::Empty))
    }

    /// Registers the memory of a pool with the kernel, as it is done with the ring's own by itself.
    ///
    /// On io_uring, reads and writes that the ring's kernel side does from or to that memory then need not look its pages up
    /// each time; which ones, the ring finds by itself. Regions are registered as the pool grows and let go as it
    /// shrinks, with the next enter. They are pinned, which counts against the limit on locked memory (RLIMIT_MEMLOCK); what
    /// does not fit, or is of a pool in debug mode, is used as any other memory, and
    /// [`registered_memory`](Ring::registered_memory) says so. On other backends this does nothing. SEND and RECV stay
    /// as they are: the kernel takes registered memory only for sends that hold on to it until the peer has it.
    ///
    /// Errors: [`Error::ForkedChild`]; EOPNOTSUPP on a connected ring: the kernel that would know it is a service's.
    pub fn register_pool(&mut self, pool: &Pool) -> Result<(), Error> {
        self.raw.register_pool(pool)
    }

    /// What is registered with the kernel; `None` if nothing ever was, and on backends without such a thing.
    pub fn registered_memory(&self) -> Option<RegisteredMemory> {
        self.raw.registered_memory()
    }

    /// The ring, with this pool if there is one.
    pub(crate) fn with_pool(mut self, pool: Option<&Pool>) -> Result<Ring<M>, Error> {
        if let Some(pool) = pool {
            self.take_pool(pool)?;
        }
        Ok(self)
    }

    fn take_pool(&mut self, pool: &Pool) -> Result<(), Error> {
        // The kernel that would know it is a service's.
        if self.carrier.is_none() {
            self.register_pool(pool)?;
        }
        self.pool = Some(pool.clone());
        Ok(())
    }
}

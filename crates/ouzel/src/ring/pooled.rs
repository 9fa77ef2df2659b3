//! The ring's pool: where buffers come from that chains take and give back without a copy.

use ouzel_pool::Pool;

use super::Ring;
use crate::Buffer;
use crate::error::Error;

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

    /// The ring's pool: the one it was [built with](crate::RingBuilder::pool), or one of its own with default settings. Clone it for
    /// slices of other alignments or on other threads.
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

    /// The ring, with this pool if there is one.
    pub(crate) fn with_pool(mut self, pool: Option<&Pool>) -> Result<Ring<M>, Error> {
        if let Some(pool) = pool {
            self.take_pool(pool)?;
        }
        Ok(self)
    }

    fn take_pool(&mut self, pool: &Pool) -> Result<(), Error> {
        self.pool = Some(pool.clone());
        Ok(())
    }
}

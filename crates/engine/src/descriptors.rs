//! The descriptor table: which indices are in use, in which generation, and by how many operations.
//!
//! The engine gives out (generation, index); what lies behind an index is the backend's. An index is reused only
//! when the object behind it is closed *and* no started operation names it, so that an operation still on its way
//! can never reach a newer object.

use alloc::boxed::Box;
use alloc::vec::Vec;

use ouzel_ring::{Descriptor, Errno};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// An operation that will open it has started.
    Reserved,
    Open,
    /// Closed, but operations still name the index.
    Closed,
}

struct Record {
    generation: u32,
    state: State,
    /// How many CLOSEs have started and are not reported yet.
    closing: u32,
    /// One of them has been dispatched: it does not hang on another step of a run.
    dead: bool,
    uses: u32,
}

/// How a look-up treats descriptors in transition.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// The operation starts now.
    Now,
    /// The operation starts behind others of its run: what they open counts as open, what they close as closed.
    Ahead,
}

pub(crate) struct Descriptors {
    records: Box<[Record]>,
    free: Vec<u32>,
}

impl Descriptors {
    pub(crate) fn new(capacity: u32) -> Descriptors {
        Descriptors {
            records: (0..capacity)
                .map(|_| Record { generation: 1, state: State::Free, closing: 0, dead: false, uses: 0 })
                .collect(),
            free: (0..capacity).rev().collect(),
        }
    }

    /// Begins with this generation at every index that is not in use; 0 is taken for 1.
    pub(crate) fn begin_with(&mut self, generation: u32) {
        for record in self.records.iter_mut().filter(|record| record.state == State::Free) {
            record.generation = generation.max(1);
        }
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.records.len() as u32
    }

    /// Indices that are not free.
    pub(crate) fn in_use(&self) -> u32 {
        self.capacity() - self.free.len() as u32
    }

    /// Reserves an index. EMFILE when the table is full.
    #[inline]
    pub(crate) fn reserve(&mut self) -> Result<u32, Errno> {
        let index = self.free.pop().ok_or(Errno::EMFILE)?;
        self.records[index as usize].state = State::Reserved;
        Ok(index)
    }

    /// The descriptor of a reserved or open index.
    #[inline]
    pub(crate) fn descriptor(&self, index: u32) -> u64 {
        let generation = self.records[index as usize].generation;
        Descriptor::new(generation, index).map_or(0, Descriptor::number)
    }

    /// A reserved index has been filled.
    #[inline]
    pub(crate) fn install(&mut self, index: u32) {
        let record = &mut self.records[index as usize];
        debug_assert!(record.state == State::Reserved);
        record.state = State::Open;
    }

    /// What was to fill a reserved index is over. Returns its descriptor if it did.
    #[inline]
    pub(crate) fn filled(&mut self, index: u32, filled: bool) -> Option<u64> {
        if filled {
            self.install(index);
            Some(self.descriptor(index))
        } else {
            self.retire(index);
            None
        }
    }

    /// A reserved index has not been filled, or an open one is closed.
    #[inline]
    pub(crate) fn retire(&mut self, index: u32) {
        let record = &mut self.records[index as usize];
        debug_assert!(matches!(record.state, State::Reserved | State::Open));
        record.state = State::Closed;
        record.closing = record.closing.saturating_sub(1);
        record.dead = false;
        self.reclaim(index);
    }

    /// The index an argument names. EBADF if it names no live descriptor.
    #[inline]
    pub(crate) fn look_up(&self, number: u64, look: Look) -> Result<u32, Errno> {
        let descriptor = Descriptor::from_number(number).ok_or(Errno::EBADF)?;
        let record = self.records.get(descriptor.index() as usize).ok_or(Errno::EBADF)?;
        let live = match look {
            Look::Now => record.state == State::Open && !record.dead,
            Look::Ahead => matches!(record.state, State::Open | State::Reserved) && record.closing == 0,
        };
        if live && record.generation == descriptor.generation() {
            Ok(descriptor.index())
        } else {
            Err(Errno::EBADF)
        }
    }

    /// A CLOSE starts. It does not shut out another: the first may be part of a run that never reaches it. Whichever
    /// comes second finds nothing to close, and the index is not reused before both have been reported.
    #[inline]
    pub(crate) fn begin_close(&mut self, index: u32) {
        self.records[index as usize].closing += 1;
    }

    /// A CLOSE that had started never ran.
    #[inline]
    pub(crate) fn abandon_close(&mut self, index: u32) {
        let record = &mut self.records[index as usize];
        record.closing = record.closing.saturating_sub(1);
        record.dead &= record.closing > 0;
    }

    /// A CLOSE that has started will run: from now on the descriptor names nothing.
    #[inline]
    pub(crate) fn kill(&mut self, index: u32) {
        self.records[index as usize].dead = true;
    }

    #[inline]
    pub(crate) fn begin_use(&mut self, index: u32) {
        self.records[index as usize].uses += 1;
    }

    #[inline]
    pub(crate) fn end_use(&mut self, index: u32) {
        let record = &mut self.records[index as usize];
        debug_assert!(record.uses > 0);
        record.uses -= 1;
        if record.state == State::Closed {
            self.reclaim(index);
        }
    }

    #[inline]
    pub(crate) fn is_open(&self, index: u32) -> bool {
        self.records[index as usize].state == State::Open
    }

    /// How many started operations name the index.
    pub(crate) fn uses(&self, index: u32) -> u32 {
        self.records[index as usize].uses
    }

    /// Open indices.
    pub(crate) fn open(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.capacity()).filter(|index| self.records[*index as usize].state == State::Open)
    }

    #[inline]
    fn reclaim(&mut self, index: u32) {
        let record = &mut self.records[index as usize];
        if record.uses == 0 {
            record.state = State::Free;
            // Generation 0 would make a descriptor of 0, which stands for the working directory.
            record.generation = record.generation.checked_add(1).unwrap_or(1);
            self.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_with_the_generation_that_is_asked_for() {
        let mut table = Descriptors::new(2);
        let held = table.reserve().unwrap();
        let before = table.descriptor(held);
        table.install(held);
        table.begin_with(u32::MAX);
        assert_eq!(table.descriptor(held), before, "what is in use stays");
        let index = table.reserve().unwrap();
        assert_eq!(Descriptor::from_number(table.descriptor(index)).unwrap().generation(), u32::MAX);
        table.retire(index);
        let index = table.reserve().unwrap();
        assert_eq!(
            Descriptor::from_number(table.descriptor(index)).unwrap().generation(),
            1,
            "0 is left out"
        );
        table.retire(index);
        table.begin_with(0);
        let index = table.reserve().unwrap();
        assert_eq!(Descriptor::from_number(table.descriptor(index)).unwrap().generation(), 1);
    }

    #[test]
    fn an_index_is_reused_only_when_nothing_names_it() {
        let mut table = Descriptors::new(1);
        let index = table.reserve().unwrap();
        let number = table.descriptor(index);
        assert_eq!(table.look_up(number, Look::Now), Err(Errno::EBADF));
        assert_eq!(table.look_up(number, Look::Ahead), Ok(index));
        table.install(index);
        table.begin_use(index);
        table.begin_close(index);
        table.begin_close(index);
        table.abandon_close(index);
        assert_eq!(table.look_up(number, Look::Now), Ok(index));
        assert_eq!(table.look_up(number, Look::Ahead), Err(Errno::EBADF));
        table.retire(index);
        assert_eq!(table.look_up(number, Look::Now), Err(Errno::EBADF));
        assert_eq!(table.reserve(), Err(Errno::EMFILE));
        table.end_use(index);
        assert_eq!(table.in_use(), 0);
        let again = table.reserve().unwrap();
        table.install(again);
        assert_eq!(table.look_up(number, Look::Now), Err(Errno::EBADF));
        assert!(table.look_up(table.descriptor(again), Look::Now).is_ok());
    }

    #[test]
    fn numbers_from_nowhere_are_refused() {
        let table = Descriptors::new(2);
        for number in [0, 1, u64::MAX, 1 << 32, (1 << 32) | 2, (1 << 32) | u32::MAX as u64] {
            assert_eq!(table.look_up(number, Look::Now), Err(Errno::EBADF));
        }
    }
}

//! A fixed slab of slots with generations: where packets and chains live.
//!
//! All memory is taken at creation, or when the slab is extended; taking and freeing a slot are a few loads and stores. A slot's generation changes
//! each time it is freed, so that a name from an earlier life finds nothing.

use alloc::boxed::Box;

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

struct Slot<T> {
    generation: u32,
    /// The next free slot while this one is free; `LIVE` while it is taken.
    next_free: u32,
    value: T,
}

const LIVE: u32 = u32::MAX - 1;

/// `capacity` slots of `T`. Values are reused, not dropped, when a slot is freed.
pub(crate) struct Slab<T> {
    slots: Box<[Slot<T>]>,
    free: u32,
    live: u32,
}

impl<T> Slab<T> {
    pub(crate) fn new(capacity: u32, mut make: impl FnMut() -> T) -> Slab<T> {
        let slots = (0..capacity)
            .map(|slot| Slot {
                generation: 1,
                next_free: if slot + 1 < capacity { slot + 1 } else { NONE },
                value: make(),
            })
            .collect();
        Slab { slots, free: if capacity > 0 { 0 } else { NONE }, live: 0 }
    }

    /// Adds slots until there are `capacity`. Those there were keep their numbers.
    pub(crate) fn extend(&mut self, capacity: u32, mut make: impl FnMut() -> T) {
        let mut slots = core::mem::take(&mut self.slots).into_vec();
        slots.reserve_exact((capacity as usize).saturating_sub(slots.len()));
        for slot in slots.len() as u32..capacity {
            slots.push(Slot { generation: 1, next_free: self.free, value: make() });
            self.free = slot;
        }
        self.slots = slots.into_boxed_slice();
    }

    /// Takes a free slot; its value is what the last user left in it.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<u32> {
        let slot = self.free;
        let place = self.slots.get_mut(slot as usize)?;
        self.free = place.next_free;
        place.next_free = LIVE;
        self.live += 1;
        Some(slot)
    }

    /// Frees a slot. Returns what was in it, which stays until the slot is taken again.
    #[inline]
    pub(crate) fn free(&mut self, slot: u32) -> &T {
        let place = &mut self.slots[slot as usize];
        debug_assert!(place.next_free == LIVE, "slot {slot} freed twice");
        place.generation = place.generation.wrapping_add(1);
        place.next_free = self.free;
        self.free = slot;
        self.live -= 1;
        &place.value
    }

    /// Changes the generation of a slot that stays taken: a name from before finds nothing.
    pub(crate) fn renew(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        place.generation = place.generation.wrapping_add(1);
    }

    /// The value in `slot`, and the slot's generation.
    #[inline]
    pub(crate) fn with_generation(&mut self, slot: u32) -> (&mut T, u32) {
        let place = &mut self.slots[slot as usize];
        (&mut place.value, place.generation)
    }

    #[inline]
    pub(crate) fn generation(&self, slot: u32) -> u32 {
        self.slots[slot as usize].generation
    }

    /// The value in `slot`, if that is taken and in this generation.
    #[inline]
    pub(crate) fn current(&self, slot: u32, generation: u32) -> Option<&T> {
        let place = self.slots.get(slot as usize)?;
        (place.next_free == LIVE && place.generation == generation).then_some(&place.value)
    }

    #[inline]
    pub(crate) fn live(&self) -> u32 {
        self.live
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.slots.len() as u32
    }

    #[inline]
    pub(crate) fn is_live(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(|place| place.next_free == LIVE)
    }
}

impl<T> core::ops::Index<u32> for Slab<T> {
    type Output = T;
    #[inline]
    fn index(&self, slot: u32) -> &T {
        &self.slots[slot as usize].value
    }
}

impl<T> core::ops::IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, slot: u32) -> &mut T {
        &mut self.slots[slot as usize].value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_slot_comes_back_in_another_generation() {
        let mut slab = Slab::new(2, || 0);
        let first = slab.take().unwrap();
        let generation = slab.generation(first);
        assert_eq!(slab.current(first, generation), Some(&0));
        let second = slab.take().unwrap();
        assert_eq!(slab.take(), None);
        slab.free(first);
        assert_eq!(slab.current(first, generation), None);
        assert!(slab.is_live(second) && !slab.is_live(first) && !slab.is_live(NONE));
        assert_eq!(slab.take(), Some(first));
        assert_eq!(slab.current(first, generation), None);
        assert_eq!(slab.current(NONE, 1), None);
    }
}

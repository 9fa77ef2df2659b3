//! What a client waits for: every entry that has been pushed and whose last completion has not come.
//!
//! User data is the user's and need not be unique, so entries are counted by user data and verb. A completion that
//! nobody waits for is the service's lie, and so is one after which more is to come of an entry that has only one. When the
//! service goes, this is the list of what it still owed.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use ouzel_ring::{Completion, Entry, EntryFlags, Errno};

/// Numbers that a client has chosen itself need no defence against collisions.
#[derive(Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        // An odd number without a pattern; the upper half has the best bits and comes down.
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// Places for those that need no search: more than most have in flight.
const PLACES: usize = 256;

/// How many are owed of one user data and verb. A place with none is free.
#[derive(Clone, Copy, Default)]
struct Place {
    data: u64,
    op: u32,
    count: u32,
}

impl Place {
    fn is_of(&self, data: u64, op: u32) -> bool {
        self.count > 0 && self.data == data && self.op == op
    }
}

/// How many are owed, by user data and verb. There are none of which none are owed.
type Counts = HashMap<(u64, u32), u32, BuildHasherDefault<Mix>>;

/// See the [module](self).
pub(super) struct Pending {
    /// How many are owed, each in the one place that its user data has here, if that was free.
    places: Box<[Place; PLACES]>,
    /// How many more are owed, by user data and verb: their places were taken by others.
    counts: Counts,
    /// How many are owed their last completion, of those that can have more than one.
    multishots: Counts,
    /// All of them.
    owed: u32,
    /// Silent entries, which have a completion only if they fail: nothing tells when one has succeeded.
    silent: u64,
}

impl Default for Pending {
    fn default() -> Pending {
        Pending {
            places: Box::new([Place::default(); PLACES]),
            counts: Counts::default(),
            multishots: Counts::default(),
            owed: 0,
            silent: 0,
        }
    }
}

impl Pending {
    #[inline]
    fn place(&mut self, data: u64) -> &mut Place {
        // Numbers that follow each other, and addresses, have places of their own in the upper bits of such a product.
        let mixed = data.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &mut self.places[(mixed >> 56) as usize % PLACES]
    }

    /// An entry has been pushed.
    #[inline]
    pub(super) fn add(&mut self, entry: &Entry) {
        let flags = EntryFlags::from_bits_retain(entry.flags);
        if flags.contains(EntryFlags::SILENT) {
            self.silent += 1;
            return;
        }
        let (data, op) = (entry.data, entry.op);
        self.owed += 1;
        if flags.contains(EntryFlags::MULTISHOT) {
            *self.multishots.entry((data, op)).or_default() += 1;
            return;
        }
        let place = self.place(data);
        if place.count == 0 || place.is_of(data, op) {
            *place = Place { data, op, count: place.count + 1 };
        } else {
            *self.counts.entry((data, op)).or_default() += 1;
        }
    }

    /// A completion has come. False if nobody waited for it, or for no more than one in its place.
    #[inline]
    pub(super) fn take(&mut self, completion: &Completion) -> bool {
        let key = (completion.data, completion.op);
        if completion.has_more() {
            return self.multishots.contains_key(&key);
        }
        let place = self.place(completion.data);
        if place.is_of(completion.data, completion.op) {
            place.count -= 1;
        } else if !take_one(&mut self.counts, key) && !take_one(&mut self.multishots, key) {
            let may_be = completion.error != 0 && self.silent > 0;
            self.silent -= u64::from(may_be);
            return may_be;
        }
        self.owed -= 1;
        true
    }

    /// How many entries are owed their last completion.
    #[inline]
    pub(super) fn owed(&self) -> u32 {
        self.owed
    }

    /// Whether each of them has one completion and no more.
    #[inline]
    pub(super) fn is_single(&self) -> bool {
        self.multishots.is_empty()
    }

    /// The service has gone: what each of them ends with. Of silent entries nothing is known.
    pub(super) fn give_up(&mut self, errno: Errno) -> Vec<Completion> {
        let mut completions = Vec::with_capacity(self.owed as usize);
        let placed = self.places.iter_mut().map(std::mem::take).filter(|place| place.count > 0);
        let placed = placed.map(|Place { data, op, count }| ((data, op), count));
        for ((data, op), count) in placed.chain(self.counts.drain()).chain(self.multishots.drain()) {
            let error = errno.raw();
            let completion = Completion { op, error, data, result: 0, flags: 0, extra: 0 };
            completions.extend(std::iter::repeat_n(completion, count as usize));
        }
        self.owed = 0;
        completions
    }
}

/// One that was owed is owed no more. False if none was.
fn take_one(counts: &mut Counts, key: (u64, u32)) -> bool {
    let Some(count) = counts.get_mut(&key) else { return false };
    *count -= 1;
    if *count == 0 {
        counts.remove(&key);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use ouzel_ring::{CompletionFlags, Verb};

    fn completion(data: u64, error: i32) -> Completion {
        Completion { op: Verb::Nop as u32, error, data, result: 0, flags: 0, extra: 0 }
    }

    #[test]
    fn each_entry_is_owed_one() {
        let mut pending = Pending::default();
        let entry = Entry::new(Verb::Nop).data(7);
        pending.add(&entry);
        pending.add(&entry);
        assert!(!pending.take(&completion(8, 0)));
        assert!(pending.take(&completion(7, 0)));
        assert_eq!(pending.owed(), 1);
        assert!(pending.take(&completion(7, 5)));
        assert!(!pending.take(&completion(7, 0)), "there were two");
        assert_eq!(pending.owed(), 0);
        assert!(pending.counts.is_empty());
    }

    #[test]
    fn those_without_a_place_are_counted_too() {
        let mut pending = Pending::default();
        let mut add = |data, op| pending.add(&Entry { op, ..Entry::new(Verb::Nop).data(data) });
        // More than there are places, and two verbs for each.
        for data in 0..2 * PLACES as u64 {
            add(data, Verb::Nop as u32);
            add(data, Verb::Read as u32);
        }
        assert!(!pending.counts.is_empty());
        for data in (0..2 * PLACES as u64).rev() {
            let read = Completion { op: Verb::Read as u32, ..completion(data, 0) };
            assert!(pending.take(&completion(data, 0)));
            assert!(!pending.take(&completion(data, 0)), "there was one");
            assert!(pending.take(&read));
            assert!(!pending.take(&read));
        }
        assert_eq!(pending.owed(), 0);
        assert!(pending.counts.is_empty());
    }

    #[test]
    fn the_same_in_its_place_and_without_one() {
        let mut pending = Pending::default();
        let first = Entry::new(Verb::Nop).data(1);
        let mut other = 2;
        while !std::ptr::eq(pending.place(1), pending.place(other)) {
            other += 1;
        }
        let second = Entry::new(Verb::Nop).data(other);
        for entry in [&first, &second] {
            pending.add(entry);
        }
        assert!(pending.take(&completion(1, 0)), "its place is free now");
        pending.add(&second);
        assert!(pending.take(&completion(other, 0)) && pending.take(&completion(other, 0)));
        assert!(!pending.take(&completion(other, 0)));
        assert_eq!(pending.owed(), 0);
    }

    #[test]
    fn silent_ones_only_fail() {
        let mut pending = Pending::default();
        let mut entry = Entry::new(Verb::Nop).data(1);
        entry.flags |= EntryFlags::SILENT.bits();
        pending.add(&entry);
        assert_eq!(pending.owed(), 0);
        assert!(!pending.take(&completion(1, 0)));
        assert!(pending.take(&completion(1, 9)));
        assert!(!pending.take(&completion(1, 9)));
    }

    #[test]
    fn more_is_to_come_only_of_those_that_have_many() {
        let mut pending = Pending::default();
        let nop = Entry::new(Verb::Nop).data(1);
        let mut silent = nop;
        silent.flags |= EntryFlags::SILENT.bits();
        let one_of_many = |error| Completion { flags: CompletionFlags::MORE.bits(), ..completion(1, error) };
        pending.add(&nop);
        pending.add(&silent);
        assert!(!pending.take(&one_of_many(0)) && !pending.take(&one_of_many(5)));
        assert!(pending.is_single());
        // Of two with the same data one has many: any number may come until both have ended.
        let multishot = nop.flags(EntryFlags::MULTISHOT);
        pending.add(&multishot);
        assert!(!pending.is_single());
        for _ in 0..3 {
            assert!(pending.take(&one_of_many(0)));
        }
        assert!(pending.take(&completion(1, 0)));
        assert_eq!(pending.owed(), 1);
        assert!(pending.take(&one_of_many(0)));
        assert!(pending.take(&completion(1, 0)));
        assert!(!pending.take(&one_of_many(0)) && !pending.take(&completion(1, 0)));
        assert!(pending.is_single());
        assert_eq!(pending.owed(), 0);
    }

    #[test]
    fn what_is_owed_is_given_up_once() {
        let mut pending = Pending::default();
        for data in 0..2 {
            pending.add(&Entry::new(Verb::Nop).data(data));
        }
        pending.add(&Entry::new(Verb::Nop).data(2).flags(EntryFlags::MULTISHOT));
        let mut data: Vec<u64> = pending.give_up(Errno::ECONNRESET).iter().map(|given| given.data).collect();
        data.sort_unstable();
        assert_eq!(data, [0, 1, 2]);
        assert!(pending.give_up(Errno::ECONNRESET).is_empty());
    }
}

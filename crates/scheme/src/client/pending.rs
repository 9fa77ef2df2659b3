//! What a client waits for: every entry that has been pushed and whose last completion has not come.
//!
//! User data is the user's and need not be unique, so entries are counted by user data and verb. A completion that
//! nobody waits for is the service's lie. When the service goes, this is the list of what it still owed.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use ouzel_ring::{Completion, CompletionFlags, Entry, EntryFlags, Errno};

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

/// See the [module](self).
pub(super) struct Pending {
    /// How many are owed, each in the one place that its user data has here, if that was free.
    places: Box<[Place; PLACES]>,
    /// How many more are owed, by user data and verb: their places were taken by others.
    counts: HashMap<(u64, u32), u32, BuildHasherDefault<Mix>>,
    /// All of them.
    owed: u32,
    /// How many of those can have more than one completion.
    many: u32,
    /// Silent entries, which have a completion only if they fail: nothing tells when one has succeeded.
    silent: u64,
}

impl Default for Pending {
    fn default() -> Pending {
        Pending {
            places: Box::new([Place::default(); PLACES]),
            counts: HashMap::default(),
            owed: 0,
            many: 0,
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
        let place = self.place(data);
        if place.count == 0 || place.is_of(data, op) {
            *place = Place { data, op, count: place.count + 1 };
        } else {
            *self.counts.entry((data, op)).or_default() += 1;
        }
        self.owed += 1;
        if flags.contains(EntryFlags::MULTISHOT) {
            self.many += 1;
        }
    }

    /// A completion has come. False if nobody waited for it.
    #[inline]
    pub(super) fn take(&mut self, completion: &Completion) -> bool {
        let key = (completion.data, completion.op);
        let is_last = !CompletionFlags::from_bits_retain(completion.flags).contains(CompletionFlags::MORE);
        let place = self.place(completion.data);
        if place.is_of(completion.data, completion.op) {
            place.count -= u32::from(is_last);
            if is_last {
                self.owe_one_less();
            }
            return true;
        }
        let Some(count) = self.counts.get_mut(&key) else {
            let may_be = completion.error != 0 && self.silent > 0;
            self.silent -= u64::from(may_be);
            return may_be;
        };
        if !is_last {
            return true;
        }
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&key);
        }
        self.owe_one_less();
        true
    }

    #[inline]
    fn owe_one_less(&mut self) {
        self.owed -= 1;
        self.many = self.many.min(self.owed);
    }

    /// How many entries are owed their last completion.
    #[inline]
    pub(super) fn owed(&self) -> u32 {
        self.owed
    }

    /// Whether each of them has one completion and no more.
    #[inline]
    pub(super) fn is_single(&self) -> bool {
        self.many == 0
    }

    /// The service has gone: what each of them ends with. Of silent entries nothing is known.
    pub(super) fn give_up(&mut self, errno: Errno) -> Vec<Completion> {
        let mut completions = Vec::with_capacity(self.owed as usize);
        let placed = self.places.iter_mut().map(std::mem::take).filter(|place| place.count > 0);
        let placed = placed.map(|Place { data, op, count }| ((data, op), count));
        for ((data, op), count) in placed.chain(self.counts.drain()) {
            let error = errno.raw();
            let completion = Completion { op, error, data, result: 0, flags: 0, extra: 0 };
            completions.extend(std::iter::repeat_n(completion, count as usize));
        }
        (self.owed, self.many) = (0, 0);
        completions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ouzel_ring::Verb;

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
    fn what_is_owed_is_given_up_once() {
        let mut pending = Pending::default();
        for data in 0..3 {
            pending.add(&Entry::new(Verb::Nop).data(data));
        }
        let mut data: Vec<u64> = pending.give_up(Errno::ECONNRESET).iter().map(|given| given.data).collect();
        data.sort_unstable();
        assert_eq!(data, [0, 1, 2]);
        assert!(pending.give_up(Errno::ECONNRESET).is_empty());
    }
}

//! Entry flags (with the six register specifiers in their low bits) and completion flags.
//!
//! A specifier is three bits: 0 names no register, 1 to 7 name r0 to r6.

use bitflags::bitflags;

/// How many registers a chain has.
pub const REGISTERS: usize = 7;

bitflags! {
    /// The `flags` word of an [`Entry`](crate::Entry). Bits without a name are refused with EINVAL.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct EntryFlags: u32 {
        /// Load specifiers of the five arguments, three bits each.
        const LOADS = 0x7fff;
        /// The save specifier.
        const SAVE = 0b111 << 15;
        /// The next entry runs if this one succeeds; a short transfer is a success.
        const LINK = 1 << 18;
        /// The next entry runs whatever becomes of this one.
        const HARDLINK = 1 << 19;
        /// This entry runs exactly once when the ordinary members of its chain are over, however they ended.
        const FINALLY = 1 << 20;
        /// On the first entry of a chain: its registers start undefined and are not seen by the ring.
        const LOCAL = 1 << 21;
        /// A success posts no completion.
        const SILENT = 1 << 22;
        /// On the first entry of a chain: it waits for everything admitted earlier and holds back everything later.
        const DRAIN = 1 << 23;
        /// The entry posts many completions, all but the last with MORE.
        const MULTISHOT = 1 << 24;
        /// On the first entry of a chain: its members may run more than once, and complete when it is over.
        const PROGRAM = 1 << 25;
    }

    /// The `flags` word of a [`Completion`](crate::Completion).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct CompletionFlags: u32 {
        /// A multishot entry goes on.
        const MORE = 1 << 0;
        /// The entry was not run because its chain stopped successfully.
        const SKIPPED = 1 << 1;
    }
}

impl EntryFlags {
    /// Either flag that makes the next entry part of the same chain.
    pub const CHAINED: EntryFlags = EntryFlags::LINK.union(EntryFlags::HARDLINK);

    /// A specifier that loads argument `argument` from `register` before the entry is dispatched.
    ///
    /// Returns `None` if `argument` exceeds 4 or `register` exceeds 6.
    pub const fn load(argument: usize, register: usize) -> Option<EntryFlags> {
        if argument < 5 && register < REGISTERS {
            Some(EntryFlags::from_bits_retain((register as u32 + 1) << (3 * argument)))
        } else {
            None
        }
    }

    /// A specifier that saves the result into `register` if the entry succeeds.
    ///
    /// Returns `None` if `register` exceeds 6.
    pub const fn save(register: usize) -> Option<EntryFlags> {
        if register < REGISTERS {
            Some(EntryFlags::from_bits_retain((register as u32 + 1) << 15))
        } else {
            None
        }
    }

    /// The register that argument `argument` is loaded from, if any.
    #[inline]
    pub const fn loaded_from(self, argument: usize) -> Option<usize> {
        if argument >= 5 {
            return None;
        }
        specifier(self.bits() >> (3 * argument))
    }

    /// The arguments that are loaded from registers, in order: (argument, register).
    #[inline]
    pub fn loads(self) -> impl Iterator<Item = (usize, usize)> {
        let mut rest = self.bits() & EntryFlags::LOADS.bits();
        core::iter::from_fn(move || {
            // The lowest bit that is set belongs to the first specifier that is not 0.
            let argument = rest.trailing_zeros() / 3;
            let register = specifier(rest.checked_shr(3 * argument)?)?;
            rest &= !(0b111 << (3 * argument));
            Some((argument as usize, register))
        })
    }

    /// The register that the result is saved into, if any.
    #[inline]
    pub const fn saved_into(self) -> Option<usize> {
        specifier(self.bits() >> 15)
    }

    /// Whether bits without a name are set.
    #[inline]
    pub const fn has_unknown(self) -> bool {
        self.bits() & !EntryFlags::all().bits() != 0
    }
}

#[inline]
const fn specifier(bits: u32) -> Option<usize> {
    match bits & 0b111 {
        0 => None,
        register => Some(register as usize - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_round_trip() {
        for register in 0..REGISTERS {
            for argument in 0..5 {
                let flags = EntryFlags::load(argument, register).unwrap();
                for other in 0..5 {
                    assert_eq!(flags.loaded_from(other), (other == argument).then_some(register));
                }
                assert_eq!(flags.saved_into(), None);
                assert!(flags.loads().eq([(argument, register)]));
            }
            assert_eq!(EntryFlags::save(register).unwrap().saved_into(), Some(register));
        }
        let two = EntryFlags::load(1, 6).unwrap() | EntryFlags::load(4, 0).unwrap();
        assert!((two | EntryFlags::LINK | EntryFlags::save(3).unwrap()).loads().eq([(1, 6), (4, 0)]));
        assert_eq!(EntryFlags::empty().loads().count(), 0);
        assert_eq!(EntryFlags::load(5, 0), None);
        assert_eq!(EntryFlags::load(0, 7), None);
        assert_eq!(EntryFlags::save(7), None);
    }

    #[test]
    fn bits_are_where_the_abi_says() {
        assert_eq!(EntryFlags::LINK.bits(), 1 << 18);
        assert_eq!(EntryFlags::MULTISHOT.bits(), 1 << 24);
        assert!(EntryFlags::from_bits_retain(1 << 26).has_unknown());
        assert!(!EntryFlags::all().has_unknown());
    }
}

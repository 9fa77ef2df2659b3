//! Descriptors and payloads: the two kinds of name that an argument can hold.
//!
//! Both are opaque 64-bit numbers to a submitter and allegations to an engine, which looks them up in tables of
//! its own.

use core::num::NonZeroU64;

/// The engine's handle to an open object: a generation (upper 32 bits) and an index (lower 32 bits), never 0.
///
/// In an argument, 0 stands for "the working directory" where a verb takes a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Descriptor(NonZeroU64);

impl Descriptor {
    /// The descriptor of this generation and index; `None` for generation 0, which is never given out.
    #[inline]
    pub const fn new(generation: u32, index: u32) -> Option<Descriptor> {
        if generation == 0 {
            return None;
        }
        match NonZeroU64::new((generation as u64) << 32 | index as u64) {
            Some(number) => Some(Descriptor(number)),
            None => None,
        }
    }

    /// The descriptor an argument holds; `None` if its generation is 0.
    #[inline]
    pub const fn from_number(number: u64) -> Option<Descriptor> {
        Descriptor::new((number >> 32) as u32, number as u32)
    }

    /// The number to put into an argument.
    #[inline]
    pub const fn number(self) -> u64 {
        self.0.get()
    }

    /// The index into the engine's table.
    #[inline]
    pub const fn index(self) -> u32 {
        self.0.get() as u32
    }

    /// The generation of that index.
    #[inline]
    pub const fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }
}

/// Where a payload lies: a region (upper 16 bits) and an offset into it (lower 48 bits).
///
/// Region 0 is the submitter's own address space and the offset an address; it exists only in process, and pushing
/// an entry that names it is unsafe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Payload(u64);

impl Payload {
    /// The largest offset.
    pub const MAX_OFFSET: u64 = (1 << 48) - 1;

    /// The payload at `offset` of `region`; `None` if the offset exceeds [`Payload::MAX_OFFSET`].
    pub const fn new(region: u16, offset: u64) -> Option<Payload> {
        if offset > Payload::MAX_OFFSET { None } else { Some(Payload((region as u64) << 48 | offset)) }
    }

    /// The payload an argument holds.
    #[inline]
    pub const fn from_number(number: u64) -> Payload {
        Payload(number)
    }

    /// The payload at an address of this process (region 0).
    ///
    /// Addresses above [`Payload::MAX_OFFSET`] do not occur in user space on the supported targets; such an address
    /// would name another region and be refused there.
    #[inline]
    pub fn of<T: ?Sized>(pointer: *const T) -> Payload {
        Payload(pointer.cast::<u8>().expose_provenance() as u64)
    }

    /// The number to put into an argument.
    #[inline]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The region.
    #[inline]
    pub const fn region(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// The offset into the region.
    #[inline]
    pub const fn offset(self) -> u64 {
        self.0 & Payload::MAX_OFFSET
    }
}

/// One piece of a vectored transfer: sixteen bytes, an array of which is the payload of a vectored READ or WRITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Piece {
    /// Where the bytes lie.
    pub payload: u64,
    /// How many.
    pub length: u64,
}

const _: () = assert!(size_of::<Piece>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_never_zero() {
        assert_eq!(Descriptor::new(0, 7), None);
        assert_eq!(Descriptor::from_number(0), None);
        assert_eq!(Descriptor::from_number(7), None);
        let descriptor = Descriptor::new(3, 9).unwrap();
        assert_eq!((descriptor.generation(), descriptor.index()), (3, 9));
        assert_eq!(Descriptor::from_number(descriptor.number()), Some(descriptor));
    }

    #[test]
    fn payloads_split_into_region_and_offset() {
        let payload = Payload::new(2, 0x1234).unwrap();
        assert_eq!((payload.region(), payload.offset()), (2, 0x1234));
        assert!(Payload::new(0, Payload::MAX_OFFSET).is_some());
        assert!(Payload::new(0, Payload::MAX_OFFSET + 1).is_none());
    }
}

//! A ring as C hands it over, and the one place that looks into it.
//!
//! C programs may use the two sides of a ring on two threads, so there is never a reference to the structure, only
//! single reads and writes of its fields. The words that are shared with the kernel are atomics. Nothing here
//! decides anything or issues a call.
//!
//! Orders. The kernel publishes completions by storing the completion tail with release: it is loaded with acquire.
//! We publish that a completion's place is free again by storing the head with release. Entries are published by
//! storing the submission tail with release if a thread of the kernel's may be reading; else the system call
//! orders. The kernel gives an entry's place back by storing the submission head, to be loaded with acquire under
//! the same condition.

use core::ffi::{c_int, c_uint};
use core::sync::atomic::{AtomicU32, Ordering, fence};

use ouzel_uring::abi::{Cqe, Features, SetupFlags, SqRingFlags, Sqe};

use crate::layout::{IoUring, IoUringCq, IoUringSq, internal};

/// A ring that is set up and not closed.
#[derive(Clone, Copy)]
pub(crate) struct Handle(*mut IoUring);

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $($field:ident).+;)*) => {
        impl Handle {$(
            $(#[$doc])*
            #[inline(always)]
            pub(crate) fn $name(self) -> $type {
                // SAFETY: the pointer is valid, as `new` was promised.
                unsafe { (*self.0).$($field).+ }
            }
        )*}
    };
}

fields! {
    /// The flags it was set up with.
    flags: c_uint = flags;
    /// What the kernel said it can do.
    features: c_uint = features;
    /// Its descriptor, or -1.
    ring_fd: c_int = ring_fd;
    /// What to enter it by.
    enter_fd: c_int = enter_ring_fd;
    /// The internal flags.
    internal: u8 = int_flags;
    /// The submission side.
    sq: IoUringSq = sq;
    /// The completion side.
    cq: IoUringCq = cq;
    /// The first entry handed out and not published.
    sqe_head: c_uint = sq.sqe_head;
    /// The entry to hand out next.
    sqe_tail: c_uint = sq.sqe_tail;
    /// The entries.
    sqes: *mut Sqe = sq.sqes;
    /// The number of entries, less one.
    sq_mask: c_uint = sq.ring_mask;
    /// The number of entries.
    sq_entries: c_uint = sq.ring_entries;
    /// The completions.
    cqes: *mut Cqe = cq.cqes;
    /// The number of completions, less one.
    cq_mask: c_uint = cq.ring_mask;
}

macro_rules! changes {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $($field:ident).+;)*) => {
        impl Handle {$(
            $(#[$doc])*
            #[inline(always)]
            pub(crate) fn $name(self, value: $type) {
                // SAFETY: the pointer is valid, as `new` was promised.
                unsafe { (*self.0).$($field).+ = value }
            }
        )*}
    };
}

changes! {
    /// Changes its descriptor.
    set_ring_fd: c_int = ring_fd;
    /// Changes what to enter it by.
    set_enter_fd: c_int = enter_ring_fd;
    /// Changes the internal flags.
    set_internal: u8 = int_flags;
    /// Replaces the submission side.
    set_sq: IoUringSq = sq;
    /// Replaces the completion side.
    set_cq: IoUringCq = cq;
    /// Notes up to where entries are published.
    set_sqe_head: c_uint = sq.sqe_head;
    /// Notes which entry to hand out next.
    set_sqe_tail: c_uint = sq.sqe_tail;
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $($field:ident).+;)*) => {
        impl Handle {
            $(
                $(#[$doc])*
                #[inline(always)]
                fn $name<'a>(self) -> &'a AtomicU32 {
                    // SAFETY: in a ring that is set up this points to an aligned word of the shared mapping, which
                    // stays until the ring is closed; the reference does not leave the method that asked for it.
                    // Nobody accesses the word but atomically or, in C, by a plain word access.
                    unsafe { AtomicU32::from_ptr((*self.0).$($field).+) }
                }
            )*
        }
    };
}

words! {
    /// Entries the kernel has taken.
    sq_head_word = sq.khead;
    /// Entries published.
    sq_tail_word = sq.ktail;
    /// The kernel's flags.
    sq_flags_word = sq.kflags;
    /// Completions taken.
    cq_head_word = cq.khead;
    /// Completions posted.
    cq_tail_word = cq.ktail;
    /// Our flags; the pointer may be null, see [`Handle::cq_flags`].
    cq_flags_word = cq.kflags;
}

impl Handle {
    /// # Safety
    ///
    /// `ring` must point to a `struct io_uring` that is set up and stays so for as long as the handle is used; the
    /// functions that set one up may only use fields, no shared words, until they have filled those in.
    #[inline(always)]
    pub(crate) unsafe fn new(ring: *mut IoUring) -> Self {
        Self(ring)
    }

    /// Whether all of these flags were asked for at set-up.
    #[inline(always)]
    pub(crate) fn is_set_up(self, flags: SetupFlags) -> bool {
        self.flags() & flags.bits() == flags.bits()
    }

    /// Whether the kernel can do this.
    #[inline(always)]
    pub(crate) fn can(self, features: Features) -> bool {
        self.features() & features.bits() == features.bits()
    }

    /// Whether any of these internal flags is set.
    #[inline(always)]
    pub(crate) fn has(self, flags: u8) -> bool {
        self.internal() & flags != 0
    }

    /// The flags that go along with every enter.
    #[inline(always)]
    pub(crate) fn enter_flags(self) -> c_uint {
        (self.internal() & internal::ENTER).into()
    }

    /// 1 if entries have 128 bytes, else 0.
    #[inline(always)]
    pub(crate) fn sqe_shift(self) -> c_uint {
        self.is_set_up(SetupFlags::SQE128).into()
    }

    /// 1 if all completions have 32 bytes, else 0.
    #[inline(always)]
    pub(crate) fn cqe_shift(self) -> c_uint {
        self.is_set_up(SetupFlags::CQE32).into()
    }

    /// How many entries the kernel has taken, such that their places may be written again.
    #[inline(always)]
    pub(crate) fn sq_head(self) -> c_uint {
        // A thread of the kernel's may just have read the entry. Without one, it was read in a call of ours.
        let order = if self.is_set_up(SetupFlags::SQPOLL) { Ordering::Acquire } else { Ordering::Relaxed };
        self.sq_head_word().load(order)
    }

    /// How many entries the kernel has taken, for counting only.
    #[inline(always)]
    pub(crate) fn sq_head_for_counting(self) -> c_uint {
        self.sq_head_word().load(Ordering::Relaxed)
    }

    /// Shows the entries before `tail` to the kernel.
    #[inline(always)]
    pub(crate) fn publish(self, tail: c_uint) {
        let order = if self.is_set_up(SetupFlags::SQPOLL) { Ordering::Release } else { Ordering::Relaxed };
        self.sq_tail_word().store(tail, order);
    }

    /// The kernel's flags.
    #[inline(always)]
    pub(crate) fn sq_flags(self) -> SqRingFlags {
        SqRingFlags::from_bits_retain(self.sq_flags_word().load(Ordering::Relaxed))
    }

    /// The kernel's flags, no older than our last [`publish`](Self::publish): either its thread has seen the new
    /// tail or we see that it wants to be woken.
    #[inline(always)]
    pub(crate) fn sq_flags_after_publish(self) -> SqRingFlags {
        fence(Ordering::SeqCst);
        self.sq_flags()
    }

    /// How many completions we have taken. Only we write it.
    #[inline(always)]
    pub(crate) fn cq_head(self) -> c_uint {
        self.cq_head_word().load(Ordering::Relaxed)
    }

    /// How many completions the kernel has posted.
    #[inline(always)]
    pub(crate) fn cq_tail(self) -> c_uint {
        self.cq_tail_word().load(Ordering::Acquire)
    }

    /// Gives the places of `count` more completions back.
    #[inline(always)]
    pub(crate) fn take(self, count: c_uint) {
        if count != 0 {
            self.cq_head_word().store(self.cq_head().wrapping_add(count), Ordering::Release);
        }
    }

    /// The word of our flags to the kernel, if the kernel has one.
    pub(crate) fn cq_flags<'a>(self) -> Option<&'a AtomicU32> {
        // SAFETY: the pointer is valid, as `new` was promised.
        let missing = unsafe { (*self.0).cq.kflags.is_null() };
        if missing { None } else { Some(self.cq_flags_word()) }
    }

    /// The place of entry `index`, which wraps around.
    #[inline(always)]
    pub(crate) fn sqe(self, index: c_uint) -> *mut Sqe {
        let place = ((index & self.sq_mask()) << self.sqe_shift()) as usize;
        self.sqes().wrapping_add(place)
    }

    /// The place of completion `index`, which wraps around.
    #[inline(always)]
    pub(crate) fn cqe(self, index: c_uint) -> *mut Cqe {
        let place = ((index & self.cq_mask()) << self.cqe_shift()) as usize;
        self.cqes().wrapping_add(place)
    }
}

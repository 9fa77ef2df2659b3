//! Time: the processor's counter, measured once against the timer chip, and the timer's ticks.
//!
//! The chip interrupts every [`TICK`](ouzel_kernel_abi::TICK) nanoseconds or a little more; the counter tells the time in between.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::instructions::interrupts;
use x86_64::instructions::port::Port;

/// Ticks over which the counter is measured.
const MEASURED: u64 = 8;
/// The chip's own rate, and what it is divided by: a thousand interrupts in a second.
const CHIP_RATE: u64 = 1_193_182;
const DIVISOR: u64 = 1193;

static TICKS: AtomicU64 = AtomicU64::new(0);
static RATE: AtomicU64 = AtomicU64::new(0);
static BOOTED: AtomicU64 = AtomicU64::new(0);

/// Reads the counter.
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Starts the chip, and measures the counter. Interrupts must be set up; they are on while this lasts.
pub fn start() {
    // SAFETY: the ports of the timer chip: channel 0, both bytes, rate generator.
    unsafe {
        Port::<u8>::new(0x43).write(0x34);
        Port::<u8>::new(0x40).write(DIVISOR as u8);
        Port::<u8>::new(0x40).write((DIVISOR >> 8) as u8);
    }
    let wait_for = |ticks| {
        while TICKS.load(Ordering::Relaxed) < ticks {
            interrupts::enable_and_hlt();
            interrupts::disable();
        }
        counter()
    };
    let begin = wait_for(1);
    let end = wait_for(1 + MEASURED);
    RATE.store((end - begin) * CHIP_RATE / (DIVISOR * MEASURED), Ordering::Relaxed);
    BOOTED.store(begin, Ordering::Relaxed);
}

/// A tick came.
pub fn tick() {
    TICKS.fetch_add(1, Ordering::Relaxed);
}

/// Units of the counter in a second.
pub fn counter_rate() -> u64 {
    RATE.load(Ordering::Relaxed)
}

/// Nanoseconds since the clock was started; 0 before.
pub fn now() -> u64 {
    let rate = u128::from(counter_rate());
    let passed = u128::from(counter().saturating_sub(BOOTED.load(Ordering::Relaxed)));
    (passed * 1_000_000_000).checked_div(rate).unwrap_or(0) as u64
}

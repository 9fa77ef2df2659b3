//! What the boot loader tells, and the code that runs before Rust.

use core::arch::global_asm;
use core::ptr;

use crate::memory::{IMAGE, direct};

global_asm!(include_str!("boot.s"), options(att_syntax));

unsafe extern "C" {
    static kernel_end: u8;
}

/// What the start information begins with, and the kind of memory that can be used.
const MAGIC: u32 = 0x336e_c578;
const USABLE: u32 = 1;
/// The direct map's end.
const MAPPED: u64 = 1 << 30;

/// `struct hvm_start_info` of Xen's `public/arch-x86/hvm/start_info.h`, version 1.
#[repr(C)]
#[derive(Clone, Copy)]
struct Information {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    module_list: u64,
    command: u64,
    acpi: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Module {
    address: u64,
    length: u64,
    command: u64,
    reserved: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Range {
    address: u64,
    length: u64,
    kind: u32,
    reserved: u32,
}

/// What the kernel needs of it.
pub struct Booted {
    /// The initrd.
    pub archive: &'static [u8],
    /// The command line.
    pub command: &'static [u8],
    /// The first byte behind the image and the initrd, and the end of that piece of memory.
    pub free: u64,
    /// See `free`.
    pub end: u64,
}

/// Reads what is at this physical address.
pub fn read(information: u32) -> Booted {
    // SAFETY: here and below, the boot loader has put it there, in memory that the boot code has mapped and nobody writes
    // before it has been read. The initrd and the command line stay where they are for ever.
    let information = unsafe { direct(information.into()).cast::<Information>().read() };
    assert!(information.magic == MAGIC && information.version >= 1, "not booted by a PVH boot loader");
    assert!(information.modules == 1, "one initrd is needed: QEMU's -initrd");
    // SAFETY: as above.
    let module = unsafe { direct(information.module_list).cast::<Module>().read() };
    // SAFETY: as above; it ends in a NUL.
    let command = unsafe { core::ffi::CStr::from_ptr(direct(information.command).cast()) }.to_bytes();
    let image_end = (&raw const kernel_end) as u64 - IMAGE;
    // SAFETY: as above.
    let archive = unsafe { &*ptr::slice_from_raw_parts(direct(module.address), module.length as usize) };
    let mut end = 0;
    for number in 0..information.memory_map_entries as usize {
        // SAFETY: as above.
        let range = unsafe { direct(information.memory_map).cast::<Range>().add(number).read() };
        if range.kind == USABLE && range.address <= image_end && image_end < range.address + range.length {
            end = (range.address + range.length).min(MAPPED);
        }
    }
    // The initrd lies at the end of memory as often as behind the image.
    let (first, last) = (module.address, module.address + module.length);
    let above = end.saturating_sub(last) > first.saturating_sub(image_end);
    let (free, end) = if above { (last.max(image_end), end) } else { (image_end, first) };
    Booted { archive, command, free, end }
}

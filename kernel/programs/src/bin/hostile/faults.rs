//! What a program may try that is not for it.
//!
//! Each is unsafe as it can be, for the process that does it and nobody else: it ends by it, or nothing of it has changed.
#![allow(clippy::undocumented_unsafe_blocks)]

use core::arch::asm;

use ouzel_kernel_abi::{SIGNAL_FAULT, SIGNAL_ILLEGAL};
use ouzel_kernel_user::calls::system_call;
use ouzel_ring::Errno;

use crate::children::child;

/// All of it, by name, with the signal that the process gets: 0 where the kernel only refuses.
pub const FAULTS: &[(&str, u32, unsafe fn())] = &[
    ("a read of address 0", SIGNAL_FAULT, || unsafe { asm!("mov {0}, [{0}]", inout(reg) 0u64 => _) }),
    ("a read of the kernel", SIGNAL_FAULT, || unsafe {
        asm!("mov {0}, [{0}]", inout(reg) 0xffff_ffff_8010_0000u64 => _)
    }),
    ("a write to the kernel", SIGNAL_FAULT, || unsafe {
        asm!("mov [{0}], {0}", in(reg) 0xffff_ffff_8010_0000u64)
    }),
    ("a read of the direct map", SIGNAL_FAULT, || unsafe {
        asm!("mov {0}, [{0}]", inout(reg) 0xffff_8000_0000_0000u64 => _)
    }),
    ("an address that is none", SIGNAL_FAULT, || unsafe {
        asm!("mov {0}, [{0}]", inout(reg) 0x8000_0000_0000_0000u64 => _)
    }),
    ("a write to code", SIGNAL_FAULT, || unsafe {
        asm!("mov [{0}], {0}", in(reg) child as *const () as u64)
    }),
    ("data as code", SIGNAL_FAULT, || unsafe {
        let bytes = [0xc3u8; 16];
        asm!("call {0}", in(reg) bytes.as_ptr(), clobber_abi("C"));
    }),
    ("a jump into the kernel", SIGNAL_FAULT, || unsafe {
        asm!("jmp {0}", in(reg) 0xffff_ffff_8010_0000u64, options(noreturn))
    }),
    ("a jump to an address that is none", SIGNAL_FAULT, || unsafe {
        asm!("jmp {0}", in(reg) 0x0000_8000_0000_0000u64, options(noreturn))
    }),
    ("ud2", SIGNAL_ILLEGAL, || unsafe { asm!("ud2") }),
    ("a division by zero", SIGNAL_FAULT, || unsafe {
        asm!("div {0:e}", in(reg) 0u32, inout("eax") 1u32 => _, inout("edx") 0u32 => _)
    }),
    ("hlt", SIGNAL_FAULT, || unsafe { asm!("hlt") }),
    ("cli", SIGNAL_FAULT, || unsafe { asm!("cli") }),
    ("sti", SIGNAL_FAULT, || unsafe { asm!("sti") }),
    ("out", SIGNAL_FAULT, || unsafe { asm!("out 0xf4, al", in("al") 0u8) }),
    ("in", SIGNAL_FAULT, || unsafe { asm!("in al, 0x60", out("al") _) }),
    ("wrmsr", SIGNAL_FAULT, || unsafe {
        asm!("wrmsr", in("ecx") 0xc000_0082u32, in("eax") 0u32, in("edx") 0u32)
    }),
    ("a write to cr3", SIGNAL_FAULT, || unsafe { asm!("mov cr3, {0}", in(reg) 0u64) }),
    ("lidt", SIGNAL_FAULT, || unsafe { asm!("lidt [{0}]", in(reg) &[0u64; 2]) }),
    ("int of the timer", SIGNAL_FAULT, || unsafe { asm!("int 32") }),
    ("int of a page fault", SIGNAL_FAULT, || unsafe { asm!("int 14") }),
    ("int 0x80", SIGNAL_FAULT, || unsafe { asm!("int 0x80") }),
    ("int3", SIGNAL_FAULT, || unsafe { asm!("int3") }),
    ("iret to ring 0", SIGNAL_FAULT, || unsafe {
        asm!("push 0x10", "push rsp", "push 0x202", "push 8", "push {0}", "iretq", in(reg) child as *const (),
            options(noreturn))
    }),
    ("a stack that overflows", SIGNAL_FAULT, || {
        deeper(0);
    }),
    ("a single step", SIGNAL_FAULT, || unsafe {
        asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop", "nop")
    }),
    ("a system call that is single-stepped", SIGNAL_FAULT, || unsafe {
        asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "syscall", inout("rax") 77u64 => _, out("rcx") _,
            out("r11") _)
    }),
    ("a system call without a stack", SIGNAL_FAULT, || unsafe {
        asm!("mov rsp, 8", "syscall", "push rax", in("rax") 77u64, options(noreturn))
    }),
    ("a system call with the stack in the kernel", SIGNAL_FAULT, || unsafe {
        asm!("mov rsp, {0}", "syscall", "push rax", in(reg) 0xffff_ffff_8020_0000u64, in("rax") 77u64,
            options(noreturn))
    }),
    ("a fault without a stack", SIGNAL_ILLEGAL, || unsafe { asm!("xor esp, esp", "ud2", options(noreturn)) }),
    ("a system call that counts down, is aligned and nested", 0, || unsafe {
        asm!("std", "pushfq", "or qword ptr [rsp], 0x44000", "popfq", "syscall", "pushfq",
            "and qword ptr [rsp], ~0x44000", "popfq", "cld", inout("rax") 77u64 => _, out("rcx") _, out("r11") _)
    }),
    ("system calls with odd numbers", 0, || unsafe {
        for number in (3..64).chain([1 << 31, 1 << 32, 1 << 63, u64::MAX, u64::MAX - 1]) {
            assert!(system_call(number, [number; 4]) == -i64::from(Errno::ENOSYS.raw()));
        }
    }),
];

/// Uses a page of stack, and more.
#[inline(never)]
#[allow(unconditional_recursion)]
fn deeper(depth: u64) -> u64 {
    let page = core::hint::black_box([depth; 512]);
    deeper(depth + 1) + page[(depth % 512) as usize]
}

//! The ways into the kernel: the tables that the processor wants, and what is done about an interrupt, an exception or a call.
//!
//! Ring 0 is interrupted only where it halts or pauses, which no code of `core` does, so that may use the red zone as it was compiled to.
//! An exception of the kernel itself is a mistake, and panics. One of a program ends that program.

use core::arch::global_asm;
use core::cell::UnsafeCell;

use ouzel_kernel_abi::{SIGNAL_FAULT, SIGNAL_ILLEGAL};
use x86_64::instructions::port::Port;
use x86_64::instructions::segmentation::{CS, SS, Segment};
use x86_64::instructions::tables::{lidt, load_tss};
use x86_64::registers::control::Cr2;
use x86_64::registers::model_specific::Msr;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;
use x86_64::{PrivilegeLevel, VirtAddr};

use crate::{calls, clock, console, process, scheme, thread};

global_asm!(include_str!("entry.s"), options(att_syntax));

unsafe extern "C" {
    static stubs: [[u8; 16]; VECTORS];
    static mut kernel_stack: u64;
    fn enter_by_syscall();
    fn leave();
    /// Keeps what a function must keep, stores the stack pointer at `save`, and goes on with the stack at `to`.
    pub fn switch_stack(save: *mut u64, to: u64);
}

/// Exceptions, and the lines of the two interrupt controllers.
const VECTORS: usize = 48;
/// The line of the timer chip.
const TIMER: u64 = 32;
/// What `entry.s` says for a system call.
const SYSTEM_CALL: u64 = 256;

/// Registers of whoever was interrupted, in the order in which `entry.s` pushes them, the last first.
#[repr(C)]
#[derive(Default)]
pub struct Frame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rbp: u64,
    rdi: u64,
    rsi: u64,
    rdx: u64,
    rcx: u64,
    rbx: u64,
    rax: u64,
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

impl Frame {
    /// What a new thread leaves the kernel with: interrupts on, in ring 3.
    pub fn of_user(entry: u64, stack_pointer: u64, argument: u64) -> Frame {
        Frame {
            rip: entry,
            rsp: stack_pointer,
            rdi: argument,
            cs: 0x23,
            ss: 0x1b,
            rflags: 0x202,
            ..Frame::default()
        }
    }

    fn is_user(&self) -> bool {
        self.cs & 3 == 3
    }
}

/// Where a new thread begins: in `entry.s`, on the way out.
pub fn leave_address() -> u64 {
    leave as *const () as u64
}

/// The tables, which the processor reads and the kernel changes in one place.
struct Tables {
    gdt: GlobalDescriptorTable,
    tss: TaskStateSegment,
    idt: [[u64; 2]; VECTORS],
    /// For a fault that has no stack to be told on.
    last_stack: [u8; 16384],
}

struct Place(UnsafeCell<Tables>);

// SAFETY: one processor; it is written by `start`, and by `set_kernel_stack` while no interrupt can come.
unsafe impl Sync for Place {}

static TABLES: Place = Place(UnsafeCell::new(Tables {
    gdt: GlobalDescriptorTable::new(),
    tss: TaskStateSegment::new(),
    idt: [[0; 2]; VECTORS],
    last_stack: [0; 16384],
}));

/// Loads the tables and sets the interrupt controllers up; only the timer's line is open.
pub fn start() {
    // SAFETY: once, before anything else uses them, and they live for ever.
    let tables: &'static mut Tables = unsafe { &mut *TABLES.0.get() };
    let last_stack = VirtAddr::from_ptr(&raw const tables.last_stack) + 16384u64;
    tables.tss.interrupt_stack_table[0] = last_stack.align_down(16u64);
    let code = tables.gdt.append(Descriptor::kernel_code_segment());
    let data = tables.gdt.append(Descriptor::kernel_data_segment());
    let user_data = tables.gdt.append(Descriptor::user_data_segment());
    let user_code = tables.gdt.append(Descriptor::user_code_segment());
    // SAFETY: it lives for ever.
    let tss = tables.gdt.append(unsafe { Descriptor::tss_segment_unchecked(&raw const tables.tss) });
    // `entry.s` and `Frame::of_user` know these numbers.
    assert!(
        code.0 == 8 && user_data.0 == 0x1b && user_code.0 == 0x23 && user_code.rpl() == PrivilegeLevel::Ring3
    );
    for (vector, gate) in tables.idt.iter_mut().enumerate() {
        // SAFETY: the address of a stub, of which there are as many as vectors.
        let handler = unsafe { (&raw const stubs).cast::<[u8; 16]>().add(vector) } as u64;
        let own_stack = u64::from(vector == 8);
        gate[0] =
            (handler & 0xffff) | 8 << 16 | own_stack << 32 | 0x8e00 << 32 | (handler >> 16 & 0xffff) << 48;
        gate[1] = handler >> 32;
    }
    let idt = DescriptorTablePointer {
        limit: size_of_val(&tables.idt) as u16 - 1,
        base: VirtAddr::from_ptr(&raw const tables.idt),
    };
    // SAFETY: tables that live for ever, with the kernel's segments where the code expects them.
    unsafe {
        tables.gdt.load_unsafe();
        CS::set_reg(code);
        SS::set_reg(data);
        load_tss(tss);
        lidt(&idt);
    }
    // SAFETY: STAR: the kernel's segments of `syscall`. LSTAR: its entry. FMASK: interrupts off, and the flags that
    // compiled code relies on (direction, trap, alignment check, nested task).
    unsafe {
        Msr::new(0xc000_0081).write(8 << 32);
        Msr::new(0xc000_0082).write(enter_by_syscall as *const () as u64);
        Msr::new(0xc000_0084).write(0x4_7700);
    }
    for (port, bytes) in [(0x20u16, [0x11u8, 32, 4, 1, 0xfe]), (0xa0, [0x11, 40, 2, 1, 0xff])] {
        for (number, byte) in bytes.into_iter().enumerate() {
            // SAFETY: the two controllers: start, first vector, how they hang together, mode, mask.
            unsafe { Port::<u8>::new(port + u16::from(number > 0)).write(byte) };
        }
    }
}

/// The stack for entries from ring 3.
pub fn set_kernel_stack(end: u64) {
    // SAFETY: interrupts are off, and a field of what lives for ever is written whole.
    unsafe {
        (&raw mut (*TABLES.0.get()).tss.privilege_stack_table)
            .cast::<VirtAddr>()
            .write_unaligned(VirtAddr::new(end));
        kernel_stack = end;
    }
}

/// Called by `entry.s`, with interrupts off.
#[unsafe(no_mangle)]
extern "C" fn trap(frame: &mut Frame) {
    let is_user = frame.is_user();
    match frame.vector {
        SYSTEM_CALL => {
            let arguments = [frame.rdi, frame.rsi, frame.rdx, frame.r10];
            frame.rax = calls::call(frame.rax, arguments) as u64;
        }
        TIMER => {
            // SAFETY: the end of the interrupt, for the first controller.
            unsafe { Port::<u8>::new(0x20).write(0x20) };
            clock::tick();
            if crate::is_running() {
                tick();
                if is_user {
                    thread::let_others();
                }
            }
        }
        // A line that nobody opened: the controller could not say which.
        vector if vector > TIMER => {}
        vector if is_user => process::current_faults(if vector == 6 { SIGNAL_ILLEGAL } else { SIGNAL_FAULT }),
        vector => panic!(
            "exception {vector} (error {:#x}) in the kernel at {:#x}, address {:#x}, stack {:#x}",
            frame.error,
            frame.rip,
            Cr2::read_raw(),
            frame.rsp
        ),
    }
    if is_user {
        process::leave_if_told();
    }
}

/// What is done a thousand times a second, whoever runs.
fn tick() {
    let now = clock::now();
    console::poll();
    crate::block::tick();
    scheme::tick();
    thread::tick(now);
}

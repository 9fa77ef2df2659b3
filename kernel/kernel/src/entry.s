# Every way into the kernel and out of it. Whatever the way, the thread's kernel stack then holds a `Frame`, and below it the
# vector state as FXSAVE writes it; whoever leaves gets both back, so nothing of the kernel's is left in a register.

.text
.code64

# A system call: the processor has left rsp as it was, rip in rcx and rflags in r11. Interrupts are off.
.global enter_by_syscall
enter_by_syscall:
    movq %rsp, user_stack(%rip)
    movq kernel_stack(%rip), %rsp
    pushq $0x1b                         # ss: user data
    pushq user_stack(%rip)
    pushq %r11
    pushq $0x23                         # cs: user code
    pushq %rcx
    pushq $0
    pushq $256                          # the vector that stands for a system call
    jmp enter

# An interrupt or exception: the processor has pushed ss to rip, and the stub an error code, if need be, and the vector.
enter:
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %rbp
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %rbp
    subq $512, %rsp
    andq $-64, %rsp
    fxsave64 (%rsp)
    movq %rsp, %rbx
    ldmxcsr kernel_mxcsr(%rip)
    cld
    movq %rbp, %rdi
    callq trap
.global leave
leave:
    fxrstor64 (%rbx)
    movq %rbp, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rbp
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
    addq $16, %rsp
    iretq

# switch_stack(*mut u64, u64): keeps what a function must keep, notes the stack where the first argument says, and goes on
# with the other one. Vector registers need not be kept across a call. The selectors are those of ring 3, which the kernel
# does not use.
.global switch_stack
switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movl %ds, %eax
    pushq %rax
    movl %es, %eax
    pushq %rax
    pushq %fs
    pushq %gs
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %gs
    popq %fs
    popq %rax
    movl %eax, %es
    popq %rax
    movl %eax, %ds
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    retq

# 48 stubs, 16 bytes each: the exceptions, then the lines of the interrupt controllers.
.align 16
.global stubs
stubs:
.set vector, 0
.rept 48
    .align 16
    # These push an error code themselves.
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    pushq $0
    .endif
    pushq $vector
    jmp enter
    .set vector, vector + 1
.endr

.section .rodata
.align 4
kernel_mxcsr:
    .long 0x1f80

.bss
.align 8
.global user_stack
user_stack: .quad 0
.global kernel_stack
kernel_stack: .quad 0

# From the boot loader to Rust. QEMU's loader finds the note, puts the image where it is linked and jumps to `boot` in 32-bit
# protected mode, paging off, with the address of its start information in ebx.

.section .note.pvh, "a", @note
    .align 4
    .long 4, 8, 18                      # lengths of name and descriptor; XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad boot

.section .boot, "awx", @progbits
.code32
.global boot
boot:
    cli
    cld
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $((1 << 5) | (1 << 9) | (1 << 10)), %eax    # PAE, OSFXSR, OSXMMEXCPT
    movl %eax, %cr4
    movl $0xc0000080, %ecx                          # EFER
    rdmsr
    orl $((1 << 0) | (1 << 8) | (1 << 11)), %eax    # SCE, LME, NXE
    wrmsr
    movl %cr0, %eax
    andl $~((1 << 2) | (1 << 3)), %eax              # EM, TS
    orl $0x80010023, %eax                           # PG, WP, NE, MP, PE
    movl %eax, %cr0
    lgdt boot_gdt_pointer
    ljmp $8, $boot_long

.code64
boot_long:
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movabsq $boot_stack_end, %rsp
    movl %ebx, %edi
    xorl %ebp, %ebp
    movabsq $start, %rax
    callq *%rax
0:  hlt
    jmp 0b

.align 8
boot_gdt:
    .quad 0, 0x00af9b000000ffff
boot_gdt_pointer:
    .word 15
    .long boot_gdt

# The first GiB of memory, three times: where it is (until paging is set up), as the direct map, and where the kernel is linked.
.align 4096
boot_pml4:
    .quad boot_pdpt + 3
    .zero 255 * 8
    .quad boot_pdpt + 3
    .zero 254 * 8
    .quad boot_pdpt_high + 3
boot_pdpt:
    .quad boot_pd + 3
    .zero 511 * 8
boot_pdpt_high:
    .zero 510 * 8
    .quad boot_pd + 3
    .quad 0
boot_pd:
    .set address, 0x83
    .rept 512
    .quad address
    .set address, address + 0x200000
    .endr

.section .bss
.align 16
    .zero 65536
boot_stack_end:

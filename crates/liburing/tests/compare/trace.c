/*
 * Runs a program and writes down the system calls by which a ring library does its work, with what their pointers lead
 * to. Nothing is written before the program first writes to descriptor -1, and each such write is a heading: that way
 * the program says what it is about to do.
 *
 *     trace OUTPUT PROGRAM ARGUMENTS...
 *
 * Addresses are not written, for they differ from library to library; everything else must not.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *output;

static void memory(pid_t child, const char *what, unsigned long address, size_t size)
{
	unsigned char bytes[256];
	struct iovec here = { bytes, size < sizeof(bytes) ? size : sizeof(bytes) };
	struct iovec there = { (void *)address, here.iov_len };

	fprintf(output, " %s", what);
	if (!address || process_vm_readv(child, &here, 1, &there, 1, 0) < 0) {
		fprintf(output, "=%s", address ? "unreadable" : "null");
		return;
	}
	for (size_t i = 0; i < here.iov_len; i++)
		fprintf(output, "%s%02x", i % 8 ? "" : " ", bytes[i]);
}

/* How much the argument of a register operation leads to. Arrays that the program made itself are left out. */
static size_t argument_size(unsigned operation, unsigned count)
{
	switch (operation) {
	case 4: case 7: return 4; /* eventfd */
	case 6: return 16; /* files update */
	case 13: case 14: case 15: case 16: return 32; /* tagged resources */
	case 17: return count; /* a mask */
	case 19: return 8; /* workers */
	case 20: case 21: return 16 * count; /* ring descriptors */
	case 22: case 23: case 26: return 40; /* buffer rings */
	case 24: case 31: return 64; /* cancel, message */
	case 25: case 27: case 28: case 29: return 16; /* slots, polling, clock */
	case 30: case 34: return 32; /* cloned buffers, regions */
	case 32: return 96; /* receive queues */
	case 33: return 12; /* sizes */
	case 35: return 40; /* questions */
	case 36: case 37: return 72; /* control, filters */
	default: return 0;
	}
}

static void before(pid_t child, const struct user_regs_struct *r)
{
	unsigned operation = (unsigned)r->rsi & 0x7fffffff;

	switch (r->orig_rax) {
	case 425:
		fprintf(output, "io_uring_setup entries=%u", (unsigned)r->rdi);
		memory(child, "params", r->rsi, 40);
		break;
	case 426:
		fprintf(output, "io_uring_enter fd=%d submit=%u wait=%u flags=%#x size=%lu", (int)r->rdi, (unsigned)r->rsi,
			(unsigned)r->rdx, (unsigned)r->r10, (unsigned long)r->r9);
		if (r->r10 & 64)
			fprintf(output, " offset=%lu", (unsigned long)r->r8);
		else
			memory(child, "argument", r->r8, r->r9);
		break;
	case 427:
		fprintf(output, "io_uring_register fd=%d operation=%#x count=%u", (int)r->rdi, (unsigned)r->rsi,
			(unsigned)r->r10);
		memory(child, "argument", r->rdx, argument_size(operation, (unsigned)r->r10));
		break;
	case 9:
		fprintf(output, "mmap length=%lu protection=%#lx flags=%#lx fd=%d offset=%#lx", (unsigned long)r->rsi,
			(unsigned long)r->rdx, (unsigned long)r->r10, (int)r->r8, (unsigned long)r->r9);
		break;
	case 11:
		fprintf(output, "munmap length=%lu", (unsigned long)r->rsi);
		break;
	case 28:
		fprintf(output, "madvise length=%lu advice=%lu", (unsigned long)r->rsi, (unsigned long)r->rdx);
		break;
	case 3:
		fprintf(output, "close fd=%d", (int)r->rdi);
		break;
	case 302:
		fprintf(output, "prlimit64 resource=%d", (int)r->rsi);
		if (r->rdx)
			memory(child, "new", r->rdx, 16);
		break;
	default:
		fprintf(output, "system call %lld", (long long)r->orig_rax);
	}
}

int main(int count, char **arguments)
{
	int status, begun = 0, inside = 0;
	pid_t child;

	if (count < 3 || !(output = fopen(arguments[1], "w")))
		return 2;
	child = fork();
	if (child == 0) {
		personality(ADDR_NO_RANDOMIZE);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		execv(arguments[2], arguments + 2);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 ||
	    ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
		return 2;
	for (;;) {
		struct user_regs_struct registers;
		int signal = 0;

		if (WIFSTOPPED(status) && WSTOPSIG(status) != (SIGTRAP | 0x80) && WSTOPSIG(status) != SIGTRAP &&
		    WSTOPSIG(status) != SIGSTOP)
			signal = WSTOPSIG(status);
		if (ptrace(PTRACE_SYSCALL, child, NULL, signal) < 0 || waitpid(child, &status, 0) < 0)
			return 2;
		if (WIFEXITED(status))
			break;
		if (WIFSIGNALED(status))
			return 3;
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		if (ptrace(PTRACE_GETREGS, child, NULL, &registers) < 0)
			return 2;
		inside = !inside;
		if (registers.orig_rax == 1 && (int)registers.rdi == -1) {
			char heading[128] = "";
			struct iovec here = { heading, registers.rdx < 127 ? registers.rdx : 127 };
			struct iovec there = { (void *)registers.rsi, here.iov_len };

			begun = 1;
			if (inside && process_vm_readv(child, &here, 1, &there, 1, 0) > 0)
				fprintf(output, "== %s\n", heading);
			continue;
		}
		if (!begun)
			continue;
		if (inside)
			before(child, &registers);
		else if (registers.orig_rax == 9)
			/* Where it was mapped does not matter. */
			fprintf(output, " -> %s\n", (long)registers.rax < 0 && (long)registers.rax > -4096 ?
				strerror(-(int)registers.rax) : "mapped");
		else
			fprintf(output, " -> %lld\n", (long long)registers.rax);
	}
	fclose(output);
	return WEXITSTATUS(status);
}

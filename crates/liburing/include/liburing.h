/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The C interface of liburing 2.15, for ouzel-liburing. Part of Ouzel.
 *
 * Functions that are declared here are in liburing.so.2. Those that are defined here are compiled into the program;
 * liburing-ffi.so.2 has them too, for languages that cannot compile C. Functions that return int return 0 or a count,
 * or a negated errno; they do not touch errno. Each has a manual page in section 3 of liburing's documentation.
 */
#ifndef LIB_URING_H
#define LIB_URING_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <linux/filter.h>

#include "liburing/compat.h"
#include "liburing/io_uring.h"
#include "liburing/io_uring/bpf_filter.h"
#include "liburing/io_uring/query.h"
#include "liburing/io_uring_version.h"

/* How the functions that are defined here are to be compiled; a program may say so itself. */
#ifndef IOURINGINLINE
#if defined(__cplusplus) && __cplusplus >= 202002L
#define IOURINGINLINE inline
#else
#define IOURINGINLINE static inline
#endif
#endif

/* The same for helpers that no library has. */
#if defined(__cplusplus) && __cplusplus >= 202002L
#define _OUZEL_LOCAL inline
#else
#define _OUZEL_LOCAL static inline
#endif

#ifdef __cplusplus
#define LIBURING_NOEXCEPT noexcept
#else
#define LIBURING_NOEXCEPT
#endif

#include "liburing/barrier.h"

#ifndef uring_likely
#define uring_likely(condition) __builtin_expect(!!(condition), 1)
#endif
#ifndef uring_unlikely
#define uring_unlikely(condition) __builtin_expect(!!(condition), 0)
#endif

/* The system calls have these numbers on all machines but two. */
#ifndef __NR_io_uring_setup
#if defined(__alpha__)
#define __NR_io_uring_setup 535
#define __NR_io_uring_enter 536
#define __NR_io_uring_register 537
#elif defined(__mips__)
#define __NR_io_uring_setup (__NR_Linux + 425)
#define __NR_io_uring_enter (__NR_Linux + 426)
#define __NR_io_uring_register (__NR_Linux + 427)
#else
#define __NR_io_uring_setup 425
#define __NR_io_uring_enter 426
#define __NR_io_uring_register 427
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Structures. Their layout is part of the ABI: the functions below access the fields. ---- */

/* Names that begin with k point into memory shared with the kernel. */
struct io_uring_sq {
	unsigned *khead;
	unsigned *ktail;
	unsigned *kring_mask; /* use ring_mask */
	unsigned *kring_entries; /* use ring_entries */
	unsigned *kflags;
	unsigned *kdropped;
	unsigned *array; /* NULL in rings that have none */
	struct io_uring_sqe *sqes;

	unsigned sqe_head; /* the first entry that is not published */
	unsigned sqe_tail; /* the entry to hand out next */

	size_t ring_sz;
	void *ring_ptr;

	unsigned ring_mask;
	unsigned ring_entries;

	unsigned sqes_sz;
	unsigned pad;
};

struct io_uring_cq {
	unsigned *khead;
	unsigned *ktail;
	unsigned *kring_mask; /* use ring_mask */
	unsigned *kring_entries; /* use ring_entries */
	unsigned *kflags; /* NULL if the kernel has none */
	unsigned *koverflow;
	struct io_uring_cqe *cqes;

	size_t ring_sz;
	void *ring_ptr;

	unsigned ring_mask;
	unsigned ring_entries;

	unsigned pad[2];
};

struct io_uring {
	struct io_uring_sq sq;
	struct io_uring_cq cq;
	unsigned flags; /* IORING_SETUP_* */
	int ring_fd; /* -1 if there is none */

	unsigned features; /* IORING_FEAT_* */
	int enter_ring_fd; /* the descriptor or a registered index */
	__u8 int_flags;
	__u8 pad[3];
	unsigned pad2;
};

/* The refill ring of zero-copy receive, for programs to keep it in */
struct io_uring_zcrx_rq {
	__u32 *khead;
	__u32 *ktail;
	__u32 rq_tail;
	unsigned ring_entries;

	struct io_uring_zcrx_rqe *rqes;
	void *ring_ptr;
};

/* A walk over the completions that were there when it began */
struct io_uring_cqe_iter {
	struct io_uring_cqe *cqes;
	unsigned mask;
	unsigned shift;
	unsigned head;
	unsigned tail;
};

struct epoll_event;
struct futex_waitv;
struct statx;

/* The user data of timeouts that the library submits itself, on kernels without IORING_FEAT_EXT_ARG */
#define LIBURING_UDATA_TIMEOUT ((__u64)-1)

/* There are io_uring_sqe_set_data64() and io_uring_cqe_get_data64(). */
#define LIBURING_HAVE_DATA64

/* ---- Rings ---- */

int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags) LIBURING_NOEXCEPT;
int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params)
	LIBURING_NOEXCEPT;
int io_uring_queue_init_mem(unsigned entries, struct io_uring *ring, struct io_uring_params *params, void *memory,
			    size_t size) LIBURING_NOEXCEPT;
int io_uring_queue_mmap(int fd, struct io_uring_params *params, struct io_uring *ring) LIBURING_NOEXCEPT;
void io_uring_queue_exit(struct io_uring *ring) LIBURING_NOEXCEPT;
int io_uring_ring_dontfork(struct io_uring *ring) LIBURING_NOEXCEPT;
int io_uring_resize_rings(struct io_uring *ring, struct io_uring_params *params) LIBURING_NOEXCEPT;
int io_uring_enable_rings(struct io_uring *ring) LIBURING_NOEXCEPT;
int io_uring_set_iowait(struct io_uring *ring, bool counts) LIBURING_NOEXCEPT;

ssize_t io_uring_mlock_size(unsigned entries, unsigned flags) LIBURING_NOEXCEPT;
ssize_t io_uring_mlock_size_params(unsigned entries, struct io_uring_params *params) LIBURING_NOEXCEPT;
ssize_t io_uring_memory_size(unsigned entries, unsigned flags) LIBURING_NOEXCEPT;
ssize_t io_uring_memory_size_params(unsigned entries, struct io_uring_params *params) LIBURING_NOEXCEPT;

/* ---- Submitting and waiting ---- */

int io_uring_submit(struct io_uring *ring) LIBURING_NOEXCEPT;
int io_uring_submit_and_wait(struct io_uring *ring, unsigned wait) LIBURING_NOEXCEPT;
int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait,
				     struct __kernel_timespec *time, sigset_t *signals) LIBURING_NOEXCEPT;
int io_uring_submit_and_wait_min_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait,
					 struct __kernel_timespec *time, unsigned min_wait, sigset_t *signals)
	LIBURING_NOEXCEPT;
int io_uring_submit_and_wait_reg(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait, int index)
	LIBURING_NOEXCEPT;
int io_uring_submit_and_get_events(struct io_uring *ring) LIBURING_NOEXCEPT;
int io_uring_get_events(struct io_uring *ring) LIBURING_NOEXCEPT;
int io_uring_wait_cqes(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait,
		       struct __kernel_timespec *time, sigset_t *signals) LIBURING_NOEXCEPT;
int io_uring_wait_cqes_min_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait,
				   struct __kernel_timespec *time, unsigned int min_wait, sigset_t *signals)
	LIBURING_NOEXCEPT;
int io_uring_wait_cqe_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, struct __kernel_timespec *time)
	LIBURING_NOEXCEPT;
unsigned io_uring_peek_batch_cqe(struct io_uring *ring, struct io_uring_cqe **cqes, unsigned count)
	LIBURING_NOEXCEPT;

/* What functions below call */
int __io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned submit, unsigned wait,
		       sigset_t *signals) LIBURING_NOEXCEPT;
int __io_uring_sqring_wait(struct io_uring *ring) LIBURING_NOEXCEPT;

/* ---- Registering ---- */

int io_uring_register_buffers(struct io_uring *ring, const struct iovec *buffers, unsigned count) LIBURING_NOEXCEPT;
int io_uring_register_buffers_tags(struct io_uring *ring, const struct iovec *buffers, const __u64 *tags,
				   unsigned count) LIBURING_NOEXCEPT;
int io_uring_register_buffers_sparse(struct io_uring *ring, unsigned count) LIBURING_NOEXCEPT;
int io_uring_register_buffers_update_tag(struct io_uring *ring, unsigned offset, const struct iovec *buffers,
					 const __u64 *tags, unsigned count) LIBURING_NOEXCEPT;
int io_uring_unregister_buffers(struct io_uring *ring) LIBURING_NOEXCEPT;
int io_uring_clone_buffers(struct io_uring *target, struct io_uring *source) LIBURING_NOEXCEPT;
int io_uring_clone_buffers_offset(struct io_uring *target, struct io_uring *source, unsigned int target_offset,
				  unsigned int source_offset, unsigned int count, unsigned int flags)
	LIBURING_NOEXCEPT;
int __io_uring_clone_buffers(struct io_uring *target, struct io_uring *source, unsigned int flags) LIBURING_NOEXCEPT;
int __io_uring_clone_buffers_offset(struct io_uring *target, struct io_uring *source, unsigned int target_offset,
				    unsigned int source_offset, unsigned int count, unsigned int flags)
	LIBURING_NOEXCEPT;

int io_uring_register_files(struct io_uring *ring, const int *files, unsigned count) LIBURING_NOEXCEPT;
int io_uring_register_files_tags(struct io_uring *ring, const int *files, const __u64 *tags, unsigned count)
	LIBURING_NOEXCEPT;
int io_uring_register_files_sparse(struct io_uring *ring, unsigned count) LIBURING_NOEXCEPT;
int io_uring_register_files_update(struct io_uring *ring, unsigned offset, const int *files, unsigned count)
	LIBURING_NOEXCEPT;
int io_uring_register_files_update_tag(struct io_uring *ring, unsigned offset, const int *files, const __u64 *tags,
				       unsigned count) LIBURING_NOEXCEPT;
int io_uring_unregister_files(struct io_uring *ring) LIBURING_NOEXCEPT;
int io_uring_register_file_alloc_range(struct io_uring *ring, unsigned first, unsigned count) LIBURING_NOEXCEPT;

int io_uring_register_ring_fd(struct io_uring *ring) LIBURING_NOEXCEPT;
int io_uring_unregister_ring_fd(struct io_uring *ring) LIBURING_NOEXCEPT;
int io_uring_close_ring_fd(struct io_uring *ring) LIBURING_NOEXCEPT;

int io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *buffers, unsigned int flags)
	LIBURING_NOEXCEPT;
int io_uring_unregister_buf_ring(struct io_uring *ring, int group) LIBURING_NOEXCEPT;
int io_uring_buf_ring_head(struct io_uring *ring, int group, uint16_t *head) LIBURING_NOEXCEPT;
struct io_uring_buf_ring *io_uring_setup_buf_ring(struct io_uring *ring, unsigned int count, int group,
						  unsigned int flags, int *error) LIBURING_NOEXCEPT;
int io_uring_free_buf_ring(struct io_uring *ring, struct io_uring_buf_ring *buffers, unsigned int count, int group)
	LIBURING_NOEXCEPT;

int io_uring_register_eventfd(struct io_uring *ring, int fd) LIBURING_NOEXCEPT;
int io_uring_register_eventfd_async(struct io_uring *ring, int fd) LIBURING_NOEXCEPT;
int io_uring_unregister_eventfd(struct io_uring *ring) LIBURING_NOEXCEPT;
int io_uring_register_personality(struct io_uring *ring) LIBURING_NOEXCEPT;
int io_uring_unregister_personality(struct io_uring *ring, int id) LIBURING_NOEXCEPT;
int io_uring_register_restrictions(struct io_uring *ring, struct io_uring_restriction *restrictions,
				   unsigned int count) LIBURING_NOEXCEPT;
#ifdef _GNU_SOURCE
int io_uring_register_iowq_aff(struct io_uring *ring, size_t size, const cpu_set_t *mask) LIBURING_NOEXCEPT;
#endif
int io_uring_unregister_iowq_aff(struct io_uring *ring) LIBURING_NOEXCEPT;
int io_uring_register_iowq_max_workers(struct io_uring *ring, unsigned int *counts) LIBURING_NOEXCEPT;
int io_uring_register_sync_cancel(struct io_uring *ring, struct io_uring_sync_cancel_reg *cancel) LIBURING_NOEXCEPT;
int io_uring_register_sync_msg(struct io_uring_sqe *message) LIBURING_NOEXCEPT;
int io_uring_register_napi(struct io_uring *ring, struct io_uring_napi *settings) LIBURING_NOEXCEPT;
int io_uring_unregister_napi(struct io_uring *ring, struct io_uring_napi *settings) LIBURING_NOEXCEPT;
int io_uring_register_clock(struct io_uring *ring, struct io_uring_clock_register *clock) LIBURING_NOEXCEPT;
int io_uring_register_region(struct io_uring *ring, struct io_uring_mem_region_reg *region) LIBURING_NOEXCEPT;
int io_uring_register_wait_reg(struct io_uring *ring, struct io_uring_reg_wait *waits, int count) LIBURING_NOEXCEPT;
int io_uring_register_ifq(struct io_uring *ring, struct io_uring_zcrx_ifq_reg *queue) LIBURING_NOEXCEPT;
int io_uring_register_zcrx_ctrl(struct io_uring *ring, struct zcrx_ctrl *control) LIBURING_NOEXCEPT;
int io_uring_register_bpf_filter(struct io_uring *ring, struct io_uring_bpf *filter) LIBURING_NOEXCEPT;
int io_uring_register_bpf_filter_task(struct io_uring_bpf *filter) LIBURING_NOEXCEPT;
int io_uring_register_query(struct io_uring_query_hdr *question) LIBURING_NOEXCEPT;

/* ---- Asking ---- */

/* The answer is to be freed with io_uring_free_probe(), or with free(). */
struct io_uring_probe *io_uring_get_probe_ring(struct io_uring *ring) LIBURING_NOEXCEPT;
struct io_uring_probe *io_uring_get_probe(void) LIBURING_NOEXCEPT;
void io_uring_free_probe(struct io_uring_probe *probe) LIBURING_NOEXCEPT;
int io_uring_register_probe(struct io_uring *ring, struct io_uring_probe *probe, unsigned count) LIBURING_NOEXCEPT;

int io_uring_major_version(void) LIBURING_NOEXCEPT;
int io_uring_minor_version(void) LIBURING_NOEXCEPT;
/* Whether a version is newer than the library, and the same at compile time for the headers */
bool io_uring_check_version(int major, int minor) LIBURING_NOEXCEPT;
#define IO_URING_CHECK_VERSION(major, minor)                                                                          \
	((major) > IO_URING_VERSION_MAJOR || ((major) == IO_URING_VERSION_MAJOR && (minor) > IO_URING_VERSION_MINOR))

IOURINGINLINE int io_uring_opcode_supported(const struct io_uring_probe *probe, int opcode) LIBURING_NOEXCEPT
{
	return opcode >= 0 && opcode <= probe->last_op && (probe->ops[opcode].flags & IO_URING_OP_SUPPORTED) ? 1 : 0;
}

/* ---- The system calls by themselves ---- */

int io_uring_setup(unsigned int entries, struct io_uring_params *params) LIBURING_NOEXCEPT;
int io_uring_enter(unsigned int fd, unsigned int to_submit, unsigned int min_complete, unsigned int flags,
		   sigset_t *signals) LIBURING_NOEXCEPT;
int io_uring_enter2(unsigned int fd, unsigned int to_submit, unsigned int min_complete, unsigned int flags,
		    void *argument, size_t size) LIBURING_NOEXCEPT;
int io_uring_register(unsigned int fd, unsigned int opcode, const void *argument, unsigned int count)
	LIBURING_NOEXCEPT;

/* ---- The submission queue ---- */

_OUZEL_LOCAL __u64 uring_ptr_to_u64(const void *pointer) LIBURING_NOEXCEPT
{
	return (__u64)(uintptr_t)pointer;
}

/* How far places are shifted: entries or completions of double size take two. */
IOURINGINLINE unsigned io_uring_sqe_shift_from_flags(unsigned flags) LIBURING_NOEXCEPT
{
	return flags & IORING_SETUP_SQE128 ? 1 : 0;
}

IOURINGINLINE unsigned io_uring_sqe_shift(const struct io_uring *ring) LIBURING_NOEXCEPT
{
	return io_uring_sqe_shift_from_flags(ring->flags);
}

IOURINGINLINE unsigned io_uring_cqe_shift_from_flags(unsigned flags) LIBURING_NOEXCEPT
{
	return flags & IORING_SETUP_CQE32 ? 1 : 0;
}

IOURINGINLINE unsigned io_uring_cqe_shift(const struct io_uring *ring) LIBURING_NOEXCEPT
{
	return io_uring_cqe_shift_from_flags(ring->flags);
}

/* How many entries were taken. If a thread of the kernel's takes them, that must be known before one is overwritten. */
IOURINGINLINE unsigned io_uring_load_sq_head(const struct io_uring *ring) LIBURING_NOEXCEPT
{
	if (ring->flags & IORING_SETUP_SQPOLL)
		return io_uring_smp_load_acquire(ring->sq.khead);
	return *ring->sq.khead;
}

IOURINGINLINE unsigned io_uring_sq_ready(const struct io_uring *ring) LIBURING_NOEXCEPT
{
	return ring->sq.sqe_tail - io_uring_load_sq_head(ring);
}

IOURINGINLINE unsigned io_uring_sq_space_left(const struct io_uring *ring) LIBURING_NOEXCEPT
{
	return ring->sq.ring_entries - io_uring_sq_ready(ring);
}

IOURINGINLINE int io_uring_sqring_wait(struct io_uring *ring) LIBURING_NOEXCEPT
{
	bool full = (ring->flags & IORING_SETUP_SQPOLL) && !io_uring_sq_space_left(ring);

	return full ? __io_uring_sqring_wait(ring) : 0;
}

/* Clears what preparing an entry does not always set. */
IOURINGINLINE void io_uring_initialize_sqe(struct io_uring_sqe *sqe) LIBURING_NOEXCEPT
{
	sqe->flags = 0;
	sqe->ioprio = 0;
	sqe->rw_flags = 0;
	sqe->buf_index = 0;
	sqe->personality = 0;
	sqe->file_index = 0;
	sqe->addr3 = 0;
	sqe->__pad2[0] = 0;
}

/* Hands out the entry at the tail, which takes so many places. */
_OUZEL_LOCAL struct io_uring_sqe *_ouzel_hand_out(struct io_uring *ring, unsigned places) LIBURING_NOEXCEPT
{
	unsigned place = (ring->sq.sqe_tail & ring->sq.ring_mask) << io_uring_sqe_shift(ring);
	struct io_uring_sqe *sqe = ring->sq.sqes + place;

	ring->sq.sqe_tail += places;
	io_uring_initialize_sqe(sqe);
	return sqe;
}

IOURINGINLINE struct io_uring_sqe *_io_uring_get_sqe(struct io_uring *ring) LIBURING_NOEXCEPT
{
	return io_uring_sq_space_left(ring) ? _ouzel_hand_out(ring, 1) : NULL;
}

IOURINGINLINE struct io_uring_sqe *io_uring_get_sqe(struct io_uring *ring) LIBURING_NOEXCEPT
{
	return _io_uring_get_sqe(ring);
}

/* ---- The completion queue ---- */

IOURINGINLINE unsigned io_uring_cqe_nr(const struct io_uring_cqe *cqe) LIBURING_NOEXCEPT
{
	return cqe->flags & IORING_CQE_F_32 ? 2 : 1;
}

IOURINGINLINE unsigned io_uring_cq_ready(const struct io_uring *ring) LIBURING_NOEXCEPT
{
	return io_uring_smp_load_acquire(ring->cq.ktail) - *ring->cq.khead;
}

IOURINGINLINE void io_uring_cq_advance(struct io_uring *ring, unsigned count) LIBURING_NOEXCEPT
{
	if (count)
		io_uring_smp_store_release(ring->cq.khead, *ring->cq.khead + count);
}

IOURINGINLINE void io_uring_cqe_seen(struct io_uring *ring, struct io_uring_cqe *cqe) LIBURING_NOEXCEPT
{
	if (cqe)
		io_uring_cq_advance(ring, io_uring_cqe_nr(cqe));
}

IOURINGINLINE struct io_uring_cqe_iter io_uring_cqe_iter_init(const struct io_uring *ring) LIBURING_NOEXCEPT
{
	struct io_uring_cqe_iter walk;

	walk.cqes = ring->cq.cqes;
	walk.mask = ring->cq.ring_mask;
	walk.shift = io_uring_cqe_shift(ring);
	walk.head = *ring->cq.khead;
	walk.tail = io_uring_smp_load_acquire(ring->cq.ktail);
	return walk;
}

IOURINGINLINE bool io_uring_cqe_iter_next(struct io_uring_cqe_iter *walk, struct io_uring_cqe **cqe) LIBURING_NOEXCEPT
{
	if (walk->head == walk->tail)
		return false;
	*cqe = walk->cqes + ((walk->head & walk->mask) << walk->shift);
	walk->head += io_uring_cqe_nr(*cqe);
	return true;
}

/* For each completion that is there; io_uring_cq_advance() afterwards gives their places back. */
#define io_uring_for_each_cqe(ring, position, cqe)                                                                    \
	for (struct io_uring_cqe_iter _ouzel_walk = io_uring_cqe_iter_init(ring);                                     \
	     (position) = _ouzel_walk.head, io_uring_cqe_iter_next(&_ouzel_walk, &(cqe)); (void)(position))

IOURINGINLINE void *io_uring_cqe_get_data(const struct io_uring_cqe *cqe) LIBURING_NOEXCEPT
{
	return (void *)(uintptr_t)cqe->user_data;
}

IOURINGINLINE __u64 io_uring_cqe_get_data64(const struct io_uring_cqe *cqe) LIBURING_NOEXCEPT
{
	return cqe->user_data;
}

IOURINGINLINE bool io_uring_cq_has_overflow(const struct io_uring *ring) LIBURING_NOEXCEPT
{
	return (IO_URING_READ_ONCE(*ring->sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0;
}

IOURINGINLINE bool io_uring_cq_eventfd_enabled(const struct io_uring *ring) LIBURING_NOEXCEPT
{
	return !ring->cq.kflags || !(*ring->cq.kflags & IORING_CQ_EVENTFD_DISABLED);
}

IOURINGINLINE int io_uring_cq_eventfd_toggle(struct io_uring *ring, bool enabled) LIBURING_NOEXCEPT
{
	if (enabled == io_uring_cq_eventfd_enabled(ring))
		return 0;
	if (!ring->cq.kflags)
		return -EOPNOTSUPP;
	IO_URING_WRITE_ONCE(*ring->cq.kflags, *ring->cq.kflags ^ IORING_CQ_EVENTFD_DISABLED);
	return 0;
}

/* Finds the first completion that means something to the program. Those that fill a gap, and those of the library's own
 * timeouts, are consumed on the way; a timeout that failed is the error. */
IOURINGINLINE int __io_uring_peek_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned *available)
	LIBURING_NOEXCEPT
{
	unsigned ready;
	int error = 0;

	*cqe = NULL;
	while ((ready = io_uring_cq_ready(ring)) != 0 && !error) {
		struct io_uring_cqe *first =
			ring->cq.cqes + ((*ring->cq.khead & ring->cq.ring_mask) << io_uring_cqe_shift(ring));
		bool filler = (first->flags & IORING_CQE_F_SKIP) != 0;
		bool own = !(ring->features & IORING_FEAT_EXT_ARG) && first->user_data == LIBURING_UDATA_TIMEOUT;

		if (!filler && !own) {
			*cqe = first;
			break;
		}
		if (!filler && first->res < 0)
			error = first->res;
		io_uring_cq_advance(ring, io_uring_cqe_nr(first));
	}
	if (available)
		*available = ready;
	return error;
}

IOURINGINLINE int io_uring_wait_cqe_nr(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait)
	LIBURING_NOEXCEPT
{
	return __io_uring_get_cqe(ring, cqe, 0, wait, NULL);
}

IOURINGINLINE int io_uring_wait_cqe(struct io_uring *ring, struct io_uring_cqe **cqe) LIBURING_NOEXCEPT
{
	if (__io_uring_peek_cqe(ring, cqe, NULL) == 0 && *cqe)
		return 0;
	return io_uring_wait_cqe_nr(ring, cqe, 1);
}

IOURINGINLINE int io_uring_peek_cqe(struct io_uring *ring, struct io_uring_cqe **cqe) LIBURING_NOEXCEPT
{
	if (__io_uring_peek_cqe(ring, cqe, NULL) == 0) {
		/* What only a call would bring: completions that are polled for, and those that are held back. */
		bool more = (ring->flags & IORING_SETUP_IOPOLL) ||
			    (IO_URING_READ_ONCE(*ring->sq.kflags) & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN));

		if (*cqe)
			return 0;
		if (!more)
			return -EAGAIN;
	}
	return io_uring_wait_cqe_nr(ring, cqe, 0);
}

/* ---- Rings of provided buffers ---- */

IOURINGINLINE int io_uring_buf_ring_mask(__u32 count) LIBURING_NOEXCEPT
{
	return (int)(count - 1);
}

IOURINGINLINE void io_uring_buf_ring_init(struct io_uring_buf_ring *buffers) LIBURING_NOEXCEPT
{
	buffers->tail = 0;
}

/* Field by field: what is left of the first buffer is the tail. */
IOURINGINLINE void io_uring_buf_ring_add(struct io_uring_buf_ring *buffers, void *address, unsigned int length,
					 unsigned short number, int mask, int offset) LIBURING_NOEXCEPT
{
	struct io_uring_buf *buffer = &buffers->bufs[(buffers->tail + offset) & mask];

	buffer->addr = uring_ptr_to_u64(address);
	buffer->len = length;
	buffer->bid = number;
}

IOURINGINLINE void io_uring_buf_ring_advance(struct io_uring_buf_ring *buffers, int count) LIBURING_NOEXCEPT
{
	__u16 tail = (__u16)(buffers->tail + count);

	io_uring_smp_store_release(&buffers->tail, tail);
}

IOURINGINLINE void __io_uring_buf_ring_cq_advance(struct io_uring *ring, struct io_uring_buf_ring *buffers,
						  int completions, int count) LIBURING_NOEXCEPT
{
	io_uring_buf_ring_advance(buffers, count);
	io_uring_cq_advance(ring, (unsigned)completions);
}

IOURINGINLINE void io_uring_buf_ring_cq_advance(struct io_uring *ring, struct io_uring_buf_ring *buffers, int count)
	LIBURING_NOEXCEPT
{
	__io_uring_buf_ring_cq_advance(ring, buffers, count, count);
}

IOURINGINLINE int io_uring_buf_ring_available(struct io_uring *ring, struct io_uring_buf_ring *buffers,
					      unsigned short group) LIBURING_NOEXCEPT
{
	uint16_t head = 0;
	int error = io_uring_buf_ring_head(ring, group, &head);

	return error ? error : (uint16_t)(buffers->tail - head);
}

/* ---- Messages of multishot recvmsg ---- */

/* NULL if the buffer is too short for what was asked */
IOURINGINLINE struct io_uring_recvmsg_out *io_uring_recvmsg_validate(void *buffer, int length, struct msghdr *message)
	LIBURING_NOEXCEPT
{
	size_t room = length < 0 ? 0 : (size_t)length;
	size_t head = sizeof(struct io_uring_recvmsg_out);

	if (room < head || room - head < message->msg_namelen ||
	    room - head - message->msg_namelen < message->msg_controllen)
		return NULL;
	return (struct io_uring_recvmsg_out *)buffer;
}

IOURINGINLINE void *io_uring_recvmsg_name(struct io_uring_recvmsg_out *out) LIBURING_NOEXCEPT
{
	return out + 1;
}

IOURINGINLINE void *io_uring_recvmsg_payload(struct io_uring_recvmsg_out *out, struct msghdr *message)
	LIBURING_NOEXCEPT
{
	return (unsigned char *)(out + 1) + message->msg_namelen + message->msg_controllen;
}

IOURINGINLINE unsigned int io_uring_recvmsg_payload_length(struct io_uring_recvmsg_out *out, int length,
							   struct msghdr *message) LIBURING_NOEXCEPT
{
	uintptr_t start = (uintptr_t)io_uring_recvmsg_payload(out, message);
	uintptr_t end = (uintptr_t)out + (unsigned)(length < 0 ? 0 : length);

	return start < end ? (unsigned int)(end - start) : 0;
}

IOURINGINLINE struct cmsghdr *io_uring_recvmsg_cmsg_firsthdr(struct io_uring_recvmsg_out *out, struct msghdr *message)
	LIBURING_NOEXCEPT
{
	if (out->controllen < sizeof(struct cmsghdr))
		return NULL;
	return (struct cmsghdr *)((unsigned char *)(out + 1) + message->msg_namelen);
}

IOURINGINLINE struct cmsghdr *io_uring_recvmsg_cmsg_nexthdr(struct io_uring_recvmsg_out *out, struct msghdr *message,
							    struct cmsghdr *current) LIBURING_NOEXCEPT
{
	/* Counted from the beginning, so that no length that the sender chose leads out of the message. */
	size_t start = (size_t)io_uring_recvmsg_cmsg_firsthdr(out, message);
	size_t at = (size_t)current - start, end = out->controllen;

	if (current->cmsg_len < sizeof(struct cmsghdr) || current->cmsg_len > end - at)
		return NULL;
	at += CMSG_ALIGN(current->cmsg_len);
	if (at > end || end - at < sizeof(struct cmsghdr))
		return NULL;
	current = (struct cmsghdr *)(start + at);
	if (current->cmsg_len > end - at || CMSG_ALIGN(current->cmsg_len) > end - at)
		return NULL;
	return current;
}

/* ---- Preparing entries. Fields that are not named keep what io_uring_get_sqe() or the program put there. ---- */

IOURINGINLINE void io_uring_sqe_set_data(struct io_uring_sqe *sqe, void *data) LIBURING_NOEXCEPT
{
	sqe->user_data = uring_ptr_to_u64(data);
}

IOURINGINLINE void io_uring_sqe_set_data64(struct io_uring_sqe *sqe, __u64 data) LIBURING_NOEXCEPT
{
	sqe->user_data = data;
}

IOURINGINLINE void io_uring_sqe_set_flags(struct io_uring_sqe *sqe, unsigned flags) LIBURING_NOEXCEPT
{
	sqe->flags = (__u8)flags;
}

IOURINGINLINE void io_uring_sqe_set_buf_group(struct io_uring_sqe *sqe, int group) LIBURING_NOEXCEPT
{
	sqe->buf_group = (__u16)group;
}

IOURINGINLINE void io_uring_prep_rw(int opcode, struct io_uring_sqe *sqe, int fd, const void *address, unsigned length,
				    __u64 offset) LIBURING_NOEXCEPT
{
	sqe->opcode = (__u8)opcode;
	sqe->fd = fd;
	sqe->off = offset;
	sqe->addr = uring_ptr_to_u64(address);
	sqe->len = length;
}

/* The same with a number for an address */
_OUZEL_LOCAL void _ouzel_prepare(struct io_uring_sqe *sqe, int opcode, int fd, __u64 address, unsigned length,
				 __u64 offset, __u32 flags) LIBURING_NOEXCEPT
{
	sqe->opcode = (__u8)opcode;
	sqe->fd = fd;
	sqe->off = offset;
	sqe->addr = address;
	sqe->len = length;
	sqe->open_flags = flags;
}

/* Slots are counted from 1 in entries. Internal, but programs use it. */
_OUZEL_LOCAL void __io_uring_set_target_fixed_file(struct io_uring_sqe *sqe, unsigned int slot) LIBURING_NOEXCEPT
{
	sqe->file_index = slot + 1;
}

/* The slot of a new file, or the mark that lets the kernel choose */
_OUZEL_LOCAL void _ouzel_new_slot(struct io_uring_sqe *sqe, unsigned int slot) LIBURING_NOEXCEPT
{
	sqe->file_index = slot == IORING_FILE_INDEX_ALLOC ? IORING_FILE_INDEX_ALLOC : slot + 1;
}

IOURINGINLINE void io_uring_prep_nop(struct io_uring_sqe *sqe) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_NOP, sqe, -1, NULL, 0, 0);
}

IOURINGINLINE void io_uring_prep_nop128(struct io_uring_sqe *sqe) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_NOP128, sqe, -1, NULL, 0, 0);
}

/* An entry of 128 bytes takes two places that lie side by side. If the first would be the last of the queue, an entry
 * that does nothing and says nothing fills it. */
IOURINGINLINE struct io_uring_sqe *io_uring_get_sqe128(struct io_uring *ring) LIBURING_NOEXCEPT
{
	bool at_the_end = ((ring->sq.sqe_tail + 1) & ring->sq.ring_mask) == 0;

	if (ring->flags & IORING_SETUP_SQE128)
		return io_uring_get_sqe(ring);
	if (!(ring->flags & IORING_SETUP_SQE_MIXED) ||
	    io_uring_sq_ready(ring) + (at_the_end ? 2 : 1) >= ring->sq.ring_entries)
		return NULL;
	if (at_the_end) {
		struct io_uring_sqe *filler = _ouzel_hand_out(ring, 1);

		io_uring_prep_nop(filler);
		filler->flags = IOSQE_CQE_SKIP_SUCCESS;
	}
	return _ouzel_hand_out(ring, 2);
}

/* Files */

IOURINGINLINE void io_uring_prep_read(struct io_uring_sqe *sqe, int fd, void *buffer, unsigned length, __u64 offset)
	LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_READ, sqe, fd, buffer, length, offset);
}

IOURINGINLINE void io_uring_prep_write(struct io_uring_sqe *sqe, int fd, const void *buffer, unsigned length,
				       __u64 offset) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_WRITE, sqe, fd, buffer, length, offset);
}

IOURINGINLINE void io_uring_prep_readv(struct io_uring_sqe *sqe, int fd, const struct iovec *vectors, unsigned count,
				       __u64 offset) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_READV, sqe, fd, vectors, count, offset);
}

IOURINGINLINE void io_uring_prep_readv2(struct io_uring_sqe *sqe, int fd, const struct iovec *vectors, unsigned count,
					__u64 offset, int flags) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_READV, sqe, fd, vectors, count, offset);
	sqe->rw_flags = flags;
}

IOURINGINLINE void io_uring_prep_writev(struct io_uring_sqe *sqe, int fd, const struct iovec *vectors, unsigned count,
					__u64 offset) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_WRITEV, sqe, fd, vectors, count, offset);
}

IOURINGINLINE void io_uring_prep_writev2(struct io_uring_sqe *sqe, int fd, const struct iovec *vectors, unsigned count,
					 __u64 offset, int flags) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_WRITEV, sqe, fd, vectors, count, offset);
	sqe->rw_flags = flags;
}

IOURINGINLINE void io_uring_prep_read_fixed(struct io_uring_sqe *sqe, int fd, void *buffer, unsigned length,
					    __u64 offset, int index) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_READ_FIXED, sqe, fd, buffer, length, offset);
	sqe->buf_index = (__u16)index;
}

IOURINGINLINE void io_uring_prep_write_fixed(struct io_uring_sqe *sqe, int fd, const void *buffer, unsigned length,
					     __u64 offset, int index) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_WRITE_FIXED, sqe, fd, buffer, length, offset);
	sqe->buf_index = (__u16)index;
}

IOURINGINLINE void io_uring_prep_readv_fixed(struct io_uring_sqe *sqe, int fd, const struct iovec *vectors,
					     unsigned count, __u64 offset, int flags, int index) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_READV_FIXED, sqe, fd, vectors, count, offset);
	sqe->rw_flags = flags;
	sqe->buf_index = (__u16)index;
}

IOURINGINLINE void io_uring_prep_writev_fixed(struct io_uring_sqe *sqe, int fd, const struct iovec *vectors,
					      unsigned count, __u64 offset, int flags, int index) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_WRITEV_FIXED, sqe, fd, vectors, count, offset);
	sqe->rw_flags = flags;
	sqe->buf_index = (__u16)index;
}

IOURINGINLINE void io_uring_prep_read_multishot(struct io_uring_sqe *sqe, int fd, unsigned length, __u64 offset,
						int group) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_READ_MULTISHOT, sqe, fd, NULL, length, offset);
	sqe->flags = IOSQE_BUFFER_SELECT;
	sqe->buf_group = (__u16)group;
}

/* One of the two must be a pipe, whose offset is -1. */
IOURINGINLINE void io_uring_prep_splice(struct io_uring_sqe *sqe, int from, int64_t from_offset, int to,
					int64_t to_offset, unsigned int length, unsigned int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_SPLICE, to, (__u64)from_offset, length, (__u64)to_offset, flags);
	sqe->splice_fd_in = from;
}

IOURINGINLINE void io_uring_prep_tee(struct io_uring_sqe *sqe, int from, int to, unsigned int length,
				     unsigned int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_TEE, to, 0, length, 0, flags);
	sqe->splice_fd_in = from;
}

IOURINGINLINE void io_uring_prep_fsync(struct io_uring_sqe *sqe, int fd, unsigned flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_FSYNC, fd, 0, 0, 0, flags);
}

IOURINGINLINE void io_uring_prep_sync_file_range(struct io_uring_sqe *sqe, int fd, unsigned length, __u64 offset,
						 int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_SYNC_FILE_RANGE, fd, 0, length, offset, (__u32)flags);
}

IOURINGINLINE void io_uring_prep_fallocate(struct io_uring_sqe *sqe, int fd, int mode, __u64 offset, __u64 length)
	LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_FALLOCATE, sqe, fd, NULL, (unsigned)mode, offset);
	sqe->addr = length;
}

IOURINGINLINE void io_uring_prep_ftruncate(struct io_uring_sqe *sqe, int fd, int64_t length) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_FTRUNCATE, sqe, fd, NULL, 0, (__u64)length);
}

IOURINGINLINE void io_uring_prep_fadvise(struct io_uring_sqe *sqe, int fd, __u64 offset, __u32 length, int advice)
	LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_FADVISE, fd, 0, length, offset, (__u32)advice);
}

IOURINGINLINE void io_uring_prep_fadvise64(struct io_uring_sqe *sqe, int fd, __u64 offset, off_t length, int advice)
	LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_FADVISE, fd, (__u64)length, 0, offset, (__u32)advice);
}

IOURINGINLINE void io_uring_prep_madvise(struct io_uring_sqe *sqe, void *start, __u32 length, int advice)
	LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_MADVISE, -1, uring_ptr_to_u64(start), length, 0, (__u32)advice);
}

IOURINGINLINE void io_uring_prep_madvise64(struct io_uring_sqe *sqe, void *start, off_t length, int advice)
	LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_MADVISE, -1, uring_ptr_to_u64(start), 0, (__u64)length, (__u32)advice);
}

/* Names */

IOURINGINLINE void io_uring_prep_openat(struct io_uring_sqe *sqe, int directory, const char *path, int flags,
					mode_t mode) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_OPENAT, directory, uring_ptr_to_u64(path), mode, 0, (__u32)flags);
}

IOURINGINLINE void io_uring_prep_openat_direct(struct io_uring_sqe *sqe, int directory, const char *path, int flags,
					       mode_t mode, unsigned slot) LIBURING_NOEXCEPT
{
	io_uring_prep_openat(sqe, directory, path, flags, mode);
	_ouzel_new_slot(sqe, slot);
}

IOURINGINLINE void io_uring_prep_open(struct io_uring_sqe *sqe, const char *path, int flags, mode_t mode)
	LIBURING_NOEXCEPT
{
	io_uring_prep_openat(sqe, AT_FDCWD, path, flags, mode);
}

IOURINGINLINE void io_uring_prep_open_direct(struct io_uring_sqe *sqe, const char *path, int flags, mode_t mode,
					     unsigned slot) LIBURING_NOEXCEPT
{
	io_uring_prep_openat_direct(sqe, AT_FDCWD, path, flags, mode, slot);
}

IOURINGINLINE void io_uring_prep_openat2(struct io_uring_sqe *sqe, int directory, const char *path,
					 const struct open_how *how) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_OPENAT2, sqe, directory, path, sizeof(struct open_how), uring_ptr_to_u64(how));
}

IOURINGINLINE void io_uring_prep_openat2_direct(struct io_uring_sqe *sqe, int directory, const char *path,
						const struct open_how *how, unsigned slot) LIBURING_NOEXCEPT
{
	io_uring_prep_openat2(sqe, directory, path, how);
	_ouzel_new_slot(sqe, slot);
}

IOURINGINLINE void io_uring_prep_close(struct io_uring_sqe *sqe, int fd) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_CLOSE, sqe, fd, NULL, 0, 0);
}

IOURINGINLINE void io_uring_prep_close_direct(struct io_uring_sqe *sqe, unsigned slot) LIBURING_NOEXCEPT
{
	io_uring_prep_close(sqe, 0);
	sqe->file_index = slot + 1;
}

IOURINGINLINE void io_uring_prep_statx(struct io_uring_sqe *sqe, int directory, const char *path, int flags,
				       unsigned mask, struct statx *answer) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_STATX, directory, uring_ptr_to_u64(path), mask, uring_ptr_to_u64(answer),
		       (__u32)flags);
}

IOURINGINLINE void io_uring_prep_unlinkat(struct io_uring_sqe *sqe, int directory, const char *path, int flags)
	LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_UNLINKAT, directory, uring_ptr_to_u64(path), 0, 0, (__u32)flags);
}

IOURINGINLINE void io_uring_prep_unlink(struct io_uring_sqe *sqe, const char *path, int flags) LIBURING_NOEXCEPT
{
	io_uring_prep_unlinkat(sqe, AT_FDCWD, path, flags);
}

IOURINGINLINE void io_uring_prep_renameat(struct io_uring_sqe *sqe, int old_directory, const char *old_path,
					  int new_directory, const char *new_path, unsigned int flags)
	LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_RENAMEAT, old_directory, uring_ptr_to_u64(old_path), (unsigned)new_directory,
		       uring_ptr_to_u64(new_path), flags);
}

IOURINGINLINE void io_uring_prep_rename(struct io_uring_sqe *sqe, const char *old_path, const char *new_path)
	LIBURING_NOEXCEPT
{
	io_uring_prep_renameat(sqe, AT_FDCWD, old_path, AT_FDCWD, new_path, 0);
}

IOURINGINLINE void io_uring_prep_mkdirat(struct io_uring_sqe *sqe, int directory, const char *path, mode_t mode)
	LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_MKDIRAT, sqe, directory, path, mode, 0);
}

IOURINGINLINE void io_uring_prep_mkdir(struct io_uring_sqe *sqe, const char *path, mode_t mode) LIBURING_NOEXCEPT
{
	io_uring_prep_mkdirat(sqe, AT_FDCWD, path, mode);
}

IOURINGINLINE void io_uring_prep_symlinkat(struct io_uring_sqe *sqe, const char *target, int directory,
					   const char *path) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_SYMLINKAT, sqe, directory, target, 0, uring_ptr_to_u64(path));
}

IOURINGINLINE void io_uring_prep_symlink(struct io_uring_sqe *sqe, const char *target, const char *path)
	LIBURING_NOEXCEPT
{
	io_uring_prep_symlinkat(sqe, target, AT_FDCWD, path);
}

IOURINGINLINE void io_uring_prep_linkat(struct io_uring_sqe *sqe, int old_directory, const char *old_path,
					int new_directory, const char *new_path, int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_LINKAT, old_directory, uring_ptr_to_u64(old_path), (unsigned)new_directory,
		       uring_ptr_to_u64(new_path), (__u32)flags);
}

IOURINGINLINE void io_uring_prep_link(struct io_uring_sqe *sqe, const char *old_path, const char *new_path, int flags)
	LIBURING_NOEXCEPT
{
	io_uring_prep_linkat(sqe, AT_FDCWD, old_path, AT_FDCWD, new_path, flags);
}

IOURINGINLINE void io_uring_prep_fgetxattr(struct io_uring_sqe *sqe, int fd, const char *name, char *value,
					   unsigned int length) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_FGETXATTR, fd, uring_ptr_to_u64(name), length, uring_ptr_to_u64(value), 0);
}

IOURINGINLINE void io_uring_prep_fsetxattr(struct io_uring_sqe *sqe, int fd, const char *name, const char *value,
					   int flags, unsigned int length) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_FSETXATTR, fd, uring_ptr_to_u64(name), length, uring_ptr_to_u64(value),
		       (__u32)flags);
}

IOURINGINLINE void io_uring_prep_getxattr(struct io_uring_sqe *sqe, const char *name, char *value, const char *path,
					  unsigned int length) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_GETXATTR, 0, uring_ptr_to_u64(name), length, uring_ptr_to_u64(value), 0);
	sqe->addr3 = uring_ptr_to_u64(path);
}

IOURINGINLINE void io_uring_prep_setxattr(struct io_uring_sqe *sqe, const char *name, const char *value,
					  const char *path, int flags, unsigned int length) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_SETXATTR, 0, uring_ptr_to_u64(name), length, uring_ptr_to_u64(value),
		       (__u32)flags);
	sqe->addr3 = uring_ptr_to_u64(path);
}

/* Sockets */

IOURINGINLINE void io_uring_prep_socket(struct io_uring_sqe *sqe, int domain, int type, int protocol,
					unsigned int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_SOCKET, domain, 0, (unsigned)protocol, (__u64)type, flags);
}

IOURINGINLINE void io_uring_prep_socket_direct(struct io_uring_sqe *sqe, int domain, int type, int protocol,
					       unsigned slot, unsigned int flags) LIBURING_NOEXCEPT
{
	io_uring_prep_socket(sqe, domain, type, protocol, flags);
	_ouzel_new_slot(sqe, slot);
}

IOURINGINLINE void io_uring_prep_socket_direct_alloc(struct io_uring_sqe *sqe, int domain, int type, int protocol,
						     unsigned int flags) LIBURING_NOEXCEPT
{
	io_uring_prep_socket_direct(sqe, domain, type, protocol, IORING_FILE_INDEX_ALLOC, flags);
}

IOURINGINLINE void io_uring_prep_accept(struct io_uring_sqe *sqe, int fd, struct sockaddr *from, socklen_t *from_length,
					int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_ACCEPT, fd, uring_ptr_to_u64(from), 0, uring_ptr_to_u64(from_length),
		       (__u32)flags);
}

IOURINGINLINE void io_uring_prep_accept_direct(struct io_uring_sqe *sqe, int fd, struct sockaddr *from,
					       socklen_t *from_length, int flags, unsigned int slot) LIBURING_NOEXCEPT
{
	io_uring_prep_accept(sqe, fd, from, from_length, flags);
	_ouzel_new_slot(sqe, slot);
}

IOURINGINLINE void io_uring_prep_multishot_accept(struct io_uring_sqe *sqe, int fd, struct sockaddr *from,
						  socklen_t *from_length, int flags) LIBURING_NOEXCEPT
{
	io_uring_prep_accept(sqe, fd, from, from_length, flags);
	sqe->ioprio |= IORING_ACCEPT_MULTISHOT;
}

IOURINGINLINE void io_uring_prep_multishot_accept_direct(struct io_uring_sqe *sqe, int fd, struct sockaddr *from,
							 socklen_t *from_length, int flags) LIBURING_NOEXCEPT
{
	io_uring_prep_multishot_accept(sqe, fd, from, from_length, flags);
	_ouzel_new_slot(sqe, IORING_FILE_INDEX_ALLOC);
}

IOURINGINLINE void io_uring_prep_connect(struct io_uring_sqe *sqe, int fd, const struct sockaddr *to, socklen_t length)
	LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_CONNECT, sqe, fd, to, 0, length);
}

IOURINGINLINE void io_uring_prep_bind(struct io_uring_sqe *sqe, int fd, const struct sockaddr *to, socklen_t length)
	LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_BIND, sqe, fd, to, 0, length);
}

IOURINGINLINE void io_uring_prep_listen(struct io_uring_sqe *sqe, int fd, int backlog) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_LISTEN, sqe, fd, NULL, (unsigned)backlog, 0);
}

IOURINGINLINE void io_uring_prep_shutdown(struct io_uring_sqe *sqe, int fd, int how) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_SHUTDOWN, sqe, fd, NULL, (unsigned)how, 0);
}

IOURINGINLINE void io_uring_prep_send(struct io_uring_sqe *sqe, int fd, const void *buffer, size_t length, int flags)
	LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_SEND, fd, uring_ptr_to_u64(buffer), (__u32)length, 0, (__u32)flags);
}

IOURINGINLINE void io_uring_prep_send_bundle(struct io_uring_sqe *sqe, int fd, size_t length, int flags)
	LIBURING_NOEXCEPT
{
	io_uring_prep_send(sqe, fd, NULL, length, flags);
	sqe->ioprio |= IORING_RECVSEND_BUNDLE;
}

IOURINGINLINE void io_uring_prep_send_set_addr(struct io_uring_sqe *sqe, const struct sockaddr *to, __u16 length)
	LIBURING_NOEXCEPT
{
	sqe->addr2 = uring_ptr_to_u64(to);
	sqe->addr_len = length;
}

IOURINGINLINE void io_uring_prep_sendto(struct io_uring_sqe *sqe, int fd, const void *buffer, size_t length, int flags,
					const struct sockaddr *to, socklen_t to_length) LIBURING_NOEXCEPT
{
	io_uring_prep_send(sqe, fd, buffer, length, flags);
	io_uring_prep_send_set_addr(sqe, to, (__u16)to_length);
}

IOURINGINLINE void io_uring_prep_send_zc(struct io_uring_sqe *sqe, int fd, const void *buffer, size_t length, int flags,
					 unsigned zero_copy_flags) LIBURING_NOEXCEPT
{
	io_uring_prep_send(sqe, fd, buffer, length, flags);
	sqe->opcode = IORING_OP_SEND_ZC;
	sqe->ioprio = (__u16)zero_copy_flags;
}

IOURINGINLINE void io_uring_prep_send_zc_fixed(struct io_uring_sqe *sqe, int fd, const void *buffer, size_t length,
					       int flags, unsigned zero_copy_flags, unsigned index) LIBURING_NOEXCEPT
{
	io_uring_prep_send_zc(sqe, fd, buffer, length, flags, zero_copy_flags);
	sqe->ioprio |= IORING_RECVSEND_FIXED_BUF;
	sqe->buf_index = (__u16)index;
}

IOURINGINLINE void io_uring_prep_sendmsg(struct io_uring_sqe *sqe, int fd, const struct msghdr *message, unsigned flags)
	LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_SENDMSG, fd, uring_ptr_to_u64(message), 1, 0, flags);
}

IOURINGINLINE void io_uring_prep_sendmsg_zc(struct io_uring_sqe *sqe, int fd, const struct msghdr *message,
					    unsigned flags) LIBURING_NOEXCEPT
{
	io_uring_prep_sendmsg(sqe, fd, message, flags);
	sqe->opcode = IORING_OP_SENDMSG_ZC;
}

IOURINGINLINE void io_uring_prep_sendmsg_zc_fixed(struct io_uring_sqe *sqe, int fd, const struct msghdr *message,
						  unsigned flags, unsigned index) LIBURING_NOEXCEPT
{
	io_uring_prep_sendmsg_zc(sqe, fd, message, flags);
	sqe->ioprio |= IORING_RECVSEND_FIXED_BUF;
	sqe->buf_index = (__u16)index;
}

IOURINGINLINE void io_uring_prep_recv(struct io_uring_sqe *sqe, int fd, void *buffer, size_t length, int flags)
	LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_RECV, fd, uring_ptr_to_u64(buffer), (__u32)length, 0, (__u32)flags);
}

IOURINGINLINE void io_uring_prep_recv_multishot(struct io_uring_sqe *sqe, int fd, void *buffer, size_t length,
						int flags) LIBURING_NOEXCEPT
{
	io_uring_prep_recv(sqe, fd, buffer, length, flags);
	sqe->ioprio |= IORING_RECV_MULTISHOT;
}

IOURINGINLINE void io_uring_prep_recvmsg(struct io_uring_sqe *sqe, int fd, struct msghdr *message, unsigned flags)
	LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_RECVMSG, fd, uring_ptr_to_u64(message), 1, 0, flags);
}

IOURINGINLINE void io_uring_prep_recvmsg_multishot(struct io_uring_sqe *sqe, int fd, struct msghdr *message,
						   unsigned flags) LIBURING_NOEXCEPT
{
	io_uring_prep_recvmsg(sqe, fd, message, flags);
	sqe->ioprio |= IORING_RECV_MULTISHOT;
}

/* Commands for the file's driver */

IOURINGINLINE void __io_uring_prep_uring_cmd(struct io_uring_sqe *sqe, int opcode, __u32 operation, int fd)
	LIBURING_NOEXCEPT
{
	sqe->opcode = (__u8)opcode;
	sqe->fd = fd;
	sqe->cmd_op = operation;
	sqe->__pad1 = 0;
	sqe->addr = 0;
	sqe->len = 0;
}

IOURINGINLINE void io_uring_prep_uring_cmd(struct io_uring_sqe *sqe, int operation, int fd) LIBURING_NOEXCEPT
{
	__io_uring_prep_uring_cmd(sqe, IORING_OP_URING_CMD, (__u32)operation, fd);
}

IOURINGINLINE void io_uring_prep_uring_cmd128(struct io_uring_sqe *sqe, int operation, int fd) LIBURING_NOEXCEPT
{
	__io_uring_prep_uring_cmd(sqe, IORING_OP_URING_CMD128, (__u32)operation, fd);
}

IOURINGINLINE void io_uring_prep_cmd_sock(struct io_uring_sqe *sqe, int operation, int fd, int level, int option,
					  void *value, int length) LIBURING_NOEXCEPT
{
	io_uring_prep_uring_cmd(sqe, operation, fd);
	sqe->level = (__u32)level;
	sqe->optname = (__u32)option;
	sqe->optval = uring_ptr_to_u64(value);
	sqe->optlen = (__u32)length;
}

IOURINGINLINE void io_uring_prep_cmd_getsockname(struct io_uring_sqe *sqe, int fd, struct sockaddr *name,
						 socklen_t *length, int peer) LIBURING_NOEXCEPT
{
	io_uring_prep_uring_cmd(sqe, SOCKET_URING_OP_GETSOCKNAME, fd);
	sqe->addr = uring_ptr_to_u64(name);
	sqe->addr3 = uring_ptr_to_u64(length);
	sqe->optlen = (__u32)peer;
}

IOURINGINLINE void io_uring_prep_cmd_discard(struct io_uring_sqe *sqe, int fd, uint64_t offset, uint64_t length)
	LIBURING_NOEXCEPT
{
	io_uring_prep_uring_cmd(sqe, BLOCK_URING_CMD_DISCARD, fd);
	sqe->addr = offset;
	sqe->addr3 = length;
}

/* Time, readiness, cancelling */

IOURINGINLINE void io_uring_prep_timeout(struct io_uring_sqe *sqe, const struct __kernel_timespec *time, unsigned count,
					 unsigned flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_TIMEOUT, -1, uring_ptr_to_u64(time), 1, count, flags);
}

IOURINGINLINE void io_uring_prep_timeout_remove(struct io_uring_sqe *sqe, __u64 user_data, unsigned flags)
	LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_TIMEOUT_REMOVE, -1, user_data, 0, 0, flags);
}

IOURINGINLINE void io_uring_prep_timeout_update(struct io_uring_sqe *sqe, const struct __kernel_timespec *time,
						__u64 user_data, unsigned flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_TIMEOUT_REMOVE, -1, user_data, 0, uring_ptr_to_u64(time),
		       flags | IORING_TIMEOUT_UPDATE);
}

IOURINGINLINE void io_uring_prep_link_timeout(struct io_uring_sqe *sqe, const struct __kernel_timespec *time,
					      unsigned flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_LINK_TIMEOUT, -1, uring_ptr_to_u64(time), 1, 0, flags);
}

/* The kernel wants the halves of the mask the other way round on big-endian machines. */
_OUZEL_LOCAL unsigned _ouzel_poll_mask(unsigned mask) LIBURING_NOEXCEPT
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	mask = mask << 16 | mask >> 16;
#endif
	return mask;
}

IOURINGINLINE void io_uring_prep_poll_add(struct io_uring_sqe *sqe, int fd, unsigned mask) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_POLL_ADD, fd, 0, 0, 0, _ouzel_poll_mask(mask));
}

IOURINGINLINE void io_uring_prep_poll_multishot(struct io_uring_sqe *sqe, int fd, unsigned mask) LIBURING_NOEXCEPT
{
	io_uring_prep_poll_add(sqe, fd, mask);
	sqe->len = IORING_POLL_ADD_MULTI;
}

IOURINGINLINE void io_uring_prep_poll_remove(struct io_uring_sqe *sqe, __u64 user_data) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_POLL_REMOVE, sqe, -1, NULL, 0, 0);
	sqe->addr = user_data;
}

IOURINGINLINE void io_uring_prep_poll_update(struct io_uring_sqe *sqe, __u64 old_user_data, __u64 new_user_data,
					     unsigned mask, unsigned flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_POLL_REMOVE, -1, old_user_data, flags, new_user_data, _ouzel_poll_mask(mask));
}

IOURINGINLINE void io_uring_prep_cancel64(struct io_uring_sqe *sqe, __u64 user_data, int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_ASYNC_CANCEL, -1, user_data, 0, 0, (__u32)flags);
}

IOURINGINLINE void io_uring_prep_cancel(struct io_uring_sqe *sqe, const void *user_data, int flags) LIBURING_NOEXCEPT
{
	io_uring_prep_cancel64(sqe, uring_ptr_to_u64(user_data), flags);
}

IOURINGINLINE void io_uring_prep_cancel_fd(struct io_uring_sqe *sqe, int fd, unsigned int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_ASYNC_CANCEL, fd, 0, 0, 0, flags | IORING_ASYNC_CANCEL_FD);
}

IOURINGINLINE void io_uring_prep_epoll_ctl(struct io_uring_sqe *sqe, int epoll, int fd, int operation,
					   const struct epoll_event *event) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_EPOLL_CTL, sqe, epoll, event, (unsigned)operation, (__u32)fd);
}

IOURINGINLINE void io_uring_prep_epoll_wait(struct io_uring_sqe *sqe, int fd, struct epoll_event *events, int count,
					    unsigned flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_EPOLL_WAIT, fd, uring_ptr_to_u64(events), (unsigned)count, 0, flags);
}

/* Processes and futexes */

IOURINGINLINE void io_uring_prep_waitid(struct io_uring_sqe *sqe, idtype_t type, id_t id, siginfo_t *answer, int options,
					unsigned int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_WAITID, (int)id, 0, (unsigned)type, uring_ptr_to_u64(answer), flags);
	sqe->file_index = (__u32)options;
}

IOURINGINLINE void io_uring_prep_futex_wake(struct io_uring_sqe *sqe, const uint32_t *futex, uint64_t value,
					    uint64_t mask, uint32_t futex_flags, unsigned int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_FUTEX_WAKE, (int)futex_flags, uring_ptr_to_u64(futex), 0, value, flags);
	sqe->addr3 = mask;
}

IOURINGINLINE void io_uring_prep_futex_wait(struct io_uring_sqe *sqe, const uint32_t *futex, uint64_t value,
					    uint64_t mask, uint32_t futex_flags, unsigned int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_FUTEX_WAIT, (int)futex_flags, uring_ptr_to_u64(futex), 0, value, flags);
	sqe->addr3 = mask;
}

IOURINGINLINE void io_uring_prep_futex_waitv(struct io_uring_sqe *sqe, const struct futex_waitv *futexes, uint32_t count,
					     unsigned int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_FUTEX_WAITV, 0, uring_ptr_to_u64(futexes), count, 0, flags);
}

/* The ring's own */

IOURINGINLINE void io_uring_prep_files_update(struct io_uring_sqe *sqe, int *files, unsigned count, int offset)
	LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_FILES_UPDATE, sqe, -1, files, count, (__u64)offset);
}

IOURINGINLINE void io_uring_prep_fixed_fd_install(struct io_uring_sqe *sqe, int slot, unsigned int flags)
	LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_FIXED_FD_INSTALL, slot, 0, 0, 0, flags);
	sqe->flags = IOSQE_FIXED_FILE;
}

IOURINGINLINE void io_uring_prep_provide_buffers(struct io_uring_sqe *sqe, void *start, int length, int count, int group,
						 int first) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_PROVIDE_BUFFERS, sqe, count, start, (unsigned)length, (__u64)first);
	sqe->buf_group = (__u16)group;
}

IOURINGINLINE void io_uring_prep_remove_buffers(struct io_uring_sqe *sqe, int count, int group) LIBURING_NOEXCEPT
{
	io_uring_prep_rw(IORING_OP_REMOVE_BUFFERS, sqe, count, NULL, 0, 0);
	sqe->buf_group = (__u16)group;
}

IOURINGINLINE void io_uring_prep_pipe(struct io_uring_sqe *sqe, int *ends, int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_PIPE, 0, uring_ptr_to_u64(ends), 0, 0, (__u32)flags);
}

IOURINGINLINE void io_uring_prep_pipe_direct(struct io_uring_sqe *sqe, int *ends, int flags, unsigned int slot)
	LIBURING_NOEXCEPT
{
	io_uring_prep_pipe(sqe, ends, flags);
	_ouzel_new_slot(sqe, slot);
}

IOURINGINLINE void io_uring_prep_msg_ring(struct io_uring_sqe *sqe, int ring, unsigned int result, __u64 data,
					  unsigned int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_MSG_RING, ring, IORING_MSG_DATA, result, data, flags);
}

IOURINGINLINE void io_uring_prep_msg_ring_cqe_flags(struct io_uring_sqe *sqe, int ring, unsigned int result, __u64 data,
						    unsigned int flags, unsigned int completion_flags)
	LIBURING_NOEXCEPT
{
	io_uring_prep_msg_ring(sqe, ring, result, data, flags | IORING_MSG_RING_FLAGS_PASS);
	sqe->file_index = completion_flags;
}

IOURINGINLINE void io_uring_prep_msg_ring_fd(struct io_uring_sqe *sqe, int ring, int source, int target, __u64 data,
					     unsigned int flags) LIBURING_NOEXCEPT
{
	_ouzel_prepare(sqe, IORING_OP_MSG_RING, ring, IORING_MSG_SEND_FD, 0, data, flags);
	sqe->addr3 = (__u64)source;
	_ouzel_new_slot(sqe, (unsigned int)target);
}

IOURINGINLINE void io_uring_prep_msg_ring_fd_alloc(struct io_uring_sqe *sqe, int ring, int source, __u64 data,
						   unsigned int flags) LIBURING_NOEXCEPT
{
	io_uring_prep_msg_ring_fd(sqe, ring, source, (int)IORING_FILE_INDEX_ALLOC, data, flags);
}

#ifdef __cplusplus
}
#endif

#undef IOURINGINLINE
#undef _OUZEL_LOCAL

#endif

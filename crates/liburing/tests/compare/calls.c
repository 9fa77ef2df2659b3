/*
 * Calls the functions that liburing's own tests never call, and some that they call in few ways, and prints what they
 * return. Runs under trace: each step is announced by a write to descriptor -1.
 */
#define _GNU_SOURCE
#include <liburing.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define STEP(expression)                                                                                               \
	do {                                                                                                           \
		static const char heading[] = #expression;                                                             \
		long long result;                                                                                      \
		if (write(-1, heading, sizeof(heading)) == 0)                                                          \
			abort();                                                                                       \
		result = (long long)(expression);                                                                      \
		printf("%s = %lld\n", heading, result);                                                                \
	} while (0)

/* In the program's own memory, whose addresses are fixed. */
static char memory[4][4096] __attribute__((aligned(4096)));
static int many[300];
static struct io_uring ring, other, by_index, polled;
static struct io_uring_cqe *cqe;

/* The one that the library exports, not the header's. */
static struct io_uring_sqe *(*exported_get_sqe)(struct io_uring *);

static long long shown_sqe(struct io_uring *on)
{
	struct io_uring_sqe *sqe = exported_get_sqe(on);

	return sqe ? (long long)(sqe - on->sq.sqes) : -1;
}

static void sizes(void)
{
	static const unsigned entries[] = { 0, 1, 2, 3, 64, 65, 1000, 4096, 32768, 32769, 100000 };
	static const unsigned flags[] = { 0, IORING_SETUP_CLAMP, IORING_SETUP_SQE128, IORING_SETUP_CQE32,
					  IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | IORING_SETUP_NO_SQARRAY,
					  IORING_SETUP_CQSIZE, IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP };
	static const unsigned completions[] = { 0, 1, 64, 100, 65536, 65537 };

	for (unsigned i = 0; i < sizeof(entries) / sizeof(*entries); i++)
		for (unsigned j = 0; j < sizeof(flags) / sizeof(*flags); j++) {
			printf("memory_size(%u, %#x) = %zd\n", entries[i], flags[j],
			       io_uring_memory_size(entries[i], flags[j]));
			for (unsigned k = 0; k < sizeof(completions) / sizeof(*completions); k++) {
				struct io_uring_params params = { .flags = flags[j], .cq_entries = completions[k] };

				printf("memory_size_params(%u, %#x, %u) = %zd\n", entries[i], flags[j], completions[k],
				       io_uring_memory_size_params(entries[i], &params));
			}
		}
}

/* Lets 20 ms pass without a system call: the kernel interrupts those that sleep to run what a ring left for it. */
static void settle(void)
{
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - start.tv_sec) * 1000000000LL + now.tv_nsec - start.tv_nsec < 20000000);
}

int main(void)
{
	struct iovec vectors[4];
	struct io_uring_params params = { 0 };
	struct io_uring_rsrc_update nothing = { 0 };
	struct io_uring_query_opcode answer;
	struct io_uring_query_hdr question = { .query_data = (unsigned long)&answer, .size = sizeof(answer) };
	struct zcrx_ctrl control = { .zcrx_id = 3, .op = ZCRX_CTRL_EXPORT };
	struct io_uring_zcrx_ifq_reg queue = { .if_idx = 77, .if_rxq = 5, .rq_entries = 64 };
	struct io_uring_napi napi = { .busy_poll_to = 50, .prefer_busy_poll = 1 };
	struct io_uring_bpf filter = { .cmd_type = IO_URING_BPF_CMD_FILTER };
	struct io_uring_reg_wait wait = { 0 };
	struct __kernel_timespec short_time = { .tv_nsec = 1000000 }, long_time = { .tv_sec = 5 };
	__u64 tags[2] = { 5, 0 };
	int files[2] = { 0, -1 }, fd = eventfd(0, 0);

	setvbuf(stdout, NULL, _IOFBF, 1 << 20);
	(void)nothing;
	exported_get_sqe = (struct io_uring_sqe * (*)(struct io_uring *)) dlsym(RTLD_DEFAULT, "io_uring_get_sqe");
	if (!exported_get_sqe)
		return 1;
	for (int i = 0; i < 4; i++)
		vectors[i] = (struct iovec){ memory[i], sizeof(memory[i]) };

	STEP(io_uring_major_version() * 1000 + io_uring_minor_version());
	STEP(io_uring_check_version(2, 14));
	STEP(io_uring_check_version(2, 15));
	STEP(io_uring_check_version(2, 16));
	STEP(io_uring_check_version(1, 99));
	STEP(io_uring_check_version(3, 0));
	sizes();
	STEP(io_uring_mlock_size(8, 0));
	STEP(io_uring_mlock_size(0, 0));
	STEP(io_uring_mlock_size(40000, 0));
	STEP(io_uring_mlock_size(40000, IORING_SETUP_CLAMP));
	STEP(io_uring_mlock_size_params(8, &params));

	STEP(io_uring_queue_init(4, &ring, 0));
	STEP(io_uring_queue_init(4, &other, IORING_SETUP_SQE128));
	STEP(io_uring_queue_init(4, &by_index, 0));
	STEP(io_uring_register_ring_fd(&by_index));

	STEP(shown_sqe(&ring));
	STEP(shown_sqe(&ring));
	STEP(shown_sqe(&ring));
	STEP(shown_sqe(&ring));
	STEP(shown_sqe(&ring));
	for (int i = 0; i < 4; i++)
		io_uring_prep_nop(&ring.sq.sqes[i]);
	STEP(io_uring_submit_and_wait(&ring, 4));
	STEP(io_uring_peek_batch_cqe(&ring, (struct io_uring_cqe *[8]){ 0 }, 8));
	io_uring_cq_advance(&ring, io_uring_cq_ready(&ring));
	STEP(shown_sqe(&ring));
	STEP(shown_sqe(&other));
	STEP(shown_sqe(&other));

	STEP(io_uring_ring_dontfork(&ring));
	STEP(io_uring_ring_dontfork(&other));
	STEP(io_uring_ring_dontfork(&(struct io_uring){ 0 }));

	STEP(io_uring_register_eventfd_async(&ring, fd));
	STEP(io_uring_unregister_eventfd(&ring));
	STEP(io_uring_register_eventfd_async(&by_index, fd));
	STEP(io_uring_register_eventfd_async(&ring, -1));

	STEP(io_uring_register_files_tags(&ring, files, tags, 2));
	STEP(io_uring_register_files_update_tag(&ring, 1, files, tags, 1));
	STEP(io_uring_register_files_update_tag(&ring, 2, files, NULL, 1));
	STEP(io_uring_unregister_files(&ring));
	STEP(io_uring_unregister_files(&ring));

	STEP(io_uring_register_buffers(&ring, vectors, 4));
	STEP(io_uring_register_buffers(&by_index, vectors, 3));
	STEP(__io_uring_clone_buffers(&other, &ring, 0));
	STEP(__io_uring_clone_buffers(&other, &ring, IORING_REGISTER_DST_REPLACE));
	STEP(io_uring_unregister_buffers(&other));
	STEP(__io_uring_clone_buffers(&other, &by_index, IORING_REGISTER_SRC_REGISTERED));
	STEP(__io_uring_clone_buffers_offset(&other, &by_index, 1, 2, 1,
					     IORING_REGISTER_SRC_REGISTERED | IORING_REGISTER_DST_REPLACE));
	STEP(__io_uring_clone_buffers_offset(&other, &ring, 0, 1, 2, IORING_REGISTER_DST_REPLACE));
	STEP(__io_uring_clone_buffers_offset(&other, &ring, 0, 1, 2,
					     IORING_REGISTER_SRC_REGISTERED | IORING_REGISTER_DST_REPLACE));
	STEP(io_uring_clone_buffers_offset(&other, &by_index, 0, 1, 1, IORING_REGISTER_DST_REPLACE));
	STEP(io_uring_clone_buffers_offset(&by_index, &ring, 0, 0, 9, IORING_REGISTER_DST_REPLACE));
	STEP(io_uring_clone_buffers(&by_index, &ring));

	STEP(io_uring_register_query(&question));
	question.query_op = 999;
	STEP(io_uring_register_query(&question));
	STEP(question.result);
	STEP(io_uring_register_query(NULL));
	STEP(io_uring_register_wait_reg(&ring, &wait, 1));
	STEP(io_uring_register_zcrx_ctrl(&ring, &control));
	STEP(io_uring_register_zcrx_ctrl(&by_index, &control));
	STEP(io_uring_register_ifq(&ring, &queue));
	STEP(io_uring_register_ifq(&by_index, &queue));
	STEP(io_uring_register_napi(&ring, &napi));
	STEP(io_uring_unregister_napi(&ring, &napi));
	STEP(io_uring_unregister_napi(&by_index, &napi));
	STEP(io_uring_register_bpf_filter(&ring, &filter));
	STEP(io_uring_register_bpf_filter(&by_index, &filter));
	STEP(io_uring_register_bpf_filter_task(&filter));
	STEP(io_uring_unregister_iowq_aff(&ring));
	STEP(io_uring_unregister_iowq_aff(&by_index));
	STEP(io_uring_register_iowq_aff(&ring, (size_t)1 << 31, (cpu_set_t *)memory));

	/* Ways of waiting */
	STEP(io_uring_peek_batch_cqe(&ring, &cqe, 1));
	STEP(io_uring_wait_cqe_timeout(&ring, &cqe, &short_time));
	STEP(io_uring_wait_cqes(&by_index, &cqe, 2, &short_time, NULL));
	STEP(io_uring_wait_cqes_min_timeout(&ring, &cqe, 2, &short_time, 100, NULL));
	STEP(io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &short_time, NULL));
	STEP(io_uring_submit_and_wait_min_timeout(&by_index, &cqe, 1, &short_time, 100, NULL));
	STEP(io_uring_submit_and_wait_reg(&ring, &cqe, 1, 3));
	STEP(io_uring_submit_and_wait_reg(&ring, &cqe, 1, -1));
	STEP(io_uring_set_iowait(&ring, false));
	STEP(io_uring_wait_cqe_timeout(&ring, &cqe, &short_time));
	STEP(io_uring_set_iowait(&ring, true));
	STEP(io_uring_get_events(&ring));
	STEP(io_uring_submit(&by_index));
	STEP(io_uring_submit_and_get_events(&by_index));
	STEP(__io_uring_sqring_wait(&ring));
	STEP(io_uring_peek_cqe(&ring, &cqe));
	STEP(__io_uring_get_cqe(&ring, &cqe, 0, 0, NULL));

	/* Kernels that cannot limit the time of a wait: the library submits a timeout of its own. */
	ring.features &= ~IORING_FEAT_EXT_ARG;
	STEP(io_uring_wait_cqe_timeout(&ring, &cqe, &short_time));
	STEP(cqe != NULL);
	STEP(io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &short_time, NULL));
	STEP(io_uring_peek_cqe(&ring, &cqe));
	STEP(io_uring_submit_and_wait_reg(&ring, &cqe, 1, 0));
	/* What the library submitted has run out before each of the next waits, whichever library is the slower. */
	settle();
	if (io_uring_sq_space_left(&ring))
		io_uring_prep_nop(io_uring_get_sqe(&ring));
	STEP(io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &long_time, NULL));
	STEP(cqe ? (long long)cqe->user_data : -1);
	if (cqe)
		io_uring_cqe_seen(&ring, cqe);
	while (exported_get_sqe(&ring))
		io_uring_prep_nop(&ring.sq.sqes[(ring.sq.sqe_tail - 1) & ring.sq.ring_mask]);
	settle();
	STEP(io_uring_wait_cqes(&ring, &cqe, 4, &long_time, NULL));
	STEP(io_uring_cq_ready(&ring));
	io_uring_cq_advance(&ring, io_uring_cq_ready(&ring));
	ring.features &= ~(IORING_FEAT_MIN_TIMEOUT | IORING_FEAT_NO_IOWAIT | IORING_FEAT_REG_REG_RING);
	STEP(io_uring_wait_cqes_min_timeout(&ring, &cqe, 1, &short_time, 100, NULL));
	STEP(io_uring_submit_and_wait_min_timeout(&ring, &cqe, 1, &short_time, 100, NULL));
	STEP(io_uring_set_iowait(&ring, false));
	STEP(io_uring_register_ring_fd(&ring));
	STEP(ring.int_flags);
	STEP(io_uring_close_ring_fd(&ring));
	STEP(io_uring_register_personality(&ring));
	STEP(io_uring_unregister_ring_fd(&ring));
	ring.features |= IORING_FEAT_EXT_ARG;

	/* Kernels that map the two queues apart, and those that have an array of indices */
	params = (struct io_uring_params){ 0 };
	STEP(io_uring_setup(8, &params));
	params.features &= ~IORING_FEAT_SINGLE_MMAP;
	STEP(io_uring_queue_mmap(9, &params, &polled));
	STEP(io_uring_queue_mmap(8, &params, &polled));
	STEP(io_uring_queue_mmap(7, &params, &polled));
	STEP(io_uring_ring_dontfork(&polled));
	STEP((io_uring_queue_exit(&polled), 0));
	params = (struct io_uring_params){ .flags = IORING_SETUP_CQE32 | IORING_SETUP_SINGLE_ISSUER |
						    IORING_SETUP_DEFER_TASKRUN };
	STEP(io_uring_queue_init_params(8, &polled, &params));
	params = (struct io_uring_params){ .sq_entries = 32, .cq_entries = 128, .flags = IORING_SETUP_CQSIZE };
	STEP(io_uring_resize_rings(&polled, &params));
	STEP(polled.sq.ring_entries * 1000 + polled.cq.ring_entries);
	STEP((io_uring_queue_exit(&polled), 0));

	/* Errors that are found without the kernel, and those that are not */
	STEP(io_uring_queue_init(0, &polled, 0));
	STEP(io_uring_queue_init(8, &polled, IORING_SETUP_REGISTERED_FD_ONLY));
	STEP(io_uring_queue_init(8, &polled, IORING_SETUP_SQE128 | IORING_SETUP_SQE_MIXED));
	STEP(io_uring_queue_init(8, &polled, 1U << 31));
	STEP(io_uring_register_ring_fd(&by_index));
	STEP(io_uring_unregister_ring_fd(&ring));
	STEP(io_uring_close_ring_fd(&ring));
	STEP(io_uring_close_ring_fd(&by_index));
	STEP(io_uring_close_ring_fd(&by_index));
	STEP(io_uring_register_personality(&by_index));
	STEP(io_uring_unregister_personality(&by_index, 1));
	STEP(io_uring_unregister_personality(&by_index, 1));
	STEP(io_uring_register_file_alloc_range(&ring, 0, 1));
	STEP(io_uring_unregister_buf_ring(&ring, 70000));
	STEP(io_uring_queue_init(8, &polled, IORING_SETUP_IOPOLL | IORING_SETUP_CQE_MIXED));
	STEP(io_uring_peek_cqe(&polled, &cqe));
	STEP(io_uring_submit(&polled));
	STEP((io_uring_queue_exit(&polled), 0));
	params.flags = IORING_SETUP_NO_MMAP;
	STEP(io_uring_queue_init_params(8, &polled, &params));
	STEP(params.flags & ~IORING_SETUP_NO_SQARRAY);
	STEP((io_uring_queue_exit(&polled), 0));
	params = (struct io_uring_params){ 0 };
	STEP(io_uring_queue_init_mem(8, &polled, &params, memory, 4096));
	params = (struct io_uring_params){ 0 };
	STEP(io_uring_queue_init_mem(8, &polled, &params, memory, sizeof(memory)));
	STEP(io_uring_resize_rings(&polled, &params));
	STEP((io_uring_queue_exit(&polled), 0));

	/* The limit of open files is raised if it is what refuses a table of files, as far as it can be. */
	STEP(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 16, 200 }));
	STEP(io_uring_register_files_sparse(&ring, 64));
	STEP(io_uring_unregister_files(&ring));
	STEP(io_uring_register_files_sparse(&ring, 100));
	STEP(io_uring_register_files_sparse(&other, 150));
	for (int i = 0; i < 300; i++)
		many[i] = -1;
	STEP(io_uring_register_files(&other, many, 170));
	STEP(io_uring_register_files(&other, many, 300));
	STEP(io_uring_unregister_files(&other));
	STEP(io_uring_register_files_tags(&other, many, NULL, 300));
	STEP(io_uring_register_files(&other, NULL, 3));

	STEP((io_uring_queue_exit(&by_index), 0));
	STEP((io_uring_queue_exit(&other), 0));
	STEP((io_uring_queue_exit(&ring), 0));
	return 0;
}

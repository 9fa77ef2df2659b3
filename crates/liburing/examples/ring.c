/*
 * Uses ouzel-liburing from C, as any liburing: copies its input to its output, a block at a time, with the write
 * linked to nothing and the read of the next block only after it.
 *
 *     cargo xtask liburing
 *     export PKG_CONFIG_PATH=target/liburing/lib/pkgconfig
 *     cc crates/liburing/examples/ring.c $(pkg-config --cflags --libs liburing) -Wl,-rpath,target/liburing/lib
 */
#include <liburing.h>
#include <stdio.h>
#include <unistd.h>

/* What programs that were compiled long ago rely on. */
_Static_assert(sizeof(struct io_uring) == 216, "struct io_uring");
_Static_assert(sizeof(struct io_uring_sq) == 104 && sizeof(struct io_uring_cq) == 88, "its sides");
_Static_assert(offsetof(struct io_uring, ring_fd) == 196 && offsetof(struct io_uring, int_flags) == 208, "fields");
_Static_assert(sizeof(struct io_uring_sqe) == 64 && sizeof(struct io_uring_cqe) == 16, "entries and completions");
_Static_assert(sizeof(struct io_uring_params) == 120, "parameters");

static int finish(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int result = io_uring_submit_and_wait(ring, 1);

	if (result >= 0)
		result = io_uring_wait_cqe(ring, &cqe);
	if (result < 0)
		return result;
	result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

int main(void)
{
	static char block[4096];
	struct io_uring ring;
	int count = io_uring_queue_init(4, &ring, 0);

	if (count < 0) {
		fprintf(stderr, "no ring: %s\n", strerror(-count));
		return count == -ENOSYS || count == -EPERM ? 77 : 1;
	}
	for (;;) {
		io_uring_prep_read(io_uring_get_sqe(&ring), STDIN_FILENO, block, sizeof(block), (__u64)-1);
		count = finish(&ring);
		if (count <= 0)
			break;
		for (int done = 0, more; done < count; done += more) {
			io_uring_prep_write(io_uring_get_sqe(&ring), STDOUT_FILENO, block + done,
					    (unsigned)(count - done), (__u64)-1);
			more = finish(&ring);
			if (more <= 0) {
				io_uring_queue_exit(&ring);
				return 1;
			}
		}
	}
	io_uring_queue_exit(&ring);
	return count < 0;
}

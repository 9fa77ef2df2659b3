/*
 * Copies a file as liburing's users do by hand: blocks of 32 KiB, each a read linked to a write, 64 pairs in work. The size is
 * known before, so the last pair is as short as the rest of the file.
 *
 * Started as copy-liburing-c read-write SOURCE TARGET COPIES.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <liburing.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../common/serve.h"

enum { BLOCK_BYTES = 32768, PAIRS = 64 };

static size_t block_length(uint64_t size, uint64_t block)
{
    uint64_t rest = size - block * BLOCK_BYTES;
    return rest < BLOCK_BYTES ? (size_t)rest : BLOCK_BYTES;
}

static void push_pair(struct io_uring *ring, unsigned char *buffer, unsigned place, uint64_t size, uint64_t block)
{
    /* The queue has room for two entries per pair. */
    size_t length = block_length(size, block);
    struct io_uring_sqe *entry = io_uring_get_sqe(ring);
    io_uring_prep_read(entry, 0, buffer, (unsigned)length, block * BLOCK_BYTES);
    entry->flags |= IOSQE_FIXED_FILE | IOSQE_IO_LINK;
    io_uring_sqe_set_data64(entry, (uint64_t)place << 32 | (uint64_t)length << 1);
    entry = io_uring_get_sqe(ring);
    io_uring_prep_write(entry, 1, buffer, (unsigned)length, block * BLOCK_BYTES);
    entry->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(entry, (uint64_t)place << 32 | (uint64_t)length << 1 | 1);
}

static uint64_t copy(struct io_uring *ring, unsigned char *buffers, const char *source, const char *target)
{
    struct stat about;
    int files[2];
    files[0] = open(source, O_RDONLY | O_CLOEXEC);
    if (files[0] < 0)
        fail(source, errno);
    if (fstat(files[0], &about) < 0)
        fail(source, errno);
    files[1] = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, about.st_mode & 0777);
    if (files[1] < 0)
        fail(target, errno);
    int result = io_uring_register_files_update(ring, 0, files, 2);
    if (result < 0)
        fail("filling slots", -result);
    uint64_t size = (uint64_t)about.st_size, next = 0, written = 0;
    uint64_t blocks = (size + BLOCK_BYTES - 1) / BLOCK_BYTES;
    while (next < blocks && next < PAIRS) {
        push_pair(ring, buffers + next * BLOCK_BYTES, (unsigned)next, size, next);
        next++;
    }
    while (written < size) {
        result = io_uring_submit_and_wait(ring, 1);
        if (result < 0)
            fail("io_uring_enter", -result);
        struct io_uring_cqe *completion;
        unsigned head, here = 0;
        io_uring_for_each_cqe(ring, head, completion) {
            uint64_t data = completion->user_data;
            here++;
            if (completion->res < 0 || (uint64_t)completion->res != (data >> 1 & 0x7fffffff))
                fail("a block", completion->res < 0 ? -completion->res : EIO);
            if (!(data & 1))
                continue;
            written += (uint64_t)completion->res;
            if (next < blocks) {
                unsigned place = (unsigned)(data >> 32);
                push_pair(ring, buffers + (size_t)place * BLOCK_BYTES, place, size, next++);
            }
        }
        io_uring_cq_advance(ring, here);
    }
    int none[2] = {-1, -1};
    io_uring_register_files_update(ring, 0, none, 2);
    close(files[0]);
    close(files[1]);
    return size;
}

struct task {
    struct io_uring ring;
    unsigned char *buffers;
    const char *source, *target;
    unsigned long copies;
};

static struct tally pass(void *state)
{
    struct task *task = state;
    struct tally tally = {.items = task->copies};
    for (unsigned long number = 0; number < task->copies; number++)
        tally.bytes += copy(&task->ring, task->buffers, task->source, task->target);
    return tally;
}

int main(int argc, char **argv)
{
    if (argc != 5 || strcmp(argv[1], "read-write")) {
        fprintf(stderr, "usage: copy-liburing-c read-write SOURCE TARGET COPIES\n");
        return 2;
    }
    struct task task = {.source = argv[2], .target = argv[3], .copies = strtoul(argv[4], NULL, 10)};
    struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int result = io_uring_queue_init_params(2 * PAIRS, &task.ring, &parameters);
    if (result < 0)
        fail("io_uring_setup (SINGLE_ISSUER, DEFER_TASKRUN)", -result);
    result = io_uring_register_ring_fd(&task.ring);
    if (result < 0)
        fail("registering the ring", -result);
    result = io_uring_register_files_sparse(&task.ring, 2);
    if (result < 0)
        fail("registering slots", -result);
    task.buffers = aligned_alloc(4096, (size_t)PAIRS * BLOCK_BYTES);
    if (!task.buffers)
        fail("buffers", ENOMEM);
    memset(task.buffers, 0, (size_t)PAIRS * BLOCK_BYTES);
    serve("SINGLE_ISSUER, DEFER_TASKRUN, registered ring and files, 64 pairs of 32 KiB", pass, &task);
    io_uring_queue_exit(&task.ring);
    return 0;
}

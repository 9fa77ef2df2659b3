/*
 * raw-nop and raw-read through liburing: the measure. The same loops as the contenders in Rust, with liburing's own inline
 * functions; the three ways to name file and memory are compiled each for itself, as theirs are.
 *
 * Takes the arguments of ../task/src/task.rs.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <liburing.h>
#include <sys/stat.h>

#include "../../common/serve.h"

enum { BLOCK_BYTES = 4096, ENTRIES = 128 };
enum access { ACCESS_PLAIN, ACCESS_FILE, ACCESS_BUFFER };

static _Noreturn void usage(void)
{
    fail("nop default|deferred BATCH OPERATIONS, or read cached|direct plain|file|buffer DEPTH OPERATIONS FILE", EINVAL);
}

struct task {
    int is_read;
    enum access access;
    unsigned in_flight;
    uint64_t operations;
    int fd;
    uint64_t *offsets;
    unsigned char *buffers;
};

static unsigned at_once(const char *word)
{
    unsigned long number = strtoul(word, NULL, 10);
    if (number < 1 || number > ENTRIES)
        usage();
    return (unsigned)number;
}

static void open_ring(struct io_uring *ring, int deferred)
{
    unsigned flags = deferred ? IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN : 0;
    int result = io_uring_queue_init(ENTRIES, ring, flags);
    if (result < 0)
        fail("io_uring_setup", -result);
}

static struct task set_up(struct io_uring *ring, int argc, char **argv)
{
    struct task task = {0};
    if (argc == 5 && !strcmp(argv[1], "nop")) {
        if (strcmp(argv[2], "default") && strcmp(argv[2], "deferred"))
            usage();
        task.in_flight = at_once(argv[3]);
        task.operations = strtoull(argv[4], NULL, 10) / task.in_flight * task.in_flight;
        open_ring(ring, !strcmp(argv[2], "deferred"));
        return task;
    }
    if (argc != 7 || strcmp(argv[1], "read") || (strcmp(argv[2], "cached") && strcmp(argv[2], "direct")))
        usage();
    task.is_read = 1;
    if (!strcmp(argv[3], "plain"))
        task.access = ACCESS_PLAIN;
    else if (!strcmp(argv[3], "file"))
        task.access = ACCESS_FILE;
    else if (!strcmp(argv[3], "buffer"))
        task.access = ACCESS_BUFFER;
    else
        usage();
    task.in_flight = at_once(argv[4]);
    task.operations = strtoull(argv[5], NULL, 10) / task.in_flight * task.in_flight;
    task.fd = open(argv[6], O_RDONLY | O_CLOEXEC | (strcmp(argv[2], "direct") ? 0 : O_DIRECT));
    struct stat about;
    if (task.fd < 0 || fstat(task.fd, &about))
        fail(argv[6], errno);
    uint64_t blocks = (uint64_t)about.st_size / BLOCK_BYTES, state = 0x6f757a656c000003u;
    task.offsets = malloc(task.operations * sizeof *task.offsets);
    if (!task.offsets || !blocks)
        fail("offsets", ENOMEM);
    for (uint64_t operation = 0; operation < task.operations; operation++) {
        uint64_t word = state += 0x9e3779b97f4a7c15u;
        word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
        word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
        task.offsets[operation] = (word ^ (word >> 31)) % blocks * BLOCK_BYTES;
    }
    if (posix_memalign((void **)&task.buffers, BLOCK_BYTES, (size_t)task.in_flight * BLOCK_BYTES))
        fail("buffers", ENOMEM);
    memset(task.buffers, 0, (size_t)task.in_flight * BLOCK_BYTES);

    open_ring(ring, 1);
    int result = 0;
    if (task.access != ACCESS_PLAIN)
        result = io_uring_register_files(ring, &task.fd, 1);
    if (result < 0)
        fail("registering the file", -result);
    if (task.access == ACCESS_BUFFER) {
        struct iovec vectors[ENTRIES];
        for (unsigned number = 0; number < task.in_flight; number++)
            vectors[number] = (struct iovec){task.buffers + (size_t)number * BLOCK_BYTES, BLOCK_BYTES};
        result = io_uring_register_buffers(ring, vectors, task.in_flight);
    }
    if (result < 0)
        fail("registering buffers", -result);
    return task;
}

static uint64_t nops(struct io_uring *ring, const struct task *task)
{
    uint64_t sum = 0;
    unsigned batch = task->in_flight;
    for (uint64_t batches = task->operations / batch; batches; batches--) {
        for (unsigned number = 0; number < batch; number++) {
            struct io_uring_sqe *entry = io_uring_get_sqe(ring);
            if (!entry)
                fail("the queue is full", EBUSY);
            io_uring_prep_nop(entry);
            io_uring_sqe_set_data64(entry, number);
        }
        int result = io_uring_submit_and_wait(ring, batch);
        if (result < 0)
            fail("io_uring_enter", -result);
        struct io_uring_cqe *completion;
        unsigned head, seen = 0;
        io_uring_for_each_cqe(ring, head, completion) {
            if (completion->res)
                fail("a NOP", -completion->res);
            sum += completion->user_data;
            seen++;
        }
        io_uring_cq_advance(ring, seen);
        if (seen != batch)
            fail("completions are missing", EIO);
    }
    return sum;
}

static inline __attribute__((always_inline)) uint64_t
reads(struct io_uring *ring, const struct task *task, enum access access)
{
    uint64_t sum = 0;
    /* Copies that cannot be what an entry is written over. */
    const uint64_t *offsets = task->offsets;
    const uint64_t operations = task->operations;
    unsigned char *buffers = task->buffers;
    unsigned depth = task->in_flight;
    int file = access == ACCESS_PLAIN ? task->fd : 0;
    for (uint64_t first = 0; first < operations; first += depth) {
        for (unsigned number = 0; number < depth; number++) {
            struct io_uring_sqe *entry = io_uring_get_sqe(ring);
            if (!entry)
                fail("the queue is full", EBUSY);
            void *buffer = buffers + (size_t)number * BLOCK_BYTES;
            if (access == ACCESS_BUFFER)
                io_uring_prep_read_fixed(entry, file, buffer, BLOCK_BYTES, offsets[first + number], (int)number);
            else
                io_uring_prep_read(entry, file, buffer, BLOCK_BYTES, offsets[first + number]);
            if (access != ACCESS_PLAIN)
                io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE);
            io_uring_sqe_set_data64(entry, number);
        }
        int result = io_uring_submit_and_wait(ring, depth);
        if (result < 0)
            fail("io_uring_enter", -result);
        struct io_uring_cqe *completion;
        unsigned head, seen = 0;
        io_uring_for_each_cqe(ring, head, completion) {
            if (completion->res != BLOCK_BYTES)
                fail("a read", completion->res < 0 ? -completion->res : EIO);
            if (completion->user_data >= depth)
                fail("no such buffer", EIO);
            sum += *(const uint64_t *)(buffers + completion->user_data * BLOCK_BYTES);
            seen++;
        }
        io_uring_cq_advance(ring, seen);
        if (seen != depth)
            fail("completions are missing", EIO);
    }
    return sum;
}

static uint64_t all(struct io_uring *ring, const struct task *task)
{
    if (!task->is_read)
        return nops(ring, task);
    switch (task->access) {
    case ACCESS_FILE:
        return reads(ring, task, ACCESS_FILE);
    case ACCESS_BUFFER:
        return reads(ring, task, ACCESS_BUFFER);
    default:
        return reads(ring, task, ACCESS_PLAIN);
    }
}

struct work {
    struct io_uring ring;
    struct task task;
};

static struct tally pass(void *state)
{
    struct work *work = state;
    struct tally tally = {.items = work->task.operations, .checksum = all(&work->ring, &work->task)};
    tally.bytes = work->task.is_read ? tally.items * BLOCK_BYTES : 0;
    return tally;
}

int main(int argc, char **argv)
{
    struct work work;
    work.task = set_up(&work.ring, argc, argv);
    serve("io_uring_get_sqe, io_uring_submit_and_wait, io_uring_for_each_cqe", pass, &work);
    io_uring_queue_exit(&work.ring);
    return 0;
}

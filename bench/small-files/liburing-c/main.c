/*
 * The floor for many files at a time: liburing, by hand. Each file is a chain of three linked entries
 *     open into a fixed slot (LINK), read from the slot (HARDLINK: a short read must not break it), close the slot
 * and so many chains go to the kernel in one enter. Every completion is waited for, the close's too: only then may its
 * slot be used again, because the read's completion comes before the close has run.
 *
 * Started as liburing-c LIST IN_FLIGHT.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <liburing.h>

#include "../../common/serve.h"

enum { BUFFER_BYTES = 8192, MOST_IN_FLIGHT = 1024 };
enum step { STEP_OPEN, STEP_READ, STEP_CLOSE, STEPS };

static uint64_t sum(const unsigned char *contents, size_t length)
{
    uint64_t total = 0, word;
    for (size_t words = length / 8; words; words--, contents += 8) {
        memcpy(&word, contents, 8);
        total += word;
    }
    word = 0;
    memcpy(&word, contents, length % 8);
    total += word;
    return total * ((uint64_t)length | 1);
}

struct list {
    char **paths;
    size_t count;
};

static struct list read_list(const char *name)
{
    struct list list = {0};
    size_t room = 0;
    char *line = NULL;
    size_t line_room = 0;
    ssize_t length;
    FILE *file = fopen(name, "r");
    if (!file)
        fail(name, errno);
    while ((length = getline(&line, &line_room, file)) > 0) {
        if (line[length - 1] == '\n')
            line[length - 1] = 0;
        if (list.count == room) {
            room = room ? room * 2 : 1024;
            list.paths = realloc(list.paths, room * sizeof *list.paths);
            if (!list.paths)
                fail("list", ENOMEM);
        }
        list.paths[list.count++] = strdup(line);
    }
    free(line);
    fclose(file);
    return list;
}

struct task {
    struct io_uring ring;
    struct list list;
    unsigned in_flight;
    unsigned char *buffers;
};

static struct tally pass(void *state)
{
    struct task *task = state;
    const struct list *list = &task->list;
    const unsigned in_flight = task->in_flight;
    struct tally tally = {0};
    for (size_t first = 0; first < list->count; first += in_flight) {
        unsigned chains = list->count - first < in_flight ? (unsigned)(list->count - first) : in_flight;
        for (unsigned slot = 0; slot < chains; slot++) {
            /* The queue has room for STEPS * in_flight entries and is empty here. */
            struct io_uring_sqe *entry = io_uring_get_sqe(&task->ring);
            io_uring_prep_openat_direct(entry, AT_FDCWD, list->paths[first + slot], O_RDONLY, 0, slot);
            entry->flags |= IOSQE_IO_LINK;
            io_uring_sqe_set_data64(entry, slot * 4 + STEP_OPEN);
            entry = io_uring_get_sqe(&task->ring);
            io_uring_prep_read(entry, (int)slot, task->buffers + (size_t)slot * BUFFER_BYTES, BUFFER_BYTES, 0);
            entry->flags |= IOSQE_FIXED_FILE | IOSQE_IO_HARDLINK;
            io_uring_sqe_set_data64(entry, slot * 4 + STEP_READ);
            entry = io_uring_get_sqe(&task->ring);
            io_uring_prep_close_direct(entry, slot);
            io_uring_sqe_set_data64(entry, slot * 4 + STEP_CLOSE);
        }
        int result = io_uring_submit_and_wait(&task->ring, chains * STEPS);
        if (result < 0)
            fail("io_uring_enter", -result);
        if ((unsigned)result != chains * STEPS)
            fail("io_uring_enter took only a part", EIO);
        unsigned seen = 0;
        while (seen < chains * STEPS) {
            struct io_uring_cqe *completion;
            unsigned head, here = 0;
            io_uring_for_each_cqe(&task->ring, head, completion) {
                unsigned slot = (unsigned)(completion->user_data / 4);
                if (completion->res < 0)
                    fail(list->paths[first + slot], -completion->res);
                if (completion->user_data % 4 == STEP_READ) {
                    tally.items++;
                    tally.bytes += (uint64_t)completion->res;
                    tally.checksum += sum(task->buffers + (size_t)slot * BUFFER_BYTES, (size_t)completion->res);
                }
                here++;
            }
            io_uring_cq_advance(&task->ring, here);
            seen += here;
            if (seen < chains * STEPS) {
                result = io_uring_wait_cqe(&task->ring, &completion);
                if (result < 0)
                    fail("io_uring_enter", -result);
            }
        }
    }
    return tally;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: liburing-c LIST IN_FLIGHT [reused]\n");
        return 2;
    }
    struct task task = {.list = read_list(argv[1]), .in_flight = (unsigned)strtoul(argv[2], NULL, 10)};
    const unsigned in_flight = task.in_flight;
    if (in_flight < 1 || in_flight > MOST_IN_FLIGHT)
        fail("IN_FLIGHT", EINVAL);

    struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    unsigned entries = 4;
    while (entries < in_flight * STEPS)
        entries *= 2;
    int result = io_uring_queue_init_params(entries, &task.ring, &parameters);
    if (result < 0)
        fail("io_uring_setup (SINGLE_ISSUER, DEFER_TASKRUN)", -result);
    result = io_uring_register_ring_fd(&task.ring);
    if (result < 0)
        fail("registering the ring", -result);
    result = io_uring_register_files_sparse(&task.ring, in_flight);
    if (result < 0)
        fail("registering slots", -result);
    /* Page-aligned: copies to memory a few bytes into a page are a quarter slower on some processors. */
    task.buffers = aligned_alloc(4096, (size_t)in_flight * BUFFER_BYTES);
    if (!task.buffers)
        fail("buffers", ENOMEM);
    memset(task.buffers, 0, (size_t)in_flight * BUFFER_BYTES);
    serve("SINGLE_ISSUER, DEFER_TASKRUN, registered ring and slots", pass, &task);
    io_uring_queue_exit(&task.ring);
    return 0;
}

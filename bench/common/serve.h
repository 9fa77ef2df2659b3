/*
 * The protocol between the harness and a contender in C, as src/serve.rs has it for those in Rust: one line that says how it
 * was set up, then one pass for each line `run`, of which only the pass is timed. Allocations are counted by wrapping the three
 * calls: link with --wrap=malloc, --wrap=calloc and --wrap=realloc. Include it in the only file of a program, behind a
 * `#define _GNU_SOURCE`.
 */
#ifndef OUZEL_BENCH_SERVE_H
#define OUZEL_BENCH_SERVE_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t allocations;
void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__wrap_malloc(size_t size) { allocations++; return __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { allocations++; return __real_calloc(count, size); }
void *__wrap_realloc(void *old, size_t size) { allocations++; return __real_realloc(old, size); }

/* What a pass has done. */
struct tally {
    uint64_t items, bytes, checksum;
};

/* Says what failed and ends. The harness looks for the line with the program's name. */
static _Noreturn void fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(error));
    exit(1);
}

/* Serves passes until standard input ends. */
static void serve(const char *setting, struct tally (*pass)(void *), void *state)
{
    printf("{\"setting\":\"%s\"}\n", setting);
    fflush(stdout);
    char line[16];
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "run\n"))
            fail("the harness says only `run`", EPROTO);
        uint64_t allocations_before = allocations;
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        struct tally tally = pass(state);
        clock_gettime(CLOCK_MONOTONIC, &end);
        uint64_t nanoseconds =
            (uint64_t)(end.tv_sec - start.tv_sec) * 1000000000u + (uint64_t)end.tv_nsec - (uint64_t)start.tv_nsec;
        printf("{\"ns\":%llu,\"items\":%llu,\"bytes\":%llu,\"checksum\":%llu,\"allocs\":%llu}\n",
               (unsigned long long)nanoseconds, (unsigned long long)tally.items, (unsigned long long)tally.bytes,
               (unsigned long long)tally.checksum, (unsigned long long)(allocations - allocations_before));
        fflush(stdout);
    }
}

#endif

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Access to the words that are shared with the kernel. Part of Ouzel.
 *
 * The kernel publishes with release what is loaded with acquire here, and the other way round.
 */
#ifndef LIBURING_BARRIER_H
#define LIBURING_BARRIER_H

#ifdef __cplusplus
#include <atomic>

template <typename Word>
static inline void IO_URING_WRITE_ONCE(Word &word, Word value)
{
	reinterpret_cast<std::atomic<Word> *>(&word)->store(value, std::memory_order_relaxed);
}

template <typename Word>
static inline Word IO_URING_READ_ONCE(const Word &word)
{
	return reinterpret_cast<const std::atomic<Word> *>(&word)->load(std::memory_order_relaxed);
}

template <typename Word>
static inline void io_uring_smp_store_release(Word *word, Word value)
{
	reinterpret_cast<std::atomic<Word> *>(word)->store(value, std::memory_order_release);
}

template <typename Word>
static inline Word io_uring_smp_load_acquire(const Word *word)
{
	return reinterpret_cast<const std::atomic<Word> *>(word)->load(std::memory_order_acquire);
}

static inline void io_uring_smp_mb()
{
	std::atomic_thread_fence(std::memory_order_seq_cst);
}
#else
/* The compiler's own operations, which take any word and need no header. */
#define IO_URING_WRITE_ONCE(word, value) __atomic_store_n(&(word), (value), __ATOMIC_RELAXED)
#define IO_URING_READ_ONCE(word) __atomic_load_n(&(word), __ATOMIC_RELAXED)
#define io_uring_smp_store_release(word, value) __atomic_store_n((word), (value), __ATOMIC_RELEASE)
#define io_uring_smp_load_acquire(word) __atomic_load_n((word), __ATOMIC_ACQUIRE)
#define io_uring_smp_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

#endif

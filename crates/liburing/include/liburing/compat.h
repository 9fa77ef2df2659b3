/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What older C libraries and kernel headers lack. The compiler finds out itself what there is, so these headers need
 * no configuration. Part of Ouzel.
 */
#ifndef LIBURING_COMPAT_H
#define LIBURING_COMPAT_H

#include <stdint.h>
#include <sys/wait.h> /* idtype_t */
#include <linux/ioctl.h>
#include <linux/types.h>

#ifndef __has_include
#define __has_include(header) 1
#endif

#if __has_include(<linux/time_types.h>)
#include <linux/time_types.h>
#else
struct __kernel_timespec {
	int64_t tv_sec;
	long long tv_nsec;
};
#endif
#define UAPI_LINUX_IO_URING_H_SKIP_LINUX_TIME_TYPES_H 1

#if __has_include(<linux/openat2.h>)
#include <linux/openat2.h>
#else
struct open_how {
	uint64_t flags;
	uint64_t mode;
	uint64_t resolve;
};
#endif

/* struct futex_waitv came with this constant. */
#if __has_include(<linux/futex.h>)
#include <linux/futex.h>
#endif
#ifndef FUTEX_WAITV_MAX
#define FUTEX_WAITV_MAX 128
#define FUTEX_32 2
struct futex_waitv {
	uint64_t val;
	uint64_t uaddr;
	uint32_t flags;
	uint32_t __reserved;
};
#endif

/* The command that discards blocks of a device */
#if __has_include(<linux/blkdev.h>)
#include <linux/blkdev.h>
#endif
#ifndef BLOCK_URING_CMD_DISCARD
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0)
#endif

#endif

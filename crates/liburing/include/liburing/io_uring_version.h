/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The version of the ABI that these headers describe. Part of Ouzel. */
#ifndef LIBURING_VERSION_H
#define LIBURING_VERSION_H

#define IO_URING_VERSION_MAJOR 2
#define IO_URING_VERSION_MINOR 15

#endif

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Questions to the kernel that need no ring, for io_uring_register_query(). Part of Ouzel. */
#ifndef LINUX_IO_URING_QUERY_H
#define LINUX_IO_URING_QUERY_H

#include <linux/types.h>

/* What can be asked, and the structure that the answer has */
enum {
	IO_URING_QUERY_OPCODES = 0, /* struct io_uring_query_opcode */
	IO_URING_QUERY_ZCRX = 1, /* struct io_uring_query_zcrx */
	IO_URING_QUERY_SCQ = 2, /* struct io_uring_query_scq */
	__IO_URING_QUERY_MAX = 3
};

/* A question; several may be chained. */
struct io_uring_query_hdr {
	__u64 next_entry; /* the next question, or 0 */
	__u64 query_data; /* room for the answer */
	__u32 query_op;
	__u32 size; /* of the room, then of the answer */
	__s32 result; /* 0 or a negated errno */
	__u32 __resv[3];
};

struct io_uring_query_opcode {
	__u32 nr_request_opcodes;
	__u32 nr_register_opcodes;
	__u64 feature_flags;
	__u64 ring_setup_flags;
	__u64 enter_flags;
	__u64 sqe_flags;
	__u32 nr_query_opcodes;
	__u32 __pad;
};

struct io_uring_query_zcrx {
	__u64 register_flags;
	__u64 area_flags;
	__u32 nr_ctrl_opcodes;
	__u32 features;
	__u32 rq_hdr_size;
	__u32 rq_hdr_alignment;
	__u64 __resv2;
};

struct io_uring_query_scq {
	__u64 hdr_size;
	__u64 hdr_alignment;
};

#endif

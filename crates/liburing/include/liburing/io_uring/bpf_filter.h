/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Filters for entries, for io_uring_register_bpf_filter(). Part of Ouzel. */
#ifndef LINUX_IO_URING_BPF_FILTER_H
#define LINUX_IO_URING_BPF_FILTER_H

#include <linux/types.h>

/* What a filter sees of an entry */
struct io_uring_bpf_ctx {
	__u64 user_data;
	__u8 opcode;
	__u8 sqe_flags;
	__u8 pdu_size; /* how much of the union is valid */
	__u8 pad[5];
	union {
		struct {
			__u32 family;
			__u32 type;
			__u32 protocol;
		} socket;
		struct {
			__u64 flags;
			__u64 mode;
			__u64 resolve;
		} open;
	};
};

/* io_uring_bpf_filter.flags */
enum {
	IO_URING_BPF_FILTER_DENY_REST = 1, /* opcodes without a filter are refused */
	IO_URING_BPF_FILTER_SZ_STRICT = 2 /* a wrong pdu_size is an error */
};

struct io_uring_bpf_filter {
	__u32 opcode;
	__u32 flags;
	__u32 filter_len; /* instructions */
	__u8 pdu_size;
	__u8 resv[3];
	__u64 filter_ptr; /* struct sock_filter */
	__u64 resv2[5];
};

/* io_uring_bpf.cmd_type */
enum { IO_URING_BPF_CMD_FILTER = 1 };

struct io_uring_bpf {
	__u16 cmd_type;
	__u16 cmd_flags;
	__u32 resv;
	union {
		struct io_uring_bpf_filter filter;
	};
};

#endif

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The kernel's io_uring interface, as of the ABI of liburing 2.15: numbers, flags and structures. The names are those
 * that programs use; the layout is the kernel's. Every field that is not described must be zero.
 *
 * Part of Ouzel; not the kernel's own header. Which of this a running kernel knows is told by its features and by a
 * probe, not by this file.
 */
#ifndef LINUX_IO_URING_H
#define LINUX_IO_URING_H

#include <linux/fs.h>
#include <linux/types.h>
#ifndef UAPI_LINUX_IO_URING_H_SKIP_LINUX_TIME_TYPES_H
#include <linux/time_types.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Entries ---- */

/* 64 bytes. What a union means is up to the opcode. */
struct io_uring_sqe {
	__u8 opcode;
	__u8 flags; /* IOSQE_* */
	__u16 ioprio; /* or flags of sends, receives and accepts */
	__s32 fd;
	union {
		__u64 off;
		__u64 addr2;
		struct {
			__u32 cmd_op;
			__u32 __pad1;
		};
	};
	union {
		__u64 addr;
		__u64 splice_off_in;
		struct {
			__u32 level;
			__u32 optname;
		};
	};
	__u32 len;
	union { /* flags of the operation */
		__kernel_rwf_t rw_flags;
		__u32 accept_flags;
		__u32 cancel_flags;
		__u32 fadvise_advice;
		__u32 fsync_flags;
		__u32 futex_flags;
		__u32 hardlink_flags;
		__u32 install_fd_flags;
		__u32 msg_flags;
		__u32 msg_ring_flags;
		__u32 nop_flags;
		__u32 open_flags;
		__u32 pipe_flags;
		__u32 poll32_events; /* halves swapped on big-endian machines */
		__u16 poll_events; /* what there was before */
		__u32 rename_flags;
		__u32 splice_flags;
		__u32 statx_flags;
		__u32 sync_range_flags;
		__u32 timeout_flags;
		__u32 unlink_flags;
		__u32 uring_cmd_flags;
		__u32 waitid_flags;
		__u32 xattr_flags;
	};
	__u64 user_data; /* comes back in the completion */
	union {
		__u16 buf_index; /* which registered buffer */
		__u16 buf_group; /* which group of provided buffers */
	} __attribute__((packed));
	__u16 personality; /* which registered credentials */
	union {
		__u32 file_index; /* one more than the slot for a new file */
		__s32 splice_fd_in;
		__u32 zcrx_ifq_idx;
		__u32 optlen;
		struct {
			__u16 addr_len;
			__u16 __pad3[1];
		};
	};
	union {
		struct {
			__u64 addr3;
			__u64 __pad2[1];
		};
		struct {
			__u64 attr_ptr; /* attributes of a read or write */
			__u64 attr_type_mask; /* IORING_RW_ATTR_FLAG_*: which ones */
		};
		__u64 optval;
		__u8 cmd[0]; /* 16 bytes for commands, 80 in entries of 128 bytes */
	};
};

/* sqe->flags, by bit and by value */
enum io_uring_sqe_flags_bit {
	IOSQE_FIXED_FILE_BIT = 0,
	IOSQE_IO_DRAIN_BIT = 1,
	IOSQE_IO_LINK_BIT = 2,
	IOSQE_IO_HARDLINK_BIT = 3,
	IOSQE_ASYNC_BIT = 4,
	IOSQE_BUFFER_SELECT_BIT = 5,
	IOSQE_CQE_SKIP_SUCCESS_BIT = 6
};

#define IOSQE_FIXED_FILE (1U << IOSQE_FIXED_FILE_BIT) /* fd is a slot */
#define IOSQE_IO_DRAIN (1U << IOSQE_IO_DRAIN_BIT) /* after all before it */
#define IOSQE_IO_LINK (1U << IOSQE_IO_LINK_BIT) /* the next one after this one succeeded */
#define IOSQE_IO_HARDLINK (1U << IOSQE_IO_HARDLINK_BIT) /* the next one after this one, however it ended */
#define IOSQE_ASYNC (1U << IOSQE_ASYNC_BIT) /* to a worker at once */
#define IOSQE_BUFFER_SELECT (1U << IOSQE_BUFFER_SELECT_BIT) /* into a provided buffer of buf_group */
#define IOSQE_CQE_SKIP_SUCCESS (1U << IOSQE_CQE_SKIP_SUCCESS_BIT) /* no completion of a success */

enum io_uring_op {
	IORING_OP_NOP = 0,
	IORING_OP_READV = 1,
	IORING_OP_WRITEV = 2,
	IORING_OP_FSYNC = 3,
	IORING_OP_READ_FIXED = 4,
	IORING_OP_WRITE_FIXED = 5,
	IORING_OP_POLL_ADD = 6,
	IORING_OP_POLL_REMOVE = 7,
	IORING_OP_SYNC_FILE_RANGE = 8,
	IORING_OP_SENDMSG = 9,
	IORING_OP_RECVMSG = 10,
	IORING_OP_TIMEOUT = 11,
	IORING_OP_TIMEOUT_REMOVE = 12,
	IORING_OP_ACCEPT = 13,
	IORING_OP_ASYNC_CANCEL = 14,
	IORING_OP_LINK_TIMEOUT = 15,
	IORING_OP_CONNECT = 16,
	IORING_OP_FALLOCATE = 17,
	IORING_OP_OPENAT = 18,
	IORING_OP_CLOSE = 19,
	IORING_OP_FILES_UPDATE = 20,
	IORING_OP_STATX = 21,
	IORING_OP_READ = 22,
	IORING_OP_WRITE = 23,
	IORING_OP_FADVISE = 24,
	IORING_OP_MADVISE = 25,
	IORING_OP_SEND = 26,
	IORING_OP_RECV = 27,
	IORING_OP_OPENAT2 = 28,
	IORING_OP_EPOLL_CTL = 29,
	IORING_OP_SPLICE = 30,
	IORING_OP_PROVIDE_BUFFERS = 31,
	IORING_OP_REMOVE_BUFFERS = 32,
	IORING_OP_TEE = 33,
	IORING_OP_SHUTDOWN = 34,
	IORING_OP_RENAMEAT = 35,
	IORING_OP_UNLINKAT = 36,
	IORING_OP_MKDIRAT = 37,
	IORING_OP_SYMLINKAT = 38,
	IORING_OP_LINKAT = 39,
	IORING_OP_MSG_RING = 40,
	IORING_OP_FSETXATTR = 41,
	IORING_OP_SETXATTR = 42,
	IORING_OP_FGETXATTR = 43,
	IORING_OP_GETXATTR = 44,
	IORING_OP_SOCKET = 45,
	IORING_OP_URING_CMD = 46,
	IORING_OP_SEND_ZC = 47,
	IORING_OP_SENDMSG_ZC = 48,
	IORING_OP_READ_MULTISHOT = 49,
	IORING_OP_WAITID = 50,
	IORING_OP_FUTEX_WAIT = 51,
	IORING_OP_FUTEX_WAKE = 52,
	IORING_OP_FUTEX_WAITV = 53,
	IORING_OP_FIXED_FD_INSTALL = 54,
	IORING_OP_FTRUNCATE = 55,
	IORING_OP_BIND = 56,
	IORING_OP_LISTEN = 57,
	IORING_OP_RECV_ZC = 58,
	IORING_OP_EPOLL_WAIT = 59,
	IORING_OP_READV_FIXED = 60,
	IORING_OP_WRITEV_FIXED = 61,
	IORING_OP_PIPE = 62,
	IORING_OP_NOP128 = 63,
	IORING_OP_URING_CMD128 = 64,
	IORING_OP_LAST = 65
};

/* sqe->file_index: the kernel chooses the slot and reports it, or ENFILE. */
#define IORING_FILE_INDEX_ALLOC (~0U)

/* sqe->attr_type_mask */
#define IORING_RW_ATTR_FLAG_PI (1U << 0)

/* Protection information, which attr_ptr points to. */
struct io_uring_attr_pi {
	__u16 flags;
	__u16 app_tag;
	__u32 len;
	__u64 addr;
	__u64 seed;
	__u64 rsvd;
};

/* sqe->fsync_flags */
#define IORING_FSYNC_DATASYNC (1U << 0)

/* sqe->timeout_flags */
#define IORING_TIMEOUT_ABS               (1U << 0)
#define IORING_TIMEOUT_UPDATE            (1U << 1)
#define IORING_TIMEOUT_BOOTTIME          (1U << 2)
#define IORING_TIMEOUT_REALTIME          (1U << 3)
#define IORING_LINK_TIMEOUT_UPDATE       (1U << 4)
#define IORING_TIMEOUT_ETIME_SUCCESS     (1U << 5)
#define IORING_TIMEOUT_MULTISHOT         (1U << 6)
#define IORING_TIMEOUT_IMMEDIATE_ARG     (1U << 7)
#define IORING_TIMEOUT_CLOCK_MASK (IORING_TIMEOUT_BOOTTIME | IORING_TIMEOUT_REALTIME)
#define IORING_TIMEOUT_UPDATE_MASK (IORING_TIMEOUT_UPDATE | IORING_LINK_TIMEOUT_UPDATE)

/* sqe->splice_flags, besides those of splice(2): splice_fd_in is a slot. */
#define SPLICE_F_FD_IN_FIXED (1U << 31)

/* sqe->len of polls */
#define IORING_POLL_ADD_MULTI            (1U << 0)
#define IORING_POLL_UPDATE_EVENTS        (1U << 1)
#define IORING_POLL_UPDATE_USER_DATA     (1U << 2)
#define IORING_POLL_ADD_LEVEL            (1U << 3)

/* sqe->cancel_flags */
#define IORING_ASYNC_CANCEL_ALL          (1U << 0)
#define IORING_ASYNC_CANCEL_FD           (1U << 1)
#define IORING_ASYNC_CANCEL_ANY          (1U << 2)
#define IORING_ASYNC_CANCEL_FD_FIXED     (1U << 3)
#define IORING_ASYNC_CANCEL_USERDATA     (1U << 4)
#define IORING_ASYNC_CANCEL_OP           (1U << 5)

/* sqe->ioprio of sends and receives */
#define IORING_RECVSEND_POLL_FIRST       (1U << 0)
#define IORING_RECV_MULTISHOT            (1U << 1)
#define IORING_RECVSEND_FIXED_BUF        (1U << 2)
#define IORING_SEND_ZC_REPORT_USAGE      (1U << 3)
#define IORING_RECVSEND_BUNDLE           (1U << 4)
#define IORING_SEND_VECTORIZED           (1U << 5)

/* cqe->res of a zero-copy notification: the data was copied after all. */
#define IORING_NOTIF_USAGE_ZC_COPIED (1U << 31)

/* sqe->ioprio of accepts */
#define IORING_ACCEPT_MULTISHOT          (1U << 0)
#define IORING_ACCEPT_DONTWAIT           (1U << 1)
#define IORING_ACCEPT_POLL_FIRST         (1U << 2)

/* sqe->addr of messages to a ring: a completion, or a file */
enum io_uring_msg_ring_flags { IORING_MSG_DATA = 0, IORING_MSG_SEND_FD = 1 };

/* sqe->msg_ring_flags */
#define IORING_MSG_RING_CQE_SKIP         (1U << 0)
#define IORING_MSG_RING_FLAGS_PASS       (1U << 1)

/* sqe->install_fd_flags */
#define IORING_FIXED_FD_NO_CLOEXEC (1U << 0)

/* sqe->nop_flags */
#define IORING_NOP_INJECT_RESULT (1U << 0)
#define IORING_NOP_CQE32 (1U << 5)

/* sqe->uring_cmd_flags: the memory is a registered buffer. */
#define IORING_URING_CMD_FIXED (1U << 0)
#define IORING_URING_CMD_MASK IORING_URING_CMD_FIXED

/* Commands of sockets, in sqe->cmd_op */
enum io_uring_socket_op {
	SOCKET_URING_OP_SIOCINQ = 0,
	SOCKET_URING_OP_SIOCOUTQ = 1,
	SOCKET_URING_OP_GETSOCKOPT = 2,
	SOCKET_URING_OP_SETSOCKOPT = 3,
	SOCKET_URING_OP_TX_TIMESTAMP = 4,
	SOCKET_URING_OP_GETSOCKNAME = 5
};

/* ---- Completions ---- */

/* 16 bytes, or 32. */
struct io_uring_cqe {
	__u64 user_data;
	__s32 res; /* a result, or a negated errno */
	__u32 flags; /* IORING_CQE_F_* */
	__u64 big_cqe[]; /* 16 more bytes in rings or completions that have them */
};

#define IORING_CQE_F_BUFFER              (1U << 0)
#define IORING_CQE_F_MORE                (1U << 1)
#define IORING_CQE_F_SOCK_NONEMPTY       (1U << 2)
#define IORING_CQE_F_NOTIF               (1U << 3)
#define IORING_CQE_F_BUF_MORE            (1U << 4)
#define IORING_CQE_F_SKIP                (1U << 5)
#define IORING_CQE_F_32 (1U << 15)

/* With IORING_CQE_F_BUFFER, the number of the buffer lies above this bit. */
#define IORING_CQE_BUFFER_SHIFT 16

/* Completions of SOCKET_URING_OP_TX_TIMESTAMP: what the time is, and a struct io_timespec in big_cqe. */
#define IORING_TIMESTAMP_HW_SHIFT 16
#define IORING_TIMESTAMP_TYPE_SHIFT (IORING_TIMESTAMP_HW_SHIFT + 1)
#define IORING_CQE_F_TSTAMP_HW ((__u32)1 << IORING_TIMESTAMP_HW_SHIFT)

struct io_timespec {
	__u64 tv_sec;
	__u64 tv_nsec;
};

/* What precedes a message that multishot recvmsg put into a provided buffer. */
struct io_uring_recvmsg_out {
	__u32 namelen;
	__u32 controllen;
	__u32 payloadlen;
	__u32 flags;
};

/* ---- io_uring_setup(2) ---- */

#define IORING_SETUP_IOPOLL              (1U << 0)
#define IORING_SETUP_SQPOLL              (1U << 1)
#define IORING_SETUP_SQ_AFF              (1U << 2)
#define IORING_SETUP_CQSIZE              (1U << 3)
#define IORING_SETUP_CLAMP               (1U << 4)
#define IORING_SETUP_ATTACH_WQ           (1U << 5)
#define IORING_SETUP_R_DISABLED          (1U << 6)
#define IORING_SETUP_SUBMIT_ALL          (1U << 7)
#define IORING_SETUP_COOP_TASKRUN        (1U << 8)
#define IORING_SETUP_TASKRUN_FLAG        (1U << 9)
#define IORING_SETUP_SQE128              (1U << 10)
#define IORING_SETUP_CQE32               (1U << 11)
#define IORING_SETUP_SINGLE_ISSUER       (1U << 12)
#define IORING_SETUP_DEFER_TASKRUN       (1U << 13)
#define IORING_SETUP_NO_MMAP             (1U << 14)
#define IORING_SETUP_REGISTERED_FD_ONLY  (1U << 15)
#define IORING_SETUP_NO_SQARRAY          (1U << 16)
#define IORING_SETUP_HYBRID_IOPOLL       (1U << 17)
#define IORING_SETUP_CQE_MIXED           (1U << 18)
#define IORING_SETUP_SQE_MIXED           (1U << 19)
#define IORING_SETUP_SQ_REWIND           (1U << 20)

#define IORING_FEAT_SINGLE_MMAP          (1U << 0)
#define IORING_FEAT_NODROP               (1U << 1)
#define IORING_FEAT_SUBMIT_STABLE        (1U << 2)
#define IORING_FEAT_RW_CUR_POS           (1U << 3)
#define IORING_FEAT_CUR_PERSONALITY      (1U << 4)
#define IORING_FEAT_FAST_POLL            (1U << 5)
#define IORING_FEAT_POLL_32BITS          (1U << 6)
#define IORING_FEAT_SQPOLL_NONFIXED      (1U << 7)
#define IORING_FEAT_EXT_ARG              (1U << 8)
#define IORING_FEAT_NATIVE_WORKERS       (1U << 9)
#define IORING_FEAT_RSRC_TAGS            (1U << 10)
#define IORING_FEAT_CQE_SKIP             (1U << 11)
#define IORING_FEAT_LINKED_FILE          (1U << 12)
#define IORING_FEAT_REG_REG_RING         (1U << 13)
#define IORING_FEAT_RECVSEND_BUNDLE      (1U << 14)
#define IORING_FEAT_MIN_TIMEOUT          (1U << 15)
#define IORING_FEAT_RW_ATTR              (1U << 16)
#define IORING_FEAT_NO_IOWAIT            (1U << 17)

/* Where the words of the queues are, from the beginning of their mappings. */
struct io_sqring_offsets {
	__u32 head;
	__u32 tail;
	__u32 ring_mask;
	__u32 ring_entries;
	__u32 flags; /* of IORING_SQ_* */
	__u32 dropped;
	__u32 array;
	__u32 resv1;
	__u64 user_addr; /* memory of the application */
};

struct io_cqring_offsets {
	__u32 head;
	__u32 tail;
	__u32 ring_mask;
	__u32 ring_entries;
	__u32 overflow;
	__u32 cqes;
	__u32 flags; /* of IORING_CQ_* */
	__u32 resv1;
	__u64 user_addr; /* memory of the application */
};

struct io_uring_params {
	__u32 sq_entries;
	__u32 cq_entries;
	__u32 flags; /* IORING_SETUP_* */
	__u32 sq_thread_cpu;
	__u32 sq_thread_idle; /* milliseconds */
	__u32 features; /* IORING_FEAT_* */
	__u32 wq_fd;
	__u32 resv[3];
	struct io_sqring_offsets sq_off;
	struct io_cqring_offsets cq_off;
};

/* What the kernel says in the submission queue, and we in the completion queue */
#define IORING_SQ_NEED_WAKEUP            (1U << 0)
#define IORING_SQ_CQ_OVERFLOW            (1U << 1)
#define IORING_SQ_TASKRUN                (1U << 2)
#define IORING_CQ_EVENTFD_DISABLED (1U << 0)

/* Offsets for mmap(2) */
#define IORING_OFF_SQ_RING 0ULL
#define IORING_OFF_CQ_RING 0x8000000ULL
#define IORING_OFF_SQES 0x10000000ULL
#define IORING_OFF_PBUF_RING 0x80000000ULL /* the group's number is added at IORING_OFF_PBUF_SHIFT */
#define IORING_OFF_PBUF_SHIFT 16
#define IORING_OFF_MMAP_MASK 0xf8000000ULL

/* ---- io_uring_enter(2) ---- */

#define IORING_ENTER_GETEVENTS           (1U << 0)
#define IORING_ENTER_SQ_WAKEUP           (1U << 1)
#define IORING_ENTER_SQ_WAIT             (1U << 2)
#define IORING_ENTER_EXT_ARG             (1U << 3)
#define IORING_ENTER_REGISTERED_RING     (1U << 4)
#define IORING_ENTER_ABS_TIMER           (1U << 5)
#define IORING_ENTER_EXT_ARG_REG         (1U << 6)
#define IORING_ENTER_NO_IOWAIT           (1U << 7)

/* The argument with IORING_ENTER_EXT_ARG */
struct io_uring_getevents_arg {
	__u64 sigmask;
	__u32 sigmask_sz;
	__u32 min_wait_usec;
	__u64 ts; /* struct __kernel_timespec */
};

/* An element of a region for IORING_ENTER_EXT_ARG_REG */
struct io_uring_reg_wait {
	struct __kernel_timespec ts;
	__u32 min_wait_usec;
	__u32 flags; /* IORING_REG_WAIT_* */
	__u64 sigmask;
	__u32 sigmask_sz;
	__u32 pad[3];
	__u64 pad2[2];
};

enum { IORING_REG_WAIT_TS = 1U << 0 /* ts is valid */ };

/* ---- io_uring_register(2) ---- */

enum io_uring_register_op {
	IORING_REGISTER_BUFFERS = 0,
	IORING_UNREGISTER_BUFFERS = 1,
	IORING_REGISTER_FILES = 2,
	IORING_UNREGISTER_FILES = 3,
	IORING_REGISTER_EVENTFD = 4,
	IORING_UNREGISTER_EVENTFD = 5,
	IORING_REGISTER_FILES_UPDATE = 6,
	IORING_REGISTER_EVENTFD_ASYNC = 7,
	IORING_REGISTER_PROBE = 8,
	IORING_REGISTER_PERSONALITY = 9,
	IORING_UNREGISTER_PERSONALITY = 10,
	IORING_REGISTER_RESTRICTIONS = 11,
	IORING_REGISTER_ENABLE_RINGS = 12,
	IORING_REGISTER_FILES2 = 13,
	IORING_REGISTER_FILES_UPDATE2 = 14,
	IORING_REGISTER_BUFFERS2 = 15,
	IORING_REGISTER_BUFFERS_UPDATE = 16,
	IORING_REGISTER_IOWQ_AFF = 17,
	IORING_UNREGISTER_IOWQ_AFF = 18,
	IORING_REGISTER_IOWQ_MAX_WORKERS = 19,
	IORING_REGISTER_RING_FDS = 20,
	IORING_UNREGISTER_RING_FDS = 21,
	IORING_REGISTER_PBUF_RING = 22,
	IORING_UNREGISTER_PBUF_RING = 23,
	IORING_REGISTER_SYNC_CANCEL = 24,
	IORING_REGISTER_FILE_ALLOC_RANGE = 25,
	IORING_REGISTER_PBUF_STATUS = 26,
	IORING_REGISTER_NAPI = 27,
	IORING_UNREGISTER_NAPI = 28,
	IORING_REGISTER_CLOCK = 29,
	IORING_REGISTER_CLONE_BUFFERS = 30,
	IORING_REGISTER_SEND_MSG_RING = 31,
	IORING_REGISTER_ZCRX_IFQ = 32,
	IORING_REGISTER_RESIZE_RINGS = 33,
	IORING_REGISTER_MEM_REGION = 34,
	IORING_REGISTER_QUERY = 35,
	IORING_REGISTER_ZCRX_CTRL = 36,
	IORING_REGISTER_BPF_FILTER = 37,
	IORING_REGISTER_LAST = 38,
	/* Added to a number: the descriptor is a registered index. */
	IORING_REGISTER_USE_REGISTERED_RING = 1U << 31
};

/* Files and buffers */
#define IORING_RSRC_REGISTER_SPARSE (1U << 0) /* slots without contents */
#define IORING_REGISTER_FILES_SKIP (-2) /* in an array of descriptors: leave this slot */

struct io_uring_rsrc_register {
	__u32 nr;
	__u32 flags;
	__u64 resv2;
	__aligned_u64 data;
	__aligned_u64 tags;
};

struct io_uring_rsrc_update {
	__u32 offset;
	__u32 resv;
	__aligned_u64 data;
};

struct io_uring_rsrc_update2 {
	__u32 offset;
	__u32 resv;
	__aligned_u64 data;
	__aligned_u64 tags;
	__u32 nr;
	__u32 resv2;
};

/* What io_uring_rsrc_update was before */
struct io_uring_files_update {
	__u32 offset;
	__u32 resv;
	__aligned_u64 fds;
};

/* The slots that the kernel may choose from */
struct io_uring_file_index_range {
	__u32 off;
	__u32 len;
	__u64 resv;
};

enum {
	IORING_REGISTER_SRC_REGISTERED = 1U << 0, /* src_fd is a registered index */
	IORING_REGISTER_DST_REPLACE = 1U << 1 /* buffers that are there are replaced */
};

struct io_uring_clone_buffers {
	__u32 src_fd;
	__u32 flags;
	__u32 src_off;
	__u32 dst_off;
	__u32 nr; /* 0 is all */
	__u32 pad[3];
};

/* Provided buffers */
struct io_uring_buf {
	__u64 addr;
	__u32 len;
	__u16 bid;
	__u16 resv;
};

/* A ring of them; its tail lies in what is unused of the first one. */
struct io_uring_buf_ring {
	union {
		struct {
			__u64 resv1;
			__u32 resv2;
			__u16 resv3;
			__u16 tail;
		};
		struct io_uring_buf bufs[0];
	};
};

enum io_uring_register_pbuf_ring_flags {
	IOU_PBUF_RING_MMAP = 1, /* the kernel allocates it */
	IOU_PBUF_RING_INC = 2 /* buffers are used up piece by piece */
};

struct io_uring_buf_reg {
	__u64 ring_addr;
	__u32 ring_entries;
	__u16 bgid;
	__u16 flags;
	__u32 min_left;
	__u32 resv[5];
};

struct io_uring_buf_status {
	__u32 buf_group;
	__u32 head; /* the answer */
	__u32 resv[8];
};

/* What the kernel knows */
#define IO_URING_OP_SUPPORTED (1U << 0)

struct io_uring_probe_op {
	__u8 op;
	__u8 resv;
	__u16 flags; /* IO_URING_OP_SUPPORTED */
	__u32 resv2;
};

struct io_uring_probe {
	__u8 last_op;
	__u8 ops_len;
	__u16 resv;
	__u32 resv2[3];
	struct io_uring_probe_op ops[];
};

/* Restrictions */
enum io_uring_register_restriction_op {
	IORING_RESTRICTION_REGISTER_OP = 0,
	IORING_RESTRICTION_SQE_OP = 1,
	IORING_RESTRICTION_SQE_FLAGS_ALLOWED = 2,
	IORING_RESTRICTION_SQE_FLAGS_REQUIRED = 3,
	IORING_RESTRICTION_LAST = 4
};

struct io_uring_restriction {
	__u16 opcode; /* enum io_uring_register_restriction_op */
	union {
		__u8 register_op;
		__u8 sqe_op;
		__u8 sqe_flags;
	};
	__u8 resv;
	__u32 resv2[3];
};

struct io_uring_task_restriction {
	__u16 flags;
	__u16 nr_res;
	__u32 resv[3];
	struct io_uring_restriction restrictions[0];
};

/* Workers: those for regular files and those for everything else */
enum io_wq_type { IO_WQ_BOUND = 0, IO_WQ_UNBOUND = 1 };

/* The clock that waits go by */
struct io_uring_clock_register {
	__u32 clockid;
	__u32 __resv[3];
};

/* Polling of network devices */
struct io_uring_napi {
	__u32 busy_poll_to; /* microseconds */
	__u8 prefer_busy_poll;
	__u8 pad[3];
	__u64 resv;
};

/* Cancelling at once */
struct io_uring_sync_cancel_reg {
	__u64 addr;
	__s32 fd;
	__u32 flags; /* IORING_ASYNC_CANCEL_* */
	struct __kernel_timespec timeout; /* -1 and -1 is for ever */
	__u8 opcode;
	__u8 pad[7];
	__u64 pad2[3];
};

/* Memory shared with the kernel */
enum { IORING_MEM_REGION_TYPE_USER = 1 /* at user_addr; else the kernel allocates it */ };
enum { IORING_MEM_REGION_REG_WAIT_ARG = 1 /* holds arguments of waits */ };

struct io_uring_region_desc {
	__u64 user_addr;
	__u64 size;
	__u32 flags; /* IORING_MEM_REGION_TYPE_* */
	__u32 id;
	__u64 mmap_offset;
	__u64 __resv[4];
};

struct io_uring_mem_region_reg {
	__u64 region_uptr; /* struct io_uring_region_desc */
	__u64 flags; /* IORING_MEM_REGION_REG_* */
	__u64 __resv[2];
};

/* ---- Zero-copy receive ---- */

/* Offsets carry the area's number above this bit. */
#define IORING_ZCRX_AREA_SHIFT 48
#define IORING_ZCRX_AREA_MASK (~(((__u64)1 << IORING_ZCRX_AREA_SHIFT) - 1))

struct io_uring_zcrx_rqe {
	__u64 off;
	__u32 len;
	__u32 __pad;
};

struct io_uring_zcrx_cqe {
	__u64 off;
	__u64 __pad;
};

struct io_uring_zcrx_offsets {
	__u32 head;
	__u32 tail;
	__u32 rqes;
	__u32 __resv2;
	__u64 __resv[2];
};

enum io_uring_zcrx_area_flags { IORING_ZCRX_AREA_DMABUF = 1 };

struct io_uring_zcrx_area_reg {
	__u64 addr;
	__u64 len;
	__u64 rq_area_token;
	__u32 flags; /* IORING_ZCRX_AREA_* */
	__u32 dmabuf_fd;
	__u64 __resv2[2];
};

enum zcrx_reg_flags {
	ZCRX_REG_IMPORT = 1, /* shares what another ring exported */
	ZCRX_REG_NODEV = 2 /* without a device: everything is copied */
};

enum zcrx_features { ZCRX_FEATURE_RX_PAGE_SIZE = 1 << 0 /* rx_buf_len may be chosen */ };

struct io_uring_zcrx_ifq_reg {
	__u32 if_idx;
	__u32 if_rxq;
	__u32 rq_entries;
	__u32 flags; /* ZCRX_REG_* */
	__u64 area_ptr; /* struct io_uring_zcrx_area_reg */
	__u64 region_ptr; /* struct io_uring_region_desc */
	struct io_uring_zcrx_offsets offsets;
	__u32 zcrx_id;
	__u32 rx_buf_len;
	__u64 __resv[3];
};

enum zcrx_ctrl_op { ZCRX_CTRL_FLUSH_RQ = 0, ZCRX_CTRL_EXPORT = 1, __ZCRX_CTRL_LAST = 2 };

struct zcrx_ctrl_flush_rq {
	__u64 __resv[6];
};

struct zcrx_ctrl_export {
	__u32 zcrx_fd;
	__u32 __resv1[11];
};

struct zcrx_ctrl {
	__u32 zcrx_id;
	__u32 op; /* enum zcrx_ctrl_op */
	__u64 __resv[2];
	union {
		struct zcrx_ctrl_export zc_export;
		struct zcrx_ctrl_flush_rq zc_flush;
	};
};

#ifdef __cplusplus
}
#endif

#endif

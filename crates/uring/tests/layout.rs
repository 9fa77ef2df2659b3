//! The types against the kernel's own header, as linux-raw-sys carries it.
#![cfg(target_os = "linux")]

use std::mem::{offset_of, size_of};

use linux_raw_sys::{general, io_uring as kernel};
use ouzel_uring::Sqe;
use ouzel_uring::abi::{self, Opcode, RegisterOpcode};

macro_rules! same_layout {
    ($ours:ty, $theirs:ty { $($our_field:ident = $their_field:ident),* $(,)? }) => {
        assert_eq!(size_of::<$ours>(), size_of::<$theirs>(), "size of {}", stringify!($ours));
        assert_eq!(align_of::<$ours>(), align_of::<$theirs>(), "alignment of {}", stringify!($ours));
        $(assert_eq!(
            offset_of!($ours, $our_field), offset_of!($theirs, $their_field),
            "{}.{}", stringify!($ours), stringify!($our_field)
        );)*
    };
}

#[test]
fn types_have_the_kernels_layout() {
    same_layout!(Sqe, kernel::io_uring_sqe {
        opcode = opcode, flags = flags, ioprio = ioprio, fd = fd, off = __bindgen_anon_1,
        addr = __bindgen_anon_2, len = len, op_flags = __bindgen_anon_3, user_data = user_data,
        buf_index = __bindgen_anon_4, personality = personality, file_index = __bindgen_anon_5,
        addr3 = __bindgen_anon_6,
    });
    same_layout!(abi::Cqe, kernel::io_uring_cqe { user_data = user_data, res = res, flags = flags });
    same_layout!(abi::Params, kernel::io_uring_params {
        sq_entries = sq_entries, cq_entries = cq_entries, flags = flags, sq_thread_cpu = sq_thread_cpu,
        sq_thread_idle = sq_thread_idle, features = features, wq_fd = wq_fd, reserved = resv,
        sq_off = sq_off, cq_off = cq_off,
    });
    same_layout!(abi::SqOffsets, kernel::io_sqring_offsets {
        head = head, tail = tail, ring_mask = ring_mask, ring_entries = ring_entries, flags = flags,
        dropped = dropped, array = array, reserved = resv1, user_addr = user_addr,
    });
    same_layout!(abi::CqOffsets, kernel::io_cqring_offsets {
        head = head, tail = tail, ring_mask = ring_mask, ring_entries = ring_entries, overflow = overflow,
        cqes = cqes, flags = flags, reserved = resv1, user_addr = user_addr,
    });
    same_layout!(abi::ProbeOp, kernel::io_uring_probe_op { op = op, flags = flags });
    assert_eq!(offset_of!(abi::ProbeBuffer, ops), size_of::<kernel::io_uring_probe>());
    assert_eq!(offset_of!(abi::ProbeBuffer, ops_len), offset_of!(kernel::io_uring_probe, ops_len));
    same_layout!(abi::GetEventsArg, kernel::io_uring_getevents_arg {
        sigmask = sigmask, sigmask_sz = sigmask_sz, min_wait_usec = min_wait_usec, ts = ts,
    });
    same_layout!(abi::Timespec, kernel::__kernel_timespec { tv_sec = tv_sec, tv_nsec = tv_nsec });
    same_layout!(abi::FileIndexRange, kernel::io_uring_file_index_range {
        off = off, len = len, reserved = resv,
    });
    same_layout!(abi::RsrcRegister, kernel::io_uring_rsrc_register {
        nr = nr, flags = flags, reserved = resv2, data = data, tags = tags,
    });
    same_layout!(abi::RsrcUpdate, kernel::io_uring_rsrc_update {
        offset = offset, reserved = resv, data = data,
    });
    same_layout!(abi::SyncCancelReg, kernel::io_uring_sync_cancel_reg {
        addr = addr, fd = fd, flags = flags, timeout = timeout, opcode = opcode, reserved = pad,
        reserved2 = pad2,
    });
    same_layout!(abi::RegWait, kernel::io_uring_reg_wait {
        ts = ts, min_wait_usec = min_wait_usec, flags = flags, sigmask = sigmask, sigmask_sz = sigmask_sz,
        reserved = pad, reserved2 = pad2,
    });
    same_layout!(abi::FilesUpdate, kernel::io_uring_files_update { offset = offset, reserved = resv, fds = fds });
    same_layout!(abi::RsrcUpdate2, kernel::io_uring_rsrc_update2 {
        offset = offset, reserved = resv, data = data, tags = tags, nr = nr, reserved2 = resv2,
    });
    same_layout!(abi::Restriction, kernel::io_uring_restriction {
        opcode = opcode, value = __bindgen_anon_1, reserved = resv, reserved2 = resv2,
    });
    same_layout!(abi::ClockRegister, kernel::io_uring_clock_register { clockid = clockid, reserved = __resv });
    same_layout!(abi::CloneBuffers, kernel::io_uring_clone_buffers {
        src_fd = src_fd, flags = flags, src_off = src_off, dst_off = dst_off, nr = nr, reserved = pad,
    });
    same_layout!(abi::RegionDesc, kernel::io_uring_region_desc {
        user_addr = user_addr, size = size, flags = flags, id = id, mmap_offset = mmap_offset, reserved = __resv,
    });
    same_layout!(abi::MemRegionReg, kernel::io_uring_mem_region_reg {
        region_uptr = region_uptr, flags = flags, reserved = __resv,
    });
    same_layout!(abi::Napi, kernel::io_uring_napi {
        busy_poll_to = busy_poll_to, prefer_busy_poll = prefer_busy_poll, opcode = opcode, reserved = pad,
        op_param = op_param, reserved2 = resv,
    });
    same_layout!(abi::RecvmsgOut, kernel::io_uring_recvmsg_out {
        namelen = namelen, controllen = controllen, payloadlen = payloadlen, flags = flags,
    });
    same_layout!(abi::AttrPi, kernel::io_uring_attr_pi {
        flags = flags, app_tag = app_tag, len = len, addr = addr, seed = seed, reserved = rsvd,
    });
    same_layout!(abi::IoTimespec, kernel::io_timespec { tv_sec = tv_sec, tv_nsec = tv_nsec });
    same_layout!(abi::Buf, kernel::io_uring_buf { addr = addr, len = len, bid = bid, reserved = resv });
    assert_eq!(size_of::<abi::BufRingHead>(), size_of::<kernel::io_uring_buf_ring>());
    same_layout!(abi::BufReg, kernel::io_uring_buf_reg {
        ring_addr = ring_addr, ring_entries = ring_entries, bgid = bgid, flags = flags, min_left = resv,
    });
    same_layout!(abi::BufStatus, kernel::io_uring_buf_status {
        buf_group = buf_group, head = head, reserved = resv,
    });
    same_layout!(abi::ZcrxRqe, kernel::io_uring_zcrx_rqe { off = off, len = len, reserved = __pad });
    same_layout!(abi::ZcrxCqe, kernel::io_uring_zcrx_cqe { off = off, reserved = __pad });
    same_layout!(abi::ZcrxOffsets, kernel::io_uring_zcrx_offsets {
        head = head, tail = tail, rqes = rqes, reserved = __resv2, reserved2 = __resv,
    });
    same_layout!(abi::ZcrxAreaReg, kernel::io_uring_zcrx_area_reg {
        addr = addr, len = len, rq_area_token = rq_area_token, flags = flags, dmabuf_fd = dmabuf_fd,
        reserved = __resv2,
    });
    same_layout!(abi::ZcrxIfqReg, kernel::io_uring_zcrx_ifq_reg {
        if_idx = if_idx, if_rxq = if_rxq, rq_entries = rq_entries, flags = flags, area_ptr = area_ptr,
        region_ptr = region_ptr, offsets = offsets, zcrx_id = zcrx_id, rx_buf_len = __resv2, reserved = __resv,
    });
    same_layout!(abi::Iovec, general::iovec { base = iov_base, length = iov_len });
    same_layout!(abi::FutexWaitv, general::futex_waitv {
        val = val, uaddr = uaddr, flags = flags, reserved = __reserved,
    });
    same_layout!(abi::OpenHow, general::open_how { flags = flags, mode = mode, resolve = resolve });
}

#[test]
fn numbers_and_flags_are_the_kernels() {
    // That crate carries the header of Linux 6.17; ours is newer.
    assert!(Opcode::ALL.len() >= kernel::io_uring_op::IORING_OP_LAST as usize);
    assert!(RegisterOpcode::ALL.len() >= kernel::io_uring_register_op::IORING_REGISTER_LAST as usize);
    assert_eq!((Opcode::ALL.len(), RegisterOpcode::ALL.len()), (65, 38));
    for (number, operation) in RegisterOpcode::ALL.iter().enumerate() {
        assert_eq!(*operation as usize, number);
        assert_eq!(RegisterOpcode::from_number(number as u32), Some(*operation));
    }
    for (number, opcode) in Opcode::ALL.iter().enumerate() {
        assert_eq!(*opcode as usize, number);
        assert_eq!(Opcode::from_number(number as u8), Some(*opcode));
    }
    assert_eq!(Opcode::from_number(200), None);
    assert_eq!(Opcode::FixedFdInstall as u32, kernel::io_uring_op::IORING_OP_FIXED_FD_INSTALL as u32);
    assert_eq!(Opcode::Pipe.to_string(), "IORING_OP_PIPE");
    assert_eq!(Opcode::Pipe as u32, kernel::io_uring_op::IORING_OP_PIPE as u32);
    let sync_cancel = kernel::io_uring_register_op::IORING_REGISTER_SYNC_CANCEL;
    assert_eq!(RegisterOpcode::SyncCancel as u32, sync_cancel as u32);

    assert_eq!(abi::SetupFlags::DEFER_TASKRUN.bits(), kernel::IORING_SETUP_DEFER_TASKRUN);
    assert_eq!(abi::SetupFlags::NO_SQARRAY.bits(), kernel::IORING_SETUP_NO_SQARRAY);
    assert_eq!(abi::Features::NO_IOWAIT.bits(), kernel::IORING_FEAT_NO_IOWAIT);
    assert_eq!(abi::EnterFlags::ABS_TIMER.bits(), kernel::IORING_ENTER_ABS_TIMER);
    assert_eq!(abi::CqeFlags::MORE.bits(), kernel::IORING_CQE_F_MORE);
    assert_eq!(abi::SqRingFlags::CQ_OVERFLOW.bits(), kernel::IORING_SQ_CQ_OVERFLOW);
    assert_eq!(abi::TimeoutFlags::MULTISHOT.bits(), kernel::IORING_TIMEOUT_MULTISHOT);
    assert_eq!(abi::TimeoutFlags::LINK_UPDATE.bits(), kernel::IORING_LINK_TIMEOUT_UPDATE);
    assert_eq!(abi::CancelFlags::OP.bits(), kernel::IORING_ASYNC_CANCEL_OP);
    assert_eq!(abi::PollFlags::ADD_LEVEL.bits(), kernel::IORING_POLL_ADD_LEVEL);
    assert_eq!(u32::from(abi::AcceptFlags::POLL_FIRST.bits()), kernel::IORING_ACCEPT_POLL_FIRST);
    assert_eq!(u32::from(abi::RecvSendFlags::BUNDLE.bits()), kernel::IORING_RECVSEND_BUNDLE);
    assert_eq!(abi::FILE_INDEX_ALLOC, kernel::IORING_FILE_INDEX_ALLOC as u32);
    assert_eq!(abi::AT_FDCWD, general::AT_FDCWD);
    assert_eq!(abi::OFFSET_CQ_RING, u64::from(kernel::IORING_OFF_CQ_RING));
    assert_eq!(abi::OFFSET_SQES, u64::from(kernel::IORING_OFF_SQES));
    let skip = kernel::io_uring_sqe_flags_bit::IOSQE_CQE_SKIP_SUCCESS_BIT as u8;
    assert_eq!(abi::SqeFlags::CQE_SKIP_SUCCESS.bits(), 1 << skip);
}

#[test]
fn slots_out_of_any_table_stay_out_of_it() {
    use ouzel_uring::{NewSlot, Slot};
    let index = |slot: NewSlot| Sqe::nop().into_slot(slot).file_index;
    assert_eq!(index(NewSlot::At(Slot(0))), 1);
    assert_eq!(index(NewSlot::At(Slot(41))), 42);
    assert_eq!(index(NewSlot::Allocate), u32::MAX);
    for slot in [u32::MAX - 2, u32::MAX - 1, u32::MAX] {
        let index = index(NewSlot::At(Slot(slot)));
        assert!(index != 0 && index != u32::MAX, "slot {slot} turned into {index}");
    }
}

#[test]
fn long_times_do_not_wrap() {
    use std::time::Duration;
    let short = abi::Timespec::relative(Duration::new(3, 7));
    assert_eq!((short.tv_sec, short.tv_nsec), (3, 7));
    let long = abi::Timespec::relative(Duration::MAX);
    // The kernel adds the present to it in signed 64-bit nanoseconds.
    assert!(long.tv_sec > 0 && long.tv_sec < i64::MAX / 2_000_000_000);
}

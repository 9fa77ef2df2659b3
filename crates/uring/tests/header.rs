//! The types and numbers against a header of the kernel, through a C compiler.
//!
//! Takes the installed `<linux/io_uring.h>`, or the directory with an `io_uring.h` that `OUZEL_URING_HEADER` names
//! (liburing's `src/include/liburing` has the newest). What that header does not have is not compared; what it has
//! must agree, and every number of its two enumerations must be known here.
#![cfg(target_os = "linux")]

use std::fmt::Write as _;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;

use ouzel_uring::abi::{self, Opcode, RegisterOpcode};

/// A structure: its name in C, its size, and its fields by their names in C.
struct Structure {
    name: &'static str,
    size: usize,
    fields: Vec<(&'static str, usize)>,
}

macro_rules! structures {
    ($($name:literal $ours:ty { $($c_field:literal $our_field:ident),* $(,)? })*) => {
        vec![$(Structure {
            name: $name,
            size: size_of::<$ours>(),
            fields: vec![$(($c_field, offset_of!($ours, $our_field))),*],
        }),*]
    };
}

fn structures() -> Vec<Structure> {
    structures! {
        "io_uring_sqe" abi::Sqe {
            "opcode" opcode, "flags" flags, "ioprio" ioprio, "fd" fd, "off" off, "addr2" off, "cmd_op" off,
            "addr" addr, "splice_off_in" addr, "level" addr, "len" len, "rw_flags" op_flags, "msg_flags" op_flags,
            "user_data" user_data, "buf_index" buf_index, "buf_group" buf_index, "personality" personality,
            "splice_fd_in" file_index, "file_index" file_index, "optlen" file_index, "addr_len" file_index,
            "zcrx_ifq_idx" file_index, "addr3" addr3, "attr_ptr" addr3, "optval" addr3, "cmd" addr3,
            "attr_type_mask" reserved,
        }
        "io_uring_cqe" abi::Cqe { "user_data" user_data, "res" res, "flags" flags }
        "io_sqring_offsets" abi::SqOffsets {
            "head" head, "tail" tail, "ring_mask" ring_mask, "ring_entries" ring_entries, "flags" flags,
            "dropped" dropped, "array" array, "user_addr" user_addr,
        }
        "io_cqring_offsets" abi::CqOffsets {
            "head" head, "tail" tail, "ring_mask" ring_mask, "ring_entries" ring_entries, "overflow" overflow,
            "cqes" cqes, "flags" flags, "user_addr" user_addr,
        }
        "io_uring_params" abi::Params {
            "sq_entries" sq_entries, "cq_entries" cq_entries, "flags" flags, "sq_thread_cpu" sq_thread_cpu,
            "sq_thread_idle" sq_thread_idle, "features" features, "wq_fd" wq_fd, "resv" reserved,
            "sq_off" sq_off, "cq_off" cq_off,
        }
        "io_uring_files_update" abi::FilesUpdate { "offset" offset, "fds" fds }
        "io_uring_region_desc" abi::RegionDesc {
            "user_addr" user_addr, "size" size, "flags" flags, "id" id, "mmap_offset" mmap_offset,
        }
        "io_uring_mem_region_reg" abi::MemRegionReg { "region_uptr" region_uptr, "flags" flags }
        "io_uring_rsrc_register" abi::RsrcRegister { "nr" nr, "flags" flags, "data" data, "tags" tags }
        "io_uring_rsrc_update" abi::RsrcUpdate { "offset" offset, "data" data }
        "io_uring_rsrc_update2" abi::RsrcUpdate2 { "offset" offset, "data" data, "tags" tags, "nr" nr }
        "io_uring_probe_op" abi::ProbeOp { "op" op, "flags" flags }
        "io_uring_restriction" abi::Restriction { "opcode" opcode, "register_op" value, "resv" reserved }
        "io_uring_task_restriction" abi::TaskRestriction { "flags" flags, "nr_res" nr_res, "resv" reserved }
        "io_uring_clock_register" abi::ClockRegister { "clockid" clockid }
        "io_uring_clone_buffers" abi::CloneBuffers {
            "src_fd" src_fd, "flags" flags, "src_off" src_off, "dst_off" dst_off, "nr" nr,
        }
        "io_uring_buf" abi::Buf { "addr" addr, "len" len, "bid" bid, "resv" reserved }
        "io_uring_buf_ring" abi::BufRingHead { "tail" tail }
        "io_uring_buf_reg" abi::BufReg {
            "ring_addr" ring_addr, "ring_entries" ring_entries, "bgid" bgid, "flags" flags, "min_left" min_left,
        }
        "io_uring_buf_status" abi::BufStatus { "buf_group" buf_group, "head" head }
        "io_uring_napi" abi::Napi {
            "busy_poll_to" busy_poll_to, "prefer_busy_poll" prefer_busy_poll, "opcode" opcode,
            "op_param" op_param,
        }
        "io_uring_reg_wait" abi::RegWait {
            "ts" ts, "min_wait_usec" min_wait_usec, "flags" flags, "sigmask" sigmask, "sigmask_sz" sigmask_sz,
        }
        "io_uring_getevents_arg" abi::GetEventsArg {
            "sigmask" sigmask, "sigmask_sz" sigmask_sz, "min_wait_usec" min_wait_usec, "ts" ts,
        }
        "io_uring_sync_cancel_reg" abi::SyncCancelReg {
            "addr" addr, "fd" fd, "flags" flags, "timeout" timeout, "opcode" opcode,
        }
        "io_uring_file_index_range" abi::FileIndexRange { "off" off, "len" len }
        "io_uring_recvmsg_out" abi::RecvmsgOut {
            "namelen" namelen, "controllen" controllen, "payloadlen" payloadlen, "flags" flags,
        }
        "io_uring_attr_pi" abi::AttrPi {
            "flags" flags, "app_tag" app_tag, "len" len, "addr" addr, "seed" seed,
        }
        "io_timespec" abi::IoTimespec { "tv_sec" tv_sec, "tv_nsec" tv_nsec }
        "io_uring_zcrx_rqe" abi::ZcrxRqe { "off" off, "len" len }
        "io_uring_zcrx_cqe" abi::ZcrxCqe { "off" off }
        "io_uring_zcrx_offsets" abi::ZcrxOffsets { "head" head, "tail" tail, "rqes" rqes }
        "io_uring_zcrx_area_reg" abi::ZcrxAreaReg {
            "addr" addr, "len" len, "rq_area_token" rq_area_token, "flags" flags, "dmabuf_fd" dmabuf_fd,
        }
        "io_uring_zcrx_ifq_reg" abi::ZcrxIfqReg {
            "if_idx" if_idx, "if_rxq" if_rxq, "rq_entries" rq_entries, "flags" flags, "area_ptr" area_ptr,
            "region_ptr" region_ptr, "offsets" offsets, "zcrx_id" zcrx_id, "rx_buf_len" rx_buf_len,
        }
        "zcrx_ctrl" abi::ZcrxCtrl { "zcrx_id" zcrx_id, "op" op, "zc_export" argument, "zc_flush" argument }
        "io_uring_query_hdr" abi::QueryHeader {
            "next_entry" next_entry, "query_data" query_data, "query_op" query_op, "size" size, "result" result,
        }
        "io_uring_query_opcode" abi::QueryOpcodes {
            "nr_request_opcodes" nr_request_opcodes, "nr_register_opcodes" nr_register_opcodes,
            "feature_flags" feature_flags, "ring_setup_flags" ring_setup_flags, "enter_flags" enter_flags,
            "sqe_flags" sqe_flags, "nr_query_opcodes" nr_query_opcodes,
        }
        "io_uring_query_zcrx" abi::QueryZcrx {
            "register_flags" register_flags, "area_flags" area_flags, "nr_ctrl_opcodes" nr_ctrl_opcodes,
            "features" features, "rq_hdr_size" rq_hdr_size, "rq_hdr_alignment" rq_hdr_alignment,
        }
        "io_uring_query_scq" abi::QueryScq { "hdr_size" hdr_size, "hdr_alignment" hdr_alignment }
        "io_uring_bpf_filter" abi::BpfFilter {
            "opcode" opcode, "flags" flags, "filter_len" filter_len, "pdu_size" pdu_size,
            "filter_ptr" filter_ptr,
        }
        "io_uring_bpf" abi::Bpf { "cmd_type" cmd_type, "cmd_flags" cmd_flags, "filter" filter }
        "io_uring_bpf_ctx" abi::BpfContext {
            "user_data" user_data, "opcode" opcode, "sqe_flags" sqe_flags, "pdu_size" pdu_size, "socket" data,
        }
    }
}

/// Every constant with its name in C.
fn constants() -> Vec<(String, u64)> {
    let mut all: Vec<(String, u64)> = Vec::new();
    all.extend(Opcode::ALL.iter().map(|opcode| (opcode.name().to_owned(), *opcode as u64)));
    all.extend(RegisterOpcode::ALL.iter().map(|operation| (operation.name().to_owned(), *operation as u64)));
    // The flag types name their bits as the header does, after a prefix.
    macro_rules! flags {
        ($($prefix:literal $flags:ty),* $(,)?) => {
            $(for (name, bit) in <$flags as bitflags::Flags>::FLAGS.iter().map(|flag| (flag.name(), flag.value())) {
                if !name.is_empty() {
                    all.push((format!("{}{name}", $prefix), u64::from(bit.bits())));
                }
            })*
        };
    }
    flags! {
        "IORING_SETUP_" abi::SetupFlags, "IORING_FEAT_" abi::Features, "IORING_ENTER_" abi::EnterFlags,
        "IORING_CQE_F_" abi::CqeFlags, "IORING_SQ_" abi::SqRingFlags, "IORING_CQ_" abi::CqRingFlags,
        "IOSQE_" abi::SqeFlags, "IORING_RSRC_REGISTER_" abi::RsrcFlags, "IOU_PBUF_RING_" abi::BufRingFlags,
        "IORING_REGISTER_" abi::CloneFlags, "IORING_MEM_REGION_TYPE_" abi::RegionFlags,
        "IORING_MEM_REGION_" abi::MemRegionFlags, "IORING_REG_WAIT_" abi::RegWaitFlags,
        "IORING_FSYNC_" abi::FsyncFlags, "IORING_TIMEOUT_" abi::TimeoutFlags, "IORING_POLL_" abi::PollFlags,
        "IORING_ASYNC_CANCEL_" abi::CancelFlags, "IORING_RECVSEND_" abi::RecvSendFlags,
        "IORING_ACCEPT_" abi::AcceptFlags, "IORING_MSG_RING_" abi::MsgRingFlags,
        "IORING_FIXED_FD_" abi::FixedFdFlags, "IORING_NOP_" abi::NopFlags,
        "IORING_URING_CMD_" abi::CommandFlags, "IORING_RW_ATTR_FLAG_" abi::AttributeFlags,
    }
    let more: &[(&str, u64)] = &[
        ("IORING_CQE_F_32", abi::CqeFlags::CQE_32.bits().into()),
        ("IORING_LINK_TIMEOUT_UPDATE", abi::TimeoutFlags::LINK_UPDATE.bits().into()),
        ("IORING_RECV_MULTISHOT", abi::RecvSendFlags::MULTISHOT.bits().into()),
        ("IORING_SEND_ZC_REPORT_USAGE", abi::RecvSendFlags::ZC_REPORT_USAGE.bits().into()),
        ("IORING_SEND_VECTORIZED", abi::RecvSendFlags::VECTORIZED.bits().into()),
        ("IORING_FILE_INDEX_ALLOC", abi::FILE_INDEX_ALLOC.into()),
        ("IORING_OFF_SQ_RING", abi::OFFSET_SQ_RING),
        ("IORING_OFF_CQ_RING", abi::OFFSET_CQ_RING),
        ("IORING_OFF_SQES", abi::OFFSET_SQES),
        ("IORING_OFF_PBUF_RING", abi::OFFSET_PBUF_RING),
        ("IORING_OFF_PBUF_SHIFT", abi::OFFSET_PBUF_SHIFT.into()),
        ("IORING_OFF_MMAP_MASK", abi::OFFSET_MASK),
        ("IORING_CQE_BUFFER_SHIFT", abi::CQE_BUFFER_SHIFT.into()),
        ("IORING_REGISTER_USE_REGISTERED_RING", abi::REGISTER_USE_REGISTERED_RING.into()),
        ("IORING_REGISTER_FILES_SKIP", i64::from(abi::FILES_SKIP).cast_unsigned()),
        ("IO_URING_OP_SUPPORTED", abi::OP_SUPPORTED.into()),
        ("SPLICE_F_FD_IN_FIXED", abi::SPLICE_SOURCE_FIXED.into()),
        ("IORING_NOTIF_USAGE_ZC_COPIED", abi::NOTIFICATION_COPIED.into()),
        ("IORING_MSG_DATA", abi::message::DATA),
        ("IORING_MSG_SEND_FD", abi::message::SEND_FD),
        ("SOCKET_URING_OP_SIOCINQ", abi::socket_command::SIOCINQ.into()),
        ("SOCKET_URING_OP_SIOCOUTQ", abi::socket_command::SIOCOUTQ.into()),
        ("SOCKET_URING_OP_GETSOCKOPT", abi::socket_command::GETSOCKOPT.into()),
        ("SOCKET_URING_OP_SETSOCKOPT", abi::socket_command::SETSOCKOPT.into()),
        ("SOCKET_URING_OP_TX_TIMESTAMP", abi::socket_command::TX_TIMESTAMP.into()),
        ("SOCKET_URING_OP_GETSOCKNAME", abi::socket_command::GETSOCKNAME.into()),
        ("IORING_TIMESTAMP_HW_SHIFT", abi::socket_command::TIMESTAMP_HARDWARE_SHIFT.into()),
        ("IORING_TIMESTAMP_TYPE_SHIFT", abi::socket_command::TIMESTAMP_TYPE_SHIFT.into()),
        ("IORING_CQE_F_TSTAMP_HW", abi::socket_command::TIMESTAMP_HARDWARE.into()),
        ("IORING_RESTRICTION_REGISTER_OP", abi::restriction::REGISTER_OP.into()),
        ("IORING_RESTRICTION_SQE_OP", abi::restriction::SQE_OP.into()),
        ("IORING_RESTRICTION_SQE_FLAGS_ALLOWED", abi::restriction::SQE_FLAGS_ALLOWED.into()),
        ("IORING_RESTRICTION_SQE_FLAGS_REQUIRED", abi::restriction::SQE_FLAGS_REQUIRED.into()),
        ("IORING_ZCRX_AREA_SHIFT", abi::zcrx::AREA_SHIFT.into()),
        ("IORING_ZCRX_AREA_MASK", abi::zcrx::AREA_MASK),
        ("IORING_ZCRX_AREA_DMABUF", abi::zcrx::AREA_DMABUF.into()),
        ("ZCRX_REG_IMPORT", abi::zcrx::REGISTER_IMPORT.into()),
        ("ZCRX_REG_NODEV", abi::zcrx::REGISTER_NODEV.into()),
        ("ZCRX_FEATURE_RX_PAGE_SIZE", abi::zcrx::FEATURE_RX_PAGE_SIZE.into()),
        ("ZCRX_CTRL_FLUSH_RQ", abi::zcrx::FLUSH_RQ.into()),
        ("ZCRX_CTRL_EXPORT", abi::zcrx::EXPORT.into()),
        ("IO_URING_QUERY_OPCODES", abi::query::OPCODES.into()),
        ("IO_URING_QUERY_ZCRX", abi::query::ZCRX.into()),
        ("IO_URING_QUERY_SCQ", abi::query::SCQ.into()),
        ("IO_URING_BPF_CMD_FILTER", abi::bpf::COMMAND_FILTER.into()),
        ("IO_URING_BPF_FILTER_DENY_REST", abi::bpf::DENY_REST.into()),
        ("IO_URING_BPF_FILTER_SZ_STRICT", abi::bpf::SIZE_STRICT.into()),
        ("IO_URING_NAPI_REGISTER_OP", abi::napi::REGISTER.into()),
        ("IO_URING_NAPI_STATIC_ADD_ID", abi::napi::STATIC_ADD_ID.into()),
        ("IO_URING_NAPI_STATIC_DEL_ID", abi::napi::STATIC_DELETE_ID.into()),
        ("IO_URING_NAPI_TRACKING_STATIC", abi::napi::TRACKING_STATIC.into()),
        ("IO_URING_NAPI_TRACKING_INACTIVE", abi::napi::TRACKING_INACTIVE.into()),
    ];
    all.extend(more.iter().map(|(name, value)| ((*name).to_owned(), *value)));
    all
}

/// The text without comments.
fn uncommented(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("/*") {
        out.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

/// Whether `word` occurs by itself.
fn has_word(text: &str, word: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.match_indices(word).any(|(at, _)| {
        let before = at.checked_sub(1).map(|at| text.as_bytes()[at]);
        let after = text.as_bytes().get(at + word.len()).copied();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// The body of a structure, if the header has it.
fn body<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    let start = text.find(&format!("struct {name} {{"))?;
    let mut depth = 0;
    for (at, byte) in text[start..].bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(&text[start..start + at]),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The header's text with the two beside it, and how C includes them.
fn header() -> Option<(String, String, Option<PathBuf>)> {
    let directory = std::env::var_os("OUZEL_URING_HEADER").map(PathBuf::from);
    let base = directory.clone().unwrap_or_else(|| Path::new("/usr/include/linux").to_path_buf());
    let mut text = std::fs::read_to_string(base.join("io_uring.h")).ok()?;
    let mut includes = String::from(if directory.is_some() {
        "#include \"io_uring.h\"\n"
    } else {
        "#include <linux/io_uring.h>\n"
    });
    for name in ["query.h", "bpf_filter.h"] {
        let path = base.join("io_uring").join(name);
        if let Ok(more) = std::fs::read_to_string(&path) {
            text.push_str(&more);
            let _ = writeln!(includes, "#include \"{}\"", path.display());
        }
    }
    Some((uncommented(&text), includes, directory))
}

#[test]
fn a_c_compiler_agrees() {
    let Some((text, includes, directory)) = header() else {
        return eprintln!("SKIPPED: no <linux/io_uring.h> is installed");
    };
    let mut program = format!("#include <stddef.h>\n#include <stdio.h>\n{includes}int main(void) {{\n");
    let mut expected = Vec::new();
    let mut expect = |program: &mut String, what: String, code: String, value: u64| {
        let _ = writeln!(program, "printf(\"{what} %llu\\n\", (unsigned long long)({code}));");
        expected.push((what, value));
    };
    for structure in structures() {
        let name = structure.name;
        let Some(body) = body(&text, name) else { continue };
        expect(&mut program, name.to_owned(), format!("sizeof(struct {name})"), structure.size as u64);
        for (field, offset) in structure.fields {
            if has_word(body, field) {
                let code = format!("offsetof(struct {name}, {field})");
                expect(&mut program, format!("{name}.{field}"), code, offset as u64);
            }
        }
    }
    for (name, value) in constants() {
        if has_word(&text, &name) {
            expect(&mut program, name.clone(), name, value);
        }
    }
    for last in ["IORING_OP_LAST", "IORING_REGISTER_LAST"] {
        let _ = writeln!(program, "printf(\"{last} %d\\n\", (int){last});");
    }
    program.push_str("return 0; }\n");

    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let source = folder.join("ouzel-uring-header.c");
    let binary = folder.join("ouzel-uring-header");
    std::fs::write(&source, program).expect("the program");
    let mut compiler = Command::new("cc");
    compiler.arg("-w").arg("-o").arg(&binary).arg(&source);
    if let Some(directory) = &directory {
        compiler.arg("-I").arg(directory);
    }
    let Ok(built) = compiler.output() else { return eprintln!("SKIPPED: no C compiler") };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let output = Command::new(&binary).output().expect("the program runs");
    let answers = String::from_utf8(output.stdout).expect("text");
    let answer = |what: &str| {
        let line = answers.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(' '));
        line.and_then(|number| number.parse::<u64>().ok()).unwrap_or_else(|| panic!("no answer for {what}"))
    };
    let wrong: Vec<String> = expected
        .iter()
        .filter(|(what, value)| answer(what) != *value)
        .map(|(what, value)| format!("{what}: {} in C, {value} here", answer(what)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(answer("IORING_OP_LAST") <= Opcode::ALL.len() as u64, "an opcode is missing here");
    assert!(
        answer("IORING_REGISTER_LAST") <= RegisterOpcode::ALL.len() as u64,
        "an operation is missing here"
    );
    println!("{} sizes, offsets and numbers agree with the header", expected.len());
    assert!(expected.len() > 150, "only {} things compared", expected.len());
}

//! Questions, and what this kernel or machine does not have.

use crate::common::{one, or_skip, ring};
use ouzel_uring::abi::{
    Bpf, BpfFilter, Features, Opcode, RegisterOpcode, SetupFlags, ZcrxCtrl, ZcrxIfqReg, bpf,
};
use ouzel_uring::{Builder, RegisterCause, Rule, Sqe, query_kernel, query_zero_copy, restrict_task};

// covers: IORING_REGISTER_PROBE: what it says runs does, and what it does not say is refused
#[test]
fn probe() {
    let Some(mut ring) = ring(8) else { return };
    let Some(probe) = or_skip("a probe", ring.probe()) else { return };
    assert!(probe.supports(Opcode::Nop) && one(&mut ring, Sqe::nop()) == 0);
    for number in probe.last_number().saturating_add(1)..=u8::MAX {
        assert!(!probe.supports_number(number));
    }
    if let Some(beyond) = probe.last_number().checked_add(1) {
        assert_eq!(one(&mut ring, Sqe::raw(beyond)), -22);
    }
}

// covers: IORING_REGISTER_QUERY: agrees with the probe, with the features of a ring and with the flags it was made with
#[test]
fn query() {
    let Some(kernel) = or_skip("queries (Linux 6.18)", query_kernel()) else { return };
    let ring = Builder::new(8).flags(SetupFlags::SUBMIT_ALL).build().expect("a ring");
    let probe = ring.probe().expect("a probe");
    assert_eq!(kernel.nr_request_opcodes, u32::from(probe.last_number()) + 1);
    assert_eq!(kernel.feature_flags, u64::from(ring.features().bits()));
    assert!(ring.features().contains(Features::EXT_ARG));
    assert_ne!(kernel.ring_setup_flags & u64::from(SetupFlags::SUBMIT_ALL.bits()), 0);
    assert_eq!(kernel.ring_setup_flags >> 32, 0);
    assert!(kernel.nr_register_opcodes > RegisterOpcode::Query as u32);
    // A flag that it does not name is refused, and one that it names is not.
    let unknown = !kernel.ring_setup_flags as u32;
    if unknown & SetupFlags::SQE_MIXED.bits() != 0 {
        assert!(Builder::new(8).flags(SetupFlags::SQE_MIXED).build().is_err());
    }
}

// cannot: IORING_REGISTER_ZCRX_IFQ: needs a network device whose receive queues can be handed out; the test checks that a ring without completions of 32 bytes, and a device that is not there, are refused
#[test]
fn zero_copy_queue() {
    let flags = SetupFlags::DEFER_TASKRUN | SetupFlags::SINGLE_ISSUER;
    for flags in [flags, flags | SetupFlags::CQE32] {
        let Ok(mut ring) = Builder::new(8).flags(flags).build() else {
            return eprintln!("SKIPPED: no DEFER_TASKRUN before Linux 6.1");
        };
        let mut argument = ZcrxIfqReg { if_idx: 9999, rq_entries: 64, ..ZcrxIfqReg::default() };
        // SAFETY: the argument leads nowhere.
        let refused = unsafe { ring.register_zcrx(&mut argument) }.map_err(|error| error.cause);
        let named = matches!(
            refused,
            Err(RegisterCause::Invalid
                | RegisterCause::Fault
                | RegisterCause::Refused { .. }
                | RegisterCause::NoSuchDevice { .. })
        );
        assert!(named, "{refused:?}");
    }
    if let Ok(zero_copy) = query_zero_copy() {
        assert!(zero_copy.rq_hdr_size > 0);
    }
}

// cannot: IORING_REGISTER_ZCRX_CTRL: not in Linux 6.18, and needs such a device; the test checks the refusal
#[test]
fn zero_copy_control() {
    let Some(mut ring) = ring(8) else { return };
    let refused = ring.control_zcrx(&mut ZcrxCtrl { zcrx_id: 3, ..ZcrxCtrl::default() });
    let cause = refused.map_err(|error| error.cause);
    assert!(matches!(cause, Err(RegisterCause::Invalid | RegisterCause::NotThere)), "{cause:?}");
}

// cannot: IORING_REGISTER_BPF_FILTER: not in Linux 6.18; the test checks the refusal, and that an empty filter is refused where there are filters
#[test]
fn filter() {
    let Some(mut ring) = ring(8) else { return };
    let filter = BpfFilter { opcode: Opcode::Nop as u32, ..BpfFilter::default() };
    let argument = Bpf { cmd_type: bpf::COMMAND_FILTER, filter, ..Bpf::default() };
    // SAFETY: the filter has no instructions.
    let refused = unsafe { ring.register_bpf_filter(&argument) };
    assert!(refused.is_err());
    assert_eq!(one(&mut ring, Sqe::nop()), 0);
}

#[test]
fn restrictions_of_a_task_are_newer_than_some_kernels() {
    std::thread::spawn(|| {
        let rules = [Rule::Opcode(Opcode::Nop), Rule::Register(RegisterOpcode::Probe)];
        if let Err(error) = restrict_task(&rules) {
            return eprintln!("SKIPPED: no restrictions of a task before Linux 7.0: {error}");
        }
        let Some(mut ring) = ring(8) else { return };
        assert_eq!(one(&mut ring, Sqe::close(-1)), -13);
    })
    .join()
    .expect("the thread");
}

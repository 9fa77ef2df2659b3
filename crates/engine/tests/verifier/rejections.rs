//! For every reason a program that is refused for it, with the text, and one beside it that is not.

use ouzel_engine::{Kind, Program, Reason};
use ouzel_ring::modifiers::{
    Action, CONSTANTS_REGION, CancelBy, Condition, Overflow, RenameFlags, TestFlags, TestOf, TransferFlags,
};
use ouzel_ring::{Descriptor, EntryFlags, Payload};

use super::*;

/// That `entries` are refused in these words.
#[track_caller]
fn says(entries: &[Entry], interface: Interface, text: &str) -> Rejection {
    let rejection = reject(entries, interface);
    assert_eq!(rejection.to_string(), text);
    rejection
}

const NOP: Entry = Entry::new(Verb::Nop);

#[test]
fn the_length() {
    let rejection = says(&[], interface(), "program: it has no steps: give it at least one");
    assert_eq!((rejection.step, rejection.reason), (None, Reason::Empty));
    accept(&[NOP], interface());
    accept(&[NOP; 256], interface());
    let text = "program: it has 257 steps, and 256 are the most: split it, or use a REPEAT";
    assert_eq!(says(&[NOP; 257], interface(), text).reason, Reason::TooLong { steps: 257 });
}

#[test]
fn the_interface() {
    accept(&[get(6)], called_with(7, 0));
    let text = "program: its caller is to set 8 registers, and there are 7";
    assert_eq!(says(&[NOP], called_with(8, 0), text).reason, Reason::TooManyRegisters { registers: 8 });

    accept(&[NOP], called_with(7, 0x7f));
    accept(&[NOP], called_with(2, 0b11));
    let text = "program: r2 is said to hold a descriptor, but the caller does not set it: raise the number of registers, \
                or take it out of the mask";
    let reason = says(&[NOP], called_with(2, 0b110), text).reason;
    assert_eq!(reason, Reason::DescriptorNotSet { register: 2 });
    assert_eq!(reject(&[NOP], called_with(7, 0x80)).reason, Reason::DescriptorNotSet { register: 7 });

    let pieces = |count| Interface { pieces: vec![1; count], ..Interface::default() };
    accept(&[NOP], pieces(16));
    let text = "program: it is called with 17 pieces of memory, and 16 are the most: put several into one";
    assert_eq!(says(&[NOP], pieces(17), text).reason, Reason::TooManyPieces { pieces: 17 });

    let result = |register| Interface { result: Some(register), ..called_with(7, 0) };
    accept(&[NOP], result(6));
    let text = "program: its result is register 7, and the last one is r6";
    assert_eq!(says(&[NOP], result(7), text).reason, Reason::NoSuchResult { register: 7 });
}

#[test]
fn the_result() {
    let result = |register| Interface { result: Some(register), ..interface() };
    accept(&[set(1, 5)], result(1));
    let text = "program: the result, r0, is undefined on some way to a successful end here: save something into it on \
                every way";
    let rejection = says(&[set(1, 5)], result(0), text);
    assert_eq!((rejection.step, rejection.reason), (None, Reason::ResultUndefined { register: 0 }));
    // What the FINALLY steps save does not count.
    assert_eq!(reject(&[NOP, set(0, 5).finally()], result(0)).step, None);
    // A failure before HARDLINK saves nothing and stops nothing.
    accept(&[open().save(0)], result(0));
    reject(&[open().save(0).hard()], result(0));
    reject(&[open().save(0).hard(), NOP], result(0));
    // A stop is a successful end; what follows it does not run.
    let stops =
        [set(0, 1), test(0, Condition::Zero, Action::Stop as u64), open().save(1), close(1).finally()];
    accept(&stops, result(0));
    let rejection = says(
        &stops,
        result(1),
        "step 2 (TEST): the result, r1, is undefined on some way to a successful end here: save something into it on \
         every way",
    );
    assert_eq!((rejection.step, rejection.verb), (Some(1), Some(Verb::Test)));
    // A test that stops saves before it does.
    accept(&[set(0, 1), test(0, Condition::Zero, Action::Stop as u64).save(1)], result(1));
    // A skipped step saves nothing.
    reject(&[set(0, 1), test(0, Condition::Zero, skip(1)), set(1, 1)], result(1));
}

#[test]
fn verbs() {
    let mut unknown = NOP;
    unknown.op = 63;
    let rejection = says(&[NOP, unknown], interface(), "step 2: no verb has the number 63");
    assert_eq!((rejection.verb, rejection.reason), (None, Reason::UnknownVerb { op: 63 }));
    unknown.op = u32::MAX;
    says(&[unknown], interface(), "step 1: no verb has the number 4294967295");

    let text = "step 1 (CALL): this verb may not stand in a stored program: put the other program's steps in its place";
    assert_eq!(says(&[Entry::new(Verb::Call)], interface(), text).reason, Reason::VerbRefused);

    for verb in Verb::ALL {
        if let Err(rejection) = Program::new(&[Entry::new(*verb)], interface())
            && rejection.reason == Reason::VerbNotYet
        {
            let text = "this verb is not allowed in a stored program yet: use it in a chain of its own";
            assert_eq!(rejection.to_string(), format!("step 1 ({}): {text}", verb.name()));
        }
    }
}

#[test]
fn flags() {
    let with = |flags| [NOP.with(flags), NOP];
    accept(&with(EntryFlags::LINK), interface());
    accept(&with(EntryFlags::HARDLINK), interface());
    accept(&[NOP.with(EntryFlags::LINK).finally(), NOP.finally().hard()], interface());
    for (flag, name) in [
        (EntryFlags::LOCAL, "LOCAL"),
        (EntryFlags::SILENT, "SILENT"),
        (EntryFlags::DRAIN, "DRAIN"),
        (EntryFlags::MULTISHOT, "MULTISHOT"),
        (EntryFlags::PROGRAM, "PROGRAM"),
    ] {
        let text = format!("step 1 (NOP): the flag {name} may not stand in a stored program: clear it");
        assert_eq!(says(&with(flag), interface(), &text).reason, Reason::FlagRefused { flag });
    }
    let text = "step 1 (NOP): it has both LINK and HARDLINK: choose one";
    assert_eq!(says(&with(EntryFlags::CHAINED), interface(), text).reason, Reason::BothLinks);
    for bit in 26..32 {
        let flags = EntryFlags::from_bits_retain(1 << bit);
        let text = format!("step 1 (NOP): the flags {:#x} have no meaning: clear them", 1u32 << bit);
        assert_eq!(says(&with(flags), interface(), &text).reason, Reason::UnknownFlags { bits: 1 << bit });
    }
    let text = "step 2 (NOP): it stands behind a step with FINALLY: FINALLY steps are the end of a program";
    assert_eq!(says(&with(EntryFlags::FINALLY), interface(), text).reason, Reason::BehindFinally);
    accept(&[NOP.finally()], interface());
}

#[test]
fn what_is_never_loaded() {
    let text = "step 2 (READ): argument 1 is a payload, and payloads are never loaded from a register: write it, or let \
                the caller pass a piece";
    let rejection = says(&[set(0, 1), read(1).load(1, 0)], called_with(2, 2), text);
    assert_eq!(rejection.reason, Reason::PayloadLoaded { argument: 1 });
    let stat = step(Verb::Stat, [0, piece(0, 0), 0, piece(1, 0), 0]);
    accept(&[stat.load(2, 0)], called_with(1, 0));
    assert_eq!(reject(&[stat.load(3, 0)], called_with(1, 0)).reason, Reason::PayloadLoaded { argument: 3 });
    // No payload there.
    accept(&[step(Verb::Poll, [0; 5]).load(0, 0).load(1, 1)], called_with(2, 1));

    let text = "step 1 (ADD): argument 4 cannot be loaded from a register: write it";
    let add = Entry::new(Verb::Add);
    accept(&[add.load(2, 0).load(3, 0)], called_with(1, 0));
    assert_eq!(
        says(&[add.load(4, 0)], called_with(1, 0), text).reason,
        Reason::WrittenLoaded { argument: 4 }
    );
    let load = step(Verb::Load, [0, piece(1, 0), 8, 0, 8]);
    let test = test(0, Condition::Equal, skip(1));
    let written: [(Entry, &[usize]); 5] = [
        (Entry::new(Verb::Sub), &[4]),
        (Entry::new(Verb::Shift), &[4]),
        (load, &[2]),
        (test, &[0, 1, 3]),
        (repeat(2, 1), &[0, 1, 2, 3, 4]),
    ];
    for (entry, arguments) in written {
        for argument in 0..5 {
            let entries = [NOP, entry.load(argument, 0), NOP];
            let result = Program::new(&entries, called_with(1, 0));
            let expected = Err(Reason::WrittenLoaded { argument });
            let result = result.map(drop).map_err(|rejection| rejection.reason);
            if arguments.contains(&argument) {
                assert_eq!(result, expected, "{entry:?}");
            } else {
                assert_ne!(result, expected, "{entry:?}");
            }
        }
    }
}

#[test]
fn undefined_registers() {
    let rejection = says(
        &[open().save(0), get(1)],
        interface(),
        "step 2 (GET): argument 0 is loaded from r1, which is undefined on every way to this step: save something into it \
         before, or let the caller set it",
    );
    assert_eq!(rejection.reason, Reason::Undefined { argument: 0, register: 1, always: true });
    accept(&[get(1)], called_with(2, 0));
    assert!(matches!(reject(&[get(1)], called_with(1, 0)).reason, Reason::Undefined { .. }));

    let rejection = says(
        &[set(0, 1), test(0, Condition::Zero, skip(1)), set(1, 2), get(1)],
        interface(),
        "step 4 (GET): argument 0 is loaded from r1, which is undefined on some way to this step: save something into it \
         before, or let the caller set it",
    );
    assert_eq!(rejection.reason, Reason::Undefined { argument: 0, register: 1, always: false });
    accept(&[set(0, 1), set(1, 1), test(0, Condition::Zero, skip(1)), set(1, 2), get(1)], interface());

    // A step that fails saves nothing, and with HARDLINK the next one runs.
    accept(&[open().save(0), read(0)], interface());
    assert!(matches!(
        reject(&[open().save(0).hard(), read(0)], interface()).reason,
        Reason::Undefined { .. }
    ));
    // Some verbs cannot fail.
    accept(&[set(0, 1).hard(), get(0).save(1).hard(), get(1)], interface());
    let add = |overflow: Overflow| step(Verb::Add, [0, 0, 1, 1, overflow as u64]).save(0).hard();
    accept(&[add(Overflow::Wrap), get(0)], interface());
    reject(&[add(Overflow::Error), get(0)], interface());
    let shift = Entry::new(Verb::Shift).save(0).hard();
    accept(&[shift, get(0)], interface());
    accept(&[set(1, 64), shift.load(3, 1)], interface());
    reject(&[set(1, 64), shift.load(3, 1), get(0)], interface());
    // What nobody looks at must be there all the same.
    let nop = NOP.load(3, 4);
    assert!(matches!(reject(&[nop], interface()).reason, Reason::Undefined { register: 4, .. }));
    accept(&[set(4, 0), nop], interface());

    // What a loop saves behind a load is not there in the first turn.
    let body = |first, second| [set(0, 5), first, second, repeat(3, 2)];
    accept(&body(set(1, 1), get(1)), interface());
    reject(&body(get(1), set(1, 1)), interface());
}

#[test]
fn undefined_registers_in_finally() {
    accept(&[open().save(0), close(0).finally()], interface());
    let rejection = says(
        &[open().save(0), close(1).finally()],
        interface(),
        "step 2 (CLOSE): argument 0 is loaded from r1, which is undefined on every way to this step: save something into \
         it before, or let the caller set it",
    );
    assert_eq!(rejection.reason, Reason::Undefined { argument: 0, register: 1, always: true });
    // One FINALLY step may use what another saves.
    accept(&[NOP, open().save(0).finally(), close(0).finally()], interface());
    reject(&[NOP, close(0).finally(), open().save(0).finally()], interface());
}

#[test]
fn kinds() {
    let rejection = says(
        &[set(0, 1), read(0)],
        interface(),
        "step 2 (READ): argument 0 is a descriptor, but r0 holds a number: load it from a register that an OPEN, SOCKET, \
         ACCEPT or PIPE saves or the caller sets",
    );
    let held = Kind::Number;
    assert_eq!(rejection.reason, Reason::WantsDescriptor { argument: 0, register: 0, held });
    accept(&[read(0)], called_with(1, 1));
    reject(&[read(0)], called_with(1, 0));

    let rejection = says(
        &[open().save(0), get(0).save(1)],
        interface(),
        "step 2 (GET): argument 0 is a number, but r0 holds a descriptor: descriptors go only where descriptors are wanted",
    );
    let held = Kind::Descriptor;
    assert_eq!(rejection.reason, Reason::WantsNumber { argument: 0, register: 0, held });
    for entry in [
        Entry::new(Verb::Set).load(2, 0),
        Entry::new(Verb::Add).load(2, 0),
        Entry::new(Verb::Sub).load(3, 0),
        Entry::new(Verb::Min).load(3, 0),
        Entry::new(Verb::And).load(2, 0),
        Entry::new(Verb::Shift).load(2, 0),
        step(Verb::Load, [0, piece(1, 0), 8, 0, 8]).load(4, 0),
        test(0, Condition::Zero, Action::Continue as u64),
        Entry::new(Verb::Sleep).load(2, 0),
        NOP.load(0, 0),
        read(0).load(2, 0),
        step(Verb::Copy, [0; 5]).load(0, 0).load(1, 0).load(4, 0),
    ] {
        let rejection = reject(&[entry], called_with(1, 1));
        assert!(matches!(rejection.reason, Reason::WantsNumber { .. }), "{rejection}");
    }

    // A number on one way, a descriptor on the other.
    let mixed = [set(0, 1), set(1, 1), test(1, Condition::Zero, skip(1)), open().save(0)];
    let with = |last| [mixed.as_slice(), &[last]].concat();
    accept(&with(NOP), interface());
    let rejection = says(
        &with(read(0)),
        interface(),
        "step 5 (READ): argument 0 is a descriptor, but r0 holds a number on some ways to this step and a descriptor on \
         others: load it from a register that an OPEN, SOCKET, ACCEPT or PIPE saves or the caller sets",
    );
    let held = Kind::Mixed;
    assert_eq!(rejection.reason, Reason::WantsDescriptor { argument: 0, register: 0, held });
    let rejection = reject(&with(get(0)), interface());
    assert_eq!(rejection.reason, Reason::WantsNumber { argument: 0, register: 0, held });
    let rejection = reject(&with(close(0).finally()), interface());
    assert_eq!(rejection.reason, Reason::WantsDescriptor { argument: 0, register: 0, held });

    // A PIPE gives two, an ACCEPT and a SOCKET one each; all else gives numbers.
    let two = [Entry::new(Verb::Pipe).save(2), close(2), close(3)];
    accept(&two, interface());
    accept(&[step(Verb::Socket, [1, 1, 0, 0, 0]).save(0), close(0)], interface());
    accept(&[Entry::new(Verb::Accept).load(0, 0).save(1), close(1)], called_with(1, 1));
    reject(&[read(0).save(1), close(1)], called_with(1, 1));
}

#[test]
fn closed_descriptors() {
    let text =
        "step 3 (READ): argument 0 is the descriptor in r0, which is closed by then: use it before its CLOSE";
    let rejection = says(&[open().save(0), close(0), read(0)], interface(), text);
    assert_eq!(rejection.reason, Reason::Closed { argument: 0, register: 0 });
    accept(&[open().save(0), read(0), close(0)], interface());
    reject(&[close(0), close(0)], called_with(1, 1));
    // Whatever a CLOSE reports, the descriptor is gone.
    reject(&[close(0).hard(), read(0)], called_with(1, 1));
    // On some way is enough.
    reject(&[test(1, Condition::Zero, skip(1)), close(0), read(0)], called_with(2, 0b01).clone());
    // In the second turn it is closed.
    reject(&[close(0), repeat(2, 1)], called_with(1, 1));
    accept(&[close(0), repeat(1, 1)], called_with(1, 1));
    accept(&[open().save(0), close(0), repeat(2, 2)], interface());
    // What it saves over the descriptor is a number.
    accept(&[close(0).save(0), get(0)], called_with(1, 1));

    // FINALLY: closed on every way but one is not closed.
    accept(&[open().save(0), read(0), close(0), close(0).finally()], interface());
    let text = "step 2 (CLOSE): argument 0 is the descriptor in r0, which is closed by then: use it before its CLOSE";
    says(&[close(0).finally(), close(0).finally()], called_with(1, 1), text);
    reject(&[open().save(0), close(0).finally(), read(0).finally()], interface());
    // A FINALLY step that may not run may leave it open.
    let twice = [read(0).save(1), close(0).load(2, 1).finally(), close(0).finally()];
    accept(&twice, called_with(1, 1));
    reject(&twice, called_with(2, 1));
}

#[test]
fn descriptors_that_are_written() {
    let number = Descriptor::new(1, 0).unwrap().number();
    let seek = |file| step(Verb::Seek, [file, 0, 0, 0, 0]);
    accept(&[seek(number)], interface());
    let text =
        "step 1 (SEEK): argument 0 is a descriptor, and 0xffffffff is never one: load it from a register";
    let rejection = says(&[seek(number - 1)], interface(), text);
    assert_eq!(rejection.reason, Reason::NoSuchDescriptor { argument: 0, value: number - 1 });
    assert_eq!(reject(&[seek(0)], interface()).reason, Reason::NoSuchDescriptor { argument: 0, value: 0 });
    // 0 is the working directory.
    let rename = |from, to| step(Verb::Rename, [from, piece(0, 0), 10, 0, to]);
    accept(&[rename(0, 0)], interface());
    accept(&[rename(number, number)], interface());
    assert_eq!(
        reject(&[rename(0, 7)], interface()).reason,
        Reason::NoSuchDescriptor { argument: 4, value: 7 }
    );
    reject(&[rename(number - 1, 0)], interface());
    // CANCEL takes one only with Descriptor.
    let cancel = |by: CancelBy| step(Verb::Cancel, [7, 0, 0, by as u64, 0]);
    accept(&[cancel(CancelBy::Data), cancel(CancelBy::All)], interface());
    reject(&[cancel(CancelBy::Descriptor)], interface());
    accept(&[cancel(CancelBy::Descriptor).load(0, 0)], called_with(1, 1));
    reject(&[cancel(CancelBy::Descriptor).load(0, 0)], called_with(1, 0));

    let text = "step 1 (CLOSE): it closes the descriptor 0x100000000, which is written in the program, so that no later \
                call could: let the caller pass it";
    let rejection = says(&[step(Verb::Close, [number, 0, 0, 0, 0])], interface(), text);
    assert_eq!(rejection.reason, Reason::ClosesWritten { value: number });
}

#[test]
fn pipes() {
    let pipe = Entry::new(Verb::Pipe);
    accept(&[pipe.save(5)], interface());
    let text =
        "step 1 (PIPE): a pipe's ends are saved into two registers, so it must save into one of r0 to r5";
    assert_eq!(says(&[pipe.save(6)], interface(), text).reason, Reason::PipeNeedsTwo);
    assert_eq!(reject(&[pipe], interface()).reason, Reason::PipeNeedsTwo);
}

#[test]
fn modifiers_without_meaning() {
    let text = "step 1 (READ): argument 4 is 0x2, which has no meaning there: see the verb's page";
    let rejection = says(&[step(Verb::Read, [0, piece(1, 0), 1, 0, 2]).load(0, 0)], called_with(1, 1), text);
    assert_eq!(rejection.reason, Reason::NoMeaning { argument: 4, value: 2 });
    let file = Descriptor::new(1, 0).unwrap().number();
    let (path, buffer) = (piece(0, 0), piece(1, 0));
    // (verb, arguments that are right, the argument that is made wrong, the first value that is)
    let cases: &[(Verb, [u64; 5], usize, u64)] = &[
        (Verb::Read, [file, buffer, 1, i64::MAX as u64, 0], 3, 1 << 63),
        (Verb::Write, [file, buffer, 1, u64::MAX, 0], 3, u64::MAX - 1),
        (Verb::Poll, [file, 0x1f, 0, 0, 0], 1, 0x20),
        (Verb::Cancel, [0, 0, 0, 0, 0], 3, 3),
        (Verb::Open, [0, path, 10, 1, 0o7777], 4, 0o10000),
        (Verb::Open, [0, path, 10, 1, 0], 3, 0),
        (Verb::Open, [0, path, 10, 1, 0], 3, 0x400),
        (Verb::Open, [0, path, 1, 1, 0], 2, 0),
        (Verb::Seek, [file, 0, 0, 0, 2], 4, 3),
        (Verb::Stat, [0, path, 0, buffer, 1], 4, 2),
        (Verb::Sync, [file, 0, 0, 0, 2], 4, 3),
        (Verb::Sync, [file, 0, 1, i64::MAX as u64 - 1, 2], 3, i64::MAX as u64),
        (Verb::Truncate, [file, 0, i64::MAX as u64, 0, 0], 2, 1 << 63),
        (Verb::Allocate, [file, 0, 1, 0, 3], 4, 2),
        (Verb::Allocate, [file, 0, 1, 0, 3], 2, 0),
        (Verb::Mkdir, [0, path, 10, 0, 0o7777], 4, 0o10000),
        (Verb::Remove, [0, path, 10, 1, 0], 3, 2),
        (Verb::Rename, [0, path, 10, 2, 0], 3, RenameFlags::all().bits()),
        (Verb::Rename, [0, path, 2, 2, 0], 2, 1),
        (Verb::Link, [0, path, 10, 1, 0], 3, 2),
        (Verb::Symlink, [0, path, 2, 0, 0], 2, 1),
        (Verb::Copy, [file, 0, 1, i64::MAX as u64, file], 3, 1 << 63),
        (Verb::Copy, [file, i64::MAX as u64, 1, 0, file], 1, 1 << 63),
        (Verb::Socket, [1, 15, 0, 0, 0], 1, 16),
        (Verb::Socket, [i32::MAX as u64, 1, 0, 0, 0], 0, 1 << 31),
        (Verb::Bind, [file, buffer, 128, 0, 0], 2, 129),
        (Verb::Connect, [file, buffer, 128, 0, 0], 2, 129),
        (Verb::Send, [file, buffer, 1, 0x8001, 0], 3, 2),
        (Verb::Recv, [file, buffer, 1, 0x103, 0], 3, 0x8000),
        (Verb::Shutdown, [file, 0, 0, 2, 0], 3, 3),
        (Verb::Readlink, [0, path, 10, buffer, 0], 2, 4097),
        (Verb::Chmod, [0, path, 0, 0, 0o7777], 4, 0o10000),
        (Verb::Mknod, [0, path, 10, 0o10000, 0], 2, 0),
        (Verb::Mknod, [0, path, 10, 0o140_777, 0], 3, 0o160_000),
        (Verb::Mknod, [0, path, 10, 0o020_600, 0xfff << 32 | 0xf_ffff], 4, 1 << 20),
        (Verb::Chown, [0, path, 10, 1, u64::MAX], 3, 2),
        (Verb::Utimes, [0, path, 10, buffer, 1], 4, 2),
        (Verb::Access, [0, path, 10, 7, 3], 3, 8),
        (Verb::Access, [0, path, 10, 7, 3], 4, 4),
        (Verb::GetXattr, [0, path, 10, buffer, 1 << 32 | 1], 4, 1 << 33),
        (Verb::SetXattr, [0, path, 10, buffer, 1 << 34 | 1], 4, 3 << 33),
        (Verb::ListXattr, [0, path, 10, buffer, 1 << 32], 4, 1 << 34),
        (Verb::RemoveXattr, [0, path, 10, 0, 1 << 32], 4, 1 << 32 | 1),
        (Verb::Lock, [file, 0, 1, 0, 2], 4, 3),
        (Verb::Futex, [0, buffer, 1, 3, u64::MAX], 3, 4),
        (Verb::Futex, [0, buffer, 1, 2, u64::from(u32::MAX)], 4, 1 << 32),
        (Verb::GetXattr, [0, path, 10, buffer, 1], 2, 0),
        (Verb::Lock, [file, 0, 1, i64::MAX as u64 - 1, 0], 3, i64::MAX as u64),
        (Verb::SetSockopt, [file, buffer, 4, i32::MAX as u64, 1], 3, 1 << 31),
        (Verb::Splice, [file, 0, 1, u64::MAX, file], 3, 1 << 63),
        (Verb::Wait, [0, 0, 1, 0, 0], 2, 0),
        (Verb::Wake, [file, 0, u64::MAX - 1, 0, 0], 2, u64::MAX),
        (Verb::Sleep, [0, 0, 0, 1, 0], 3, 2),
        (Verb::Deadline, [0, 0, 0, 1, 0], 3, 2),
        (Verb::Add, [0, 0, 0, 0, 2], 4, 3),
        (Verb::Sub, [0, 0, 0, 0, 2], 4, 3),
        (Verb::Shift, [0, 0, 0, 63, 0], 3, 64),
        (Verb::Shift, [0, 0, 0, 0, 1], 4, 2),
        (Verb::Load, [0, buffer, 8, 0, 8], 2, 3),
        (Verb::Load, [0, buffer, 8, 0, 8], 2, 16),
        (Verb::Test, [0, 0, 0, 3, 0], 0, 2),
        (Verb::Test, [0, 0, 0, 3, 0], 1, 3),
        (Verb::Test, [0, 0, 0, 3, 0], 1, 2),
        (Verb::Test, [0, 1, 0, 3, 0], 1, 1 << 32 | 1),
        (Verb::Test, [0, 0, 0, 3, 0], 1, 1 << 32),
        (Verb::Test, [0, 0, 0, 0x103, 0], 3, 7),
        (Verb::Test, [0, 0, 0, 0x103, 0], 3, 0x200),
        (Verb::Test, [0, 0, 0, 3, 0], 3, 4),
    ];
    for &(verb, arguments, argument, value) in cases {
        let right = step(verb, arguments);
        accept(&[right], interface());
        let mut wrong = right;
        wrong.arguments[argument] = value;
        let rejection = reject(&[wrong], interface());
        assert_eq!(rejection.reason, Reason::NoMeaning { argument, value }, "{rejection}");
        // What is loaded may turn out to be right.
        let loaded = Program::new(&[wrong.load(argument, 0)], called_with(1, 0));
        let reason = loaded.map_err(|rejection| rejection.reason).map(drop);
        assert!(matches!(reason, Ok(()) | Err(Reason::WrittenLoaded { .. })), "{wrong:?}: {reason:?}");
    }
}

#[test]
fn pieces() {
    let pieces = |pieces: &[u64]| Interface { pieces: pieces.to_vec(), ..called_with(1, 1) };
    let read = |piece: u64, count| step(Verb::Read, [0, piece, count, 0, 0]).load(0, 0);
    accept(&[read(piece(1, 0), 8)], pieces(&[0, 8]));
    let text = "step 1 (READ): argument 1 names piece 1 of the call (region 0xff01), which is called with 1: declare it";
    let rejection = says(&[read(piece(1, 0), 8)], pieces(&[0]), text);
    assert_eq!(rejection.reason, Reason::NoSuchPiece { argument: 1, piece: 1, pieces: 1 });
    assert_eq!(
        reject(&[read(u64::MAX, 0)], pieces(&[1; 16])).reason,
        Reason::NoSuchPiece { argument: 1, piece: 255, pieces: 16 }
    );

    accept(&[read(piece(0, 3), 8)], pieces(&[11]));
    let text = "step 1 (READ): argument 1 reaches to byte 11 of piece 0, which has 10 at least: declare a longer one";
    let rejection = says(&[read(piece(0, 3), 8)], pieces(&[10]), text);
    let reason = Reason::PieceTooShort { argument: 1, piece: 0, needed: 11, declared: 10 };
    assert_eq!(rejection.reason, reason);
    reject(&[read(piece(0, 3), u64::MAX)], pieces(&[u64::MAX]));
    reject(&[read(piece(0, 0), u64::MAX)], pieces(&[u64::MAX]));
    // Of a length that is loaded nothing is known, but of the offset it is.
    let loads = |offset| [set(1, 9), read(piece(0, offset), 0).load(2, 1)];
    accept(&loads(10), pieces(&[10]));
    reject(&loads(11), pieces(&[10]));

    // STAT has two payloads, and the record's length is known.
    let stat = |path, length, record| step(Verb::Stat, [0, path, length, record, 0]);
    accept(&[stat(piece(0, 0), 10, piece(1, 0))], pieces(&[10, 256]));
    accept(&[stat(0, 0, piece(1, 0))], pieces(&[10, 256]));
    let reason = Reason::PieceTooShort { argument: 3, piece: 1, needed: 256, declared: 255 };
    assert_eq!(reject(&[stat(piece(0, 0), 10, piece(1, 0))], pieces(&[10, 255])).reason, reason);

    // Others with two.
    let two = |verb, auxiliary| step(verb, [0, piece(0, 0), 10, piece(1, 0), auxiliary]);
    for (entry, needed) in [
        (two(Verb::Readlink, 100), 100),
        (two(Verb::Utimes, 0), 32),
        (two(Verb::Statfs, 0), 96),
        (two(Verb::GetXattr, 1 << 32 | 100), 100),
        (two(Verb::SetXattr, 1 << 33 | 100), 100),
        (two(Verb::ListXattr, 100), 100),
    ] {
        accept(&[entry], pieces(&[10, needed]));
        let reason = Reason::PieceTooShort { argument: 3, piece: 1, needed, declared: needed - 1 };
        assert_eq!(reject(&[entry], pieces(&[10, needed - 1])).reason, reason);
    }

    // LOAD touches one word.
    let load = |offset, length| step(Verb::Load, [0, piece(0, 4), 8, offset, length]);
    accept(&[load(4, u64::MAX)], pieces(&[16]));
    reject(&[load(4, u64::MAX)], pieces(&[15]));
    reject(&[load(u64::MAX, u64::MAX)], pieces(&[u64::MAX]));
    let by_register =
        |piece_length| Program::new(&[set(1, 0), load(0, 0).load(3, 1)], pieces(&[piece_length]));
    assert!(by_register(12).is_ok());
    assert!(by_register(11).is_err());
}

#[test]
fn vectored_transfers() {
    let vectored = TransferFlags::VECTORED.bits();
    let read = |payload: u64, flags| step(Verb::Read, [0, payload, 1, 0, flags]).load(0, 0);
    let text =
        "step 1 (READ): argument 1 is a piece of the call, which may not be VECTORED: use a step for each";
    let rejection = says(&[read(piece(1, 0), vectored)], called_with(1, 1), text);
    assert_eq!(rejection.reason, Reason::VectoredPiece { argument: 1 });

    let elsewhere = Payload::new(1, 0).unwrap().number();
    accept(&[read(elsewhere, 0)], called_with(1, 1));
    let text = "step 1 (READ): argument 1 is VECTORED, and its array could name addresses in region 0, which only a \
                program that is made with addresses may do: use a step for each";
    let rejection = says(&[read(elsewhere, vectored)], called_with(1, 1), text);
    assert_eq!(rejection.reason, Reason::VectoredAddresses { argument: 1 });

    let text = "step 1 (READ): argument 4 could make the payload VECTORED, which it may not be, and is loaded from a \
                register: write it";
    for payload in [elsewhere, piece(1, 0)] {
        let rejection = says(&[read(payload, 0).load(4, 1)], called_with(2, 1), text);
        assert_eq!(rejection.reason, Reason::VectoredLoaded { argument: 4 });
    }

    // SAFETY: the program is not stored, so nobody touches what it names.
    let with_addresses = |entry| unsafe { Program::with_addresses(&[entry], called_with(2, 1)) };
    assert!(with_addresses(read(elsewhere, vectored)).is_ok());
    assert!(with_addresses(read(elsewhere, 0).load(4, 1)).is_ok());
    let reason = |entry| with_addresses(entry).map(drop).map_err(|rejection| rejection.reason);
    assert_eq!(reason(read(piece(1, 0), vectored)), Err(Reason::VectoredPiece { argument: 1 }));
    assert_eq!(reason(read(piece(1, 0), 0).load(4, 1)), Err(Reason::VectoredLoaded { argument: 4 }));
}

#[test]
fn addresses() {
    let byte = 7u8;
    let write = |payload: u64, count| step(Verb::Write, [0, payload, count, 0, 0]).load(0, 0);
    let address = Payload::of(&byte).number();
    let text = "step 1 (WRITE): argument 1 is an address in region 0, which only a program that is made with addresses may \
                name: let the caller pass a piece";
    let rejection = says(&[write(address, 1)], called_with(1, 1), text);
    assert_eq!(rejection.reason, Reason::Address { argument: 1 });
    // What has no bytes is not touched; of what is loaded nothing is known.
    accept(&[write(0, 0)], called_with(1, 1));
    let rejection = reject(&[write(0, 0).load(2, 1)], called_with(2, 1));
    assert_eq!(rejection.reason, Reason::Address { argument: 1 });
    let entries = [write(address, 1)];
    // SAFETY: the program is not stored, and `byte` outlives it.
    let program = unsafe { Program::with_addresses(&entries, called_with(1, 1)) }.unwrap();
    assert_eq!(program.entries(), entries);
}

#[test]
fn constants() {
    let constant = |offset| Payload::new(CONSTANTS_REGION, offset).unwrap().number();
    let write = |offset, count| step(Verb::Write, [0, constant(offset), count, 0, 0]).load(0, 0);
    let reason = |entry| match Program::with_constants(&[entry], called_with(2, 1), &[7; 8]) {
        Ok(program) => {
            assert_eq!(program.constants(), [7; 8]);
            None
        }
        Err(rejection) => Some(rejection.reason),
    };
    for (offset, count) in [(0, 8), (7, 1), (8, 0)] {
        assert_eq!(reason(write(offset, count)), None, "{count} at {offset}");
    }
    for (offset, count) in [(0, 9), (8, 1), (9, 0)] {
        let needed = offset + count;
        let expected = Reason::NoSuchConstant { argument: 1, needed, room: 8 };
        assert_eq!(reason(write(offset, count)), Some(expected), "{count} at {offset}");
        let text = format!("byte {needed} of the program's constants, which have 8: give it more");
        assert!(expected.to_string().ends_with(&text), "{expected}");
    }
    // How many there are is known only as it runs, and is checked then.
    assert_eq!(reason(write(0, 0).load(2, 1)), None);
    // Nobody writes to them, by whatever verb and argument.
    let read = step(Verb::Read, [0, constant(0), 1, 0, 0]).load(0, 0);
    assert_eq!(reason(read), Some(Reason::ConstantWritten { argument: 1 }));
    let stat = step(Verb::Stat, [0, constant(0), 8, constant(0), 0]);
    assert_eq!(reason(stat), Some(Reason::ConstantWritten { argument: 3 }));
    let vectored = step(Verb::Write, [0, constant(0), 1, 0, TransferFlags::VECTORED.bits()]).load(0, 0);
    assert!(reason(vectored).is_some());
    // Without any there is no such piece.
    let rejection = reject(&[write(0, 1)], called_with(1, 1));
    assert!(matches!(rejection.reason, Reason::NoSuchPiece { piece: 16, .. }), "{rejection}");
    // SAFETY: the program is not stored, so nobody touches what it names.
    assert!(unsafe { Program::with_addresses(&[write(0, 1)], called_with(1, 1)) }.is_err());
}

#[test]
fn tests_land_inside() {
    let entries = |members| [set(0, 1), test(0, Condition::Zero, skip(members)), NOP, NOP, NOP.finally()];
    accept(&entries(1), interface());
    accept(&entries(2), interface());
    let text = "step 2 (TEST): it skips 3 steps, and 2 ordinary ones are behind it: use Stop, or skip fewer";
    let rejection = says(&entries(3), interface(), text);
    assert_eq!(rejection.reason, Reason::SkipsTooFar { members: 3, left: 2 });
    let members = u64::from(u32::MAX);
    assert_eq!(reject(&entries(members), interface()).reason, Reason::SkipsTooFar { members, left: 2 });

    let text = "step 2 (TEST): TEST and REPEAT may not be FINALLY: decide in the ordinary steps";
    let last = test_last(Condition::Error, Action::Continue as u64);
    assert_eq!(says(&[NOP, last.finally()], interface(), text).reason, Reason::ControlInFinally);
    reject(&[NOP, repeat(1, 1).finally()], interface());
}

#[test]
fn tests_of_the_last_end() {
    let last = test_last(Condition::Short, Action::Continue as u64);
    accept(&[NOP, last, last], interface());
    accept(&[NOP.hard(), last], interface());
    let text = "step 1 (TEST): it tests how the last step ended, and on some way to it none has run";
    assert_eq!(says(&[last, NOP], interface(), text).reason, Reason::NothingToTest);
    // Neither a TEST nor a REPEAT counts.
    let number = step(Verb::Test, [TestOf::Value as u64, 0, 0, Condition::Zero as u64, 0]);
    reject(&[number, repeat(2, 1), last], interface());
    // On some way nothing has run.
    let skips = step(Verb::Test, [TestOf::Value as u64, skip(1), 0, Condition::Zero as u64, 0]);
    reject(&[skips, NOP, last], interface());
    accept(&[NOP, skips, NOP, last], interface());
    let not = TestFlags::NOT.bits() | Condition::Full as u64;
    accept(&[NOP, step(Verb::Test, [TestOf::Last as u64, 0, 0, not, 0])], interface());
}

#[test]
fn repeats_land_inside() {
    accept(&[NOP, NOP, repeat(65_535, 2)], interface());
    accept(&[NOP, repeat(1, 1)], interface());
    for bound in [0, 65_536, u64::MAX] {
        let text = format!("step 2 (REPEAT): its body is to run {bound} times, and that must be 1 to 65535");
        let rejection = says(&[NOP, repeat(bound, 1)], interface(), &text);
        assert_eq!(rejection.reason, Reason::RepeatBound { bound });
    }
    for distance in [0, 3, u64::MAX] {
        let text = format!(
            "step 3 (REPEAT): its body is the {distance} steps before it, and that must be 1 to 2, which are before it"
        );
        let rejection = says(&[NOP, NOP, repeat(2, distance)], interface(), &text);
        assert_eq!(rejection.reason, Reason::RepeatDistance { distance, before: 2 });
    }
}

#[test]
fn repeats_are_nested_or_apart() {
    accept(&[NOP, repeat(2, 1), NOP, repeat(2, 1)], interface());
    accept(&[NOP, NOP, repeat(2, 1), repeat(2, 3)], interface());
    accept(&[NOP, repeat(2, 1), repeat(2, 2)], interface());
    let text = "step 4 (REPEAT): its body begins inside the body of step 3 and ends behind it: bodies must be nested or \
                apart";
    let rejection = says(&[NOP, NOP, repeat(2, 2), repeat(2, 2)], interface(), text);
    assert_eq!(rejection.reason, Reason::RepeatsCross { other: 2 });
    // A body of nothing but another REPEAT.
    assert_eq!(
        reject(&[NOP, repeat(2, 1), repeat(2, 1)], interface()).reason,
        Reason::RepeatsCross { other: 1 }
    );
}

#[test]
fn too_many_steps() {
    // A body of 15 and its REPEAT, 65535 times, and 16 steps more: 2^20.
    let mut entries = vec![NOP; 15];
    entries.push(repeat(65_535, 15));
    entries.extend([NOP; 16]);
    accept(&entries, interface());
    entries.push(NOP.finally());
    let text = "program: 1048577 steps could run, and 1048576 are the most: lower the bounds";
    let rejection = says(&entries, interface(), text);
    assert_eq!((rejection.step, rejection.reason), (None, Reason::TooManySteps { steps: 1_048_577 }));

    let nested = |depth| {
        let mut entries = vec![NOP];
        entries.extend((1..=depth).map(|distance| repeat(2, distance)));
        entries
    };
    accept(&nested(18), interface());
    assert!(matches!(reject(&nested(19), interface()).reason, Reason::TooManySteps { .. }));
    let text = "program: more steps could run than 64 bits count, and 1048576 are the most: lower the bounds";
    says(&nested(255), interface(), text);
}

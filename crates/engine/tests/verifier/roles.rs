//! What each argument of each verb is, as its page says: descriptors, payloads, numbers, and what is only written.

use ouzel_engine::{Program, Reason};
use ouzel_ring::Descriptor;
use ouzel_ring::modifiers::CancelBy;

use super::*;

/// For each verb arguments that are right, and what each of the five is: `d` a descriptor, `p` a payload, `w` a number that
/// is written, `n` a number. A verb that does not look at an argument takes a number there.
fn verbs() -> Vec<(Verb, [u64; 5], &'static str)> {
    let file = Descriptor::new(1, 0).unwrap().number();
    let (path, buffer) = (piece(0, 0), piece(1, 0));
    let fifo = 0o010_600;
    vec![
        (Verb::Nop, [0; 5], "nnnnn"),
        (Verb::Read, [file, buffer, 8, 0, 0], "dpnnw"),
        (Verb::Write, [file, buffer, 8, 0, 0], "dpnnw"),
        (Verb::Poll, [file, 1, 0, 0, 0], "dnnnn"),
        (Verb::Cancel, [0, 0, 0, CancelBy::Data as u64, 0], "nnnnn"),
        (Verb::Cancel, [file, 0, 0, CancelBy::Descriptor as u64, 0], "dnnnn"),
        (Verb::Open, [0, path, 10, 1, 0], "dpnnn"),
        (Verb::Close, [0; 5], "dnnnn"),
        (Verb::Seek, [file, 0, 0, 0, 0], "dnnnn"),
        (Verb::Stat, [0, path, 10, buffer, 0], "dpnpn"),
        (Verb::Sync, [file, 0, 0, 0, 0], "dnnnn"),
        (Verb::Truncate, [file, 0, 0, 0, 0], "dnnnn"),
        (Verb::Allocate, [file, 0, 1, 0, 0], "dnnnn"),
        (Verb::Mkdir, [0, path, 10, 0, 0], "dpnnn"),
        (Verb::Remove, [0, path, 10, 0, 0], "dpnnn"),
        (Verb::Rename, [0, path, 10, 0, 0], "dpnnd"),
        (Verb::Link, [0, path, 10, 0, 0], "dpnnd"),
        (Verb::Symlink, [0, path, 10, 0, 0], "npnnd"),
        (Verb::Readdir, [file, buffer, 8, 0, 0], "dpnnn"),
        (Verb::Copy, [file, 0, 8, 0, file], "dnnnd"),
        (Verb::Pipe, [0; 5], "nnnnn"),
        (Verb::Socket, [1, 1, 0, 0, 0], "nnnnn"),
        (Verb::Bind, [file, buffer, 8, 0, 0], "dpnnn"),
        (Verb::Listen, [file, 0, 8, 0, 0], "dnnnn"),
        (Verb::Accept, [file, buffer, 8, 0, 0], "dpnnn"),
        (Verb::Connect, [file, buffer, 8, 0, 0], "dpnnn"),
        (Verb::Send, [file, buffer, 8, 0, 0], "dpnnn"),
        (Verb::Recv, [file, buffer, 8, 0, 0], "dpnnn"),
        (Verb::Shutdown, [file, 0, 0, 0, 0], "dnnnn"),
        (Verb::Sleep, [0; 5], "nnnnn"),
        (Verb::Get, [0; 5], "nnnnn"),
        (Verb::Deadline, [0; 5], "nnnnn"),
        (Verb::Readlink, [0, path, 10, buffer, 8], "dpnpn"),
        (Verb::Chmod, [0, path, 10, 0, 0o600], "dpnnn"),
        (Verb::Chown, [0, path, 10, 0, 0], "dpnnn"),
        (Verb::Utimes, [0, path, 10, buffer, 0], "dpnpn"),
        (Verb::Mknod, [0, path, 10, fifo, 0], "dpnnn"),
        (Verb::Statfs, [0, path, 10, buffer, 0], "dpnpn"),
        (Verb::Access, [0, path, 10, 0, 0], "dpnnn"),
        (Verb::GetXattr, [0, path, 10, buffer, 8], "dpnpn"),
        (Verb::SetXattr, [0, path, 10, buffer, 8], "dpnpn"),
        (Verb::ListXattr, [0, path, 10, buffer, 8], "dpnpn"),
        (Verb::RemoveXattr, [0, path, 10, 0, 0], "dpnnn"),
        (Verb::Lock, [file, 0, 0, 0, 0], "dnnnn"),
        (Verb::GetSockopt, [file, buffer, 4, 1, 2], "dpnnn"),
        (Verb::SetSockopt, [file, buffer, 4, 1, 2], "dpnnn"),
        (Verb::Sockname, [file, buffer, 8, 0, 0], "dpnnn"),
        (Verb::Peername, [file, buffer, 8, 0, 0], "dpnnn"),
        (Verb::Futex, [0, buffer, 1, 1, 0], "npnnn"),
        (Verb::Splice, [file, 0, 8, 0, file], "dnnnd"),
        (Verb::Wait, [0, 0, 7, 0, 0], "dnnnn"),
        (Verb::Wake, [file, 0, 1, 0, 0], "dnnnn"),
        (Verb::Set, [0; 5], "nnnnn"),
        (Verb::Add, [0; 5], "nnnnw"),
        (Verb::Sub, [0; 5], "nnnnw"),
        (Verb::Min, [0; 5], "nnnnn"),
        (Verb::And, [0; 5], "nnnnn"),
        (Verb::Shift, [0; 5], "nnnnw"),
        (Verb::Load, [0, buffer, 8, 0, 8], "npwnn"),
        (Verb::Test, [0; 5], "wwnwn"),
        (Verb::Repeat, [0, 0, 1, 1, 0], "wwwww"),
    ]
}

/// What argument `argument` is, from what may be loaded into it: r0 holds a descriptor, r1 a number.
fn role(entry: Entry, argument: usize) -> char {
    let load = |register| {
        let entries = [Entry::new(Verb::Nop), entry.load(argument, register)];
        Program::new(&entries, called_with(2, 0b01)).map(drop).map_err(|rejection| rejection.reason)
    };
    match (load(0), load(1)) {
        (Ok(()), Err(Reason::WantsDescriptor { .. })) => 'd',
        (Err(Reason::WantsNumber { .. }), Ok(())) => 'n',
        (Err(Reason::PayloadLoaded { .. }), Err(Reason::PayloadLoaded { .. })) => 'p',
        (Err(Reason::WrittenLoaded { .. } | Reason::VectoredLoaded { .. }), Err(_)) => 'w',
        other => panic!("{entry:?}, argument {argument}: {other:?}"),
    }
}

#[test]
fn every_argument_has_the_role_its_page_says() {
    for (verb, arguments, roles) in verbs() {
        let mut entry = step(verb, arguments);
        if verb == Verb::Pipe {
            entry = entry.save(0);
        }
        // A CLOSE of what is written is refused, so there is always a load.
        if verb == Verb::Close {
            assert_eq!(role(entry, 0), 'd');
            entry = entry.load(0, 0);
        }
        let found: String = (0..5)
            .map(|argument| match verb {
                Verb::Close if argument == 0 => 'd',
                _ => role(entry, argument),
            })
            .collect();
        assert_eq!(found, roles, "{}", verb.name());
    }
}

/// Their records name payloads, so that they need a program made with addresses.
#[test]
fn messages() {
    for verb in [Verb::SendMsg, Verb::RecvMsg] {
        let entry = step(verb, [0, Payload::new(1, 0).unwrap().number(), 64, 0, 0]).load(0, 0);
        let reason = |entry: Entry, addresses| {
            let interface = called_with(2, 0b01);
            let program = if addresses {
                // SAFETY: the program is not stored, so nobody touches what it names.
                unsafe { Program::with_addresses(&[entry], interface) }
            } else {
                Program::new(&[entry], interface)
            };
            program.map(drop).map_err(|rejection| rejection.to_string())
        };
        assert_eq!(reason(entry, true), Ok(()));
        let text = format!(
            "step 1 ({}): argument 1 is a record that could name addresses in region 0, which only a program that is made \
             with addresses may do: use SEND and RECV",
            verb.name()
        );
        assert_eq!(reason(entry, false), Err(text));
        let mut in_piece = entry;
        in_piece.arguments[1] = piece(1, 0);
        let text = format!(
            "step 1 ({}): argument 1 is a record that names payloads itself, which may not lie in a piece of the call: keep \
             it in memory of your own",
            verb.name()
        );
        assert_eq!(reason(in_piece, true), Err(text));
        assert!(reason(entry.load(0, 1), true).is_err());
        assert!(reason(entry.load(1, 1), true).is_err());
        assert!(reason(entry.load(3, 0), true).is_err());
    }
}

/// A verb that nobody has said anything of is refused.
#[test]
fn what_is_not_in_the_table_is_refused() {
    let known: Vec<Verb> = verbs().into_iter().map(|(verb, _, _)| verb).collect();
    for verb in Verb::ALL {
        if !known.contains(verb) && !matches!(verb, Verb::SendMsg | Verb::RecvMsg) {
            let reason = reject(&[Entry::new(*verb)], interface()).reason;
            assert!(
                matches!(reason, Reason::VerbRefused | Reason::VerbNotYet),
                "{}: {reason:?}",
                verb.name()
            );
        }
    }
}

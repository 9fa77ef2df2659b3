//! How the uring backend does each verb, given what the kernel runs, unless a caller that waits for nothing else does it
//! himself. Kept in step with the backend by a test that runs them.

use std::fmt;

use ouzel::abi::Verb;
use ouzel_uring::Probe;
use ouzel_uring::abi::Opcode;
use serde::Serialize;

/// Who does the work of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// An entry of the kernel's ring.
    Ring,
    /// A plain system call that never takes long.
    Call,
    /// A plain system call on a helper thread.
    Helper,
    /// The engine itself.
    Engine,
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Way::Ring => "ring",
            Way::Call => "call",
            Way::Helper => "helper",
            Way::Engine => "engine",
        })
    }
}

/// How a verb is done here.
#[derive(Clone, Debug, Serialize)]
pub struct VerbReport {
    /// The verb.
    pub verb: &'static str,
    /// Who does it.
    pub way: Way,
    /// The opcodes that would do it.
    pub opcodes: Vec<&'static str>,
    /// Those of them that the kernel does not run.
    pub missing: Vec<&'static str>,
}

/// Every verb.
pub(super) fn table(probe: &Probe) -> Vec<VerbReport> {
    Verb::ALL
        .iter()
        .map(|verb| {
            let (opcodes, without) = needs(*verb);
            let lacking = opcodes.iter().filter(|opcode| !probe.supports(**opcode));
            let missing: Vec<_> = lacking.map(|opcode| opcode.name()).collect();
            let way = if opcodes.is_empty() || !missing.is_empty() { without } else { Way::Ring };
            VerbReport {
                verb: verb.name(),
                way,
                opcodes: opcodes.iter().map(|opcode| opcode.name()).collect(),
                missing,
            }
        })
        .collect()
}

/// The opcodes of a verb, and who does it without them.
fn needs(verb: Verb) -> (&'static [Opcode], Way) {
    match verb {
        Verb::Nop | Verb::Cancel | Verb::Sleep | Verb::Get | Verb::Deadline => (&[], Way::Engine),
        Verb::Seek | Verb::Pipe => (&[], Way::Call),
        Verb::Readdir | Verb::Copy => (&[], Way::Helper),
        // Without these the uring backend refuses to work at all.
        Verb::Read => (&[Opcode::Read], Way::Helper),
        Verb::Write => (&[Opcode::Write], Way::Helper),
        Verb::Poll => (&[Opcode::PollAdd], Way::Helper),
        Verb::Open => (&[Opcode::Openat], Way::Helper),
        Verb::Close => (&[Opcode::Close], Way::Helper),
        Verb::Stat => (&[Opcode::Statx], Way::Helper),
        Verb::Accept => (&[Opcode::Accept], Way::Helper),
        Verb::Connect => (&[Opcode::Connect], Way::Helper),
        Verb::Send => (&[Opcode::Send], Way::Helper),
        Verb::Recv => (&[Opcode::Recv], Way::Helper),
        Verb::Sync => (&[Opcode::Fsync, Opcode::SyncFileRange], Way::Helper),
        Verb::Truncate => (&[Opcode::Ftruncate], Way::Helper),
        Verb::Allocate => (&[Opcode::Fallocate], Way::Helper),
        Verb::Mkdir => (&[Opcode::Mkdirat], Way::Helper),
        Verb::Remove => (&[Opcode::Unlinkat], Way::Helper),
        Verb::Rename => (&[Opcode::Renameat], Way::Helper),
        Verb::Link => (&[Opcode::Linkat], Way::Helper),
        Verb::Symlink => (&[Opcode::Symlinkat], Way::Helper),
        Verb::Socket => (&[Opcode::Socket], Way::Call),
        Verb::Bind => (&[Opcode::Bind], Way::Call),
        Verb::Listen => (&[Opcode::Listen], Way::Call),
        Verb::Shutdown => (&[Opcode::Shutdown], Way::Call),
        Verb::Readlink
        | Verb::Chmod
        | Verb::Chown
        | Verb::Utimes
        | Verb::Mknod
        | Verb::Statfs
        | Verb::Access
        | Verb::ListXattr
        | Verb::RemoveXattr => (&[], Way::Helper),
        // A path from a directory on, and a symbolic link itself, are for a helper in any case.
        Verb::GetXattr => (&[Opcode::Getxattr, Opcode::Fgetxattr], Way::Helper),
        Verb::SetXattr => (&[Opcode::Setxattr, Opcode::Fsetxattr], Way::Helper),
        Verb::Lock | Verb::Splice => (&[], Way::Helper),
        Verb::GetSockopt
        | Verb::SetSockopt
        | Verb::Sockname
        | Verb::Peername
        | Verb::SendMsg
        | Verb::RecvMsg
        | Verb::Wait
        | Verb::Wake => (&[], Way::Call),
        Verb::Futex => (&[Opcode::FutexWait, Opcode::FutexWake], Way::Engine),
        _ => (&[], Way::Engine),
    }
}

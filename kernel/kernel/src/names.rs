//! What OPEN makes of a path: `NAME:REST` is the kernel's or a scheme's, everything else a file's.

use alloc::rc::Rc;
use alloc::vec::Vec;

use ouzel_kernel_abi::USER_END;
use ouzel_ring::Errno;
use ouzel_ring::modifiers::OpenFlags;

use crate::files::{self, Node};
use crate::mapping::Pages;
use crate::packet::Object;
use crate::process::{Handle, Process};
use crate::statistics::{Kernel, Null};
use crate::{console, memory, scheme, thread};

/// What a path leads to.
pub enum Opened {
    /// An object that is open.
    Object(Rc<dyn Object>),
    /// An object that has to be asked, and this path for it.
    Ask(Rc<dyn Object>, Vec<u8>),
}

/// OPEN for `process`.
pub fn open(
    process: &Rc<Process>,
    directory: Option<Rc<Node>>,
    path: &[u8],
    flags: OpenFlags,
    mode: u32,
) -> Result<Opened, Errno> {
    let first = path.split(|byte| *byte == b'/').next().unwrap_or_default();
    // What is beneath a directory is a file.
    let colon = first.iter().position(|byte| *byte == b':').filter(|_| !flags.contains(OpenFlags::BENEATH));
    let Some(colon) = colon else {
        return files::open(directory, path, flags, mode).map(Opened::Object);
    };
    memory::heap_has(4096)?;
    let (name, rest) = (&path[..colon], &path[colon + 1..]);
    let object: Rc<dyn Object> = match name {
        b"console" if rest.is_empty() => console::console(),
        b"null" if rest.is_empty() => Rc::new(Null),
        b"kernel" if rest.is_empty() => Rc::new(Kernel),
        b"memory" => {
            let mut parts = rest.splitn(2, |byte| *byte == b'@');
            let pages = number(parts.next().unwrap_or_default(), 10)?;
            let address = parts.next().map_or(Ok(0), |address| number(address, 16))?;
            Pages::map(process, address, pages)?
        }
        // A FINALLY entry may run where there is no thread any more that could leave.
        b"thread" if process.threads.get() == 0 || process.is_told() => return Err(Errno::ECANCELED),
        b"thread" => {
            let mut parts = rest.split(|byte| *byte == b',').map(|part| number(part, 16));
            let mut next = || parts.next().unwrap_or(Err(Errno::EINVAL));
            let (entry, stack, argument) = (next()?, next()?, next()?);
            // A processor does not return to ring 3 with addresses that cannot be.
            if entry >= USER_END || stack > USER_END || parts.next().is_some() {
                return Err(Errno::EINVAL);
            }
            thread::spawn(process, entry, stack, argument)?
        }
        b"spawn" | b"hold" => {
            let child = spawn(process, directory, rest)?;
            if name == b"spawn" {
                child.begin()?;
            }
            Rc::new(Handle { process: child })
        }
        b"scheme" => scheme::serve(process, rest, flags)?,
        _ => {
            let object = scheme::find(name)?;
            return Ok(Opened::Ask(object, rest.to_vec()));
        }
    };
    Ok(Opened::Object(object))
}

fn number(text: &[u8], radix: u32) -> Result<u64, Errno> {
    let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    u64::from_str_radix(text, radix).map_err(|_| Errno::EINVAL)
}

fn spawn(process: &Rc<Process>, directory: Option<Rc<Node>>, line: &[u8]) -> Result<Rc<Process>, Errno> {
    thread::reap();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
    let program = files::look_up(directory, words.first().ok_or(Errno::ENOENT)?)?.contents()?;
    let standard = process.standard.borrow().clone();
    Process::load(&program, &words, standard)
}

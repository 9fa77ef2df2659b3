//! Reading lines from the serial line.

use alloc::collections::VecDeque;
use alloc::string::String;

use ouzel_chain::Offset;
use ouzel_kernel_user::{ChainRing, Error, print};
use ouzel_ring::{Descriptor, Errno};

/// The most bytes of a line; more are not taken.
pub const MAX_LINE: usize = 255;

/// Bytes that are asked for at a time.
const SOME: usize = 64;

const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;
const BELL: &str = "\u{7}";

/// What is typed, byte by byte.
pub struct Input {
    file: Descriptor,
    bytes: VecDeque<u8>,
    /// The byte before was a CR, which a LF may follow.
    returned: bool,
}

impl Input {
    /// What is typed into `file`.
    pub fn new(file: Descriptor) -> Input {
        Input { file, bytes: VecDeque::new(), returned: false }
    }

    /// The next line, without its end, which is echoed while it is typed; `None` if there is no more. Backspace takes the last
    /// byte back. What cannot be printed is not taken, and neither is what a line has no room for.
    ///
    /// Errors: those of READ.
    pub fn line(&mut self, ring: &mut ChainRing) -> Result<Option<String>, Error> {
        let mut line = String::new();
        loop {
            let Some(byte) = self.byte(ring)? else { return Ok(None) };
            let follows = core::mem::replace(&mut self.returned, byte == b'\r');
            match byte {
                b'\n' if follows => {}
                b'\r' | b'\n' => {
                    echo(format_args!("\n"))?;
                    return Ok(Some(line));
                }
                BACKSPACE | DELETE => {
                    if line.pop().is_some() {
                        echo(format_args!("\u{8} \u{8}"))?;
                    }
                }
                b' '..=b'~' if line.len() < MAX_LINE => {
                    line.push(char::from(byte));
                    echo(format_args!("{}", char::from(byte)))?;
                }
                _ => echo(format_args!("{BELL}"))?,
            }
        }
    }

    fn byte(&mut self, ring: &mut ChainRing) -> Result<Option<u8>, Error> {
        if self.bytes.is_empty() {
            self.bytes.extend(ring.read(self.file, SOME, Offset::CURRENT)?);
        }
        Ok(self.bytes.pop_front())
    }
}

/// Shows what was typed.
fn echo(text: core::fmt::Arguments<'_>) -> Result<(), Error> {
    print(text).map_err(|errno: Errno| Error::Call { call: "print", errno })
}

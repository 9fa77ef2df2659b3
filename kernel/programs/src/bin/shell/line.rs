//! Reading lines from the serial line.

use alloc::collections::VecDeque;
use alloc::string::String;

use ouzel_chain::Offset;
use ouzel_kernel_user::{ChainRing, Error};
use ouzel_ring::Descriptor;

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
    output: Option<Descriptor>,
    bytes: VecDeque<u8>,
    /// The byte before was a CR, which a LF may follow.
    returned: bool,
}

impl Input {
    /// What is typed into `file`, and shown in `output`.
    pub fn new(file: Descriptor, output: Option<Descriptor>) -> Input {
        Input { file, output, bytes: VecDeque::new(), returned: false }
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
                    self.echo(ring, "\n")?;
                    return Ok(Some(line));
                }
                BACKSPACE | DELETE => {
                    if line.pop().is_some() {
                        self.echo(ring, "\u{8} \u{8}")?;
                    }
                }
                b' '..=b'~' if line.len() < MAX_LINE => {
                    line.push(char::from(byte));
                    self.echo(ring, char::from(byte).encode_utf8(&mut [0; 4]))?;
                }
                _ => self.echo(ring, BELL)?,
            }
        }
    }

    fn byte(&mut self, ring: &mut ChainRing) -> Result<Option<u8>, Error> {
        if self.bytes.is_empty() {
            self.bytes.extend(ring.read(self.file, SOME, Offset::CURRENT)?);
        }
        Ok(self.bytes.pop_front())
    }

    /// Shows what was typed.
    fn echo(&self, ring: &mut ChainRing, text: &str) -> Result<(), Error> {
        match self.output {
            Some(output) => ring.write(output, text, Offset::CURRENT).map(drop),
            None => Ok(()),
        }
    }
}

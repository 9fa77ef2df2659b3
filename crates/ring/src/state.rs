//! The state words: what each side says of itself. A hint for the other side, never a permission.

/// What a side of a ring is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[non_exhaustive]
pub enum State {
    /// At work.
    Running = 0,
    /// Taking no more entries; those in flight are being cancelled.
    Closing = 1,
    /// Gone: nothing will be taken or posted any more.
    Closed = 2,
    /// The other side wrote something impossible.
    Broken = 3,
}

impl State {
    /// The state a word stands for; words without a meaning count as broken.
    pub const fn from_number(number: u32) -> State {
        match number {
            0 => State::Running,
            1 => State::Closing,
            2 => State::Closed,
            _ => State::Broken,
        }
    }
}

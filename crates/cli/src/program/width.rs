//! The widths of numbers that `load` takes out of bytes.

/// How many bytes a `load` takes, as a little-endian number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// `u8`
    U8,
    /// `u16`
    U16,
    /// `u32`
    U32,
    /// `u64`
    U64,
}

impl Width {
    /// Every width and its word.
    pub const ALL: [(&'static str, Width); 4] =
        [("u8", Width::U8), ("u16", Width::U16), ("u32", Width::U32), ("u64", Width::U64)];
}

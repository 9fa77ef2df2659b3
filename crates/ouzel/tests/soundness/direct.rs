//! O_DIRECT.
use ouzel::BackendKind;
pub const CELLS: &[(&str, fn(BackendKind))] = &[];

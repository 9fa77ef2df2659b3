//! userfaultfd.
use ouzel::BackendKind;
pub const CELLS: &[(&str, fn(BackendKind))] = &[];

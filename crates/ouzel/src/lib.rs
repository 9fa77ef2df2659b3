//! ouzel

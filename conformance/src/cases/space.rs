//! To come.

crate::cases![];

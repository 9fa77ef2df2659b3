//! Schemes from the command line: serving a directory under a name ([`serve`], and the services of its own: [`log`], [`memory`], [`fault`]), and reaching the files of a name ([`files`]).

pub mod fault;
pub mod files;
pub mod log;
pub mod memory;
mod record;
pub mod serve;

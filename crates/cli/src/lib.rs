//! The parts of the `ouzel` command that can be used and tested without a terminal: the text language
//! ([`program`]), what a program runs for ([`inputs`]), the loop that keeps many chains in flight ([`run`]) over
//! whatever executes them ([`machine`]), and what comes out ([`summary`], [`output`], [`report`]); the view of rings that run elsewhere
//! ([`top`]); services, and what is reached through them ([`scheme`]); and a service as a file system ([`mount`]).

#![forbid(unsafe_code)]

pub mod args;
pub mod command;
pub mod doctor;
pub mod explained;
pub mod inputs;
pub mod inspect;
pub mod machine;
pub mod mount;
pub mod output;
pub mod program;
pub mod report;
pub mod ring_machine;
pub mod run;
pub mod scheme;
pub mod summary;
pub mod timeline;
pub mod top;

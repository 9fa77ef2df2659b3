//! The parts of `crates/ouzel/src/task` that are modelled, and their models.

#[path = "../../../../crates/ouzel/src/task/count.rs"]
mod count;
mod count_model;
#[path = "../../../../crates/ouzel/src/task/inbox.rs"]
#[allow(dead_code)]
mod inbox;
mod inbox_model;
mod join;
#[path = "../../../../crates/ouzel/src/task/parked.rs"]
mod parked;
#[path = "../../../../crates/ouzel/src/task/reply.rs"]
#[allow(dead_code)]
mod reply;
mod reply_model;
#[path = "../../../../crates/ouzel/src/task/request.rs"]
#[allow(dead_code)]
mod request;
mod request_model;

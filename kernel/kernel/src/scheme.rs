//! Schemes: names that processes serve. Nobody serves one yet.

use crate::packet::Object;
use crate::process::Process;
use alloc::rc::Rc;
use ouzel_ring::Errno;
use ouzel_ring::modifiers::OpenFlags;
pub fn tick() {}
pub fn serve(_: &Rc<Process>, _: &[u8], _: OpenFlags) -> Result<Rc<dyn Object>, Errno> {
    Err(Errno::ENOSYS)
}
pub fn find(_: &[u8]) -> Result<Rc<dyn Object>, Errno> {
    Err(Errno::ENOENT)
}

//! The three system calls.

use core::ptr;

use alloc::rc::Rc;

use ouzel_engine::EnterError;
use ouzel_kernel_abi::{ALL, ENTER, NEVER, SETUP, Setup, TEARDOWN, THREAD};
use ouzel_ring::Errno;

use crate::process::Process;
use crate::ring::Ring;
use crate::{scheme, thread};

/// Does the call with this number. The result is for `rax`: minus an error number, or what the call's page says.
pub fn call(number: u64, arguments: [u64; 4]) -> i64 {
    let process = thread::current().process.clone();
    process.calls.set(process.calls.get() + 1);
    let [first, second, third, fourth] = arguments;
    let result = match number {
        SETUP => setup(&process, first, second, third, fourth),
        ENTER => enter(&process, first, second, third, fourth),
        TEARDOWN => match first {
            ALL => {
                process.tell(second, 0);
                Ok(0)
            }
            THREAD => {
                drop(process);
                thread::exit();
            }
            ring => teardown(&process, ring),
        },
        _ => Err(Errno::ENOSYS),
    };
    match result {
        Ok(result) => result as i64,
        Err(error) => -i64::from(error.raw()),
    }
}

fn setup(process: &Rc<Process>, told: u64, hint: u64, entries: u64, completions: u64) -> Result<u64, Errno> {
    if !process.space.allows(told, size_of::<Setup>() as u64, true) {
        return Err(Errno::EFAULT);
    }
    let number = process.rings.borrow().iter().position(Option::is_none).ok_or(Errno::EMFILE)?;
    let (ring, setup) = Ring::new(process, hint, entries, completions)?;
    // SAFETY: plain words without padding.
    let bytes =
        unsafe { core::slice::from_raw_parts(ptr::from_ref(&setup).cast::<u8>(), size_of::<Setup>()) };
    process.rings.borrow_mut()[number] = Some(Rc::new(ring));
    process.space.write(told, bytes)?;
    Ok(number as u64)
}

/// The ring of this number. EINVAL if there is none.
fn find(process: &Process, number: u64) -> Result<Rc<Ring>, Errno> {
    let rings = process.rings.borrow();
    let place = usize::try_from(number).ok().and_then(|number| rings.get(number));
    place.cloned().flatten().ok_or(Errno::EINVAL)
}

fn enter(process: &Rc<Process>, number: u64, submit: u64, wait: u64, timeout: u64) -> Result<u64, Errno> {
    let ring = find(process, number)?;
    scheme::tick();
    let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let timeout = (timeout != NEVER).then_some(timeout);
    // The engine is out of the ring meanwhile, so that a second thread finds it busy.
    let mut engine = ring.engine.borrow_mut().take().ok_or(Errno::EBUSY)?;
    let entered = engine.enter(narrow(submit), narrow(wait), timeout);
    *ring.engine.borrow_mut() = Some(engine);
    match entered {
        Ok(entered) => Ok(u64::from(entered.taken)),
        Err(EnterError::Backend(errno)) => Err(errno),
        Err(_) => Err(Errno::EIO),
    }
}

fn teardown(process: &Rc<Process>, number: u64) -> Result<u64, Errno> {
    let ring = find(process, number)?;
    ring.tear_down(process)?;
    process.rings.borrow_mut()[number as usize] = None;
    Ok(0)
}

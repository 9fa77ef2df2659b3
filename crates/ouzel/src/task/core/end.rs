//! What comes too late, and the end of the executor.

use ouzel_chain::ring::ran;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Core, closed};
use crate::chain::Chain;
use crate::chain::Done;
use crate::task::operations::{Owner, State};
use crate::task::waker::Wakee;

impl Core {
    /// Gives late results to whoever is there for them, and sees to what they have left open.
    pub(super) fn see_to_late(&self) {
        loop {
            let late = self.late.borrow_mut().pop_front();
            let Some(done) = late else { return };
            self.meter.late.add(1);
            let hook = self.on_late.borrow_mut().take();
            let done = match hook {
                None => Some(done),
                Some(mut hook) => {
                    let done = hook(done);
                    self.on_late.borrow_mut().get_or_insert(hook);
                    done
                }
            };
            if let Some(done) = done {
                self.drop_late(done);
            }
        }
    }

    /// Drops a late result: descriptors that are open are closed, bytes are counted.
    fn drop_late(&self, done: Done) {
        if ran(&done).did_nothing() {
            return self.recycle(done);
        }
        self.meter.late_bytes.add(done.bytes_read());
        for descriptor in done.descriptors() {
            if !self.with_ring(|ring| Ok(ring.is_open(descriptor))).unwrap_or(false) {
                continue;
            }
            self.meter.late_closed.add(1);
            let mut chain = self.chain();
            chain.close(descriptor);
            self.submit_detached(chain);
        }
        self.recycle(done);
    }

    /// Ends everything: drops the tasks, cancels what they had in flight, and lets go of the ring when that is over, within
    /// its bound.
    pub(in crate::task) fn close(self: &Rc<Core>) {
        self.closed.set(true);
        let left = self.shared.close();
        self.refuse(left);
        self.end_requests();
        self.tasks.close();
        let left = self.wind_down();
        let ring = self.ring.borrow_mut().take();
        if let Some(ring) = ring {
            ring.teardown(left);
        }
        let fired = self.timers.borrow_mut().fire_all();
        fired.into_iter().for_each(|wakee| self.wake(wakee));
        self.end_operations();
        // Late results have nowhere to go any more: what they left open the ring has closed.
        let late = self.late.take();
        drop(late);
        let hook = self.on_late.take();
        drop(hook);
        // A future that was forgotten keeps this for ever, but no descriptor.
        drop(self.watched.take());
        drop(self.bell.take());
    }

    /// Waits until what was cancelled is over, and returns what is left of the bound.
    fn wind_down(self: &Rc<Core>) -> Duration {
        let Ok((bound, ours)) = self.with_ring(|ring| Ok((ring.bound(), ring.is_ours()))) else {
            return Duration::ZERO;
        };
        let begun = Instant::now();
        let Some(now) = self.now() else { return bound };
        let alarm = self.timers.borrow_mut().add(now.saturating_add(nanoseconds(bound)), now, Wakee::Nobody);
        while ours && begun.elapsed() < bound && !self.timers.borrow().has_fired(alarm) {
            self.see_to_late();
            // Nothing can run any more.
            while self.next_task().is_some() {}
            if self.unowned.get() == 0 {
                break;
            }
            if self.turn(true).is_err() {
                break;
            }
        }
        self.remove_timer(alarm);
        bound.saturating_sub(begun.elapsed())
    }

    /// The futures that are left, somewhere, have an end.
    fn end_operations(&self) {
        let numbers = self.operations.borrow().numbers();
        for number in numbers {
            let mut operations = self.operations.borrow_mut();
            let slot = operations.slot(number);
            if slot.owner != Owner::Future || matches!(slot.state, State::Over(_) | State::Free) {
                continue;
            }
            let chain = match std::mem::replace(&mut slot.state, State::Free) {
                State::Backlogged(chain) => chain,
                _ => Chain::new(),
            };
            slot.state = State::Over(Err(closed(chain)));
            let wakee = std::mem::take(&mut slot.wakee);
            drop(operations);
            self.wake(wakee);
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

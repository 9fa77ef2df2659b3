//! Time: sleeping, giving others a turn, limits for futures, and ticks.
//!
//! They use the executor's timers, not the ring's entries, and the ring's clock: on the simulator time passes as fast as
//! nothing else happens.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::core::Core;

#[derive(Clone, Copy, Debug)]
enum State {
    For(u64),
    Until(u64),
    Set(u32),
    Over,
}

/// Waits for a time. Made by [`Handle::sleep`](super::Handle::sleep).
///
/// It counts from when it is first polled, and never ends early. Sleeps whose ends are close together share a wake: each may end
/// later than it should by less than a 32nd of its time, and by less than 2²⁰ ns (1.05 ms), besides the time that the executor
/// needs to get to it. If its executor is dropped it is over.
#[must_use = "a sleep does nothing until it is awaited"]
pub struct Sleep {
    core: Rc<Core>,
    state: State,
}

impl Sleep {
    pub(super) fn new(core: Rc<Core>, time: Duration) -> Sleep {
        Sleep { core, state: State::For(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)) }
    }

    pub(super) fn until(core: Rc<Core>, instant: u64) -> Sleep {
        Sleep { core, state: State::Until(instant) }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let instant = match self.state {
            State::For(time) => self.core.now().map(|now| (now.saturating_add(time), now)),
            State::Until(instant) => self.core.now().map(|now| (instant, now)),
            State::Set(number) => {
                if !self.core.poll_timer(number, context.waker()) {
                    return Poll::Pending;
                }
                None
            }
            State::Over => None,
        };
        if let Some((instant, now)) = instant {
            self.state = State::Set(self.core.set_timer(instant, now, context.waker()));
            return Poll::Pending;
        }
        self.state = State::Over;
        Poll::Ready(())
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let State::Set(number) = self.state {
            self.core.remove_timer(number);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Sleep").field(&self.state).finish()
    }
}

/// Ticks. Made by [`Handle::interval`](super::Handle::interval).
///
/// Each item says how many periods have passed since the one before: more than 1 if nobody asked in time.
#[must_use = "a stream does nothing until it is polled"]
pub struct Interval {
    core: Rc<Core>,
    period: u64,
    /// When the next tick is due.
    next: Option<u64>,
    sleep: Option<Sleep>,
}

impl Interval {
    pub(super) fn new(core: Rc<Core>, period: Duration) -> Interval {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
        Interval { core, period, next: None, sleep: None }
    }

    /// Waits for the next tick; `None` if the executor is gone.
    pub async fn next(&mut self) -> Option<u64> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<u64>> {
        let Some(now) = self.core.now() else { return Poll::Ready(None) };
        let next = *self.next.get_or_insert(now.saturating_add(self.period));
        let sleep = self.sleep.get_or_insert_with(|| Sleep::until(Rc::clone(&self.core), next));
        if Pin::new(sleep).poll(context).is_pending() {
            return Poll::Pending;
        }
        self.sleep = None;
        let Some(now) = self.core.now() else { return Poll::Ready(None) };
        let passed = 1 + now.saturating_sub(next) / self.period;
        self.next = Some(next.saturating_add(passed.saturating_mul(self.period)));
        Poll::Ready(Some(passed))
    }
}

impl Stream for Interval {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<u64>> {
        self.poll(context)
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Interval").field("period", &self.period).finish_non_exhaustive()
    }
}

/// Gives every other task that can run its turn, and what has completed its due. Made by
/// [`Handle::yield_now`](super::Handle::yield_now) and [`yield_now`](super::yield_now).
#[derive(Debug, Default)]
#[must_use = "nobody gets a turn until it is awaited"]
pub struct Yield {
    yielded: bool,
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Gives every other task that can run its turn.
pub fn yield_now() -> Yield {
    Yield::default()
}

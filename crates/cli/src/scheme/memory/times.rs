//! Times: when a file or directory in memory was changed last.
//!
//! They tell others that something has changed, a page cache on a mount for one. So each change gives another time than the one
//! before, a later one, however fast they come and wherever the clock is set meanwhile.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When a node was changed, since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    modified: Duration,
    changed: Duration,
}

impl Times {
    /// Of what is made now.
    pub(super) fn now() -> Times {
        let now = clock();
        Times { modified: now, changed: now }
    }

    /// When what is in it was changed last.
    pub(super) fn modified(&self) -> Duration {
        self.modified
    }

    /// When anything about it was changed last.
    pub(super) fn changed(&self) -> Duration {
        self.changed
    }

    /// What is in it is changed now.
    pub(super) fn modify(&mut self) {
        self.change();
        self.modified = self.changed;
    }

    /// Something about it is changed now, not what is in it.
    pub(super) fn change(&mut self) {
        self.changed = behind(self.changed, clock());
    }
}

fn clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// What the clock says, or one nanosecond more than the last time if it has not moved on.
fn behind(last: Duration, clock: Duration) -> Duration {
    clock.max(last.saturating_add(Duration::from_nanos(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_later_whatever_the_clock_says() {
        let last = Duration::new(10, 999_999_999);
        assert_eq!(behind(last, Duration::new(11, 1)), Duration::new(11, 1));
        for clock in [last, Duration::new(10, 5), Duration::ZERO] {
            assert_eq!(behind(last, clock), Duration::new(11, 0), "{clock:?}");
        }
        assert_eq!(behind(Duration::MAX, last), Duration::MAX);
    }

    #[test]
    fn contents_change_with_all_the_rest_and_not_the_other_way_round() {
        let made = Times::now();
        let mut times = made;
        times.change();
        assert!(times.modified() == made.modified() && times.changed() > made.changed());
        let before = times;
        times.modify();
        assert!(times.modified() == times.changed() && times.changed() > before.changed());
    }
}

//! Executors that are dropped with everything in flight. Alone in its process, because it counts descriptors.
#![allow(clippy::unwrap_used)]

mod task_support;
#[path = "task_support/verbs.rs"]
mod verbs;

use std::rc::Rc;
use std::time::Duration;

use task_support::*;
use verbs::*;

#[test]
fn an_executor_can_be_dropped_with_everything_in_flight() {
    on_each(|kind| {
        let before = open_files();
        for in_kernel in [false, true] {
            let mut executor = executor(kind);
            let handle = executor.handle();
            let alive = Rc::new(());
            for (name, make) in verbs() {
                let (own, alive) = (handle.clone(), alive.clone());
                drop(executor.spawn(async move {
                    let _alive = alive;
                    let waiting = make(own).await.unwrap();
                    waiting.future.await.unwrap();
                    panic!("{name} was over");
                }));
            }
            let time = Duration::from_millis(if in_kernel { 30 } else { 0 });
            executor.block_on(handle.sleep(time)).unwrap();
            drop(executor);
            assert_eq!(Rc::strong_count(&alive), 1, "tasks are dropped with their executor");
            assert_eq!(handle.gauges().packets, 0);
        }
        assert_eq!(ouzel::leaked_operations(), 0);
        // The threads backend's threads close theirs when they end.
        let begun = std::time::Instant::now();
        while open_files() > before && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(open_files() <= before, "{}: descriptors leak", kind.name());
    });
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

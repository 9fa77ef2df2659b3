//! Runs: what the kernel's links do and what the engine is told of it.

use ouzel::backend::uring::UringOptions;
use ouzel_engine::{Backend, Edge, Operation, Outcome, Started};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::OpenFlags;

use crate::driver::*;

const THEN: Edge = Edge::Success;

#[test]
fn open_read_close_is_one_enter() {
    let Some(mut driver) = backend(UringOptions::default()) else { return };
    if !driver.uring.features().slots {
        println!("SKIPPED: no slots");
        return;
    }
    for scratch in scratches("one-enter") {
        let file = scratch.file("a");
        std::fs::write(&file, vec![7; 4096]).unwrap();
        let text = Text::new(&file);
        for index in [0, 5] {
            let mut buffer = vec![0; 4096];
            let operations = [
                (THEN, open(&text, OpenFlags::READ, index)),
                (THEN, read(index, &mut buffer, Some(0))),
                (THEN, Operation::Close { file: index }),
            ];
            let before = driver.uring.counters();
            let tokens = driver.start_run(&operations);
            assert_eq!(driver.uring.counters().crossings(), before.crossings());
            driver.uring.wait(3, None).unwrap();
            let outcomes: Vec<_> = tokens
                .iter()
                .map(|token| {
                    let report = driver.uring.next().unwrap();
                    assert_eq!(report.token, *token);
                    report.outcome
                })
                .collect();
            assert_eq!(driver.uring.counters().since(before).crossings(), 1);
            assert_eq!(outcomes[1..], [done(4096), done(0)]);
            assert!(buffer.iter().all(|byte| *byte == 7));
            assert_eq!(driver.uring.in_flight(), 0);
            // With nothing to do, nothing is entered.
            driver.uring.wait(0, None).unwrap();
            assert_eq!(driver.uring.counters().since(before).crossings(), 1);
        }
    }
}

#[test]
fn a_short_read_breaks_the_run_and_the_rest_can_be_started_again() {
    let Some(mut driver) = backend(UringOptions::default()) else { return };
    if !driver.uring.features().slots {
        println!("SKIPPED: no slots");
        return;
    }
    for scratch in scratches("short") {
        let file = scratch.file("a");
        std::fs::write(&file, vec![7; 100]).unwrap();
        let text = Text::new(&file);
        let mut buffer = vec![0; 4096];
        let run = driver.run(&[
            (THEN, open(&text, OpenFlags::READ, 1)),
            (THEN, read(1, &mut buffer, Some(0))),
            (THEN, Operation::Close { file: 1 }),
        ]);
        assert_eq!(run[1..], [done(100), Outcome::NotRun]);
        // The object is still there.
        assert_eq!(driver.good(read(1, &mut buffer, Some(50))), 50);
        driver.close(1);
        assert_eq!(driver.bad(read(1, &mut buffer, Some(50))), Errno::EBADF);
    }
}

#[test]
fn an_always_edge_goes_on_after_a_short_read_and_after_a_failure() {
    let Some(mut driver) = backend(UringOptions::default()) else { return };
    if !driver.uring.features().slots {
        println!("SKIPPED: no slots");
        return;
    }
    for scratch in scratches("always") {
        let file = scratch.file("a");
        std::fs::write(&file, vec![7; 100]).unwrap();
        let mut buffer = vec![0; 4096];
        driver.open(&file, OpenFlags::READ, 1);
        let run = driver.run(&[
            (THEN, read(1, &mut buffer, Some(0))),
            (Edge::Always, write(1, b"not opened for that", Some(0))),
            (Edge::Always, Operation::Close { file: 1 }),
        ]);
        assert_eq!(run, [done(100), failed(Errno::EBADF), done(0)]);
    }
}

#[test]
fn behind_a_failed_open_nothing_runs() {
    let Some(mut driver) = backend(UringOptions::default()) else { return };
    if !driver.uring.features().slots {
        println!("SKIPPED: no slots");
        return;
    }
    for scratch in scratches("failed-open") {
        let text = Text::new(scratch.file("nowhere"));
        let mut buffer = vec![0; 16];
        let operations = [
            (THEN, open(&text, OpenFlags::READ, 1)),
            (THEN, read(1, &mut buffer, Some(0))),
            (Edge::Always, Operation::Close { file: 1 }),
        ];
        assert_eq!(driver.run(&operations), [failed(Errno::ENOENT), Outcome::NotRun, Outcome::NotRun]);
        assert_eq!(driver.bad(read(1, &mut buffer, None)), Errno::EBADF);
        let always = Operation::Close { file: 1 };
        assert!(!driver.uring.follows(&operations[0].1, Edge::Always, &always));
    }
}

#[test]
fn what_cannot_be_known_before_does_not_follow() {
    let Some(mut driver) = backend(UringOptions::default()) else { return };
    for scratch in scratches("follows") {
        let text = Text::new(&scratch.0);
        let mut buffer = [0; 16];
        let directory = open(&text, OpenFlags::READ | OpenFlags::DIRECTORY, 1);
        let list = Operation::Readdir { file: 1, buffer: span(&mut buffer) };
        assert!(!driver.uring.follows(&directory, THEN, &list));
        assert!(!driver.uring.follows(&directory, THEN, &Operation::Close { file: 1 }));
        driver.good(directory);
        // Its number is known now, and a file in it can be opened and read in one run.
        std::fs::write(scratch.file("inside"), b"content").unwrap();
        let inside = Text::new("inside");
        let nested = Operation::Open {
            directory: Some(1),
            path: inside.path(),
            flags: OpenFlags::READ,
            mode: 0,
            into: 2,
        };
        if driver.uring.features().slots {
            let run = driver.run(&[
                (THEN, nested),
                (THEN, read(2, &mut buffer[..7], Some(0))),
                (THEN, Operation::Close { file: 2 }),
            ]);
            assert_eq!(run[1..], [done(7), done(0)]);
            assert_eq!(&buffer[..7], b"content");
        }
        // The directory's number must outlive who names it, so its close goes alone.
        assert!(!driver.uring.follows(&nested, THEN, &Operation::Close { file: 1 }));
        driver.close(1);
    }
}

#[test]
fn a_run_ends_before_a_step_that_cannot_follow() {
    let Some(mut driver) = backend(UringOptions::default()) else { return };
    if !driver.uring.features().slots {
        println!("SKIPPED: no slots");
        return;
    }
    for scratch in scratches("cannot-follow") {
        let file = scratch.file("a");
        std::fs::write(&file, vec![7; 100]).unwrap();
        let mut buffers = [vec![0; 100], vec![0; 100], vec![0; 100]];
        driver.open(&file, OpenFlags::READ, 1);
        for edge in [Edge::Success, Edge::Always] {
            for good in [1, 2] {
                let [first, second, third] = &mut buffers;
                let mut operations = vec![(THEN, read(1, first, Some(0))), (edge, read(1, second, Some(50)))];
                operations.truncate(good);
                // Nothing is at index 9.
                operations.push((edge, read(9, third, Some(0))));
                let steps = driver.steps(&operations);
                let started = driver.uring.start(&steps);
                assert!(matches!(started, Started::Taken { count, .. } if count == good), "{started:?}");
                assert_eq!(driver.uring.in_flight(), good as u32);
                for (step, result) in steps[..good].iter().zip([100, 50]) {
                    let report = driver.report();
                    assert_eq!((report.token, report.outcome), (step.token, done(result)));
                }
                assert_eq!(driver.uring.in_flight(), 0);
                // What ends the run is no report, and the backend goes on as before.
                driver.uring.wait(0, None).unwrap();
                assert_eq!(driver.uring.next(), None);
                assert_eq!(driver.good(read(1, &mut buffers[0], Some(40))), 60);
            }
        }
        driver.close(1);
    }
}

#[test]
fn a_slot_is_free_again_when_its_close_is_reported() {
    let Some(mut driver) = backend(UringOptions::default()) else { return };
    if !driver.uring.features().slots {
        println!("SKIPPED: no slots");
        return;
    }
    for scratch in scratches("reuse") {
        let files: Vec<_> = (0u8..8)
            .map(|number| {
                let path = scratch.file(&number.to_string());
                std::fs::write(&path, vec![number; 512]).unwrap();
                Text::new(path)
            })
            .collect();
        const TOGETHER: usize = 16;
        let mut buffers = vec![vec![0u8; 512]; TOGETHER];
        for round in 0..4000 / TOGETHER {
            let mut tokens = Vec::new();
            for (index, buffer) in buffers.iter_mut().enumerate() {
                buffer.fill(0xff);
                let slot = index as u32;
                tokens.extend(driver.start_run(&[
                    (THEN, open(&files[(round + index) % 8], OpenFlags::READ, slot)),
                    (THEN, read(slot, buffer, Some(0))),
                    (THEN, Operation::Close { file: slot }),
                ]));
            }
            for _ in 0..tokens.len() {
                let report = driver.report();
                let place = tokens.iter().position(|token| *token == report.token).unwrap();
                let expected = [0, 512, 0][place % 3];
                assert_eq!(report.outcome, done(expected), "round {round}, step {place}");
            }
            for (index, buffer) in buffers.iter().enumerate() {
                assert!(buffer.iter().all(|byte| *byte == ((round + index) % 8) as u8));
            }
        }
        assert_eq!(driver.uring.in_flight(), 0);
    }
}

#[test]
fn more_steps_than_the_queue_has_room_for() {
    let options = UringOptions { entries: 8, ..UringOptions::default() };
    let Some(mut driver) = backend(options) else { return };
    for scratch in scratches("overflow") {
        let file = scratch.file("a");
        std::fs::write(&file, vec![7; 64]).unwrap();
        driver.open(&file, OpenFlags::READ, 0);
        let mut buffers = vec![[0u8; 64]; 300];
        let mut started = 0;
        let mut over = 0;
        // Runs of three never straddle the eight entries, and none is lost.
        for buffers in buffers.chunks_mut(3) {
            let operations: Vec<_> =
                buffers.iter_mut().map(|buffer| (THEN, read(0, buffer, Some(0)))).collect();
            let steps = driver.steps(&operations);
            match driver.uring.start(&steps) {
                Started::Taken { count, .. } => started += count,
                other => panic!("{other:?}"),
            }
        }
        while over < started {
            assert_eq!(driver.report().outcome, done(64));
            over += 1;
        }
        assert_eq!(started, 300);
        // A run longer than the queue is taken in part.
        let operations: Vec<_> =
            buffers[..20].iter_mut().map(|buffer| (THEN, read(0, buffer, Some(0)))).collect();
        let steps = driver.steps(&operations);
        let Started::Taken { count, .. } = driver.uring.start(&steps) else { panic!("not taken") };
        assert_eq!(count, 8);
        for _ in 0..count {
            assert_eq!(driver.report().outcome, done(64));
        }
        driver.close(0);
    }
}

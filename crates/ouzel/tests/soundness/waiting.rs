//! Rows for what else waits: pipes, times, locks, children, bells, words; and for programs and loops.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{LockMode, PollEvents};
use ouzel::{Buffer, Compute, Offset, OpenOptions, Program, Width};

use crate::stage::{LIMIT, Scene, Stage};
use crate::table::{Row, chain, no_set_up, nothing, row};

/// How long those wait that wait for time alone.
const TIME: Duration = Duration::from_millis(60);

/// A pipe: the end to read from and the end to write to.
fn pipe(stage: &mut dyn Stage, scene: &mut Scene) {
    let mut chain = ouzel::Chain::new();
    let (read, write) = chain.pipe();
    let write = chain.get_descriptor(write);
    let done = stage.run(chain).unwrap();
    scene.files.extend([done.get(read).unwrap(), done.get(write).unwrap()]);
}

fn two_pipes(stage: &mut dyn Stage, scene: &mut Scene) {
    pipe(stage, scene);
    pipe(stage, scene);
}

/// A pipe without room.
fn full_pipe(stage: &mut dyn Stage, scene: &mut Scene) {
    pipe(stage, scene);
    let write = scene.files[1];
    let mut room = true;
    while room {
        let written = stage.attempt(|chain| {
            let written = chain.write(write, vec![b'f'; 65536], Offset::CURRENT);
            chain.timeout(Duration::ZERO);
            written
        });
        room = written.is_ok();
    }
}

fn make_room(stage: &mut dyn Stage, scene: &mut Scene, wanted: bool) {
    let read = scene.files[0];
    let room = stage.attempt(|chain| {
        let room = chain.read(read, Buffer::with_capacity(65536), Offset::CURRENT);
        chain.timeout(Duration::ZERO);
        room
    });
    // Where it is asked for a second time, a WRITE that was given up before it began has left nothing there.
    assert!(room.is_ok() || !wanted, "{room:?}");
}

fn fill(stage: &mut dyn Stage, scene: &mut Scene, _: bool) {
    let write = scene.files[1];
    stage.one(|chain| chain.write(write, "late", Offset::CURRENT));
}

/// Time passes.
fn time_passes(stage: &mut dyn Stage, _: &mut Scene, wanted: bool) {
    if wanted {
        stage.pause(TIME);
    }
}

/// A file that is open twice, and locked by the first.
fn locked(stage: &mut dyn Stage, scene: &mut Scene) {
    let path = scene.at("file");
    for _ in 0..2 {
        scene.files.push(stage.one(|chain| chain.open(&path, OpenOptions::read_write().create())));
    }
    let first = scene.files[0];
    stage.one(|chain| chain.lock(first, 0u64, 0u64, LockMode::Exclusive));
}

fn unlock(stage: &mut dyn Stage, scene: &mut Scene, _: bool) {
    let first = scene.files[0];
    stage.one(|chain| chain.lock(first, 0u64, 0u64, LockMode::Unlock));
}

fn child(stage: &mut dyn Stage, scene: &mut Scene) {
    scene.start_child(stage);
}

fn adopted_child(stage: &mut dyn Stage, scene: &mut Scene) {
    scene.start_child(stage);
    scene.files.push(stage.adopt_process(scene.child));
}

fn child_ends(stage: &mut dyn Stage, scene: &mut Scene, _: bool) {
    scene.end_child(stage);
}

fn bell(stage: &mut dyn Stage, scene: &mut Scene) {
    scene.files.push(stage.bell());
}

fn ring_it(stage: &mut dyn Stage, scene: &mut Scene, _: bool) {
    let bell = scene.files[0];
    stage.one(|chain| chain.wake(bell, 1u64));
}

fn wake(stage: &mut dyn Stage, scene: &mut Scene, wanted: bool) {
    let begun = Instant::now();
    // Who waits may not be there yet.
    while stage.one(|chain| chain.futex_wake(&scene.word, 9u64)) == 0 && wanted {
        assert!(begun.elapsed() < LIMIT, "nobody waits on the word");
        stage.pause(Duration::from_micros(200));
    }
    assert_eq!(scene.word.load(Ordering::Relaxed), 1);
}

/// A program that reads from what it is called with.
fn program(stage: &mut dyn Stage, scene: &mut Scene) {
    pipe(stage, scene);
    let program = Program::build(|program| {
        let file = program.file();
        let room = program.room(4096);
        program.read(file, room, Offset::CURRENT)
    });
    scene.stored = Some(stage.store(program.unwrap()));
}

pub fn rows() -> Vec<Row> {
    let mut rows = pipes();
    rows.extend(others());
    rows.extend(programs());
    rows
}

fn pipes() -> Vec<Row> {
    vec![
        row!(
            "READ, a pipe",
            Waits,
            pipe,
            |on, scene| on.read(scene.files[0], scene.room(), Offset::CURRENT),
            fill
        ),
        row!(
            "WRITE, a full pipe",
            Waits,
            full_pipe,
            |on, scene| on.write(scene.files[1], scene.bytes(4096), Offset::CURRENT),
            make_room
        ),
        row!("POLL", Waits, pipe, |on, scene| on.poll(scene.files[0], PollEvents::IN), fill),
        Row {
            expected: Errno::ETIMEDOUT,
            streams: true,
            call: Some(|handle, scene| {
                let mut polling = handle.poll_many(scene.files[0], PollEvents::IN);
                Box::pin(async move { polling.next().await.map_or(Ok(()), |events| events.map(drop)) })
            }),
            lasts: Some(TIME),
            ..chain!(
                "POLL, many",
                Waits,
                pipe,
                |on, scene| {
                    on.poll_many(scene.files[0], PollEvents::IN);
                    on.timeout(TIME)
                },
                fill
            )
        },
        Row {
            call: Some(|handle, _| {
                let making = handle.pipe();
                Box::pin(async { making.await.map(drop) })
            }),
            ..chain!(
                "PIPE",
                Ends,
                no_set_up,
                |on, scene| {
                    let (_, write) = on.pipe();
                    on.finally().get_descriptor(write)
                },
                nothing
            )
        },
        row!(
            "SPLICE",
            Waits,
            two_pipes,
            |on, scene| on.splice(scene.files[0], Offset::CURRENT, scene.files[3], Offset::CURRENT, 64u64),
            fill
        ),
    ]
}

fn others() -> Vec<Row> {
    vec![
        chain!("NOP", Engine, no_set_up, |on, scene| on.nop(), nothing),
        Row {
            expected: Errno::ETIMEDOUT,
            lasts: Some(TIME),
            ..chain!(
                "NOP, with a timeout",
                Timer,
                no_set_up,
                |on, scene| {
                    on.nop();
                    on.timeout(TIME)
                },
                time_passes
            )
        },
        Row {
            lasts: Some(TIME),
            ..chain!("SLEEP", Timer, no_set_up, |on, scene| on.sleep(TIME), time_passes)
        },
        chain!("GET", Engine, no_set_up, |on, scene| on.get(7u64), nothing),
        Row {
            expected: Errno::ETIMEDOUT,
            lasts: Some(TIME),
            ..chain!(
                "DEADLINE, round a READ",
                Waits,
                pipe,
                |on, scene| {
                    on.deadline(TIME);
                    on.read(scene.files[0], scene.room(), Offset::CURRENT)
                },
                time_passes
            )
        },
        row!(
            "LOCK",
            Waits,
            locked,
            |on, scene| on.lock(scene.files[1], 0u64, 10u64, LockMode::Shared),
            unlock
        ),
        row!("WAIT, a number", Waits, child, |on, scene| on.wait_child(scene.child as u32), child_ends),
        row!(
            "WAIT, a process",
            Waits,
            adopted_child,
            |on, scene| on.wait_process(scene.files[0]),
            child_ends
        ),
        row!("WAKE", Ends, bell, |on, scene| on.wake(scene.files[0], 3u64), nothing),
        row!(
            "READ, a bell",
            Waits,
            bell,
            |on, scene| on.read(scene.files[0], scene.room(), Offset::CURRENT),
            ring_it
        ),
        row!("FUTEX, waits", Waits, no_set_up, |on, scene| on.futex_wait(&scene.word, 1u32), wake),
        row!("FUTEX, wakes", Ends, no_set_up, |on, scene| on.futex_wake(&scene.word, 1u32), nothing),
    ]
}

fn programs() -> Vec<Row> {
    vec![
        Row {
            call: Some(|handle, scene| {
                let stored = scene.stored.as_ref().unwrap();
                let calling = handle.run_program(stored.call().file(scene.files[0]).buffer(scene.room()));
                Box::pin(async { calling.await?.result().map(drop) })
            }),
            ..chain!(
                "CALL",
                Waits,
                program,
                |on, scene| {
                    let stored = scene.stored.as_ref().unwrap();
                    on.call(stored.call().file(scene.files[0]).buffer(scene.room()))
                },
                fill
            )
        },
        chain!(
            "a loop: REPEAT, READ, LOAD, TEST and all that computes",
            Waits,
            pipe,
            |on, scene| {
                let from = scene.files[0];
                let room = on.room(scene.room());
                let sum = on.variable(0u64);
                on.repeat(2, |turn| {
                    // One byte at a time: what comes at once is enough for all of them.
                    let got = turn.read(from, room.first(1u64), Offset::CURRENT);
                    let byte = turn.load(room, Width::U8, 0u64);
                    let bits = turn.and(byte, 0x7fu64);
                    let twice = turn.shift_left(bits, 1u64);
                    let least = turn.min(twice, 9u64);
                    let less = turn.wrapping_sub(least, 1u64);
                    turn.assign(sum, Compute::add(sum, less));
                    turn.when(got).is_zero().break_loop();
                })
            },
            fill
        ),
        chain!(
            "a chain: PIPE, READ, CLOSE",
            Waits,
            pipe,
            |on, scene| {
                let (one, other) = on.pipe();
                on.read(scene.files[0], scene.room(), Offset::CURRENT);
                on.finally().close(one);
                on.finally().close(other)
            },
            fill
        ),
    ]
}

//! Schemes that another process serves: honestly, slowly, lying, and dead.

use ouzel_kernel_abi::{SIGNAL_KILL, SchemeSetup};
use ouzel_kernel_user::Ring;
use ouzel_ring::modifiers::{CURRENT_POSITION, OpenFlags, PollEvents};
use ouzel_ring::{Completion, EngineEnd, Entry, Errno, Geometry, Memory, Payload, Verb};

use crate::help::{Tested, address_of, close, equal, kill, open, read, run, sleep, statistics, wait, write};

/// How a driver drives.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    Honest,
    /// It looks every now and then only.
    Slow,
    /// It ends when it has something to do after its first OPEN.
    Dying,
    /// It answers with what cannot be.
    Lying,
}

/// Serves `echo:`: each object keeps the last bytes that were written to it.
pub fn serve(manner: Manner) -> Result<(), Errno> {
    let mut ring = Ring::new(8, 16)?;
    let scheme = open(&mut ring, b"scheme:echo\0", OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE)?;
    let mut setup = SchemeSetup::default();
    read(&mut ring, scheme, address_of(&mut setup), size_of::<SchemeSetup>() as u64)?;
    let geometry = Geometry::new(setup.entries, setup.completions).map_err(|_| Errno::EINVAL)?;
    let base = core::ptr::with_exposed_provenance_mut::<u8>(setup.base as usize);
    let base = core::ptr::NonNull::new(base).ok_or(Errno::EFAULT)?;
    // SAFETY: the kernel has mapped it for as long as the scheme's descriptor is open: until this process ends.
    let memory =
        unsafe { Memory::contiguous(base, setup.length as usize, geometry) }.map_err(|_| Errno::EINVAL)?;
    let mut end = EngineEnd::new(memory, 0);
    let window = core::ptr::with_exposed_provenance_mut::<u8>(setup.window as usize);
    let mut kept = [0u8; 64];
    let mut length = 0;
    loop {
        let poll = Entry::new(Verb::Poll).arguments([scheme, PollEvents::IN.bits(), 0, 0, 0]);
        run(&mut ring, poll)?.outcome()?;
        if manner == Manner::Slow {
            sleep(&mut ring, 3_000_000)?;
        }
        while end.available().map_err(|_| Errno::EIO)? > 0 {
            let entry = end.copy_next().ok_or(Errno::EIO)?;
            end.release(1);
            let [_, payload, magnitude, ..] = entry.arguments;
            let place = window.wrapping_add(Payload::from_number(payload).offset() as usize);
            let mut result = 0;
            let mut data = entry.data;
            match Verb::from_number(entry.op) {
                Some(Verb::Open) => result = 5,
                _ if manner == Manner::Dying => return Ok(()),
                Some(Verb::Write) => {
                    length = (magnitude as usize).min(kept.len());
                    // SAFETY: the slot of this entry in the window.
                    unsafe { core::ptr::copy_nonoverlapping(place, kept.as_mut_ptr(), length) };
                    result = length as u64;
                }
                Some(Verb::Read) => {
                    let some = length.min(magnitude as usize);
                    // SAFETY: as above.
                    unsafe { core::ptr::copy_nonoverlapping(kept.as_ptr(), place, some) };
                    result = some as u64;
                    if manner == Manner::Lying {
                        result = u64::MAX;
                    }
                }
                _ => {}
            }
            if manner == Manner::Lying {
                // Answers to what was never asked.
                for data in [0, 1, 77, data ^ 16, u64::MAX - 1] {
                    let lie = Completion { op: 1, error: 0, data, result: 1 << 40, flags: 9, extra: 9 };
                    let _ = end.post(&lie);
                }
                data = entry.data;
            }
            let done = Completion { op: entry.op, error: 0, data, result, flags: 0, extra: 0 };
            end.post(&done).map_err(|_| Errno::EIO)?;
        }
    }
}

/// Starts a driver and opens an object of its; returns the process and the object.
fn start_driver(ring: &mut Ring, line: &[u8]) -> Result<(u64, u64), Errno> {
    let process = open(ring, line, OpenFlags::READ)?;
    for _ in 0..100 {
        match open(ring, b"echo:some/thing\0", OpenFlags::READ | OpenFlags::WRITE) {
            Err(Errno::ENOENT) => sleep(ring, 1_000_000)?,
            opened => return Ok((process, opened?)),
        }
    }
    Err(Errno::ETIMEDOUT)
}

pub fn schemes_are_served() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    equal(open(&mut ring, b"echo:x\0", OpenFlags::READ), Err(Errno::ENOENT))?;
    let (process, object) = start_driver(&mut ring, b"spawn:/bin/selftest serve\0")?;
    equal(write(&mut ring, object, b"to the driver")?, 13)?;
    let mut buffer = [0u8; 64];
    equal(read(&mut ring, object, address_of(&mut buffer), 64)?, 13)?;
    equal(&buffer[..13], b"to the driver")?;
    let taken = open(&mut ring, b"scheme:echo\0", OpenFlags::READ | OpenFlags::CREATE);
    equal(taken, Err(Errno::EEXIST))?;
    equal(open(&mut ring, b"scheme:memory\0", OpenFlags::READ | OpenFlags::CREATE), Err(Errno::EEXIST))?;
    close(&mut ring, object)?;
    kill(&mut ring, process)?;
    equal(wait(&mut ring, process)?, (0, SIGNAL_KILL))?;
    equal(open(&mut ring, b"echo:x\0", OpenFlags::READ), Err(Errno::ENOENT))
}

pub fn slow_drivers_lose_nothing() -> Tested {
    let mut ring = Ring::new(64, 128)?;
    let (process, object) = start_driver(&mut ring, b"spawn:/bin/selftest serve-slowly\0")?;
    write(&mut ring, object, b"slow")?;
    let mut buffers = [[0u8; 4]; 60];
    for (number, buffer) in buffers.iter_mut().enumerate() {
        let arguments = [object, address_of(buffer), 4, CURRENT_POSITION, 0];
        // SAFETY: the buffers outlive the entries, which are waited for.
        unsafe { ring.push(&Entry::new(Verb::Read).arguments(arguments).data(number as u64)) }?;
    }
    // One is cancelled while the driver has it, one while it waits.
    for victim in [3, 50] {
        let cancel = Entry::new(Verb::Cancel).arguments([0, victim, 0, 0, 0]).data(100);
        // SAFETY: a CANCEL touches no memory.
        unsafe { ring.push(&cancel) }?;
    }
    ring.enter(62)?;
    let (mut whole, mut cancelled) = (0, 0);
    while let Some(completion) = ring.pop() {
        match (completion.data, completion.errno(), completion.result) {
            (100, Errno::OK, 1) => {}
            (3 | 50, Errno::ECANCELED, _) => cancelled += 1,
            (_, Errno::OK, 4) => whole += 1,
            (_, error, _) => return Err(error.into()),
        }
    }
    equal((whole, cancelled), (58, 2))?;
    equal(buffers.iter().filter(|buffer| *buffer == b"slow").count(), 58)?;
    kill(&mut ring, process)?;
    equal(wait(&mut ring, process)?.1, SIGNAL_KILL)
}

pub fn dead_drivers_end_packets() -> Tested {
    let mut ring = Ring::new(64, 128)?;
    let round = |ring: &mut Ring| -> Tested {
        let (process, object) = start_driver(ring, b"spawn:/bin/selftest serve-and-die\0")?;
        let mut buffer = [0u8; 8];
        for _ in 0..30 {
            let arguments = [object, address_of(&mut buffer), 8, CURRENT_POSITION, 0];
            // SAFETY: the buffer outlives the entries, which are waited for.
            unsafe { ring.push(&Entry::new(Verb::Read).arguments(arguments)) }?;
        }
        ring.enter(30)?;
        for _ in 0..30 {
            equal(ring.pop().map(|completion| completion.errno()), Some(Errno::EIO))?;
        }
        equal(write(ring, object, b"x"), Err(Errno::EIO))?;
        close(ring, object)?;
        equal(wait(ring, process)?, (0, 0))?;
        Ok(close(ring, process)?)
    };
    round(&mut ring)?;
    for _ in 0..64 {
        statistics(&mut ring)?;
    }
    round(&mut ring)?;
    let before = statistics(&mut ring)?;
    for _ in 0..3 {
        round(&mut ring)?;
    }
    let after = statistics(&mut ring)?;
    equal(
        (after.frames_free, after.processes, after.packets),
        (before.frames_free, before.processes, before.packets),
    )
}

pub fn lies_of_drivers_are_refused() -> Tested {
    let mut ring = Ring::new(8, 16)?;
    let (process, object) = start_driver(&mut ring, b"spawn:/bin/selftest serve-and-lie\0")?;
    let mut buffer = [0u8; 8];
    for _ in 0..10 {
        equal(write(&mut ring, object, b"x")?, 1)?;
        equal(read(&mut ring, object, address_of(&mut buffer), 8), Err(Errno::EIO))?;
    }
    kill(&mut ring, process)?;
    equal(wait(&mut ring, process)?.1, SIGNAL_KILL)?;
    equal(buffer, [0; 8])
}

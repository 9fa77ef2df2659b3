//! Every kind of ring: what the flags of its set-up change.
#![cfg(target_os = "linux")]

mod common;

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use common::{PATIENCE, Scratch, directories, one, push, result, ring, run};
use ouzel_uring::abi::{
    AT_FDCWD, CommandFlags, Cqe, Features, NopFlags, PollFlags, SetupFlags, TimeoutFlags, Timespec,
};
use ouzel_uring::{
    Builder, EnterError, Ring, RingMemory, SetupError, Slot, Sqe, Sqe128, Timeout, Wait, WideError,
};

/// The ring, or `None` after saying which kernel is wanted.
fn built(builder: Builder, since: &str) -> Option<Ring> {
    had(builder.build(), since)
}

/// What was built, or `None` after saying which kernel is wanted, or that io_uring is refused.
fn had<T>(built: Result<T, SetupError>, since: &str) -> Option<T> {
    let old = matches!(built, Err(SetupError::Invalid { .. } | SetupError::NotBuilt { .. }));
    let refused = common::refused();
    match built {
        Ok(ring) => Some(ring),
        Err(error) if old || refused => {
            eprintln!("SKIPPED: wants Linux {since}: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Several laps of no-ops around both queues.
fn laps(ring: &mut Ring) {
    for round in 0..5 {
        let count = u64::from(ring.sq_entries());
        for number in 0..count {
            push(ring, Sqe::nop().user_data(round * 100 + number));
        }
        let done = run(ring, count as usize);
        let numbers: Vec<u64> = done.iter().map(|one| one.user_data).collect();
        assert_eq!(numbers, (0..count).map(|number| round * 100 + number).collect::<Vec<_>>());
    }
}

#[test]
fn defaults() {
    let Some(mut ring) = built(Builder::default(), "5.1") else { return };
    assert_eq!((ring.sq_entries(), ring.cq_entries()), (32, 64));
    laps(&mut ring);
    let mut rounded = Builder::new(20).completion_entries(50).build().expect("a ring");
    assert_eq!((rounded.sq_entries(), rounded.cq_entries()), (32, 64));
    laps(&mut rounded);
}

#[test]
fn both_layouts_of_the_mappings() {
    if ring(4).is_none() {
        return;
    }
    for flags in [SetupFlags::empty(), SetupFlags::NO_SQARRAY] {
        for two in [false, true] {
            let Some(mut ring) = built(Builder::new(8).flags(flags).two_mappings(two), "6.6") else { return };
            laps(&mut ring);
        }
    }
}

#[test]
fn entries_of_128_bytes() {
    if ring(4).is_none() {
        return;
    }
    let Some(mut ring) = built(Builder::new(4).flags(SetupFlags::SQE128), "5.19") else { return };
    laps(&mut ring);
    for number in 0..4 {
        let mut entry = Sqe128::from(Sqe::nop().user_data(number));
        entry.extra = [0xff; 64];
        // SAFETY: a no-op names no memory.
        unsafe { ring.push_wide(&entry) }.expect("room");
    }
    // SAFETY: as above.
    assert_eq!(unsafe { ring.push_wide(&Sqe128::from(Sqe::nop())) }, Err(WideError::Full));
    assert_eq!(run(&mut ring, 4).len(), 4);
    let (mut left, right) = std::os::unix::net::UnixStream::pair().expect("sockets");
    left.write_all(b"12345").expect("a write");
    // SIOCINQ, which a Unix socket answers too.
    // SAFETY: the command names no memory.
    unsafe { ring.push_wide(&Sqe128::uring_cmd(right.as_fd(), 0, &[0; 80], CommandFlags::empty())) }
        .expect("room");
    let told = run(&mut ring, 1)[0].res;
    assert!(told == 5 || told == -95, "{told}");
}

#[test]
fn completions_of_32_bytes() {
    if ring(4).is_none() {
        return;
    }
    let Some(mut ring) = built(Builder::new(4).flags(SetupFlags::CQE32), "5.19") else { return };
    laps(&mut ring);
    push(&mut ring, Sqe::nop().user_data(5));
    assert_eq!(ring.submit_and_wait(1, None), Ok(1));
    assert_eq!(ring.peek().map(|one| one.user_data), Some(5));
    let wide = ring.next_wide_completion().expect("a completion");
    assert_eq!((wide.cqe.user_data, wide.cqe.res, wide.extra), (5, 0, [0, 0]));
    assert_eq!(ring.next_wide_completion(), None);
}

#[test]
fn completions_of_both_sizes() {
    if ring(4).is_none() {
        return;
    }
    let flags = SetupFlags::CQE_MIXED;
    let Some(mut ring) = built(Builder::new(4).completion_entries(8).flags(flags), "6.18") else { return };
    // Odd numbers of small ones before large ones make the large ones meet the queue's end.
    for round in 0..50_u64 {
        let wide = Sqe::nop().nop_flags(NopFlags::CQE32, 0);
        push(&mut ring, Sqe::nop().user_data(round));
        push(&mut ring, wide.user_data(1000 + round));
        if round % 3 == 0 {
            push(&mut ring, Sqe::nop().user_data(2000 + round));
        }
        let count = if round % 3 == 0 { 3 } else { 2 };
        let done = run(&mut ring, count);
        assert_eq!((result(&done, round), result(&done, 1000 + round)), (0, 0));
    }
    // And with their second half.
    for _ in 0..9 {
        push(&mut ring, Sqe::nop().user_data(1));
        push(&mut ring, Sqe { off: 77, addr: 88, ..Sqe::nop().nop_flags(NopFlags::CQE32, 0) }.user_data(2));
        assert_eq!(ring.submit_and_wait(3, Some(Timeout::After(Duration::from_millis(20)))), Ok(2));
        let small = ring.next_wide_completion().expect("the small one");
        assert_eq!((small.cqe.user_data, small.extra), (1, [0, 0]));
        let large = ring.next_wide_completion().expect("the large one");
        assert_eq!(large.cqe.user_data, 2);
        assert_eq!(ring.next_wide_completion(), None);
    }
}

#[test]
fn the_kernels_thread_stays_on_its_processor() {
    if ring(4).is_none() {
        return;
    }
    let Some(mut ring) = built(Builder::new(4).poller(1000).poller_cpu(0), "5.11") else { return };
    push(&mut ring, Sqe::nop().user_data(1));
    assert_eq!(result(&run(&mut ring, 1), 1), 0);
    let tasks = std::fs::read_dir("/proc/self/task").expect("tasks");
    let cpus: Vec<String> = tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            let comm = std::fs::read_to_string(path.join("comm")).ok()?;
            let status = std::fs::read_to_string(path.join("status")).ok()?;
            let cpus = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
            comm.starts_with("iou-sqp-").then(|| cpus.trim().to_owned())
        })
        .collect();
    assert!(cpus.contains(&"0".to_owned()), "{cpus:?}");
    for _ in 0..4 {
        while ring.sq_room() > 0 {
            push(&mut ring, Sqe::nop());
        }
        ring.flush();
        let begun = Instant::now();
        loop {
            assert_eq!(ring.wait_for_room(), Ok(()));
            if ring.sq_room() > 0 {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "no room");
        }
        let done = ring.sq_entries() as usize;
        run(&mut ring, done);
    }
    let wrong = Builder::new(4).flags(SetupFlags::SQ_AFF).build().map(|_| ());
    assert!(matches!(wrong, Err(SetupError::Invalid { .. })), "{wrong:?}");
}

/// Reads a block past the page cache into aligned memory; `None` after saying why that cannot be.
fn polled_read(flags: SetupFlags) -> Option<()> {
    let mut ring = match Builder::new(4).flags(flags).build() {
        Ok(ring) => ring,
        Err(error) => {
            eprintln!("SKIPPED: {flags:?}: {error}");
            return None;
        }
    };
    // No-ops need no device.
    laps(&mut ring);
    let scratch = Scratch::new(&directories()[0]);
    std::fs::write(scratch.0.join("file"), vec![b'p'; 8192]).expect("a file");
    std::fs::File::open(scratch.0.join("file")).and_then(|file| file.sync_all()).expect("on the disk");
    let direct = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECT;
    let file = match rustix::fs::open(scratch.0.join("file"), direct, rustix::fs::Mode::empty()) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("SKIPPED: no O_DIRECT: {error}");
            return None;
        }
    };
    let mut memory = vec![0_u8; 8192];
    let start = memory.as_ptr().addr().next_multiple_of(4096) - memory.as_ptr().addr();
    let place = memory[start..].as_mut_ptr();
    push(&mut ring, Sqe::read(file.as_fd(), place, 4096, 0).user_data(3));
    assert_eq!(ring.submit(), Ok(1));
    let deadline = Instant::now() + PATIENCE;
    while ring.cq_ready() == 0 {
        assert!(Instant::now() < deadline, "never completed");
        // Nothing but entering finds a completion here.
        match ring.enter(0, 1, ouzel_uring::abi::EnterFlags::GETEVENTS, None) {
            Ok(_) | Err(EnterError::Interrupted) => {}
            Err(error) => panic!("{error}"),
        }
    }
    match ring.next_completion() {
        Some(Cqe { res: -95, .. }) => eprintln!("SKIPPED: {flags:?}: the disk cannot be polled"),
        Some(completion) => {
            assert_eq!((completion.user_data, completion.res), (3, 4096));
            assert!(memory[start..start + 4096].iter().all(|byte| *byte == b'p'));
        }
        None => panic!("no completion"),
    }
    Some(())
}

#[test]
fn completions_are_polled_for() {
    if ring(4).is_none() {
        return;
    }
    if polled_read(SetupFlags::IOPOLL).is_some() {
        polled_read(SetupFlags::IOPOLL | SetupFlags::HYBRID_IOPOLL);
    }
    if common::refused() {
        return eprintln!("SKIPPED: no ring");
    }
    // Alone, the second means nothing.
    let alone = Builder::new(4).flags(SetupFlags::HYBRID_IOPOLL).build().map(|_| ());
    assert!(matches!(alone, Err(SetupError::Invalid { .. })), "{alone:?}");
}

#[test]
fn workers_are_shared() {
    if ring(4).is_none() {
        return;
    }
    let poller = Builder::new(4).poller(1000);
    let Some(first) = built(poller, "5.11") else { return };
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("tasks");
        tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|comm| comm.starts_with("iou-sqp-"))
            .count()
    };
    let descriptor = first.descriptor().expect("a descriptor");
    let mut second = poller.attach(descriptor).build().expect("a ring");
    laps(&mut second);
    // Tests run side by side, so only the kind of error and the working ring are certain.
    assert!(threads() >= 1);
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let wrong = Builder::new(4).attach(reader.as_fd()).build().map(|_| ());
    assert!(matches!(wrong, Err(SetupError::Invalid { .. } | SetupError::SharedRing { .. })), "{wrong:?}");
}

#[test]
fn a_ring_in_memory_of_its_own() {
    if ring(4).is_none() {
        return;
    }
    for flags in [SetupFlags::empty(), SetupFlags::NO_SQARRAY, SetupFlags::SQE128 | SetupFlags::CQE32] {
        let builder = Builder::new(64).completion_entries(512).flags(SetupFlags::NO_MMAP | flags);
        let Some(mut ring) = built(builder, "6.5") else { return };
        laps(&mut ring);
        assert_eq!((ring.sq_entries(), ring.cq_entries()), (64, 512));
    }
}

/// Whole pages of this test's.
struct Pages(NonNull<u8>, usize);

impl Pages {
    fn new(length: usize) -> Self {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
        // SAFETY: the kernel chooses the place.
        let start = unsafe {
            mmap_anonymous(std::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)
        };
        Self(NonNull::new(start.expect("memory").cast()).expect("not null"), length)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the rings over it are gone.
        let _ = unsafe { rustix::mm::munmap(self.0.as_ptr().cast(), self.1) };
    }
}

#[test]
fn a_ring_in_memory_of_the_callers() {
    if ring(4).is_none() {
        return;
    }
    let builder = Builder::new(8);
    let size = builder.memory_size().expect("a size");
    let (queues, entries) = (Pages::new(size.queues), Pages::new(size.entries));
    let memory = RingMemory {
        queues: queues.0,
        queues_length: queues.1,
        entries: entries.0,
        entries_length: entries.1,
    };
    // SAFETY: the memory outlives the rings and is nobody else's.
    let made = unsafe { builder.build_in(memory) };
    let Some(mut ring) = had(made, "6.5") else { return };
    laps(&mut ring);
    drop(ring);
    let short = RingMemory { entries_length: entries.1 - 1, ..memory };
    // SAFETY: as above.
    let refused = unsafe { builder.build_in(short) }.map(|_| ());
    assert!(matches!(refused, Err(SetupError::Memory { .. })), "{refused:?}");
    // SAFETY: the pointer stays inside the memory.
    let uneven = RingMemory { queues: unsafe { queues.0.add(8) }, ..memory };
    // SAFETY: as above.
    let refused = unsafe { builder.build_in(uneven) }.map(|_| ());
    assert!(matches!(refused, Err(SetupError::Memory { .. })), "{refused:?}");
}

#[test]
fn a_ring_without_a_descriptor() {
    if ring(4).is_none() {
        return;
    }
    std::thread::spawn(|| {
        // More than a thread has places, so that each must give its own back.
        for _ in 0..40 {
            // SAFETY: the ring stays on this thread.
            let built = unsafe { Builder::new(8).build_registered(None) };
            let Some(mut ring) = had(built, "6.5") else { return };
            assert!(ring.descriptor().is_none());
            laps(&mut ring);
            assert_eq!(ring.register_files_sparse(4), Ok(()));
            let open = Sqe::openat_direct(AT_FDCWD, c"/dev/null".as_ptr(), 0, 0, Slot(0));
            assert_eq!(one(&mut ring, open), 0);
        }
    })
    .join()
    .expect("the thread");
}

#[test]
fn a_wait_for_a_batch() {
    if ring(4).is_none() {
        return;
    }
    let Some(mut ring) = common::ring(8) else { return };
    let wait = Wait {
        want: 4,
        timeout: Some(Timeout::After(PATIENCE)),
        batch: Some(Duration::from_millis(40)),
        blocked_signals: Some(1 << 9),
    };
    if !ring.features().contains(Features::MIN_TIMEOUT) {
        assert_eq!(ring.submit_and_wait_for(&wait), Err(EnterError::NoBatchWait));
        return eprintln!("SKIPPED: wants Linux 6.12");
    }
    // One completion is there: after the batch's time it is enough.
    push(&mut ring, Sqe::nop().user_data(1));
    let begin = Instant::now();
    assert_eq!(ring.submit_and_wait_for(&wait), Ok(1));
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(39) && took < PATIENCE, "{took:?}");
    assert_eq!(ring.completions().count(), 1);
    // None is there: the first that comes ends the wait.
    let later = Timespec::relative(Duration::from_millis(80));
    push(&mut ring, Sqe::timeout(&later, 0, TimeoutFlags::empty()).user_data(2));
    let begin = Instant::now();
    assert_eq!(ring.submit_and_wait_for(&wait), Ok(1));
    assert!((Duration::from_millis(79)..PATIENCE).contains(&begin.elapsed()));
    assert_eq!(result(&run(&mut ring, 1), 2), -62);
    // The whole batch is there: no waiting at all.
    for number in 0..4 {
        push(&mut ring, Sqe::nop().user_data(number));
    }
    let begin = Instant::now();
    assert_eq!(ring.submit_and_wait_for(&Wait { batch: Some(PATIENCE), ..wait }), Ok(4));
    assert!(begin.elapsed() < PATIENCE / 2);
    assert_eq!(ring.submit_and_wait_for(&Wait { want: 4, ..Wait::default() }), Ok(0));
    assert_eq!(ring.completions().count(), 4);
}

#[test]
fn the_queue_calls_of_other_libraries() {
    if ring(4).is_none() {
        return;
    }
    let Some(mut ring) = common::ring(4) else { return };
    for number in 0..4 {
        // SAFETY: a no-op names no memory.
        let place = unsafe { ring.get_sqe() }.expect("room");
        assert_eq!(*place, Sqe::default());
        *place = Sqe::nop().user_data(number);
    }
    // SAFETY: nothing is handed out.
    assert!(unsafe { ring.get_sqe() }.is_err());
    assert_eq!((ring.sq_ready(), ring.flush(), ring.submit()), (4, 4, Ok(4)));
    let mut some = [Cqe::default(); 3];
    assert_eq!(ring.copy_cqes(&mut some, 4), Ok(3));
    assert_eq!(some.map(|one| one.user_data), [0, 1, 2]);
    assert_eq!(ring.peek().map(|one| one.user_data), Some(3));
    assert_eq!((ring.cq_ready(), ring.cqe_seen(), ring.cqe_seen(), ring.cq_ready()), (1, true, false, 0));
    assert_eq!(ring.peek(), None);
    assert_eq!((ring.copy_cqes(&mut some, 0), ring.copy_cqes(&mut [], 1)), (Ok(0), Ok(0)));
    for _ in 0..4 {
        push(&mut ring, Sqe::nop());
    }
    assert_eq!(ring.submit_and_wait(4, None), Ok(4));
    assert_eq!((ring.cq_advance(3), ring.cq_advance(3), ring.cq_needs_flush()), (3, 1, false));
}

#[test]
fn copying_brings_back_what_did_not_fit() {
    let Some(mut ring) = built(Builder::new(4).completion_entries(4), "5.5") else { return };
    for number in 0..12 {
        push(&mut ring, Sqe::nop().user_data(number));
        assert_eq!(ring.submit(), Ok(1));
    }
    assert!(ring.cq_needs_flush());
    let mut numbers = Vec::new();
    let mut some = [Cqe::default(); 8];
    for _ in 0..12 {
        let copied = ring.copy_cqes(&mut some, 0).expect("no error");
        numbers.extend(some[..copied].iter().map(|one| one.user_data));
    }
    assert_eq!(numbers, (0..12).collect::<Vec<u64>>());
}

#[test]
fn waiting_need_not_count_as_io_wait() {
    if ring(4).is_none() {
        return;
    }
    let Some(mut ring) = common::ring(4) else { return };
    if !ring.count_as_io_wait(false) {
        return eprintln!("SKIPPED: wants Linux 6.15");
    }
    laps(&mut ring);
    // It stays so when the ring is entered another way.
    // SAFETY: this ring stays on this thread.
    assert_eq!(unsafe { ring.register_ring_fd() }, Ok(()));
    laps(&mut ring);
    assert_eq!(ring.unregister_ring_fd(), Ok(()));
    assert!(ring.count_as_io_wait(true));
    laps(&mut ring);
    assert!(!ring.sq_needs_wakeup());
}

#[test]
fn the_kernels_thread_falls_asleep_and_is_woken() {
    if ring(4).is_none() {
        return;
    }
    let Some(mut ring) = built(Builder::new(4).poller(5), "5.11") else { return };
    push(&mut ring, Sqe::nop().user_data(1));
    assert_eq!(result(&run(&mut ring, 1), 1), 0);
    let deadline = Instant::now() + PATIENCE;
    while !ring.sq_needs_wakeup() {
        assert!(Instant::now() < deadline, "it never sleeps");
        std::thread::sleep(Duration::from_millis(2));
    }
    push(&mut ring, Sqe::nop().user_data(2));
    assert_eq!(ring.submit(), Ok(1));
    let deadline = Instant::now() + PATIENCE;
    while ring.peek().is_none() {
        assert!(Instant::now() < deadline, "it was not woken");
        std::thread::yield_now();
    }
    assert_eq!(ring.next_completion().map(|one| one.user_data), Some(2));
}

#[test]
fn closing_cancels_and_reaps() {
    if ring(4).is_none() {
        return;
    }
    let Some(mut ring) = common::ring(8) else { return };
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let mut buffer = [7_u8; 4];
    push(&mut ring, Sqe::poll_add(reader.as_fd(), 1, PollFlags::ADD_MULTI));
    push(&mut ring, Sqe::read(reader.as_fd(), buffer.as_mut_ptr(), 4, 0));
    push(&mut ring, Sqe::read(reader.as_fd(), buffer.as_mut_ptr(), 4, 0).asynchronous());
    assert_eq!(ring.submit(), Ok(3));
    let begin = Instant::now();
    let closed = ring.close(PATIENCE);
    assert_eq!((closed.discarded, closed.unfinished), (3, 0));
    assert!(begin.elapsed() < PATIENCE);
    // The buffer is free: what comes now goes to nobody.
    writer.write_all(b"late").expect("a write");
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(buffer, [7; 4]);
}

#[test]
fn dropping_waits_for_what_cannot_be_cancelled_but_not_for_ever() {
    // Far longer than a busy machine takes to drop a ring, so that one that waits shows.
    let bound = Duration::from_secs(60);
    let Some(mut ring) = built(Builder::new(8).close_bound(bound), "5.1") else { return };
    // A message without a target's room or an entry without a completion makes counting useless: no waiting.
    push(&mut ring, Sqe::nop().skip_success());
    assert_eq!(ring.submit(), Ok(1));
    let begin = Instant::now();
    drop(ring);
    assert!(begin.elapsed() < bound / 2);
    // A ring that never ran anything is dropped without a word to the kernel.
    let mut idle = Builder::new(8).close_bound(bound).build().expect("a ring");
    push(&mut idle, Sqe::nop());
    let begin = Instant::now();
    drop(idle);
    assert!(begin.elapsed() < bound / 2);
}

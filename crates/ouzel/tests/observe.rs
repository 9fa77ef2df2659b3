//! Observed rings: what they count is what happened, exactly, on every backend; and whoever reads their pages survives any.

// Helpers of tests, not only tests, may unwrap: a panic is their way to fail.
#![allow(clippy::unwrap_used)]

mod observe_support;

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::time::Duration;

use observe_support::*;
use ouzel::abi::{EntryFlags, Errno, Verb};
use ouzel::engine::Place;
use ouzel::observe::{Liveness, Observe, PageError, Process, Statistics, read_page, rings_in};
use ouzel::{BackendKind, Buffer, Chain, Error, Offset, OpenOptions, Program, Ring};

/// What must hold for every ring at rest: nothing was counted twice or forgotten.
#[track_caller]
fn check(statistics: &Statistics, admitted: u64, chains: u64) {
    let mut ended = 0;
    for verb in &statistics.verbs {
        let at_places: u64 = verb.places.iter().map(|(_, durations)| durations.count()).sum();
        assert_eq!(at_places, verb.completed, "{:?}", verb.verb);
        assert_eq!(verb.ran().count(), verb.completed, "{:?}", verb.verb);
        assert!(verb.failed + verb.cancelled <= verb.completed, "{:?}", verb.verb);
        assert!(verb.queued.count() <= verb.completed, "{:?}", verb.verb);
        for (_, durations) in &verb.places {
            let in_buckets: u64 = durations.buckets().map(|(_, count)| count).sum();
            assert_eq!(in_buckets, durations.count());
            assert!(durations.mean() <= durations.longest());
        }
        ended += verb.completed + verb.skipped;
    }
    assert_eq!(ended, admitted);
    assert_eq!(statistics.chains.count(), chains);
    assert_eq!(statistics.untimed, 0);
    assert_eq!((statistics.gauges.packets, statistics.gauges.chains, statistics.gauges.started), (0, 0, 0));
}

#[test]
fn every_operation_is_counted_once_and_where_it_ran() {
    for backend in BACKENDS {
        let Some(mut ring) = observed(backend, Observe::new()) else { continue };
        let folder = Folder::new("counts");
        let path = if backend == BackendKind::Sim { "file".into() } else { folder.path().join("file") };
        const ROUNDS: u64 = 20;
        for _ in 0..ROUNDS {
            let mut chain = Chain::new();
            let file = chain.open(&path, OpenOptions::read_write().create());
            chain.write(file, vec![7; 1000], Offset::START);
            chain.read(file, Buffer::with_capacity(4000), Offset::START);
            chain.finally().close(file);
            ring.run(chain).unwrap().check().unwrap();
        }
        let mut chain = Chain::new();
        let file = chain.open("/nowhere/at all", OpenOptions::read());
        chain.read(file, Buffer::with_capacity(10), Offset::START);
        chain.finally().close(file);
        assert!(ring.run(chain).unwrap().check().is_err());

        let statistics = ring.observed().unwrap().statistics();
        check(&statistics, ROUNDS * 4 + 3, ROUNDS + 1);
        assert_eq!(statistics.backend, Some(backend));
        assert_eq!(statistics.process.number, u64::from(std::process::id()));
        assert_eq!(statistics.completed(), ROUNDS * 4 + 1);
        let of = |verb| statistics.of(verb).unwrap();
        assert_eq!((of(Verb::Open).completed, of(Verb::Open).failed), (ROUNDS + 1, 1));
        assert_eq!((of(Verb::Write).completed, of(Verb::Write).bytes), (ROUNDS, ROUNDS * 1000));
        assert_eq!((of(Verb::Read).completed, of(Verb::Read).bytes), (ROUNDS, ROUNDS * 1000));
        assert_eq!((of(Verb::Read).skipped, of(Verb::Close).skipped), (1, 1));
        assert_eq!((of(Verb::Close).completed, of(Verb::Close).failed), (ROUNDS, 0));
        assert!(statistics.of(Verb::Send).is_none());
        let places: Vec<Place> =
            statistics.verbs.iter().flat_map(|verb| &verb.places).map(|(place, _)| *place).collect();
        match backend {
            BackendKind::Sim => assert!(places.iter().all(|place| *place == Place::Simulated), "{places:?}"),
            BackendKind::Threads => {
                assert!(
                    places.iter().all(|place| matches!(place, Place::Thread | Place::Call)),
                    "{places:?}"
                );
            }
            _ => assert!(!places.contains(&Place::Simulated) && !places.contains(&Place::Thread)),
        }
        assert_eq!(statistics.counters, ring.counters());
        assert_eq!(statistics.peaks.descriptors.max(1), 1);
        assert!(statistics.age > 0 && statistics.chains.longest() <= statistics.age);
    }
}

#[test]
fn what_runs_on_the_kernels_ring_is_told_apart_from_plain_calls() {
    let builder = Ring::builder().backend(BackendKind::Uring).observe(Observe::new());
    for (policy, expected) in [
        (ouzel::Policy::Calls, [Place::Call].as_slice()),
        (ouzel::Policy::Links, [Place::Kernel, Place::Linked].as_slice()),
    ] {
        let mut ring = match builder.clone().policy(policy).build() {
            Ok(ring) => ring,
            Err(error) => return println!("SKIPPED: {error}"),
        };
        let folder = Folder::new("places");
        fs::write(folder.path().join("file"), b"some").unwrap();
        for _ in 0..10 {
            let mut chain = Chain::new();
            let file = chain.open(folder.path().join("file"), OpenOptions::read());
            chain.read(file, Buffer::with_capacity(100), Offset::START);
            chain.finally().close(file);
            ring.run(chain).unwrap().check().unwrap();
        }
        let statistics = ring.observed().unwrap().statistics();
        check(&statistics, 30, 10);
        let read = statistics.of(Verb::Read).unwrap();
        let there: u64 = expected.iter().filter_map(|place| read.at(*place)).map(|at| at.count()).sum();
        assert_eq!(there, 10, "{policy:?}: {:?}", read.places);
        let at: u64 = expected.iter().map(|place| statistics.at(*place).count()).sum();
        assert!(at >= 20, "{policy:?}");
    }
}

#[test]
fn durations_are_those_of_the_rings_clock() {
    let mut ring = observed(BackendKind::Sim, Observe::new()).unwrap();
    let mut chain = Chain::new();
    chain.sleep(Duration::from_millis(3));
    chain.sleep(Duration::from_millis(5));
    ring.run(chain).unwrap().check().unwrap();
    let statistics = ring.observed().unwrap().statistics();
    check(&statistics, 2, 1);
    let slept = statistics.of(Verb::Sleep).unwrap();
    let engine = slept.at(Place::Engine).unwrap();
    assert_eq!((engine.count(), engine.sum(), engine.longest()), (2, 8_000_000, 5_000_000));
    assert_eq!(slept.queued.longest(), 0, "the second's turn came when the first was over");
    assert_eq!(statistics.chains.longest(), 8_000_000);
    assert!(engine.quantile(0.5).abs_diff(3_000_000) * 32 <= 3_000_000);
}

#[test]
fn peaks_stay_and_gauges_fall() {
    for backend in BACKENDS {
        let Some(mut ring) = observed(backend, Observe::new()) else { continue };
        let tickets: Vec<_> = (0..6)
            .map(|_| {
                let mut chain = Chain::new();
                chain.sleep(Duration::from_secs(3600));
                chain.nop();
                ring.submit(chain).unwrap()
            })
            .collect();
        ring.flush().unwrap();
        let during = ring.observed().unwrap().statistics();
        assert_eq!((during.gauges.chains, during.gauges.packets), (6, 12), "{backend:?}");
        for ticket in tickets {
            assert!(ring.cancel(ticket).unwrap());
        }
        ring.wait_all().unwrap();
        let after = ring.observed().unwrap().statistics();
        check(&after, 12, 6);
        assert_eq!((after.peaks.chains, after.peaks.packets), (6, 12));
        let slept = after.of(Verb::Sleep).unwrap();
        assert_eq!((slept.completed, slept.cancelled, slept.failed), (6, 6, 0));
        assert_eq!(after.of(Verb::Nop).unwrap().skipped, 6);
        assert!(slept.ran().longest() < 3_600_000_000_000);
    }
}

#[test]
fn loops_and_programs_are_counted_by_what_ran() {
    for backend in BACKENDS {
        let Some(mut ring) = observed(backend, Observe::new()) else { continue };
        let mut chain = Chain::new();
        chain.repeat(5, |turn| {
            turn.nop();
        });
        ring.run(chain).unwrap().check().unwrap();
        let statistics = ring.observed().unwrap().statistics();
        assert_eq!(statistics.of(Verb::Nop).unwrap().completed, 5, "{backend:?}");

        let program = Program::build(|program| {
            let number = program.number();
            let sum = program.add(number, 1u64);
            program.get(sum)
        });
        let program = ring.store(program.unwrap()).unwrap();
        for _ in 0..3 {
            assert_eq!(ring.run_program(program.call().number(4u64)).unwrap().result().unwrap(), 5);
        }
        let after = ring.observed().unwrap().statistics();
        let of = |verb| after.of(verb).unwrap().completed;
        assert_eq!((of(Verb::Call), of(Verb::Add), of(Verb::Get)), (3, 3, 3), "{backend:?}");
        // The programs of calls are no chains of the submitter's.
        check(&after, statistics.completed() + 9, 1 + 3);
        assert_eq!((after.peaks.calls, after.peaks.steps, after.gauges.programs), (1, 2, 1));
    }
}

#[test]
fn entries_refused_before_they_are_admitted_are_counted_apart() {
    let mut ring =
        Ring::builder().entries(8).backend(BackendKind::Sim).observe(Observe::new()).build_raw().unwrap();
    let (link, finally) = (EntryFlags::LINK, EntryFlags::FINALLY);
    // A FINALLY entry before an ordinary one.
    for flags in [link | finally, EntryFlags::empty()] {
        let entry = ouzel::abi::Entry::new(Verb::Nop).flags(flags);
        // SAFETY: a NOP names no memory.
        unsafe { ring.push(&entry) }.unwrap();
    }
    let entered = ring.enter(u32::MAX, 2, None).unwrap();
    assert_eq!(entered.taken, 2);
    for _ in 0..2 {
        assert_eq!(ring.pop().unwrap().errno(), Errno::EINVAL);
    }
    let statistics = ring.observed().unwrap().statistics();
    assert_eq!(statistics.refused, 2);
    check(&statistics, 0, 0);
    // And what has no verb, to whom nothing else could be told.
    let entry = ouzel::abi::Entry { op: 4_000_000_000, ..ouzel::abi::Entry::new(Verb::Nop) };
    // SAFETY: it names no memory.
    unsafe { ring.push(&entry) }.unwrap();
    ring.enter(u32::MAX, 1, None).unwrap();
    assert_eq!(ring.pop().unwrap().errno(), Errno::EINVAL);
    let statistics = ring.observed().unwrap().statistics();
    assert_eq!(statistics.refused, 3);
    check(&statistics, 0, 1);
}

#[test]
fn rings_that_were_not_asked_to_count_nothing() {
    let ring = Ring::builder().backend(BackendKind::Sim).build().unwrap();
    assert!(ring.observed().is_none());
}

#[test]
fn numbers_outlive_their_ring_and_go_to_other_threads() {
    let mut ring = observed(BackendKind::Sim, Observe::new()).unwrap();
    let numbers = ring.observed().unwrap();
    let mut chain = Chain::new();
    chain.nop();
    ring.run(chain).unwrap();
    drop(ring);
    let statistics = std::thread::spawn(move || numbers.statistics()).join().unwrap();
    assert_eq!(statistics.completed(), 1);
    assert!(statistics.torn_down && statistics.leaked == 0);
}

#[test]
fn a_published_page_is_there_as_long_as_its_ring() {
    for backend in BACKENDS {
        let folder = Folder::new("published");
        let pages = folder.path().join("pages");
        assert!(rings_in(&pages).unwrap().is_empty(), "there is no such folder");
        let Some(mut ring) = observed(backend, Observe::new().publish_in(&pages)) else { continue };
        assert!(ring.observed().unwrap().is_published());
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&pages), 0o700);
        let mut chain = Chain::new();
        chain.nop();
        chain.nop();
        ring.run(chain).unwrap().check().unwrap();

        let found = rings_in(&pages).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(mode(&found[0].path), 0o600);
        assert_eq!(found[0].process, Process::this().unwrap());
        assert_eq!(found[0].process.liveness(), Liveness::Alive);
        let statistics = found[0].statistics.as_ref().unwrap();
        assert_eq!(*statistics, ring.observed().unwrap().statistics());
        assert_eq!(statistics.of(Verb::Nop).unwrap().completed, 2);
        drop(ring);
        assert_eq!(fs::read_dir(&pages).unwrap().count(), 0, "it is removed with the ring");
    }
}

#[test]
fn pages_of_dead_processes_are_passed_over() {
    let folder = Folder::new("stale");
    let ring = observed(BackendKind::Sim, Observe::new().publish_in(folder.path())).unwrap();
    let found = rings_in(folder.path()).unwrap();
    let Process { number, start, namespace } = found[0].process;
    // No process has this number; and one has, that started at another time.
    for name in [format!("4194305-1-{namespace}-1"), format!("{number}-{}-{namespace}-1", start + 1)] {
        fs::copy(&found[0].path, folder.path().join(format!("{name}.ring"))).unwrap();
    }
    assert_eq!(rings_in(folder.path()).unwrap().len(), 1);
    let elsewhere = Process { number, start, namespace: namespace + 1 };
    assert_eq!(elsewhere.liveness(), Liveness::Unknown);
    drop(ring);
    assert!(rings_in(folder.path()).unwrap().is_empty());
}

#[test]
fn no_page_makes_its_reader_panic() {
    let folder = Folder::new("hostile");
    let ring = observed(BackendKind::Sim, Observe::new().publish_in(folder.path())).unwrap();
    let good = rings_in(folder.path()).unwrap().remove(0);
    let bytes = fs::read(&good.path).unwrap();
    let Process { number, start, namespace } = good.process;
    let path = folder.path().join(format!("{number}-{start}-{namespace}-77.ring"));
    let mut state = 88172645463325252u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut readable = 0;
    for round in 0..60 {
        let mut hostile = bytes.clone();
        // The first three words say what it is; with them intact the rest is looked at.
        let from = if round % 3 == 0 { 0 } else { 24 };
        for byte in &mut hostile[from..] {
            if round % 2 == 0 || random() % 50 == 0 {
                *byte = random() as u8;
            }
        }
        if round % 5 == 0 {
            hostile.truncate(random() as usize % hostile.len());
        }
        fs::write(&path, &hostile).unwrap();
        if let Ok(statistics) = read_page(&path) {
            readable += 1;
            for verb in &statistics.verbs {
                let _ = (verb.ran().quantile(0.99), verb.queued.mean(), verb.ran().buckets().count());
            }
            let _ = (statistics.completed(), statistics.chains.quantile(0.5), format!("{statistics:?}"));
        }
    }
    assert!(readable > 10, "{readable}");

    let mut newer = bytes.clone();
    newer[8] = 99;
    fs::write(&path, &newer).unwrap();
    let error = read_page(&path).unwrap_err();
    assert!(matches!(error, PageError::Version(99)) && error.to_string().contains("99"));
    fs::write(&path, b"").unwrap();
    assert!(matches!(read_page(&path), Err(PageError::Foreign)));
    // It is found all the same, and said to be no page.
    assert_eq!(rings_in(folder.path()).unwrap().iter().filter(|found| found.statistics.is_err()).count(), 1);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(read_page(&path), Err(PageError::Foreign)));
    fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink(&good.path, &path).unwrap();
    assert!(matches!(read_page(&path), Err(PageError::Io(_))), "a symbolic link is not followed");
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert!(matches!(read_page(&path), Err(PageError::Foreign)), "and nobody waits for a pipe's writer");

    // Its owner may cut it while it is read.
    let file = fs::OpenOptions::new().write(true).open(&good.path).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    drop(ring);
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    let folder = Folder::new("open");
    let open = folder.path().join("open to all");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    for bad in [open, link, "/dev/null/no".into()] {
        let builder = Ring::builder().backend(BackendKind::Sim).observe(Observe::new().publish_in(&bad));
        match builder.build() {
            Err(error @ Error::Observe { .. }) => {
                let text = error.to_string();
                assert!(text.contains(bad.to_str().unwrap()), "{text}");
                assert!(std::error::Error::source(&error).is_some());
            }
            other => panic!("{bad:?}: {other:?}"),
        }
    }
}

#[test]
fn leaks_are_counted_told_and_stay_visible() {
    let folder = Folder::new("leaks");
    let before = ouzel::leaked_operations();
    let builder = Ring::builder().observe(Observe::new().publish_in(folder.path()));
    let mut ring = builder.teardown_bound(Duration::from_millis(20)).build_on(Box::new(Silent)).unwrap();
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || {
        let mut chain = Chain::new();
        let file = chain.open("file", OpenOptions::read());
        chain.read(file, Buffer::with_capacity(10), Offset::START);
        ring.submit(chain).unwrap();
        ring.flush().unwrap();
        drop(ring);
    });
    assert_eq!(ouzel::leaked_operations(), before + 1);
    assert_eq!(
        log.warnings(),
        ["operations had not ended when a ring was torn down: their memory is leaked"]
    );
    // What leaked stays to be seen as long as the process is there.
    let found = rings_in(folder.path()).unwrap();
    let statistics = found[0].statistics.as_ref().unwrap();
    assert!(statistics.torn_down);
    assert_eq!(statistics.leaked, 1);
    assert_eq!(statistics.gauges.started, 1);
}

#[test]
fn spans_nest_and_say_what_came_of_it() {
    for backend in BACKENDS {
        let Some(mut ring) = observed(backend, Observe::new().spans()) else { continue };
        let log = Log::default();
        tracing::subscriber::with_default(log.clone(), || {
            let request = tracing::info_span!("request");
            let first = request.in_scope(|| {
                let mut chain = Chain::new();
                chain.get(42u64);
                chain.open("/nowhere/at all", OpenOptions::read());
                chain.nop();
                ring.submit(chain).unwrap()
            });
            let mut other = Chain::new();
            other.nop();
            ring.submit(other).unwrap();
            // Both are admitted here, outside of the request.
            ring.wait(first).unwrap();
            ring.wait_all().unwrap();
        });
        let spans = log.spans();
        let named = |name: &str| spans.iter().filter(|span| span.name == name).cloned().collect::<Vec<_>>();
        let request = named("request").remove(0);
        let chains = named("chain");
        assert_eq!(chains.len(), 2, "{backend:?}");
        assert_eq!(chains[0].parent, Some(request.id), "the span of the submission is the parent");
        assert_eq!(chains[1].parent, None);
        assert_eq!(chains[0].field("operations"), "2");
        assert_eq!(chains[0].field("error"), "ENOENT");
        assert_eq!((chains[1].field("operations"), chains[1].field("error")), ("1", ""));
        let operations = named("operation");
        let verbs: Vec<&str> = operations.iter().map(|span| span.field("verb")).collect();
        assert_eq!(verbs, ["GET", "OPEN", "NOP", "NOP"]);
        let parents: Vec<_> = operations.iter().map(|span| span.parent).collect();
        let [failed, other] = [Some(chains[0].id), Some(chains[1].id)];
        assert_eq!(parents, [failed, failed, failed, other]);
        assert_eq!((operations[0].field("place"), operations[0].field("result")), ("engine", "42"));
        assert_eq!((operations[1].field("error"), operations[1].field("result")), ("ENOENT", ""));
        assert!(!operations[1].field("place").is_empty());
        assert_eq!((operations[2].field("skipped"), operations[2].field("place")), ("true", ""));
        assert!(spans.iter().all(|span| span.closed), "{spans:?}");
    }
}

#[test]
fn spans_of_files_close_on_every_way() {
    for backend in BACKENDS {
        let Some(mut ring) = observed(backend, Observe::new().spans()) else { continue };
        let folder = Folder::new("spans");
        let path = if backend == BackendKind::Sim { "file".into() } else { folder.path().join("file") };
        let log = Log::default();
        tracing::subscriber::with_default(log.clone(), || {
            for width in [1, 1, 1, 40] {
                for _ in 0..width {
                    let mut chain = Chain::new();
                    let file = chain.open(&path, OpenOptions::read_write().create());
                    chain.read(file, Buffer::with_capacity(100), Offset::START);
                    chain.finally().close(file);
                    ring.submit(chain).unwrap();
                }
                ring.wait_all().unwrap();
                while ring.next_ended().is_some() {}
            }
        });
        let spans = log.spans();
        assert!(spans.iter().all(|span| span.closed));
        let of = |name: &str| spans.iter().filter(|span| span.name == name).count();
        assert_eq!((of("chain"), of("operation")), (43, 129), "{backend:?}");
        for span in spans.iter().filter(|span| span.name == "operation") {
            assert!(span.parent.is_some() && !span.field("place").is_empty(), "{span:?}");
            assert!(!span.field("result").is_empty(), "{span:?}");
        }
        check(&ring.observed().unwrap().statistics(), 129, 43);
    }
}

#[test]
fn executors_publish_their_numbers_too() {
    let builder = Ring::builder().backend(BackendKind::Sim).observe(Observe::new());
    let mut executor = ouzel::task::Executor::builder().ring(builder).build().unwrap();
    let handle = executor.handle();
    let own = handle.clone();
    executor
        .block_on(async move {
            for number in 0..10u64 {
                let mut chain = own.chain();
                let number = chain.get(number);
                own.run(chain).await.unwrap().get(number).unwrap();
            }
        })
        .unwrap();
    let statistics = handle.observed().unwrap().statistics();
    let metrics = statistics.executor.unwrap();
    assert_eq!(metrics.submitted, 10);
    assert!(metrics.turns > 0 && metrics.turns <= handle.metrics().turns);
    assert_eq!(statistics.of(Verb::Get).unwrap().completed, 10);
    // Its bell is listened to for as long as it lives.
    assert_eq!(statistics.gauges.chains, 1);
}

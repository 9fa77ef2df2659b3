//! Random chains of the typed builder: the engine takes every one that the builder accepts, and a value that a step
//! loads is the one that the step it named has made, or the load is refused. A register is never mistaken for another.

use ouzel::abi::Errno;
use ouzel::{BackendKind, Chain, Fd, Offset, OpenOptions, Reg, Ring};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Draft {
    kind: u8,
    /// Which of the earlier results it takes.
    source: usize,
    hardlink: bool,
    finally: bool,
    silent: bool,
}

fn draft() -> impl Strategy<Value = Draft> {
    let often = |weight| prop::bool::weighted(weight);
    (0u8..8, any::<usize>(), often(0.1), often(0.2), often(0.1)).prop_map(
        |(kind, source, hardlink, finally, silent)| Draft { kind, source, hardlink, finally, silent },
    )
}

/// What a step must result in.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// Whatever this is.
    Anything,
    /// This, if it succeeds.
    Value(u64),
    /// What that step resulted in, if both succeed.
    SameAs(usize),
    /// The second end of the pipe that step made.
    SecondOf(usize),
}

fn build(drafts: &[Draft]) -> (Chain, Vec<Expected>) {
    let mut chain = Chain::new();
    let mut numbers: Vec<Reg<u64>> = Vec::new();
    let mut files: Vec<(Reg<Fd>, bool)> = Vec::new();
    let mut expected = Vec::new();
    for (place, draft) in drafts.iter().enumerate() {
        if draft.finally {
            chain.finally();
        }
        match draft.kind {
            0 | 1 => {
                let value = 1_000 + place as u64;
                numbers.push(chain.get(value));
                expected.push(Expected::Value(value));
            }
            2 | 3 if !numbers.is_empty() => {
                let source = numbers[draft.source % numbers.len()];
                numbers.push(chain.get(source));
                expected.push(Expected::SameAs(source.step()));
            }
            4 if !files.is_empty() => {
                let (source, second) = files[draft.source % files.len()];
                let copy = chain.get_descriptor(source);
                let from = copy.step();
                expected.push(if second {
                    Expected::SecondOf(source.step())
                } else {
                    Expected::SameAs(source.step())
                });
                assert_eq!(from + 1, expected.len());
            }
            5 => {
                let (read, write) = chain.pipe();
                files.extend([(read, false), (write, true)]);
                expected.push(Expected::Anything);
            }
            6 => {
                files.push((chain.open("there", OpenOptions::read_write().create()), false));
                expected.push(Expected::Anything);
            }
            _ => {
                // Fails, after having been promised a register that others use.
                let file = chain.open("missing", OpenOptions::read());
                files.push((file, false));
                expected.push(Expected::Anything);
            }
        }
        if draft.hardlink {
            chain.hardlink();
        }
        if draft.silent {
            chain.silent();
        }
    }
    (chain, expected)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_global_rejects: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_loaded_value_is_the_one_that_was_named(drafts in prop::collection::vec(draft(), 1..24)) {
        let (chain, expected) = build(&drafts);
        prop_assume!(chain.check().is_ok());
        let mut ring = Ring::builder().backend(BackendKind::Sim).seed(1).build().unwrap();
        let done = ring.run(chain).unwrap();
        let completion = |step: usize| done.completion_of(step);
        // A silent success has no completion; then there is nothing to compare with.
        let value = |step: usize| completion(step).filter(|one| one.error == 0).map(|one| one.result);
        let failed = |step: usize| completion(step).is_some_and(|one| one.error != 0);
        let mut second_ends: Vec<(usize, u64)> = Vec::new();
        for (step, expected) in expected.iter().enumerate() {
            prop_assert!(completion(step).is_some() || drafts[step].silent, "step {step} never completed");
            let Some(loaded) = value(step) else {
                if let Some(completion) = completion(step) {
                    // A well-formed chain: only the load itself can have been refused.
                    let refused = [Errno::EINVAL, Errno::ECANCELED, Errno::ENOENT];
                    prop_assert!(refused.contains(&completion.errno()), "step {step}: {completion:?}");
                }
                continue;
            };
            match *expected {
                Expected::Anything => {}
                Expected::Value(value) => prop_assert_eq!(loaded, value),
                Expected::SameAs(source) => {
                    prop_assert!(!failed(source), "step {} loaded what step {} never made", step, source);
                    if let Some(made) = value(source) {
                        prop_assert_eq!(loaded, made);
                    }
                }
                Expected::SecondOf(source) => {
                    prop_assert!(!failed(source));
                    prop_assert_ne!(Some(loaded), value(source), "the two ends are two");
                    prop_assert!(loaded >> 32 != 0, "a descriptor");
                    for (other, end) in &second_ends {
                        prop_assert_eq!(*other == source, *end == loaded);
                    }
                    second_ends.push((source, loaded));
                }
            }
        }
        prop_assert_eq!(ring.gauges().packets, 0);
    }
}

#[test]
fn seven_results_at_once_are_the_most() {
    let mut chain = Chain::new();
    let results: Vec<_> = (0..7u64).map(|value| chain.get(value)).collect();
    for result in &results {
        chain.get(*result);
    }
    assert!(chain.check().is_ok());
    let mut chain = Chain::new();
    let results: Vec<_> = (0..8u64).map(|value| chain.get(value)).collect();
    for result in &results {
        chain.get(*result);
    }
    assert!(matches!(chain.check(), Err(ouzel::BuildError::TooManyLive { step: 7, .. })));
}

#[test]
fn a_failed_read_s_length_is_no_other_step_s() {
    // The write would send as many bytes as a stale register says, whatever its buffer holds.
    let mut ring = Ring::builder().backend(BackendKind::Sim).build().unwrap();
    let mut chain = Chain::new();
    let large = chain.get(u64::MAX);
    chain.get(large);
    let file = chain.open("x", OpenOptions::write().create());
    chain.hardlink();
    let length = chain.read(file, Vec::with_capacity(8), Offset::START);
    chain.hardlink();
    let written = chain.write(file, length, Offset::START);
    let done = ring.run(chain).unwrap();
    assert_eq!(done.completion_of(length.step()).unwrap().errno(), Errno::EBADF);
    assert_eq!(done.completion_of(written.step()).unwrap().errno(), Errno::EINVAL);
}

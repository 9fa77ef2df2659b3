//! In a program built with the address sanitizer, debug mode reports whoever touches what is guarded or was given back.
//!
//! Each case runs in a process of its own, since a report ends it.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use ouzel_pool::Pool;

fn case(name: &str) {
    let pool = Pool::builder().region_size(1 << 16).debug(true).build().unwrap();
    let mut slice = pool.get(100).unwrap();
    let guard = slice.guard();
    match name {
        // The copy is made here: what std does is not instrumented.
        "read under a guard" => assert_ne!({ slice[10] }, 0),
        "write under a guard" => slice[99] = 1,
        "read behind a guard" => {
            let (mut head, tail) = slice.split_at(64).unwrap();
            drop(guard);
            let _guard = tail.guard();
            head[0] = 1;
        }
        "after the guard" => {
            drop(guard);
            slice[10] = 1;
        }
        "after the last guard" => {
            let other = guard.clone();
            drop(guard);
            drop(other);
            slice[10] = 1;
        }
        "memory of a pool that is gone" => {
            drop((slice, guard, pool));
            // Most likely at the same place.
            let pool = Pool::builder().region_size(1 << 16).build().unwrap();
            (0..128).map(|_| pool.get(512).unwrap()).for_each(|mut slice| slice.fill(1));
        }
        other => panic!("no case {other}"),
    }
}

#[test]
fn the_sanitizer_reports_what_is_touched_in_flight() {
    if let Ok(name) = std::env::var("OUZEL_POISON_CASE") {
        return case(&name);
    }
    let cases = [
        ("read under a guard", true),
        ("write under a guard", true),
        ("read behind a guard", false),
        ("after the guard", false),
        ("after the last guard", false),
        ("memory of a pool that is gone", false),
    ];
    if !ouzel_pool::poisons() {
        println!("SKIPPED: not built with the address sanitizer: what is poisoned is not looked at");
    }
    for (name, reported) in cases {
        let output = Command::new(std::env::current_exe().unwrap())
            .env("OUZEL_POISON_CASE", name)
            .args(["--exact", "the_sanitizer_reports_what_is_touched_in_flight", "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let expected = reported && ouzel_pool::poisons();
        assert_eq!(output.status.success(), !expected, "{name}: {said}");
        assert_eq!(said.contains("use-after-poison"), expected, "{name}: {said}");
    }
}

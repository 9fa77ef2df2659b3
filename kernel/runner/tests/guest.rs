//! The conformance suite over the real system-call boundary.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{lines, run_within};

/// On a machine that does nothing else it takes some seconds.
const LIMIT: Duration = Duration::from_secs(240);

#[test]
fn the_conformance_suite_passes_in_the_guest() {
    let Some(run) = run_within("bin/conformance", "", LIMIT) else { return };
    println!("{}", run.output);
    assert_eq!(run.status, Ok(0), "{}", run.output);
    assert!(!run.output.contains("FAILED"));
    let lines = lines(&run.output);
    let begin = |with: &str| lines.iter().filter(|line| line.starts_with(with)).count();
    // What passes is not to become less without anybody's seeing it.
    assert!(begin("ok ") >= 210, "only {} cases passed", begin("ok "));
    let told = |with: &str| {
        let line = lines.iter().find(|line| line.starts_with(with)).unwrap();
        line.split_once(": ").unwrap().1.split_whitespace().collect::<Vec<_>>()
    };
    let (answered, lacking) = (told("verbs answered"), told("verbs that are ENOSYS"));
    assert_eq!(answered.len() + lacking.len(), ouzel_ring::Verb::ALL.len(), "each verb is one of the two");
    for verb in ["NOP", "READ", "WRITE", "POLL", "CANCEL", "OPEN", "CLOSE", "PIPE", "SLEEP", "WAIT", "REPEAT"]
    {
        assert!(answered.contains(&verb), "{verb}");
    }
    // The stack of the kernel was measured and is the same for every length.
    assert!(lines.iter().any(|line| line.trim_start().starts_with("kernel stack, of")));
}

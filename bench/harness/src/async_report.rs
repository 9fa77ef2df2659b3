//! The results of the asynchronous benchmarks as text: one table for each, everyone beside the best.

use std::fmt::Write;

use crate::asyncs::{AsyncResult, BENCHMARKS, OUZEL};
use crate::count::Counted;
use crate::race::Line;

/// What a section says before its table.
fn introduction(benchmark: &str) -> &'static str {
    match benchmark {
        "async-nop" => {
            "Tasks that await one NOP after the other, so many tasks at once. Ouzel's engine completes a \
             NOP by itself: it does not go to the\n\
             kernel, which its system calls show; those of tokio-uring and compio do. What is compared is \
             what a runtime costs around an\n\
             operation. compio has no NOP, but its driver takes operations from outside, and here is \
             given one."
        }
        "async-read" => {
            "Tasks that await one random read of 4 KiB after the other out of 64 MiB, so many tasks at \
             once, from the page cache (cached) or\n\
             past it with O_DIRECT (direct). Instructions are counted with the page cache (valgrind 3.19 \
             knows no openat2, without which Ouzel\n\
             makes no plain calls: counted is its way through the ring). tokio reads on a pool of \
             threads, which is not pinned to one\n\
             processor, as the others are, and whose system calls depend on how busy the machine is."
        }
        "echo" => {
            "A server on one thread and one processor sends back what it receives; one client, by epoll \
             on another processor, has one message\n\
             of each connection on its way. Nanoseconds per message, there and back, as the client sees \
             them; where the client is the slower of\n\
             the two, what differs is in the next column: the processor time of the server per message, \
             in user space and kernel. System calls,\n\
             instructions and allocations are the server's."
        }
        "timers" => {
            "sleeps: 100,000 tasks sleep for 1 to 100 ms each, all at once; nanoseconds of processor time \
             per sleep, not the time that passes.\n\
             set and cancelled: with 1,000 timers standing, a sleep of an hour is polled once and \
             dropped, a million times. tokio, monoio and\n\
             compio keep time in milliseconds and may be late by one; Ouzel's timers are in nanoseconds."
        }
        "spawn" => {
            "spawn and await: 1,000 tasks that have nothing to do are spawned and awaited, again and \
             again; nanoseconds per task. yield: tasks\n\
             that give each other turns; nanoseconds per turn. monoio and compio have no yield of their \
             own: there a task wakes itself."
        }
        "cancel" => {
            "10,000 reads on sockets on which nothing arrives are begun, submitted, and dropped at once; \
             nanoseconds per read, from its\n\
             beginning until something that arrives on another socket after the drop has been received. \
             Then, not timed, a byte is sent to each\n\
             socket: bytes lost are those that went to a read that had been dropped, and are not in the \
             socket any more. tokio-uring does not\n\
             cancel what is dropped, it ignores the result; runite keeps the bytes in its stream, for the \
             next read there."
        }
        "in-tokio" => {
            "32 tasks inside a multi-thread tokio runtime await one random read of 4 KiB from the page \
             cache after the other. `tokio::fs` seeks\n\
             and reads, each a trip to the pool of threads; spawn_blocking with pread makes that one \
             trip; Ouzel's executor runs within the\n\
             runtime, or on a thread of its own that tokio's tasks hand chains to. Nobody is pinned. \
             Enters are calls of io_uring_enter."
        }
        _ => "",
    }
}

/// Why Ouzel is behind where it is, as far as that has been found (by counting instructions, with callgrind). It is printed
/// below the table if it is.
fn causes(benchmark: &str) -> &'static str {
    match benchmark {
        "async-read" => {
            "The cause, where reads go to the ring: about 2,000 instructions for each in user space, \
             against 2,250 of compio and 1,400 of\n\
             tokio-uring. A read is a chain of one step: building and offering it costs 410, the engine's \
             packet, decoding and result 660, the\n\
             backend's entry 200, handing results out 200, the future, its task and the chain's memory \
             500. No part stands out. Alone,\n\
             a read goes by a plain call that refuses to wait, and needs less of the processor than the \
             others do with a ring."
        }
        "echo" => {
            "The cause: receive and send are a chain of one step each, with the costs of a read above \
             (about 2,000 instructions), twice per\n\
             message."
        }
        "timers" => {
            "The cause: sleeps lie in a wheel, where setting, removing and firing one take the same time \
             however many there are; an instant is\n\
             rounded up by less than a 32nd of the time until then and less than 1.05 ms, so that neighbours \
             share a wake. What is left is\n\
             memory: a hundred thousand tasks and their timers do not fit a cache."
        }
        "spawn" => {
            "The cause: a task is one block, which is taken from one that is over, and is not counted unless \
             its waker is cloned: about 270\n\
             instructions to spawn and await one, with no allocation. Nothing is asked of the ring, the clock \
             or other threads between tasks\n\
             that only wait for each other."
        }
        "cancel" => {
            "The cause: a read that is begun costs what any does (see async-read), and its cancellation \
             about 750 instructions more, 200 of\n\
             them in the engine. Who does not cancel (tokio-uring) or has nothing in the kernel that \
             could be cancelled (tokio) does not pay\n\
             that."
        }
        _ => "",
    }
}

/// The sections of those that ran.
pub fn sections(text: &mut String, results: &[AsyncResult]) -> std::fmt::Result {
    for (benchmark, _) in BENCHMARKS {
        let cases: Vec<_> = results.iter().filter(|result| result.benchmark == benchmark).collect();
        if !cases.is_empty() {
            section(text, benchmark, &cases)?;
        }
    }
    Ok(())
}

fn is_ouzel(name: &str) -> bool {
    name.starts_with(OUZEL)
}

fn section(text: &mut String, benchmark: &str, cases: &[&AsyncResult]) -> std::fmt::Result {
    writeln!(text, "\n## {benchmark}\n\n{}\n", introduction(benchmark))?;
    let processor = cases.iter().flat_map(|case| &case.lines).any(|line| line.processor.is_some());
    let (lost, enters) = (benchmark == "cancel", benchmark == "in-tokio");
    let extra = |shown: bool, title: &str| if shown { format!(" {title} |") } else { String::new() };
    let rule = |shown: bool| if shown { "---:|" } else { "" };
    writeln!(
        text,
        "| case | contender | median | min..max | to the best |{} system calls |{} instructions | allocations |{}\n\
         |---|---|---:|---:|---:|{}---:|{}---:|---:|{}",
        extra(processor, "server's processor"),
        extra(enters, "enters"),
        extra(lost, "bytes lost"),
        rule(processor),
        rule(enters),
        rule(lost),
    )?;
    for case in cases {
        let mut lines: Vec<&Line> = case.lines.iter().collect();
        lines.sort_by(|one, other| one.median().total_cmp(&other.median()));
        for line in &lines {
            let (low, high) = line.range();
            let ratio = lines.first().map_or(f64::NAN, |best| line.ratio_to(best));
            let entered = case.enters.iter().find(|(name, _)| *name == line.name).map(|(_, count)| count);
            writeln!(
                text,
                "| {} | {} | {:.0} | {low:.0}..{high:.0} | {ratio:.2} |{} {} |{} {} | {:.2} |{}",
                case.name,
                line.name,
                line.median(),
                extra(processor, &line.processor.map_or("n/a".to_owned(), |used| format!("{used:.0}"))),
                counted(&line.system_calls, 2),
                extra(enters, &entered.map_or("n/a".to_owned(), |count| counted(count, 3))),
                counted(&line.instructions, 0),
                line.allocations,
                extra(lost, &line.lost.to_string()),
            )?;
        }
        let columns = usize::from(processor) + usize::from(enters) + usize::from(lost);
        for (name, what) in &case.lacking {
            writeln!(
                text,
                "| {} | {name} | none: it has no {what} | | | | | |{}",
                case.name,
                " |".repeat(columns)
            )?;
        }
    }
    verdict(text, benchmark, cases)?;
    writeln!(text, "\nHow they were set up:\n")?;
    let mut told: Vec<(&str, &str)> = Vec::new();
    for line in cases.iter().flat_map(|case| &case.lines) {
        if !told.contains(&(&line.name, &line.setting)) {
            told.push((&line.name, &line.setting));
            writeln!(text, "- {}: {}", line.name, line.setting)?;
        }
    }
    Ok(())
}

/// Says in words where Ouzel is not first, and by how much.
fn verdict(text: &mut String, benchmark: &str, cases: &[&AsyncResult]) -> std::fmt::Result {
    let mut behind = Vec::new();
    for case in cases {
        let ours = case.lines.iter().filter(|line| is_ouzel(&line.name));
        let Some(ours) = ours.min_by(|one, other| one.median().total_cmp(&other.median())) else { continue };
        let peers = case.lines.iter().filter(|line| !is_ouzel(&line.name));
        let Some(best) = peers.min_by(|one, other| one.median().total_cmp(&other.median())) else { continue };
        let (low, high) = ours.ratio_bounds(best);
        if low > 1.03 {
            let ratio = ours.ratio_to(best);
            behind.push(format!(
                "{} (to {}: {ratio:.2}, 95 % bounds {low:.2}..{high:.2})",
                case.name, best.name
            ));
        }
    }
    if behind.is_empty() {
        return writeln!(text, "\nOuzel is first, or within 3 % or the spread of the first, in every case.");
    }
    writeln!(text, "\nOuzel is behind the first by more than 3 % and the spread in: {}.", behind.join("; "))?;
    match causes(benchmark) {
        "" => Ok(()),
        causes => writeln!(text, "\n{causes}"),
    }
}

fn counted(count: &Counted, decimals: usize) -> String {
    match count {
        Ok(count) => format!("{count:.decimals$}"),
        Err(_) => "n/a".to_owned(),
    }
}

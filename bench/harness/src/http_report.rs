//! The results of `http` as text: requests per second, whoever is ahead, and by how much.

use std::fmt::Write;

use crate::http::{AGAIN, CONNECTIONS, CONTENDERS, FILE_BYTES, HttpLine, HttpResult, OUZEL};
use crate::race::{bounds, median};

/// The section, if it ran.
pub fn section(text: &mut String, result: &HttpResult, rounds: u32) -> std::fmt::Result {
    if result.lines.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n## http\n")?;
    writeln!(
        text,
        "A static-file server, one thread, driven by wrk over loopback: each request opens a file of {FILE_BYTES} bytes beneath \
         the root, describes it,\nreads it, sends head and body, and closes it. {rounds} rounds after one that warms up, all \
         servers in turn in every round. Requests per second:\nmore is faster. *Ouzel by this* is the \
         median of the rounds' own ratios and in brackets between which values it lies with 95 % confidence: above 1,\nOuzel is \
         faster. *Processor* is what a request takes of the server's processor, in microseconds: it says what others on \
         this\nmachine say less about.\n"
    )?;
    writeln!(
        text,
        "| connections | server | requests/s | min..max | Ouzel by this | processor | system calls |"
    )?;
    writeln!(text, "|---:|---|---:|---:|---:|---:|---:|")?;
    for connections in CONNECTIONS {
        for line in of(result, connections) {
            let low = line.samples.iter().copied().fold(f64::INFINITY, f64::min);
            let high = line.samples.iter().copied().fold(0.0, f64::max);
            let ratio = compare(result, line)
                .map_or("n/a".to_owned(), |(middle, low, high)| format!("{middle:.3} ({low:.3}..{high:.3})"));
            let calls = line.system_calls.as_ref().map_or(String::new(), |calls| format!("{calls:.2}"));
            let processor = match line.processor.as_slice() {
                [] => String::new(),
                spent => format!("{:.2}", median(spent.to_vec()) / 1000.0),
            };
            writeln!(
                text,
                "| {connections} | {} | {:.0} | {low:.0}..{high:.0} | {ratio} | {processor} | {calls} |",
                line.name,
                median(line.samples.clone()),
            )?;
        }
    }
    writeln!(text, "\nSystem calls are per request, counted under strace, which slows everyone down.")?;
    for connections in CONNECTIONS {
        verdict(text, result, connections)?;
    }
    writeln!(text, "\nHow they serve:\n")?;
    for contender in CONTENDERS.iter().filter(|known| result.lines.iter().any(|line| line.name == known.name))
    {
        writeln!(text, "- {}: {}", contender.name, contender.what)?;
    }
    for line in result.lines.iter().filter(|line| line.name != AGAIN) {
        if let Err(reason) = &line.system_calls {
            let HttpLine { name, connections, .. } = line;
            writeln!(
                text,
                "\nSystem calls of {name} with {connections} connections were not counted: {reason}."
            )?;
        }
    }
    Ok(())
}

fn of(result: &HttpResult, connections: u32) -> impl Iterator<Item = &HttpLine> {
    result.lines.iter().filter(move |line| line.connections == connections)
}

/// Ouzel's requests per second by another's, and between which values that lies.
fn compare(result: &HttpResult, other: &HttpLine) -> Option<(f64, f64, f64)> {
    let ouzel = of(result, other.connections).find(|line| line.name == OUZEL)?;
    let ratios: Vec<f64> =
        ouzel.samples.iter().zip(&other.samples).map(|(ouzel, other)| ouzel / other).collect();
    let (low, high) = bounds(ratios.clone());
    Some((median(ratios), low, high))
}

/// Says in words where Ouzel serves fewer requests than someone else, by more than it differs from itself.
fn verdict(text: &mut String, result: &HttpResult, connections: u32) -> std::fmt::Result {
    let again = of(result, connections).find(|line| line.name == AGAIN);
    let spread = again.and_then(|again| compare(result, again)).map_or(0.0, |(middle, low, high)| {
        [middle, low, high].into_iter().map(|ratio| (ratio - 1.0).abs()).fold(0.0, f64::max)
    });
    let mut losses = Vec::new();
    for other in of(result, connections).filter(|line| line.name != OUZEL && line.name != AGAIN) {
        if let Some((ratio, _, _)) = compare(result, other).filter(|(ratio, _, _)| *ratio < 1.0 - spread) {
            losses.push(format!("{} (by {:.0} %)", other.name, (1.0 - ratio) * 100.0));
        }
    }
    let spread = spread * 100.0;
    if losses.is_empty() {
        writeln!(
            text,
            "\nWith {connections} connections Ouzel serves no fewer requests than any other (spread: {spread:.1} %)."
        )
    } else {
        writeln!(
            text,
            "\nWith {connections} connections Ouzel serves fewer requests (spread: {spread:.1} %) than {}.",
            losses.join(", ")
        )
    }
}

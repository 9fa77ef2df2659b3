//! What a system call costs, counted.
#![allow(clippy::unwrap_used)]

mod common;

use common::{lines, run};

/// The columns of a row: entries, instructions of the call, of the call with push and pop, and of each operation.
fn row(line: &str) -> [u64; 4] {
    let mut columns = line.trim_matches('|').split('|').map(|column| column.trim().parse().unwrap());
    std::array::from_fn(|_| columns.next().unwrap())
}

#[test]
fn an_operation_costs_less_the_longer_its_chain_is() {
    let Some(first) = run("bin/cost", "") else { return };
    println!("{}", first.output);
    assert_eq!(first.status, Ok(0), "{}", first.output);
    let lines = lines(&first.output);
    let rows: Vec<[u64; 4]> = lines[3..].iter().map(|line| row(line)).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), [1, 8, 32]);
    assert!(rows.is_sorted_by(|one, next| one[3] > next[3]), "{rows:?}");
    assert!(rows.iter().all(|row| row[1] < row[2] && row[3] == row[2] / row[0]));
    let Some(second) = run("bin/cost", "") else { return };
    assert_eq!(first.output, second.output, "every run is like every other, to the byte");
}

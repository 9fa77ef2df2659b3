//! The race: everyone makes one pass, then everyone makes the next, so that a slow minute of the machine falls on all. Every
//! other round goes in the opposite order, so that whoever comes after whom does not matter either.

use std::error::Error;

use crate::count::Counted;
use crate::entrants::Entrant;
use crate::process::Running;

/// What an entrant came to.
pub struct Line {
    /// Its name.
    pub name: String,
    /// How it says it was set up.
    pub setting: String,
    /// The entrant.
    pub entrant: Entrant,
    /// Nanoseconds per file or operation, round by round.
    pub samples: Vec<f64>,
    /// Allocations per file or operation in the last round.
    pub allocations: f64,
    /// Bytes that went to operations that had been given up: the most of any round.
    pub lost: u64,
    /// Nanoseconds of processor per operation, where that is not what is timed.
    pub processor: Option<f64>,
    /// System calls per file or operation.
    pub system_calls: Counted,
    /// Instructions in user space per file or operation.
    pub instructions: Counted,
}

impl Line {
    /// One of which nothing is known yet.
    pub fn new(name: &str, setting: &str, entrant: Entrant) -> Line {
        Line {
            name: name.to_owned(),
            setting: setting.to_owned(),
            entrant,
            samples: Vec::new(),
            allocations: 0.0,
            lost: 0,
            processor: None,
            system_calls: Err("not counted".to_owned()),
            instructions: Err("not counted".to_owned()),
        }
    }

    /// The median, in nanoseconds per file or operation.
    pub fn median(&self) -> f64 {
        median(self.samples.clone())
    }

    /// The fastest and the slowest round, in nanoseconds per file or operation.
    pub fn range(&self) -> (f64, f64) {
        let low = self.samples.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.samples.iter().copied().fold(0.0, f64::max);
        (low, high)
    }

    /// The median of this entrant's time by another's, each round by itself.
    pub fn ratio_to(&self, other: &Line) -> f64 {
        median(self.ratios_to(other).collect())
    }

    /// Between which values the true median of those ratios lies, with 95 % confidence (by the sign test, which asks nothing
    /// of their distribution; the whole range if there are few).
    pub fn ratio_bounds(&self, other: &Line) -> (f64, f64) {
        bounds(self.ratios_to(other).collect())
    }

    fn ratios_to(&self, other: &Line) -> impl Iterator<Item = f64> {
        self.samples.iter().zip(&other.samples).map(|(this, other)| this / other)
    }
}

/// The middle of the values; the mean of the two in the middle if their number is even.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => (values[length / 2 - 1] + values[length / 2]) / 2.0,
    }
}

/// Between which values the median lies, with 95 % confidence.
pub fn bounds(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    // How many values lie below the median is binomial, here by its normal approximation.
    let outside = ((count - 1.96 * count.sqrt()) / 2.0).floor().max(0.0) as usize;
    match (values.get(outside), values.get(values.len().wrapping_sub(1 + outside))) {
        (Some(low), Some(high)) => (*low, *high),
        _ => (f64::NAN, f64::NAN),
    }
}

/// The lines of those that finished; the names of the others, and why they did not.
pub type Outcome = (Vec<Line>, Vec<(String, String)>);

/// Runs all entrants.
pub fn run(entrants: &[Entrant], rounds: u32) -> Result<Outcome, Box<dyn Error>> {
    let mut skipped = Vec::new();
    let mut running: Vec<(Running, Line)> = Vec::new();
    for entrant in entrants {
        match Running::start(entrant) {
            Ok(process) => {
                let line = Line::new(&entrant.name, &process.setting, entrant.clone());
                running.push((process, line));
            }
            Err(error) => skipped.push((entrant.name.clone(), error.to_string())),
        }
    }
    for round in 0..=rounds {
        running.retain_mut(|(process, line)| match process.pass(line.entrant.expected) {
            Ok(pass) => {
                line.lost = line.lost.max(pass.lost);
                line.allocations = pass.allocs as f64 / pass.items as f64;
                if round > 0 {
                    line.samples.push(pass.ns as f64 / pass.items as f64);
                }
                true
            }
            Err(error) => {
                skipped.push((line.name.clone(), format!("failed in round {round}: {error}")));
                false
            }
        });
        running.reverse();
    }
    if rounds.is_multiple_of(2) {
        running.reverse();
    }
    Ok((running.into_iter().map(|(_, line)| line).collect(), skipped))
}

#[cfg(test)]
mod tests {
    use super::{bounds, median};

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn the_bounds_close_in_on_the_median() {
        assert_eq!(bounds(vec![3.0, 1.0, 2.0]), (1.0, 3.0));
        // 100 values: 40 on each side are outside, give or take the rounding.
        assert_eq!(bounds((1..=100).map(f64::from).collect()), (41.0, 60.0));
        assert!(bounds(Vec::new()).0.is_nan());
    }
}

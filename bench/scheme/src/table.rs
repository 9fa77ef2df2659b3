//! The figures, and what they are to be at the most.

/// One line: nanoseconds, round by round.
pub struct Row {
    /// What is measured.
    pub section: &'static str,
    /// Where the two sides are.
    pub mode: &'static str,
    /// Who.
    pub name: &'static str,
    /// The rounds.
    pub samples: Vec<f64>,
}

impl Row {
    /// A row without rounds.
    pub fn new(section: &'static str, mode: &'static str, name: &'static str) -> Row {
        Row { section, mode, name, samples: Vec::new() }
    }
}

/// A ratio that has a bound.
pub struct Goal {
    what: &'static str,
    bound: f64,
    at_most: bool,
    ratios: Vec<f64>,
}

impl Goal {
    /// All of them that can be told of these rows.
    pub fn all(rows: &[Row]) -> Vec<Goal> {
        let row = |section, mode, name| {
            rows.iter().find(|row: &&Row| row.section == section && row.mode == mode && row.name == name)
        };
        let mut goals = Vec::new();
        let mut ratio = |what, bound, at_most, one: Option<&Row>, other: Option<&Row>| {
            if let (Some(one), Some(other)) = (one, other) {
                let ratios = one.samples.iter().zip(&other.samples).map(|(one, other)| one / other).collect();
                goals.push(Goal { what, bound, at_most, ratios });
            }
        };
        let spun = row("spin", "cross", "scheme");
        ratio("round trip, spinning, by a bare ring", 3.0, true, spun, row("spin", "cross", "bare ring"));
        ratio("two pipes by a round trip, spinning", 50.0, false, row("spin", "cross", "pipes"), spun);
        let futex = row("sleep", "cross", "futex");
        ratio("round trip, sleeping, by a futex", 1.15, true, row("sleep", "cross", "scheme"), futex);
        let futex = row("sleep", "same", "futex");
        let what = "round trip on one processor, by a futex";
        ratio(what, 1.6, true, row("sleep", "same", "scheme"), futex);
        let what = "the same, where both may spin";
        ratio(what, 1.6, true, row("sleep", "same", "scheme, may spin"), futex);
        let parts = (row("batch", "cross", "bare ring"), row("batch", "cross", "engine alone"));
        if let ((Some(bare), Some(engine)), Some(scheme)) = (parts, row("batch", "cross", "scheme")) {
            let rounds = bare.samples.iter().zip(&engine.samples).zip(&scheme.samples);
            let ratios = rounds.map(|((bare, engine), scheme)| (bare + engine) / scheme).collect();
            goals.push(Goal {
                what: "entries per second in batches of 32, by what ring and engine allow",
                bound: 0.8,
                at_most: false,
                ratios,
            });
        }
        goals
    }

    fn is_met(&self) -> bool {
        let ratio = median(&self.ratios);
        if self.at_most { ratio <= self.bound } else { ratio >= self.bound }
    }
}

/// The middle one.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn range(samples: &[f64]) -> (f64, f64) {
    (samples.iter().copied().fold(f64::INFINITY, f64::min), samples.iter().copied().fold(0.0, f64::max))
}

/// A line of JSON for each row and each goal, and one for the placement.
pub fn json(rows: &[Row], goals: &[Goal], placement: &str) {
    println!("{{\"placement\":\"{placement}\"}}");
    for Row { section, mode, name, samples } in rows {
        let ((min, max), median) = (range(samples), median(samples));
        println!(
            "{{\"section\":\"{section}\",\"mode\":\"{mode}\",\"name\":\"{name}\",\"median\":{median:.1},\"min\":{min:.1},\
             \"max\":{max:.1}}}"
        );
    }
    for goal in goals {
        let Goal { what, bound, at_most, ratios } = goal;
        let ((min, max), median, met) = (range(ratios), median(ratios), goal.is_met());
        println!(
            "{{\"goal\":\"{what}\",\"bound\":{bound},\"at_most\":{at_most},\"median\":{median:.3},\"min\":{min:.3},\
             \"max\":{max:.3},\"met\":{met}}}"
        );
    }
}

/// For people.
pub fn text(rows: &[Row], goals: &[Goal], placement: &str) {
    println!("placement of the two processors: {placement}");
    for Row { section, mode, name, samples } in rows {
        let (low, high) = range(samples);
        let first = rows.iter().find(|row| row.section == *section && row.mode == *mode);
        let ratio = first.map_or(1.0, |first| {
            let ratios: Vec<f64> =
                samples.iter().zip(&first.samples).map(|(one, first)| one / first).collect();
            median(&ratios)
        });
        let median = median(samples);
        println!(
            "{section:<6} {mode:<6} {name:<18} {median:>10.1} ns  ({low:.1} to {high:.1})  {ratio:>8.2} x"
        );
    }
    for goal in goals {
        let (low, high) = range(&goal.ratios);
        println!(
            "{:<6} {}: {:.2} ({low:.2} to {high:.2}), at {} {}",
            if goal.is_met() { "met" } else { "MISSED" },
            goal.what,
            median(&goal.ratios),
            if goal.at_most { "most" } else { "least" },
            goal.bound
        );
    }
}

//! The results as a picture: a bar per contender, its median, and a line from the fastest round to the slowest. It is drawn
//! without fonts of this machine, so that it comes out the same everywhere.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::race::Line;
use crate::report::Results;

const WIDTH: i32 = 860;
const ROW: i32 = 26;
const TOP: i32 = 44;
/// Where the bars begin. Font sizes come out a fifth smaller than they are given.
const LEFT: i32 = 150;
/// Room to the right of the longest bar, for its figure.
const RIGHT: i32 = 70;

/// Draws the race over small files; nothing if it was not run.
pub fn draw(path: &Path, results: &Results) -> Result<(), Box<dyn Error>> {
    let mut lines: Vec<&Line> = results.race.iter().collect();
    if lines.is_empty() {
        return Ok(());
    }
    lines.sort_by(|one, other| one.median().total_cmp(&other.median()));
    let longest = lines.iter().map(|line| line.range().1).fold(1.0, f64::max);
    let place = |nanoseconds: f64| LEFT + (nanoseconds / longest * f64::from(WIDTH - LEFT - RIGHT)) as i32;

    let height = TOP + ROW * lines.len() as i32 + 12;
    let root = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let words = |size: i32, across: HPos| {
        TextStyle::from(("sans-serif", size).into_font()).color(&BLACK).pos(Pos::new(across, VPos::Center))
    };
    let title = format!(
        "{} files of 0 to 4 KiB: nanoseconds per file, median of {} rounds, fastest to slowest",
        results.files, results.rounds
    );
    root.draw(&Text::new(title, (12, 22), words(18, HPos::Left)))?;
    for (row, line) in (0..).zip(&lines) {
        let (top, bottom) = (TOP + row * ROW + 4, TOP + (row + 1) * ROW - 4);
        let middle = (top + bottom) / 2;
        let color =
            if line.name.starts_with("ouzel") { RGBColor(214, 96, 36) } else { RGBColor(126, 150, 176) };
        let (low, high) = line.range();
        root.draw(&Text::new(line.name.clone(), (LEFT - 8, middle), words(16, HPos::Right)))?;
        root.draw(&Rectangle::new([(LEFT, top), (place(line.median()), bottom)], color.filled()))?;
        root.draw(&PathElement::new(vec![(place(low), middle), (place(high), middle)], BLACK))?;
        for end in [low, high] {
            root.draw(&PathElement::new(vec![(place(end), middle - 4), (place(end), middle + 4)], BLACK))?;
        }
        let figure = format!("{:.0}", line.median());
        root.draw(&Text::new(figure, (place(high) + 8, middle), words(16, HPos::Left)))?;
    }
    root.present()?;
    Ok(())
}

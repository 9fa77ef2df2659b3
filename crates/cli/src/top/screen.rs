//! The screen: rings above, the chosen one below, again and again until a key ends it.
//!
//! The terminal is given back however this ends, by a panic too.

use std::io;
use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Table, TableState};

use super::view::{CONNECTION_HEADS, RING_HEADS, RingView, VERB_HEADS, View};
use super::{REMEDY, Reading};
use crate::command::CommandError;

/// What is shown.
#[derive(Debug, Default)]
pub struct State {
    /// The numbers.
    pub view: View,
    /// What could not be read.
    pub problems: Vec<String>,
    /// Which ring is chosen.
    pub chosen: usize,
    /// How many rows of its verbs are above the first that is shown.
    pub scrolled: usize,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Nothing,
    Redraw,
    End,
}

/// Shows what `take` reads, every `interval`, until a key ends it.
///
/// # Errors
///
/// Those of the terminal, and of `take`.
pub fn run(interval: Duration, take: impl Fn() -> Result<Reading, CommandError>) -> Result<(), CommandError> {
    // Before the terminal is changed: what is wrong from the start is told on an ordinary screen.
    let mut reading = take()?;
    let mut state = State::default();
    state.show(&reading, None);
    // This also sees to it that a panic gives the terminal back.
    let mut terminal = ratatui::try_init().map_err(CommandError::Terminal)?;
    let shown = loop {
        if let Err(error) = terminal.draw(|frame| state.draw(frame)) {
            break Err(CommandError::Terminal(error));
        }
        match state.wait(interval) {
            Ok(Wish::End) => break Ok(()),
            Ok(Wish::Redraw) => continue,
            Ok(Wish::Nothing) => {}
            Err(error) => break Err(CommandError::Terminal(error)),
        }
        match take() {
            Ok(now) => {
                state.show(&now, Some(&reading));
                reading = now;
            }
            Err(error) => break Err(error),
        }
    };
    // A terminal that is gone cannot be restored, and need not be.
    ratatui::try_restore().unwrap_or_default();
    shown
}

impl State {
    /// Takes in a reading, and what was read before.
    pub fn show(&mut self, now: &Reading, before: Option<&Reading>) {
        self.view = View::new(now, before);
        self.problems.clone_from(&now.problems);
        self.chosen = self.chosen.min(self.view.rings.len().saturating_sub(1));
    }

    /// Waits for the end of the interval, or for a key that changes something.
    fn wait(&mut self, interval: Duration) -> io::Result<Wish> {
        let begun = Instant::now();
        loop {
            let left = interval.saturating_sub(begun.elapsed());
            if !event::poll(left)? {
                return Ok(Wish::Nothing);
            }
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    match self.press(key.code, key.modifiers) {
                        Wish::Nothing => {}
                        wish => return Ok(wish),
                    }
                }
                Event::Resize(..) => return Ok(Wish::Redraw),
                _ => {}
            }
        }
    }

    fn press(&mut self, key: KeyCode, modifiers: KeyModifiers) -> Wish {
        let rings = self.view.rings.len();
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Wish::End,
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => return Wish::End,
            KeyCode::Down | KeyCode::Char('j') => {
                (self.chosen, self.scrolled) = ((self.chosen + 1).min(rings.saturating_sub(1)), 0);
            }
            KeyCode::Up | KeyCode::Char('k') => {
                (self.chosen, self.scrolled) = (self.chosen.saturating_sub(1), 0);
            }
            KeyCode::PageDown => {
                let rows = self.view.rings.get(self.chosen).map_or(0, |ring| ring.verbs.len());
                self.scrolled = (self.scrolled + 10).min(rows.saturating_sub(1));
            }
            KeyCode::PageUp => self.scrolled = self.scrolled.saturating_sub(10),
            _ => return Wish::Nothing,
        }
        Wish::Redraw
    }

    /// Draws everything.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let rings = (self.view.rings.len() as u16).saturating_add(3).clamp(4, 12);
        let connections = self.view.services.iter().map(|service| service.connections.len()).sum::<usize>();
        let clients = match self.view.services.len() {
            0 => 0,
            _ => (connections as u16).saturating_add(3).clamp(4, 12),
        };
        let areas = [rings, clients].map(Constraint::Length);
        let areas = [areas[0], areas[1], Constraint::Min(5), Constraint::Length(1)];
        let [above, between, below, foot] = Layout::vertical(areas).areas(frame.area());
        self.draw_rings(frame, above);
        if clients > 0 {
            self.draw_connections(frame, between);
        }
        match self.view.rings.get(self.chosen) {
            Some(ring) => self.draw_ring(frame, below, ring),
            None => {
                let mut lines = vec![Line::from("no ring can be seen"), Line::from(REMEDY)];
                lines.extend(self.problems.iter().map(|problem| Line::from(problem.as_str())));
                frame.render_widget(Paragraph::new(lines).block(Block::bordered()), below);
            }
        }
        let problems = match self.problems.first() {
            Some(problem) => format!("   {problem}"),
            None => String::new(),
        };
        let keys = format!("q end   up, down choose a ring   page up, page down scroll its verbs{problems}");
        frame.render_widget(Paragraph::new(keys), foot);
    }

    fn draw_rings(&self, frame: &mut Frame<'_>, area: Rect) {
        let widths = [8, 15, 5, 8, 8, 11, 12, 12, 12, 7, 7].map(Constraint::Length);
        let rows = self.view.rings.iter().map(|ring| Row::new(ring.row.iter().map(String::as_str)));
        let table = Table::new(rows, widths)
            .header(Row::new(RING_HEADS).style(Style::new().add_modifier(Modifier::BOLD)))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
            .block(Block::bordered().title("rings: alive (peak)"));
        let chosen = (!self.view.rings.is_empty()).then_some(self.chosen);
        frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(chosen));
    }

    fn draw_connections(&self, frame: &mut Frame<'_>, area: Rect) {
        let widths = [16, 8, 8, 10, 10, 8, 10, 7, 9, 12, 9, 9].map(Constraint::Length);
        let rows = self.view.services.iter().flat_map(|service| &service.connections);
        let table = Table::new(rows.map(|row| Row::new(row.iter().map(String::as_str))), widths)
            .header(Row::new(CONNECTION_HEADS).style(Style::new().add_modifier(Modifier::BOLD)))
            .block(Block::bordered().title("connections of services: has / may have"));
        frame.render_widget(table, area);
    }

    fn draw_ring(&self, frame: &mut Frame<'_>, area: Rect, ring: &RingView) {
        let lines = Constraint::Length(ring.lines.len() as u16 + 2);
        let [told, verbs] = Layout::vertical([lines, Constraint::Min(3)]).areas(area);
        let text: Vec<Line<'_>> = ring.lines.iter().map(|line| Line::from(line.as_str())).collect();
        frame.render_widget(Paragraph::new(text).block(Block::bordered()), told);
        let widths = [12, 10, 9, 9, 9, 9, 10, 10, 10].map(Constraint::Length);
        let rows = ring.verbs.iter().skip(self.scrolled);
        let rows = rows.map(|row| Row::new(row.iter().map(String::as_str)));
        let table = Table::new(rows, widths)
            .header(Row::new(VERB_HEADS).style(Style::new().add_modifier(Modifier::BOLD)))
            .block(Block::bordered().title("verbs: how many, and how long they took"));
        frame.render_widget(table, verbs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_choose_and_end() {
        let mut state = State::default();
        assert_eq!(state.press(KeyCode::Char('q'), KeyModifiers::NONE), Wish::End);
        assert_eq!(state.press(KeyCode::Char('c'), KeyModifiers::CONTROL), Wish::End);
        assert_eq!(state.press(KeyCode::Char('c'), KeyModifiers::NONE), Wish::Nothing);
        assert_eq!(state.press(KeyCode::Down, KeyModifiers::NONE), Wish::Redraw);
        assert_eq!((state.chosen, state.scrolled), (0, 0), "there is nothing to choose");
        assert_eq!(state.press(KeyCode::PageDown, KeyModifiers::NONE), Wish::Redraw);
        assert_eq!(state.scrolled, 0);
    }
}

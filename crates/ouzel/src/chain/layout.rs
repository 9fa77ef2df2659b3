//! Layout: from a chain's steps to entries with registers.
//!
//! FINALLY steps go to the end. Registers are given out by one scan: a result takes a register when its step runs
//! and gives it back after its last use. A register that held another result is given again only where a stale value
//! cannot be mistaken for the new one: not if the new result's step may fail and be followed all the same.

use ouzel_ring::{EntryFlags, REGISTERS, Verb};

use super::{Body, Marks, Need, Shape};
use crate::BuildError;

/// The order of a chain's steps and the flags of each entry.
#[derive(Default)]
pub(crate) struct Layout {
    /// (step, flags), in the order of execution.
    pub(crate) entries: Vec<(u16, EntryFlags)>,
    /// How many of them post a completion even if they succeed.
    pub(crate) announced: u32,
    /// The step that runs last, if it was asked to be silent. It is not: its completion tells that the chain is over.
    pub(crate) unsilenced: Option<u16>,
    /// What the entries follow from. Programs run the same chain over and over; its layout is made once.
    shape: Vec<Shape>,
    /// For each step: when it runs, the last use of its two results, and their register.
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    position: u16,
    last_use: [Option<u16>; 2],
    used_finally: bool,
    register: Option<u8>,
}

impl Layout {
    pub(crate) fn new(chain: &Body) -> Result<Layout, BuildError> {
        let mut layout = Layout::default();
        layout.lay_out(chain)?;
        Ok(layout)
    }

    /// Lays `chain` out, reusing this value's memory.
    #[inline]
    pub(crate) fn lay_out(&mut self, chain: &Body) -> Result<(), BuildError> {
        if self.fits(chain) { Ok(()) } else { self.lay_out_anew(chain) }
    }

    /// Whether this is the layout of `chain`, which is then sound.
    #[inline]
    fn fits(&self, chain: &Body) -> bool {
        chain.error.is_none()
            && !chain.steps.is_empty()
            && self.shape.len() == chain.steps.len()
            && self.shape.iter().zip(&chain.steps).all(|(shape, step)| *shape == step.shape)
    }

    #[inline(never)]
    fn lay_out_anew(&mut self, chain: &Body) -> Result<(), BuildError> {
        if let Some(error) = &chain.error {
            return Err(error.clone());
        }
        if chain.steps.is_empty() {
            return Err(BuildError::Empty);
        }
        self.shape.clear();
        self.order(chain);
        self.find_uses(chain)?;
        self.assign(chain)?;
        self.shape.extend(chain.steps.iter().map(|step| step.shape));
        Ok(())
    }

    fn order(&mut self, chain: &Body) {
        self.entries.clear();
        self.places.clear();
        let nowhere = Place { position: 0, last_use: [None; 2], used_finally: false, register: None };
        self.places.resize(chain.steps.len(), nowhere);
        for finally in [false, true] {
            for (number, step) in chain.steps.iter().enumerate() {
                let shape = step.shape;
                if shape.has(Marks::FINALLY) == finally {
                    self.places[number].position = self.entries.len() as u16;
                    let mut flags = if finally { EntryFlags::FINALLY } else { EntryFlags::empty() };
                    flags |= if shape.has(Marks::HARDLINK) { EntryFlags::HARDLINK } else { EntryFlags::LINK };
                    flags |= if shape.has(Marks::SILENT) { EntryFlags::SILENT } else { EntryFlags::empty() };
                    self.entries.push((number as u16, flags));
                }
            }
        }
        if let Some((_, flags)) = self.entries.first_mut() {
            *flags |= EntryFlags::LOCAL;
        }
        self.unsilenced = None;
        if let Some((last, flags)) = self.entries.last_mut() {
            self.unsilenced = flags.contains(EntryFlags::SILENT).then_some(*last);
            *flags -= EntryFlags::CHAINED | EntryFlags::SILENT;
        }
        let silent = self.entries.iter().filter(|(_, flags)| flags.contains(EntryFlags::SILENT)).count();
        self.announced = (self.entries.len() - silent) as u32;
    }

    fn find_uses(&mut self, chain: &Body) -> Result<(), BuildError> {
        for position in 0..self.entries.len() {
            let number = self.entries[position].0 as usize;
            let shape = chain.steps[number].shape;
            for (of, second) in shape.needs().into_iter().filter_map(Need::source) {
                let place = self.places.get_mut(of).filter(|place| (place.position as usize) < position);
                let Some(place) = place else {
                    return Err(BuildError::Undefined { step: number, verb: shape.verb(), of });
                };
                place.last_use[second as usize] = Some(position as u16);
                place.used_finally |= shape.has(Marks::FINALLY);
            }
        }
        Ok(())
    }

    fn assign(&mut self, chain: &Body) -> Result<(), BuildError> {
        let any_hardlink = chain.steps.iter().any(|step| step.shape.has(Marks::HARDLINK));
        // Bit masks of registers that no result holds, and of those that none has held.
        let mut free = (1u8 << REGISTERS) - 1;
        let mut fresh = free;
        // The position after which each register is free.
        let mut busy_until = [0u16; REGISTERS];
        for position in 0..self.entries.len() {
            let number = self.entries[position].0 as usize;
            let shape = chain.steps[number].shape;
            for (argument, need) in shape.needs().into_iter().enumerate() {
                if let Some((of, second)) = need.source()
                    && let Some(register) = self.places[of].register
                {
                    let flags = EntryFlags::load(argument, register as usize + second as usize);
                    self.entries[position].1 |= flags.unwrap_or_default();
                }
            }
            for (register, until) in busy_until.iter().enumerate() {
                if *until as usize <= position && fresh & (1 << register) == 0 {
                    free |= 1 << register;
                }
            }
            let place = self.places[number];
            let pipe = shape.verb() == Verb::Pipe;
            if !pipe && place.last_use[0].is_none() {
                continue;
            }
            let usable = if any_hardlink || place.used_finally { fresh } else { free };
            let width = if pipe { 2 } else { 1 };
            let mask = (1u8 << width) - 1;
            let register = (0..=REGISTERS - width).find(|register| usable >> register & mask == mask);
            let Some(register) = register else {
                return Err(BuildError::TooManyLive { step: number, verb: shape.verb() });
            };
            for half in 0..width {
                let bit = 1 << (register + half);
                free &= !bit;
                fresh &= !bit;
                busy_until[register + half] = place.last_use[half].unwrap_or(position as u16);
            }
            self.places[number].register = Some(register as u8);
            self.entries[position].1 |= EntryFlags::save(register).unwrap_or_default();
        }
        Ok(())
    }
}

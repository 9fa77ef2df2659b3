//! Layout: from a chain's steps to entries with registers.
//!
//! FINALLY steps go to the end. Each result that is used, and each variable, needs a register from the step that makes
//! it to its last use; a loop that lies between two turns of that lengthens it. Registers are given out by one scan in the
//! order in which they begin to be needed. A register that held another result is given again only where a stale value
//! cannot be mistaken for the new one: not if the new result's step may fail and be followed all the same.

use alloc::vec::Vec;
use ouzel_ring::{Entry, EntryFlags, REGISTERS, Verb};

use super::{Body, Marks, Need, Shape};
use crate::BuildError;

/// The order of a chain's steps and the flags of each entry.
///
/// It is used again for the next chain, with its memory: of one whose steps are alike nothing is done anew.
#[derive(Default)]
pub struct Layout {
    /// (step, flags), in the order of execution.
    pub(crate) entries: Vec<(u16, EntryFlags)>,
    /// How many of them post a completion even if they succeed.
    pub(crate) announced: u32,
    /// The step that runs last, if it was asked to be silent. It is not: its completion tells that the chain is over.
    pub(crate) unsilenced: Option<u16>,
    /// The result that has to be in its register at the end.
    result: Option<(usize, bool)>,
    /// What the entries follow from. Programs run the same chain over and over; its layout is made once.
    shape: Vec<Shape>,
    /// For each step: when it runs, the last use of its two results, and their register.
    places: Vec<Place>,
    /// The TESTs that skip: their position, and where they go on.
    skips: Vec<(u16, u16)>,
    /// The loops: where they begin, and the position of their REPEAT.
    loops: Vec<(u16, u16)>,
    /// The results in the order in which they begin to need a register: the position, that of their step, and the step.
    needed: Vec<(u16, u16, u16)>,
}

#[derive(Clone, Copy)]
struct Place {
    position: u16,
    /// From where on its register is its own: its position, or the beginning of a loop it must outlive.
    begin: u16,
    last_use: [Option<u16>; 2],
    used_finally: bool,
    register: Option<u8>,
}

impl Layout {
    /// Lays a chain out.
    ///
    /// Errors: what is wrong with the chain.
    pub fn new(chain: &Body) -> Result<Layout, BuildError> {
        let mut layout = Layout::default();
        layout.lay_out(chain)?;
        Ok(layout)
    }

    /// Lays `chain` out, reusing this value's memory.
    ///
    /// Errors: as for [`new`](Layout::new).
    #[inline]
    pub fn lay_out(&mut self, chain: &Body) -> Result<(), BuildError> {
        if self.fits(chain) { Ok(()) } else { self.lay_out_anew(chain) }
    }

    /// The number of each step and the flags of its entry, in the order of execution.
    #[inline]
    pub fn order(&self) -> &[(u16, EntryFlags)] {
        &self.entries
    }

    /// The entries of `chain`, which was laid out last, in the order of execution. `data` makes the user data of the entry of
    /// a step out of its number, counted in the order steps were added. They name memory that the chain keeps, in region 0.
    ///
    /// # Panics
    ///
    /// If it is another chain, with fewer steps.
    #[inline]
    pub fn entries(&self, chain: &Body, data: impl Fn(u16) -> u64) -> impl ExactSizeIterator<Item = Entry> {
        self.entries.iter().map(move |(number, flags)| {
            chain.steps[*number as usize].entry(&chain.text, *flags, data(*number))
        })
    }

    /// How many completions come even if every step succeeds. The chain is over with the last of them.
    #[inline]
    pub fn announced(&self) -> u32 {
        self.announced
    }

    /// The step that runs last, if it was asked to be silent. It is not: its completion tells that the chain is over.
    #[inline]
    pub fn unsilenced(&self) -> Option<u16> {
        self.unsilenced
    }

    /// Whether this is the layout of `chain`, which is then sound.
    #[inline]
    pub(super) fn fits(&self, chain: &Body) -> bool {
        chain.error.is_none()
            && !chain.steps.is_empty()
            && self.shape.len() == chain.steps.len()
            && self.shape.iter().zip(&chain.steps).all(|(shape, step)| *shape == step.shape)
    }

    /// The layout of a program's steps, with this result (or the second of its step) kept to the end.
    pub(crate) fn of_program(chain: &Body, result: Option<(usize, bool)>) -> Result<Layout, BuildError> {
        let mut layout = Layout { result, ..Layout::default() };
        layout.lay_out_anew(chain)?;
        Ok(layout)
    }

    /// The register of a step's result, or of its second, if it has one.
    pub(crate) fn register_of(&self, step: usize, second: bool) -> Option<u8> {
        self.places.get(step)?.register.map(|register| register + u8::from(second))
    }

    /// How many registers it uses.
    pub(crate) fn registers(&self) -> usize {
        let held = |(number, _): &(u16, EntryFlags)| {
            let number = *number as usize;
            let pipe = self.shape.get(number).is_some_and(|shape| shape.verb() == Verb::Pipe);
            self.places.get(number)?.register.map(|register| register as usize + 1 + usize::from(pipe))
        };
        self.entries.iter().filter_map(held).max().unwrap_or(0)
    }

    #[inline(never)]
    fn lay_out_anew(&mut self, chain: &Body) -> Result<(), BuildError> {
        if let Some(error) = &chain.error {
            return Err(error.clone());
        }
        self.shape.clear();
        self.put_in_order(chain);
        if self.entries.is_empty() {
            return Err(BuildError::Empty);
        }
        self.find_multishot(chain)?;
        self.find_jumps(chain);
        self.find_uses(chain)?;
        self.find_order_of_need();
        self.assign(chain)?;
        self.write_flags(chain);
        self.shape.extend(chain.steps.iter().map(|step| step.shape));
        Ok(())
    }

    fn put_in_order(&mut self, chain: &Body) {
        self.entries.clear();
        self.places.clear();
        let nowhere =
            Place { position: 0, begin: 0, last_use: [None; 2], used_finally: false, register: None };
        self.places.resize(chain.steps.len(), nowhere);
        for finally in [false, true] {
            for (number, step) in chain.steps.iter().enumerate() {
                let shape = step.shape;
                if shape.has(Marks::FINALLY) == finally && !shape.has(Marks::PARAMETER) {
                    let position = self.entries.len() as u16;
                    self.places[number].position = position;
                    self.places[number].begin = position;
                    let mut flags = if finally { EntryFlags::FINALLY } else { EntryFlags::empty() };
                    flags |= if shape.has(Marks::HARDLINK) { EntryFlags::HARDLINK } else { EntryFlags::LINK };
                    flags |= if shape.has(Marks::SILENT) { EntryFlags::SILENT } else { EntryFlags::empty() };
                    self.entries.push((number as u16, flags));
                }
            }
        }
        let repeats = chain.steps.iter().any(|step| step.shape.op() == Verb::Repeat as u32);
        if let Some((_, flags)) = self.entries.first_mut() {
            *flags |= EntryFlags::LOCAL;
            *flags |= if repeats { EntryFlags::PROGRAM } else { EntryFlags::empty() };
        }
        if let Some((_, flags)) = self.entries.last_mut().filter(|(last, _)| is_multishot(chain, *last)) {
            *flags |= EntryFlags::MULTISHOT;
        }
        self.unsilenced = None;
        if let Some((last, flags)) = self.entries.last_mut() {
            self.unsilenced = flags.contains(EntryFlags::SILENT).then_some(*last);
            *flags -= EntryFlags::CHAINED | EntryFlags::SILENT;
        }
        let silent = self.entries.iter().filter(|(_, flags)| flags.contains(EntryFlags::SILENT)).count();
        self.announced = (self.entries.len() - silent) as u32;
    }

    /// A multishot ends its chain, and cannot be kept from ending it.
    fn find_multishot(&self, chain: &Body) -> Result<(), BuildError> {
        for (position, (number, flags)) in self.entries.iter().enumerate() {
            let is_last = position + 1 == self.entries.len() && !flags.contains(EntryFlags::FINALLY);
            if !is_last && is_multishot(chain, *number) {
                let step = *number as usize;
                return Err(BuildError::MultishotNotLast { step, verb: chain.steps[step].shape.verb() });
            }
        }
        Ok(())
    }

    fn find_jumps(&mut self, chain: &Body) {
        self.skips.clear();
        self.loops.clear();
        for (position, (number, _)) in self.entries.iter().enumerate() {
            let shape = chain.steps[*number as usize].shape;
            let (position, distance) = (position as u16, shape.distance() as u16);
            match shape.verb() {
                Verb::Test if distance > 0 => self.skips.push((position, position + 1 + distance)),
                Verb::Repeat => self.loops.push((position.saturating_sub(distance), position)),
                _ => {}
            }
        }
    }

    fn find_uses(&mut self, chain: &Body) -> Result<(), BuildError> {
        for position in 0..self.entries.len() {
            let number = self.entries[position].0 as usize;
            let shape = chain.steps[number].shape;
            let variable = shape.variable().map(|of| (of, false));
            for (of, second) in shape.needs().into_iter().filter_map(Need::source).chain(variable) {
                self.note_use(chain, number, shape, position as u16, of, second)?;
            }
        }
        if let Some((of, second)) = self.result {
            let end = self.entries.len() as u16;
            self.note_use(chain, chain.steps.len(), Shape::new(Verb::Get), end, of, second)?;
            // A way that ends before it is made must not find another result in its place.
            self.places[of].used_finally = true;
        }
        Ok(())
    }

    /// Step `number` at `position` uses, or assigns, a result of step `of`.
    fn note_use(
        &mut self,
        chain: &Body,
        number: usize,
        shape: Shape,
        position: u16,
        of: usize,
        second: bool,
    ) -> Result<(), BuildError> {
        let parameter = chain.steps.get(of).is_some_and(|step| step.shape.has(Marks::PARAMETER));
        let place = self.places.get_mut(of).filter(|place| parameter || place.position < position);
        let Some(place) = place else {
            return Err(BuildError::Undefined { step: number, verb: shape.verb(), of });
        };
        let made = place.position;
        let finally = shape.has(Marks::FINALLY);
        if !finally && !parameter {
            // On the way of a skip from before it to behind it, but not past this use, it is not made.
            let skip = |(test, target): &&(u16, u16)| *test < made && made < *target && *target <= position;
            if let Some((test, _)) = self.skips.iter().find(skip) {
                let test = self.entries[*test as usize].0 as usize;
                return Err(BuildError::Conditional { step: number, verb: shape.verb(), of, test });
            }
        }
        // A variable that is assigned is needed there, not only up to there.
        let mut until = position + u16::from(shape.variable() == Some(of));
        for (first, repeat) in &self.loops {
            let is_inside = |position: u16| *first <= position && position <= *repeat;
            match (is_inside(made) && !parameter, is_inside(position)) {
                // Every turn needs it.
                (false, true) => until = until.max(*repeat + 1),
                // No turn may lose what an earlier one has made.
                (true, false) => place.begin = place.begin.min(*first),
                _ => {}
            }
        }
        let last = &mut place.last_use[second as usize];
        *last = Some(last.unwrap_or(0).max(until));
        place.used_finally |= finally;
        Ok(())
    }

    fn find_order_of_need(&mut self) {
        self.needed.clear();
        for (number, _) in &self.entries {
            let place = self.places[*number as usize];
            self.needed.push((place.begin, place.position, *number));
        }
        // Without loops they are in order.
        if !self.loops.is_empty() {
            self.needed.sort_unstable();
        }
    }

    fn assign(&mut self, chain: &Body) -> Result<(), BuildError> {
        let any_hardlink = chain.steps.iter().any(|step| step.shape.has(Marks::HARDLINK));
        // Bit masks of registers that no result holds, and of those that none has held.
        let mut free = (1u8 << REGISTERS) - 1;
        let mut fresh = free;
        // The position after which each register is free.
        let mut busy_until = [0u16; REGISTERS];
        // What the caller of a program sets comes first, in its order.
        let parameters = chain.steps.iter().enumerate().filter(|(_, step)| step.shape.has(Marks::PARAMETER));
        for (register, (number, step)) in parameters.enumerate() {
            if register >= REGISTERS {
                return Err(BuildError::TooManyLive { step: number, verb: step.shape.verb() });
            }
            free &= !(1 << register);
            fresh &= !(1 << register);
            busy_until[register] = self.places[number].last_use[0].unwrap_or(0);
            self.places[number].register = Some(register as u8);
        }
        for next in 0..self.needed.len() {
            let (begin, position, number) = self.needed[next];
            let number = number as usize;
            for (register, until) in busy_until.iter().enumerate() {
                if *until <= begin && fresh & (1 << register) == 0 {
                    free |= 1 << register;
                }
            }
            let place = self.places[number];
            let pipe = chain.steps[number].shape.verb() == Verb::Pipe;
            if !pipe && place.last_use[0].is_none() {
                continue;
            }
            let usable = if any_hardlink || place.used_finally { fresh } else { free };
            let width = if pipe { 2 } else { 1 };
            let mask = (1u8 << width) - 1;
            let register = (0..=REGISTERS - width).find(|register| usable >> register & mask == mask);
            let Some(register) = register else {
                return Err(BuildError::TooManyLive { step: number, verb: chain.steps[number].shape.verb() });
            };
            for half in 0..width {
                let bit = 1 << (register + half);
                free &= !bit;
                fresh &= !bit;
                busy_until[register + half] = place.last_use[half].unwrap_or(position).max(position + 1);
            }
            self.places[number].register = Some(register as u8);
        }
        Ok(())
    }

    /// Writes the registers into the flags of the entries.
    fn write_flags(&mut self, chain: &Body) {
        for (number, flags) in &mut self.entries {
            let shape = chain.steps[*number as usize].shape;
            for (argument, need) in shape.needs().into_iter().enumerate() {
                if let Some((of, second)) = need.source()
                    && let Some(register) = self.places[of].register
                {
                    let load = EntryFlags::load(argument, register as usize + second as usize);
                    *flags |= load.unwrap_or_default();
                }
            }
            let of = shape.variable().unwrap_or(*number as usize);
            if let Some(register) = self.places[of].register {
                *flags |= EntryFlags::save(register as usize).unwrap_or_default();
            }
        }
    }
}

fn is_multishot(chain: &Body, step: u16) -> bool {
    chain.steps[step as usize].shape.has(Marks::MULTISHOT)
}

//! `ouzel serve fault:…`: another service, made worse as a script says: a test double for programs that do I/O.
//!
//! A script has one rule a line, and is read once. What happens to an operation is drawn from the seed, for each connection
//! in the order of its operations, so a client that asks the same again has the same faults. The faults themselves are done by
//! [`Fault`](ouzel::backend::fault::Fault).

use ouzel::abi::{Errno, Verb};
use ouzel::backend::fault::{Decide, Injection};
use ouzel::engine::Step;
use ouzel::scheme::verb_of;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A transfer moves 1 to 64 bytes at most.
    Short,
    /// It is not run, and ends with this error.
    Error(Errno),
    /// Its completion is held back for so many rounds of the service.
    Late(u32),
    /// Up to so many other completions pass it.
    Reorder(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    /// `None`: any.
    verb: Option<Verb>,
    what: What,
    /// So many of so many.
    chance: (u64, u64),
}

/// A script that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    seed: u64,
    rules: Vec<Rule>,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    ///
    /// A sentence that names the line, what is wrong with it, and what may stand there.
    pub fn parse(text: &str) -> Result<Script, String> {
        let mut script = Script::default();
        for (at, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            let wrong = |what: &str| format!("line {}: {}: {what}", at + 1, line.trim());
            match words[..] {
                [] => {}
                ["seed", number] => {
                    script.seed = number.parse().map_err(|_| wrong("a seed is a number, as in: seed 7"))?;
                }
                [verb, ref rest @ ..] => script.rules.push(rule(verb, rest).map_err(|what| wrong(&what))?),
            }
        }
        Ok(script)
    }

    /// What decides for one connection.
    pub fn decide(&self) -> Decide {
        let script = self.clone();
        let mut state = script.seed;
        Box::new(move |step: &Step| {
            let verb = verb_of(&step.operation);
            let mut injection = Injection::default();
            for rule in &script.rules {
                // Drawn whatever the verb, so that one rule changes nothing for the others.
                let (hit, size) = (draw(&mut state), draw(&mut state));
                if hit % rule.chance.1 >= rule.chance.0 || rule.verb.is_some_and(|own| own != verb) {
                    continue;
                }
                match rule.what {
                    What::Short => injection.shorten = Some(1 + size % 64),
                    What::Error(errno) => injection.error = Some(errno),
                    What::Late(rounds) => injection.hold_waits = rounds,
                    What::Reorder(most) => injection.hold_reports = 1 + (size % u64::from(most)) as u32,
                }
            }
            if verb == Verb::Close {
                // What is closed is closed, whatever is said of it.
                injection.error = None;
            }
            injection
        })
    }
}

fn rule(verb: &str, rest: &[&str]) -> Result<Rule, String> {
    let verb =
        match verb {
            "any" => None,
            name => {
                let found = Verb::ALL.iter().find(|verb| verb.name().eq_ignore_ascii_case(name));
                Some(*found.ok_or_else(|| {
                    format!("{name} is no verb: write one, as read or open, or any, or seed")
                })?)
            }
        };
    let number = |text: &str| match text.parse() {
        Ok(number @ 1..=1000) => Ok(number),
        _ => Err(format!("{text}: a number from 1 to 1000 is wanted")),
    };
    let (what, rest) = match *rest {
        ["short", ref rest @ ..] => (What::Short, rest),
        ["error", name, ref rest @ ..] => {
            let errno = Errno::from_name(name).filter(|errno| !errno.is_ok());
            (What::Error(errno.ok_or_else(|| format!("{name} is no error: write one as ENOSPC"))?), rest)
        }
        ["late", rounds, ref rest @ ..] => (What::Late(number(rounds)?), rest),
        ["reorder", most, ref rest @ ..] => (What::Reorder(number(most)?), rest),
        _ => return Err("behind the verb stands short, error NAME, late ROUNDS or reorder MOST".to_owned()),
    };
    let chance = match *rest {
        [] => (1, 1),
        [text] => {
            let parts =
                text.split_once('/').and_then(|(some, all)| Some((some.parse().ok()?, all.parse().ok()?)));
            parts
                .filter(|(some, all)| some <= all && *all > 0)
                .ok_or_else(|| format!("{text}: how often is written as 1/3"))?
        }
        [_, more, ..] => return Err(format!("{more}: nothing may stand there")),
    };
    Ok(Rule { verb, what, chance })
}

/// The next number of a seed (splitmix64).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let text = "# faults\nseed 7\nread short 1/3\nWRITE error ENOSPC 1/10 # full\n\nany late 4\nsync reorder 2\n";
        let script = Script::parse(text).unwrap();
        assert_eq!((script.seed, script.rules.len()), (7, 4));
        let rule = |verb, what, chance| Rule { verb, what, chance };
        assert_eq!(script.rules[0], rule(Some(Verb::Read), What::Short, (1, 3)));
        assert_eq!(script.rules[1], rule(Some(Verb::Write), What::Error(Errno::ENOSPC), (1, 10)));
        assert_eq!(script.rules[2], rule(None, What::Late(4), (1, 1)));
        assert_eq!(script.rules[3], rule(Some(Verb::Sync), What::Reorder(2), (1, 1)));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, wanted) in [
            ("seed x", "line 1: seed x: a seed is a number"),
            ("\nreed short", "line 2: reed short: reed is no verb"),
            ("read", "line 1: read: behind the verb"),
            ("read error ENO", "ENO is no error"),
            ("read late 0", "0: a number from 1 to 1000"),
            ("read short 3/2", "3/2: how often"),
            ("read short 1/0", "1/0: how often"),
            ("read short 1/2 3", "3: nothing may stand there"),
        ] {
            let said = Script::parse(text).unwrap_err();
            assert!(said.contains(wanted), "{said}");
        }
    }
}

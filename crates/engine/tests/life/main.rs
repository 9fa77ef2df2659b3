//! The life of packets, explored exhaustively.
//!
//! What happens to a packet depends on what its submitter, the backend and the clock do, and in which order. Stateright tries
//! every order there is for a few small rings ([`scenarios`]): chains are pushed, entered, taken by the backend at once, later
//! or not, in whole runs or cut; they succeed, fail, are cancelled before, while and after they run, run into deadlines, find
//! no room for their completions, and are torn down in every state. It is the real engine that takes every path ([`replay`]),
//! over a backend that notes whatever must never happen ([`world`]); there is no second description of it to keep in step.
//!
//! In every state it is also asked what would become of it: over a backend that is willing everything ends, over a dead
//! one a teardown counts all that is left. `ci/mutate-engine` breaks the engine in turn in the ways that it lists,
//! and each has to be found here.

#![cfg(not(loom))]
// Clippy takes only what is inside the test function for a test.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod replay;
mod scenarios;
mod world;

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use replay::{Choice, Entered, Facts, Replay};
use scenarios::Scenario;
use stateright::{Checker, DiscoveryClassification, HasDiscoveries, Model, Property};
use world::{End, Mood, rules};

/// How long one exploration may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Something that has to happen somewhere.
const LATE: &str = "a cancel that comes too late";

/// The path to a state, and what can be seen there.
#[derive(Clone, Debug)]
struct State {
    path: Vec<Choice>,
    facts: Facts,
    /// States are told apart by their paths, too.
    exact: bool,
}

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        self.facts == other.facts && !(self.exact && self.path != other.path)
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.facts.hash(hasher);
        if self.exact {
            self.path.hash(hasher);
        }
    }
}

struct Life {
    scenario: Scenario,
    exact: bool,
    /// How entries may stand when nothing is on its way.
    ends: Mutex<BTreeSet<Vec<Entered>>>,
}

impl Life {
    fn state(&self, path: Vec<Choice>) -> State {
        let facts = Replay::along(&self.scenario, &path).facts();
        State { path, facts, exact: self.exact }
    }

    fn is_over(&self, state: &State) -> bool {
        let pushed = (1u16 << self.scenario.chains.len()) - 1;
        (state.facts.closing || u16::from(state.facts.pushed) == pushed)
            && Replay::along(&self.scenario, &state.path).is_over()
    }
}

/// A property that no rule of this kind was broken.
fn keeps(name: &'static str, rule: fn(&Life, &State) -> bool) -> Property<Life> {
    Property::always(name, rule)
}

fn unbroken(state: &State, rule: u16) -> bool {
    state.facts.broken & rule == 0
}

impl Model for Life {
    type State = State;
    type Action = Choice;

    fn init_states(&self) -> Vec<State> {
        vec![self.state(Vec::new())]
    }

    fn actions(&self, state: &State, choices: &mut Vec<Choice>) {
        Replay::along(&self.scenario, &state.path).choices(choices);
    }

    fn next_state(&self, state: &State, choice: Choice) -> Option<State> {
        let mut path = state.path.clone();
        path.push(choice);
        let next = self.state(path);
        // What changes nothing leads nowhere.
        (next.facts != state.facts).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Life>> {
        vec![
            keeps("one entry, one completion", |_, state| unbroken(state, rules::ONE_COMPLETION)),
            keeps("memory is kept until the backend is done", |_, state| unbroken(state, rules::MEMORY)),
            keeps("what is open is used, and closed once", |_, state| unbroken(state, rules::DESCRIPTORS)),
            keeps("completions tell the truth", |_, state| unbroken(state, rules::TRUTH)),
            keeps("nothing stops what is FINALLY", |_, state| unbroken(state, rules::FINALLY_LEFT_ALONE)),
            keeps("members keep their order", |_, state| unbroken(state, rules::ORDER)),
            keeps("tokens are one operation's", |_, state| unbroken(state, rules::TOKENS)),
            keeps("DRAIN keeps others out", |_, state| unbroken(state, rules::DRAIN)),
            keeps("what runs for too long is asked to stop", |_, state| unbroken(state, rules::TIMERS)),
            keeps("a willing backend lets everything end, and FINALLY members run", |life, state| {
                Replay::along(&life.scenario, &state.path).runs_out()
            }),
            keeps("a teardown counts what a dead backend keeps", |life, state| {
                Replay::along(&life.scenario, &state.path).tears_down_over_a_dead_backend()
            }),
            Property::eventually("every packet ends", |life: &Life, state: &State| {
                if state.facts.pending.is_empty() && !state.facts.stirred {
                    life.ends.lock().unwrap().insert(state.facts.entries.clone());
                }
                life.is_over(state)
            }),
            Property::sometimes(LATE, |_, state: &State| {
                let known = &state.facts.known;
                let late = |data: usize| known.get(data).is_some_and(|known| known.end == Some(End::Success));
                let pending = &state.facts.pending;
                pending.iter().any(|one| one.given_up.is_some() && one.over && late(one.data as usize))
            }),
        ]
    }
}

/// Whether fewer paths are to do: `OUZEL_LIFE=short`.
fn is_short() -> bool {
    std::env::var("OUZEL_LIFE").is_ok_and(|value| value == "short")
}

/// How deep builds without optimisation go, which are for the engine's own assertions: what is deeper would take minutes.
const SHALLOW: Option<usize> = if cfg!(debug_assertions) { Some(8) } else { None };

/// Explores a scenario whole.
fn explore(mut scenario: Scenario) {
    // Teardowns are still asked about in each state; what else happens during one is left out.
    if is_short() {
        scenario.tears_down = false;
        scenario.moods.retain(|mood| *mood != Mood::TakeOne);
    }
    let begun = Instant::now();
    let name = scenario.name;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = life(scenario, false).checker().threads(threads).timeout(PATIENCE);
    let checker = if is_short() { checker.finish_when(HasDiscoveries::AnyFailures) } else { checker };
    let checker = if let Some(depth) = SHALLOW { checker.target_max_depth(depth) } else { checker };
    let checker = checker.spawn_bfs().join();
    println!(
        "{name}: {} states, {} generated, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f64()
    );
    let mut failed = Vec::new();
    for (property, path) in checker.discoveries() {
        if matches!(checker.discovery_classification(property), DiscoveryClassification::Counterexample) {
            failed.push(tell(property, path));
        }
    }
    assert!(failed.is_empty(), "{name}: {}", failed.join("\n"));
    if !is_short() && SHALLOW.is_none() {
        assert!(checker.discovery(LATE).is_some(), "{name}: no cancel comes too late");
    }
    assert!(checker.is_done(), "{name} was not explored whole");
    assert!(
        checker.unique_state_count() > if SHALLOW.is_some() { 50 } else { 1_000 },
        "{name} is hardly explored"
    );
}

fn life(scenario: Scenario, exact: bool) -> Life {
    Life { scenario, exact, ends: Mutex::default() }
}

/// What is wrong, and how it came about.
fn tell(property: &str, path: stateright::Path<State, Choice>) -> String {
    let state = path.last_state();
    let entries = state.facts.entries.iter().enumerate().filter(|(_, entry)| entry.submitted);
    let entries: Vec<String> = entries
        .map(|(data, entry)| {
            let ending =
                if entry.completions == 0 { "not over".to_owned() } else { format!("error {}", entry.error) };
            format!("{data}: {ending}, {:?}", state.facts.known[data].end)
        })
        .collect();
    format!("NOT TRUE: {property}\n  after {:?}\n  {}", state.path, entries.join("\n  "))
}

#[test]
fn every_way_of_opening_and_closing() {
    explore(scenarios::opened_and_closed());
}

#[test]
fn every_way_of_runs() {
    explore(scenarios::runs());
}

#[test]
fn every_way_of_deadlines() {
    explore(scenarios::deadlines());
}

#[test]
fn every_way_of_a_full_queue() {
    explore(scenarios::no_room());
}

#[test]
fn every_way_of_many_results() {
    explore(scenarios::many_results());
}

#[test]
fn every_way_of_draining() {
    explore(scenarios::drained());
}

#[test]
fn every_way_of_closing_twice() {
    explore(scenarios::closed_twice());
}

/// Facts are enough to tell states apart. If something that matters were missing in them, the number of states would depend on
/// which of two paths to the same facts is taken first; and whoever takes every path would see other ends.
#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation: cargo test --release")]
fn facts_are_enough() {
    for scenario in [scenarios::no_room, scenarios::many_results, scenarios::drained, scenarios::closed_twice]
    {
        let broad = life(scenario(), false).checker().timeout(PATIENCE).spawn_bfs().join();
        let deep = life(scenario(), false).checker().timeout(PATIENCE).spawn_dfs().join();
        assert_eq!(broad.unique_state_count(), deep.unique_state_count(), "{}", scenario().name);
    }
    let short = life(scenarios::small(), false).checker().timeout(PATIENCE).spawn_bfs().join();
    let whole = life(scenarios::small(), true).checker().timeout(PATIENCE).spawn_bfs().join();
    println!("{} states on {} paths", short.unique_state_count(), whole.unique_state_count());
    assert!(whole.is_done() && whole.unique_state_count() > 10 * short.unique_state_count());
    assert_eq!(*short.model().ends.lock().unwrap(), *whole.model().ends.lock().unwrap());
}

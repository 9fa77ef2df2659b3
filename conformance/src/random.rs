//! Random chains: made from a seed, run on two worlds, and compared step by step.
//!
//! A chain is kept as a list of [`Member`]s, which name files and memory by number, so that the same chain can be run in
//! any world, and made smaller when two worlds disagree. Data goes through a region, so that a wrong length is EFAULT
//! on both sides; records of STAT and READDIR, which may differ, go elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ouzel::abi::modifiers::*;
use ouzel::abi::{Completion, Entry, EntryFlags, Errno, Payload, Verb};
use ouzel::backend::fault::{Fault, Injection};
use ouzel::engine::{Buffers, Operation, Step};

use crate::entry::{self, Edit, HERE, NEVER};
use crate::memory::Memory;
use crate::service::{self, Wrap};
use crate::world::Open;
use crate::{Stage, World};

/// Numbers that a seed decides (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit.max(1)
    }

    /// True once in `count` times.
    pub fn once_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// One of `choices`.
    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A number of the environment, or `default`.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Bytes of the region that data goes through.
const DATA: u64 = 4096;
/// Files of a chain.
const FILES: u64 = 3;
/// Bytes for a listing.
const LISTING: usize = 4096;

/// One entry of a random chain.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    verb: Verb,
    /// Flags with specifiers; the links of a last member are left out.
    flags: u32,
    zero_timeout: bool,
    /// The file whose name is used, and the second one.
    files: [u64; 2],
    length: u64,
    offset: u64,
    modifier: u64,
    place: u64,
}

/// The chain that `seed` and `number` stand for.
pub fn chain(seed: u64, number: u64) -> Vec<Member> {
    let mut random = Random(seed ^ mix(number));
    let length = 1 + random.below(12);
    let pipes = random.once_in(3);
    let mut members: Vec<Member> = (0..length).map(|at| member(&mut random, at, pipes)).collect();
    if members.iter().any(|member| matches!(member.verb, Verb::Seek | Verb::Read)) {
        // Positions in a directory are the file system's own; and reading 0 bytes of one is a success to the kernel's
        // ring and EISDIR to a call.
        for member in members.iter_mut().filter(|member| member.verb == Verb::Open) {
            member.modifier &= !OpenFlags::DIRECTORY.bits();
        }
    }
    let finally = if random.once_in(3) { random.below(length) } else { length };
    for member in &mut members[finally as usize..] {
        member.flags |= EntryFlags::FINALLY.bits();
    }
    // What was opened is closed, as far as registers still hold it.
    for register in 0..4 {
        let flags = EntryFlags::FINALLY | EntryFlags::LINK | EntryFlags::load(0, register).unwrap();
        let close = Member { verb: Verb::Close, flags: flags.bits(), ..member(&mut random, 1, pipes) };
        members.push(Member { zero_timeout: false, ..close });
    }
    members
}

fn member(random: &mut Random, at: u64, pipes: bool) -> Member {
    const VERBS: [Verb; 32] = [
        Verb::Open,
        Verb::Open,
        Verb::Open,
        Verb::Read,
        Verb::Read,
        Verb::Read,
        Verb::Write,
        Verb::Write,
        Verb::Write,
        Verb::Close,
        Verb::Seek,
        Verb::Stat,
        Verb::Truncate,
        Verb::Allocate,
        Verb::Sync,
        Verb::Copy,
        Verb::Get,
        Verb::Get,
        Verb::Nop,
        Verb::Remove,
        Verb::Rename,
        Verb::Link,
        Verb::Readdir,
        Verb::Mkdir,
        Verb::Chmod,
        Verb::Chmod,
        Verb::Chown,
        Verb::Utimes,
        Verb::Access,
        Verb::Access,
        Verb::Readlink,
        Verb::Mknod,
    ];
    let verb = if pipes && (at == 0 || random.once_in(8)) {
        Verb::Pipe
    } else if at == 0 {
        Verb::Open
    } else {
        random.of(&VERBS)
    };
    let mut flags = random.of(&[EntryFlags::LINK, EntryFlags::LINK, EntryFlags::LINK, EntryFlags::HARDLINK]);
    if random.once_in(8) {
        flags |= EntryFlags::SILENT;
    }
    let load = |argument: usize, register: u64| EntryFlags::load(argument, register as usize).unwrap();
    // Registers 0 to 3 are for descriptors, 4 to 6 for numbers; now and then a descriptor is taken from a number.
    let (descriptor, second) =
        (if random.once_in(12) { random.below(7) } else { random.below(2) }, random.below(3));
    match verb {
        Verb::Open => flags |= EntryFlags::save(random.below(2) as usize).unwrap(),
        Verb::Pipe => flags |= EntryFlags::save(random.below(3) as usize).unwrap(),
        Verb::Get if random.once_in(3) => flags |= load(0, random.below(7)),
        // Pipes without a name cannot be changed in the simulator.
        Verb::Chmod | Verb::Chown | Verb::Utimes | Verb::Access | Verb::Readlink
            if !pipes && random.once_in(2) =>
        {
            flags |= load(0, descriptor);
        }
        Verb::Nop if random.once_in(4) => flags |= load(3, random.below(7)),
        Verb::Read
        | Verb::Write
        | Verb::Seek
        | Verb::Close
        | Verb::Truncate
        | Verb::Allocate
        | Verb::Sync
        | Verb::Readdir
        | Verb::Copy => {
            flags |= load(0, descriptor);
            if verb == Verb::Copy {
                flags |= load(4, second);
            }
            if random.once_in(4) && verb != Verb::Close && verb != Verb::Readdir {
                flags |= load(if verb == Verb::Seek { 3 } else { 2 }, 4 + random.below(3));
            }
        }
        _ => {}
    }
    if random.once_in(3) && matches!(verb, Verb::Read | Verb::Write | Verb::Seek | Verb::Copy | Verb::Get) {
        // A descriptor in a register for numbers would be an offset that differs between worlds.
        let copies_a_descriptor =
            verb == Verb::Get && flags.loaded_from(0).is_some_and(|register| register < 4);
        if !copies_a_descriptor {
            flags |= EntryFlags::save(4 + random.below(3) as usize).unwrap();
        }
    }
    if random.once_in(40) {
        flags |= load(1, random.below(7));
    }
    let modifier = match verb {
        Verb::Open => {
            let base = random.of(&[
                OpenFlags::READ,
                OpenFlags::READ | OpenFlags::WRITE,
                OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE,
                OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE,
                OpenFlags::WRITE | OpenFlags::APPEND,
                OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE,
                OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE,
                OpenFlags::READ | OpenFlags::DIRECTORY,
                OpenFlags::PATH,
                OpenFlags::APPEND,
            ]);
            base.bits()
        }
        Verb::Seek => random.below(4),
        Verb::Sync => random.below(4),
        Verb::Allocate => random.of(&[0, 0, 1, 3, 2]),
        Verb::Remove => random.below(2),
        Verb::Rename => random.below(4),
        Verb::Link => random.below(2),
        // What one may, all may, and the owner always reads and writes: it is the same for root.
        Verb::Chmod => random.of(&[0o600, 0o644, 0o666, 0o755, 0o1777, 0o10_600]),
        Verb::Chown | Verb::Utimes => random.below(3),
        Verb::Access => random.below(9),
        _ => 0,
    };
    Member {
        verb,
        flags: flags.bits(),
        zero_timeout: (verb != Verb::Nop && pipes) || random.once_in(6),
        files: [random.below(FILES + 1), random.below(FILES + 1)],
        length: random.of(&[0, 1, 7, 30, 64, 200, 600]),
        offset: random.of(&[HERE, HERE, HERE, 0, 0, 1, 10, 100, 5000, 1 << 63]),
        modifier,
        place: random.below(DATA - 600),
    }
}

/// What a world says of one chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Each completion: number, verb, error, result, extra, and what a record says.
    pub steps: Vec<(u64, u32, Errno, String, u32, String)>,
    /// Names and contents afterwards.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The region afterwards.
    pub data: Vec<u8>,
    /// Descriptors still open.
    pub open: Open,
}

/// A world with faults, and what turns them on.
pub struct Player {
    world: World,
    /// The chain that faults are decided for; 0 is none.
    key: Arc<AtomicU64>,
    data: Memory,
    region: u16,
}

impl Player {
    /// A fresh world on `stage`, with faults that `seed` decides.
    pub fn new(stage: &Stage, seed: u64) -> Player {
        let builder = stage.builder().entries(64).completions(64).descriptors(512);
        let key = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&key);
        let decide = Box::new(move |step: &Step| match seen.load(Ordering::Relaxed) {
            0 => Injection::default(),
            chain => injection(seed ^ mix(chain), step),
        });
        let ring = if stage.is_scheme() {
            let wrap: Wrap = Box::new(move |backend| Box::new(Fault::new(backend, decide)));
            let limits = service::Limits { descriptors: 512, ..service::Limits::default() };
            service::connect(&builder, limits, Some(wrap)).expect("a ring")
        } else {
            let (backend, _) = builder.open_backend().expect("a backend");
            builder.build_raw_on(Box::new(Fault::new(backend, decide))).expect("a ring")
        };
        let mut world = World::over(stage, ring);
        let data = world.room(DATA as usize);
        let region = world.region(data);
        Player { world, key, data, region }
    }

    /// Runs a chain, in a directory of its own, with the faults of chain `number`.
    pub fn play(&mut self, members: &[Member], number: u64, faults: bool) -> Account {
        let before = self.world.descriptors();
        let directory = format!("c{number}");
        let path = self.world.path(&directory);
        self.world.ok(entry::mkdir(path));
        let file = self
            .world
            .file(&format!("{directory}/f0"), b"The first file of each chain has these bytes to read.");
        self.world.close(file);
        let filler: Vec<u8> = (0..DATA).map(|at| b'a' + (at % 23) as u8).collect();
        self.world.set(self.data, &filler);
        let mut records = Vec::new();
        let mut entries = Vec::new();
        for member in members {
            let (entry, record) = self.entry(member, &directory);
            entries.push(entry);
            records.push(record);
        }
        if let Some(last) = entries.last_mut() {
            last.flags &= !EntryFlags::CHAINED.bits();
        }
        if let Some(first) = entries.first_mut() {
            first.flags |= EntryFlags::LOCAL.bits();
        }
        self.key.store(if faults { number + 1 } else { 0 }, Ordering::Relaxed);
        let all = self.world.run(&entries);
        self.key.store(0, Ordering::Relaxed);
        let mut descriptors = Vec::new();
        let steps = all
            .iter()
            .map(|one| {
                let said = self.said(one, records[one.data as usize]);
                (one.data, one.op, told(one), name(one.result, &mut descriptors), one.extra, said)
            })
            .collect();
        let data = self.world.bytes(self.data);
        let open = self.world.descriptors().since(before);
        let files = self.files(&directory);
        Account { steps, files, data, open }
    }

    fn entry(&self, member: &Member, directory: &str) -> (Entry, Memory) {
        let world = &self.world;
        let Member { files, length, offset, modifier, .. } = *member;
        let file = |at: usize| format!("{directory}/f{}", files[at]);
        let at = Payload::new(self.region, member.place).unwrap().number();
        let data = Memory { payload: at, length };
        let mut record = Memory::NONE;
        let made = match member.verb {
            Verb::Open => {
                let name =
                    if modifier & OpenFlags::DIRECTORY.bits() != 0 { directory.to_owned() } else { file(0) };
                entry::open(world.path(&name), OpenFlags::from_bits_retain(modifier))
            }
            Verb::Read => entry::read(0, data, offset),
            Verb::Write => entry::write(0, data, offset),
            Verb::Close => entry::close(0),
            Verb::Seek => entry::seek(0, length as i64 - 20, Whence::Start).arg(4, modifier),
            Verb::Stat => {
                record = world.room(256);
                entry::stat(world.path(&file(0)), record)
            }
            Verb::Truncate => entry::truncate(0, length),
            Verb::Allocate => entry::allocate(0, length, length, AllocateFlags::from_bits_retain(modifier)),
            Verb::Sync => entry::sync(0, SyncMode::Full).arg(4, modifier),
            Verb::Copy => {
                let to = if offset < 5000 { offset + 2000 } else { offset };
                entry::copy(0, offset, 0, to, length)
            }
            Verb::Get => entry::get(length),
            Verb::Remove => entry::remove(world.path(&file(0)), RemoveFlags::from_bits_retain(modifier)),
            Verb::Rename => {
                entry::rename(world.paths(&file(0), &file(1)), RenameFlags::from_bits_retain(modifier))
            }
            Verb::Link => entry::link(world.paths(&file(0), &file(1)), LinkFlags::from_bits_retain(modifier)),
            Verb::Readdir => {
                record = world.room(LISTING);
                entry::readdir(0, record)
            }
            Verb::Mkdir => entry::mkdir(world.path(&file(0))),
            Verb::Mknod => entry::mknod(world.path(&file(0)), NodeKind::Regular, 0),
            Verb::Chmod | Verb::Chown | Verb::Utimes | Verb::Access | Verb::Readlink => {
                let open = EntryFlags::from_bits_retain(member.flags).loaded_from(0).is_some();
                let path = if open { Memory::NONE } else { world.path(&file(0)) };
                match member.verb {
                    Verb::Chmod => entry::chmod(path, modifier),
                    Verb::Chown => entry::chown(path, OWNER_OMIT, OWNER_OMIT).arg(3, modifier),
                    // 32 bytes of the first file's filler are no good times; zeros are.
                    Verb::Utimes if length == 7 => entry::utimes(path, Memory { payload: at, length: 32 }),
                    Verb::Utimes => entry::utimes(path, world.room(32)).arg(4, modifier),
                    Verb::Access => entry::access(path, AccessFlags::from_bits_retain(modifier)),
                    _ => entry::readlink(path, data),
                }
            }
            verb => Entry::new(verb),
        };
        let timeout = if member.zero_timeout { 0 } else { NEVER };
        (made.with(EntryFlags::from_bits_retain(member.flags)).timeout(timeout), record)
    }

    /// What the record of a STAT or READDIR says, without what may differ.
    fn said(&self, one: &Completion, record: Memory) -> String {
        let bytes = if record.length == 0 { Vec::new() } else { self.world.bytes(record) };
        match Verb::from_number(one.op) {
            Some(Verb::Stat) if one.error == 0 => {
                let mode = u16::from_ne_bytes([bytes[28], bytes[29]]);
                let links = u32::from_ne_bytes(bytes[16..20].try_into().unwrap());
                let size = u64::from_ne_bytes(bytes[40..48].try_into().unwrap());
                if mode & 0o170_000 == 0o100_000 {
                    format!("{mode:o} links {links} size {size}")
                } else {
                    format!("{mode:o}")
                }
            }
            Some(Verb::Readdir) if one.error == 0 => {
                let mut names = BTreeSet::new();
                let mut at = 0;
                while at < one.result as usize {
                    let length = u16::from_ne_bytes([bytes[at + 16], bytes[at + 17]]) as usize;
                    let text = bytes[at + 19..at + length].split(|byte| *byte == 0).next().unwrap();
                    names.insert(String::from_utf8_lossy(text).into_owned());
                    at += length;
                }
                format!("{names:?}")
            }
            _ => String::new(),
        }
    }

    fn files(&mut self, directory: &str) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for number in 0..=FILES {
            let name = format!("{directory}/f{number}");
            let path = self.world.path(&name);
            let one = self.world.one(entry::open(path, OpenFlags::READ));
            let content = match one.outcome() {
                Ok(file) => {
                    let memory = self.world.room(12_000);
                    let content = match self.world.one(entry::read(file, memory, 0)).outcome() {
                        Ok(count) => self.world.bytes(memory.part(0, count)),
                        Err(error) => error.to_string().into_bytes(),
                    };
                    self.world.close(file);
                    content
                }
                Err(error) => error.to_string().into_bytes(),
            };
            found.insert(name, content);
        }
        found
    }
}

/// The error. When several apply to one entry, which of them is told is not part of the ABI; so those that can apply
/// together count as one. The programs of the suite ask for each by itself.
fn told(one: &Completion) -> Errno {
    let several = matches!(one.errno(), Errno::EBADF | Errno::ESPIPE | Errno::EINVAL | Errno::EISDIR);
    if several { Errno::EINVAL } else { one.errno() }
}

/// A result; large ones, which are descriptors, by the order in which they appear.
fn name(result: u64, descriptors: &mut Vec<u64>) -> String {
    if result >> 32 == 0 || result >> 62 != 0 {
        return result.to_string();
    }
    let at = descriptors.iter().position(|other| *other == result).unwrap_or_else(|| {
        descriptors.push(result);
        descriptors.len() - 1
    });
    format!("descriptor {at}")
}

/// What happens to an operation, by what it is and not by when it comes: backends start operations in runs of their own.
fn injection(seed: u64, step: &Step) -> Injection {
    let identity = match step.operation {
        Operation::Read { buffers: Buffers::One(span), position, .. } => {
            mix(1 + span.length as u64) ^ position.unwrap_or(u64::MAX)
        }
        Operation::Write { buffers: Buffers::One(span), position, .. } => {
            mix(1001 + span.length as u64) ^ position.unwrap_or(u64::MAX)
        }
        Operation::Open { flags, .. } => mix(2001 + flags.bits()),
        Operation::Close { .. } => mix(3001),
        Operation::Truncate { length, .. } => mix(4001 + length),
        Operation::Stat { .. } => mix(5001),
        Operation::Copy { length, .. } => mix(6001 + length),
        Operation::Seek { .. } => mix(7001),
        _ => mix(8001),
    };
    let mut random = Random(seed ^ identity);
    let mut injection = Injection::default();
    if random.once_in(6) {
        injection.shorten = Some(1 + random.below(40));
    }
    if random.once_in(12) && !matches!(step.operation, Operation::Close { .. }) {
        injection.error = Some(random.of(&[Errno::EIO, Errno::ENOSPC, Errno::ENOMEM, Errno::EINTR]));
    }
    if random.once_in(6) {
        injection.hold_waits = 1 + random.below(4) as u32;
    }
    injection.busy = random.once_in(10);
    injection
}

/// Whether two worlds, made anew, disagree about a chain.
fn disagree(stages: [&Stage; 2], seed: u64, number: u64, members: &[Member]) -> Option<[Account; 2]> {
    let accounts = stages.map(|stage| Player::new(stage, seed).play(members, number, true));
    (accounts[0] != accounts[1]).then_some(accounts)
}

/// Takes members out of a chain for as long as the worlds still disagree.
pub fn shrink(stages: [&Stage; 2], seed: u64, number: u64, members: &[Member]) -> Option<String> {
    let mut members = members.to_vec();
    let mut accounts = disagree(stages, seed, number, &members)?;
    let mut at = 0;
    while at < members.len() && members.len() > 1 {
        let mut fewer = members.clone();
        fewer.remove(at);
        match disagree(stages, seed, number, &fewer) {
            Some(found) => (members, accounts) = (fewer, found),
            None => at += 1,
        }
    }
    Some(table(stages, &members, &accounts))
}

/// A chain and what two worlds say of it, as a table.
pub fn table(stages: [&Stage; 2], members: &[Member], accounts: &[Account; 2]) -> String {
    let mut text = String::new();
    for (at, member) in members.iter().enumerate() {
        let _ = writeln!(text, "{at:3} {member:?}");
        for (stage, account) in stages.iter().zip(accounts) {
            let found = account.steps.iter().find(|step| step.0 == at as u64);
            let _ = writeln!(text, "      {:14} {found:?}", stage.name());
        }
    }
    for (stage, account) in stages.iter().zip(accounts) {
        let order: Vec<u64> = account.steps.iter().map(|step| step.0).collect();
        let _ = writeln!(text, "{}: order {order:?}, {:?} left open", stage.name(), account.open);
    }
    let [first, second] = accounts;
    for (name, content) in &first.files {
        let other = &second.files[name];
        if content != other {
            let _ = writeln!(
                text,
                "{name}:\n  {:?}\n  {:?}",
                String::from_utf8_lossy(content),
                String::from_utf8_lossy(other)
            );
        }
    }
    if first.data != second.data {
        let _ = writeln!(text, "the memory that was read into differs");
    }
    text
}

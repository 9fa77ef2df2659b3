//! Services with code of their own, asked through a real connection: what they answer at once, later, never, and wrongly.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

#[path = "services/scene.rs"]
mod scene;

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ouzel_engine::Target;
use ouzel_ring::modifiers::{OpenFlags, XattrFlags};
use ouzel_ring::{Entry, Errno, Verb};
use ouzel_scheme::{At, AtOnce, Bytes, Error, Position, Scheme, Simple};
use scene::{LENGTH, LONG, eventually, memory, open_use_close, serve};

fn raw(errno: Errno) -> i32 {
    errno.raw()
}

/// How many files there are open, and how many CLOSEs there were.
#[derive(Clone, Default)]
struct Count {
    open: Arc<AtomicU32>,
    closed: Arc<AtomicU32>,
}

impl Count {
    fn open(&self) -> u32 {
        self.open.load(Ordering::SeqCst)
    }
}

struct Opened {
    bytes: Vec<u8>,
    count: Count,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.count.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A few files in memory.
#[derive(Default)]
struct Shelf(Count);

impl Simple for Shelf {
    type File = Opened;

    fn open(&self, at: At<'_, Opened>, path: &[u8], flags: OpenFlags, _: u32) -> Result<Opened, Errno> {
        assert!(at.is_none(), "nothing here is a directory");
        if flags.contains(OpenFlags::WRITE) {
            return Err(Errno::EROFS);
        }
        let bytes = match path {
            b"short" => b"a few bytes".to_vec(),
            b"long" => (0..50_000_u32).map(|at| (at % 251) as u8).collect(),
            _ => return Err(Errno::ENOENT),
        };
        self.0.open.fetch_add(1, Ordering::SeqCst);
        Ok(Opened { bytes, count: self.0.clone() })
    }

    fn close(&self, file: Rc<Opened>) -> Result<(), Errno> {
        file.count.closed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn read(&self, file: &Opened, into: &Bytes, position: Position) -> Result<u64, Errno> {
        let from = usize::try_from(position.ok_or(Errno::ESPIPE)?).map_err(|_| Errno::EINVAL)?;
        Ok(into.copy_from(0, file.bytes.get(from..).unwrap_or_default()) as u64)
    }
}

#[test]
fn open_read_and_close_are_one_chain() {
    let count = Count::default();
    let counted = count.clone();
    let service = serve(move || AtOnce(Shelf(counted.clone())));
    let mut guest = service.client();
    for (path, offset, length) in [("short", 2, 9), ("long", 777, 40_000), ("short", 11, 0), ("short", 99, 0)]
    {
        let open = guest.open(0, path, OpenFlags::READ);
        let read = guest.read(0, 1001, 40_000, offset);
        for entry in open_use_close(open, read) {
            guest.push(entry);
        }
        let done = guest.completions(3);
        assert_eq!([done[0].error, done[1].error, done[2].error], [0; 3]);
        assert_eq!(done[1].result, length);
        let expected: Vec<u8> = match path {
            "short" => b"a few bytes"[(offset as usize).min(11)..].to_vec(),
            _ => (offset as u32..offset as u32 + 40_000).map(|at| (at % 251) as u8).collect(),
        };
        assert_eq!(guest.bytes(1001, length as usize), expected);
    }
    assert_eq!((count.open(), count.closed.load(Ordering::SeqCst)), (0, 4));

    // Of a chain whose OPEN fails nothing else is asked.
    let open = guest.open(0, "nowhere", OpenFlags::READ);
    let read = guest.read(0, 1000, 8, 0);
    for entry in open_use_close(open, read) {
        guest.push(entry);
    }
    let done = guest.completions(3);
    assert_eq!(
        [done[0].error, done[1].error, done[2].error],
        [Errno::ENOENT, Errno::ECANCELED, Errno::ECANCELED].map(raw)
    );
    // A doorbell for a chain, and none for each of its entries.
    let statistics = service.stop();
    assert!(statistics.entries >= 15 && statistics.turns <= statistics.entries, "{statistics:?}");
}

#[test]
fn what_is_not_answered_is_enosys() {
    let service = serve(|| AtOnce(Shelf::default()));
    let mut guest = service.client();
    let file = guest.opened("short", OpenFlags::READ);
    let (payload, there) = (guest.payload(0), guest.payload(4096));
    guest.put(0, b"name\0");
    let verbs = [
        (Verb::Write, [file, payload, 4, 0, 0]),
        (Verb::Seek, [file, 0, 0, 0, 0]),
        (Verb::Stat, [0, payload, 5, there, 0]),
        (Verb::Stat, [file, 0, 0, there, 0]),
        (Verb::Sync, [file, 0, 0, 0, 0]),
        (Verb::Truncate, [file, 0, 0, 0, 0]),
        (Verb::Mkdir, [0, payload, 5, 0, 0]),
        (Verb::Remove, [0, payload, 5, 0, 0]),
        (Verb::Readdir, [file, there, 4096, 0, 0]),
        (Verb::Readlink, [0, payload, 5, there, 100]),
        (Verb::Poll, [file, 0, 0, 1, 0]),
    ];
    for (verb, arguments) in verbs {
        let completion = guest.ask(Entry::new(verb).arguments(arguments));
        assert_eq!(completion.error, raw(Errno::ENOSYS), "{verb:?}");
    }
    // No service answers these, and no service is asked.
    let completion = guest.ask(Entry::new(Verb::Socket).arguments([1, 1, 0, 0, 0]));
    assert_eq!(completion.error, raw(Errno::ENOSYS));
    // What the engine knows by itself it does not ask the service.
    assert_eq!(guest.ask(Entry::new(Verb::Nop)).error, 0);
    assert_eq!(guest.ask(Entry::new(Verb::Close).arguments([file, 0, 0, 0, 0])).error, 0);
    assert_eq!(guest.ask(guest.read(file, 0, 8, 0)).error, raw(Errno::EBADF));
    assert_eq!(guest.ask(Entry::new(Verb::Close).arguments([file, 0, 0, 0, 0])).error, raw(Errno::EBADF));
    assert_eq!(guest.ask(guest.open(0, "short", OpenFlags::WRITE)).error, raw(Errno::EROFS));
}

#[test]
fn the_table_of_descriptors_has_an_end() {
    let count = Count::default();
    let counted = count.clone();
    let service = serve(move || AtOnce(Shelf(counted.clone())));
    let mut guest = service.client();
    let mut files: Vec<u64> = (0..16).map(|_| guest.opened("short", OpenFlags::READ)).collect();
    assert_eq!(guest.ask(guest.open(0, "short", OpenFlags::READ)).error, raw(Errno::EMFILE));
    assert_eq!(count.open(), 16);
    files.truncate(3);
    for file in files {
        assert_eq!(guest.ask(Entry::new(Verb::Close).arguments([file, 0, 0, 0, 0])).error, 0);
    }
    guest.opened("short", OpenFlags::READ);
    assert_eq!(count.open(), 14);
    // Whoever goes takes all with it.
    drop(guest);
    eventually("files are closed when the client goes", || count.open() == 0);
}

/// What a READ of a [`Slow`] service waits for: bytes, by the position.
#[derive(Clone, Default)]
struct Board(Arc<Mutex<HashMap<u64, Ticket>>>, Count);

#[derive(Default)]
struct Ticket {
    answer: Option<Result<&'static [u8], Errno>>,
    waker: Option<Waker>,
    /// Futures that wait for it.
    waiting: u32,
    polls: u32,
}

impl Board {
    fn with<T>(&self, position: u64, each: impl FnOnce(&mut Ticket) -> T) -> T {
        each(self.0.lock().unwrap().entry(position).or_default())
    }

    fn waiting(&self, position: u64) -> u32 {
        self.with(position, |ticket| ticket.waiting)
    }

    fn answer(&self, position: u64, answer: Result<&'static [u8], Errno>) {
        let waker = self.with(position, |ticket| {
            ticket.answer = Some(answer);
            ticket.waker.take()
        });
        waker.into_iter().for_each(Waker::wake);
    }

    fn wait_for(&self, position: u64) {
        eventually("the service is asked", || self.waiting(position) > 0);
    }
}

struct Waiting(Board, u64);

impl Waiting {
    fn new(board: &Board, position: u64) -> Waiting {
        board.with(position, |ticket| ticket.waiting += 1);
        Waiting(board.clone(), position)
    }
}

impl Future for Waiting {
    type Output = Result<&'static [u8], Errno>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.with(self.1, |ticket| {
            ticket.polls += 1;
            match ticket.answer.take() {
                Some(answer) => Poll::Ready(answer),
                None => {
                    ticket.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.with(self.1, |ticket| ticket.waiting -= 1);
    }
}

/// Takes its time for everything that the board does not say yet.
struct Slow(Board);

impl Scheme for Slow {
    type File = Opened;

    async fn open(&self, _: At<'_, Opened>, path: &[u8], _: OpenFlags, _: u32) -> Result<Opened, Errno> {
        if path == b"slow" {
            Waiting::new(&self.0, 0).await?;
        }
        self.0.1.open.fetch_add(1, Ordering::SeqCst);
        Ok(Opened { bytes: Vec::new(), count: self.0.1.clone() })
    }

    async fn read(&self, _: &Opened, into: &Bytes, position: Position) -> Result<u64, Errno> {
        let answer = Waiting::new(&self.0, position.ok_or(Errno::ESPIPE)?).await?;
        Ok(into.copy_from(0, answer) as u64)
    }

    async fn write(&self, _: &Opened, from: &Bytes, _: Position) -> Result<u64, Errno> {
        // Never over, and always about to be.
        poll_fn(|context| {
            self.0.with(u64::MAX, |ticket| ticket.polls += 1);
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        })
        .await;
        Ok(from.len() as u64)
    }

    async fn close(&self, file: Rc<Opened>) -> Result<(), Errno> {
        file.count.closed.fetch_add(1, Ordering::SeqCst);
        // It is closed all the same.
        Err(Errno::EIO)
    }
}

fn slow() -> (Board, scene::Running) {
    let board = Board::default();
    let own = board.clone();
    (board, serve(move || Slow(own.clone())))
}

#[test]
fn an_answer_may_come_later_from_another_thread() {
    let (board, service) = slow();
    let mut guest = service.client();
    let file = guest.opened("x", OpenFlags::READ);
    for at in 1..=3 {
        guest.push(guest.read(file, 100 * at, 50, at).data(at));
    }
    guest.show();
    for at in 1..=3 {
        board.wait_for(at);
    }
    assert!(guest.client.pop().is_none(), "nobody has answered");
    // Not in the order in which they were asked.
    let others = board.clone();
    let thread = std::thread::spawn(move || {
        others.answer(3, Ok(b"third"));
        others.answer(1, Ok(b"first"));
        others.answer(2, Err(Errno::ENODEV));
    });
    let done = guest.completions(3);
    thread.join().unwrap();
    assert_eq!(done.iter().map(|done| done.error).collect::<Vec<_>>(), [0, raw(Errno::ENODEV), 0]);
    assert_eq!((done[0].result, guest.bytes(100, 5)), (5, b"first".to_vec()));
    assert_eq!((done[2].result, guest.bytes(300, 5)), (5, b"third".to_vec()));
    assert_eq!([1, 2, 3].map(|at| board.waiting(at)), [0; 3]);
    // Each was polled when it began and when it was woken.
    assert_eq!(board.with(1, |ticket| ticket.polls), 2);
}

#[test]
fn memory_that_was_taken_back_counts_until_nothing_is_in_flight() {
    const PART: usize = 20 << 20;
    let (board, service) = slow();
    let mut guest = service.client();
    let file = guest.opened("x", OpenFlags::READ);
    guest.push(guest.read(file, 100, 50, 1));
    guest.show();
    board.wait_for(1);
    let part = memory(PART);
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let number = guest.client.share(part.as_fd(), PART).unwrap();
        guest.client.unshare(number).unwrap();
        numbers.push(number);
    }
    assert_eq!(numbers, [numbers[0]; 3], "a number that is free is given out again");
    let refused = guest.client.share(part.as_fd(), PART).unwrap_err();
    assert!(matches!(refused, Error::Memory { errno: Errno::EDQUOT, .. }), "{refused}");
    board.answer(1, Ok(b"over"));
    guest.completions(1);
    // Nothing of it is there any more.
    for _ in 0..3 {
        guest.client.share(part.as_fd(), PART).unwrap();
    }
}

#[test]
fn chains_wait_for_what_takes_its_time() {
    let (board, service) = slow();
    let mut guest = service.client();
    let open = guest.open(0, "slow", OpenFlags::READ);
    for entry in open_use_close(open, guest.read(0, 1000, 50, 7)) {
        guest.push(entry);
    }
    guest.show();
    board.wait_for(0);
    assert_eq!(board.waiting(7), 0, "what follows has not begun");
    board.answer(0, Ok(b""));
    board.wait_for(7);
    assert_eq!(board.1.open(), 1);
    board.answer(7, Ok(b"at last"));
    let done = guest.completions(3);
    assert_eq!([done[0].error, done[1].error, done[2].error], [0, 0, raw(Errno::EIO)]);
    assert_eq!(guest.bytes(1000, 7), b"at last");
    assert_eq!((board.1.open(), board.1.closed.load(Ordering::SeqCst)), (0, 1));
}

#[test]
fn a_cancelled_answer_is_dropped_before_it_is_told() {
    let (board, service) = slow();
    let mut guest = service.client();
    let file = guest.opened("x", OpenFlags::READ);
    for round in 0..20 {
        guest.push(guest.read(file, 0, 50, 5).data(9));
        guest.show();
        board.wait_for(5);
        if round % 2 == 0 {
            assert_eq!(guest.client.cancel(Target::Data(9)).unwrap(), 1);
        } else {
            guest.push(Entry::new(Verb::Cancel).arguments([0, 9, 0, 0, 0]).data(10));
        }
        let done = guest.completions(1 + round % 2);
        assert_eq!((done[0].data, done[0].error), (9, raw(Errno::ECANCELED)));
        assert!(done.iter().skip(1).all(|cancel| (cancel.error, cancel.result) == (0, 1)), "{done:?}");
        assert_eq!(board.waiting(5), 0, "nothing can reach the client's memory");
        // Too late.
        board.with(5, |ticket| ticket.waker.take()).into_iter().for_each(Waker::wake);
    }
    // An OPEN that is given up opens nothing.
    guest.push(guest.open(0, "slow", OpenFlags::READ).data(3));
    guest.show();
    board.wait_for(0);
    assert_eq!(guest.client.cancel(Target::All).unwrap(), 1);
    assert_eq!(guest.completions(1)[0].error, raw(Errno::ECANCELED));
    assert_eq!(board.1.open(), 1, "the first only");
}

#[test]
fn timeouts_end_what_has_no_answer() {
    let (board, service) = slow();
    let mut guest = service.client();
    let file = guest.opened("x", OpenFlags::READ);
    // None: there is no answer, or there is.
    assert_eq!(guest.ask(guest.read(file, 0, 50, 1).timeout(0)).error, raw(Errno::ETIMEDOUT));
    assert_eq!(board.waiting(1), 0);
    board.answer(2, Ok(b"there"));
    assert_eq!(guest.ask(guest.read(file, 0, 50, 2).timeout(0)).result, 5);
    let begin = Instant::now();
    let completion = guest.ask(guest.read(file, 0, 50, 1).timeout(30_000_000));
    assert_eq!(completion.error, raw(Errno::ETIMEDOUT));
    assert!(begin.elapsed() >= Duration::from_millis(30) && begin.elapsed() < LONG);
    assert_eq!(board.waiting(1), 0, "it is given up before its end is told");
    // In time.
    guest.push(guest.read(file, 0, 50, 4).timeout(LONG.as_nanos() as u64));
    guest.show();
    board.wait_for(4);
    board.answer(4, Ok(b"in time"));
    assert_eq!(guest.completions(1)[0].result, 7);
}

#[test]
fn whoever_goes_takes_its_questions_and_files_with_it() {
    let (board, service) = slow();
    let mut guests: Vec<_> = (0..3).map(|_| service.client()).collect();
    for (at, guest) in (1..).zip(&mut guests) {
        let file = guest.opened("x", OpenFlags::READ);
        guest.opened("y", OpenFlags::READ);
        guest.push(guest.read(file, 0, 50, at));
        guest.show();
        board.wait_for(at);
    }
    assert_eq!(board.1.open(), 6);
    drop(guests.remove(0));
    eventually("its files are closed", || board.1.open() == 4);
    assert_eq!([1, 2, 3].map(|at| board.waiting(at)), [0, 1, 1]);
    // One that says so has it in writing.
    assert_eq!(guests[0].client.close(LONG), 0);
    assert_eq!((board.1.open(), board.waiting(2)), (2, 0));
    // And so has everyone when the service ends.
    service.stop();
    assert_eq!((board.1.open(), board.waiting(3)), (0, 0));
    assert_eq!(guests[1].completions(1)[0].error, raw(Errno::ECANCELED));
}

#[test]
fn what_wakes_itself_leaves_others_their_turn() {
    let (board, service) = slow();
    let (mut busy, mut other) = (service.client(), service.client());
    let file = busy.opened("x", OpenFlags::READ | OpenFlags::WRITE);
    let payload = busy.payload(0);
    busy.push(Entry::new(Verb::Write).arguments([file, payload, 10, 0, 0]).data(8));
    busy.show();
    let polls = || board.with(u64::MAX, |ticket| ticket.polls);
    eventually("it is polled again and again", || polls() > 100);
    for _ in 0..100 {
        assert_eq!(other.ask(Entry::new(Verb::Nop)).error, 0);
        assert_eq!(busy.ask(Entry::new(Verb::Nop)).error, 0);
    }
    assert_eq!(busy.client.cancel(Target::Data(8)).unwrap(), 1);
    assert_eq!(busy.completions(1)[0].error, raw(Errno::ECANCELED));
    let after = polls();
    assert_eq!(busy.ask(Entry::new(Verb::Nop)).error, 0);
    assert_eq!(polls(), after, "it is gone");
}

/// Says what cannot be.
struct Liar;

impl Simple for Liar {
    type File = ();

    fn open(&self, _: At<'_, ()>, _: &[u8], _: OpenFlags, _: u32) -> Result<(), Errno> {
        Ok(())
    }

    fn read(&self, _: &(), into: &Bytes, position: Position) -> Result<u64, Errno> {
        match position {
            Some(0) => Err(Errno::from_raw(0)),
            _ => Ok(into.copy_from(0, &vec![b'x'; LENGTH]) as u64 + 1000),
        }
    }

    fn write(&self, _: &(), from: &Bytes, _: Position) -> Result<u64, Errno> {
        // More than there is cannot be read either.
        Ok(from.copy_to(0, &mut vec![0; LENGTH]) as u64 + u64::from(u32::MAX))
    }

    fn readdir(&self, _: &(), _: &Bytes) -> Result<u64, Errno> {
        Ok(u64::MAX)
    }

    fn readlink(&self, _: At<'_, ()>, _: Option<&[u8]>, into: &Bytes) -> Result<u64, Errno> {
        into.copy_from(0, b"target");
        Ok(100)
    }

    fn listxattr(&self, _: At<'_, ()>, _: Option<&[u8]>, _: &Bytes, _: XattrFlags) -> Result<u64, Errno> {
        Ok(100)
    }
}

#[test]
fn what_cannot_be_is_not_passed_on() {
    let service = serve(|| AtOnce(Liar));
    let mut guest = service.client();
    let file = guest.opened("x", OpenFlags::READ | OpenFlags::WRITE);
    let (payload, there) = (guest.payload(0), guest.payload(4096));
    guest.put(4096, &[b'.'; 200]);
    let read = guest.ask(guest.read(file, 4096, 100, 1));
    assert_eq!((read.error, read.result), (0, 100), "as much as was asked for");
    assert_eq!(guest.bytes(4096, 101), [&[b'x'; 100][..], b"."].concat(), "and nothing behind it");
    let write = guest.ask(Entry::new(Verb::Write).arguments([file, payload, 33, 0, 0]));
    assert_eq!((write.error, write.result), (0, 33));
    let list = guest.ask(Entry::new(Verb::Readdir).arguments([file, there, 200, 0, 0]));
    assert_eq!((list.error, list.result), (0, 200));
    // An error that is none.
    assert_eq!(guest.ask(guest.read(file, 0, 8, 0)).error, raw(Errno::EIO));
    // What is whole or nothing.
    guest.put(0, b"link\0");
    for (room, error, result) in [(0, 0, 100), (99, raw(Errno::ERANGE), 0), (100, 0, 100)] {
        let link = guest.ask(Entry::new(Verb::Readlink).arguments([0, payload, 5, there, room]));
        assert_eq!((link.error, link.result), (error, result), "{room}");
        let names = guest.ask(Entry::new(Verb::ListXattr).arguments([0, payload, 5, there, room]));
        assert_eq!((names.error, names.result), (error, result), "{room}");
    }
    // In pieces.
    let mut pieces = Vec::new();
    for (offset, length) in [(5000_u64, 3_u64), (6000, 0), (7000, 4)] {
        pieces.extend_from_slice(&guest.payload(offset).to_ne_bytes());
        pieces.extend_from_slice(&length.to_ne_bytes());
    }
    guest.put(0, &pieces);
    guest.put(5000, &[b'.'; 2100]);
    for (count, moved) in [(3, 7), (0, 0)] {
        let read = guest.ask(Entry::new(Verb::Read).arguments([file, payload, count, 1, 1]));
        assert_eq!((read.error, read.result), (0, moved));
    }
    assert_eq!((guest.bytes(5000, 4), guest.bytes(7000, 5)), (b"xxx.".to_vec(), b"xxxx.".to_vec()));
}

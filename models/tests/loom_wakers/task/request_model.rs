//! Requests: whatever the future of a chain does while the executor begins with it and ends it, the chain and its end have one
//! owner, the end is told, and a cell that is used again is nobody else's.

use std::task::Poll;

use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;

use super::inbox::{Alarm, Refused, Shared};
use super::request::{Left, Request, Requests};
use crate::model;

type Token = Arc<()>;
type Cell = Arc<Request<Token, Token>>;

struct Silent;

impl Alarm for Silent {
    fn ring(&self) {}
}

/// An end that comes while it is awaited arrives.
#[test]
fn an_end_arrives() {
    model(3, || {
        let requests = Requests::<Token, Token>::new(1);
        let (request, _) = requests.claim();
        request.fill(Arc::new(()));
        let there = Arc::clone(&request);
        let thread = thread::spawn(move || {
            let chain = there.begin().unwrap();
            assert!(there.end(chain).is_ok());
        });
        let end = block_on(std::future::poll_fn(|context| request.poll(context)));
        thread.join().unwrap();
        requests.keep(request, Some(end));
        assert!(requests.claim().1.is_some());
    });
}

/// What the executor does with what comes out of its inbox, as `core/requests.rs` does.
fn executor(begin: &Cell, requests: &Requests<Token, Token>) -> (Option<Token>, bool) {
    match begin.begin() {
        Some(chain) => (begin.end(chain).err(), false),
        None => {
            requests.keep(Arc::clone(begin), None);
            (None, true)
        }
    }
}

/// A future that is dropped at any moment: the chain, or its end, is dropped once, and the cell is kept once.
#[test]
fn a_request_is_given_up() {
    model(3, || {
        let requests = Arc::new(Requests::<Token, Token>::new(2));
        let (request, _) = requests.claim();
        let token = Arc::new(());
        request.fill(Arc::clone(&token));
        let (there, kept) = (Arc::clone(&request), Arc::clone(&requests));
        let thread = thread::spawn(move || executor(&there, &kept));
        let (told, unsent) = match request.leave() {
            Left::Told => (true, false),
            Left::Unsent(chain) => {
                drop(chain);
                (false, true)
            }
            Left::Nothing => (false, false),
        };
        let (late, kept) = thread.join().unwrap();
        assert!(told || unsent, "it was sent, so somebody has it");
        assert_eq!(kept, unsent, "the executor keeps the cell that was given up before");
        if told {
            // What came before that is taken out, once.
            let end = request.clear();
            assert_eq!(u8::from(end.is_some()) + u8::from(late.is_some()), 1);
            drop(end);
            requests.keep(Arc::clone(&request), None);
        }
        drop(late);
        assert_eq!(Arc::strong_count(&token), 1);
        // The cell was kept once: the next one is new.
        let (first, second) = (requests.claim().0, requests.claim().0);
        assert!(Arc::ptr_eq(&first, &request) && !Arc::ptr_eq(&second, &request));
    });
}

/// A future that is polled by one thread and then by another, while the end comes: the last waker is called.
#[test]
fn the_last_waker_is_called() {
    model(3, || {
        let requests = Requests::<Token, Token>::new(1);
        let (request, _) = requests.claim();
        request.fill(Arc::new(()));
        let there = Arc::clone(&request);
        let thread = thread::spawn(move || {
            let chain = there.begin().unwrap();
            drop(there.end(chain));
        });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        if let Poll::Pending = request.poll(&mut context) {
            block_on(std::future::poll_fn(|context| request.poll(context)));
        }
        thread.join().unwrap();
    });
}

/// Who finds the inbox full waits until it is emptied, however that falls together.
#[test]
fn there_is_room_again() {
    model(3, || {
        let shared = Arc::new(Shared::<u32, Silent>::new(Silent));
        assert!(shared.offer_job(0).is_ok());
        let there = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let mut number = None;
            block_on(std::future::poll_fn(move |context| {
                loop {
                    match there.offer_job(1) {
                        Ok(()) => return Poll::Ready(()),
                        Err(Refused::Closed(_)) => panic!("nobody has closed it"),
                        Err(Refused::Full(_)) => {}
                    }
                    let (waits, before) = there.wait_for_room(&mut number, context.waker().clone());
                    drop(before);
                    if waits {
                        return Poll::Pending;
                    }
                }
            }));
        });
        let mut received = super::inbox::Inbox::default();
        assert!(shared.receive(&mut received));
        received.line.into_values().for_each(std::task::Waker::wake);
        thread.join().unwrap();
        let mut jobs = received.jobs;
        received = super::inbox::Inbox::default();
        shared.receive(&mut received);
        jobs.append(&mut received.jobs);
        assert_eq!(jobs, [0, 1]);
    });
}

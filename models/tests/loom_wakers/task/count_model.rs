//! Who holds a task's block: it is used again or freed by one only, who comes after whatever the others have done with it.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::count::Count;
use crate::model;

/// A block: what is in it is told of by nothing but the count.
struct Block {
    count: Count,
    content: UnsafeCell<u32>,
    freed: AtomicUsize,
}

impl Block {
    fn new() -> Arc<Block> {
        Arc::new(Block { count: Count::new(), content: UnsafeCell::new(0), freed: AtomicUsize::new(0) })
    }

    /// As `Task::release`: who is last has the block for itself.
    fn release(&self) {
        if self.count.let_go() {
            // SAFETY: loom tells if it is not alone.
            self.content.with_mut(|content| unsafe { *content += 1 });
            self.freed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// As a waker does, on whatever thread.
    fn look(&self) {
        // SAFETY: nobody writes while it is held; loom tells if somebody does.
        self.content.with(|content| unsafe { *content });
    }
}

/// The task is over while two wakers, one of them a clone of the other, are on their way on other threads.
#[test]
fn a_block_is_freed_once_and_last() {
    model(3, || {
        let block = Block::new();
        block.count.hold();
        let thread = thread::spawn({
            let block = Arc::clone(&block);
            move || {
                block.count.hold();
                let other = thread::spawn({
                    let block = Arc::clone(&block);
                    move || {
                        block.look();
                        block.release();
                    }
                });
                block.look();
                block.release();
                other.join().unwrap();
            }
        });
        block.release();
        thread.join().unwrap();
        assert_eq!(block.freed.load(Ordering::Relaxed), 1);
    });
}

/// The executor's side is done with a task: the block is used again if no waker holds it any more, and left to that if one does.
#[test]
fn a_block_is_used_again_only_by_one_alone() {
    model(3, || {
        let block = Block::new();
        block.count.hold();
        let thread = thread::spawn({
            let block = Arc::clone(&block);
            move || {
                block.look();
                block.release();
            }
        });
        let kept = block.count.is_only_one();
        if kept {
            // SAFETY: loom tells if it is not alone.
            block.content.with_mut(|content| unsafe { *content = 7 });
        } else {
            block.release();
        }
        thread.join().unwrap();
        assert_eq!(block.freed.load(Ordering::Relaxed), usize::from(!kept));
    });
}

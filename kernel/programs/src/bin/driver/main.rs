//! A driver in user mode: it serves `disk:0` and `disk:1`, two block devices in its own memory, to other processes.
//!
//! `driver` answers at once. `driver slow` takes [`PAUSE`] over each request, and so shows that what waits for it is not lost;
//! `driver stuck` opens and closes, and answers nothing else, and so shows what becomes of its clients when it is killed.
#![no_std]
#![no_main]

extern crate alloc;

mod disk;

use core::time::Duration;

use disk::{Disks, Pace};
use ouzel_kernel_user::{Arguments, Error, Scheme, print, program};

program!(main);

/// What a slow driver takes over a request.
const PAUSE: Duration = Duration::from_millis(5);

/// The most files that clients have open at a time.
const DESCRIPTORS: u32 = 64;

fn main(arguments: Arguments) -> u64 {
    let pace = match arguments.iter().nth(1) {
        None => Pace::AtOnce,
        Some("slow") => Pace::OneByOne,
        Some("stuck") => Pace::OpensOnly,
        Some(other) => {
            // Without output there is nobody to tell.
            let _ =
                print(format_args!("driver: {other:?} is no way to serve: give slow, stuck or nothing\n"));
            return 2;
        }
    };
    match serve(pace) {
        Ok(()) => 0,
        Err(error) => {
            let _ = print(format_args!("driver: {error}\n"));
            1
        }
    }
}

/// Serves until the kernel ends the scheme.
fn serve(pace: Pace) -> Result<(), Error> {
    let mut scheme = Scheme::serve("disk", Disks::new(pace, DESCRIPTORS), DESCRIPTORS)?;
    loop {
        if pace == Pace::OneByOne && scheme.backend().is_busy() {
            scheme.ring().sleep(PAUSE)?;
            scheme.backend().serve_one();
        } else if !scheme.wait()? {
            return Ok(());
        }
        scheme.turn()?;
    }
}

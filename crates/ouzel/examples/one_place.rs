//! One place to sleep: a ring of this process watches a ring whose engine is a service's.
//!
//! The primary ring runs in this process; it waits for a line on standard input, and, with a POLL, for the descriptor of the
//! secondary ring, which is connected to a service. Whatever comes first wakes it. Here the service is a thread of this program;
//! it is reached by its name like any other.
//!
//! Usage: `echo hello | OUZEL_SCHEMES=/run/user/1000/ouzel one_place`

use std::os::fd::AsFd;
use std::sync::mpsc::channel;
use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::abi::modifiers::PollEvents;
use ouzel::scheme::{Name, Quotas, Server, Stopper};
use ouzel::{Buffer, Chain, Done, Offset, Ring, RingBuilder, Ticket};

type Failed = Box<dyn std::error::Error>;

/// Serves what this process can reach under a name, on a thread of its own.
fn serve(name: &str) -> Result<Stopper, Failed> {
    let name = Name::parse(name)?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let made = Server::bind(&name, Quotas::default(), |_| {
            let opened = RingBuilder::new().descriptors(64).watched().open_backend();
            opened.map(|(backend, _)| backend).map_err(|_| Errno::ENOMEM)
        });
        let ran = made.and_then(|mut server| {
            drop(sender.send(server.stopper()));
            server.run()
        });
        if let Err(error) = ran {
            eprintln!("the service: {error}");
        }
    });
    Ok(receiver.recv()?)
}

/// Takes what has ended in a ring, until entering it brings nothing more: from then on its descriptor tells.
fn take(ring: &mut Ring) -> Result<Vec<(Ticket, Done)>, Failed> {
    let mut all = Vec::new();
    loop {
        ring.flush()?;
        let before = all.len();
        all.extend(std::iter::from_fn(|| ring.next_ended()));
        if all.len() == before {
            return Ok(all);
        }
    }
}

fn watch(primary: &mut Ring, secondary: ouzel::abi::Descriptor) -> Result<Ticket, Failed> {
    let mut chain = Chain::new();
    chain.poll(secondary, PollEvents::IN);
    Ok(primary.submit(chain).map_err(ouzel::Error::from)?)
}

fn main() -> Result<(), Failed> {
    let service = serve("one-place:")?;
    let mut primary = Ring::new()?;
    let mut secondary = Ring::connect("one-place:")?;

    let input = primary.adopt(std::io::stdin().as_fd().try_clone_to_owned()?)?;
    let mut chain = Chain::new();
    let line = chain.read(input, Buffer::with_capacity(4096), Offset::CURRENT);
    let reading = primary.submit(chain).map_err(ouzel::Error::from)?;

    let mut chain = Chain::new();
    chain.sleep(Duration::from_millis(20));
    secondary.submit(chain).map_err(ouzel::Error::from)?;

    let Some(descriptor) = secondary.descriptor()? else {
        return Err("the service gives no descriptor".into());
    };
    let descriptor = primary.adopt(descriptor)?;
    let mut left = 2 - take(&mut secondary)?.len();
    let mut watching = watch(&mut primary, descriptor)?;
    while left > 0 {
        // The only place where this program sleeps.
        let Some((ended, mut done)) = primary.wait_any()? else { break };
        if ended == reading {
            let text = done.take(line).unwrap_or_default();
            println!("the kernel's ring: {} bytes", text.len());
            left -= 1;
        } else if ended == watching {
            for (_, done) in take(&mut secondary)? {
                done.check()?;
                println!("the service's ring: a sleep is over");
                left -= 1;
            }
            watching = watch(&mut primary, descriptor)?;
        }
    }
    drop(secondary);
    service.stop();
    Ok(())
}

//! What a client can do with the descriptor that a service makes readable for it.

use std::sync::atomic::{AtomicBool, Ordering};

use ouzel::abi::Verb;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use crate::peer::Evil;
use crate::scene::{Service, ping, quotas};

const NOP: [u64; 8] = [u64::MAX, 1, Verb::Nop as u64, 0, 0, 0, 0, 0];

/// One that never empties it, one that makes its end wait and sits in a read of it, one that writes into it and closes it halfway,
/// and one that closes it: the service never waits for any of them, and what it writes is bounded.
pub fn a_descriptor_that_nobody_empties() {
    let service = Service::start(quotas());
    let mut witness = service.good();
    let mut lazy = Evil::watching(&service.socket(), 8, 16);
    let mut stubborn = Evil::watching(&service.socket(), 8, 16);
    let mut shouting = Evil::watching(&service.socket(), 8, 16);
    let mut shut = Evil::watching(&service.socket(), 8, 16);
    let readiness = |evil: &Evil| rustix::io::dup(evil.readiness.as_ref().unwrap()).unwrap();
    fcntl_setfl(readiness(&stubborn), OFlags::empty()).unwrap();
    let sitting = readiness(&stubborn);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut byte = [0; 1];
            while !stop.load(Ordering::SeqCst) {
                // Asks for more than comes, and waits for it.
                let _ = recv(&sitting, &mut byte[..], RecvFlags::PEEK | RecvFlags::WAITALL);
                let _ = recv(&sitting, &mut byte[..], RecvFlags::WAITALL);
            }
        });
        let full = readiness(&shouting);
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        while send(&full, &[7; 4096], flags).is_ok() {}
        shutdown(&full, Shutdown::Write).unwrap();
        drop(shut.readiness.take());
        for round in 1..=200u32 {
            for evil in [&mut lazy, &mut stubborn, &mut shouting, &mut shut] {
                // As one who watches, and as nonsense.
                evil.say_asleep(if round % 2 == 0 { 3 } else { u32::MAX });
                evil.write_entry(NOP);
                evil.publish();
            }
            for evil in [&lazy, &stubborn, &shouting, &shut] {
                evil.wait_for(round);
                evil.set_head(round);
            }
            ping(&mut witness, 2);
        }
        stop.store(true, Ordering::SeqCst);
        stubborn.write_entry(NOP);
        stubborn.publish();
        // Its reader has its end with that of the connection at the latest.
        drop(stubborn);
    });
    // Two hundred times and more it was told: what lies there is a few bytes.
    let mut bytes = [0; 256];
    let (_, left) = recv(lazy.readiness.as_ref().unwrap(), &mut bytes[..], RecvFlags::DONTWAIT).unwrap();
    assert!((1..32).contains(&left), "{left} bytes");
    drop((lazy, shouting, shut, sitting, witness));
    service.serves();
    assert_eq!(service.stop().thrown_out, 0);
}

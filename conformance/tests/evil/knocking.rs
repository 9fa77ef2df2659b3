//! Those who come to the door of a service and go again, faster than they can be turned away.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::peer::Evil;
use crate::scene::{Service, ping, quotas};

/// Nobody knocks for longer.
const LONG: Duration = Duration::from_secs(60);

/// A user has as many connections as it may, and goes on connecting: the others are served, and the service can be stopped.
pub fn knocking_without_end() {
    let service = Service::start(quotas());
    let mut witness = service.good();
    let crowd: Vec<Evil> =
        (1..quotas().connections_of_user).map(|_| Evil::new(&service.socket(), 8, 16)).collect();
    let address = SocketAddrUnix::new(service.socket()).unwrap();
    let (stop, knocks) = (AtomicBool::new(false), AtomicU64::new(0));
    let end = Instant::now() + LONG;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
                    let socket = socket_with(family, SocketType::SEQPACKET, flags, None).unwrap();
                    // In the end nobody is there.
                    let knocked = connect(&socket, &address).is_ok();
                    knocks.fetch_add(u64::from(knocked), Ordering::Relaxed);
                }
            });
        }
        while knocks.load(Ordering::Relaxed) < 20_000 {
            ping(&mut witness, 100);
        }
        assert!(Instant::now() < end);
        let statistics = service.stop();
        assert!(Instant::now() < end, "it has ended while they knocked");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(statistics.thrown_out, 0);
        assert!(statistics.refused > 0);
    });
    drop((witness, crowd));
}

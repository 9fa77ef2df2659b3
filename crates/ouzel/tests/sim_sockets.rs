//! The simulator's sockets against the kernel's: the same random steps, the same results, errors and readiness.

#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

mod sim_support;

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ouzel::backend::sim::{Sim, SimOptions};
use ouzel_engine::Operation;
use ouzel_ring::Errno;
use ouzel_ring::modifiers::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType};
use sim_support::{Driver, Numbers, content, span};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    UnixStream,
    UnixSequenced,
    UnixDatagram,
    Tcp,
    Udp,
}

impl Sort {
    fn numbers(self) -> (i32, i32) {
        match self {
            Sort::UnixStream => (1, 1),
            Sort::UnixSequenced => (1, 5),
            Sort::UnixDatagram => (1, 2),
            Sort::Tcp => (2, 1),
            Sort::Udp => (2, 2),
        }
    }

    fn is_inet(self) -> bool {
        matches!(self, Sort::Tcp | Sort::Udp)
    }
}

/// A socket of both worlds, and the address each was bound to.
struct Pair {
    kernel: Option<OwnedFd>,
    address: Option<(Vec<u8>, Vec<u8>)>,
}

const COUNT: u64 = 5;

type Answer = Result<(u64, Vec<u8>), i32>;

fn answer<T>(value: Result<T, rustix::io::Errno>, of: impl FnOnce(T) -> (u64, Vec<u8>)) -> Answer {
    value.map(of).map_err(|error| match error {
        rustix::io::Errno::AGAIN => Errno::ETIMEDOUT.raw(),
        other => other.raw_os_error(),
    })
}

fn ours(value: Result<u64, Errno>) -> Answer {
    value.map(|value| (value, Vec::new())).map_err(|error| error.raw())
}

fn loopback(port: u16) -> Vec<u8> {
    let mut bytes = 2u16.to_ne_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    bytes.extend([127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// A port that nobody has at the moment.
fn free_port(sort: Sort) -> u16 {
    let kind = if sort == Sort::Tcp { SocketType::STREAM } else { SocketType::DGRAM };
    let probe = net::socket(AddressFamily::INET, kind, None).unwrap();
    net::bind(&probe, &kernel_address(&loopback(0))).unwrap();
    std::net::SocketAddr::try_from(net::getsockname(&probe).unwrap()).unwrap().port()
}

fn abstract_name(text: &str) -> Vec<u8> {
    let mut bytes = 1u16.to_ne_bytes().to_vec();
    bytes.push(0);
    bytes.extend(text.as_bytes());
    bytes
}

/// The bytes of an address as one of the kernel's.
fn kernel_address(bytes: &[u8]) -> net::SocketAddrAny {
    if bytes[..2] == 1u16.to_ne_bytes() {
        net::SocketAddrUnix::new_abstract_name(&bytes[3..]).unwrap().into()
    } else {
        let port = u16::from_be_bytes([bytes[2], bytes[3]]);
        std::net::SocketAddr::from(([127, 0, 0, 1], port)).into()
    }
}

/// How long the kernel may take to deliver what was sent over loopback.
const LIMIT: Duration = Duration::from_secs(20);

/// Waits until `reached` is so. Loopback delivers when the kernel gets to it, which on a busy machine is later.
fn wait_until(reached: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while !reached() {
        if started.elapsed() > LIMIT {
            return false;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    true
}

/// What a socket of the simulator is ready for.
fn readiness(sim: &mut Driver<Sim>, at: u32) -> Result<u64, Errno> {
    let events = PollEvents::IN | PollEvents::OUT | PollEvents::READ_HANGUP;
    match sim.run_now(Operation::Poll { file: at, events, multishot: false }) {
        Err(Errno::ETIMEDOUT) => Ok(0),
        other => other,
    }
}

fn ready(file: &OwnedFd) -> PollFlags {
    let mut files = [PollFd::new(file, PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP)];
    poll(&mut files, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
    files[0].revents()
}

#[test]
fn random_steps_agree_with_the_kernel() {
    for sort in [Sort::UnixStream, Sort::UnixSequenced, Sort::UnixDatagram, Sort::Tcp, Sort::Udp] {
        if net::socket(AddressFamily::INET, SocketType::STREAM, None).is_err() && sort.is_inet() {
            println!("SKIPPED: there are no inet sockets here");
            continue;
        }
        for seed in 0..25 {
            random_steps(sort, seed);
        }
    }
}

fn random_steps(sort: Sort, seed: u64) {
    let mut numbers = Numbers(seed);
    let mut sim = Driver::new(Sim::new(SimOptions::new(seed)));
    let mut pairs: Vec<Pair> = (0..COUNT).map(|_| Pair { kernel: None, address: None }).collect();
    let mut trace: Vec<String> = Vec::new();
    for step in 0..250 {
        let at = numbers.below(COUNT) as u32;
        let target = numbers.below(COUNT) as usize;
        let Some(kernel) = &pairs[at as usize].kernel else {
            let (domain, kind) = sort.numbers();
            let made = net::socket_with(
                AddressFamily::from_raw(domain as u16),
                SocketType::from_raw(kind as u32),
                SocketFlags::CLOEXEC,
                None,
            );
            pairs[at as usize] = Pair { kernel: Some(made.unwrap()), address: None };
            sim.run(Operation::Socket { domain, kind, protocol: 0, into: at }).unwrap();
            trace.push(format!("socket {at}"));
            continue;
        };
        let mut bound = None;
        let mut closed = false;
        let mut accepted = None;
        let (what, theirs, mine): (String, Answer, Answer) = match numbers.below(20) {
            0..=1 => {
                let (real, own) = if sort.is_inet() {
                    (loopback(free_port(sort)), loopback(1000 + step))
                } else {
                    let name = format!("ouzel-{}-{sort:?}-{seed}-{step}", std::process::id());
                    (abstract_name(&name), abstract_name(&name))
                };
                let theirs = answer(net::bind(kernel, &kernel_address(&real)), |()| (0, Vec::new()));
                if theirs.is_ok() {
                    bound = Some((real, own.clone()));
                }
                let mine = sim.run(Operation::Bind { socket: at, address: span(&own) });
                (format!("bind {at}"), theirs, ours(mine))
            }
            2..=3 => {
                // A listener that chooses its own port cannot be found by the other world's name.
                let theirs = answer(net::listen(kernel, 100), |()| (0, Vec::new()));
                (
                    format!("listen {at}"),
                    theirs,
                    ours(sim.run(Operation::Listen { socket: at, backlog: 100 })),
                )
            }
            4..=6 => match &pairs[target].address {
                Some((real, own)) if target != at as usize => {
                    let theirs = answer(net::connect(kernel, &kernel_address(real)), |()| (0, Vec::new()));
                    let mine = sim.run(Operation::Connect { socket: at, address: span(own) });
                    (format!("connect {at} to {target}"), theirs, ours(mine))
                }
                _ => continue,
            },
            7..=8 => {
                if pairs[target].kernel.is_some() {
                    continue;
                }
                let listening = net::sockopt::socket_acceptconn(kernel).unwrap();
                let theirs = if listening && !ready(kernel).contains(PollFlags::IN) {
                    Err(Errno::ETIMEDOUT.raw())
                } else {
                    answer(net::accept_with(kernel, SocketFlags::CLOEXEC), |file| {
                        accepted = Some(file);
                        (0, Vec::new())
                    })
                };
                let accept =
                    Operation::Accept { socket: at, address: None, into: target as u32, multishot: false };
                (format!("accept {at} as {target}"), theirs, ours(sim.run_now(accept)))
            }
            9..=12 => {
                let length = *numbers.pick(&[0, 1, 7, 300]);
                let data: Vec<u8> = (0..length).map(|_| numbers.below(256) as u8).collect();
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                let theirs = answer(net::send(kernel, &data, flags), |count| (count as u64, Vec::new()));
                let send = Operation::Send { socket: at, buffer: span(&data), flags: MessageFlags::empty() };
                (format!("send {at} {length}"), theirs, ours(sim.run_now(send)))
            }
            13..=16 => {
                let length = *numbers.pick(&[0, 1, 5, 200, 1000]);
                let mut buffer = vec![0; length];
                let peek = numbers.below(4) == 0;
                let (real, own) = if peek {
                    (RecvFlags::DONTWAIT | RecvFlags::PEEK, MessageFlags::PEEK)
                } else {
                    (RecvFlags::DONTWAIT, MessageFlags::empty())
                };
                let space = span(&vec![0; length]);
                let mine = sim.run_now(Operation::Recv { socket: at, buffer: space, flags: own });
                if let (Sort::Tcp, Ok(count)) = (sort, mine) {
                    // Readiness says that there is something, not how much of it has come.
                    wait_until(|| rustix::io::ioctl_fionread(kernel).unwrap_or(u64::MAX) >= count);
                }
                let theirs = net::recv(kernel, &mut buffer[..], real);
                // A datagram socket that was shut down would end a receive that waits; asked not to, it says otherwise.
                let theirs = match theirs {
                    Err(rustix::io::Errno::AGAIN) if ready(kernel).contains(PollFlags::RDHUP) => Ok((0, 0)),
                    other => other,
                };
                let theirs = answer(theirs, |(count, _)| (count as u64, buffer[..count].to_vec()));
                let mine = mine.map(|count| (count, content(space, count as usize)));
                (format!("recv {at} {length} {own:?}"), theirs, mine.map_err(|error| error.raw()))
            }
            17 => {
                let (real, own) = *numbers.pick(&[
                    (Shutdown::Read, ShutdownHow::Receive),
                    (Shutdown::Write, ShutdownHow::Send),
                    (Shutdown::Both, ShutdownHow::Both),
                ]);
                let listening = net::sockopt::socket_acceptconn(kernel).unwrap();
                if sort == Sort::Tcp && !listening && net::getpeername(kernel).is_err() {
                    // It fails, and yet the connections of a listener made of it later are born half dead.
                    continue;
                }
                let theirs = answer(net::shutdown(kernel, real), |()| (0, Vec::new()));
                let mine = sim.run(Operation::Shutdown { socket: at, how: own });
                (format!("shutdown {at} {own:?}"), theirs, ours(mine))
            }
            18 => {
                closed = true;
                (format!("close {at}"), Ok((0, Vec::new())), ours(sim.close(at)))
            }
            _ => {
                let theirs = PollEvents::from_bits_truncate(u64::from(ready(kernel).bits()));
                (format!("poll {at}"), Ok((theirs.bits(), Vec::new())), ours(readiness(&mut sim, at)))
            }
        };
        trace.push(format!("{what} -> {:?}", theirs.as_ref().map(|answer| answer.0)));
        assert_eq!(theirs, mine, "{sort:?} seed {seed} step {step} (kernel, sim)\n{}", trace.join("\n"));
        if closed {
            pairs[at as usize] = Pair { kernel: None, address: None };
        }
        if let Some(address) = bound {
            pairs[at as usize].address = Some(address);
        }
        if let Some(file) = accepted {
            pairs[target] = Pair { kernel: Some(file), address: None };
        }
        if sort.is_inet() {
            // The next step may begin once the kernel has delivered what the simulator has.
            for (at, pair) in (0..).zip(&pairs) {
                let Some(kernel) = &pair.kernel else { continue };
                let expected = readiness(&mut sim, at);
                let told = || Ok(PollEvents::from_bits_truncate(u64::from(ready(kernel).bits())).bits());
                assert!(
                    wait_until(|| told() == expected),
                    "{sort:?} seed {seed} after step {step}: {at} is ready for {:?} (kernel), {expected:?} (sim)\n{}",
                    told(),
                    trace.join("\n")
                );
            }
        }
    }
}

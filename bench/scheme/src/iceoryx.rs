//! iceoryx2's request and response: a block of a file, read into the memory that it lends, both sides looking all the time.
//!
//! Its server is told to end and not killed: what it has made has names, which only it takes away.

use std::error::Error;
use std::fs::File;
use std::hint::spin_loop;
use std::os::unix::fs::FileExt;
use std::process::Child;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use iceoryx2::port::client::Client;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::request_response::PortFactory;

use crate::shared::Shared;
use crate::sides::{Setting, Side, check_block, file, other};
use crate::{BLOCK, BLOCKS};

/// The server is there.
const READY: usize = 0;
/// The server is to end.
const STOP: usize = 1;

/// How long either may take.
const BOUND: Duration = Duration::from_secs(10);

type Service = PortFactory<ipc::Service, u64, (), [u8], ()>;

fn service(name: &str) -> Result<(Node<ipc::Service>, Service), Box<dyn Error>> {
    set_log_level(LogLevel::Error);
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let service = node.service_builder(&name.try_into()?).request_response::<u64, [u8]>().open_or_create()?;
    Ok((node, service))
}

/// The other side.
pub fn serve(shared: &Shared, name: &str, path: &str) -> Result<(), Box<dyn Error>> {
    let file = File::open(path)?;
    let (_node, service) = service(name)?;
    let server = service.server_builder().initial_max_slice_len(BLOCK).create()?;
    shared.word(READY).store(1, Ordering::Release);
    while shared.word(STOP).load(Ordering::Acquire) == 0 {
        match server.receive()? {
            Some(request) => {
                let mut response = request.loan_slice(BLOCK)?;
                file.read_exact_at(response.payload_mut(), *request)?;
                response.send()?;
            }
            None => spin_loop(),
        }
    }
    Ok(())
}

/// The side that asks.
pub struct Asking {
    client: Client<ipc::Service, u64, (), [u8], ()>,
    next: u64,
    _service: Service,
    _node: Node<ipc::Service>,
    shared: Shared,
    server: Child,
}

impl Asking {
    /// See [`Open`](crate::sides::Open).
    pub fn open(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        let shared = Shared::new(4096)?;
        let name = format!("scheme-bench/{}", std::process::id());
        let mut command = other(setting, "iceoryx2", &[&shared.path(), &name, &file(setting)])?;
        let mut server = command.spawn()?;
        let until = Instant::now() + BOUND;
        while shared.word(READY).load(Ordering::Acquire) == 0 {
            if Instant::now() >= until || server.try_wait()?.is_some() {
                let _ = server.kill();
                let _ = server.wait();
                return Err("the server of iceoryx2 does not come".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let (node, service) = service(&name)?;
        let client = service.client_builder().create()?;
        Ok(Box::new(Asking { client, next: 0, _service: service, _node: node, shared, server }))
    }
}

impl Side for Asking {
    fn run(&mut self, count: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..count {
            let pending = self.client.send_copy(self.next * BLOCK as u64)?;
            let response = loop {
                match pending.receive()? {
                    Some(response) => break response,
                    None => spin_loop(),
                }
            };
            check_block(response.payload(), self.next)?;
            self.next = (self.next + 1) % BLOCKS;
        }
        Ok(())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.shared.word(STOP).store(1, Ordering::Release);
        let until = Instant::now() + BOUND;
        while Instant::now() < until {
            if !matches!(self.server.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

//! Client and server on two threads of one process, for an instruction counter.

use std::error::Error;

use ouzel::RingBuilder;
use ouzel::abi::{Entry, Errno, Verb};
use ouzel::backend::HostBackend;
use ouzel::scheme::{Client, ClientOptions, Name, Quotas, Server};

/// NOPs in batches: `nops COUNT BATCH`.
pub fn nops(words: &[String]) -> Result<(), Box<dyn Error>> {
    let [count, batch] = words else { return Err("nops COUNT BATCH is wanted, and OUZEL_SCHEMES".into()) };
    let (count, batch): (u64, u32) = (count.parse()?, batch.parse()?);
    let name = Name::parse(&format!("bench-count-{}", std::process::id()))?;
    let make = |_: &_| match RingBuilder::new().watched().open_backend() {
        Ok((backend, _)) => Ok(backend),
        Err(_) => Err(Errno::ENOMEM),
    };
    let quotas = Quotas { spin: Some(std::time::Duration::from_secs(1)), ..Quotas::default() };
    let (sender, receiver) = std::sync::mpsc::channel();
    let bound = name.clone();
    let serve = std::thread::spawn(move || -> Result<(), String> {
        let mut server: Server<Box<dyn HostBackend>> =
            Server::bind(&bound, quotas, make).map_err(|error| error.to_string())?;
        sender.send(server.stopper()).map_err(|error| error.to_string())?;
        server.run().map_err(|error| error.to_string())
    });
    let stopper = receiver.recv()?;
    let mut client = Client::connect(&name, &ClientOptions::default())?;
    for _ in 0..count {
        for number in 0..batch {
            client.push(&Entry::new(Verb::Nop).data(number.into()))?;
        }
        client.enter(batch, None)?;
        for _ in 0..batch {
            client.pop().ok_or("a completion is missing")?;
        }
    }
    stopper.stop();
    serve.join().map_err(|_| "the server has panicked")??;
    Ok(())
}

//! Operations that wait for an event, one for each way of waiting.
#![allow(clippy::unwrap_used)]
#![allow(dead_code)]

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ouzel::abi::Descriptor;
use ouzel::abi::modifiers::{MessageFlags, PollEvents, ShutdownHow};
use ouzel::task::Handle;
use ouzel::{Buffer, Chain, Error, FutexWord, Offset};

use crate::task_support::{connect, listener};

/// Something that waits for an event, and what brings the event about.
pub struct Waiting {
    pub future: Pin<Box<dyn Future<Output = Result<(), Error>>>>,
    pub event: Pin<Box<dyn Future<Output = Result<(), Error>>>>,
    /// What it works with.
    pub files: Vec<Descriptor>,
}

pub type Make = fn(Handle) -> Pin<Box<dyn Future<Output = Result<Waiting, Error>>>>;

/// Connected sockets: the first one connected, the second one was accepted; and the listener.
pub async fn pair(handle: &Handle) -> Result<[Descriptor; 3], Error> {
    let (listens, address) = listener(handle).await?;
    let client = connect(handle, &address).await?;
    Ok([client, handle.accept(listens).await?, listens])
}

pub fn verbs() -> Vec<(&'static str, Make)> {
    vec![
        ("read", |handle| {
            Box::pin(async move {
                let (read, write) = handle.pipe().await?;
                let reading = handle.read(read, Buffer::with_capacity(4096), Offset::CURRENT);
                Ok(Waiting {
                    future: Box::pin(async { reading.await.map(drop).map_err(Error::from) }),
                    event: Box::pin(async move {
                        handle.write(write, "late", Offset::CURRENT).await.map(drop).map_err(Error::from)
                    }),
                    files: vec![read, write],
                })
            })
        }),
        ("write", |handle| {
            Box::pin(async move {
                let (read, write) = handle.pipe().await?;
                // Until it is full.
                let mut room = true;
                while room {
                    let filling = handle.write(write, vec![1; 65536], Offset::CURRENT);
                    room = handle.timeout(Duration::from_millis(20), filling).await.is_some();
                }
                let writing = handle.write(write, vec![2; 4096], Offset::CURRENT);
                Ok(Waiting {
                    future: Box::pin(async { writing.await.map(drop).map_err(Error::from) }),
                    event: Box::pin(async move {
                        let room = Buffer::with_capacity(65536);
                        handle.read(read, room, Offset::CURRENT).await.map(drop).map_err(Error::from)
                    }),
                    files: vec![read, write],
                })
            })
        }),
        ("recv", |handle| {
            Box::pin(async move {
                let files = pair(&handle).await?;
                let receiving = handle.recv(files[0], Buffer::with_capacity(4096), MessageFlags::empty());
                Ok(Waiting {
                    future: Box::pin(async { receiving.await.map(drop).map_err(Error::from) }),
                    event: Box::pin(async move {
                        handle
                            .send(files[1], "late", MessageFlags::empty())
                            .await
                            .map(drop)
                            .map_err(Error::from)
                    }),
                    files: files.to_vec(),
                })
            })
        }),
        ("recv, picked", |handle| {
            Box::pin(async move {
                let files = pair(&handle).await?;
                let group = handle.group(2, 64)?;
                let receiving = handle.recv_picked(files[0], &group);
                Ok(Waiting {
                    future: Box::pin(async { receiving.await.map(drop) }),
                    event: Box::pin(async move {
                        handle
                            .send(files[1], "late", MessageFlags::empty())
                            .await
                            .map(drop)
                            .map_err(Error::from)
                    }),
                    files: files.to_vec(),
                })
            })
        }),
        ("recv, many", |handle| {
            Box::pin(async move {
                let files = pair(&handle).await?;
                let group = handle.group(2, 64)?;
                let mut stream = handle.recv_into(files[0], &group);
                Ok(Waiting {
                    future: Box::pin(async move { stream.next().await.transpose().map(drop) }),
                    event: Box::pin(async move {
                        handle.send(files[1], "late", MessageFlags::empty()).await?;
                        // It goes on until there is nothing more to come.
                        handle.shutdown(files[1], ShutdownHow::Send).await
                    }),
                    files: files.to_vec(),
                })
            })
        }),
        ("accept", |handle| {
            Box::pin(async move {
                let (listens, address) = listener(&handle).await?;
                let accepting = handle.accept(listens);
                let own = handle.clone();
                Ok(Waiting {
                    future: Box::pin(async move { own.close(accepting.await?).await }),
                    event: Box::pin(async move {
                        let client = connect(&handle, &address).await?;
                        handle.sleep(Duration::from_millis(2)).await;
                        handle.close(client).await
                    }),
                    files: vec![listens],
                })
            })
        }),
        ("poll", |handle| {
            Box::pin(async move {
                let (read, write) = handle.pipe().await?;
                let polling = handle.poll(read, PollEvents::IN);
                Ok(Waiting {
                    future: Box::pin(async { polling.await.map(|_| ()) }),
                    event: Box::pin(async move {
                        handle.write(write, "late", Offset::CURRENT).await.map(drop).map_err(Error::from)
                    }),
                    files: vec![read, write],
                })
            })
        }),
        ("futex", |handle| {
            Box::pin(async move {
                let word = Arc::new(FutexWord::new(1));
                let waiting = handle.futex_wait(&word, 1);
                Ok(Waiting {
                    future: Box::pin(waiting),
                    event: Box::pin(async move {
                        // Nobody may wait yet.
                        while handle.futex_wake(&word, 9).await? == 0 {
                            handle.sleep(Duration::from_micros(200)).await;
                        }
                        Ok(())
                    }),
                    files: Vec::new(),
                })
            })
        }),
        ("chain", |handle| {
            Box::pin(async move {
                let (read, write) = handle.pipe().await?;
                let mut chain = Chain::new();
                let (one, other) = chain.pipe();
                chain.read(read, Buffer::with_capacity(64), Offset::CURRENT);
                chain.finally().close(one);
                chain.finally().close(other);
                let running = handle.run(chain);
                Ok(Waiting {
                    future: Box::pin(async { running.await?.check().map_err(Error::from) }),
                    event: Box::pin(async move {
                        handle.write(write, "late", Offset::CURRENT).await.map(drop).map_err(Error::from)
                    }),
                    files: vec![read, write],
                })
            })
        }),
        ("sleep", |handle| {
            Box::pin(async move {
                let mut chain = Chain::new();
                chain.sleep(Duration::from_millis(40));
                let running = handle.run(chain);
                Ok(Waiting {
                    future: Box::pin(async { running.await?.check().map_err(Error::from) }),
                    event: Box::pin(async move {
                        handle.sleep(Duration::from_millis(45)).await;
                        Ok(())
                    }),
                    files: Vec::new(),
                })
            })
        }),
    ]
}

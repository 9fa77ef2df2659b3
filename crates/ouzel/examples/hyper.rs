//! A hyper server whose sockets are in an Ouzel ring: `cargo run --release --example hyper --features tokio -- 127.0.0.1:8080`.
//!
//! Everything is as with tokio's own sockets, but for the two types that have `Ring` in their names. The ring has a thread of its
//! own; hyper's tasks run wherever tokio puts them.

use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ouzel::task::{Executor, Owner, RingListener};

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn answer(request: Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from(format!("you asked for {}\n", request.uri().path())))))
}

async fn serve(mut listener: RingListener) -> Result<(), Failure> {
    loop {
        let stream = TokioIo::new(listener.accept().await?);
        tokio::spawn(async move {
            let served = http1::Builder::new().serve_connection(stream, service_fn(answer)).await;
            if let Err(error) = served {
                eprintln!("a connection failed: {error}");
            }
        });
    }
}

fn main() -> Result<(), Failure> {
    let address: SocketAddr = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:8080").parse()?;
    let owner = Owner::start(|| Executor::builder().ring(ouzel::Ring::builder().entries(4096)).build())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = RingListener::bind(owner.remote(), address).await?;
        println!("http://{}", listener.local_addr());
        serve(listener).await
    })
}

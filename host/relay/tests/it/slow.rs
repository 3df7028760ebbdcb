use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use quotegate_test_support::NatsServer;

use crate::common::{Reader, Worker};

/// A client that subscribes to everything and then reads nothing, as a worker that stands still.
fn client_that_reads_nothing(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nSUB quotegate.> 1\r\nPING\r\n").unwrap();
    let mut heard = Vec::new();
    while !heard.windows(4).any(|window| window == b"PONG") {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        heard.extend_from_slice(&bytes[..count]);
    }
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_does_not_hold_up_the_others() {
    let Some(server) = NatsServer::start() else { return };
    let mut reader = Reader::start(&server.url(), 1).await;
    let worker = Worker::start(&server.url()).await;
    reader.connected().await;
    worker.connected().await;
    let mut stuck = client_that_reads_nothing(&server.address());
    // Until the server has given it up: 8 MB wait for it, besides what the kernel holds.
    let (began, mut time) = (Instant::now(), 0);
    while reader.relay.status().publisher.bytes < 40_000_000 {
        time += 1;
        reader.quotes((0..1000).map(|number| (format!("Q{number}"), time)));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(began.elapsed() < crate::common::LIMIT, "{:?}", reader.relay.status());
    }
    worker.has(&reader.sent).await;
    assert_eq!((worker.backwards(), worker.relay.status().subscriber.invalid), (0, 0));
    // The server has given it up: what was on its way, and then the end.
    stuck.set_read_timeout(Some(crate::common::LIMIT)).unwrap();
    let mut rest = Vec::new();
    if let Err(error) = stuck.read_to_end(&mut rest) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert!(rest.len() < 40_000_000, "it has got everything: {}", rest.len());
    worker.end().await;
    reader.end().await;
}

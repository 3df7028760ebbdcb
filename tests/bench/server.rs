//! The server: does the handshake, then writes the same bytes over and over, as fast as the socket takes them.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use quotegate_feed::{AuthBy, Credentials, Encoding, FeedSettings};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept};

use crate::frames::Frames;

/// Bytes per write: enough that the sender is never the bottleneck.
const CHUNK: usize = 256 * 1024;

pub(crate) struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(frames: Frames) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let bytes = wire(&frames);
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let _ = serve(stream, &frames, &bytes, &stopped);
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/v2/sip", self.address)
    }

    pub(crate) fn feed_settings(&self, encoding: Encoding) -> FeedSettings {
        let credentials = Credentials { key_id: "key".into(), secret_key: "secret".into(), by: AuthBy::Message };
        FeedSettings { encoding, ..FeedSettings::new(self.url(), credentials).unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The frames as a server sends them: final and unmasked.
fn wire(frames: &Frames) -> Vec<u8> {
    let mut bytes = Vec::new();
    for payload in &frames.payloads {
        bytes.push(if frames.binary { 0x82 } else { 0x81 });
        match payload.len() {
            length @ 0..=125 => bytes.push(length as u8),
            length @ 126..=0xffff => {
                bytes.push(126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(payload);
    }
    bytes
}

fn serve(stream: TcpStream, frames: &Frames, bytes: &[u8], stop: &AtomicBool) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut socket = accept(stream)?;
    let send = |socket: &mut WebSocket<TcpStream>, value: serde_json::Value| {
        socket.send(match frames.binary {
            true => Message::binary(rmp_serde::to_vec(&value)?),
            false => Message::text(value.to_string()),
        })?;
        anyhow::Ok(())
    };
    send(&mut socket, serde_json::json!([{"T": "success", "msg": "connected"}]))?;
    socket.read()?;
    send(&mut socket, serde_json::json!([{"T": "success", "msg": "authenticated"}]))?;
    socket.read()?;
    send(&mut socket, serde_json::json!([{"T": "subscription", "trades": [], "quotes": ["*"], "bars": []}]))?;
    let mut stream = socket.get_mut().try_clone()?;
    while !stop.load(Ordering::Relaxed) {
        for chunk in bytes.chunks(CHUNK) {
            stream.write_all(chunk)?;
        }
    }
    Ok(())
}

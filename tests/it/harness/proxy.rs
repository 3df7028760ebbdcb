use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Stands between a host and the emulator. While it is cut, bytes go nowhere, and connections stay open.
pub struct Proxy {
    address: String,
    link: Arc<Link>,
}

#[derive(Default)]
struct Link {
    cut: AtomicBool,
    /// What the host has sent since the cut.
    held: Mutex<Vec<u8>>,
}

impl Proxy {
    pub fn before(emulator: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { address: listener.local_addr().unwrap().to_string(), link: Arc::default() };
        let (target, link) = (emulator.to_owned(), proxy.link.clone());
        thread::spawn(move || {
            for host in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&target) else { continue };
                for (from, to, is_request) in [(&host, &server, true), (&server, &host, false)] {
                    let (from, to, link) = (from.try_clone().unwrap(), to.try_clone().unwrap(), link.clone());
                    thread::spawn(move || link.pass(from, to, is_request));
                }
            }
        });
        proxy
    }

    /// For `FIRESTORE_EMULATOR_HOST`.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn cut(&self) {
        self.link.held.lock().unwrap().clear();
        self.link.cut.store(true, Relaxed);
    }

    /// What was held goes on its way.
    pub fn heal(&self) {
        self.link.cut.store(false, Relaxed);
    }

    /// True if a request with this text is on its way to the emulator and held here.
    pub fn holds(&self, text: &str) -> bool {
        self.link.held.lock().unwrap().windows(text.len()).any(|part| part == text.as_bytes())
    }
}

impl Link {
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, is_request: bool) {
        // Reads on while it is cut, to know what would have gone through.
        from.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let (mut bytes, mut waiting) = ([0; 16_384], Vec::new());
        loop {
            let read = match from.read(&mut bytes) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => break,
            };
            waiting.extend_from_slice(&bytes[..read]);
            if self.cut.load(Relaxed) {
                if is_request {
                    self.held.lock().unwrap().extend_from_slice(&bytes[..read]);
                }
            } else if to.write_all(&waiting).is_ok() {
                waiting.clear();
            } else {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}

//! The head of a request, before it is known whether a websocket or REST is wanted.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::Request;
use tokio_tungstenite::tungstenite::http::header;

/// Longer heads are no requests of a client of Alpaca.
const MAX_HEAD: usize = 64 << 10;

/// Reads the head of a request, and what the client has sent after it. `None` if it is no HTTP request, or not GET.
pub(crate) async fn read_head(stream: &mut TcpStream) -> Option<(Request, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 || bytes.len() > MAX_HEAD {
            return None;
        }
        if let Some((length, request)) = Request::try_parse(&bytes).ok()? {
            return Some((request, bytes.split_off(length)));
        }
    }
}

/// True if the request opens a websocket.
pub(crate) fn is_upgrade(request: &Request) -> bool {
    let upgrade = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

//! A minimal HTTP client, enough to talk to the emulator.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The body of the response; `None` if there is no response.
pub(crate) fn get(host: &str, path: &str) -> Option<String> {
    request(host, "GET", path, "")
}

/// Like [`get`], but posts JSON.
pub(crate) fn post(host: &str, path: &str, json: &str) -> Option<String> {
    request(host, "POST", path, json)
}

/// The status of the response to a request with this token.
pub(crate) fn status(host: &str, method: &str, path: &str, token: Option<&str>, json: &str) -> Option<u16> {
    let mut line = String::new();
    send(host, method, path, token, json)?.read_line(&mut line).ok()?;
    line.split(' ').nth(1)?.parse().ok()
}

fn send(host: &str, method: &str, path: &str, token: Option<&str>, json: &str) -> Option<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(host).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = json.len();
    // HTTP/1.0, so that the body is not chunked.
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\n{token}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    write!(stream, "{head}{json}").ok()?;
    Some(BufReader::new(stream))
}

fn request(host: &str, method: &str, path: &str, json: &str) -> Option<String> {
    let mut answer = send(host, method, path, Some("owner"), json)?;
    let mut length = None;
    loop {
        let mut line = String::new();
        answer.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else {
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
    }
    // If the response has a length, the emulator keeps the connection open.
    let mut body = String::new();
    answer.take(length.unwrap_or(u64::MAX)).read_to_string(&mut body).ok()?;
    Some(body)
}

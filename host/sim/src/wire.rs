//! Encodes messages as JSON or MessagePack, as the client requested in the upgrade.

use std::io::Write;

use jiff::Timestamp;
use quotegate_market::{Encoding, Quote, Symbol, conditions};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// Collects quotes for one frame.
#[derive(Debug)]
pub(crate) struct FrameBuilder {
    encoding: Encoding,
    body: Vec<u8>,
    count: usize,
}

/// A control message: an array with one object.
pub(crate) fn control(encoding: Encoding, message: &Value) -> Message {
    let frame = Value::Array(vec![message.clone()]);
    match encoding {
        Encoding::Json => Message::text(frame.to_string()),
        // Clients want `T` first. `serde_json` sorts the keys of maps, and capitals sort first.
        Encoding::MessagePack => Message::binary(rmp_serde::to_vec(&frame).unwrap_or_default()),
    }
}

/// Parses a client's message; `None` if it is neither JSON nor MessagePack.
pub(crate) fn read(encoding: Encoding, message: &Message) -> Option<Value> {
    match (encoding, message) {
        (_, Message::Text(text)) => serde_json::from_str(text).ok(),
        (Encoding::MessagePack, Message::Binary(bytes)) => rmp_serde::from_slice(bytes).ok(),
        (_, Message::Binary(bytes)) => serde_json::from_slice(bytes).ok(),
        _ => None,
    }
}

impl FrameBuilder {
    pub(crate) fn new(encoding: Encoding) -> Self {
        Self { encoding, body: Vec::new(), count: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn push(&mut self, symbol: &Symbol, quote: &Quote) {
        match self.encoding {
            Encoding::Json => {
                if self.count > 0 {
                    self.body.push(b',');
                }
                // Writing to a vector cannot fail.
                let _ = json_quote(&mut self.body, symbol, quote);
            }
            Encoding::MessagePack => msgpack_quote(&mut self.body, symbol, quote),
        }
        self.count += 1;
    }

    /// Returns the frame and empties the builder.
    pub(crate) fn take(&mut self) -> Message {
        let mut frame = Vec::with_capacity(self.body.len() + 5);
        let count = std::mem::take(&mut self.count);
        match self.encoding {
            Encoding::Json => {
                frame.push(b'[');
                frame.append(&mut self.body);
                frame.push(b']');
                Message::text(String::from_utf8(frame).unwrap_or_default())
            }
            Encoding::MessagePack => {
                frame.push(0xdd);
                frame.extend((count as u32).to_be_bytes());
                frame.append(&mut self.body);
                Message::binary(frame)
            }
        }
    }
}

/// Letters that a quote lacks are left out: crypto has no exchanges or tapes.
fn json_quote(body: &mut Vec<u8>, symbol: &Symbol, quote: &Quote) -> std::io::Result<()> {
    let Quote { bid_price, bid_size, ask_price, ask_size, .. } = quote;
    let time = Timestamp::from_nanosecond(i128::from(quote.event_time)).unwrap_or_default();
    write!(body, r#"{{"T":"q","S":"{symbol}""#)?;
    json_letter(body, "bx", quote.bid_exchange)?;
    write!(body, r#","bp":{bid_price},"bs":{bid_size}"#)?;
    json_letter(body, "ax", quote.ask_exchange)?;
    write!(body, r#","ap":{ask_price},"as":{ask_size},"c":["#)?;
    for (at, letter) in conditions::letters(quote.conditions).enumerate() {
        write!(body, "{}\"{letter}\"", if at > 0 { "," } else { "" })?;
    }
    write!(body, "]")?;
    json_letter(body, "z", quote.tape)?;
    write!(body, r#","t":"{time}"}}"#)
}

/// A quote as REST has it: without `T` and `S`. Options have their conditions in one string.
pub(crate) fn rest_quote(quote: &Quote, is_option: bool) -> Value {
    let time = Timestamp::from_nanosecond(i128::from(quote.event_time)).unwrap_or_default();
    let letters: Vec<String> = conditions::letters(quote.conditions).map(String::from).collect();
    let mut value = json!({
        "t": time.to_string(), "bp": quote.bid_price, "bs": quote.bid_size, "ap": quote.ask_price, "as": quote.ask_size,
        "c": if is_option { json!(letters.concat()) } else { json!(letters) },
    });
    for (key, letter) in [("bx", quote.bid_exchange), ("ax", quote.ask_exchange), ("z", quote.tape)] {
        if letter != 0 {
            value[key] = json!(char::from(letter).to_string());
        }
    }
    value
}

fn json_letter(body: &mut Vec<u8>, key: &str, letter: u8) -> std::io::Result<()> {
    match letter {
        0 => Ok(()),
        letter => write!(body, r#","{key}":"{}""#, char::from(letter)),
    }
}

/// `T` comes first, as Alpaca's Go client requires; the time is extension −1.
fn msgpack_quote(body: &mut Vec<u8>, symbol: &Symbol, quote: &Quote) {
    let letters = [quote.bid_exchange, quote.ask_exchange, quote.tape];
    body.push(0x80 | (8 + letters.iter().filter(|letter| **letter != 0).count() as u8));
    put_texts(body, &["T", "q", "S", symbol.as_str()]);
    put_letter(body, "bx", quote.bid_exchange);
    put_texts(body, &["bp"]);
    put_number(body, quote.bid_price);
    put_texts(body, &["bs"]);
    put_number(body, quote.bid_size);
    put_letter(body, "ax", quote.ask_exchange);
    put_texts(body, &["ap"]);
    put_number(body, quote.ask_price);
    put_texts(body, &["as"]);
    put_number(body, quote.ask_size);
    put_texts(body, &["c"]);
    body.push(0x90 | conditions::letters(quote.conditions).count() as u8);
    for letter in conditions::letters(quote.conditions) {
        body.extend([0xa1, letter as u8]);
    }
    put_letter(body, "z", quote.tape);
    put_texts(body, &["t"]);
    let (seconds, nanos) = (quote.event_time.div_euclid(1_000_000_000), quote.event_time.rem_euclid(1_000_000_000));
    body.extend([0xc7, 12, 0xff]);
    body.extend((nanos as u32).to_be_bytes());
    body.extend(seconds.to_be_bytes());
}

fn put_texts(body: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        match text.len() {
            length @ 0..=31 => body.push(0xa0 | length as u8),
            length => body.extend([0xd9, length as u8]),
        }
        body.extend(text.bytes());
    }
}

fn put_letter(body: &mut Vec<u8>, key: &str, letter: u8) {
    if letter != 0 {
        put_texts(body, &[key]);
        body.extend([0xa1, letter]);
    }
}

/// Writes whole numbers as integers, as Alpaca's encoder does with sizes.
fn put_number(body: &mut Vec<u8>, number: f64) {
    if number.fract() == 0.0 && (0.0..65_536.0).contains(&number) {
        body.push(0xcd);
        body.extend((number as u16).to_be_bytes());
    } else {
        body.push(0xcb);
        body.extend(number.to_be_bytes());
    }
}

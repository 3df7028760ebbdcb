//! The pieces of MessagePack that frames of quotes are written with.

pub(crate) fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(0xa0 | text.len() as u8);
    bytes.extend(text.bytes());
}

pub(crate) fn put_text(bytes: &mut Vec<u8>, key: &str, value: &str) {
    put(bytes, key);
    put(bytes, value);
}

pub(crate) fn put_double(bytes: &mut Vec<u8>, key: &str, value: f64) {
    put(bytes, key);
    bytes.push(0xcb);
    bytes.extend(value.to_be_bytes());
}

/// 16 bits, so that all frames have the same length.
pub(crate) fn put_integer(bytes: &mut Vec<u8>, key: &str, value: u32) {
    put(bytes, key);
    bytes.push(0xcd);
    bytes.extend((value as u16).to_be_bytes());
}

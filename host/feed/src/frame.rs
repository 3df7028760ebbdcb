use quotegate_market::UnixNanos;

/// What one websocket message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A text frame: JSON.
    Text(&'a str),
    /// A binary frame: MessagePack.
    Binary(&'a [u8]),
}

impl Payload<'_> {
    /// Bytes of payload, without the websocket header.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// True without a byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Sees every data and control frame as it arrived, before it is decoded: for `quotegate record`.
///
/// Called on the reader's task, so it must not block: copy, hand over without waiting, and count what did not fit.
pub trait FrameTap: Send {
    /// One frame and when it arrived.
    fn frame(&mut self, received_time: UnixNanos, payload: Payload<'_>);
}

/// A frame that was recorded earlier.
pub trait RecordedFrame {
    /// When it arrived, back then.
    fn received_time(&self) -> UnixNanos;
    /// What it carried.
    fn payload(&self) -> Payload<'_>;
}

impl RecordedFrame for (UnixNanos, String) {
    fn received_time(&self) -> UnixNanos {
        self.0
    }

    fn payload(&self) -> Payload<'_> {
        Payload::Text(&self.1)
    }
}

use quotegate_market::UnixNanos;

/// The payload of one websocket message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A text frame: JSON.
    Text(&'a str),
    /// A binary frame: MessagePack.
    Binary(&'a [u8]),
}

impl Payload<'_> {
    /// Length in bytes, without the websocket header.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// True if it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Receives every frame as it arrived, before it is decoded: for `quotegate record`.
///
/// Called on the reader's task, so it must not block: copy the frame, pass it on without waiting, and count what did not
/// fit.
pub trait FrameTap: Send {
    /// Called with each frame and its arrival time.
    fn frame(&mut self, received_time: UnixNanos, payload: Payload<'_>);
}

/// A frame that was recorded earlier.
pub trait RecordedFrame {
    /// When it arrived at the recorder.
    fn received_time(&self) -> UnixNanos;
    /// Its payload.
    fn payload(&self) -> Payload<'_>;
}

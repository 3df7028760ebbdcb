//! Logs what a panic says. To the host, a panic is only the instruction `unreachable`.

/// Has every panic logged before it ends the call.
#[cfg(target_arch = "wasm32")]
pub(crate) fn log_panics() {
    use crate::host::{Level, log};

    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("with something that is not text");
        let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
        log(Level::Error, &one_line(&format!("panicked{place}: {message}")));
    }));
}

/// The longest line, in bytes.
const MAX: usize = 512;

fn one_line(text: &str) -> String {
    text[..text.floor_char_boundary(MAX)].replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_becomes_one_line_and_is_cut_between_characters() {
        assert_eq!(one_line("left: 1\nright: 2"), "left: 1 right: 2");
        let cut = one_line(&format!("a{}", "ä".repeat(MAX)));
        assert!(cut.len() == MAX - 1 && cut.ends_with('ä'), "{cut}");
    }
}

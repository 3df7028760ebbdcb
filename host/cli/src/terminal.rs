//! Full-screen output on a terminal.

use std::io::{Read, Write, stdin, stdout};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio_util::sync::CancellationToken;

/// The terminal's alternate screen, without a cursor and without echo. Dropping it restores the terminal.
pub(super) struct Screen {
    before: Option<Termios>,
}

/// The style of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Heading,
    Good,
    Warning,
    Bad,
}

impl Screen {
    /// Takes the terminal. The key q cancels `stop`, as Ctrl-C does.
    pub(super) fn take(stop: CancellationToken) -> Self {
        let before = tcgetattr(stdin()).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            // Ctrl-C still sends a signal.
            quiet.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            let _ = tcsetattr(stdin(), OptionalActions::Now, &quiet);
            // Runs until the process ends, because its read cannot be interrupted.
            std::thread::spawn(move || {
                for key in stdin().lock().bytes().map_while(Result::ok) {
                    if matches!(key, b'q' | b'Q') {
                        stop.cancel();
                    }
                }
            });
        }
        print("\x1b[?1049h\x1b[?25l");
        Self { before }
    }

    /// Shows these lines, cut to the size of the terminal.
    pub(super) fn show(&self, lines: &[(Style, String)]) {
        let size = tcgetwinsize(stdout()).ok();
        let (width, height) = size.map_or((80, 24), |size| (size.ws_col, size.ws_row));
        // A terminal of unknown size reports 0.
        let (width, height) = (if width == 0 { 80 } else { width }, if height == 0 { 24 } else { height });
        let mut frame = String::from("\x1b[H");
        for (at, (style, text)) in lines.iter().take(height.into()).enumerate() {
            let cut: String = text.chars().take(width.into()).collect();
            let line_break = if at == 0 { "" } else { "\r\n" };
            frame.push_str(&format!("{line_break}{}{cut}\x1b[0m\x1b[K", style.code()));
        }
        frame.push_str("\x1b[J");
        print(&frame);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print("\x1b[?25h\x1b[?1049l");
        if let Some(before) = &self.before {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Heading => "\x1b[1m",
            Self::Good => "\x1b[1;32m",
            Self::Warning => "\x1b[1;33m",
            Self::Bad => "\x1b[1;31m",
        }
    }
}

/// Ignores errors: the terminal may be gone.
fn print(text: &str) {
    let mut out = stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

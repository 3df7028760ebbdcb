//! Runs external programs.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::{env, thread};

use anyhow::{Context, Result, ensure};

use super::{OnProgress, Progress, missing};

/// Finds a program on PATH.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Runs a tool and reports its output line by line. `if_missing` has its name and the command that installs it.
pub(super) fn run(command: &mut Command, if_missing: (&str, &str), on_progress: &mut OnProgress<'_>) -> Result<()> {
    let status = stream(command, if_missing, |line| on_progress(Progress::Output(line.text())))?;
    check_status(command, status)
}

/// Like [`run`], but returns standard output instead of reporting it.
pub(super) fn output_of(
    command: &mut Command,
    if_missing: (&str, &str),
    on_progress: &mut OnProgress<'_>,
) -> Result<String> {
    let mut output = String::new();
    let status = stream(command, if_missing, |line| match line {
        Line::Output(text) => {
            output.push_str(&text);
            output.push('\n');
        }
        Line::Error(text) => on_progress(Progress::Output(&text)),
    })?;
    check_status(command, status).map(|()| output)
}

enum Line {
    Output(String),
    Error(String),
}

impl Line {
    fn text(&self) -> &str {
        match self {
            Self::Output(text) | Self::Error(text) => text,
        }
    }
}

fn stream(command: &mut Command, if_missing: (&str, &str), mut take: impl FnMut(Line)) -> Result<ExitStatus> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    let child = match command.spawn() {
        Err(reason) if reason.kind() == ErrorKind::NotFound => return Err(missing(if_missing.0, if_missing.1)),
        child => child.context(program.clone())?,
    };
    let mut child = KillOnDrop(child);
    let (sender, lines) = mpsc::channel();
    thread::scope(|scope| {
        if let Some(stdout) = child.0.stdout.take() {
            let sender = sender.clone();
            scope.spawn(move || read(stdout, &sender, Line::Output));
        }
        if let Some(stderr) = child.0.stderr.take() {
            scope.spawn(move || read(stderr, &sender, Line::Error));
        }
        lines.into_iter().for_each(&mut take);
    });
    child.0.wait().context(program)
}

struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read(stream: impl Read, lines: &Sender<Line>, kind: fn(String) -> Line) {
    let mut stream = BufReader::new(stream);
    let mut bytes = Vec::new();
    // Not `lines()`, because a compiler may quote source that is not UTF-8.
    while matches!(stream.read_until(b'\n', &mut bytes), Ok(read) if read > 0) {
        let text = String::from_utf8_lossy(&bytes);
        if lines.send(kind(text.trim_end_matches(['\r', '\n']).to_owned())).is_err() {
            return;
        }
        bytes.clear();
    }
}

fn check_status(command: &Command, status: ExitStatus) -> Result<()> {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    ensure!(status.success(), "{name} failed ({status}): see its output above.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_are_reported_line_by_line_and_failing_is_an_error() {
        let mut lines = Vec::new();
        let mut on_progress = |line: Progress<'_>| lines.push(format!("{line:?}"));
        let error =
            run(&mut shell("echo one; printf 'a\\377b\\n' >&2; exit 3"), ("", ""), &mut on_progress).unwrap_err();
        lines.sort_unstable();
        assert_eq!(lines, ["Output(\"a\u{fffd}b\")", "Output(\"one\")"]);
        assert_eq!(error.to_string(), "sh failed (exit status: 3): see its output above.");
    }

    #[test]
    fn only_standard_error_is_reported_when_the_output_is_returned() {
        let mut lines = Vec::new();
        let mut on_progress = |line: Progress<'_>| lines.push(format!("{line:?}"));
        let output = output_of(&mut shell("echo one; echo two >&2"), ("", ""), &mut on_progress).unwrap();
        assert_eq!((output.as_str(), lines.as_slice()), ("one\n", ["Output(\"two\")".to_owned()].as_slice()));
    }

    #[test]
    fn the_error_for_a_missing_tool_says_how_to_install_it() {
        let missing = ("The frobnicator", "apt-get install frob");
        let error = run(&mut Command::new("/no/such/tool"), missing, &mut |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "The frobnicator is missing. Install it: apt-get install frob");
        assert!(find("sh").is_some() && find("no-such-tool-anywhere").is_none());
    }
}

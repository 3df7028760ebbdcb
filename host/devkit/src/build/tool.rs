//! Other people's programs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::{env, thread};

use super::{BuildError, OnProgress, Progress};

/// Where PATH has this program.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| is_program(candidate))
}

fn is_program(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Runs a tool to its end, and says each line that it prints as soon as it comes. `if_missing` is what it is, and the
/// command that installs it.
pub(super) fn run(
    command: &mut Command,
    if_missing: (&str, &str),
    on_progress: &mut OnProgress<'_>,
) -> Result<(), BuildError> {
    let status = stream(command, if_missing, |line| on_progress(Progress::Output(line.text())))?;
    ended_well(command, status)
}

/// As [`run`], but standard output is answered instead of said.
pub(super) fn output_of(
    command: &mut Command,
    if_missing: (&str, &str),
    on_progress: &mut OnProgress<'_>,
) -> Result<String, BuildError> {
    let mut output = String::new();
    let status = stream(command, if_missing, |line| match line {
        Line::Output(text) => {
            output.push_str(&text);
            output.push('\n');
        }
        Line::Error(text) => on_progress(Progress::Output(&text)),
    })?;
    ended_well(command, status).map(|()| output)
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

fn stream(
    command: &mut Command,
    if_missing: (&str, &str),
    mut take: impl FnMut(Line),
) -> Result<ExitStatus, BuildError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|reason| match reason.kind() {
        ErrorKind::NotFound => BuildError::Missing { what: if_missing.0.to_owned(), command: if_missing.1.to_owned() },
        _ => BuildError::File { path: command.get_program().into(), reason },
    })?;
    let mut child = Ended(child);
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
    child.0.wait().map_err(|reason| BuildError::File { path: command.get_program().into(), reason })
}

/// A child that does not outlive whoever started it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read(stream: impl Read, lines: &Sender<Line>, kind: fn(String) -> Line) {
    let mut stream = BufReader::new(stream);
    let mut bytes = Vec::new();
    // Not `lines()`: a compiler may quote source that is not UTF-8.
    while matches!(stream.read_until(b'\n', &mut bytes), Ok(read) if read > 0) {
        let text = String::from_utf8_lossy(&bytes);
        if lines.send(kind(text.trim_end_matches(['\r', '\n']).to_owned())).is_err() {
            return;
        }
        bytes.clear();
    }
}

fn ended_well(command: &Command, status: ExitStatus) -> Result<(), BuildError> {
    let name = |program: &OsStr| PathBuf::from(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
    if status.success() { Ok(()) } else { Err(BuildError::Tool { tool: name(command.get_program()), status }) }
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
    fn both_streams_are_said_line_by_line_and_a_bad_end_is_an_error() {
        let mut said = Vec::new();
        let mut on_progress = |line: Progress<'_>| said.push(format!("{line:?}"));
        let problem =
            run(&mut shell("echo one; printf 'a\\377b\\n' >&2; exit 3"), ("", ""), &mut on_progress).unwrap_err();
        said.sort_unstable();
        assert_eq!(said, ["Output(\"a\u{fffd}b\")", "Output(\"one\")"]);
        assert_eq!(problem.to_string(), "sh failed (exit status: 3): see what it says above.");
    }

    #[test]
    fn only_errors_are_said_where_the_output_is_answered() {
        let mut said = Vec::new();
        let mut on_progress = |line: Progress<'_>| said.push(format!("{line:?}"));
        let output = output_of(&mut shell("echo one; echo two >&2"), ("", ""), &mut on_progress).unwrap();
        assert_eq!((output.as_str(), said.as_slice()), ("one\n", ["Output(\"two\")".to_owned()].as_slice()));
    }

    #[test]
    fn a_tool_that_is_not_there_is_named_with_what_installs_it() {
        let missing = ("The frobnicator", "apt-get install frob");
        let problem = run(&mut Command::new("/no/such/tool"), missing, &mut |_| {}).unwrap_err();
        assert_eq!(problem.to_string(), "The frobnicator is missing. Install it: apt-get install frob");
        assert!(find("sh").is_some() && find("no-such-tool-anywhere").is_none());
    }
}

//! Every command of the guide for plugin authors, in one shell, as a reader would type them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The lines of all shell blocks.
fn commands(page: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => lines.push(line),
            _ => {}
        }
    }
    lines
}

/// A reader ends `watch` with Ctrl-C; the script does so after the first round.
const WATCH: &str = r#"
watch() {
  quotegate plugin watch "$@" > watched.txt 2>&1 &
  local watcher=$!
  for _ in $(seq 3000); do
    if grep -q "would be written" watched.txt; then break; fi
    kill -0 $watcher
    sleep 0.2
  done
  cat watched.txt
  grep -q "would be written" watched.txt
  kill -INT $watcher
  wait $watcher
}
"#;

fn script(page: &str) -> String {
    let mut text = format!("set -euo pipefail\n{WATCH}");
    let mut here_document = false;
    for line in commands(page) {
        if !here_document && !line.is_empty() {
            text.push_str(&format!("printf '\\n$ %s\\n' {}\n", quoted(line)));
        }
        here_document = (here_document || line.contains("<<'END'")) && line != "END";
        text.push_str(&line.replace("quotegate plugin watch", "watch"));
        text.push('\n');
    }
    text
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[test]
fn every_command_of_the_guide_works_in_this_order() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/README.md");
    let script = script(&std::fs::read_to_string(page).unwrap());
    for verb in ["new", "build", "test", "run", "bench", "watch", "inspect"] {
        assert!(script.contains(&format!("plugin {verb} ")) || script.contains(&format!("plugin {verb}\n")), "{verb}");
    }
    let folder = tempfile::tempdir().unwrap();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_quotegate"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    if let Some(compiler) = std::env::var_os("QUOTEGATE_TEST_RUSTC") {
        shell.env("RUSTC", compiler);
    }
    // Variables that tests/run sets for other tests are not settings.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QUOTEGATE_")) {
        shell.env_remove(name);
    }
    let output = shell
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("XDG_CACHE_HOME", folder.path().join("cache"))
        .env("QUOTEGATE_OPS__PORT", "0")
        // Variables set by the running cargo, which would affect the reader's cargo.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTUP_TOOLCHAIN")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    let compared: Vec<&str> = told.lines().filter(|line| line.contains("quotes have different verdicts")).collect();
    let [setups, components] = compared[..] else { panic!("{told}") };
    assert!(!setups.starts_with("0 of ") && components.starts_with("0 of "), "{setups}\n{components}");
    let documents = std::fs::read_to_string(folder.path().join("my-filter/documents.jsonl")).unwrap();
    assert!(documents.lines().next().unwrap().contains("tenants/acme/live_quotes/"), "{documents}");
}

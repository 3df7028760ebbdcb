use std::path::Path;

use anyhow::anyhow;
use clap::Args;

use super::Failure;

/// Whether `--out` may replace what is there.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Overwrite {
    /// Replace what --out names, if it exists
    #[arg(long, requires = "out")]
    force: bool,
}

impl Overwrite {
    /// Refuses a file that exists. Devices and pipes have nothing to replace.
    pub(super) fn check(self, file: &Path) -> Result<(), Failure> {
        if self.force || !file.is_file() {
            return Ok(());
        }
        let file = file.display();
        Err(Failure::Usage(anyhow!(
            "quotegate: {file} already exists; choose another name, or replace it with --force"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_exists_is_protected() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = Overwrite { force: false }.check(file.path());
        assert!(matches!(&refused, Err(Failure::Usage(error)) if error.to_string().contains("--force")), "{refused:?}");
        assert!(Overwrite { force: true }.check(file.path()).is_ok());
        assert!(Overwrite { force: false }.check(Path::new("/dev/null")).is_ok());
        assert!(Overwrite { force: false }.check(&file.path().with_extension("new")).is_ok());
    }
}

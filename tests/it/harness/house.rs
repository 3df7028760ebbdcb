use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{Running, Sim, eventually, free_port, get, quotegate};

/// A host with settings and a page, and the folder that it runs in.
pub struct House {
    pub folder: TempDir,
    pub port: u16,
}

impl House {
    /// Writes the settings.
    pub fn new(settings: &str) -> Self {
        let house = Self { folder: tempfile::tempdir().unwrap(), port: free_port() };
        std::fs::write(house.folder.path().join("quotegate.toml"), settings).unwrap();
        house
    }

    /// The host, reading from `sim`; where it writes is the caller's to say.
    pub fn command(&self, sim: &Sim) -> Command {
        let mut command = quotegate(["run", "--config", "quotegate.toml"]);
        command
            .current_dir(self.folder.path())
            .env("ALPACA_KEY_ID", "key")
            .env("ALPACA_SECRET_KEY", "secret")
            .env("HEARTBEAT_INTERVAL_S", "1")
            .env("QUOTEGATE_FEED__URL", sim.url())
            .env("QUOTEGATE_PLUGINS__CACHE", "false")
            .env("QUOTEGATE_RUN__INSTANCE", "test-host")
            .env("QUOTEGATE_OPS__PORT", self.port.to_string());
        command
    }

    /// Runs until its page is there.
    pub fn dry_run(&self, sim: &Sim) -> Running {
        let host = Running::start(self.command(sim).env("DRY_RUN", "1"));
        self.wait_until_served();
        host
    }

    pub fn wait_until_served(&self) {
        eventually("the page is served", || get(self.port, "/"));
    }

    /// The page's address.
    pub fn page(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

/// A component of the frame that the plugin room's own tests use.
pub fn guest(filter: &str) -> Vec<u8> {
    let frame = Path::new(env!("CARGO_MANIFEST_DIR")).join("host/plugin/tests/guests/guest.wat");
    let text = std::fs::read_to_string(frame).unwrap();
    let no_documents = "(memory.fill (i32.const 32768) (i32.const 0) (i32.const 512))";
    let parts = [("{{configure}}", ""), ("{{filter}}", filter), ("{{map}}", no_documents), ("{{start}}", "")];
    wat::parse_str(parts.iter().fold(text, |text, (place, part)| text.replace(place, part))).unwrap()
}

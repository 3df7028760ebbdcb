use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{Running, Sim, eventually, free_port, get, quotegate};

/// The folder, settings and port to run a host with.
pub struct HostSetup {
    pub folder: TempDir,
    pub port: u16,
}

impl HostSetup {
    /// Creates the folder and writes the settings.
    pub fn new(settings: &str) -> Self {
        let setup = Self { folder: tempfile::tempdir().unwrap(), port: free_port() };
        std::fs::write(setup.folder.path().join("quotegate.toml"), settings).unwrap();
        setup
    }

    /// The command that runs the host on `sim`. The caller configures the sink.
    pub fn command(&self, sim: &Sim) -> Command {
        let mut command = quotegate(["run", "--config", "quotegate.toml"]);
        command
            .current_dir(self.folder.path())
            .env("ALPACA_KEY_ID", "key")
            .env("ALPACA_SECRET_KEY", "secret")
            .env("HEARTBEAT_INTERVAL_S", "1")
            // Tests run at any hour, and silence lasts as long as the test wants.
            .env("QUOTEGATE_FEED__CALENDAR", "always")
            .env("QUOTEGATE_FEED__URL", sim.url())
            .env("QUOTEGATE_PLUGINS__CACHE", "false")
            .env("QUOTEGATE_RUN__INSTANCE", "test-host")
            .env("QUOTEGATE_OPS__PORT", self.port.to_string());
        command
    }

    /// Starts a dry run and waits until the page is served.
    pub fn dry_run(&self, sim: &Sim) -> Running {
        let host = Running::start(self.command(sim).env("DRY_RUN", "1"));
        self.wait_until_served();
        host
    }

    pub fn wait_until_served(&self) {
        eventually("the page is served", || get(self.port, "/"));
    }

    /// The URL of the page.
    pub fn page(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

/// A component with this filter, from the template of the plugin crate's tests.
pub fn guest(filter: &str) -> Vec<u8> {
    wat::parse_str(guest_text(filter)).unwrap()
}

/// The same as text.
pub fn guest_text(filter: &str) -> String {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("host/plugin/tests/guests/guest.wat");
    let text = std::fs::read_to_string(template).unwrap();
    let no_documents = "(memory.fill (i32.const 32768) (i32.const 0) (i32.const 512))";
    let parts = [("{{configure}}", ""), ("{{filter}}", filter), ("{{map}}", no_documents), ("{{start}}", "")];
    parts.iter().fold(text, |text, (place, part)| text.replace(place, part))
}

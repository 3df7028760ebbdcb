use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{LIMIT, eventually};

/// A real Chromium with one page, driven over its DevTools protocol. Killed when dropped.
pub struct Browser {
    child: Child,
    runtime: Runtime,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    last_id: u64,
    /// URLs that the page requested.
    pub requests: Vec<String>,
    /// Errors in its console.
    pub errors: Vec<String>,
    _profile: TempDir,
}

/// The screen to show the page on.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    pub width: u32,
    pub height: u32,
    pub dark: bool,
}

impl Browser {
    /// Starts Chromium. `None` if it is not installed: reported as skipped, a failure in CI.
    pub fn or_skip() -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let Some(started) = names.iter().find_map(|name| start(name)) else {
            quotegate_test_support::skip("tests of the page: apt-get install chromium");
            return None;
        };
        let (child, address, profile) = started;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (socket, _) = runtime.block_on(connect_async(address)).unwrap();
        let (requests, errors) = (Vec::new(), Vec::new());
        let mut browser =
            Self { child, runtime, socket, session: None, last_id: 0, requests, errors, _profile: profile };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    /// Opens a URL.
    pub fn open(&mut self, address: &str) {
        self.call("Page.navigate", &json!({"url": address}));
        self.until("the page is loaded", "document.readyState === 'complete'");
    }

    /// Sets the size and the color scheme.
    pub fn look(&mut self, screen: Screen) {
        let Screen { width, height, dark } = screen;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        // Without motion, or a screenshot could catch colors in transition between schemes.
        let features = [("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")];
        let features = features.map(|(name, value)| json!({"name": name, "value": value}));
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// The value of an expression.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let ask = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &ask);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// The text of the first element that matches a selector.
    pub fn text(&mut self, selector: &str) -> String {
        let text = self.evaluate(&format!("document.querySelector({selector:?})?.textContent ?? ''"));
        text.as_str().unwrap().to_owned()
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, what: &str, expression: &str) {
        self.until_by(what, expression, || ());
    }

    /// Repeats `work` until an expression is true.
    pub fn until_by(&mut self, what: &str, expression: &str, mut work: impl FnMut()) {
        let deadline = std::time::Instant::now() + LIMIT;
        while self.evaluate(expression) != json!(true) {
            work();
            if std::time::Instant::now() > deadline {
                let text = self.evaluate("document.body.innerText");
                panic!("never happened: {what}; the errors are {:?}; the page says:\n{text}", self.errors);
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Presses a key: `Tab`, `Enter`, or a letter.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            letter => (0, letter),
        };
        let down = json!({"type": "keyDown", "key": key, "windowsVirtualKeyCode": code, "text": text});
        self.call("Input.dispatchKeyEvent", &down);
        self.call("Input.dispatchKeyEvent", &json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code}));
    }

    /// Saves a screenshot of the whole page in `target/screenshots`.
    pub fn screenshot(&mut self, name: &str) {
        let root = "document.documentElement";
        let clip = self
            .evaluate(&format!("({{x: 0, y: 0, scale: 1, width: {root}.clientWidth, height: {root}.scrollHeight}})"));
        let picture = self.call("Page.captureScreenshot", &json!({"captureBeyondViewport": true, "clip": clip}));
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    /// Sends a command and waits for its result; records events in the meantime.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last_id += 1;
        let mut command = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        self.runtime.block_on(self.socket.send(Message::text(command.to_string()))).unwrap();
        loop {
            let next = self.runtime.block_on(async { tokio::time::timeout(LIMIT, self.socket.next()).await });
            let Ok(Some(Ok(message))) = next else { panic!("Chromium does not answer {method}: {next:?}") };
            let Ok(text) = message.into_text() else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == self.last_id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Network.requestWillBeSent") => {
                self.requests.push(parameters["request"]["url"].as_str().unwrap().to_owned());
            }
            Some("Runtime.exceptionThrown") => self.errors.push(parameters.to_string()),
            Some("Runtime.consoleAPICalled") if parameters["type"] == "error" => {
                self.errors.push(parameters.to_string());
            }
            Some("Log.entryAdded") if parameters["entry"]["level"] == "error" => {
                self.errors.push(parameters["entry"].to_string());
            }
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(name: &str) -> Option<(Child, String, TempDir)> {
    let profile = tempfile::tempdir().unwrap();
    let mut child = Command::new(name)
        // Tests run as root in CI, where Chromium has no sandbox. It opens only our page.
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = eventually("Chromium listens", || {
        let line = lines.next()?.unwrap();
        line.strip_prefix("DevTools listening on ").map(str::to_owned)
    });
    // Its complaints must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    Some((child, address, profile))
}

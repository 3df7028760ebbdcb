use std::collections::BTreeSet;
use std::net::SocketAddr;

use quotegate_market::{Quote, Symbol};
use quotegate_sim::{Rate, SimHandle, SimSettings, Simulator};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::eventually;

/// A simulator inside the test, on its own runtime.
pub struct Sim {
    handle: SimHandle,
    address: SocketAddr,
    stop: CancellationToken,
    _runtime: Runtime,
}

impl Sim {
    /// Sends only what the test pushes.
    pub fn quiet() -> Self {
        Self::with(SimSettings { rate: Rate::PerSecond(0.0), ..SimSettings::default() })
    }

    /// Starts one with these settings.
    pub fn with(settings: SimSettings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let simulator = runtime.block_on(Simulator::bind(loopback, settings)).unwrap();
        let (handle, address, stop) = (simulator.handle(), simulator.local_addr(), CancellationToken::new());
        runtime.spawn(simulator.run(stop.clone()));
        Self { handle, address, stop, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/v2/iex", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn handle(&self) -> &SimHandle {
        &self.handle
    }

    /// Waits until exactly these symbols are subscribed.
    pub fn wait_for_symbols(&self, symbols: &[&str]) {
        let wanted: BTreeSet<_> = symbols.iter().map(ToString::to_string).collect();
        eventually("the subscription", || (self.handle.subscribed() == wanted).then_some(()));
    }

    pub fn send(&self, symbol: &str, quote: &Quote) {
        self.handle.send_quote(&Symbol::new(symbol).unwrap(), quote);
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

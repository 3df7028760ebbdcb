//! Sends quotes to a client and applies faults to them.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::{Connection, Disconnected, MAX_FRAME_QUOTES, WARM_UP};
use crate::playback::Playback;
use crate::wire;
use crate::{Fault, Rate, Scenario};

impl Connection {
    /// Sends what has become due since `sent_until` and returns the new `sent_until`.
    pub(super) async fn send_due(&mut self, sent_until: Instant, now: Instant) -> Result<Instant, Disconnected> {
        if let Some(scenario) = self.shared.settings.scenario {
            self.send_scenario(scenario, now).await?;
            return Ok(now);
        }
        let Rate::PerSecond(rate) = self.shared.settings.rate else { return Ok(now) };
        if self.chosen.is_empty() || rate <= 0.0 {
            return Ok(now);
        }
        // Frames of a fixed size wait until they are full, so that the rate stays the same.
        let fixed = self.shared.settings.quotes_per_frame.map(|quotes| quotes.max(1));
        // After sleeping, a machine must not send hours of quotes at once.
        let most = (rate as usize + 1).max(fixed.unwrap_or(1));
        let mut due = (((now - sent_until).as_secs_f64() * rate) as usize).min(most);
        due -= due % fixed.unwrap_or(1);
        if due == 0 {
            return Ok(sent_until);
        }
        let sent_until = sent_until + Duration::from_secs_f64(due as f64 / rate);
        while due > 0 {
            let quotes = fixed.unwrap_or(due.min(MAX_FRAME_QUOTES));
            self.send_quotes(quotes).await?;
            due -= quotes;
        }
        Ok(sent_until.max(now - Duration::from_secs(1)))
    }

    /// Sends the scenario's due frames. It starts when the client subscribes and restarts at its end.
    async fn send_scenario(&mut self, scenario: Scenario, now: Instant) -> Result<(), Disconnected> {
        if self.chosen.is_empty() {
            return Ok(());
        }
        let running = self.playback.take().filter(|playback| !playback.is_over());
        let mut playback = running.unwrap_or_else(|| {
            // The clock before the instant: otherwise, on a busy machine, quotes would be sent before their own time.
            let time = self.now();
            Playback::begin(scenario, self.shared.settings.seed, Instant::now(), time)
        });
        while let Some(quotes) = playback.due(now) {
            quotes.iter().for_each(|(symbol, quote)| self.shared.market().record(symbol, quote));
            let wanted: Vec<_> = quotes.iter().filter(|(symbol, _)| self.state.wants(symbol)).collect();
            if !wanted.is_empty() && self.may_send().await? {
                wanted.iter().for_each(|(symbol, quote)| self.frame.push(symbol, quote));
                self.send_filled().await?;
            }
        }
        self.playback = Some(playback);
        Ok(())
    }

    /// Sends one frame of the market's quotes.
    pub(super) async fn send_quotes(&mut self, quotes: usize) -> Result<(), Disconnected> {
        // The market moves on while a fault keeps its quotes from the client.
        let may_send = self.may_send().await?;
        let huge = self.shared.fault() == Some(Fault::HugeFrame) && self.frames % 100 == 50;
        let quotes = if huge { 50_000 } else { quotes };
        let mut time = self.now();
        {
            let mut market = self.shared.market();
            for _ in 0..quotes {
                time += 1;
                if let Some((symbol, quote)) = market.quote(&self.chosen, time)
                    && may_send
                {
                    self.frame.push(symbol, &quote);
                }
            }
        }
        self.last_time = time;
        if may_send { self.send_filled().await } else { Ok(()) }
    }

    /// Applies faults that come before a frame. Returns false if the fault is to send nothing.
    async fn may_send(&mut self) -> Result<bool, Disconnected> {
        let fault = self.shared.fault();
        match fault {
            Some(Fault::Silent | Fault::NoPong) if self.quotes >= WARM_UP => return Ok(false),
            Some(Fault::SlowClient) if self.frames >= WARM_UP => self.refuse(407, "slow client").await?,
            Some(Fault::InternalError) if self.frames >= WARM_UP => self.refuse(500, "internal error").await?,
            Some(Fault::DropAfter(frames)) if self.frames >= frames => return Err(Disconnected),
            Some(Fault::Garbage) if self.frames % 10 == 5 => self.send_garbage().await?,
            Some(Fault::UnknownTypes) if self.frames % 10 == 5 => self.send_unknown().await?,
            _ => {}
        }
        Ok(true)
    }

    /// Sends the collected frame, truncated if the fault says so.
    async fn send_filled(&mut self) -> Result<(), Disconnected> {
        self.frames += 1;
        self.quotes += self.frame.len() as u64;
        self.shared.counters.quotes.fetch_add(self.frame.len() as u64, Relaxed);
        let mut frame = self.frame.take();
        if self.shared.fault() == Some(Fault::Truncated) && self.frames % 10 == 5 {
            frame = truncate(frame);
        }
        self.send(frame).await
    }

    async fn send_garbage(&mut self) -> Result<(), Disconnected> {
        let bytes: Vec<u8> = (0..self.rng.usize(1..200)).map(|_| self.rng.u8(..)).collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.send(Message::binary(bytes)).await?;
        self.send(Message::text(text)).await
    }

    /// Sends messages that a client should skip, and unusual but valid quotes.
    async fn send_unknown(&mut self) -> Result<(), Disconnected> {
        for message in [
            json!({"T": "x", "S": "SPY", "i": 52_983_525_029_461_u64}),
            json!({"T": "brand-new", "nested": {"list": [1, null, "a\"b\\c"]}}),
            json!({"T": "s", "S": "SPY", "sc": "H", "sm": "Trading Halt", "t": "2021-02-22T19:15:00Z"}),
            json!({}),
        ] {
            self.send(wire::control(self.client.encoding, &message)).await?;
        }
        let symbol = self.chosen.first().and_then(|at| self.shared.market().symbol(*at).cloned());
        let Some(symbol) = symbol else { return Ok(()) };
        for conditions in [json!(null), json!("R"), json!(["R", "A"])] {
            let time = Timestamp::from_nanosecond(i128::from(self.now() + 1)).unwrap_or_default().to_string();
            self.last_time = self.now() + 1;
            let quote = json!({
                "T": "q", "S": symbol.as_str(), "bp": 10, "bs": 1, "ap": 10.5, "as": 2,
                "c": conditions, "r": 17, "n": {"x": []}, "t": time,
            });
            self.shared.counters.quotes.fetch_add(1, Relaxed);
            self.send(wire::control(self.client.encoding, &quote)).await?;
        }
        Ok(())
    }
}

/// Keeps the first two thirds of a frame.
fn truncate(frame: Message) -> Message {
    match frame {
        Message::Text(text) => Message::text(text.chars().take(text.len() * 2 / 3).collect::<String>()),
        Message::Binary(bytes) => Message::binary(bytes[..bytes.len() * 2 / 3].to_vec()),
        other => other,
    }
}

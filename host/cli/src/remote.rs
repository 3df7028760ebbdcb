//! Asks a running host for its `/api/state` over HTTP.

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use quotegate_io::connect_problem;
use quotegate_ops::HostState;
use quotegate_sink::install_crypto_provider;
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};

use super::Failure;

/// The arguments of the verbs that ask a host.
#[derive(Debug, Clone, Args)]
pub(super) struct RemoteArgs {
    /// The address of the host's page, or its host and port
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8700")]
    url: String,
    /// The host's ops.token; the environment variable hides it from other users
    #[arg(long, value_name = "TOKEN", env = "QUOTEGATE_OPS__TOKEN", hide_env_values = true)]
    token: Option<SecretString>,
}

/// A client of one host.
pub(super) struct Remote {
    client: reqwest::Client,
    url: Url,
    token: Option<SecretString>,
}

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

impl RemoteArgs {
    pub(super) fn remote(self) -> Result<Remote, Failure> {
        let url = state_url(&self.url).map_err(|problem| {
            let example = "try something like 127.0.0.1:8700 or https://host.example";
            Failure::Usage(anyhow::anyhow!("quotegate: URL {:?} {problem}; {example}", self.url))
        })?;
        // Without a TLS provider, reqwest panics.
        install_crypto_provider();
        let mut client =
            reqwest::Client::builder().timeout(REQUEST_TIMEOUT).redirect(reqwest::redirect::Policy::none());
        if is_local(&url) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| Failure::Running(error.into()))?;
        Ok(Remote { client, url, token: self.token.filter(|token| !token.expose_secret().is_empty()) })
    }
}

impl Remote {
    /// Fetches the host's state, as JSON text and parsed.
    pub(super) async fn state(&self) -> anyhow::Result<(String, HostState)> {
        let mut request = self.client.get(self.url.clone());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED if self.token.is_some() => {
                anyhow::bail!("{} rejects the token; pass the host's ops.token", self.url)
            }
            StatusCode::UNAUTHORIZED => {
                anyhow::bail!("{} requires a token; pass its ops.token with --token or QUOTEGATE_OPS__TOKEN", self.url)
            }
            status @ (StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => {
                anyhow::bail!("{} is too busy to answer ({status}); try again", self.url)
            }
            status => anyhow::bail!("{} returned {status}; is it a quotegate host?", self.url),
        }
        let text = answer.text().await.map_err(|error| self.unreachable(&error))?;
        let state: HostState = serde_json::from_str(&text)
            .map_err(|error| anyhow::anyhow!("{} is not a quotegate host of this version: {error}", self.url))?;
        anyhow::ensure!(
            state.schema == HostState::SCHEMA,
            "{} uses version {} of the state format, but this program reads version {}; use the host's version of quotegate",
            self.url,
            state.schema,
            HostState::SCHEMA,
        );
        Ok((text, state))
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let cause = connect_problem(error, self.url.authority());
        let hint = "is the host running, and is this its ops.port? To reach a service on Cloud Run, use \
                    `gcloud run services proxy SERVICE --port 8700`";
        anyhow::anyhow!("no answer from {}: {cause}; {hint}", self.url)
    }
}

fn state_url(text: &str) -> Result<Url, String> {
    let scheme = if text.contains("://") { "" } else { "http://" };
    let url = Url::parse(&format!("{scheme}{text}")).map_err(|error| format!("is not a valid URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("is not an http(s) URL".to_owned());
    }
    let mut folder = url;
    if !folder.path().ends_with('/') {
        folder.set_path(&format!("{}/", folder.path()));
    }
    folder.join("api/state").map_err(|error| format!("is not a valid URL: {error}"))
}

/// True for this machine, which no proxy can reach.
fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Replaces control characters, because text from another host must not control the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() && letter != '\n' { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_may_have_a_path_and_must_be_http() {
        let of = |text: &str| state_url(text).map(String::from);
        assert_eq!(of("http://127.0.0.1:8700").unwrap(), "http://127.0.0.1:8700/api/state");
        assert_eq!(of("https://proxy.example/quotegate").unwrap(), "https://proxy.example/quotegate/api/state");
        for host in ["127.0.0.1:8700", "localhost:8700", "[::1]:8700", "host.example"] {
            assert_eq!(of(host).unwrap(), format!("http://{host}/api/state"));
        }
        for wrong in ["", "host:port", "ftp://host/"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_https_host_can_be_queried() {
        let args = RemoteArgs { url: "https://host.example".to_owned(), token: None };
        assert_eq!(args.remote().unwrap().url.as_str(), "https://host.example/api/state");
    }

    #[test]
    fn this_machine_is_reached_without_a_proxy() {
        let local = |text: &str| is_local(&Url::parse(text).unwrap());
        assert!(local("http://localhost:1/") && local("http://127.0.0.2/") && local("http://[::1]:5/"));
        assert!(!local("https://host.example/") && !local("http://10.0.0.1/"));
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(printable("a\u{1b}[2Jb\u{7}\nc\r"), "a\u{fffd}[2Jb\u{fffd}\nc\u{fffd}");
    }
}

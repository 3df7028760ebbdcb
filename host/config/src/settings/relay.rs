use std::path::PathBuf;

use secrecy::SecretString;

use super::run::Role;
use super::source::{SourceKind, check_readable};
use super::{RunSettings, SinkKind, SinkSettings};
use crate::declare::settings;
use crate::kind::{FilePath, Integer, Secret, Text, rule};
use crate::reader::Reader;

/// A relay between the host that reads and the hosts that write, `[relay]`.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// The NATS server.
    pub url: String,
    /// How to authenticate there; `None`: the server asks for nothing.
    pub auth: Option<RelayAuth>,
    /// CA certificates to trust in addition to the public ones.
    pub ca_file: Option<PathBuf>,
    /// The number of shards that the tenants are divided into.
    pub shards: u16,
}

/// How to authenticate at the NATS server.
#[derive(Debug, Clone)]
pub enum RelayAuth {
    /// A file of NATS credentials (`.creds`).
    CredentialsFile(PathBuf),
    /// A token.
    Token(SecretString),
    /// A file with the seed of an NKEY.
    NkeyFile(PathBuf),
}

const URL: Text =
    Text { expects: "a URL such as \"nats://10.0.0.5:4222\", or \"\" for none", rule: rule::NATS_URL_OR_NONE };

settings! {
    /// `[relay]` as it is written.
    pub(super) struct RelayValues from Reader {
        /// A NATS server, with nats:// or, if TLS is required, tls://. Then any number of hosts with the same settings share
        /// the work: one of them, the owner of the lease, reads the feed and publishes its quotes there; all of them receive
        /// quotes from there, and each writes the documents of its part of the tenants. Needs Firestore, where the lease and
        /// the parts are kept. With "", one process does everything.
        url: String = "url", URL, default String::new();
        /// A file of NATS credentials, if the server needs them.
        credentials_file: Option<PathBuf> = "credentials_file", FilePath, example "\"/run/secrets/quotegate.creds\"";
        /// A token, if the server needs one. Better kept out of this file.
        token: Option<SecretString> = "token", Secret, secret;
        /// A file with the seed of an NKEY, if the server needs one.
        nkey_file: Option<PathBuf> = "nkey_file", FilePath, example "\"/run/secrets/quotegate.nk\"";
        /// A PEM file with CA certificates to trust in addition to the public ones.
        ca_file: Option<PathBuf> = "ca_file", FilePath, example "\"/etc/ssl/company.pem\"";
        /// The number of shards that the tenants are divided into by their IDs. Workers own shards, so there can be no more
        /// workers than this. All hosts must have the same number: stop them all before you change it.
        shards: u16 = "shards", Integer { min: 1, max: 1024 }, default 64;
    }
}

impl RelayValues {
    /// Checks what depends on other settings. `None` without a relay.
    pub(super) fn resolve(
        self,
        kind: SourceKind,
        sink: &SinkSettings,
        run: &RunSettings,
        from: &mut Reader<'_>,
    ) -> Option<RelaySettings> {
        let Self { url, credentials_file, token, nkey_file, ca_file, shards } = self;
        if url.is_empty() {
            if run.role != Role::All && !from.has_error(&["relay.url"]) {
                from.error_at(
                    &["run", "role"],
                    "Only hosts with a relay can divide the work, but relay.url is not set.",
                    "Set relay.url to the address of a NATS server, or remove run.role.",
                );
            }
            return None;
        }
        let remedy = "Remove relay.url, for one run with --set relay.url= --set run.role=all.";
        if kind == SourceKind::Replay {
            from.error_at(&["relay", "url"], "A replay is played in one process, without a relay.", remedy);
        } else if sink.kind == SinkKind::DryRun && !from.has_error(&["sink.kind"]) {
            let sentence = "A relay needs Firestore, where it is kept which host writes what, but this is a dry run.";
            from.error_at(&["relay", "url"], sentence, remedy);
        }
        if let Some(file) = &ca_file {
            check_readable(file, &["relay", "ca_file"], from);
        }
        let mut given = Vec::new();
        if let Some(file) = credentials_file {
            check_readable(&file, &["relay", "credentials_file"], from);
            given.push(("credentials_file", RelayAuth::CredentialsFile(file)));
        }
        given.extend(token.map(|token| ("token", RelayAuth::Token(token))));
        if let Some(file) = nkey_file {
            check_readable(&file, &["relay", "nkey_file"], from);
            given.push(("nkey_file", RelayAuth::NkeyFile(file)));
        }
        if let [.., (before, _), (last, _)] = given[..] {
            from.error_at(
                &["relay", last],
                format!("There are two ways to authenticate: relay.{before} and relay.{last}."),
                "Keep the one that the server requires.",
            );
        }
        Some(RelaySettings { url, auth: given.pop().map(|(_, auth)| auth), ca_file, shards })
    }
}

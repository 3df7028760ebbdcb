use std::path::PathBuf;

use secrecy::SecretString;

use super::run::Role;
use super::source::{SourceKind, check_readable};
use super::{RunSettings, SinkKind, SinkSettings};
use crate::declare::settings;
use crate::kind::{Choice, FilePath, Integer, Secret, Text, rule};
use crate::reader::Reader;

/// A relay between the host that reads and the hosts that write, `[relay]`.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// The NATS servers, separated by commas.
    pub url: String,
    /// How to authenticate there; `None`: the server asks for nothing.
    pub auth: Option<RelayAuth>,
    /// CA certificates to trust in addition to the public ones.
    pub ca_file: Option<PathBuf>,
    /// The certificate that this host shows, and its key.
    pub certificate: Option<[PathBuf; 2]>,
    /// How batches of quotes are compressed.
    pub compression: RelayCompression,
    /// The number of shards that the tenants are divided into.
    pub shards: u16,
}

impl RelaySettings {
    /// The number of shards, unless it is set.
    pub const DEFAULT_SHARDS: u16 = 64;
}

/// How to authenticate at the NATS server.
#[derive(Debug, Clone)]
pub enum RelayAuth {
    /// A file of NATS credentials (`.creds`).
    CredentialsFile(PathBuf),
    /// A token.
    Token(SecretString),
    /// The seed of an NKEY.
    Nkey(SecretString),
}

/// How batches of quotes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayCompression {
    /// Not at all.
    None,
    /// With zstd.
    Zstd,
}

const URL: Text =
    Text { expects: "a URL such as \"nats://10.0.0.5:4222\", or \"\" for none", rule: rule::NATS_URLS_OR_NONE };
const COMPRESSIONS: &[(&str, RelayCompression)] = &[("none", RelayCompression::None), ("zstd", RelayCompression::Zstd)];

settings! {
    /// `[relay]` as it is written.
    pub(super) struct RelayValues from Reader {
        /// A NATS server, with nats:// or, if TLS is required, tls://; commas separate the servers of a cluster. Then any number
        /// of hosts with the same settings share the work: one of them, the owner of the lease, reads the feed and publishes
        /// its quotes there; all of them receive quotes from there, and each writes the documents of its part of the tenants.
        /// Needs Firestore, where the lease and the parts are kept. With "", one process does everything.
        url: String = "url", URL, default String::new();
        /// A file of NATS credentials, if the server needs them.
        credentials_file: Option<PathBuf> = "credentials_file", FilePath, example "\"/run/secrets/quotegate.creds\"";
        /// A token, if the server needs one. Better kept out of this file.
        token: Option<SecretString> = "token", Secret, secret;
        /// The seed of an NKEY, if the server needs one. Better kept out of this file.
        nkey: Option<SecretString> = "nkey", Secret, secret;
        /// A PEM file with CA certificates to trust in addition to the public ones.
        ca_file: Option<PathBuf> = "ca_file", FilePath, example "\"/etc/ssl/company.pem\"";
        /// A PEM file with the certificate that this host shows, if the server verifies its clients. Needs key_file.
        certificate_file: Option<PathBuf> = "certificate_file", FilePath, example "\"/run/secrets/quotegate.pem\"";
        /// A PEM file with the private key of that certificate.
        key_file: Option<PathBuf> = "key_file", FilePath, example "\"/run/secrets/quotegate.key\"";
        /// How the reader compresses quotes: "none" takes the least processor time, "zstd" the fewest bytes. Workers read both.
        compression: RelayCompression = "compression", Choice(COMPRESSIONS), default RelayCompression::None;
        /// The number of shards that the tenants are divided into by their IDs. Workers own shards, so there can be no more
        /// workers than this. All hosts must have the same number: stop them all before you change it.
        shards: u16 = "shards", Integer { min: 1, max: 1024 }, default RelaySettings::DEFAULT_SHARDS;
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
        if self.url.is_empty() {
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
        let Self { url, credentials_file, token, nkey, ca_file, certificate_file, key_file, compression, shards } =
            self;
        let files = [
            ("credentials_file", &credentials_file),
            ("ca_file", &ca_file),
            ("certificate_file", &certificate_file),
            ("key_file", &key_file),
        ];
        for (name, file) in files {
            if let Some(file) = file {
                check_readable(file, &["relay", name], from);
            }
        }
        let certificate = match (certificate_file, key_file) {
            (Some(certificate), Some(key)) => Some([certificate, key]),
            (None, None) => None,
            (certificate, _) => {
                let (has, lacks) = match certificate {
                    Some(_) => ("certificate_file", "key_file"),
                    None => ("key_file", "certificate_file"),
                };
                let sentence = "A certificate and its key belong together, but one of them is missing.";
                from.error_at(&["relay", has], sentence, format!("Set relay.{lacks} too."));
                None
            }
        };
        let auth = [
            ("credentials_file", credentials_file.map(RelayAuth::CredentialsFile)),
            ("token", token.map(RelayAuth::Token)),
            ("nkey", nkey.map(RelayAuth::Nkey)),
        ];
        let mut auth: Vec<_> = auth.into_iter().filter_map(|(name, auth)| Some((name, auth?))).collect();
        if let [(first, _), (second, _), ..] = auth[..] {
            from.error_at(
                &["relay", second],
                format!("There are two ways to authenticate: relay.{first} and relay.{second}."),
                "Keep the one that the server requires.",
            );
        }
        Some(RelaySettings { url, auth: auth.pop().map(|(_, auth)| auth), ca_file, certificate, compression, shards })
    }
}

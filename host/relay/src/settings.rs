use std::path::PathBuf;

use quotegate_market::{FeedName, SymbolTable};
use secrecy::SecretString;

/// How to reach the broker, and what to send through it.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// `nats://host:4222` or `tls://host:4222`; several servers of one cluster are separated by commas.
    pub url: String,
    /// How this client proves who it is.
    pub authentication: Authentication,
    /// More certificate authorities than the public ones, in a PEM file: for a private server.
    pub ca_file: Option<PathBuf>,
    /// For servers that verify their clients.
    pub client_certificate: Option<ClientCertificate>,
    /// The feed whose quotes are relayed: part of every subject.
    pub feed: FeedName,
    /// The name under which the server lists this connection.
    pub name: String,
    /// How batches are compressed.
    pub compression: Compression,
    /// The capacity of the subscriber's [`SymbolTable`].
    pub symbol_capacity: usize,
}

/// How this client proves who it is. No secret can be printed.
#[derive(Debug, Clone, Default)]
pub enum Authentication {
    /// It does not.
    #[default]
    None,
    /// With the server's token.
    Token(SecretString),
    /// With the seed of an NKEY, `SU…`.
    Nkey(SecretString),
    /// With a `.creds` file. Read again at every connection, so it may be replaced before it expires.
    CredentialsFile(PathBuf),
}

/// PEM files.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The certificate, with its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all: the least processor time.
    #[default]
    None,
    /// With zstd: the fewest bytes.
    Zstd,
}

impl RelaySettings {
    /// The defaults for a server at `url`.
    pub fn new(url: String, feed: FeedName) -> Self {
        Self {
            url,
            authentication: Authentication::None,
            ca_file: None,
            client_certificate: None,
            feed,
            name: "quotegate".to_owned(),
            compression: Compression::default(),
            symbol_capacity: SymbolTable::DEFAULT_CAPACITY,
        }
    }
}

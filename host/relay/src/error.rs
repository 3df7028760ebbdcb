/// Why a relay cannot start. A broker that is not there is no reason: see [`crate::ConnectionSnapshot::problem`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// The address is not one of NATS.
    #[error("{0:?} is not an address of a NATS server, such as nats://127.0.0.1:4222")]
    Url(String),
    /// User and password in an address would be shown wherever the address is.
    #[error("the address must not contain a user or password; use a token, an NKEY or a credentials file")]
    SecretInUrl,
    /// A file cannot be used.
    #[error("{file}: {reason}")]
    File {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// The seed of an NKEY is invalid.
    #[error("the NKEY seed is invalid: {0}")]
    Nkey(String),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(String),
}

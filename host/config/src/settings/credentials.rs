use secrecy::SecretString;

use crate::form::{PathText, Secret};
use crate::key::key;
use crate::reader::Reader;

/// What Alpaca knows an account by. Prints nothing of either.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The key's id.
    pub key_id: SecretString,
    /// The key's secret.
    pub secret_key: SecretString,
}

/// Either half may be missing.
pub(super) struct MaybeCredentials {
    pub(super) key_id: Option<SecretString>,
    pub(super) secret_key: Option<SecretString>,
}

impl MaybeCredentials {
    pub(super) fn read(from: &mut Reader<'_>) -> Self {
        let key_id =
            from.secret(
                key("key_id", "Id of the Alpaca API key.", Secret).named(&[
                    "ALPACA_KEY_ID",
                    "ALPACA_API_KEY",
                    "APCA_API_KEY_ID",
                ]),
                key("key_id_file", "File that holds the id of the Alpaca API key, instead of key_id.", PathText)
                    .named(&["ALPACA_KEY_ID_FILE", "ALPACA_API_KEY_FILE", "APCA_API_KEY_ID_FILE"]),
            );
        let secret_key = from.secret(
            key("secret_key", "Secret of the Alpaca API key. Better not in this file.", Secret)
                .named(&["ALPACA_SECRET_KEY", "APCA_API_SECRET_KEY"]),
            key(
                "secret_key_file",
                "File that holds the secret of the Alpaca API key, instead of secret_key.",
                PathText,
            )
            .named(&["ALPACA_SECRET_KEY_FILE", "APCA_API_SECRET_KEY_FILE"]),
        );
        Self { key_id, secret_key }
    }

    pub(super) fn are_missing(&self) -> bool {
        self.key_id.is_none() && self.secret_key.is_none()
    }
}

//! How the client proves who it is.

use std::path::Path;

use async_nats::{Auth, AuthError};
use nkeys::KeyPair;
use quotegate_io::{SECRET_LIMIT, read_text};
use secrecy::{ExposeSecret, SecretString};

use crate::error::RelayError;
use crate::settings::Authentication;

/// Checks that a secret can be used, before there is a server to use it with.
pub(super) fn check(authentication: &Authentication) -> Result<(), RelayError> {
    match authentication {
        Authentication::None | Authentication::Token(_) => Ok(()),
        Authentication::Nkey(seed) => key_pair(seed.expose_secret()).map(|_| ()),
        Authentication::CredentialsFile(file) => credentials(file).map(|_| ()),
    }
}

/// The answer to a server's nonce.
pub(super) fn answer(authentication: &Authentication, nonce: &[u8]) -> Result<Auth, AuthError> {
    let mut auth = Auth::new();
    let signed = |pair: &KeyPair| pair.sign(nonce).map_err(AuthError::new);
    match authentication {
        Authentication::None => {}
        Authentication::Token(token) => auth.token = Some(token.expose_secret().to_owned()),
        Authentication::Nkey(seed) => {
            let pair = key_pair(seed.expose_secret()).map_err(AuthError::new)?;
            auth.nkey = Some(pair.public_key());
            auth.signature = Some(signed(&pair)?);
        }
        Authentication::CredentialsFile(file) => {
            let Credentials { jwt, seed } = credentials(file).map_err(AuthError::new)?;
            let pair = key_pair(seed.expose_secret()).map_err(AuthError::new)?;
            auth.jwt = Some(jwt);
            auth.signature = Some(signed(&pair)?);
        }
    }
    Ok(auth)
}

fn key_pair(seed: &str) -> Result<KeyPair, RelayError> {
    KeyPair::from_seed(seed.trim()).map_err(|error| RelayError::Nkey(error.to_string()))
}

#[derive(Debug)]
struct Credentials {
    jwt: String,
    seed: SecretString,
}

/// Reads a `.creds` file: two parts between lines of dashes, the user's JWT and the seed of the user's NKEY.
fn credentials(file: &Path) -> Result<Credentials, RelayError> {
    let invalid = |reason: String| RelayError::File { file: file.display().to_string(), reason };
    let text = read_text(file, SECRET_LIMIT).map_err(|error| invalid(error.to_string()))?;
    let part = |name: &str| part(&text, name).ok_or_else(|| invalid(format!("it has no part {name:?}")));
    let (jwt, seed) = (part("NATS USER JWT")?, part("USER NKEY SEED")?);
    key_pair(seed).map_err(|error| invalid(error.to_string()))?;
    Ok(Credentials { jwt: jwt.to_owned(), seed: seed.to_owned().into() })
}

/// The line after `-----BEGIN name-----`.
fn part<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text
        .lines()
        .map(str::trim)
        .skip_while(|line| line.trim_matches('-').strip_prefix("BEGIN ").is_none_or(|begun| begun != name));
    lines.next()?;
    lines.next().filter(|line| !line.is_empty() && !line.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY";

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_credentials_file_signs_with_its_seed() {
        let text = format!(
            "-----BEGIN NATS USER JWT-----\r\neyJ0eXAi.J9\r\n------END NATS USER JWT------\r\n\r\n\
             *** IMPORTANT ***\r\n-----BEGIN USER NKEY SEED-----\r\n{SEED}\r\n------END USER NKEY SEED------\r\n"
        );
        let file = file(&text);
        let authentication = Authentication::CredentialsFile(file.path().to_owned());
        check(&authentication).unwrap();
        let auth = answer(&authentication, b"nonce").unwrap();
        let pair = KeyPair::from_seed(SEED).unwrap();
        assert_eq!((auth.jwt.as_deref(), auth.signature), (Some("eyJ0eXAi.J9"), pair.sign(b"nonce").ok()));
    }

    #[test]
    fn a_damaged_secret_is_refused_with_the_file_and_without_the_secret() {
        let cut = &SEED[..57];
        let nkey = Authentication::Nkey(cut.to_owned().into());
        let error = check(&nkey).unwrap_err().to_string();
        assert_eq!(error, "the NKEY seed is invalid: a seed has 58 characters, not 57");
        let file = file(&format!("-----BEGIN NATS USER JWT-----\na.b\n-----BEGIN USER NKEY SEED-----\n{cut}\n"));
        let error = check(&Authentication::CredentialsFile(file.path().to_owned())).unwrap_err().to_string();
        assert!(error.starts_with(&file.path().display().to_string()) && !error.contains(cut), "{error}");
        assert!(!format!("{nkey:?}").contains(cut));
    }

    #[test]
    fn a_file_without_credentials_is_refused_with_what_it_lacks() {
        let file = file("hello");
        let error = check(&Authentication::CredentialsFile(file.path().to_owned())).unwrap_err().to_string();
        assert!(error.ends_with("it has no part \"NATS USER JWT\""), "{error}");
    }
}

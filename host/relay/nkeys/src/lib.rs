//! The part of the crate `nkeys` that async-nats uses: reads the seed of a key and signs with it.
//!
//! Takes that crate's place in this workspace (`[patch.crates-io]` in the root's Cargo.toml), because it brings its own
//! Ed25519, random numbers and PEM. A seed is base32 of two bytes with the kinds of the seed and of the key, 32 secret
//! bytes, and a checksum.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

use std::fmt;

use data_encoding::BASE32_NOPAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// The upper five bits of a seed's first byte: the letter S.
const SEED: u8 = 18 << 3;
/// Characters of a seed.
const SEED_LENGTH: usize = 58;

/// A key that can sign.
pub struct KeyPair {
    /// What the key is for: the first byte of the public key, which makes its first letter.
    kind: u8,
    pair: Ed25519KeyPair,
}

/// Why a text is not a seed. Never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// The number of characters.
    #[error("a seed has {SEED_LENGTH} characters, not {0}")]
    Length(usize),
    /// A character that base32 does not have.
    #[error("a seed consists of the letters A to Z and the digits 2 to 7")]
    Alphabet,
    /// The checksum does not match: mistyped or cut.
    #[error("the seed's checksum is wrong")]
    Checksum,
    /// A public key, for example.
    #[error("a seed begins with S")]
    Kind,
}

impl KeyPair {
    /// Reads a seed, such as `SUA…` of a user.
    ///
    /// # Errors
    /// If it is not one.
    pub fn from_seed(seed: &str) -> Result<Self, SeedError> {
        if seed.len() != SEED_LENGTH {
            return Err(SeedError::Length(seed.len()));
        }
        let bytes = BASE32_NOPAD.decode(seed.as_bytes()).map_err(|_| SeedError::Alphabet)?;
        let (bytes, checksum) = bytes.split_last_chunk::<2>().ok_or(SeedError::Checksum)?;
        if crc16(bytes) != u16::from_le_bytes(*checksum) {
            return Err(SeedError::Checksum);
        }
        let ([first, second], secret) = bytes.split_first_chunk::<2>().ok_or(SeedError::Kind)?;
        if first & 0xf8 != SEED {
            return Err(SeedError::Kind);
        }
        let kind = (first & 0x07) << 5 | second >> 3;
        let pair = Ed25519KeyPair::from_seed_unchecked(secret).map_err(|_| SeedError::Length(seed.len()))?;
        Ok(Self { kind, pair })
    }

    /// The public key, such as `UA…` of a user.
    pub fn public_key(&self) -> String {
        let mut bytes = vec![self.kind];
        bytes.extend_from_slice(self.pair.public_key().as_ref());
        bytes.extend_from_slice(&crc16(&bytes).to_le_bytes());
        BASE32_NOPAD.encode(&bytes)
    }

    /// Signs `input`.
    ///
    /// # Errors
    /// None; async-nats expects a result.
    pub fn sign(&self, input: &[u8]) -> Result<Vec<u8>, SeedError> {
        Ok(self.pair.sign(input).as_ref().to_vec())
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public_key", &self.public_key()).finish_non_exhaustive()
    }
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, UnparsedPublicKey};

    /// The example of async-nats.
    const SEED_TEXT: &str = "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY";

    #[test]
    fn the_checksum_is_the_documented_one() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn a_signature_is_valid_under_the_public_key() {
        let pair = KeyPair::from_seed(SEED_TEXT).unwrap();
        let public = pair.public_key();
        assert!(public.starts_with('U') && public.len() == 56, "{public}");
        let raw = BASE32_NOPAD.decode(public.as_bytes()).unwrap();
        let key = UnparsedPublicKey::new(&ED25519, &raw[1..33]);
        key.verify(b"nonce", &pair.sign(b"nonce").unwrap()).unwrap();
        assert!(!format!("{pair:?}").contains(SEED_TEXT));
    }

    #[test]
    fn what_is_no_seed_is_refused_with_the_reason() {
        let error = |text: &str| KeyPair::from_seed(text).unwrap_err();
        let public = KeyPair::from_seed(SEED_TEXT).unwrap().public_key();
        assert_eq!(error(&public), SeedError::Length(56));
        assert_eq!(error(&SEED_TEXT.to_lowercase()), SeedError::Alphabet);
        assert_eq!(error(&SEED_TEXT.replace("ANQ", "AQN")), SeedError::Checksum);
        let mut bytes = BASE32_NOPAD.decode(SEED_TEXT.as_bytes()).unwrap();
        bytes.truncate(34);
        bytes[0] = 15 << 3;
        bytes.extend(crc16(&bytes).to_le_bytes());
        assert_eq!(error(&BASE32_NOPAD.encode(&bytes)), SeedError::Kind);
    }
}

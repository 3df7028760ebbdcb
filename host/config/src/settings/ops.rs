use std::net::{IpAddr, Ipv4Addr};

use secrecy::SecretString;

use crate::declare::settings;
use crate::kind::{Integer, IpAddress, Secret, ZeroIsOff};
use crate::reader::Reader;

/// The HTTP server for operators, `[ops]`.
#[derive(Debug, Clone)]
pub struct OpsSettings {
    /// The port; `None`: there is no server.
    pub port: Option<u16>,
    /// The port is the default, so a host that finds it taken runs without a server.
    pub port_is_default: bool,
    /// The address to listen on.
    pub address: IpAddr,
    /// What clients must send; health checks need not.
    pub token: Option<SecretString>,
}

settings! {
    /// `[ops]` as it is written.
    struct OpsValues from Reader {
        /// The port to listen on.
        port: Option<u16> = "port" ["PORT"],
            ZeroIsOff { kind: Integer { min: 1_u16, max: u16::MAX }, meaning: "for no server" }, default Some(8700);
        /// The address to listen on. Unless this is set, the server listens on all addresses if the port comes from the
        /// environment variable PORT, and otherwise only on 127.0.0.1.
        address: Option<IpAddr> = "address", IpAddress, example "\"0.0.0.0\"";
        /// Clients must send this in the header `Authorization: Bearer`, except for health checks.
        token: Option<SecretString> = "token", Secret, secret;
    }
}

impl OpsSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Self {
        let OpsValues { port, address, token } = OpsValues::read(from);
        // Cloud Run sets PORT, and probes from outside.
        let is_container = from.comes_from_variable("port", "PORT");
        let usual = if is_container { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let port_is_default = !from.is_set("port");
        Self { port, port_is_default, address: address.unwrap_or(IpAddr::V4(usual)), token }
    }
}

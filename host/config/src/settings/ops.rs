use std::net::{IpAddr, Ipv4Addr};

use secrecy::SecretString;

use crate::form::{PathText, Secret, Text, Whole, ZeroIsOff, rule};
use crate::key::key;
use crate::reader::Reader;

/// What operators look at, `[ops]`.
#[derive(Debug, Clone)]
pub struct OpsSettings {
    /// The port; `None`: nothing is served.
    pub port: Option<u16>,
    /// Nobody chose the port, so a host that finds it taken can do without.
    pub port_is_default: bool,
    /// The address to listen on.
    pub address: IpAddr,
    /// What visitors must bring; probes need not.
    pub token: Option<SecretString>,
}

const ADDRESS: Text = Text { expects: "an IP address such as \"0.0.0.0\"", rule: rule::ip_address };
/// The variable with which Cloud Run says where it probes.
const PORT: &str = "PORT";

impl OpsSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Self {
        from.section(["ops"]);
        let port = key(
            "port",
            "Where the page, health, metrics and state are served over HTTP.",
            ZeroIsOff { form: Whole { min: 1_u16, max: u16::MAX }, meaning: "nowhere" },
        );
        let address = key(
            "address",
            "The address to listen on; else all of them where the environment has PORT, and the loopback elsewhere.",
            ADDRESS,
        );
        let token = key("token", "Visitors must send Authorization: Bearer with this; probes need not.", Secret);
        let token_file = key("token_file", "File that holds the token, instead of token.", PathText);
        let port_is_default = !from.is_set("port");
        let port = from.read(port.named(&[PORT]), Some(8700));
        let address = from.read_optional(address, "\"0.0.0.0\"").and_then(|text| text.parse().ok());
        let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let usual = if from.comes_from_variable("port", PORT) { everywhere } else { loopback };
        let token = from.secret(token, token_file);
        Self { port, port_is_default, address: address.unwrap_or(usual), token }
    }
}

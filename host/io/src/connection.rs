use std::error::Error;
use std::io::{self, ErrorKind};

/// Why a connection to `address` failed, in words: libraries say "transport error", and name no address.
pub fn connect_problem(error: &(dyn Error + 'static), address: &str) -> String {
    let causes = || std::iter::successors(Some(error), |error| (*error).source());
    let kind = causes().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    match kind {
        Some(ErrorKind::ConnectionRefused) => format!("connection refused by {address}"),
        Some(ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe) => {
            format!("{address} closed the connection")
        }
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => format!("there is no route to {address}"),
        Some(ErrorKind::TimedOut) => format!("no answer from {address} in time"),
        _ => format!("{address}: {}", causes().last().unwrap_or(error)),
    }
}

/// Why a program cannot listen, in words that tell a port that is in use from one that it may never have.
pub fn listen_problem(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => "another program uses the port".to_owned(),
        ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        ErrorKind::PermissionDenied => "this user may not listen on a port below 1024".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;
    use std::net::{TcpListener, TcpStream};

    #[derive(Debug)]
    struct Transport(io::Error);

    impl fmt::Display for Transport {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("transport error")
        }
    }

    impl Error for Transport {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn the_cause_is_found_below_a_librarys_error() {
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let error = Transport(TcpStream::connect(closed).unwrap_err());
        assert_eq!(connect_problem(&error, &closed.to_string()), format!("connection refused by {closed}"));
        let other = Transport(io::Error::other("the certificate has expired"));
        assert_eq!(connect_problem(&other, "example.com:443"), "example.com:443: the certificate has expired");
    }

    #[test]
    fn a_port_in_use_is_told_from_a_foreign_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let problem = |address: &str| listen_problem(&TcpListener::bind(address).unwrap_err());
        assert_eq!(problem(&listener.local_addr().unwrap().to_string()), "another program uses the port");
        assert_eq!(problem("203.0.113.7:0"), "this machine does not have that address");
        let refused = io::Error::from(ErrorKind::PermissionDenied);
        assert_eq!(listen_problem(&refused), "this user may not listen on a port below 1024");
    }
}

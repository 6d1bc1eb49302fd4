//! Capture: the rules by which the system leads a service's connections through the proxy beside it, without the
//! service knowing. Outgoing ones go to one port of the proxy, incoming ones to another; what the proxy itself sends
//! is let alone, or it would go round in circles.
//!
//! Here is what the rules say, as text for the tools that put them in force (`nft`, `iptables`); nothing is run.
//! Where a captured connection was going the proxy finds out from the connection itself. [`circle`] is for rules that do
//! not let the proxy alone.

pub mod circle;
mod iptables;
mod nft;
mod parse;

pub use iptables::{Family, Iptables};
pub use nft::Nft;
pub use parse::{Ports, user_id};
pub use weir_config::checked::Network;

/// What is captured, and what is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capture {
    /// Where outgoing connections go; none: they are not captured.
    pub outbound: Option<u16>,
    /// Where incoming connections go; none: they are not captured.
    pub inbound: Option<u16>,
    /// Whose own connections are let alone, by number: at least the proxy's.
    pub users: Vec<u32>,
    /// Ports of others to which connections go directly.
    pub skip_outbound_ports: Vec<Ports>,
    /// Addresses to which connections go directly.
    pub skip_destinations: Vec<Network>,
    /// Own ports at which connections arrive directly: those of the proxy's admin API, of a shell.
    pub skip_inbound_ports: Vec<Ports>,
}

impl Capture {
    /// What is wrong with it, for whoever wrote it.
    pub fn check(&self) -> Result<(), String> {
        if self.outbound.is_none() && self.inbound.is_none() {
            return Err(
                "nothing is captured: name the proxy's port with --outbound, --inbound or both".to_owned()
            );
        }
        if self.outbound.is_some() && self.users.is_empty() {
            return Err(
                "--user is missing: whose connections are the proxy's own? Captured, they would go round \
                        in circles"
                    .to_owned(),
            );
        }
        if self.outbound == self.inbound {
            return Err(
                "--outbound and --inbound are two listeners, of which each has a port of its own".to_owned()
            );
        }
        Ok(())
    }

    /// Own ports that are never captured: connections that arrive at the proxy's listeners are where they belong.
    fn own_ports(&self) -> Vec<Ports> {
        let own = self.inbound.into_iter().chain(self.outbound).map(Ports::one);
        own.chain(self.skip_inbound_ports.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_run_in_circles_or_capture_nothing_is_refused() {
        let fine =
            Capture { outbound: Some(15001), inbound: Some(15006), users: vec![7], ..Capture::default() };
        assert_eq!(fine.check(), Ok(()));
        assert_eq!(Capture { outbound: None, users: vec![], ..fine.clone() }.check(), Ok(()));
        for (bad, named) in [
            (Capture::default(), "nothing is captured"),
            (Capture { users: vec![], ..fine.clone() }, "--user"),
            (Capture { inbound: Some(15001), ..fine }, "a port of its own"),
        ] {
            assert!(bad.check().unwrap_err().contains(named), "{bad:?}");
        }
    }
}

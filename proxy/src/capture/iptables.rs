//! The rules for `iptables` and `ip6tables`, where there is no `nft`: chains of our own, and a jump to each.

use super::{Capture, Ports};

/// The chains are the same for both families of addresses, the addresses in them are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `iptables`.
    Ipv4,
    /// `ip6tables`.
    Ipv6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The program that changes the rules one by one.
    pub fn program(self) -> &'static str {
        match self {
            Self::Ipv4 => "iptables",
            Self::Ipv6 => "ip6tables",
        }
    }

    /// The program that takes a script.
    pub fn restore(self) -> &'static str {
        match self {
            Self::Ipv4 => "iptables-restore",
            Self::Ipv6 => "ip6tables-restore",
        }
    }
}

/// One of the system's chains with ours, to which it jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Jump {
    from: &'static str,
    to: &'static str,
}

const OUTBOUND: Jump = Jump { from: "OUTPUT", to: "WEIR_OUTBOUND" };
const INBOUND: Jump = Jump { from: "PREROUTING", to: "WEIR_INBOUND" };

/// What is to be done. Arguments are those of [`Family::program`], scripts are for [`Family::restore`].
#[derive(Debug, Clone, Copy)]
pub struct Iptables;

impl Iptables {
    /// The script that fills our chains, in the place of what was in them (`--noflush`).
    pub fn fill(capture: &Capture, family: Family) -> String {
        let mut script = "*nat\n".to_owned();
        for jump in [OUTBOUND, INBOUND] {
            script.push_str(&format!(":{} - [0:0]\n", jump.to));
        }
        let mut rule = |jump: Jump, rule: String| script.push_str(&format!("-A {} -p tcp {rule}\n", jump.to));
        if let Some(port) = capture.outbound {
            for user in &capture.users {
                rule(OUTBOUND, format!("-m owner --uid-owner {user} -j RETURN"));
            }
            rule(OUTBOUND, "-o lo -j RETURN".to_owned());
            let ipv4 = family == Family::Ipv4;
            if !ipv4 {
                // Link-local addresses hold on one link, and from loopback nobody finds back to it.
                rule(OUTBOUND, "-d fe80::/10 -j RETURN".to_owned());
            }
            for destination in capture.skip_destinations.iter().filter(|d| d.address.is_ipv4() == ipv4) {
                rule(OUTBOUND, format!("-d {destination} -j RETURN"));
            }
            capture.skip_outbound_ports.iter().for_each(|skip| rule(OUTBOUND, skipped(*skip)));
            rule(OUTBOUND, format!("-j REDIRECT --to-ports {port}"));
        }
        if let Some(port) = capture.inbound {
            rule(INBOUND, "-m addrtype ! --dst-type LOCAL -j RETURN".to_owned());
            capture.own_ports().iter().for_each(|skip| rule(INBOUND, skipped(*skip)));
            rule(INBOUND, format!("-j REDIRECT --to-ports {port}"));
        }
        script.push_str("COMMIT\n");
        script
    }

    /// For each jump: the arguments that ask whether it is there, and those that make it.
    pub fn jumps() -> [(Vec<&'static str>, Vec<&'static str>); 2] {
        [OUTBOUND, INBOUND].map(|jump| (jumping("-C", jump), jumping("-A", jump)))
    }

    /// All that takes the rules away; what is not there fails, which is no harm.
    pub fn remove() -> Vec<Vec<&'static str>> {
        let ends = |jump: Jump| {
            [jumping("-D", jump), vec!["-t", "nat", "-F", jump.to], vec!["-t", "nat", "-X", jump.to]]
        };
        [OUTBOUND, INBOUND].into_iter().flat_map(ends).collect()
    }
}

fn jumping(what: &'static str, jump: Jump) -> Vec<&'static str> {
    vec!["-t", "nat", what, jump.from, "-p", "tcp", "-j", jump.to]
}

fn skipped(ports: Ports) -> String {
    format!("--dport {} -j RETURN", ports.written(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_say_what_is_captured_and_what_is_not() {
        let capture = Capture {
            outbound: Some(15001),
            inbound: Some(15006),
            users: vec![998],
            skip_outbound_ports: vec!["9000-9100".parse().unwrap()],
            skip_destinations: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            skip_inbound_ports: vec!["22".parse().unwrap()],
        };
        let expected = "\
*nat
:WEIR_OUTBOUND - [0:0]
:WEIR_INBOUND - [0:0]
-A WEIR_OUTBOUND -p tcp -m owner --uid-owner 998 -j RETURN
-A WEIR_OUTBOUND -p tcp -o lo -j RETURN
-A WEIR_OUTBOUND -p tcp -d 10.0.0.0/8 -j RETURN
-A WEIR_OUTBOUND -p tcp --dport 9000:9100 -j RETURN
-A WEIR_OUTBOUND -p tcp -j REDIRECT --to-ports 15001
-A WEIR_INBOUND -p tcp -m addrtype ! --dst-type LOCAL -j RETURN
-A WEIR_INBOUND -p tcp --dport 15006 -j RETURN
-A WEIR_INBOUND -p tcp --dport 15001 -j RETURN
-A WEIR_INBOUND -p tcp --dport 22 -j RETURN
-A WEIR_INBOUND -p tcp -j REDIRECT --to-ports 15006
COMMIT
";
        assert_eq!(Iptables::fill(&capture, Family::Ipv4), expected);
        let ipv6 = "-d fe80::/10 -j RETURN\n-A WEIR_OUTBOUND -p tcp -d fd00::/8";
        let ipv6 = expected.replace("-d 10.0.0.0/8", ipv6);
        assert_eq!(Iptables::fill(&capture, Family::Ipv6), ipv6);
    }
}

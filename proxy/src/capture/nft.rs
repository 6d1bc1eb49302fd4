//! The rules for `nft`: one table of our own, put in force or taken away as a whole.

use std::fmt::Write;

use super::{Capture, Network, Ports};

/// The table's name.
const TABLE: &str = "inet weir_capture";

/// Scripts for `nft -f -`. Each is carried out whole or not at all.
#[derive(Debug, Clone, Copy)]
pub struct Nft;

impl Nft {
    /// Puts the rules in force, in the place of those before.
    pub fn install(capture: &Capture) -> String {
        let mut script = Self::remove();
        script.push_str(&rules(capture));
        script
    }

    /// Takes the rules away, if there are any.
    pub fn remove() -> String {
        // Declared first, since only what exists can be deleted.
        format!("table {TABLE} {{}}\ndelete table {TABLE}\n")
    }
}

fn rules(capture: &Capture) -> String {
    let mut text = format!("table {TABLE} {{\n");
    // Writing to memory does not fail.
    if let Some(port) = capture.outbound {
        let _ = write!(text, "  chain outbound {{\n    type nat hook output priority -100; policy accept;\n");
        let mut line = |rule: String| _ = writeln!(text, "    {rule}");
        line("meta l4proto != tcp return".to_owned());
        for user in &capture.users {
            line(format!("meta skuid {user} return"));
        }
        line("oifname \"lo\" return".to_owned());
        // Link-local addresses hold on one link, and from loopback nobody finds back to it.
        line("ip6 daddr fe80::/10 return".to_owned());
        skipped(&capture.skip_destinations, &mut line);
        ports(&capture.skip_outbound_ports, &mut line);
        line(format!("meta l4proto tcp redirect to :{port}"));
        text.push_str("  }\n");
    }
    if let Some(port) = capture.inbound {
        let _ =
            write!(text, "  chain inbound {{\n    type nat hook prerouting priority -100; policy accept;\n");
        let mut line = |rule: String| _ = writeln!(text, "    {rule}");
        line("meta l4proto != tcp return".to_owned());
        line("fib daddr type != local return".to_owned());
        ports(&capture.own_ports(), &mut line);
        line(format!("meta l4proto tcp redirect to :{port}"));
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    text
}

fn skipped(destinations: &[Network], line: &mut impl FnMut(String)) {
    for (kind, ipv4) in [("ip", true), ("ip6", false)] {
        let these: Vec<String> =
            destinations.iter().filter(|d| d.address.is_ipv4() == ipv4).map(ToString::to_string).collect();
        if !these.is_empty() {
            line(format!("{kind} daddr {{ {} }} return", these.join(", ")));
        }
    }
}

fn ports(ports: &[Ports], line: &mut impl FnMut(String)) {
    if !ports.is_empty() {
        let these: Vec<String> = ports.iter().map(|ports| ports.written('-')).collect();
        line(format!("tcp dport {{ {} }} return", these.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_says_what_is_captured_and_what_is_not() {
        let capture = Capture {
            outbound: Some(15001),
            inbound: Some(15006),
            users: vec![998],
            skip_outbound_ports: vec!["53".parse().unwrap(), "9000-9100".parse().unwrap()],
            skip_destinations: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            skip_inbound_ports: vec!["22".parse().unwrap()],
        };
        let expected = "\
table inet weir_capture {}
delete table inet weir_capture
table inet weir_capture {
  chain outbound {
    type nat hook output priority -100; policy accept;
    meta l4proto != tcp return
    meta skuid 998 return
    oifname \"lo\" return
    ip6 daddr fe80::/10 return
    ip daddr { 10.0.0.0/8 } return
    ip6 daddr { fd00::/8 } return
    tcp dport { 53, 9000-9100 } return
    meta l4proto tcp redirect to :15001
  }
  chain inbound {
    type nat hook prerouting priority -100; policy accept;
    meta l4proto != tcp return
    fib daddr type != local return
    tcp dport { 15006, 15001, 22 } return
    meta l4proto tcp redirect to :15006
  }
}
";
        assert_eq!(Nft::install(&capture), expected);
    }

    #[test]
    fn one_direction_alone_has_one_chain() {
        let inbound = Nft::install(&Capture { inbound: Some(15006), ..Capture::default() });
        assert!(inbound.contains("prerouting") && !inbound.contains("output"), "{inbound}");
        let outbound = Capture { outbound: Some(15001), users: vec![1], ..Capture::default() };
        let outbound = Nft::install(&outbound);
        assert!(outbound.contains("output") && !outbound.contains("prerouting"), "{outbound}");
    }
}

//! How ports and users are written on the command line. Addresses are written as in the configuration.

use std::str::FromStr;

/// A port, or all from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    pub(super) first: u16,
    pub(super) last: u16,
}

impl Ports {
    pub(super) fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// As both tools write it, but for what stands between the two.
    pub(super) fn written(self, between: char) -> String {
        match self.first == self.last {
            true => self.first.to_string(),
            false => format!("{}{between}{}", self.first, self.last),
        }
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| {
            let port = text.parse().ok().filter(|port| *port > 0);
            port.ok_or_else(|| {
                format!("{text:?} is no port: a number from 1 to 65535, or two as in 8000-8099")
            })
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let ports = Self { first: port(first)?, last: port(last)? };
        if ports.first > ports.last {
            return Err(format!("{text:?}: the first port is above the last"));
        }
        Ok(ports)
    }
}

/// The number of a user, who is named by it or as in `passwd`(5), whose text this is.
pub fn user_id(user: &str, passwd: &str) -> Result<u32, String> {
    if let Ok(number) = user.parse() {
        return Ok(number);
    }
    let entry = passwd.lines().map(|line| line.split(':')).find_map(|mut parts| {
        (parts.next() == Some(user)).then(|| parts.nth(1).and_then(|number| number.parse().ok()))
    });
    match entry.flatten() {
        Some(number) => Ok(number),
        None => Err(format!("there is no user {user:?} in /etc/passwd; its number works as well")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_one_or_a_range() {
        assert_eq!("80".parse(), Ok(Ports::one(80)));
        assert_eq!("80-90".parse(), Ok(Ports { first: 80, last: 90 }));
        for bad in ["", "0", "65536", "90-80", "a", "1-", "-1", "1-2-3", "1,2"] {
            assert!(bad.parse::<Ports>().is_err(), "{bad}");
        }
    }

    #[test]
    fn users_are_found_by_name_or_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nweir:x:998:997::/:/bin/false\nodd:x\n";
        assert_eq!(user_id("weir", passwd), Ok(998));
        assert_eq!(user_id("1337", passwd), Ok(1337));
        assert!(user_id("wei", passwd).is_err());
        assert!(user_id("odd", passwd).is_err());
    }
}

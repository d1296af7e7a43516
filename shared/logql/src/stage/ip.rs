//! `ip("…")`: one address, a range `a-b` or a CIDR block, looked for in a text.
//!
//! Finds the first candidate that lies in the pattern; a candidate is a run of the characters of an address that starts
//! like one. A run that is no address as a whole is passed over.

use std::net::IpAddr;

use crate::Error;

/// What addresses match.
#[derive(Debug, Clone)]
pub(crate) enum IpPattern {
    Range(IpAddr, IpAddr),
    Block { network: IpAddr, prefix_bits: u32 },
}

impl IpPattern {
    pub(crate) fn new(pattern: &str) -> Result<Self, Error> {
        Self::parse(pattern).ok_or_else(|| Error::invalid(format!("ip: invalid pattern: {}", model::quote(pattern))))
    }

    fn parse(pattern: &str) -> Option<Self> {
        if let Some((first, last)) = pattern.split_once('-') {
            let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
            let fits = first.is_ipv4() == last.is_ipv4() && first <= last;
            return fits.then_some(IpPattern::Range(first, last));
        }
        if let Some((network, bits)) = pattern.split_once('/') {
            let network: IpAddr = network.parse().ok()?;
            let plain = bits == "0" || bits.bytes().all(|b| b.is_ascii_digit()) && !bits.starts_with('0');
            let prefix_bits: u32 = bits.parse().ok().filter(|_| plain)?;
            let fits = prefix_bits <= if network.is_ipv4() { 32 } else { 128 };
            return fits.then_some(IpPattern::Block { network, prefix_bits });
        }
        let address = pattern.parse().ok()?;
        Some(IpPattern::Range(address, address))
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self, address) {
            (IpPattern::Range(first, last), _) => {
                first.is_ipv4() == address.is_ipv4() && *first <= address && address <= *last
            }
            (IpPattern::Block { network: IpAddr::V4(network), prefix_bits }, IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= *prefix_bits
            }
            (IpPattern::Block { network: IpAddr::V6(network), prefix_bits }, IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= *prefix_bits
            }
            _ => false,
        }
    }

    /// Whether a text holds an address that matches.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() > 3) {
            // Every address has a dot or a colon among its first five bytes.
            let Some(mark) = memchr::memchr2(b'.', b':', rest) else { return false };
            if mark > 4 {
                at += mark - 4;
                continue;
            }
            let allowed: fn(u8) -> bool = if starts_v4(rest) {
                |b| b.is_ascii_digit() || b == b'.'
            } else if starts_v6(rest) {
                |b| b.is_ascii_hexdigit() || b == b':' || b == b'.'
            } else {
                at += 1;
                continue;
            };
            let length = rest.iter().position(|b| !allowed(*b)).unwrap_or(rest.len());
            let candidate = text.get(at..at + length).and_then(|c| c.parse().ok());
            if candidate.is_some_and(|address| self.contains(address)) {
                return true;
            }
            at += length + 1;
        }
        false
    }
}

/// A digit with a dot among the next three bytes.
fn starts_v4(rest: &[u8]) -> bool {
    matches!(rest, [first, next @ ..] if first.is_ascii_digit() && next.iter().take(3).any(|b| *b == b'.'))
}

/// Up to four hexadecimal digits and a colon, or `::` and a digit. Needs five bytes.
fn starts_v6(rest: &[u8]) -> bool {
    if rest.len() < 5 {
        return false;
    }
    let digits = rest.iter().take(4).take_while(|b| b.is_ascii_hexdigit()).count();
    match digits {
        0 => matches!(rest, [b':', b':', digit, ..] if digit.is_ascii_hexdigit()),
        _ => rest.get(digits) == Some(&b':'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_text() {
        for (pattern, text, want) in [
            ("10.4.0.0/16", "from 10.4.7.9 port 1", true),
            ("10.4.0.0/16", "addr=10.4.7.9:8080", true),
            ("10.4.0.0/16", "from 10.5.7.9 port 1", false),
            ("10.4.0.0/16", "10.5.0.1 10.4.0.1", true),
            ("10.4.0.0/16", "10.4.0.1.", false),
            ("10.4.0.0/16", "version 10.4.0", false),
            ("10.4.3.2/16", "10.4.0.1", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("192.168.4.1-192.168.4.20", "x 192.168.4.20", true),
            ("192.168.4.1-192.168.4.20", "x 192.168.4.21", false),
            ("1.2.3.4", "1.2.3.4", true),
            ("1.2.3.4", "11.2.3.4", false),
            ("1.2.3.4", "", false),
            ("2001:db8::/64", "from 2001:db8::5 port 22", true),
            ("2001:db8::/64", "from 2001:db9::5 port 22", false),
            ("::1", "from ::1 port", true),
            ("1.2.3.4", "::ffff:1.2.3.4", false),
        ] {
            assert_eq!(IpPattern::new(pattern).unwrap().is_in(text), want, "{pattern} in {text:?}");
        }
    }

    #[test]
    fn patterns_that_are_no_addresses_are_refused() {
        for pattern in [
            "",
            "999.1.1.1",
            "1.2.3",
            "1.2.3.4/33",
            "1.2.3.4/",
            "1.2.3.4/016",
            "::1/129",
            "5.5.5.5-1.1.1.1",
            "1.1.1.1-::1",
            "a-b",
        ] {
            let error = IpPattern::new(pattern).unwrap_err();
            assert_eq!(error.text(), format!("ip: invalid pattern: \"{pattern}\""));
        }
    }
}

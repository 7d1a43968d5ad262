//! Network addresses as records write them.
//!
//! Invariant: what comes out as an address was read by the standard library's parser; an IPv4 address inside IPv6 is written as
//! IPv4. What is neither an address nor a host name gives nothing, and stays in the record.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    event::{Attributes, attr, object, trimmed},
    record::{Node, Object},
};

/// Where a request came from.
#[derive(Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// An IP address, and a port if one was given.
    Ip(IpAddr, Option<u16>),
    /// A host name, and a port if one was given.
    Host(&'a str, Option<u16>),
}

/// Reads `1.2.3.4`, `1.2.3.4:443`, `[::1]`, `[::1]:443`, `2001:db8::1`, `::ffff:1.2.3.4` or a host name.
pub fn parse(text: &str) -> Option<Address<'_>> {
    let text = trimmed(text);
    if let Ok(v4) = text.parse::<Ipv4Addr>() {
        return Some(Address::Ip(IpAddr::V4(v4), None));
    }
    if text.is_empty() || ["null", "<null>", "unknown"].iter().any(|none| text.eq_ignore_ascii_case(none)) {
        return None;
    }
    if let Some(ip) = ip(text) {
        return Some(Address::Ip(ip, None));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            match after {
                "" => (host, None),
                _ => (host, Some(after.strip_prefix(':')?.parse().ok()?)),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        },
    };
    match ip(host) {
        Some(ip) => Some(Address::Ip(ip, port)),
        None => is_host_name(host).then_some(Address::Host(host, port)),
    }
}

/// Reads an address without port or brackets.
pub fn ip(text: &str) -> Option<IpAddr> {
    // A zone, as in `fe80::1%eth0`, is no part of the address.
    let text = text.trim().split_once('%').map_or(text.trim(), |(address, _)| address);
    match text.parse::<Ipv6Addr>() {
        Ok(v6) => Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)),
        Err(_) => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Whether this can be the name of a host (RFC 1123): not made of digits alone, so that a broken address is none.
pub fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= 253 && text.split('.').all(label) && text.bytes().any(|b| b.is_ascii_alphabetic())
}

/// The endpoint that a text names. Empty if it names none.
pub fn endpoint<'r>(text: &'r str) -> Attributes<'r> {
    endpoint_at(parse(text).as_ref(), text)
}

/// The endpoint of an address that was read from a text.
fn endpoint_at<'r>(address: Option<&Address<'r>>, text: &'r str) -> Attributes<'r> {
    let mut endpoint = Attributes::of(&object::NETWORK_ENDPOINT);
    match address {
        // An IPv4 address can be written in one way only.
        Some(Address::Ip(IpAddr::V4(_), None)) if !text.contains(['[', ':', '%']) => {
            endpoint.set(attr::IP, text);
        }
        Some(Address::Ip(ip, port)) => {
            endpoint.set(attr::IP, ip.to_string());
            endpoint.set(attr::PORT, port.map(i64::from));
        }
        Some(Address::Host(host, port)) => {
            endpoint.set(attr::HOSTNAME, *host);
            endpoint.set(attr::PORT, port.map(i64::from));
        }
        None => {}
    }
    endpoint
}

/// The members of a Management Activity record that can hold the caller's address, best first.
pub const SOURCES: [&str; 6] = ["ClientIPAddress", "ClientIP", "ActorIpAddress", "ActorIP", "SenderIp", "UserIp"];

/// The caller of a Management Activity record. The first member that can be read wins; others that name the same address are
/// taken too, and those that differ stay for `unmapped`.
pub fn source<'r>(record: &'r Object<'r>) -> Attributes<'r> {
    let mut found: Option<Address<'_>> = None;
    let mut source = Attributes::of(&object::NETWORK_ENDPOINT);
    for name in SOURCES {
        record.take_if(name, |node| {
            let text = node.as_str()?;
            let address = parse(text)?;
            match &found {
                None => {
                    source = endpoint_at(Some(&address), text);
                    found = Some(address);
                    Some(())
                }
                // The same address without its port is no news either.
                Some(Address::Ip(first, _)) if address == Address::Ip(*first, None) => Some(()),
                Some(first) => (*first == address).then_some(()),
            }
        });
    }
    source
}

/// The location of a sign-in or of alert evidence: `city`, `state`, `countryOrRegion` (or `countryCode`), `geoCoordinates`.
///
/// Coordinates alone make no location, and 0/0 is what Microsoft writes for none.
pub fn location<'r>(place: &'r Object<'r>) -> Attributes<'r> {
    let mut location = Attributes::of(&object::LOCATION);
    location.set(attr::CITY, place.take_str("city"));
    location.set(attr::REGION, place.take_str("state"));
    let country = place.take_str("countryOrRegion").or_else(|| place.take_str("countryCode"));
    location.set(attr::COUNTRY, country);
    if location.is_empty() {
        return location;
    }
    if let Some(point) = place.object("geoCoordinates") {
        write_point(&mut location, point, "latitude", "longitude");
    }
    location
}

/// Takes coordinates if they are a place: both, and not the 0/0 of nowhere.
pub fn write_point<'r>(location: &mut Attributes<'r>, point: &'r Object<'r>, lat: &str, long: &str) {
    let number = |name: &str| point.peek(name).and_then(Node::to_float);
    if let (Some(y), Some(x)) = (number(lat), number(long))
        && (y != 0.0 || x != 0.0)
    {
        location.set(attr::LAT, y);
        location.set(attr::LONG, x);
        point.take(lat);
        point.take(long);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(text: &str, port: Option<u16>) -> Option<Address<'static>> {
        Some(Address::Ip(text.parse().unwrap(), port))
    }

    #[test]
    fn every_form_of_client_ip() {
        assert_eq!(parse("192.0.2.7"), v4("192.0.2.7", None));
        assert_eq!(parse(" 192.0.2.7:5678 "), v4("192.0.2.7", Some(5678)));
        assert_eq!(parse("[192.0.2.7]"), v4("192.0.2.7", None));
        assert_eq!(parse("[::ffff:192.0.2.7]:12"), v4("192.0.2.7", Some(12)));
        assert_eq!(parse("::ffff:192.0.2.7"), v4("192.0.2.7", None));
        assert_eq!(parse("2001:db8::1"), v4("2001:db8::1", None));
        assert_eq!(parse("[2001:db8::1]:443"), v4("2001:db8::1", Some(443)));
        assert_eq!(parse("mail.contoso.com:25"), Some(Address::Host("mail.contoso.com", Some(25))));
        assert_eq!(parse("[localhost]:25"), Some(Address::Host("localhost", Some(25))));
        assert_eq!(parse("0.0.0.0"), v4("0.0.0.0", None));
    }

    #[test]
    fn what_is_no_address() {
        for text in [
            "",
            "<null>",
            "null",
            "Unknown",
            "ffff:192.0.2.9",
            "NOTANIPV4 (192.9000.0.1)",
            "192.9000.0.1",
            "[::1",
            "1.2.3.4:x",
            "a b",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

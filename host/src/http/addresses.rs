//! Which network addresses may be connected to: the name server's answer is not trusted either.
//!
//! Invariant: a name of the outside leads only to public addresses, and a configured loopback endpoint only to
//! loopback addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ureq::config::Config as AgentConfig;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Why an address isn't public. The ranges are those of the IANA special-purpose address registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// 0.0.0.0/8, `::`.
    Unspecified,
    /// 127.0.0.0/8, `::1`.
    Loopback,
    /// RFC 1918.
    Private,
    /// 100.64.0.0/10 (RFC 6598), between a carrier and its customers.
    CarrierGradeNat,
    /// 169.254.0.0/16, fe80::/10 and the old fec0::/10; cloud metadata services live here.
    LinkLocal,
    /// 168.63.129.16: a public address by its number, and the platform service within the networks of a large cloud.
    Metadata,
    /// fc00::/7 (RFC 4193).
    UniqueLocal,
    /// ::ffff:0:0/96 and the old ::/96: an IPv4 address in IPv6 clothes.
    V4Mapped,
    /// 64:ff9b::/96 and 64:ff9b:1::/48 (RFC 6052, RFC 8215).
    Nat64,
    /// 2002::/16 and its relays, 192.88.99.0/24 (RFC 3056, RFC 7526).
    SixToFour,
    /// 2001::/32 (RFC 4380).
    Teredo,
    /// 224.0.0.0/4, ff00::/8.
    Multicast,
    /// Documentation, benchmarks, protocol assignments, future use: never a service.
    Reserved,
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::CarrierGradeNat => "carrier-grade NAT",
            Self::LinkLocal => "link-local",
            Self::Metadata => "cloud metadata",
            Self::UniqueLocal => "unique-local",
            Self::V4Mapped => "IPv4-mapped",
            Self::Nat64 => "NAT64",
            Self::SixToFour => "6to4",
            Self::Teredo => "Teredo",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
        })
    }
}

/// Why `address` must not be connected to, or `None` for a public one.
pub fn classify(address: IpAddr) -> Option<AddressClass> {
    match address {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

fn classify_v4(address: Ipv4Addr) -> Option<AddressClass> {
    use AddressClass as C;
    Some(match address.octets() {
        [0, ..] => C::Unspecified,
        [127, ..] => C::Loopback,
        [10, ..] | [192, 168, ..] => C::Private,
        [172, second, ..] if second & 0xf0 == 16 => C::Private,
        [100, second, ..] if second & 0xc0 == 64 => C::CarrierGradeNat,
        [169, 254, ..] => C::LinkLocal,
        [168, 63, 129, 16] => C::Metadata,
        [192, 88, 99, _] => C::SixToFour,
        [192, 0, 0 | 2, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => C::Reserved,
        [first, ..] if first >= 240 => C::Reserved,
        [first, ..] if first >= 224 => C::Multicast,
        _ => return None,
    })
}

fn classify_v6(address: Ipv6Addr) -> Option<AddressClass> {
    use AddressClass as C;
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => C::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => C::Loopback,
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] => C::V4Mapped,
        [0x64, 0xff9b, 0 | 1, ..] => C::Nat64,
        [0x2002, ..] => C::SixToFour,
        [0x2001, 0, ..] => C::Teredo,
        // 2001::/23 is for protocols, 2001:db8::/32 and 3fff::/20 for documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => C::Reserved,
        [0x3fff, second, ..] if second < 0x1000 => C::Reserved,
        [first, ..] if first & 0xfe00 == 0xfc00 => C::UniqueLocal,
        [first, ..] if first & 0xff80 == 0xfe80 => C::LinkLocal,
        [first, ..] if first & 0xff00 == 0xff00 => C::Multicast,
        // Only 2000::/3 is given out as global unicast.
        [first, ..] if first & 0xe000 != 0x2000 => C::Reserved,
        _ => return None,
    })
}

/// Every address that a name led to was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressDenied {
    /// `None` stands for a public address behind an endpoint that was configured as loopback.
    class: Option<AddressClass>,
}

impl fmt::Display for AddressDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            Some(class) => write!(f, "its name leads to an address that is not public ({class})"),
            None => f.write_str("it is configured as a loopback endpoint and its name leads elsewhere"),
        }
    }
}

impl std::error::Error for AddressDenied {}

/// Host and port as they stand in a URL, IPv6 addresses in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPort {
    pub host: String,
    pub port: u16,
}

/// Looks names up by the system's resolver and keeps the addresses that may be connected to.
#[derive(Debug, Default)]
pub(super) struct GuardedResolver<R = DefaultResolver> {
    /// Endpoints that the operator configured on the loopback interface.
    pub loopback: Vec<HostPort>,
    /// The configured proxy may be anywhere: that is the operator's choice.
    pub proxy: Option<HostPort>,
    /// Who knows the names.
    pub system: R,
}

impl<R> GuardedResolver<R> {
    /// The addresses out of `found` that a connection to `target` may use.
    fn keep(&self, target: &HostPort, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, AddressDenied> {
        if self.proxy.as_ref() == Some(target) {
            return Ok(found.to_vec());
        }
        let local = self.loopback.contains(target);
        let allowed = |address: &&SocketAddr| match classify(address.ip()) {
            Some(AddressClass::Loopback) => local,
            Some(_) => false,
            None => !local,
        };
        let kept: Vec<_> = found.iter().filter(allowed).copied().collect();
        match found.first() {
            Some(first) if kept.is_empty() => Err(AddressDenied { class: classify(first.ip()) }),
            _ => Ok(kept),
        }
    }
}

impl<R: Resolver> Resolver for GuardedResolver<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &AgentConfig,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.system.resolve(uri, config, timeout).map_err(|error| match error {
            // The standard library has no kind of its own for a name that nobody knows.
            ureq::Error::Io(_) => ureq::Error::HostNotFound,
            other => other,
        })?;
        let target = HostPort {
            host: uri.host().unwrap_or_default().to_ascii_lowercase(),
            port: uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 }),
        };
        let kept = self.keep(&target, &found).map_err(|denied| ureq::Error::Other(Box::new(denied)))?;
        let mut addresses = self.empty();
        for address in kept {
            addresses.push(address);
        }
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> Option<AddressClass> {
        classify(text.parse().unwrap())
    }

    #[test]
    fn every_special_range_is_known_at_both_ends() {
        use AddressClass::*;
        for (text, expected) in [
            ("0.0.0.0", Unspecified),
            ("0.255.255.255", Unspecified),
            ("127.0.0.1", Loopback),
            ("127.255.255.255", Loopback),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("192.168.0.1", Private),
            ("100.64.0.0", CarrierGradeNat),
            ("100.127.255.255", CarrierGradeNat),
            ("169.254.169.254", LinkLocal),
            ("168.63.129.16", Metadata),
            ("192.88.99.1", SixToFour),
            ("192.0.0.1", Reserved),
            ("192.0.2.1", Reserved),
            ("198.18.0.1", Reserved),
            ("198.19.255.255", Reserved),
            ("198.51.100.1", Reserved),
            ("203.0.113.1", Reserved),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Reserved),
            ("::", Unspecified),
            ("::1", Loopback),
            ("::ffff:127.0.0.1", V4Mapped),
            ("::ffff:8.8.8.8", V4Mapped),
            ("::7f00:1", V4Mapped),
            ("64:ff9b::a9fe:a9fe", Nat64),
            ("64:ff9b:1::1", Nat64),
            ("2002:7f00:1::", SixToFour),
            ("2001:0:1::", Teredo),
            ("2001:1::", Reserved),
            ("2001:db8::1", Reserved),
            ("3fff::1", Reserved),
            ("fc00::1", UniqueLocal),
            ("fd00:ec2::254", UniqueLocal),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fec0::1", LinkLocal),
            ("ff02::1", Multicast),
            ("100::1", Reserved),
            ("4000::1", Reserved),
        ] {
            assert_eq!(class(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn public_addresses_are_public() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.17",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "223.255.255.255",
            "2600::1",
            "2a00:1450::1",
            "2001:4860::8888",
        ] {
            assert_eq!(class(text), None, "{text}");
        }
    }

    fn endpoint(host: &str, port: u16) -> HostPort {
        HostPort { host: host.to_owned(), port }
    }

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_public_name_keeps_only_public_addresses() {
        let resolver: GuardedResolver = GuardedResolver::default();
        let target = endpoint("api.example.com", 443);
        let kept = resolver.keep(&target, &addresses(&["10.0.0.1:443", "1.1.1.1:443", "[fd00::1]:443"])).unwrap();
        assert_eq!(kept, addresses(&["1.1.1.1:443"]));
        let denied = resolver.keep(&target, &addresses(&["169.254.169.254:443"])).unwrap_err();
        assert_eq!(denied.class, Some(AddressClass::LinkLocal));
        assert!(resolver.keep(&target, &addresses(&["127.0.0.1:443"])).is_err());
    }

    #[test]
    fn a_loopback_endpoint_leads_only_to_loopback_and_only_at_its_port() {
        let resolver: GuardedResolver =
            GuardedResolver { loopback: vec![endpoint("localhost", 8080)], ..GuardedResolver::default() };
        let found = addresses(&["127.0.0.1:8080", "10.0.0.1:8080", "1.1.1.1:8080"]);
        assert_eq!(resolver.keep(&endpoint("localhost", 8080), &found).unwrap(), addresses(&["127.0.0.1:8080"]));
        assert!(resolver.keep(&endpoint("localhost", 8080), &addresses(&["1.1.1.1:8080"])).is_err());
        assert!(resolver.keep(&endpoint("localhost", 8081), &addresses(&["127.0.0.1:8081"])).is_err());
    }

    #[test]
    fn the_proxy_may_be_private() {
        let resolver: GuardedResolver =
            GuardedResolver { proxy: Some(endpoint("proxy.corp.example", 3128)), ..GuardedResolver::default() };
        let found = addresses(&["10.0.0.1:3128"]);
        assert_eq!(resolver.keep(&endpoint("proxy.corp.example", 3128), &found).unwrap(), found);
        assert!(resolver.keep(&endpoint("proxy.corp.example", 443), &found).is_err());
    }
}

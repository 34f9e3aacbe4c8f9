//! Which addresses a connection may be opened to: the guard against clients who make a worker talk to what only it can reach.
//!
//! The check is of the address itself, when the connection is opened. So it does not matter how an address is written, what a
//! name resolves to, or where a redirect leads.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    vec,
};

/// How far a connection may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Anywhere: the operator has named the target.
    Anywhere,
    /// Public and private addresses, but none that a network reserves for itself: somebody else has named the target, and the
    /// operator lets them.
    Network,
    /// Public addresses: somebody else has named the target.
    Public,
}

/// An address out of reach. Says no address: who asks may be the one who must not learn it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the target's address is private or reserved, which this worker does not let others choose")]
pub(super) struct OutOfReach;

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Public,
    /// This host, or a network of somebody's own.
    Private,
    /// What no service answers at, or only the machine's own provider: documentation, multicast, link-local, metadata.
    Reserved,
}

/// The first that matches counts; what matches none is public. Source, where no other is named: IANA IPv4 Special-Purpose Address Registry.
const V4: &[(Ipv4Addr, u32, Class)] = &[
    // Metadata of Alibaba Cloud, and Azure's host ("What is IP address 168.63.129.16?").
    (Ipv4Addr::new(100, 100, 100, 200), 32, Class::Reserved),
    (Ipv4Addr::new(168, 63, 129, 16), 32, Class::Reserved),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Class::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Class::Private),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Class::Private),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Class::Private),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Class::Private),
    (Ipv4Addr::new(0, 0, 0, 0), 8, Class::Reserved),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Class::Reserved),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Class::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Class::Reserved),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Class::Reserved),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Class::Reserved),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Class::Reserved),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Class::Reserved),
    // Multicast, and what was never given out.
    (Ipv4Addr::new(224, 0, 0, 0), 3, Class::Reserved),
];

/// The first that matches counts; what matches none is reserved: IANA gives out nothing but 2000::/3. Source: IANA IPv6 Special-Purpose Address Registry.
const V6: &[(Ipv6Addr, u32, Class)] = &[
    (Ipv6Addr::LOCALHOST, 128, Class::Private),
    // Metadata of AWS and of Google Cloud, in the midst of unique-local addresses.
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32, Class::Reserved),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0), 32, Class::Reserved),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Class::Private),
    // Teredo, benchmarks, ORCHID and others; documentation.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Class::Reserved),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Class::Reserved),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Class::Reserved),
    (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3, Class::Public),
];

/// IPv6 addresses that stand for an IPv4 address, which begins at this bit: mapped, NAT64 (RFC 6052), 6to4.
const EMBEDDED: &[(Ipv6Addr, u32, u32)] = &[
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 96),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, 96),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 16),
];

impl Reach {
    /// Whether a connection to `address` may be opened.
    pub(super) fn permits(self, address: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Network => class(address) != Class::Reserved,
            Self::Public => class(address) == Class::Public,
        }
    }

    /// Those of a name's addresses that are within reach. None of some: the name is refused.
    pub(super) fn filter<A>(
        self,
        addresses: impl Iterator<Item = A>,
        ip: impl Fn(&A) -> IpAddr,
    ) -> Result<vec::IntoIter<A>, OutOfReach> {
        let (within, beyond): (Vec<_>, Vec<_>) = addresses.partition(|address| self.permits(ip(address)));
        if within.is_empty() && !beyond.is_empty() { Err(OutOfReach) } else { Ok(within.into_iter()) }
    }
}

fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(address) => class_of_v4(address),
        IpAddr::V6(address) => class_of_v6(address),
    }
}

fn class_of_v4(address: Ipv4Addr) -> Class {
    let in_net = |net: Ipv4Addr, length: u32| (address.to_bits() ^ net.to_bits()) >> (32 - length) == 0;
    V4.iter().find(|(net, length, _)| in_net(*net, *length)).map_or(Class::Public, |(_, _, class)| *class)
}

fn class_of_v6(address: Ipv6Addr) -> Class {
    let in_net = |net: Ipv6Addr, length: u32| (address.to_bits() ^ net.to_bits()) >> (128 - length) == 0;
    if let Some((_, _, at)) = EMBEDDED.iter().find(|(net, length, _)| in_net(*net, *length)) {
        return class_of_v4(Ipv4Addr::from_bits((address.to_bits() >> (96 - at)) as u32));
    }
    V6.iter().find(|(net, length, _)| in_net(*net, *length)).map_or(Class::Reserved, |(_, _, class)| *class)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PUBLIC: &[&str] = &[
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2001:200::1",
        "2a00::1",
        "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1",
        "2002:101:101::1",
    ];
    const PRIVATE: &[&str] = &[
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.168.0.0",
        "192.168.255.255",
        "::1",
        "fc00::1",
        "fd12:3456::1",
        "fdff::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:a00:1::1",
    ];
    const RESERVED: &[&str] = &[
        "0.0.0.0",
        "0.255.255.255",
        "169.254.169.254",
        "169.254.0.0",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "100.100.100.200",
        "168.63.129.16",
        "::",
        "::127.0.0.1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "2001:db8::1",
        "3fff::1",
        "2001::1",
        "2001:20::1",
        "2001:2::1",
        "100::1",
        "64:ff9b:1::a00:1",
        "5f00::1",
        "4000::1",
        "::ffff:169.254.169.254",
        "::ffff:0:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ];

    fn classes(addresses: &[&str], class_: Class, reaches: [bool; 3]) {
        for text in addresses {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(class(address), class_, "{text}");
            assert_eq!([Reach::Anywhere, Reach::Network, Reach::Public].map(|reach| reach.permits(address)), reaches);
        }
    }

    #[test]
    fn every_address_is_public_private_or_reserved() {
        classes(PUBLIC, Class::Public, [true, true, true]);
        classes(PRIVATE, Class::Private, [true, true, false]);
        classes(RESERVED, Class::Reserved, [true, false, false]);
    }

    #[test]
    fn a_name_is_followed_to_those_of_its_addresses_that_are_within_reach() {
        let filter = |addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            Reach::Public.filter(addresses.into_iter(), |ip| *ip).map(|left| left.map(|ip| ip.to_string()).collect())
        };
        assert_eq!(filter(&["127.0.0.1", "1.1.1.1", "::1"]), Ok(vec!["1.1.1.1".to_owned()]));
        assert_eq!(filter(&["127.0.0.1", "::1"]), Err(OutOfReach));
        assert_eq!(filter(&[]), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn an_address_in_an_address_is_judged_by_itself(bits: u32) {
            let (v4, bits) = (class(Ipv4Addr::from_bits(bits).into()), u128::from(bits));
            let mapped = Ipv6Addr::from_bits(0xffff << 32 | bits);
            let nat64 = Ipv6Addr::from_bits(0x64_ff9b << 96 | bits);
            let six_to_four = Ipv6Addr::from_bits(0x2002 << 112 | bits << 80 | 1);
            for v6 in [mapped, nat64, six_to_four] {
                prop_assert_eq!(class(v6.into()), v4, "{}", v6);
            }
        }

        #[test]
        fn it_agrees_with_the_standard_library(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let special = address.is_private() || address.is_loopback() || address.is_link_local() || address.is_broadcast()
                || address.is_documentation() || address.is_multicast() || address.is_unspecified();
            prop_assert!(!(special && Reach::Public.permits(address.into())), "{}", address);
        }
    }
}

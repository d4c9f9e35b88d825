//! Which addresses a delivery may go to, so that no installation reaches into the operator's own network.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Allows the public Internet, and beyond it only the networks an operator lists.
///
/// An IPv6 address that stands for an IPv4 one (mapped `::ffff:0:0/96`, translated `64:ff9b::/96`) is treated
/// like that IPv4 address.
#[derive(Clone, Debug)]
pub struct AddressPolicy {
    allow_networks: Arc<[IpNet]>,
}

impl AddressPolicy {
    pub fn new(allow_networks: Arc<[IpNet]>) -> Self {
        Self { allow_networks }
    }

    /// Whether a connection to the address may be made.
    pub fn allows(&self, address: IpAddr) -> bool {
        let judged = judged_address(address);
        self.lists(address) || self.lists(judged) || is_public(judged)
    }

    fn lists(&self, address: IpAddr) -> bool {
        self.allow_networks
            .iter()
            .any(|network| network.contains(&address))
    }
}

/// The IPv4 address that an IPv6 one stands for, otherwise the address itself.
fn judged_address(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    match v6.octets() {
        [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => IpAddr::from([a, b, c, d]),
        _ => address,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !REFUSED_V4.iter().any(|network| network.contains(&v4)),
        IpAddr::V6(v6) => {
            GLOBAL_UNICAST_V6.contains(&v6) && !REFUSED_V6.iter().any(|network| network.contains(&v6))
        }
    }
}

/// From the IANA registry of special-purpose IPv4 addresses, and multicast.
const REFUSED_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 0, 8),       // "this network"; 0.0.0.0 reaches the host itself
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // carrier-grade NAT
    v4(127, 0, 0, 0, 8),     // loopback
    v4(169, 254, 0, 0, 16),  // link-local, with the clouds' metadata services
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // IETF protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 88, 99, 0, 24),  // former 6to4 relays
    v4(192, 168, 0, 0, 16),  // private
    v4(198, 18, 0, 0, 15),   // benchmarks
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(224, 0, 0, 0, 4),     // multicast
    v4(240, 0, 0, 0, 4),     // reserved, and broadcast
];

/// The only part of IPv6 handed out for the public Internet. Outside lie loopback, unspecified, link-local,
/// unique-local, site-local, multicast, and the deprecated form of embedded IPv4 addresses.
const GLOBAL_UNICAST_V6: Ipv6Net = v6([0x2000, 0], 3);

/// The parts of [`GLOBAL_UNICAST_V6`] that are not for ordinary hosts.
const REFUSED_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0], 23),      // IETF protocol assignments: Teredo, benchmarks, ORCHID
    v6([0x2001, 0x0db8], 32), // documentation
    v6([0x2002, 0], 16),      // 6to4: hides an IPv4 address
    v6([0x3fff, 0], 20),      // documentation
];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(head: [u16; 2], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(head[0], head[1], 0, 0, 0, 0, 0, 0), prefix)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(networks: &[&str]) -> AddressPolicy {
        AddressPolicy::new(networks.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn allows(policy: &AddressPolicy, address: &str) -> bool {
        policy.allows(address.parse().unwrap())
    }

    fn nat64(address: Ipv4Addr) -> Ipv6Addr {
        let [a, b, c, d] = address.octets();
        Ipv6Addr::from([0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d])
    }

    #[test]
    fn public_addresses_are_allowed() {
        for address in [
            "1.1.1.1",
            "93.184.216.34",
            "2606:4700::1111",
            "2a00:1450:4001::200e",
            "::ffff:8.8.8.8",
        ] {
            assert!(allows(&policy(&[]), address), "{address}");
        }
    }

    #[test]
    fn special_addresses_are_refused() {
        let special = "0.0.0.0 0.1.2.3 10.1.2.3 100.64.0.1 100.127.255.255 127.0.0.1 127.9.9.9 169.254.169.254 \
            172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 \
            198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::7f00:1 \
            ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::a00:1 64:ff9b:1::1 100::1 2001::1 2001:db8::1 \
            2002:7f00:1::1 3fff::1 fc00::1 fd12::1 fe80::1 fec0::1 ff02::1";
        for address in special.split_whitespace() {
            assert!(!allows(&policy(&[]), address), "{address}");
        }
    }

    #[test]
    fn a_listed_network_is_allowed_and_its_neighbours_are_not() {
        let policy = policy(&["127.0.0.0/8", "::1/128", "10.1.0.0/16"]);
        for address in [
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
        ] {
            assert!(allows(&policy, address), "{address}");
        }
        for address in ["10.2.0.1", "::", "::ffff:10.2.0.1", "192.168.0.1"] {
            assert!(!allows(&policy, address), "{address}");
        }
    }

    proptest! {
        #[test]
        fn an_ipv4_address_cannot_hide_in_an_ipv6_one(bits in any::<u32>()) {
            let policy = policy(&["10.0.0.0/8"]);
            let plain = Ipv4Addr::from(bits);
            let allowed = policy.allows(plain.into());
            prop_assert_eq!(policy.allows(plain.to_ipv6_mapped().into()), allowed);
            prop_assert_eq!(policy.allows(nat64(plain).into()), allowed);
        }

        #[test]
        fn whatever_the_standard_library_calls_special_is_refused(bits in any::<u32>(), pick in 0_usize..5) {
            let [_, b, c, d] = bits.to_be_bytes();
            let address = Ipv4Addr::from([[10, b, c, d], [127, b, c, d], [169, 254, c, d], [192, 168, c, d],
                [224 | (b & 31), b, c, d]][pick]);
            prop_assert!(address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_multicast() || address.octets()[0] >= 240);
            prop_assert!(!policy(&[]).allows(address.into()));
        }

        #[test]
        fn unique_local_link_local_and_multicast_are_refused(bits in any::<u128>(), pick in 0_usize..3) {
            let (head, prefix) = [(0xfc_u128 << 120, 7), (0xfe80_u128 << 112, 10), (0xff_u128 << 120, 8)][pick];
            let address = Ipv6Addr::from(head | (bits >> prefix));
            prop_assert!(!policy(&[]).allows(address.into()));
        }

        #[test]
        fn a_listed_address_is_always_allowed(bits in any::<u128>(), prefix in 0_u8..=128) {
            let address = Ipv6Addr::from(bits);
            let network = IpNet::new(address.into(), prefix).unwrap();
            prop_assert!(AddressPolicy::new([network].into()).allows(address.into()));
        }

        #[test]
        fn listing_a_network_changes_nothing_outside_it(bits in any::<u32>()) {
            let address = Ipv4Addr::from(bits);
            prop_assume!(address.octets()[0] != 192);
            let with = policy(&["192.0.0.0/8"]).allows(address.into());
            prop_assert_eq!(with, policy(&[]).allows(address.into()));
        }
    }
}

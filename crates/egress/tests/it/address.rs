//! The kind of every address, and that no form of writing it changes the kind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use egress::{AddressClass as C, AddressRules, classify};
use proptest::prelude::*;

#[test]
fn the_table_of_addresses() {
    let rows: &[(C, &[&str])] = &[
        (
            C::Public,
            &["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.216.34", "100.63.255.255", "100.128.0.0"],
        ),
        (
            C::Public,
            &["126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0"],
        ),
        (
            C::Public,
            &["192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255"],
        ),
        (C::Public, &["2606:4700:4700::1111", "2a00:1450:4001::1", "2400::", "::ffff:1.1.1.1", "64:ff9b::8.8.8.8"]),
        (C::Loopback, &["127.0.0.1", "127.255.255.254", "127.0.0.0", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"]),
        (C::Unspecified, &["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", "64:ff9b::0.0.0.0", "64:ff9b:1:a00:0:100::"]),
        (C::LinkLocal, &["169.254.1.1", "fe80::1", "febf::1", "::ffff:169.254.1.1"]),
        (C::Private, &["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.1", "192.168.255.255"]),
        (C::Private, &["::ffff:10.0.0.1", "::ffff:c0a8:1", "64:ff9b::10.0.0.1", "2002:a00:1::", "2002:c0a8:101::1"]),
        (C::Private, &["2001:0:a00:1::", "2001:0:808:808:0:0:f5ff:fffe", "::10.0.0.1", "2400::5efe:10.0.0.1"]),
        (C::Private, &["2400::200:5efe:192.168.0.1", "64:ff9b:1::10.0.0.1"]),
        (C::Shared, &["100.64.0.0", "100.127.255.255", "::ffff:100.64.0.1"]),
        (C::UniqueLocal, &["fc00::", "fd12:3456::1", "fdff:ffff::"]),
        (C::Multicast, &["224.0.0.1", "239.255.255.255", "ff02::1", "::ffff:224.0.0.1"]),
        (C::Broadcast, &["255.255.255.255", "64:ff9b::255.255.255.255"]),
        (C::Documentation, &["192.0.2.1", "198.51.100.1", "203.0.113.1", "233.252.0.1", "2001:db8::1", "3fff::1"]),
        (C::Benchmarking, &["198.18.0.0", "198.19.255.255", "2001:2::1"]),
        (C::Reserved, &["192.0.0.1", "192.0.0.170", "192.88.99.1", "240.0.0.1", "254.1.1.1", "100::1", "fec0::1"]),
        (C::Reserved, &["2001:10::1", "2001:20::1", "2001:1::1", "4000::1", "5f00::1", "::ffff:0:1.1.1.1"]),
        (C::Reserved, &["64:ff9b:1:808:8:800:808:808", "192.31.196.1", "192.175.48.1"]),
        (C::Tunnel, &["2002:808:808::1", "2001:0:808:808:0:0:f7f7:f7f7", "::8.8.8.8"]),
        (C::Metadata, &["169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16"]),
        (C::Metadata, &["192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "::ffff:169.254.169.254"]),
        (C::Metadata, &["::ffff:a9fe:a9fe", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::", "fe80::a9fe:a9fe"]),
        (C::Metadata, &["2001:0:808:808:0:0:5601:5601", "2400::5efe:169.254.169.254", "::169.254.169.254"]),
        (C::Metadata, &["fd00:c1::a9fe:a9fe", "fd00:42::42", "169.254.42.42", "64:ff9b:1::169.254.169.254"]),
    ];
    for (expected, addresses) in rows {
        for address in *addresses {
            assert_eq!(classify(address.parse().unwrap()), *expected, "{address}");
        }
    }
}

#[test]
fn own_addresses_are_closed_in_every_form() {
    let mut rules = AddressRules::default();
    rules.interfaces = vec!["8.8.4.4".parse().unwrap(), "2400::1".parse().unwrap()];
    rules.public = vec!["9.9.9.9".parse().unwrap()];
    let class = |text: &str| rules.classify(text.parse().unwrap());
    for address in ["8.8.4.4", "::ffff:8.8.4.4", "64:ff9b::8.8.4.4", "2002:808:404::", "2400::1"] {
        assert_eq!(class(address), C::OwnInterface, "{address}");
    }
    for address in ["9.9.9.9", "::ffff:9.9.9.9", "64:ff9b::9.9.9.9"] {
        assert_eq!(class(address), C::OwnPublic, "{address}");
    }
    assert_eq!(class("8.8.4.5"), C::Public);
}

#[test]
fn a_local_nat64_prefix_is_judged_by_what_it_carries() {
    for (prefix, private, public) in [
        ("64:ff9b:1::/96", "64:ff9b:1::10.0.0.1", "64:ff9b:1::8.8.8.8"),
        ("64:ff9b:1::/48", "64:ff9b:1:a00:0:100::", "64:ff9b:1:808:8:800::"),
        ("fd00:64::/96", "fd00:64::10.0.0.1", "fd00:64::8.8.8.8"),
        ("2400:1:2:3::/64", "2400:1:2:3:a:0:100:0", "2400:1:2:3:8:808:800:0"),
        ("2400:1::/32", "2400:1:a00:1::", "2400:1:808:808::"),
    ] {
        let mut rules = AddressRules::default();
        rules.nat64 = vec![prefix.parse().unwrap()];
        assert_eq!(rules.classify(private.parse().unwrap()), C::Private, "{prefix}");
        assert_eq!(rules.classify(public.parse().unwrap()), C::Public, "{prefix}");
    }
}

#[test]
fn only_ranges_of_examples_can_play_the_internet() {
    let rules = AddressRules::default();
    let rules = rules.playing_public("203.0.113.0/24".parse().unwrap()).playing_public("10.0.0.0/8".parse().unwrap());
    assert_eq!(rules.classify("203.0.113.7".parse().unwrap()), C::Public);
    assert_eq!(rules.classify("10.0.0.1".parse().unwrap()), C::Private);
    assert_eq!(classify("203.0.113.7".parse().unwrap()), C::Documentation);
}

/// Every way in which this crate knows an IPv6 address to carry an IPv4 address.
fn carriers(v4: Ipv4Addr) -> Vec<Ipv6Addr> {
    let [a, b, c, d] = v4.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    vec![
        v4.to_ipv6_mapped(),
        Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 1, high, low >> 8, low << 8, 0, 0),
        Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        Ipv6Addr::new(0x2001, 0, high, low, 0, 0, 0, 0),
        Ipv6Addr::new(0x2001, 0, 0x0808, 0x0808, 0, 0, !high, !low),
        Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0x5efe, high, low),
        Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0x0200, 0x5efe, high, low),
    ]
}

fn not_public() -> impl Strategy<Value = Ipv4Addr> {
    let ranges = [
        ([10, 0, 0, 0], 8),
        ([172, 16, 0, 0], 12),
        ([192, 168, 0, 0], 16),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([100, 64, 0, 0], 10),
        ([0, 0, 0, 0], 8),
        ([224, 0, 0, 0], 3),
        ([168, 63, 129, 16], 32),
    ];
    (prop::sample::select(ranges.to_vec()), any::<u32>()).prop_map(|((base, bits), random)| {
        let mask = u32::MAX.checked_shr(bits).unwrap_or(0);
        Ipv4Addr::from((u32::from(Ipv4Addr::from(base)) & !mask) | (random & mask))
    })
}

proptest! {
    #[test]
    fn nothing_that_carries_a_closed_address_is_public(v4 in not_public()) {
        prop_assert_ne!(classify(v4.into()), C::Public);
        for v6 in carriers(v4) {
            prop_assert_ne!(classify(v6.into()), C::Public, "{} carries {}", v6, v4);
        }
    }

    #[test]
    fn what_is_public_lies_in_the_ranges_given_out(bits in any::<u128>()) {
        let v6 = Ipv6Addr::from(bits);
        let carries = v6.to_ipv4_mapped().is_some() || v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
        if classify(IpAddr::V6(v6)) == C::Public && !carries {
            prop_assert_eq!(v6.segments()[0] >> 13, 1);
        }
    }
}

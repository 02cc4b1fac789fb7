//! What kind of address an address is. Pure: which addresses are this machine's own is given, not looked up. An IPv6
//! address that carries an IPv4 address is judged by what it carries. Start with [`AddressRules::classify`].
//!
//! Sources: the IANA special-purpose registries of IPv4 and IPv6 (RFC 6890 and its updates), RFC 6052 (NAT64), RFC 4380
//! (Teredo), RFC 3056 (6to4), RFC 5214 (ISATAP), and the metadata addresses in the clouds' own documentation.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// What kind of address. Only [`AddressClass::Public`] is open to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressClass {
    /// Anywhere on the internet.
    Public,
    /// This machine: `127.0.0.0/8`, `::1`.
    Loopback,
    /// "This network": `0.0.0.0/8`, `::`.
    Unspecified,
    /// The link alone: `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// RFC 1918.
    Private,
    /// Shared by a carrier's customers, or an overlay network: `100.64.0.0/10`.
    Shared,
    /// `fc00::/7`.
    UniqueLocal,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// Set aside for examples.
    Documentation,
    /// Set aside for measurements.
    Benchmarking,
    /// Set aside for something else, or not given out.
    Reserved,
    /// Where a cloud hands its credentials to whoever asks.
    Metadata,
    /// An IPv6 tunnel's form of an IPv4 address, by which no public service is reached today.
    Tunnel,
    /// An address of one of this machine's interfaces.
    OwnInterface,
    /// The address under which this machine is seen from outside.
    OwnPublic,
}

impl AddressClass {
    /// The word in audit records and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Unspecified => "unspecified",
            Self::LinkLocal => "link-local",
            Self::Private => "private",
            Self::Shared => "shared",
            Self::UniqueLocal => "unique-local",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Reserved => "reserved",
            Self::Metadata => "metadata",
            Self::Tunnel => "tunnel",
            Self::OwnInterface => "own-interface",
            Self::OwnPublic => "own-public",
        }
    }

    /// Whether a rule that the owner marked `private` may reach it. `is_literal` says that the rule names the address
    /// itself (or `localhost`): a name in DNS must not lead to this very machine, whoever answers for that name.
    pub fn is_open_to_private_rule(self, is_literal: bool) -> bool {
        match self {
            Self::Public | Self::Private | Self::Shared | Self::UniqueLocal => true,
            Self::Loopback | Self::OwnInterface => is_literal,
            Self::Unspecified
            | Self::LinkLocal
            | Self::Multicast
            | Self::Broadcast
            | Self::Documentation
            | Self::Benchmarking
            | Self::Reserved
            | Self::Metadata
            | Self::Tunnel
            | Self::OwnPublic => false,
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A range of addresses, written `address/bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    base: IpAddr,
    bits: u8,
}

/// Text that is no range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a range of addresses as address/bits, such as 64:ff9b:1::/96")]
pub struct PrefixError;

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (base, bits) = text.split_once('/').ok_or(PrefixError)?;
        let base: IpAddr = base.parse().map_err(|_| PrefixError)?;
        let bits: u8 = bits.parse().map_err(|_| PrefixError)?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        if bits <= most { Ok(Self { base, bits }) } else { Err(PrefixError) }
    }
}

impl Prefix {
    /// Whether the address lies in the range. IPv4 and IPv6 have nothing in common here.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => in_v4(address, base, self.bits),
            (IpAddr::V6(base), IpAddr::V6(address)) => in_v6(address, base, self.bits),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// The IPv4 address that an address in this NAT64 prefix carries (RFC 6052, section 2.2).
    fn nat64_inner(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        if !self.contains(address.into()) {
            return None;
        }
        let b = address.octets();
        let inner = match self.bits {
            32 => [b[4], b[5], b[6], b[7]],
            40 => [b[5], b[6], b[7], b[9]],
            48 => [b[6], b[7], b[9], b[10]],
            56 => [b[7], b[9], b[10], b[11]],
            64 => [b[9], b[10], b[11], b[12]],
            96 => [b[12], b[13], b[14], b[15]],
            _ => return None,
        };
        Some(inner.into())
    }

    /// Whether the prefix has a length that NAT64 knows.
    pub fn is_nat64(self) -> bool {
        self.base.is_ipv6() && matches!(self.bits, 32 | 40 | 48 | 56 | 64 | 96)
    }
}

/// What is known about addresses beyond the registries.
#[derive(Clone, Debug, Default)]
pub struct AddressRules {
    /// The addresses of this machine's interfaces.
    pub interfaces: Vec<IpAddr>,
    /// The addresses under which this machine is seen from outside.
    pub public: Vec<IpAddr>,
    /// NAT64 prefixes of the local network, beside the well-known one.
    pub nat64: Vec<Prefix>,
    /// Ranges set aside for documentation that a test plays the internet with. Nothing in the configuration sets this.
    pub(crate) played_public: Vec<Prefix>,
}

impl AddressRules {
    /// For tests: treats a range set aside for documentation or measurements as public, so that no test has to use a real
    /// address. Any other range is ignored.
    #[must_use]
    pub fn playing_public(mut self, range: Prefix) -> Self {
        if matches!(registry(range.base), AddressClass::Documentation | AddressClass::Benchmarking) {
            self.played_public.push(range);
        }
        self
    }

    /// The kind of an address. For IPv6 that carries IPv4 the outer and the inner address must both be public.
    pub fn classify(&self, address: IpAddr) -> AddressClass {
        let IpAddr::V6(v6) = address else { return self.outer(address) };
        // What the kernel dials as IPv4 is IPv4.
        if let Some(v4) = v6.to_ipv4_mapped() {
            return self.outer(v4.into());
        }
        let outer = self.outer(address);
        // A local NAT64 prefix may lie in any range that a network may choose for itself.
        if matches!(
            outer,
            AddressClass::Public
                | AddressClass::Reserved
                | AddressClass::Tunnel
                | AddressClass::UniqueLocal
                | AddressClass::Documentation
        ) {
            let local = self.nat64.iter().find_map(|prefix| prefix.nat64_inner(v6));
            if let Some(v4) = local.or_else(|| WELL_KNOWN_NAT64.nat64_inner(v6)) {
                return self.outer(v4.into());
            }
        }
        if !matches!(outer, AddressClass::Public | AddressClass::Reserved | AddressClass::Tunnel) {
            return outer;
        }
        let closed =
            carried(v6).into_iter().map(|v4| self.outer(v4.into())).find(|class| *class != AddressClass::Public);
        closed.unwrap_or(outer)
    }

    /// The kind of an address, without regard to what it may carry.
    fn outer(&self, address: IpAddr) -> AddressClass {
        let class = registry(address);
        if class == AddressClass::Metadata {
            return class;
        }
        if self.public.iter().any(|own| unmapped(*own) == address) {
            return AddressClass::OwnPublic;
        }
        if class != AddressClass::Loopback && self.interfaces.iter().any(|own| unmapped(*own) == address) {
            return AddressClass::OwnInterface;
        }
        if self.played_public.iter().any(|range| range.contains(address)) {
            return AddressClass::Public;
        }
        class
    }
}

/// The kind of an address by the registries alone, what it carries included.
pub fn classify(address: IpAddr) -> AddressClass {
    AddressRules::default().classify(address)
}

fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
    }
}

const WELL_KNOWN_NAT64: Prefix = Prefix { base: IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0)), bits: 96 };

/// The IPv4 addresses that a tunnel's form of IPv6 carries: 6to4, Teredo (server and client), ISATAP, the compatible
/// form, and both readings of the local-use NAT64 prefix.
fn carried(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let b = address.octets();
    let s = address.segments();
    let last = Ipv4Addr::new(b[12], b[13], b[14], b[15]);
    if s[0] == 0x2002 {
        return vec![Ipv4Addr::new(b[2], b[3], b[4], b[5])];
    }
    if s[0] == 0x2001 && s[1] == 0 {
        let client = Ipv4Addr::from(!u32::from(last));
        return vec![Ipv4Addr::new(b[4], b[5], b[6], b[7]), client];
    }
    if s[0] == 0x64 && s[1] == 0xff9b && s[2] == 1 {
        return vec![last, Ipv4Addr::new(b[6], b[7], b[9], b[10])];
    }
    if s[..6] == [0; 6] {
        return vec![last];
    }
    if matches!(s[4], 0 | 0x0200 | 0x0100 | 0x0300) && s[5] == 0x5efe {
        return vec![last];
    }
    Vec::new()
}

fn in_v4(address: Ipv4Addr, base: Ipv4Addr, bits: u8) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
    u32::from(address) & mask == u32::from(base) & mask
}

fn in_v6(address: Ipv6Addr, base: Ipv6Addr, bits: u8) -> bool {
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    u128::from(address) & mask == u128::from(base) & mask
}

/// The registries: the first row that contains the address counts.
fn registry(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(v4) => V4.iter().find(|(base, bits, _)| in_v4(v4, Ipv4Addr::from(*base), *bits)).map(|row| row.2),
        IpAddr::V6(v6) => V6.iter().find(|(base, bits, _)| in_v6(v6, Ipv6Addr::from(*base), *bits)).map(|row| row.2),
    }
    .unwrap_or(AddressClass::Public)
}

/// IPv4, the narrow before the wide.
const V4: &[([u8; 4], u8, AddressClass)] = &[
    // Nearly all clouds; containers of Amazon and pods; Tencent; Scaleway.
    ([169, 254, 169, 254], 32, AddressClass::Metadata),
    ([169, 254, 169, 253], 32, AddressClass::Metadata),
    ([169, 254, 170, 2], 32, AddressClass::Metadata),
    ([169, 254, 170, 23], 32, AddressClass::Metadata),
    ([169, 254, 0, 23], 32, AddressClass::Metadata),
    ([169, 254, 42, 42], 32, AddressClass::Metadata),
    // Alibaba, Azure's WireServer, Oracle.
    ([100, 100, 100, 200], 32, AddressClass::Metadata),
    ([168, 63, 129, 16], 32, AddressClass::Metadata),
    ([192, 0, 0, 192], 32, AddressClass::Metadata),
    ([0, 0, 0, 0], 8, AddressClass::Unspecified),
    ([10, 0, 0, 0], 8, AddressClass::Private),
    ([100, 64, 0, 0], 10, AddressClass::Shared),
    ([127, 0, 0, 0], 8, AddressClass::Loopback),
    ([169, 254, 0, 0], 16, AddressClass::LinkLocal),
    ([172, 16, 0, 0], 12, AddressClass::Private),
    ([192, 0, 0, 0], 24, AddressClass::Reserved),
    ([192, 0, 2, 0], 24, AddressClass::Documentation),
    ([192, 31, 196, 0], 24, AddressClass::Reserved),
    ([192, 52, 193, 0], 24, AddressClass::Reserved),
    ([192, 88, 99, 0], 24, AddressClass::Reserved),
    ([192, 168, 0, 0], 16, AddressClass::Private),
    ([192, 175, 48, 0], 24, AddressClass::Reserved),
    ([198, 18, 0, 0], 15, AddressClass::Benchmarking),
    ([198, 51, 100, 0], 24, AddressClass::Documentation),
    ([203, 0, 113, 0], 24, AddressClass::Documentation),
    ([233, 252, 0, 0], 24, AddressClass::Documentation),
    ([224, 0, 0, 0], 4, AddressClass::Multicast),
    ([255, 255, 255, 255], 32, AddressClass::Broadcast),
    ([240, 0, 0, 0], 4, AddressClass::Reserved),
];

/// IPv6, the narrow before the wide. What is outside of `2000::/3` is not given out, whether or not it has a row.
const V6: &[([u16; 8], u8, AddressClass)] = &[
    // Amazon, Google, Oracle, Scaleway, and the clouds that put 169.254.169.254 behind fe80.
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32, AddressClass::Metadata),
    ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, AddressClass::Metadata),
    ([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128, AddressClass::Metadata),
    ([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128, AddressClass::Metadata),
    ([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128, AddressClass::Metadata),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, AddressClass::Loopback),
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, AddressClass::Unspecified),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, AddressClass::Tunnel),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, AddressClass::UniqueLocal),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, AddressClass::LinkLocal),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, AddressClass::Reserved),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, AddressClass::Multicast),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, AddressClass::Tunnel),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, AddressClass::Benchmarking),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, AddressClass::Documentation),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, AddressClass::Documentation),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, AddressClass::Reserved),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, AddressClass::Tunnel),
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, AddressClass::Reserved),
    ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, AddressClass::Public),
    ([0, 0, 0, 0, 0, 0, 0, 0], 0, AddressClass::Reserved),
];

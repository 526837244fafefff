//! The caller of a server, also behind reverse proxies.
//!
//! A proxy appends its caller's address to `X-Forwarded-For`, and any program can send that header. So it is read from
//! its end, through the addresses of proxies that the operator named. The first other address is the caller; that
//! caller may have written everything before it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};

/// The header that most proxies write.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// RFC 7239; it is not read, only seen.
const FORWARDED: &str = "forwarded";

/// The program that asks a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    address: IpAddr,
    local: bool,
}

impl Caller {
    /// The caller behind a connection from `peer` with these headers.
    ///
    /// Where an address cannot be read, the caller is the last address that can, and it is not local.
    #[must_use]
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let lists: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        let forwarded = !lists.is_empty() || headers.contains_key(FORWARDED);
        let mut caller = Self::direct(peer);
        // The peer passes on a request, and the operator did not name it as a proxy.
        caller.local &= !forwarded || trusted.has(peer);
        // A header that is not read may say that the caller is elsewhere.
        caller.local &= !headers.contains_key(FORWARDED);
        // Several lines are one list, in their order.
        for list in lists.into_iter().rev() {
            for entry in list.as_bytes().rsplit(|byte| *byte == b',') {
                if !trusted.has(caller.address) {
                    return caller;
                }
                let Some(address) = read(entry) else { return Self { local: false, ..caller } };
                // "This machine" means the caller only as long as every hop is on it.
                caller = Self { local: caller.local && address.is_loopback(), address };
            }
        }
        caller
    }

    /// A caller that asks by itself.
    #[must_use]
    pub const fn direct(peer: IpAddr) -> Self {
        let address = peer.to_canonical();
        Self { address, local: address.is_loopback() }
    }

    /// Where it is; an IPv4 address is one however it was written.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Whether it is a program on this machine, asking by itself or through proxies on this machine.
    #[must_use]
    pub const fn is_local(self) -> bool {
        self.local
    }
}

/// An address as proxies write it: with a port or without.
fn read(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let with_port = || text.parse::<std::net::SocketAddr>().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let address = text.parse::<IpAddr>().or_else(|_| with_port()).ok();
    address.or_else(|| bracketed().map(IpAddr::V6)).map(|address| address.to_canonical())
}

/// Reverse proxies whose word about who asks is believed; nobody's by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.has(address))
    }
}

impl TryFrom<Vec<String>> for TrustedProxies {
    type Error = BadNetwork;

    fn try_from(texts: Vec<String>) -> Result<Self, BadNetwork> {
        texts.iter().map(|text| Network::read(text)).collect::<Result<_, _>>().map(Self)
    }
}

impl From<TrustedProxies> for Vec<String> {
    fn from(proxies: TrustedProxies) -> Self {
        proxies.0.iter().map(Network::to_string).collect()
    }
}

/// What is no proxy that could be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// Something else than an address or a network.
    #[error("trusted proxy {0:?} is neither an address nor a network such as 10.0.0.0/8")]
    Unreadable(String),
    /// Bits behind the prefix: the operator meant something else.
    #[error("trusted proxy {0:?} has bits behind its prefix")]
    HostBits(String),
    /// Everybody's word would count, so that every caller chose its own address.
    #[error("trusted proxy {0:?} is everybody")]
    Everybody(String),
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    first: IpAddr,
    prefix: u32,
}

impl Network {
    fn read(text: &str) -> Result<Self, BadNetwork> {
        let unreadable = || BadNetwork::Unreadable(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| unreadable())?;
        let bits = width(written);
        let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            None => bits,
            Some(text) => {
                Some(text).filter(digits).and_then(|text| text.parse().ok()).ok_or_else(unreadable)?
            }
        };
        if prefix > bits {
            return Err(unreadable());
        }
        // An IPv4 network in IPv6 clothes has 96 bits of clothes.
        let (first, prefix) = match (written, written.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(first)) if prefix >= 96 => (IpAddr::V4(first), prefix - 96),
            _ => (written, prefix),
        };
        let network = Self { first, prefix };
        match () {
            () if prefix == 0 => Err(BadNetwork::Everybody(text.to_owned())),
            () if network.masked(first) != first => Err(BadNetwork::HostBits(text.to_owned())),
            () => Ok(network),
        }
    }

    fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.masked(address) == self.first
    }

    /// The bits that count; at least one does.
    fn masked(self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & (u32::MAX << (32 - self.prefix.min(32)))).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << (128 - self.prefix))).into()),
        }
    }
}

const fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == width(self.first) {
            return self.first.fmt(f);
        }
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trusted(texts: &[&str]) -> TrustedProxies {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        texts.try_into().unwrap()
    }

    fn of(peer: &str, lines: &[&str], trusted: &TrustedProxies) -> Caller {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        Caller::of(peer.parse().unwrap(), &headers, trusted)
    }

    fn told(caller: Caller) -> (String, bool) {
        (caller.address().to_string(), caller.is_local())
    }

    fn is(address: &str, local: bool) -> (String, bool) {
        (address.to_string(), local)
    }

    #[test]
    fn without_a_header_the_caller_is_who_connected() {
        for proxies in [TrustedProxies::default(), trusted(&["127.0.0.1", "10.0.0.0/8"])] {
            assert_eq!(told(of("127.0.0.1", &[], &proxies)), is("127.0.0.1", true));
            assert_eq!(told(of("::1", &[], &proxies)), is("::1", true));
            assert_eq!(told(of("203.0.113.9", &[], &proxies)), is("203.0.113.9", false));
            assert_eq!(told(of("10.1.2.3", &[], &proxies)), is("10.1.2.3", false));
        }
    }

    #[test]
    fn a_spoofed_header_without_configuration_changes_nobodys_address() {
        let nobody = TrustedProxies::default();
        for lie in ["127.0.0.1", "::1", "198.51.100.1", "127.0.0.1, 127.0.0.1", "junk"] {
            assert_eq!(told(of("203.0.113.9", &[lie], &nobody)), is("203.0.113.9", false), "{lie}");
            let others = trusted(&["10.0.0.0/8"]);
            assert_eq!(told(of("203.0.113.9", &[lie], &others)), is("203.0.113.9", false), "{lie}");
        }
    }

    #[test]
    fn an_entry_that_the_client_wrote_before_the_proxys_is_not_believed() {
        let proxy = trusted(&["127.0.0.1", "10.0.0.0/8"]);
        for lines in [
            &["127.0.0.1, 203.0.113.9"][..],
            &["127.0.0.1", "203.0.113.9"],
            &["10.0.0.1, 127.0.0.1, 203.0.113.9"],
            &["127.0.0.1, 203.0.113.9, 10.0.0.7"],
            &["127.0.0.1", "203.0.113.9", "10.0.0.7, 10.0.0.8"],
        ] {
            assert_eq!(told(of("127.0.0.1", lines, &proxy)), is("203.0.113.9", false), "{lines:?}");
        }
    }

    #[test]
    fn a_proxy_on_this_machine_that_nobody_configured_makes_no_stranger_local() {
        for proxies in [TrustedProxies::default(), trusted(&["10.0.0.0/8"])] {
            for line in ["203.0.113.9", "127.0.0.1", ""] {
                assert_eq!(told(of("127.0.0.1", &[line], &proxies)), is("127.0.0.1", false), "{line}");
            }
        }
        for proxies in [TrustedProxies::default(), trusted(&["127.0.0.1"])] {
            let mut headers = HeaderMap::new();
            headers.append("Forwarded", "for=203.0.113.9".parse().unwrap());
            let caller = Caller::of("127.0.0.1".parse().unwrap(), &headers, &proxies);
            assert_eq!(told(caller), is("127.0.0.1", false), "what is not read may say something else");
        }
    }

    #[test]
    fn a_caller_behind_the_proxy_of_its_own_machine_is_local() {
        let proxy = trusted(&["127.0.0.1", "::1"]);
        assert_eq!(told(of("127.0.0.1", &["127.0.0.1"], &proxy)), is("127.0.0.1", true));
        assert_eq!(told(of("::1", &["127.0.0.1"], &proxy)), is("127.0.0.1", true));
    }

    #[test]
    fn another_machine_cannot_say_that_it_is_this_one() {
        let proxies = trusted(&["127.0.0.1", "10.0.0.0/8"]);
        for (peer, line) in [
            ("10.0.0.7", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.1, 10.0.0.7"),
            ("10.0.0.7", "127.0.0.1, 127.0.0.1"),
            ("127.0.0.1", "127.9.9.9, 10.0.0.7, 127.0.0.1"),
        ] {
            let caller = of(peer, &[line], &proxies);
            assert!(!caller.is_local(), "{peer} {line}: {caller:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_makes_the_proxy_the_caller_and_nobody_local() {
        let proxies = trusted(&["127.0.0.1", "10.0.0.0/8"]);
        for junk in ["unknown", "", "203.0.113.9 203.0.113.10", "127.0.0.1,", "1.2.3", "localhost", "[::1"] {
            assert_eq!(told(of("127.0.0.1", &[junk], &proxies)), is("127.0.0.1", false), "{junk:?}");
        }
        let behind = of("127.0.0.1", &["unknown, 10.0.0.7"], &proxies);
        assert_eq!(told(behind), is("10.0.0.7", false), "the last that could be read");
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, reqwest::header::HeaderValue::from_bytes(b"\xff").unwrap());
        let caller = Caller::of("127.0.0.1".parse().unwrap(), &headers, &proxies);
        assert_eq!(told(caller), is("127.0.0.1", false));
    }

    #[test]
    fn one_address_is_one_caller_however_it_is_written() {
        let nobody = TrustedProxies::default();
        assert_eq!(of("::ffff:203.0.113.9", &[], &nobody), of("203.0.113.9", &[], &nobody));
        assert_eq!(told(of("::ffff:127.0.0.1", &[], &nobody)), is("127.0.0.1", true));
        let proxy = trusted(&["::ffff:127.0.0.1"]);
        for line in ["203.0.113.9", "::ffff:203.0.113.9", "203.0.113.9:4711", "[::ffff:203.0.113.9]:80"] {
            assert_eq!(told(of("::ffff:127.0.0.1", &[line], &proxy)), is("203.0.113.9", false), "{line}");
        }
        assert_eq!(told(of("127.0.0.1", &["[2001:db8::1]"], &proxy)), is("2001:db8::1", false));
    }

    #[test]
    fn a_network_ends_where_its_prefix_says() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1/32", "::ffff:192.0.2.1", "192.0.2.0"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.1.1.1"),
            ("fd00::/8", "fdff::1", "fe00::"),
            ("::1", "::1", "::2"),
        ] {
            let proxies = trusted(&[network]);
            assert!(proxies.has(inside.parse().unwrap()), "{network} {inside}");
            assert!(!proxies.has(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        let refused = |text: &str| TrustedProxies::try_from(vec![text.to_string()]).unwrap_err();
        for text in
            ["", "proxy", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "10.0.0.0/8/8"]
        {
            assert_eq!(refused(text), BadNetwork::Unreadable(text.into()));
        }
        for text in ["10.0.0.1/8", "fd00::1/8"] {
            assert_eq!(refused(text), BadNetwork::HostBits(text.into()));
        }
        for text in ["0.0.0.0/0", "::/0", "1.2.3.4/0", "::ffff:0.0.0.0/96"] {
            assert_eq!(refused(text), BadNetwork::Everybody(text.into()));
        }
    }

    #[test]
    fn proxies_are_a_list_of_texts_in_a_file() {
        let file = r#"["127.0.0.1","10.0.0.0/8","fd00::/8"]"#;
        let proxies: TrustedProxies = serde_json::from_str(file).unwrap();
        assert_eq!(serde_json::to_string(&proxies).unwrap(), file);
        assert!(serde_json::from_str::<TrustedProxies>(r#"["10.0.0.1/8"]"#).is_err());
    }

    proptest! {
        /// Whatever strangers write, they are who connected to the outermost proxy.
        #[test]
        fn nobody_chooses_an_address(lies in proptest::collection::vec("[ -~]{0,24}", 0..4)) {
            let proxies = trusted(&["127.0.0.1", "10.0.0.0/8"]);
            let mut lines: Vec<&str> = lies.iter().map(String::as_str).collect();
            let alone = of("203.0.113.9", &lines, &proxies);
            prop_assert_eq!(told(alone), is("203.0.113.9", false));
            lines.push("203.0.113.9");
            prop_assert_eq!(told(of("127.0.0.1", &lines, &proxies)), is("203.0.113.9", false));
        }
    }
}

//! Addresses that nobody may be led to: the cloud's metadata, this machine, its network, in every disguise. The judge is asked
//! for the addresses it would dial; nothing is dialled.

use std::{net::IpAddr, sync::Arc};

use egress::{DayTally, EgressRules, Interfaces, Judge, Network, Reach, Scheme, TableResolver, Target, WebTarget};

use super::Surroundings;
use crate::{SystemClock, security::Outcome};

/// Addresses as an attacker writes them. One that is no address at all for the parser is refused as well.
const WRITTEN: &[&str] = &[
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[fd00:ec2::254]/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://127.0.0.1/",
    "http://127.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://[::1]/",
    "http://[::]/",
    "http://localhost/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://good.example@169.254.169.254/",
    "http://169.254.169.254\\@good.example/",
    "http://169.254.169.254%00.good.example/",
];
/// A name whose owner is the attacker.
const NAME: &str = "attacker.example";

/// Asks for each of them, by address and by name, under rules that allow the whole public web.
pub(super) async fn private_addresses(_around: &Surroundings) -> Outcome {
    let rules = Arc::new(EgressRules::public_web(EgressRules::default(), true));
    let tally = Arc::new(DayTally::new(Arc::new(SystemClock::new())));
    let mut own = own_addresses();
    let mut dialled = Vec::new();
    let mut tried = 0;
    for text in WRITTEN {
        let Ok(url) = WebTarget::parse_written(text) else { continue };
        let judge = Judge::new(rules.clone(), network(&[]), tally.clone());
        tried += 1;
        if judge.resolve(&url.target, Reach::Public).await.is_ok() {
            dialled.push(format!("{text} would have been dialled"));
        }
        // The same address again, as the answer of a name server that first gives a good one.
        if let egress::Host::Ip(address) = url.target.host() {
            own.push(*address);
        }
    }
    let Ok(name) = Target::parse_host(NAME, Scheme::Https) else {
        return Outcome::NotTried { why: "no name".to_owned() };
    };
    for address in own {
        let judge = Judge::new(rules.clone(), network(&[address]), tally.clone());
        tried += 1;
        if judge.resolve(&name, Reach::Public).await.is_ok() {
            dialled.push(format!("a name that leads to {address} would have been dialled"));
        }
    }
    Outcome::unless(&dialled, format!("{tried} addresses, written in disguises and behind names"))
}

/// The real interfaces, with a name server that the attacker runs.
fn network(answers: &[IpAddr]) -> Network {
    let answers: Vec<String> = answers.iter().map(ToString::to_string).collect();
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let resolver = TableResolver::default().with(NAME, &answers).with("localhost", &["127.0.0.1"]);
    let system = Network::system(Vec::new(), Vec::new(), Vec::new());
    Network { resolver: Arc::new(resolver), interfaces: Interfaces::System, ..system }
}

/// The addresses of this machine's interfaces; empty when the kernel does not say.
pub(super) fn own_addresses() -> Vec<IpAddr> {
    let system = Network::system(Vec::new(), Vec::new(), Vec::new());
    system.address_rules().map(|rules| rules.interfaces).unwrap_or_default()
}

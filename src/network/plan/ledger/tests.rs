//! Never twice, released exactly once, and the same after everything was forgotten but what was written.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::api::address::Cidr;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn book(cidr: &str, pools: &[(&str, &str)]) -> Book {
    let cidr: Cidr = cidr.parse().unwrap();
    let mut ranges: Vec<_> = pools
        .iter()
        .map(|(start, end)| (ip(start), ip(end)))
        .collect();
    if ranges.is_empty() {
        ranges.push(whole(cidr));
    }
    Book::new(
        "shop/front-v4".to_owned(),
        cidr,
        Some(whole(cidr).0),
        &ranges,
    )
}

fn ledger(cidr: &str, pools: &[(&str, &str)]) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.open("s", book(cidr, pools));
    ledger.open_network("n", "shop/front".to_owned());
    ledger
}

fn owner(name: &str) -> Arc<Owner> {
    Arc::new(Owner {
        uid: name.to_owned(),
        home: "shop".to_owned(),
        called: format!("port shop/{name}"),
    })
}

fn demand(wish: Wish) -> Demand {
    Demand {
        mac: None,
        has_mac: None,
        slots: vec![Slot {
            role: Role::Own,
            choices: vec![("s".to_owned(), "front-v4".to_owned())],
            wish,
        }],
    }
}

fn take(ledger: &mut Ledger, name: &str, wish: Wish) -> Result<IpAddr, String> {
    let given = ledger.take(&owner(name), &demand(wish));
    given
        .map(|given| given.grants[0].ip)
        .map_err(|problem| problem.to_string())
}

#[test]
fn addresses_are_given_in_a_circle() {
    let mut ledger = ledger("10.0.0.0/29", &[]);
    for (name, address) in [("a", "10.0.0.2"), ("b", "10.0.0.3"), ("c", "10.0.0.4")] {
        assert_eq!(take(&mut ledger, name, Wish::Any), Ok(ip(address)));
    }
    let given = |address| Given {
        mac: None,
        grants: vec![Grant {
            role: Role::Own,
            subnet: "s".to_owned(),
            label: String::new(),
            ip: ip(address),
        }],
    };
    ledger.release(&given("10.0.0.3"));
    assert_eq!(take(&mut ledger, "d", Wish::Any), Ok(ip("10.0.0.5")));
    assert_eq!(take(&mut ledger, "e", Wish::Any), Ok(ip("10.0.0.6")));
    assert_eq!(take(&mut ledger, "f", Wish::Any), Ok(ip("10.0.0.3")));
    assert_eq!(
        take(&mut ledger, "g", Wish::Any).unwrap_err(),
        "subnet shop/front-v4 has no free address: all 5 of 10.0.0.1 to 10.0.0.6 are taken; delete ports that nobody uses, \
         or give it more pools or another subnet"
    );
}

#[test]
fn what_cannot_be_had_is_refused_by_name() {
    let mut ledger = ledger("10.0.0.0/24", &[("10.0.0.10", "10.0.0.20")]);
    assert_eq!(
        take(&mut ledger, "a", Wish::This(ip("10.0.0.12"))),
        Ok(ip("10.0.0.12"))
    );
    let routers = Wish::Router(ip("10.0.0.1"));
    assert_eq!(take(&mut ledger, "router", routers), Ok(ip("10.0.0.1")));
    for (wish, refusal) in [
        (
            Wish::This(ip("10.0.0.12")),
            "10.0.0.12 of subnet shop/front-v4 is taken by port shop/a: ask for another one, or delete that",
        ),
        (
            Wish::This(ip("10.0.0.30")),
            "10.0.0.30 is outside of the pools of subnet shop/front-v4, which are 10.0.0.10 to 10.0.0.20: ask for an address \
             in them, or for any",
        ),
        (
            Wish::This(ip("10.0.0.0")),
            "10.0.0.0 is the network address of subnet shop/front-v4 (10.0.0.0/24) and is given to nobody: ask for another \
             one, or for any",
        ),
        (
            Wish::This(ip("10.0.0.255")),
            "10.0.0.255 is the broadcast address of subnet shop/front-v4 (10.0.0.0/24) and is given to nobody: ask for \
             another one, or for any",
        ),
        (
            Wish::This(ip("10.0.0.1")),
            "10.0.0.1 is the gateway address of subnet shop/front-v4 (10.0.0.0/24) and is given to nobody: ask for another \
             one, or for any",
        ),
        (
            Wish::This(ip("10.1.0.1")),
            "10.1.0.1 is not in 10.0.0.0/24 of subnet shop/front-v4",
        ),
        (
            Wish::Router(ip("10.0.0.1")),
            "the gateway 10.0.0.1 of subnet shop/front-v4 is held by port shop/router: set another address for the \
             interface, or take the subnet off that router",
        ),
    ] {
        assert_eq!(take(&mut ledger, "z", wish).unwrap_err(), refusal);
    }
}

#[test]
fn what_others_have_is_their_business() {
    let mut ledger = ledger("10.0.0.0/24", &[]);
    take(&mut ledger, "a", Wish::This(ip("10.0.0.12"))).unwrap();
    let mut stranger = (*owner("z")).clone();
    stranger.home = "other".to_owned();
    let refused = ledger.take(&Arc::new(stranger), &demand(Wish::This(ip("10.0.0.12"))));
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("taken by somebody of another project"),
        "{refused}"
    );
    assert!(!refused.contains("shop/a"), "{refused}");
}

#[test]
fn a_guest_that_makes_its_own_address_can_only_have_that() {
    let mut ledger = Ledger::default();
    ledger.open("s", book("2001:db8::/64", &[]).slaac(true));
    let mac: Mac = "34:56:78:9a:bc:de".parse().unwrap();
    let wants = |wish| Demand {
        has_mac: Some(mac),
        ..demand(wish)
    };
    let own = ip("2001:db8::3656:78ff:fe9a:bcde");
    let refused = ledger.take(&owner("a"), &wants(Wish::This(ip("2001:db8::5"))));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "guests of subnet shop/front-v4 make their own IPv6 addresses, and this one's will be \
         2001:db8::3656:78ff:fe9a:bcde: 2001:db8::5 cannot be asked for; leave ip away"
    );
    for wish in [Wish::Slaac, Wish::This(own)] {
        let given = ledger.take(&owner("a"), &wants(wish)).unwrap();
        assert_eq!(given.grants[0].ip, own);
    }
}

#[test]
fn a_large_subnet_is_no_work() {
    let mut ledger = ledger("2001:db8::/32", &[]);
    let free = ledger.book("s").unwrap().free();
    assert_eq!(free, (1_u128 << 96) - 2);
    for number in 0..10_000 {
        take(&mut ledger, &number.to_string(), Wish::Any).unwrap();
    }
    assert_eq!(ledger.book("s").unwrap().free(), free - 10_000);
}

#[test]
fn mac_addresses_are_given_once_to_a_network() {
    let mut ledger = ledger("10.0.0.0/24", &[]);
    let wants = |mac| Demand {
        mac: Some(("n".to_owned(), mac)),
        ..Demand::default()
    };
    let made = ledger
        .take(&owner("a"), &wants(None))
        .unwrap()
        .mac
        .unwrap()
        .1;
    let refused = ledger.take(&owner("b"), &wants(Some(made))).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "the MAC address {made} is taken on network shop/front by port shop/a: make the port with another one"
        )
    );
    // Somebody wished for the one that another would have been made.
    let wished = Mac::of("c");
    ledger.take(&owner("b"), &wants(Some(wished))).unwrap();
    let other = ledger
        .take(&owner("c"), &wants(None))
        .unwrap()
        .mac
        .unwrap()
        .1;
    assert_ne!(other, wished);
}

#[test]
fn all_or_nothing_is_given() {
    let mut ledger = ledger("10.0.0.0/29", &[]);
    let mut both = demand(Wish::Any);
    both.slots.extend(demand(Wish::This(ip("10.9.9.9"))).slots);
    let free = ledger.book("s").unwrap().free();
    ledger.take(&owner("a"), &both).unwrap_err();
    assert_eq!(ledger.book("s").unwrap().free(), free);
}

/// What happens to a subnet.
#[derive(Clone, Debug)]
enum Step {
    Take,
    Wish(u8),
    Release(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Take),
        4 => any::<u8>().prop_map(Step::Wish),
        8 => any::<usize>().prop_map(Step::Release),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    /// Twenty times 500 steps: what is held is what was given and not released, each once, and a book knows how many.
    #[test]
    fn no_address_is_given_twice_or_lost(steps in prop::collection::vec(step(), 500)) {
        let fresh = || ledger("10.0.0.0/25", &[("10.0.0.1", "10.0.0.40"), ("10.0.0.64", "10.0.0.126")]);
        let size = fresh().book("s").unwrap().free();
        let mut ledger = fresh();
        let mut held: BTreeMap<String, Given> = BTreeMap::new();
        for (number, step) in steps.iter().enumerate() {
            let name = format!("p{number}");
            match step {
                Step::Take | Step::Wish(_) => {
                    let wish = match step {
                        Step::Wish(host) => Wish::This(ip(&format!("10.0.0.{host}"))),
                        _ => Wish::Any,
                    };
                    let full = ledger.book("s").unwrap().free() == 0;
                    match ledger.take(&owner(&name), &demand(wish)) {
                        Ok(given) => { held.insert(name, given); }
                        Err(problem) => prop_assert!(full || wish != Wish::Any, "{problem}"),
                    }
                }
                Step::Release(which) if !held.is_empty() => {
                    let name = held.keys().nth(which % held.len()).cloned().unwrap();
                    let given = held.remove(&name).unwrap();
                    ledger.release(&given);
                }
                Step::Release(_) => {}
                Step::Restart => {
                    let mut anew = fresh();
                    for (name, given) in &held {
                        anew.claim("s", given.grants[0].ip, &owner(name)).unwrap();
                    }
                    anew.go_on_after(&Ledger::default());
                    ledger = anew;
                }
            }
            let distinct: BTreeSet<_> = held.values().map(|given| given.grants[0].ip).collect();
            prop_assert_eq!(distinct.len(), held.len());
            let free = ledger.book("s").unwrap().free();
            prop_assert_eq!(free + u128::try_from(held.len()).unwrap(), size);
        }
    }
}

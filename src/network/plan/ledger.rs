//! Who has which address: a book for each subnet, and one of MAC addresses for each network.
//!
//! An address is given out once: what is written in anybody's status counts, and what was given and is not written yet
//! counts as well ([`Ledger::claim`] is told of both). Free addresses are given in a circle, so that one that was released
//! is the last to be used again: caches of ARP, DNS and connections that still mean its former owner have time to forget.
//! A book knows only what is taken, so a `/64` takes no more room than a `/24`.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use crate::api::address::{Cidr, Mac, bits};

use super::{problem::Problem, topology::Uid};

/// Who has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The UID of the object.
    pub uid: Uid,
    /// Its project.
    pub home: String,
    /// How it is called in messages, such as `port shop/web-1`.
    pub called: String,
}

impl Owner {
    /// How it is called towards somebody of this project: what others have is their business.
    pub fn told_to(&self, asker: &Self) -> String {
        if self.home == asker.home {
            self.called.clone()
        } else {
            "somebody of another project".to_owned()
        }
    }
}

/// What somebody lacks: a MAC address, addresses, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// The network whose MAC address is wanted, and which one.
    pub mac: Option<(Uid, Option<Mac>)>,
    /// The MAC address that is there already, for addresses that are made of it.
    pub has_mac: Option<Mac>,
    /// Addresses.
    pub slots: Vec<Slot>,
}

impl Demand {
    /// Whether nothing is lacking.
    pub fn is_empty(&self) -> bool {
        self.mac.is_none() && self.slots.is_empty()
    }
}

/// One address that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What it is for.
    pub role: Role,
    /// The subnets it may come from, in the order of preference, each with how the status calls it.
    pub choices: Vec<(Uid, String)>,
    /// Which one.
    pub wish: Wish,
}

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is the object's own.
    Own,
    /// It is a router's in an external network.
    Gateway,
    /// It is a router's in a network of tenants.
    Interface,
    /// Questions about the health of members come from it.
    Monitor,
}

/// Which address is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A free one of the pools.
    Any,
    /// This one of the pools.
    This(IpAddr),
    /// This one, and it may be the gateway, or outside of the pools: a router's.
    Router(IpAddr),
    /// The one that follows from the MAC address.
    Slaac,
}

/// An address that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What for.
    pub role: Role,
    /// The subnet.
    pub subnet: Uid,
    /// How the status calls it.
    pub label: String,
    /// The address.
    pub ip: IpAddr,
}

/// What was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The MAC address, with its network.
    pub mac: Option<(Uid, Mac)>,
    /// The addresses.
    pub grants: Vec<Grant>,
}

/// The addresses of one subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    /// How the subnet is called.
    called: String,
    cidr: Cidr,
    gateway: Option<u128>,
    /// What may be given out: ranges that do not overlap, in their order.
    pools: Vec<(u128, u128)>,
    /// Whether guests make their own addresses.
    slaac: bool,
    /// Whether nothing is given out any more.
    closed: bool,
    taken: BTreeMap<u128, Arc<Owner>>,
    /// How many of the taken are of the pools.
    used: u128,
    /// Where to look first.
    next: u128,
}

impl Book {
    /// A book in which nothing is taken. Without pools, nothing is given out but what routers ask for.
    pub fn new(
        called: String,
        cidr: Cidr,
        gateway: Option<IpAddr>,
        pools: &[(IpAddr, IpAddr)],
    ) -> Self {
        let mut pools: Vec<_> = pools
            .iter()
            .map(|(start, end)| (number(*start), number(*end)))
            .collect();
        pools.sort_unstable();
        Self {
            called,
            cidr,
            gateway: gateway.map(number),
            pools,
            slaac: false,
            closed: false,
            taken: BTreeMap::new(),
            used: 0,
            next: 0,
        }
    }

    /// The same, with guests that make their own addresses.
    pub fn slaac(self, slaac: bool) -> Self {
        Self { slaac, ..self }
    }

    /// The same, from which nothing is given out any more.
    pub fn closed(self, closed: bool) -> Self {
        Self { closed, ..self }
    }

    /// How many addresses can be given out at all.
    fn size(&self) -> u128 {
        let all: u128 = self.pools.iter().map(|(start, end)| end - start + 1).sum();
        let gateway = self.gateway.is_some_and(|gateway| self.in_pools(gateway));
        all - u128::from(gateway)
    }

    /// How many addresses are free to be given out.
    pub fn free(&self) -> u128 {
        if self.closed {
            return 0;
        }
        self.size().saturating_sub(self.used)
    }

    fn in_pools(&self, at: u128) -> bool {
        self.pools
            .iter()
            .any(|(start, end)| (*start..=*end).contains(&at))
    }

    fn counts(&self, at: u128) -> bool {
        self.gateway != Some(at) && self.in_pools(at)
    }

    fn put(&mut self, at: u128, owner: &Arc<Owner>) {
        if self.taken.insert(at, Arc::clone(owner)).is_none() && self.counts(at) {
            self.used += 1;
        }
    }

    fn remove(&mut self, at: u128) {
        if self.taken.remove(&at).is_some() && self.counts(at) {
            self.used -= 1;
        }
    }

    /// The next free address, in a circle.
    fn any(&self) -> Option<u128> {
        if self.free() == 0 {
            return None;
        }
        self.first_from(self.next).or_else(|| self.first_from(0))
    }

    fn first_from(&self, from: u128) -> Option<u128> {
        for (start, end) in &self.pools {
            let mut at = (*start).max(from);
            if at > *end {
                continue;
            }
            let mut taken = self.taken.range(at..=*end).map(|(at, _)| *at).peekable();
            loop {
                if taken.next_if_eq(&at).is_none() && self.gateway != Some(at) {
                    return Some(at);
                }
                if at == *end {
                    break;
                }
                at += 1;
            }
        }
        None
    }

    fn of(&self, wish: Wish, mac: Option<Mac>, owner: &Owner) -> Result<u128, Problem> {
        if self.closed {
            return Err(Problem::SubnetLeaving(self.called.clone()));
        }
        let wish = match (wish, mac) {
            (Wish::This(ip), Some(mac)) if self.slaac => self.own_wish(ip, mac)?,
            (wish, _) => wish,
        };
        let ip = match (wish, mac) {
            (Wish::Any, _) | (Wish::Slaac, None) => return self.any().ok_or_else(|| self.full()),
            (Wish::This(ip) | Wish::Router(ip), _) => ip,
            (Wish::Slaac, Some(mac)) => self.made_of(mac),
        };
        let at = number(ip);
        let subnet = || self.called.clone();
        if !self.cidr.contains(ip) {
            let (subnet, cidr) = (subnet(), self.cidr);
            return Err(Problem::OutsideSubnet { ip, subnet, cidr });
        }
        if let Some(what) = self.reserved(at, matches!(wish, Wish::Router(_))) {
            let (subnet, cidr) = (subnet(), self.cidr);
            return Err(Problem::AddressReserved {
                ip,
                subnet,
                cidr,
                what,
            });
        }
        if matches!(wish, Wish::This(_)) && !self.in_pools(at) {
            let (subnet, pools) = (subnet(), self.pools_told());
            return Err(Problem::OutsidePools { ip, subnet, pools });
        }
        match self.taken.get(&at) {
            Some(by) if by.uid != owner.uid => {
                let (subnet, by) = (subnet(), by.told_to(owner));
                Err(match wish {
                    Wish::Router(gateway) if self.gateway == Some(at) => Problem::GatewayHeld {
                        gateway,
                        subnet,
                        by,
                    },
                    _ => Problem::AddressTaken { ip, subnet, by },
                })
            }
            _ => Ok(at),
        }
    }

    /// A guest that makes its own address can only ask for that one.
    fn own_wish(&self, ip: IpAddr, mac: Mac) -> Result<Wish, Problem> {
        let own = self.made_of(mac);
        if ip == own {
            return Ok(Wish::Slaac);
        }
        let subnet = self.called.clone();
        Err(Problem::SlaacWish { ip, subnet, own })
    }

    fn made_of(&self, mac: Mac) -> IpAddr {
        match self.cidr.net().addr() {
            IpAddr::V6(prefix) => mac.slaac(prefix).into(),
            prefix @ IpAddr::V4(_) => prefix,
        }
    }

    /// Which special address this is, if it is one that the asking may not have.
    fn reserved(&self, at: u128, router: bool) -> Option<&'static str> {
        let net = self.cidr.net();
        if at == number(net.network()) {
            return Some("network");
        }
        if !self.cidr.is_ipv6() && at == number(net.broadcast()) {
            return Some("broadcast");
        }
        (!router && self.gateway == Some(at)).then_some("gateway")
    }

    fn full(&self) -> Problem {
        Problem::Full {
            subnet: self.called.clone(),
            size: self.size(),
            pools: self.pools_told(),
        }
    }

    fn pools_told(&self) -> String {
        if self.pools.is_empty() {
            return "none".to_owned();
        }
        let told = self
            .pools
            .iter()
            .map(|(start, end)| format!("{} to {}", self.address(*start), self.address(*end)));
        told.collect::<Vec<_>>().join(", ")
    }

    fn address(&self, at: u128) -> IpAddr {
        if self.cidr.is_ipv6() {
            Ipv6Addr::from(at).into()
        } else {
            // Numbers of this book come from addresses of 32 bits.
            Ipv4Addr::from(u32::try_from(at).unwrap_or(u32::MAX)).into()
        }
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => ip.into(),
    }
}

/// What is given out of a prefix that has no pools of its own: all but its first address and IPv4's last.
pub fn whole(cidr: Cidr) -> (IpAddr, IpAddr) {
    let net = cidr.net();
    let (first, last) = (number(net.network()), number(net.broadcast()));
    let address = |at: u128| -> IpAddr {
        match net.addr() {
            IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(at).unwrap_or(u32::MAX)).into(),
            IpAddr::V6(_) => Ipv6Addr::from(at).into(),
        }
    };
    let last = if bits(net.addr()) == 32 {
        last - 1
    } else {
        last
    };
    (address(first + 1), address(last))
}

/// All books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    books: BTreeMap<Uid, Book>,
    macs: BTreeMap<Uid, BTreeMap<Mac, Arc<Owner>>>,
    /// How networks are called.
    networks: BTreeMap<Uid, String>,
}

/// How many MAC addresses of our own making are tried: that two agree at all is one in 2^40.
const MAC_TRIES_MAX: u32 = 16;

impl Ledger {
    /// Opens the book of a subnet.
    pub fn open(&mut self, subnet: &str, book: Book) {
        self.books.insert(subnet.to_owned(), book);
    }

    /// Opens the book of a network's MAC addresses.
    pub fn open_network(&mut self, network: &str, called: String) {
        self.networks.insert(network.to_owned(), called);
    }

    /// The book of a subnet.
    pub fn book(&self, subnet: &str) -> Option<&Book> {
        self.books.get(subnet)
    }

    /// Enters an address that is the owner's already. Whoever has it first keeps it.
    pub fn claim(&mut self, subnet: &str, ip: IpAddr, owner: &Arc<Owner>) -> Result<(), Problem> {
        let Some(book) = self.books.get_mut(subnet) else {
            return Ok(());
        };
        let at = number(ip);
        if !book.cidr.contains(ip) {
            let (subnet, cidr) = (book.called.clone(), book.cidr);
            return Err(Problem::OutsideSubnet { ip, subnet, cidr });
        }
        if let Some(by) = book.taken.get(&at).filter(|by| by.uid != owner.uid) {
            let (subnet, by) = (book.called.clone(), by.told_to(owner));
            return Err(Problem::AddressTaken { ip, subnet, by });
        }
        book.put(at, owner);
        Ok(())
    }

    /// Enters a MAC address that is the owner's already. Whoever has it first keeps it.
    pub fn claim_mac(
        &mut self,
        network: &str,
        mac: Mac,
        owner: &Arc<Owner>,
    ) -> Result<(), Problem> {
        if !self.macs.contains_key(network) {
            self.macs.insert(network.to_owned(), BTreeMap::new());
        }
        let taken = self.macs.get(network).and_then(|macs| macs.get(&mac));
        if let Some(by) = taken.filter(|by| by.uid != owner.uid) {
            return Err(self.mac_taken(network, mac, by, owner));
        }
        if let Some(macs) = self.macs.get_mut(network) {
            macs.insert(mac, Arc::clone(owner));
        }
        Ok(())
    }

    /// Whether this address is entered as the owner's.
    pub fn has(&self, subnet: &str, ip: IpAddr, owner: &str) -> bool {
        let by = self
            .books
            .get(subnet)
            .and_then(|book| book.taken.get(&number(ip)));
        by.is_some_and(|by| by.uid == owner)
    }

    /// Whether this MAC address is entered as the owner's.
    pub fn has_mac(&self, network: &str, mac: Mac, owner: &str) -> bool {
        let by = self.macs.get(network).and_then(|macs| macs.get(&mac));
        by.is_some_and(|by| by.uid == owner)
    }

    /// Gives all that is wanted, or nothing of it.
    pub fn take(&mut self, owner: &Arc<Owner>, demand: &Demand) -> Result<Given, Problem> {
        let mut given = Given::default();
        if let Some((network, wish)) = &demand.mac {
            given.mac = Some((network.clone(), self.free_mac(network, *wish, owner)?));
        }
        let mac = given.mac.as_ref().map(|(_, mac)| *mac).or(demand.has_mac);
        for slot in &demand.slots {
            match self.take_one(owner, slot, mac) {
                Ok(grant) => given.grants.push(grant),
                Err(problem) => {
                    self.release(&given);
                    return Err(problem);
                }
            }
        }
        if let Some((network, mac)) = &given.mac {
            self.claim_mac(network, *mac, owner)?;
        }
        Ok(given)
    }

    /// Takes back what was given.
    pub fn release(&mut self, given: &Given) {
        for grant in &given.grants {
            if let Some(book) = self.books.get_mut(&grant.subnet) {
                book.remove(number(grant.ip));
            }
        }
        if let Some((network, mac)) = &given.mac
            && let Some(macs) = self.macs.get_mut(network)
        {
            macs.remove(mac);
        }
    }

    fn take_one(
        &mut self,
        owner: &Arc<Owner>,
        slot: &Slot,
        mac: Option<Mac>,
    ) -> Result<Grant, Problem> {
        let mut refused = None;
        for (subnet, label) in &slot.choices {
            let Some(book) = self.books.get_mut(subnet) else {
                continue;
            };
            match book.of(slot.wish, mac, owner) {
                Ok(at) => {
                    book.put(at, owner);
                    if matches!(slot.wish, Wish::Any) {
                        book.next = at.saturating_add(1);
                    }
                    return Ok(Grant {
                        role: slot.role,
                        subnet: subnet.clone(),
                        label: label.clone(),
                        ip: book.address(at),
                    });
                }
                Err(problem) => refused = refused.or(Some(problem)),
            }
        }
        Err(refused.unwrap_or_else(|| Problem::NoSubnetYet(String::new())))
    }

    fn free_mac(&self, network: &str, wish: Option<Mac>, owner: &Owner) -> Result<Mac, Problem> {
        let by = |mac: Mac| {
            let by = self.macs.get(network).and_then(|macs| macs.get(&mac));
            by.filter(|by| by.uid != owner.uid)
        };
        if let Some(mac) = wish {
            return by(mac).map_or(Ok(mac), |by| Err(self.mac_taken(network, mac, by, owner)));
        }
        let seeds = (0..MAC_TRIES_MAX).map(|more| match more {
            0 => Mac::of(&owner.uid),
            more => Mac::of(&format!("{} {more}", owner.uid)),
        });
        let mut last = None;
        for mac in seeds {
            match by(mac) {
                None => return Ok(mac),
                Some(by) => last = Some(self.mac_taken(network, mac, by, owner)),
            }
        }
        Err(last.unwrap_or_else(|| Problem::NoNetwork(network.to_owned())))
    }

    fn mac_taken(&self, network: &str, mac: Mac, by: &Owner, owner: &Owner) -> Problem {
        Problem::MacTaken {
            mac,
            network: self.networks.get(network).cloned().unwrap_or_default(),
            by: by.told_to(owner),
        }
    }

    /// Goes on where an earlier ledger was in its circles. In a book that is new, this is after the last that is taken.
    pub fn go_on_after(&mut self, earlier: &Self) {
        for (subnet, book) in &mut self.books {
            book.next = match earlier.books.get(subnet) {
                Some(earlier) => earlier.next,
                None => {
                    let last = book.pools.last().map_or(0, |(_, end)| *end);
                    let taken = book.taken.range(..=last).next_back();
                    taken.map_or(0, |(at, _)| at.saturating_add(1))
                }
            };
        }
    }

    /// Whether anything of `earlier` is free now that was not: worth a word to those who wait.
    pub fn has_room_beside(&self, earlier: &Self) -> bool {
        let grown = |(subnet, book): (&Uid, &Book)| match earlier.books.get(subnet) {
            None => true,
            Some(before) => {
                (book.pools != before.pools || book.closed != before.closed)
                    || before.taken.keys().any(|at| !book.taken.contains_key(at))
            }
        };
        let lost_mac = |(network, before): (&Uid, &BTreeMap<Mac, Arc<Owner>>)| {
            let now = self.macs.get(network);
            before
                .keys()
                .any(|mac| now.is_none_or(|now| !now.contains_key(mac)))
        };
        self.books.iter().any(grown) || earlier.macs.iter().any(lost_mac)
    }
}

#[cfg(test)]
mod tests;

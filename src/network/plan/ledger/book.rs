//! The addresses of one subnet: what may be given out, and who has what.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use crate::{
    api::address::{Cidr, Mac, bits},
    network::plan::problem::Problem,
};

use super::{Owner, Wish};

/// Whether a subnet gives out addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Giving {
    /// It does.
    Open,
    /// Not yet: until it is held it may vanish at once, and whoever had an address of it would have it for ever.
    NotYet,
    /// Never again, or not as it is.
    Closed,
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
    giving: Giving,
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
            giving: Giving::Open,
            taken: BTreeMap::new(),
            used: 0,
            next: 0,
        }
    }

    /// The same, with guests that make their own addresses.
    #[must_use]
    pub fn slaac(self, slaac: bool) -> Self {
        Self { slaac, ..self }
    }

    /// The same, with another answer to who asks for an address.
    #[must_use]
    pub fn giving(self, giving: Giving) -> Self {
        Self { giving, ..self }
    }

    /// How many addresses can be given out at all.
    fn size(&self) -> u128 {
        let all: u128 = self.pools.iter().map(|(start, end)| end - start + 1).sum();
        let gateway = self.gateway.is_some_and(|gateway| self.in_pools(gateway));
        all - u128::from(gateway)
    }

    /// How many addresses are free to be given out.
    pub fn free(&self) -> u128 {
        if self.giving == Giving::Closed {
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

    /// Gives an address away.
    pub(super) fn give(
        &mut self,
        wish: Wish,
        mac: Option<Mac>,
        owner: &Arc<Owner>,
    ) -> Result<IpAddr, Problem> {
        let at = self.of(wish, mac, owner)?;
        self.put(at, owner);
        if matches!(wish, Wish::Any) {
            self.next = at.saturating_add(1);
        }
        Ok(self.address(at))
    }

    /// Enters an address that is the owner's already. Whoever has it first keeps it.
    pub(super) fn claim(&mut self, ip: IpAddr, owner: &Arc<Owner>) -> Result<(), Problem> {
        if !self.cidr.contains(ip) {
            let (subnet, cidr) = (self.called.clone(), self.cidr);
            return Err(Problem::OutsideSubnet { ip, subnet, cidr });
        }
        if let Some(by) = self.owner(ip).filter(|by| by.uid != owner.uid) {
            let (subnet, by) = (self.called.clone(), by.told_to(owner));
            return Err(Problem::AddressTaken { ip, subnet, by });
        }
        self.put(number(ip), owner);
        Ok(())
    }

    /// Who has an address.
    pub(super) fn owner(&self, ip: IpAddr) -> Option<&Owner> {
        self.taken.get(&number(ip)).map(|owner| &**owner)
    }

    /// Takes an address back.
    pub(super) fn release(&mut self, ip: IpAddr) {
        let at = number(ip);
        if self.taken.remove(&at).is_some() && self.counts(at) {
            self.used -= 1;
        }
    }

    /// Goes on where an earlier book was in its circle, or after the last that is taken.
    pub(super) fn go_on_after(&mut self, earlier: Option<&Self>) {
        self.next = if let Some(earlier) = earlier {
            earlier.next
        } else {
            let last = self.pools.last().map_or(0, |(_, end)| *end);
            let taken = self.taken.range(..=last).next_back();
            taken.map_or(0, |(at, _)| at.saturating_add(1))
        };
    }

    /// Whether anything is free that was not in an earlier book.
    pub(super) fn has_room_beside(&self, before: &Self) -> bool {
        let changed = self.pools != before.pools || self.giving != before.giving;
        changed || before.taken.keys().any(|at| !self.taken.contains_key(at))
    }

    fn put(&mut self, at: u128, owner: &Arc<Owner>) {
        if self.taken.insert(at, Arc::clone(owner)).is_none() && self.counts(at) {
            self.used += 1;
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
        match self.giving {
            Giving::Open => {}
            Giving::NotYet => return Err(Problem::SubnetNew(self.called.clone())),
            Giving::Closed => return Err(Problem::SubnetLeaving(self.called.clone())),
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

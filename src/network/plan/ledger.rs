//! Who has which address: a book for each subnet, and one of MAC addresses for each network.
//!
//! An address is given out once: what is written in anybody's status counts, and what was given and is not written yet
//! counts as well ([`Ledger::claim`] is told of both). Free addresses are given in a circle, so that one that was released
//! is the last to be used again: caches of ARP, DNS and connections that still mean its former owner have time to forget.
//! A book knows only what is taken, so a `/64` takes no more room than a `/24`.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use crate::api::address::Mac;

use super::{problem::Problem, topology::Uid};

mod book;

pub use book::{Book, Giving, whole};

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

    /// Whether some address will do and another will not.
    pub fn is_particular(&self) -> bool {
        let is_particular = |slot: &Slot| slot.wish != Wish::Any;
        let wishes_mac = self.mac.as_ref().is_some_and(|(_, wish)| wish.is_some());
        wishes_mac || self.slots.iter().any(is_particular)
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
        let book = self.books.get_mut(subnet);
        book.map_or(Ok(()), |book| book.claim(ip, owner))
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
        let by = self.books.get(subnet).and_then(|book| book.owner(ip));
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
                book.release(grant.ip);
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
            match book.give(slot.wish, mac, owner) {
                Ok(ip) => {
                    return Ok(Grant {
                        role: slot.role,
                        subnet: subnet.clone(),
                        label: label.clone(),
                        ip,
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
            let Some(by) = by(mac) else {
                return Ok(mac);
            };
            last = Some(self.mac_taken(network, mac, by, owner));
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
            book.go_on_after(earlier.books.get(subnet));
        }
    }

    /// Whether anything of `earlier` is free now that was not: worth a word to those who wait.
    pub fn has_room_beside(&self, earlier: &Self) -> bool {
        let grown = |(subnet, book): (&Uid, &Book)| {
            let before = earlier.books.get(subnet);
            before.is_none_or(|before| book.has_room_beside(before))
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

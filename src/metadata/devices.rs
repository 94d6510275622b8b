//! Devices: finds them in both namespaces, takes them into ours, and sets them up there.
//!
//! Whatever it does not say, a device has from the host's settings, which every new namespace begins with: what matters
//! is said here, by netlink, since a container may not write into `/proc/sys`.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr},
};

use futures::TryStreamExt as _;
use rtnetlink::{
    Handle, LinkUnspec, RouteMessageBuilder,
    packet_core::{DefaultNla, NLA_F_NESTED},
    packet_route::{
        AddressFamily,
        link::{AfSpecInet, AfSpecUnspec, LinkAttribute, LinkMessage},
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage},
        route::RouteScope,
    },
};

use crate::api::{address::Mac, metadata::ADDRESS};

use super::{
    namespace::{self, Namespace},
    plan::ports::{Place, Take},
};

/// Below what IPv6 takes (1280 bytes), so that there is none on the device, and enough for all answers: each end of a TCP
/// connection tells the other.
const MTU: u32 = 1200;

/// Attributes of an IPv4 device and their values (`IFLA_INET_CONF` and `IPV4_DEVCONF_*` of Linux).
const INET_CONF: u16 = 1;
const IPV4_SETTINGS: [(u16, u32); 6] = [
    (1, 0),  // forwarding: nothing passes from one network to another
    (3, 0),  // proxy_arp: it answers for its own address only
    (4, 0),  // accept_redirects
    (8, 2), // rp_filter, loose: many devices have the same route, and a host's strictness is inherited
    (9, 0), // accept_source_route
    (26, 0), // route_localnet
];

/// A device could not be looked at or set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel said no.
    #[error("failed to {operation} device {device}")]
    Netlink {
        /// What was tried.
        operation: &'static str,
        /// With which one.
        device: String,
        /// Why not.
        source: io::Error,
    },
    /// There is no way to the kernel.
    #[error("failed to open a netlink socket")]
    Socket(#[source] io::Error),
    /// There is no namespace any more.
    #[error(transparent)]
    Namespace(#[from] namespace::Error),
}

/// The devices of both namespaces.
pub(super) struct Devices {
    host: Handle,
    own: Handle,
    /// Names our namespace to the kernel.
    raw: std::os::fd::RawFd,
}

impl Devices {
    pub(super) async fn open(namespace: &Namespace) -> Result<Self, Error> {
        // It belongs to the namespace of the thread that makes it: this one's is the host's.
        let (connection, host, _) = rtnetlink::new_connection().map_err(Error::Socket)?;
        tokio::spawn(connection);
        let own = namespace.netlink().await?.map_err(Error::Socket)?;
        let raw = namespace.raw();
        Ok(Self { host, own, raw })
    }

    /// Where there is a device of this name.
    pub(super) async fn find(&self, device: &str) -> Result<Place, Error> {
        Ok(Place {
            ours: find(&self.own, device).await?,
            host: find(&self.host, device).await?,
        })
    }

    /// Takes a device of the host's into our namespace, where it is down at first.
    pub(super) async fn take(&self, device: &str, take: Take) -> Result<(), Error> {
        if let Some(dead) = take.instead_of {
            let gone = self.own.link().del(dead).execute().await;
            gone.map_err(|error| failed("remove the dead", device, error))?;
        }
        let message = LinkUnspec::new_with_index(take.index)
            .setns_by_fd(self.raw)
            .build();
        let taken = self.host.link().set(message).execute().await;
        taken.map_err(|error| failed("take", device, error))
    }

    /// Makes a device of ours ready to be listened on. Can be repeated.
    pub(super) async fn set_up(&self, device: &str, index: u32, mac: Mac) -> Result<(), Error> {
        let link = self.own.link();
        let down = LinkUnspec::new_with_index(index)
            .down()
            .mtu(MTU)
            .address(mac.bytes().to_vec())
            .append_extra_attribute(settings());
        let set = link.set(down.build()).execute().await;
        set.map_err(|error| failed("set up", device, error))?;
        let up = LinkUnspec::new_with_index(index).up();
        let set = link.set(up.build()).execute().await;
        set.map_err(|error| failed("enable", device, error))?;

        let address = self.own.address().add(index, IpAddr::V4(ADDRESS), 32);
        let added = address.replace().execute().await;
        added.map_err(|error| failed("give an address to", device, error))?;
        // Metrics keep the routes apart: connections choose theirs by the device that they are bound to.
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(index)
            .priority(index)
            .scope(RouteScope::Link)
            .build();
        let added = self.own.route().add(route).replace().execute().await;
        added.map_err(|error| failed("add a route by", device, error))
    }

    /// Sees to it that answers to these addresses go to these MACs, whatever ARP says, and to others no longer.
    pub(super) async fn neighbours(
        &self,
        device: &str,
        index: u32,
        (present, wanted): (&BTreeMap<Ipv4Addr, Mac>, &BTreeMap<Ipv4Addr, Mac>),
    ) -> Result<(), Error> {
        let neighbours = self.own.neighbours();
        for address in present
            .keys()
            .filter(|address| !wanted.contains_key(address))
        {
            let gone = neighbours.del(neighbour(index, *address)).execute().await;
            match gone {
                Err(error) if !is_gone(&error) => {
                    return Err(failed("forget a neighbour of", device, error));
                }
                _ => {}
            }
        }
        for (address, mac) in wanted {
            if present.get(address) == Some(mac) {
                continue;
            }
            let add = neighbours.add(index, IpAddr::V4(*address));
            let added = add.link_layer_address(&mac.bytes()).replace().execute();
            added
                .await
                .map_err(|error| failed("tell a neighbour to", device, error))?;
        }
        Ok(())
    }
}

fn settings() -> LinkAttribute {
    let value = IPV4_SETTINGS.iter().flat_map(|(kind, value)| {
        // An attribute of its own: its length, its kind, its value.
        let head = [8_u16.to_ne_bytes(), kind.to_ne_bytes()].concat();
        [head, value.to_ne_bytes().to_vec()].concat()
    });
    let conf = DefaultNla::new(INET_CONF | NLA_F_NESTED, value.collect());
    let inet = AfSpecUnspec::Inet(vec![AfSpecInet::Other(conf)]);
    LinkAttribute::AfSpecUnspec(vec![inet])
}

fn neighbour(index: u32, address: Ipv4Addr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = index;
    let address = NeighbourAddress::Inet(address);
    message
        .attributes
        .push(NeighbourAttribute::Destination(address));
    message
}

async fn find(handle: &Handle, device: &str) -> Result<Option<u32>, Error> {
    let request = handle.link().get().match_name(device);
    let mut links = request.execute();
    match links.try_next().await {
        Ok(link) => Ok(link.map(|link: LinkMessage| link.header.index)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(failed("look for", device, error)),
    }
}

/// Whether the kernel says that there is no such thing.
fn is_gone(error: &rtnetlink::Error) -> bool {
    let code = match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io().raw_os_error(),
        _ => None,
    };
    let gone = [rustix::io::Errno::NODEV, rustix::io::Errno::NOENT];
    code.is_some_and(|code| gone.iter().any(|errno| errno.raw_os_error() == code))
}

fn failed(operation: &'static str, device: &str, error: rtnetlink::Error) -> Error {
    let source = match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    };
    Error::Netlink {
        operation,
        device: device.to_owned(),
        source,
    }
}

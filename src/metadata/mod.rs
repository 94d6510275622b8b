//! The metadata service of one node: answers its own guests at 169.254.169.254, as EC2 and OpenStack do.
//!
//! ```text
//!   guest ══ br-int ══ md-…  ┐ a network namespace of its own: one device for each network, each with the same address
//!   guest ══ br-int ══ md-…  ┘
//!                       │ connections: (which device, which source address) is which guest
//!   Guest, seed Secret ─┴─► answers
//! ```
//!
//! Who asks is told by where the request comes from, which guests cannot choose: the device says the network, OVN lets a
//! port send from its own addresses only, and answers go to that port's MAC address only. It is never told by anything in
//! the request.
//!
//! This process may change the host's network, and speaks to whoever is in a guest: it is therefore not the agent, has
//! no way to libvirt or to guests' disks, and must never write anything but its own ports in the node's switch. Nothing
//! of the host listens in the namespace, nothing is forwarded, and no device of it is ever up in the host's own.

pub mod metrics;
pub mod namespace;
pub mod plan;
pub mod run;
pub mod seeds;
pub mod server;
pub mod switch;
pub mod token;

mod devices;

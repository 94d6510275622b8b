//! Real clusters on one machine, for tests and for trying Kilonova out.
//!
//! [`Testbed`] is the way in: a control plane (etcd, kube-apiserver, kube-controller-manager, kube-scheduler; OVN's
//! databases), nodes (namespaces that look like hosts, each with its own libvirtd and Open vSwitch, and a kubelet if it
//! shall run pods), and Kilonova: by its chart in pods, or its binary as processes.
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! use testbed::{GuestImage, Testbed, unique_name};
//!
//! let testbed = Testbed::builder(unique_name("doc")).nodes(2).guarded().up().await?;
//! let domains = testbed.node("n1")?.exec(["virsh", "list", "--all"]).await?;
//! testbed.part("kube-apiserver")?.kill9().await?;
//! testbed.part("kube-apiserver")?.start().await?;
//! let image = testbed.image(GuestImage::Tiny).await?;
//! println!("{domains} {}", image.url);
//! testbed.down().await
//! # }
//! ```
//!
//! Everything of a testbed is on this machine, and everything of it that the machine has only once (addresses, link
//! names, folders) follows from its slot or its name: testbeds run side by side. Never ends a process, or removes
//! anything, that no testbed has made.

pub mod bench;
pub mod examples;
pub mod guardian;
pub mod prepare;
pub mod teardown;
mod testbed;

mod addons;
pub mod audit;
mod cluster;
pub mod container;
mod control_plane;
pub mod guest_console;
mod image_server;
pub mod images;
mod kilonova;
mod node;

mod packages;
pub mod programs;

mod interrupt;
pub mod layout;
mod lock;
mod network;
pub mod outside;
mod ovn;
mod part;
mod process;
mod record;
mod slot;

mod command;
pub mod progress;
pub mod wait;

pub use cluster::Cluster;
pub use guest_console::GuestConsole;
pub use image_server::ServedImage;
pub use kilonova::SYSTEM_NAMESPACE;
pub use kilonova::release::{Helm, Release, chart};
pub use kilonova::running::{Pod, Program};
pub use node::Node;
pub use outside::Outside;
pub use ovn::Ovn;
pub use part::Part;
pub use process::ProcessId;
pub use progress::Progress;
pub use testbed::{Builder, GuestImage, Testbed, unique_name};
pub use wait::{Seen, wait_for};

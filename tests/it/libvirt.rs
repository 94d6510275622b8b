//! The agent's hypervisor driver on a real libvirtd: what is tried, and where.

mod exercise;
mod nics;
mod node;

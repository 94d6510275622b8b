#![doc = include_str!("ARCHITECTURE.md")]

pub mod api;
pub mod cli;
pub mod cluster;
pub mod compute;
pub mod metadata;
pub mod network;
pub mod node;
pub mod ovn;
pub mod ovsdb;

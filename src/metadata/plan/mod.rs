//! Decides who asks, what is answered, and which ports and devices there shall be. Pure.

pub mod answer;
pub mod ec2;
pub mod instance;
pub mod openstack;
pub mod ports;
pub mod residents;
pub mod tree;

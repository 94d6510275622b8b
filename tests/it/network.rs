//! Networks with OVN's own central parts: what the realiser writes, and what northd makes of it. Needs no root and no nodes:
//! what a node would do with a packet is asked of ovn-trace, or of a switch whose devices are in its memory.

use kilonova::{api, network};

mod central;
mod cloud;

mod flows;
mod realiser;
mod traces;

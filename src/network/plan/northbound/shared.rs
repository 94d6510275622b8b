//! Topologies that tests inside and outside of the crate share.

use crate::{api, network};

#[allow(dead_code, reason = "what only others use")]
#[path = "../../../../tests/it/network/cloud.rs"]
pub mod cloud;

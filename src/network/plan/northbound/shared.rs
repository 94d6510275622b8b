//! Topologies that tests inside and outside of the crate share.

use crate::{api, network};

#[path = "../../../../tests/it/network/cloud.rs"]
pub mod cloud;

//! Limits of bandwidth.

use std::collections::BTreeMap;

use crate::api::port::Bandwidth;
use crate::network::plan::northbound::desired::{Builder, reference};
use crate::network::plan::northbound::tables::Kind;
use crate::network::plan::topology::Switch;
use crate::ovsdb::northbound::Qos;

use super::{Hung, on_switch};

/// Any will do: no other limits are on the switch.
const PRIORITY: i64 = 2002;

/// One row for each direction that is limited.
pub fn rows(uid: &str, switch: &Switch, hung: &mut Hung, builder: &mut Builder) {
    for (port_uid, port) in &switch.ports {
        let Some(qos) = &port.qos else {
            continue;
        };
        for (way, direction, side, limit) in [
            ("in", "to-lport", "outport", &qos.ingress),
            ("out", "from-lport", "inport", &qos.egress),
        ] {
            let Some(limit) = limit else {
                continue;
            };
            let key = format!("limit/{port_uid}/{way}");
            hung.limits.insert(reference(key.as_str()));
            let row = Qos {
                priority: PRIORITY,
                direction: direction.to_owned(),
                condition: format!("{side} == \"{port_uid}\""),
                bandwidth: bandwidth(limit),
                ..Qos::default()
            };
            builder.add(Kind::Qos, key, &port.origin, Some(on_switch(uid)), &row);
        }
    }
}

fn bandwidth(limit: &Bandwidth) -> BTreeMap<String, i64> {
    let default = (u64::from(limit.max_kbps) * 8 / 10).max(1);
    let burst = limit.max_burst_kbits.map_or(default, u64::from);
    BTreeMap::from([
        ("rate".to_owned(), i64::from(limit.max_kbps)),
        ("burst".to_owned(), i64::try_from(burst).unwrap_or(i64::MAX)),
    ])
}

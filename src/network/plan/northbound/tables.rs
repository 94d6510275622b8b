//! The tables that we write, and what of them is ours.

use crate::ovsdb::{Row, Table};

/// A table that we write. Their order is the one in which rows are inserted: whoever is referred to comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What DHCP tells.
    DhcpOptions,
    /// Names.
    Dns,
    /// Addresses that rules can name.
    AddressSet,
    /// How members of balancers are watched.
    HealthCheck,
    /// Virtual addresses.
    Balancer,
    /// Rules.
    Acl,
    /// Limits of bandwidth.
    Qos,
    /// Ports of switches.
    SwitchPort,
    /// Ports that share rules.
    PortGroup,
    /// Nodes that a router's port may be on.
    GatewayChassis,
    /// Routes.
    Route,
    /// Translations of addresses.
    Nat,
    /// Ports of routers.
    RouterPort,
    /// Routers.
    Router,
    /// Switches.
    Switch,
}

/// A column that refers to other rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The column.
    pub column: &'static str,
    /// The table that it refers to.
    pub target: Kind,
    /// Whether the rows that it refers to live by it.
    pub holds: bool,
    /// Whether what somebody else put there stays. What has no name of its own, such as a rule, is a setting of ours; a
    /// port, or a load balancer, that an administrator adds is not.
    pub keeps_foreign: bool,
    /// Whether the row is not what its object wants without them. Others take in what comes to them, and are what they should
    /// be before: a switch waits for no port.
    pub needs: bool,
}

/// All of them.
pub const KINDS: [Kind; 15] = [
    Kind::DhcpOptions,
    Kind::Dns,
    Kind::AddressSet,
    Kind::HealthCheck,
    Kind::Balancer,
    Kind::Acl,
    Kind::Qos,
    Kind::SwitchPort,
    Kind::PortGroup,
    Kind::GatewayChassis,
    Kind::Route,
    Kind::Nat,
    Kind::RouterPort,
    Kind::Router,
    Kind::Switch,
];

const fn held(column: &'static str, target: Kind) -> Link {
    Link {
        column,
        target,
        holds: true,
        keeps_foreign: false,
        needs: false,
    }
}

const fn named(column: &'static str, target: Kind) -> Link {
    Link {
        column,
        target,
        holds: false,
        keeps_foreign: false,
        needs: false,
    }
}

const fn needed(link: Link) -> Link {
    Link {
        needs: true,
        ..link
    }
}

const fn shared(link: Link) -> Link {
    Link {
        keeps_foreign: true,
        ..link
    }
}

/// Does the same with whichever table it is.
macro_rules! with_table {
    ($kind:expr, $table:ident => $does:expr) => {
        with_table!(@match $kind, $table, $does,
            DhcpOptions = DhcpOptions, Dns = Dns, AddressSet = AddressSet, HealthCheck = LoadBalancerHealthCheck,
            Balancer = LoadBalancer, Acl = Acl, Qos = Qos, SwitchPort = LogicalSwitchPort, PortGroup = PortGroup,
            GatewayChassis = GatewayChassis, Route = LogicalRouterStaticRoute, Nat = Nat,
            RouterPort = LogicalRouterPort, Router = LogicalRouter, Switch = LogicalSwitch)
    };
    (@match $kind:expr, $table:ident, $does:expr, $($name:ident = $type:ident),*) => {
        match $kind {
            $(Kind::$name => {
                type $table = $crate::ovsdb::northbound::$type;
                $does
            })*
        }
    };
}

pub(super) use with_table;

impl Kind {
    /// What the database calls it.
    pub fn name(self) -> &'static str {
        with_table!(self, T => T::NAME)
    }

    /// What a row holds that was never written.
    pub fn blank(self) -> Row {
        with_table!(self, T => T::default().to_row())
    }

    /// The columns that are ours: all that we know, but for those that OVN writes and those that are left to
    /// administrators.
    pub fn columns(self) -> impl Iterator<Item = &'static str> {
        let columns: &'static [&'static str] = with_table!(self, T => T::COLUMNS);
        let others = self.columns_of_others();
        columns
            .iter()
            .copied()
            .filter(move |column| !others.contains(column))
    }

    fn columns_of_others(self) -> &'static [&'static str] {
        match self {
            Kind::SwitchPort => &["up"],
            Kind::Switch => &["acls"],
            Kind::Acl => &["log", "severity", "meter"],
            Kind::Router => &["policies"],
            Kind::Route => &["bfd"],
            _ => &[],
        }
    }

    /// The columns that refer to other rows.
    pub fn links(self) -> &'static [Link] {
        const SWITCH: &[Link] = &[
            shared(held("ports", Kind::SwitchPort)),
            held("qos_rules", Kind::Qos),
            shared(named("load_balancer", Kind::Balancer)),
            named("dns_records", Kind::Dns),
        ];
        const PORT: &[Link] = &[
            needed(named("dhcpv4_options", Kind::DhcpOptions)),
            needed(named("dhcpv6_options", Kind::DhcpOptions)),
        ];
        const GROUP: &[Link] = &[held("acls", Kind::Acl), named("ports", Kind::SwitchPort)];
        const BALANCER: &[Link] = &[held("health_check", Kind::HealthCheck)];
        const ROUTER: &[Link] = &[
            shared(held("ports", Kind::RouterPort)),
            held("static_routes", Kind::Route),
            held("nat", Kind::Nat),
            shared(named("load_balancer", Kind::Balancer)),
        ];
        const ROUTER_PORT: &[Link] = &[held("gateway_chassis", Kind::GatewayChassis)];
        match self {
            Kind::Switch => SWITCH,
            Kind::SwitchPort => PORT,
            Kind::PortGroup => GROUP,
            Kind::Balancer => BALANCER,
            Kind::Router => ROUTER,
            Kind::RouterPort => ROUTER_PORT,
            _ => &[],
        }
    }

    /// Whether its rows live without another that refers to them.
    pub fn is_root(self) -> bool {
        !KINDS
            .iter()
            .flat_map(|kind| kind.links())
            .any(|link| link.holds && link.target == self)
    }

    /// The column with a name that holds a UID of ours, so that a row which has lost its marks is known again.
    pub fn name_column(self) -> Option<&'static str> {
        match self {
            Kind::Switch
            | Kind::SwitchPort
            | Kind::PortGroup
            | Kind::AddressSet
            | Kind::Balancer
            | Kind::Router
            | Kind::RouterPort
            | Kind::GatewayChassis => Some("name"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_referred_to_comes_first() {
        for kind in KINDS {
            for link in kind.links() {
                assert!(link.target < kind, "{kind:?}.{}", link.column);
                assert!(kind.columns().any(|column| column == link.column));
            }
        }
        let mut sorted = KINDS;
        sorted.sort_unstable();
        assert_eq!(sorted, KINDS);
    }

    #[test]
    fn every_row_says_whose_it_is() {
        for kind in KINDS {
            assert!(kind.columns().any(|column| column == "external_ids"));
            let blank = kind.blank();
            assert!(kind.columns().all(|column| blank.get(column).is_some()));
        }
    }
}

//! Security groups beside the others, and the one that every project has that needs it.

use crate::api::security_group::{
    DEFAULT, Direction, Family, SecurityGroup, SecurityGroupSpec, SecurityRule,
};

use super::{
    cloud::{home, leaving, uid},
    problem::Problem,
    topology::{Group, Peer, Rule},
    world::{Seen, World},
};

/// What is found of a security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFinding {
    /// As of any object.
    pub seen: Seen,
    /// How many rules hold.
    pub rules: u32,
    /// How many ports have it.
    pub ports: u32,
}

/// Looks at a group.
pub fn look(world: &mut World<'_>, group: &SecurityGroup) -> (GroupFinding, Group) {
    let mut seen = Seen::of("SecurityGroup", group);
    let mut rules = Vec::new();
    for (index, rule) in group.spec.rules.iter().enumerate() {
        let peer = match (&rule.group, rule.cidr) {
            (Some(named), _) => {
                let Some(peer) = world.cloud.groups.get(home(group), named) else {
                    let group = named.clone();
                    seen.problems.push(Problem::RuleGroup { index, group });
                    continue;
                };
                // Groups that name each other could never go if each waited for the other.
                if uid(peer) != uid(group) && !leaving(group) {
                    world.users.note(peer, group);
                }
                Peer::Group(uid(peer).to_owned())
            }
            (None, Some(cidr)) => Peer::Prefix(cidr),
            (None, None) => Peer::Anybody,
        };
        rules.push(Rule {
            direction: rule.direction,
            family: rule.family,
            protocol: rule.protocol,
            ports: rule.ports,
            icmp: rule.icmp,
            peer,
        });
    }
    rules.sort();
    rules.dedup();
    seen.made = true;
    let made = Group {
        origin: seen.origin.clone(),
        stateful: group.spec.stateful,
        rules,
    };
    let finding = GroupFinding {
        seen,
        rules: u32::try_from(made.rules.len()).unwrap_or(u32::MAX),
        ports: 0,
    };
    (finding, made)
}

/// The group that ports have which name none: everything may go out, and the group's own ports may come in.
pub fn default_of(project: &str) -> SecurityGroup {
    let rule = |direction, family, group: Option<&str>| SecurityRule {
        description: None,
        direction,
        family: Some(family),
        protocol: None,
        ports: None,
        icmp: None,
        cidr: None,
        group: group.map(str::to_owned),
    };
    let families = [Family::Ipv4, Family::Ipv6];
    let out = families.map(|family| rule(Direction::Egress, family, None));
    let among = families.map(|family| rule(Direction::Ingress, family, Some(DEFAULT)));
    let spec = SecurityGroupSpec {
        description: Some(
            "For ports that name no security group: everything may go out, and these ports reach each other. Made by \
             Kilonova when the first such port was; yours to change."
                .to_owned(),
        ),
        stateful: true,
        rules: out.into_iter().chain(among).collect(),
    };
    let mut group = SecurityGroup::new(DEFAULT, spec);
    group.metadata.namespace = Some(project.to_owned());
    group
}

//! Static routes, and whether those of several routers lead a packet in a circle.
//!
//! A packet follows, at each router, the longest prefix that it knows. Whatever prefix any route has is one kind of packet
//! to follow; where a router has that prefix in a network of its own, or knows no way, the packet's journey ends.

use std::{collections::BTreeMap, net::IpAddr};

use crate::api::{address::Cidr, subnet::Route};

use crate::network::plan::{
    cloud::{age, full, home},
    problem::Problem,
    topology::Uid,
};

use super::Draft;

/// A router, as packets see it.
struct Node {
    connected: Vec<Cidr>,
    routes: Vec<(Cidr, Option<usize>)>,
}

/// All routers.
struct Graph {
    nodes: Vec<Node>,
    /// Who has an address of a network.
    at: BTreeMap<(Uid, IpAddr), usize>,
}

/// Decides which routes hold. Those that held before do so first, then those of older routers: a route that closes a
/// circle is left out, and not those that were there.
pub fn decide(drafts: &mut [Draft<'_>]) {
    let mut graph = Graph::of(drafts);
    let mut wanted = Vec::new();
    for (at, draft) in drafts.iter().enumerate() {
        let held = draft
            .object
            .status
            .as_ref()
            .map_or(&[][..], |status| &status.routes);
        for (index, route) in draft.object.spec.routes.iter().enumerate() {
            wanted.push((!held.contains(route), age(draft.object), index, at, route));
        }
    }
    wanted.sort_by(|one, other| (one.0, one.1, one.2).cmp(&(other.0, other.1, other.2)));
    let mut verdicts = Vec::new();
    for (.., index, at, route) in wanted {
        verdicts.push((at, index, graph.admit(drafts, at, route), route.clone()));
    }
    verdicts.sort_by_key(|(at, index, ..)| (*at, *index));
    for (at, _, verdict, route) in verdicts {
        let finding = &mut drafts[at].finding;
        match verdict {
            Ok(()) if finding.routes.contains(&route) => {}
            Ok(()) => finding.routes.push(route),
            Err(problem) => finding.seen.problems.push(problem),
        }
    }
}

impl Graph {
    fn of(drafts: &[Draft<'_>]) -> Self {
        let mut at = BTreeMap::new();
        for (index, draft) in drafts.iter().enumerate() {
            let outside = draft.gateway.iter().map(|gateway| &gateway.interface);
            for interface in draft.interfaces.iter().chain(outside) {
                for (_, ip) in &interface.addresses {
                    at.insert((interface.switch.clone(), *ip), index);
                }
            }
        }
        let node = |draft: &Draft<'_>| Node {
            connected: draft.connected.iter().map(|(cidr, ..)| *cidr).collect(),
            routes: Vec::new(),
        };
        let nodes = drafts.iter().map(node).collect();
        Self { nodes, at }
    }

    /// Takes the route, or says why not.
    fn admit(&mut self, drafts: &[Draft<'_>], at: usize, route: &Route) -> Result<(), Problem> {
        let (to, via) = (route.to, route.via);
        if to.is_ipv6() != via.is_ipv6() {
            return Err(Problem::NextHopFamily { to, via });
        }
        let connected = drafts[at].connected.iter();
        let mut here = connected.filter(|(cidr, ..)| cidr.contains(via));
        let Some((_, switch, _)) = here.next() else {
            return Err(Problem::NextHopApart { to, via });
        };
        let next = self.at.get(&(switch.clone(), via)).copied();
        if next == Some(at) {
            return Err(Problem::NextHopSelf { to, via });
        }
        self.nodes[at].routes.push((to, next));
        if next.is_none() {
            return Ok(());
        }
        let kinds: Vec<Cidr> = self
            .nodes
            .iter()
            .flat_map(|node| &node.routes)
            .map(|(known, _)| *known)
            .filter(|known| holds(to, *known))
            .collect();
        let circle = kinds.into_iter().find_map(|kind| self.circle(at, kind));
        let Some(circle) = circle else {
            return Ok(());
        };
        self.nodes[at].routes.pop();
        let own = home(drafts[at].object);
        let called = |node: &usize| match drafts[*node].object {
            router if home(router) == own => full(router),
            _ => "a router of another project".to_owned(),
        };
        let path = circle.iter().map(called).collect::<Vec<_>>().join(" → ");
        Err(Problem::Circle { to, path })
    }

    /// The way of such a packet that comes to `start`, if it comes there again.
    fn circle(&self, start: usize, kind: Cidr) -> Option<Vec<usize>> {
        let mut done = vec![false; self.nodes.len()];
        let mut path = vec![start];
        self.follow(kind, &mut path, &mut done).then_some(path)
    }

    fn follow(&self, kind: Cidr, path: &mut Vec<usize>, done: &mut [bool]) -> bool {
        let Some(at) = path.last().copied() else {
            return false;
        };
        for next in self.next(at, kind) {
            if path.contains(&next) {
                path.push(next);
                return true;
            }
            if done[next] {
                continue;
            }
            path.push(next);
            if self.follow(kind, path, done) {
                return true;
            }
            path.pop();
        }
        done[at] = true;
        false
    }

    /// The routers that such a packet may go to next.
    fn next(&self, at: usize, kind: Cidr) -> impl Iterator<Item = usize> {
        let node = &self.nodes[at];
        let length = |cidr: &Cidr| cidr.net().prefix_len();
        let local = node
            .connected
            .iter()
            .filter(|cidr| holds(**cidr, kind))
            .map(length)
            .max();
        let known = node
            .routes
            .iter()
            .filter(move |(cidr, _)| holds(*cidr, kind));
        let longest = known.clone().map(|(cidr, _)| length(cidr)).max();
        let routed = longest > local;
        known
            .filter(move |(cidr, _)| routed && Some(length(cidr)) == longest)
            .filter_map(|(_, next)| *next)
    }
}

fn holds(wide: Cidr, narrow: Cidr) -> bool {
    wide.net().contains(&narrow.net())
}

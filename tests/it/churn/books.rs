//! What holds of every cloud that has come to rest, by objects and rows alone, without asking the operator's plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use kilonova::api::address::Cidr;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;

use super::projects::{called, kind};
use super::rows::Rows;

/// An address that some object's status has: of which subnet, by project and name.
struct Held<'a> {
    subnet: (String, String),
    ip: IpAddr,
    by: &'a DynamicObject,
}

/// The objects, by kind, project and name.
pub struct Books<'a> {
    all: BTreeMap<(&'a str, String, String), &'a DynamicObject>,
}

impl<'a> Books<'a> {
    /// Of these objects.
    pub fn of(objects: &'a [DynamicObject]) -> Self {
        let key = |object: &'a DynamicObject| {
            let namespace = object.namespace().unwrap_or_default();
            (kind(object), namespace, object.name_any())
        };
        let all = objects.iter().map(|object| (key(object), object));
        Self { all: all.collect() }
    }

    /// Everything that is not as it has to be.
    pub fn faults(&self, rows: &Rows, before: &Rows) -> Vec<String> {
        let mut faults = Vec::new();
        for object in self.all.values() {
            let reason = self.fault_of(object, rows);
            faults.extend(reason.map(|reason| format!("{}: {reason}", called(object))));
        }
        faults.extend(self.faults_of_addresses());
        faults.extend(self.faults_of_rows(rows, before));
        faults
    }

    fn get(
        &self,
        kind: &'static str,
        (project, name): &(String, String),
    ) -> Option<&'a DynamicObject> {
        self.all
            .get(&(kind, project.clone(), name.clone()))
            .copied()
    }

    fn by_uid(&self, uid: &str) -> Option<&'a DynamicObject> {
        self.all
            .values()
            .find(|object| object.uid().as_deref() == Some(uid))
            .copied()
    }

    /// Each object is looked at, has nothing under way, and what it can have.
    fn fault_of(&self, object: &DynamicObject, rows: &Rows) -> Option<String> {
        let status = &object.data["status"];
        if kind(object) == "Server" || is_leaving(object) {
            return None;
        }
        if status["observedGeneration"].as_i64() != object.metadata.generation {
            return Some(format!("its status is of another spec: {status}"));
        }
        for condition in status["conditions"].as_array().into_iter().flatten() {
            let said = [&condition["type"], &condition["reason"]]
                .map(|word| word.as_str().unwrap_or_default());
            if let ["Realised", "Pending" | "NoDatabase" | "Failed"]
            | ["Allocated", "NotAllocated"]
            | ["Ready", "OperatorFailed"] = said
            {
                return Some(condition["message"].to_string());
            }
        }
        if has_to_be_made(object) && !is_made(object) {
            return Some(format!("it can be made, and is not: {status}"));
        }
        // The rows of one that leads to a load balancer are that one's.
        let leads_on = !object.data["spec"]["loadBalancer"].is_null();
        let uid = object.uid().unwrap_or_default();
        let has_rows = kind(object) != "Subnet" && !leads_on;
        if is_made(object) && has_rows && !rows.marked.contains_key(&uid) {
            return Some("OVN has no row of it, and it says that it has".to_owned());
        }
        (self.has_to_have_address(object) && addresses(object).is_empty())
            .then(|| format!("it can have an address, and has none: {status}"))
    }

    /// Whoever wants any address where one is free.
    fn has_to_have_address(&self, object: &DynamicObject) -> bool {
        let spec = &object.data["spec"];
        let own = |name: &Value| {
            Some((
                object.namespace().unwrap_or_default(),
                name.as_str()?.to_owned(),
            ))
        };
        match kind(object) {
            "Port" | "FloatingIP" => {
                let wishes = !spec["addresses"].is_null() || !spec["mac"].is_null();
                let network = reference(object, &spec["network"]);
                !wishes && self.is_open(object, &network) && self.has_room(&network)
            }
            "LoadBalancer" => own(&spec["subnet"]).is_some_and(|subnet| self.gives(&subnet)),
            _ => false,
        }
    }

    /// Whether a network takes somebody new, as far as it is not full.
    fn is_open(&self, asker: &DynamicObject, network: &(String, String)) -> bool {
        let Some(found) = self.get("Network", network) else {
            return false;
        };
        let spec = &found.data["spec"];
        let home = asker.namespace().unwrap_or_default();
        let with = spec["sharedWith"].as_array().into_iter().flatten();
        let is_shared = with
            .filter_map(Value::as_str)
            .any(|with| with == "*" || with == home);
        let fits = kind(asker) == "Port" || spec["external"] == true;
        fits && !is_leaving(found) && holds(found, "Realised") && (network.0 == home || is_shared)
    }

    fn has_room(&self, network: &(String, String)) -> bool {
        let subnets = self.all.iter().filter(|((kind, project, _), subnet)| {
            *kind == "Subnet"
                && *project == network.0
                && subnet.data["spec"]["network"] == network.1.as_str()
        });
        let mut open = subnets.filter(|(_, subnet)| !is_leaving(subnet)).peekable();
        // Of each family there has to be one.
        open.peek().is_some()
            && open.all(|((_, project, name), _)| self.gives(&(project.clone(), name.clone())))
    }

    fn gives(&self, subnet: &(String, String)) -> bool {
        self.get("Subnet", subnet).is_some_and(|subnet| {
            let network = (
                subnet.namespace().unwrap_or_default(),
                text(&subnet.data["spec"]["network"]),
            );
            let network = self.get("Network", &network);
            let is_free = subnet.data["status"]["free"]
                .as_str()
                .is_some_and(|free| free != "0");
            is_free
                && holds(subnet, "Accepted")
                && !is_leaving(subnet)
                && network.is_some_and(|net| !is_leaving(net))
        })
    }

    /// Every address is of a subnet that is there, and one object's; every MAC address is one port's of a network.
    fn faults_of_addresses(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut owners: BTreeMap<((String, String), IpAddr), String> = BTreeMap::new();
        for held in self.all.values().flat_map(|object| self.held(object)) {
            let (by, ip) = (called(held.by), held.ip);
            let subnet = self.get("Subnet", &held.subnet);
            let cidr =
                subnet.and_then(|subnet| text(&subnet.data["spec"]["cidr"]).parse::<Cidr>().ok());
            if !cidr.is_some_and(|cidr| cidr.contains(ip)) {
                faults.push(format!(
                    "{by} has {ip} of subnet {:?}, which is {cidr:?}",
                    held.subnet
                ));
            }
            if let Some(other) = owners.insert((held.subnet, ip), by.clone()) {
                faults.push(format!("{by} and {other} have both {ip}"));
            }
        }
        let mut macs: BTreeMap<(String, String), String> = BTreeMap::new();
        for port in self.all.values().filter(|object| kind(object) == "Port") {
            let [network, mac] = ["network", "mac"].map(|field| text(&port.data["status"][field]));
            if !network.is_empty() && self.by_uid(&network).is_none() {
                faults.push(format!("{} is on a network that is gone", called(port)));
            }
            if mac.is_empty() {
                continue;
            }
            if let Some(other) = macs.insert((network, mac), called(port)) {
                faults.push(format!("{} and {other} have one MAC address", called(port)));
            }
        }
        faults
    }

    /// The addresses that an object's status has.
    fn held(&self, object: &'a DynamicObject) -> Vec<Held<'a>> {
        let (spec, status) = (&object.data["spec"], &object.data["status"]);
        let home = object.namespace().unwrap_or_default();
        let there = reference(object, &spec["network"]).0;
        let gateway = self.by_uid(&text(&status["gateway"]["network"]));
        let out = gateway.and_then(ResourceExt::namespace).unwrap_or_default();
        let parts = match kind(object) {
            "Port" | "FloatingIP" => vec![(there, addresses(object))],
            "LoadBalancer" => vec![
                (home.clone(), addresses(object)),
                (home, list(&status["monitors"])),
            ],
            "Router" => vec![
                (out, list(&status["gateway"]["addresses"])),
                (home, list(&status["interfaces"])),
            ],
            _ => Vec::new(),
        };
        let held = parts.into_iter().flat_map(|(project, addresses)| {
            addresses.into_iter().map(move |address| {
                let label = text(&address["subnet"]);
                let subnet = match label.split_once('/') {
                    Some((project, name)) => (project.to_owned(), name.to_owned()),
                    None => (project.clone(), label),
                };
                let ip = text(&address["ip"])
                    .parse()
                    .expect("the schema wants an address");
                Held {
                    subnet,
                    ip,
                    by: object,
                }
            })
        });
        held.collect()
    }

    /// Every row of ours is of an object that is there, and no other came or went.
    fn faults_of_rows(&self, rows: &Rows, before: &Rows) -> Vec<String> {
        let uids: BTreeSet<String> = self
            .all
            .values()
            .filter_map(|object| object.uid())
            .collect();
        let marked = rows.marked.iter().filter(|(uid, _)| !uids.contains(*uid));
        let mut faults: Vec<String> = marked
            .map(|(uid, tables)| format!("rows of {uid}, which is gone: {tables:?}"))
            .collect();
        if rows.unmarked != before.unmarked {
            faults.push(format!(
                "rows without a mark: {:?}, and {:?} before",
                rows.unmarked, before.unmarked
            ));
        }
        let count = |table| rows.northbound.get(table).copied().unwrap_or(0);
        let datapaths = rows
            .southbound
            .get("Datapath_Binding")
            .copied()
            .unwrap_or(0);
        if datapaths != count("Logical_Switch") + count("Logical_Router") {
            faults.push(format!("{datapaths} datapaths for {:?}", rows.northbound));
        }
        faults
    }
}

fn is_leaving(object: &DynamicObject) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

fn condition<'a>(object: &'a DynamicObject, name: &str) -> Option<&'a Value> {
    let conditions = object.data["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.find(|condition| condition["type"] == name)
}

fn holds(object: &DynamicObject, name: &str) -> bool {
    condition(object, name).is_some_and(|condition| condition["status"] == "True")
}

fn reason<'a>(object: &'a DynamicObject, name: &str) -> Option<&'a str> {
    condition(object, name)?["reason"].as_str()
}

/// What needs nobody, or nobody who is not there.
fn has_to_be_made(object: &DynamicObject) -> bool {
    match kind(object) {
        "Router" | "SecurityGroup" => true,
        "Network" => object.data["spec"]["provider"].is_null(),
        "Port" => !object.data["status"]["mac"].is_null(),
        _ => false,
    }
}

/// Whether it says that OVN has it.
fn is_made(object: &DynamicObject) -> bool {
    holds(object, "Realised") || reason(object, "Realised") == Some("NotBound")
}

/// The addresses of its own.
fn addresses(object: &DynamicObject) -> Vec<Value> {
    let status = &object.data["status"];
    let one = [&status["address"]]
        .into_iter()
        .filter(|one| !one.is_null())
        .cloned();
    one.chain(list(&status["addresses"])).collect()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What a reference means: project and name.
fn reference(by: &DynamicObject, value: &Value) -> (String, String) {
    let value = text(value);
    match value.split_once('/') {
        Some((project, name)) => (project.to_owned(), name.to_owned()),
        None => (by.namespace().unwrap_or_default(), value),
    }
}

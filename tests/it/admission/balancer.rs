//! `LoadBalancer`: its listeners, pools and members, and algorithms that OVN has not.

use serde_json::{Value, json};

use super::desk::{Desk, object, with};

/// A valid load balancer, changed.
pub fn balancer(change: Value) -> Value {
    let valid = json!({
        "subnet": "front-v4",
        "listeners": [{"name": "http", "protocol": "Tcp", "port": 80, "pool": "web"}],
        "pools": [{"name": "web"}],
    });
    object("LoadBalancer", with(valid, change))
}

fn pool(change: Value) -> Value {
    json!({"pools": [with(json!({"name": "web"}), change)]})
}

#[tokio::test]
async fn what_a_load_balancer_may_ask_for_is_taken() {
    let desk = Desk::open().await;
    let made = desk.accepts(&balancer(json!({}))).await;
    assert_eq!(made["spec"]["pools"][0]["algorithm"], "SourceIpPort");
    for change in [
        json!({"address": "10.0.0.9"}),
        pool(json!({"algorithm": "SourceIp"})),
        pool(
            json!({"members": [{"server": "a", "port": 80}, {"portName": "b", "port": 1}, {"address": "::1", "port": 2}]}),
        ),
        pool(json!({"healthCheck": {"interval": "10s", "timeout": "1m", "rise": 1, "fall": 10}})),
    ] {
        desk.accepts(&balancer(change)).await;
    }
}

#[tokio::test]
async fn load_balancers_that_make_no_sense_are_refused() {
    let desk = Desk::open().await;
    let no_algorithm = "OVN spreads connections by a hash, without counting them: it has neither RoundRobin nor LeastConnections";
    let one = "a member is exactly one of server, portName and address";
    let listener =
        |name: &str, pool: &str| json!({"name": name, "protocol": "Tcp", "port": 80, "pool": pool});
    let cases = [
        (pool(json!({"algorithm": "RoundRobin"})), no_algorithm),
        (pool(json!({"algorithm": "LeastConnections"})), no_algorithm),
        (
            pool(json!({"algorithm": "Random"})),
            "Unsupported value: \"Random\"",
        ),
        (
            json!({"listeners": [listener("a", "gone")]}),
            "a listener names a pool that spec.pools does not have",
        ),
        (
            json!({"listeners": [listener("a", "web"), listener("b", "web")]}),
            "two listeners have the same protocol and port",
        ),
        (json!({"listeners": []}), "spec.listeners"),
        (json!({"pools": []}), "spec.pools"),
        (pool(json!({"members": [{"port": 80}]})), one),
        (
            pool(json!({"members": [{"server": "a", "address": "10.0.0.5", "port": 80}]})),
            one,
        ),
        (
            pool(json!({"members": [{"server": "a", "port": 0}]})),
            "members[0].port",
        ),
        (
            pool(json!({"members": [{"server": "A", "port": 1}]})),
            "server must be the name of a Server of this project",
        ),
        (
            pool(json!({"members": [{"portName": "A", "port": 1}]})),
            "portName must be the name of a Port of this project",
        ),
        (
            pool(json!({"members": [{"address": "x", "port": 1}]})),
            "address must be an IP address",
        ),
        (
            pool(json!({"healthCheck": {"interval": "2h"}})),
            "healthCheck.interval must be a duration between 0s and 1h",
        ),
        (
            pool(json!({"healthCheck": {"timeout": "soon"}})),
            "healthCheck.timeout must be a duration between 0s and 1h",
        ),
        (
            pool(json!({"healthCheck": {"rise": 0}})),
            "healthCheck.rise",
        ),
        (
            json!({"subnet": "A"}),
            "subnet must be the name of a Subnet of this project",
        ),
        (json!({"address": "x"}), "address must be an IP address"),
    ];
    desk.rejects_all(balancer, &cases).await;
    let made = desk.accepts(&balancer(json!({}))).await;
    for (spec, says) in [
        (
            json!({"subnet": "back"}),
            "spec.subnet cannot be changed: make another load balancer",
        ),
        (
            json!({"address": "10.0.0.9"}),
            "spec.address cannot be changed: make another load balancer",
        ),
    ] {
        desk.refuses_change(&made, json!({ "spec": spec }), says)
            .await;
    }
}

//! Finds the addresses of the southbound database: nodes know none of the cluster's names.

use std::net::IpAddr;

use crate::ovsdb::Endpoint;

/// The same endpoints with addresses in place of names, in an order that does not change by itself.
pub async fn resolve(endpoints: &[Endpoint]) -> Result<String, String> {
    let mut found = Vec::new();
    for endpoint in endpoints {
        let (host, port) = match endpoint {
            Endpoint::Ssl { host, port } | Endpoint::Tcp { host, port } => (host, *port),
            Endpoint::Unix(_) => return Err(format!("{endpoint} is out of the nodes' reach")),
        };
        for address in addresses(host, port).await? {
            let host = address.to_string();
            found.push(match endpoint {
                Endpoint::Tcp { .. } => Endpoint::Tcp { host, port },
                _ => Endpoint::Ssl { host, port },
            });
        }
    }
    found.sort();
    found.dedup();
    let found: Vec<_> = found.iter().map(Endpoint::to_string).collect();
    Ok(found.join(","))
}

async fn addresses(host: &str, port: u16) -> Result<Vec<IpAddr>, String> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<_> = found
        .map_err(|error| format!("the southbound database's name {host} has no address: {error}"))?
        .map(|address| address.ip())
        .collect();
    if found.is_empty() {
        return Err(format!(
            "the southbound database's name {host} has no address"
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_become_addresses_and_addresses_stay() {
        let endpoints = ["ssl:localhost:6642", "ssl:127.0.0.1:6642", "tcp:[::2]:1"];
        let endpoints = endpoints.map(|text| text.parse().unwrap());
        let resolved = resolve(&endpoints).await.unwrap();
        assert!(resolved.contains("ssl:127.0.0.1:6642"), "{resolved}");
        assert!(resolved.contains("tcp:[::2]:1"), "{resolved}");
        let socket = ["unix:/run/ovn/sb.sock".parse().unwrap()];
        assert!(resolve(&socket).await.is_err());
    }
}

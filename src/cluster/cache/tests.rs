//! What the copy holds, and what is announced of it.

use super::*;
use crate::{
    api::key_pair::{KeyPair, KeyPairSpec},
    cluster::mock::{Answer, Asked, MockServer, event, list},
};
use kube::Client;

const PAIRS: &str = "/apis/kilonova.dev/v1alpha1/keypairs";

fn pair(name: &str, version: &str) -> KeyPair {
    let spec = KeyPairSpec {
        public_key: format!("ssh-ed25519 AAAA version {version}"),
    };
    let mut pair = KeyPair::new(name, spec);
    pair.metadata.namespace = Some("shop".to_owned());
    pair.metadata.resource_version = Some(version.to_owned());
    pair
}

/// The resource version of what the cache holds.
fn held(cache: &Cache<KeyPair>, name: &str) -> Option<u64> {
    cache.get(Some("shop"), name).map(|pair| version(&*pair))
}

async fn start(client: Client) -> Cache<KeyPair> {
    Cache::start(Api::all(client), watcher::Config::default()).await
}

#[tokio::test]
async fn what_the_watch_tells_is_in_the_copy_when_it_is_announced() {
    let server = MockServer::new();
    let (feed, watch) = Answer::feed();
    server
        .on("GET", PAIRS, Answer::ok(list(&[pair("a", "1")])))
        .on("WATCH", PAIRS, watch)
        .on("WATCH", PAIRS, Answer::Silent);
    let cache = start(server.client()).await;
    assert_eq!(held(&cache, "a"), Some(1));
    let mut changes = pin!(cache.changes());
    for (told, holds) in [
        (event("MODIFIED", pair("a", "2")), Some(2)),
        (event("DELETED", pair("a", "3")), None),
    ] {
        feed.send(told).unwrap();
        assert!(matches!(changes.next().await, Some(Change::One(_))));
        assert_eq!(held(&cache, "a"), holds);
    }
    drop(feed);
    // A watch that ends is taken up where it ended.
    let resumed =
        |asked: &Asked| asked.verb == "WATCH" && asked.query.contains("resourceVersion=3");
    server.until_asked(resumed).await;
}

#[tokio::test]
async fn the_newer_of_what_was_written_and_what_was_read_counts() {
    for (stored, written, newest) in [(1, 2, 2), (2, 1, 2), (2, 2, 2)] {
        let cache = Cache::holding([pair("a", &stored.to_string())]);
        cache.remember(pair("a", &written.to_string()));
        assert_eq!(held(&cache, "a"), Some(newest), "{stored} {written}");
        let read = Arc::new(pair("a", &stored.to_string()));
        assert_eq!(version(&*cache.freshest(read)), newest);
    }
}

//! What the copy holds, and what is announced of it.

use super::*;
use crate::{
    api::key_pair::{KeyPair, KeyPairSpec},
    cluster::mock::{Answer, Asked, MockServer, event, list},
};
use std::pin::pin;

use futures::{FutureExt, StreamExt};
use kube::{Client, runtime::watcher::Event};
use serde_json::json;
use tokio::time;

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

type Events = Vec<Event<DeserializeGuard<KeyPair>>>;

/// A run begins with what was in the copy when it was announced, and may have waited for its turn since.
#[tokio::test]
async fn what_the_copy_holds_by_now_counts_more_than_what_was_read_from_it() {
    let cache = Cache::holding([pair("a", "5")]);
    for (read, newest) in [("4", 5), ("5", 5), ("6", 6)] {
        let read = Arc::new(pair("a", read));
        assert_eq!(version(&*cache.freshest(read)), newest);
    }
    let gone = Arc::new(pair("gone", "3"));
    assert_eq!(version(&*cache.freshest(gone)), 3);
}

/// What the watch tells of an object, as this program reads it.
fn read(object: KeyPair) -> DeserializeGuard<KeyPair> {
    DeserializeGuard(Ok(object))
}

/// The same of an object that a newer program wrote.
fn odd(name: &str) -> DeserializeGuard<KeyPair> {
    let odd = serde_json::from_value::<DeserializeGuard<KeyPair>>(json!({
        "apiVersion": "kilonova.dev/v1alpha1",
        "kind": "KeyPair",
        "metadata": { "name": name, "namespace": "shop", "resourceVersion": "9" },
        "spec": { "key": "of tomorrow" },
    }));
    let odd = odd.unwrap();
    assert!(odd.0.is_err());
    odd
}

#[test]
fn what_cannot_be_read_any_more_stays_as_it_was_until_it_is_gone() {
    let listed = |objects: Vec<DeserializeGuard<KeyPair>>| {
        let objects = objects.into_iter().map(Event::InitApply);
        let ends = [Event::Init, Event::InitDone];
        let [begin, end] = ends;
        [begin].into_iter().chain(objects).chain([end]).collect()
    };
    let applied = |object| vec![Event::Apply(object)];
    let deleted = |object| vec![Event::Delete(object)];
    // What happens to `a` after it was read in version 1; what is held of it then, whether it is named as
    // unreadable, and how many words of it there are.
    let cases: Vec<(&str, Events, Option<u64>, bool, usize)> = vec![
        ("changed", applied(odd("a")), Some(1), true, 0),
        ("listed", listed(vec![odd("a")]), Some(1), true, 1),
        ("gone", listed(vec![]), None, false, 1),
        ("deleted", deleted(odd("a")), None, false, 1),
        (
            "changed and back",
            [applied(odd("a")), applied(read(pair("a", "2")))].concat(),
            Some(2),
            false,
            1,
        ),
        (
            "listed and back",
            [listed(vec![odd("a")]), listed(vec![read(pair("a", "2"))])].concat(),
            Some(2),
            false,
            2,
        ),
        (
            "changed and deleted",
            [applied(odd("a")), deleted(odd("a"))].concat(),
            None,
            false,
            1,
        ),
        (
            "changed and gone",
            [applied(odd("a")), listed(vec![])].concat(),
            None,
            false,
            1,
        ),
    ];
    for (case, events, holds, unreadable, words) in cases {
        let (cache, mut keeper) = Cache::unwatched();
        for event in listed(vec![read(pair("a", "1"))]) {
            keeper.hear(event);
        }
        let mut changes = pin!(cache.changes());
        for event in events {
            keeper.hear(event);
        }
        assert_eq!(held(&cache, "a"), holds, "{case}");
        let expected = unreadable.then(|| (Some("shop".to_owned()), "a".to_owned()));
        assert_eq!(cache.unreadable(), Vec::from_iter(expected), "{case}");
        let told = std::iter::from_fn(|| changes.next().now_or_never()).count();
        assert_eq!(told, words, "{case}");
    }
}

#[test]
fn what_was_never_understood_is_named_and_not_held() {
    let (cache, mut keeper) = Cache::unwatched();
    keeper.hear(Event::Init);
    keeper.hear(Event::InitApply(odd("a")));
    keeper.hear(Event::InitDone);
    let metrics = CacheMetrics::new(&mut crate::cluster::metrics::registry());
    cache.measure(&metrics);
    let gauge = metrics.unreadable.get_or_create_owned(&Kind {
        kind: "KeyPair".to_owned(),
    });
    keeper.hear(Event::Apply(odd("b")));
    assert_eq!(
        (cache.all().len(), cache.unreadable().len(), gauge.get()),
        (0, 2, 2)
    );
    keeper.hear(Event::Delete(odd("a")));
    keeper.hear(Event::Delete(odd("b")));
    assert_eq!(
        (cache.all().len(), cache.unreadable().len(), gauge.get()),
        (0, 0, 0)
    );
}

#[test]
fn a_write_is_remembered_until_the_watch_has_caught_up() {
    let (cache, mut keeper) = Cache::unwatched();
    cache.remember(pair("a", "2"));
    keeper.hear(Event::Apply(read(pair("a", "1"))));
    assert_eq!(held(&cache, "a"), Some(2));
    assert_eq!(cache.shared.remembered(), 1);
    keeper.hear(Event::Apply(read(pair("a", "2"))));
    assert_eq!(cache.shared.remembered(), 0);
    cache.remember(pair("a", "3"));
    keeper.hear(Event::Delete(read(pair("a", "4"))));
    assert_eq!(held(&cache, "a"), None);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_watch_never_brings_back_is_forgotten() {
    let cache = Cache::holding([]);
    cache.remember(pair("a", "1"));
    time::advance(Duration::from_secs(11)).await;
    assert_eq!(held(&cache, "a"), None);
    cache.remember(pair("b", "1"));
    assert_eq!(cache.shared.remembered(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_is_known_to_be_broken_until_it_works_again() {
    let server = MockServer::new();
    server
        .on("GET", PAIRS, Answer::ok(list(&[pair("a", "1")])))
        .on("GET", PAIRS, Answer::Failure(403, "Forbidden"))
        .on("GET", PAIRS, Answer::Unreachable)
        .on("GET", PAIRS, Answer::ok(list(&[pair("a", "2")])))
        .on("WATCH", PAIRS, Answer::Failure(500, "InternalError"))
        .on("WATCH", PAIRS, Answer::Silent);
    let cache = start(server.client()).await;
    let mut changes = pin!(cache.changes());
    let broken = async {
        while cache.deaf_for().is_none() {
            time::sleep(Duration::from_millis(100)).await;
        }
    };
    let soon = Duration::from_mins(5);
    time::timeout(soon, broken).await.unwrap();
    assert_eq!(held(&cache, "a"), Some(1));
    let change = time::timeout(soon, changes.next()).await.unwrap();
    assert!(matches!(change, Some(Change::All)));
    assert_eq!(held(&cache, "a"), Some(2));
    assert_eq!(cache.deaf_for(), None);
    time::sleep(Duration::from_secs(30)).await;
    assert_eq!(cache.quiet_for().as_secs(), 30);
}

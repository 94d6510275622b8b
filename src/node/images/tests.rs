use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use tempfile::TempDir;
use tokio::{net::TcpSocket, sync::Semaphore, time::timeout};

use super::{
    test_server::{Behavior, Server},
    *,
};
use crate::{
    api::image::{CacheState, DiskFormat},
    cluster::metrics,
    node::metrics::ImageMetrics,
};

const LIMIT: u64 = 1 << 30;
const STALLED: &str = "has stalled";

fn limits() -> Limits {
    Limits {
        free_bytes_reserve: 0,
        // Longer than any test waits: a busy machine is no server that stalls.
        stall_timeout: Duration::from_mins(1),
        stall_bytes: 1000,
        retry_first: Duration::ZERO,
        retry_first_slow: Duration::from_mins(1),
        progress_interval: Duration::ZERO,
        unused_grace: Duration::ZERO,
        ..Limits::default()
    }
}

fn cache(state: &TempDir, limits: Limits) -> ImageCache {
    // Fails when another test was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ImageCache::new(state.path(), limits, ImageMetrics::default()).unwrap()
}

/// A raw disk with a boot record, and something in it.
fn disk(content: u8) -> Vec<u8> {
    let mut disk = vec![content; 200_000];
    disk[510..512].copy_from_slice(b"\x55\xaa");
    disk
}

fn image(url: &str, file: &[u8]) -> ImageContent {
    let digest = Sha256::of(file).to_string();
    ImageContent {
        name: "shop/web".into(),
        url: url.into(),
        sha256: digest.parse().unwrap(),
        format: DiskFormat::Raw,
    }
}

/// What becomes of an image once its download has ended.
async fn settled(cache: &ImageCache, image: &ImageContent, limit_bytes: u64) -> Presence {
    let mut changes = cache.changes();
    let settle = async {
        loop {
            let presence = cache.ensure(image, limit_bytes);
            if !matches!(presence, Presence::Downloading { .. }) {
                return presence;
            }
            let _ = changes.recv().await;
        }
    };
    timeout(Duration::from_secs(30), settle).await.unwrap()
}

/// What becomes of the first attempt. The cache must be one that does not try again by itself at once.
async fn first_failure(behavior: Behavior, file: &[u8], limits: Limits) -> Presence {
    let server = Server::start(vec![("/image", behavior)]).await;
    let state = tempfile::tempdir().unwrap();
    let limits = Limits {
        retry_first: Duration::from_mins(1),
        ..limits
    };
    let cache = cache(&state, limits);
    let image = image(&format!("{}/image", server.address), file);
    let presence = settled(&cache, &image, LIMIT).await;
    assert_eq!(files(&state), [""; 0]);
    presence
}

fn failed(presence: Presence) -> String {
    match presence {
        Presence::Failed {
            message,
            retry_after,
        } if retry_after > Duration::from_secs(30) => message,
        other => panic!("{other:?}"),
    }
}

fn refused(presence: Presence) -> (String, Option<Duration>) {
    match presence {
        Presence::Refused {
            message,
            retry_after,
        } => (message, retry_after),
        other => panic!("{other:?}"),
    }
}

fn files(state: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(state.path().join("images")).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn an_image_is_downloaded_verified_and_kept_over_restarts() {
    let file = disk(1);
    for behavior in [
        Behavior::File(file.clone()),
        Behavior::Unannounced(file.clone()),
    ] {
        let server = Server::start(vec![("/image", behavior)]).await;
        let state = tempfile::tempdir().unwrap();
        let first = cache(&state, limits());
        let image = image(&format!("{}/image", server.address), &file);
        let path = state.path().join(format!("images/{}.raw", image.sha256));
        let ready = Presence::Ready {
            path: path.clone(),
            virtual_size: 200_000,
            size: 200_000,
        };
        assert_eq!(settled(&first, &image, LIMIT).await, ready);
        assert_eq!(fs::read(&path).unwrap(), file);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o644
        );

        let second = cache(&state, limits());
        assert_eq!(second.ensure(&image, LIMIT), ready);
        assert_eq!(server.requests("/image"), 1);
        let listed = second.list();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].state, CacheState::Ready);
        assert_eq!(listed[0].virtual_size.unwrap().as_bytes(), 200_000);

        fs::remove_file(&path).unwrap();
        assert_eq!(settled(&second, &image, LIMIT).await, ready);
        assert_eq!(server.requests("/image"), 2);
    }
}

#[tokio::test]
async fn downloads_are_counted_by_how_they_end_and_images_by_how_they_stand() {
    let server = Server::start(vec![
        ("/good", Behavior::File(disk(1))),
        ("/wrong", Behavior::File(disk(2))),
    ])
    .await;
    let state = tempfile::tempdir().unwrap();
    let mut registry = metrics::registry();
    let limits = Limits {
        retry_first: Duration::from_mins(1),
        ..limits()
    };
    let cache = ImageCache::new(state.path(), limits, ImageMetrics::new(&mut registry)).unwrap();
    for (path, content) in [("good", 1), ("wrong", 3), ("nowhere", 4)] {
        let image = image(&format!("{}/{path}", server.address), &disk(content));
        settled(&cache, &image, LIMIT).await;
    }
    cache.count();
    let page = registry.encode().unwrap();
    for sample in [
        "kilonova_image_downloads_total{outcome=\"done\"} 1\n",
        "kilonova_image_downloads_total{outcome=\"refused\"} 1\n",
        "kilonova_image_downloads_total{outcome=\"failed\"} 1\n",
        "kilonova_image_download_bytes_total 400000\n",
        "kilonova_image_cache_images{state=\"ready\"} 1\n",
        "kilonova_image_cache_images{state=\"failed\"} 2\n",
        "kilonova_image_cache_images{state=\"downloading\"} 0\n",
        "kilonova_image_cache_bytes 200000\n",
    ] {
        assert!(page.contains(sample), "no {sample} in {page}");
    }
}

#[tokio::test]
async fn all_who_want_an_image_share_one_download_and_see_its_progress() {
    let gate = Arc::new(Semaphore::new(0));
    let behavior = Behavior::Gated(disk(1), Arc::clone(&gate));
    let server = Server::start(vec![("/image", behavior)]).await;
    let state = tempfile::tempdir().unwrap();
    let cache = cache(&state, limits());
    let image = image(&format!("{}/image", server.address), &disk(1));
    let mut changes = cache.changes();
    let half = Presence::Downloading {
        percent: Some(50),
        bytes: 100_000,
    };
    let arrives = async {
        while cache.ensure(&image, LIMIT) != half {
            assert_eq!(changes.recv().await.unwrap(), image.sha256);
        }
    };
    timeout(Duration::from_secs(30), arrives).await.unwrap();
    assert_eq!(cache.list()[0].progress, Some(50));

    // Another one waits for its turn.
    gate.add_permits(1);
    let presence = settled(&cache, &image, LIMIT).await;
    assert!(matches!(presence, Presence::Ready { .. }), "{presence:?}");
    assert_eq!(server.requests("/image"), 1);
}

#[tokio::test]
async fn no_more_downloads_run_at_once_than_allowed() {
    let gate = Arc::new(Semaphore::new(0));
    let server = Server::start(vec![
        ("/first", Behavior::Gated(disk(1), Arc::clone(&gate))),
        ("/second", Behavior::File(disk(2))),
    ])
    .await;
    let state = tempfile::tempdir().unwrap();
    let one = Limits {
        downloads_max: 1,
        ..limits()
    };
    let cache = cache(&state, one);
    let first = image(&format!("{}/first", server.address), &disk(1));
    let second = image(&format!("{}/second", server.address), &disk(2));
    let mut changes = cache.changes();
    cache.ensure(&first, LIMIT);
    cache.ensure(&second, LIMIT);
    let arrives = async {
        while !matches!(
            cache.ensure(&first, LIMIT),
            Presence::Downloading { bytes: 100_000, .. }
        ) {
            changes.recv().await.unwrap();
        }
    };
    timeout(Duration::from_secs(30), arrives).await.unwrap();
    assert_eq!(server.requests("/second"), 0);
    gate.add_permits(1);
    for image in [first, second] {
        let presence = settled(&cache, &image, LIMIT).await;
        assert!(matches!(presence, Presence::Ready { .. }), "{presence:?}");
    }
}

#[tokio::test]
async fn what_may_pass_is_a_failure_that_says_what_happened() {
    for (behavior, said) in [
        (Behavior::Status(404), "/image answers 404 Not Found"),
        (
            Behavior::Status(503),
            "/image answers 503 Service Unavailable",
        ),
        (Behavior::Status(204), "/image answers 204 No Content"),
        (Behavior::Truncated(disk(1)), "broke off after 97.6 KiB"),
        (
            Behavior::Stalling(disk(1)),
            "has stalled: it has sent 97.6 KiB",
        ),
        (Behavior::Trickling, "has stalled: it has sent 100 bytes"),
        (Behavior::Silent, "has stalled: it has sent 0 bytes"),
        (
            Behavior::Redirect("/image"),
            "leads nowhere: more than 5 redirects",
        ),
        (
            Behavior::Redirect("ftp://a.example/image"),
            "redirects to something that is no http:// or https:// address",
        ),
        // The client does not even take this for a redirect.
        (
            Behavior::Redirect("file:///etc/passwd"),
            "answers 302 Found",
        ),
    ] {
        let limits = if said.starts_with(STALLED) {
            Limits {
                stall_timeout: Duration::from_secs(1),
                ..limits()
            }
        } else {
            limits()
        };
        let message = failed(first_failure(behavior, &disk(1), limits).await);
        assert!(message.contains(said), "{message}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be_so_without_the_password() {
    // Kept, so that nobody else is given the port and listens there.
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = silent.local_addr().unwrap();
    let state = tempfile::tempdir().unwrap();
    let slow = Limits {
        retry_first: Duration::from_mins(1),
        ..limits()
    };
    let cache = cache(&state, slow);
    let image = image(&format!("http://me:secret@{closed}/a?token=secret"), b"");
    let message = failed(settled(&cache, &image, LIMIT).await);
    assert_eq!(
        message,
        format!("http://{closed}/a cannot be reached: Connection refused (os error 111)")
    );
    let listed = cache.list();
    assert_eq!(
        (listed[0].state, listed[0].message.as_ref()),
        (CacheState::Failed, Some(&message))
    );
}

#[tokio::test]
async fn a_redirect_is_followed() {
    let server = Server::start(vec![
        ("/here", Behavior::Redirect("/there")),
        ("/there", Behavior::File(disk(1))),
    ])
    .await;
    let state = tempfile::tempdir().unwrap();
    let image = image(&format!("{}/here", server.address), &disk(1));
    let presence = settled(&cache(&state, limits()), &image, LIMIT).await;
    assert!(matches!(presence, Presence::Ready { .. }), "{presence:?}");
}

#[tokio::test]
async fn a_failure_that_has_passed_is_forgotten() {
    let steps = [
        Behavior::Status(500),
        Behavior::Truncated(disk(1)),
        Behavior::File(disk(2)),
        Behavior::File(disk(1)),
    ];
    let server = Server::start(vec![("/image", Behavior::Sequence(steps.into()))]).await;
    let state = tempfile::tempdir().unwrap();
    let cache = cache(&state, limits());
    let image = image(&format!("{}/image", server.address), &disk(1));
    let presence = settled(&cache, &image, LIMIT).await;
    assert!(matches!(presence, Presence::Ready { .. }), "{presence:?}");
    assert_eq!(server.requests("/image"), 4);
    let listed = cache.list();
    assert_eq!(listed[0].state, CacheState::Ready);
    // Read back from a status it is the same, or each report would be news.
    let written = serde_json::to_string(&listed).unwrap();
    let read: Vec<CachedImage> = serde_json::from_str(&written).unwrap();
    assert_eq!(read, listed);
}

#[tokio::test]
async fn a_wrong_digest_is_tried_once_more_and_then_refused() {
    let page = b"<!DOCTYPE html><p>This file has moved.".to_vec();
    let server = Server::start(vec![
        ("/wrong", Behavior::File(page.clone())),
        ("/right", Behavior::File(disk(1))),
    ])
    .await;
    let state = tempfile::tempdir().unwrap();
    let cache = cache(&state, limits());
    let wrong = image(&format!("{}/wrong", server.address), &disk(1));
    let (message, retry_after) = refused(settled(&cache, &wrong, LIMIT).await);
    let found = image("", &page).sha256;
    assert_eq!(
        message,
        format!(
            "the file at {} has the SHA-256 digest {found}, but the image declares {} (what was sent is a web page \
             (HTML or XML)): check address and digest",
            wrong.url, wrong.sha256
        )
    );
    assert!(retry_after.unwrap() > Duration::from_mins(9));
    assert_eq!(cache.list()[0].state, CacheState::Refused);
    refused(cache.ensure(&wrong, LIMIT));
    assert_eq!(server.requests("/wrong"), 2);
    assert_eq!(files(&state), [""; 0]);

    // Somebody else's wrong address is no reason to refuse the right one.
    let right = image(&format!("{}/right", server.address), &disk(1));
    let presence = settled(&cache, &right, LIMIT).await;
    assert!(matches!(presence, Presence::Ready { .. }), "{presence:?}");
    assert_eq!(cache.ensure(&wrong, LIMIT), presence);
}

#[tokio::test]
async fn a_download_stops_at_its_limit_and_goes_on_for_those_who_allow_more() {
    for behavior in [Behavior::Endless, Behavior::Promising(1 << 62)] {
        let server = Server::start(vec![("/image", behavior)]).await;
        let state = tempfile::tempdir().unwrap();
        let image = image(&format!("{}/image", server.address), &disk(1));
        let presence = settled(&cache(&state, limits()), &image, 10 << 20).await;
        let (message, _) = refused(presence);
        assert!(message.contains("is larger than 10.0 MiB"), "{message}");
        assert_eq!(files(&state), [""; 0]);
    }
    let server = Server::start(vec![("/image", Behavior::File(disk(1)))]).await;
    let state = tempfile::tempdir().unwrap();
    let cache = cache(&state, limits());
    let image = image(&format!("{}/image", server.address), &disk(1));
    refused(settled(&cache, &image, 199_999).await);
    refused(settled(&cache, &image, 199_999).await);
    assert_eq!(server.requests("/image"), 1);
    let presence = settled(&cache, &image, 200_000).await;
    assert!(matches!(presence, Presence::Ready { .. }), "{presence:?}");
}

#[tokio::test]
async fn a_full_disk_is_not_filled_further() {
    let full = Limits {
        free_bytes_reserve: u64::MAX,
        ..limits()
    };
    let message = failed(first_failure(Behavior::File(disk(1)), &disk(1), full).await);
    assert!(message.contains("the node's disk is too full"), "{message}");
}

#[tokio::test]
async fn unsafe_content_is_refused_for_good() {
    let mut backed = vec![0; 65_536];
    backed[..8].copy_from_slice(b"QFI\xfb\x00\x00\x00\x03");
    backed[15] = 200;
    backed[19] = 11;
    backed[23] = 16;
    backed[103] = 112;
    backed[200..211].copy_from_slice(b"/etc/shadow");
    for (file, format, said) in [
        (
            backed.clone(),
            DiskFormat::Qcow2,
            "has a backing file (\"/etc/shadow\")",
        ),
        (
            backed,
            DiskFormat::Raw,
            "the file is a qcow2 image, but the image declares format Raw",
        ),
        (b"hello".to_vec(), DiskFormat::Raw, "no bootable disk"),
        (vec![], DiskFormat::Qcow2, "no qcow2 image"),
    ] {
        let server = Server::start(vec![("/image", Behavior::File(file.clone()))]).await;
        let state = tempfile::tempdir().unwrap();
        let cache = cache(&state, limits());
        let image = ImageContent {
            format,
            ..image(&format!("{}/image", server.address), &file)
        };
        let (message, retry_after) = refused(settled(&cache, &image, LIMIT).await);
        assert!(message.contains(said), "{message}");
        assert_eq!(retry_after, None);
        assert_eq!(files(&state), [""; 0]);
        assert_eq!(server.requests("/image"), 1);
    }
    let state = tempfile::tempdir().unwrap();
    let image = image("ftp://me:secret@a.example/image", b"");
    let (message, _) = refused(settled(&cache(&state, limits()), &image, LIMIT).await);
    assert!(
        message.starts_with("the address ftp://a.example/image cannot be used"),
        "{message}"
    );
}

#[tokio::test]
async fn a_start_removes_what_is_unfinished_and_keeps_what_guests_may_stand_on() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("images");
    fs::create_dir(&folder).unwrap();
    let good = image("", &disk(1));
    let now_refused = image("", b"x");
    fs::write(folder.join(format!("{}.raw", good.sha256)), disk(1)).unwrap();
    fs::write(folder.join(format!("{}.raw", now_refused.sha256)), b"x").unwrap();
    for name in [".part-abc", ".evicted-abc", "notes.txt"] {
        fs::write(folder.join(name), "").unwrap();
    }
    let cache = cache(&state, limits());
    let mut left = files(&state);
    left.sort();
    let mut expected = [
        good.sha256.to_string() + ".raw",
        now_refused.sha256.to_string() + ".raw",
    ];
    expected.sort();
    assert_eq!(left, [&expected[..], &["notes.txt".into()]].concat());
    assert!(matches!(cache.ensure(&good, LIMIT), Presence::Ready { .. }));
    assert!(
        refused(cache.ensure(&now_refused, LIMIT))
            .0
            .contains("no bootable disk")
    );
}

#[tokio::test]
async fn unused_images_make_room_and_used_ones_stay() {
    let server = Server::start(vec![
        ("/used", Behavior::File(disk(1))),
        ("/unused", Behavior::File(disk(2))),
    ])
    .await;
    let state = tempfile::tempdir().unwrap();
    let cache = cache(&state, limits());
    let used = image(&format!("{}/used", server.address), &disk(1));
    let unused = image(&format!("{}/unused", server.address), &disk(2));
    for image in [&used, &unused] {
        settled(&cache, image, LIMIT).await;
    }
    let in_use = HashSet::from([used.sha256.clone()]);
    let none: [Sha256; 0] = [];
    assert_eq!(cache.retain(&in_use, 400_000).await.unwrap(), none);
    assert_eq!(
        cache.retain(&in_use, 0).await.unwrap(),
        std::slice::from_ref(&unused.sha256)
    );
    assert_eq!(files(&state), [format!("{}.raw", used.sha256)]);
    assert!(matches!(
        settled(&cache, &unused, LIMIT).await,
        Presence::Ready { .. }
    ));
    assert_eq!(server.requests("/unused"), 2);
}

#[tokio::test]
async fn a_download_that_nobody_needs_any_more_ends_without_a_trace() {
    let behavior = Behavior::Promising(1 << 20);
    let server = Server::start(vec![("/image", behavior)]).await;
    let state = tempfile::tempdir().unwrap();
    let cache = cache(&state, limits());
    let image = image(&format!("{}/image", server.address), &disk(1));
    cache.ensure(&image, LIMIT);
    let begun = async {
        while files(&state).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), begun).await.unwrap();

    cache.retain(&HashSet::new(), u64::MAX).await.unwrap();
    assert_eq!(cache.list(), []);
    let gone = async {
        while !files(&state).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), gone).await.unwrap();
}

#[tokio::test]
async fn what_was_asked_for_lately_is_spared() {
    let server = Server::start(vec![("/image", Behavior::File(disk(1)))]).await;
    let state = tempfile::tempdir().unwrap();
    let sparing = Limits {
        unused_grace: Duration::from_mins(1),
        ..limits()
    };
    let cache = cache(&state, sparing);
    let image = image(&format!("{}/image", server.address), &disk(1));
    settled(&cache, &image, LIMIT).await;
    assert_eq!(cache.retain(&HashSet::new(), 0).await.unwrap(), []);
    assert!(matches!(
        cache.ensure(&image, LIMIT),
        Presence::Ready { .. }
    ));
}

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};

use flate2::read::GzDecoder;
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};

use super::*;

/// A folder with one of everything, made in this order and last changed now.
fn folder(order: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    for what in order {
        match *what {
            "program" => {
                fs::create_dir(at("bin")).unwrap();
                fs::write(at("bin/run"), "run\n").unwrap();
                fs::set_permissions(at("bin/run"), fs::Permissions::from_mode(0o755)).unwrap();
            }
            "link" => symlink("bin/run", at("run")).unwrap(),
            "text" => {
                // Longer than the field for a name in the header of a tar.
                fs::create_dir(at(&"d".repeat(60))).unwrap();
                let text = at(&format!("{0}/{0}", "d".repeat(60)));
                fs::write(&text, "x".repeat(100_000)).unwrap();
                fs::set_permissions(&text, fs::Permissions::from_mode(0o644)).unwrap();
            }
            _ => unreachable!(),
        }
    }
    root
}

fn settings() -> Settings {
    Settings {
        user: "1:2".to_owned(),
        env: vec!["A=b".to_owned()],
        entrypoint: vec!["/bin/run".to_owned()],
        labels: BTreeMap::from([("title".to_owned(), "t".to_owned())]),
    }
}

/// The archive of a folder, as bytes.
fn image(root: &Path, settings: &Settings) -> (Written, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive");
    let name = |digest: &str| format!("r.example/i:{}", &digest[7..12]);
    let written = write(root, settings, name, &path).unwrap();
    (written, fs::read(path).unwrap())
}

/// The contents of a tar, by path, with the headers.
fn unpack(tar: impl Read) -> BTreeMap<String, (Header, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let twice = found.insert(path, (entry.header().clone(), content));
        assert!(twice.is_none());
    }
    found
}

/// The blob that a descriptor speaks of, if it is what the descriptor says.
fn blob(archive: &BTreeMap<String, (Header, Vec<u8>)>, descriptor: &Descriptor) -> Vec<u8> {
    let (_, content) = &archive[&format!("blobs/sha256/{}", descriptor.digest().digest())];
    assert_eq!(content.len() as u64, descriptor.size());
    assert_eq!(digest::of(content), descriptor.digest().to_string());
    content.clone()
}

#[test]
fn what_is_read_back_is_what_went_in() {
    let root = folder(&["program", "link", "text"]);
    let (written, bytes) = image(root.path(), &settings());
    let archive = unpack(&bytes[..]);
    assert_eq!(
        archive["oci-layout"].1,
        br#"{"imageLayoutVersion":"1.0.0"}"#
    );

    let index = ImageIndex::from_reader(&archive["index.json"].1[..]).unwrap();
    assert_eq!(index.media_type(), &Some(MediaType::ImageIndex));
    let [entry] = &index.manifests()[..] else {
        panic!("{index:?}")
    };
    assert_eq!(entry.media_type(), &MediaType::ImageManifest);
    assert_eq!(entry.digest().to_string(), written.digest);
    let name = format!("r.example/i:{}", &written.digest[7..12]);
    let annotations = entry.annotations().as_ref().unwrap();
    for annotation in [
        "io.containerd.image.name",
        "org.opencontainers.image.ref.name",
    ] {
        assert_eq!(annotations[annotation], name);
    }

    let manifest = ImageManifest::from_reader(&blob(&archive, entry)[..]).unwrap();
    assert_eq!(manifest.media_type(), &Some(MediaType::ImageManifest));
    assert_eq!(manifest.config().media_type(), &MediaType::ImageConfig);
    let [layer] = &manifest.layers()[..] else {
        panic!("{manifest:?}")
    };
    assert_eq!(layer.media_type(), &MediaType::ImageLayerGzip);
    let sent = entry.size() + manifest.config().size() + layer.size();
    assert_eq!(written.compressed_bytes, sent);

    let config = ImageConfiguration::from_reader(&blob(&archive, manifest.config())[..]).unwrap();
    let platform = entry.platform().as_ref().unwrap();
    assert_eq!(config.architecture(), platform.architecture());
    assert_eq!(config.os(), platform.os());
    let run = config.config().as_ref().unwrap();
    assert_eq!(run.user(), &Some(settings().user));
    assert_eq!(run.env(), &Some(settings().env));
    assert_eq!(run.entrypoint(), &Some(settings().entrypoint));
    assert_eq!(run.labels().as_ref().unwrap()["title"], "t");

    let mut tar = Vec::new();
    let compressed = blob(&archive, layer);
    GzDecoder::new(&compressed[..])
        .read_to_end(&mut tar)
        .unwrap();
    assert_eq!(config.rootfs().diff_ids(), &[digest::of(&tar)]);
    check_files(&tar, written.unpacked_bytes);
    assert_eq!(
        archive.len(),
        4 + 3,
        "two documents, two folders, three blobs"
    );
}

fn check_files(tar: &[u8], unpacked_bytes: u64) {
    let files = unpack(tar);
    let long = "d".repeat(60);
    let expected = [
        ("bin/", EntryType::Directory, 0o755, 0),
        ("bin/run", EntryType::Regular, 0o755, 4),
        (&format!("{long}/"), EntryType::Directory, 0o755, 0),
        (
            &format!("{long}/{long}"),
            EntryType::Regular,
            0o644,
            100_000,
        ),
        ("run", EntryType::Symlink, 0o777, 0),
    ];
    let found: Vec<_> = files
        .iter()
        .map(|(path, (header, content))| {
            let mode = header.mode().unwrap();
            (path.as_str(), header.entry_type(), mode, content.len())
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(unpacked_bytes, 100_004);
    let link = files["run"].0.link_name().unwrap().unwrap();
    assert_eq!(*link, *Path::new("bin/run"));
    for (header, _) in files.values() {
        assert_eq!(header.uid().unwrap(), 0);
        assert_eq!(header.gid().unwrap(), 0);
        assert_eq!(header.mtime().unwrap(), 0);
    }
}

#[test]
fn equal_content_gives_equal_bytes() {
    let one = folder(&["program", "link", "text"]);
    let other = folder(&["text", "link", "program"]);
    let past = std::time::SystemTime::UNIX_EPOCH;
    let file = fs::File::open(other.path().join("bin/run")).unwrap();
    file.set_modified(past).unwrap();
    let first = image(one.path(), &settings());
    assert!(first == image(other.path(), &settings()));

    fs::write(other.path().join("bin/run"), "ran\n").unwrap();
    assert_ne!(first.0.digest, image(other.path(), &settings()).0.digest);
    let other = Settings {
        user: "0".to_owned(),
        ..settings()
    };
    assert_ne!(first.0.digest, image(one.path(), &other).0.digest);
}

#[test]
fn what_no_image_holds_is_refused() {
    let root = folder(&["program"]);
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    let error = layer::write(root.path(), io::sink()).unwrap_err();
    assert!(format!("{error:#}").contains("socket"), "{error:#}");
}

//! The container image holds all that Kilonova runs, works for `nonroot` and with a root file system that nobody can write,
//! and has nothing else in it to run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use testbed::{Progress, container, layout};

/// In mount namespaces of its own, with `$0` as a root that is read only, but for the agent's state, and with the devices
/// that every container has: runs the words.
const INSIDE: &str = r#"
mount --bind "$0" "$0"
mkdir --parents "$0/dev"
mount --bind /dev "$0/dev"
mount --options remount,bind,ro "$0"
mount --types tmpfs --options mode=0755 tmpfs "$0/var/lib/kilonova"
exec env --ignore-environment PATH=/usr/sbin:/usr/bin chroot "$@"
"#;

/// The unpacked image.
struct Image {
    root: tempfile::TempDir,
}

impl Image {
    async fn of_this_build() -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_kilonova"));
        let cache = Path::new(layout::CACHE);
        let archive = container::build(binary, cache, &Progress::silent()).await;
        let root = tempfile::tempdir().unwrap();
        archive.unwrap().unpack(root.path()).await.unwrap();
        fs::create_dir(root.path().join("var/lib/kilonova")).unwrap();
        Self { root }
    }

    /// What a program in the image prints, when it is run by this user.
    fn run(&self, user: &str, words: &[&str]) -> String {
        let mut inside = Command::new("unshare");
        inside
            .args(["--mount", "sh", "-euc", INSIDE])
            .arg(self.root.path())
            .arg(format!("--userspec={user}"))
            .arg(self.root.path())
            .args(words);
        stdout(&mut inside)
    }

    fn names(&self, folder: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(self.root.path().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }
}

fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn what_it_holds_works() {
    let image = Image::of_this_build().await;
    let here = stdout(Command::new(env!("CARGO_BIN_EXE_kilonova")).arg("crds"));
    let inside = image.run("65532:65532", &["/usr/bin/kilonova", "crds"]);
    assert!(inside == here, "{inside}");

    // As the agent, which is root and writes its state only.
    let disk = "/var/lib/kilonova/disk.qcow2";
    let made = image.run("0:0", &["qemu-img", "create", "-f", "qcow2", disk, "1M"]);
    assert!(made.contains("size=1048576"), "{made}");

    // As a member of OVN's databases: programs and schemas are where they are looked for.
    for (file, name) in [("nb", "OVN_Northbound\n"), ("sb", "OVN_Southbound\n")] {
        let schema = format!("/usr/share/ovn/ovn-{file}.ovsschema");
        let said = image.run("65532:65532", &["ovsdb-tool", "schema-name", &schema]);
        assert_eq!(said, name);
    }
    for program in ["ovsdb-server", "ovn-northd"] {
        let said = image.run("65532:65532", &[program, "--version"]);
        assert!(said.starts_with(program), "{said}");
    }
}

#[tokio::test]
async fn it_holds_nothing_else() {
    let image = Image::of_this_build().await;
    let programs = ["kilonova", "ovn-northd", "ovsdb-tool", "qemu-img"].map(str::to_owned);
    assert_eq!(image.names("usr/bin"), BTreeSet::from(programs));
    let programs = ["ovsdb-server"].map(str::to_owned);
    assert_eq!(image.names("usr/sbin"), BTreeSet::from(programs));
    let folders = ["etc", "lib", "lib64", "run", "usr", "var"].map(str::to_owned);
    assert_eq!(image.names(""), BTreeSet::from(folders));
    let folders = ["bin", "lib", "lib64", "sbin", "share"].map(str::to_owned);
    assert_eq!(image.names("usr"), BTreeSet::from(folders));

    // Scanners learn of every package, and each comes with its licence.
    let packages = image.names("var/lib/dpkg/status.d");
    assert!(packages.contains("libc6") && packages.contains("libvirt0"));
    let mut licences = image.names("usr/share/doc");
    assert!(licences.remove("kilonova"));
    assert_eq!(licences, packages);
}

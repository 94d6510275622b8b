//! The inspection of images against files that the real `qemu-img` makes.

use std::{
    fs::File,
    io::Read,
    path::Path,
    process::{Command, Output},
};

use crate::{
    api::image::DiskFormat,
    node::plan::image_format::{self, Content, HEAD_BYTES, Shape, Unsafe},
};

const SECRET: &str = "secret,id=key,data=sesame";

/// QEMU measures its own processor time before it encrypts, and gives up where the machine is too busy for that.
const TOO_BUSY: &str = "Unable to get accurate CPU usage";
const TRIES: usize = 20;

fn qemu_img(folder: &Path, args: &[&str]) {
    let run = || {
        let mut command = Command::new("qemu-img");
        command.args(args).current_dir(folder).output().unwrap()
    };
    let busy = |output: &Output| String::from_utf8_lossy(&output.stderr).contains(TOO_BUSY);
    let mut outputs = std::iter::repeat_with(run).take(TRIES);
    let output = outputs.find(|output| !busy(output));
    let output = output.expect("the machine is too busy for QEMU to encrypt");
    assert!(output.status.success(), "{args:?}: {output:?}");
}

fn inspect(declared: DiskFormat, path: &Path) -> Result<Shape, Unsafe> {
    let file = File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let mut head = Vec::new();
    file.take(HEAD_BYTES as u64).read_to_end(&mut head).unwrap();
    image_format::inspect(declared, &head, size)
}

/// Makes an image with these options and inspects it.
fn create(options: &[&str], size: &str) -> Result<Shape, Unsafe> {
    let folder = tempfile::tempdir().unwrap();
    qemu_img(
        folder.path(),
        &["create", "-f", "qcow2", "base.qcow2", "1M"],
    );
    qemu_img(
        folder.path(),
        &[&["create", "-f", "qcow2"], options, &["image", size]].concat(),
    );
    inspect(DiskFormat::Qcow2, &folder.path().join("image"))
}

#[test]
fn images_that_qemu_makes_by_itself_are_safe() {
    for (options, size, bytes) in [
        (&[][..], "4G", 4_u64 << 30),
        (&[], "512", 512),
        (&[], "100T", 100 << 40),
        (&["-o", "compat=0.10"], "4G", 4 << 30),
        (&["-o", "cluster_size=512"], "4G", 4 << 30),
        (&["-o", "cluster_size=2M"], "4G", 4 << 30),
        (&["-o", "extended_l2=on"], "4G", 4 << 30),
        (&["-o", "extended_l2=on,cluster_size=16k"], "4G", 4 << 30),
        (&["-o", "compression_type=zstd"], "4G", 4 << 30),
        (&["-o", "refcount_bits=64"], "4G", 4 << 30),
        (&["-o", "refcount_bits=1,lazy_refcounts=on"], "4G", 4 << 30),
        (&["-o", "preallocation=metadata"], "1G", 1 << 30),
    ] {
        let shape = Shape {
            virtual_size: bytes,
        };
        assert_eq!(create(options, size), Ok(shape), "{options:?}");
    }
}

#[test]
fn images_that_need_something_else_are_refused() {
    for (options, expected) in [
        (
            &["-b", "base.qcow2", "-F", "qcow2"][..],
            Unsafe::BackingFile("\"base.qcow2\"".into()),
        ),
        (
            &["-b", "base.qcow2", "-F", "qcow2", "-o", "compat=0.10"],
            Unsafe::BackingFile("\"base.qcow2\"".into()),
        ),
        (&["-o", "data_file=data.raw"], Unsafe::DataFile),
        (
            &["-o", "data_file=data.raw,data_file_raw=on"],
            Unsafe::DataFile,
        ),
        (
            &[
                "--object",
                SECRET,
                "-o",
                "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10",
            ],
            Unsafe::Encrypted,
        ),
    ] {
        assert_eq!(create(options, "4M"), Err(expected), "{options:?}");
    }
}

#[test]
fn flattening_helps_as_the_messages_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    qemu_img(path, &["create", "-f", "qcow2", "base", "4M"]);
    qemu_img(
        path,
        &[
            "create", "-f", "qcow2", "-b", "base", "-F", "qcow2", "backed",
        ],
    );
    qemu_img(path, &["snapshot", "-c", "one", "base"]);
    assert_eq!(
        inspect(DiskFormat::Qcow2, &path.join("base")),
        Err(Unsafe::Snapshots(1))
    );
    for image in ["backed", "base"] {
        for options in [&["-O", "qcow2"][..], &["-c", "-O", "qcow2"]] {
            qemu_img(path, &[&["convert"], options, &[image, "flat"]].concat());
            assert!(
                inspect(DiskFormat::Qcow2, &path.join("flat")).is_ok(),
                "{image}"
            );
        }
    }
    // One whose base was taken away without a copy is whole, if not of much use.
    qemu_img(path, &["rebase", "-u", "-b", "", "backed"]);
    assert!(inspect(DiskFormat::Qcow2, &path.join("backed")).is_ok());
    qemu_img(path, &["bitmap", "--add", "flat", "changes"]);
    assert!(inspect(DiskFormat::Qcow2, &path.join("flat")).is_ok());
}

#[test]
fn other_formats_are_recognised() {
    for (format, options, content) in [
        ("qcow", &[][..], Content::Qcow1),
        ("vmdk", &[], Content::Vmdk),
        ("vmdk", &["-o", "subformat=monolithicFlat"], Content::Vmdk),
        ("vmdk", &["-o", "subformat=streamOptimized"], Content::Vmdk),
        ("vdi", &[], Content::Vdi),
        ("vhdx", &[], Content::Vhdx),
        ("vpc", &[], Content::Vpc),
        ("qed", &[], Content::Qed),
        ("parallels", &[], Content::Parallels),
        (
            "luks",
            &["--object", SECRET, "-o", "key-secret=key,iter-time=10"],
            Content::Luks,
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("image.{format}");
        qemu_img(
            folder.path(),
            &[&["create", "-f", format], options, &[&file, "4M"]].concat(),
        );
        for declared in [DiskFormat::Raw, DiskFormat::Qcow2] {
            let found = content;
            let refused = Err(Unsafe::OtherFormat { declared, found });
            assert_eq!(
                inspect(declared, &folder.path().join(&file)),
                refused,
                "{format} {options:?}"
            );
        }
    }
}

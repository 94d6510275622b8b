use proptest::prelude::*;

use super::*;

const CLUSTER: u64 = 1 << 16;
const FILE_SIZE: u64 = 4 * CLUSTER;

/// A well-formed version 3 header with its tables in the clusters 1 and 3, as `qemu-img create` lays them out.
fn qcow2() -> Vec<u8> {
    let mut head = vec![0; HEAD_BYTES];
    put(&mut head, 0, b"QFI\xfb");
    put(&mut head, 4, &3_u32.to_be_bytes());
    put(&mut head, 20, &16_u32.to_be_bytes());
    put(&mut head, 24, &(1_u64 << 30).to_be_bytes());
    put(&mut head, 36, &2_u32.to_be_bytes());
    put(&mut head, 40, &(3 * CLUSTER).to_be_bytes());
    put(&mut head, 48, &CLUSTER.to_be_bytes());
    put(&mut head, 56, &1_u32.to_be_bytes());
    put(&mut head, 96, &4_u32.to_be_bytes());
    put(&mut head, 100, &112_u32.to_be_bytes());
    head
}

fn raw_disk() -> Vec<u8> {
    let mut head = vec![0; HEAD_BYTES];
    put(&mut head, 510, b"\x55\xaa");
    head
}

fn put(head: &mut [u8], offset: usize, bytes: &[u8]) {
    head[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn with(mut head: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    put(&mut head, offset, bytes);
    head
}

fn inspect_qcow2(head: &[u8]) -> Result<Shape, Unsafe> {
    inspect(DiskFormat::Qcow2, head, FILE_SIZE)
}

#[test]
fn sound_images_are_accepted() {
    let shape = Ok(Shape {
        virtual_size: 1 << 30,
    });
    assert_eq!(inspect_qcow2(&qcow2()), shape);
    let version_2 = with(qcow2(), 4, &2_u32.to_be_bytes());
    assert_eq!(inspect_qcow2(&with(version_2, 72, &[0; 40])), shape);
    let zstd = with(qcow2(), 72, &8_u64.to_be_bytes());
    assert_eq!(inspect_qcow2(&with(zstd, 104, &[1])), shape);
    let extended_l2 = with(qcow2(), 72, &16_u64.to_be_bytes());
    assert_eq!(
        inspect_qcow2(&with(extended_l2, 36, &4_u32.to_be_bytes())),
        shape
    );
    let unknown_extension = with(qcow2(), 112, b"\x12\x34\x56\x78\x00\x00\x00\x05hello");
    assert_eq!(inspect_qcow2(&unknown_extension), shape);
    assert_eq!(
        inspect(DiskFormat::Raw, &raw_disk(), 1 << 20),
        Ok(Shape {
            virtual_size: 1 << 20
        })
    );
    let cd = with(vec![0; HEAD_BYTES], 32_769, b"CD001");
    assert!(inspect(DiskFormat::Raw, &cd, 1 << 20).is_ok());
}

#[test]
fn unsafe_qcow2_headers_are_refused_by_name() {
    let malformed = |head: &[u8], word: &str| match inspect_qcow2(head) {
        Err(Unsafe::Malformed(what)) => assert!(what.contains(word), "{what}"),
        other => panic!("{word}: {other:?}"),
    };
    for (offset, bytes, expected) in [
        (4, &1_u32.to_be_bytes()[..], None),
        (4, &4_u32.to_be_bytes(), Some(Unsafe::Version(4))),
        (
            8,
            &7_u64.to_be_bytes(),
            Some(Unsafe::BackingFile("named at offset 7".into())),
        ),
        (
            16,
            &7_u32.to_be_bytes(),
            Some(Unsafe::BackingFile("\"QFI\\xfb\\x00\\x00\\x00\"".into())),
        ),
        (24, &0_u64.to_be_bytes(), Some(Unsafe::VirtualSize(0))),
        (
            24,
            &((1_u64 << 50) + 1).to_be_bytes(),
            Some(Unsafe::VirtualSize((1 << 50) + 1)),
        ),
        (32, &1_u32.to_be_bytes(), Some(Unsafe::Encrypted)),
        (60, &3_u32.to_be_bytes(), Some(Unsafe::Snapshots(3))),
        (72, &1_u64.to_be_bytes(), Some(Unsafe::Dirty)),
        (72, &2_u64.to_be_bytes(), Some(Unsafe::Corrupt)),
        (72, &4_u64.to_be_bytes(), Some(Unsafe::DataFile)),
        (
            72,
            &(1_u64 << 63).to_be_bytes(),
            Some(Unsafe::UnknownFeatures(1 << 63)),
        ),
        (88, &2_u64.to_be_bytes(), Some(Unsafe::DataFile)),
        (112, b"DATA\x00\x00\x00\x00", Some(Unsafe::DataFile)),
        (
            112,
            b"\x05\x37\xbe\x77\x00\x00\x00\x10",
            Some(Unsafe::Encrypted),
        ),
    ] {
        let expected = expected.unwrap_or(Unsafe::OtherFormat {
            declared: DiskFormat::Qcow2,
            found: Content::Qcow1,
        });
        assert_eq!(inspect_qcow2(&with(qcow2(), offset, bytes)), Err(expected));
    }
    for (offset, bytes, word) in [
        (20, &8_u32.to_be_bytes()[..], "cluster size"),
        (20, &22_u32.to_be_bytes(), "cluster size"),
        (20, &u32::MAX.to_be_bytes(), "cluster size"),
        (36, &1_u32.to_be_bytes(), "L1 table"),
        (36, &u32::MAX.to_be_bytes(), "L1 table"),
        (40, &(3 * CLUSTER + 512).to_be_bytes(), "outside"),
        (40, &FILE_SIZE.to_be_bytes(), "outside"),
        (40, &0_u64.to_be_bytes(), "outside"),
        (40, &(u64::MAX << 16).to_be_bytes(), "outside"),
        (48, &FILE_SIZE.to_be_bytes(), "outside"),
        (56, &0_u32.to_be_bytes(), "refcount table"),
        (56, &u32::MAX.to_be_bytes(), "refcount table"),
        (72, &8_u64.to_be_bytes(), "compression"),
        (96, &7_u32.to_be_bytes(), "reference counts"),
        (100, &96_u32.to_be_bytes(), "header length"),
        (100, &105_u32.to_be_bytes(), "header length"),
        (100, &u32::MAX.to_be_bytes(), "header length"),
        (104, &[1], "compression"),
        (104, &[2], "compression"),
        (112, b"\x12\x34\x56\x78\xff\xff\xff\xff", "extension"),
    ] {
        malformed(&with(qcow2(), offset, bytes), word);
    }
}

#[test]
fn a_backing_file_is_named_harmlessly() {
    let name = b"/etc/\x1b[31m\"shadow\n";
    let head = with(qcow2(), 1024, name);
    let head = with(head, 8, &1024_u64.to_be_bytes());
    let length = u32::try_from(name.len()).unwrap();
    let refused = inspect_qcow2(&with(head, 16, &length.to_be_bytes())).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the image has a backing file (\"/etc/\\x1b[31m\\\"shadow\\n\"): flatten it with `qemu-img convert -O qcow2`, \
         which writes everything into one file"
    );
}

#[test]
fn a_header_that_is_cut_off_is_refused_at_every_length() {
    for length in 0..120 {
        let head = &qcow2()[..length];
        let inspected = inspect(DiskFormat::Qcow2, head, length as u64);
        assert!(inspected.is_err(), "{length}: {inspected:?}");
    }
    let unread = inspect(DiskFormat::Qcow2, &qcow2()[..1000], FILE_SIZE);
    assert_eq!(
        unread,
        Err(Unsafe::Unread {
            have: 1000,
            need: HEAD_BYTES as u64
        })
    );
}

#[test]
fn a_file_of_another_format_is_refused_with_what_it_is() {
    for (offset, mark, found) in [
        (0, &b"QFI\xfb\x00\x00\x00\x03"[..], Content::Qcow2),
        (0, b"QFI\xfb\x00\x00\x00\x01", Content::Qcow1),
        (0, b"KDMV", Content::Vmdk),
        (0, b"COWD", Content::Vmdk),
        (0, b"# Disk DescriptorFile\nversion=1\n", Content::Vmdk),
        (
            0,
            b"# mine\n\n  Version=1\nRW 1 FLAT \"/etc/shadow\" 0\n",
            Content::Vmdk,
        ),
        (0, b"vhdxfile", Content::Vhdx),
        (0, b"conectix", Content::Vpc),
        (64, b"\x7f\x10\xda\xbe", Content::Vdi),
        (0, b"LUKS\xba\xbe", Content::Luks),
        (0, b"QED\0", Content::Qed),
        (0, b"WithoutFreeSpace", Content::Parallels),
        (0, b"WithouFreSpacExt", Content::Parallels),
        (0, b"\x1f\x8b\x08", Content::Gzip),
        (0, b"\xfd7zXZ\0", Content::Xz),
        (0, b"\x28\xb5\x2f\xfd", Content::Zstd),
        (0, b"BZh9", Content::Bzip2),
        (0, b"PK\x03\x04", Content::Zip),
        (257, b"ustar", Content::Tar),
        (0, b"\x7fELF", Content::Elf),
        (0, b"\n <!doctype html>", Content::Markup),
    ] {
        // Also when it could boot: another format may hold a boot record.
        for head in [vec![0; HEAD_BYTES], raw_disk()] {
            let refused = inspect(DiskFormat::Raw, &with(head, offset, mark), 1 << 20);
            let declared = DiskFormat::Raw;
            assert_eq!(refused, Err(Unsafe::OtherFormat { declared, found }));
        }
    }
    let refused = inspect(DiskFormat::Qcow2, &raw_disk(), 1 << 20).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the file is a raw disk with a boot record, but the image declares format Qcow2: declare `format: Raw`"
    );
}

#[test]
fn what_is_no_disk_is_refused() {
    for head in [vec![], vec![0; 512], b"hello, world\n".to_vec()] {
        let size = head.len() as u64;
        assert_eq!(inspect(DiskFormat::Raw, &head, size), Err(Unsafe::NoDisk));
        assert_eq!(
            inspect(DiskFormat::Qcow2, &head, size),
            Err(Unsafe::NotQcow2)
        );
    }
    let absurd = VIRTUAL_SIZE_MAX + 1;
    assert_eq!(
        inspect(DiskFormat::Raw, &raw_disk(), absurd),
        Err(Unsafe::VirtualSize(absurd))
    );
}

#[test]
fn a_full_disk_fits_below_the_limit_of_its_download() {
    assert_eq!(file_size_limit(DiskFormat::Raw, Size::gib(4)), 4 << 30);
    let smallest_clusters = (4_u64 << 30) + (4_u64 << 30) / 512 * 24;
    assert!(file_size_limit(DiskFormat::Qcow2, Size::gib(4)) > smallest_clusters);
    assert_eq!(
        file_size_limit(DiskFormat::Qcow2, Size::bytes(u64::MAX)),
        u64::MAX
    );
}

fn number(head: &[u8], offset: usize, bytes: usize) -> u64 {
    head[offset..offset + bytes]
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The promises of [`inspect`], read from the bytes once more and in another way.
fn assert_promises(head: &[u8], file_size: u64, shape: Shape) {
    assert_eq!(number(head, 8, 8), 0, "backing file offset");
    assert_eq!(number(head, 16, 4), 0, "backing file length");
    assert_eq!(number(head, 32, 4), 0, "encryption");
    assert_eq!(number(head, 24, 8), shape.virtual_size);
    assert!((1..=VIRTUAL_SIZE_MAX).contains(&shape.virtual_size));
    if number(head, 4, 4) == 3 {
        assert_eq!(number(head, 72, 8) & !0b11000, 0, "features");
    }
    let l1_end = u128::from(number(head, 40, 8)) + u128::from(number(head, 36, 4)) * 8;
    assert!(l1_end <= u128::from(file_size), "L1 table");
    let refcount_end =
        u128::from(number(head, 48, 8)) + (u128::from(number(head, 56, 4)) << number(head, 20, 4));
    assert!(refcount_end <= u128::from(file_size), "refcount table");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn arbitrary_bytes_never_panic(
        mut head in prop::collection::vec(any::<u8>(), 0..4096),
        mark in any::<bool>(),
        file_size in any::<u64>(),
    ) {
        if mark && head.len() >= 8 {
            put(&mut head, 0, b"QFI\xfb\x00\x00\x00\x03");
        }
        for declared in [DiskFormat::Qcow2, DiskFormat::Raw] {
            let _ = inspect(declared, &head, file_size);
            let _ = inspect(declared, &head, head.len() as u64);
        }
    }

    #[test]
    fn a_mutated_header_keeps_the_promises_or_is_refused(
        mutations in prop::collection::vec((0_usize..256, any::<u8>()), 1..4),
        file_size in prop_oneof![Just(FILE_SIZE), HEAD_BYTES as u64..FILE_SIZE * 4, any::<u64>()],
    ) {
        let mut head = qcow2();
        for (offset, byte) in mutations {
            head[offset] = byte;
        }
        if let Ok(shape) = inspect(DiskFormat::Qcow2, &head, file_size) {
            assert_promises(&head, file_size, shape);
        }
    }
}

//! The header of a qcow2 file, as QEMU's `docs/interop/qcow2.txt` defines it.
//!
//! It reads the header and its extensions and nothing behind them. It must never index the bytes without a bound or
//! add up offsets without a check: every number in here was chosen by somebody else.

use super::{HEAD_BYTES, Shape, Unsafe, VIRTUAL_SIZE_MAX};

const HEADER_BYTES_V2: u32 = 72;
const HEADER_BYTES_V3: u32 = 104;

/// Smallest and largest cluster that QEMU accepts: 512 bytes and 2 MiB.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// Extended L2 entries divide a cluster into 32 parts, each of at least 512 bytes.
const CLUSTER_BITS_EXTENDED_L2: u32 = 14;
/// 1 << 6 = 64 bits for each reference count.
const REFCOUNT_ORDER_MAX: u32 = 6;
/// QEMU's own bounds (`QCOW_MAX_L1_SIZE`, `QCOW_MAX_REFTABLE_SIZE`).
const L1_BYTES_MAX: u64 = 32 << 20;
const REFCOUNT_TABLE_BYTES_MAX: u64 = 8 << 20;

mod incompatible {
    pub const DIRTY: u64 = 1 << 0;
    pub const CORRUPT: u64 = 1 << 1;
    pub const DATA_FILE: u64 = 1 << 2;
    pub const COMPRESSION_TYPE: u64 = 1 << 3;
    pub const EXTENDED_L2: u64 = 1 << 4;
    pub const KNOWN: u64 = DIRTY | CORRUPT | DATA_FILE | COMPRESSION_TYPE | EXTENDED_L2;
}

/// Set beside `incompatible::DATA_FILE` when the external file is a raw disk.
const AUTOCLEAR_RAW_DATA_FILE: u64 = 1 << 1;
const COMPRESSION_ZLIB: u8 = 0;
const COMPRESSION_ZSTD: u8 = 1;

const EXTENSION_END: u32 = 0;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
const EXTENSION_LUKS: u32 = 0x0537_be77;

/// Says what disk the image describes, or why it is not safe. `head` begins with the qcow2 mark.
pub(super) fn inspect(head: &[u8], file_size: u64) -> Result<Shape, Unsafe> {
    let header = Header::parse(head)?;
    header.check_dependencies(head)?;
    header.check_features()?;
    header.check_extensions(head)?;
    header.check_tables(file_size)?;
    Ok(Shape {
        virtual_size: header.virtual_size,
    })
}

/// The name of the file that the disk continues in, as it is written; none of a disk that stands alone.
pub(super) fn backing_file(head: &[u8]) -> Result<Option<String>, Unsafe> {
    let header = Header::parse(head)?;
    if header.backing_offset == 0 {
        return Ok(None);
    }
    let (offset, length) = (header.backing_offset, header.backing_bytes);
    let name = usize::try_from(offset)
        .ok()
        .zip(usize::try_from(length).ok())
        .and_then(|(offset, length)| head.get(offset..)?.get(..length))
        .and_then(|name| String::from_utf8(name.to_vec()).ok());
    name.map(Some).ok_or(Unsafe::HeaderCutOff(head.len()))
}

#[derive(Debug)]
struct Header {
    backing_offset: u64,
    backing_bytes: u32,
    cluster_bits: u32,
    virtual_size: u64,
    crypt_method: u32,
    l1_entries: u32,
    l1_offset: u64,
    refcount_table_offset: u64,
    refcount_table_clusters: u32,
    snapshots: u32,
    incompatible: u64,
    autoclear: u64,
    refcount_order: u32,
    length: u32,
    compression: u8,
}

impl Header {
    fn parse(head: &[u8]) -> Result<Self, Unsafe> {
        let version = be32(head, 4)?;
        if !matches!(version, 2 | 3) {
            return Err(Unsafe::Version(version));
        }
        let mut header = Self {
            backing_offset: be64(head, 8)?,
            backing_bytes: be32(head, 16)?,
            cluster_bits: be32(head, 20)?,
            virtual_size: be64(head, 24)?,
            crypt_method: be32(head, 32)?,
            l1_entries: be32(head, 36)?,
            l1_offset: be64(head, 40)?,
            refcount_table_offset: be64(head, 48)?,
            refcount_table_clusters: be32(head, 56)?,
            snapshots: be32(head, 60)?,
            // What version 2 means by not having these fields.
            incompatible: 0,
            autoclear: 0,
            refcount_order: 4,
            length: HEADER_BYTES_V2,
            compression: COMPRESSION_ZLIB,
        };
        // The offset of the snapshots is the last field of version 2; it says nothing when there are none.
        be64(head, 64)?;
        if version == 3 {
            header.incompatible = be64(head, 72)?;
            header.autoclear = be64(head, 88)?;
            header.refcount_order = be32(head, 96)?;
            header.length = be32(head, 100)?;
            if header.length > HEADER_BYTES_V3 {
                header.compression = bytes::<1>(head, 104)?[0];
            }
        }
        header.check_lengths(version)?;
        Ok(header)
    }

    fn check_lengths(&self, version: u32) -> Result<(), Unsafe> {
        if !CLUSTER_BITS.contains(&self.cluster_bits) {
            return Err(Unsafe::Malformed("its cluster size is impossible"));
        }
        let possible = u64::from(HEADER_BYTES_V3)..=self.cluster_bytes();
        let length = u64::from(self.length);
        if version == 3 && (!possible.contains(&length) || !length.is_multiple_of(8)) {
            return Err(Unsafe::Malformed("its header length is impossible"));
        }
        Ok(())
    }

    fn check_dependencies(&self, head: &[u8]) -> Result<(), Unsafe> {
        if self.backing_offset != 0 || self.backing_bytes != 0 {
            return Err(Unsafe::BackingFile(self.backing_name(head)));
        }
        if self.incompatible & incompatible::DATA_FILE != 0
            || self.autoclear & AUTOCLEAR_RAW_DATA_FILE != 0
        {
            return Err(Unsafe::DataFile);
        }
        if self.crypt_method != 0 {
            return Err(Unsafe::Encrypted);
        }
        if self.snapshots != 0 {
            return Err(Unsafe::Snapshots(self.snapshots));
        }
        Ok(())
    }

    fn check_features(&self) -> Result<(), Unsafe> {
        let unknown = self.incompatible & !incompatible::KNOWN;
        if unknown != 0 {
            return Err(Unsafe::UnknownFeatures(unknown));
        }
        if self.incompatible & incompatible::CORRUPT != 0 {
            return Err(Unsafe::Corrupt);
        }
        if self.incompatible & incompatible::DIRTY != 0 {
            return Err(Unsafe::Dirty);
        }
        let compression = if self.incompatible & incompatible::COMPRESSION_TYPE == 0 {
            COMPRESSION_ZLIB
        } else {
            COMPRESSION_ZSTD
        };
        if self.compression != compression {
            return Err(Unsafe::Malformed("its compression type is unknown"));
        }
        if self.has_extended_l2() && self.cluster_bits < CLUSTER_BITS_EXTENDED_L2 {
            return Err(Unsafe::Malformed(
                "its clusters are too small for extended L2 entries",
            ));
        }
        if self.refcount_order > REFCOUNT_ORDER_MAX {
            return Err(Unsafe::Malformed(
                "its reference counts are impossibly wide",
            ));
        }
        Ok(())
    }

    /// Walks the extensions that follow the header, up to the end mark or the end of the first cluster.
    fn check_extensions(&self, head: &[u8]) -> Result<(), Unsafe> {
        let end = self.cluster_bytes();
        let mut offset = u64::from(self.length);
        while offset < end {
            if offset + 8 > HEAD_BYTES as u64 {
                return Err(Unsafe::Malformed("its header extensions are too long"));
            }
            // Within HEAD_BYTES, so the conversion cannot fail; what does not fit is not there.
            let at = usize::try_from(offset).unwrap_or(usize::MAX);
            let kind = be32(head, at)?;
            let length = u64::from(be32(head, at.saturating_add(4))?);
            match kind {
                EXTENSION_END => return Ok(()),
                EXTENSION_DATA_FILE => return Err(Unsafe::DataFile),
                EXTENSION_LUKS => return Err(Unsafe::Encrypted),
                // Names of features, bitmaps, the format of a backing file that there is none of, and what was
                // invented later: an image must work for those who ignore them.
                _ => offset += 8 + length.next_multiple_of(8),
            }
            if offset > end {
                return Err(Unsafe::Malformed("a header extension is too long"));
            }
        }
        Ok(())
    }

    fn check_tables(&self, file_size: u64) -> Result<(), Unsafe> {
        if !(1..=VIRTUAL_SIZE_MAX).contains(&self.virtual_size) {
            return Err(Unsafe::VirtualSize(self.virtual_size));
        }
        let refcounts = u64::from(self.refcount_table_clusters) << self.cluster_bits;
        if refcounts == 0 || refcounts > REFCOUNT_TABLE_BYTES_MAX {
            return Err(Unsafe::Malformed(
                "its refcount table has an impossible size",
            ));
        }
        if !self.holds_table(self.refcount_table_offset, refcounts, file_size) {
            return Err(Unsafe::Malformed(
                "its refcount table lies outside the file",
            ));
        }
        let l1 = u64::from(self.l1_entries) * 8;
        if l1 > L1_BYTES_MAX || u64::from(self.l1_entries) < self.l1_entries_needed() {
            return Err(Unsafe::Malformed("its L1 table does not fit its disk size"));
        }
        if !self.holds_table(self.l1_offset, l1, file_size) {
            return Err(Unsafe::Malformed("its L1 table lies outside the file"));
        }
        Ok(())
    }

    /// Whether a table begins at a cluster other than the header's and ends within the file.
    fn holds_table(&self, offset: u64, bytes: u64, file_size: u64) -> bool {
        let end = offset.checked_add(bytes);
        offset != 0
            && offset.is_multiple_of(self.cluster_bytes())
            && end.is_some_and(|end| end <= file_size)
    }

    fn l1_entries_needed(&self) -> u64 {
        let l2_entry_bytes = if self.has_extended_l2() { 16 } else { 8 };
        let bytes_for_each_l1_entry =
            self.cluster_bytes() * (self.cluster_bytes() / l2_entry_bytes);
        self.virtual_size.div_ceil(bytes_for_each_l1_entry)
    }

    fn cluster_bytes(&self) -> u64 {
        1 << self.cluster_bits
    }

    fn has_extended_l2(&self) -> bool {
        self.incompatible & incompatible::EXTENDED_L2 != 0
    }

    /// The name of the backing file, for a message: harmless characters and not too many.
    fn backing_name(&self, head: &[u8]) -> String {
        const SHOWN_MAX: usize = 128;
        let name = usize::try_from(self.backing_offset)
            .ok()
            .zip(usize::try_from(self.backing_bytes).ok())
            .and_then(|(offset, length)| head.get(offset..)?.get(..length.min(SHOWN_MAX)))
            .filter(|name| !name.is_empty());
        match name {
            Some(name) => format!("\"{}\"", name.escape_ascii()),
            None => format!("named at offset {}", self.backing_offset),
        }
    }
}

fn be32(head: &[u8], offset: usize) -> Result<u32, Unsafe> {
    bytes(head, offset).map(u32::from_be_bytes)
}

fn be64(head: &[u8], offset: usize) -> Result<u64, Unsafe> {
    bytes(head, offset).map(u64::from_be_bytes)
}

fn bytes<const N: usize>(head: &[u8], offset: usize) -> Result<[u8; N], Unsafe> {
    head.get(offset..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or(Unsafe::HeaderCutOff(head.len()))
}

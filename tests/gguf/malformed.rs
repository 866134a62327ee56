//! Damaged and hostile files: each is an error that names what is wrong, costs no more memory
//! than its own size justifies, and never a panic.

use proptest::prelude::*;
use rocmforge::gguf::{Array, File, Value};

use crate::alloc::largest;
use crate::raw::{Raw, array, string};
use crate::round_trip::everything;

/// Keys "arch" and "list", tensors "a" (32 bytes) and "b" (36 bytes).
fn good() -> Raw {
    Raw::new()
        .entry("arch", 8, &string("llama"))
        .entry("list", 9, &array(8, 2, &[string("x"), string("yz")].concat()))
        .tensor("a", &[4, 2], 0, 0)
        .tensor("b", &[32, 2], 2, 32)
        .data(68)
}

/// A file with one entry.
fn entry(key: impl AsRef<[u8]>, ty: u32, value: &[u8]) -> Vec<u8> {
    Raw::new().entry(key, ty, value).entry("after", 0, &[0]).bytes()
}

/// A file with an array under "k".
fn list(elem: u32, len: u64, elements: &[u8]) -> Vec<u8> {
    entry("k", 9, &array(elem, len, elements))
}

/// A file with tensor "t" and enough data for small ones.
fn tensor(dims: &[u64], ty: u32, offset: u64) -> Vec<u8> {
    Raw::new().tensor("t", dims, ty, offset).data(256).bytes()
}

/// A file with tensor "t" whose alignment is what `ty` and `value` say.
fn aligned(ty: u32, value: &[u8], offset: u64) -> Vec<u8> {
    Raw::new().entry("general.alignment", ty, value).tensor("t", &[1], 24, offset).data(256).bytes()
}

/// A file with i8 tensors "a", "b", ... of `(length, offset)`.
fn placed(tensors: &[(u64, u64)]) -> Vec<u8> {
    let named = ["a", "b", "c", "d"].iter().zip(tensors);
    named.fold(Raw::new().data(256), |raw, (name, &(n, offset))| raw.tensor(name, &[n], 24, offset)).bytes()
}

fn nested(depth: usize) -> Vec<u8> {
    (1..depth).fold(array(0, 1, &[7]), |inner, _| array(9, 1, &inner))
}

fn with(change: impl FnOnce(&mut Raw)) -> Vec<u8> {
    let mut raw = good();
    change(&mut raw);
    raw.bytes()
}

/// A string whose length is wrong.
fn long(len: u64) -> Vec<u8> {
    [&len.to_le_bytes()[..], b"text"].concat()
}

#[test]
fn table() {
    let not_utf8 = string([b'o', b'k', 0xff]);
    let f64_of = |n| tensor(&[n], 28, 0);
    #[rustfmt::skip]
    let table: Vec<(&str, &[&str], Vec<u8>)> = vec![
        ("empty", &["empty"], vec![]),
        ("three bytes", &["header"], b"GGU".to_vec()),
        ("magic", &["not a GGUF file", "GGML"], with(|r| r.magic = *b"GGML")),
        ("magic swapped", &["not a GGUF file"], with(|r| r.magic = *b"FUGG")),
        ("magic of binary bytes", &["not a GGUF file", "\\x00"], with(|r| r.magic = [0; 4])),
        ("version 0", &["version 0"], with(|r| r.version = 0)),
        ("version 1", &["version 1"], with(|r| r.version = 1)),
        ("version 4", &["version 4"], with(|r| r.version = 4)),
        ("version 2^32-1", &["version 4294967295"], with(|r| r.version = u32::MAX)),
        ("big-endian 3", &["big-endian", "version 3"], with(|r| r.version = 3 << 24)),
        ("big-endian 2", &["big-endian", "version 2"], with(|r| r.version = 2 << 24)),
        ("tensor count 2^64-1", &["header: tensor count"], with(|r| r.n_tensors = Some(u64::MAX))),
        ("tensor count 2^63-1", &["header: tensor count"], with(|r| r.n_tensors = Some(u64::MAX >> 1))),
        ("tensor count 2^59", &["header: tensor count"], with(|r| r.n_tensors = Some(1 << 59))),
        ("tensor count one over", &["tensor table entry 2"], with(|r| r.n_tensors = Some(3))),
        ("metadata count 2^64-1", &["header: metadata count"], with(|r| r.n_entries = Some(u64::MAX))),
        ("metadata count 2^60", &["header: metadata count"], with(|r| r.n_entries = Some(1 << 60))),
        ("metadata count one over", &["tensor table entry 0"], with(|r| r.n_entries = Some(3))),
        ("metadata count one short", &["\"list\"", "dimensions"], with(|r| r.n_entries = Some(1))),
        ("key length 2^64-1", &["metadata entry 0", "string length"], with(|r| r.entries[0] = long(u64::MAX))),
        ("key length past the end", &["metadata entry 1", "string length"], with(|r| r.entries[1] = long(1000))),
        ("key empty", &["metadata entry 0: key", "length 0"], entry("", 0, &[1])),
        ("key of 65536 bytes", &["metadata entry 0: key", "65536"], entry("k".repeat(65536), 0, &[1])),
        ("key not UTF-8", &["metadata entry 0: key", "UTF-8", "byte 1"], entry(b"k\xff", 0, &[1])),
        ("key cut in a character", &["metadata entry 0: key", "UTF-8"], entry(b"\xe6\xb0", 0, &[1])),
        ("key twice", &["\"k\" occurs twice"], Raw::new().entry("k", 0, &[1]).entry("l", 0, &[1]).entry("k", 7, &[1]).bytes()),
        ("value type 13", &["\"k\"", "value type id 13"], entry("k", 13, &[0; 8])),
        ("value type 2^32-1", &["\"k\"", "value type id 4294967295"], entry("k", u32::MAX, &[0; 8])),
        ("string length 2^64-1", &["\"k\"", "string length"], entry("k", 8, &long(u64::MAX))),
        ("string length 2^63", &["\"k\"", "string length"], entry("k", 8, &long(1 << 63))),
        ("string past the end", &["\"k\"", "string length"], entry("k", 8, &long(100))),
        ("string not UTF-8", &["\"k\"", "UTF-8", "byte 2 of 3"], entry("k", 8, &not_utf8)),
        ("string with a surrogate", &["\"k\"", "UTF-8"], entry("k", 8, &string(b"\xed\xa0\x80"))),
        ("string overlong", &["\"k\"", "UTF-8"], entry("k", 8, &string(b"\xc0\x80"))),
        ("boolean 2", &["\"k\"", "boolean is 2"], entry("k", 7, &[2])),
        ("boolean 255", &["\"k\"", "boolean is 255"], entry("k", 7, &[255])),
        ("array of type 13", &["\"k\"", "element type", "13"], list(13, 1, &[0; 8])),
        ("array of type 2^32-1, empty", &["\"k\"", "element type"], list(u32::MAX, 0, &[])),
        ("array of 2^64-1 u8", &["\"k\"", "array length"], list(0, u64::MAX, &[1])),
        ("array of 2^62 u32", &["\"k\"", "array length"], list(4, 1 << 62, &[1; 4])),
        ("array of 2^61 u64", &["\"k\"", "array length"], list(10, 1 << 61, &[1; 8])),
        ("array of u64 one over", &["\"k\"", "array length"], list(10, 12, &[1; 8])),
        ("array of 2^61 strings", &["\"k\"", "array length"], list(8, 1 << 61, &string("a"))),
        ("array of 2^60 arrays", &["\"k\"", "array length"], list(9, 1 << 60, &nested(1))),
        ("array string length 2^64-1", &["\"k\"", "element 1", "string length"], list(8, 2, &[string("a"), long(u64::MAX)].concat())),
        ("array string not UTF-8", &["\"k\"", "element 1", "UTF-8"], list(8, 2, &[string("a"), not_utf8.clone()].concat())),
        ("array boolean 3", &["\"k\"", "element 2", "boolean is 3"], list(7, 3, &[0, 1, 3])),
        ("array in array of type 99", &["\"k\"", "element 0", "element type", "99"], list(9, 1, &array(99, 1, &[0; 8]))),
        ("array in array too long", &["\"k\"", "element 0", "array length"], list(9, 1, &array(0, 1 << 40, &[0; 8]))),
        ("arrays nine deep", &["\"k\"", "nested deeper than 8"], entry("k", 9, &nested(9))),
        ("arrays 10000 deep", &["\"k\"", "nested deeper than 8"], entry("k", 9, &nested(10000))),
        ("alignment 0", &["general.alignment", "is 0"], aligned(4, &0u32.to_le_bytes(), 0)),
        ("alignment 1", &["general.alignment", "is 1"], aligned(4, &1u32.to_le_bytes(), 0)),
        ("alignment 33", &["general.alignment", "is 33"], aligned(4, &33u32.to_le_bytes(), 0)),
        ("alignment 96", &["general.alignment", "is 96"], aligned(4, &96u32.to_le_bytes(), 0)),
        ("alignment of type u64", &["general.alignment", "is u64"], aligned(10, &32u64.to_le_bytes(), 0)),
        ("alignment of type str", &["general.alignment", "is str"], aligned(8, &string("32"), 0)),
        ("alignment 2^31", &["\"t\"", "not inside the file"], aligned(4, &(1u32 << 31).to_le_bytes(), 0)),
        ("alignment 64, offset 32", &["\"t\"", "offset 32", "alignment 64"], aligned(4, &64u32.to_le_bytes(), 32)),
        ("tensor name length 2^64-1", &["tensor table entry 1: name"], with(|r| r.tensors[1] = long(u64::MAX))),
        ("tensor name past the end", &["tensor table entry 0: name"], with(|r| r.tensors[0] = long(10_000))),
        ("tensor name empty", &["tensor table entry 0", "0 bytes"], Raw::new().tensor("", &[1], 24, 0).data(1).bytes()),
        ("tensor name of 64 bytes", &["tensor table entry 0", "64 bytes"], Raw::new().tensor("n".repeat(64), &[1], 24, 0).data(1).bytes()),
        ("tensor name not UTF-8", &["tensor table entry 0: name", "UTF-8"], Raw::new().tensor([0x80], &[1], 24, 0).data(1).bytes()),
        ("tensor name twice", &["\"t\" occurs twice"], Raw::new().tensor("t", &[1], 24, 0).tensor("u", &[1], 24, 64).tensor("t", &[1], 24, 32).data(96).bytes()),
        ("no dimensions", &["\"t\"", "0 dimensions"], tensor(&[], 24, 0)),
        ("five dimensions", &["\"t\"", "5 dimensions"], tensor(&[1; 5], 24, 0)),
        ("2^32-1 dimensions", &["\"a\"", "4294967295 dimensions"], with(|r| r.tensors[0][9..13].fill(255))),
        ("dimension 0 zero", &["\"t\"", "dimension 0 is zero"], tensor(&[0, 4], 24, 0)),
        ("dimension 3 zero", &["\"t\"", "dimension 3 is zero"], tensor(&[1, 1, 1, 0], 24, 0)),
        ("dimension 2^64-1", &["\"t\"", "overflow"], tensor(&[u64::MAX], 24, 0)),
        ("dimension 2^63", &["\"t\"", "overflow"], tensor(&[1 << 63], 24, 0)),
        ("2^32 by 2^32", &["\"t\"", "overflow"], tensor(&[1 << 32, 1 << 32], 24, 0)),
        ("2^16 four times", &["\"t\"", "overflow"], tensor(&[1 << 16; 4], 24, 0)),
        ("bytes wrap to 0", &["\"t\"", "overflow"], f64_of(1 << 61)),
        ("bytes wrap to 8", &["\"t\"", "overflow"], f64_of((1 << 61) + 1)),
        ("rows wrap", &["\"t\"", "overflow"], tensor(&[256, 1 << 54], 28, 0)),
        ("absurd size", &["\"t\"", "not inside the file"], tensor(&[1 << 40], 0, 0)),
        ("tensor type 4", &["\"t\"", "tensor type id 4"], tensor(&[32], 4, 0)),
        ("tensor type 31", &["\"t\"", "tensor type id 31"], tensor(&[32], 31, 0)),
        ("tensor type 43", &["\"t\"", "tensor type id 43"], tensor(&[32], 43, 0)),
        ("tensor type 2^32-1", &["\"t\"", "tensor type id 4294967295"], tensor(&[32], u32::MAX, 0)),
        ("q4_0 row of 33", &["\"t\"", "33", "q4_0"], tensor(&[33], 2, 0)),
        ("q4_K row of 32", &["\"t\"", "32", "q4_K"], tensor(&[32, 8], 12, 0)),
        ("q8_0 row of 1", &["\"t\"", "q8_0"], tensor(&[1, 32], 8, 0)),
        ("offset 1", &["\"t\"", "offset 1 "], tensor(&[1], 24, 1)),
        ("offset 16", &["\"t\"", "offset 16 "], tensor(&[1], 24, 16)),
        ("offset 2^64-32", &["\"t\"", "not inside the file"], tensor(&[1], 24, u64::MAX - 31)),
        ("offset 2^64-96", &["\"t\"", "not inside the file"], tensor(&[64], 24, u64::MAX - 95)),
        ("offset 2^63", &["\"t\"", "not inside the file"], tensor(&[1], 24, 1 << 63)),
        ("offset at the end", &["\"t\"", "not inside the file"], tensor(&[1], 24, 256)),
        ("one byte past the end", &["\"t\"", "not inside the file"], tensor(&[257], 24, 0)),
        ("no data", &["\"a\"", "not inside the file"], with(|r| r.data.clear())),
        ("one byte of data missing", &["\"b\"", "not inside the file"], with(|r| r.data.truncate(67))),
        ("same data", &["\"a\"", "\"b\"", "overlap"], placed(&[(1, 0), (1, 0)])),
        ("overlap by one byte", &["\"a\"", "\"b\"", "overlap"], placed(&[(33, 0), (1, 32)])),
        ("overlap out of order", &["\"a\"", "\"c\"", "overlap"], placed(&[(10, 64), (10, 0), (33, 32)])),
        ("one inside another", &["\"b\"", "\"a\"", "overlap"], placed(&[(256, 0), (1, 96)])),
        ("shard in memory", &["shard 1 of 3"], Raw::new().entry("split.no", 2, &[0, 0]).entry("split.count", 2, &[3, 0]).bytes()),
        ("split number past the count", &["split.no", "split.count"], Raw::new().entry("split.no", 2, &[3, 0]).entry("split.count", 2, &[3, 0]).bytes()),
        ("split count a string", &["split.count", "str"], Raw::new().entry("split.count", 8, &string("3")).bytes()),
    ];
    assert!(table.len() >= 60);
    for (what, texts, bytes) in table {
        let limit = bytes.len() + 4096;
        let (result, size) = largest(|| File::from_bytes(bytes));
        let Err(e) = result else { panic!("{what}: accepted") };
        let m = e.to_string();
        for text in texts {
            assert!(m.contains(text), "{what}: {m:?} lacks {text:?}");
        }
        assert!(size <= limit, "{what}: {size} bytes were allocated at once, limit {limit}");
    }
}

#[test]
fn the_base_of_the_table_is_fine() {
    let f = File::from_bytes(good().bytes()).unwrap();
    assert_eq!((f.keys().count(), f.n_tensors()), (2, 2));
    File::from_bytes(entry("k", 9, &nested(8))).unwrap();
    File::from_bytes(entry("k".repeat(65535), 0, &[1])).unwrap();
    File::from_bytes(tensor(&[256], 24, 0)).unwrap();
    File::from_bytes(placed(&[(10, 64), (10, 0), (32, 32)])).unwrap();
    File::from_bytes(Raw::new().tensor("n".repeat(63), &[1], 24, 0).data(1).bytes()).unwrap();
    // Without tensors there is no data section, and nothing to pad for.
    let (bytes, ends) = Raw::new().entry("k", 0, &[1]).build();
    File::from_bytes(bytes[..ends[1]].to_vec()).unwrap();
}

/// Cut anywhere, a file is an error that says in which section.
#[test]
fn truncated() {
    let (bytes, ends) = good().build();
    let sections = ["header", "arch", "list", "\"a\"", "\"b\"", "\"a\""];
    let entries =
        ["", "metadata entry 0", "metadata entry 1", "tensor table entry 0", "tensor table entry 1", "\"b\""];
    assert_eq!(ends.len(), sections.len());
    for cut in 0..bytes.len() {
        let section = ends.iter().position(|&end| cut < end).unwrap();
        let m = File::from_bytes(bytes[..cut].to_vec()).expect_err("cut").to_string();
        let named = m.contains(sections[section]) || section > 0 && m.contains(entries[section]);
        // With few bytes left, the counts in the header are refused before anything else.
        let early = cut < ends[4] && (m.contains("header: ") && m.contains("count"));
        assert!(named || early || cut == 0 && m.contains("empty"), "cut at {cut}: {m:?}");
    }
}

/// Looks at everything that a file gives.
fn walk(f: &File) {
    fn array(a: Array, depth: usize) {
        assert!(depth <= 8);
        assert_eq!(a.values().count(), a.len());
        for v in a.values() {
            if let Value::Array(inner) = v {
                array(inner, depth + 1);
            }
        }
        let _ = (a.strs().map(Iterator::count), a.i32s().map(Iterator::count), a.u32s().map(Iterator::count));
        let _ =
            (a.f32s().map(Iterator::count), a.bools().map(Iterator::count), a.arrays().map(Iterator::count));
    }
    for (key, value) in f.keys() {
        assert_eq!(f.get(key).map(|v| v.ty()), Some(value.ty()));
        let _ = (f.str(key), f.u32(key), f.u64(key), f.i64(key), f.f32(key), f.bool(key));
        if let Value::Array(a) = value {
            array(a, 1);
        }
    }
    for t in f.tensors() {
        assert_eq!(f.data(&t).len(), t.n_bytes());
        assert_eq!(f.data(&t).as_ptr() as usize % 8, 0);
        assert_eq!(f.tensor(t.name).map(|t| t.index), Some(t.index));
        let _ = f.data(&t).iter().fold(0u8, |a, b| a ^ b);
    }
}

fn check(bytes: Vec<u8>) {
    let limit = bytes.len() + 4096;
    let (result, size) = largest(|| File::from_bytes(bytes));
    assert!(size <= limit, "{size} bytes were allocated at once, limit {limit}");
    if let Ok(f) = result {
        walk(&f);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn damage_does_not_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = everything(3);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        check(bytes);
    }

    #[test]
    fn odd_numbers_do_not_panic(
        at in any::<prop::sample::Index>(),
        value in prop_oneof![
            Just(0), Just(1), Just(u64::MAX), Just(1 << 63), Just((1 << 63) - 1), Just(1 << 61), Just(1 << 32),
            Just(u64::MAX - 31), 0u64..100_000,
        ],
        wide in any::<bool>(),
    ) {
        let mut bytes = everything(3);
        let n = if wide { 8 } else { 4 };
        let at = at.index(bytes.len() - n);
        bytes[at..at + n].copy_from_slice(&value.to_le_bytes()[..n]);
        check(bytes);
    }
}

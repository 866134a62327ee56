//! What is written is what is read.

use std::io::Write as _;

use proptest::prelude::*;
use rocmforge::Error;
use rocmforge::gguf::{Array, ArrayBuf, File, KEY_ALIGNMENT, Value, ValueType, Writer};
use rocmforge::quant::GgmlType;

use crate::raw::{Raw, array, string};

/// A file with every type of value, arrays of every type, and a few tensors.
pub fn everything(version: u32) -> Vec<u8> {
    let mut w = Writer::new();
    w.set_version(version).unwrap();
    w.set("general.architecture", "llama").unwrap();
    w.set("v.u8", u8::MAX).unwrap();
    w.set("v.i8", i8::MIN).unwrap();
    w.set("v.u16", u16::MAX).unwrap();
    w.set("v.i16", i16::MIN).unwrap();
    w.set("v.u32", u32::MAX).unwrap();
    w.set("v.i32", i32::MIN).unwrap();
    w.set("v.u64", u64::MAX).unwrap();
    w.set("v.i64", i64::MIN).unwrap();
    w.set("v.f32", -1.5e-3f32).unwrap();
    w.set("v.f64", 1e300f64).unwrap();
    w.set("v.true", true).unwrap();
    w.set("v.false", false).unwrap();
    w.set("v.empty", "").unwrap();
    w.set("v.str", "größer als 水 \0 🦀").unwrap();
    w.set("a.u8", &ArrayBuf::from(&[0u8, 255][..])).unwrap();
    w.set("a.i8", &ArrayBuf::from(&[-128i8, 127][..])).unwrap();
    w.set("a.u16", &ArrayBuf::from(&[0u16, 65535][..])).unwrap();
    w.set("a.i16", &ArrayBuf::from(&[-32768i16, 32767][..])).unwrap();
    w.set("a.u32", &ArrayBuf::from(&[0u32, 7, u32::MAX][..])).unwrap();
    w.set("a.i32", &ArrayBuf::from(&[i32::MIN, -1, i32::MAX][..])).unwrap();
    w.set("a.u64", &ArrayBuf::from(&[u64::MAX][..])).unwrap();
    w.set("a.i64", &ArrayBuf::from(&[i64::MIN, 5][..])).unwrap();
    w.set("a.f32", &ArrayBuf::from(&[0.5f32, f32::MAX][..])).unwrap();
    w.set("a.f64", &ArrayBuf::from(&[0.25f64, -3.0][..])).unwrap();
    w.set("a.bool", &ArrayBuf::from(&[true, false, true][..])).unwrap();
    w.set("a.str", &ArrayBuf::from(&["", "a", "水"][..])).unwrap();
    w.set("a.none", &ArrayBuf::new(ValueType::Str)).unwrap();
    let mut nested = ArrayBuf::new(ValueType::Array);
    nested.push(&ArrayBuf::from(&["x", "yz"][..])).unwrap();
    nested.push(&ArrayBuf::from(&[1u8, 2, 3][..])).unwrap();
    nested.push(&ArrayBuf::new(ValueType::Array)).unwrap();
    w.set("a.nested", &nested).unwrap();
    w.tensor("tok.weight", &[32, 3], GgmlType::Q4_0, &[1; 54]).unwrap();
    w.tensor("one", &[1], GgmlType::F32, &[2; 4]).unwrap();
    w.tensor("cube", &[2, 3, 4, 5], GgmlType::F16, &[3; 240]).unwrap();
    w.into_bytes().unwrap()
}

fn only<'a>(file: &'a File, key: &str) -> Array<'a> {
    file.need_array(key).unwrap()
}

#[test]
fn values() {
    for version in [2, 3] {
        let f = File::from_bytes(everything(version)).unwrap();
        assert_eq!((f.version(), f.alignment()), (version, 32));
        let expected = [
            ("general.architecture", Value::Str("llama")),
            ("v.u8", Value::U8(255)),
            ("v.i8", Value::I8(-128)),
            ("v.u16", Value::U16(65535)),
            ("v.i16", Value::I16(-32768)),
            ("v.u32", Value::U32(u32::MAX)),
            ("v.i32", Value::I32(i32::MIN)),
            ("v.u64", Value::U64(u64::MAX)),
            ("v.i64", Value::I64(i64::MIN)),
            ("v.f32", Value::F32(-1.5e-3)),
            ("v.f64", Value::F64(1e300)),
            ("v.true", Value::Bool(true)),
            ("v.false", Value::Bool(false)),
            ("v.empty", Value::Str("")),
            ("v.str", Value::Str("größer als 水 \0 🦀")),
        ];
        for ((key, value), (want_key, want)) in f.keys().zip(expected) {
            assert_eq!((key, value), (want_key, want));
            assert_eq!(f.get(key), Some(want));
        }
        assert_eq!(f.keys().count(), expected.len() + 14);
        assert_eq!(f.get("v.u"), None);
        assert_eq!(f.get(""), None);
    }
}

#[test]
fn arrays() {
    let f = File::from_bytes(everything(3)).unwrap();
    let v = |key| only(&f, key).values().collect::<Vec<_>>();
    assert_eq!(v("a.u8"), [Value::U8(0), Value::U8(255)]);
    assert_eq!(v("a.i8"), [Value::I8(-128), Value::I8(127)]);
    assert_eq!(v("a.u16"), [Value::U16(0), Value::U16(65535)]);
    assert_eq!(v("a.i16"), [Value::I16(-32768), Value::I16(32767)]);
    assert_eq!(v("a.u64"), [Value::U64(u64::MAX)]);
    assert_eq!(v("a.i64"), [Value::I64(i64::MIN), Value::I64(5)]);
    assert_eq!(v("a.f64"), [Value::F64(0.25), Value::F64(-3.0)]);
    assert_eq!(only(&f, "a.u32").u32s().unwrap().collect::<Vec<_>>(), [0, 7, u32::MAX]);
    assert_eq!(only(&f, "a.i32").i32s().unwrap().collect::<Vec<_>>(), [i32::MIN, -1, i32::MAX]);
    assert_eq!(only(&f, "a.u8").i32s().unwrap().collect::<Vec<_>>(), [0, 255]);
    assert_eq!(only(&f, "a.f32").f32s().unwrap().collect::<Vec<_>>(), [0.5, f32::MAX]);
    assert_eq!(only(&f, "a.f64").f32s().unwrap().collect::<Vec<_>>(), [0.25, -3.0]);
    assert_eq!(only(&f, "a.bool").bools().unwrap().collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(only(&f, "a.str").strs().unwrap().collect::<Vec<_>>(), ["", "a", "水"]);
    let none = only(&f, "a.none");
    assert_eq!((none.len(), none.is_empty(), none.strs().unwrap().count()), (0, true, 0));
    let nested: Vec<_> = only(&f, "a.nested").arrays().unwrap().collect();
    assert_eq!(nested.len(), 3);
    assert_eq!(nested[0].strs().unwrap().collect::<Vec<_>>(), ["x", "yz"]);
    assert_eq!(nested[1].u32s().unwrap().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((nested[2].elem_type(), nested[2].len()), (ValueType::Array, 0));
}

#[test]
fn getters_convert_or_name_the_key() {
    let f = File::from_bytes(everything(3)).unwrap();
    assert_eq!(f.u32("v.u8").unwrap(), Some(255));
    assert_eq!(f.u64("v.u64").unwrap(), Some(u64::MAX));
    assert_eq!(f.i64("v.i8").unwrap(), Some(-128));
    assert_eq!(f.f32("v.f32").unwrap(), Some(-1.5e-3));
    assert_eq!(f.f32("v.f64").unwrap(), Some(f32::INFINITY));
    assert_eq!(f.bool("v.true").unwrap(), Some(true));
    assert_eq!(f.str("v.str").unwrap(), Some("größer als 水 \0 🦀"));
    assert_eq!(f.u32("absent").unwrap(), None);
    assert_eq!(f.str("absent").unwrap(), None);
    assert_eq!(f.need_u32("v.u16").unwrap(), 65535);
    let message = |e: Error| e.to_string();
    for (text, error) in [
        ("\"v.i8\" is -128 (i8)", f.u32("v.i8").unwrap_err()),
        ("\"v.u64\" is 18446744073709551615", f.i64("v.u64").unwrap_err()),
        ("\"v.str\" is str", f.u32("v.str").unwrap_err()),
        ("\"v.u8\" is 255 (u8), want a float", f.f32("v.u8").unwrap_err()),
        ("\"v.u8\" is 255 (u8), want a boolean", f.bool("v.u8").unwrap_err()),
        ("\"v.true\" is bool", f.str("v.true").unwrap_err()),
        ("\"v.f64\" is f64, want an array", f.array("v.f64").unwrap_err()),
        ("\"absent\" is missing", f.need_u32("absent").unwrap_err()),
        ("\"absent\" is missing", f.need_str("absent").unwrap_err()),
        ("\"absent\" is missing", f.need_f32("absent").unwrap_err()),
        ("\"absent\" is missing", f.need_array("absent").unwrap_err()),
        ("\"a.i32\": element 0 is out of range", only(&f, "a.i32").u32s().err().unwrap()),
        ("\"a.u32\": element 2 is out of range", only(&f, "a.u32").i32s().err().unwrap()),
        ("\"a.str\" is an array of str", only(&f, "a.str").f32s().err().unwrap()),
        ("\"a.f32\" is an array of f32", only(&f, "a.f32").i32s().err().unwrap()),
        ("\"a.u8\" is an array of u8", only(&f, "a.u8").bools().err().unwrap()),
        ("\"a.u8\" is an array of u8", only(&f, "a.u8").strs().err().unwrap()),
        ("\"a.u8\" is an array of u8", only(&f, "a.u8").arrays().err().unwrap()),
    ] {
        let m = message(error);
        assert!(m.contains(text), "{m:?} lacks {text:?}");
    }
}

#[test]
fn tensors() {
    let f = File::from_bytes(everything(3)).unwrap();
    let names: Vec<_> = f.tensors().map(|t| t.name).collect();
    assert_eq!(names, ["tok.weight", "one", "cube"]);
    let t = f.tensor("tok.weight").unwrap();
    assert_eq!((t.dims, t.n_dims, t.ty), ([32, 3, 1, 1], 2, GgmlType::Q4_0));
    assert_eq!((t.row_len(), t.n_rows(), t.row_bytes(), t.n_elements()), (32, 3, 18, 96));
    assert_eq!(f.data(&t), [1; 54]);
    assert_eq!(f.data(&f.tensor("one").unwrap()), [2; 4]);
    let t = f.tensor("cube").unwrap();
    assert_eq!((t.dims, t.n_dims, t.n_rows(), t.n_bytes()), ([2, 3, 4, 5], 4, 60, 240));
    assert_eq!(f.data(&t), [3; 240]);
    assert!(f.tensor("tok").is_none());
    for t in f.tensors() {
        assert_eq!(f.data(&t).as_ptr() as usize % 32, 0, "{} is not aligned", t.name);
    }
}

/// The writer's bytes are those that the specification describes.
#[test]
fn layout() {
    let mut w = Writer::new();
    w.set("k", &ArrayBuf::from(&["ab", ""][..])).unwrap();
    w.set(KEY_ALIGNMENT, 64u32).unwrap();
    w.set("n", -2i16).unwrap();
    w.tensor("a", &[3], GgmlType::F32, &[9; 12]).unwrap();
    w.tensor("b", &[32, 2], GgmlType::Q8_0, &[8; 68]).unwrap();
    let mut raw = Raw::new()
        .entry("k", 9, &array(8, 2, &[string("ab"), string("")].concat()))
        .entry("general.alignment", 4, &64u32.to_le_bytes())
        .entry("n", 3, &(-2i16).to_le_bytes())
        .tensor("a", &[3], 0, 0)
        .tensor("b", &[32, 2], 8, 64);
    raw.alignment = 64;
    raw.data = [&[9; 12][..], &[0; 52], &[8; 68], &[0; 60]].concat();
    assert_eq!(w.into_bytes().unwrap(), raw.bytes());
}

#[test]
fn alignment() {
    for alignment in [8u32, 16, 64, 4096] {
        let mut w = Writer::new();
        w.set(KEY_ALIGNMENT, alignment).unwrap();
        w.tensor("a", &[5], GgmlType::I8, &[1; 5]).unwrap();
        w.tensor("b", &[5], GgmlType::I8, &[2; 5]).unwrap();
        let f = File::from_bytes(w.into_bytes().unwrap()).unwrap();
        assert_eq!(f.alignment(), u64::from(alignment));
        let at = |name| f.data(&f.tensor(name).unwrap()).as_ptr() as usize;
        assert_eq!(at("a") % alignment as usize, 0);
        assert_eq!(at("b") - at("a"), alignment as usize);
        assert_eq!(f.data(&f.tensor("b").unwrap()), [2; 5]);
    }
}

#[test]
fn setting_a_key_again_replaces_it_in_place() {
    let mut w = Writer::new();
    w.set("a", 1u32).unwrap();
    w.set("b", 2u32).unwrap();
    w.set("a", "new").unwrap();
    let f = File::from_bytes(w.into_bytes().unwrap()).unwrap();
    let all: Vec<_> = f.keys().collect();
    assert_eq!(all, [("a", Value::Str("new")), ("b", Value::U32(2))]);
}

/// Metadata goes from one file to another without being taken apart.
#[test]
fn copied_metadata_is_equal() {
    let f = File::from_bytes(everything(3)).unwrap();
    let mut w = Writer::new();
    for (key, value) in f.keys() {
        w.set(key, value).unwrap();
    }
    for t in f.tensors() {
        w.tensor(t.name, &t.dims[..t.n_dims as usize], t.ty, f.data(&t)).unwrap();
    }
    assert!(w.into_bytes().unwrap() == everything(3));
}

#[test]
fn streamed_tensors() {
    let mut w = Writer::new();
    w.tensor_from("a", &[4, 2], GgmlType::I8, |out| {
        out.write(&[1; 3])?;
        out.write(&[2; 5])
    })
    .unwrap();
    w.tensor("b", &[1], GgmlType::I8, &[7]).unwrap();
    let f = File::from_bytes(w.into_bytes().unwrap()).unwrap();
    assert_eq!(f.data(&f.tensor_at(0).unwrap()), [1, 1, 1, 2, 2, 2, 2, 2]);
    assert_eq!(f.data(&f.tensor_at(1).unwrap()), [7]);
}

#[test]
fn the_writer_refuses_what_cannot_be_read() {
    let refused = |r: Result<(), Error>, text: &str| {
        let m = r.expect_err(text).to_string();
        assert!(m.contains(text), "{m:?} lacks {text:?}");
    };
    let mut w = Writer::new();
    refused(w.set_version(1), "version 1");
    refused(w.set("", 1u8), "0 bytes");
    refused(w.set(&"k".repeat(65536), 1u8), "65536 bytes");
    refused(w.set(KEY_ALIGNMENT, 48u32), "48");
    refused(w.set(KEY_ALIGNMENT, 4u32), "4, want a power of two");
    refused(w.set(KEY_ALIGNMENT, 32u64), "u64, want u32");
    let mut deep = ArrayBuf::from(&[1u8][..]);
    for _ in 0..8 {
        let mut outer = ArrayBuf::new(ValueType::Array);
        outer.push(&deep).unwrap();
        deep = outer;
    }
    refused(w.set("deep", &deep), "\"deep\"");
    refused(ArrayBuf::new(ValueType::Str).push(1u8), "u8 does not go into an array of str");
    refused(w.tensor("", &[1], GgmlType::I8, &[1]), "\"\" has 0 bytes");
    refused(w.tensor(&"t".repeat(64), &[1], GgmlType::I8, &[1]), "has 64 bytes");
    refused(w.tensor("t", &[], GgmlType::I8, &[]), "\"t\": 0 dimensions");
    refused(w.tensor("t", &[1, 1, 1, 1, 1], GgmlType::I8, &[1]), "\"t\": 5 dimensions");
    refused(w.tensor("t", &[2, 0], GgmlType::I8, &[]), "\"t\": dimension 1 is zero");
    refused(w.tensor("t", &[31], GgmlType::Q4_0, &[0; 18]), "\"t\": a row of 31");
    refused(w.tensor("t", &[32], GgmlType::Q4_0, &[0; 17]), "\"t\": 17 bytes given");
    refused(w.tensor("t", &[1 << 32, 1 << 32], GgmlType::I8, &[]), "\"t\": dimensions");
    let fill = |n: usize| {
        let mut w = Writer::new();
        w.tensor_from("t", &[4], GgmlType::I8, move |out| out.write(&vec![0; n])).unwrap();
        w.into_bytes().map(|_| ())
    };
    refused(fill(3), "\"t\": 1 bytes are missing");
    refused(fill(5), "\"t\": more bytes");
    let mut w = Writer::new();
    w.tensor("t", &[1], GgmlType::I8, &[1]).unwrap();
    w.tensor("t", &[1], GgmlType::I8, &[1]).unwrap();
    refused(w.into_bytes().map(|_| ()), "\"t\" occurs twice");
    let w = Writer::new();
    refused(w.write(std::path::Path::new("/nonexistent/model.gguf")), "/nonexistent/model.gguf");
}

#[test]
fn files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    std::fs::File::create(&path).unwrap().write_all(&everything(2)).unwrap();
    let f = File::open(&path).unwrap();
    assert_eq!(f.str("general.architecture").unwrap(), Some("llama"));
    assert_eq!(f.data(&f.tensor("cube").unwrap()), [3; 240]);

    let fails = |path: &std::path::Path, text: &str| {
        let m = File::open(path).unwrap_err().to_string();
        assert!(m.contains(text) && m.contains(path.to_str().unwrap()), "{m:?} lacks {text:?} or the path");
    };
    fails(&dir.path().join("none.gguf"), "No such file");
    fails(dir.path(), "not a regular file");
    let empty = dir.path().join("empty.gguf");
    std::fs::write(&empty, b"").unwrap();
    fails(&empty, "empty");
    std::fs::write(&empty, &everything(3)[..500]).unwrap();
    fails(&empty, "metadata key");
}

proptest! {
    /// Any strings, numbers and shapes come back as they went in.
    #[test]
    fn anything(
        entries in prop::collection::btree_map(".{1,20}", (".{0,40}", any::<i64>(), prop::collection::vec(".{0,9}", 0..5)), 0..8),
        dims in prop::collection::vec(1u64..6, 1..=4),
        version in 2u32..=3,
        alignment in 3u32..9,
    ) {
        let n = dims.iter().product::<u64>() as usize;
        let data: Vec<u8> = (0..4 * n).map(|i| i as u8).collect();
        let mut w = Writer::new();
        w.set_version(version).unwrap();
        w.set(KEY_ALIGNMENT, 1u32 << alignment).unwrap();
        for (key, (text, n, list)) in &entries {
            w.set(&format!("s{key}"), text.as_str()).unwrap();
            w.set(&format!("n{key}"), *n).unwrap();
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            w.set(&format!("l{key}"), &ArrayBuf::from(&list[..])).unwrap();
        }
        w.tensor("t", &dims, GgmlType::F32, &data).unwrap();
        w.tensor("u", &dims, GgmlType::I8, &data[..n]).unwrap();
        let f = File::from_bytes(w.into_bytes().unwrap()).unwrap();
        for (key, (text, n, list)) in &entries {
            prop_assert_eq!(f.need_str(&format!("s{key}")).unwrap(), text);
            prop_assert_eq!(f.i64(&format!("n{key}")).unwrap(), Some(*n));
            let array = f.need_array(&format!("l{key}")).unwrap();
            prop_assert!(array.strs().unwrap().eq(list.iter().map(String::as_str)));
        }
        let t = f.tensor("t").unwrap();
        prop_assert_eq!(&t.dims[..t.n_dims as usize], &dims[..]);
        prop_assert_eq!(f.data(&t), &data[..]);
        prop_assert_eq!(f.data(&f.tensor("u").unwrap()), &data[..n]);
    }
}

//! Models in several files.

use std::path::{Path, PathBuf};

use rocmforge::Error;
use rocmforge::gguf::{File, KEY_ALIGNMENT, SplitBy, Writer, shard_path};
use rocmforge::quant::GgmlType;

const DATA: [[u8; 40]; 5] = [[1; 40], [2; 40], [3; 40], [4; 40], [5; 40]];

fn model() -> Writer<'static> {
    let mut w = Writer::new();
    w.set("general.name", "shards").unwrap();
    w.set(KEY_ALIGNMENT, 64u32).unwrap();
    for (i, data) in DATA.iter().enumerate() {
        w.tensor(&format!("t{i}"), &[10], GgmlType::F32, data).unwrap();
    }
    w
}

fn check(path: &Path) {
    let f = File::open(path).unwrap();
    assert_eq!(f.str("general.name").unwrap(), Some("shards"));
    assert_eq!(f.alignment(), 64);
    assert_eq!(f.n_tensors(), 5);
    for (i, data) in DATA.iter().enumerate() {
        assert_eq!(f.tensor_at(i).unwrap().name, format!("t{i}"));
        let t = f.tensor(&format!("t{i}")).unwrap();
        assert_eq!(f.data(&t), data);
        assert_eq!(f.data(&t).as_ptr() as usize % 64, 0);
    }
}

fn split(dir: &Path, by: SplitBy) -> Vec<PathBuf> {
    model().write_split(&dir.join("m"), by).unwrap()
}

#[test]
fn by_tensors_and_bytes() {
    for (by, count) in [
        (SplitBy::Tensors(2), 3),
        (SplitBy::Tensors(5), 1),
        (SplitBy::Tensors(1), 5),
        (SplitBy::Bytes(128), 3),
        (SplitBy::Bytes(127), 5),
        (SplitBy::Bytes(0), 5),
        (SplitBy::Bytes(u64::MAX), 1),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let paths = split(dir.path(), by);
        assert_eq!(paths.len(), count, "{by:?}");
        assert_eq!(paths[0], dir.path().join(format!("m-00001-of-{count:05}.gguf")));
        assert_eq!(paths[count - 1], shard_path(&dir.path().join("m"), count as u16 - 1, count as u16));
        check(&paths[0]);
    }
    let dir = tempfile::tempdir().unwrap();
    let refused = model().write_split(&dir.path().join("m"), SplitBy::Tensors(0));
    assert!(matches!(refused, Err(Error::InvalidArgument(_))));
}

fn fails(path: &Path, texts: &[&str]) {
    let m = File::open(path).unwrap_err().to_string();
    for text in texts {
        assert!(m.contains(text), "{m:?} lacks {text:?}");
    }
}

#[test]
fn another_shard_says_which_one_to_pass() {
    let dir = tempfile::tempdir().unwrap();
    let paths = split(dir.path(), SplitBy::Tensors(2));
    let first = paths[0].to_str().unwrap();
    fails(&paths[1], &["shard 2 of 3", first]);
    fails(&paths[2], &["shard 3 of 3", first]);
    assert!(matches!(File::open(&paths[2]), Err(Error::InvalidArgument(_))));
    let in_memory = File::from_bytes(std::fs::read(&paths[0]).unwrap());
    assert!(matches!(in_memory, Err(Error::InvalidArgument(m)) if m.contains("shard 1 of 3")));
}

#[test]
fn missing_and_foreign_shards() {
    let dir = tempfile::tempdir().unwrap();
    let paths = split(dir.path(), SplitBy::Tensors(2));
    std::fs::rename(&paths[1], dir.path().join("gone")).unwrap();
    fails(&paths[0], &[paths[1].to_str().unwrap(), "No such file"]);

    std::fs::copy(&paths[2], &paths[1]).unwrap();
    fails(&paths[0], &[paths[1].to_str().unwrap(), "shard 3 of 3, want 2 of 3"]);

    std::fs::copy(&paths[0], &paths[1]).unwrap();
    fails(&paths[0], &[paths[1].to_str().unwrap(), "shard 1 of 3, want 2 of 3"]);

    let mut plain = Writer::new();
    plain.tensor("x", &[1], GgmlType::I8, &[0]).unwrap();
    plain.write(&paths[1]).unwrap();
    fails(&paths[0], &[paths[1].to_str().unwrap(), "shard 1 of 1, want 2 of 3"]);

    std::fs::write(&paths[1], b"GGUFxxxx").unwrap();
    fails(&paths[0], &[paths[1].to_str().unwrap()]);
}

#[test]
fn names_must_follow_the_pattern() {
    let dir = tempfile::tempdir().unwrap();
    let paths = split(dir.path(), SplitBy::Tensors(2));
    let other = dir.path().join("renamed.gguf");
    std::fs::rename(&paths[0], &other).unwrap();
    fails(&other, &["renamed.gguf", "-00001-of-00003.gguf"]);
}

/// Shards made one by one, with keys that contradict each other.
#[test]
fn contradictory_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = |no| shard_path(&dir.path().join("m"), no, 2);
    let shard = |no: u16, tensor: &str, total: Option<i32>| {
        let mut w = Writer::new();
        w.set("split.no", no).unwrap();
        w.set("split.count", 2u16).unwrap();
        if let Some(total) = total {
            w.set("split.tensors.count", total).unwrap();
        }
        w.tensor(tensor, &[1], GgmlType::I8, &[0]).unwrap();
        w.write(&path(no)).unwrap();
    };
    shard(1, "b", Some(2));
    shard(0, "a", Some(2));
    assert_eq!(File::open(&path(0)).unwrap().n_tensors(), 2);
    shard(0, "a", Some(3));
    fails(&path(0), &["split.tensors.count", "is 3", "2 tensors"]);
    shard(0, "a", Some(-1));
    fails(&path(0), &["split.tensors.count", "-1"]);
    shard(0, "a", None);
    fails(&path(0), &["split.tensors.count", "missing"]);
    shard(0, "b", Some(2));
    fails(&path(0), &["\"b\" occurs twice"]);

    let keys = |entries: &[(&str, i64)]| {
        let mut w = Writer::new();
        for (key, value) in entries {
            w.set(key, *value).unwrap();
        }
        w.write(&path(0)).unwrap();
    };
    keys(&[("split.count", 2)]);
    fails(&path(0), &["split.no", "missing"]);
    keys(&[("split.count", 2), ("split.no", 2)]);
    fails(&path(0), &["split.no", "is 2", "split.count"]);
    keys(&[("split.count", 65536), ("split.no", 0)]);
    fails(&path(0), &["split.count", "65536"]);
    keys(&[("split.count", -1), ("split.no", 0)]);
    fails(&path(0), &["split.count"]);
    keys(&[("split.count", 1), ("split.no", 0)]);
    File::open(&path(0)).unwrap();
}

//! A model is opened and parsed once, whatever is asked of it. Alone in its process, because the
//! counters are the process's.

use rocmforge::counters;
use rocmforge::gguf::{File, SplitBy, Writer};
use rocmforge::quant::GgmlType;

#[test]
fn one_open_and_one_parse_a_shard() {
    let dir = tempfile::tempdir().unwrap();
    let model = || {
        let mut w = Writer::new();
        w.set("general.architecture", "llama").unwrap();
        for name in ["a", "b", "c"] {
            w.tensor(name, &[2], GgmlType::F16, &[1; 4]).unwrap();
        }
        w
    };
    let whole = dir.path().join("whole.gguf");
    model().write(&whole).unwrap();
    let shards = model().write_split(&dir.path().join("m"), SplitBy::Tensors(1)).unwrap();
    for (path, n) in [(&whole, 1), (&shards[0], 3)] {
        let before = counters::read();
        let f = File::open(path).unwrap();
        assert_eq!(f.need_str("general.architecture").unwrap(), "llama");
        assert_eq!(f.keys().count(), f.keys().count());
        for t in f.tensors() {
            assert_eq!(f.data(&f.tensor(t.name).unwrap()), [1; 4]);
        }
        let after = counters::read();
        assert_eq!(after.file_open - before.file_open, n);
        assert_eq!(after.file_parse - before.file_parse, n);
    }
}

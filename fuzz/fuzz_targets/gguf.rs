//! A file: parsed, looked at, loaded as a model, and if it is one, run.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rocmforge::gguf::{File, Value};
use rocmforge::{Batch, Context, ContextParams, Model, ModelParams};

fuzz_target!(|data: &[u8]| {
    let Ok(file) = File::from_bytes(data.to_vec()) else { return };
    for (key, value) in file.keys() {
        assert!(file.get(key).is_some());
        if let Value::Array(a) = value {
            assert_eq!(a.values().count(), a.len());
            let _ =
                (a.strs().map(Iterator::count), a.i32s().map(Iterator::count), a.f32s().map(Iterator::count));
        }
    }
    for t in file.tensors() {
        assert_eq!(file.data(&t).len(), t.n_bytes());
    }
    let Ok(model) = Model::from_gguf(Arc::new(file), ModelParams::default()) else { return };
    let _ = model.vocab().tokenize(b"Hello, w\xc3\xb6rld", true, true);
    let _ = model.description();
    let params = ContextParams { n_ctx: 64, n_threads: 1, n_threads_batch: 1, ..Default::default() };
    let Ok(mut context) = Context::new(Arc::new(model), params) else { return };
    let mut batch = Batch::new(2, 1).expect("a small batch");
    for pos in 0..2 {
        batch.add(pos, pos, &[0], true).expect("room for two tokens");
    }
    let _ = context.decode(&batch);
});

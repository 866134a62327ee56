//! A saved state, restored to a context, which then goes on.
#![no_main]

use std::cell::RefCell;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rocmforge::gguf::File;
use rocmforge::kv::state::{Kind, Snapshot};
use rocmforge::{Batch, Context, ContextParams, Model, ModelParams};

#[path = "../../tests/hostile/file.rs"]
#[allow(dead_code)]
mod file;

thread_local! {
    /// A context of two sequences, and a batch.
    static CONTEXT: RefCell<(Context, Batch)> = {
        let file = File::from_bytes(file::model("llama").bytes()).expect("a file");
        let model = Model::from_gguf(Arc::new(file), ModelParams::default()).expect("a model");
        let params = ContextParams { n_ctx: 64, n_seq_max: 2, n_threads: 1, n_threads_batch: 1, ..Default::default() };
        let context = Context::new(Arc::new(model), params).expect("a context");
        RefCell::new((context, Batch::new(4, 2).expect("a batch")))
    };
}

fuzz_target!(|data: &[u8]| {
    CONTEXT.with_borrow_mut(|(context, batch)| {
        context.clear();
        // Read without the sum, which would keep all but copies out.
        if let Ok(snapshot) = Snapshot::parse_unsummed(data) {
            let _ = match snapshot.kind {
                Kind::Context => context.restore(&snapshot),
                Kind::Sequence => context.restore_seq(&snapshot, 1),
            };
        }
        assert!(context.state_set(data).is_err() || context.cells().n_used() <= 64);
        for seq in 0..2 {
            let next = context.cells().seq_range(seq).expect("a sequence").map_or(0, |(_, max)| max + 1);
            batch.clear();
            batch.add(80, next, &[seq], true).expect("room for a token");
            let _ = context.decode(batch);
        }
        let mut again = vec![0; context.state_size().expect("a size")];
        let n = context.state_get(&mut again).expect("a state");
        context.state_set(&again[..n]).expect("what was saved can be restored");
    });
});

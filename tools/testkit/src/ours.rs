//! Our own engine, as the tests drive it.

use std::path::Path;
use std::sync::Arc;

use rocmforge::backend::Device;
use rocmforge::model::Pooling;
use rocmforge::{Batch, Context, ContextParams, Model, ModelParams};

use crate::engine::{Engine, Item, Params};

/// Where to compute: what the environment variable `ROCMFORGE_TEST_DEVICE` names, or the processor.
///
/// # Panics
/// If it names no device.
pub fn device() -> Device {
    let name = std::env::var("ROCMFORGE_TEST_DEVICE").unwrap_or_else(|_| "cpu".into());
    name.parse().unwrap_or_else(|e| panic!("ROCMFORGE_TEST_DEVICE is {name}: {e}"))
}

/// How many layers a GPU computes: what the environment variable `ROCMFORGE_TEST_GPU_LAYERS` says, or as
/// many as fit. Where the processor computes, it stands in for the GPU.
///
/// # Panics
/// If it is no number.
pub fn gpu_layers() -> Option<usize> {
    let n = std::env::var("ROCMFORGE_TEST_GPU_LAYERS").ok()?;
    Some(n.parse().unwrap_or_else(|e| panic!("ROCMFORGE_TEST_GPU_LAYERS is {n}: {e}")))
}

/// A context of librocmforge and the batch that feeds it.
pub struct Ours {
    context: Context,
    batch: Batch,
}

impl Ours {
    /// Load the model at `path`.
    pub fn load(path: &Path) -> Result<Arc<Model>, String> {
        let (device, n_gpu_layers) = (device(), gpu_layers());
        let stand_in = device == Device::Cpu && n_gpu_layers.is_some();
        Ours::load_with(path, ModelParams { device, n_gpu_layers, stand_in, ..ModelParams::default() })
    }

    /// Load the model at `path` in the way of `params`.
    pub fn load_with(path: &Path, params: ModelParams<'_>) -> Result<Arc<Model>, String> {
        Model::load(path, params).map(Arc::new).map_err(|e| e.to_string())
    }

    /// A context over `model`.
    pub fn context(model: &Arc<Model>, params: &Params) -> Result<Ours, String> {
        let raw = ContextParams {
            n_ctx: params.n_ctx,
            n_batch: params.n_batch,
            n_ubatch: params.n_ubatch,
            n_seq_max: params.n_seq_max,
            n_threads: params.n_threads,
            n_threads_batch: params.n_threads,
            type_k: params.kv,
            type_v: params.kv,
            embeddings: params.embeddings.is_some(),
            pooling: params.embeddings,
            ..ContextParams::default()
        };
        let context = Context::new(model.clone(), raw).map_err(|e| e.to_string())?;
        let batch = Batch::new(params.n_batch, 1).map_err(|e| e.to_string())?;
        Ok(Ours { context, batch })
    }
}

impl Engine for Ours {
    fn n_vocab(&self) -> usize {
        self.context.n_vocab()
    }

    fn run(&mut self, batch: &[Item]) -> Result<(), String> {
        self.batch.clear();
        for i in batch {
            self.batch.add(i.token, i.pos, &[i.seq], i.logits).map_err(|e| e.to_string())?;
        }
        self.context.decode(&self.batch).map_err(|e| e.to_string())
    }

    fn decode(&mut self, batch: &[Item]) -> Result<Vec<f32>, String> {
        self.run(batch)?;
        Ok(self.context.all_logits().to_vec())
    }

    fn shift(&mut self, from: usize, to: usize) -> Result<(), String> {
        let (from, to) = (from as i32, to as i32);
        let moved =
            self.context.seq_rm(0, from..to).and_then(|()| self.context.seq_add(0, to..i32::MAX, from - to));
        moved.map_err(|e| e.to_string())
    }

    fn embeddings(&mut self, batch: &[Item]) -> Result<Vec<f32>, String> {
        self.decode(batch)?;
        if self.context.params().pooling == Some(Pooling::None) {
            return Ok(self.context.all_embeddings().to_vec());
        }
        let n_seq = self.context.params().n_seq_max as i32;
        let rows = (0..n_seq).map(|seq| self.context.seq_embedding(seq)).collect::<Result<Vec<_>, _>>();
        Ok(rows.map_err(|e| e.to_string())?.concat())
    }

    fn clear(&mut self) {
        self.context.clear();
    }
}

//! The CPU backend: weights read in place from the mapped file, graphs run step by step on a
//! thread pool by kernels for the best instruction set of the machine.
//!
//! It knows graphs and buffers, not models: nothing here reads metadata or names a weight.

mod exec;
mod isa;
pub mod matmul;
mod memory;
pub mod ops;
pub mod pool;
#[cfg(test)]
mod pool_tests;
mod program;
mod session;
mod sync;

pub use isa::Isa;

use std::sync::Arc;

use super::{Backend, Session, SessionSpec, Weights};
use crate::gguf::File;
use crate::graph::WeightId;
use crate::quant;
use crate::{Error, Result, counters};

/// The processor.
pub struct Cpu {
    isa: Isa,
}

impl Cpu {
    /// The CPU backend with the best instruction set of this machine, or the weaker one that the
    /// environment variable `ROCMFORGE_ISA` names.
    pub fn new() -> Result<Cpu> {
        Ok(Cpu { isa: Isa::detect()? })
    }
}

/// Weights as the kernels read them, by [`WeightId`].
struct CpuWeights {
    file: Arc<File>,
    bound: Vec<Option<Bound>>,
}

/// One weight.
enum Bound {
    /// A matrix, in the blocks of the file: the tensor's index.
    Blocks(usize),
    /// A single row as f32, aligned whatever the file's alignment: norms and biases.
    Row(Vec<f32>),
}

impl CpuWeights {
    fn get(&self, id: WeightId) -> Result<&Bound> {
        let bound = self.bound.get(id.0 as usize).and_then(Option::as_ref);
        bound.ok_or_else(|| Error::Internal(format!("weight {} is not bound", id.0)))
    }
}

impl Weights for CpuWeights {
    fn resident_bytes(&self) -> usize {
        let bytes = |b: &Bound| if let Bound::Row(row) = b { size_of_val(&row[..]) } else { 0 };
        self.bound.iter().flatten().map(bytes).sum()
    }
    fn as_any(self: Arc<Self>) -> Arc<dyn std::any::Any + Send + Sync> {
        self
    }
}

impl Backend for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn description(&self) -> String {
        let n = std::thread::available_parallelism().map_or(1, usize::from);
        let isa = match self.isa {
            Isa::Scalar => "portable code",
            Isa::Avx2 => "AVX2",
            Isa::Avx512 => "AVX-512 VNNI",
            Isa::Neon => "NEON",
            Isa::Dotprod => "NEON with dot products",
        };
        format!("{} processors, {isa}", n)
    }

    fn bind(
        &self,
        file: &Arc<File>,
        weights: &[WeightId],
        progress: &mut dyn FnMut(f32) -> bool,
    ) -> Result<Arc<dyn Weights>> {
        let mut bound: Vec<_> = file.tensors().iter().map(|_| None).collect();
        for (i, id) in weights.iter().enumerate() {
            let at = id.0 as usize;
            let info = &file.tensors()[at];
            bound[at] = Some(if info.n_rows() == 1 {
                let mut row = vec![0.0; info.row_len()];
                quant::dequantize(info.ty, file.data(info), &mut row)?;
                Bound::Row(row)
            } else {
                file.prefetch(info);
                Bound::Blocks(at)
            });
            counters::weight_bind();
            if !progress((i + 1) as f32 / weights.len() as f32) {
                return Err(Error::Aborted("loading stopped by the progress callback".into()));
            }
        }
        Ok(Arc::new(CpuWeights { file: file.clone(), bound }))
    }

    fn session(&self, weights: &Arc<dyn Weights>, spec: &SessionSpec) -> Result<Box<dyn Session>> {
        let weights = weights
            .clone()
            .as_any()
            .downcast::<CpuWeights>()
            .map_err(|_| Error::Internal("the weights are not bound to the CPU".into()))?;
        Ok(Box::new(session::CpuSession::new(self.isa, weights, spec)?))
    }
}

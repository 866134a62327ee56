//! The CPU backend: weights read in place from the mapped file, or copied once, graphs run step by
//! step on a thread pool by kernels for the best instruction set of the machine.
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

use std::ops::Range;
use std::sync::Arc;

use memmap2::{Mmap, MmapMut};

use super::{Backend, Session, SessionSpec, Weights};
use crate::gguf::{File, TensorInfo};
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
    /// Matrices that were copied.
    copies: Mmap,
}

/// One weight.
enum Bound {
    /// A matrix, in the blocks of the file.
    Mapped,
    /// The same in `copies`.
    Copied(Range<usize>),
    /// A single row as f32, aligned whatever the file's alignment: norms and biases.
    Row(Vec<f32>),
}

impl CpuWeights {
    fn get(&self, id: WeightId) -> Result<&Bound> {
        let bound = self.bound.get(id.0 as usize).and_then(Option::as_ref);
        bound.ok_or_else(|| Error::Internal(format!("weight {} is not bound", id.0)))
    }
}

fn tensor(file: &File, id: WeightId) -> Result<TensorInfo<'_>> {
    file.tensor_at(id.0 as usize).ok_or_else(|| Error::Internal(format!("the file has no weight {}", id.0)))
}

/// Where a copied matrix begins: on a cache line.
const ALIGN: usize = 64;

/// Memory for copies. Pages of two megabytes are what makes them faster to read than a file's.
fn large_pages(bytes: usize) -> Result<MmapMut> {
    let oom = |e| Error::OutOfMemory(format!("no memory for {bytes} bytes of weights: {e}"));
    let memory = MmapMut::map_anon(bytes).map_err(oom)?;
    // Advice only: where there are none, small ones do.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    Ok(memory)
}

impl Weights for CpuWeights {
    fn resident_bytes(&self) -> usize {
        let bytes = |b: &Bound| if let Bound::Row(row) = b { size_of_val(&row[..]) } else { 0 };
        self.copies.len() + self.bound.iter().flatten().map(bytes).sum::<usize>()
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
        copy: bool,
        progress: &mut dyn FnMut(f32) -> bool,
    ) -> Result<Arc<dyn Weights>> {
        let mut bound: Vec<_> = (0..file.n_tensors()).map(|_| None).collect();
        let mut n_bytes = 0;
        for id in weights.iter().filter(|_| copy) {
            let info = tensor(file, *id)?;
            n_bytes += if info.n_rows() > 1 { info.n_bytes().next_multiple_of(ALIGN) } else { 0 };
        }
        let mut copies = large_pages(n_bytes)?;
        let mut end = 0;
        for (i, id) in weights.iter().enumerate() {
            let info = &tensor(file, *id)?;
            bound[info.index] = Some(if info.n_rows() == 1 {
                let mut row = vec![0.0; info.row_len()];
                quant::dequantize(info.ty, file.data(info), &mut row)?;
                Bound::Row(row)
            } else if copy {
                let place = end..end + info.n_bytes();
                end = place.end.next_multiple_of(ALIGN);
                file.read(info, &mut copies[place.clone()])?;
                Bound::Copied(place)
            } else {
                file.prefetch(info);
                Bound::Mapped
            });
            counters::weight_bind(1);
            if !progress((i + 1) as f32 / weights.len() as f32) {
                return Err(Error::Aborted("loading stopped by the progress callback".into()));
            }
        }
        let copies = copies.make_read_only().map_err(|e| Error::Backend(format!("weights: {e}")))?;
        Ok(Arc::new(CpuWeights { file: file.clone(), bound, copies }))
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

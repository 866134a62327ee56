//! Weights on a device: one allocation, in which each matrix lies in the planes of `kernels/types.h` and each
//! single row as f32.

use std::collections::HashMap;
use std::sync::Arc;

use super::args::{Grids, Repack, Weight};
use super::device::Device;
use super::memory::Memory;
use super::module::Kernels;
use super::stream::Stream;
use super::upload::{Piece, Ring, upload};
use crate::backend::Weights;
use crate::gguf::{File, TensorInfo};
use crate::graph::{Graph, Op, TensorId, WeightId};
use crate::quant::{self, grid};
use crate::{Error, Result, counters};

/// Every tensor begins at a multiple of this; so does every plane of one at a multiple of 16.
const ALIGN: usize = 256;

/// Planes that a type may have (`kernels/types.h`).
const MAX_PLANES: usize = 4;

/// Room for a tensor: its planes have the bytes of its blocks, and each may begin up to 16 later.
fn room(t: &TensorInfo<'_>) -> usize {
    (t.n_bytes() + 16 * MAX_PLANES).next_multiple_of(ALIGN)
}

/// A weight on the device.
pub(super) struct Bound {
    pub address: u64,
    /// Of a single row, its values.
    row: Option<Vec<f32>>,
}

impl Bound {
    /// Whether it is a single row, kept as f32 whatever its type in the file.
    pub fn is_row(&self) -> bool {
        self.row.is_some()
    }
}

/// The weights of a model on one device.
pub(super) struct HipWeights {
    pub device: Arc<Device>,
    pub kernels: Arc<Kernels>,
    bound: HashMap<WeightId, Bound>,
    grids: Grids,
    _memory: Memory,
}

impl Weights for HipWeights {
    fn resident_bytes(&self) -> usize {
        0
    }
    fn as_any(self: Arc<Self>) -> Arc<dyn std::any::Any + Send + Sync> {
        self
    }
}

impl HipWeights {
    pub fn get(&self, id: WeightId) -> Result<&Bound> {
        self.bound.get(&id).ok_or_else(|| Error::Internal(format!("weight {} is not bound", id.0)))
    }

    /// The values of the single row that `id` stands for.
    pub fn row_of(&self, graph: &Graph, id: TensorId) -> Result<&[f32]> {
        let none = || Error::Internal(format!("tensor {} is no bound row", id.0));
        match graph.node(graph.base(id)).op {
            Op::Weight(w) => self.get(w)?.row.as_deref().ok_or_else(none),
            _ => Err(none()),
        }
    }

    pub fn grids(&self) -> Grids {
        self.grids
    }

    /// Copies the tensors `weights` of `file` to the device.
    pub fn load(
        device: &Arc<Device>,
        kernels: &Arc<Kernels>,
        file: &File,
        weights: &[WeightId],
        progress: &mut dyn FnMut(f32) -> bool,
    ) -> Result<HipWeights> {
        // The tables of points and the single rows come first, in one piece.
        let (mut small, tables) = tables();
        let mut bound = HashMap::new();
        let find = |id: &WeightId| {
            let t = file.tensor_at(id.0 as usize);
            t.ok_or_else(|| Error::Internal(format!("the file has no weight {}", id.0)))
        };
        let infos = weights.iter().map(find).collect::<Result<Vec<_>>>()?;
        let (rows, matrices): (Vec<_>, Vec<_>) = infos.into_iter().partition(|t| t.n_rows() == 1);
        for t in &rows {
            let mut row = vec![0.0; t.row_len()];
            quant::dequantize(t.ty, file.data(t), &mut row)?;
            let address = small.len() as u64;
            small.extend_from_slice(bytemuck::cast_slice(&row));
            small.resize(small.len().next_multiple_of(ALIGN), 0);
            bound.insert(WeightId(t.index as u32), Bound { address, row: Some(row) });
        }
        let mut end = small.len();
        for t in &matrices {
            bound.insert(WeightId(t.index as u32), Bound { address: end as u64, row: None });
            end += room(t);
        }
        let memory = Memory::new(device, end, "the weights")?;
        bound.values_mut().for_each(|b| b.address += memory.ptr());
        let stream = Stream::new(device)?;
        // SAFETY: both sides have so many bytes, and live until the copy is waited for.
        unsafe { stream.upload_from(memory.ptr(), small.as_ptr(), small.len()) }?;
        stream.synchronize()?;

        let mut place = |stream: &Stream, staging: u64, piece: &Piece<'_>| {
            let t = &piece.tensor;
            let address = bound[&WeightId(t.index as u32)].address;
            if t.ty.block_len() == 1 {
                // SAFETY: the tensor's place has room for the piece.
                return unsafe {
                    stream.copy(address + piece.bytes.start as u64, staging, piece.bytes.len())
                };
            }
            let (groups, row) = (t.ty.block_len() / 32, t.row_len() / 32);
            debug_assert!(row.is_multiple_of(groups), "rows are whole blocks");
            let n = piece.rows.len() * row;
            let args = Repack {
                w: Weight { data: address, n_rows: t.n_rows() as i32, k: t.row_len() as i32 },
                blocks: staging,
                first: (piece.rows.start * row) as i64,
                n: n as i64,
            };
            let function = kernels.function(&format!("rows_{}", t.ty.name().to_lowercase()), "repack")?;
            // SAFETY: the staging slot holds the blocks of these rows, and the planes have room for them.
            unsafe {
                stream.launch(&function, [n.div_ceil(256) as u32, 1, 1], 256, 0, bytemuck::bytes_of(&args))
            }
        };
        upload(device, file, &matrices, Ring::default(), &mut place, progress)?;
        weights.iter().for_each(|_| counters::weight_bind(1));
        let [iq1, iq2_xxs, iq2_xs, iq2_s, iq3_xxs, iq3_s] = tables.map(|o| memory.ptr() + o as u64);
        let grids = Grids { iq1, iq2_xxs, iq2_xs, iq2_s, iq3_xxs, iq3_s };
        Ok(HipWeights { device: device.clone(), kernels: kernels.clone(), bound, grids, _memory: memory })
    }
}

/// The points of the types that name some, one table after another, and where each begins.
fn tables() -> (Vec<u8>, [usize; 6]) {
    let tables: [&[u8]; 6] = [
        bytemuck::cast_slice(&grid::IQ1),
        bytemuck::cast_slice(&grid::IQ2_XXS),
        bytemuck::cast_slice(&grid::IQ2_XS),
        bytemuck::cast_slice(&grid::IQ2_S),
        bytemuck::cast_slice(&grid::IQ3_XXS),
        bytemuck::cast_slice(&grid::IQ3_S),
    ];
    let mut bytes = Vec::new();
    let offsets = tables.map(|t| {
        let at = bytes.len();
        bytes.extend_from_slice(t);
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        at
    });
    (bytes, offsets)
}

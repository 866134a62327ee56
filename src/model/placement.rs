//! Which device computes which layers of a model: as told, or as many as the memory of a GPU holds, which is
//! computed and not tried.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::arch::Arch;
use super::{Hparams, ModelParams};
use crate::backend::{Backend, Device, Weights, cpu::Cpu, devices};
use crate::gguf::File;
use crate::graph::WeightId;
use crate::log::{Log, info};
use crate::quant::GgmlType;
use crate::{Error, Result};

/// Tokens of the context that room is left for, or what the model was trained on if that is less, where
/// nothing is said: contexts are made after the model is loaded.
const FIT_CTX: usize = 4096;
/// Room left on a GPU for intermediate results, the kernels and the driver, in bytes.
const WORKING_BYTES: u64 = 512 << 20;

/// A device and the layers of the model that it computes, the head counted as one behind the last.
pub(crate) struct Part {
    pub device: Device,
    pub backend: Arc<dyn Backend>,
    pub weights: Arc<dyn Weights>,
    pub layers: Range<usize>,
}

impl Part {
    /// The error with what to do about it, where it is a lack of memory.
    pub fn advise(&self, e: Error) -> Error {
        advise(self.device, e)
    }
}

fn advise(device: Device, e: Error) -> Error {
    match (device, e) {
        (Device::Gpu(_), Error::OutOfMemory(m)) => {
            Error::OutOfMemory(format!("{m}; let the GPU compute fewer layers (n_gpu_layers)"))
        }
        (_, e) => e,
    }
}

/// A part whose weights are not bound yet.
struct Place {
    device: Device,
    backend: Arc<dyn Backend>,
    layers: Range<usize>,
}

/// What layers are made of.
struct Sizes<'a> {
    file: &'a File,
    arch: &'a Arch,
    hp: &'a Hparams,
    /// Tokens of the context that room is left for.
    n_ctx: usize,
}

impl Sizes<'_> {
    fn bytes(&self, weights: &[WeightId]) -> u64 {
        let size = |id: &WeightId| self.file.tensor_at(id.0 as usize).map_or(0, |t| t.n_bytes() as u64);
        weights.iter().map(size).sum()
    }

    fn weights(&self, layers: Range<usize>) -> Result<Vec<WeightId>> {
        self.arch.weights(self.hp, self.file, layers)
    }

    /// Bytes of a layer's cache in f16.
    fn kv(&self, il: usize) -> Result<u64> {
        let dims = [self.hp.head_dim_k, self.hp.head_dim_v];
        let cell = GgmlType::F16.row_bytes(dims[0])? + GgmlType::F16.row_bytes(dims[1])?;
        let n_cells = (self.n_ctx as u64).saturating_add(63) / 64 * 64;
        Ok(n_cells.saturating_mul((self.hp.n_head_kv[il] * cell) as u64))
    }

    fn too_little(&self, needed: &[u64], free: u64) -> String {
        let least = needed[needed.len().saturating_sub(2)];
        let [free, all, least] = [free, needed[0], least].map(|n| n >> 20);
        format!(
            "{free} MiB are free; with a context of {} tokens the model takes {all}, and its last layer with the \
             head {least}",
            self.n_ctx
        )
    }

    /// For each layer, and the head behind the last, the bytes that a GPU takes from it on.
    fn needed(&self) -> Result<Vec<u64>> {
        let n_layer = self.hp.n_layer;
        let mut needed = vec![0; n_layer + 1];
        let mut sum = WORKING_BYTES;
        let mut seen = HashSet::new();
        for il in (0..=n_layer).rev() {
            // Some are of several layers: divisors of angles, or one matrix for embeddings and output.
            let mut weights = self.weights(il..il + 1)?;
            weights.retain(|&w| seen.insert(w));
            let kv = if il < n_layer { self.kv(il)? } else { 0 };
            sum = sum.saturating_add(self.bytes(&weights)).saturating_add(kv);
            needed[il] = sum;
        }
        Ok(needed)
    }
}

/// The first layer from which on all fit into `free` bytes; none if it is not even the last layer and the head.
fn fit(needed: &[u64], free: u64) -> Option<usize> {
    let first = needed.iter().position(|&n| n <= free)?;
    (first + 1 < needed.len()).then_some(first)
}

/// Decides, and says in the log what and why.
fn places(sizes: &Sizes<'_>, params: &ModelParams<'_>) -> Result<Vec<Place>> {
    let all = sizes.hp.all_layers();
    let cpu = |layers| -> Result<Place> {
        Ok(Place { device: Device::Cpu, backend: Arc::new(Cpu::new()?), layers })
    };
    let (first, device, backend) = match (params.n_gpu_layers, params.device) {
        (Some(n), _) if params.stand_in => (all.end.saturating_sub(n), Device::Cpu, Device::Cpu.open()?),
        (Some(0), _) | (None, Device::Cpu) => return Ok(vec![cpu(all)?]),
        (Some(n), Device::Cpu) => {
            return Err(Error::InvalidArgument(format!(
                "n_gpu_layers is {n} and the device is the CPU; set one of them only"
            )));
        }
        (Some(n), Device::Gpu(_)) => (all.end.saturating_sub(n), params.device, params.device.open()?),
        (Some(n), Device::Auto) => {
            let (device, backend) = first_usable()?;
            (all.end.saturating_sub(n), device, backend)
        }
        (None, Device::Gpu(index)) => {
            let backend = params.device.open()?;
            let (needed, free) = (sizes.needed()?, devices::gpu_memory(index)?.0);
            let first = fit(&needed, free).ok_or_else(|| {
                Error::OutOfMemory(format!("{}: {}", params.device, sizes.too_little(&needed, free)))
            })?;
            (first, params.device, backend)
        }
        (None, Device::Auto) => match best(sizes) {
            Ok(found) => found,
            Err(why) => {
                info!(params.log, "the CPU computes: {why}");
                return Ok(vec![cpu(all)?]);
            }
        },
    };
    let mut places = Vec::with_capacity(2);
    if first > 0 {
        places.push(cpu(0..first)?);
    }
    if first < all.end {
        places.push(Place { device, backend, layers: first..all.end });
    }
    tell(&places, &params.log);
    Ok(places)
}

/// The GPUs by their numbers, and why each that cannot be used cannot.
fn gpus() -> Result<Vec<(usize, Option<String>)>> {
    Ok(devices::gpus()?.into_iter().filter_map(|d| Some((d.index()?, d.unusable))).collect())
}

fn none(why: Vec<String>) -> Error {
    Error::Backend(if why.is_empty() { "there is no GPU".into() } else { why.join("; ") })
}

/// The first GPU that can be used; else why none can.
fn first_usable() -> Result<(Device, Arc<dyn Backend>)> {
    let mut why = Vec::new();
    for (index, unusable) in gpus()? {
        let device = Device::Gpu(index);
        match unusable.map_or_else(|| device.open(), |e| Err(Error::Backend(e))) {
            Ok(backend) => return Ok((device, backend)),
            Err(e) => why.push(format!("{device}: {e}")),
        }
    }
    Err(none(why))
}

/// The first of the GPUs that hold the most layers, and the first of those; else why none holds any.
fn best(sizes: &Sizes<'_>) -> Result<(usize, Device, Arc<dyn Backend>)> {
    let (mut why, mut found) = (Vec::new(), Vec::new());
    let gpus = gpus()?;
    let needed = sizes.needed()?;
    for (index, unusable) in gpus {
        let first = unusable.map_or(Ok(()), |e| Err(Error::Backend(e))).and_then(|()| {
            let free = devices::gpu_memory(index)?.0;
            fit(&needed, free).ok_or_else(|| Error::OutOfMemory(sizes.too_little(&needed, free)))
        });
        match first {
            Ok(first) => found.push((first, index)),
            Err(e) => why.push(format!("{}: {e}", Device::Gpu(index))),
        }
    }
    found.sort_unstable();
    for (first, index) in found {
        let device = Device::Gpu(index);
        match device.open() {
            Ok(backend) => return Ok((first, device, backend)),
            Err(e) => why.push(format!("{device}: {e}")),
        }
    }
    Err(none(why))
}

fn tell(places: &[Place], log: &Log) {
    if let [first, last] = places {
        info!(
            log,
            "{} computes {} of {} layers, the head among them; {} the embeddings and the first {}",
            last.device,
            last.layers.len(),
            last.layers.end,
            first.device,
            first.layers.len()
        );
    }
}

/// Decides who computes which layers, and binds the weights. `progress` is told the share of all bytes.
pub(super) fn place(
    arch: &Arch,
    hp: &Hparams,
    file: &Arc<File>,
    params: &ModelParams<'_>,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<Vec<Part>> {
    let n_ctx = match params.fit_ctx {
        None => hp.n_ctx_train.min(FIT_CTX),
        Some(0) => hp.n_ctx_train,
        Some(n) => n,
    };
    let sizes = Sizes { file, arch, hp, n_ctx };
    // First, so that a file that is no good says so on every machine.
    let all = sizes.weights(hp.all_layers())?;
    let places = places(&sizes, params)?;
    let weights = match &places[..] {
        [_] => vec![all],
        parts => parts.iter().map(|p| sizes.weights(p.layers.clone())).collect::<Result<_>>()?,
    };
    let bytes: Vec<u64> = weights.iter().map(|w| sizes.bytes(w)).collect();
    let total = bytes.iter().sum::<u64>().max(1) as f32;
    let mut parts = Vec::with_capacity(places.len());
    let mut done = 0.0;
    // From the last, which may lack memory: better to hear of it before the others are read.
    for ((place, weights), bytes) in places.into_iter().zip(weights).zip(bytes).rev() {
        let share = bytes as f32 / total;
        let mut progress = |part: f32| progress((done + part * share).min(1.0));
        let weights = place.backend.bind(file, &weights, params.no_mmap, &mut progress);
        let weights = weights.map_err(|e| advise(place.device, e))?;
        done += share;
        let Place { device, backend, layers } = place;
        parts.push(Part { device, backend, weights, layers });
    }
    parts.reverse();
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_of_the_last_layers_as_fit() {
        // Three layers of 10 and a head of 5, over 100.
        let needed = [135, 125, 115, 105];
        for (free, first) in [(200, Some(0)), (135, Some(0)), (134, Some(1)), (125, Some(1)), (115, Some(2))]
        {
            assert_eq!(fit(&needed, free), first, "{free} bytes");
        }
        // The head alone is not worth a GPU.
        assert_eq!(fit(&needed, 114), None);
        assert_eq!(fit(&needed, 0), None);
    }
}

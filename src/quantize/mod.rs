//! Quantisation of model files: a type for every tensor by llama.cpp's named mixtures
//! ([`Mixture`]), weighted by importance data ([`Imatrix`]) if there is any.
//!
//! Owns which tensor gets which type and the stream from one file to another. How a block is
//! quantised is for [`crate::quant`], what a file looks like for [`crate::gguf`]. Any architecture
//! will do: only names, shapes and a few hyperparameters count.

mod imatrix;
mod mixture;
mod rules;
mod stream;

use std::path::{Path, PathBuf};

pub use imatrix::Imatrix;
pub use mixture::Mixture;
use rules::Rules;
pub use stream::Progress;
use stream::Stream;

use crate::gguf::{File, Sink, TensorInfo, Writer};
use crate::log::Log;
use crate::quant::GgmlType;
use crate::{Error, Result};

/// How to quantise a model.
pub struct QuantizeParams<'a> {
    /// The types of the tensors.
    pub mixture: Mixture,
    /// The importance of the columns of the weights.
    pub imatrix: Option<&'a Imatrix>,
    /// The type of `output.weight`, whatever the mixture says.
    pub output_tensor_type: Option<GgmlType>,
    /// The type of `token_embd.weight`, whatever the mixture says.
    pub token_embedding_type: Option<GgmlType>,
    /// Give every tensor the mixture's main type.
    pub pure: bool,
    /// Leave `output.weight` as it is.
    pub leave_output_tensor: bool,
    /// Take quantised tensors too, which loses more than quantising the original.
    pub allow_requantize: bool,
    /// Threads; 0: all processors.
    pub n_threads: usize,
    /// Takes what is done with each tensor, and warnings.
    pub log: Log,
}

impl QuantizeParams<'_> {
    /// All processors and nothing special.
    pub fn new(mixture: Mixture) -> Self {
        QuantizeParams {
            mixture,
            imatrix: None,
            output_tensor_type: None,
            token_embedding_type: None,
            pure: false,
            leave_output_tensor: false,
            allow_requantize: false,
            n_threads: 0,
            log: Log::default(),
        }
    }
}

/// What became of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantized {
    /// Bytes of all tensors before.
    pub n_bytes_in: u64,
    /// Bytes of all tensors after.
    pub n_bytes_out: u64,
    /// Tensors whose rows do not fit the type that the mixture wants, and have another.
    pub n_fallback: usize,
}

/// A tensor and what it shall be.
struct Planned<'a> {
    tensor: TensorInfo<'a>,
    ty: GgmlType,
    /// Of its columns, one row of them for each expert.
    importance: Option<&'a [f32]>,
}

/// Quantises the model in the file `input` (of a split model, the first shard) to the file `output`,
/// which is replaced when the work is done and left alone if it fails. Tensor data is streamed: a
/// few rows per thread are in memory at a time.
///
/// # Errors
/// Those of [`File::open`] and of writing. [`Error::InvalidArgument`] if a tensor is quantised
/// already and [`allow_requantize`](QuantizeParams::allow_requantize) is not set, or if importance data
/// is of other columns; [`Error::Unsupported`] if a type cannot be made without importance data;
/// [`Error::Format`] naming a tensor with values that are not finite; [`Error::Aborted`] if
/// `progress` says so.
pub fn quantize(
    input: &Path,
    output: &Path,
    params: &QuantizeParams<'_>,
    progress: Option<Progress<'_>>,
) -> Result<Quantized> {
    let file = File::open(input)?;
    let (plan, n_fallback) = plan(&file, params)?;
    let n_bytes = |ty: GgmlType, t: &TensorInfo<'_>| Ok::<_, Error>(ty.row_bytes(t.row_len())? * t.n_rows());
    let mut total = Quantized { n_bytes_in: 0, n_bytes_out: 0, n_fallback };
    for p in &plan {
        total.n_bytes_in += p.tensor.n_bytes() as u64;
        total.n_bytes_out += n_bytes(p.ty, &p.tensor)? as u64;
    }

    let stream = Stream::new(&file, params.n_threads, total.n_bytes_in, progress, params.log.clone());
    let mut writer = Writer::new();
    for (key, value) in file.keys().filter(|(key, _)| !key.starts_with("split.")) {
        writer.set(key, value)?;
    }
    // The version of ggml's block formats; there was a first one, long ago.
    writer.set("general.quantization_version", 2u32)?;
    writer.set("general.file_type", params.mixture.id())?;
    if let Some(imatrix) = params.imatrix {
        imatrix.describe(&mut writer)?;
    }
    for planned in &plan {
        let t = planned.tensor;
        let fill = |sink: &mut Sink<'_>| stream.tensor(planned, sink);
        writer.tensor_from(t.name, &t.dims[..t.n_dims as usize], planned.ty, fill)?;
    }

    // Beside the output, so that it can be renamed; `input` may be `output`.
    let mut partial = output.as_os_str().to_owned();
    partial.push(".part");
    let partial = PathBuf::from(partial);
    let written = writer
        .write(&partial)
        .and_then(|()| std::fs::rename(&partial, output).map_err(|e| Error::io(output, e)));
    if let Err(e) = written {
        // Nothing more can be done about a file that cannot be removed either.
        let _ = std::fs::remove_file(&partial);
        return Err(e);
    }
    Ok(total)
}

/// Which tensor of a model would get which type, in the order in which they are written.
///
/// # Errors
/// As [`quantize`], without reading tensor data.
pub fn types<'a>(file: &'a File, params: &'a QuantizeParams<'a>) -> Result<Vec<(TensorInfo<'a>, GgmlType)>> {
    Ok(plan(file, params)?.0.into_iter().map(|p| (p.tensor, p.ty)).collect())
}

fn plan<'a>(file: &'a File, params: &'a QuantizeParams<'a>) -> Result<(Vec<Planned<'a>>, usize)> {
    let mut tensors: Vec<TensorInfo<'_>> = file.tensors().collect();
    // The rules count layers: names without one come first.
    tensors.sort_by_key(|t| (rules::layer(t.name), t.name));
    let mut rules = Rules::new(file, params, &tensors)?;
    let mut plan = Vec::with_capacity(tensors.len());
    let mut n_quantised = 0;
    for tensor in tensors {
        let ty = rules.choose(&tensor)?;
        let mut importance = None;
        if ty != tensor.ty {
            check_source(&tensor, params)?;
            n_quantised += 1;
            importance = find_importance(&tensor, params.imatrix)?;
            if importance.is_none() && rules::requires_importance(tensor.name, ty, params.mixture) {
                return Err(Error::Unsupported(format!(
                    "tensor {:?}: {} without importance data would be useless: give an imatrix that has it",
                    tensor.name,
                    ty.name()
                )));
            }
        }
        plan.push(Planned { tensor, ty, importance });
    }
    if n_quantised > 0 && params.imatrix.is_some() && plan.iter().all(|p| p.importance.is_none()) {
        return Err(Error::InvalidArgument(
            "the imatrix has data for none of the tensors to quantise: it was made with another model".into(),
        ));
    }
    Ok((plan, rules.n_fallback()))
}

fn check_source(tensor: &TensorInfo<'_>, params: &QuantizeParams<'_>) -> Result<()> {
    if !tensor.ty.has_codec() {
        return Err(Error::Unsupported(format!(
            "tensor {:?}: weights of type {} cannot be quantised",
            tensor.name,
            tensor.ty.name()
        )));
    }
    if tensor.ty.block_len() > 1 && !params.allow_requantize {
        return Err(Error::InvalidArgument(format!(
            "tensor {:?} is quantised already, to {}; quantise the original model, or allow requantising",
            tensor.name,
            tensor.ty.name()
        )));
    }
    Ok(())
}

fn find_importance<'a>(tensor: &TensorInfo<'_>, imatrix: Option<&'a Imatrix>) -> Result<Option<&'a [f32]>> {
    let Some(found) = imatrix.and_then(|i| i.get(tensor.name)) else { return Ok(None) };
    let want = tensor.row_len().saturating_mul(tensor.dims[2] as usize);
    if found.len() == want {
        return Ok(Some(found));
    }
    // The data of a tied output matrix goes by the name of the embeddings but may be of another shape.
    if rules::is_token_embd(tensor.name) {
        return Ok(None);
    }
    Err(Error::InvalidArgument(format!(
        "tensor {:?} has {want} columns, the imatrix has {} for it: it was made with another model",
        tensor.name,
        found.len()
    )))
}

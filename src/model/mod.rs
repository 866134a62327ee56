//! A model: the parsed file, its hyperparameters, its vocabulary and its weights, bound once to a
//! backend. Immutable after load, so any number of contexts on any threads share one.

pub(crate) mod arch;
mod hparams;
mod placement;
mod pooling;

pub use hparams::{Experts, Hparams};
pub use pooling::Pooling;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::backend::Device;
use crate::gguf::{File, TensorInfo};
use crate::log::{Log, info, warning};
use crate::quant::GgmlType;
use crate::tokenizer::Vocab;
use crate::{Error, Result};
use arch::Arch;
pub(crate) use placement::Part;

const MIB: f64 = (1 << 20) as f64;

/// How to load a model.
#[derive(Default)]
pub struct ModelParams<'a> {
    /// Leave the weights alone: for tokenizing and metadata.
    pub vocab_only: bool,
    /// Where to compute.
    pub device: Device,
    /// How many layers a GPU computes: the last ones of the model, with the head (final norm and output
    /// matrix) as one more behind them. So 1 is the head alone, and [`Hparams::n_layer`] + 1 or more is
    /// everything. The CPU looks up the embeddings and computes the layers before; the residual stream goes to
    /// the GPU once a micro-batch. 0 is the CPU alone, whatever the device; more with [`Device::Cpu`] is an
    /// error.
    ///
    /// `None` is everything if it fits into the GPU's free memory, or else as many of the last layers as do,
    /// one and the head at least. What has to fit is computed: the bytes of these layers' weights, their part
    /// of the cache of one context of [`fit_ctx`](ModelParams::fit_ctx) tokens in f16, and 512 MiB for
    /// intermediate results and all else. If none fit, [`Device::Auto`] takes the CPU and says why in the log,
    /// and [`Device::Gpu`] is an error.
    pub n_gpu_layers: Option<usize>,
    /// Tokens of the contexts, all together, that `n_gpu_layers = None` leaves room for; 0 is the model's
    /// training context, `None` 4096 or the training context if that is less.
    pub fit_ctx: Option<usize>,
    /// For tests: the processor computes what a GPU would.
    #[doc(hidden)]
    pub stand_in: bool,
    /// Copy the weights into memory in place of computing on the mapped file. The load then takes as
    /// long as reading the file, and the memory is this process's own; in turn it is of large pages,
    /// which are faster to read. Metadata is still read where the file is mapped.
    pub no_mmap: bool,
    /// Called on the loading thread with the share done, 0 to 1; `false` cancels the load with
    /// [`Error::Aborted`].
    pub progress: Option<&'a mut dyn FnMut(f32) -> bool>,
    /// Where log lines about the load go.
    pub log: Log,
}

/// A loaded model. See the module's documentation.
pub struct Model {
    file: Arc<File>,
    vocab: Arc<Vocab>,
    compute: Option<Compute>,
    load_time: Duration,
}

/// What is there unless only the vocabulary was loaded.
pub(crate) struct Compute {
    pub arch: &'static Arch,
    pub hparams: Hparams,
    /// Who computes, in the order of the layers.
    pub parts: Vec<Part>,
    /// See [`Model::sums`].
    sums: OnceLock<(u32, u32)>,
}

impl Model {
    /// Loads the model at `path`; for a split model, its first shard.
    pub fn load(path: &Path, params: ModelParams<'_>) -> Result<Model> {
        let start = Instant::now();
        let file = File::open(path)?;
        let named = |e| match e {
            Error::Format(m) => Error::Format(format!("{}: {m}", path.display())),
            Error::Unsupported(m) => Error::Unsupported(format!("{}: {m}", path.display())),
            other => other,
        };
        Self::from_file(Arc::new(file), params, start).map_err(named)
    }

    /// Loads a model from a file that is open already.
    pub fn from_gguf(file: Arc<File>, params: ModelParams<'_>) -> Result<Model> {
        Self::from_file(file, params, Instant::now())
    }

    fn from_file(file: Arc<File>, mut params: ModelParams<'_>, start: Instant) -> Result<Model> {
        must_be_a_model(&file)?;
        let vocab = Arc::new(Vocab::from_gguf(&file)?);
        let mut always = |_| true;
        let progress: &mut dyn FnMut(f32) -> bool = match params.progress.take() {
            Some(p) => p,
            None => &mut always,
        };
        if !progress(0.0) {
            return Err(Error::Aborted("loading stopped by the progress callback".into()));
        }
        let compute = match params.vocab_only {
            true => None,
            false => Some(Compute::load(&file, &vocab, &params, progress)?),
        };
        let model = Model { file, vocab, compute, load_time: start.elapsed() };
        for line in model.vocab.warnings() {
            warning!(params.log, "{line}");
        }
        info!(
            params.log,
            "{}: {:.1} MiB in {:?}, {:.1} MiB of them in memory of their own",
            model.description(),
            model.n_bytes() as f64 / MIB,
            model.load_time,
            model.resident_bytes() as f64 / MIB
        );
        if let Some(backend) = model.backend() {
            info!(params.log, "computing on {backend}");
        }
        Ok(model)
    }

    /// The parsed file: metadata and tensors.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The vocabulary, which samplers may keep.
    pub fn vocab(&self) -> &Arc<Vocab> {
        &self.vocab
    }

    /// The hyperparameters; `None` if only the vocabulary was loaded.
    pub fn hparams(&self) -> Option<&Hparams> {
        self.compute.as_ref().map(|c| &c.hparams)
    }

    /// What the file is, in a few words: "llama 1.1B Q4_0".
    pub fn description(&self) -> String {
        let arch = self.file.str("general.architecture").ok().flatten().unwrap_or("?");
        let n = self.n_params() as f64;
        let size = match n {
            n if n >= 1e9 => format!("{:.1}B", n / 1e9),
            n if n >= 1e6 => format!("{:.1}M", n / 1e6),
            n => format!("{:.1}K", n / 1e3),
        };
        let mut bytes: Vec<(GgmlType, u64)> = Vec::new();
        for t in self.file.tensors() {
            match bytes.iter_mut().find(|(ty, _)| *ty == t.ty) {
                Some((_, n)) => *n += t.n_bytes() as u64,
                None => bytes.push((t.ty, t.n_bytes() as u64)),
            }
        }
        let main = bytes.iter().max_by_key(|(_, n)| *n).map_or("", |(ty, _)| ty.name());
        format!("{arch} {size} {}", main.to_uppercase())
    }

    /// Elements of all tensors.
    pub fn n_params(&self) -> u64 {
        self.file.tensors().map(|t| t.n_elements() as u64).sum()
    }

    /// Bytes of all tensors.
    pub fn n_bytes(&self) -> u64 {
        self.file.tensors().map(|t| t.n_bytes() as u64).sum()
    }

    /// Bytes of weights that producing one token reads: all matrices, without the embedding table
    /// unless it is the output matrix too, and of the experts of a layer those that it uses.
    pub fn bytes_per_token(&self) -> u64 {
        let tied = self.file.tensor("output.weight").is_none();
        let experts = self.hparams().and_then(|hp| hp.experts.as_ref());
        let read = |t: TensorInfo<'_>| match experts {
            _ if !tied && t.name == "token_embd.weight" => 0,
            Some(e) if t.dims[2] > 1 => {
                let il = t.name.split('.').nth(1).and_then(|il| il.parse::<usize>().ok());
                let n_used = il.and_then(|il| e.n_used.get(il)).copied().unwrap_or(e.n_expert);
                t.n_bytes() as u64 / e.n_expert as u64 * n_used as u64
            }
            _ => t.n_bytes() as u64,
        };
        self.file.tensors().map(read).sum()
    }

    /// How long loading took.
    pub fn load_time(&self) -> Duration {
        self.load_time
    }

    /// The device that computes, never [`Device::Auto`]: a GPU if it computes any layers. `None` if only the
    /// vocabulary was loaded.
    pub fn device(&self) -> Option<Device> {
        self.parts().last().map(|p| p.device)
    }

    /// How many layers a GPU computes, counted as in [`ModelParams::n_gpu_layers`]: 0 to
    /// [`Hparams::n_layer`] + 1.
    pub fn n_gpu_layers(&self) -> usize {
        let on_gpu = self.parts().iter().filter(|p| matches!(p.device, Device::Gpu(_)));
        on_gpu.map(|p| p.layers.len()).sum()
    }

    /// What computes, in words; `None` if only the vocabulary was loaded.
    pub fn backend(&self) -> Option<String> {
        let name = |p: &Part| format!("{}: {}", p.backend.name(), p.backend.description());
        match self.parts() {
            [] => None,
            [all] => Some(name(all)),
            parts => {
                let each = |p: &Part| format!("{} ({} layers)", name(p), p.layers.len());
                Some(parts.iter().map(each).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// Bytes the weights take besides the mapped file.
    pub fn resident_bytes(&self) -> usize {
        self.parts().iter().map(|p| p.weights.resident_bytes()).sum()
    }

    fn parts(&self) -> &[Part] {
        self.compute.as_ref().map_or(&[], |c| &c.parts)
    }

    /// CRC-32 of the hyperparameters, and of the tensors' names, types, shapes and first bytes: whether
    /// a saved state belongs to this model. Looked at when first asked for.
    pub(crate) fn sums(&self) -> Result<(u32, u32)> {
        let compute = self.compute()?;
        Ok(*compute.sums.get_or_init(|| sums(&self.file, compute.arch.name)))
    }

    pub(crate) fn compute(&self) -> Result<&Compute> {
        self.compute.as_ref().ok_or_else(|| {
            Error::InvalidArgument(
                "the model was loaded with vocab_only: it has no weights to compute with".into(),
            )
        })
    }
}

/// Other things come in GGUF files too, and lack a model's keys: better to say what they are.
fn must_be_a_model(file: &File) -> Result<()> {
    let what = match file.str("general.type")? {
        None if file.get("adapter.type").is_none() => return Ok(()),
        None | Some("adapter") => "a LoRA adapter, which goes with a model",
        Some("imatrix") => "an importance matrix, which goes into quantization",
        Some("mmproj") => "a projector of images or sound, which goes with a model",
        _ => return Ok(()),
    };
    Err(Error::Unsupported(format!("the file is not a model (general.type): it is {what}")))
}

impl Compute {
    fn load(
        file: &Arc<File>,
        vocab: &Vocab,
        params: &ModelParams<'_>,
        progress: &mut dyn FnMut(f32) -> bool,
    ) -> Result<Compute> {
        let arch = Arch::find(file.need_str("general.architecture")?)?;
        let hparams = Hparams::from_gguf(file, arch.name)?;
        if vocab.n_tokens() > hparams.n_vocab {
            return Err(Error::Format(format!(
                "the vocabulary has {} tokens but token_embd.weight only {} rows",
                vocab.n_tokens(),
                hparams.n_vocab
            )));
        }
        let parts = placement::place(arch, &hparams, file, params, progress)?;
        Ok(Compute { arch, hparams, parts, sums: OnceLock::new() })
    }
}

/// Bytes of each tensor that are summed: enough to tell a model from its fine-tuned kin, few enough
/// to leave it on disk.
const SAMPLE: usize = 64;

fn sums(file: &File, arch: &str) -> (u32, u32) {
    let (mut hparams, mut weights) = (crc32fast::Hasher::new(), crc32fast::Hasher::new());
    let own = |key: &str| key.strip_prefix(arch).is_some_and(|rest| rest.starts_with('.'));
    for (key, value) in file.keys().filter(|(key, _)| own(key)) {
        hparams.update(format!("{key}={value:?};").as_bytes());
    }
    for t in file.tensors() {
        weights.update(format!("{}:{}:{:?};", t.name, t.ty as u32, t.dims).as_bytes());
        let data = file.data(&t);
        weights.update(&data[..data.len().min(SAMPLE)]);
    }
    (hparams.finalize(), weights.finalize())
}

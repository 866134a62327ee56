//! The command line: one definition gives the flags, their environment forms, the help, the
//! completions and the manual pages. Names are llama.cpp's where it has the flag.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::sampling::SamplingArgs;
use clap::builder::{BoolishValueParser, PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use rocmforge::backend::Device;
use rocmforge::context::KV_TYPES;
use rocmforge::model::Pooling;
use rocmforge::quant::GgmlType;
use rocmforge::quantize::Mixture;

/// Generate text, measure speed and look into GGUF model files.
///
/// Every flag can be set by an environment variable too: --top-k by ROCMFORGE_TOP_K, and so on.
#[derive(Parser)]
#[command(name = "rocmforge", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The definition, with an environment form for every flag. Of a flag given twice, the last counts.
pub fn command() -> clap::Command {
    Cli::command().args_override_self(true).mut_subcommands(|command| {
        command.mut_args(|arg| match arg.get_long() {
            Some(long) => {
                let name = format!("ROCMFORGE_{}", long.replace('-', "_").to_uppercase());
                arg.env(name).hide_env(true)
            }
            None => arg,
        })
    })
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Continue a text
    Generate(Box<GenerateArgs>),
    /// Measure the speed of a model
    Bench(BenchArgs),
    /// Print the embedding of each line of a text
    Embed(EmbedArgs),
    /// Measure how well a model foretells a text
    Perplexity(PerplexityArgs),
    /// List what can compute, and why a GPU cannot
    Devices(DevicesArgs),
    /// Print the metadata and tensors of a GGUF file
    Inspect(InspectArgs),
    /// Turn a text into tokens
    Tokenize(TokenizeArgs),
    /// Make a model file smaller
    Quantize(QuantizeArgs),
    /// Print a completion script
    #[command(hide = true)]
    Completions {
        /// The shell that it is for
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or that of a command
    #[command(hide = true)]
    Man {
        /// The command
        command: Option<String>,
    },
}

/// Flags about the model, of every command that has one.
#[derive(Args)]
pub struct ModelArgs {
    /// The model, a GGUF file; of a split model the first shard [default: the demo model]
    #[arg(short, long, value_name = "FILE")]
    pub model: Option<PathBuf>,
}

/// Flags about computing.
#[derive(Args)]
#[command(next_help_heading = "Computing")]
pub struct ComputeArgs {
    /// Threads; 0: all processors
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Threads for prompts [short: -tb] [default: as --threads]
    #[arg(long, value_name = "N")]
    pub threads_batch: Option<usize>,
    /// Most tokens of a batch
    #[arg(short, long, value_name = "N", default_value_t = 2048)]
    pub batch_size: usize,
    /// Most tokens computed at a time [short: -ub]
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub ubatch_size: usize,
    /// Type of the cached keys [short: -ctk]
    #[arg(
        long,
        value_name = "TYPE",
        default_value = "f16",
        value_parser = cache_type()
    )]
    pub cache_type_k: GgmlType,
    /// Type of the cached values [short: -ctv]
    #[arg(
        long,
        value_name = "TYPE",
        default_value = "f16",
        value_parser = cache_type()
    )]
    pub cache_type_v: GgmlType,
    /// Where to compute: cpu, hip0, hip1, .. as `rocmforge devices` lists them, or auto: a GPU that can be used and has
    /// memory for layers of the model, or else the CPU
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: Device,
    /// Layers that the GPU computes, the last ones, with the output matrix as one more behind them; all, or auto: as
    /// many as fit into its memory. The CPU computes the others [short: -ngl]
    #[arg(long, alias = "gpu-layers", value_name = "N", default_value = "auto")]
    pub n_gpu_layers: GpuLayers,
    /// Read the weights into memory in place of mapping the file: a slower start, faster generation
    #[arg(long)]
    pub no_mmap: bool,
}

/// How many layers the GPU computes; none for as many as fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuLayers(pub Option<usize>);

impl std::str::FromStr for GpuLayers {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<GpuLayers, &'static str> {
        match s {
            "auto" => Ok(GpuLayers(None)),
            "all" => Ok(GpuLayers(Some(usize::MAX))),
            n => n.parse().map(|n| GpuLayers(Some(n))).map_err(|_| "expected a number, all or auto"),
        }
    }
}

/// Flags of `generate`.
#[derive(Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The text to continue [default: read from standard input]
    #[arg(short, long, allow_hyphen_values = true)]
    pub prompt: Option<OsString>,
    /// Read the text from a file; -: standard input. A newline at its end is dropped
    #[arg(short, long)]
    pub file: Option<PathBuf>,
    /// Tokens to generate; -1: until the text ends or the context is full
    #[arg(
        short = 'n',
        long,
        alias = "n-predict",
        value_name = "N",
        default_value_t = -1,
        value_parser = clap::value_parser!(i64).range(-1..),
        allow_hyphen_values = true
    )]
    pub predict: i64,
    /// Tokens the context holds; 0: as many as the model was trained on [default: 4096, or what the
    /// model was trained on if that is less]
    #[arg(short, long, value_name = "N")]
    pub ctx_size: Option<usize>,
    /// Take the text as a user's message, through the model's chat template, and print the answer
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub chat: bool,
    /// Print only what is generated
    #[arg(
        long,
        value_parser = BoolishValueParser::new()
    )]
    pub no_display_prompt: bool,
    /// Print special tokens too
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub special: bool,
    /// Generate on where the model would end the text
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub ignore_eos: bool,
    /// Print what is loaded and chosen
    #[arg(
        short,
        long,
        value_parser = BoolishValueParser::new()
    )]
    pub verbose: bool,
    #[command(flatten)]
    pub session: SessionArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

/// Flags about what the context holds.
#[derive(Args)]
#[command(next_help_heading = "Context")]
pub struct SessionArgs {
    /// When the context is full, drop the older half of what is not kept and go on
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub context_shift: bool,
    /// When the context is full, stop [the default]
    #[arg(long, value_parser = BoolishValueParser::new(), overrides_with = "context_shift")]
    pub no_context_shift: bool,
    /// Tokens of the prompt that a context shift keeps, besides the one that begins the text; -1: all
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = clap::value_parser!(i32).range(-1..),
        allow_hyphen_values = true
    )]
    pub keep: i32,
    /// Keep what is computed of the prompt in a file, and begin with what it has in common with the one
    /// kept there before. Without a prompt, that one is continued
    #[arg(long, value_name = "FILE")]
    pub prompt_cache: Option<PathBuf>,
    /// Keep what is generated too
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub prompt_cache_all: bool,
    /// Leave the file of --prompt-cache as it is
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub prompt_cache_ro: bool,
}

/// Flags of `bench`.
#[derive(Args)]
pub struct BenchArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Tokens of the prompt; 0: no prompt test
    #[arg(short = 'p', long, value_name = "N", default_value_t = 512)]
    pub n_prompt: usize,
    /// Tokens to generate; 0: no generation test
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128)]
    pub n_gen: usize,
    /// How often each test is repeated
    #[arg(
        short,
        long,
        value_name = "N",
        default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub repetitions: u32,
    /// How to print the results
    #[arg(short, long, default_value = "md")]
    pub output: Format,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

/// How `bench` prints.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A Markdown table
    Md,
    /// Comma-separated values with a header line
    Csv,
    /// One JSON object
    Json,
}

/// Flags of `perplexity`.
#[derive(Args)]
pub struct PerplexityArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The text [default: read from standard input]
    #[arg(short, long, allow_hyphen_values = true)]
    pub prompt: Option<OsString>,
    /// Read the text from a file; -: standard input
    #[arg(short, long)]
    pub file: Option<PathBuf>,
    /// Tokens of a piece of the text; the second half of each piece counts
    #[arg(
        short,
        long,
        value_name = "N",
        default_value = "512",
        value_parser = RangedU64ValueParser::<usize>::new().range(2..)
    )]
    pub ctx_size: usize,
    /// Pieces to go through [default: all]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub chunks: Option<usize>,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

/// Flags of `embed`.
#[derive(Args)]
pub struct EmbedArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The text, one embedding (or, without pooling, one per token) for each line
    /// [default: read from standard input]
    #[arg(short, long, allow_hyphen_values = true)]
    pub prompt: Option<OsString>,
    /// Read the text from a file; -: standard input
    #[arg(short, long)]
    pub file: Option<PathBuf>,
    /// How the tokens of a line become one embedding [default: what the model's file says, or none]
    #[arg(long, value_name = "TYPE", value_parser = pooling())]
    pub pooling: Option<Pooling>,
    /// Norm to divide by: -1 none, 0 largest magnitude (to 16 bits), 1 taxicab, 2 Euclidean, >2 p-norm
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2,
        value_parser = clap::value_parser!(i32).range(-1..=64),
        allow_hyphen_values = true
    )]
    pub embd_normalize: i32,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "lines")]
    pub embd_output_format: EmbedFormat,
    /// Tokens the context holds [default: those of the longest line]
    #[arg(short, long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub ctx_size: Option<usize>,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

/// How `embed` prints.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EmbedFormat {
    /// A line of numbers for each embedding
    Lines,
    /// A JSON array of arrays
    Array,
    /// A JSON object as OpenAI's
    Json,
}

fn pooling() -> impl TypedValueParser<Value = Pooling> {
    let find = |name: String| Pooling::ALL.into_iter().find(|p| p.name() == name).unwrap_or(Pooling::None);
    PossibleValuesParser::new(Pooling::ALL.map(Pooling::name)).map(find)
}

/// Flags of `devices`.
#[derive(Args)]
pub struct DevicesArgs {
    /// Print JSON
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// Flags of `inspect`.
#[derive(Args)]
pub struct InspectArgs {
    /// The GGUF file; of a split model the first shard
    pub file: PathBuf,
    /// Print JSON
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// Flags of `tokenize`.
#[derive(Args)]
pub struct TokenizeArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The text [default: read from standard input]
    pub text: Option<OsString>,
    /// Read the text from a file; -: standard input
    #[arg(short, long)]
    pub file: Option<PathBuf>,
    /// Print only the ids, in one line
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub ids: bool,
    /// Add no token at the beginning or the end, even if the model wants one
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub no_bos: bool,
    /// Read special tokens written out in the text as such
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub parse_special: bool,
}

/// Flags of `quantize`.
#[derive(Args)]
#[command(after_help = mixtures())]
pub struct QuantizeArgs {
    /// The model, a GGUF file; the file to write [default: ggml-model-TYPE.gguf beside the model]; the
    /// type, by name or number; the number of threads, if it is not given by --threads
    #[arg(required = true, num_args = 2..=4, value_name = "IN [OUT] TYPE [THREADS]")]
    pub files: Vec<OsString>,
    /// Importance data, as llama.cpp's imatrix makes it
    #[arg(long, value_name = "FILE")]
    pub imatrix: Option<PathBuf>,
    /// The type of output.weight
    #[arg(long, value_name = "TYPE", value_parser = tensor_type)]
    pub output_tensor_type: Option<GgmlType>,
    /// The type of the token embeddings
    #[arg(long, value_name = "TYPE", value_parser = tensor_type)]
    pub token_embedding_type: Option<GgmlType>,
    /// Give all tensors the same type
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub pure: bool,
    /// Take tensors that are quantised already, which loses more than quantising the original
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub allow_requantize: bool,
    /// Leave output.weight as it is
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub leave_output_tensor: bool,
    /// Threads; 0: all processors
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Print what each tensor becomes
    #[arg(short, long, value_parser = BoolishValueParser::new())]
    pub verbose: bool,
}

fn mixtures() -> String {
    let names: Vec<&str> = Mixture::ALL.iter().map(|m| m.name()).collect();
    format!("Types: {}", names.join(", "))
}

fn tensor_type(s: &str) -> Result<GgmlType, String> {
    let found = GgmlType::ALL.iter().find(|t| t.has_codec() && t.name().eq_ignore_ascii_case(s));
    found.copied().ok_or_else(|| "expected the name of a type of weights, as in q6_K".to_string())
}

/// llama.cpp's flags of several letters after one dash, which the parser does not know.
const SHORT: [(&str, &str); 5] = [
    ("-ub", "--ubatch-size"),
    ("-tb", "--threads-batch"),
    ("-ctk", "--cache-type-k"),
    ("-ctv", "--cache-type-v"),
    ("-ngl", "--n-gpu-layers"),
];

/// The arguments with such flags written in their long form.
pub fn spelled_out(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut out: Vec<OsString> = Vec::new();
    let mut flags = true;
    for arg in args {
        flags &= arg != "--";
        // What follows these is text, whatever it looks like.
        let text = out.last().is_some_and(|last| last == "-p" || last == "--prompt");
        let long = SHORT.iter().find(|(short, _)| flags && !text && arg == *short);
        out.push(long.map_or(arg, |(_, long)| long.into()));
    }
    out
}

fn cache_type() -> impl TypedValueParser<Value = GgmlType> {
    PossibleValuesParser::new(KV_TYPES.map(GgmlType::name))
        .map(|name| KV_TYPES.into_iter().find(|t| t.name() == name).expect("one of the possible values"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn short_flags_of_several_letters_are_spelled_out() {
        let spelled = |args: &[&str]| spelled_out(args.iter().map(OsString::from));
        assert_eq!(
            spelled(&["x", "-ub", "8", "-ctk", "f32", "-ngl", "3"]),
            ["x", "--ubatch-size", "8", "--cache-type-k", "f32", "--n-gpu-layers", "3"]
        );
        for (text, layers) in [("auto", None), ("all", Some(usize::MAX)), ("0", Some(0)), ("20", Some(20))] {
            assert_eq!(text.parse(), Ok(GpuLayers(layers)));
        }
        assert!(["", "-1", "some"].iter().all(|text| text.parse::<GpuLayers>().is_err()));
        assert_eq!(spelled(&["x", "-p", "-tb", "--", "-ctv"]), ["x", "-p", "-tb", "--", "-ctv"]);
    }
}

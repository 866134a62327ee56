//! Small graphs over random weights: what a case says, and the file, graphs and inputs that are made of it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use rocmforge::backend::{Inputs, KvLayer, KvSpec};
use rocmforge::gguf::{File, Writer};
use rocmforge::graph::{Builder, Graph, Input, TensorId, WeightId};
use rocmforge::quant::{GgmlType, dequantize};
use rocmforge_testkit::rng::Rng;

/// Rows of a table of activations: columns of a product are told apart by their numbers up to so many.
pub const N_ROWS: usize = 97;

/// A tensor of the file.
struct Made {
    ty: GgmlType,
    ne: [usize; 3],
    bytes: Vec<u8>,
}

/// All weights of a case. A program that is built again, for more tokens, gets those it had.
pub struct Weights {
    made: Vec<Made>,
    rng: Rng,
}

/// Builds one graph of a program.
pub struct Net<'a> {
    g: Builder,
    weights: &'a mut Weights,
    /// The next of the program's weights, if it has them.
    next: usize,
    n_cells: usize,
    /// The capacity of the graph.
    pub n_tokens: usize,
}

impl Deref for Net<'_> {
    type Target = Builder;
    fn deref(&self) -> &Builder {
        &self.g
    }
}

impl DerefMut for Net<'_> {
    fn deref_mut(&mut self) -> &mut Builder {
        &mut self.g
    }
}

impl Net<'_> {
    /// A matrix of `ne[0]` by `ne[1]`, of each of `ne[2]` experts; about as large as its transpose's inverse.
    pub fn matrix(&mut self, ty: GgmlType, ne: [usize; 3]) -> TensorId {
        self.made(ty, ne, |rng| random_blocks(ty, ne.iter().product(), ne[0], rng))
    }

    /// Rows of f32.
    pub fn rows(&mut self, n: usize, n_rows: usize, f: impl FnMut(&mut Rng) -> Vec<f32>) -> TensorId {
        let mut f = f;
        self.made(GgmlType::F32, [n, n_rows, 1], |rng| {
            let rows = f(rng);
            assert_eq!(rows.len(), n * n_rows);
            bytemuck::cast_slice(&rows).to_vec()
        })
    }

    /// A row of weights about 1, or a bias.
    pub fn row(&mut self, n: usize) -> TensorId {
        self.rows(n, 1, |rng| (0..n).map(|_| 1.0 + 0.3 * noise(rng)).collect())
    }

    fn made(&mut self, ty: GgmlType, ne: [usize; 3], f: impl FnOnce(&mut Rng) -> Vec<u8>) -> TensorId {
        let i = self.next;
        self.next += 1;
        if i == self.weights.made.len() {
            let bytes = f(&mut self.weights.rng);
            self.weights.made.push(Made { ty, ne, bytes });
        }
        assert!(self.weights.made[i].ty == ty && self.weights.made[i].ne == ne, "the same weights again");
        self.g.weight(WeightId(i as u32), ty, [ne[0], ne[1], ne[2], 1])
    }

    /// Activations of `n` elements: rows of very different sizes, by token.
    pub fn x(&mut self, n: usize) -> TensorId {
        self.by(n, Input::Tokens)
    }

    /// Other ones, by position.
    pub fn other(&mut self, n: usize) -> TensorId {
        self.by(n, Input::Positions)
    }

    fn by(&mut self, n: usize, ids: Input) -> TensorId {
        let table = self.rows(n, N_ROWS, |rng| activations(n, N_ROWS, rng));
        let ids = self.of_run(ids);
        self.g.get_rows(table, ids)
    }

    /// An input of the run.
    pub fn of_run(&mut self, input: Input) -> TensorId {
        self.g.input(input, self.n_cells)
    }

    /// Cells of the cache.
    pub fn n_cells(&self) -> usize {
        self.n_cells
    }
}

/// About normal: a sum of four even numbers, which are quickly made.
pub fn noise(rng: &mut Rng) -> f32 {
    let bits = rng.bits();
    let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
    // Four even numbers from 0 to 1 have a variance of a third.
    (sum as f32 / 65535.0 - 2.0) * 1.732
}

/// Rows as networks have them: normal, of a size of their own each, with a value that stands out in some, and
/// groups of zeros in others.
fn activations(n: usize, n_rows: usize, rng: &mut Rng) -> Vec<f32> {
    let mut all = Vec::with_capacity(n * n_rows);
    for row in 0..n_rows {
        let size = 10f32.powf(rng.uniform() as f32 * 3.0 - 1.5);
        let at = all.len();
        all.extend((0..n).map(|_| size * noise(rng)));
        match row % 5 {
            1 => all[at + rng.below(n)] *= 100.0,
            2 if n > 32 => {
                let group = rng.below(n / 32) * 32;
                all[at + group..at + group + 32].fill(0.0);
            }
            _ => {}
        }
    }
    all
}

/// Random blocks of a type: all quants and scales of blocks, of values whose squares are about `1 / k` on average.
pub fn random_blocks(ty: GgmlType, n: usize, k: usize, rng: &mut Rng) -> Vec<u8> {
    let size = 1.0 / (k as f64).sqrt();
    match ty {
        GgmlType::F32 => (0..n).flat_map(|_| (noise(rng) * size as f32).to_le_bytes()).collect(),
        GgmlType::F16 => {
            (0..n).flat_map(|_| half::f16::from_f32(noise(rng) * size as f32).to_le_bytes()).collect()
        }
        GgmlType::BF16 => {
            (0..n).flat_map(|_| half::bf16::from_f32(noise(rng) * size as f32).to_le_bytes()).collect()
        }
        _ => {
            let mut bytes: Vec<u8> = Vec::with_capacity(n / ty.block_len() * ty.block_bytes() + 8);
            while bytes.len() < n / ty.block_len() * ty.block_bytes() {
                bytes.extend(rng.bits().to_le_bytes());
            }
            bytes.truncate(n / ty.block_len() * ty.block_bytes());
            // What blocks amount to whose factors are 1.
            let mut sample = bytes[..bytes.len().min(16 * ty.block_bytes())].to_vec();
            sample.chunks_mut(ty.block_bytes()).for_each(|b| set_factors(ty, b, 1.0, 1.0));
            let mut values = vec![0.0; sample.len() / ty.block_bytes() * ty.block_len()];
            dequantize(ty, &sample, &mut values).unwrap();
            let power = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len() as f64;
            let unit = size / power.sqrt();
            for block in bytes.chunks_mut(ty.block_bytes()) {
                let mut factor = || (unit * (0.5 + rng.uniform())) as f32;
                let (d, d_min) = (factor(), factor());
                set_factors(ty, block, if rng.below(4) == 0 { -d } else { d }, d_min);
            }
            bytes
        }
    }
}

/// Sets the factor of a block's scales, and that of its minima if it has any.
fn set_factors(ty: GgmlType, block: &mut [u8], d: f32, d_min: f32) {
    use GgmlType::*;
    let bits = half::f16::from_f32(d).to_le_bytes();
    let (at, min_at) = match ty {
        // A power of two.
        MXFP4 => {
            block[0] = (d.to_bits() >> 23) as u8;
            return;
        }
        // Four bits in each of four words.
        IQ1_M => {
            for i in 0..4 {
                let byte = &mut block[49 + 2 * i];
                *byte = *byte & 15 | (bits[i / 2] >> (i % 2 * 4)) << 4;
            }
            return;
        }
        Q4_1 | Q5_1 | Q4_K | Q5_K => (0, Some(2)),
        Q2_K => (80, Some(82)),
        Q3_K => (108, None),
        Q6_K => (208, None),
        TQ1_0 => (52, None),
        TQ2_0 => (64, None),
        _ => (0, None),
    };
    block[at..at + 2].copy_from_slice(&bits);
    if let Some(at) = min_at {
        block[at..at + 2].copy_from_slice(&half::f16::from_f32(d_min).to_le_bytes());
    }
}

/// How many tokens a graph has room for and how many of them a run has.
pub type Size = (usize, usize);

type Build = Box<dyn Fn(&mut Net<'_>) -> Vec<TensorId> + Send>;
type Feed = Box<dyn Fn(&mut Inputs, &mut Rng) + Send>;

/// One computation, run with several numbers of tokens.
pub struct Program {
    pub sizes: Vec<Size>,
    build: Build,
    feed: Feed,
}

/// Programs over the same weights and the same cache.
pub struct Case {
    pub name: String,
    pub kv: KvSpec,
    pub programs: Vec<Program>,
}

impl Case {
    /// A case without programs, and with a cache of one cell block that nothing reads.
    pub fn new(name: impl Into<String>) -> Case {
        let layer = KvLayer { n_head_kv: 1, head_dim_k: 64, head_dim_v: 64 };
        let kv = KvSpec { layers: vec![layer], n_cells: 64, type_k: GgmlType::F16, type_v: GgmlType::F16 };
        Case { name: name.into(), kv, programs: Vec::new() }
    }

    /// With this cache.
    pub fn cache(mut self, layer: KvLayer, n_cells: usize, ty: GgmlType) -> Case {
        self.kv = KvSpec { layers: vec![layer], n_cells, type_k: ty, type_v: ty };
        self
    }

    /// With values of another type.
    pub fn values(mut self, ty: GgmlType) -> Case {
        self.kv.type_v = ty;
        self
    }

    /// With a program. `build` makes its graph and gives its outputs.
    pub fn program(
        self,
        sizes: &[Size],
        build: impl Fn(&mut Net<'_>) -> Vec<TensorId> + Send + 'static,
    ) -> Case {
        self.fed(sizes, |_, _| {}, build)
    }

    /// The same, with inputs that `feed` changes.
    pub fn fed(
        mut self,
        sizes: &[Size],
        feed: impl Fn(&mut Inputs, &mut Rng) + Send + 'static,
        build: impl Fn(&mut Net<'_>) -> Vec<TensorId> + Send + 'static,
    ) -> Case {
        self.programs.push(Program { sizes: sizes.to_vec(), build: Box::new(build), feed: Box::new(feed) });
        self
    }

    /// The file, and the graphs of each program, by its sizes.
    pub fn make(&self) -> (Arc<File>, Vec<Vec<Graph>>) {
        let seed = self.name.bytes().fold(7, |h: u64, b| h.wrapping_mul(131).wrapping_add(b.into()));
        let mut weights = Weights { made: Vec::new(), rng: Rng::new(seed) };
        let n_cells = self.kv.n_cells;
        let graphs = self.programs.iter().map(|p| {
            let first = weights.made.len();
            let build = |&(n_tokens, _): &Size| {
                let g = Builder::new(n_tokens, n_tokens);
                let mut net = Net { g, weights: &mut weights, next: first, n_cells, n_tokens };
                let roots = (p.build)(&mut net);
                net.g.finish(&roots)
            };
            p.sizes.iter().map(build).collect()
        });
        let graphs = graphs.collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut w = Writer::new();
        w.set("general.architecture", "sweep").unwrap();
        let names: Vec<String> = (0..weights.made.len()).map(|i| format!("{i:04}")).collect();
        for (name, t) in names.iter().zip(&weights.made) {
            w.tensor(name, &t.ne.map(|n| n as u64), t.ty, &t.bytes).unwrap();
        }
        w.write(file.path()).unwrap();
        let file = File::open(file.path()).unwrap();
        for (i, name) in names.iter().enumerate() {
            assert_eq!(file.tensor(name).unwrap().index, i, "tensors in the order they were added");
        }
        (Arc::new(file), graphs)
    }
}

impl Program {
    /// What a run of `n` tokens is fed. Beyond them is what must not matter.
    pub fn inputs(&self, (capacity, n): Size, n_cells: usize, rng: &mut Rng) -> Inputs {
        // Each row of a table once before any comes twice.
        let ids = |rng: &mut Rng| -> Vec<i32> {
            let (first, step) = (rng.below(N_ROWS), 1 + rng.below(N_ROWS - 1));
            (0..capacity).map(|i| ((first + i * step) % N_ROWS) as i32).collect()
        };
        let mut inputs = Inputs {
            tokens: ids(rng),
            positions: ids(rng),
            cells: (0..capacity as i32).collect(),
            mask: vec![u64::MAX; capacity * n_cells / 64],
            output_ids: (0..capacity as i32).collect(),
            cell_shift: vec![0; n_cells],
            hidden: vec![],
            n_tokens: n,
            n_outputs: n,
            n_kv: n_cells,
        };
        (self.feed)(&mut inputs, rng);
        inputs
    }
}

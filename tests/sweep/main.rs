//! Every operation, on the backend that `ROCMFORGE_TEST_DEVICE` names or else on the processor, over a sweep of
//! shapes, against what it is defined to compute ([`reference`]).
//!
//! A case is a small graph, optimised and compiled as models' are, and run with several numbers of tokens, fewer than
//! it has room for among them. Each run is done three times: twice with tensors kept apart in an arena that is filled
//! beforehand, with two different poisons, after which no byte between the tensors may have changed; and once laid out
//! as models are. All three have to give the same bits, and leave the same bits in the cache, where only the rows that
//! were written may have changed. Attention is run once more with NaN in the cells that no token sees.
//!
//! `ROCMFORGE_TEST_BRIEF=1` is for a device that takes long: fewer sizes, and the second poison is left out.
//! `ROCMFORGE_SWEEP=all` adds the shapes that take a processor long. `--nocapture` shows how much of what is allowed
//! errors took.

mod cases;
mod mutations;
mod near;
mod net;
mod reference;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use fake_hip::Fake;
use rocmforge::backend::{Backend, Device, Inputs, KvHead, ProgramId, Session, SessionSpec};
use rocmforge::gguf::File;
use rocmforge::graph::passes::optimise;
use rocmforge::graph::{Graph, KvHalf, Op};
use rocmforge::quant::{GgmlType, dequantize, quantize};
use rocmforge_gfx1100::Counters;
use rocmforge_testkit::harness::{self, Tests};
use rocmforge_testkit::ours::device;
use rocmforge_testkit::rng::Rng;

use near::Near;
use net::{Case, Size, noise};
use reference::{Data, Half, Kv, Rounding, evaluate};

/// From so many tokens on, a GPU's attention may round to f16 (`kernels/flash.hip`).
const GPU_HALF_TOKENS: usize = 64;
/// Bytes between tensors: more than any kernel's block of columns is wide.
const GUARD: usize = 4096;
/// NaN as f32, -1 as quants; and a number that no operation leaves as it is.
const POISONS: [u8; 2] = [0xff, 0xc1];

fn main() -> ExitCode {
    if std::env::var("ROCMFORGE_SWEEP").is_ok_and(|v| v == "mutations") {
        return mutations::run();
    }
    let mut tests = Tests::default();
    if device() == Device::Cpu {
        tests.add("gpu", Err("ROCMFORGE_TEST_DEVICE names none".into()), || {});
    }
    let all = std::env::var("ROCMFORGE_SWEEP").is_ok_and(|v| v == "all");
    for case in cases::all(all) {
        tests.add(format!("{}/{}", device(), case.name), Ok(()), move || check(&case));
    }
    tests.run()
}

fn backend() -> Arc<dyn Backend> {
    static OPEN: OnceLock<Result<Arc<dyn Backend>, String>> = OnceLock::new();
    let open = || device().open().map_err(|e| e.to_string());
    OPEN.get_or_init(open).clone().unwrap_or_else(|e| panic!("{}: {e}", device()))
}

/// What a run left: its outputs, row after row, and the cache.
#[derive(PartialEq)]
struct Made {
    outputs: Vec<Vec<u32>>,
    cache: Vec<[Vec<u8>; 2]>,
}

fn check(case: &Case) {
    let start = std::time::Instant::now();
    let (file, graphs) = case.make();
    let mut rng = Rng::new(1);
    let cache = Cache::random(case, &mut rng);
    let mut runner = Runner::open(case, &file);
    let packing = runner.session().packing();
    let rounding = Rounding {
        packed: GgmlType::ALL.iter().copied().filter(|&ty| packing.wants_packed(ty)).collect(),
        attention_in_f16: (device() != Device::Cpu).then_some(GPU_HALF_TOKENS),
    };
    let mut worst: f64 = 0.0;
    for (program, graphs) in case.programs.iter().zip(graphs) {
        for (&size, graph) in program.sizes.iter().zip(graphs) {
            let what = format!("{} of {} tokens", size.1, size.0);
            let optimised = optimise(graph.clone(), runner.session().packing());
            let inputs = program.inputs(size, case.kv.n_cells, &mut rng);
            let made = runner.run(&optimised, &inputs, size, &cache, &what);
            let mut kv = cache.meaning();
            let want = evaluate(&graph, &file, &inputs, &mut kv, &rounding);
            assert_eq!(want.len(), made.outputs.len(), "{what}: outputs");
            for (i, (want, got)) in want.iter().zip(&made.outputs).enumerate() {
                worst = worst.max(compare(want, got, &format!("{what}, output {i}")));
            }
            worst = worst.max(cache.compare(&kv, &made.cache, &what));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    harness::note(format_args!("{}: {worst:.2} of what is allowed, {seconds:.2} s{}", case.name, executed()));
}

/// What the interpreter has done until now, if it is what launches go to.
fn executed() -> String {
    if std::env::var_os("FAKE_HIP_EXECUTE").is_none() {
        return String::new();
    }
    let mut all = Counters::default();
    Fake::open().counters().iter().for_each(|e| all.add(&e.counters));
    format!("; {} million instructions, {:.1} a second", all.total() / 1_000_000, all.rate())
}

/// How much of what is allowed the errors took.
fn compare(want: &Data, got: &[u32], what: &str) -> f64 {
    let mut worst: f64 = 0.0;
    match want {
        Data::Int(want) => {
            let got: Vec<i32> = got.iter().map(|&bits| bits as i32).collect();
            assert_eq!(*want, got, "{what}");
        }
        Data::Real(want) => {
            assert_eq!(want.len(), got.len(), "{what}: elements");
            for (i, (n, got)) in want.iter().zip(got).enumerate() {
                worst = worst.max(n.off(f32::from_bits(*got), || format!("{what}, element {i}")));
            }
        }
        Data::None => panic!("{what}: a leaf"),
    }
    worst
}

impl Near {
    fn off(&self, got: f32, what: impl Fn() -> String) -> f64 {
        if self.e.is_infinite() {
            return 0.0;
        }
        // The smallest numbers may be flushed to zero.
        let (off, allowed) = ((f64::from(got) - self.v).abs(), self.e + 1e-35);
        let (v, e) = (self.v, self.e);
        assert!(off <= allowed, "{} is {got} in place of {v}: off by {off:.2e}, not {e:.2e}", what());
        off / allowed
    }
}

/// What the cache holds before each run, in its bytes.
struct Cache {
    halves: Vec<[Vec<u8>; 2]>,
    empty: Kv,
}

impl Cache {
    fn random(case: &Case, rng: &mut Rng) -> Cache {
        let kv = &case.kv;
        let mut half = |n_head: usize, dim: usize, ty: GgmlType| {
            let x: Vec<f32> = (0..n_head * kv.n_cells * dim).map(|_| noise(rng)).collect();
            let mut bytes = vec![0; ty.row_bytes(x.len()).unwrap()];
            quantize(ty, &x, &mut bytes).unwrap();
            let written = vec![false; n_head * kv.n_cells];
            (bytes, Half { ty, dim, n_cells: kv.n_cells, x: Vec::new(), written })
        };
        let (mut halves, mut empty) = (Vec::new(), Vec::new());
        for l in &kv.layers {
            let (k, k_half) = half(l.n_head_kv, l.head_dim_k, kv.type_k);
            let (v, v_half) = half(l.n_head_kv, l.head_dim_v, kv.type_v);
            halves.push([k, v]);
            empty.push([k_half, v_half]);
        }
        Cache { halves, empty }
    }

    /// What the bytes stand for.
    fn meaning(&self) -> Kv {
        let mut kv = self.empty.clone();
        for (half, bytes) in kv.iter_mut().flatten().zip(self.halves.iter().flatten()) {
            let mut x = vec![0.0; half.written.len() * half.dim];
            dequantize(half.ty, bytes, &mut x).unwrap();
            half.x = x.into_iter().map(Near::exact).collect();
        }
        kv
    }

    /// Each half of each layer, and its bytes of one head.
    fn halves(&self) -> impl Iterator<Item = (usize, KvHalf, usize)> {
        let head = |h: &Half| h.ty.row_bytes(h.dim).unwrap() * h.n_cells;
        let both = move |(layer, [k, v]): (usize, &[Half; 2])| {
            [(layer, KvHalf::K, head(k)), (layer, KvHalf::V, head(v))]
        };
        self.empty.iter().enumerate().flat_map(both)
    }

    /// The same with NaN in every cell that no token sees.
    fn blinded(&self, inputs: &Inputs) -> Cache {
        let n_cells = inputs.cell_shift.len();
        let rows = || inputs.mask.chunks(n_cells / 64).take(inputs.n_tokens);
        let seen = |c: usize| c < inputs.n_kv && rows().any(|row| row[c / 64] >> (c % 64) & 1 == 1);
        let mut halves = self.halves.clone();
        for (half, bytes) in self.empty.iter().flatten().zip(halves.iter_mut().flatten()) {
            let row = half.ty.row_bytes(half.dim).unwrap();
            let hidden: Vec<bool> = (0..n_cells).map(|c| !seen(c)).collect();
            for (row, _) in bytes.chunks_mut(row).zip(hidden.iter().cycle()).filter(|(_, hidden)| **hidden) {
                row.fill(0xff);
            }
        }
        Cache { halves, empty: self.empty.clone() }
    }

    fn write(&self, session: &mut dyn Session) {
        for ((layer, half, bytes), all) in self.halves().zip(self.halves.iter().flatten()) {
            let n_cells = self.empty[layer][0].n_cells;
            for (head, rows) in all.chunks(bytes).enumerate() {
                session.kv_write(KvHead { layer, half, head }, 0..n_cells, rows).unwrap();
            }
        }
    }

    fn read(&self, session: &dyn Session) -> Vec<[Vec<u8>; 2]> {
        let mut read = self.halves.clone();
        for ((layer, half, bytes), all) in self.halves().zip(read.iter_mut().flatten()) {
            let n_cells = self.empty[layer][0].n_cells;
            for (head, rows) in all.chunks_mut(bytes).enumerate() {
                session.kv_read(KvHead { layer, half, head }, 0..n_cells, rows).unwrap();
            }
        }
        read
    }

    /// Rows that were written are near to what they should be, others what they were.
    fn compare(&self, want: &Kv, got: &[[Vec<u8>; 2]], what: &str) -> f64 {
        let mut worst: f64 = 0.0;
        let halves = want.iter().flatten().zip(got.iter().flatten()).zip(self.halves.iter().flatten());
        for ((half, got), before) in halves {
            let bytes = half.ty.row_bytes(half.dim).unwrap();
            let mut row = vec![0.0; half.dim];
            for (i, (got, before)) in got.chunks(bytes).zip(before.chunks(bytes)).enumerate() {
                let (head, cell) = (i / half.n_cells, i % half.n_cells);
                let what = format!("{what}, cell {cell} of head {head}");
                if !half.written[i] {
                    assert!(got == before, "{what} was written");
                    continue;
                }
                dequantize(half.ty, got, &mut row).unwrap();
                for (j, (n, &got)) in half.x[i * half.dim..].iter().zip(&row).enumerate() {
                    worst = worst.max(n.off(got, || format!("{what}, element {j}")));
                }
            }
        }
        worst
    }
}

/// A session.
struct Runner(Option<Box<dyn Session>>);

/// One at a time on a GPU, so that there is room for the largest.
fn alone() -> Option<std::sync::MutexGuard<'static, ()>> {
    static LOCK: Mutex<()> = Mutex::new(());
    (device() != Device::Cpu).then(|| LOCK.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Runner {
    fn open(case: &Case, file: &Arc<File>) -> Runner {
        let _alone = alone();
        let backend = backend();
        let ids: Vec<_> = (0..file.n_tensors() as u32).map(rocmforge::graph::WeightId).collect();
        let weights = backend.bind(file, &ids, false, &mut |_| true).unwrap();
        let spec = SessionSpec { kv: case.kv.clone(), n_threads: 2, n_threads_batch: 2 };
        Runner(Some(backend.session(&weights, &spec).unwrap()))
    }

    fn session(&mut self) -> &mut dyn Session {
        &mut **self.0.as_mut().expect("until it is dropped")
    }

    /// Runs a graph in all ways.
    fn run(
        &mut self,
        graph: &Graph,
        inputs: &Inputs,
        (capacity, n): Size,
        cache: &Cache,
        what: &str,
    ) -> Made {
        let _alone = alone();
        let apart = Graph { guard: GUARD, ..graph.clone() };
        let [apart, packed] = [&apart, graph].map(|g| self.session().compile(g).unwrap());
        if n < capacity {
            // What is beyond the live tokens then is what an earlier run left.
            let full = Inputs { n_tokens: capacity, n_outputs: capacity, ..inputs.clone() };
            self.session().run(apart, &full, None).unwrap();
        }
        let mut poisoned = |poison| {
            self.session().poison(poison).unwrap();
            let made = self.once(apart, graph, inputs, cache);
            self.between(apart, poison, what);
            made
        };
        let made = poisoned(POISONS[0]);
        if !rocmforge_testkit::brief() {
            assert!(made == poisoned(POISONS[1]), "{what}: what is not written is an output or is read");
        }
        assert!(made == self.once(packed, graph, inputs, cache), "{what}: bits depend on where tensors lie");
        if graph.nodes.iter().any(|t| matches!(t.op, Op::Attention { .. })) {
            let blind = self.once(packed, graph, inputs, &cache.blinded(inputs));
            assert!(made.outputs == blind.outputs, "{what}: a cell that no token sees matters");
        }
        made
    }

    fn once(&mut self, program: ProgramId, graph: &Graph, inputs: &Inputs, cache: &Cache) -> Made {
        let session = self.session();
        cache.write(session);
        session.run(program, inputs, None).unwrap();
        let n_outputs = graph.roots.iter().filter(|r| !graph.node(**r).op.has_effect()).count();
        let bits = |i| session.output(i).iter().map(|v| v.to_bits()).collect();
        Made { outputs: (0..n_outputs).map(bits).collect(), cache: cache.read(session) }
    }

    /// Nothing was written between the tensors of a program.
    fn between(&mut self, program: ProgramId, poison: u8, what: &str) {
        let (arena, mut places) = self.session().arena(program).unwrap();
        places.sort_by_key(|p| p.start);
        let mut end = 0;
        for place in places.iter().cloned().chain(std::iter::once(arena.len()..arena.len())) {
            let gap = &arena[end.min(place.start)..place.start];
            // Compared as a whole, which is fast.
            if gap != vec![poison; gap.len()] {
                let at = gap.iter().position(|&b| b != poison);
                panic!("{what}: byte {at:?} behind a tensor that ends at {end}, of {places:?}, was written");
            }
            end = end.max(place.end);
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Its memory is freed under the lock too.
        let _alone = alone();
        self.0 = None;
    }
}

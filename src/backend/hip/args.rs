//! The arguments of kernels, as `kernels/` declares them: every address is one on the device, and counts
//! are of elements unless said otherwise. `tests/kernels.rs` compares the sizes.

use bytemuck::{Pod, Zeroable};

macro_rules! args {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $ty:ty,)+ })+) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, Pod, Zeroable)]
        #[repr(C)]
        pub(super) struct $name { $(pub $field: $ty,)+ }
    )+ };
}

args! {
    /// A matrix; `n_rows` counts those of all experts.
    Weight { data: u64, n_rows: i32, k: i32, }
    /// The tables of points of the types that name some.
    Grids { iq1: u64, iq2_xxs: u64, iq2_xs: u64, iq2_s: u64, iq3_xxs: u64, iq3_s: u64, }
    /// What a run uses of its capacities.
    RunCounts { n_tokens: i32, n_outputs: i32, n_kv: i32, pad: i32, }
    MatVec {
        w: [Weight; 3],
        bias: [u64; 3],
        y: [u64; 3],
        tiles: [i32; 3],
        strides: [i32; 3],
        x: u64,
        residual: u64,
        norm: u64,
        packed: u64,
        offsets: u64,
        run: u64,
        eps: f32,
        lazy: i32,
        n_expert: i32,
        extent: i32,
        capacity: i32,
        types: [i32; 3],
        grids: Grids,
    }
    MatMul {
        w: [Weight; 3],
        bias: [u64; 3],
        y: [u64; 3],
        tiles: [i32; 3],
        strides: [i32; 3],
        x: u64,
        residual: u64,
        partial: u64,
        counters: u64,
        splits: i32,
        extent: i32,
        capacity: i32,
        pad: i32,
        run: u64,
        grids: Grids,
    }
    GetRows { w: Weight, y: u64, ids: u64, run: u64, extent: i32, capacity: i32, grids: Grids, }
    Repack { w: Weight, blocks: u64, first: i64, n: i64, }
    FloatMatVec {
        w: Weight,
        x: u64,
        bias: u64,
        residual: u64,
        y: u64,
        offsets: u64,
        x_stride: i32,
        y_stride: i32,
        n_rows: i32,
        n_expert: i32,
        extent: i32,
        capacity: i32,
        run: u64,
    }
    FloatGetRows { w: Weight, y: u64, ids: u64, run: u64, extent: i32, capacity: i32, }
    /// Rows of f32 and their strides in elements.
    Rows { p: u64, entry: i32, mid: i32, }
    Norm {
        x: Rows,
        y: Rows,
        weight: u64,
        packed: u64,
        n: i32,
        n_mid: i32,
        eps: f32,
        extent: i32,
        capacity: i32,
        pad: i32,
        run: u64,
    }
    Binary {
        a: Rows,
        b: Rows,
        y: Rows,
        packed: u64,
        n: i32,
        n_mid: i32,
        extent: i32,
        capacity: i32,
        run: u64,
    }
    CopyRows {
        x: u64,
        y: u64,
        ids: u64,
        x_stride: i64,
        y_stride: i64,
        bytes: i32,
        extent: i32,
        capacity: i32,
        per_entry: i32,
        run: u64,
    }
    Rope {
        x: u64,
        y: u64,
        table: u64,
        x_token: i32,
        x_head: i32,
        y_token: i32,
        y_head: i32,
        head_dim: i32,
        n_rot: i32,
        neox: i32,
        extent: i32,
        capacity: i32,
        pad: i32,
        run: u64,
    }
    /// Heads of tokens, and their strides.
    Heads { p: u64, token: i32, head: i32, }
    RopeWrite {
        q: Heads,
        k: Heads,
        v: Heads,
        y: u64,
        table: u64,
        cells: u64,
        keys: Cache,
        values: Cache,
        y_token: i32,
        y_head: i32,
        n_head: i32,
        n_head_kv: i32,
        head_dim: i32,
        n_rot: i32,
        neox: i32,
        extent: i32,
        capacity: i32,
        pad: i32,
        run: u64,
    }
    /// One half of a layer's cache.
    Cache { p: u64, dim: i32, n_cells: i32, ty: i32, pad: i32, }
    KvWrite {
        x: u64,
        cells: u64,
        x_token: i32,
        x_head: i32,
        kv: Cache,
        extent: i32,
        capacity: i32,
        run: u64,
    }
    KvRope { kv: Cache, table: u64, n_rot: i32, neox: i32, run: u64, }
    Attention {
        q: u64,
        k: Cache,
        v: Cache,
        mask: u64,
        y: u64,
        packed: u64,
        partial: u64,
        counters: u64,
        q_token: i32,
        q_head: i32,
        n_head: i32,
        per_kv: i32,
        splits: i32,
        mask_words: i32,
        scale: f32,
        blocks: i32,
        run: u64,
        table: u64,
        new_k: u64,
        new_v: u64,
        q_norm: u64,
        k_norm: u64,
        cell: u64,
        eps: f32,
        n_rot: i32,
        neox: i32,
        pad: i32,
        ahead: [Ahead; N_AHEAD],
    }
    /// Lines of memory that later launches read.
    Ahead { p: u64, lines: u64, }
    TopK { x: u64, ids: u64, n: i32, k: i32, extent: i32, capacity: i32, run: u64, }
    ExpertWeights {
        logits: u64,
        ids: u64,
        y: u64,
        n: i32,
        k: i32,
        extent: i32,
        capacity: i32,
        scale: f32,
        pad: i32,
        run: u64,
    }
    GroupByExpert { ids: u64, out: u64, n_expert: i32, k: i32, capacity: i32, extent: i32, run: u64, }
    Combine {
        x: u64,
        places: u64,
        weights: u64,
        residual: u64,
        y: u64,
        n: i32,
        k: i32,
        extent: i32,
        capacity: i32,
        x_stride: i32,
        y_stride: i32,
        residual_stride: i32,
        pad: i32,
        run: u64,
    }
}

/// Angles of a rotary table: pairs of at most 128.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct RopeTable {
    pub positions: u64,
    pub table: u64,
    pub n_rot: i32,
    pub extent: i32,
    pub capacity: i32,
    pub magnitude: f32,
    pub run: u64,
    /// Angle per position of each pair.
    pub frequency: [f64; MAX_PAIRS],
}

/// Pieces of memory that an attention can have brought closer.
pub(super) const N_AHEAD: usize = 4;

/// Pairs of a head that can rotate.
pub(super) const MAX_PAIRS: usize = 128;

macro_rules! kernels {
    ($($source:literal { $($name:literal: $args:ident,)+ })+) => {
        &[$($(($source, $name, size_of::<$args>()),)+)+]
    };
}

/// What the kernels of each source take, by how their names begin.
const KERNELS: &[(&str, &str, usize)] = kernels! {
    "attention" { "attention": Attention, }
    "elementwise" {
        "rms_norm": Norm,
        "pack": Binary,
        "add": Binary,
        "mul": Binary,
        "silu": Binary,
        "swiglu": Binary,
        "copy_rows": CopyRows,
    }
    "experts" {
        "top_k": TopK,
        "expert_weights": ExpertWeights,
        "group_by_expert": GroupByExpert,
        "combine": Combine,
    }
    "flash" { "flash": Attention, }
    "float" { "matvec": FloatMatVec, "get_rows": FloatGetRows, }
    "matmul" { "matmul": MatMul, }
    "matvec" { "matvec": MatVec, }
    "rope" {
        "rope_table": RopeTable,
        "rope_write": RopeWrite,
        "rope": Rope,
        "kv_write": KvWrite,
        "kv_rope": KvRope,
    }
    "rows" { "get_rows": GetRows, "repack": Repack, }
};

/// Bytes of the arguments that a kernel of a unit is launched with.
pub(super) fn bytes_of(unit: &str, kernel: &str) -> Option<usize> {
    let takes =
        KERNELS.iter().filter(|(source, name, _)| unit.starts_with(source) && kernel.starts_with(name));
    // "rope_table" is not a "rope".
    takes.max_by_key(|(_, name, _)| name.len()).map(|&(_, _, bytes)| bytes)
}

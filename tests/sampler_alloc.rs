//! Sampling a token allocates nothing after the first call, whatever the tokens before.

use rocmforge::sampler::{Chain, Kind, Params};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // Per thread: the test harness allocates on threads of its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn allocations() -> u64 {
    ALLOCATIONS.get()
}

struct Counting;

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(allocations() + 1);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.set(allocations() + 1);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const N_VOCAB: usize = 30_000;

/// Rows of very different shapes: flat, peaked, tied, with banned tokens.
fn rows() -> Vec<Vec<f32>> {
    let noise = |i: usize, step: usize| ((i * step) % 10_007) as f32 / 10_007.0;
    vec![
        (0..N_VOCAB).map(|i| noise(i, 7919) * 20.0).collect(),
        (0..N_VOCAB).map(|i| noise(i, 104_729) * 0.01).collect(),
        vec![1.0; N_VOCAB],
        (0..N_VOCAB).map(|i| if i % 3 == 0 { f32::NEG_INFINITY } else { noise(i, 31) }).collect(),
        (0..N_VOCAB).map(|i| if i == 77 { 50.0 } else { noise(i, 17) }).collect(),
    ]
}

fn allocations_after_first(mut chain: Chain, rows: &[Vec<f32>]) -> u64 {
    chain.sample(&rows[0]).unwrap();
    let before = allocations();
    for i in 0..300 {
        chain.sample(&rows[i % rows.len()]).unwrap();
    }
    allocations() - before
}

#[test]
fn nothing_is_allocated_after_the_first_token() {
    let rows = rows();
    let heavy = Params {
        seed: 1,
        typ_p: 0.9,
        penalty_repeat: 1.2,
        penalty_freq: 0.1,
        logit_bias: vec![(5, 2.0), (29_000, -3.0)],
        ..Params::default()
    };
    let new = Params {
        dry_multiplier: 0.8,
        dry_penalty_last_n: 64,
        top_n_sigma: 2.0,
        xtc_probability: 0.5,
        dynatemp_range: 0.3,
        ..heavy.clone()
    };
    let adaptive = Params { samplers: Kind::parse_order("top_k;adaptive_p").unwrap(), ..heavy.clone() };
    let order = |order: &str| Params { samplers: Kind::parse_order(order).unwrap(), ..heavy.clone() };
    let cases = [
        ("default", Params { seed: 1, ..Params::default() }),
        ("every sampler", heavy.clone()),
        ("whole vocabulary", order("")),
        ("top-p alone", order("top_p")),
        ("min-p alone", order("min_p")),
        ("typical alone", order("typ_p")),
        ("reversed", order("temperature;min_p;top_p;typ_p;top_k;penalties")),
        ("large k", Params { top_k: 5000, ..heavy.clone() }),
        ("greedy", Params { temp: 0.0, ..heavy.clone() }),
        ("all that are off by default", new.clone()),
        ("adaptive-p", Params { adaptive_target: 0.3, ..adaptive }),
        ("mirostat", Params { mirostat: 1, n_vocab: rows[0].len(), ..heavy.clone() }),
        ("mirostat 2", Params { mirostat: 2, ..heavy.clone() }),
    ];
    for (name, params) in cases {
        assert_eq!(allocations_after_first(params.build().unwrap(), &rows), 0, "{name}");
        // A clone is a new chain, warm after its own first token.
        assert_eq!(allocations_after_first(params.build().unwrap().clone(), &rows), 0, "{name}, cloned");
    }
}

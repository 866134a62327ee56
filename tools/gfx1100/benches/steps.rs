//! Steps a second of a wave through the instructions of a kernel that need registers alone, by class.
//!
//! `cargo bench -p rocmforge-gfx1100 --bench steps -- FILE.co`: the object's code, each instruction on its own.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use rocmforge_gfx1100::isa::{Class, Exec, Inst, Program};
use rocmforge_gfx1100::object::CodeObject;
use rocmforge_gfx1100::{Mode, Wave, sgpr};

fn main() {
    let Some(path) = std::env::args().nth(1).filter(|a| !a.starts_with('-')) else {
        println!("ignored: no code object was named");
        return;
    };
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let object = CodeObject::read(&bytes).unwrap_or_else(|e| panic!("{path}: {e}"));
    let whole =
        Program::decode(&object.image[object.text.clone()], 0).unwrap_or_else(|e| panic!("{path}: {e}"));
    let runs =
        |inst: &&Inst| matches!(inst.op.exec, Exec::Compute(_) | Exec::Lanes { .. } | Exec::Checked(_));
    let chosen: Vec<&Inst> = whole.insts.iter().filter(runs).collect();
    let mut classes: BTreeMap<Class, Vec<&Inst>> = BTreeMap::new();
    chosen.iter().for_each(|inst| classes.entry(inst.op.class).or_default().push(inst));
    let mut names: BTreeMap<&str, Vec<&Inst>> = BTreeMap::new();
    chosen.iter().for_each(|inst| names.entry(inst.op.name).or_default().push(inst));
    time("all", &chosen);
    for (class, insts) in &classes {
        time(&format!("{class:?}"), insts);
    }
    for (name, insts) in &names {
        time(name, insts);
    }
}

/// Runs instructions over and over with every lane active and every register written.
fn time(name: &str, insts: &[&Inst]) {
    let words = insts.iter().flat_map(|i| &i.words[..i.n_words as usize]);
    let bytes: Vec<u8> = words.flat_map(|w| w.to_le_bytes()).collect();
    let program = Program::decode(&bytes, 0).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut wave = Wave::new(256, Mode::default());
    for n in 0..=255 {
        wave.set_vgpr(n, std::array::from_fn(|l| (l as u32 % 16 + n as u32).wrapping_mul(0x0101_0101)));
    }
    wave.s_defined = !0;
    wave.s[sgpr::EXEC as usize] = !0;
    let rounds = (3_000_000 / insts.len()).max(1);
    let start = Instant::now();
    let mut n = 0u64;
    for _ in 0..rounds {
        wave.pc = 0;
        while wave.pc < program.insts.len() {
            // Whatever the instructions make of EXEC, all lanes stay active; a matrix whose copies differ is passed.
            wave.s[sgpr::EXEC as usize] = !0;
            if black_box(program.step(&mut wave)).is_err() {
                wave.pc += 1;
            }
            n += 1;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{name:<28} {:>6} kinds {:>8.1} million steps a second", insts.len(), n as f64 / seconds / 1e6);
}

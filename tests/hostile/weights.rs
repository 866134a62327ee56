//! Tensors that are missing, or not of the shape and type that the metadata asks for.

use rocmforge::quant::GgmlType;

use crate::file::model;
use crate::{Case, case};

pub fn cases(arch: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for t in &model(arch).tensors {
        let name = std::str::from_utf8(&t.name).unwrap();
        let optional = matches!(name, "output.weight" | "blk.0.attn_qkv.bias");
        if !optional {
            // Without the one matrix for all three, the three are looked for.
            let want = if name == "blk.0.attn_qkv.weight" { "blk.0.attn_q.weight" } else { name };
            let bytes = model(arch).without_tensor(name).bytes();
            cases.push(case(format!("{arch} without {name}"), &[want], bytes));
        }
        let with = |at: usize, n: u64| {
            let mut dims = t.dims.clone();
            dims.resize(dims.len().max(at + 1), 1);
            dims[at] = n;
            dims
        };
        let mut shapes = vec![
            ("a row shorter", with(0, t.dims[0] - 1)),
            ("a row longer", with(0, t.dims[0] * 2)),
            ("one number", vec![1]),
            ("another third dimension", with(2, 3)),
            ("four dimensions", with(3, 3)),
        ];
        if let [row, rows] = t.dims[..] {
            shapes.push(("one row more", vec![row, rows + 1]));
            shapes.push(("one row", vec![row]));
            if row != rows {
                shapes.push(("transposed", vec![rows, row]));
            }
        }
        for (what, dims) in shapes {
            // The table of embeddings sets the size of the vocabulary, so that a shape of its own may
            // be blamed on the vocabulary or the output matrix.
            let want = match name {
                "token_embd.weight" => "token_embd.weight|output.weight",
                name => name,
            };
            let bytes = model(arch).tensor(name, &dims, GgmlType::F32).bytes();
            cases.push(case(format!("{arch} {name} {what}"), &[want], bytes));
        }
        for ty in [GgmlType::I8, GgmlType::I32, GgmlType::F64] {
            let bytes = model(arch).tensor(name, &t.dims, ty).bytes();
            let want = [name, ty.name(), "not supported"];
            cases.push(case(format!("{arch} {name} of {}", ty.name()), &want, bytes));
        }
        if t.dims.len() == 1 && t.dims[0] % 32 == 0 {
            let bytes = model(arch).tensor(name, &t.dims, GgmlType::Q4_0).bytes();
            cases.push(case(format!("{arch} {name} of q4_0"), &[name, "q4_0"], bytes));
        }
    }
    for (what, name, dims) in
        [("long", "rope_freqs.weight", vec![8]), ("of matrix shape", "rope_freqs.weight", vec![4, 2])]
    {
        let bytes = model(arch).tensor(name, &dims, GgmlType::F32).bytes();
        cases.push(case(format!("{arch} {name} {what}"), &[name], bytes));
    }
    for name in ["blk.0.attn_output.bias", "output.bias"] {
        let bytes = model(arch).tensor(name, &[3], GgmlType::F32).bytes();
        cases.push(case(format!("{arch} {name} too short"), &[name], bytes));
    }
    cases
}

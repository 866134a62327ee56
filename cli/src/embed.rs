//! `rocmforge embed`: the embedding of each line of a text.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::ArgMatches;
use rocmforge::kv::Pos;
use rocmforge::model::Pooling;
use rocmforge::{Batch, Context, ContextParams, Token};

use crate::args::{EmbedArgs, EmbedFormat};
use crate::failure::{Failure, Outcome};
use crate::generate::context_params;
use crate::{interrupt, models, output, text};

/// Runs the command.
pub fn run(args: &EmbedArgs, matches: &ArgMatches) -> Outcome {
    let path = models::find(args.model.model.as_deref())?;
    let input = text::input(matches, ("prompt", args.prompt.as_ref()), args.file.as_ref())?;
    interrupt::install()?;
    let model = models::load(&path, &args.compute, args.ctx_size, models::log(false), false)?;
    let vocab = model.vocab();
    let lines = input.bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    let texts = lines.map(|line| vocab.tokenize(line, true, false)).collect::<Result<Vec<_>, _>>()?;
    let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
    if longest == 0 {
        return Err(Failure::Failed("there is no text to embed".into()));
    }
    let pooling = match (args.pooling, model.hparams().map(|hp| hp.pooling)) {
        (Some(pooling), _) | (None, Some(pooling)) => pooling,
        (None, None) => Pooling::None,
    };
    let compute = context_params(&args.compute);
    let params = ContextParams {
        n_ctx: args.ctx_size.unwrap_or(longest),
        n_batch: compute.n_batch.max(longest),
        embeddings: true,
        pooling: Some(pooling),
        ..compute
    };
    let n_ctx = params.n_ctx;
    if longest > n_ctx {
        return Err(Failure::Failed(format!(
            "a line has {longest} tokens and the context holds {n_ctx}; -c {longest} or more makes it large \
             enough"
        )));
    }
    let mut context = Context::new(Arc::clone(&model), params)?;
    context.set_abort(Some(Box::new(interrupt::requested)));
    let mut batch = Batch::new(longest, 1)?;
    let mut rows = Vec::new();
    for (index, tokens) in texts.iter().enumerate() {
        interrupt::check()?;
        for row in embeddings(&mut context, &mut batch, tokens, pooling)? {
            rows.push((index, normalised(row, args.embd_normalize)));
        }
    }
    print(&rows, args.embd_output_format)
}

/// The embeddings of one text: of each token, or one for all.
fn embeddings<'a>(
    context: &'a mut Context,
    batch: &mut Batch,
    tokens: &[Token],
    pooling: Pooling,
) -> Outcome<Vec<&'a [f32]>> {
    context.clear();
    batch.clear();
    for (i, &token) in tokens.iter().enumerate() {
        batch.add(token, i as Pos, &[0], true)?;
    }
    context.decode(batch)?;
    let rows = match pooling {
        Pooling::None => (0..tokens.len()).map(|i| context.embedding(i as i32)).collect::<Result<_, _>>()?,
        _ => vec![context.seq_embedding(0)?],
    };
    Ok(rows)
}

/// `row` divided by its norm of order `p`: the largest magnitude for 0, nothing for -1.
fn normalised(row: &[f32], p: i32) -> Vec<f32> {
    let largest = || row.iter().fold(0f64, |m, v| m.max(f64::from(v.abs())));
    let norm = match p {
        ..0 => 1.0,
        // Scaled so that the largest magnitude takes all of 16 bits, as llama.cpp does.
        0 => largest() / 32760.0,
        p => row.iter().map(|v| f64::from(v.abs()).powi(p)).sum::<f64>().powf(1.0 / f64::from(p)),
    };
    let factor = if norm > 0.0 { 1.0 / norm } else { 0.0 };
    row.iter().map(|&v| (f64::from(v) * factor) as f32).collect()
}

fn print(rows: &[(usize, Vec<f32>)], format: EmbedFormat) -> Outcome {
    let mut out = String::new();
    match format {
        EmbedFormat::Lines => {
            for (_, row) in rows {
                let numbers: Vec<String> = row.iter().map(|v| format!("{v:.6}")).collect();
                let _ = writeln!(out, "{}", numbers.join(" "));
            }
        }
        EmbedFormat::Array => {
            let rows: Vec<&Vec<f32>> = rows.iter().map(|(_, row)| row).collect();
            let _ = writeln!(out, "{}", serde_json::json!(rows));
        }
        EmbedFormat::Json => {
            let entry = |(index, row): &(usize, Vec<f32>)| serde_json::json!({"object": "embedding", "index": index, "embedding": row});
            let data: Vec<_> = rows.iter().map(entry).collect();
            let _ = writeln!(out, "{}", serde_json::json!({"object": "list", "data": data}));
        }
    }
    output::write(out.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms() {
        let row = [3.0, -4.0];
        assert_eq!(normalised(&row, -1), row);
        assert_eq!(normalised(&row, 2), [0.6, -0.8]);
        assert_eq!(normalised(&row, 1), [3.0 / 7.0, -4.0 / 7.0]);
        assert_eq!(normalised(&row, 0), [24570.0, -32760.0]);
        assert_eq!(normalised(&[0.0, 0.0], 2), [0.0, 0.0]);
    }
}

//! The data of tensors, from one file to another: rows are turned into f32 and quantised by all
//! threads, slab after slab.

use std::cell::RefCell;
use std::sync::Mutex;
use std::thread;

use super::Planned;
use crate::gguf::{File, Sink};
use crate::log::{Log, info};
use crate::quant::{self, GgmlType};
use crate::{Error, Result};

/// Weights that a thread takes at a time, about.
const PIECE: usize = 1 << 16;
/// Pieces of a slab for each thread.
const PIECES: usize = 16;
/// Bytes of a tensor that is copied between two looks at the progress function.
const COPY: usize = 1 << 24;

/// Told how far the work is, 0 to 1, on the calling thread; false cancels it.
pub type Progress<'a> = &'a mut dyn FnMut(f32) -> bool;

pub(super) struct Stream<'f, 'p> {
    file: &'f File,
    n_threads: usize,
    log: Log,
    /// Bytes of all tensors.
    total: u64,
    state: RefCell<State<'p>>,
}

struct State<'a> {
    done: u64,
    tell: Option<Progress<'a>>,
    /// A slab of the output.
    slab: Vec<u8>,
}

impl<'f, 'p> Stream<'f, 'p> {
    pub(super) fn new(
        file: &'f File,
        n_threads: usize,
        total: u64,
        tell: Option<Progress<'p>>,
        log: Log,
    ) -> Self {
        let all = || thread::available_parallelism().map_or(1, |n| n.get());
        let n_threads = if n_threads == 0 { all() } else { n_threads };
        let state = RefCell::new(State { done: 0, tell, slab: Vec::new() });
        Stream { file, n_threads, log, total, state }
    }

    /// Writes a tensor as it is planned.
    pub(super) fn tensor(&self, planned: &Planned<'_>, sink: &mut Sink<'_>) -> Result<()> {
        let Planned { tensor: t, ty, importance } = *planned;
        let data = self.file.data(&t);
        let mut state = self.state.borrow_mut();
        if ty == t.ty {
            info!(self.log, "{}: {} kept", t.name, ty.name());
            for part in data.chunks(COPY) {
                sink.write(part)?;
                self.advance(&mut state, part.len())?;
            }
            return Ok(());
        }
        let with = if importance.is_some() { " with importance data" } else { "" };
        info!(self.log, "{}: {} to {}{with}", t.name, t.ty.name(), ty.name());
        let rows = Rows {
            from: t.ty,
            to: ty,
            row_len: t.row_len(),
            rows_per_matrix: t.dims[1] as usize,
            importance,
        };
        let (row_in, row_out) = (t.row_bytes(), ty.row_bytes(t.row_len())?);
        let piece_rows = (PIECE / rows.row_len).max(1);
        let slab_rows = piece_rows * PIECES * self.n_threads;
        let mut first = 0;
        for input in data.chunks(slab_rows * row_in) {
            let n_rows = input.len() / row_in;
            state.slab.resize(n_rows * row_out, 0);
            let pieces = input.chunks(piece_rows * row_in).zip(state.slab.chunks_mut(piece_rows * row_out));
            let pieces = Mutex::new(pieces.enumerate());
            // Only the calling thread takes a piece when there is one thread.
            let work = || {
                let mut buffer = vec![0.0; rows.row_len];
                loop {
                    let next = pieces.lock().ok().and_then(|mut p| p.next());
                    let Some((k, (input, output))) = next else { return Ok(()) };
                    let first = first + k * piece_rows;
                    let parts = input.chunks(row_in).zip(output.chunks_mut(row_out));
                    for (row, (input, output)) in parts.enumerate() {
                        rows.quantize(first + row, input, &mut buffer, output)?;
                    }
                }
            };
            let n_threads = self.n_threads.min(n_rows.div_ceil(piece_rows));
            let results: Vec<Result<()>> = thread::scope(|scope| {
                let others: Vec<_> = (1..n_threads).map(|_| scope.spawn(work)).collect();
                let own = work();
                let panic = |_| Err(Error::Internal("a thread of the quantisation panicked".into()));
                others.into_iter().map(|t| t.join().unwrap_or_else(panic)).chain([own]).collect()
            });
            results.into_iter().collect::<Result<()>>()?;
            sink.write(&state.slab)?;
            first += n_rows;
            self.advance(&mut state, input.len())?;
        }
        Ok(())
    }

    fn advance(&self, state: &mut State<'_>, n_bytes: usize) -> Result<()> {
        state.done += n_bytes as u64;
        let share = (state.done as f64 / self.total.max(1) as f64) as f32;
        if state.tell.as_mut().is_none_or(|tell| tell(share)) {
            Ok(())
        } else {
            Err(Error::Aborted("the quantisation was cancelled".into()))
        }
    }
}

/// The rows of a tensor.
struct Rows<'a> {
    from: GgmlType,
    to: GgmlType,
    row_len: usize,
    rows_per_matrix: usize,
    importance: Option<&'a [f32]>,
}

impl Rows<'_> {
    /// Quantises row `row`; `buffer` is for its values.
    fn quantize(&self, row: usize, input: &[u8], buffer: &mut [f32], output: &mut [u8]) -> Result<()> {
        quant::dequantize(self.from, input, buffer)?;
        let broken = |why: &str| Err(Error::Format(format!("row {row} {why}")));
        if !buffer.iter().all(|v| v.is_finite()) {
            return broken("has values that are not finite");
        }
        let matrix = row / self.rows_per_matrix;
        let columns = self.importance.and_then(|i| i.chunks(self.row_len).nth(matrix));
        match columns {
            Some(columns) => quant::quantize_weighted(self.to, buffer, columns, output)?,
            None => quant::quantize(self.to, buffer, output)?,
        }
        // Most types scale by an f16.
        if buffer.iter().any(|v| v.abs() > 65504.0) {
            quant::dequantize(self.to, output, buffer)?;
            if !buffer.iter().all(|v| v.is_finite()) {
                return broken(&format!("has values too large for {}", self.to.name()));
            }
        }
        Ok(())
    }
}

//! Saving and restoring a context, or one sequence of it. The format is [`crate::kv::state`]'s.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Context;
use crate::backend::KvHead;
use crate::graph::KvHalf;
use crate::kv::state::{Fingerprint, Kind, MAGIC, Parts, Sink, Snapshot};
use crate::kv::{Pos, SeqId};
use crate::tokenizer::Token;
use crate::{Error, Result};

/// Keys or values that are copied at a time, in bytes.
const CHUNK: usize = 64 << 10;

impl Context {
    /// Bytes of [`Context::state_get`].
    pub fn state_size(&self) -> Result<usize> {
        self.parts(None, &[], &self.fingerprint()?).size()
    }

    /// Writes the state of the context to `out`: every sequence, and the logits and unpooled
    /// embeddings of the last decode. Gives
    /// its size. Keys that wait to be moved are moved first.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `out` is smaller than [`Context::state_size`].
    pub fn state_get(&mut self, out: &mut [u8]) -> Result<usize> {
        self.get(None, out)
    }

    /// Restores what [`Context::state_get`] wrote; gives the size. The context may have another
    /// number of cells, if the tokens fit. After an error the context is as it was before.
    ///
    /// # Errors
    /// [`Error::Format`] for what is no state or a damaged one; [`Error::Unsupported`] for a newer
    /// format; [`Error::InvalidArgument`] for the state of another model, other types of the
    /// cache, too many sequences or a single sequence; [`Error::KvFull`] if the tokens do not fit.
    pub fn state_set(&mut self, data: &[u8]) -> Result<usize> {
        self.restore(&Snapshot::parse(data, Kind::Context)?)?;
        Ok(data.len())
    }

    /// Writes the state and the tokens of a session to the file `path`, which it replaces as a whole.
    pub fn state_save_file(&mut self, path: &Path, tokens: &[Token]) -> Result<()> {
        self.save(path, None, tokens)
    }

    /// Restores what [`Context::state_save_file`] wrote, if `accept` agrees to its number of tokens, and
    /// gives the tokens. Errors are those of [`Context::state_set`], and [`Error::Io`].
    pub fn state_load_file(
        &mut self,
        path: &Path,
        accept: impl FnOnce(usize) -> Result<()>,
    ) -> Result<Vec<Token>> {
        let data = read(path)?;
        let snapshot = Snapshot::parse(&data, Kind::Context).map_err(|e| named(path, e))?;
        accept(snapshot.tokens().len())?;
        self.restore(&snapshot).map_err(|e| named(path, e))?;
        Ok(snapshot.tokens().collect())
    }

    /// Bytes of [`Context::state_seq_get`].
    pub fn state_seq_size(&self, seq: SeqId) -> Result<usize> {
        self.cells.check_seq(seq)?;
        self.parts(Some(seq), &[], &self.fingerprint()?).size()
    }

    /// Writes the state of one sequence to `out`, as [`Context::state_get`] does that of all.
    pub fn state_seq_get(&mut self, seq: SeqId, out: &mut [u8]) -> Result<usize> {
        self.cells.check_seq(seq)?;
        self.get(Some(seq), out)
    }

    /// Restores a sequence in place of the tokens of `seq`, which need not be the sequence that it
    /// was saved as. Others stay. Errors are those of [`Context::state_set`].
    pub fn state_seq_set(&mut self, seq: SeqId, data: &[u8]) -> Result<usize> {
        self.restore_seq(&Snapshot::parse(data, Kind::Sequence)?, seq)?;
        Ok(data.len())
    }

    /// Writes one sequence and its tokens to the file `path`, which it replaces as a whole.
    pub fn state_seq_save_file(&mut self, path: &Path, seq: SeqId, tokens: &[Token]) -> Result<()> {
        self.cells.check_seq(seq)?;
        self.save(path, Some(seq), tokens)
    }

    /// Restores what [`Context::state_seq_save_file`] wrote, as [`Context::state_seq_set`] and
    /// [`Context::state_load_file`] do.
    pub fn state_seq_load_file(
        &mut self,
        path: &Path,
        seq: SeqId,
        accept: impl FnOnce(usize) -> Result<()>,
    ) -> Result<Vec<Token>> {
        let data = read(path)?;
        let snapshot = Snapshot::parse(&data, Kind::Sequence).map_err(|e| named(path, e))?;
        accept(snapshot.tokens().len())?;
        self.restore_seq(&snapshot, seq).map_err(|e| named(path, e))?;
        Ok(snapshot.tokens().collect())
    }

    fn parts<'a>(
        &'a self,
        seq: Option<SeqId>,
        tokens: &'a [Token],
        fingerprint: &'a Fingerprint,
    ) -> Parts<'a> {
        let (cells, rows) = (&self.cells, &self.rows[..]);
        let (logits, embeddings) = (self.all_logits(), self.all_embeddings());
        Parts { seq, fingerprint, tokens, cells, rows, logits, embeddings }
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        let compute = self.model.compute()?;
        let (hparams, weights) = self.model.sums()?;
        Ok(Fingerprint {
            arch: compute.arch.name.into(),
            n_embd: compute.hparams.n_embd as u32,
            n_vocab: self.n_vocab() as u32,
            layers: super::kv_layers(&compute.hparams),
            type_k: self.params.type_k,
            type_v: self.params.type_v,
            hparams,
            weights,
        })
    }

    fn get(&mut self, seq: Option<SeqId>, out: &mut [u8]) -> Result<usize> {
        let size = self.parts(seq, &[], &self.fingerprint()?).size()?;
        let room = out.len();
        let out = out.get_mut(..size).ok_or_else(|| {
            Error::InvalidArgument(format!("the state has {size} bytes and there is room for {room}"))
        })?;
        self.write(seq, &[], &mut Slice(out))?;
        Ok(size)
    }

    fn save(&mut self, path: &Path, seq: Option<SeqId>, tokens: &[Token]) -> Result<()> {
        let io = |e| Error::io(path, e);
        // Written beside and renamed, so that a reader finds the old state or the new one.
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.tmp", std::process::id()));
        let beside = path.with_file_name(name);
        let mut file =
            Guard { file: BufWriter::new(File::create(&beside).map_err(io)?), path: &beside, done: false };
        self.write(seq, tokens, &mut file)?;
        file.file.flush().map_err(io)?;
        std::fs::rename(&beside, path).map_err(io)?;
        file.done = true;
        Ok(())
    }

    fn write(&mut self, seq: Option<SeqId>, tokens: &[Token], to: &mut dyn Sink) -> Result<()> {
        if self.cells.has_shifts() {
            self.keep_logits();
            self.shift_keys()?;
        }
        let fingerprint = self.fingerprint()?;
        let places: Vec<usize> = self.cells.in_use(seq).collect();
        let mut buffer = vec![0; CHUNK];
        self.parts(seq, tokens, &fingerprint).write(to, |to| {
            walk(&fingerprint, &places, |at, cells, bytes| {
                let per_row = bytes / cells.len();
                // A row longer than the buffer is no shape of a model; it is copied all the same.
                let step = (CHUNK / per_row.max(1)).max(1);
                let mut first = cells.start;
                while first < cells.end {
                    let part = first..(first + step).min(cells.end);
                    let n = part.len() * per_row;
                    if n > buffer.len() {
                        buffer.resize(n, 0);
                    }
                    self.session.kv_read(at, part.clone(), &mut buffer[..n])?;
                    to.put(&buffer[..n])?;
                    first = part.end;
                }
                Ok(())
            })
        })
    }

    /// Restores a whole context. [`Context::state_set`] says how, and what can be wrong.
    pub fn restore(&mut self, snapshot: &Snapshot<'_>) -> Result<()> {
        let own = self.fingerprint()?;
        snapshot.fingerprint.check(&own)?;
        snapshot.check_room(&self.cells)?;
        let n_outputs = snapshot.outputs().filter(|&r| r >= 0).count();
        let (logits, embeddings): (Vec<f32>, Vec<f32>) =
            (snapshot.logits().collect(), snapshot.embeddings().collect());
        let n_embd = own.n_embd as usize;
        let embeds = self.wanted().embeddings && !self.pools() && embeddings.len() == n_outputs * n_embd;
        if embeds {
            self.embeddings.begin(n_outputs)?;
        }

        let places = snapshot.place(&mut self.cells);
        self.forget_outputs();
        if let Err(e) = self.write_kv(&own, &places, snapshot.kv) {
            self.cells.clear();
            return Err(e);
        }
        // A context that computes other outputs has no use for these.
        if logits.len() == n_outputs * self.n_vocab() {
            self.rows.extend(snapshot.outputs().map(|r| u32::try_from(r).ok()));
            self.n_outputs = n_outputs;
            if logits.len() > self.logits.len() {
                self.logits = logits;
            } else {
                self.logits[..logits.len()].copy_from_slice(&logits);
            }
            if embeds {
                embeddings.chunks_exact(n_embd).for_each(|row| self.embeddings.push(row, &[]));
            }
        }
        Ok(())
    }

    /// Restores a sequence as `seq`. [`Context::state_seq_set`] says how, and what can be wrong.
    pub fn restore_seq(&mut self, snapshot: &Snapshot<'_>, seq: SeqId) -> Result<()> {
        let own = self.fingerprint()?;
        snapshot.fingerprint.check(&own)?;
        snapshot.check_seq_room(&self.cells, seq)?;
        let places = snapshot.place_seq(&mut self.cells, seq)?;
        if let Err(e) = self.write_kv(&own, &places, snapshot.kv) {
            self.cells.seq_rm(seq, 0..Pos::MAX)?;
            return Err(e);
        }
        Ok(())
    }

    fn write_kv(&mut self, fingerprint: &Fingerprint, places: &[usize], mut kv: &[u8]) -> Result<()> {
        walk(fingerprint, places, |at, cells, bytes| {
            let (rows, rest) = kv.split_at_checked(bytes).ok_or_else(|| {
                Error::Internal("a state that was checked has too few keys and values".into())
            })?;
            kv = rest;
            self.session.kv_write(at, cells, rows)
        })
    }
}

/// Calls `f` for the rows of `places` in the order of a state: with the layer, half and head, a run of cells that lie
/// together, and the bytes of their rows.
fn walk(
    fingerprint: &Fingerprint,
    places: &[usize],
    mut f: impl FnMut(KvHead, Range<usize>, usize) -> Result<()>,
) -> Result<()> {
    for (layer, l) in fingerprint.layers.iter().enumerate() {
        for (half, ty, dim) in
            [(KvHalf::K, fingerprint.type_k, l.head_dim_k), (KvHalf::V, fingerprint.type_v, l.head_dim_v)]
        {
            let row = ty.row_bytes(dim)?;
            for head in 0..l.n_head_kv {
                for run in places.chunk_by(|a, b| a + 1 == *b) {
                    let cells = run[0]..run[0] + run.len();
                    f(KvHead { layer, half, head }, cells, run.len() * row)?;
                }
            }
        }
    }
    Ok(())
}

struct Slice<'a>(&'a mut [u8]);

impl Sink for Slice<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let out = std::mem::take(&mut self.0);
        let (to, rest) = out
            .split_at_mut_checked(bytes.len())
            .ok_or_else(|| Error::Internal("the state is longer than it was said to be".into()))?;
        to.copy_from_slice(bytes);
        self.0 = rest;
        Ok(())
    }
}

/// A file in the making, removed unless it is done.
struct Guard<'a> {
    file: BufWriter<File>,
    path: &'a PathBuf,
    done: bool,
}

impl Sink for Guard<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io(self.path, e))
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.done {
            // What cannot be removed is left; the error that led here is the one to report.
            let _ = std::fs::remove_file(self.path);
        }
    }
}

/// The bytes of a state's file. What does not begin as a state is not read to its end.
fn read(path: &Path) -> Result<Vec<u8>> {
    let io = |e| Error::io(path, e);
    // Asked before opening: opening a pipe would block.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(Error::Format(format!("{}: not a regular file", path.display())));
    }
    let mut file = File::open(path).map_err(io)?;
    let len = file.metadata().map_err(io)?.len();
    let mut data = vec![0; MAGIC.len()];
    if file.read_exact(&mut data).is_err() || data != MAGIC {
        return Err(Error::Format(format!("{}: this is no saved state", path.display())));
    }
    let rest = usize::try_from(len).unwrap_or(usize::MAX).saturating_sub(data.len());
    data.try_reserve_exact(rest)
        .map_err(|_| Error::OutOfMemory(format!("{}: no memory for its {len} bytes", path.display())))?;
    file.take(rest as u64).read_to_end(&mut data).map_err(io)?;
    Ok(data)
}

fn named(path: &Path, e: Error) -> Error {
    let path = path.display();
    match e {
        Error::Format(m) => Error::Format(format!("{path}: {m}")),
        Error::Unsupported(m) => Error::Unsupported(format!("{path}: {m}")),
        Error::InvalidArgument(m) => Error::InvalidArgument(format!("{path}: {m}")),
        Error::KvFull(m) => Error::KvFull(format!("{path}: {m}")),
        other => other,
    }
}

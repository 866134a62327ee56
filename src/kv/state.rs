//! Saved states: the format of a KV cache and of what was last computed, on disk or in memory.
//!
//! A state is, little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | [`MAGIC`] |
//! | 4 | [`VERSION`] |
//! | 4 | [`Kind`] |
//! | 8 | bytes of the whole state |
//! | .. | sections: a tag of 4 bytes, the length of what follows in 8, that many bytes |
//! | 4 | CRC-32 (that of zip and PNG) of everything before it |
//!
//! The sections, each once and in this order:
//!
//! | tag | what |
//! |---|---|
//! | `MODL` | [`Fingerprint`] of the model and of the types of the cache |
//! | `TOKS` | the tokens of a session, 4 bytes each; what they mean is the caller's business |
//! | `CELL` | the cells: for a whole context 40 bytes each (index, position, set of sequences as 256 bits), for one sequence 4 (position) |
//! | `OUTS` | of a whole context: the row of logits of each token of the last batch, 4 bytes (-1: none); |
//! | `LOGI` | of a whole context: those rows, f32 |
//! | `EMBD` | of a whole context: the embeddings of the same tokens, f32, if there are any and they are not pooled |
//! | `KEYV` | layer by layer the keys and then the values, head by head, of the cells in order, in the types of the cache |
//!
//! Nothing in a state is believed: [`Snapshot::parse`] checks the structure and the sum, and the
//! context checks that the model is its own and that there is room, before anything changes.

mod fingerprint;

pub use fingerprint::Fingerprint;

use super::{Cells, MAX_SEQ, Pos, SeqId, SeqSet};
use crate::{Error, Result};

/// The first bytes of a state.
pub const MAGIC: [u8; 8] = *b"RFSTATE\0";
/// The version of the format.
pub const VERSION: u32 = 1;

/// Magic, version, kind, length.
const HEADER: usize = 24;
/// Tag and length.
const SECTION: usize = 12;
const SUM: usize = 4;
const WORDS: usize = MAX_SEQ / 64;
/// Bytes of a cell of a whole context.
const WHOLE_CELL: usize = 8 + 8 * WORDS;

/// What a state holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Every sequence of a context, and its logits.
    Context = 0,
    /// One sequence, which can be restored as any other.
    Sequence = 1,
}

/// Where a state is written to, piece by piece.
pub trait Sink {
    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]) -> Result<()>;
}

fn damaged(why: std::fmt::Arguments<'_>) -> Error {
    Error::Format(format!("the state is damaged: {why}"))
}

/// Bytes not read yet.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n).ok_or_else(|| {
            damaged(format_args!("a part of {n} bytes does not fit the {} that are left", self.0.len()))
        })?;
        self.0 = rest;
        Ok(head)
    }
    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("4 bytes")))
    }
    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().expect("8 bytes")))
    }
    fn rest(self) -> &'a [u8] {
        self.0
    }
    /// The section `tag`, which is next.
    fn section(&mut self, tag: &[u8; 4]) -> Result<&'a [u8]> {
        let name = String::from_utf8_lossy(tag);
        let found = self.take(4)?;
        if found != tag {
            return Err(damaged(format_args!(
                "where the section {name} should be there is \"{}\"",
                found.escape_ascii()
            )));
        }
        let len = self.u64()?;
        let len = usize::try_from(len).ok().filter(|&n| n <= self.0.len()).ok_or_else(|| {
            damaged(format_args!("its section {name} says it has {len} bytes; {} are left", self.0.len()))
        })?;
        self.take(len)
    }
}

fn i32s(bytes: &[u8]) -> impl ExactSizeIterator<Item = i32> + '_ {
    bytes.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn f32s(bytes: &[u8]) -> impl ExactSizeIterator<Item = f32> + '_ {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// A state that has been read: its structure is sound. Borrows the bytes.
pub struct Snapshot<'a> {
    /// What it holds.
    pub kind: Kind,
    /// What it was saved from.
    pub fingerprint: Fingerprint,
    tokens: &'a [u8],
    cells: &'a [u8],
    outputs: &'a [u8],
    logits: &'a [u8],
    embeddings: &'a [u8],
    /// Keys and values; see the module.
    pub kv: &'a [u8],
}

impl<'a> Snapshot<'a> {
    /// Reads a state of the kind `kind`.
    ///
    /// # Errors
    /// [`Error::Format`] for what is no state, is damaged or cut short; [`Error::Unsupported`] for
    /// a newer version; [`Error::InvalidArgument`] for a state of the other kind.
    pub fn parse(data: &'a [u8], kind: Kind) -> Result<Snapshot<'a>> {
        let body = Self::summed(data)?;
        let snapshot = Self::parse_unsummed(body)?;
        if snapshot.kind != kind {
            let (is, call) = match snapshot.kind {
                Kind::Context => ("a whole context", "state_load"),
                Kind::Sequence => ("one sequence", "state_seq_load"),
            };
            return Err(Error::InvalidArgument(format!(
                "this is the state of {is}: it is restored by the functions for that ({call})"
            )));
        }
        Ok(snapshot)
    }

    /// What the sum at the end of a state is of, once it is known to be right.
    fn summed(data: &'a [u8]) -> Result<&'a [u8]> {
        let mut r = Reader(data);
        if r.take(8).ok() != Some(&MAGIC) {
            return Err(Error::Format("this is no saved state: it does not begin as one".into()));
        }
        let cut = || damaged(format_args!("it ends after {} bytes, within its header", data.len()));
        let version = r.u32().map_err(|_| cut())?;
        if version != VERSION {
            return Err(Error::Unsupported(format!(
                "the state has version {version} of the format; this library reads version {VERSION}: save it again"
            )));
        }
        r.u32().map_err(|_| cut())?;
        let len = r.u64().map_err(|_| cut())?;
        if len != data.len() as u64 {
            return Err(damaged(format_args!(
                "it has {} bytes of the {len} that it says it has",
                data.len()
            )));
        }
        let body = data.len().checked_sub(SUM).filter(|&n| n >= HEADER).ok_or_else(cut)?;
        let (body, sum) = data.split_at(body);
        if crc32fast::hash(body).to_le_bytes() != sum {
            return Err(damaged(format_args!("its checksum is wrong")));
        }
        Ok(body)
    }

    /// Reads a state without its sum. For states of this process's own making, and for fuzzing,
    /// which a sum would keep from getting anywhere.
    pub fn parse_unsummed(body: &'a [u8]) -> Result<Snapshot<'a>> {
        let mut r = Reader(body);
        r.take(12)?;
        let kind = match r.u32()? {
            0 => Kind::Context,
            1 => Kind::Sequence,
            n => return Err(damaged(format_args!("there is no kind {n}"))),
        };
        r.take(8)?;
        let fingerprint = Fingerprint::decode(Reader(r.section(b"MODL")?))?;
        let (tokens, cells) = (r.section(b"TOKS")?, r.section(b"CELL")?);
        let (outputs, logits, embeddings) = match kind {
            Kind::Context => (r.section(b"OUTS")?, r.section(b"LOGI")?, r.section(b"EMBD")?),
            Kind::Sequence => Default::default(),
        };
        let kv = r.section(b"KEYV")?;
        if !r.rest().is_empty() {
            return Err(damaged(format_args!("{} bytes follow its last section", r.rest().len())));
        }
        let snapshot = Snapshot { kind, fingerprint, tokens, cells, outputs, logits, embeddings, kv };
        snapshot.check_sizes()?;
        snapshot.check_cells()?;
        snapshot.check_outputs()?;
        Ok(snapshot)
    }

    fn check_sizes(&self) -> Result<()> {
        let cell = self.cell_size();
        for (what, bytes, unit) in
            [("tokens", self.tokens, 4), ("cells", self.cells, cell), ("outputs", self.outputs, 4)]
        {
            if !bytes.len().is_multiple_of(unit) {
                return Err(damaged(format_args!("{} bytes are no whole number of {what}", bytes.len())));
            }
        }
        let want = self.fingerprint.cell_bytes()?.checked_mul(self.n_cells());
        if want != Some(self.kv.len()) {
            return Err(damaged(format_args!(
                "{} bytes of keys and values do not fit its {} cells",
                self.kv.len(),
                self.n_cells()
            )));
        }
        Ok(())
    }

    fn check_cells(&self) -> Result<()> {
        let mut next = 0;
        for cell in self.cells() {
            if cell.pos < 0 || cell.pos == Pos::MAX {
                return Err(damaged(format_args!("a cell has position {}", cell.pos)));
            }
            if self.kind == Kind::Context {
                if (cell.index as usize) < next || cell.index > i32::MAX as u32 {
                    return Err(damaged(format_args!("its cells are out of order")));
                }
                if cell.seqs.is_empty() {
                    return Err(damaged(format_args!("cell {} belongs to no sequence", cell.index)));
                }
                next = cell.index as usize + 1;
            }
        }
        Ok(())
    }

    fn check_outputs(&self) -> Result<()> {
        let mut next = 0;
        for row in self.outputs() {
            match row {
                -1 => {}
                r if r == next => next += 1,
                r => return Err(damaged(format_args!("row {r} of its logits is where {next} should be"))),
            }
        }
        for (what, bytes, row) in [
            ("logits", self.logits, self.fingerprint.n_vocab),
            ("embeddings", self.embeddings, self.fingerprint.n_embd),
        ] {
            if !bytes.is_empty() && bytes.len() as u64 != u64::from(row) * 4 * next as u64 {
                return Err(damaged(format_args!("{} bytes of {what} are not {next} rows", bytes.len())));
            }
        }
        Ok(())
    }

    fn cell_size(&self) -> usize {
        if self.kind == Kind::Context { WHOLE_CELL } else { 4 }
    }

    /// How many cells it has.
    pub fn n_cells(&self) -> usize {
        self.cells.len() / self.cell_size()
    }

    /// The tokens of the session.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = i32> + '_ {
        i32s(self.tokens)
    }

    /// For each token of the last batch its row of logits, -1 for none.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = i32> + '_ {
        i32s(self.outputs)
    }

    /// The logits, row after row.
    pub fn logits(&self) -> impl ExactSizeIterator<Item = f32> + '_ {
        f32s(self.logits)
    }

    /// The embeddings, row after row.
    pub fn embeddings(&self) -> impl ExactSizeIterator<Item = f32> + '_ {
        f32s(self.embeddings)
    }

    fn cells(&self) -> impl Iterator<Item = SavedCell> + '_ {
        let u32_at = |b: &[u8], i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        self.cells.chunks_exact(self.cell_size()).map(move |b| match self.kind {
            Kind::Sequence => SavedCell { index: 0, pos: u32_at(b, 0) as Pos, seqs: SeqSet::default() },
            Kind::Context => {
                let word =
                    |w: usize| u64::from(u32_at(b, 8 + 8 * w)) | u64::from(u32_at(b, 12 + 8 * w)) << 32;
                let seqs = SeqSet(std::array::from_fn(word));
                SavedCell { index: u32_at(b, 0), pos: u32_at(b, 4) as Pos, seqs }
            }
        })
    }

    /// An error unless all of a context fits `into`, empty.
    pub fn check_room(&self, into: &Cells) -> Result<()> {
        if self.n_cells() > into.len() {
            return Err(Error::KvFull(format!(
                "the state has {} tokens in the cache and this context has room for {}; make it larger (n_ctx)",
                self.n_cells(),
                into.len()
            )));
        }
        for cell in self.cells() {
            if let Some(seq) = (into.n_seq..MAX_SEQ).find(|&s| cell.seqs.has(s as SeqId)) {
                return Err(Error::InvalidArgument(format!(
                    "the state has a sequence {seq} and this context was made for {}; make it for more (n_seq_max)",
                    into.n_seq
                )));
            }
        }
        Ok(())
    }

    /// An error unless the sequence fits `into` in place of the tokens of `seq`.
    pub fn check_seq_room(&self, into: &Cells, seq: SeqId) -> Result<()> {
        into.check_seq(seq)?;
        let mut alone = SeqSet::default();
        alone.insert(seq);
        let freed = into.seqs[..into.end].iter().filter(|s| **s == alone).count();
        if self.n_cells() > into.n_free() + freed {
            return Err(Error::KvFull(format!(
                "the state has {} tokens and the cache has {} free cells for them; remove tokens (seq_rm), or make \
                 the context larger (n_ctx)",
                self.n_cells(),
                into.n_free() + freed
            )));
        }
        Ok(())
    }

    /// Empties `into` and takes all cells, in the places that they had if these exist. Gives the
    /// place of each, in order.
    ///
    /// After [`Snapshot::check_room`].
    pub fn place(&self, into: &mut Cells) -> Vec<usize> {
        into.clear();
        let fits = self.cells().last().is_none_or(|c| (c.index as usize) < into.len());
        let mut places = Vec::with_capacity(self.n_cells());
        for (i, cell) in self.cells().enumerate() {
            let at = if fits { cell.index as usize } else { i };
            into.put(at, cell.pos, cell.seqs);
            places.push(at);
        }
        places
    }

    /// Puts the sequence in place of the tokens of `seq`; gives the place of each cell, in order.
    ///
    /// After [`Snapshot::check_seq_room`].
    pub fn place_seq(&self, into: &mut Cells, seq: SeqId) -> Result<Vec<usize>> {
        into.seq_rm(seq, 0..Pos::MAX)?;
        let place = |c: SavedCell| into.place(c.pos, &[seq]);
        let places: Option<Vec<usize>> = self.cells().map(place).collect();
        places.ok_or_else(|| Error::Internal("no free cell for a saved one".into()))
    }
}

struct SavedCell {
    index: u32,
    pos: Pos,
    seqs: SeqSet,
}

impl Cells {
    /// The cells in use, ascending; of one sequence if `seq` is given.
    pub fn in_use(&self, seq: Option<SeqId>) -> impl Iterator<Item = usize> + '_ {
        (0..self.end).filter(move |&i| match seq {
            Some(seq) => self.seqs[i].has(seq),
            None => !self.seqs[i].is_empty(),
        })
    }

    /// Takes a free cell for a token of several sequences.
    fn put(&mut self, i: usize, pos: Pos, seqs: SeqSet) {
        (self.pos[i], self.seqs[i]) = (pos, seqs);
        self.took(i);
    }
}

/// What a state is made of but for the keys and values.
pub struct Parts<'a> {
    /// All of a context, or one sequence of it.
    pub seq: Option<SeqId>,
    /// What it is saved from.
    pub fingerprint: &'a Fingerprint,
    /// The tokens of the session.
    pub tokens: &'a [i32],
    /// The cells.
    pub cells: &'a Cells,
    /// For each token of the last batch its row of logits.
    pub rows: &'a [Option<u32>],
    /// The logits.
    pub logits: &'a [f32],
    /// The embeddings.
    pub embeddings: &'a [f32],
}

impl Parts<'_> {
    /// Bytes of the whole state, its sum included.
    pub fn size(&self) -> Result<usize> {
        let (outputs, n_sections) = match self.seq {
            None => (4 * self.rows.len() + size_of_val(self.logits) + size_of_val(self.embeddings), 7),
            Some(_) => (0, 4),
        };
        let head = HEADER + n_sections * SECTION + self.fingerprint.encode().len();
        let n = self.cells.in_use(self.seq).count();
        let cell = if self.seq.is_none() { WHOLE_CELL } else { 4 };
        let kv = self.fingerprint.cell_bytes()?;
        Ok(head + size_of_val(self.tokens) + n * (cell + kv) + outputs + SUM)
    }

    /// Writes the state; `kv` writes the keys and values.
    pub fn write(&self, to: &mut dyn Sink, kv: impl FnOnce(&mut dyn Sink) -> Result<()>) -> Result<()> {
        let mut out = Summed { to, crc: crc32fast::Hasher::new() };
        let kind = if self.seq.is_none() { Kind::Context } else { Kind::Sequence };
        out.put(&MAGIC)?;
        out.put(&VERSION.to_le_bytes())?;
        out.put(&(kind as u32).to_le_bytes())?;
        out.put(&(self.size()? as u64).to_le_bytes())?;

        let fingerprint = self.fingerprint.encode();
        out.section(b"MODL", fingerprint.len())?;
        out.put(&fingerprint)?;
        out.section(b"TOKS", size_of_val(self.tokens))?;
        for t in self.tokens {
            out.put(&t.to_le_bytes())?;
        }
        let n = self.cells.in_use(self.seq).count();
        out.section(b"CELL", n * if self.seq.is_none() { WHOLE_CELL } else { 4 })?;
        for i in self.cells.in_use(self.seq) {
            if self.seq.is_none() {
                out.put(&(i as u32).to_le_bytes())?;
            }
            out.put(&self.cells.pos[i].to_le_bytes())?;
            if self.seq.is_none() {
                for word in self.cells.seqs[i].0 {
                    out.put(&word.to_le_bytes())?;
                }
            }
        }
        if self.seq.is_none() {
            out.section(b"OUTS", 4 * self.rows.len())?;
            for row in self.rows {
                out.put(&row.map_or(-1, |r| r as i32).to_le_bytes())?;
            }
            for (tag, row) in [(b"LOGI", self.logits), (b"EMBD", self.embeddings)] {
                out.section(tag, size_of_val(row))?;
                for x in row {
                    out.put(&x.to_le_bytes())?;
                }
            }
        }
        out.section(b"KEYV", n * self.fingerprint.cell_bytes()?)?;
        kv(&mut out)?;
        let sum = out.crc.finalize().to_le_bytes();
        out.to.put(&sum)
    }
}

/// Sums what passes through.
struct Summed<'a> {
    to: &'a mut dyn Sink,
    crc: crc32fast::Hasher,
}

impl Sink for Summed<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.crc.update(bytes);
        self.to.put(bytes)
    }
}

impl Summed<'_> {
    fn section(&mut self, tag: &[u8; 4], len: usize) -> Result<()> {
        self.put(tag)?;
        self.put(&(len as u64).to_le_bytes())
    }
}

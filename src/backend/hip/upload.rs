//! Weights from their file to the device: several threads read pieces into pinned buffers, several
//! streams copy them to staging buffers on the device, and from there whoever asked for them brings
//! them to their place, with a kernel or a copy. All three overlap; a ring of slots bounds them.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use super::device::Device;
use super::memory::{Memory, Pinned};
use super::stream::{Event, Stream};
use crate::gguf::{File, TensorInfo};
use crate::{Error, Result};

/// Whole rows of a tensor that are on their way.
#[derive(Clone, Debug)]
pub struct Piece<'a> {
    /// The tensor.
    pub tensor: TensorInfo<'a>,
    /// Rows, over all dimensions but the first.
    pub rows: Range<usize>,
    /// The same as bytes of the tensor's data.
    pub bytes: Range<usize>,
}

/// The size of the machinery.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// Bytes of a slot; more if a tensor's smallest piece needs them.
    pub slot_bytes: usize,
    /// Slots, each one pinned on the host and one on the device.
    pub n_slots: usize,
    /// Threads that read.
    pub n_readers: usize,
    /// Streams that copy.
    pub n_streams: usize,
}

impl Default for Ring {
    /// A slot is large enough for a copy to run at full speed, and small enough that a slot is soon
    /// free; one thread copies some gigabytes a second out of the page cache, less than a bus takes.
    fn default() -> Ring {
        let n_readers = std::thread::available_parallelism().map_or(1, usize::from).clamp(2, 8);
        Ring { slot_bytes: 4 << 20, n_slots: 2 * n_readers, n_readers, n_streams: 4 }
    }
}

/// A pinned buffer on its way between the threads.
struct Slot {
    host: Pinned,
    /// Its staging buffer on the device.
    staging: u64,
    /// The piece in it has been brought to its place.
    free: Event,
}

/// A piece by its number, and what became of reading it.
type Filled = (usize, Slot, Result<()>);

/// Reads `wanted` from the file (not through its map) and hands each piece to `place`, which starts
/// on the stream that it is given what brings the piece from a staging address on the device to its
/// place. Pieces come in any order. `progress` is called with the share done, 0 to 1; `false` cancels.
/// Both are called on this thread. When this returns, everything is in its place.
///
/// # Errors
/// Those of the file, of the device and of `place`; [`Error::Aborted`] if `progress` cancels.
pub fn upload<'a>(
    device: &Arc<Device>,
    file: &'a File,
    wanted: &[TensorInfo<'a>],
    ring: Ring,
    place: &mut dyn FnMut(&Stream, u64, &Piece<'a>) -> Result<()>,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<()> {
    // No larger than the largest tensor.
    let largest = wanted.iter().map(|t| t.n_bytes()).max().unwrap_or(0);
    let slot_bytes = wanted.iter().map(|t| t.row_bytes()).fold(ring.slot_bytes.min(largest), usize::max);
    let pieces: Vec<Piece<'_>> = wanted.iter().flat_map(|&t| cut(t, slot_bytes)).collect();
    let total: usize = pieces.iter().map(|p| p.bytes.len()).sum();

    let n_slots = ring.n_slots.max(1).min(pieces.len());
    // A device aligns memory for any access; so are all slots.
    let stride = slot_bytes.next_multiple_of(256);
    let staging = Memory::new(device, n_slots * stride, "the staging buffers of the upload")?;
    let streams: Vec<Stream> =
        (0..ring.n_streams.max(1)).map(|_| Stream::new(device)).collect::<Result<_>>()?;
    let (free_tx, free) = mpsc::channel();
    for i in 0..n_slots {
        let host = Pinned::new(device, slot_bytes, "a buffer of the upload")?;
        let slot = Slot { host, staging: staging.ptr() + (i * stride) as u64, free: Event::new(device)? };
        // The receiver is alive.
        let _ = free_tx.send(slot);
    }
    let free = Mutex::new(free);
    let (filled_tx, filled) = mpsc::channel();
    let next = AtomicUsize::new(0);
    let retired = Mutex::new(Vec::new());

    // Reads pieces until there are none, or nobody wants them.
    let read = |filled: mpsc::Sender<Filled>| {
        loop {
            let i = next.fetch_add(1, Relaxed);
            let Some(piece) = pieces.get(i) else { return };
            let slot = free.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(mut slot) = slot else { return };
            let outcome = fill(file, piece, &mut slot);
            if let Err(mpsc::SendError((_, slot, _))) = filled.send((i, slot, outcome)) {
                return retired.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
            }
        }
    };
    let mut send_on = |stream: &Stream, slot: &Slot, piece: &Piece<'a>| -> Result<()> {
        // SAFETY: the slot is not used again before its event has happened, and all work is waited for
        // before any slot is dropped.
        unsafe { stream.upload(slot.staging, &slot.host, 0..piece.bytes.len()) }?;
        place(stream, slot.staging, piece)?;
        slot.free.record(stream)
    };
    // Sends what was read on its way. Takes the channels along, so that readers end when it does.
    let mut feed = |filled: mpsc::Receiver<Filled>, free: mpsc::Sender<Slot>| -> Result<()> {
        let mut done = 0;
        for n in 0..pieces.len() {
            let gone = || Error::Internal("the threads that read weights have ended".into());
            let (i, slot, read) = filled.recv().map_err(|_| gone())?;
            let piece: &Piece = &pieces[i];
            let sent = read.and_then(|()| send_on(&streams[n % streams.len()], &slot, piece));
            // The receiver outlives the readers.
            let _ = free.send(slot);
            sent?;
            done += piece.bytes.len();
            if done < total && !progress(done as f32 / total as f32) {
                return Err(cancelled());
            }
        }
        Ok(())
    };
    let fed = std::thread::scope(|scope| {
        let mut spawned = Ok(());
        for i in 0..ring.n_readers.max(1) {
            let (read, filled) = (&read, filled_tx.clone());
            let thread = std::thread::Builder::new().name(format!("rf-upload-{i}"));
            if let Err(e) = thread.spawn_scoped(scope, move || read(filled)) {
                spawned = Err(Error::Backend(format!("no thread to read weights with: {e}")));
                break;
            }
        }
        drop(filled_tx);
        let fed = spawned.and_then(|()| feed(filled, free_tx));
        next.store(pieces.len(), Relaxed);
        fed
    });
    // Whatever happened, buffers stay until nothing uses them.
    let waited = streams.iter().map(Stream::synchronize).fold(Ok(()), Result::and);
    fed.and(waited)?;
    if progress(1.0) { Ok(()) } else { Err(cancelled()) }
}

fn cancelled() -> Error {
    Error::Aborted("loading stopped by the progress callback".into())
}

/// Cuts a tensor into pieces of whole rows that fit a slot.
fn cut(tensor: TensorInfo<'_>, slot_bytes: usize) -> impl Iterator<Item = Piece<'_>> {
    let (n_rows, row_bytes) = (tensor.n_rows(), tensor.row_bytes());
    let step = (slot_bytes / row_bytes).max(1);
    (0..n_rows).step_by(step).map(move |from| {
        let to = (from + step).min(n_rows);
        Piece { tensor, rows: from..to, bytes: from * row_bytes..to * row_bytes }
    })
}

/// Reads a piece into a slot, once what was in it is in its place.
fn fill(file: &File, piece: &Piece<'_>, slot: &mut Slot) -> Result<()> {
    slot.free.synchronize()?;
    file.read_at(&piece.tensor, piece.bytes.start, &mut slot.host.as_mut_slice()[..piece.bytes.len()])
}

//! Weights from a file to the device, on a fake runtime whose work is done as late as it may be: what
//! arrives, in what pieces, and what happens when something fails on the way.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fake_hip::Fake;
use rocmforge::backend::hip::device::Device;
use rocmforge::backend::hip::memory::Memory;
use rocmforge::backend::hip::stream::Stream;
use rocmforge::backend::hip::upload::{Piece, Ring, upload};
use rocmforge::gguf::{File, Writer};
use rocmforge::quant::GgmlType;
use rocmforge::{Error, Result};
use rocmforge_testkit::harness::Tests;

fn main() -> ExitCode {
    // SAFETY: no other thread has been started.
    unsafe { std::env::set_var("ROCMFORGE_HIP_LIBRARY", Fake::path()) };
    let mut tests = Tests::default();
    let mut add = |name: &str, test: fn(&Fake)| {
        tests.add(name, Ok(()), move || {
            let (fake, _lock) = fake();
            test(&fake);
            assert_eq!((fake.live_allocations(), fake.live_objects()), (0, 0), "nothing leaks");
        });
    };
    add("every_byte_arrives_whatever_the_ring", every_byte_arrives_whatever_the_ring);
    add("pieces_are_whole_rows", pieces_are_whole_rows);
    add("a_model_in_memory_arrives_too", a_model_in_memory_arrives_too);
    add("progress_grows_to_one_and_cancels", progress_grows_to_one_and_cancels);
    add("every_failing_call_ends_the_upload", every_failing_call_ends_the_upload);
    add("a_file_that_shrank_is_an_error", a_file_that_shrank_is_an_error);
    add("what_places_a_piece_may_fail", what_places_a_piece_may_fail);
    tests.run()
}

fn fake() -> (Fake, MutexGuard<'static, ()>) {
    static LOCK: Mutex<()> = Mutex::new(());
    let lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let fake = Fake::open();
    prepare(&fake);
    (fake, lock)
}

fn prepare(fake: &Fake) {
    fake.reset();
    fake.set_gpus(1, "gfx1100", 1 << 24);
    fake.set_lazy(true);
}

/// A model of tensors of all sizes, its data from a generator.
fn writer(data: &mut Vec<Vec<u8>>) -> Writer<'_> {
    let shapes: [(&[u64], GgmlType); 6] = [
        (&[64], GgmlType::F32),
        (&[32, 7], GgmlType::Q8_0),
        (&[256, 100], GgmlType::Q4_K),
        (&[64, 33, 3], GgmlType::F16),
        (&[1], GgmlType::F32),
        (&[4096, 5], GgmlType::Q4_0),
    ];
    let mut state = 1u64;
    for (dims, ty) in shapes {
        let n = ty.row_bytes(dims[0] as usize).unwrap() * dims[1..].iter().product::<u64>() as usize;
        let byte = |_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        };
        data.push((0..n).map(byte).collect());
    }
    let mut w = Writer::new();
    for (i, ((dims, ty), data)) in shapes.into_iter().zip(data.iter()).enumerate() {
        w.tensor(&format!("t{i}"), dims, ty, &data[..]).unwrap();
    }
    w
}

fn model() -> PathBuf {
    static ONCE: std::sync::Once = std::sync::Once::new();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("upload-{}.gguf", std::process::id()));
    ONCE.call_once(|| writer(&mut Vec::new()).write(&path).unwrap());
    path
}

const RING: Ring = Ring { slot_bytes: 1000, n_slots: 3, n_readers: 2, n_streams: 2 };

/// Uploads all tensors to one block, one behind the other; gives the pieces and what is there then.
fn arrive(file: &File, ring: Ring) -> Result<(Vec<Piece<'_>>, Vec<u8>)> {
    let device = Device::open(0)?;
    let mut starts = HashMap::new();
    let mut end = 0;
    for t in file.tensors() {
        starts.insert(t.index, end);
        end += t.n_bytes();
    }
    let memory = Memory::new(&device, end, "weights")?;
    let mut pieces = Vec::new();
    upload(
        &device,
        file,
        &file.tensors().collect::<Vec<_>>(),
        ring,
        &mut |stream, staging, piece| {
            let to = memory.ptr() + (starts[&piece.tensor.index] + piece.bytes.start) as u64;
            pieces.push(piece.clone());
            // SAFETY: the block has room for all tensors, and outlives the upload.
            unsafe { stream.copy(to, staging, piece.bytes.len()) }
        },
        &mut |_| true,
    )?;
    let mut bytes = vec![0; end];
    let stream = Stream::new(&device)?;
    // SAFETY: room for what is there.
    unsafe { stream.download_to(bytes.as_mut_ptr(), memory.ptr(), end) }?;
    stream.synchronize()?;
    Ok((pieces, bytes))
}

fn expected(file: &File) -> Vec<u8> {
    file.tensors().flat_map(|t| file.data(&t).to_vec()).collect()
}

fn every_byte_arrives_whatever_the_ring(_: &Fake) {
    let file = File::open(&model()).unwrap();
    for slot_bytes in [1, 100, 5000, 1 << 20] {
        for (n_slots, n_readers, n_streams) in [(1, 1, 1), (1, 4, 2), (2, 3, 1), (9, 2, 3), (0, 0, 0)] {
            let ring = Ring { slot_bytes, n_slots, n_readers, n_streams };
            let (pieces, bytes) = arrive(&file, ring).unwrap();
            assert!(bytes == expected(&file), "{ring:?}");
            assert!(slot_bytes > 5000 || pieces.len() > file.n_tensors());
            assert!(slot_bytes < 1 << 20 || pieces.len() == file.n_tensors());
        }
    }
    assert!(arrive(&file, Ring::default()).unwrap().1 == expected(&file));
}

fn pieces_are_whole_rows(_: &Fake) {
    let file = File::open(&model()).unwrap();
    let (mut pieces, bytes) = arrive(&file, RING).unwrap();
    assert!(bytes == expected(&file));
    pieces.sort_by_key(|p| (p.tensor.index, p.rows.start));
    // A slot holds the longest row.
    let largest = file.tensors().map(|t| t.row_bytes()).fold(RING.slot_bytes, usize::max);
    let mut at = (0, 0);
    for Piece { tensor: t, rows, bytes } in pieces {
        assert_eq!((t.index, rows.start), at);
        let row = t.row_bytes();
        assert_eq!(bytes, rows.start * row..rows.end * row);
        assert!(bytes.len() <= largest, "{rows:?} of {}", t.name);
        at = if rows.end == t.n_rows() { (t.index + 1, 0) } else { (t.index, rows.end) };
    }
    assert_eq!(at, (file.n_tensors(), 0));
}

fn a_model_in_memory_arrives_too(_: &Fake) {
    let file = File::from_bytes(std::fs::read(model()).unwrap()).unwrap();
    assert!(arrive(&file, RING).unwrap().1 == expected(&file));
}

/// An upload that goes nowhere: `stop_at` calls of progress say no.
fn nowhere(file: &File, stop_at: usize) -> (Result<()>, Vec<f32>) {
    let device: Arc<Device> = Device::open(0).unwrap();
    let mut seen = Vec::new();
    let result = upload(
        &device,
        file,
        &file.tensors().collect::<Vec<_>>(),
        RING,
        &mut |_, _, _| Ok(()),
        &mut |share| {
            seen.push(share);
            seen.len() != stop_at
        },
    );
    (result, seen)
}

fn progress_grows_to_one_and_cancels(_: &Fake) {
    let file = File::open(&model()).unwrap();
    let (result, seen) = nowhere(&file, 0);
    result.unwrap();
    assert!(seen.windows(2).all(|w| w[0] < w[1]) && seen[0] > 0.0, "{seen:?}");
    assert_eq!(seen.last(), Some(&1.0));
    for stop_at in [1, seen.len() / 2, seen.len()] {
        let (result, seen) = nowhere(&file, stop_at);
        assert!(matches!(result, Err(Error::Aborted(_))), "{result:?}");
        assert_eq!(seen.len(), stop_at);
    }
    // Nothing is wanted.
    let device = Device::open(0).unwrap();
    upload(&device, &file, &[], RING, &mut |_, _, _| Ok(()), &mut |share| share == 1.0).unwrap();
}

fn every_failing_call_ends_the_upload(fake: &Fake) {
    let file = File::open(&model()).unwrap();
    arrive(&file, RING).unwrap();
    let names = [
        "hipMalloc",
        "hipHostMalloc",
        "hipStreamCreateWithFlags",
        "hipEventCreateWithFlags",
        "hipMemcpyAsync",
        "hipEventRecord",
        "hipEventSynchronize",
        "hipStreamSynchronize",
    ];
    let counts = names.map(|name| fake.count(name));
    for (name, n) in names.into_iter().zip(counts) {
        assert!(n > 0, "{name} is not called");
        for i in [1, 2, n / 2, n].into_iter().filter(|i| (1..=n).contains(i)) {
            for lose in [false, true] {
                prepare(fake);
                if lose {
                    fake.lose(name, i, 719)
                } else {
                    fake.fail(name, i, 719)
                }
                let e = arrive(&file, RING).unwrap_err().to_string();
                assert!(e.contains("(719)") && (lose || e.contains(name)), "{name} {i}: {e}");
                assert_eq!((fake.live_allocations(), fake.live_objects()), (0, 0), "{name} {i}");
            }
        }
    }
    prepare(fake);
    assert!(arrive(&file, RING).unwrap().1 == expected(&file));
}

fn a_file_that_shrank_is_an_error(_: &Fake) {
    let path = model().with_extension("short");
    std::fs::copy(model(), &path).unwrap();
    let file = File::open(&path).unwrap();
    let len = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len - 3000).unwrap();
    let (result, _) = nowhere(&file, 0);
    let e = result.unwrap_err();
    assert!(matches!(e, Error::Io { .. }) && e.to_string().contains("upload"), "{e}");
    std::fs::remove_file(path).unwrap();
}

fn what_places_a_piece_may_fail(_: &Fake) {
    let file = File::open(&model()).unwrap();
    let device = Device::open(0).unwrap();
    let mut n = 0;
    let mut place = |_: &Stream, _: u64, _: &Piece| {
        n += 1;
        if n == 5 { Err(Error::Internal("the fifth".into())) } else { Ok(()) }
    };
    let e = upload(&device, &file, &file.tensors().collect::<Vec<_>>(), RING, &mut place, &mut |_| true)
        .unwrap_err();
    assert_eq!(e.to_string(), "internal error: the fifth");
}

//! Streams: work in order, events between them, and capture.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::ffi::runtime::*;
use crate::state::{Done, Outcome, State};

/// A piece of work.
#[derive(Clone)]
pub enum Op {
    Copy {
        dst: usize,
        src: usize,
        len: usize,
        kind: hipMemcpyKind,
    },
    Fill {
        dst: usize,
        byte: u8,
        len: usize,
    },
    Launch(Arc<Done>),
    /// An event happens for the `n`-th time.
    Record {
        event: usize,
        n: u64,
    },
    /// Until it has happened that often.
    Wait {
        event: usize,
        n: u64,
    },
    Graph(Arc<[Op]>),
}

#[derive(Default)]
pub struct Stream {
    pub work: VecDeque<Op>,
    /// The capture that it takes part in.
    pub capture: Option<usize>,
    /// What a kernel on it has failed with.
    pub error: Option<hipError_t>,
}

#[derive(Default)]
pub struct Event {
    pub timed: bool,
    /// How often it was recorded, and has happened.
    pub recorded: u64,
    pub happened: u64,
    pub at: Option<Instant>,
    /// The stream that was last to record it.
    pub stream: usize,
    /// The capture that it was recorded in.
    pub capture: Option<usize>,
}

/// Work that is being recorded.
pub struct Capture {
    pub origin: usize,
    pub thread: std::thread::ThreadId,
    pub ops: Vec<Op>,
    /// Something was done meanwhile that cannot be recorded.
    pub invalid: bool,
}

impl State {
    pub fn stream(&mut self, stream: usize) -> Outcome<&mut Stream> {
        self.streams.get_mut(&stream).ok_or(hipErrorInvalidHandle)
    }

    /// Starts a piece of work.
    pub fn start(&mut self, stream: usize, op: Op) -> Outcome {
        let lazy = self.lazy;
        let s = self.stream(stream)?;
        if let Some(capture) = s.capture {
            let capture = self.captures.get_mut(&capture).ok_or(hipErrorStreamCaptureInvalidated)?;
            if capture.invalid {
                return Err(hipErrorStreamCaptureInvalidated);
            }
            capture.ops.push(op);
            return Ok(());
        }
        s.work.push_back(op);
        if lazy { Ok(()) } else { self.run(stream) }
    }

    /// What must not be done on this thread while it records, or on a stream that is recorded, is an
    /// error, and ends the recording.
    pub fn forbid_in_capture(&mut self, stream: Option<usize>) -> Outcome {
        let thread = std::thread::current().id();
        let capture = stream.and_then(|s| self.streams.get(&s)?.capture);
        for (id, c) in &mut self.captures {
            if capture == Some(*id) || (stream.is_none() && c.thread == thread) {
                c.invalid = true;
                return Err(hipErrorStreamCaptureUnsupported);
            }
        }
        Ok(())
    }

    /// Does all that a stream has.
    pub fn run(&mut self, stream: usize) -> Outcome {
        while let Some(op) = self.stream(stream)?.work.pop_front() {
            self.run_op(stream, op);
        }
        // A failed kernel is told of once, and the stream goes on.
        self.stream(stream)?.error.take().map_or(Ok(()), Err)
    }

    /// Does all that there is.
    pub fn run_all(&mut self) {
        let streams: Vec<usize> = self.streams.keys().copied().collect();
        for stream in streams {
            let _ = self.run(stream);
        }
    }

    /// Lets an event happen `n` times, as far as it was recorded.
    pub fn run_until(&mut self, event: usize, n: u64) -> Outcome {
        loop {
            let e = self.events.get(&event).ok_or(hipErrorInvalidHandle)?;
            if e.happened >= n.min(e.recorded) {
                return Ok(());
            }
            let stream = e.stream;
            let Some(op) = self.stream(stream)?.work.pop_front() else {
                // It was recorded on another stream before.
                self.run_all();
                return Ok(());
            };
            self.run_op(stream, op);
        }
    }

    fn run_op(&mut self, stream: usize, op: Op) {
        match op {
            Op::Copy { dst, src, len, kind } => {
                let device = |s: &State| -> Outcome {
                    if kind != hipMemcpyDeviceToHost {
                        s.check_device(dst, len)?;
                    }
                    if kind != hipMemcpyHostToDevice {
                        s.check_device(src, len)?;
                    }
                    Ok(())
                };
                match device(self) {
                    // SAFETY: memory of ours, or of the caller by its promise; a copy within the
                    // device may overlap.
                    Ok(()) => unsafe { std::ptr::copy(src as *const u8, dst as *mut u8, len) },
                    Err(_) => self.fail(stream, hipErrorIllegalAddress),
                }
            }
            Op::Fill { dst, byte, len } => match self.check_device(dst, len) {
                // SAFETY: memory of ours.
                Ok(()) => unsafe { (dst as *mut u8).write_bytes(byte, len) },
                Err(_) => self.fail(stream, hipErrorIllegalAddress),
            },
            Op::Launch(done) => {
                let code = if self.interpreter.on { self.interpret(&done) } else { self.execute(&done) };
                if code != hipSuccess {
                    self.fail(stream, code);
                }
                self.launches.push(done);
            }
            Op::Record { event, n } => {
                if let Some(e) = self.events.get_mut(&event) {
                    e.happened = e.happened.max(n);
                    e.at = Some(Instant::now());
                }
            }
            Op::Wait { event, n } => {
                let _ = self.run_until(event, n);
            }
            Op::Graph(ops) => {
                for op in ops.iter() {
                    self.run_op(stream, op.clone());
                }
            }
        }
    }

    fn fail(&mut self, stream: usize, code: hipError_t) {
        if let Some(s) = self.streams.get_mut(&stream) {
            s.error.get_or_insert(code);
        }
    }
}

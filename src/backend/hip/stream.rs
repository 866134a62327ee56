//! Work on a device: streams of copies and launches, events between them, modules of kernels, and
//! graphs, which are work that is recorded once and replayed.
//!
//! What is started here runs later, with bare addresses. So the functions that start work are
//! unsafe: their callers answer for what the addresses mean until the work is done.

use std::cell::Cell;
use std::ffi::{CString, c_void};
use std::ops::Range;
use std::sync::Arc;

use super::device::Device;
use super::ffi::runtime::*;
use super::memory::Pinned;
use super::runtime::call;
use crate::{Error, Result, counters};

/// A queue of work, done in order.
pub struct Stream {
    device: Arc<Device>,
    handle: hipStream_t,
    /// What the graph that is being recorded will do when it is replayed.
    recorded: Cell<Option<Counts>>,
}

// SAFETY: the functions of the runtime may be called from any thread; the cell goes with the stream.
unsafe impl Send for Stream {}

/// Work that is counted.
#[derive(Clone, Copy, Default)]
struct Counts {
    launches: u64,
    to_device: u64,
    to_host: u64,
}

impl Counts {
    fn count(self) {
        counters::launch(self.launches);
        counters::host_to_device(self.to_device);
        counters::device_to_host(self.to_host);
    }
}

impl Stream {
    /// A new stream. It does not wait for work on the default stream of other users of the device.
    pub fn new(device: &Arc<Device>) -> Result<Stream> {
        let _current = device.current()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: room for a handle.
        unsafe { call!(device.runtime, hipStreamCreateWithFlags(&mut handle, hipStreamNonBlocking)) }?;
        Ok(Stream { device: device.clone(), handle, recorded: Cell::new(None) })
    }

    /// The device.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Starts a kernel: `grid` workgroups of `block` threads, each with `lds` bytes of LDS besides
    /// those that the kernel declares. `args` is the kernel's only argument, a struct, and is copied.
    ///
    /// # Safety
    /// `args` are the bytes of the struct that the kernel takes, and what their addresses point at is
    /// as large as the kernel thinks, lives until the work is done (if it is recorded, until its
    /// graph is gone), and is used by nothing else meanwhile that the kernel's use of it excludes. Of
    /// recorded work, the function must outlive the graph.
    pub unsafe fn launch(
        &self,
        function: &Function,
        grid: [u32; 3],
        block: u32,
        lds: u32,
        args: &[u8],
    ) -> Result<()> {
        let _current = self.device.current()?;
        let mut params = [args.as_ptr().cast_mut().cast::<c_void>()];
        let [x, y, z] = grid;
        // SAFETY: one parameter, whose bytes the runtime copies before it returns; the rest is the
        // caller's promise.
        unsafe {
            call!(
                self.device.runtime,
                hipModuleLaunchKernel(
                    function.handle,
                    x,
                    y,
                    z,
                    block,
                    1,
                    1,
                    lds,
                    self.handle,
                    params.as_mut_ptr(),
                    std::ptr::null_mut(),
                )
            )
        }
        .map_err(|e| prefix(&function.name, e))?;
        self.started(Counts { launches: 1, ..Counts::default() });
        Ok(())
    }

    /// Starts a copy of `range` of `src` to `dst` on the device.
    ///
    /// # Safety
    /// As for [`Stream::launch`]: `dst` is the address of as many bytes; both sides live, and `src` is
    /// not written, until the copy is done.
    ///
    /// # Panics
    /// If `src` has no such range.
    pub unsafe fn upload(&self, dst: u64, src: &Pinned, range: Range<usize>) -> Result<()> {
        let bytes = &src.as_slice()[range];
        // SAFETY: the caller's promise.
        unsafe { self.upload_from(dst, bytes.as_ptr(), bytes.len()) }
    }

    /// Starts a copy of `len` bytes at `src` on the host to `dst` on the device. If the host's are not
    /// pinned, the call may wait for the copy.
    ///
    /// # Safety
    /// As for [`Stream::upload`].
    pub unsafe fn upload_from(&self, dst: u64, src: *const u8, len: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.copy_bytes(dst as *mut c_void, src.cast(), len, hipMemcpyHostToDevice) }?;
        self.started(Counts { to_device: 1, ..Counts::default() });
        Ok(())
    }

    /// Starts a copy of `len` bytes at `src` on the device to `dst`, from `offset` on.
    ///
    /// # Safety
    /// As for [`Stream::upload`], and `dst` is neither read nor written until the copy is done.
    ///
    /// # Panics
    /// If `dst` has no such range.
    pub unsafe fn download(&self, dst: &Pinned, offset: usize, src: u64, len: usize) -> Result<()> {
        assert!(offset <= dst.len() && len <= dst.len() - offset, "a copy beyond pinned memory");
        // SAFETY: the range was checked; the rest is the caller's promise.
        unsafe { self.download_to(dst.as_ptr().add(offset), src, len) }
    }

    /// Starts a copy of `len` bytes at `src` on the device to `dst` on the host. If the host's are not
    /// pinned, the call may wait for the copy.
    ///
    /// # Safety
    /// As for [`Stream::download`].
    pub unsafe fn download_to(&self, dst: *mut u8, src: u64, len: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.copy_bytes(dst.cast(), src as *const c_void, len, hipMemcpyDeviceToHost) }?;
        self.started(Counts { to_host: 1, ..Counts::default() });
        Ok(())
    }

    /// Starts a copy of `len` bytes on the device.
    ///
    /// # Safety
    /// As for [`Stream::launch`]; the two do not overlap.
    pub unsafe fn copy(&self, dst: u64, src: u64, len: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.copy_bytes(dst as *mut c_void, src as *const c_void, len, hipMemcpyDeviceToDevice) }
    }

    /// # Safety
    /// As for [`Stream::launch`].
    unsafe fn copy_bytes(
        &self,
        dst: *mut c_void,
        src: *const c_void,
        len: usize,
        kind: hipMemcpyKind,
    ) -> Result<()> {
        let _current = self.device.current()?;
        // SAFETY: the caller's promise.
        unsafe { call!(self.device.runtime, hipMemcpyAsync(dst, src, len, kind, self.handle)) }
    }

    fn started(&self, work: Counts) {
        match self.recorded.get() {
            None => work.count(),
            Some(Counts { launches, to_device, to_host }) => self.recorded.set(Some(Counts {
                launches: launches + work.launches,
                to_device: to_device + work.to_device,
                to_host: to_host + work.to_host,
            })),
        }
    }

    /// Starts to set `len` bytes at `dst` on the device to `byte`.
    ///
    /// # Safety
    /// As for [`Stream::launch`].
    pub unsafe fn fill(&self, dst: u64, byte: u8, len: usize) -> Result<()> {
        // No memory has no address.
        if len == 0 {
            return Ok(());
        }
        let _current = self.device.current()?;
        let (dst, byte) = (dst as *mut c_void, byte.into());
        // SAFETY: the caller's promise.
        unsafe { call!(self.device.runtime, hipMemsetAsync(dst, byte, len, self.handle)) }
    }

    /// Records what `work` starts on this stream, and on others that wait for its events and that it
    /// waits for again, without doing it.
    pub fn capture(&self, work: impl FnOnce(&Stream) -> Result<()>) -> Result<GraphExec> {
        let _current = self.device.current()?;
        counters::graph_capture(1);
        let runtime = self.device.runtime;
        // Other threads may go on to allocate meanwhile.
        let mode = hipStreamCaptureModeThreadLocal;
        // SAFETY: a stream of ours.
        unsafe { call!(runtime, hipStreamBeginCapture(self.handle, mode)) }?;
        self.recorded.set(Some(Counts::default()));
        let capture = Capture(self);
        work(self)?;
        let counts = self.recorded.get().unwrap_or_default();
        let graph = capture.end()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: room for a handle, a graph of ours; there is no room for a log.
        unsafe {
            call!(
                runtime,
                hipGraphInstantiate(&mut handle, graph.handle, std::ptr::null_mut(), std::ptr::null_mut(), 0)
            )
        }?;
        Ok(GraphExec { device: self.device.clone(), handle, counts })
    }

    /// Starts the work that was recorded.
    ///
    /// # Safety
    /// As for what was recorded.
    pub unsafe fn replay(&self, graph: &GraphExec) -> Result<()> {
        let _current = self.device.current()?;
        // SAFETY: a graph and a stream of ours; the rest is the caller's promise.
        unsafe { call!(self.device.runtime, hipGraphLaunch(graph.handle, self.handle)) }?;
        graph.counts.count();
        Ok(())
    }

    /// Waits until all work on this stream is done. Errors are those of the work.
    pub fn synchronize(&self) -> Result<()> {
        let _current = self.device.current()?;
        // SAFETY: a stream of ours.
        unsafe { call!(self.device.runtime, hipStreamSynchronize(self.handle)) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _current = self.device.current();
        // SAFETY: made in `new`. Work on it goes on; those who own its memory wait for it.
        let _ = unsafe { self.device.runtime.api.hipStreamDestroy(self.handle) };
    }
}

/// A stream that records, until this is dropped.
struct Capture<'a>(&'a Stream);

impl Capture<'_> {
    /// What was recorded.
    fn end(self) -> Result<Graph> {
        let stream = self.0;
        std::mem::forget(self);
        stream.end_capture()
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        // What went wrong before is what the caller hears of.
        let _ = self.0.end_capture();
    }
}

impl Stream {
    fn end_capture(&self) -> Result<Graph> {
        self.recorded.set(None);
        let mut graph = Graph { device: self.device.clone(), handle: std::ptr::null_mut() };
        // SAFETY: a stream of ours that records, room for a handle.
        unsafe { call!(self.device.runtime, hipStreamEndCapture(self.handle, &mut graph.handle)) }?;
        Ok(graph)
    }
}

/// Work as it was recorded.
struct Graph {
    device: Arc<Device>,
    handle: hipGraph_t,
}

impl Drop for Graph {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            let _current = self.device.current();
            // SAFETY: given by `end_capture`.
            let _ = unsafe { self.device.runtime.api.hipGraphDestroy(self.handle) };
        }
    }
}

/// Recorded work, ready to be replayed.
pub struct GraphExec {
    device: Arc<Device>,
    handle: hipGraphExec_t,
    counts: Counts,
}

// SAFETY: the functions of the runtime may be called from any thread.
unsafe impl Send for GraphExec {}

impl Drop for GraphExec {
    fn drop(&mut self) {
        let _current = self.device.current();
        // SAFETY: made by `capture`.
        let _ = unsafe { self.device.runtime.api.hipGraphExecDestroy(self.handle) };
    }
}

/// A point in the work of a stream.
pub struct Event {
    device: Arc<Device>,
    handle: hipEvent_t,
}

// SAFETY: the functions of the runtime may be called from any thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// An event to wait for.
    pub fn new(device: &Arc<Device>) -> Result<Event> {
        Event::with_flags(device, hipEventDisableTiming)
    }

    /// An event that also knows when it happened, for [`Event::elapsed`].
    pub fn timed(device: &Arc<Device>) -> Result<Event> {
        Event::with_flags(device, 0)
    }

    fn with_flags(device: &Arc<Device>, flags: u32) -> Result<Event> {
        let _current = device.current()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: room for a handle.
        unsafe { call!(device.runtime, hipEventCreateWithFlags(&mut handle, flags)) }?;
        Ok(Event { device: device.clone(), handle })
    }

    /// Makes it happen when the work that `stream` has now is done.
    pub fn record(&self, stream: &Stream) -> Result<()> {
        let _current = self.device.current()?;
        // SAFETY: both are ours.
        unsafe { call!(self.device.runtime, hipEventRecord(self.handle, stream.handle)) }
    }

    /// Lets what `stream` is given from now on wait for it.
    pub fn wait(&self, stream: &Stream) -> Result<()> {
        let _current = self.device.current()?;
        // SAFETY: both are ours.
        unsafe { call!(self.device.runtime, hipStreamWaitEvent(stream.handle, self.handle, 0)) }
    }

    /// Waits until it has happened. One that was never recorded has.
    pub fn synchronize(&self) -> Result<()> {
        let _current = self.device.current()?;
        // SAFETY: an event of ours.
        unsafe { call!(self.device.runtime, hipEventSynchronize(self.handle)) }
    }

    /// Milliseconds since `earlier`. Both are [`Event::timed`] and have happened.
    pub fn elapsed(&self, earlier: &Event) -> Result<f32> {
        let _current = self.device.current()?;
        let mut ms = 0.0;
        // SAFETY: both are ours; room for a number.
        unsafe { call!(self.device.runtime, hipEventElapsedTime(&mut ms, earlier.handle, self.handle)) }?;
        Ok(ms)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _current = self.device.current();
        // SAFETY: made in `with_flags`.
        let _ = unsafe { self.device.runtime.api.hipEventDestroy(self.handle) };
    }
}

/// A code object on a device.
#[derive(Clone)]
pub struct Module(Arc<Loaded>);

struct Loaded {
    device: Arc<Device>,
    handle: hipModule_t,
    /// The code object, aligned; the runtime may come back to it.
    _image: Vec<u64>,
}

// SAFETY: the functions of the runtime may be called from any thread.
unsafe impl Send for Loaded {}
// SAFETY: as above.
unsafe impl Sync for Loaded {}

impl Module {
    /// Loads a code object: an ELF file for this GPU, or a bundle of several. It is copied.
    ///
    /// # Errors
    /// [`Error::Format`] if it is cut short; [`Error::Backend`] if the runtime does not take it.
    pub fn load(device: &Arc<Device>, image: &[u8]) -> Result<Module> {
        check_image(image)?;
        let mut copy = vec![0u64; image.len().div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut copy)[..image.len()].copy_from_slice(image);
        let _current = device.current()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: room for a handle; the image lives as long as the module, and has the bytes that its
        // header speaks of.
        unsafe { call!(device.runtime, hipModuleLoadData(&mut handle, copy.as_ptr().cast())) }?;
        Ok(Module(Arc::new(Loaded { device: device.clone(), handle, _image: copy })))
    }

    /// A kernel of it by its name.
    pub fn function(&self, name: &str) -> Result<Function> {
        let device = &self.0.device;
        let _current = device.current()?;
        let c_name =
            CString::new(name).map_err(|_| Error::Internal(format!("the kernel name {name:?} has a NUL")))?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: room for a handle, a module of ours, a string.
        unsafe { call!(device.runtime, hipModuleGetFunction(&mut handle, self.0.handle, c_name.as_ptr())) }
            .map_err(|e| prefix(name, e))?;
        Ok(Function { _module: self.0.clone(), handle, name: name.into() })
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let _current = self.device.current();
        // SAFETY: loaded by `load`; its functions keep it alive.
        let _ = unsafe { self.device.runtime.api.hipModuleUnload(self.handle) };
    }
}

/// The runtime is told no length: it believes the header of an ELF file, so its tables must lie
/// within the image. (The kernel's loader and those of other formats check the rest themselves.)
fn check_image(image: &[u8]) -> Result<()> {
    let damaged = || Error::Format(format!("a code object of {} bytes is damaged or cut short", image.len()));
    let is_elf = image.starts_with(b"\x7fELF");
    if image.len() < if is_elf { 64 } else { 16 } {
        return Err(damaged());
    }
    if !is_elf {
        return Ok(());
    }
    let number = |at: usize, len: usize| {
        let bytes = image.get(at..at + len)?;
        Some(bytes.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b)))
    };
    // Of the 64-bit header: e_phoff, e_phentsize, e_phnum; e_shoff, e_shentsize, e_shnum.
    for [offset, size, n] in [[32, 54, 56], [40, 58, 60]] {
        let (Some(offset), Some(size), Some(n)) = (number(offset, 8), number(size, 2), number(n, 2)) else {
            return Err(damaged());
        };
        if offset.checked_add(size * n).is_none_or(|end| end > image.len() as u64) {
            return Err(damaged());
        }
    }
    Ok(())
}

/// A kernel. Keeps its module loaded.
#[derive(Clone)]
pub struct Function {
    _module: Arc<Loaded>,
    handle: hipFunction_t,
    name: Arc<str>,
}

// SAFETY: the functions of the runtime may be called from any thread.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl Function {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Says which kernel an error is about.
fn prefix(kernel: &str, e: Error) -> Error {
    match e {
        Error::Backend(m) => Error::Backend(format!("kernel {kernel}: {m}")),
        e => e,
    }
}

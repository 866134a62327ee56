//! Code objects: where a kernel's machine code comes from, and which of it is loaded.
//!
//! A unit (see [`units`](super::units)) is loaded when a function of it is first asked for: from the
//! folder that `ROCMFORGE_KERNELS` names; else from the objects in the library, if it was built with any
//! for this GPU; else its source, which is always in the library, is compiled by hipRTC, once for each
//! version of source, compiler and target: the result is kept on disk.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::device::Device;
use super::rtc::Rtc;
use super::stream::{Function, Module};
use super::units::Unit;
use crate::{Error, Result};

/// Names a folder of `{unit}.{target}.co` files, in place of the objects in the library.
pub const KERNELS_VARIABLE: &str = "ROCMFORGE_KERNELS";

/// What the build script found: see build.rs.
mod embedded {
    /// Objects that are compressed together: targets of a kind differ little.
    pub struct Pack {
        pub unit: &'static str,
        /// Target and length of each, one after another.
        pub objects: &'static [(&'static str, usize)],
        pub compressed: &'static [u8],
    }

    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}

/// The target and the compiler's version of the objects in the library; none if it has only sources.
pub fn embedded_targets() -> (Vec<&'static str>, &'static str) {
    let all = embedded::PACKS.iter().flat_map(|p| p.objects.iter().map(|o| o.0));
    let mut targets: Vec<&str> = Vec::new();
    for target in all {
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    (targets, embedded::COMPILER)
}

/// The kernels of one device.
pub struct Kernels {
    device: Arc<Device>,
    /// `ROCMFORGE_KERNELS`.
    folder: Option<PathBuf>,
    /// Where compiled units are kept; none if the environment has no place for it.
    cache: Option<PathBuf>,
    /// By unit.
    modules: Mutex<HashMap<String, Module>>,
}

impl Kernels {
    /// For `device`, of the folder that the environment names if it does. Loads nothing yet.
    pub fn new(device: Arc<Device>) -> Kernels {
        let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        // A relative XDG_CACHE_HOME is to be ignored, says its specification.
        let base = variable("XDG_CACHE_HOME")
            .filter(|p| p.is_absolute())
            .or_else(|| variable("HOME").filter(|p| p.is_absolute()).map(|h| h.join(".cache")));
        let cache = base.map(|b| b.join("rocmforge").join("kernels"));
        Kernels::with(device, variable(KERNELS_VARIABLE), cache)
    }

    /// As [`Kernels::new`], with the folder of code objects and that of compiled ones given.
    pub fn with(device: Arc<Device>, folder: Option<PathBuf>, cache: Option<PathBuf>) -> Kernels {
        Kernels { device, folder, cache, modules: Mutex::default() }
    }

    /// The device they are for.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// The function `kernel` of `unit`, which is loaded, or compiled, if it is not yet.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such unit, or the folder named lacks it; [`Error::Io`];
    /// [`Error::Backend`] with the compiler's first words if it does not compile, with what was looked
    /// for if there is no compiler, or if the runtime does not take the code.
    pub fn function(&self, unit: &str, kernel: &str) -> Result<Function> {
        // What a thread that died left in the map is whole.
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(unit) {
            return module.function(kernel);
        }
        let module = self.load(unit)?;
        let function = module.function(kernel)?;
        modules.insert(unit.into(), module);
        Ok(function)
    }

    fn load(&self, unit: &str) -> Result<Module> {
        let target = &self.device.info().arch;
        if let Some(folder) = &self.folder {
            return self.load_file(unit, folder, target);
        }
        if let Some(object) = embedded_object(unit, target)? {
            return Module::load(&self.device, &object).map_err(|e| about(unit, e));
        }
        let compiled = compile(unit, target, self.cache.as_deref())?;
        Module::load(&self.device, &compiled).map_err(|e| about(unit, e))
    }

    fn load_file(&self, unit: &str, folder: &Path, target: &str) -> Result<Module> {
        let path = folder.join(format!("{unit}.{target}.co"));
        let object = fs::read(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Error::NotFound(format!(
                "{KERNELS_VARIABLE} names {}, which lacks {unit}.{target}.co: `make kernels` writes such a folder",
                folder.display()
            )),
            _ => Error::io(&path, e),
        })?;
        Module::load(&self.device, &object).map_err(|e| about(&path.display().to_string(), e))
    }
}

/// Says which unit or file an error is about.
fn about(what: &str, e: Error) -> Error {
    match e {
        Error::Backend(m) => Error::Backend(format!("{what}: {m}")),
        Error::Format(m) => Error::Format(format!("{what}: {m}")),
        e => e,
    }
}

/// The object in the library for a unit and a target.
fn embedded_object(unit: &str, target: &str) -> Result<Option<Vec<u8>>> {
    let found = embedded::PACKS.iter().find_map(|pack| {
        let at = pack.objects.iter().position(|o| o.0 == target).filter(|_| pack.unit == unit)?;
        Some((pack, at))
    });
    let Some((pack, at)) = found else { return Ok(None) };
    let before: usize = pack.objects[..at].iter().map(|o| o.1).sum();
    let end = before + pack.objects[at].1;
    let mut bytes = vec![0; end];
    lzma_rust2::Lzma2Reader::new(pack.compressed, embedded::DICTIONARY, None)
        .read_exact(&mut bytes)
        .map_err(|e| Error::Internal(format!("the kernels {unit} in the library: {e}")))?;
    bytes.drain(..before);
    Ok(Some(bytes))
}

/// A unit of the sources in the library, and its text.
fn source_of(unit: &str) -> Result<(Unit, &'static str)> {
    let sources = embedded::FILES.iter().filter_map(|(name, text)| Some((name.strip_suffix(".hip")?, *text)));
    let mut all = sources.flat_map(|(name, text)| Unit::of(name, text).into_iter().map(move |u| (u, text)));
    all.find(|(u, _)| u.name() == unit)
        .ok_or_else(|| Error::NotFound(format!("there is no kernel unit \"{unit}\"")))
}

/// Compile a unit by hipRTC, or take what an earlier process has compiled.
fn compile(unit: &str, target: &str, cache: Option<&Path>) -> Result<Vec<u8>> {
    let (made_of, source) = source_of(unit)?;
    let rtc = Rtc::get().map_err(|e| {
        let (targets, _) = embedded_targets();
        let built = if targets.is_empty() { "none".into() } else { targets.join(", ") };
        Error::Backend(format!(
            "no kernels for {target} are at hand (in this library: {built}), and they cannot be compiled: {e}"
        ))
    })?;
    let headers: Vec<(&str, &str)> =
        embedded::FILES.iter().filter(|(name, _)| name.ends_with(".h")).copied().collect();
    let mut options = vec![format!("--offload-arch={target}"), "-std=c++17".into(), "-O3".into()];
    options.extend(made_of.define());
    let (major, minor) = rtc.version()?;
    let compiler = format!("{major}.{minor}");

    let mut key = Sha256::new();
    let texts = headers.iter().flat_map(|h| [h.0, h.1]).chain([source, unit, &compiler]);
    for part in texts.chain(options.iter().map(String::as_str)) {
        key.update((part.len() as u64).to_le_bytes());
        key.update(part);
    }
    let kept = cache.map(|c| c.join(format!("{unit}.{target}.{:x}.co", key.finalize())));
    if let Some(object) = kept.as_deref().and_then(read_kept) {
        return Ok(object);
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let object = rtc
        .compile(source, &format!("{}.hip", made_of.source), &headers, &options)
        .map_err(|e| about(unit, e))?;
    if let Some(kept) = kept {
        // A cache that cannot be written costs time only, again with every start.
        let _ = keep(&kept, &object);
    }
    Ok(object)
}

/// Bytes after a kept object: the SHA-256 of it.
const SUM: usize = 32;

/// A kept object, if it is there and whole.
fn read_kept(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).ok()?;
    let sum = bytes.split_off(bytes.len().checked_sub(SUM)?);
    (Sha256::digest(&bytes)[..] == sum[..]).then_some(bytes)
}

/// Write an object so that whoever reads it, whenever, sees all of it or nothing.
fn keep(path: &Path, object: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // A name of its own for each thread of each process.
    static SERIAL: AtomicUsize = AtomicUsize::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let part = path.with_extension(format!("{}-{serial}.part", std::process::id()));
    let mut file = fs::File::create(&part)?;
    let written = file.write_all(object).and_then(|()| file.write_all(&Sha256::digest(object)));
    drop(file);
    let done = written.and_then(|()| fs::rename(&part, path));
    if done.is_err() {
        let _ = fs::remove_file(&part);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_the_sources_are_found_by_name() {
        for (name, text) in embedded::FILES.iter().filter(|f| f.0.ends_with(".hip")) {
            for unit in Unit::of(name.trim_end_matches(".hip"), text) {
                assert_eq!(source_of(&unit.name()).unwrap().0, unit);
            }
        }
        assert!(matches!(source_of("nothing"), Err(Error::NotFound(_))));
    }

    #[test]
    fn includes_are_in_the_library() {
        for (name, text) in embedded::FILES {
            for line in text.lines().filter_map(|l| l.strip_prefix("#include ")) {
                let header = line.trim_matches('"');
                assert!(embedded::FILES.iter().any(|f| f.0 == header), "{name} includes {line}");
            }
        }
    }

    #[test]
    fn embedded_objects_are_whole() {
        for pack in embedded::PACKS {
            for (target, len) in pack.objects {
                let object = embedded_object(pack.unit, target).unwrap().unwrap();
                assert_eq!(object.len(), *len, "{} {target}", pack.unit);
                assert!(object.starts_with(b"\x7fELF"), "{} {target}", pack.unit);
            }
        }
        assert!(embedded_object("nothing", "gfx1100").unwrap().is_none());
    }
}

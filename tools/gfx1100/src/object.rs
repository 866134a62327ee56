//! Code objects: an ELF file with machine code, a descriptor for each kernel, and metadata as MessagePack.
//! The formats are those of LLVM's "User Guide for AMDGPU Backend", code object version 5.

use object::elf::{FileHeader64, PF_X, PT_LOAD, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, Object, ObjectSymbol};
use rmpv::Value;

/// A code object as it is laid out in memory.
pub struct CodeObject {
    /// `gfx1100`, without the vendor before it.
    pub target: String,
    /// Its bytes from address 0 on; what is not in the file is zero.
    pub image: Vec<u8>,
    /// The addresses that can be executed.
    pub text: std::ops::Range<usize>,
    /// In the order of the metadata.
    pub kernels: Vec<Kernel>,
}

/// A kernel of a code object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its name.
    pub name: String,
    /// The addresses of its code.
    pub code: std::ops::Range<usize>,
    /// What the hardware is told of it.
    pub descriptor: Descriptor,
    /// Its arguments, hidden ones among them.
    pub args: Vec<Arg>,
    /// The most threads of a workgroup.
    pub max_threads: u32,
    /// Vector registers that it uses.
    pub n_vgpr: usize,
    /// Scalar registers that it uses, VCC not among them.
    pub n_sgpr: usize,
}

/// An argument of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Bytes before it in the segment of arguments.
    pub offset: usize,
    /// Its bytes.
    pub size: usize,
    /// `by_value`, `global_buffer`, `hidden_block_count_x`, ...
    pub kind: String,
}

/// A kernel descriptor, `KERNEL.kd`: 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Bytes of LDS that the kernel declares.
    pub lds: u32,
    /// Bytes of private memory of a lane.
    pub scratch: u32,
    /// Bytes of the segment of arguments.
    pub kernarg: u32,
    /// `COMPUTE_PGM_RSRC1`: modes of floating point.
    pub rsrc1: u32,
    /// `COMPUTE_PGM_RSRC2`: what registers hold at the start.
    pub rsrc2: u32,
    /// Which user SGPRs there are, and the size of a wave.
    pub properties: u16,
}

/// Bits of [`Descriptor::properties`] that put something into user SGPRs, in this order: how many registers each.
const USER_SGPRS: [(u16, UserData, usize); 7] = [
    (0, UserData::PrivateSegmentBuffer, 4),
    (1, UserData::DispatchPtr, 2),
    (2, UserData::QueuePtr, 2),
    (3, UserData::KernargPtr, 2),
    (4, UserData::DispatchId, 2),
    (5, UserData::FlatScratchInit, 2),
    (6, UserData::PrivateSegmentSize, 1),
];

/// What user SGPRs can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of the format")]
pub enum UserData {
    PrivateSegmentBuffer,
    DispatchPtr,
    QueuePtr,
    KernargPtr,
    DispatchId,
    FlatScratchInit,
    PrivateSegmentSize,
}

impl Descriptor {
    fn read(bytes: &[u8]) -> Result<Descriptor, String> {
        let u32_at = |at: usize| -> Result<u32, String> {
            let b = bytes.get(at..at + 4).ok_or("a kernel descriptor is cut off")?;
            Ok(u32::from_le_bytes(b.try_into().unwrap_or_default()))
        };
        let d = Descriptor {
            lds: u32_at(0)?,
            scratch: u32_at(4)?,
            kernarg: u32_at(8)?,
            rsrc1: u32_at(48)?,
            rsrc2: u32_at(52)?,
            properties: u32_at(56)? as u16,
        };
        if d.properties >> 10 & 1 == 0 {
            return Err("a kernel for waves of 64, which are not interpreted".into());
        }
        if u32_at(56)? >> 16 != 0 {
            return Err("a kernel with preloaded arguments, which gfx1100 has not".into());
        }
        Ok(d)
    }

    /// What is in user SGPRs, from s0 on, and in how many of them each.
    pub fn user_data(&self) -> impl Iterator<Item = (UserData, usize)> {
        let properties = self.properties;
        USER_SGPRS
            .into_iter()
            .filter(move |(bit, ..)| properties >> bit & 1 == 1)
            .map(|(_, what, n)| (what, n))
    }

    /// User SGPRs that the hardware fills.
    pub fn n_user_sgpr(&self) -> usize {
        (self.rsrc2 >> 1 & 31) as usize
    }

    /// Which of the workgroup's numbers x, y and z follow the user SGPRs.
    pub fn workgroup_ids(&self) -> [bool; 3] {
        [7, 8, 9].map(|bit| self.rsrc2 >> bit & 1 == 1)
    }

    /// The mode register's lowest byte: rounding in bits 0-3, denormals in bits 4-7.
    pub fn float_mode(&self) -> u32 {
        self.rsrc1 >> 12 & 0xff
    }

    /// Whether a minimum or a clamp of a NaN gives a number, as Direct3D 10 has it.
    pub fn dx10_clamp(&self) -> bool {
        self.rsrc1 >> 21 & 1 == 1
    }

    /// Whether signalling NaNs are quieted, as IEEE 754 has it.
    pub fn ieee(&self) -> bool {
        self.rsrc1 >> 23 & 1 == 1
    }

    /// Whether a workgroup's waves may be on both compute units of a pair, which do not share a cache.
    pub fn wgp_mode(&self) -> bool {
        self.rsrc1 >> 29 & 1 == 1
    }
}

type Elf = FileHeader64<LittleEndian>;
const LITTLE: LittleEndian = LittleEndian;

impl CodeObject {
    /// Reads a code object.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<CodeObject, String> {
        let about = |e: object::Error| format!("not a code object: {e}");
        let header = Elf::parse(bytes).map_err(about)?;
        let segments = header.program_headers(LITTLE, bytes).map_err(about)?;
        let (mut image, mut text, mut notes) = (Vec::new(), 0..0, None);
        for s in segments {
            let data = s.data(LITTLE, bytes).map_err(|()| "a segment outside of the file")?;
            match s.p_type(LITTLE) {
                PT_LOAD => {
                    let (start, len) = (s.p_vaddr(LITTLE) as usize, s.p_memsz(LITTLE) as usize);
                    let end = start
                        .checked_add(len)
                        .filter(|end| *end <= MAX_IMAGE)
                        .ok_or("a segment out of reach")?;
                    image.resize(image.len().max(end), 0);
                    image[start..end]
                        .get_mut(..data.len())
                        .ok_or("a segment larger in the file than in memory")?
                        .copy_from_slice(data);
                    if s.p_flags(LITTLE) & PF_X != 0 {
                        text = start..start + data.len();
                    }
                }
                PT_NOTE => notes = Some(s),
                _ => {}
            }
        }
        let mut notes = notes.ok_or("no notes")?.notes(LITTLE, bytes).map_err(about)?.ok_or("no notes")?;
        let mut metadata = None;
        while let Some(note) = notes.next().map_err(about)? {
            if note.name() == b"AMDGPU" && note.n_type(LITTLE) == NT_AMDGPU_METADATA {
                let value =
                    rmpv::decode::read_value(&mut note.desc()).map_err(|e| format!("metadata: {e}"))?;
                metadata = Some(value);
            }
        }
        let metadata = metadata.ok_or("no metadata")?;
        let target = text_of(&metadata, "amdhsa.target").unwrap_or_default();
        let target = target.rsplit('-').next().unwrap_or_default().to_owned();
        let file = object::File::parse(bytes).map_err(about)?;
        if file.dynamic_relocations().is_some_and(|mut all| all.next().is_some()) {
            return Err("a code object with addresses to fill in, which are not interpreted".into());
        }
        let list =
            get(&metadata, "amdhsa.kernels").and_then(Value::as_array).ok_or("metadata without kernels")?;
        let kernels = list.iter().map(|k| kernel(k, &file, &image)).collect::<Result<_, _>>()?;
        Ok(CodeObject { target, image, text, kernels })
    }

    /// The kernel of this name.
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.kernels.iter().find(|k| k.name == name)
    }
}

/// A note of the owner `AMDGPU`: metadata as MessagePack.
const NT_AMDGPU_METADATA: u32 = 32;
/// No code object of ours is nearly as large.
const MAX_IMAGE: usize = 64 << 20;

fn get<'a>(map: &'a Value, key: &str) -> Option<&'a Value> {
    map.as_map()?.iter().find(|(k, _)| k.as_str() == Some(key)).map(|(_, v)| v)
}

fn text_of(map: &Value, key: &str) -> Option<String> {
    get(map, key)?.as_str().map(str::to_owned)
}

fn kernel(value: &Value, file: &object::File<'_>, image: &[u8]) -> Result<Kernel, String> {
    let name = text_of(value, ".name").ok_or("a kernel without a name")?;
    let number = |map: &Value, key: &str| {
        let n = get(map, key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        n.ok_or(format!("{name}: metadata without {key}"))
    };
    let symbol = |name: &str| {
        let found = file.symbols().find(|s| s.name() == Ok(name));
        found
            .map(|s| s.address() as usize..(s.address() + s.size()) as usize)
            .ok_or(format!("no symbol {name}"))
    };
    let descriptor_name = text_of(value, ".symbol").ok_or(format!("{name}: no symbol"))?;
    let at = symbol(&descriptor_name)?.start;
    let descriptor = image.get(at..at + 64).ok_or(format!("{descriptor_name} lies outside of the file"))?;
    let code = symbol(&name)?;
    if code.end > image.len() {
        return Err(format!("{name} lies outside of the file"));
    }
    let list = get(value, ".args").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let args = list
        .iter()
        .map(|a| {
            let kind = text_of(a, ".value_kind").ok_or(format!("{name}: an argument of no kind"))?;
            Ok(Arg { offset: number(a, ".offset")?, size: number(a, ".size")?, kind })
        })
        .collect::<Result<_, String>>()?;
    Ok(Kernel {
        code,
        descriptor: Descriptor::read(descriptor).map_err(|e| format!("{name}: {e}"))?,
        args,
        max_threads: number(value, ".max_flat_workgroup_size")? as u32,
        n_vgpr: number(value, ".vgpr_count")?,
        n_sgpr: number(value, ".sgpr_count")?,
        name,
    })
}

//! What a module holds: of an AMD code object, the kernels that its metadata tells of.

use std::sync::Arc;

/// A kernel of a module.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    pub name: String,
    /// Where each argument goes in the arguments' segment, and its bytes.
    pub args: Vec<(usize, usize)>,
    /// Bytes of the segment.
    pub segment: usize,
}

/// What an image says: its target (nothing if it does not say) and its kernels (`None` for any).
pub type Contents = (Option<String>, Option<Vec<Arc<Kernel>>>);

/// Reads an image: an ELF file, or text that begins with `FAKE` and may have lines
/// `kernel NAME BYTES`, where BYTES is the size of the kernel's one argument. `None` if it is neither.
///
/// # Safety
/// `image` is one of these, and as long as it says.
pub unsafe fn read(image: *const u8) -> Option<(Vec<u8>, Contents)> {
    // SAFETY: the caller's promise; the shortest image has 16 bytes.
    let magic = unsafe { std::slice::from_raw_parts(image, 4) };
    if magic == b"FAKE" {
        // SAFETY: a text ends with a NUL.
        let text = unsafe { std::ffi::CStr::from_ptr(image.cast()) }.to_bytes();
        return Some((text.to_vec(), (None, text_kernels(&String::from_utf8_lossy(text)))));
    }
    if magic != b"\x7fELF" {
        return None;
    }
    // SAFETY: the caller's promise; a header has 64 bytes.
    let header = unsafe { std::slice::from_raw_parts(image, 64) };
    let tables = [(32, 54, 56), (40, 58, 60)].map(|(offset, size, n)| {
        number(header, offset, 8).zip(number(header, size, 2)).zip(number(header, n, 2))
    });
    let mut len = 64;
    for ((offset, size), n) in tables.into_iter().flatten() {
        len = len.max(offset + size * n);
    }
    // SAFETY: the caller's promise.
    let tables = unsafe { std::slice::from_raw_parts(image, len) };
    let (start, size, n) = (number(header, 32, 8)?, number(header, 54, 2)?, number(header, 56, 2)?);
    let segments: Vec<[usize; 3]> = (0..n)
        .filter_map(|i| {
            let at = start + i * size;
            Some([number(tables, at, 4)?, number(tables, at + 8, 8)?, number(tables, at + 32, 8)?])
        })
        .collect();
    len = segments.iter().map(|[_, offset, bytes]| offset + bytes).fold(len, usize::max);
    // SAFETY: the caller's promise.
    let image = unsafe { std::slice::from_raw_parts(image, len) }.to_vec();
    let notes = segments.iter().filter(|[kind, ..]| *kind == 4);
    let contents =
        notes.filter_map(|[_, offset, bytes]| metadata(image.get(*offset..offset + bytes)?)).next();
    Some((image, contents.unwrap_or((None, None))))
}

fn text_kernels(text: &str) -> Option<Vec<Arc<Kernel>>> {
    let kernels: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.strip_prefix("kernel ")?.split_whitespace();
            let (name, bytes) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
            Some(Arc::new(Kernel { name, args: vec![(0, bytes)], segment: bytes }))
        })
        .collect();
    (!kernels.is_empty()).then_some(kernels)
}

fn number(bytes: &[u8], at: usize, len: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + len)?;
    Some(bytes.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)))
}

/// The AMD metadata of a segment of notes.
fn metadata(mut notes: &[u8]) -> Option<Contents> {
    const METADATA: usize = 32;
    loop {
        let (name, desc, kind) = (number(notes, 0, 4)?, number(notes, 4, 4)?, number(notes, 8, 4)?);
        let at = 12 + name.next_multiple_of(4);
        if kind == METADATA && notes.get(12..12 + name)?.starts_with(b"AMDGPU") {
            let root = Value::read(&mut notes.get(at..at + desc)?)?;
            let kernels = root.get("amdhsa.kernels")?.items();
            let target = root.get("amdhsa.target").and_then(Value::text);
            let target = target.map(|t| t.rsplit('-').next().unwrap_or_default().to_owned());
            return Some((target, Some(kernels.iter().filter_map(kernel).map(Arc::new).collect())));
        }
        notes = notes.get(at + desc.next_multiple_of(4)..)?;
    }
}

fn kernel(value: &Value) -> Option<Kernel> {
    let size = |v: &Value, key| v.get(key).and_then(Value::number);
    let explicit =
        |v: &&Value| v.get(".value_kind").and_then(Value::text).is_some_and(|k| !k.starts_with("hidden_"));
    let args = value.get(".args").map_or(&[][..], Value::items).iter().filter(explicit);
    Some(Kernel {
        name: value.get(".name")?.text()?.to_owned(),
        args: args.filter_map(|v| Some((size(v, ".offset")?, size(v, ".size")?))).collect(),
        segment: size(value, ".kernarg_segment_size")?,
    })
}

/// MessagePack, as much of it as there is in metadata.
enum Value {
    Number(usize),
    Text(String),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Other,
}

impl Value {
    fn read(bytes: &mut &[u8]) -> Option<Value> {
        let mut take = |n: usize| {
            let (head, rest) = bytes.split_at_checked(n)?;
            *bytes = rest;
            Some(head)
        };
        let tag = take(1)?[0];
        let big = |bytes: &[u8]| bytes.iter().fold(0usize, |n, &b| n << 8 | usize::from(b));
        let (kind, n) = match tag {
            0x00..=0x7f => return Some(Value::Number(tag.into())),
            0x80..=0x8f => ('m', usize::from(tag & 15)),
            0x90..=0x9f => ('l', usize::from(tag & 15)),
            0xa0..=0xbf => ('t', usize::from(tag & 31)),
            0xcc..=0xcf => return Some(Value::Number(big(take(1 << (tag - 0xcc))?))),
            0xd0..=0xd3 => {
                take(1 << (tag - 0xd0))?;
                return Some(Value::Other);
            }
            0xd9..=0xdb => ('t', big(take(1 << (tag - 0xd9))?)),
            0xdc..=0xdd => ('l', big(take(2 << (tag - 0xdc))?)),
            0xde..=0xdf => ('m', big(take(2 << (tag - 0xde))?)),
            0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => return Some(Value::Other),
            _ => return None,
        };
        Some(match kind {
            't' => Value::Text(String::from_utf8_lossy(take(n)?).into_owned()),
            'l' => Value::List((0..n).map(|_| Value::read(bytes)).collect::<Option<_>>()?),
            _ => {
                let pair = |_| Some((Value::read(bytes)?, Value::read(bytes)?));
                Value::Map((0..n).map(pair).collect::<Option<_>>()?)
            }
        })
    }

    fn get(&self, key: &str) -> Option<&Value> {
        let Value::Map(pairs) = self else { return None };
        pairs.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, v)| v)
    }

    fn text(&self) -> Option<&str> {
        if let Value::Text(s) = self { Some(s) } else { None }
    }

    fn number(&self) -> Option<usize> {
        if let Value::Number(n) = self { Some(*n) } else { None }
    }

    fn items(&self) -> &[Value] {
        if let Value::List(items) = self { items } else { &[] }
    }
}

//! GGUF bytes put together by hand from the specification, right or wrong, without the writer.

/// A string as it lies in a file.
pub fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&(text.len() as u64).to_le_bytes(), text].concat()
}

/// An array: element type, count, elements.
pub fn array(elem: u32, len: u64, elements: &[u8]) -> Vec<u8> {
    [&elem.to_le_bytes()[..], &len.to_le_bytes(), elements].concat()
}

/// A file whose every part can be wrong.
#[derive(Clone)]
pub struct Raw {
    pub magic: [u8; 4],
    pub version: u32,
    /// Instead of the number of `tensors`.
    pub n_tensors: Option<u64>,
    /// Instead of the number of `entries`.
    pub n_entries: Option<u64>,
    /// Each one key, type and value.
    pub entries: Vec<Vec<u8>>,
    /// Each one name, dimensions, type and offset.
    pub tensors: Vec<Vec<u8>>,
    pub alignment: usize,
    pub data: Vec<u8>,
}

impl Raw {
    pub fn new() -> Self {
        Raw {
            magic: *b"GGUF",
            version: 3,
            n_tensors: None,
            n_entries: None,
            entries: Vec::new(),
            tensors: Vec::new(),
            alignment: 32,
            data: Vec::new(),
        }
    }

    pub fn entry(mut self, key: impl AsRef<[u8]>, ty: u32, value: &[u8]) -> Self {
        self.entries.push([&string(key)[..], &ty.to_le_bytes(), value].concat());
        self
    }

    pub fn tensor(mut self, name: impl AsRef<[u8]>, dims: &[u64], ty: u32, offset: u64) -> Self {
        let mut t = string(name);
        t.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|d| t.extend(d.to_le_bytes()));
        t.extend(ty.to_le_bytes());
        t.extend(offset.to_le_bytes());
        self.tensors.push(t);
        self
    }

    pub fn data(mut self, n: usize) -> Self {
        self.data = (0..n).map(|i| i as u8).collect();
        self
    }

    /// The bytes, and where the header, each entry, each tensor and the data section end.
    pub fn build(&self) -> (Vec<u8>, Vec<usize>) {
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.n_tensors.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        out.extend(self.n_entries.unwrap_or(self.entries.len() as u64).to_le_bytes());
        let mut ends = vec![out.len()];
        for part in self.entries.iter().chain(&self.tensors) {
            out.extend(part);
            ends.push(out.len());
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out.extend(&self.data);
        ends.push(out.len());
        (out, ends)
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.build().0
    }
}

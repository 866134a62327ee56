//! Weight types: the block layouts of ggml, their exact dequantisation and their reference
//! quantisation. One family of formats a file; nothing here knows about SIMD or threads.

use crate::{Error, Result};

macro_rules! types {
    ($($name:ident = $id:literal, $text:literal, $len:literal, $bytes:literal;)+) => {
        /// The element type of a tensor, with ggml's numbers and names.
        ///
        /// All types that a GGUF file may carry are known by size, so that any file can be
        /// inspected; [`GgmlType::is_computable`] says which ones this build multiplies.
        #[allow(non_camel_case_types, missing_docs)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum GgmlType { $($name = $id,)+ }

        impl GgmlType {
            /// Every known type.
            pub const ALL: &'static [GgmlType] = &[$(GgmlType::$name,)+];

            /// The type with ggml's number `id`.
            pub fn from_id(id: u32) -> Option<Self> {
                match id { $($id => Some(GgmlType::$name),)+ _ => None }
            }
            /// The name that llama.cpp prints.
            pub const fn name(self) -> &'static str {
                match self { $(GgmlType::$name => $text,)+ }
            }
            /// Elements in one block.
            pub const fn block_len(self) -> usize {
                match self { $(GgmlType::$name => $len,)+ }
            }
            /// Bytes of one block.
            pub const fn block_bytes(self) -> usize {
                match self { $(GgmlType::$name => $bytes,)+ }
            }
        }
    };
}

types! {
    F32 = 0, "f32", 1, 4;
    F16 = 1, "f16", 1, 2;
    Q4_0 = 2, "q4_0", 32, 18;
    Q4_1 = 3, "q4_1", 32, 20;
    Q5_0 = 6, "q5_0", 32, 22;
    Q5_1 = 7, "q5_1", 32, 24;
    Q8_0 = 8, "q8_0", 32, 34;
    Q8_1 = 9, "q8_1", 32, 36;
    Q2_K = 10, "q2_K", 256, 84;
    Q3_K = 11, "q3_K", 256, 110;
    Q4_K = 12, "q4_K", 256, 144;
    Q5_K = 13, "q5_K", 256, 176;
    Q6_K = 14, "q6_K", 256, 210;
    Q8_K = 15, "q8_K", 256, 292;
    IQ2_XXS = 16, "iq2_xxs", 256, 66;
    IQ2_XS = 17, "iq2_xs", 256, 74;
    IQ3_XXS = 18, "iq3_xxs", 256, 98;
    IQ1_S = 19, "iq1_s", 256, 50;
    IQ4_NL = 20, "iq4_nl", 32, 18;
    IQ3_S = 21, "iq3_s", 256, 110;
    IQ2_S = 22, "iq2_s", 256, 82;
    IQ4_XS = 23, "iq4_xs", 256, 136;
    I8 = 24, "i8", 1, 1;
    I16 = 25, "i16", 1, 2;
    I32 = 26, "i32", 1, 4;
    I64 = 27, "i64", 1, 8;
    F64 = 28, "f64", 1, 8;
    IQ1_M = 29, "iq1_m", 256, 56;
    BF16 = 30, "bf16", 1, 2;
    TQ1_0 = 34, "tq1_0", 256, 54;
    TQ2_0 = 35, "tq2_0", 256, 66;
    MXFP4 = 39, "mxfp4", 32, 17;
}

impl GgmlType {
    /// Whether the kernels of this build multiply by weights of this type.
    pub const fn is_computable(self) -> bool {
        use GgmlType::*;
        matches!(self, F32 | F16 | BF16 | Q4_0 | Q8_0 | Q4_K | Q5_K | Q6_K)
    }

    /// Bytes of a row of `n` elements; an error unless `n` is a whole number of blocks.
    pub fn row_bytes(self, n: usize) -> Result<usize> {
        if !n.is_multiple_of(self.block_len()) {
            return Err(Error::Format(format!(
                "a row of {n} elements is not a whole number of {} blocks ({} elements each)",
                self.name(),
                self.block_len()
            )));
        }
        (n / self.block_len())
            .checked_mul(self.block_bytes())
            .ok_or_else(|| Error::Format(format!("a row of {n} elements overflows")))
    }
}

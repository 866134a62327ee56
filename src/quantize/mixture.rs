//! The named mixtures of llama.cpp.

use crate::quant::GgmlType;

macro_rules! mixtures {
    ($($name:ident = $id:literal, $ty:ident;)+) => {
        /// A recipe for the types of a model's tensors, with llama.cpp's names and the numbers that it
        /// writes under `general.file_type`.
        #[allow(non_camel_case_types, missing_docs)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Mixture { $($name = $id,)+ }

        impl Mixture {
            /// Every mixture.
            pub const ALL: &'static [Mixture] = &[$(Mixture::$name,)+];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Mixture::$name => stringify!($name),)+ }
            }

            /// The type that most tensors get.
            pub const fn main_type(self) -> GgmlType {
                match self { $(Mixture::$name => GgmlType::$ty,)+ }
            }
        }
    };
}

mixtures! {
    F32 = 0, F32;
    F16 = 1, F16;
    Q4_0 = 2, Q4_0;
    Q4_1 = 3, Q4_1;
    Q8_0 = 7, Q8_0;
    Q5_0 = 8, Q5_0;
    Q5_1 = 9, Q5_1;
    Q2_K = 10, Q2_K;
    Q3_K_S = 11, Q3_K;
    Q3_K_M = 12, Q3_K;
    Q3_K_L = 13, Q3_K;
    Q4_K_S = 14, Q4_K;
    Q4_K_M = 15, Q4_K;
    Q5_K_S = 16, Q5_K;
    Q5_K_M = 17, Q5_K;
    Q6_K = 18, Q6_K;
    IQ2_XXS = 19, IQ2_XXS;
    IQ2_XS = 20, IQ2_XS;
    Q2_K_S = 21, Q2_K;
    IQ3_XS = 22, IQ3_S;
    IQ3_XXS = 23, IQ3_XXS;
    IQ1_S = 24, IQ1_S;
    IQ4_NL = 25, IQ4_NL;
    IQ3_S = 26, IQ3_S;
    IQ3_M = 27, IQ3_S;
    IQ2_S = 28, IQ2_XS;
    IQ2_M = 29, IQ2_S;
    IQ4_XS = 30, IQ4_XS;
    IQ1_M = 31, IQ1_M;
    BF16 = 32, BF16;
    TQ1_0 = 36, TQ1_0;
    TQ2_0 = 37, TQ2_0;
    MXFP4_MOE = 38, MXFP4;
    Q1_0 = 40, Q1_0;
    Q2_0 = 41, Q2_0;
}

impl Mixture {
    /// The mixture of a name, in capitals or not, of a short name (`Q3_K`, `Q4_K` and `Q5_K` are the
    /// medium ones), or of a number.
    pub fn parse(text: &str) -> Option<Mixture> {
        let short = match text.to_ascii_uppercase().as_str() {
            "Q3_K" => Some(Mixture::Q3_K_M),
            "Q4_K" => Some(Mixture::Q4_K_M),
            "Q5_K" => Some(Mixture::Q5_K_M),
            _ => None,
        };
        let number = text.parse().ok().and_then(Mixture::from_id);
        let by_name = Self::ALL.iter().copied().find(|m| m.name().eq_ignore_ascii_case(text));
        short.or(number).or(by_name)
    }

    /// The mixture with the number `id`.
    pub fn from_id(id: u32) -> Option<Mixture> {
        Self::ALL.iter().copied().find(|m| m.id() == id)
    }

    /// The value of `general.file_type`.
    pub const fn id(self) -> u32 {
        self as u32
    }
}

//! Metadata values. Strings and arrays borrow the mapped file; numbers are read out of it.

use super::parse::Cursor;
use crate::{Error, Result};

/// The type of a metadata value, with the numbers of the GGUF specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    Str = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    /// Every type, in the order of their numbers.
    pub const ALL: [ValueType; 13] = {
        use ValueType::*;
        [U8, I8, U16, I16, U32, I32, F32, Bool, Str, Array, U64, I64, F64]
    };

    /// The type with the number `id`.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.get(id as usize).copied()
    }

    /// The name in the words of the specification's tools.
    pub const fn name(self) -> &'static str {
        match self {
            ValueType::U8 => "u8",
            ValueType::I8 => "i8",
            ValueType::U16 => "u16",
            ValueType::I16 => "i16",
            ValueType::U32 => "u32",
            ValueType::I32 => "i32",
            ValueType::F32 => "f32",
            ValueType::Bool => "bool",
            ValueType::Str => "str",
            ValueType::Array => "array",
            ValueType::U64 => "u64",
            ValueType::I64 => "i64",
            ValueType::F64 => "f64",
        }
    }

    /// Bytes of a value in the file; none for strings and arrays, whose sizes vary.
    pub(super) const fn size(self) -> Option<usize> {
        match self {
            ValueType::U8 | ValueType::I8 | ValueType::Bool => Some(1),
            ValueType::U16 | ValueType::I16 => Some(2),
            ValueType::U32 | ValueType::I32 | ValueType::F32 => Some(4),
            ValueType::U64 | ValueType::I64 | ValueType::F64 => Some(8),
            ValueType::Str | ValueType::Array => None,
        }
    }

    /// The fewest bytes that a value can take in the file.
    pub(super) const fn min_size(self) -> usize {
        match self {
            ValueType::Str => 8,
            ValueType::Array => 12,
            _ => self.size().expect("every other type has a fixed size"),
        }
    }
}

/// One metadata value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    Str(&'a str),
    Array(Array<'a>),
}

impl<'a> Value<'a> {
    /// The type of this value.
    pub fn ty(&self) -> ValueType {
        match self {
            Value::U8(_) => ValueType::U8,
            Value::I8(_) => ValueType::I8,
            Value::U16(_) => ValueType::U16,
            Value::I16(_) => ValueType::I16,
            Value::U32(_) => ValueType::U32,
            Value::I32(_) => ValueType::I32,
            Value::U64(_) => ValueType::U64,
            Value::I64(_) => ValueType::I64,
            Value::F32(_) => ValueType::F32,
            Value::F64(_) => ValueType::F64,
            Value::Bool(_) => ValueType::Bool,
            Value::Str(_) => ValueType::Str,
            Value::Array(_) => ValueType::Array,
        }
    }

    /// The number, when this is an integer of any width that fits `T`.
    pub fn integer<T: TryFrom<i128>>(&self) -> Option<T> {
        let wide: i128 = match *self {
            Value::U8(v) => v.into(),
            Value::I8(v) => v.into(),
            Value::U16(v) => v.into(),
            Value::I16(v) => v.into(),
            Value::U32(v) => v.into(),
            Value::I32(v) => v.into(),
            Value::U64(v) => v.into(),
            Value::I64(v) => v.into(),
            _ => return None,
        };
        T::try_from(wide).ok()
    }

    /// The number, when this is a float of either width; an f64 is rounded to the nearest f32.
    pub fn float(&self) -> Option<f32> {
        match *self {
            Value::F32(v) => Some(v),
            Value::F64(v) => Some(v as f32),
            _ => None,
        }
    }
}

/// Values that a metadata key can be set to without naming the variant.
macro_rules! from {
    ($($ty:ty => $variant:ident),+) => {
        $(impl<'a> From<$ty> for Value<'a> {
            fn from(v: $ty) -> Self { Value::$variant(v) }
        })+
    };
}
from!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64,
      f32 => F32, f64 => F64, bool => Bool, &'a str => Str, Array<'a> => Array);

impl<'a> From<&'a super::ArrayBuf> for Value<'a> {
    fn from(v: &'a super::ArrayBuf) -> Self {
        Value::Array(v.as_array())
    }
}

/// An array of values of one type: a validated range of the file, nothing copied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Array<'a> {
    /// The metadata key it belongs to, for messages.
    pub(super) key: &'a str,
    pub(super) elem: ValueType,
    pub(super) len: usize,
    /// The elements as they lie in the file, without the array's own type and length.
    pub(super) bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// The type of every element.
    pub fn elem_type(&self) -> ValueType {
        self.elem
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes that the elements take in the file.
    pub fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements in order, of whatever type.
    pub fn values(&self) -> Values<'a> {
        Values { cursor: Cursor::new(self.bytes), key: self.key, elem: self.elem, left: self.len }
    }

    /// The elements as strings; an error naming the key if they are something else.
    pub fn strs(&self) -> Result<impl Iterator<Item = &'a str> + use<'a>> {
        self.of(&[ValueType::Str], "strings", |v| if let Value::Str(s) = v { Some(s) } else { None })
    }

    /// The elements as `i32`, from any integer type; an error naming the key if one does not fit.
    pub fn i32s(&self) -> Result<impl Iterator<Item = i32> + use<'a>> {
        self.integers("integers that fit i32")
    }

    /// The elements as `u32`, from any integer type; an error naming the key if one does not fit.
    pub fn u32s(&self) -> Result<impl Iterator<Item = u32> + use<'a>> {
        self.integers("integers that fit u32")
    }

    /// The elements as `f32`, from f32 or f64; an error naming the key if they are something else.
    pub fn f32s(&self) -> Result<impl Iterator<Item = f32> + use<'a>> {
        self.of(&[ValueType::F32, ValueType::F64], "floats", |v| v.float())
    }

    /// The elements as booleans; an error naming the key if they are something else.
    pub fn bools(&self) -> Result<impl Iterator<Item = bool> + use<'a>> {
        self.of(&[ValueType::Bool], "booleans", |v| if let Value::Bool(b) = v { Some(b) } else { None })
    }

    /// The elements as arrays; an error naming the key if they are something else.
    pub fn arrays(&self) -> Result<impl Iterator<Item = Array<'a>> + use<'a>> {
        self.of(&[ValueType::Array], "arrays", |v| if let Value::Array(a) = v { Some(a) } else { None })
    }

    fn integers<T: TryFrom<i128>>(&self, want: &str) -> Result<impl Iterator<Item = T> + use<'a, T>> {
        use ValueType::*;
        let found = self.of(&[U8, I8, U16, I16, U32, I32, U64, I64], want, |v| v.integer())?;
        match self.values().position(|v| v.integer::<T>().is_none()) {
            None => Ok(found),
            Some(i) => Err(Error::Format(format!(
                "metadata key {:?}: element {i} is out of range, want {want}",
                self.key
            ))),
        }
    }

    fn of<T>(
        &self,
        types: &[ValueType],
        want: &str,
        get: fn(Value<'a>) -> Option<T>,
    ) -> Result<impl Iterator<Item = T> + use<'a, T>> {
        if !types.contains(&self.elem) {
            return Err(Error::Format(format!(
                "metadata key {:?} is an array of {}, want {want}",
                self.key,
                self.elem.name()
            )));
        }
        Ok(self.values().filter_map(get))
    }
}

/// The elements of an [`Array`] in order.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    cursor: Cursor<'a>,
    key: &'a str,
    elem: ValueType,
    left: usize,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        // The bytes were validated when the file was opened: this can fail only if the file was
        // changed under the map, and then the iteration ends.
        self.cursor.value(self.elem, self.key, 0).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

//! The container: every field cut off, cut in half, and filled with ones; whole sections missing.

use rocmforge::quant::GgmlType;

use crate::file::{self, Parts};
use crate::{Case, case};

fn small() -> Parts {
    Parts::new()
        .u32("a.number", 7)
        .str("a.text", "some text")
        .set("a.list", file::ARRAY, file::strings(&["x", "yz"]))
        .set("a.flag", file::BOOL, [1])
        .tensor("first", &[4, 2], GgmlType::F32)
        .tensor("second", &[32, 2, 1], GgmlType::Q4_0)
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let (bytes, fields) = small().build();
    for field in fields {
        let (name, place, range) = (format!("{} of {}", field.name, field.place), field.place, field.range);
        // A message is about the field's place; with few bytes left, about a count in the header; of a
        // table that ends early, about the next entry; where data is missing, about any tensor's.
        let want = format!("{place}|header: |metadata entry|tensor table entry|not inside the file|empty");
        for (how, cut) in [("cut before", range.start), ("cut inside", range.start + range.len() / 2)] {
            if how == "cut before" || range.len() > 1 {
                cases.push(case(format!("{how} the {name}"), &[&want], bytes[..cut].to_vec()));
            }
        }
        if field.is_number {
            for (how, fill) in [("ones", 0xff), ("0x7f bytes", 0x7f)] {
                let mut bytes = bytes.clone();
                bytes[range.clone()].fill(fill);
                cases.push(case(format!("{name}: {how}"), &[&want], bytes));
            }
        }
    }
    cases
}

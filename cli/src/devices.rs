//! `rocmforge devices`: what can compute, and why a GPU cannot.

use std::fmt::Write;

use rocmforge::backend::devices::{self, Device, Kind};
use serde_json::{Value as Json, json};

use crate::args::DevicesArgs;
use crate::failure::Outcome;
use crate::output;

pub fn run(args: &DevicesArgs) -> Outcome {
    let mut found = vec![devices::cpu()?];
    let no_gpu = devices::gpus().map(|gpus| found.extend(gpus)).err().map(|e| e.to_string());
    let text = if args.json { as_json(&found, no_gpu) } else { as_text(&found, no_gpu) };
    output::write(text.as_bytes())
}

fn kind(device: &Device) -> &'static str {
    match device.kind {
        Kind::Cpu => "CPU",
        Kind::Gpu => "GPU",
    }
}

/// A line for each device with its number, as the library counts them, and one for what is wrong.
fn as_text(devices: &[Device], no_gpu: Option<String>) -> String {
    let mut out = String::new();
    for (i, d) in devices.iter().enumerate() {
        let memory = match d.memory() {
            Ok((free, total)) => format!("{} free of {}", output::bytes(free), output::bytes(total)),
            Err(e) => format!("memory unknown: {}", output::escaped(e.to_string().as_bytes())),
        };
        let description = output::escaped(d.description.as_bytes());
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{i}  {}  {:<5} {description}, {memory}", kind(d), d.name);
        if let Some(why) = &d.unusable {
            let _ = writeln!(out, "   cannot be used: {}", output::escaped(why.as_bytes()));
        }
    }
    if let Some(why) = no_gpu {
        let _ = writeln!(out, "no GPU: {}", output::escaped(why.as_bytes()));
    }
    out
}

fn as_json(devices: &[Device], no_gpu: Option<String>) -> String {
    let device = |(i, d): (usize, &Device)| -> Json {
        let memory = d.memory().ok();
        json!({
            "index": i,
            "name": d.name,
            "type": kind(d).to_lowercase(),
            "description": d.description,
            "free_bytes": memory.map(|m| m.0),
            "total_bytes": memory.map(|m| m.1),
            "unusable": d.unusable,
        })
    };
    let devices: Vec<Json> = devices.iter().enumerate().map(device).collect();
    format!("{:#}\n", json!({ "devices": devices, "no_gpu": no_gpu }))
}

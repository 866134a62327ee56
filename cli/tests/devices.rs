//! `rocmforge devices`, with a HIP runtime that is none, that lacks something, and that works.

mod common;

use std::path::Path;

use common::{rocmforge, stdout};
use fake_hip::Fake;
use serde_json::Value as Json;

/// What the program prints with this library for the HIP runtime and these settings of the fake one.
fn devices(library: &Path, flags: &[&str], settings: &[(&str, &str)]) -> String {
    let mut command = rocmforge(&[&["devices"], flags].concat());
    command.env("ROCMFORGE_HIP_LIBRARY", library).envs(settings.iter().copied());
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    stdout(&out)
}

/// The fake runtime without some of its functions: their names are changed in a copy of the file.
fn without(functions: &[&str]) -> tempfile::TempPath {
    let mut bytes = std::fs::read(Fake::path()).unwrap();
    for function in functions {
        let name = [b"\0", function.as_bytes(), b"\0"].concat();
        let found: Vec<usize> =
            (0..bytes.len() - name.len()).filter(|&i| bytes[i..].starts_with(&name)).collect();
        assert!(!found.is_empty(), "the fake runtime has no {function}");
        found.iter().for_each(|i| bytes[i + 1] = b'H');
    }
    let file = tempfile::NamedTempFile::with_suffix(".so").unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file.into_temp_path()
}

#[test]
fn the_cpu_is_there_without_a_runtime() {
    let text = devices(Path::new("/nowhere/libamdhip64.so"), &[], &[]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("0  CPU  cpu ") && lines[0].contains("iB free of "), "{text}");
    for part in ["no GPU: ", "ROCMFORGE_HIP_LIBRARY", "/nowhere/libamdhip64.so: not found"] {
        assert!(lines[1].contains(part), "{part}: {text}");
    }
}

#[test]
fn without_a_setting_the_names_that_rocm_installs_are_tried() {
    let out = rocmforge(&["devices"]).output().unwrap();
    let text = stdout(&out);
    assert!(out.status.success() && text.starts_with("0  CPU  cpu "), "{text}");
    // On a machine that has none; on another its own GPUs, or what it says of them, are listed.
    if text.contains("not found") {
        for name in ["libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so:"] {
            assert!(text.contains(name), "{name}: {text}");
        }
        assert!(text.contains("ROCMFORGE_HIP_LIBRARY"), "{text}");
    } else {
        assert!(text.contains("GPU"), "{text}");
    }
}

#[test]
fn a_file_that_is_no_runtime_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "no library").unwrap();
    let text = devices(file.path(), &[], &[]);
    assert!(text.contains("no GPU: ") && text.contains(file.path().to_str().unwrap()), "{text}");
}

#[test]
fn a_runtime_that_lacks_a_function_is_refused_by_its_name() {
    let source = include_str!("../../src/backend/hip/ffi/runtime.rs");
    let fields = source.lines().filter_map(|l| l.trim().strip_prefix("pub hip")?.split_once(':'));
    let names: Vec<String> = fields.map(|(name, _)| format!("hip{name}")).collect();
    assert!(names.len() > 30);
    for name in names {
        let text = devices(&without(&[&name]), &[], &[]);
        assert!(text.contains("no GPU: ") && text.contains(&name), "{name}: {text}");
    }
}

#[test]
fn gpus_are_listed_with_memory_and_version() {
    let settings = [("FAKE_HIP_DEVICES", "2"), ("FAKE_HIP_MEMORY", "21474836480")];
    let text = devices(&Fake::path(), &[], &settings);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let gpu = "hip1  Fake Radeon 1, gfx1100, 42 compute units of wave32, HIP 6.3.42131, 20.00 GiB free of 20.00 GiB";
    assert_eq!(lines[2], format!("2  GPU  {gpu}"));

    let json: Json = serde_json::from_str(&devices(&Fake::path(), &["--json"], &settings)).unwrap();
    let gpu = &json["devices"][2];
    assert_eq!((&gpu["index"], &gpu["name"], &gpu["type"]), (&2.into(), &"hip1".into(), &"gpu".into()));
    assert_eq!((&gpu["total_bytes"], &gpu["unusable"]), (&21474836480u64.into(), &Json::Null));
    assert_eq!((&json["devices"][0]["type"], &json["no_gpu"]), (&"cpu".into(), &Json::Null));
}

#[test]
fn both_layouts_of_the_properties_are_read() {
    let rocm5: &[&str] = &["hipGetDevicePropertiesR0600"];
    let text = devices(&without(rocm5), &[], &[]);
    assert!(text.contains("Fake Radeon 0, gfx1100, "), "{text}");
    let text = devices(&without(&[rocm5, &["hipGetDeviceProperties"]].concat()), &[], &[]);
    assert!(text.contains("cannot be used: the HIP runtime does not say which architecture"), "{text}");
}

#[test]
fn gpus_that_cannot_be_used_say_why() {
    let text = devices(&Fake::path(), &[], &[("FAKE_HIP_ARCH", "gfx803")]);
    assert!(
        text.contains("1  GPU  hip0 ") && text.contains("cannot be used: there are no kernels"),
        "{text}"
    );
    let text = devices(&Fake::path(), &[], &[("FAKE_HIP_FAIL", "hipMemGetInfo 1 999")]);
    assert!(text.contains("cannot be used: hipMemGetInfo: "), "{text}");
    let text = devices(&Fake::path(), &[], &[("FAKE_HIP_DEVICES", "0")]);
    assert!(text.contains("no GPU: hipInit: hipErrorNoDevice (100)") && text.contains("/dev/kfd"), "{text}");
    let text = devices(&Fake::path(), &[], &[("FAKE_HIP_FAIL", "hipInit 1 35")]);
    assert!(text.contains("(35)") && text.contains("driver is too old"), "{text}");
}

/// Runs `bench` on the fake GPU, of which nothing but who computed what can be told.
fn bench(flags: &[&str], memory: &str) -> std::process::Output {
    let cache = tempfile::tempdir().unwrap();
    let short = ["bench", "-p", "8", "-n", "2", "-r", "1"];
    let mut command = rocmforge(&[&short, flags].concat());
    for name in ["ROCMFORGE_HIP_LIBRARY", "ROCMFORGE_HIPRTC_LIBRARY"] {
        command.env(name, Fake::path());
    }
    command.env("XDG_CACHE_HOME", cache.path()).env_remove("ROCMFORGE_KERNELS");
    command.env("FAKE_HIP_ARCH", "sm_90").env("FAKE_HIP_MEMORY", memory).output().unwrap()
}

#[test]
fn layers_go_where_they_are_asked_for_or_fit() {
    const GIB: &str = "1073741824";
    for (flags, memory, hip, cpu) in [
        (&["-ngl", "2"][..], GIB, true, true),
        (&["-ngl", "2", "--device", "hip0"], GIB, true, true),
        (&["-ngl", "all"], GIB, true, false),
        (&["-ngl", "99"], GIB, true, false),
        (&["--gpu-layers", "0"], GIB, false, true),
        (&[], GIB, true, false),
        (&["-ngl", "auto"], "1048576", false, true),
    ] {
        let out = bench(flags, memory);
        let text = stdout(&out);
        assert!(out.status.success(), "{flags:?}: {}", String::from_utf8_lossy(&out.stderr));
        assert_eq!((text.contains("hip: "), text.contains("cpu: ")), (hip, cpu), "{flags:?}: {text}");
        assert_eq!(text.contains("(2 layers)"), hip && cpu, "{flags:?}: {text}");
    }
    for (flags, what) in [
        (&["-ngl", "2", "--device", "cpu"][..], "n_gpu_layers is 2"),
        (&["--device", "hip0"], "MiB are free"),
        (&["-ngl", "some"], "expected a number, all or auto"),
    ] {
        let out = bench(flags, "1048576");
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && text.contains(what), "{flags:?}: {text}");
    }
}

//! Structs of programs that were compiled with other versions.

use std::ffi::CString;

use crate::*;

#[test]
fn structs_of_older_and_newer_programs() {
    let path = CString::new(common::model().to_str().unwrap()).unwrap();
    /// Parameters of a newer version: one field more.
    #[repr(C)]
    struct Newer {
        params: rf_model_params,
        field: u64,
    }
    let try_load = |p: *const rf_model_params| unsafe {
        let mut model = null_mut();
        let status = rf_model_load(path.as_ptr(), p, &mut model);
        rf_model_free(model);
        status
    };
    unsafe {
        let mut newer: Newer = std::mem::zeroed();
        newer.field = 7;
        ok(rf_model_params_init(&mut newer.params, size_of::<Newer>()));
        assert_eq!(newer.field, 0, "a field that the library does not know is set to zero");
        assert_eq!(newer.params.struct_size, size_of::<Newer>());
        assert_eq!(newer.params.n_gpu_layers, -1);
        ok(try_load(&newer.params));
        newer.field = 7;
        fails(try_load(&newer.params), rf_status::Unsupported, "newer");

        // An older program's struct ends early; what lies behind it is not the library's.
        let mut older: Newer = std::mem::zeroed();
        older.params.n_gpu_layers = 99;
        ok(rf_model_params_init(&mut older.params, size_of::<usize>()));
        assert_eq!((older.params.struct_size, older.params.n_gpu_layers), (size_of::<usize>(), 99));
        ok(try_load(&older.params));

        for size in [0, 4, 1 << 20, usize::MAX] {
            let mut p: rf_model_params = std::mem::zeroed();
            p.struct_size = size;
            fails(try_load(&p), rf_status::InvalidArgument, "struct_size");
            fails(rf_model_params_init(&mut p, size), rf_status::InvalidArgument, "struct_size");
        }
        ok(try_load(null()));

        let model = load();
        let c = context_with(model, |_| {});
        let mut data: rf_perf_context_data = std::mem::zeroed();
        fails(rf_perf_context(c, &mut data), rf_status::InvalidArgument, "struct_size");
        data.struct_size = 16;
        data.t_eval_ms = 7.0;
        ok(rf_perf_context(c, &mut data));
        assert!(data.t_load_ms > 0.0 && data.t_eval_ms == 7.0, "16 bytes are written, no more");
        rf_context_free(c);
        rf_model_free(model);
    }
}

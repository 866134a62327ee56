// libhiprtc.so for a machine with an NVIDIA GPU: hipRTC mapped onto NVRTC, so that compiling kernels at
// run time is exercised with the library unchanged.
//
// Prototypes are those of hip/hiprtc.h of HIP 5.2.3 (Debian's libamdhip64-dev 5.2.3-8). The results'
// numbers are the same in both. Options: clang's that NVRTC has no use for are dropped, --offload-arch
// becomes --gpu-architecture, and the toolkit's headers are on the path (HIP's are built in there).
#include <nvrtc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HIP_HEADERS
#include <hip/hiprtc.h>
#else
typedef int hiprtcResult;
typedef struct _hiprtcProgram *hiprtcProgram;
#endif

#define API __attribute__((visibility("default")))

API const char *hiprtcGetErrorString(hiprtcResult result) { return nvrtcGetErrorString((nvrtcResult)result); }

API hiprtcResult hiprtcVersion(int *major, int *minor) { return (hiprtcResult)nvrtcVersion(major, minor); }

API hiprtcResult hiprtcCreateProgram(hiprtcProgram *program, const char *source, const char *name, int n_headers,
                                     const char **headers, const char **include_names) {
    return (hiprtcResult)nvrtcCreateProgram((nvrtcProgram *)program, source, name, n_headers, (const char *const *)headers,
                                            (const char *const *)include_names);
}

API hiprtcResult hiprtcDestroyProgram(hiprtcProgram *program) {
    return (hiprtcResult)nvrtcDestroyProgram((nvrtcProgram *)program);
}

API hiprtcResult hiprtcCompileProgram(hiprtcProgram program, int n_options, const char **options) {
    static const char arch[] = "--offload-arch=", toolkit[] = "/usr/local/cuda";
    char gpu[64] = "--gpu-architecture=sm_90", include[1024];
    const char *home = getenv("CUDA_HOME"), **translated = malloc(((size_t)n_options + 3) * sizeof *translated);
    int n = 0;
    if (!translated) return (hiprtcResult)NVRTC_ERROR_OUT_OF_MEMORY;
    for (int i = 0; i < n_options; i++) {
        const char *option = options[i];
        if (!strncmp(option, arch, sizeof arch - 1))
            snprintf(gpu, sizeof gpu, "--gpu-architecture=%s", option + sizeof arch - 1);
        else if (!strncmp(option, "-D", 2) || !strncmp(option, "-I", 2) || !strncmp(option, "-std=", 5))
            translated[n++] = option;
    }
    snprintf(include, sizeof include, "--include-path=%s/include", home ? home : toolkit);
    translated[n++] = gpu;
    translated[n++] = include;
    nvrtcResult result = nvrtcCompileProgram((nvrtcProgram)program, n, translated);
    free(translated);
    return (hiprtcResult)result;
}

API hiprtcResult hiprtcGetProgramLogSize(hiprtcProgram program, size_t *size) {
    return (hiprtcResult)nvrtcGetProgramLogSize((nvrtcProgram)program, size);
}

API hiprtcResult hiprtcGetProgramLog(hiprtcProgram program, char *log) {
    return (hiprtcResult)nvrtcGetProgramLog((nvrtcProgram)program, log);
}

API hiprtcResult hiprtcGetCodeSize(hiprtcProgram program, size_t *size) {
    return (hiprtcResult)nvrtcGetCUBINSize((nvrtcProgram)program, size);
}

API hiprtcResult hiprtcGetCode(hiprtcProgram program, char *code) {
    return (hiprtcResult)nvrtcGetCUBIN((nvrtcProgram)program, code);
}

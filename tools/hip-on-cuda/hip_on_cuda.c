// libamdhip64.so for a machine with an NVIDIA GPU: the part of the HIP runtime that librocmforge
// calls, mapped onto the CUDA driver API. The library under test is the shipped one, unchanged; only
// its kernels are compiled for another target.
//
// Prototypes are those of hip/hip_runtime_api.h of HIP 5.2.3 (Debian's libamdhip64-dev 5.2.3-8); what
// a later version added is marked. `cc -DHIP_HEADERS -D__HIP_PLATFORM_AMD__ -fsyntax-only` compares
// them where those headers are installed.
//
// Numbers of errors, stream flags and capture modes are the same in both APIs and pass through. Everything is per thread as in HIP: a thread has a current device, whose
// primary context every call makes current first.
#include <cuda.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#ifdef HIP_HEADERS
#include <hip/hip_runtime_api.h>
#else
typedef int hipError_t;
typedef int hipDevice_t;
typedef int hipDeviceAttribute_t;
typedef int hipMemcpyKind;
typedef int hipStreamCaptureMode;
typedef struct ihipStream_t *hipStream_t;
typedef struct ihipEvent_t *hipEvent_t;
typedef struct ihipModule_t *hipModule_t;
typedef struct ihipModuleSymbol_t *hipFunction_t;
typedef struct ihipGraph *hipGraph_t;
typedef struct hipGraphExec *hipGraphExec_t;
typedef struct hipGraphNode *hipGraphNode_t;
#endif

#define API __attribute__((visibility("default")))
enum { MAX_DEVICES = 16 };

// What a stand-in says it is: the first version with hipGetDevicePropertiesR0600.
enum { HIP_VERSION_NUMBER = 60000000 };

// --- devices and contexts -----------------------------------------------------------------------

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t retaining = PTHREAD_MUTEX_INITIALIZER;
static CUresult init_result;
static int n_devices;
static CUcontext primary[MAX_DEVICES];
static __thread int current;
static __thread CUcontext bound;

static void init(void) {
    init_result = cuInit(0);
    if (init_result == CUDA_SUCCESS) init_result = cuDeviceGetCount(&n_devices);
    if (n_devices > MAX_DEVICES) n_devices = MAX_DEVICES;
}

static hipError_t error(CUresult r) { return (hipError_t)r; }

// Make the current device's primary context current on this thread.
static CUresult here(void) {
    pthread_once(&once, init);
    if (init_result != CUDA_SUCCESS) return init_result;
    if (n_devices == 0) return CUDA_ERROR_NO_DEVICE;
    pthread_mutex_lock(&retaining);
    CUresult r = primary[current] ? CUDA_SUCCESS : cuDevicePrimaryCtxRetain(&primary[current], current);
    CUcontext context = primary[current];
    pthread_mutex_unlock(&retaining);
    if (r == CUDA_SUCCESS && bound != context && (r = cuCtxSetCurrent(context)) == CUDA_SUCCESS) bound = context;
    return r;
}

#define HERE(call)                               \
    do {                                         \
        CUresult r_ = here();                    \
        return error(r_ ? r_ : (call));          \
    } while (0)

API hipError_t hipInit(unsigned int flags) {
    pthread_once(&once, init);
    return error(flags ? CUDA_ERROR_INVALID_VALUE : init_result);
}

API hipError_t hipDriverGetVersion(int *version) { return *version = HIP_VERSION_NUMBER, (hipError_t)0; }

API hipError_t hipRuntimeGetVersion(int *version) { return *version = HIP_VERSION_NUMBER, (hipError_t)0; }

API hipError_t hipGetDeviceCount(int *count) {
    pthread_once(&once, init);
    *count = n_devices;
    return error(init_result == CUDA_SUCCESS && n_devices == 0 ? CUDA_ERROR_NO_DEVICE : init_result);
}

API hipError_t hipSetDevice(int device) {
    pthread_once(&once, init);
    if (device < 0 || device >= n_devices) return error(CUDA_ERROR_INVALID_DEVICE);
    current = device;
    return error(here());
}

API hipError_t hipGetDevice(int *device) { return *device = current, (hipError_t)0; }

API hipError_t hipDeviceGetName(char *name, int len, hipDevice_t device) {
    pthread_once(&once, init);
    return error(cuDeviceGetName(name, len, device));
}

// HIP's number of an attribute -> CUDA's.
static const struct {
    int hip, cuda;
} attributes[] = {
    {5, CU_DEVICE_ATTRIBUTE_CLOCK_RATE},
    {19, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE},
    {56, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK},
    {59, CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH},
    {63, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT},
    {87, CU_DEVICE_ATTRIBUTE_WARP_SIZE},
};

enum { HIP_MAX_SHARED_MEMORY_PER_BLOCK = 74, LDS_OF_A_WORKGROUP = 65536 };

API hipError_t hipDeviceGetAttribute(int *value, hipDeviceAttribute_t attribute, int device) {
    pthread_once(&once, init);
    if ((int)attribute == HIP_MAX_SHARED_MEMORY_PER_BLOCK) {
        // A launch here asks for what CUDA gives on request only, so that is the limit; but never more
        // than a workgroup has on an AMD GPU, or what runs here would not be what runs there.
        CUresult r = cuDeviceGetAttribute(value, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, device);
        if (r == CUDA_SUCCESS && *value > LDS_OF_A_WORKGROUP) *value = LDS_OF_A_WORKGROUP;
        return error(r);
    }
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (attributes[i].hip == (int)attribute) return error(cuDeviceGetAttribute(value, attributes[i].cuda, device));
    return error(CUDA_ERROR_INVALID_VALUE);
}

// hipDeviceProp_tR0600 (HIP 6.0 and later), as far as it is filled; the rest is zero.
struct properties {
    char name[256];
    char uuid[16], luid[8];
    unsigned int luid_device_node_mask;
    size_t total_global_mem, shared_mem_per_block;
    int regs_per_block, warp_size;
    size_t mem_pitch;
    int max_threads_per_block, max_threads_dim[3], max_grid_size[3], clock_rate;
    size_t total_const_mem;
    int major, minor;
    char unfilled[792];
    char gcn_arch_name[256];
    char more[56];
};
_Static_assert(__builtin_offsetof(struct properties, total_global_mem) == 288, "layout");
_Static_assert(__builtin_offsetof(struct properties, gcn_arch_name) == 1160, "layout");
_Static_assert(sizeof(struct properties) == 1472, "layout");

API hipError_t hipGetDevicePropertiesR0600(struct properties *p, int device) {
    pthread_once(&once, init);
    if (init_result != CUDA_SUCCESS) return error(init_result);
    if (device < 0 || device >= n_devices) return error(CUDA_ERROR_INVALID_DEVICE);
    memset(p, 0, sizeof *p);
    int lds = 0;
    hipDeviceGetAttribute(&lds, (hipDeviceAttribute_t)HIP_MAX_SHARED_MEMORY_PER_BLOCK, device);
    p->shared_mem_per_block = (size_t)lds;
    const struct {
        int *to, cuda;
    } wanted[] = {
        {&p->regs_per_block, CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK},
        {&p->warp_size, CU_DEVICE_ATTRIBUTE_WARP_SIZE},
        {&p->max_threads_per_block, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK},
        {&p->max_threads_dim[0], CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X},
        {&p->max_threads_dim[1], CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y},
        {&p->max_threads_dim[2], CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z},
        {&p->max_grid_size[0], CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X},
        {&p->max_grid_size[1], CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y},
        {&p->max_grid_size[2], CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z},
        {&p->clock_rate, CU_DEVICE_ATTRIBUTE_CLOCK_RATE},
        {&p->major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR},
        {&p->minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR},
    };
    CUresult r = cuDeviceGetName(p->name, sizeof p->name, device);
    if (r == CUDA_SUCCESS) r = cuDeviceTotalMem(&p->total_global_mem, device);
    for (size_t i = 0; r == CUDA_SUCCESS && i < sizeof wanted / sizeof *wanted; i++)
        r = cuDeviceGetAttribute(wanted[i].to, wanted[i].cuda, device);
    snprintf(p->gcn_arch_name, sizeof p->gcn_arch_name, "sm_%d%d", p->major, p->minor);
    return error(r);
}

// --- errors -------------------------------------------------------------------------------------

API const char *hipGetErrorName(hipError_t e) {
    switch ((int)e) {
#define NAME(number, name) case number: return "hip" name
        NAME(0, "Success");
        NAME(1, "ErrorInvalidValue");
        NAME(2, "ErrorOutOfMemory");
        NAME(3, "ErrorNotInitialized");
        NAME(4, "ErrorDeinitialized");
        NAME(100, "ErrorNoDevice");
        NAME(101, "ErrorInvalidDevice");
        NAME(200, "ErrorInvalidImage");
        NAME(201, "ErrorInvalidContext");
        NAME(209, "ErrorNoBinaryForGpu");
        NAME(214, "ErrorECCNotCorrectable");
        NAME(218, "ErrorInvalidKernelFile");
        NAME(300, "ErrorInvalidSource");
        NAME(301, "ErrorFileNotFound");
        NAME(302, "ErrorSharedObjectSymbolNotFound");
        NAME(303, "ErrorSharedObjectInitFailed");
        NAME(304, "ErrorOperatingSystem");
        NAME(400, "ErrorInvalidHandle");
        NAME(401, "ErrorIllegalState");
        NAME(500, "ErrorNotFound");
        NAME(600, "ErrorNotReady");
        NAME(700, "ErrorIllegalAddress");
        NAME(701, "ErrorLaunchOutOfResources");
        NAME(702, "ErrorLaunchTimeOut");
        NAME(709, "ErrorContextIsDestroyed");
        NAME(710, "ErrorAssert");
        NAME(719, "ErrorLaunchFailure");
        NAME(720, "ErrorCooperativeLaunchTooLarge");
        NAME(801, "ErrorNotSupported");
        NAME(900, "ErrorStreamCaptureUnsupported");
        NAME(901, "ErrorStreamCaptureInvalidated");
        NAME(902, "ErrorStreamCaptureMerge");
        NAME(903, "ErrorStreamCaptureUnmatched");
        NAME(904, "ErrorStreamCaptureUnjoined");
        NAME(905, "ErrorStreamCaptureIsolation");
        NAME(906, "ErrorStreamCaptureImplicit");
        NAME(907, "ErrorCapturedEvent");
        NAME(908, "ErrorStreamCaptureWrongThread");
        NAME(910, "ErrorGraphExecUpdateFailure");
#undef NAME
    }
    return "hipErrorUnknown";
}

API const char *hipGetErrorString(hipError_t e) {
    const char *text;
    return cuGetErrorString((CUresult)e, &text) == CUDA_SUCCESS ? text : "unknown error";
}

// --- memory -------------------------------------------------------------------------------------

API hipError_t hipMemGetInfo(size_t *free, size_t *total) { HERE(cuMemGetInfo(free, total)); }

API hipError_t hipMalloc(void **ptr, size_t size) {
    *ptr = NULL;
    if (size == 0) return (hipError_t)0;
    HERE(cuMemAlloc((CUdeviceptr *)ptr, size));
}

API hipError_t hipFree(void *ptr) {
    if (!ptr) return (hipError_t)0;
    HERE(cuMemFree((CUdeviceptr)ptr));
}

// Pinned memory is mapped and known to every device in HIP, whatever the flags say. Flags of AMD's own
// (coherence, NUMA) have no counterpart.
API hipError_t hipHostMalloc(void **ptr, size_t size, unsigned int flags) {
    *ptr = NULL;
    if (size == 0) return (hipError_t)0;
    HERE(cuMemHostAlloc(ptr, size, (flags & CU_MEMHOSTALLOC_WRITECOMBINED) | CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP));
}

API hipError_t hipHostFree(void *ptr) {
    if (!ptr) return (hipError_t)0;
    HERE(cuMemFreeHost(ptr));
}

API hipError_t hipMemcpyAsync(void *dst, const void *src, size_t size, hipMemcpyKind kind, hipStream_t stream) {
    (void)kind;
    HERE(cuMemcpyAsync((CUdeviceptr)dst, (CUdeviceptr)src, size, (CUstream)stream));
}

API hipError_t hipMemsetAsync(void *dst, int value, size_t size, hipStream_t stream) {
    HERE(cuMemsetD8Async((CUdeviceptr)dst, (unsigned char)value, size, (CUstream)stream));
}

// --- streams and events -------------------------------------------------------------------------

API hipError_t hipStreamCreateWithFlags(hipStream_t *stream, unsigned int flags) {
    HERE(cuStreamCreate((CUstream *)stream, flags));
}

API hipError_t hipStreamDestroy(hipStream_t stream) { HERE(cuStreamDestroy((CUstream)stream)); }

API hipError_t hipStreamSynchronize(hipStream_t stream) { HERE(cuStreamSynchronize((CUstream)stream)); }

API hipError_t hipStreamWaitEvent(hipStream_t stream, hipEvent_t event, unsigned int flags) {
    HERE(cuStreamWaitEvent((CUstream)stream, (CUevent)event, flags));
}

// Flags of AMD's own (what is released to whom) have no counterpart.
API hipError_t hipEventCreateWithFlags(hipEvent_t *event, unsigned flags) {
    HERE(cuEventCreate((CUevent *)event, flags & (CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING)));
}

API hipError_t hipEventDestroy(hipEvent_t event) { HERE(cuEventDestroy((CUevent)event)); }

API hipError_t hipEventRecord(hipEvent_t event, hipStream_t stream) {
    HERE(cuEventRecord((CUevent)event, (CUstream)stream));
}

API hipError_t hipEventSynchronize(hipEvent_t event) { HERE(cuEventSynchronize((CUevent)event)); }

API hipError_t hipEventElapsedTime(float *ms, hipEvent_t start, hipEvent_t stop) {
    HERE(cuEventElapsedTime(ms, (CUevent)start, (CUevent)stop));
}

// --- modules and launches -----------------------------------------------------------------------

API hipError_t hipModuleLoadData(hipModule_t *module, const void *image) {
    HERE(cuModuleLoadData((CUmodule *)module, image));
}

API hipError_t hipModuleUnload(hipModule_t module) { HERE(cuModuleUnload((CUmodule)module)); }

API hipError_t hipModuleGetFunction(hipFunction_t *function, hipModule_t module, const char *name) {
    HERE(cuModuleGetFunction((CUfunction *)function, (CUmodule)module, name));
}

// On an AMD GPU all of a workgroup's LDS is there for the asking; CUDA wants to be told first when it
// is more than 48 KiB.
static CUresult allow_lds(CUfunction function, unsigned int bytes) {
    int allowed = 0;
    CUresult r = cuFuncGetAttribute(&allowed, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, function);
    if (r != CUDA_SUCCESS || bytes <= (unsigned int)allowed) return r;
    return cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)bytes);
}

API hipError_t hipModuleLaunchKernel(hipFunction_t function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                                     unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int lds_bytes,
                                     hipStream_t stream, void **params, void **extra) {
    CUfunction f = (CUfunction)function;
    CUresult r = extra ? CUDA_ERROR_NOT_SUPPORTED : here();
    if (r == CUDA_SUCCESS && lds_bytes > 48 * 1024) r = allow_lds(f, lds_bytes);
    if (r != CUDA_SUCCESS) return error(r);
    return error(cuLaunchKernel(f, grid_x, grid_y, grid_z, block_x, block_y, block_z, lds_bytes, (CUstream)stream, params, NULL));
}

// --- graphs -------------------------------------------------------------------------------------

API hipError_t hipStreamBeginCapture(hipStream_t stream, hipStreamCaptureMode mode) {
    HERE(cuStreamBeginCapture((CUstream)stream, (CUstreamCaptureMode)mode));
}

API hipError_t hipStreamEndCapture(hipStream_t stream, hipGraph_t *graph) {
    HERE(cuStreamEndCapture((CUstream)stream, (CUgraph *)graph));
}

API hipError_t hipGraphInstantiate(hipGraphExec_t *exec, hipGraph_t graph, hipGraphNode_t *error_node, char *log, size_t size) {
    if (error_node) *error_node = NULL;
    if (log && size) *log = 0;
    HERE(cuGraphInstantiate((CUgraphExec *)exec, (CUgraph)graph, 0));
}

API hipError_t hipGraphLaunch(hipGraphExec_t exec, hipStream_t stream) {
    HERE(cuGraphLaunch((CUgraphExec)exec, (CUstream)stream));
}

API hipError_t hipGraphDestroy(hipGraph_t graph) { HERE(cuGraphDestroy((CUgraph)graph)); }

API hipError_t hipGraphExecDestroy(hipGraphExec_t exec) { HERE(cuGraphExecDestroy((CUgraphExec)exec)); }

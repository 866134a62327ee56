// libamdhip64.so for a machine with an NVIDIA GPU: the part of the HIP runtime that librocmforge
// calls, mapped onto the CUDA driver API. The library under test is the shipped one, unchanged; only
// its kernels are compiled for another target.
//
// Prototypes are those of hip/hip_runtime_api.h of HIP 5.2.3 (Debian's libamdhip64-dev 5.2.3-8); what
// later versions added is marked. `cc -DHIP_HEADERS -D__HIP_PLATFORM_AMD__ -fsyntax-only` compares
// them where those headers are installed.
//
// Numbers of errors, stream and event flags, capture modes and function attributes are the same in
// both APIs and pass through. Everything is per thread as in HIP: a thread has a current device, whose
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
typedef int hipFuncAttribute;
typedef int hipFunction_attribute;
typedef int hipMemcpyKind;
typedef int hipStreamCaptureMode;
typedef int hipStreamCaptureStatus;
typedef void *hipDeviceptr_t;
typedef struct ihipStream_t *hipStream_t;
typedef struct ihipEvent_t *hipEvent_t;
typedef struct ihipModule_t *hipModule_t;
typedef struct ihipModuleSymbol_t *hipFunction_t;
typedef struct ihipGraph *hipGraph_t;
typedef struct hipGraphExec *hipGraphExec_t;
typedef struct hipGraphNode *hipGraphNode_t;
#endif

#define API __attribute__((visibility("default")))
enum { MAX_DEVICES = 16, UNKNOWN_ERROR = 999, INVALID_DEVICE = 101, INVALID_VALUE = 1 };

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
static __thread CUresult last_error;

static void init(void) {
    init_result = cuInit(0);
    if (init_result == CUDA_SUCCESS) init_result = cuDeviceGetCount(&n_devices);
    if (n_devices > MAX_DEVICES) n_devices = MAX_DEVICES;
}

static hipError_t error(CUresult r) {
    if (r != CUDA_SUCCESS) last_error = r;
    return (hipError_t)r;
}

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
    return flags ? (hipError_t)INVALID_VALUE : error(init_result);
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

API hipError_t hipDeviceGet(hipDevice_t *device, int ordinal) {
    pthread_once(&once, init);
    if (ordinal < 0 || ordinal >= n_devices) return error(CUDA_ERROR_INVALID_DEVICE);
    return *device = ordinal, (hipError_t)0;
}

API hipError_t hipDeviceGetName(char *name, int len, hipDevice_t device) {
    pthread_once(&once, init);
    return error(cuDeviceGetName(name, len, device));
}

API hipError_t hipDeviceTotalMem(size_t *bytes, hipDevice_t device) {
    pthread_once(&once, init);
    return error(cuDeviceTotalMem(bytes, device));
}

API hipError_t hipDeviceGetPCIBusId(char *id, int len, int device) {
    pthread_once(&once, init);
    return error(cuDeviceGetPCIBusId(id, len, device));
}

API hipError_t hipDeviceSynchronize(void) { HERE(cuCtxSynchronize()); }

// HIP's number of an attribute -> CUDA's.
static const struct {
    int hip, cuda;
} attributes[] = {
    {0, CU_DEVICE_ATTRIBUTE_ECC_ENABLED},
    {2, CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT},
    {3, CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY},
    {5, CU_DEVICE_ATTRIBUTE_CLOCK_RATE},
    {6, CU_DEVICE_ATTRIBUTE_COMPUTE_MODE},
    {8, CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS},
    {10, CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH},
    {16, CU_DEVICE_ATTRIBUTE_INTEGRATED},
    {18, CU_DEVICE_ATTRIBUTE_KERNEL_EXEC_TIMEOUT},
    {19, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE},
    {23, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR},
    {24, CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY},
    {25, CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR},
    {26, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X},
    {27, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y},
    {28, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z},
    {29, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X},
    {30, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y},
    {31, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z},
    {56, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK},
    {57, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR},
    {59, CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH},
    {60, CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE},
    {61, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR},
    {63, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT},
    {67, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID},
    {68, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID},
    {69, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID},
    {71, CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK},
    {72, CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR},
    {76, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR},
    {78, CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED},
    {83, CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY},
    {85, CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING},
    {87, CU_DEVICE_ATTRIBUTE_WARP_SIZE},
    {88, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED},
    {10002, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR},
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

API hipError_t hipGetLastError(void) {
    CUresult r = last_error;
    last_error = CUDA_SUCCESS;
    return (hipError_t)r;
}

API hipError_t hipPeekAtLastError(void) { return (hipError_t)last_error; }

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

API hipError_t hipHostGetDevicePointer(void **device, void *host, unsigned int flags) {
    HERE(cuMemHostGetDevicePointer((CUdeviceptr *)device, host, flags));
}

API hipError_t hipHostRegister(void *ptr, size_t size, unsigned int flags) {
    (void)flags;
    HERE(cuMemHostRegister(ptr, size, CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP));
}

API hipError_t hipHostUnregister(void *ptr) { HERE(cuMemHostUnregister(ptr)); }

// Addresses are unified: which side each lies on is known from the address.
API hipError_t hipMemcpy(void *dst, const void *src, size_t size, hipMemcpyKind kind) {
    (void)kind;
    HERE(cuMemcpy((CUdeviceptr)dst, (CUdeviceptr)src, size));
}

API hipError_t hipMemcpyAsync(void *dst, const void *src, size_t size, hipMemcpyKind kind, hipStream_t stream) {
    (void)kind;
    HERE(cuMemcpyAsync((CUdeviceptr)dst, (CUdeviceptr)src, size, (CUstream)stream));
}

API hipError_t hipMemcpyHtoD(hipDeviceptr_t dst, void *src, size_t size) {
    HERE(cuMemcpyHtoD((CUdeviceptr)dst, src, size));
}

API hipError_t hipMemcpyDtoH(void *dst, hipDeviceptr_t src, size_t size) {
    HERE(cuMemcpyDtoH(dst, (CUdeviceptr)src, size));
}

API hipError_t hipMemcpyHtoDAsync(hipDeviceptr_t dst, void *src, size_t size, hipStream_t stream) {
    HERE(cuMemcpyHtoDAsync((CUdeviceptr)dst, src, size, (CUstream)stream));
}

API hipError_t hipMemcpyDtoHAsync(void *dst, hipDeviceptr_t src, size_t size, hipStream_t stream) {
    HERE(cuMemcpyDtoHAsync(dst, (CUdeviceptr)src, size, (CUstream)stream));
}

API hipError_t hipMemcpyDtoDAsync(hipDeviceptr_t dst, hipDeviceptr_t src, size_t size, hipStream_t stream) {
    HERE(cuMemcpyDtoDAsync((CUdeviceptr)dst, (CUdeviceptr)src, size, (CUstream)stream));
}

API hipError_t hipMemset(void *dst, int value, size_t size) {
    HERE(cuMemsetD8((CUdeviceptr)dst, (unsigned char)value, size));
}

API hipError_t hipMemsetAsync(void *dst, int value, size_t size, hipStream_t stream) {
    HERE(cuMemsetD8Async((CUdeviceptr)dst, (unsigned char)value, size, (CUstream)stream));
}

API hipError_t hipMemsetD8Async(hipDeviceptr_t dst, unsigned char value, size_t count, hipStream_t stream) {
    HERE(cuMemsetD8Async((CUdeviceptr)dst, value, count, (CUstream)stream));
}

API hipError_t hipMemsetD32Async(hipDeviceptr_t dst, int value, size_t count, hipStream_t stream) {
    HERE(cuMemsetD32Async((CUdeviceptr)dst, (unsigned int)value, count, (CUstream)stream));
}

// --- streams and events -------------------------------------------------------------------------

API hipError_t hipStreamCreate(hipStream_t *stream) { HERE(cuStreamCreate((CUstream *)stream, 0)); }

API hipError_t hipStreamCreateWithFlags(hipStream_t *stream, unsigned int flags) {
    HERE(cuStreamCreate((CUstream *)stream, flags));
}

API hipError_t hipStreamCreateWithPriority(hipStream_t *stream, unsigned int flags, int priority) {
    HERE(cuStreamCreateWithPriority((CUstream *)stream, flags, priority));
}

API hipError_t hipStreamDestroy(hipStream_t stream) { HERE(cuStreamDestroy((CUstream)stream)); }

API hipError_t hipStreamQuery(hipStream_t stream) { HERE(cuStreamQuery((CUstream)stream)); }

API hipError_t hipStreamSynchronize(hipStream_t stream) { HERE(cuStreamSynchronize((CUstream)stream)); }

API hipError_t hipStreamWaitEvent(hipStream_t stream, hipEvent_t event, unsigned int flags) {
    HERE(cuStreamWaitEvent((CUstream)stream, (CUevent)event, flags));
}

API hipError_t hipEventCreate(hipEvent_t *event) { HERE(cuEventCreate((CUevent *)event, 0)); }

// Flags of AMD's own (what is released to whom) have no counterpart.
API hipError_t hipEventCreateWithFlags(hipEvent_t *event, unsigned flags) {
    HERE(cuEventCreate((CUevent *)event, flags & (CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING)));
}

API hipError_t hipEventDestroy(hipEvent_t event) { HERE(cuEventDestroy((CUevent)event)); }

API hipError_t hipEventRecord(hipEvent_t event, hipStream_t stream) {
    HERE(cuEventRecord((CUevent)event, (CUstream)stream));
}

API hipError_t hipEventQuery(hipEvent_t event) { HERE(cuEventQuery((CUevent)event)); }

API hipError_t hipEventSynchronize(hipEvent_t event) { HERE(cuEventSynchronize((CUevent)event)); }

API hipError_t hipEventElapsedTime(float *ms, hipEvent_t start, hipEvent_t stop) {
    HERE(cuEventElapsedTime(ms, (CUevent)start, (CUevent)stop));
}

// --- modules and launches -----------------------------------------------------------------------

API hipError_t hipModuleLoad(hipModule_t *module, const char *path) { HERE(cuModuleLoad((CUmodule *)module, path)); }

API hipError_t hipModuleLoadData(hipModule_t *module, const void *image) {
    HERE(cuModuleLoadData((CUmodule *)module, image));
}

API hipError_t hipModuleUnload(hipModule_t module) { HERE(cuModuleUnload((CUmodule)module)); }

API hipError_t hipModuleGetFunction(hipFunction_t *function, hipModule_t module, const char *name) {
    HERE(cuModuleGetFunction((CUfunction *)function, (CUmodule)module, name));
}

API hipError_t hipModuleGetGlobal(hipDeviceptr_t *ptr, size_t *bytes, hipModule_t module, const char *name) {
    HERE(cuModuleGetGlobal((CUdeviceptr *)ptr, bytes, (CUmodule)module, name));
}

API hipError_t hipFuncGetAttribute(int *value, hipFunction_attribute attribute, hipFunction_t function) {
    HERE(cuFuncGetAttribute(value, (CUfunction_attribute)attribute, (CUfunction)function));
}

API hipError_t hipFuncSetAttribute(const void *function, hipFuncAttribute attribute, int value) {
    HERE(cuFuncSetAttribute((CUfunction)function, (CUfunction_attribute)attribute, value));
}

API hipError_t hipModuleOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, hipFunction_t function, int block_size,
                                                                  size_t lds_bytes) {
    HERE(cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, (CUfunction)function, block_size, lds_bytes));
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

// HIP 5.5 and later.
API hipError_t hipModuleLaunchCooperativeKernel(hipFunction_t function, unsigned int grid_x, unsigned int grid_y,
                                                unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                                                unsigned int block_z, unsigned int lds_bytes, hipStream_t stream,
                                                void **params) {
    CUfunction f = (CUfunction)function;
    CUresult r = here();
    if (r == CUDA_SUCCESS && lds_bytes > 48 * 1024) r = allow_lds(f, lds_bytes);
    if (r != CUDA_SUCCESS) return error(r);
    return error(
        cuLaunchCooperativeKernel(f, grid_x, grid_y, grid_z, block_x, block_y, block_z, lds_bytes, (CUstream)stream, params));
}

// --- graphs -------------------------------------------------------------------------------------

API hipError_t hipStreamBeginCapture(hipStream_t stream, hipStreamCaptureMode mode) {
    HERE(cuStreamBeginCapture((CUstream)stream, (CUstreamCaptureMode)mode));
}

API hipError_t hipStreamEndCapture(hipStream_t stream, hipGraph_t *graph) {
    HERE(cuStreamEndCapture((CUstream)stream, (CUgraph *)graph));
}

API hipError_t hipStreamIsCapturing(hipStream_t stream, hipStreamCaptureStatus *status) {
    CUstreamCaptureStatus s = CU_STREAM_CAPTURE_STATUS_NONE;
    CUresult r = here();
    if (r == CUDA_SUCCESS) r = cuStreamIsCapturing((CUstream)stream, &s);
    *status = (hipStreamCaptureStatus)s;
    return error(r);
}

API hipError_t hipGraphInstantiate(hipGraphExec_t *exec, hipGraph_t graph, hipGraphNode_t *error_node, char *log, size_t size) {
    if (error_node) *error_node = NULL;
    if (log && size) *log = 0;
    HERE(cuGraphInstantiate((CUgraphExec *)exec, (CUgraph)graph, 0));
}

API hipError_t hipGraphInstantiateWithFlags(hipGraphExec_t *exec, hipGraph_t graph, unsigned long long flags) {
    HERE(cuGraphInstantiate((CUgraphExec *)exec, (CUgraph)graph, flags));
}

API hipError_t hipGraphGetNodes(hipGraph_t graph, hipGraphNode_t *nodes, size_t *count) {
    HERE(cuGraphGetNodes((CUgraph)graph, (CUgraphNode *)nodes, count));
}

// HIP 5.5 and later.
API hipError_t hipGraphUpload(hipGraphExec_t exec, hipStream_t stream) {
    HERE(cuGraphUpload((CUgraphExec)exec, (CUstream)stream));
}

API hipError_t hipGraphLaunch(hipGraphExec_t exec, hipStream_t stream) {
    HERE(cuGraphLaunch((CUgraphExec)exec, (CUstream)stream));
}

API hipError_t hipGraphDestroy(hipGraph_t graph) { HERE(cuGraphDestroy((CUgraph)graph)); }

API hipError_t hipGraphExecDestroy(hipGraphExec_t exec) { HERE(cuGraphExecDestroy((CUgraphExec)exec)); }

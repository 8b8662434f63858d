/* clang-format off */
/* talus/driver.h - the userspace PCIe driver of Talus devices, as a C ABI.
 *
 * The driver knows a device by its PCI config space, BARs, interrupts and DMA only; a simulated
 * device is reached over the same road (vfio-user) and is told apart by `simulated` in its info.
 *
 *     talus_drv_device* device;
 *     talus_drv_queue* queue;
 *     talus_drv_host_buffer host;
 *     uint64_t dram;
 *     talus_drv_open(NULL, &device);               // finds or starts a device, boots it
 *     talus_drv_queue_create(device, NULL, &queue);
 *     talus_drv_host_alloc(device, 4096, 0, &host); // pointer + IOVA
 *     talus_drv_memory_alloc(device, TALUS_DRV_DRAM, 4096, 0, &dram); // a device address
 *     talus_drv_command copy = {.opcode = TALUS_DRV_COPY_H2D, .copy = {host.iova, dram, 4096}};
 *     talus_drv_submit(queue, &copy, 1, NULL);
 *     talus_drv_completion done;
 *     size_t count;
 *     talus_drv_wait(queue, &done, 1, 1, &count, 0);
 *
 * Conventions
 *   Status.  Every call that can fail returns talus_drv_status. On anything but TALUS_DRV_OK the
 *            calling thread's talus_drv_last_error() says what failed, on which device, and what to
 *            do. Output arguments are written only on TALUS_DRV_OK, unless a call says otherwise.
 *   Structs. Every struct that the caller fills or receives by pointer and that may grow starts with
 *            `struct_size`; set it to sizeof. TALUS_DRV_INIT(type) does so and zeroes the rest; zero
 *            always means "default".
 *   Threads. A device may be used from any threads at once. A queue belongs to one thread at a time
 *            (different queues may run in parallel). Handles must not be used while or after they
 *            are closed. There is no global state and no signal handler.
 *   Fork.    A device belongs to the process that opened it. In a child of fork() every call with
 *            its handles returns TALUS_DRV_DEVICE_LOST at once and does nothing, closing it frees
 *            nothing, and host buffers are not mapped. The child may open a device of its own. It
 *            keeps the parent's descriptors open until it ends or executes another program.
 *   Time.    Time-outs are in device time (the device's own clock, simulated for a simulated device).
 *            A device whose clock stands still for 5 s of wall clock with work pending, or whose
 *            transport is gone, is lost: every call on it returns TALUS_DRV_DEVICE_LOST. While this
 *            process itself was stopped (SIGSTOP, a suspended machine), nothing counts as late.
 */
/* clang-format on */
#ifndef TALUS_DRIVER_H
#define TALUS_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TALUS_DRV_API __attribute__((visibility("default")))
#define TALUS_DRV_CHECK __attribute__((warn_unused_result))
#else
#define TALUS_DRV_API
#define TALUS_DRV_CHECK
#endif

/** Version of this header's ABI. Grows by one with every incompatible change. */
#define TALUS_DRV_ABI_VERSION 1

/** An object of a struct_size-first type, all defaults. */
#ifdef __cplusplus
#define TALUS_DRV_INIT(type)                                                                       \
    ([] {                                                                                          \
        type value = {};                                                                           \
        value.struct_size = sizeof(type);                                                          \
        return value;                                                                              \
    }())
#else
#define TALUS_DRV_INIT(type) ((type){.struct_size = sizeof(type)})
#endif

typedef enum talus_drv_status {
    TALUS_DRV_OK = 0,
    TALUS_DRV_INVALID_ARGUMENT = 1,     /**< the caller broke a rule of this header */
    TALUS_DRV_NOT_FOUND = 2,            /**< no such device, simulator binary, or firmware image */
    TALUS_DRV_PERMISSION = 3,           /**< the operating system refused access */
    TALUS_DRV_BUSY = 4,                 /**< another process holds the device, or it is in use */
    TALUS_DRV_UNSUPPORTED = 5,          /**< the device or this build cannot do that */
    TALUS_DRV_OUT_OF_HOST_MEMORY = 6,   /**< host memory or IOVA space is exhausted */
    TALUS_DRV_OUT_OF_DEVICE_MEMORY = 7, /**< DRAM or LLS is exhausted (or too fragmented) */
    TALUS_DRV_QUEUE_FULL = 8,           /**< nothing was submitted; take completions first */
    TALUS_DRV_VERSION_MISMATCH = 9,     /**< device or firmware of another ABI or contract */
    TALUS_DRV_FIRMWARE = 10,            /**< the image is damaged, or the boot failed */
    TALUS_DRV_COMMAND_FAILED = 11,      /**< the device completed a command with an error */
    TALUS_DRV_TIMEOUT = 12,             /**< device time ran out; the command may still complete */
    TALUS_DRV_DEVICE_LOST = 13,         /**< dead or hung device; reset or reopen it */
    TALUS_DRV_PROTOCOL = 14,            /**< the device broke PCIe's or the queues' rules */
    TALUS_DRV_IO = 15,                  /**< an operating-system call failed */
    TALUS_DRV_INTERNAL = 16             /**< a defect of the driver */
} talus_drv_status;

/** Name of a status ("device lost"); never NULL. */
TALUS_DRV_API const char* talus_drv_status_name(talus_drv_status status);

/** The calling thread's message of its latest failed call; "" when there was none. Valid until the
 *  thread's next call into the driver. */
TALUS_DRV_API const char* talus_drv_last_error(void);

/** What a completion's 15-bit device status means, as "type: code" text. Never NULL. */
TALUS_DRV_API const char* talus_drv_device_status_name(uint16_t device_status);

/* ---- Discovery ---- */

typedef struct talus_drv_found {
    size_t struct_size;
    char name[128];   /**< what TALUS_DEVICE or options.device takes: "0000:03:00.0" */
    char socket[256]; /**< vfio-user socket of a simulated device, else "" */
    char driver[64];  /**< kernel driver bound to a real device ("vfio-pci"), else "" */
    uint16_t vendor_id;
    uint16_t device_id;
    uint8_t revision;
    uint8_t simulated; /**< 1 = published by talus-sim, 0 = on the real sysfs */
    uint8_t bar_count;
    uint8_t reserved;
    uint32_t abi_version; /**< as the vendor-specific capability tells */
} talus_drv_found;

/** Lists the Talus devices on the real sysfs and on the tree that `talus-sim --sysfs DIR`
 * published. `sysfs`: that DIR; NULL = environment TALUS_SYSFS; neither = real devices only. Writes
 * at most `capacity` entries (each entry's struct_size is set by the driver) and the number found,
 * which may exceed `capacity`, to *count. `found` may be NULL if `capacity` is 0. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_discover(const char* sysfs,
                                                                  talus_drv_found* found,
                                                                  size_t capacity, size_t* count);

/** Hands a PCI function to the kernel driver vfio-pci, through which this driver reaches it, or
 * with talus_drv_unbind back to the driver that it had before. `name` is its BDF. Needs root.
 * `former` (may be NULL; `capacity` bytes) gets the name of the driver that it had before
 * talus_drv_bind,
 *  "" for none, "vfio-pci" if it was bound already.
 *  Errors: NOT_FOUND, PERMISSION, UNSUPPORTED (no IOMMU, vfio-pci is not loaded, not bound to it),
 * BUSY (unbind: a process holds the device), IO. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_bind(const char* name, char* former,
                                                              size_t capacity);
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_unbind(const char* name, char* former,
                                                                size_t capacity);

/* ---- Device ---- */

typedef struct talus_drv_device talus_drv_device;

typedef enum talus_drv_shadow {
    TALUS_DRV_SHADOW_AUTO = 0, /**< shadow doorbells when the device offers CAP.SHADOW */
    TALUS_DRV_SHADOW_OFF = 1   /**< every doorbell is a BAR2 write, as on silicon */
} talus_drv_shadow;

typedef enum talus_drv_completion_mode {
    TALUS_DRV_COMPLETION_INTERRUPT = 0, /**< wait sleeps on the queue's MSI-X eventfd */
    TALUS_DRV_COMPLETION_POLL = 1       /**< wait spins on the completion ring */
} talus_drv_completion_mode;

/** Open without booting: a device that is READY is used as it is, any other only answers
 *  talus_drv_get_info, talus_drv_read_log and talus_drv_get_telemetry. For inspection tools. */
#define TALUS_DRV_OPEN_NO_BOOT 1u
/** Map DMA memory without handing its file descriptor to a vfio-user device, so that every access
 * of the device becomes a message. Slow; exists to test that path. */
#define TALUS_DRV_OPEN_DMA_BY_MESSAGE 2u

typedef struct talus_drv_open_options {
    size_t struct_size;
    /** "0000:03:00.0" (a BDF; real sysfs first, then the published tree), the path of a vfio-user
     *  socket, "sim" (starts talus-sim), "talusd" or "talusd:SOCKET" (a device that other
     *  processes use too; see driver/README.md). NULL = environment TALUS_DEVICE; when that is unset
     * too: the first discovered device, and with none in the machine, "sim". */
    const char* device;
    const char* sysfs;     /**< as in talus_drv_discover */
    const char* firmware;  /**< boot image; NULL = TALUS_FIRMWARE, then lib/talus/firmware/talus.img
                                beside the library or program */
    const char* simulator; /**< talus-sim; NULL = TALUS_SIM, then beside the library or program,
                              then PATH */
    /** More arguments for talus-sim, NULL-terminated array; NULL = TALUS_SIM_ARGS split at blanks.
     */
    const char* const* simulator_args;
    uint32_t flags;           /**< TALUS_DRV_OPEN_* */
    uint32_t shadow;          /**< talus_drv_shadow */
    uint32_t completion_mode; /**< talus_drv_completion_mode of queues that do not choose */
    uint32_t reserved;
    uint64_t boot_timeout_us;    /**< device time for the whole boot; 0 = 2 s */
    uint64_t command_timeout_us; /**< device time a command may take by default; 0 = 1 s */
} talus_drv_open_options;

/** Opens a device and boots its firmware if it does not run yet. `options` may be NULL.
 *  Errors: NOT_FOUND, PERMISSION, BUSY, VERSION_MISMATCH, FIRMWARE (message holds the boot code),
 *  TIMEOUT, DEVICE_LOST. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_open(const talus_drv_open_options* options,
                                                              talus_drv_device** device);

/** Stops the device's access to this process's memory, then releases everything, also queues and
 *  memory that are still there. Ends a simulator that talus_drv_open started. NULL is permitted. */
TALUS_DRV_API void talus_drv_close(talus_drv_device* device);

typedef struct talus_drv_device_info {
    size_t struct_size;
    char name[128];     /**< BDF, socket path, or "sim" */
    char transport[16]; /**< "vfio-user" (simulator), "vfio" (PCI function) */
    char product[16];   /**< "talus-t2" */
    char serial[16];
    char firmware_version[32]; /**< "0.1.0"; "" before the firmware runs */
    char boot_state_name[16];  /**< "READY" */
    uint32_t simulated;        /**< 1 = a simulator stands in for the chip; say so to the user */
    uint32_t abi_version;      /**< frozen part of BAR0 */
    uint64_t contract_hash;
    uint32_t boot_state;
    uint32_t post_code;
    uint32_t failure_code; /**< of a FAILED boot, else 0 */
    uint32_t reset_epoch;
    uint32_t grid_rows; /**< PEs: rows x columns */
    uint32_t grid_cols;
    uint64_t clock_hz; /**< of PEs and NoC; device_cycles count these */
    uint64_t dram_bytes;
    uint64_t lls_bytes;          /**< software-managed scratch SRAM */
    uint64_t local_memory_bytes; /**< of one PE, what a kernel may use */
    uint64_t dram_base;          /**< device addresses */
    uint64_t lls_base;
    uint32_t max_queues; /**< I/O queue pairs */
    uint32_t max_queue_entries;
    uint32_t max_args_bytes;   /**< of a launch */
    uint32_t max_sgl;          /**< entries of a scatter list */
    uint32_t shadow_doorbells; /**< 1 = in use */
    uint32_t gzip;             /**< 1 = TALUS_DRV_COMMAND_GZIP is understood */
    /** Page size of the host memory that the device reaches: 4096, or with the vfio transport 2 MiB
     *  or 1 GiB if the system has such pages to spare (vm.nr_hugepages). The smallest in use; 0
     *  before there is any. */
    uint64_t host_page_bytes;
} talus_drv_device_info;

TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_get_info(talus_drv_device* device,
                                                                  talus_drv_device_info* info);

typedef struct talus_drv_telemetry {
    size_t struct_size;
    uint64_t heartbeat;       /**< counts the control firmware's beats */
    uint64_t heartbeat_clock; /**< device_clock of the last beat */
    uint64_t device_clock;    /**< device time in cycles of clock_hz since its reset */
    uint64_t clock_hz;
    uint64_t commands_completed; /**< completions posted since reset */
    int32_t temperature_mc;      /**< junction, milli-degrees Celsius; modelled if simulated */
    uint32_t power_mw;           /**< card, milliwatts; modelled if simulated */
    uint32_t boot_state;
    uint32_t post_code;
    uint64_t energy_uj;     /**< microjoules that work has cost since reset, beyond idle power */
    uint64_t unit_clock_hz; /**< step at which the PEs' units run; clock_hz: the full one */
    uint32_t clock_reason;  /**< talus_drv_clock_reason */
    uint32_t reserved;
    /** Since this process opened the device: completions that were there although no interrupt had
     *  told. Each cost 20 ms of wall time and nothing else. */
    uint64_t lost_interrupts;
    /** Words that ECC has corrected since reset, and reads that met more wrong bits than it
     *  corrects; by TALUS_ECC_* of talus/hw/registers.h. */
    uint64_t ecc_corrected[4];
    uint64_t ecc_uncorrectable[4];
} talus_drv_telemetry;

typedef enum talus_drv_clock_reason {
    TALUS_DRV_CLOCK_FULL = 0,
    TALUS_DRV_CLOCK_POWER_CAP = 1, /**< the card's power cap holds the clock down */
} talus_drv_clock_reason;

/** Reads the status page: no side effect on the device, no command. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status
talus_drv_get_telemetry(talus_drv_device* device, talus_drv_telemetry* telemetry);

/** Copies the firmware's log page, oldest line first, as NUL-terminated text into `text`
 *  (truncated at `capacity`), and the full length with its NUL to *length. `text` may be NULL if
 *  `capacity` is 0. Works on a device whose boot failed. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_read_log(talus_drv_device* device,
                                                                  char* text, size_t capacity,
                                                                  size_t* length);

/** Function-level reset: aborts every command, destroys the device's queues and windows, scrubs
 *  device memory, keeps the firmware. Every talus_drv_queue of the device stops (its calls return
 *  DEVICE_LOST until it is destroyed), every device allocation is freed; host buffers stay.
 *  Recovers a device from a hung command, not from a vanished transport. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_reset(talus_drv_device* device);

/** What brings a device back from a command that hangs: the rungs of a ladder, mildest first. */
typedef enum talus_drv_rung {
    TALUS_DRV_RUNG_NONE = 0,  /**< false alarm: the commands have completed meanwhile */
    TALUS_DRV_RUNG_ABORT = 1, /**< the firmware aborts them and resets the sub-grid of a launch */
    TALUS_DRV_RUNG_FLR = 2,   /**< function-level reset: the firmware lives on */
    TALUS_DRV_RUNG_HOT = 3,   /**< reset of the bus that the function is on: booted from its ROM */
    TALUS_DRV_RUNG_FUNDAMENTAL = 4 /**< reset of the card: booted from its ROM */
} talus_drv_rung;

/** Name of a rung ("function-level reset"); never NULL. */
TALUS_DRV_API const char* talus_drv_rung_name(talus_drv_rung rung);

typedef struct talus_drv_recovery {
    size_t struct_size;
    uint32_t rung;     /**< talus_drv_rung: the one that worked */
    uint32_t commands; /**< that were in flight on the queue */
    uint64_t wall_us;  /**< wall-clock time that it took */
    char reason[256];  /**< why the milder rungs did not do; "" if there was no need for another */
} talus_drv_recovery;

/** talus_drv_reset by one rung and no other: TALUS_DRV_RUNG_FLR, _HOT or _FUNDAMENTAL; or with
 * TALUS_DRV_RUNG_NONE by the mildest of them that works, as talus_drv_reset does. `recovery` (may
 * be NULL) says which one that was, how long it took, and why the milder ones did not do.
 * Errors: as talus_drv_reset; UNSUPPORTED (the device, or what stands between it and this process,
 * has no such reset; nothing was done), FIRMWARE (only FLR: the firmware did not survive it). */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_reset_by(talus_drv_device* device,
                                                                  talus_drv_rung rung,
                                                                  talus_drv_recovery* recovery);

struct talus_drv_queue;

/** Ends what is in flight on `queue` after a time-out, by the mildest means that work. With rung
 * NONE or ABORT the queue goes on, and completions of all its commands wait to be taken (aborted
 * ones with TALUS_ABORTED); nobody else notices. Above that it was a reset of the device as by
 * talus_drv_reset. `recovery` (may be NULL) says what was done. Errors: DEVICE_LOST (no rung
 * worked, or the transport is gone), FIRMWARE, VERSION_MISMATCH. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_recover(struct talus_drv_queue* queue,
                                                                 talus_drv_recovery* recovery);

/* ---- Memory ---- */

typedef enum talus_drv_memory {
    TALUS_DRV_DRAM = 0, /**< off-chip */
    TALUS_DRV_LLS = 1   /**< on-chip scratch SRAM, never evicted; kernels are executed from here */
} talus_drv_memory;

/** Allocates device memory; contents are undefined. `alignment`: a power of two, 0 = 64 bytes. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_memory_alloc(talus_drv_device* device,
                                                                      talus_drv_memory memory,
                                                                      uint64_t bytes,
                                                                      uint64_t alignment,
                                                                      uint64_t* device_address);

/** Frees what talus_drv_memory_alloc gave. No command in flight may use it. */
TALUS_DRV_API talus_drv_status talus_drv_memory_free(talus_drv_device* device,
                                                     uint64_t device_address);

/** Bytes in use and bytes there are. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_memory_usage(talus_drv_device* device,
                                                                      talus_drv_memory memory,
                                                                      uint64_t* used,
                                                                      uint64_t* total);

/** Host memory that the device reads and writes in place. */
typedef struct talus_drv_host_buffer {
    void* pointer; /**< in this process */
    uint64_t iova; /**< the same bytes as the device addresses them */
    uint64_t bytes;
} talus_drv_host_buffer;

/** Allocates host DMA memory, zeroed. `alignment` of the IOVA (and, up to 4 KiB, of the pointer): a
 *  power of two up to 2 MiB, 0 = 64 bytes.
 *  Cheap: buffers are parts of larger mapped arenas. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_host_alloc(talus_drv_device* device,
                                                                    uint64_t bytes,
                                                                    uint64_t alignment,
                                                                    talus_drv_host_buffer* buffer);

/** Frees a host buffer (by its iova). No command in flight may use it. */
TALUS_DRV_API talus_drv_status talus_drv_host_free(talus_drv_device* device,
                                                   const talus_drv_host_buffer* buffer);

/* ---- Queues ---- */

typedef struct talus_drv_queue talus_drv_queue;

typedef struct talus_drv_queue_options {
    size_t struct_size;
    uint32_t entries;         /**< power of two, at most info.max_queue_entries; 0 = 256.
                                   entries - 1 commands can be in flight */
    uint32_t completion_mode; /**< talus_drv_completion_mode + 1; 0 = as the device was opened */
} talus_drv_queue_options;

/** Creates an I/O queue pair. `options` may be NULL. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_queue_create(
    talus_drv_device* device, const talus_drv_queue_options* options, talus_drv_queue** queue);

/** Aborts what is in flight and destroys the queue. When it returns, the device no longer touches
 *  memory on behalf of this queue. Where commands in flight can't be aborted within 40 ms of device
 *  time, the function is reset (as talus_drv_reset does, so other queues end too): give launches a
 *  timeout_us. NULL is permitted. */
TALUS_DRV_API void talus_drv_queue_destroy(talus_drv_queue* queue);

typedef enum talus_drv_opcode {
    TALUS_DRV_COPY_H2D = 1, /**< source = IOVA, destination = device address */
    TALUS_DRV_COPY_D2H = 2, /**< source = device address, destination = IOVA */
    TALUS_DRV_COPY_D2D = 3, /**< both device addresses */
    TALUS_DRV_LAUNCH = 4,   /**< run a kernel on a rectangle of PEs */
    TALUS_DRV_NOP = 5       /**< completes; used to measure the road */
} talus_drv_opcode;

/* Commands of one queue execute one after another, in order: a command sees the data of all earlier
 * ones, and a request is submitted as copies in, launches, copies out in one batch. After a failed
 * command the rest of its batch completes as aborted; the next batch executes. Different queues run
 * side by side. */

typedef struct talus_drv_copy {
    uint64_t source;      /**< H2D: IOVA; D2H and D2D: device address */
    uint64_t destination; /**< H2D and D2D: device address; D2H: IOVA */
    uint64_t bytes;       /**< > 0; with TALUS_DRV_COMMAND_GZIP the room at the destination */
    /** 0: the host side is one range. Else the host side's IOVA names a list of this many
     *  talus_drv_sgl_entry in host memory, whose bytes add up to `bytes` (or `gzip_bytes`). Not
     *  for D2D. */
    uint32_t sgl_count;
    uint32_t reserved;
    uint64_t gzip_bytes; /**< with TALUS_DRV_COMMAND_GZIP only: bytes of the member at the source */
} talus_drv_copy;

typedef struct talus_drv_sgl_entry {
    uint64_t iova;
    uint32_t bytes;
    uint32_t reserved; /**< 0 */
} talus_drv_sgl_entry;

typedef struct talus_drv_launch {
    uint64_t entry;      /**< device address of the kernel image's first instruction, in LLS */
    uint64_t args;       /**< device address of the argument block, 64-byte aligned; 0 = none */
    uint32_t args_bytes; /**< at most info.max_args_bytes */
    uint32_t timeout_us; /**< device time after which the device kills the job; 0 = none */
    uint8_t row;         /**< sub-grid's top left PE and its size; */
    uint8_t col;
    uint8_t rows; /**< rows = cols = 0: the whole grid */
    uint8_t cols;
    uint32_t reserved;
    uint64_t perf; /**< device address, 64-byte aligned, of 1024 bytes for a struct
                        talus_perf_record (talus/hw/perf.h) that stands there when the launch has
                        completed successfully; 0 = none */
} talus_drv_launch;

/** COPY_H2D: the source is one whole gzip member (RFC 1952) of copy.gzip_bytes, which the device
 *  inflates to at most copy.bytes: the result tells how many. A damaged member fails with the
 * device status TALUS_GZIP_DATA, one that inflates to more with TALUS_GZIP_ROOM; what the
 * destination holds then is undefined, and nothing beyond it was written. Where info.gzip is 0:
 * UNSUPPORTED. */
#define TALUS_DRV_COMMAND_GZIP 1u

typedef struct talus_drv_command {
    uint32_t opcode;    /**< talus_drv_opcode */
    uint32_t flags;     /**< TALUS_DRV_COMMAND_* */
    uint64_t user_data; /**< comes back in the completion */
    union {
        talus_drv_copy copy;
        talus_drv_launch launch;
        uint64_t words[6];
    };
} talus_drv_command;

typedef struct talus_drv_completion {
    uint64_t user_data;     /**< of the command */
    uint64_t device_cycles; /**< admission of the batch to this completion, in cycles of clock_hz */
    uint64_t result;        /**< COPY: bytes; LAUNCH: the kernel's result word */
    uint32_t exec_cycles;   /**< execution of the command alone */
    uint32_t
        launch_cycles; /**< LAUNCH: receipt by the control core to the first kernel instruction */
    uint32_t cid;      /**< as talus_drv_submit gave it */
    uint16_t device_status; /**< 0 = success; see talus_drv_device_status_name */
    uint16_t reserved;
} talus_drv_completion;

/** Submits `count` commands with one doorbell, all or none. Writes their command ids to `cids`
 *  unless it is NULL. Errors: QUEUE_FULL (nothing submitted), INVALID_ARGUMENT, UNSUPPORTED,
 *  DEVICE_LOST. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_submit(talus_drv_queue* queue,
                                                                const talus_drv_command* commands,
                                                                size_t count, uint32_t* cids);

/** Waits until `minimum` completions were taken (or everything in flight has completed), and takes
 * up to `capacity` of them. A failed command is a completion with a device_status, not an error of
 * this call. `timeout_us`: device time, 0 = the device's command time-out. *count is written also
 * on errors: completions that came before them are valid. Errors: TIMEOUT (the commands stay in
 * flight), DEVICE_LOST, PROTOCOL. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_wait(talus_drv_queue* queue,
                                                              talus_drv_completion* completions,
                                                              size_t minimum, size_t capacity,
                                                              size_t* count, uint64_t timeout_us);

/** Takes what has completed, without waiting; *count may be 0. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_poll(talus_drv_queue* queue,
                                                              talus_drv_completion* completions,
                                                              size_t capacity, size_t* count);

/** Commands submitted and not yet taken as completions. */
TALUS_DRV_API size_t talus_drv_in_flight(const talus_drv_queue* queue);

/** Why the queue's last faulting job failed. */
typedef struct talus_drv_fault {
    size_t struct_size;
    uint64_t pc;           /**< of the instruction, or of the faulting command's issue */
    uint64_t kernel_entry; /**< pc - kernel_entry is the offset in the kernel's image */
    uint64_t tval;         /**< address, instruction, CB id ...: see the cause */
    uint64_t detail[4];    /**< kernel error: the kernel's own words */
    uint64_t cycle;        /**< device clock */
    uint32_t cause;        /**< trap cause (talus/hw/interrupts.h); kernel error: its own code */
    uint32_t core;         /**< 0 = A, 1 = B, 0xff = control core */
    uint32_t cid;
    uint16_t device_status;
    uint8_t row; /**< of the PE, relative to the sub-grid */
    uint8_t col;
} talus_drv_fault;

/** Fetches the record of the queue's latest job fault. NOT_FOUND when there is none. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_get_fault(talus_drv_queue* queue,
                                                                   talus_drv_fault* fault);

/** Copies between any host memory and device memory through the queue's own bounce buffer, and
 *  returns when it is done. The queue must be empty. For set-up (weights, kernel images); requests
 *  use talus_drv_submit with host buffers. A failed command is TALUS_DRV_COMMAND_FAILED. */
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_copy_in(talus_drv_queue* queue,
                                                                 uint64_t device_address,
                                                                 const void* source,
                                                                 uint64_t bytes);
TALUS_DRV_API TALUS_DRV_CHECK talus_drv_status talus_drv_copy_out(talus_drv_queue* queue,
                                                                  void* destination,
                                                                  uint64_t device_address,
                                                                  uint64_t bytes);

#ifdef __cplusplus
}
#endif

#endif

/* vfio-user: the wire protocol between a client that drives a PCI device and the process that
 * implements it (QEMU, docs/interop/vfio-user, protocol version 0.1 as QEMU and libvfio-user speak
 * it).
 *
 * Both the driver's client and the simulator's server include this file. It is plain C11 and C++20
 * and holds no function. All fields are in the host's byte order and naturally aligned; every
 * struct below is the payload that follows `struct vfio_user_header`, and stands on the wire
 * exactly as here.
 *
 * Conventions ("Message sizes", "Header"):
 *  - `size` in the header counts the header itself.
 *  - An error reply is a bare header with VFIO_USER_FLAG_ERROR and an errno value in `error`.
 *  - `argsz` of a request is the most payload that the client takes in the reply; in a reply it is
 *    the payload needed. If a reply's argsz is above the request's, only the fixed part was sent
 * (and no file descriptor): ask again with a larger argsz. In DMA_MAP and SET_IRQS, which have no
 * reply payload, argsz is the size of the request's own payload.
 *  - File descriptors travel as SCM_RIGHTS ancillary data, attached to the message's first byte.
 *  - Requests in both directions share one socket; a reply is told from a request by the type bits,
 *    never by its id, since each side numbers its own requests.
 */
#ifndef TALUS_VFIO_USER_H
#define TALUS_VFIO_USER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define VFIO_USER_ASSERT(condition) static_assert(condition, #condition)
#else
#define VFIO_USER_ASSERT(condition) _Static_assert(condition, #condition)
#endif

/* ---- Header ---------------------------------------------------------------------------------- */

/* Commands. 14 is a retired number (DIRTY_PAGES in drafts before 0.1) and is answered with ENOTSUP.
 */
enum vfio_user_command {
    VFIO_USER_VERSION = 1,
    VFIO_USER_DMA_MAP = 2,
    VFIO_USER_DMA_UNMAP = 3,
    VFIO_USER_DEVICE_GET_INFO = 4,
    VFIO_USER_DEVICE_GET_REGION_INFO = 5,
    VFIO_USER_DEVICE_GET_REGION_IO_FDS = 6,
    VFIO_USER_DEVICE_GET_IRQ_INFO = 7,
    VFIO_USER_DEVICE_SET_IRQS = 8,
    VFIO_USER_REGION_READ = 9,
    VFIO_USER_REGION_WRITE = 10,
    VFIO_USER_DMA_READ = 11,  /* server -> client */
    VFIO_USER_DMA_WRITE = 12, /* server -> client */
    VFIO_USER_DEVICE_RESET = 13,
    VFIO_USER_DIRTY_PAGES = 14,
    VFIO_USER_REGION_WRITE_MULTI = 15,
    VFIO_USER_DEVICE_FEATURE = 16,
    VFIO_USER_MIG_DATA_READ = 17,
    VFIO_USER_MIG_DATA_WRITE = 18
};

/* Header flags: bits 0-3 type, bit 4 no reply wanted (requests), bit 5 error (replies). */
#define VFIO_USER_FLAG_TYPE_MASK 0xfu
#define VFIO_USER_FLAG_COMMAND 0x0u
#define VFIO_USER_FLAG_REPLY 0x1u
#define VFIO_USER_FLAG_NO_REPLY 0x10u
#define VFIO_USER_FLAG_ERROR 0x20u

struct vfio_user_header {
    uint16_t message_id; /* chosen by the sender of the request, echoed in the reply */
    uint16_t command;    /* enum vfio_user_command */
    uint32_t size;       /* whole message in bytes, header included */
    uint32_t flags;      /* VFIO_USER_FLAG_* */
    uint32_t error;      /* errno value if VFIO_USER_FLAG_ERROR is set, else zero */
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_header) == 16);

/* ---- VFIO_USER_VERSION ----------------------------------------------------------------------- */

#define VFIO_USER_MAJOR 0u
#define VFIO_USER_MINOR 1u

/* Followed by an optional NUL-terminated JSON text {"capabilities": {...}}. The reply's major
 * equals the request's, its minor is not above it. */
struct vfio_user_version {
    uint16_t major;
    uint16_t minor;
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_version) == 4);

/* Members of "capabilities" and what holds where a side leaves one out. */
#define VFIO_USER_CAP_MAX_MSG_FDS "max_msg_fds"
#define VFIO_USER_CAP_MAX_DATA_XFER_SIZE "max_data_xfer_size"
#define VFIO_USER_CAP_MAX_DMA_MAPS "max_dma_maps"
#define VFIO_USER_CAP_PGSIZES "pgsizes"
#define VFIO_USER_CAP_TWIN_SOCKET "twin_socket"
#define VFIO_USER_CAP_WRITE_MULTIPLE "write_multiple"
#define VFIO_USER_DEFAULT_MAX_MSG_FDS 1u
#define VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE 1048576u
#define VFIO_USER_DEFAULT_MAX_DMA_MAPS 65535u
#define VFIO_USER_DEFAULT_PGSIZES 4096u

/* ---- VFIO_USER_DMA_MAP, VFIO_USER_DMA_UNMAP -------------------------------------------------- */

#define VFIO_USER_DMA_FLAG_READ 0x1u  /* the device may read the region */
#define VFIO_USER_DMA_FLAG_WRITE 0x2u /* the device may write the region */

/* With one file descriptor: the server maps it from `offset`. Without: the server reaches the
 * region by VFIO_USER_DMA_READ/WRITE, and offset is zero. No reply payload. EEXIST if it overlaps a
 * mapping. */
struct vfio_user_dma_map {
    uint32_t argsz; /* 32 */
    uint32_t flags; /* VFIO_USER_DMA_FLAG_* */
    uint64_t offset;
    uint64_t address; /* IOVA */
    uint64_t size;
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_dma_map) == 32);
VFIO_USER_ASSERT(offsetof(struct vfio_user_dma_map, address) == 16);

/* Address and size equal those of one earlier map (ENOENT else). The reply repeats the request;
 * once it is out nothing touches the memory any more. `flags` is zero: "unmap all" of the kernel's
 * VFIO is no part of the text; the server accepts it as the flag below with address and size zero,
 * since existing clients send it. */
struct vfio_user_dma_unmap {
    uint32_t argsz; /* >= 24 */
    uint32_t flags;
    uint64_t address;
    uint64_t size;
};
#define VFIO_USER_DMA_UNMAP_FLAG_ALL 0x2u
VFIO_USER_ASSERT(sizeof(struct vfio_user_dma_unmap) == 24);

/* ---- VFIO_USER_DEVICE_GET_INFO --------------------------------------------------------------- */

#define VFIO_USER_DEVICE_FLAG_RESET 0x1u
#define VFIO_USER_DEVICE_FLAG_PCI 0x2u

struct vfio_user_device_info {
    uint32_t argsz; /* >= 16; all else zero in the request */
    uint32_t flags; /* VFIO_USER_DEVICE_FLAG_* */
    uint32_t num_regions;
    uint32_t num_irqs;
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_device_info) == 16);

/* ---- VFIO_USER_DEVICE_GET_REGION_INFO -------------------------------------------------------- */

/* Region indices of a PCI device (linux/vfio.h's VFIO_PCI_*_REGION_INDEX). */
enum vfio_user_region_index {
    VFIO_USER_REGION_BAR0 = 0,
    VFIO_USER_REGION_BAR1 = 1,
    VFIO_USER_REGION_BAR2 = 2,
    VFIO_USER_REGION_BAR3 = 3,
    VFIO_USER_REGION_BAR4 = 4,
    VFIO_USER_REGION_BAR5 = 5,
    VFIO_USER_REGION_ROM = 6,
    VFIO_USER_REGION_CONFIG = 7,
    VFIO_USER_REGION_VGA = 8,
    VFIO_USER_PCI_NUM_REGIONS = 9
};

#define VFIO_USER_REGION_FLAG_READ 0x1u
#define VFIO_USER_REGION_FLAG_WRITE 0x2u
#define VFIO_USER_REGION_FLAG_MMAP 0x4u /* the reply carries the file descriptor to mmap */
#define VFIO_USER_REGION_FLAG_CAPS 0x8u /* capabilities follow, the first at cap_offset */

/* An upper half of a 64-bit BAR, and any region that the device lacks, has size 0 and flags 0. */
struct vfio_user_region_info {
    uint32_t argsz; /* >= 32; in the request only this and index are set */
    uint32_t flags; /* VFIO_USER_REGION_FLAG_* */
    uint32_t index;
    uint32_t cap_offset; /* from the start of this struct; 0 = none */
    uint64_t size;
    uint64_t offset; /* of the region in the file descriptor */
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_region_info) == 32);
VFIO_USER_ASSERT(offsetof(struct vfio_user_region_info, size) == 16);

struct vfio_user_cap_header {
    uint16_t id;
    uint16_t version;
    uint32_t next; /* from the start of vfio_user_region_info; 0 ends the list */
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_cap_header) == 8);

/* Sparse mmap: only these areas can be mapped, each at file offset region.offset + area.offset. */
#define VFIO_USER_CAP_ID_SPARSE_MMAP 1u
#define VFIO_USER_CAP_VERSION_SPARSE_MMAP 1u

struct vfio_user_sparse_area {
    uint64_t offset; /* in the region */
    uint64_t size;
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_sparse_area) == 16);

/* Followed by nr_areas times struct vfio_user_sparse_area. */
struct vfio_user_cap_sparse_mmap {
    struct vfio_user_cap_header header;
    uint32_t nr_areas;
    uint32_t reserved;
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_cap_sparse_mmap) == 16);

/* ---- VFIO_USER_DEVICE_GET_REGION_IO_FDS ------------------------------------------------------ */

#define VFIO_USER_IO_FD_TYPE_IOEVENTFD 0u
#define VFIO_USER_IO_FD_TYPE_IOREGIONFD 1u

/* The reply is followed by `count` times struct vfio_user_io_fd_info. */
struct vfio_user_region_io_fds {
    uint32_t argsz; /* >= 16 */
    uint32_t flags; /* zero */
    uint32_t index;
    uint32_t count; /* zero in the request */
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_region_io_fds) == 16);

struct vfio_user_io_fd_info {
    uint64_t offset;
    uint64_t size;
    uint32_t fd_index;
    uint32_t type; /* VFIO_USER_IO_FD_TYPE_* */
    uint32_t flags;
    uint32_t padding;
    uint64_t data; /* datamatch (ioeventfd) or user_data (ioregionfd) */
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_io_fd_info) == 40);

/* ---- VFIO_USER_DEVICE_GET_IRQ_INFO, VFIO_USER_DEVICE_SET_IRQS -------------------------------- */

enum vfio_user_irq_index {
    VFIO_USER_IRQ_INTX = 0,
    VFIO_USER_IRQ_MSI = 1,
    VFIO_USER_IRQ_MSIX = 2,
    VFIO_USER_IRQ_ERR = 3, /* an uncorrectable error of the device */
    VFIO_USER_IRQ_REQ = 4, /* the server asks for the device back */
    VFIO_USER_PCI_NUM_IRQS = 5
};

#define VFIO_USER_IRQ_INFO_EVENTFD 0x1u
#define VFIO_USER_IRQ_INFO_MASKABLE 0x2u
#define VFIO_USER_IRQ_INFO_AUTOMASKED 0x4u
#define VFIO_USER_IRQ_INFO_NORESIZE 0x8u

struct vfio_user_irq_info {
    uint32_t argsz; /* >= 16 */
    uint32_t flags; /* VFIO_USER_IRQ_INFO_* */
    uint32_t index;
    uint32_t count; /* 0 = the device has none of this type */
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_irq_info) == 16);

/* Exactly one data flag and one action flag. */
#define VFIO_USER_IRQ_SET_DATA_NONE 0x1u
#define VFIO_USER_IRQ_SET_DATA_BOOL 0x2u
#define VFIO_USER_IRQ_SET_DATA_EVENTFD 0x4u
#define VFIO_USER_IRQ_SET_ACTION_MASK 0x8u
#define VFIO_USER_IRQ_SET_ACTION_UNMASK 0x10u
#define VFIO_USER_IRQ_SET_ACTION_TRIGGER 0x20u
#define VFIO_USER_IRQ_SET_DATA_MASK 0x7u
#define VFIO_USER_IRQ_SET_ACTION_TYPE_MASK 0x38u

/* Followed by `count` bytes of 0/1 for DATA_BOOL. DATA_EVENTFD carries `count` file descriptors, or
 * none to take the range's eventfds away. DATA_NONE | ACTION_TRIGGER with start = count = 0
 * disables the index. No reply payload. */
struct vfio_user_irq_set {
    uint32_t argsz; /* this struct and the data after it */
    uint32_t flags;
    uint32_t index;
    uint32_t start;
    uint32_t count;
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_irq_set) == 20);

/* ---- VFIO_USER_REGION_READ, VFIO_USER_REGION_WRITE, VFIO_USER_REGION_WRITE_MULTI ------------- */

/* READ: the reply is this struct and `count` bytes. WRITE: the request is this struct and `count`
 * bytes, the reply this struct alone. */
struct vfio_user_region_access {
    uint64_t offset;
    uint32_t region;
    uint32_t count;
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_region_access) == 16);

/* Writes of at most 8 bytes each; `data` holds them at its lowest addresses. */
struct vfio_user_single_write {
    uint64_t offset;
    uint32_t region;
    uint32_t count;
    uint64_t data;
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_single_write) == 24);

/* Request: this and `write_count` single writes; reply: this with the number of writes done. */
struct vfio_user_write_multi {
    uint64_t write_count;
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_write_multi) == 8);

/* ---- VFIO_USER_DMA_READ, VFIO_USER_DMA_WRITE (server -> client) ------------------------------ */

/* READ: the reply is this struct and `count` bytes. WRITE: the request is this struct and `count`
 * bytes, the reply this struct alone. (The text's table gives the count in a WRITE's reply 4 bytes;
 * QEMU and libvfio-user send 8. A receiver takes 12 or 16 bytes of payload.) */
struct vfio_user_dma_access {
    uint64_t address; /* IOVA */
    uint64_t count;
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_dma_access) == 16);

/* ---- VFIO_USER_DEVICE_FEATURE ---------------------------------------------------------------- */

#define VFIO_USER_FEATURE_INDEX_MASK 0xffffu
#define VFIO_USER_FEATURE_GET 0x10000u
#define VFIO_USER_FEATURE_SET 0x20000u
#define VFIO_USER_FEATURE_PROBE 0x40000u

struct vfio_user_device_feature {
    uint32_t argsz; /* >= 8 */
    uint32_t flags; /* feature index and VFIO_USER_FEATURE_* */
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_device_feature) == 8);

/* ---- VFIO_USER_MIG_DATA_READ, VFIO_USER_MIG_DATA_WRITE --------------------------------------- */

struct vfio_user_mig_data {
    uint32_t argsz;
    uint32_t size;
};
VFIO_USER_ASSERT(sizeof(struct vfio_user_mig_data) == 8);

#ifdef __cplusplus
}
#endif

#endif

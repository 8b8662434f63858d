/* PCI identity, BARs and the layout of BAR0, as the host sees the device. */
#ifndef TALUS_HW_PCI_H
#define TALUS_HW_PCI_H

#include "common.h"

/* Identity: 1af4:10f1 lies in the range that QEMU sets aside for experiments; the vendor-specific
 * capability below tells Talus from other users of that range. */
#define TALUS_PCI_VENDOR_ID 0x1af4u
#define TALUS_PCI_DEVICE_ID 0x10f1u
#define TALUS_PCI_SUBSYSTEM_VENDOR_ID 0x1af4u
#define TALUS_PCI_SUBSYSTEM_ID 0x7a15u
#define TALUS_PCI_CLASS 0x120000u /* processing accelerator */
#define TALUS_PCI_REVISION_T2 0x02u

/* Vendor-specific capability (id 09h), TALUS_PCI_VSC_LENGTH bytes from the capability's start:
 * +0 id, +1 next, +2 length, +3 VSC version, +4 'T' 'A' 'L' 'U', +8 ABI version (TALUS_ABI_VERSION),
 * +12 generation (2 = t2), +13 bit 0 simulated, +14..15 zero. */
#define TALUS_PCI_VSC_LENGTH 16u
#define TALUS_PCI_VSC_VERSION 1u
#define TALUS_PCI_VSC_MAGIC 0x554c4154u /* "TALU" */
#define TALUS_PCI_VSC_SIMULATED 0x1u

/* BARs: all 64-bit. BAR4 is prefetchable and mappable; of BAR0 only the status page is mappable. */
#define TALUS_BAR_REGISTERS 0
#define TALUS_BAR_DOORBELLS 2
#define TALUS_BAR_STAGING 4
#define TALUS_BAR0_SIZE TALUS_MIB(1)
#define TALUS_BAR2_SIZE TALUS_MIB(4)
#define TALUS_BAR4_SIZE TALUS_MIB(64)

/* BAR0. The first page is frozen: its layout outlives every bundle. */
#define TALUS_BAR0_FROZEN 0x00000u      /* registers.h: TALUS_FROZEN_REGISTERS */
#define TALUS_BAR0_STATUS_PAGE 0x01000u /* registers.h: struct talus_status_page; read-only, mappable */
#define TALUS_BAR0_CONTROLLER 0x02000u  /* registers.h: TALUS_CONTROLLER_REGISTERS */
#define TALUS_BAR0_MSIX_TABLE 0x08000u
#define TALUS_BAR0_MSIX_PBA 0x09000u
#define TALUS_STATUS_PAGE_SIZE 0x1000u

#define TALUS_MSIX_VECTORS 64u /* vector 0: admin queue and device events; v: I/O queues by choice */

/* BAR2: one page per queue, TALUS_DOORBELL_STRIDE apart: +0 submission tail, +4 completion head. */
#define TALUS_MAX_QUEUES 64u /* queue 0 is the admin queue */
#define TALUS_DOORBELL_STRIDE 0x10000u
#define TALUS_DOORBELL_SQ_TAIL 0x0u
#define TALUS_DOORBELL_CQ_HEAD 0x4u

/* BAR4 (device address TALUS_STAGING_BASE): image at 0, log and crash dump at the end. */
#define TALUS_STAGING_IMAGE_OFFSET 0x0000000u
#define TALUS_STAGING_IMAGE_SIZE 0x3000000u /* 48 MiB */
#define TALUS_STAGING_LOG_OFFSET 0x3000000u
#define TALUS_STAGING_LOG_SIZE 0x0010000u /* struct talus_log_header + text ring */
#define TALUS_STAGING_DUMP_OFFSET 0x3100000u
#define TALUS_STAGING_DUMP_SIZE 0x0f00000u

/* Firmware's text log in BAR4: `written` counts all bytes ever written; byte n of the stream stands
 * at text[n % capacity]. The firmware writes the text before it moves `written`. */
struct talus_log_header {
    uint32_t magic; /* TALUS_LOG_MAGIC */
    uint32_t capacity;
    uint64_t written;
};
#define TALUS_LOG_MAGIC 0x474f4c54u /* "TLOG" */
#define TALUS_LOG_TEXT_OFFSET 64u
TALUS_ASSERT_SIZE(talus_log_header, 16);
TALUS_ASSERT_OFFSET(talus_log_header, written, 8);

TALUS_STATIC_ASSERT(TALUS_MAX_QUEUES * TALUS_DOORBELL_STRIDE == 0x400000u, "doorbells fill BAR2");
TALUS_STATIC_ASSERT(TALUS_STAGING_DUMP_OFFSET + TALUS_STAGING_DUMP_SIZE <= 0x4000000u,
                    "staging areas fit BAR4");

#endif

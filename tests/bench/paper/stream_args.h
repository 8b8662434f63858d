/* Arguments of stream_kernel.c. */
#ifndef TALUS_PAPER_STREAM_ARGS_H
#define TALUS_PAPER_STREAM_ARGS_H

#include "talus/hw/common.h"

struct talus_stream_args {
    uint64_t source;
    uint64_t pieces; /* to read, all PEs together */
    uint32_t piece;  /* bytes; divides 256 KiB */
    uint32_t reserved[11];
};
TALUS_ASSERT_SIZE(talus_stream_args, 64);

#endif

/* What the sources of the dynamic INT8 kernel share. */
#ifndef TALUS_KERNELS_FC_INT8_PIPELINE_H
#define TALUS_KERNELS_FC_INT8_PIPELINE_H

#include <stdint.h>

#include "talus/hw/instructions.h"

/* Core B (vector.c): from the ranges of `count` rows, what quantises them (factor and zero point of
 * INT8) and what undoes it. All in local memory. */
void fc_int8_scales(const struct talus_row_range* ranges, uint32_t count,
                    struct talus_row_scale* quantize, struct talus_row_scale* dequantize);

#endif

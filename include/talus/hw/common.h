/* Shared by every header of the contract: C11 for firmware and kernels, C++20 for driver, simulator
 * and SDK. All multi-byte fields are little-endian; both ends are. */
#ifndef TALUS_HW_COMMON_H
#define TALUS_HW_COMMON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define TALUS_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define TALUS_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

/* Size and offset checks; every structure of the contract carries them. */
#define TALUS_ASSERT_SIZE(type, bytes)                                                             \
    TALUS_STATIC_ASSERT(sizeof(struct type) == (bytes), "size of struct " #type)
#define TALUS_ASSERT_OFFSET(type, field, bytes)                                                    \
    TALUS_STATIC_ASSERT(offsetof(struct type, field) == (bytes), "offset of " #type "." #field)

/* Tables are X-macros, so that one line gives a constant, a name for traces and logs, and a row of
 * CONTRACT.md. TALUS_ENUM_VALUE turns X(name, value, text) rows into enumerators. */
#define TALUS_ENUM_VALUE(name, value, ...) name = (value),

#define TALUS_KIB(n) ((uint64_t)(n) << 10)
#define TALUS_MIB(n) ((uint64_t)(n) << 20)
#define TALUS_GIB(n) ((uint64_t)(n) << 30)

#endif

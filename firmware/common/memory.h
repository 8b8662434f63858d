/* memcpy and its kin: the C library's on the host, common/memory.c's on the device. */
#ifndef TALUS_FIRMWARE_MEMORY_H
#define TALUS_FIRMWARE_MEMORY_H

#if defined(__riscv)
#include <stddef.h>
void* memcpy(void* restrict destination, const void* restrict source, size_t bytes);
void* memset(void* destination, int value, size_t bytes);
int memcmp(const void* left, const void* right, size_t bytes);
#else
#include <string.h>
#endif

#endif

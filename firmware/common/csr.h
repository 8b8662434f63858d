/* Control and status registers; device only. */
#ifndef TALUS_FIRMWARE_CSR_H
#define TALUS_FIRMWARE_CSR_H

#define CSR_READ(name)                                                                             \
    ({                                                                                             \
        uint64_t csr_value;                                                                        \
        __asm__ volatile("csrr %0, " #name : "=r"(csr_value) : : "memory");                        \
        csr_value;                                                                                 \
    })
#define CSR_WRITE(name, value)                                                                     \
    __asm__ volatile("csrw " #name ", %0" : : "r"((uint64_t)(value)) : "memory")

#define MIP_MSIP (1ull << 3)
#define MIP_MTIP (1ull << 7)
#define MIP_MEIP (1ull << 11)

#define MSTATUS_MIE (1ull << 3)
#define MSTATUS_VS_INITIAL (1ull << 9)
#define MSTATUS_FS_INITIAL (1ull << 13)

#define MCAUSE_INTERRUPT (1ull << 63)

#endif

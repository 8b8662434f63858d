// Outcome of one access of the device to the host's memory.
#ifndef TALUS_SIM_VFIO_USER_DMA_STATUS_HPP
#define TALUS_SIM_VFIO_USER_DMA_STATUS_HPP

#include <cstdint>

namespace talus::sim {

// Why a DMA access did not happen. On silicon each but kOk is an Unsupported Request or a
// completion time-out seen by the requester.
enum class DmaStatus : uint8_t {
    kOk,
    kBusMasterOff, // Command.BusMaster is clear, or the function is in D3hot
    kUnmapped,     // some byte of the range is in no mapping (an IOMMU fault)
    kNotPermitted, // the mapping does not allow this direction
    kBusError,     // the client cut the file behind the mapping short
    kClientError,  // the client answered a DMA message with an error or with nonsense
    kTimeout,      // the client left a DMA message unanswered (completion time-out)
    kDisconnected, // no client, or it went away during the access
};

// Constant text for logs, e.g. "unmapped".
const char* to_string(DmaStatus status);

} // namespace talus::sim

#endif

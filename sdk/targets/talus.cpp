#include "sdk/common/error.hpp"
#include "sdk/targets/targets.hpp"

namespace talus::targets {

runtime::DevicePtr open_talus(const talus_device_options&) {
    fail(TALUS_ERROR_UNAVAILABLE, "talus: this build has no driver");
}

} // namespace talus::targets

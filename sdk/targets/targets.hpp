// How the SDK opens a device of each target.
#pragma once

#include "sdk/runtime/device.hpp"

namespace talus::targets {

runtime::DevicePtr open_cpu();
// dlopens libtalus_cuda.so. Throws Failure UNAVAILABLE with the reason.
runtime::DevicePtr open_cuda(const talus_device_options& options);
// Opens a device through talus/driver.h and boots it. Throws Failure UNAVAILABLE or DEVICE.
runtime::DevicePtr open_talus(const talus_device_options& options);

} // namespace talus::targets

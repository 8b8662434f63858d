// The accelerator's kernel images of this build, embedded. Library: talus_device_images.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace talus::kernels {

// The image that TalusKernel::image names: position-independent, read-only, entered at its first
// byte, to be placed at a multiple of 64 in the device's scratch SRAM. Empty if there is none.
// Thread-safe; the bytes are static.
std::span<const std::byte> device_image(std::string_view name);

} // namespace talus::kernels

// Structs to and from bytes. No alignment is assumed of the buffer.
#ifndef TALUS_SIM_VFIO_USER_WIRE_HPP
#define TALUS_SIM_VFIO_USER_WIRE_HPP

#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

namespace talus::sim::vfio_user::wire {

// `data` holds at least sizeof(T) bytes.
template <typename T>
T get(std::span<const std::byte> data) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, data.data(), sizeof value);
    return value;
}

inline void put_bytes(std::vector<std::byte>& out, std::span<const std::byte> data) {
    out.insert(out.end(), data.begin(), data.end());
}

template <typename T>
void put(std::vector<std::byte>& out, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    put_bytes(out, std::as_bytes(std::span(&value, 1)));
}

} // namespace talus::sim::vfio_user::wire

#endif

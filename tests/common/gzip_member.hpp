// Gzip members for tests.
#ifndef TALUS_TESTS_COMMON_GZIP_MEMBER_HPP
#define TALUS_TESTS_COMMON_GZIP_MEMBER_HPP

#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include <zlib.h>

namespace talus::test {

inline std::vector<std::uint8_t> gzip(std::span<const std::uint8_t> data, int level = 6,
                                      int strategy = Z_DEFAULT_STRATEGY) {
    z_stream stream{};
    if (deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, strategy) != Z_OK) {
        throw std::runtime_error("deflateInit2");
    }
    std::vector<std::uint8_t> member(deflateBound(&stream, data.size()));
    stream.next_in = const_cast<std::uint8_t*>(data.data());
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = member.data();
    stream.avail_out = static_cast<uInt>(member.size());
    const int code = deflate(&stream, Z_FINISH);
    member.resize(stream.total_out);
    deflateEnd(&stream);
    if (code != Z_STREAM_END) {
        throw std::runtime_error("deflate");
    }
    return member;
}

/// Bytes of `symbols` (a power of two) values without any other regularity: Huffman codes alone
/// bring them to log2(symbols) bits each.
inline std::vector<std::uint8_t> noise(std::size_t bytes, unsigned symbols,
                                       std::uint64_t seed = 1) {
    std::vector<std::uint8_t> data(bytes);
    std::uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    for (std::uint8_t& byte : data) {
        state ^= state << 13; // xorshift64
        state ^= state >> 7;
        state ^= state << 17;
        byte = static_cast<std::uint8_t>((state >> 40) % symbols + 1);
    }
    return data;
}

} // namespace talus::test

#endif

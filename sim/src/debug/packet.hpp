// Framing of gdb's remote serial protocol: $payload#checksum, acknowledgements, escapes, and the
// interrupt byte. No sockets here: tests and fuzzers feed bytes.
#ifndef TALUS_SIM_DEBUG_PACKET_HPP
#define TALUS_SIM_DEBUG_PACKET_HPP

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace talus::sim::debug {

/// Longest payload accepted, and the PacketSize that gdb is told. The longest that gdb needs is a
/// write of all vector registers.
inline constexpr std::size_t kMaxPacket = 0x4000;

/// Takes a byte stream apart. Not thread-safe.
class PacketReader {
  public:
    enum class Kind : std::uint8_t {
        kPacket,      ///< a whole packet with the right checksum
        kInterrupt,   ///< the byte 0x03 between packets
        kBadChecksum, ///< to be sent again
        kOversized,   ///< longer than kMaxPacket; its payload is lost
    };
    struct Item {
        Kind kind;
        std::string payload; ///< unescaped; for kPacket
    };

    /// Everything that `bytes` completes, in order. Bytes outside of packets are ignored.
    std::vector<Item> feed(std::string_view bytes);

  private:
    enum class State : std::uint8_t { kIdle, kPayload, kEscape, kCheckHigh, kCheckLow };

    State state_ = State::kIdle;
    std::string payload_;
    std::uint8_t sum_ = 0;
    char check_high_ = 0;
    bool oversized_ = false;
};

/// "$" + payload, with #, $, } and * escaped, + "#xx".
std::string frame(std::string_view payload);

/// Two lowercase digits a byte.
std::string to_hex(std::span<const std::uint8_t> bytes);
std::string to_hex(std::string_view text);
/// `bytes` bytes of value in target (little-endian) order.
std::string hex_of_value(std::uint64_t value, unsigned bytes);
/// nullopt: odd length or not hexadecimal.
std::optional<std::vector<std::uint8_t>> from_hex(std::string_view text);
/// A number as gdb writes addresses, lengths and ids: 1 to 16 hexadecimal digits, nothing else.
std::optional<std::uint64_t> parse_hex(std::string_view text);

/// Takes from `text` up to the first of `separators`, which goes too; the rest stays in `text`.
std::string_view take_field(std::string_view& text, std::string_view separators);

} // namespace talus::sim::debug

#endif

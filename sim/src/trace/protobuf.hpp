// Just enough of protobuf's wire format to write messages into a buffer.
#ifndef TALUS_SIM_TRACE_PROTOBUF_HPP
#define TALUS_SIM_TRACE_PROTOBUF_HPP

#include <cstdint>
#include <string>
#include <string_view>

namespace talus::sim {

/// Appends fields to a buffer, which outlives it.
class ProtobufWriter {
  public:
    explicit ProtobufWriter(std::string& out) : out_(out) {}

    void number(unsigned field, std::uint64_t value) {
        varint(field << 3);
        varint(value);
    }
    void bytes(unsigned field, std::string_view value) {
        varint(field << 3 | 2);
        varint(value.size());
        out_.append(value);
    }

  private:
    void varint(std::uint64_t value) {
        for (; value >= 0x80; value >>= 7) {
            out_.push_back(static_cast<char>(value | 0x80));
        }
        out_.push_back(static_cast<char>(value));
    }

    std::string& out_;
};

} // namespace talus::sim

#endif

// What a GZIP engine makes of one member (RFC 1952), in pieces. Values only; the engine's time is
// DmaEngines'.
#ifndef TALUS_SIM_SOC_GZIP_STREAM_HPP
#define TALUS_SIM_SOC_GZIP_STREAM_HPP

#include <cstdint>
#include <memory>
#include <span>
#include <string>

struct z_stream_s;

namespace talus::sim {

/// One member: header, deflated data (RFC 1951), CRC-32 and length, which are checked. A stream
/// never makes more than it was given room for, whatever the data say.
class GzipStream {
  public:
    enum class State : std::uint8_t {
        kRunning, ///< wants more input, or room for more output
        kEnd,     ///< the member has ended, and what it says of itself is true
        kDamaged, ///< see why()
        kNoRoom,  ///< there would be more than `room` bytes
    };
    struct Result {
        State state = State::kRunning;
        std::size_t taken = 0; ///< bytes of `input`
        std::size_t made = 0;  ///< bytes of `output`
    };

    /// `room`: the most that the member may inflate to.
    explicit GzipStream(std::uint64_t room);
    ~GzipStream();
    GzipStream(const GzipStream&) = delete;
    GzipStream& operator=(const GzipStream&) = delete;

    /// Goes on until `input` is taken, `output` is full, or the state is another than kRunning.
    Result step(std::span<const std::uint8_t> input, std::span<std::uint8_t> output);
    /// In words, after kDamaged.
    const std::string& why() const { return why_; }

  private:
    std::unique_ptr<z_stream_s> stream_;
    std::uint64_t room_; ///< that is left
    std::string why_;
};

} // namespace talus::sim

#endif

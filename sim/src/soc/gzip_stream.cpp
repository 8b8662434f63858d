#include "gzip_stream.hpp"

#include <algorithm>
#include <new>

#include <zlib.h>

namespace talus::sim {

namespace {

constexpr int kWindowBits = 15;
constexpr int kGzipOnly = 16; ///< zlib: takes RFC 1952 and nothing else

} // namespace

GzipStream::GzipStream(std::uint64_t room) : stream_(std::make_unique<z_stream>()), room_(room) {
    if (inflateInit2(stream_.get(), kWindowBits + kGzipOnly) != Z_OK) {
        throw std::bad_alloc();
    }
}

GzipStream::~GzipStream() {
    inflateEnd(stream_.get());
}

GzipStream::Result GzipStream::step(std::span<const std::uint8_t> input,
                                    std::span<std::uint8_t> output) {
    // One byte of space when there is no room left: to see whether anything wants it.
    std::uint8_t beyond = 0;
    const bool full = room_ == 0;
    const std::size_t space = full ? 1 : std::min<std::uint64_t>(output.size(), room_);
    stream_->next_in = const_cast<std::uint8_t*>(input.data()); // zlib does not write there
    stream_->avail_in = static_cast<uInt>(input.size());
    stream_->next_out = full ? &beyond : output.data();
    stream_->avail_out = static_cast<uInt>(space);
    const int code = ::inflate(stream_.get(), Z_NO_FLUSH);
    Result result;
    result.taken = input.size() - stream_->avail_in;
    result.made = space - stream_->avail_out;
    if (full && result.made != 0) {
        result.made = 0;
        result.state = State::kNoRoom;
        return result;
    }
    room_ -= result.made;
    switch (code) {
    case Z_STREAM_END:
        result.state = State::kEnd;
        break;
    case Z_OK:
    case Z_BUF_ERROR: // nothing was to be done with this input and space
        break;
    default:
        result.state = State::kDamaged;
        why_ = stream_->msg != nullptr ? stream_->msg : "not a gzip member";
        break;
    }
    return result;
}

} // namespace talus::sim

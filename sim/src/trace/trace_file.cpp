#include "trace_file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <fmt/format.h>

#include "protobuf.hpp"

namespace talus::sim {

namespace {

// Field numbers of perfetto/trace/trace.proto and trace_packet.proto.
constexpr unsigned kTracePacket = 1;
constexpr unsigned kPacketCompressed = 50;

/// A TracePacket that holds `packets`, deflated; and as they are if that fails.
std::string deflated(const std::string& packets) {
    uLongf size = compressBound(packets.size());
    std::string data(size, '\0');
    if (compress2(reinterpret_cast<Bytef*>(data.data()), &size,
                  reinterpret_cast<const Bytef*>(packets.data()), packets.size(), 1) != Z_OK) {
        return packets;
    }
    data.resize(size);
    std::string packet;
    ProtobufWriter(packet).bytes(kPacketCompressed, data);
    std::string out;
    ProtobufWriter(out).bytes(kTracePacket, packet);
    return out;
}

} // namespace

TraceFile::TraceFile(const std::string& path)
    : path_(path), fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
    if (fd_ < 0) {
        throw std::runtime_error(fmt::format("{}: {}", path, std::strerror(errno)));
    }
    thread_ = std::thread([this] { run(); });
}

TraceFile::~TraceFile() {
    {
        const std::lock_guard lock(mutex_);
        over_ = true;
    }
    changed_.notify_all();
    thread_.join();
    close(fd_);
}

void TraceFile::append(std::string packets) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return blocks_.size() < kWaiting; });
    blocks_.push_back(std::move(packets));
    lock.unlock();
    changed_.notify_all();
}

std::uint64_t TraceFile::written() const {
    const std::lock_guard lock(mutex_);
    return written_;
}

void TraceFile::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return over_ || !blocks_.empty(); });
        if (blocks_.empty()) {
            return;
        }
        const std::string packets = std::move(blocks_.front());
        blocks_.pop_front();
        lock.unlock();
        const std::string block = deflated(packets);
        const ssize_t done = failed_ ? -1 : write(fd_, block.data(), block.size());
        if (done != static_cast<ssize_t>(block.size()) && !failed_) {
            failed_ = true;
            fmt::print(stderr, "talus-sim: {}: {}; the trace ends here\n", path_,
                       done < 0 ? std::strerror(errno) : "the disk is full");
        }
        lock.lock();
        written_ += done > 0 ? static_cast<std::uint64_t>(done) : 0;
        changed_.notify_all();
    }
}

} // namespace talus::sim

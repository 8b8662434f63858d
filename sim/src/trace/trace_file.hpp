// The file of a trace, written by a thread of its own: blocks of TracePackets, deflated, one after
// another. What stands in the file is a trace at any time, also of a process that was killed; only
// the last block may be incomplete, and readers of the format leave it out.
#ifndef TALUS_SIM_TRACE_TRACE_FILE_HPP
#define TALUS_SIM_TRACE_TRACE_FILE_HPP

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

namespace talus::sim {

class TraceFile {
  public:
    /// Creates or empties `path`. Throws std::runtime_error with the path and the reason.
    explicit TraceFile(const std::string& path);
    /// Writes what is left.
    ~TraceFile();
    TraceFile(const TraceFile&) = delete;
    TraceFile& operator=(const TraceFile&) = delete;

    /// Whole packets (field 1 of perfetto.protos.Trace), at most kBlockBytes. Waits while kWaiting
    /// blocks are unwritten.
    void append(std::string packets);
    /// Bytes in the file. Any thread.
    std::uint64_t written() const;

    static constexpr std::size_t kBlockBytes = 256 * 1024; ///< Perfetto reads up to 512 KiB
    static constexpr std::size_t kWaiting = 64;

  private:
    void run();

    const std::string path_;
    int fd_ = -1;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::string> blocks_;
    std::uint64_t written_ = 0;
    bool over_ = false;
    bool failed_ = false;
    std::thread thread_;
};

} // namespace talus::sim

#endif

// One client of talusd, on a thread of its own: whatever it does or fails to do, nobody else waits.
#pragma once

#include "device_memory.hpp"
#include "server.hpp"

#include <sys/socket.h>

#include <map>

namespace talus::driver::daemon {

/// Everything that a client names is checked here, whatever the firmware checks again: its commands
/// are confined to its domain, its rings and windows to memory that it mapped itself.
class Session {
  public:
    Session(Server& server, UniqueFd socket);
    /// Ends the connection and waits for the thread.
    ~Session();

    bool ended() const { return ended_; }
    ClientEntry entry() const;
    std::string name() const; // "client 4711 (uid 1000)"

    // Around a reset of the card on another client's account; card() is held alone by the caller.
    void reset_coming(const std::string& why);
    void reset_done(const std::string& why);

  private:
    struct Queue {
        std::uint32_t entries = 0;   // 0: reserved only
        std::uint64_t rings[2] = {}; // IOVAs: submission, completion
        UniqueFd interrupt;          // from the device
        UniqueFd bell;               // to and from the client
        std::uint32_t tail = 0;
        std::uint32_t head = 0;
        std::uint64_t submitted = 0;
        std::uint64_t acknowledged = 0;
    };
    struct Mapping {
        std::uint64_t bytes = 0;
        void* pointer = nullptr;
    };
    struct Answer {
        Reply reply;
        std::vector<std::byte> data;
        UniqueFd descriptor;
    };

    void run();
    bool serve_request();
    Answer handle(const Request& request, UniqueFd descriptor);
    Answer hello(const Request& request);
    Answer admin(const Request& request);
    Answer create_queue(talus_sqe command);
    Answer read(const Request& request);
    Answer map(const Request& request, UniqueFd descriptor);
    Answer unmap(const Request& request);
    Answer allocate(const Request& request);
    Answer reset();

    Queue& queue(std::uint64_t qid); // one that was created
    bool mapped(std::uint64_t iova, std::uint64_t bytes) const;
    void require_joined() const;
    void relay(std::uint32_t qid, Queue& queue);
    void ring(Queue& queue);

    void end_queues(); // throws where the device does not end them
    void forget_queues();
    void end(); // all that the client has; never throws
    void release_memory();
    void close_windows();
    void unmap_all();

    Server& server_;
    Channel channel_;
    UniqueFd stop_; // eventfd
    ucred peer_{};
    std::atomic<bool> ended_{false};

    // The thread's own, but for what a reset of the card changes while it holds card() alone.
    std::atomic<bool> joined_{false};
    std::atomic<bool> left_{false};
    std::uint8_t domain_ = 0;
    std::uint64_t iovas_ = 0;
    UniqueFd shadow_file_;
    std::byte* shadow_ = nullptr;
    std::map<std::uint16_t, Queue> queues_;
    std::map<std::uint64_t, Mapping> mappings_; // by IOVA
    std::map<std::uint16_t, std::pair<std::uint64_t, std::uint64_t>>
        windows_; // index -> IOVA, bytes
    DeviceMemory memory_;
    mutable std::mutex entry_mutex_;
    ClientEntry entry_{};
    std::thread thread_; // last: it uses all of the above
};

} // namespace talus::driver::daemon

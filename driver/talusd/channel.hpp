// One end of a client's connection to talusd: whole messages, each with at most one descriptor.
#pragma once

#include "../fd.hpp"
#include "protocol.hpp"

#include <span>
#include <string>
#include <vector>

namespace talus::driver::daemon {

/// Not thread-safe. Sends never raise SIGPIPE.
class Channel {
  public:
    explicit Channel(UniqueFd socket) : socket_(std::move(socket)) {}

    /// Connects to `path`; an invalid descriptor with errno set if nobody listens there.
    static UniqueFd connect(const std::string& path);

    int fd() const { return socket_.get(); }

    /// False if the other side is gone or (it has not read for long) its buffer is full.
    bool send(const Request& request, int descriptor = -1);
    bool send(Reply reply, std::span<const std::byte> data, int descriptor = -1);

    enum class Got { kMessage, kNothing, kEnd };

    /// Takes a message if there is one. kEnd: the other side is gone, or sent what is no message.
    Got receive(Request& request, UniqueFd& descriptor);
    Got receive(Reply& reply, std::vector<std::byte>& data, UniqueFd& descriptor);

  private:
    bool send(std::span<const std::byte> head, std::span<const std::byte> data, int descriptor);
    Got receive(std::span<std::byte> head, std::vector<std::byte>& data, UniqueFd& descriptor);

    UniqueFd socket_;
};

} // namespace talus::driver::daemon

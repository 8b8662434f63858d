#include "gdb_server.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>

namespace talus::sim::debug {

namespace {

/// Messages that a client may have waiting; gdb itself has one.
constexpr std::size_t kMaxMessages = 256;
/// How long a client may leave a reply unread.
constexpr timeval kSendLimit{5, 0};

[[noreturn]] void fail(const std::string& where) {
    throw std::runtime_error(fmt::format("--gdb {}: {}", where, std::strerror(errno)));
}

int listen_unix(const std::string& where, const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    // Under another name until it listens: whoever sees the socket can connect.
    const std::string early = path + ".new";
    if (path.empty() || early.size() >= sizeof address.sun_path) {
        throw std::runtime_error(fmt::format("--gdb {}: the path is empty or too long", where));
    }
    std::memcpy(address.sun_path, early.data(), early.size());
    struct stat status {};
    if (lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) {
        unlink(path.c_str());
    }
    unlink(early.c_str());
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(fd, 4) != 0 || std::rename(early.c_str(), path.c_str()) != 0) {
        fail(where);
    }
    return fd;
}

int listen_tcp(const std::string& where, std::string& address_text) {
    std::size_t used = 0;
    unsigned long port = 0;
    try {
        port = std::stoul(where, &used, 10);
    } catch (const std::exception&) {
        used = 0;
    }
    if (used == 0 || used != where.size() || port > 65535) {
        throw std::runtime_error(
            fmt::format("--gdb {}: neither a port number nor unix:PATH", where));
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    socklen_t length = sizeof address;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(fd, 4) != 0 ||
        getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
        fail(where);
    }
    address_text = fmt::format("127.0.0.1:{}", ntohs(address.sin_port));
    return fd;
}

} // namespace

GdbServer::GdbServer(const std::string& where) {
    constexpr std::string_view kUnix = "unix:";
    if (where.rfind(kUnix, 0) == 0) {
        const std::string path = where.substr(kUnix.size());
        listener_.reset(listen_unix(where, path));
        unix_path_ = path;
        address_ = where;
    } else {
        listener_.reset(listen_tcp(where, address_));
    }
    wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_) {
        fail(where);
    }
}

GdbServer::~GdbServer() {
    stop();
    if (!unix_path_.empty()) {
        unlink(unix_path_.c_str());
    }
}

void GdbServer::start(std::function<void()> notify) {
    notify_ = std::move(notify);
    thread_ = std::thread([this] { run(); });
}

void GdbServer::stop() {
    if (!thread_.joinable()) {
        return;
    }
    stop_ = true;
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t put = write(wake_.get(), &one, sizeof one);
    thread_.join();
}

void GdbServer::post(Message::Kind kind, std::string payload) {
    {
        const std::lock_guard lock(mutex_);
        messages_.push_back({kind, std::move(payload)});
        pending_.store(true, std::memory_order_release);
    }
    changed_.notify_one();
    notify_();
}

bool GdbServer::receive(Message& message, std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, limit, [this] { return !messages_.empty(); })) {
        return false;
    }
    message = std::move(messages_.front());
    messages_.pop_front();
    pending_.store(!messages_.empty(), std::memory_order_release);
    return true;
}

void GdbServer::write_all(std::string_view bytes) {
    while (client_ && !bytes.empty()) {
        const ssize_t sent = ::send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            shutdown(client_.get(), SHUT_RDWR); // the reader sees it and closes
            return;
        }
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
}

void GdbServer::send(std::string_view payload) {
    const std::lock_guard lock(write_mutex_);
    unacknowledged_ = frame(payload);
    write_all(unacknowledged_);
}

void GdbServer::run() {
    while (!stop_) {
        std::array<pollfd, 2> entries{{{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
        if (poll(entries.data(), entries.size(), -1) < 0 && errno != EINTR) {
            return;
        }
        if (stop_ || (entries[0].revents & POLLIN) == 0) {
            continue;
        }
        const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) {
            continue;
        }
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // fails on UNIX sockets: no harm
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kSendLimit, sizeof kSendLimit);
        {
            const std::lock_guard lock(write_mutex_);
            client_.reset(fd);
            unacknowledged_.clear();
            acknowledge_ = true;
        }
        post(Message::Kind::kConnected);
        serve_client();
        {
            const std::lock_guard lock(write_mutex_);
            client_.reset();
        }
        post(Message::Kind::kDisconnected);
    }
}

void GdbServer::serve_client() {
    PacketReader reader;
    std::array<char, 4096> bytes;
    const int fd = client_.get(); // only this thread changes it
    while (!stop_) {
        std::array<pollfd, 2> entries{{{fd, POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
        if (poll(entries.data(), entries.size(), -1) < 0 && errno != EINTR) {
            return;
        }
        if (entries[0].revents == 0) {
            continue;
        }
        const ssize_t got = recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            return;
        }
        if (got < 0) {
            continue;
        }
        const std::string_view text(bytes.data(), static_cast<std::size_t>(got));
        if (acknowledge_ && text == "-") {
            const std::lock_guard lock(write_mutex_);
            write_all(unacknowledged_);
            continue;
        }
        for (PacketReader::Item& item : reader.feed(text)) {
            if (acknowledge_ && item.kind != PacketReader::Kind::kInterrupt) {
                const std::lock_guard lock(write_mutex_);
                write_all(item.kind == PacketReader::Kind::kBadChecksum ? "-" : "+");
            }
            {
                const std::lock_guard lock(mutex_);
                if (messages_.size() >= kMaxMessages) {
                    return; // no debugger does that
                }
            }
            switch (item.kind) {
            case PacketReader::Kind::kPacket:
                post(Message::Kind::kPacket, std::move(item.payload));
                break;
            case PacketReader::Kind::kInterrupt:
                post(Message::Kind::kInterrupt);
                break;
            case PacketReader::Kind::kOversized:
                post(Message::Kind::kOversized);
                break;
            case PacketReader::Kind::kBadChecksum:
                break;
            }
        }
    }
}

} // namespace talus::sim::debug

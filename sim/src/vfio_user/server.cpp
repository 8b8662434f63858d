#include "server.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <poll.h>
#include <stdexcept>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace talus::sim::vfio_user {
namespace {

[[noreturn]] void fail(const std::string& what, int error) {
    throw std::runtime_error(what + ": " + std::strerror(error));
}

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        throw std::runtime_error("socket path '" + path +
                                 "' is too long: " + std::to_string(path.size()) +
                                 " bytes, at most " + std::to_string(sizeof address.sun_path - 1));
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return address;
}

UniqueFd new_socket() {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd)
        fail("cannot create a socket", errno);
    return fd;
}

// A file left behind by a server that died is in the way; anything else is not ours to remove.
void remove_stale(const std::string& path, const sockaddr_un& address) {
    struct stat status;
    if (lstat(path.c_str(), &status) != 0)
        return;
    if (!S_ISSOCK(status.st_mode))
        throw std::runtime_error("cannot listen on '" + path + "': it exists and is no socket");
    const UniqueFd probe = new_socket();
    if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
        errno == EAGAIN)
        throw std::runtime_error("cannot listen on '" + path + "': another process does");
    if (errno == ECONNREFUSED)
        unlink(path.c_str());
}

UniqueFd listen_on(const std::string& path) {
    const sockaddr_un address = address_of(path);
    remove_stale(path, address);
    UniqueFd fd = new_socket();
    // A connection hands over the whole device: the owner's only.
    const mode_t mask = umask(0177);
    const int bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int error = errno;
    umask(mask);
    if (bound != 0)
        fail("cannot listen on '" + path + "'", error);
    if (listen(fd.get(), 4) != 0)
        fail("cannot listen on '" + path + "'", errno);
    return fd;
}

UniqueFd check_inherited(int fd) {
    int type = 0;
    socklen_t length = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0)
        fail("file descriptor " + std::to_string(fd) + " is no socket", errno);
    if (type != SOCK_STREAM)
        throw std::runtime_error("file descriptor " + std::to_string(fd) + " is no stream socket");
    return UniqueFd(fd);
}

} // namespace

Server::Server(Device& device, ClientMemory& memory, IrqBank& irqs, ServerOptions options)
    : device_(device), memory_(memory), irqs_(irqs), options_(std::move(options)) {
    if (options_.socket_path.empty() == (options_.fd < 0))
        throw std::runtime_error("give either a socket path or a connected socket");
    wake_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_)
        fail("cannot create an eventfd", errno);
    if (options_.fd >= 0) {
        inherited_ = check_inherited(options_.fd);
        options_.exit_on_disconnect = true;
    } else {
        options_.socket_path = std::filesystem::absolute(options_.socket_path).string();
        listener_ = listen_on(options_.socket_path);
    }
}

Server::~Server() {
    stop();
    if (listener_)
        unlink(options_.socket_path.c_str());
}

void Server::start() {
    thread_ = std::thread(&Server::run, this);
}

void Server::stop() {
    stop_ = true;
    wake();
    if (thread_.joinable())
        thread_.join();
    const std::lock_guard lock(mutex_);
    finished_ = true;
    changed_.notify_all();
}

bool Server::finished() const {
    const std::lock_guard lock(mutex_);
    return finished_;
}

void Server::wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return finished_; });
}

void Server::wake() {
    const uint64_t one = 1;
    static_cast<void>(!write(wake_.get(), &one, sizeof one));
}

void Server::run() {
    serve();
    session_.reset();
    transport_.reset();
    if (options_.on_finished && !stop_)
        options_.on_finished();
    const std::lock_guard lock(mutex_);
    finished_ = true;
    changed_.notify_all();
}

void Server::serve() {
    if (inherited_)
        open_session(std::move(inherited_));
    bool more = false; // the session stopped in the middle of its input
    while (!stop_ && !over_) {
        std::array<pollfd, 4> waits = {};
        waits[0] = {wake_.get(), POLLIN, 0};
        waits[1] = {listener_ ? listener_.get() : -1, POLLIN, 0};
        waits[2] = {-1, 0, 0};
        waits[3] = {-1, 0, 0};
        if (session_) {
            waits[3].fd = session_->twin_fd();
            waits[3].events =
                static_cast<short>(POLLIN | (session_->twin_wants_write() ? POLLOUT : 0));
            waits[2].fd = transport_->poll_fd();
            waits[2].events = static_cast<short>((session_->wants_read() ? POLLIN : 0) |
                                                 (session_->wants_write() ? POLLOUT : 0));
        }
        if (poll(waits.data(), waits.size(), more ? 0 : -1) < 0 && errno != EINTR)
            return;
        if ((waits[0].revents & POLLIN) != 0) {
            uint64_t count;
            static_cast<void>(!read(wake_.get(), &count, sizeof count));
        }
        more = false;
        if (session_ && ((waits[2].revents | waits[3].revents) & POLLOUT) != 0)
            session_->flush();
        // After a hang-up what was sent before is still read, then the end. A client that hung up
        // with more output waiting than we allow is not read any more, so this must end it.
        if (session_ && !session_->wants_read() && (waits[2].revents & POLLHUP) != 0)
            close_session();
        else if (session_)
            more = pump_session();
        if ((waits[1].revents & POLLIN) != 0)
            accept_client();
    }
}

bool Server::pump_session() {
    const Session::State state = session_->pump();
    if (state == Session::State::kOver)
        close_session();
    return state == Session::State::kMore;
}

void Server::close_session() {
    if (options_.report)
        options_.report("vfio-user: client disconnected");
    session_.reset();
    transport_.reset();
    over_ = options_.exit_on_disconnect;
}

void Server::accept_client() {
    UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client) {
        // Out of descriptors the connection stays in the queue and poll() would return at once.
        if (errno == EMFILE || errno == ENFILE)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        return;
    }
    // A client that left and came back at once may be seen to come before it is seen to leave.
    if (session_)
        pump_session();
    if (session_ || over_) {
        if (options_.report)
            options_.report("vfio-user: a second client was turned away");
        return;
    }
    open_session(std::move(client));
}

void Server::open_session(UniqueFd socket) {
    transport_ = std::make_unique<SocketTransport>(std::move(socket));
    session_ = std::make_unique<Session>(*transport_, device_, memory_, irqs_,
                                         Session::Hooks{[this] { wake(); }, options_.report});
}

} // namespace talus::sim::vfio_user

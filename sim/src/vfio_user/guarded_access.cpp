#include "guarded_access.hpp"

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <system_error>

namespace talus::sim::vfio_user::guarded {
namespace {

// Where a SIGBUS on this thread continues; null outside guarded accesses.
constinit thread_local sigjmp_buf* volatile escape = nullptr;

struct sigaction previous_action;

void on_bus_error(int number, siginfo_t* info, void* context) {
    if (sigjmp_buf* target = escape) {
        escape = nullptr;
        siglongjmp(*target, 1);
    }
    if ((previous_action.sa_flags & SA_SIGINFO) != 0) {
        previous_action.sa_sigaction(number, info, context);
    } else if (previous_action.sa_handler == SIG_DFL || previous_action.sa_handler == SIG_IGN) {
        // Not ours: the access is repeated on return and then ends the process as it would have.
        signal(number, SIG_DFL);
    } else {
        previous_action.sa_handler(number);
    }
}

// Not inlined: the frame that called sigsetjmp must hold nothing that the body changes.
template <typename Body>
[[gnu::noinline]] bool guard(const Body& body) {
    sigjmp_buf here;
    // The mask is not saved (a system call): SA_NODEFER leaves SIGBUS unblocked in the handler.
    if (sigsetjmp(here, 0) != 0)
        return false;
    escape = &here;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    body();
    std::atomic_signal_fence(std::memory_order_seq_cst);
    escape = nullptr;
    return true;
}

template <typename T>
bool load(const T* source, T& value) {
    return guard([&] { value = __atomic_load_n(source, __ATOMIC_ACQUIRE); });
}

template <typename T>
bool store(T* destination, T value) {
    return guard([&] { __atomic_store_n(destination, value, __ATOMIC_RELEASE); });
}

} // namespace

void install() {
    static const bool installed = [] {
        struct sigaction action = {};
        action.sa_sigaction = on_bus_error;
        action.sa_flags = SA_SIGINFO | SA_NODEFER;
        sigemptyset(&action.sa_mask);
        if (sigaction(SIGBUS, &action, &previous_action) != 0)
            throw std::system_error(errno, std::generic_category(), "sigaction(SIGBUS)");
        return true;
    }();
    static_cast<void>(installed);
}

bool copy(void* destination, const void* source, size_t length) {
    return guard([&] { std::memcpy(destination, source, length); });
}

bool load8(const uint8_t* source, uint8_t& value) {
    return load(source, value);
}
bool load16(const uint16_t* source, uint16_t& value) {
    return load(source, value);
}
bool load32(const uint32_t* source, uint32_t& value) {
    return load(source, value);
}
bool load64(const uint64_t* source, uint64_t& value) {
    return load(source, value);
}
bool store8(uint8_t* destination, uint8_t value) {
    return store(destination, value);
}
bool store16(uint16_t* destination, uint16_t value) {
    return store(destination, value);
}
bool store32(uint32_t* destination, uint32_t value) {
    return store(destination, value);
}
bool store64(uint64_t* destination, uint64_t value) {
    return store(destination, value);
}

bool load32_array(const uint32_t* source, uint32_t* values, size_t count) {
    return guard([&] {
        for (size_t i = 0; i < count; ++i)
            values[i] = __atomic_load_n(source + i, __ATOMIC_ACQUIRE);
    });
}

} // namespace talus::sim::vfio_user::guarded

#include "sdk/runtime/stream.hpp"

#include <utility>

namespace talus::runtime {

void Marker::pass() {
    const std::lock_guard lock(mutex_);
    passed_ = true;
    changed_.notify_all();
}

void Marker::wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return passed_; });
}

bool Marker::passed() {
    const std::lock_guard lock(mutex_);
    return passed_;
}

Stream::~Stream() {
    {
        const std::lock_guard lock(mutex_);
        closing_ = true;
        changed_.notify_all();
    }
    if (thread_.joinable())
        thread_.join();
}

void Stream::submit(std::function<void()> task) {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    if (!thread_.joinable())
        thread_ = std::thread([this] { work(); });
    changed_.notify_all();
}

std::shared_ptr<Marker> Stream::mark() {
    auto marker = std::make_shared<Marker>();
    submit([marker] { marker->pass(); });
    return marker;
}

void Stream::work() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [&] { return closing_ || !tasks_.empty(); });
        if (tasks_.empty())
            return;
        const std::function<void()> task = std::move(tasks_.front());
        tasks_.pop_front();
        lock.unlock();
        task();
        lock.lock();
    }
}

} // namespace talus::runtime

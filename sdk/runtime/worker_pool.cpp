#include "sdk/runtime/worker_pool.hpp"

#include <algorithm>

namespace talus::runtime {

WorkerPool::WorkerPool(std::size_t workers) : workers_(std::max<std::size_t>(workers, 1)) {}

WorkerPool::~WorkerPool() {
    {
        const std::lock_guard lock(mutex_);
        closing_ = true;
        changed_.notify_all();
    }
    for (std::thread& thread : threads_)
        thread.join();
}

void WorkerPool::take_parts(std::unique_lock<std::mutex>& lock) {
    while (part_ != nullptr && next_ < count_) {
        const auto* part = part_;
        const std::size_t index = next_++;
        ++running_;
        lock.unlock();
        (*part)(index);
        lock.lock();
        --running_;
    }
    if (running_ == 0 && next_ >= count_)
        changed_.notify_all();
}

void WorkerPool::run(std::size_t count, const std::function<void(std::size_t)>& part) {
    if (count == 0)
        return;
    const std::lock_guard turn(turn_);
    std::unique_lock lock(mutex_);
    while (threads_.size() + 1 < workers_)
        threads_.emplace_back([this] { work(); });
    part_ = &part;
    next_ = 0;
    count_ = count;
    changed_.notify_all();
    take_parts(lock);
    changed_.wait(lock, [&] { return running_ == 0 && next_ >= count_; });
    part_ = nullptr;
}

void WorkerPool::work() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [&] { return closing_ || (part_ != nullptr && next_ < count_); });
        if (closing_)
            return;
        take_parts(lock);
    }
}

} // namespace talus::runtime

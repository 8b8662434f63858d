#include "value_pool.hpp"

#include <algorithm>
#include <utility>

namespace talus::sim {

namespace {

/// Streams with work that are worth the waking of a thread. All PEs of a large job get there
/// together; what a few leave, the timing thread computes when it needs it.
constexpr std::size_t kWorthWaking = 16;

} // namespace

ValuePool& ValuePool::shared(unsigned threads) {
    static ValuePool pool;
    const std::lock_guard lock(pool.mutex_);
    while (pool.threads_.size() < threads) {
        pool.threads_.emplace_back([] { pool.work(); });
    }
    return pool;
}

ValuePool::~ValuePool() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    work_there_.notify_all();
    for (std::thread& thread : threads_) {
        thread.join();
    }
}

ValuePool::Stream::Batch* ValuePool::first_queued(Stream& stream) {
    const auto found = std::find_if(
        stream.batches_.begin(), stream.batches_.end(),
        [](const Stream::Batch& batch) { return batch.state == Stream::State::kQueued; });
    return stream.running_ || found == stream.batches_.end() ? nullptr : &*found;
}

void ValuePool::list(Stream& stream) {
    if (!stream.listed_ && !threads_.empty() && first_queued(stream) != nullptr) {
        stream.listed_ = true;
        ready_.push_back(&stream);
    }
}

void ValuePool::submit(Stream& stream, std::vector<Matmul> products) {
    bool wake = false;
    {
        const std::lock_guard lock(mutex_);
        stream.batches_.push_back({std::move(products)});
        list(stream);
        wake = ready_.size() == kWorthWaking;
    }
    if (wake) {
        work_there_.notify_one();
    }
}

void ValuePool::finish(Stream& stream, std::size_t count) {
    std::unique_lock lock(mutex_);
    for (; count > 0; --count) {
        Stream::Batch& batch = stream.batches_.front();
        if (batch.state == Stream::State::kQueued && !stream.running_) {
            stream.running_ = true;
            batch.state = Stream::State::kRunning;
            lock.unlock();
            dpe_matmul_batch(batch.products.data(), batch.products.size());
            lock.lock();
            stream.running_ = false;
            batch.state = Stream::State::kDone;
        }
        batch_done_.wait(lock, [&] { return batch.state == Stream::State::kDone; });
        stream.batches_.pop_front();
    }
    if (stream.batches_.empty() && stream.listed_) {
        ready_.erase(std::find(ready_.begin(), ready_.end(), &stream));
        stream.listed_ = false;
    }
    list(stream);
}

void ValuePool::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        work_there_.wait(lock, [this] { return stop_ || !ready_.empty(); });
        if (stop_) {
            return;
        }
        Stream& stream = *ready_.front();
        ready_.pop_front();
        stream.listed_ = false;
        Stream::Batch* batch = first_queued(stream);
        if (batch == nullptr) {
            continue;
        }
        stream.running_ = true;
        batch->state = Stream::State::kRunning;
        lock.unlock();
        dpe_matmul_batch(batch->products.data(), batch->products.size());
        lock.lock();
        stream.running_ = false;
        batch->state = Stream::State::kDone;
        list(stream);
        batch_done_.notify_all();
    }
}

} // namespace talus::sim

// Threads that share the rows of one kernel call. A CPU device owns one pool, started by its first
// use, whatever the number of models and requests.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace talus::runtime {

class WorkerPool {
  public:
    // `workers` threads work in all, the caller of run() among them.
    explicit WorkerPool(std::size_t workers);
    ~WorkerPool();
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    std::size_t workers() const { return workers_; }

    // Calls part(0) .. part(count - 1), each once, and returns when all are done. The parts must
    // not throw. Callers from several threads take turns.
    void run(std::size_t count, const std::function<void(std::size_t)>& part);

  private:
    void work();
    void take_parts(std::unique_lock<std::mutex>& lock);

    const std::size_t workers_;
    std::mutex turn_; // one run() at a time
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::thread> threads_;
    const std::function<void(std::size_t)>* part_ = nullptr;
    std::size_t next_ = 0;
    std::size_t count_ = 0;
    std::size_t running_ = 0;
    bool closing_ = false;
};

} // namespace talus::runtime

// In-order asynchronous execution: a stream is a queue of tasks and the thread that works it off.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace talus::runtime {

// A point in a stream. Copies of the pointer may be waited for from any thread.
class Marker {
  public:
    void pass();
    void wait();
    bool passed();

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool passed_ = false;
};

class Stream {
  public:
    Stream() = default;
    ~Stream(); // waits for everything submitted
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    // Tasks run one after the other and must not throw.
    void submit(std::function<void()> task);
    // A marker that passes when everything submitted so far is done.
    std::shared_ptr<Marker> mark();
    void synchronize() { mark()->wait(); }

  private:
    void work();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> tasks_;
    bool closing_ = false;
    std::thread thread_; // started by the first task
};

} // namespace talus::runtime

// Host threads that compute products while the timing thread simulates on.
#ifndef TALUS_SIM_PE_VALUE_POOL_HPP
#define TALUS_SIM_PE_VALUE_POOL_HPP

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "vector_kernels.hpp"

namespace talus::sim {

/// Results do not depend on the number of threads, nor on who computes what: batches of one stream
/// are computed in order, those of different streams have no memory in common that is written.
class ValuePool {
  public:
    /// Products of one PE, in order. Belongs to the timing thread; outlives its batches.
    class Stream {
      public:
        std::size_t size() const { return batches_.size(); }
        /// Batch `index`, oldest first.
        const std::vector<Matmul>& operator[](std::size_t index) const {
            return batches_[index].products;
        }

      private:
        friend class ValuePool;
        enum class State : unsigned char { kQueued, kRunning, kDone };
        struct Batch {
            std::vector<Matmul> products; ///< constant once submitted
            State state = State::kQueued; ///< under the pool's mutex
        };
        std::deque<Batch> batches_; ///< changed by the timing thread, under the mutex
        bool running_ = false;      ///< someone computes a batch; under the mutex
        bool listed_ = false;       ///< in ready_; under the mutex
    };

    /// The process's pool, which all devices share. Its threads begin when first asked for;
    /// `threads` counts those beside the caller's.
    static ValuePool& shared(unsigned threads);

    /// Operands stay as they are and banks untouched until finish().
    void submit(Stream& stream, std::vector<Matmul> products);
    /// Returns when the `count` oldest batches are computed, which are then gone. Computes itself
    /// what no thread has begun.
    void finish(Stream& stream, std::size_t count);

  private:
    ValuePool() = default;
    ~ValuePool();
    void work();
    Stream::Batch* first_queued(Stream& stream);
    void list(Stream& stream);

    std::mutex mutex_;
    std::condition_variable work_there_;
    std::condition_variable batch_done_;
    std::deque<Stream*> ready_; ///< streams that may have queued batches
    std::vector<std::thread> threads_;
    bool stop_ = false;
};

} // namespace talus::sim

#endif

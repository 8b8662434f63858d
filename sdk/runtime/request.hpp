// A request: one set of inputs and outputs for a model, with its own memory on every device that
// the plan uses. One run in flight; belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sdk/runtime/index_packing.hpp"
#include "sdk/runtime/model.hpp"
#include "sdk/runtime/roofline.hpp"

namespace talus::runtime {

struct OperatorStats {
    std::string name;
    std::string op;
    std::string target;
    std::string precision;
    const char* clock = "host";
    std::uint64_t launches = 0;
    std::uint64_t device_cycles = 0;
    double seconds = 0;
    std::uint64_t bytes = 0;
    double flops = 0;
    std::uint64_t overflows = 0;
    std::uint64_t fast_bytes = 0;  // of `bytes`: those in on-chip memory
    std::uint64_t large_bytes = 0; // and those in main device memory
    double peak_flops = 0;
    double peak_fast_bytes = 0;
    double peak_large_bytes = 0;
    // Of the roofline, after each run.
    std::vector<talus_usage> resources;
    std::vector<talus_usage> stalls;
    std::vector<talus_counter> counters;
    Roofline roofline;

    // The least time that a peak allows (arithmetic, on-chip or main memory), as a share of the
    // time it took; negative without peaks or a time.
    double utilisation() const;
};

struct RequestStats {
    std::uint64_t runs = 0;
    std::uint64_t samples = 0;
    std::uint64_t device_cycles = 0;
    double device_seconds = 0;
    double wall_seconds = 0;
    std::uint64_t recoveries = 0;
};

class Request {
  public:
    explicit Request(ModelPtr model);
    ~Request();
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    const ModelPtr& model() const { return model_; }

    // Takes the inputs, outputs and statistics of a request for the same graph, whose run was lost
    // with a device. It is not run again.
    void take_over(Request& lost);

    // Copies the description, not the data. Throws Failure BAD_INPUT.
    void set_input(std::size_t index, const talus_tensor& tensor);
    void set_output(std::size_t index, void* data, std::size_t capacity_bytes);
    // Runs on the calling thread. Throws Failure.
    void run();
    // The latest successful run's output.
    talus_tensor output(std::size_t index) const;

    const std::vector<OperatorStats>& operators() const { return operators_; }
    const RequestStats& stats() const { return stats_; }

  private:
    struct DeviceState;
    struct NodeState;

    std::int64_t bind_batch() const;
    const talus_tensor& tensor(graph::ValueId input) const;
    void prepare_outputs(std::int64_t batch);
    void run_chunk(std::int64_t total, std::int64_t first, std::int64_t batch);
    void pack(std::int64_t total, std::int64_t first, std::int64_t batch);
    void upload(const plan::Step& step, std::int64_t first, std::int64_t batch);
    void download(const plan::Step& step, std::int64_t batch);
    void launch(const plan::Step& step, std::int64_t first, std::int64_t batch);
    // Runs a call on the host's workers, each taking a share of the rows.
    void launch_on_host(const plan::NodePlan& planned, std::size_t number,
                        const plan::Binding& binding, const std::string& where);
    void collect_outputs(std::int64_t first, std::int64_t batch);
    void synchronize(std::size_t device);
    // Waits for the devices that still owe the host a storage.
    void await_downloads();
    // Where the host has sample 0 of this chunk of a storage, and its pitch in elements.
    std::byte* host_rows(graph::ValueId storage, std::int64_t first, std::int64_t& pitch) const;
    void* device_rows(std::size_t device, graph::ValueId storage) const;

    ModelPtr model_;
    std::vector<talus_tensor> inputs_; // data null until bound
    struct Output {
        void* data = nullptr; // the caller's, or null
        std::size_t capacity = 0;
        std::vector<std::byte> own;
        talus_tensor tensor{};
    };
    std::vector<Output> outputs_;
    std::vector<std::unique_ptr<DeviceState>> devices_;
    std::vector<std::unique_ptr<NodeState>> nodes_;
    std::vector<OperatorStats> operators_;
    RequestStats stats_;
    bool valid_ = false; // outputs hold a successful run
};

} // namespace talus::runtime

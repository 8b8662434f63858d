// ONNX models for tests, built in memory. No protobuf in this header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace talus::test {

// A dimension: an extent, or a symbol where `symbol` is not empty.
struct D {
    D(std::int64_t value) : extent(value) {}         // NOLINT: literals read as dimensions
    D(const char* name) : extent(0), symbol(name) {} // NOLINT
    std::int64_t extent;
    std::string symbol;
};

struct Attr {
    enum class Kind { kInt, kInts, kFloat } kind;
    std::string name;
    std::int64_t i = 0;
    std::vector<std::int64_t> ints;
    float f = 0;

    static Attr integer(std::string name, std::int64_t value) {
        return {Kind::kInt, std::move(name), value, {}, 0};
    }
    static Attr list(std::string name, std::vector<std::int64_t> values) {
        return {Kind::kInts, std::move(name), 0, std::move(values), 0};
    }
    static Attr real(std::string name, float value) {
        return {Kind::kFloat, std::move(name), 0, {}, value};
    }
};

class GraphBuilder {
  public:
    GraphBuilder();
    ~GraphBuilder();
    GraphBuilder(GraphBuilder&&) noexcept;
    GraphBuilder& operator=(GraphBuilder&&) noexcept;

    void input(const std::string& name, int dtype, const std::vector<D>& shape);
    void output(const std::string& name, int dtype = 1, const std::vector<D>& shape = {});
    void floats(const std::string& name, std::vector<std::int64_t> shape, std::vector<float> data);
    void ints(const std::string& name, std::vector<std::int64_t> shape,
              std::vector<std::int64_t> data);
    void boolean(const std::string& name, bool value);
    // Any tensor, without a check: dims, type, raw bytes. For hostile models.
    void raw_tensor(const std::string& name, int dtype, std::vector<std::int64_t> shape,
                    const std::string& raw);
    void external_tensor(const std::string& name, std::vector<std::int64_t> shape);
    void node(const std::string& op, const std::vector<std::string>& inputs,
              const std::vector<std::string>& outputs, const std::vector<Attr>& attributes = {},
              const GraphBuilder* body = nullptr);

    // A whole model file.
    std::vector<std::byte> model(std::int64_t opset = 13) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// The Loop that PyTorch exports for nn.EmbeddingBag over `table`: indices `idx`, offsets `off`.
struct BagOptions {
    std::string reduce = "ReduceSum";
    bool include_last_offset = false;
    bool slice_starts = true; // newer exporters also slice offsets[0:]; PyTorch 1.13 does not
};
void embedding_bag(GraphBuilder& graph, const std::string& prefix, const std::string& table,
                   const std::string& idx, const std::string& off, const std::string& result,
                   const BagOptions& options = {});

} // namespace talus::test

// Runs a DLRM that dump_model.py wrote on one target, both as one-hot look-ups and as ragged bags,
// and compares with PyTorch's probabilities.
//
//   model_check FILE --target NAME [--cuda-library PATH] [--tolerance T] [--repeat N]
//
// Prints one line per form: largest difference, and the time of a batch by the target's events.
// Exit 0: all within the tolerance.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/fc/op.hpp"
#include "kernels/interaction/op.hpp"
#include "kernels/tbe/op.hpp"
#include "tests/conformance/targets.hpp"

namespace {

using namespace talus::kernels;

struct Layer {
    int64_t n = 0, k = 0;
    fc::Activation activation = fc::Activation::kNone;
    std::vector<float> weights, bias;
};

struct Model {
    int64_t batch = 0, columns = 0, width = 0;
    std::vector<Layer> bottom, top;
    std::vector<tbe::Table> tables;
    std::vector<uint8_t> blob;
    std::vector<float> dense, expected;
    std::vector<int64_t> indices; // [batch][tables]
};

class Reader {
  public:
    explicit Reader(const std::string& path) : file_(path, std::ios::binary), path_(path) {}
    int64_t integer() {
        int32_t value = 0;
        raw(&value, sizeof value);
        return value;
    }
    template <typename T>
    std::vector<T> numbers(int64_t count) {
        if (count < 0 || count > (int64_t{1} << 30))
            throw std::runtime_error("not a model: " + path_);
        std::vector<T> values(static_cast<size_t>(count));
        raw(values.data(), values.size() * sizeof(T));
        return values;
    }
    void raw(void* to, size_t bytes) {
        if (!file_.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes)))
            throw std::runtime_error("cannot read " + path_);
    }

  private:
    std::ifstream file_;
    std::string path_;
};

Model read_model(const std::string& path) {
    Reader reader(path);
    char magic[8];
    reader.raw(magic, sizeof magic);
    if (std::memcmp(magic, "TDLRM1\0", 8) != 0)
        throw std::runtime_error("not a model: " + path);
    Model model;
    model.batch = reader.integer();
    model.columns = reader.integer();
    model.tables.resize(static_cast<size_t>(reader.integer()));
    model.width = reader.integer();
    model.bottom.resize(static_cast<size_t>(reader.integer()));
    model.top.resize(static_cast<size_t>(reader.integer()));
    for (auto* layers : {&model.bottom, &model.top})
        for (Layer& layer : *layers) {
            layer.n = reader.integer();
            layer.k = reader.integer();
            layer.activation = static_cast<fc::Activation>(reader.integer());
            layer.weights = reader.numbers<float>(layer.n * layer.k);
            layer.bias = reader.numbers<float>(layer.n);
        }
    int32_t column = 0;
    for (tbe::Table& table : model.tables) {
        table.rows = reader.integer();
        table.width = static_cast<int32_t>(model.width);
        table.column = column;
        table.byte_offset = model.blob.size();
        column += table.width;
        const auto rows = reader.numbers<float>(table.rows * model.width);
        const auto* bytes = reinterpret_cast<const uint8_t*>(rows.data());
        model.blob.insert(model.blob.end(), bytes, bytes + rows.size() * sizeof(float));
    }
    model.dense = reader.numbers<float>(model.batch * model.columns);
    model.indices =
        reader.numbers<int64_t>(model.batch * static_cast<int64_t>(model.tables.size()));
    model.expected = reader.numbers<float>(model.batch);
    return model;
}

void check(Status status, const Diagnostic& diagnostic) {
    if (status != Status::kOk)
        throw std::runtime_error(diagnostic.text);
}

// A call with what it owns, prepacked and with its workspace.
struct Call {
    std::string op;
    fc::Attributes fc;
    tbe::Attributes tbe;
    interaction::Attributes interaction;
    std::vector<TensorView> inputs;
    TensorView output;
    void* packed = nullptr;
    void* workspace = nullptr;

    Node node() {
        Node node;
        node.op = op.c_str();
        node.attributes = op == "fc"    ? static_cast<const void*>(&fc)
                          : op == "tbe" ? static_cast<const void*>(&tbe)
                                        : static_cast<const void*>(&interaction);
        node.inputs = inputs.data();
        node.input_count = static_cast<int32_t>(inputs.size());
        node.outputs = &output;
        node.output_count = 1;
        return node;
    }
};

class Executor {
  public:
    Executor(const Target* target, const Model& model) : target_(target), model_(model) {
        check(target_->open(0, &device_, &diagnostic_), diagnostic_);
        check(target_->stream_create(device_, &stream_, &diagnostic_), diagnostic_);
    }
    ~Executor() {
        for (void* memory : memory_)
            target_->release(device_, memory);
        target_->stream_destroy(stream_);
        target_->close(device_);
    }
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;

    void build(bool ragged);
    // Probabilities, and seconds of one batch on the target's clock, averaged over `repeat` runs.
    std::vector<float> run(int repeat, double& seconds);

  private:
    void* take(size_t bytes, const void* contents = nullptr) {
        void* memory = nullptr;
        check(target_->allocate(device_, bytes, &memory, &diagnostic_), diagnostic_);
        memory_.push_back(memory);
        if (contents != nullptr) {
            check(target_->copy(stream_, memory, contents, bytes, CopyKind::kHostToDevice,
                                &diagnostic_),
                  diagnostic_);
            check(target_->synchronize(stream_, &diagnostic_), diagnostic_);
        }
        return memory;
    }
    TensorView matrix(void* data, int64_t columns, int64_t pitch) const {
        const int64_t shape[] = {model_.batch, columns};
        TensorView view = make_view(data, DType::kFloat32, shape);
        view.strides[0] = pitch;
        return view;
    }
    void add(Call call) {
        const Node node = call.node();
        check(target_->supports(device_, &node, &diagnostic_), diagnostic_);
        size_t packed = 0;
        size_t workspace = 0;
        check(target_->packed_bytes(device_, &node, &packed, &diagnostic_), diagnostic_);
        check(target_->workspace_bytes(device_, &node, &workspace, &diagnostic_), diagnostic_);
        if (packed > 0) {
            std::vector<uint8_t> host(packed);
            check(target_->prepack(device_, &node, host.data(), &diagnostic_), diagnostic_);
            call.packed = take(packed, host.data());
        }
        if (workspace > 0)
            call.workspace = take(workspace);
        calls_.push_back(std::move(call));
    }
    TensorView add_layers(const std::vector<Layer>& layers, TensorView x, const TensorView& last);
    void add_lookups(bool ragged, const TensorView& output);

    const Target* target_;
    const Model& model_;
    Device* device_ = nullptr;
    Stream* stream_ = nullptr;
    Diagnostic diagnostic_;
    std::vector<void*> memory_;
    std::vector<Call> calls_;
    TensorView result_;
};

// The last layer writes to `last` if that has data, else to memory of its own.
TensorView Executor::add_layers(const std::vector<Layer>& layers, TensorView x,
                                const TensorView& last) {
    for (const Layer& layer : layers) {
        Call call;
        call.op = "fc";
        call.fc.activation = layer.activation;
        const int64_t w[] = {layer.n, layer.k};
        const int64_t b[] = {layer.n};
        call.inputs = {x, make_view(const_cast<float*>(layer.weights.data()), DType::kFloat32, w),
                       make_view(const_cast<float*>(layer.bias.data()), DType::kFloat32, b)};
        const bool is_last = &layer == &layers.back();
        call.output =
            is_last && last.data != nullptr
                ? last
                : matrix(take(static_cast<size_t>(model_.batch * layer.n) * 4), layer.n, layer.n);
        x = call.output;
        add(std::move(call));
    }
    return x;
}

void Executor::add_lookups(bool ragged, const TensorView& output) {
    const auto tables = static_cast<int64_t>(model_.tables.size());
    Call call;
    call.op = "tbe";
    call.tbe.tables = model_.tables.data();
    call.tbe.table_count = static_cast<int32_t>(tables);
    const int64_t blob[] = {static_cast<int64_t>(model_.blob.size())};
    call.inputs.push_back(make_view(const_cast<uint8_t*>(model_.blob.data()), DType::kUint8, blob));
    if (!ragged) { // [tables, batch, 1] over the [batch, tables] input
        void* indices = take(model_.indices.size() * 8, model_.indices.data());
        const int64_t shape[] = {tables, model_.batch, 1};
        TensorView view = make_view(indices, DType::kInt64, shape);
        view.strides[0] = 1;
        view.strides[1] = tables;
        call.tbe.negative_indices = 1;
        call.inputs.push_back(view);
    } else {
        std::vector<int64_t> flat(model_.indices.size());
        std::vector<int64_t> offsets(model_.indices.size() + 1);
        for (int64_t t = 0; t < tables; ++t)
            for (int64_t b = 0; b < model_.batch; ++b)
                flat[static_cast<size_t>(t * model_.batch + b)] =
                    model_.indices[static_cast<size_t>(b * tables + t)];
        for (size_t i = 0; i < offsets.size(); ++i)
            offsets[i] = static_cast<int64_t>(i);
        const int64_t count[] = {static_cast<int64_t>(flat.size())};
        const int64_t bounds[] = {static_cast<int64_t>(offsets.size())};
        call.tbe.batch = static_cast<int32_t>(model_.batch);
        call.inputs.push_back(make_view(take(flat.size() * 8, flat.data()), DType::kInt64, count));
        call.inputs.push_back(
            make_view(take(offsets.size() * 8, offsets.data()), DType::kInt64, bounds));
    }
    call.output = output;
    add(std::move(call));
}

// Bottom layers and look-ups write side by side into the features, so that nothing is concatenated.
void Executor::build(bool ragged) {
    const auto tables = static_cast<int64_t>(model_.tables.size());
    const int64_t pitch = (tables + 1) * model_.width;
    auto* features = static_cast<float*>(take(static_cast<size_t>(model_.batch * pitch) * 4));
    void* dense = take(model_.dense.size() * 4, model_.dense.data());
    const TensorView bottom =
        add_layers(model_.bottom, matrix(dense, model_.columns, model_.columns),
                   matrix(features, model_.width, pitch));
    add_lookups(ragged, matrix(features + model_.width, tables * model_.width, pitch));
    Call call;
    call.op = "interaction";
    const int64_t shape[] = {model_.batch, tables + 1, model_.width};
    call.inputs = {make_view(features, DType::kFloat32, shape), bottom};
    const int64_t columns = model_.width + interaction::pair_count(tables + 1, false);
    call.output = matrix(take(static_cast<size_t>(model_.batch * columns) * 4), columns, columns);
    const TensorView pairs = call.output;
    add(std::move(call));
    result_ = add_layers(model_.top, pairs, TensorView{});
}

std::vector<float> Executor::run(int repeat, double& seconds) {
    Event* begin = nullptr;
    Event* end = nullptr;
    check(target_->event_create(device_, &begin, &diagnostic_), diagnostic_);
    check(target_->event_create(device_, &end, &diagnostic_), diagnostic_);
    for (int i = -1; i < repeat; ++i) { // the first run is not timed
        if (i == 0)
            check(target_->record(stream_, begin, &diagnostic_), diagnostic_);
        for (Call& call : calls_) {
            const Node node = call.node();
            check(target_->launch(stream_, &node, call.packed, call.workspace, &diagnostic_),
                  diagnostic_);
        }
    }
    check(target_->record(stream_, end, &diagnostic_), diagnostic_);
    std::vector<float> result(static_cast<size_t>(model_.batch));
    check(target_->copy(stream_, result.data(), result_.data, result.size() * 4,
                        CopyKind::kDeviceToHost, &diagnostic_),
          diagnostic_);
    check(target_->synchronize(stream_, &diagnostic_), diagnostic_);
    check(target_->elapsed(begin, end, &seconds, &diagnostic_), diagnostic_);
    seconds /= repeat;
    target_->event_destroy(begin);
    target_->event_destroy(end);
    return result;
}

// True if all probabilities are within the tolerance.
bool check_form(const Target* target, const Model& model, const std::string& name, bool ragged,
                double tolerance, int repeat) {
    Executor executor(target, model);
    executor.build(ragged);
    double seconds = 0;
    const std::vector<float> got = executor.run(repeat, seconds);
    double worst = 0;
    for (size_t i = 0; i < got.size(); ++i) {
        const double difference = std::fabs(static_cast<double>(got[i]) - model.expected[i]);
        worst = difference <= worst ? worst : difference; // NaN stays
    }
    const bool passed = worst <= tolerance;
    std::printf("%s, %s, %lld rows: max |p - PyTorch| %.3g (tolerance %.3g) %s; %.1f us a batch\n",
                name.c_str(), ragged ? "bags" : "one-hot", static_cast<long long>(model.batch),
                worst, tolerance, passed ? "ok" : "FAILED", seconds * 1e6);
    return passed;
}

} // namespace

int main(int argc, char** argv) {
    try {
        std::string file;
        std::string name = "cuda";
        talus::conformance::TargetPaths paths;
        double tolerance = 1e-5;
        int repeat = 20;
        for (int i = 1; i < argc; ++i) {
            const std::string option = argv[i];
            if (option.rfind("--", 0) != 0) {
                file = option;
                continue;
            }
            if (i + 1 >= argc)
                throw std::runtime_error("missing value: " + option);
            const std::string value = argv[++i];
            if (option == "--target")
                name = value;
            else if (option == "--cuda-library")
                paths.cuda_library = value;
            else if (option == "--tolerance")
                tolerance = std::stod(value);
            else if (option == "--repeat")
                repeat = std::max(1, std::stoi(value));
            else
                throw std::runtime_error("unknown option: " + option);
        }
        std::string reason;
        const Target* target = talus::conformance::find_target(name, paths, reason);
        if (target == nullptr)
            throw std::runtime_error(name + ": " + reason);
        const Model model = read_model(file);
        const std::string label = file.substr(file.find_last_of('/') + 1);
        bool passed = true;
        for (const bool ragged : {false, true})
            passed = check_form(target, model, label, ragged, tolerance, repeat) && passed;
        return passed ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "model_check: %s\n", error.what());
        return 2;
    }
}

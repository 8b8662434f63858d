#include "sdk/tools/talus_run/binding.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "sdk/common/error.hpp"

namespace talus::run {

namespace {

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

const char* dtype_name(std::int32_t dtype) {
    switch (dtype) {
    case TALUS_FLOAT32:
        return "float32";
    case TALUS_INT32:
        return "int32";
    case TALUS_INT64:
        return "int64";
    case TALUS_FLOAT16:
        return "float16";
    }
    return "?";
}

bool is_integer(const talus_tensor_info& input) {
    return input.dtype == TALUS_INT64 || input.dtype == TALUS_INT32;
}

bool has_width(const talus_tensor_info& input, std::size_t width) {
    return input.rank == 2 && input.shape[1] == static_cast<std::int64_t>(width);
}

bool is_column(const talus_tensor_info& input) {
    return input.rank == 1 || has_width(input, 1);
}

// The number after one of `prefixes`, as in idx7, or nothing.
bool numbered(const std::string& name, std::initializer_list<std::string_view> prefixes,
              std::size_t& number) {
    for (std::string_view prefix : prefixes) {
        if (!name.starts_with(prefix))
            continue;
        std::string_view rest = std::string_view(name).substr(prefix.size());
        if (!rest.empty() && (rest.front() == '_' || rest.front() == '.'))
            rest.remove_prefix(1);
        const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
        if (error == std::errc{} && end == rest.data() + rest.size())
            return true;
    }
    return false;
}

} // namespace

std::string describe(const talus_tensor_info& input) {
    std::vector<std::string> dims;
    dims.reserve(TALUS_MAX_RANK);
    for (std::int32_t d = 0; d < input.rank; ++d)
        dims.push_back(input.shape[d] >= 0 ? fmt::to_string(input.shape[d]) : input.symbols[d]);
    return fmt::format("{} {} [{}]", input.name, dtype_name(input.dtype), fmt::join(dims, ","));
}

std::string describe_inputs(const Model& model) {
    std::string text;
    for (std::size_t i = 0; i < model.input_count(); ++i)
        text += "\n  " + describe(model.input(i));
    return text;
}

Binding::Binding(const Model& model, const features::Encoder& encoder)
    : dense_width_(encoder.dense_columns().size()), sparse_width_(encoder.sparse_columns().size()) {
    for (const std::string& name : encoder.dense_columns())
        dense_names_.push_back(lower(name));
    for (const std::string& name : encoder.sparse_columns())
        sparse_names_.push_back(lower(name));
    std::vector<std::string> left;
    std::size_t float_matrices = 0;
    std::size_t integer_matrices = 0;
    for (std::size_t i = 0; i < model.input_count(); ++i) {
        const talus_tensor_info input = model.input(i);
        float_matrices += input.rank == 2 && input.dtype == TALUS_FLOAT32;
        integer_matrices += input.rank == 2 && is_integer(input);
    }
    for (std::size_t i = 0; i < model.input_count(); ++i) {
        const talus_tensor_info input = model.input(i);
        Bound bound;
        bound.dtype = input.dtype;
        bound.rank = input.rank;
        const bool unique = (is_integer(input) ? integer_matrices : float_matrices) == 1;
        if (!bind_by_name(input, bound) && !(unique && bind_by_shape(input, bound)))
            left.push_back(describe(input));
        inputs_.push_back(std::move(bound));
    }
    if (!left.empty())
        fail(TALUS_ERROR_BAD_INPUT,
             "cannot tell which columns feed {}; the encoder has {} dense and {} sparse columns; "
             "the "
             "model's inputs are:{}\nName them dense, sparse, idxN and offN, or after the columns.",
             fmt::join(left, ", "), dense_width_, sparse_width_, describe_inputs(model));
}

bool Binding::bind_by_name(const talus_tensor_info& input, Bound& bound) const {
    const std::string name = lower(input.name);
    const bool real = input.dtype == TALUS_FLOAT32;
    if (name == "dense" && real && has_width(input, dense_width_)) {
        bound.source = Source::kDense;
        return true;
    }
    if (name == "sparse" && is_integer(input) && has_width(input, sparse_width_)) {
        bound.source = Source::kSparse;
        return true;
    }
    const auto& names = real ? dense_names_ : sparse_names_;
    const auto found = std::find(names.begin(), names.end(), name);
    if (found != names.end() && is_column(input) && (real || is_integer(input))) {
        bound.source = real ? Source::kDenseColumn : Source::kSparseColumn;
        bound.column = static_cast<std::size_t>(found - names.begin());
        return true;
    }
    if (!is_integer(input) || input.rank != 1)
        return false;
    if (numbered(name, {"idx", "indices", "index"}, bound.column) && bound.column < sparse_width_) {
        bound.source = Source::kSparseColumn;
        return true;
    }
    if (numbered(name, {"off", "offsets", "offset"}, bound.column) &&
        bound.column < sparse_width_) {
        bound.source = Source::kOffsets;
        return true;
    }
    return false;
}

bool Binding::bind_by_shape(const talus_tensor_info& input, Bound& bound) const {
    if (input.dtype == TALUS_FLOAT32 && has_width(input, dense_width_)) {
        bound.source = Source::kDense;
        return true;
    }
    if (is_integer(input) && has_width(input, sparse_width_)) {
        bound.source = Source::kSparse;
        return true;
    }
    return false;
}

void Binding::apply(const features::Batch& batch, Request& request) {
    const auto rows = static_cast<std::int64_t>(batch.rows);
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
        Bound& bound = inputs_[i];
        if (bound.source == Source::kDense) {
            request.set_input(i, std::span<const float>(batch.dense),
                              {rows, static_cast<std::int64_t>(dense_width_)});
            continue;
        }
        std::vector<std::int64_t> shape = {rows};
        if (bound.source == Source::kSparse)
            shape.push_back(static_cast<std::int64_t>(sparse_width_));
        else if (bound.rank == 2)
            shape.push_back(1);
        if (bound.source == Source::kDenseColumn) {
            bound.floats.clear();
            for (std::size_t r = 0; r < batch.rows; ++r)
                bound.floats.push_back(batch.dense[r * dense_width_ + bound.column]);
            request.set_input(i, std::span<const float>(bound.floats), shape);
            continue;
        }
        bound.wide.clear();
        if (bound.source == Source::kSparse)
            bound.wide = batch.sparse;
        else
            for (std::size_t r = 0; r < batch.rows; ++r)
                bound.wide.push_back(bound.source == Source::kOffsets
                                         ? static_cast<std::int64_t>(r)
                                         : batch.sparse[r * sparse_width_ + bound.column]);
        if (bound.dtype == TALUS_INT64) {
            request.set_input(i, std::span<const std::int64_t>(bound.wide), shape);
        } else {
            bound.narrow.assign(bound.wide.begin(), bound.wide.end());
            request.set_input(i, std::span<const std::int32_t>(bound.narrow), shape);
        }
    }
}

} // namespace talus::run

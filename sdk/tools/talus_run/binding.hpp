// Which of a model's inputs gets which of an encoder's columns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sdk/features/encoder.hpp"
#include "talus/talus.hpp"

namespace talus::run {

// Fills a model's inputs from encoded rows. An input is bound by name:
//   "dense"            float32 [batch, dense columns]
//   "sparse"           integers [batch, sparse columns]
//   a column's name    float32 or integers [batch] or [batch, 1]
//   "idxN", "offN"     integers: indices and offsets of the bags of sparse column N, from 0
//                      (also indicesN, offsetsN, with or without an underscore)
// and otherwise by rank and type, if that is unique. Throws Failure BAD_INPUT that lists the
// model's inputs when one is left over.
class Binding {
  public:
    Binding(const Model& model, const features::Encoder& encoder);

    // Binds rows [0, batch.rows) of `batch`. Both must outlive the request's run.
    void apply(const features::Batch& batch, Request& request);

  private:
    enum class Source { kDense, kSparse, kDenseColumn, kSparseColumn, kOffsets };
    struct Bound {
        Source source;
        std::size_t column = 0;
        std::int32_t dtype = TALUS_FLOAT32;
        std::int32_t rank = 2;
        std::vector<float> floats;
        std::vector<std::int64_t> wide;
        std::vector<std::int32_t> narrow;
    };

    bool bind_by_name(const talus_tensor_info& input, Bound& bound) const;
    bool bind_by_shape(const talus_tensor_info& input, Bound& bound) const;

    std::size_t dense_width_;
    std::size_t sparse_width_;
    std::vector<std::string> dense_names_;
    std::vector<std::string> sparse_names_;
    std::vector<Bound> inputs_;
};

// "dense float32 [batch,13]"
std::string describe(const talus_tensor_info& input);
// All inputs of a model, one per line.
std::string describe_inputs(const Model& model);

} // namespace talus::run

// From a raw row to model inputs, as encoder.json describes it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sdk/features/csv.hpp"

namespace talus::features {

// Rows ready for a model. Row-major.
struct Batch {
    std::size_t rows = 0;
    std::vector<float> dense;         // [rows, dense columns]
    std::vector<std::int64_t> sparse; // [rows, sparse columns]
    std::vector<std::int8_t> labels;  // 0 or 1; empty if the log has none

    void clear();
};

// Immutable after load; may be shared by threads.
class Encoder {
  public:
    // Throws Failure: NOT_FOUND, or DATA when the file is not an encoder that this reads.
    static Encoder load(const std::string& path);
    static Encoder parse(std::string_view json, const std::string& name);

    const std::vector<std::string>& dense_columns() const { return dense_columns_; }
    const std::vector<std::string>& sparse_columns() const { return sparse_columns_; }
    // Rows of each table as the encoder states them; empty if it does not.
    const std::vector<std::int64_t>& table_rows() const { return table_rows_; }

    // (log1p(max(x + 1, 0)) - mean) / std in binary32; an empty text is the value for missing.
    // nullopt: not a finite number.
    std::optional<float> encode_dense(std::size_t column, std::string_view text) const;
    // Vocabulary id; empty -> missing_id; unknown -> first_id + crc32(text) % buckets.
    std::int64_t encode_sparse(std::size_t column, std::string_view text) const;

    // Appends up to `rows` rows of `reader` to `batch` and returns how many there were. Throws
    // Failure DATA naming file, line and column.
    std::size_t read(LogReader& reader, std::size_t rows, Batch& batch) const;

  private:
    // Lets a string_view look up a std::string key.
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>{}(text);
        }
    };
    using Vocabulary = std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>>;

    std::vector<std::string> dense_columns_;
    std::vector<float> mean_;
    std::vector<float> std_;
    float dense_missing_ = 0.0F;
    std::vector<std::string> sparse_columns_;
    std::vector<Vocabulary> vocabulary_;
    std::vector<std::int64_t> table_rows_;
    std::int64_t missing_id_ = 0;
    std::int64_t unknown_first_ = 1;
    std::uint32_t unknown_buckets_ = 1;
};

// CRC-32 of IEEE 802.3 (zlib's crc32).
std::uint32_t crc32(std::string_view bytes);

} // namespace talus::features

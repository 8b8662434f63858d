#include "sdk/features/encoder.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "sdk/common/error.hpp"

namespace talus::features {

namespace {

using nlohmann::json;

constexpr const char* kTransform = "log1p(max(x + 1, 0))";
constexpr std::size_t kMaxColumns = 4096;

std::string_view stripped(std::string_view text) {
    while (!text.empty() && text.front() == ' ')
        text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ')
        text.remove_suffix(1);
    return text;
}

void require(bool condition, const std::string& name, const char* what) {
    if (!condition)
        fail(TALUS_ERROR_DATA, "encoder '{}': {}", name, what);
}

} // namespace

std::uint32_t crc32(std::string_view bytes) {
    static const auto table = [] {
        std::array<std::uint32_t, 256> entries{};
        for (std::uint32_t i = 0; i < 256; ++i) {
            std::uint32_t value = i;
            for (int bit = 0; bit < 8; ++bit)
                value = (value & 1U) != 0 ? 0xedb88320U ^ (value >> 1) : value >> 1;
            entries[i] = value;
        }
        return entries;
    }();
    std::uint32_t crc = 0xffffffffU;
    for (char c : bytes)
        crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xffU] ^ (crc >> 8);
    return crc ^ 0xffffffffU;
}

void Batch::clear() {
    rows = 0;
    dense.clear();
    sparse.clear();
    labels.clear();
}

Encoder Encoder::load(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file)
        fail(TALUS_ERROR_NOT_FOUND, "cannot open the encoder '{}'", path);
    std::stringstream text;
    text << file.rdbuf();
    return parse(text.str(), path);
}

Encoder Encoder::parse(std::string_view text, const std::string& name) {
    Encoder encoder;
    try {
        const json root = json::parse(text);
        const json& dense = root.at("dense");
        encoder.dense_columns_ = dense.at("columns").get<std::vector<std::string>>();
        encoder.mean_ = dense.at("mean").get<std::vector<float>>();
        encoder.std_ = dense.at("std").get<std::vector<float>>();
        encoder.dense_missing_ = dense.value("missing", 0.0F);
        require(dense.value("transform", kTransform) == kTransform, name,
                "its dense transform is not log1p(max(x + 1, 0))");
        require(encoder.mean_.size() == encoder.dense_columns_.size() &&
                    encoder.std_.size() == encoder.dense_columns_.size(),
                name, "dense.mean and dense.std need one number per column");
        for (float deviation : encoder.std_)
            require(deviation > 0.0F && std::isfinite(deviation), name,
                    "dense.std must be positive");

        const json& sparse = root.at("sparse");
        encoder.sparse_columns_ = sparse.at("columns").get<std::vector<std::string>>();
        encoder.missing_id_ = sparse.value("missing_id", std::int64_t{0});
        const json& unknown = sparse.at("unknown");
        encoder.unknown_buckets_ = unknown.at("buckets").get<std::uint32_t>();
        encoder.unknown_first_ = unknown.value("first_id", std::int64_t{1});
        require(unknown.value("hash", std::string("crc32")).starts_with("crc32"), name,
                "unknown values must be hashed by crc32");
        require(encoder.unknown_buckets_ > 0, name, "sparse.unknown.buckets must be positive");
        if (sparse.contains("rows"))
            encoder.table_rows_ = sparse.at("rows").get<std::vector<std::int64_t>>();
        const json& vocabulary = sparse.at("vocabulary");
        require(vocabulary.is_array() && vocabulary.size() == encoder.sparse_columns_.size(), name,
                "sparse.vocabulary needs one object per column");
        require(encoder.table_rows_.empty() ||
                    encoder.table_rows_.size() == encoder.sparse_columns_.size(),
                name, "sparse.rows needs one number per column");
        require(encoder.dense_columns_.size() <= kMaxColumns &&
                    encoder.sparse_columns_.size() <= kMaxColumns,
                name, "too many columns");
        for (const json& words : vocabulary) {
            Vocabulary& ids = encoder.vocabulary_.emplace_back();
            ids.reserve(words.size());
            for (const auto& [word, id] : words.items())
                ids.emplace(word, id.get<std::int64_t>());
        }
    } catch (const json::exception& error) {
        fail(TALUS_ERROR_DATA, "encoder '{}' is malformed: {}", name, error.what());
    }
    return encoder;
}

std::optional<float> Encoder::encode_dense(std::size_t column, std::string_view text) const {
    text = stripped(text);
    float value = dense_missing_;
    if (!text.empty()) {
        if (text.front() == '+')
            text.remove_prefix(1);
        double parsed = 0.0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
        if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(parsed))
            return std::nullopt;
        value = static_cast<float>(parsed);
    }
    const float shifted = value + 1.0F > 0.0F ? value + 1.0F : 0.0F;
    return (std::log1p(shifted) - mean_[column]) / std_[column];
}

std::int64_t Encoder::encode_sparse(std::size_t column, std::string_view text) const {
    text = stripped(text);
    if (text.empty())
        return missing_id_;
    const auto found = vocabulary_[column].find(text);
    if (found != vocabulary_[column].end())
        return found->second;
    return unknown_first_ + static_cast<std::int64_t>(crc32(text) % unknown_buckets_);
}

std::size_t Encoder::read(LogReader& reader, std::size_t rows, Batch& batch) const {
    std::vector<std::string_view> fields;
    std::size_t count = 0;
    const Columns& columns = reader.columns();
    while (count < rows && reader.next(fields)) {
        for (std::size_t i = 0; i < dense_columns_.size(); ++i) {
            const std::string_view text = fields[static_cast<std::size_t>(columns.dense[i])];
            const auto value = encode_dense(i, text);
            if (!value)
                fail(TALUS_ERROR_DATA, "'{}' line {}, column {}: '{}' is not a finite number",
                     reader.path(), reader.line(), dense_columns_[i], text);
            batch.dense.push_back(*value);
        }
        for (std::size_t i = 0; i < sparse_columns_.size(); ++i)
            batch.sparse.push_back(
                encode_sparse(i, fields[static_cast<std::size_t>(columns.sparse[i])]));
        if (reader.has_label()) {
            const std::string_view text = stripped(fields[static_cast<std::size_t>(columns.label)]);
            if (text != "0" && text != "1" && text != "0.0" && text != "1.0")
                fail(TALUS_ERROR_DATA, "'{}' line {}: the label '{}' is neither 0 nor 1",
                     reader.path(), reader.line(), text);
            batch.labels.push_back(text.front() == '1' ? 1 : 0);
        }
        ++batch.rows;
        ++count;
    }
    return count;
}

} // namespace talus::features

// The index arithmetic that CUDA kernels share with the host, on exactly sized buffers, so that
// AddressSanitizer sees any read beyond them.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "kernels/common/strided.hpp"
#include "kernels/fc/element.hpp"
#include "kernels/interaction/element.hpp"
#include "kernels/interaction/op.hpp"
#include "kernels/tbe/pooling.hpp"

namespace talus::kernels {
namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(TbeIndex, ResolvesRows) {
    EXPECT_EQ(tbe::resolve_row(0, 5, 0), 0);
    EXPECT_EQ(tbe::resolve_row(4, 5, 0), 4);
    EXPECT_EQ(tbe::resolve_row(5, 5, 0), -1);
    EXPECT_EQ(tbe::resolve_row(-1, 5, 0), -1);
    EXPECT_EQ(tbe::resolve_row(-1, 5, 1), 4);
    EXPECT_EQ(tbe::resolve_row(-5, 5, 1), 0);
    EXPECT_EQ(tbe::resolve_row(-6, 5, 1), -1);
    EXPECT_EQ(tbe::resolve_row(0, 0, 0), -1);
    EXPECT_EQ(tbe::resolve_row(0, 0, 1), -1);
    EXPECT_EQ(tbe::resolve_row(-1, 0, 1), -1);
    for (const int64_t index : {kMin, kMax})
        for (const int64_t rows : {int64_t{0}, int64_t{1}, kMax})
            for (const int32_t negative : {0, 1})
                EXPECT_EQ(tbe::resolve_row(index, rows, negative), -1);
}

TEST(TbeIndex, RejectsHostileOffsets) {
    tbe::IndexView view{};
    view.batch = 1;
    view.count = 10;
    view.offset_stride = 1;
    view.strides[2] = 1;
    view.wide_offsets = 1;
    auto valid = [&](int64_t begin, int64_t end) {
        const auto offsets = std::make_unique<int64_t[]>(2);
        offsets[0] = begin;
        offsets[1] = end;
        view.offsets = offsets.get();
        return tbe::find_bag(view, 0, 0).valid;
    };
    EXPECT_TRUE(valid(0, 0));
    EXPECT_TRUE(valid(0, 10));
    EXPECT_TRUE(valid(10, 10));
    EXPECT_FALSE(valid(0, 11));
    EXPECT_FALSE(valid(-1, 3));
    EXPECT_FALSE(valid(4, 3));
    EXPECT_FALSE(valid(kMin, kMax));
    EXPECT_FALSE(valid(kMax, kMin));
    EXPECT_FALSE(valid(0, kMax));
    EXPECT_FALSE(valid(kMin, kMin));
}

TEST(TbeIndex, FaultKeysKeepTheOrder) {
    EXPECT_LT(tbe::fault_key(0, -1), tbe::fault_key(0, 0));
    EXPECT_LT(tbe::fault_key(0, 0), tbe::fault_key(0, 1));
    EXPECT_LT(tbe::fault_key(0, int64_t{1} << 40), tbe::fault_key(1, -1));
    EXPECT_EQ(tbe::fault_key(7, int64_t{1} << 40), tbe::fault_key(7, int64_t{1} << 41));
    EXPECT_NE(tbe::fault_key((int64_t{1} << 33) - 2, kMax), ~uint64_t{0});
}

// Random bags with one fault: the record names it, whichever thread met it.
TEST(TbeIndex, KeysAreDescribed) {
    std::mt19937 random(3);
    for (int round = 0; round < 200; ++round) {
        const int tables = 1 + static_cast<int>(random() % 4);
        const int batch = 1 + static_cast<int>(random() % 9);
        std::vector<tbe::Table> list(static_cast<size_t>(tables));
        std::vector<float> blob;
        for (tbe::Table& table : list) {
            table.byte_offset = blob.size() * sizeof(float);
            table.rows = 1 + static_cast<int64_t>(random() % 6);
            table.width = 1 + static_cast<int32_t>(random() % 5);
            table.column = &table == list.data() ? 0 : (&table)[-1].column + (&table)[-1].width;
            blob.resize(blob.size() + static_cast<size_t>(table.rows * table.width), 1.0F);
        }
        std::vector<int64_t> indices;
        std::vector<int64_t> offsets{0};
        for (const tbe::Table& table : list)
            for (int b = 0; b < batch; ++b) {
                for (auto n = random() % 5; n > 0; --n)
                    indices.push_back(static_cast<int64_t>(random()) % table.rows);
                offsets.push_back(static_cast<int64_t>(indices.size()));
            }
        if (indices.empty())
            continue;
        const auto victim = static_cast<int64_t>(random() % indices.size());
        indices[static_cast<size_t>(victim)] = random() % 2 == 0 ? -1 : 1000;
        const int64_t columns = list.back().column + list.back().width;
        std::vector<float> y(static_cast<size_t>(batch * columns), 0.0F);

        tbe::Parameters p{};
        p.indices.indices = indices.data();
        p.indices.offsets = offsets.data();
        p.indices.count = static_cast<int64_t>(indices.size());
        p.indices.batch = batch;
        p.indices.strides[2] = 1;
        p.indices.offset_stride = 1;
        p.indices.wide_indices = 1;
        p.indices.wide_offsets = 1;
        p.tables = list.data();
        p.blob = reinterpret_cast<const uint8_t*>(blob.data());
        p.y = y.data();
        p.y_type = DType::kFloat32;
        p.y_strides[0] = columns;
        p.y_strides[1] = 1;
        p.widest = 5;
        p.table_count = tables;
        uint64_t key = ~uint64_t{0};
        for (int64_t i = int64_t{tables} * batch * p.widest - 1; i >= 0; --i)
            key = std::min(key, tbe::pool_element(p, i));
        ASSERT_NE(key, ~uint64_t{0});
        const talus_kernel_error error = tbe::describe_fault(p, key);
        ASSERT_EQ(error.code, static_cast<uint32_t>(TALUS_KERNEL_INDEX_OUT_OF_RANGE));
        const auto bag =
            static_cast<size_t>(error.table) * static_cast<size_t>(batch) + error.sample;
        EXPECT_EQ(offsets[bag] + static_cast<int64_t>(error.position), victim);
        EXPECT_EQ(error.value, indices[static_cast<size_t>(victim)]);
        EXPECT_EQ(error.limit, list[error.table].rows);
    }
}

TEST(InteractionIndex, PairsAreTheTriangleRowByRow) {
    for (const bool diagonal : {false, true}) {
        int64_t p = 0;
        for (int64_t i = 0; i < 300; ++i)
            for (int64_t j = 0; j < i + (diagonal ? 1 : 0); ++j, ++p) {
                const interaction::Pair pair = interaction::pair_at(p, diagonal);
                ASSERT_EQ(pair.i, i) << p;
                ASSERT_EQ(pair.j, j) << p;
            }
        EXPECT_EQ(p, interaction::pair_count(300, diagonal));
    }
    // Where float32 cannot hold the row any more.
    for (const int64_t row : {int64_t{1} << 20, (int64_t{1} << 24) + 1, int64_t{1} << 28}) {
        const int64_t start = row * (row + 1) / 2;
        EXPECT_EQ(interaction::pair_at(start, true).i, row);
        EXPECT_EQ(interaction::pair_at(start, true).j, 0);
        EXPECT_EQ(interaction::pair_at(start - 1, true).i, row - 1);
        EXPECT_EQ(interaction::pair_at(start - 1, true).j, row - 1);
    }
}

TEST(FcIndex, AccumulatorsCoverATileOnce) {
    std::vector<int> owners(fc::kSide * fc::kSide, 0);
    for (int thread = 0; thread < fc::kTileThreads; ++thread)
        for (int i = 0; i < fc::kStep; ++i)
            for (int j = 0; j < fc::kStep; ++j) {
                const fc::Position at = fc::accumulator_position(100, 200, thread, i, j);
                ASSERT_GE(at.row, 100);
                ASSERT_LT(at.row, 100 + fc::kSide);
                ASSERT_GE(at.column, 200);
                ASSERT_LT(at.column, 200 + fc::kSide);
                ++owners[static_cast<size_t>((at.row - 100) * fc::kSide + at.column - 200)];
            }
    for (const int count : owners)
        EXPECT_EQ(count, 1);
}

TEST(FcIndex, SlicesStopAtTheMatrix) {
    for (const int64_t rows : {1, 31, 63, 64, 65})
        for (const int64_t k : {1, 15, 16, 17, 40}) {
            const int64_t pitch = k + 3;
            const auto size = static_cast<size_t>((rows - 1) * pitch + k);
            const auto matrix = std::make_unique<float[]>(size); // exactly: no slack at the end
            for (size_t i = 0; i < size; ++i)
                matrix[i] = static_cast<float>(i + 1);
            for (int64_t first_row = 0; first_row < rows; first_row += fc::kSide)
                for (int64_t first_k = 0; first_k < k; first_k += fc::kDepth)
                    for (int slot = 0; slot < fc::kSide * fc::kDepth; ++slot) {
                        const int64_t row = first_row + slot % fc::kSide;
                        const int64_t at = first_k + slot / fc::kSide;
                        const float got = fc::slice_element(matrix.get(), rows, k, pitch, first_row,
                                                            first_k, slot);
                        EXPECT_EQ(got, row < rows && at < k
                                           ? static_cast<float>(row * pitch + at + 1)
                                           : 0.0F);
                    }
        }
}

TEST(Strided, OffsetsFollowRowMajorOrder) {
    const int64_t shape[] = {3, 4, 5};
    TensorView view = make_view(nullptr, DType::kFloat32, shape);
    view.strides[0] = 100;
    view.strides[1] = 7;
    view.strides[2] = -1;
    int64_t linear = 0;
    for (int64_t i = 0; i < 3; ++i)
        for (int64_t j = 0; j < 4; ++j)
            for (int64_t k = 0; k < 5; ++k)
                ASSERT_EQ(offset_of(view, linear++), i * 100 + j * 7 - k);
}

TEST(Strided, BroadcastRepeats) {
    const int64_t wide[] = {2, 3, 4};
    const int64_t narrow[] = {3, 1};
    const TensorView target = make_view(nullptr, DType::kFloat32, wide);
    const TensorView view = broadcast_to(make_view(nullptr, DType::kFloat16, narrow), target);
    EXPECT_EQ(view.dtype, DType::kFloat16);
    for (int64_t linear = 0; linear < 24; ++linear)
        EXPECT_EQ(offset_of(view, linear), linear / 4 % 3);
}

} // namespace
} // namespace talus::kernels

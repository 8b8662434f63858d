// Click logs, encoders, and the metrics, against values worked out by hand.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>

#include <gtest/gtest.h>

#include "sdk/common/error.hpp"
#include "sdk/features/encoder.hpp"
#include "sdk/features/metrics.hpp"

namespace talus::features {
namespace {

constexpr const char* kEncoder = R"json({
  "dense": {"columns": ["I1", "I2"], "missing": 0.0, "transform": "log1p(max(x + 1, 0))",
            "mean": [1.0, 0.5], "std": [0.5, 2.0]},
  "sparse": {"columns": ["C1", "C2"], "missing_id": 0,
             "unknown": {"hash": "crc32 of the UTF-8 value", "buckets": 8, "first_id": 1},
             "vocabulary": [{"aa": 9, "bb": 10}, {"zz": 9}], "rows": [11, 10]}})json";

class Features : public testing::Test {
  protected:
    std::string write(const std::string& text) {
        path_ = testing::TempDir() + "talus_features_" +
                testing::UnitTest::GetInstance()->current_test_info()->name() + ".csv";
        std::ofstream(path_, std::ios::binary) << text;
        return path_;
    }
    Batch read(const std::string& text) {
        const Encoder encoder = Encoder::parse(kEncoder, "test");
        LogReader reader(write(text), encoder.dense_columns(), encoder.sparse_columns());
        Batch batch;
        while (encoder.read(reader, 3, batch) > 0) {
        }
        return batch;
    }
    std::string failure(const std::string& text) {
        try {
            read(text);
        } catch (const Failure& thrown) {
            EXPECT_EQ(thrown.status(), TALUS_ERROR_DATA);
            return thrown.what();
        }
        return "";
    }
    void TearDown() override {
        if (!path_.empty())
            std::remove(path_.c_str());
    }
    std::string path_;
};

TEST_F(Features, HeaderInAnyCaseAndOrderWithCrLf) {
    const Batch batch =
        read("Id,LABEL,c2,i2,I1,c1,extra\r\n7,1,zz,3,-1,aa,x\r\n8,0,,260.0,,bb,y\r\n");
    ASSERT_EQ(batch.rows, 2U);
    EXPECT_EQ(batch.labels, (std::vector<std::int8_t>{1, 0}));
    EXPECT_EQ(batch.sparse, (std::vector<std::int64_t>{9, 9, 10, 0}));
    // I1 = -1: (log1p(0) - 1) / 0.5; I2 = 3: (ln 5 - 0.5) / 2; missing I1: (ln 2 - 1) / 0.5
    EXPECT_FLOAT_EQ(batch.dense[0], -2.0F);
    EXPECT_FLOAT_EQ(batch.dense[1], (1.6094379124341003 - 0.5) / 2.0);
    EXPECT_FLOAT_EQ(batch.dense[2], (0.6931471805599453 - 1.0) / 0.5);
    EXPECT_FLOAT_EQ(batch.dense[3], (5.568344503761097 - 0.5) / 2.0);
}

TEST_F(Features, CriteoTsvWithoutHeader) {
    const Batch batch = read("1\t5\t\taa\tzz\n0\t\t-3\t\tqq\n");
    ASSERT_EQ(batch.rows, 2U);
    EXPECT_EQ(batch.labels, (std::vector<std::int8_t>{1, 0}));
    EXPECT_FLOAT_EQ(batch.dense[3], (0.0 - 0.5) / 2.0) << "max(-3 + 1, 0) is 0";
    EXPECT_EQ(batch.sparse[2], 0);
    EXPECT_EQ(batch.sparse[3], 1 + crc32("qq") % 8);
}

TEST_F(Features, UnlabelledRowsAndMissingFinalNewline) {
    const Batch batch = read("I1,I2,C1,C2\n1,2,aa,zz");
    EXPECT_EQ(batch.rows, 1U);
    EXPECT_TRUE(batch.labels.empty());
}

TEST_F(Features, ByteOrderMarkAndBlankLines) {
    const Batch batch = read("\xEF\xBB\xBFlabel,I1,I2,C1,C2\n\n0,1,2,aa,zz\n\n");
    EXPECT_EQ(batch.rows, 1U);
}

TEST_F(Features, ErrorsNameFileLineAndColumn) {
    EXPECT_NE(failure("label,I1,C1,C2\n").find("I2"), std::string::npos);
    EXPECT_NE(failure("label,I1,I2,C1,C2\n0,1,2,aa\n").find("line 2 has 4 fields instead of 5"),
              std::string::npos);
    EXPECT_NE(failure("label,I1,I2,C1,C2\n0,1,2,a,b\n0,x,2,aa,zz\n").find("line 3, column I1: 'x'"),
              std::string::npos);
    EXPECT_NE(failure("label,I1,I2,C1,C2\n0,nan,2,aa,zz\n").find("not a finite number"),
              std::string::npos);
    EXPECT_NE(failure("label,I1,I2,C1,C2\n0,1e999,2,aa,zz\n").find("not a finite number"),
              std::string::npos);
    EXPECT_NE(failure("label,I1,I2,C1,C2\n2,1,2,aa,zz\n").find("neither 0 nor 1"),
              std::string::npos);
    EXPECT_NE(failure("1,2,3\n").find("without a header"), std::string::npos);
    EXPECT_NE(failure("").find("is empty"), std::string::npos);
    EXPECT_NE(failure("label,I1,i1,I2,C1,C2\n").find("twice"), std::string::npos);
}

TEST_F(Features, EncodersThatDoNotFit) {
    const auto refuse = [](const std::string& json) {
        try {
            Encoder::parse(json, "test.json");
        } catch (const Failure& thrown) {
            EXPECT_EQ(thrown.status(), TALUS_ERROR_DATA);
            return std::string(thrown.what());
        }
        return std::string();
    };
    EXPECT_NE(refuse("{").find("malformed"), std::string::npos);
    EXPECT_NE(refuse("{}").find("dense"), std::string::npos);
    std::string text = kEncoder;
    text.replace(text.find("[0.5, 2.0]"), 10, "[0.5]");
    EXPECT_NE(refuse(text).find("one number per column"), std::string::npos);
    text = kEncoder;
    text.replace(text.find("[0.5, 2.0]"), 10, "[0.5, 0.0]");
    EXPECT_NE(refuse(text).find("positive"), std::string::npos);
    text = kEncoder;
    text.replace(text.find("log1p(max(x + 1, 0))"), 20, "sqrt(x)");
    EXPECT_NE(refuse(text).find("log1p"), std::string::npos);
    text = kEncoder;
    text.replace(text.find("\"buckets\": 8"), 12, "\"buckets\": 0");
    EXPECT_NE(refuse(text).find("buckets"), std::string::npos);
}

TEST(Crc32, CheckValueOfTheStandard) {
    EXPECT_EQ(crc32("123456789"), 0xcbf43926U);
    EXPECT_EQ(crc32(""), 0U);
}

TEST(Auc, WorkedByHand) {
    // Positives 0.8, 0.4; negatives 0.5, 0.1: of four pairs only (0.4, 0.5) is wrong.
    const std::vector<float> scores = {0.8F, 0.5F, 0.4F, 0.1F};
    const std::vector<std::int8_t> labels = {1, 0, 1, 0};
    EXPECT_DOUBLE_EQ(*auc(scores, labels), 0.75);
    // A tie counts half: pairs (0.5,0.5) 0.5, (0.5,0.1) 1.
    const std::vector<float> tied = {0.5F, 0.5F, 0.1F};
    const std::vector<std::int8_t> tied_labels = {1, 0, 0};
    EXPECT_DOUBLE_EQ(*auc(tied, tied_labels), 0.75);
    const std::vector<float> same = {0.3F, 0.3F, 0.3F, 0.3F};
    EXPECT_DOUBLE_EQ(*auc(same, labels), 0.5);
    const std::vector<std::int8_t> one_class = {1, 1, 1, 1};
    EXPECT_FALSE(auc(scores, one_class).has_value());
    EXPECT_FALSE(auc({}, {}).has_value());
    const std::vector<float> with_nan = {std::numeric_limits<float>::quiet_NaN(), 0.5F, 0.4F, 0.1F};
    EXPECT_DOUBLE_EQ(*auc(with_nan, labels), 0.25) << "a NaN ranks below everything";
}

TEST(LogLoss, WorkedByHand) {
    const std::vector<float> scores = {0.5F, 0.25F};
    const std::vector<std::int8_t> labels = {1, 0};
    // (ln 2 + ln(4/3)) / 2
    EXPECT_NEAR(*log_loss(scores, labels), (0.6931471805599453 + 0.2876820724517809) / 2.0, 1e-12);
    const std::vector<float> certain = {0.0F};
    const std::vector<std::int8_t> wrong = {1};
    EXPECT_NEAR(*log_loss(certain, wrong), -std::log(1e-7), 1e-9);
    EXPECT_FALSE(log_loss({}, {}).has_value());
}

} // namespace
} // namespace talus::features

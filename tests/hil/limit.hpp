// Resource limits that a test lowers.
#pragma once

#include <gtest/gtest.h>

#include <sys/resource.h>

#include <cstdint>

namespace talus::device_test {

/// A lower limit of this process for as long as it lives.
class Limit {
  public:
    Limit(__rlimit_resource resource, std::uint64_t value) : resource_(resource) {
        EXPECT_EQ(getrlimit(resource_, &before_), 0);
        rlimit now = before_;
        now.rlim_cur = value;
        EXPECT_EQ(setrlimit(resource_, &now), 0);
    }
    ~Limit() { setrlimit(resource_, &before_); }
    Limit(const Limit&) = delete;
    Limit& operator=(const Limit&) = delete;

  private:
    __rlimit_resource resource_;
    rlimit before_{};
};

} // namespace talus::device_test

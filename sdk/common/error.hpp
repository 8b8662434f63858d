// The SDK's exception and its formatting helper. Inside the SDK errors are exceptions; the C API
// turns each into its status and the calling thread's message.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "talus/talus.h"

namespace talus {

class Failure : public std::runtime_error {
  public:
    Failure(talus_status status, const std::string& message)
        : std::runtime_error(message), status_(status) {}

    talus_status status() const { return status_; }

  private:
    talus_status status_;
};

// Throws a Failure whose message is formatted with fmt.
template <typename... Arguments>
[[noreturn]] void fail(talus_status status, fmt::format_string<Arguments...> format,
                       Arguments&&... arguments) {
    throw Failure(status, fmt::format(format, std::forward<Arguments>(arguments)...));
}

} // namespace talus

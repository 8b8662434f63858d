// How errors travel inside the driver: as exceptions of type Error up to the C ABI (driver.cpp),
// which turns them into a talus_drv_status and the calling thread's message.
#pragma once

#include "talus/driver.h"

#include <stdexcept>
#include <string>

namespace talus::driver {

class Error : public std::runtime_error {
  public:
    Error(talus_drv_status status, const std::string& message)
        : std::runtime_error(message), status_(status) {}
    talus_drv_status status() const { return status_; }

  private:
    talus_drv_status status_;
};

/// "what: No such file or directory", with the status that fits `error_number`.
Error system_error(const std::string& what, int error_number);

/// Name of a status ("device lost").
const char* status_name(talus_drv_status status);

} // namespace talus::driver

// A talus-sim process that a test owns, beside a session on it.
#pragma once

#include "session.hpp"

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace talus::driver_sim {

using namespace talus::device_test;

/// A talus-sim on a socket of its own, whose process the test knows.
class SimProcess {
  public:
    /// `arguments` follow `--socket PATH`; "@" in them stands for the process's own folder.
    /// With several devices the sockets are socket() + ".0", ".1"...
    explicit SimProcess(bool publish = false, const std::vector<std::string>& arguments = {},
                        unsigned devices = 1);
    ~SimProcess();
    SimProcess(const SimProcess&) = delete;
    SimProcess& operator=(const SimProcess&) = delete;

    const std::string& socket() const { return socket_; }
    const std::string& sysfs() const { return sysfs_; }
    const std::string& folder() const { return folder_; }
    pid_t pid() const { return pid_; }
    void signal(int number);
    talus_drv_open_options options() const;

  private:
    std::string folder_;
    std::string socket_;
    std::string sysfs_;
    pid_t pid_ = -1;
};

/// Output and exit code of a program.
std::pair<std::string, int> run_program(const std::string& command);

} // namespace talus::driver_sim

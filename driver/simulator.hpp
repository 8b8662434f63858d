// A talus-sim child process at the other end of a socket pair.
#pragma once

#include "fd.hpp"

#include <sys/types.h>

#include <string>
#include <vector>

namespace talus::driver {

/// Starts `program --fd N arguments...` and owns it. The simulator ends itself when the other end
/// of its socket closes, so it cannot outlive this process; the destructor closes nothing but
/// reaps.
class Simulator {
  public:
    /// Returns once the simulator says that it is ready. Throws NOT_FOUND, or DEVICE_LOST with the
    /// way it ended if it ends before that.
    Simulator(const std::string& program, const std::vector<std::string>& arguments);
    Simulator(const Simulator&) = delete;
    Simulator& operator=(const Simulator&) = delete;

    /// Waits for the child to end, and kills it if it does not within 5 s. The socket must be
    /// closed.
    ~Simulator();

    /// Our end of the socket; the caller takes ownership (once).
    UniqueFd take_socket();

    /// Throws away what the child printed since, so that it never blocks on a full pipe.
    void discard_output();

    /// "talus-sim was ended by signal 9 (Killed)", or "" if it still runs after `milliseconds`.
    std::string ending(int milliseconds);

    pid_t pid() const { return pid_; }

  private:
    void await_readiness();
    void end();
    bool reap(int milliseconds);

    pid_t pid_ = -1;
    UniqueFd socket_;
    UniqueFd output_; // read end of the child's standard output
    bool ended_ = false;
    int wait_status_ = 0;
};

} // namespace talus::driver

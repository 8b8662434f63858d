// A driver client that runs the debug kernel on a talus-sim with given arguments, and gdb beside
// it.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace debug_test {

struct Observed {
    std::uint64_t device_cycles = 0;
    std::uint32_t exec_cycles = 0;
    std::uint64_t result = 0;
    std::uint16_t status = 0;
    bool operator==(const Observed&) const = default;
};
void PrintTo(const Observed& observed, std::ostream* out);

struct Outcome {
    std::string error; ///< the driver's message, or empty
    std::vector<Observed> completions;
    std::uint64_t code = 0;     ///< where the kernel lies
    std::uint64_t args = 0;     ///< and its argument block, in LLS both
    std::uint64_t expected = 0; ///< sum of all bytes
    std::string log;            ///< the firmware's
    /// Memory errors as telemetry has them, by enum talus_ecc_memory.
    std::array<std::uint64_t, 4> corrected{};
    std::array<std::uint64_t, 4> uncorrectable{};
};

inline constexpr std::uint32_t kBytesPerPe = 1024;

inline constexpr std::uint32_t kNoFault = ~std::uint32_t{0};

/// Boots, uploads, runs the kernel on the whole grid three times, with arguments written anew,
/// closes. PE (0, fault_col) faults in every run.
Outcome run_session(const std::vector<std::string>& sim_arguments,
                    std::uint32_t fault_col = kNoFault);

/// A folder that goes away.
class Folder {
  public:
    Folder();
    ~Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    std::string path(const std::string& leaf) const { return (folder_ / leaf).string(); }
    const std::filesystem::path& root() const { return folder_; }

  private:
    std::filesystem::path folder_;
};

/// Waits until the file exists; false after a minute.
bool appears(const std::string& path);

/// Runs a program to its end (at most two minutes); what it has written to either output.
std::string output_of(const std::vector<std::string>& command);
/// gdb-multiarch with the given commands, one after another; an error ends it.
std::string gdb(const Folder& folder, const std::string& commands);

/// The text behind `marker` up to the end of the line, "" without it.
std::string after(const std::string& text, const std::string& marker);

/// "$payload#checksum"
std::string packet(const std::string& payload);

/// A raw connection to the debug port.
class Client {
  public:
    explicit Client(const std::string& path);
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    bool connected() const { return connected_; }
    void send(const std::string& bytes) const;
    /// The payload of the next packet; "(none)" after `seconds`, "(closed)" at the end.
    std::string reply(int seconds = 60);
    std::string ask(const std::string& payload);
    /// What `monitor COMMAND` prints.
    std::string monitor(const std::string& command);
    /// Value of a register of the current hart, by gdb's number.
    std::uint64_t reg(unsigned number);

  private:
    int fd_ = -1;
    bool connected_ = false;
    std::string buffer_;
};

/// A talus-sim that no driver uses, with its debug port at a UNIX socket.
class Simulator {
  public:
    explicit Simulator(const std::vector<std::string>& arguments);
    ~Simulator();
    Simulator(const Simulator&) = delete;
    Simulator& operator=(const Simulator&) = delete;

    const std::string& gdb_socket() const { return gdb_; }
    /// Exit code; -1 if it does not end within a minute.
    int exit_code();
    Folder folder;

  private:
    std::string gdb_;
    int pid_ = -1;
};

} // namespace debug_test

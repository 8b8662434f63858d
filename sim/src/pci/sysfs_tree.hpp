// Publishes the simulated function as a folder like the kernel's sysfs, which libpci and lspci
// read:
//
//   DIR/bus/pci/devices/0000:01:00.0/{config,vendor,device,class,resource,irq,...}
//                                    talus_socket   absolute path of the vfio-user socket
//                                    simulated      "1"
//   DIR/devices -> bus/pci/devices    so that both of these work:
//
//   lspci -O sysfs.path=DIR/bus/pci -vvv        lspci -O sysfs.path=DIR -vvv
//
// Several simulators may share one DIR; each takes the first free bus number. A folder whose owner
// died is recognised by its lock and replaced.
#ifndef TALUS_SIM_PCI_SYSFS_TREE_HPP
#define TALUS_SIM_PCI_SYSFS_TREE_HPP

#include <cstddef>
#include <filesystem>
#include <mutex>
#include <span>
#include <string>

#include "../vfio_user/unique_fd.hpp"
#include "config_space.hpp"

namespace talus::sim {

// Thread-safe.
class SysfsTree {
  public:
    using Config = std::span<const std::byte, ConfigSpace::kBytes>;

    // Creates DIR (its parent exists) and the device's folder, complete in one step: a reader sees
    // all of it or nothing. Throws std::runtime_error with a sentence for the user.
    SysfsTree(const std::string& directory, const std::string& socket_path, Config config);
    // Removes the folder, and DIR's parts if nobody else is in them (DIR itself if it created it).
    ~SysfsTree();
    SysfsTree(const SysfsTree&) = delete;
    SysfsTree& operator=(const SysfsTree&) = delete;

    // Brings `config`, `resource` and `enable` up to date; for PciFunction::observe_config().
    void update(Config config);

    const std::string& address() const { return address_; } // e.g. "0000:01:00.0"

  private:
    void write_files(const std::filesystem::path& folder, const std::string& socket_path,
                     Config config);
    void claim_address(const std::filesystem::path& staging);

    std::filesystem::path root_;
    bool created_root_ = false;
    std::filesystem::path devices_;
    std::string address_;
    std::mutex mutex_;
    vfio_user::UniqueFd lock_;
    vfio_user::UniqueFd config_;
    vfio_user::UniqueFd resource_;
    vfio_user::UniqueFd enable_;
};

} // namespace talus::sim

#endif

// Linux as the vfio transport sees it, in this process: sysfs, /dev/vfio and one PCI function,
// written from linux/vfio.h. It refuses what the kernel refuses, and misbehaves on request.
#pragma once

#include "syscalls.hpp"

#include <array>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace talus::driver::test {

class FakeKernel final : public Syscalls {
  public:
    static constexpr const char* kBdf = "0000:03:00.0";

    FakeKernel();

    // Steering.
    std::map<std::string, int> open_errors;     ///< path -> errno
    std::map<unsigned long, int> ioctl_results; ///< request -> result instead of doing it
    bool viable = true;
    bool has_iommufd = false;
    LockedMemory locked; ///< its limit holds what is mapped for DMA
    std::uint32_t msix_vectors = 64, msi_vectors = 1;
    std::uint32_t free_vectors = 2048; ///< of the host
    bool gone = false;                 ///< everything reads all ones
    bool probe_works = true;           ///< vfio-pci takes the device
    std::vector<std::pair<std::uint64_t, std::uint64_t>> iova_ranges{{0, 0xfedfffff},
                                                                     {0xfef00000, 0x7fffffffff}};
    struct Area {
        std::uint64_t offset, size;
    };
    std::array<std::uint64_t, 6> bar_sizes{1 << 20, 0, 4 << 20, 0, 1 << 16, 0};
    std::array<bool, 6> bar_mappable{false, false, false, false, true, false};
    std::vector<Area> bar0_areas; ///< makes BAR0 mappable in part

    // Seen.
    struct Mapping {
        std::uint64_t bytes, pointer;
    };
    struct Access {
        bool write;
        std::uint32_t region;
        std::uint64_t offset;
        std::size_t bytes;
    };
    std::map<std::uint64_t, Mapping> mappings; ///< by IOVA
    std::vector<std::string> log;              ///< opens, resets, sysfs writes in order
    std::vector<Access> accesses;              ///< by system call
    std::map<std::uint32_t, std::vector<std::int32_t>> irqs; ///< index -> eventfds
    std::vector<std::array<std::uint32_t, 3>> set_irqs;      ///< index, start, count
    std::vector<std::vector<std::int32_t>> hot_resets;       ///< the fds that came along
    std::vector<std::vector<std::byte>> bars;
    std::vector<std::byte> config = std::vector<std::byte>(4096);
    std::set<int> open_fds;
    std::map<std::string, std::string> files; ///< plain files and attributes
    std::map<std::string, std::string> links; ///< symbolic links by name of their target

    int open(const std::string& path, int flags) override;
    void close(int fd) override;
    int ioctl(int fd, unsigned long request, void* argument) override;
    ssize_t pread(int fd, void* to, std::size_t bytes, std::uint64_t offset) override;
    ssize_t pwrite(int fd, const void* from, std::size_t bytes, std::uint64_t offset) override;
    void* map(int fd, std::size_t bytes, int protection, std::uint64_t offset) override;
    void unmap(void* pointer, std::size_t bytes) override;
    LockedMemory locked_memory() override { return locked; }
    std::optional<std::string> read_line(const std::string& path) override;
    int write_text(const std::string& path, const std::string& text) override;
    int remove(const std::string& path) override;
    std::string link_name(const std::string& path) override;
    bool exists(const std::string& path) override;
    std::vector<std::string> list(const std::string& folder) override;

    static std::string device() { return std::string("/sys/bus/pci/devices/") + kBdf; }

  private:
    int group_ioctl(unsigned long request, void* argument);
    int container_ioctl(unsigned long request, void* argument);
    int iommufd_ioctl(unsigned long request, void* argument);
    int device_ioctl(unsigned long request, void* argument);
    int region_info(void* argument);
    int set_irq(void* argument);
    std::byte* at(std::uint64_t offset, std::size_t bytes, std::uint32_t& region);
    int give_fd();
    int map_dma(std::uint64_t iova, Mapping mapping);
    bool unmap_dma(std::uint64_t iova);

    bool container_set_ = false, iommu_set_ = false, bound_ = false, attached_ = false;
    std::map<int, std::string> paths_;
    int next_fd_ = 100;
};

} // namespace talus::driver::test

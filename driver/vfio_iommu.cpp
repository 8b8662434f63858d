#include "vfio_iommu.hpp"

#include "error.hpp"

#include <linux/vfio.h>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace talus::driver {
namespace {

// linux/iommufd.h and the later part of linux/vfio.h: the kernel's ABI since Linux 6.2 and 6.6,
// written down here because Debian 12's headers are older.
namespace abi {

constexpr unsigned long command(unsigned number) {
    return _IO(VFIO_TYPE, number);
}
constexpr unsigned long kDestroy = command(0x80);
constexpr unsigned long kIoasAlloc = command(0x81);
constexpr unsigned long kIoasIovaRanges = command(0x84);
constexpr unsigned long kIoasMap = command(0x85);
constexpr unsigned long kIoasUnmap = command(0x86);
constexpr unsigned long kBindIommufd = command(VFIO_BASE + 18);
constexpr unsigned long kAttachPageTable = command(VFIO_BASE + 19);

struct Destroy {
    std::uint32_t size, id;
};
struct IoasAlloc {
    std::uint32_t size, flags, out_id;
};
struct IovaRanges {
    std::uint32_t size, id, count, reserved;
    std::uint64_t ranges, out_alignment;
};
struct IoasMap {
    static constexpr std::uint32_t kFixed = 1, kWriteable = 2, kReadable = 4;
    std::uint32_t size, flags, id, reserved;
    std::uint64_t pointer, length, iova;
};
struct IoasUnmap {
    std::uint32_t size, id;
    std::uint64_t iova, length;
};
struct BindIommufd {
    std::uint32_t argsz, flags;
    std::int32_t iommufd;
    std::uint32_t out_device;
};
struct AttachPageTable {
    std::uint32_t argsz, flags, page_table;
};
static_assert(sizeof(IovaRanges) == 32 && sizeof(IoasMap) == 40 && sizeof(IoasUnmap) == 24);

} // namespace abi

std::string device_folder(const std::string& bdf) {
    return "/sys/bus/pci/devices/" + bdf;
}

Error map_error(Syscalls& calls, const std::string& bdf, std::uint64_t bytes, int error) {
    const std::string what =
        "device " + bdf + ": cannot map " + std::to_string(bytes) + " bytes of host memory for DMA";
    if (error == ENOMEM) {
        const LockedMemory locked = calls.locked_memory();
        return Error(
            TALUS_DRV_OUT_OF_HOST_MEMORY,
            what + ": memory that a device reaches is locked, and " +
                (locked.limit
                     ? "this process may lock " + std::to_string(*locked.limit) + " bytes, " +
                           std::to_string(locked.bytes) +
                           " of which it has; raise the limit RLIMIT_MEMLOCK (`ulimit -l`, "
                           "`memlock` in /etc/security/limits.conf, LimitMEMLOCK= of a service)"
                     : std::string("no limit holds this process, so memory itself ran out")));
    }
    if (error == ENOSPC)
        return Error(TALUS_DRV_OUT_OF_HOST_MEMORY,
                     what + ": the kernel's number of DMA mappings is used up");
    return system_error(what, error);
}

Error open_error(const std::string& bdf, const std::string& path, int error) {
    if (error == EBUSY)
        return Error(TALUS_DRV_BUSY, "device " + bdf + " is in use by another process (`fuser " +
                                         path + "` names it)");
    if (error == EACCES || error == EPERM)
        return Error(TALUS_DRV_PERMISSION, "no access to " + path + " of device " + bdf +
                                               ": its owner must be the user that runs this");
    return system_error("cannot open " + path + " of device " + bdf, error);
}

// ---- Container and group ----

class ContainerIommu final : public VfioIommu {
  public:
    ContainerIommu(Syscalls& calls, const std::string& bdf, const std::string& group)
        : calls_(calls), bdf_(bdf) {
        container_ = open_file("/dev/vfio/vfio");
        if (calls.ioctl(container_.get(), VFIO_GET_API_VERSION, nullptr) != VFIO_API_VERSION ||
            calls.ioctl(container_.get(), VFIO_CHECK_EXTENSION, argument(VFIO_TYPE1v2_IOMMU)) <= 0)
            throw Error(TALUS_DRV_UNSUPPORTED,
                        "this kernel's vfio has no type 1 IOMMU (module vfio_iommu_type1)");
        group_ = open_file("/dev/vfio/" + group);
        vfio_group_status status{};
        status.argsz = sizeof status;
        check(calls.ioctl(group_.get(), VFIO_GROUP_GET_STATUS, &status), "VFIO_GROUP_GET_STATUS");
        if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0)
            throw Error(TALUS_DRV_BUSY, not_viable(group));
        int container = container_.get();
        check(calls.ioctl(group_.get(), VFIO_GROUP_SET_CONTAINER, &container),
              "VFIO_GROUP_SET_CONTAINER");
        check(calls.ioctl(container_.get(), VFIO_SET_IOMMU, argument(VFIO_TYPE1v2_IOMMU)),
              "VFIO_SET_IOMMU");
        std::string name = bdf;
        const int device = calls.ioctl(group_.get(), VFIO_GROUP_GET_DEVICE_FD, name.data());
        check(device, "VFIO_GROUP_GET_DEVICE_FD");
        device_ = KernelFd(calls, device);
        query_ranges();
    }

    const char* kind() const override { return "vfio container"; }
    int device_fd() const override { return device_.get(); }
    const std::vector<IovaRange>& ranges() const override { return ranges_; }
    std::vector<int> reset_proof() const override { return {group_.get()}; }

    void map(std::uint64_t iova, std::uint64_t bytes, void* pointer) override {
        vfio_iommu_type1_dma_map map{};
        map.argsz = sizeof map;
        map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
        map.vaddr = reinterpret_cast<std::uintptr_t>(pointer);
        map.iova = iova;
        map.size = bytes;
        const int result = calls_.ioctl(container_.get(), VFIO_IOMMU_MAP_DMA, &map);
        if (result < 0)
            throw map_error(calls_, bdf_, bytes, -result);
    }

    void unmap(std::uint64_t iova, std::uint64_t bytes) override {
        vfio_iommu_type1_dma_unmap unmap{};
        unmap.argsz = sizeof unmap;
        unmap.iova = iova;
        unmap.size = bytes;
        check(calls_.ioctl(container_.get(), VFIO_IOMMU_UNMAP_DMA, &unmap), "VFIO_IOMMU_UNMAP_DMA");
        // The kernel says how much it unmapped; of a mapping that it doesn't know, nothing.
        if (unmap.size != bytes)
            throw Error(TALUS_DRV_INTERNAL, "device " + bdf_ + ": " + std::to_string(unmap.size) +
                                                " of " + std::to_string(bytes) +
                                                " bytes were mapped for DMA");
    }

  private:
    static void* argument(unsigned long value) { return reinterpret_cast<void*>(value); }

    KernelFd open_file(const std::string& path) {
        const int fd = calls_.open(path, O_RDWR);
        if (fd < 0)
            throw open_error(bdf_, path, -fd);
        return KernelFd(calls_, fd);
    }

    void check(int result, const char* what) {
        if (result < 0)
            throw system_error("device " + bdf_ + ": " + what, -result);
    }

    // Isolation is by group: every function in it must belong to vfio, or to nobody.
    std::string not_viable(const std::string& group) {
        std::string others;
        for (const std::string& name :
             calls_.list("/sys/kernel/iommu_groups/" + group + "/devices")) {
            const std::string driver = calls_.link_name(device_folder(name) + "/driver");
            if (!driver.empty() && driver != "vfio-pci" && driver != "pcieport")
                others += (others.empty() ? "" : ", ") + name + " (" + driver + ")";
        }
        return "device " + bdf_ + " shares IOMMU group " + group +
               " with devices of other drivers: " + others + "; bind them to vfio-pci as well";
    }

    void query_ranges() {
        vfio_iommu_type1_info head{};
        head.argsz = sizeof head;
        check(calls_.ioctl(container_.get(), VFIO_IOMMU_GET_INFO, &head), "VFIO_IOMMU_GET_INFO");
        std::vector<std::byte> info(std::max<std::size_t>(head.argsz, sizeof head));
        head.argsz = static_cast<std::uint32_t>(info.size());
        std::memcpy(info.data(), &head, sizeof head);
        check(calls_.ioctl(container_.get(), VFIO_IOMMU_GET_INFO, info.data()),
              "VFIO_IOMMU_GET_INFO");
        std::memcpy(&head, info.data(), sizeof head);
        std::size_t at = (head.flags & VFIO_IOMMU_INFO_CAPS) != 0 ? head.cap_offset : 0;
        for (int hops = 0; at != 0 && hops < 32; ++hops) {
            vfio_info_cap_header cap{};
            if (at > info.size() || info.size() - at < sizeof cap)
                break;
            std::memcpy(&cap, info.data() + at, sizeof cap);
            if (cap.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
                parse_ranges(std::span(info).subspan(at));
            at = cap.next;
        }
        // Kernels before 5.4 do not say; then only the interrupt window is known to be taken.
        if (ranges_.empty())
            ranges_ = {{0, 0xfee00000}, {0xfef00000, std::uint64_t{1} << 39}};
    }

    void parse_ranges(std::span<const std::byte> cap) {
        vfio_iommu_type1_info_cap_iova_range head{};
        if (cap.size() < sizeof head)
            return;
        std::memcpy(&head, cap.data(), sizeof head);
        for (std::size_t i = 0; i < head.nr_iovas; ++i) {
            const std::size_t at = sizeof head + i * sizeof(vfio_iova_range);
            vfio_iova_range range{};
            if (cap.size() < at + sizeof range)
                return;
            std::memcpy(&range, cap.data() + at, sizeof range);
            ranges_.push_back({range.start, range.end == UINT64_MAX ? range.end : range.end + 1});
        }
    }

    Syscalls& calls_;
    std::string bdf_;
    KernelFd container_;
    KernelFd group_;
    KernelFd device_; // closed first
    std::vector<IovaRange> ranges_;
};

// ---- iommufd ----

class IommufdIommu final : public VfioIommu {
  public:
    IommufdIommu(Syscalls& calls, const std::string& bdf, KernelFd iommu,
                 const std::string& device_path)
        : calls_(calls), bdf_(bdf), iommu_(std::move(iommu)) {
        const int device = calls.open(device_path, O_RDWR);
        if (device < 0)
            throw open_error(bdf, device_path, -device);
        device_ = KernelFd(calls, device);
        abi::BindIommufd bind{sizeof bind, 0, iommu_.get(), 0};
        if (const int result = calls.ioctl(device, abi::kBindIommufd, &bind); result < 0)
            throw open_error(bdf, device_path, -result);
        abi::IoasAlloc alloc{sizeof alloc, 0, 0};
        check(calls.ioctl(iommu_.get(), abi::kIoasAlloc, &alloc), "IOMMU_IOAS_ALLOC");
        space_ = alloc.out_id;
        abi::AttachPageTable attach{sizeof attach, 0, space_};
        check(calls.ioctl(device, abi::kAttachPageTable, &attach), "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
        query_ranges();
    }

    ~IommufdIommu() override {
        device_.reset(); // closing detaches; an address space in use can't be destroyed
        abi::Destroy destroy{sizeof destroy, space_};
        calls_.ioctl(iommu_.get(), abi::kDestroy, &destroy);
    }

    const char* kind() const override { return "iommufd"; }
    int device_fd() const override { return device_.get(); }
    const std::vector<IovaRange>& ranges() const override { return ranges_; }
    std::vector<int> reset_proof() const override { return {}; }

    void map(std::uint64_t iova, std::uint64_t bytes, void* pointer) override {
        abi::IoasMap map{};
        map.size = sizeof map;
        map.flags = abi::IoasMap::kFixed | abi::IoasMap::kWriteable | abi::IoasMap::kReadable;
        map.id = space_;
        map.pointer = reinterpret_cast<std::uintptr_t>(pointer);
        map.length = bytes;
        map.iova = iova;
        const int result = calls_.ioctl(iommu_.get(), abi::kIoasMap, &map);
        if (result < 0)
            throw map_error(calls_, bdf_, bytes, -result);
    }

    void unmap(std::uint64_t iova, std::uint64_t bytes) override {
        abi::IoasUnmap unmap{sizeof unmap, space_, iova, bytes};
        check(calls_.ioctl(iommu_.get(), abi::kIoasUnmap, &unmap), "IOMMU_IOAS_UNMAP");
    }

  private:
    void check(int result, const char* what) {
        if (result < 0)
            throw system_error("device " + bdf_ + ": " + what, -result);
    }

    void query_ranges() {
        std::vector<vfio_iova_range> found(64);
        abi::IovaRanges query{};
        query.size = sizeof query;
        query.id = space_;
        query.count = static_cast<std::uint32_t>(found.size());
        query.ranges = reinterpret_cast<std::uintptr_t>(found.data());
        check(calls_.ioctl(iommu_.get(), abi::kIoasIovaRanges, &query), "IOMMU_IOAS_IOVA_RANGES");
        for (std::size_t i = 0; i < std::min<std::size_t>(query.count, found.size()); ++i)
            ranges_.push_back(
                {found[i].start, found[i].end == UINT64_MAX ? found[i].end : found[i].end + 1});
    }

    Syscalls& calls_;
    std::string bdf_;
    KernelFd iommu_;
    KernelFd device_;
    std::uint32_t space_ = 0;
    std::vector<IovaRange> ranges_;
};

} // namespace

std::unique_ptr<VfioIommu> VfioIommu::open(Syscalls& calls, const std::string& bdf) {
    const std::string folder = device_folder(bdf);
    if (!calls.exists(folder))
        throw Error(TALUS_DRV_NOT_FOUND, "there is no PCI device " + bdf);
    const std::string driver = calls.link_name(folder + "/driver");
    if (driver != "vfio-pci")
        throw Error(TALUS_DRV_UNSUPPORTED,
                    "device " + bdf + " is bound to " +
                        (driver.empty() ? "no kernel driver" : "the kernel driver " + driver) +
                        "; `talus-smi bind " + bdf + "` hands it to vfio-pci");
    // The character device of its own exists where vfio was built with iommufd (Linux 6.6).
    const auto nodes = calls.list(folder + "/vfio-dev");
    if (!nodes.empty() && calls.exists("/dev/vfio/devices/" + nodes.front()))
        if (const int fd = calls.open("/dev/iommu", O_RDWR); fd >= 0)
            return std::make_unique<IommufdIommu>(calls, bdf, KernelFd(calls, fd),
                                                  "/dev/vfio/devices/" + nodes.front());
    const std::string group = calls.link_name(folder + "/iommu_group");
    if (group.empty())
        throw Error(TALUS_DRV_UNSUPPORTED,
                    "device " + bdf + " stands behind no IOMMU: switch it on in the firmware's " +
                        "setup and on the kernel's command line (intel_iommu=on)");
    return std::make_unique<ContainerIommu>(calls, bdf, group);
}

} // namespace talus::driver

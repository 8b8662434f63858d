#include "fake_kernel.hpp"

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace talus::driver::test {
namespace {

// Region n of the device's file stands at n << 40, as vfio-pci has it.
constexpr unsigned kRegionShift = 40;

template <typename T>
T get(const void* from) {
    T value{};
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <typename T>
void put(void* to, const T& value) {
    std::memcpy(to, &value, sizeof value);
}

} // namespace

FakeKernel::FakeKernel() {
    links[device() + "/driver"] = "vfio-pci";
    links.emplace(device() + "/iommu_group", "7");
    for (const char* path : {"", "/driver_override"})
        files[device() + path] = "";
    files["/sys/bus/pci/drivers/vfio-pci"] = "";
    put(config.data() + PCI_VENDOR_ID, std::uint32_t{0x10f11af4});
    for (const std::uint64_t size : bar_sizes)
        bars.emplace_back(size);
}

int FakeKernel::give_fd() {
    open_fds.insert(next_fd_);
    return next_fd_++;
}

int FakeKernel::open(const std::string& path, int) {
    if (const auto error = open_errors.find(path); error != open_errors.end())
        return -error->second;
    const std::set<std::string> nodes =
        has_iommufd ? std::set<std::string>{"/dev/iommu", "/dev/vfio/devices/vfio0"}
                    : std::set<std::string>{"/dev/vfio/vfio", "/dev/vfio/7"};
    if (nodes.count(path) == 0)
        return -ENOENT;
    log.push_back(std::string("open ").append(path));
    const int fd = give_fd();
    paths_[fd] = path;
    return fd;
}

void FakeKernel::close(int fd) {
    log.push_back(std::string("close ").append(paths_[fd]));
    open_fds.erase(fd);
}

int FakeKernel::ioctl(int fd, unsigned long request, void* argument) {
    if (const auto result = ioctl_results.find(request); result != ioctl_results.end())
        return result->second;
    const std::string& path = paths_[fd];
    if (path == "/dev/vfio/7")
        return group_ioctl(request, argument);
    if (path == "/dev/vfio/vfio")
        return container_ioctl(request, argument);
    if (path == "/dev/iommu")
        return iommufd_ioctl(request, argument);
    return device_ioctl(request, argument);
}

int FakeKernel::group_ioctl(unsigned long request, void* argument) {
    if (request == VFIO_GROUP_GET_STATUS) {
        auto status = get<vfio_group_status>(argument);
        status.flags = viable ? VFIO_GROUP_FLAGS_VIABLE : 0;
        put(argument, status);
        return 0;
    }
    if (request == VFIO_GROUP_SET_CONTAINER) {
        container_set_ = viable && paths_[get<int>(argument)] == "/dev/vfio/vfio";
        return container_set_ ? 0 : -EINVAL;
    }
    if (request == VFIO_GROUP_GET_DEVICE_FD) {
        if (!iommu_set_ || std::string(static_cast<const char*>(argument)) != kBdf)
            return -ENODEV;
        const int fd = give_fd();
        paths_[fd] = "device";
        return fd;
    }
    return -ENOTTY;
}

int FakeKernel::container_ioctl(unsigned long request, void* argument) {
    if (request == VFIO_GET_API_VERSION)
        return VFIO_API_VERSION;
    if (request == VFIO_CHECK_EXTENSION)
        return reinterpret_cast<std::uintptr_t>(argument) == VFIO_TYPE1v2_IOMMU;
    if (request == VFIO_SET_IOMMU) {
        iommu_set_ = container_set_;
        return iommu_set_ ? 0 : -EINVAL;
    }
    if (request == VFIO_IOMMU_GET_INFO) {
        auto info = get<vfio_iommu_type1_info>(argument);
        const std::size_t cap = sizeof(vfio_iommu_type1_info_cap_iova_range) +
                                iova_ranges.size() * sizeof(vfio_iova_range);
        const auto room = info.argsz;
        info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
        info.argsz = static_cast<std::uint32_t>(sizeof info + cap);
        info.cap_offset = room >= info.argsz ? sizeof info : 0;
        put(argument, info);
        if (info.cap_offset == 0)
            return 0;
        auto* to = static_cast<std::byte*>(argument) + sizeof info;
        vfio_iommu_type1_info_cap_iova_range head{};
        head.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
        head.nr_iovas = static_cast<std::uint32_t>(iova_ranges.size());
        put(to, head);
        for (std::size_t i = 0; i < iova_ranges.size(); ++i)
            put(to + sizeof head + i * sizeof(vfio_iova_range),
                vfio_iova_range{iova_ranges[i].first, iova_ranges[i].second});
        return 0;
    }
    if (request == VFIO_IOMMU_MAP_DMA) {
        const auto map = get<vfio_iommu_type1_dma_map>(argument);
        if ((map.iova | map.size | map.vaddr) % 4096 != 0)
            return -EINVAL;
        return map_dma(map.iova, {map.size, map.vaddr});
    }
    if (request == VFIO_IOMMU_UNMAP_DMA) {
        auto unmap = get<vfio_iommu_type1_dma_unmap>(argument);
        const auto found = mappings.find(unmap.iova);
        unmap.size = found != mappings.end() && found->second.bytes == unmap.size ? unmap.size : 0;
        if (unmap.size != 0)
            unmap_dma(unmap.iova);
        std::memcpy(argument, &unmap, sizeof unmap);
        return 0;
    }
    return -ENOTTY;
}

int FakeKernel::map_dma(std::uint64_t iova, Mapping mapping) {
    if (locked.limit && locked.bytes + mapping.bytes > *locked.limit)
        return -ENOMEM;
    if (!mappings.emplace(iova, mapping).second)
        return -EEXIST;
    locked.bytes += mapping.bytes;
    return 0;
}

bool FakeKernel::unmap_dma(std::uint64_t iova) {
    const auto found = mappings.find(iova);
    if (found == mappings.end())
        return false;
    locked.bytes -= found->second.bytes;
    mappings.erase(found);
    return true;
}

// linux/iommufd.h: every struct starts with its size; ids are u32.
int FakeKernel::iommufd_ioctl(unsigned long request, void* argument) {
    auto* bytes = static_cast<std::byte*>(argument);
    switch (request & 0xff) {
    case 0x80: // IOMMU_DESTROY
        log.push_back(
            std::string("destroy ").append(std::to_string(get<std::uint32_t>(bytes + 4))));
        return 0;
    case 0x81: // IOMMU_IOAS_ALLOC
        put(bytes + 8, std::uint32_t{42});
        return 0;
    case 0x84: { // IOMMU_IOAS_IOVA_RANGES
        auto* to = reinterpret_cast<vfio_iova_range*>(get<std::uint64_t>(bytes + 16));
        for (std::size_t i = 0; i < iova_ranges.size(); ++i)
            to[i] = {iova_ranges[i].first, iova_ranges[i].second};
        put(bytes + 8, static_cast<std::uint32_t>(iova_ranges.size()));
        return 0;
    }
    case 0x85: { // IOMMU_IOAS_MAP: fixed, writeable, readable
        if (get<std::uint32_t>(bytes) != 40 || get<std::uint32_t>(bytes + 4) != 7 ||
            get<std::uint32_t>(bytes + 8) != 42 || !attached_)
            return -EINVAL;
        return map_dma(get<std::uint64_t>(bytes + 32),
                       {get<std::uint64_t>(bytes + 24), get<std::uint64_t>(bytes + 16)});
    }
    case 0x86: // IOMMU_IOAS_UNMAP
        return unmap_dma(get<std::uint64_t>(bytes + 8)) ? 0 : -ENOENT;
    default:
        return -ENOTTY;
    }
}

int FakeKernel::device_ioctl(unsigned long request, void* argument) {
    switch (request) {
    case VFIO_DEVICE_GET_INFO: {
        auto info = get<vfio_device_info>(argument);
        info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
        info.num_regions = VFIO_PCI_NUM_REGIONS;
        info.num_irqs = VFIO_PCI_NUM_IRQS;
        std::memcpy(argument, &info, 16); // the caller may know less of the struct
        return 0;
    }
    case VFIO_DEVICE_GET_REGION_INFO:
        return region_info(argument);
    case VFIO_DEVICE_GET_IRQ_INFO: {
        auto info = get<vfio_irq_info>(argument);
        info.flags = VFIO_IRQ_INFO_EVENTFD;
        info.count = info.index == VFIO_PCI_MSIX_IRQ_INDEX  ? msix_vectors
                     : info.index == VFIO_PCI_MSI_IRQ_INDEX ? msi_vectors
                     : info.index == VFIO_PCI_ERR_IRQ_INDEX || info.index == VFIO_PCI_REQ_IRQ_INDEX
                         ? 1
                         : 0;
        put(argument, info);
        return 0;
    }
    case VFIO_DEVICE_SET_IRQS:
        return set_irq(argument);
    case VFIO_DEVICE_RESET:
        log.push_back("reset");
        return 0;
    case VFIO_DEVICE_PCI_HOT_RESET: {
        const auto reset = get<vfio_pci_hot_reset>(argument);
        std::vector<std::int32_t> fds(reset.count);
        for (std::size_t i = 0; i < fds.size(); ++i)
            fds[i] = get<std::int32_t>(static_cast<std::byte*>(argument) + sizeof reset +
                                       i * sizeof fds[i]);
        hot_resets.push_back(fds);
        log.push_back("hot reset");
        return 0;
    }
    case _IO(VFIO_TYPE, VFIO_BASE + 18): // VFIO_DEVICE_BIND_IOMMUFD
        bound_ = paths_[get<int>(static_cast<std::byte*>(argument) + 8)] == "/dev/iommu";
        return bound_ ? 0 : -EINVAL;
    case _IO(VFIO_TYPE, VFIO_BASE + 19): // VFIO_DEVICE_ATTACH_IOMMUFD_PT
        attached_ = bound_ && get<std::uint32_t>(static_cast<std::byte*>(argument) + 8) == 42;
        return attached_ ? 0 : -EINVAL;
    default:
        return -ENOTTY;
    }
}

int FakeKernel::region_info(void* argument) {
    auto info = get<vfio_region_info>(argument);
    const bool is_bar = info.index < 6;
    if (info.index >= VFIO_PCI_NUM_REGIONS)
        return -EINVAL;
    const auto room = info.argsz;
    info.argsz = sizeof info;
    info.offset = std::uint64_t{info.index} << kRegionShift;
    info.size = is_bar ? bar_sizes[info.index]
                       : (info.index == VFIO_PCI_CONFIG_REGION_INDEX ? config.size() : 0);
    info.flags = info.size != 0 ? VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE : 0;
    const bool sparse = info.index == 0 && !bar0_areas.empty();
    if (is_bar && (bar_mappable[info.index] || sparse))
        info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
    if (sparse) {
        info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
        info.argsz += static_cast<std::uint32_t>(sizeof(vfio_region_info_cap_sparse_mmap) +
                                                 bar0_areas.size() * sizeof(Area));
        if (room >= info.argsz) {
            info.cap_offset = sizeof info;
            auto* to = static_cast<std::byte*>(argument) + sizeof info;
            vfio_region_info_cap_sparse_mmap cap{};
            cap.header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
            cap.nr_areas = static_cast<std::uint32_t>(bar0_areas.size());
            put(to, cap);
            std::memcpy(to + sizeof cap, bar0_areas.data(), bar0_areas.size() * sizeof(Area));
        }
    }
    put(argument, info);
    return 0;
}

int FakeKernel::set_irq(void* argument) {
    const auto set = get<vfio_irq_set>(argument);
    if (set.argsz != sizeof set + set.count * sizeof(std::int32_t) ||
        set.flags != (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER))
        return -EINVAL;
    set_irqs.push_back({set.index, set.start, set.count});
    auto& fds = irqs[set.index];
    // As Linux before 6.5: the first call says how many vectors there are, and none is added later.
    if (fds.empty()) {
        if (set.start != 0)
            return -EINVAL;
        if (set.count > free_vectors)
            return static_cast<int>(free_vectors);
        fds.resize(set.count);
    } else if (set.start + set.count > fds.size()) {
        return -EINVAL;
    }
    std::memcpy(&fds[set.start], static_cast<std::byte*>(argument) + sizeof set,
                set.count * sizeof(std::int32_t));
    return 0;
}

std::byte* FakeKernel::at(std::uint64_t offset, std::size_t bytes, std::uint32_t& region) {
    region = static_cast<std::uint32_t>(offset >> kRegionShift);
    const std::uint64_t inside = offset & ((std::uint64_t{1} << kRegionShift) - 1);
    std::vector<std::byte>& memory = region < 6 ? bars[region] : config;
    return inside + bytes <= memory.size() ? memory.data() + inside : nullptr;
}

ssize_t FakeKernel::pread(int, void* to, std::size_t bytes, std::uint64_t offset) {
    std::uint32_t region = 0;
    const std::byte* from = at(offset, bytes, region);
    if (from == nullptr)
        return -EINVAL;
    accesses.push_back({false, region, offset & 0xffffffffff, bytes});
    if (gone)
        std::memset(to, 0xff, bytes);
    else
        std::memcpy(to, from, bytes);
    return static_cast<ssize_t>(bytes);
}

ssize_t FakeKernel::pwrite(int, const void* from, std::size_t bytes, std::uint64_t offset) {
    std::uint32_t region = 0;
    std::byte* to = at(offset, bytes, region);
    if (to == nullptr)
        return -EINVAL;
    accesses.push_back({true, region, offset & 0xffffffffff, bytes});
    std::memcpy(to, from, bytes);
    return static_cast<ssize_t>(bytes);
}

void* FakeKernel::map(int, std::size_t bytes, int, std::uint64_t offset) {
    std::uint32_t region = 0;
    return at(offset, bytes, region);
}

void FakeKernel::unmap(void*, std::size_t) {
    log.push_back("unmap");
}

// ---- sysfs ----

std::optional<std::string> FakeKernel::read_line(const std::string& path) {
    const auto file = files.find(path);
    if (file == files.end())
        return std::nullopt;
    return file->second.substr(0, file->second.find('\n'));
}

int FakeKernel::write_text(const std::string& path, const std::string& text) {
    if (const auto error = open_errors.find(path); error != open_errors.end())
        return -error->second;
    log.push_back(std::string(path).append(" <- ").append(text, 0, text.find('\n')));
    const std::string link = device() + "/driver";
    const std::string prefix = "/sys/bus/pci/drivers/";
    if (path == link + "/unbind") {
        links.erase(link);
    } else if (path == "/sys/bus/pci/drivers_probe") {
        if (probe_works && files[device() + "/driver_override"] == "vfio-pci")
            links[link] = "vfio-pci";
    } else if (path.starts_with(prefix) && path.ends_with("/bind")) {
        if (links.count(link) != 0)
            return -EBUSY;
        links[link] = path.substr(prefix.size(), path.size() - prefix.size() - 5);
    } else {
        files[path] = text;
    }
    return 0;
}

int FakeKernel::remove(const std::string& path) {
    return files.erase(path) == 1 ? 0 : -ENOENT;
}

std::string FakeKernel::link_name(const std::string& path) {
    const auto link = links.find(path);
    return link == links.end() ? "" : link->second;
}

bool FakeKernel::exists(const std::string& path) {
    return files.count(path) != 0 || (has_iommufd && path == "/dev/vfio/devices/vfio0");
}

std::vector<std::string> FakeKernel::list(const std::string& folder) {
    if (folder == device() + "/vfio-dev")
        return has_iommufd ? std::vector<std::string>{"vfio0"} : std::vector<std::string>{};
    if (folder == "/sys/kernel/iommu_groups/7/devices")
        return {kBdf, "0000:03:00.1"};
    return {};
}

} // namespace talus::driver::test

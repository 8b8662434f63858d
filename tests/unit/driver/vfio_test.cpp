// The vfio transport and the driver binding on a kernel that a test steers.
#include "binding.hpp"
#include "error.hpp"
#include "fake_kernel.hpp"
#include "memory.hpp"
#include "vfio.hpp"

#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

namespace talus::driver {
namespace {

using std::chrono::milliseconds;
using test::FakeKernel;

template <typename Call>
std::pair<talus_drv_status, std::string> failure(Call&& call) {
    try {
        call();
    } catch (const Error& error) {
        return {error.status(), error.what()};
    }
    return {TALUS_DRV_OK, ""};
}

class Vfio : public ::testing::Test {
  protected:
    FakeKernel kernel_;
    std::unique_ptr<VfioTransport> open() {
        return std::make_unique<VfioTransport>(FakeKernel::kBdf, kernel_);
    }
    /// Status and message of an open that fails.
    std::pair<talus_drv_status, std::string> refusal() {
        return failure([&] { open(); });
    }
};

TEST_F(Vfio, OpensThroughItsGroupAndClosesEverything) {
    {
        const auto transport = open();
        EXPECT_STREQ(transport->iommu_kind(), "vfio container");
        EXPECT_EQ(transport->bar_size(0), 1u << 20);
        EXPECT_EQ(transport->bar_size(2), 4u << 20);
        EXPECT_EQ(transport->bar_size(1), 0u);
        EXPECT_EQ(transport->irq_count(), 64u);
        std::uint32_t id = 0;
        transport->config_read(0, std::as_writable_bytes(std::span(&id, 1)));
        EXPECT_EQ(id, 0x10f11af4u);
    }
    EXPECT_TRUE(kernel_.open_fds.empty());
}

TEST_F(Vfio, TakesIommufdWhereTheKernelHasIt) {
    kernel_.has_iommufd = true;
    {
        const auto transport = open();
        EXPECT_STREQ(transport->iommu_kind(), "iommufd");
        EXPECT_EQ(transport->iova_ranges().size(), 2u);
        alignas(4096) static std::byte memory[4096];
        transport->dma_map(1ull << 32, 4096, memory, -1);
        ASSERT_EQ(kernel_.mappings.count(1ull << 32), 1u);
        EXPECT_EQ(kernel_.mappings[1ull << 32].bytes, 4096u);
        EXPECT_EQ(kernel_.mappings[1ull << 32].pointer, reinterpret_cast<std::uintptr_t>(memory));
        transport->dma_unmap(1ull << 32, 4096);
        EXPECT_TRUE(kernel_.mappings.empty());
        transport->reset(); // the kernel knows the owner: no group is handed over
        ASSERT_EQ(kernel_.hot_resets.size(), 1u);
        EXPECT_TRUE(kernel_.hot_resets[0].empty());
    }
    EXPECT_TRUE(kernel_.open_fds.empty());
    // The address space goes after the device that used it.
    const auto device =
        std::find(kernel_.log.begin(), kernel_.log.end(), "close /dev/vfio/devices/vfio0");
    EXPECT_NE(std::find(device, kernel_.log.end(), "destroy 42"), kernel_.log.end());
}

TEST_F(Vfio, RefusalsSayWhatToDo) {
    kernel_.links[FakeKernel::device() + "/driver"] = "nvme";
    EXPECT_EQ(refusal().first, TALUS_DRV_UNSUPPORTED);
    EXPECT_NE(refusal().second.find("kernel driver nvme; `talus-smi bind 0000:03:00.0`"),
              std::string::npos)
        << refusal().second;
    kernel_.links[FakeKernel::device() + "/driver"] = "vfio-pci";

    kernel_.open_errors["/dev/vfio/7"] = EBUSY;
    EXPECT_EQ(refusal().first, TALUS_DRV_BUSY);
    kernel_.open_errors["/dev/vfio/7"] = EACCES;
    EXPECT_EQ(refusal().first, TALUS_DRV_PERMISSION);
    kernel_.open_errors.clear();

    kernel_.viable = false;
    kernel_.links["/sys/bus/pci/devices/0000:03:00.1/driver"] = "snd_hda_intel";
    EXPECT_EQ(refusal().first, TALUS_DRV_BUSY);
    EXPECT_NE(refusal().second.find("0000:03:00.1 (snd_hda_intel)"), std::string::npos)
        << refusal().second;
    kernel_.viable = true;

    kernel_.links.erase(FakeKernel::device() + "/iommu_group");
    EXPECT_EQ(refusal().first, TALUS_DRV_UNSUPPORTED);
    EXPECT_NE(refusal().second.find("IOMMU"), std::string::npos);

    kernel_.files.erase(FakeKernel::device());
    EXPECT_EQ(refusal().first, TALUS_DRV_NOT_FOUND);
    EXPECT_TRUE(kernel_.open_fds.empty());
}

TEST_F(Vfio, MappedBarsTakeNoSystemCallAndOthersOneOfTheirWidth) {
    const auto transport = open();
    kernel_.accesses.clear();
    transport->bar_write32(4, 0x100, 0x12345678);
    transport->bar_write64(4, 0x108, 0x1122334455667788);
    EXPECT_EQ(transport->bar_read32(4, 0x100), 0x12345678u);
    EXPECT_EQ(transport->bar_read64(4, 0x108), 0x1122334455667788u);
    EXPECT_TRUE(kernel_.accesses.empty());
    EXPECT_EQ(kernel_.bars[4][0x103], std::byte{0x12});

    transport->bar_write32(2, 0x20, 7);
    EXPECT_EQ(transport->bar_read64(2, 0x20), 7u);
    ASSERT_EQ(kernel_.accesses.size(), 2u);
    EXPECT_EQ(kernel_.accesses[0].bytes, 4u);
    EXPECT_EQ(kernel_.accesses[1].bytes, 8u);
    EXPECT_EQ(kernel_.accesses[1].region, 2u);

    EXPECT_NE(transport->bar_map(4, 0x1000, 0x1000, true).pointer, nullptr);
    EXPECT_EQ(transport->bar_map(2, 0, 0x1000, true).pointer, nullptr);
    EXPECT_EQ(failure([&] { transport->bar_read32(4, 1 << 16); }).first, TALUS_DRV_INTERNAL);
}

TEST_F(Vfio, BytesOfAMappedBarArriveWhereverTheyStart) {
    const auto transport = open();
    std::vector<std::byte> data(37);
    for (std::size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<std::byte>(i + 1);
    for (const std::uint64_t offset : {0u, 3u, 8u, 13u}) {
        transport->bar_write(4, offset, data);
        EXPECT_TRUE(std::equal(data.begin(), data.end(),
                               kernel_.bars[4].begin() + static_cast<std::ptrdiff_t>(offset)));
        std::vector<std::byte> back(data.size());
        transport->bar_read(4, offset, back);
        EXPECT_EQ(back, data);
    }
}

TEST_F(Vfio, OnlySparseAreasOfABarAreMapped) {
    kernel_.bar0_areas = {{0x1000, 0x1000}, {0x8000, 0x2000}};
    const auto transport = open();
    EXPECT_NE(transport->bar_map(0, 0x1000, 0x1000, false).pointer, nullptr);
    EXPECT_NE(transport->bar_map(0, 0x9000, 0x1000, false).pointer, nullptr);
    EXPECT_EQ(transport->bar_map(0, 0x2000, 0x1000, false).pointer, nullptr);
    EXPECT_EQ(transport->bar_map(0, 0x1000, 0x2000, false).pointer, nullptr);
    kernel_.accesses.clear();
    transport->bar_write32(0, 0x2000, 1);
    transport->bar_write32(0, 0x8004, 1);
    EXPECT_EQ(kernel_.accesses.size(), 1u);
}

TEST_F(Vfio, MapsMemoryWithinTheRangesThatTheKernelReports) {
    const auto transport = open();
    const auto ranges = transport->iova_ranges();
    ASSERT_EQ(ranges.size(), 2u);
    EXPECT_EQ(ranges[0].end, 0xfee00000u);
    EXPECT_EQ(ranges[1].begin, 0xfef00000u);
    EXPECT_EQ(ranges[1].end, 0x8000000000u);

    IovaSpace space(ranges);
    {
        const DmaRegion region(*transport, space, 3 << 20, 4096, true);
        EXPECT_EQ(region.iova(), IovaSpace::kBase); // as on every other transport
        EXPECT_EQ(region.bytes(), 4u << 20);        // whole 2 MiB pages, got or not
        EXPECT_EQ(region.bytes() % region.page_bytes(), 0u);
        ASSERT_EQ(kernel_.mappings.size(), 1u);
        EXPECT_EQ(kernel_.mappings.begin()->second.bytes, region.bytes());
    }
    EXPECT_TRUE(kernel_.mappings.empty());

    // An IOMMU with 32 address bits only, and a hole in them.
    IovaSpace small({{0, 0xfee00000}, {0xfef00000, 1ull << 32}});
    EXPECT_EQ(small.allocate(4096, 4096), 4096u);
    EXPECT_EQ(small.allocate(1 << 20, 1 << 20), 1u << 20);
    EXPECT_EQ(failure([&] { small.allocate(0xfee00000, 4096); }).first,
              TALUS_DRV_OUT_OF_HOST_MEMORY);
    small.release(4096);
    EXPECT_EQ(small.allocate(4096, 4096), 4096u);
}

TEST_F(Vfio, RefusedMappingsSayWhichLimitWasMet) {
    const auto transport = open();
    alignas(4096) static std::byte memory[8192];
    kernel_.ioctl_results[VFIO_IOMMU_MAP_DMA] = -ENOMEM;
    const auto [status, text] = failure([&] { transport->dma_map(1ull << 32, 4096, memory, -1); });
    EXPECT_EQ(status, TALUS_DRV_OUT_OF_HOST_MEMORY);
    EXPECT_NE(text.find("no limit holds this process"), std::string::npos) << text;
    kernel_.ioctl_results[VFIO_IOMMU_MAP_DMA] = -ENOSPC;
    EXPECT_EQ(failure([&] { transport->dma_map(1ull << 32, 4096, memory, -1); }).first,
              TALUS_DRV_OUT_OF_HOST_MEMORY);
    kernel_.ioctl_results.clear();
    // The kernel reports what it unmapped; less than was asked for is a defect of ours.
    transport->dma_map(1ull << 32, 4096, memory, -1);
    EXPECT_EQ(failure([&] { transport->dma_unmap(1ull << 32, 8192); }).first, TALUS_DRV_INTERNAL);
}

// Which limit, how much was asked for, how much is taken, and how to raise it.
TEST_F(Vfio, TheLimitOfLockedMemoryIsExplained) {
    for (const bool iommufd : {false, true}) {
        kernel_.has_iommufd = iommufd;
        kernel_.locked = {5000, 12345};
        const auto transport = open();
        alignas(4096) static std::byte memory[8192];
        transport->dma_map(1ull << 32, 4096, memory, -1);
        const auto [status, text] =
            failure([&] { transport->dma_map(2ull << 32, 8192, memory, -1); });
        EXPECT_EQ(status, TALUS_DRV_OUT_OF_HOST_MEMORY);
        for (const char* part : {"0000:03:00.0", "cannot map 8192 bytes", "may lock 12345 bytes",
                                 "9096 of which", "RLIMIT_MEMLOCK", "ulimit -l", "LimitMEMLOCK="})
            EXPECT_NE(text.find(part), std::string::npos) << text;
        kernel_.mappings.clear();
    }
}

TEST_F(Vfio, VectorsAreEnabledAtOnceAndChangedOneByOne) {
    const auto transport = open();
    kernel_.set_irqs.clear();
    const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    transport->irq_set(3, event);
    transport->irq_set(5, event);
    transport->irq_set(3, -1);
    const std::vector<std::array<std::uint32_t, 3>> expected{{VFIO_PCI_MSIX_IRQ_INDEX, 0, 64},
                                                             {VFIO_PCI_MSIX_IRQ_INDEX, 5, 1},
                                                             {VFIO_PCI_MSIX_IRQ_INDEX, 3, 1}};
    EXPECT_EQ(kernel_.set_irqs, expected);
    const auto& fds = kernel_.irqs[VFIO_PCI_MSIX_IRQ_INDEX];
    EXPECT_EQ(fds[3], -1);
    EXPECT_EQ(fds[5], event);
    EXPECT_EQ(std::count(fds.begin(), fds.end(), -1), 63);
    EXPECT_EQ(failure([&] { transport->irq_set(64, event); }).first, TALUS_DRV_UNSUPPORTED);

    EXPECT_FALSE(transport->wait(event, milliseconds(0)));
    const std::uint64_t one = 1;
    ASSERT_EQ(write(event, &one, sizeof one), 8);
    EXPECT_TRUE(transport->wait(event, milliseconds(0)));
    close(event);
}

TEST_F(Vfio, HostsShortOfVectorsGiveFewer) {
    kernel_.free_vectors = 8;
    const auto transport = open();
    transport->irq_set(0, 17);
    EXPECT_EQ(transport->irq_count(), 8u);
    EXPECT_EQ(kernel_.irqs[VFIO_PCI_MSIX_IRQ_INDEX].size(), 8u);
    EXPECT_EQ(failure([&] { transport->irq_set(8, 17); }).first, TALUS_DRV_UNSUPPORTED);
}

TEST_F(Vfio, DevicesWithoutMsixUseMsi) {
    kernel_.msix_vectors = 0;
    const auto transport = open();
    EXPECT_EQ(transport->irq_count(), 1u);
    transport->irq_set(0, 17);
    EXPECT_EQ(kernel_.irqs[VFIO_PCI_MSI_IRQ_INDEX], std::vector<std::int32_t>{17});
}

TEST_F(Vfio, ResetIsHotWhereTheBusIsOurs) {
    const auto transport = open();
    transport->reset();
    ASSERT_EQ(kernel_.hot_resets.size(), 1u);
    ASSERT_EQ(kernel_.hot_resets[0].size(), 1u); // the group, as proof
    EXPECT_EQ(kernel_.open_fds.count(kernel_.hot_resets[0][0]), 1u);

    kernel_.ioctl_results[VFIO_DEVICE_PCI_HOT_RESET] = -EPERM;
    kernel_.log.clear();
    transport->reset();
    EXPECT_EQ(kernel_.log, std::vector<std::string>{"reset"});

    kernel_.ioctl_results[VFIO_DEVICE_RESET] = -ENOTTY;
    EXPECT_EQ(failure([&] { transport->reset(); }).first, TALUS_DRV_UNSUPPORTED);
}

TEST_F(Vfio, AllOnesAreConfirmedByConfigSpace) {
    const auto transport = open();
    transport->bar_write32(2, 0, 0xffffffff);
    EXPECT_EQ(transport->bar_read32(2, 0), 0xffffffffu); // a register may hold that
    kernel_.gone = true;
    const auto [status, text] = failure([&] { transport->bar_read32(2, 4); });
    EXPECT_EQ(status, TALUS_DRV_DEVICE_LOST);
    EXPECT_NE(text.find("all ones"), std::string::npos) << text;
    kernel_.gone = false; // lost stays lost
    EXPECT_EQ(failure([&] { transport->bar_read32(2, 4); }).first, TALUS_DRV_DEVICE_LOST);
    EXPECT_EQ(failure([&] { transport->bar_write32(4, 0, 1); }).first, TALUS_DRV_DEVICE_LOST);
    EXPECT_EQ(failure([&] { transport->wait(-1, milliseconds(0)); }).first, TALUS_DRV_DEVICE_LOST);
}

TEST_F(Vfio, KernelsNoticesEndAWait) {
    for (const std::uint32_t index : {VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_REQ_IRQ_INDEX}) {
        kernel_.irqs.clear();
        const auto transport = open();
        EXPECT_FALSE(transport->wait(-1, milliseconds(0)));
        const std::uint64_t one = 1;
        ASSERT_EQ(write(kernel_.irqs[index].at(0), &one, sizeof one), 8);
        EXPECT_EQ(failure([&] { transport->wait(-1, milliseconds(1000)); }).first,
                  TALUS_DRV_DEVICE_LOST);
    }
}

class Binding : public ::testing::Test {
  protected:
    FakeKernel kernel_;
    const std::string bdf_ = FakeKernel::kBdf;
    const std::string driver_ = FakeKernel::device() + "/driver";
    const std::string record_ = "/run/talus/" + bdf_ + ".driver";
};

TEST_F(Binding, FormerDriverIsRememberedAndRestored) {
    kernel_.links[driver_] = "nvme";
    EXPECT_EQ(bind_to_vfio(kernel_, bdf_), "nvme");
    EXPECT_EQ(kernel_.links[driver_], "vfio-pci");
    EXPECT_EQ(bind_to_vfio(kernel_, bdf_), "vfio-pci"); // again: nothing happens
    EXPECT_EQ(kernel_.read_line(record_), "nvme");
    EXPECT_EQ(unbind_from_vfio(kernel_, bdf_), "nvme");
    EXPECT_EQ(kernel_.links[driver_], "nvme");
    EXPECT_EQ(kernel_.files[FakeKernel::device() + "/driver_override"], "\n");
    EXPECT_EQ(kernel_.files.count(record_), 0u);
}

TEST_F(Binding, UnboundDevicesGoBackToNone) {
    kernel_.links.erase(driver_);
    EXPECT_EQ(bind_to_vfio(kernel_, bdf_), "");
    EXPECT_EQ(unbind_from_vfio(kernel_, bdf_), "");
    EXPECT_EQ(kernel_.links.count(driver_), 0u);
}

TEST_F(Binding, RefusedBindingLeavesTheFormerDriver) {
    kernel_.links[driver_] = "nvme";
    kernel_.probe_works = false;
    EXPECT_EQ(failure([&] { bind_to_vfio(kernel_, bdf_); }).first, TALUS_DRV_IO);
    EXPECT_EQ(kernel_.links[driver_], "nvme");
    EXPECT_EQ(kernel_.files[FakeKernel::device() + "/driver_override"], "\n");
    EXPECT_EQ(kernel_.files.count(record_), 0u);
}

TEST_F(Binding, ErrorsSayWhatIsMissing) {
    kernel_.links[driver_] = "nvme";
    kernel_.open_errors[FakeKernel::device() + "/driver_override"] = EACCES;
    EXPECT_EQ(failure([&] { bind_to_vfio(kernel_, bdf_); }).first, TALUS_DRV_PERMISSION);
    EXPECT_EQ(kernel_.links[driver_], "nvme");
    kernel_.files.erase("/sys/bus/pci/drivers/vfio-pci");
    EXPECT_NE(failure([&] { bind_to_vfio(kernel_, bdf_); }).second.find("modprobe vfio-pci"),
              std::string::npos);
    EXPECT_EQ(failure([&] { bind_to_vfio(kernel_, "0000:77:00.0"); }).first, TALUS_DRV_NOT_FOUND);
    EXPECT_EQ(failure([&] { unbind_from_vfio(kernel_, bdf_); }).first, TALUS_DRV_UNSUPPORTED);
    kernel_.links[driver_] = "vfio-pci";
    kernel_.open_errors["/dev/vfio/7"] = EBUSY; // the kernel would wait for its holder
    EXPECT_EQ(failure([&] { unbind_from_vfio(kernel_, bdf_); }).first, TALUS_DRV_BUSY);
}

} // namespace
} // namespace talus::driver

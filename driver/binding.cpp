#include "binding.hpp"

#include "error.hpp"

#include <fcntl.h>

#include <cerrno>

namespace talus::driver {
namespace {

const std::string kDrivers = "/sys/bus/pci/drivers/";

std::string folder_of(const std::string& bdf) {
    return "/sys/bus/pci/devices/" + bdf;
}

std::string record_of(const std::string& bdf) {
    return "/run/talus/" + bdf + ".driver";
}

void write(Syscalls& calls, const std::string& path, const std::string& text) {
    const int result = calls.write_text(path, text);
    if (result == -EACCES || result == -EPERM)
        throw Error(TALUS_DRV_PERMISSION,
                    "no permission to write " + path + ": binding a device needs root");
    if (result < 0)
        throw system_error("cannot write \"" + text + "\" to " + path, -result);
}

std::string driver_of(Syscalls& calls, const std::string& bdf) {
    if (!calls.exists(folder_of(bdf)))
        throw Error(TALUS_DRV_NOT_FOUND, "there is no PCI device " + bdf);
    return calls.link_name(folder_of(bdf) + "/driver");
}

// Takes the override away and returns the function to `driver`. Errors are the caller's to find by
// looking at the result.
void give_back(Syscalls& calls, const std::string& bdf, const std::string& driver) {
    calls.write_text(folder_of(bdf) + "/driver_override", "\n");
    if (!driver.empty())
        calls.write_text(kDrivers + driver + "/bind", bdf);
}

} // namespace

std::string bind_to_vfio(Syscalls& calls, const std::string& bdf) {
    std::string before = driver_of(calls, bdf);
    if (before == "vfio-pci")
        return before;
    if (!calls.exists(kDrivers + "vfio-pci"))
        throw Error(TALUS_DRV_UNSUPPORTED,
                    "the kernel has no vfio-pci driver; load it with `modprobe vfio-pci`");
    if (calls.link_name(folder_of(bdf) + "/iommu_group").empty())
        throw Error(TALUS_DRV_UNSUPPORTED,
                    "device " + bdf + " stands behind no IOMMU, which vfio-pci needs: switch it " +
                        "on in the firmware's setup and on the kernel's command line "
                        "(intel_iommu=on)");
    write(calls, record_of(bdf), before + "\n");
    try {
        write(calls, folder_of(bdf) + "/driver_override", "vfio-pci");
        if (!before.empty())
            write(calls, folder_of(bdf) + "/driver/unbind", bdf);
        write(calls, "/sys/bus/pci/drivers_probe", bdf);
        const std::string now = driver_of(calls, bdf);
        if (now != "vfio-pci")
            throw Error(TALUS_DRV_IO, "vfio-pci did not take device " + bdf +
                                          (now.empty() ? "" : "; it is bound to " + now) +
                                          "; the kernel's log says why");
    } catch (const Error&) {
        if (calls.link_name(folder_of(bdf) + "/driver") != before)
            give_back(calls, bdf, before);
        else
            calls.write_text(folder_of(bdf) + "/driver_override", "\n");
        calls.remove(record_of(bdf));
        throw;
    }
    return before;
}

std::string unbind_from_vfio(Syscalls& calls, const std::string& bdf) {
    const std::string now = driver_of(calls, bdf);
    if (now != "vfio-pci")
        throw Error(TALUS_DRV_UNSUPPORTED, "device " + bdf + " is bound to " +
                                               (now.empty() ? "no driver" : "the driver " + now) +
                                               ", not to vfio-pci");
    const std::string node = "/dev/vfio/" + calls.link_name(folder_of(bdf) + "/iommu_group");
    const int group = calls.open(node, O_RDWR);
    if (group == -EBUSY)
        throw Error(TALUS_DRV_BUSY, "device " + bdf + " is in use by another process (`fuser " +
                                        node + "` names it)");
    if (group >= 0)
        calls.close(group);
    std::string before = calls.read_line(record_of(bdf)).value_or("");
    write(calls, folder_of(bdf) + "/driver_override", "\n");
    write(calls, folder_of(bdf) + "/driver/unbind", bdf);
    if (!before.empty())
        write(calls, kDrivers + before + "/bind", bdf);
    calls.remove(record_of(bdf));
    return before;
}

} // namespace talus::driver

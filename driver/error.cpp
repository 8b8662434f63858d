#include "error.hpp"

#include <cerrno>
#include <system_error>

namespace talus::driver {

Error system_error(const std::string& what, int error_number) {
    talus_drv_status status = TALUS_DRV_IO;
    switch (error_number) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
    case ECONNREFUSED:
        status = TALUS_DRV_NOT_FOUND;
        break;
    case EACCES:
    case EPERM:
        status = TALUS_DRV_PERMISSION;
        break;
    case EBUSY:
        status = TALUS_DRV_BUSY;
        break;
    case ENOMEM:
        status = TALUS_DRV_OUT_OF_HOST_MEMORY;
        break;
    default:
        break;
    }
    return Error(status, what + ": " + std::generic_category().message(error_number));
}

const char* status_name(talus_drv_status status) {
    switch (status) {
    case TALUS_DRV_OK:
        return "ok";
    case TALUS_DRV_INVALID_ARGUMENT:
        return "invalid argument";
    case TALUS_DRV_NOT_FOUND:
        return "not found";
    case TALUS_DRV_PERMISSION:
        return "permission denied";
    case TALUS_DRV_BUSY:
        return "busy";
    case TALUS_DRV_UNSUPPORTED:
        return "unsupported";
    case TALUS_DRV_OUT_OF_HOST_MEMORY:
        return "out of host memory";
    case TALUS_DRV_OUT_OF_DEVICE_MEMORY:
        return "out of device memory";
    case TALUS_DRV_QUEUE_FULL:
        return "queue full";
    case TALUS_DRV_VERSION_MISMATCH:
        return "version mismatch";
    case TALUS_DRV_FIRMWARE:
        return "firmware error";
    case TALUS_DRV_COMMAND_FAILED:
        return "command failed";
    case TALUS_DRV_TIMEOUT:
        return "time-out";
    case TALUS_DRV_DEVICE_LOST:
        return "device lost";
    case TALUS_DRV_PROTOCOL:
        return "protocol violation";
    case TALUS_DRV_IO:
        return "input/output error";
    case TALUS_DRV_INTERNAL:
        return "internal error";
    }
    return "unknown status";
}

} // namespace talus::driver

#include "transport.hpp"

#include "daemon_transport.hpp"
#include "error.hpp"
#include "locate.hpp"
#include "recording.hpp"
#include "vfio.hpp"
#include "vfio_user.hpp"

#include <array>

namespace talus::driver {
namespace {

std::unique_ptr<Transport> open_vfio_user(const Target& target, const TransportOptions& options) {
    if (!target.address.empty())
        return std::make_unique<VfioUserTransport>(VfioUserTransport::connect(target.address),
                                                   target.name, nullptr);
    auto simulator =
        std::make_unique<Simulator>(find_simulator(options.simulator), options.simulator_args);
    UniqueFd socket = simulator->take_socket();
    return std::make_unique<VfioUserTransport>(std::move(socket), target.name,
                                               std::move(simulator));
}

std::unique_ptr<Transport> open_vfio(const Target& target, const TransportOptions&) {
    return std::make_unique<VfioTransport>(target.address);
}

std::unique_ptr<Transport> open_replay(const Target& target, const TransportOptions&) {
    return std::make_unique<ReplayTransport>(target.address);
}

std::unique_ptr<Transport> open_daemon(const Target& target, const TransportOptions&) {
    return std::make_unique<DaemonTransport>(
        target.address.empty() ? default_daemon_socket() : target.address, true);
}

// The transports of this driver. A new one is a line here and a class beside VfioUserTransport.
struct TransportEntry {
    const char* name; // Target::transport
    std::unique_ptr<Transport> (*open)(const Target&, const TransportOptions&);
};
constexpr std::array kTransports = {
    TransportEntry{"vfio-user", open_vfio_user},
    TransportEntry{"vfio", open_vfio},
    TransportEntry{"replay", open_replay},
    TransportEntry{"talusd", open_daemon},
};

} // namespace

std::unique_ptr<Transport> open_transport(const Target& target, const TransportOptions& options) {
    std::string known;
    for (const TransportEntry& entry : kTransports) {
        if (target.transport == entry.name) {
            auto transport = entry.open(target, options);
            if (options.record.empty() || target.transport == "replay")
                return transport;
            return std::make_unique<RecordingTransport>(std::move(transport), options.record);
        }
        known += std::string(known.empty() ? "" : ", ") + entry.name;
    }
    throw Error(TALUS_DRV_UNSUPPORTED, target.name + " is reached by the transport \"" +
                                           target.transport + "\"; this driver has: " + known);
}

} // namespace talus::driver
